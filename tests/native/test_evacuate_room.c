/* Room outside a window, on a virtual clock: all of it is used, holes and smaller forms included. */
#include "window.h"

/* ---- room -------------------------------------------------------------------------------------------- */

static void what_fits_is_moved_and_the_rest_written(void)
{
	const struct tms_alloc_request request = request_with(TMS_EFFORT_PAGE_OUT, 0);
	const struct tms_window window = plan_of(END - START, 0, 0); /* a plan that was too hopeful */
	struct evacuation e;

	open_window(0, false, 100 * RAW);
	CHECK_SO_FAR();
	CHECK_EQ(run(&e, &request, &window), TMS_REASON_NONE);
	CHECK(e.move.reserve >= 100);
	CHECK_EQ(e.move.reserve - e.move.overtaken + e.writeback.objects, END - START);
	CHECK_EQ(left_in_window(), 0);
	everything_comes_back();
}

static void without_room_and_writes_it_ends_at_once(void)
{
	const struct tms_alloc_request request = request_with(TMS_EFFORT_MIGRATE, 0);
	const struct tms_window window = plan_of(END - START, 0, 0);
	uint64_t began_ns;
	struct evacuation e;

	open_window(0, false, 100 * RAW);
	CHECK_SO_FAR();
	began_ns = now_ns;
	CHECK_EQ(run(&e, &request, &window), TMS_REASON_ROOM);
	CHECK_EQ(e.move.reserve, 100); /* those stay where they are */
	CHECK_EQ(now_ns, began_ns);
	CHECK_EQ(fixture_stats(&f).spill_bytes_written + fixture_stats(&f).spill_writes_pending, 0);
	everything_comes_back();
}

static void holes_of_the_reserve_are_room(void)
{
	const struct tms_alloc_request request = request_with(TMS_EFFORT_MIGRATE, 0);
	const struct tms_window window = plan_of(100, 0, 0);
	struct evacuation e;

	open_window(0, false, 200 * RAW);
	CHECK_SO_FAR();
	for (uint32_t key = 0; key < 200; key++)
		CHECK(shrink_to_reserve(&f.store->held, id_of(&f, f.swap, key), NULL, 0, 0));
	put(FRAMES, FRAMES + 200); /* where they were */
	for (uint32_t key = 0; key < 200; key += 2)
		CHECK_EQ(tms_flush_page(f.store, f.swap, key >> 4, key), TMS_OK);
	for (uint32_t key = START + 100; key < END; key++)
		CHECK_EQ(tms_flush_page(f.store, f.swap, key >> 4, key), TMS_OK);
	CHECK_EQ(run(&e, &request, &window), TMS_REASON_NONE);
	CHECK_EQ(e.move.reserve, 100);
	CHECK_EQ(reserve_free(&f.region->reserve), 0);
	CHECK_EQ(left_in_window(), 0);
	CHECK_VERIFIES(f.store);
	for (uint32_t key = 1; key < 200; key += 2)
		CHECK(fixture_holds(&f, f.swap, key, key + 1, RAW));
	for (uint32_t key = START; key < START + 100; key++)
		CHECK(fixture_holds(&f, f.swap, key, key + 1, RAW));
	fixture_close(&f);
}

/* ---- compressing ------------------------------------------------------------------------------------- */

static void compressed_pages_need_half_the_room(void)
{
	const struct tms_alloc_request request = request_with(TMS_EFFORT_COMPRESS, 0);
	const struct tms_window window = plan_of(END - START, END - START, 0);
	struct evacuation e;

	open_window_with(0, false, (END - START) * UINT64_C(1856), true); /* half of PAIRS, in units */
	CHECK_SO_FAR();
	CHECK_EQ(run(&e, &request, &window), TMS_REASON_NONE);
	CHECK_EQ(e.move.compressed, END - START);
	CHECK_EQ(e.move.reserve, END - START);
	CHECK_EQ(left_in_window(), 0);
	everything_comes_back();
}

static void a_page_is_written_in_its_compressed_form_if_the_plan_says_so(void)
{
	const struct tms_alloc_request request = request_with(TMS_EFFORT_PAGE_OUT, 0);
	const struct tms_window window = plan_of(0, 200, END - START);
	struct evacuation e;

	open_window_with(0, false, 0, true);
	CHECK_SO_FAR();
	CHECK_EQ(run(&e, &request, &window), TMS_REASON_NONE);
	CHECK_EQ(e.writeback.objects, END - START);
	CHECK_EQ(e.writeback.compressed, 200);
	CHECK_EQ(e.writeback.bytes, (END - START - 100) * (uint64_t)RAW);
	CHECK_EQ(left_in_window(), 0);
	CHECK_EQ(fixture_stats(&f).pages_spilled, 200);
	everything_comes_back();
}

