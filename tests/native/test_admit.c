/* Finding room.  The store is there for its holdings; nobody else uses it, so its lock is not taken. */
#include "inside.h"

#define RAW TMS_PAGE_SIZE
#define FRAMES FRAMES_PER_MIB
#define SPANNING 3000u /* bytes that pack best into several frames */

static struct fixture f;
static struct holdings *held;

static int open_holdings(uint32_t frames)
{
	int code = fixture_open(&f, &(struct setup){ .frames = frames, .packed = true, .order = TMS_ORDER_FIFO });

	held = f.store ? &f.store->held : NULL;
	return code;
}

static void fill(tms_pool_id pool, uint32_t from, uint32_t to, uint32_t noise)
{
	for (uint32_t key = from; key < to; key++)
		CHECK_EQ(fixture_put(&f, pool, key, key + 1, noise), TMS_OK);
}

/* The frame for an ephemeral page. */
static uint32_t frame_for_clean(void)
{
	const struct admission page = { .bytes = RAW, .depth = ADMIT_CLEAN };
	uint32_t pfn;

	return frame_for(held, &page, &pfn) == ADMIT_OK ? pfn : PFN_NONE;
}

static enum admit_result admit_swap(uint32_t bytes, uint32_t id, uint32_t *place)
{
	const struct admission page = { .bytes = bytes, .persistent = true, .depth = ADMIT_ANY };

	return admit_packed(held, &page, id, place);
}

static void the_lowest_free_frame_is_taken(void)
{
	CHECK_EQ(open_holdings(FRAMES), TMS_OK);
	CHECK_EQ(frame_for_clean(), 0);
	fill(f.clean, 0, 10, RAW);
	CHECK_EQ(frame_for_clean(), 10);
	CHECK_EQ(tms_flush_page(f.store, f.clean, 0, 3), TMS_OK);
	CHECK_EQ(frame_for_clean(), 3);
	CHECK_EQ(held->stats.clean_evicted, 0);
	fixture_close(&f);
}

static void only_ephemeral_pages_are_evicted(void)
{
	CHECK_EQ(open_holdings(FRAMES), TMS_OK);
	fill(f.swap, 0, FRAMES - 3, RAW);
	fill(f.clean, 0, 3, RAW);
	CHECK_SO_FAR();
	for (uint32_t i = 0; i < 3; i++) {
		uint32_t pfn = frame_for_clean();

		CHECK_EQ(held->stats.clean_evicted, i + 1);
		CHECK_EQ(frame_state(&held->region->frames, pfn), FRAME_FREE);
		frame_take(&held->region->frames, pfn, FRAME_ALLOCATED, 0); /* as if it had come into use */
	}
	CHECK_EQ(frame_for_clean(), PFN_NONE);
	CHECK_EQ(held->stats.pages_swap, FRAMES - 3);
	CHECK_EQ(held->stats.pages_clean, 0);
	fixture_close(&f);
}

static void half_empty_spans_are_compacted_before_a_page_is_evicted(void)
{
	uint32_t packed = 0;

	CHECK_EQ(open_holdings(FRAMES), TMS_OK);
	fill(f.clean, 0, FRAMES - 32, RAW);
	for (; held->region->frames.held[FRAME_FREE] > 0; packed++)
		CHECK_EQ(fixture_put(&f, f.swap, packed, packed + 1, 1000), TMS_OK);
	for (uint32_t key = 0; key < packed; key++)
		if (key % 4)
			CHECK_EQ(tms_flush_page(f.store, f.swap, key >> 4, key), TMS_OK);
	CHECK_EQ(held->region->frames.held[FRAME_FREE], 0);
	CHECK(frame_for_clean() != PFN_NONE);
	CHECK_EQ(held->stats.compactions, 1);
	CHECK_EQ(held->stats.clean_evicted, 0);
	CHECK_VERIFIES(f.store);
	for (uint32_t key = 0; key < packed; key += 4)
		CHECK(fixture_holds(&f, f.swap, key, key + 1, 1000));
	fixture_close(&f);
}

