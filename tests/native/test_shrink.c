/* Making one entry leave its place.  The store is there for its holdings; nobody else uses it, so its lock is not taken. */
#include "inside.h"

#define RAW TMS_PAGE_SIZE
#define RESERVE_PAGES 20u

static struct fixture f;
static struct holdings *held;

static int open_holdings(void)
{
	int code = fixture_open(&f, &(struct setup){ .spill = true, .packed = true, .reserve_bytes = RESERVE_PAGES * RAW });

	held = f.store ? &f.store->held : NULL;
	return code;
}

static uint32_t put(tms_pool_id pool, uint32_t key, uint32_t noise)
{
	return fixture_put(&f, pool, key, key + 1, noise) == TMS_OK ? id_of(&f, pool, key) : 0;
}

static void give_copy(uint32_t id)
{
	batch_complete(&f, batch_of(&f, &id, 1, TMS_CAUSE_RECLAIM, NULL), 0);
}

static void a_dropped_entry_takes_all_it_has_with_it(void)
{
	const struct { bool swap; uint32_t noise; bool copy, resident; } form[] = {
		{ false, RAW, false, true }, { false, 0, false, false }, { true, RAW, false, true }, { true, 500, false, true },
		{ true, 0, false, false },   { true, RAW, true, true },	 { true, 500, true, true },  { true, RAW, true, false },
		{ true, 500, true, false },
	};

	CHECK_EQ(open_holdings(), TMS_OK);
	for (size_t i = 0; i < sizeof(form) / sizeof(*form); i++) {
		uint32_t id = put(form[i].swap ? f.swap : f.clean, 7, form[i].noise);
		struct tms_stats stats;

		CHECK(id);
		if (form[i].copy)
			give_copy(id);
		if (form[i].copy && !form[i].resident)
			shrink_drop_resident(held, id);
		CHECK_EQ(held->region->frames.held[FRAME_FREE] < FRAMES_PER_MIB, form[i].resident);
		CHECK_EQ(held->spill.used, form[i].copy);
		CHECK_VERIFIES(f.store);
		shrink_drop(held, id);
		stats = fixture_stats(&f);
		CHECK_EQ(stats.pages_clean + stats.pages_swap + stats.pages_fill + stats.pages_spilled + stats.pages_copied, 0);
		CHECK_EQ(stats.bytes_kept + stats.spans + stats.objects + stats.spill_blocks_used, 0);
		CHECK_EQ(stats.frames_free, FRAMES_PER_MIB);
		CHECK_VERIFIES(f.store);
	}
	fixture_close(&f);
}

static void an_object_that_compaction_moves_keeps_its_bytes_and_its_copy(void)
{
	struct compaction compaction = { .moved = shrink_moved };
	struct page_out *batch;
	uint32_t id[100];

	CHECK_EQ(open_holdings(), TMS_OK);
	compaction.context = held;
	for (uint32_t key = 0; key < 100; key++)
		id[key] = put(f.swap, key, 1000);
	for (uint32_t key = 0; key < 100; key++)
		if (key % 5)
			shrink_drop(held, id[key]);
	give_copy(id[0]);
	batch = batch_of(&f, &id[95], 1, TMS_CAUSE_RECLAIM, NULL);
	while (packing_compact(&held->region->packing, &compaction))
		CHECK_VERIFIES(f.store);
	CHECK(held->stats.objects_moved > 0);
	batch_complete(&f, batch, 0);
	CHECK_VERIFIES(f.store);
	for (uint32_t key = 0; key < 100; key += 5)
		CHECK(fixture_holds(&f, f.swap, key, key + 1, 1000));
	CHECK_EQ(fixture_stats(&f).pages_copied, 2);
	fixture_close(&f);
}

/* ---- moving -------------------------------------------------------------------------------------------- */

static void a_moved_page_keeps_its_bytes_wherever_it_goes(void)
{
	const uint32_t noise[] = { 1, 61, 62, 1000, 4029, RAW };
	const struct admission page = { .persistent = true };

	CHECK_EQ(open_holdings(), TMS_OK);
	for (uint32_t key = 0; key < 6; key++) {
		uint32_t id = put(f.swap, key, noise[key]);
		const struct entry *entry = holdings_entry(held, id);
		struct admission back = page;
		uint32_t used = held->region->reserve.used;
		uint32_t place;

		CHECK(shrink_to_reserve(held, id, NULL, 0, 0));
		CHECK(lies_in_reserve(&f, key));
		CHECK_EQ(held->region->reserve.used, used + units_of(entry->size));
		CHECK_EQ(held->region->frames.held[FRAME_FREE], FRAMES_PER_MIB);
		CHECK(fixture_holds(&f, f.swap, key, key + 1, noise[key]));
		CHECK_VERIFIES(f.store);
		back.bytes = entry->size;
		if (entry->flags & ENTRY_PACKED) {
			CHECK_EQ(admit_packed(held, &back, id, &place), ADMIT_OK);
		} else {
			uint32_t pfn;

			CHECK_EQ(frame_for(held, &back, &pfn), ADMIT_OK);
			frame_take(&held->region->frames, pfn, FRAME_SWAP, id);
			place = pfn << UNITS_SHIFT;
		}
		shrink_move(held, id, place, NULL, 0, 0);
		CHECK_EQ(held->region->reserve.used, used);
		CHECK_VERIFIES(f.store);
		CHECK(fixture_holds(&f, f.swap, key, key + 1, noise[key]));
		shrink_drop(held, id);
		CHECK_EQ(held->region->frames.held[FRAME_FREE], FRAMES_PER_MIB);
	}
	fixture_close(&f);
}