static void pages_that_do_not_compress_are_moved_as_they_are(void)
{
	const struct tms_alloc_request request = request_with(TMS_EFFORT_COMPRESS, 0);
	const struct tms_window window = plan_of(300, 300, 0);
	struct evacuation e;

	open_window(300, true, 0);
	CHECK_SO_FAR();
	CHECK_EQ(run(&e, &request, &window), TMS_REASON_NONE);
	CHECK_EQ(e.move.compressed, 0);
	CHECK_EQ(e.move.inside, 300);
	CHECK_EQ(left_in_window(), 0);
	everything_comes_back();
}

/* Many pages with a copy lie before those that must shrink to have room. */
static void pages_to_be_compressed_are_found_behind_any_number_of_copied_ones(void)
{
	const struct tms_alloc_request request = request_with(TMS_EFFORT_COMPRESS, 0);
	const struct tms_window window = plan_of(20, 20, 0);
	struct evacuation e;
	uint32_t last = 300000;
	uint32_t freed = 0;

	in_pairs = true;
	now_ns = 1000;
	device = steady_device();
	CHECK_EQ(fixture_open(&f, &(struct setup){ .frames = FRAMES, .reserve_bytes = 10 * RAW, .device = &device,
						   .virtual_ns = &now_ns, .packed = true, .denser = true }), TMS_OK);
	for (uint32_t key = 0; f.region->frames.held[FRAME_FREE] > FRAMES - END + 48; key++)
		CHECK_EQ(fixture_put(&f, f.swap, key, key + 1, 300), TMS_OK);
	for (; f.region->frames.held[FRAME_FREE] > 0; last++)
		CHECK_EQ(fixture_put(&f, f.swap, last, last + 1, RAW), TMS_OK);
	CHECK(copy_out(&f, 0, FRAMES));
	/* The last 20 raw pages of the window make way for pages without a copy. */
	for (uint32_t key = last - 1; key >= 300000 && freed < 20; key--)
		if (pfn_of(&f, f.swap, key) < END) {
			CHECK_EQ(tms_flush_page(f.store, f.swap, key >> 4, key), TMS_OK);
			freed++;
		}
	CHECK_EQ(freed, 20);
	first_key = 100000;
	put(first_key, first_key + 20);
	CHECK_SO_FAR();
	for (uint32_t key = first_key; key < last_key; key++)
		CHECK(pfn_of(&f, f.swap, key) >= START && pfn_of(&f, f.swap, key) < END);
	CHECK_EQ(f.region->frames.held[FRAME_FREE], 0);
	CHECK_EQ(run(&e, &request, &window), TMS_REASON_NONE);
	CHECK_EQ(e.move.compressed, 20);
	everything_comes_back();
}

static void compressed_pages_find_room_in_the_holes_of_the_reserve(void)
{
	const struct tms_alloc_request request = request_with(TMS_EFFORT_COMPRESS, 0);
	const struct tms_window window = plan_of(200, 200, 0);
	struct evacuation e;

	open_window_with(0, false, 200 * RAW, true);
	CHECK_SO_FAR();
	for (uint32_t key = 0; key < 200; key++)
		CHECK(shrink_to_reserve(&f.store->held, id_of(&f, f.swap, key), NULL, 0, 0));
	put(FRAMES, FRAMES + 200); /* where they were */
	CHECK_SO_FAR();
	for (uint32_t key = 0; key < 200; key += 2) /* 100 pages of room, in holes, for 200 that are half as large */
		CHECK_EQ(tms_flush_page(f.store, f.swap, key >> 4, key), TMS_OK);
	for (uint32_t key = START + 200; key < END; key++)
		CHECK_EQ(tms_flush_page(f.store, f.swap, key >> 4, key), TMS_OK);
	CHECK_EQ(run(&e, &request, &window), TMS_REASON_NONE);
	CHECK_EQ(e.move.compressed, 200);
	CHECK_EQ(left_in_window(), 0);
	CHECK_VERIFIES(f.store);
	for (uint32_t key = START; key < START + 200; key++)
		CHECK(fixture_holds_pairs(&f, key, key + 1, PAIRS));
	fixture_close(&f);
}

int main(void)
{
	RUN(what_fits_is_moved_and_the_rest_written);
	RUN(without_room_and_writes_it_ends_at_once);
	RUN(holes_of_the_reserve_are_room);
	RUN(compressed_pages_need_half_the_room);
	RUN(a_page_is_written_in_its_compressed_form_if_the_plan_says_so);
	RUN(pages_that_do_not_compress_are_moved_as_they_are);
	RUN(pages_to_be_compressed_are_found_behind_any_number_of_copied_ones);
	RUN(compressed_pages_find_room_in_the_holes_of_the_reserve);
	return check_finish(__FILE__);
}