/* No frame comes free where every span holds a page that is nowhere else; but places of the newcomer's size do. */
static void what_copied_pages_leave_of_a_span_is_taken(void)
{
	uint32_t id[PAGE_OUT_ITEMS];
	uint32_t copies = 0;
	uint32_t packed = 0;
	uint32_t place = PLACE_NONE;

	CHECK_EQ(fixture_open(&f, &(struct setup){ .frames = FRAMES, .packed = true, .spill = true }), TMS_OK);
	held = &f.store->held;
	while (fixture_put(&f, f.swap, packed, packed + 1, 1000) == TMS_OK)
		packed++;
	for (uint32_t key = 0; key < packed && copies < 200; key += 2)
		id[copies++] = id_of(&f, f.swap, key);
	batch_complete(&f, batch_of(&f, id, copies, TMS_CAUSE_CLEAN, NULL), 0);
	CHECK_EQ(held->stats.pages_copied, copies);
	CHECK_EQ(admit_swap(1000, packed, &place), ADMIT_OK);
	CHECK(place != PLACE_NONE);
	CHECK(held->stats.swap_evicted > 0);
	packing_remove(&held->region->packing, place);
	CHECK_VERIFIES(f.store);
	fixture_close(&f);
}

static void a_page_in_a_range_that_is_being_emptied_is_not_evicted(void)
{
	uint32_t range;

	CHECK_EQ(open_holdings(FRAMES), TMS_OK);
	fill(f.clean, 0, FRAMES, RAW);
	range = region_isolate(held->region, 0, FRAMES - 1);
	CHECK_EQ(frame_for_clean(), FRAMES - 1); /* the newest, but the only one */
	frame_take(&held->region->frames, FRAMES - 1, FRAME_ALLOCATED, 0);
	CHECK_EQ(frame_for_clean(), PFN_NONE);
	CHECK_EQ(held->stats.clean_evicted, 1);
	region_abort(held->region, range, 0, FRAMES - 1);
	CHECK_EQ(frame_for_clean(), 0);
	fixture_close(&f);
}

static void a_span_is_had_whole_in_one_chunk_also_where_pages_must_go_for_it(void)
{
	const uint32_t frames = 2 * TMS_CHUNK_FRAMES;
	const uint32_t want = packing_span_frames(SPANNING);
	uint32_t place = 0;

	CHECK_EQ(open_holdings(frames), TMS_OK);
	fill(f.clean, 0, frames, RAW);
	CHECK_SO_FAR();
	CHECK(want > 1);
	CHECK_EQ(admit_swap(SPANNING, 1, &place), ADMIT_OK);
	CHECK_EQ(held->region->frames.held[FRAME_PACKED], want);
	CHECK_EQ(held->stats.clean_evicted, want);
	CHECK(packing_owns(&held->region->packing, place, 1));
	CHECK_EQ(admit_swap(SPANNING, 2, &place), ADMIT_OK);
	CHECK_EQ(held->stats.clean_evicted, want); /* the span had room */
	fixture_close(&f);
}

static void a_page_that_was_asked_for_is_the_last_to_go_for_a_span(void)
{
	const uint32_t want = packing_span_frames(SPANNING);
	uint8_t page[RAW];
	uint32_t place;
	tms_pool_id inclusive;

	CHECK_EQ(fixture_open(&f, &(struct setup){ .packed = true, .order = TMS_ORDER_SIEVE }), TMS_OK);
	held = &f.store->held;
	CHECK_EQ(tms_pool_create(f.store, TMS_POOL_INCLUSIVE, NULL, &inclusive), TMS_OK);
	fill(inclusive, 0, FRAMES, RAW);
	for (uint32_t key = 1; key < FRAMES; key++)
		if (key % 32)
			CHECK_EQ(fixture_get(&f, inclusive, key, page), TMS_OK);
	CHECK(want > 1 && want <= FRAMES / 32);
	CHECK_EQ(admit_swap(SPANNING, 1, &place), ADMIT_OK);
	for (uint32_t key = 1; key < FRAMES; key++)
		if (key % 32)
			CHECK_EQ(fixture_place(&f, inclusive, key), TMS_PLACE_REGION);
	fixture_close(&f);
}