static void what_has_no_room_behind_the_last_of_the_reserve_stays_where_it_is(void)
{
	uint32_t id[RESERVE_PAGES + 1];

	CHECK_EQ(open_holdings(), TMS_OK);
	for (uint32_t key = 0; key <= RESERVE_PAGES; key++) {
		id[key] = put(f.swap, key, RAW);
		CHECK_EQ(shrink_to_reserve(held, id[key], NULL, 0, 0), key < RESERVE_PAGES);
	}
	CHECK_VERIFIES(f.store);
	shrink_drop(held, id[3]);
	CHECK(!shrink_to_reserve(held, id[RESERVE_PAGES], NULL, 0, 0)); /* there is but a hole */
	while (!shrink_slide(held))
		CHECK_VERIFIES(f.store);
	CHECK(shrink_to_reserve(held, id[RESERVE_PAGES], NULL, 0, 0));
	CHECK_VERIFIES(f.store);
	for (uint32_t key = 0; key <= RESERVE_PAGES; key++)
		CHECK(key == 3 || fixture_holds(&f, f.swap, key, key + 1, RAW));
	fixture_close(&f);
}

/* Comes, goes, slides a step, at random: whatever adds up to no more than the reserve has room in the end. */
static void holes_of_the_reserve_are_closed_while_pages_come_and_go(void)
{
	const uint32_t keys = 200;
	uint32_t noise[200] = { 0 };
	uint64_t rng = 77;

	CHECK_EQ(open_holdings(), TMS_OK);
	for (int step = 0; step < 4000; step++) {
		uint32_t key = rng_below(&rng, keys);
		uint32_t id = id_of(&f, f.swap, key);

		if (rng_below(&rng, 4) == 0) {
			(void)shrink_slide(held);
		} else if (id) {
			shrink_drop(held, id);
		} else {
			const uint32_t sizes[] = { 1, 61, 62, 2046, 4029, RAW };
			uint32_t free = reserve_free(&held->region->reserve);

			noise[key] = sizes[rng_below(&rng, 6)];
			id = put(f.swap, key, noise[key]);
			CHECK(id);
			if (!shrink_to_reserve(held, id, NULL, 0, 0) && units_of(holdings_entry(held, id)->size) <= free) {
				while (held->region->reserve.end > held->region->reserve.used)
					(void)shrink_slide(held);
				CHECK(shrink_to_reserve(held, id, NULL, 0, 0));
			}
			if (!lies_in_reserve(&f, key))
				shrink_drop(held, id);
		}
		CHECK_VERIFIES(f.store);
		key = rng_below(&rng, keys);
		CHECK(!id_of(&f, f.swap, key) || fixture_holds(&f, f.swap, key, key + 1, noise[key]));
	}
	CHECK(held->region->reserve.used > 0);
	for (uint32_t key = 0; key < keys; key++)
		CHECK(!id_of(&f, f.swap, key) || fixture_holds(&f, f.swap, key, key + 1, noise[key]));
	fixture_close(&f);
}

static void a_page_moved_within_the_region_keeps_its_age(void)
{
	uint32_t id[3];
	uint32_t pfn;

	CHECK_EQ(open_holdings(), TMS_OK);
	for (uint32_t key = 0; key < 3; key++)
		id[key] = put(f.swap, key, RAW);
	pfn = frame_next_free(&held->region->frames, 0);
	frame_take(&held->region->frames, pfn, FRAME_SWAP, id[0]);
	shrink_move(held, id[0], pfn << UNITS_SHIFT, NULL, 0, 0);
	CHECK_EQ(aging_cold(&held->aging, AGE_UNCOPIED, 0), id[0]);
	CHECK_VERIFIES(f.store);
	fixture_close(&f);
}

int main(void)
{
	RUN(a_dropped_entry_takes_all_it_has_with_it);
	RUN(an_object_that_compaction_moves_keeps_its_bytes_and_its_copy);
	RUN(a_moved_page_keeps_its_bytes_wherever_it_goes);
	RUN(what_has_no_room_behind_the_last_of_the_reserve_stays_where_it_is);
	RUN(holes_of_the_reserve_are_closed_while_pages_come_and_go);
	RUN(a_page_moved_within_the_region_keeps_its_age);
	return check_finish(__FILE__);
}