static void where_fewer_frames_are_to_be_had_together_the_span_is_shorter(void)
{
	uint32_t place;

	CHECK_EQ(open_holdings(FRAMES), TMS_OK);
	fill(f.swap, 0, FRAMES - 1, RAW);
	CHECK_EQ(admit_swap(SPANNING, 1, &place), ADMIT_OK);
	CHECK_EQ(held->region->frames.held[FRAME_PACKED], 1);
	CHECK_EQ(admit_swap(1000, 1, &place), ADMIT_FULL);
	fixture_close(&f);
}

static void bookkeeping_that_is_not_to_be_had_matters_only_for_a_new_span(void)
{
	const struct admission without = { .bytes = 1000, .persistent = true, .fail_span = true, .depth = ADMIT_ANY };
	uint32_t place;

	CHECK_EQ(open_holdings(FRAMES), TMS_OK);
	CHECK_EQ(admit_packed(held, &without, 1, &place), ADMIT_NO_MEMORY);
	CHECK_EQ(held->region->frames.held[FRAME_FREE], FRAMES);
	CHECK_EQ(admit_swap(1000, 1, &place), ADMIT_OK);
	CHECK_EQ(admit_packed(held, &without, 2, &place), ADMIT_OK);
	fixture_close(&f);
}

/* ---- what may be given up ---------------------------------------------------------------------------- */

static void no_more_is_given_up_than_the_depth_says(void)
{
	uint32_t pfn = PFN_NONE;

	CHECK_EQ(fixture_open(&f, &(struct setup){ .spill = true, .packed = true, .order = TMS_ORDER_FIFO }), TMS_OK);
	held = &f.store->held;
	fill(f.swap, 0, FRAMES - 2, RAW);
	CHECK(copy_out(&f, 0, FRAMES));
	fill(f.clean, 0, 2, RAW);
	for (int depth = ADMIT_FREE; depth <= ADMIT_ANY; depth++) {
		const struct admission page = { .bytes = RAW, .persistent = true, .depth = (enum admit_depth)depth };

		CHECK_EQ(frame_for(held, &page, &pfn), depth == ADMIT_FREE ? ADMIT_FULL : ADMIT_OK);
		CHECK_EQ(held->stats.clean_evicted, depth);
		CHECK_EQ(held->stats.swap_evicted, 0);
		if (depth != ADMIT_FREE)
			frame_take(&held->region->frames, pfn, FRAME_ALLOCATED, 0);
	}
	for (uint32_t i = 1; i < 10; i++) {
		const struct admission page = { .bytes = RAW, .persistent = true, .depth = ADMIT_ANY };

		CHECK_EQ(frame_for(held, &page, &pfn), ADMIT_OK);
		CHECK_EQ(held->stats.swap_evicted, i);
		frame_take(&held->region->frames, pfn, FRAME_ALLOCATED, 0);
	}
	CHECK_EQ(frame_for_clean(), PFN_NONE); /* an ephemeral page costs no other kind its frame */
	for (uint32_t key = 0; key < FRAMES - 2; key++)
		CHECK(fixture_holds(&f, f.swap, key, key + 1, RAW));
	fixture_close(&f);
}

static void the_coldest_copied_page_gives_up_its_frame_first(void)
{
	const struct admission page = { .bytes = RAW, .persistent = true, .depth = ADMIT_ANY };
	uint8_t bytes[RAW];
	uint32_t pfn;

	CHECK_EQ(fixture_open(&f, &(struct setup){ .spill = true }), TMS_OK);
	held = &f.store->held;
	fill(f.swap, 0, FRAMES, RAW);
	CHECK(copy_out(&f, 0, FRAMES));
	for (uint32_t key = 0; key < 5; key++)
		CHECK_EQ(fixture_get(&f, f.swap, key, bytes), TMS_OK);
	for (uint32_t key = 5; key < 20; key++) {
		CHECK_EQ(frame_for(held, &page, &pfn), ADMIT_OK);
		CHECK_EQ(fixture_place(&f, f.swap, key), TMS_PLACE_SPILL);
		frame_take(&held->region->frames, pfn, FRAME_ALLOCATED, 0);
	}
	for (uint32_t key = 0; key < 5; key++)
		CHECK_EQ(fixture_place(&f, f.swap, key), TMS_PLACE_REGION | TMS_PLACE_SPILL);
	fixture_close(&f);
}

static void packed_copies_give_up_their_span_together(void)
{
	const struct admission page = { .bytes = RAW, .persistent = true, .depth = ADMIT_ANY };
	uint32_t packed = 0;
	uint32_t pfn;

	CHECK_EQ(fixture_open(&f, &(struct setup){ .spill = true, .packed = true }), TMS_OK);
	held = &f.store->held;
	while (held->region->frames.held[FRAME_FREE] > 0) {
		CHECK_EQ(fixture_put(&f, f.swap, packed, packed + 1, 1000), TMS_OK);
		packed++;
	}
	CHECK(copy_out(&f, 0, FRAMES));
	CHECK_EQ(frame_for(held, &page, &pfn), ADMIT_OK);
	CHECK(held->stats.swap_evicted > 1);
	CHECK_VERIFIES(f.store);
	for (uint32_t key = 0; key < packed; key++)
		CHECK(fixture_holds(&f, f.swap, key, key + 1, 1000));
	fixture_close(&f);
}

static void a_copied_page_in_a_range_that_is_being_emptied_keeps_its_frame(void)
{
	const struct admission page = { .bytes = RAW, .persistent = true, .depth = ADMIT_ANY };
	uint32_t range;
	uint32_t pfn;

	CHECK_EQ(fixture_open(&f, &(struct setup){ .spill = true }), TMS_OK);
	held = &f.store->held;
	fill(f.swap, 0, FRAMES, RAW);
	CHECK(copy_out(&f, 0, FRAMES));
	range = region_isolate(held->region, 0, FRAMES - 1);
	CHECK_EQ(frame_for(held, &page, &pfn), ADMIT_FULL); /* among the coldest */
	region_abort(held->region, range, 0, FRAMES - 1);
	range = region_isolate(held->region, 1, FRAMES);
	CHECK_EQ(frame_for(held, &page, &pfn), ADMIT_OK);
	CHECK_EQ(pfn, 0);
	region_abort(held->region, range, 1, FRAMES);
	CHECK_VERIFIES(f.store);
	fixture_close(&f);
}

int main(void)
{
	RUN(the_lowest_free_frame_is_taken);
	RUN(only_ephemeral_pages_are_evicted);
	RUN(half_empty_spans_are_compacted_before_a_page_is_evicted);
	RUN(what_copied_pages_leave_of_a_span_is_taken);
	RUN(a_page_in_a_range_that_is_being_emptied_is_not_evicted);
	RUN(a_span_is_had_whole_in_one_chunk_also_where_pages_must_go_for_it);
	RUN(a_page_that_was_asked_for_is_the_last_to_go_for_a_span);
	RUN(where_fewer_frames_are_to_be_had_together_the_span_is_shorter);
	RUN(bookkeeping_that_is_not_to_be_had_matters_only_for_a_new_span);
	RUN(no_more_is_given_up_than_the_depth_says);
	RUN(the_coldest_copied_page_gives_up_its_frame_first);
	RUN(packed_copies_give_up_their_span_together);
	RUN(a_copied_page_in_a_range_that_is_being_emptied_keeps_its_frame);
	return check_finish(__FILE__);
}
