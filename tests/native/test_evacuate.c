/* Both lanes of an allocation on a virtual clock: a window's objects leave it or get copies, and none is lost. */
#include "evacuate.h"

#include "inside.h"

#define RAW TMS_PAGE_SIZE
#define FRAMES (4u * TMS_CHUNK_FRAMES)
#define START TMS_CHUNK_FRAMES /* the window: the second chunk */
#define END (2u * TMS_CHUNK_FRAMES)
#define PAIRS 3600u
#define DEADLINE (10 * NSEC_PER_SEC)

static struct fixture f;
static struct tms_device device;
static uint64_t now_ns;
static uint32_t first_key; /* keys held: first_key to last_key */
static uint32_t last_key;
static bool in_pairs;

static void put(uint32_t from, uint32_t to)
{
	for (uint32_t key = from; key < to; key++)
		CHECK_EQ(in_pairs ? fixture_put_pairs(&f, key, key + 1, PAIRS) : fixture_put(&f, f.swap, key, key + 1, RAW), TMS_OK);
	last_key = to;
}

/* n raw pages in the window, and, unless there is room, all frames before and behind it full as well. */
static void open_window_with(uint32_t n, bool room, uint64_t reserve_bytes, bool pairs)
{
	in_pairs = pairs;
	now_ns = 1000;
	device = steady_device();
	CHECK_EQ(fixture_open(&f, &(struct setup){ .frames = FRAMES,
						   .reserve_bytes = reserve_bytes,
						   .device = &device,
						   .virtual_ns = &now_ns,
						   .denser = true }),
		 TMS_OK);
	first_key = 0;
	put(0, room ? START + n : FRAMES);
	CHECK_SO_FAR();
	if (!room)
		return;
	for (first_key = 0; first_key < START; first_key++)
		CHECK_EQ(tms_flush_page(f.store, f.swap, first_key >> 4, first_key), TMS_OK);
}

static void open_window(uint32_t n, bool room, uint64_t reserve_bytes)
{
	open_window_with(n, room, reserve_bytes, false);
}

static struct tms_window plan_of(uint64_t migrate, uint64_t compress, uint64_t page_out)
{
	return (struct tms_window){
		.start_pfn = START, .frames = END - START, .to_migrate = migrate, .to_compress = compress, .to_page_out = page_out
	};
}

/* Isolates the window, empties it, and gives it back. */
static enum tms_reason run(struct evacuation *e, const struct tms_alloc_request *request, const struct tms_window *window)
{
	enum tms_reason reason;
	uint32_t range;

	range = region_isolate(f.region, START, END);
	*e = (struct evacuation){ .store = f.store, .request = request, .window = window, .deadline_ns = now_ns + DEADLINE };
	f.store->allocations++;
	reason = evacuate(e);
	pthread_mutex_lock(&f.store->lock);
	evacuate_end(e);
	f.store->allocations--;
	region_abort(f.region, range, START, END);
	pthread_mutex_unlock(&f.store->lock);
	return reason;
}

static struct tms_alloc_request request_with(int32_t effort, uint64_t move_ns)
{
	struct tms_alloc_request request = request_at(START, END - START, effort);

	request.cost = (struct tms_cost){ .move_ns = move_ns, .object_ns = 10, .compress_ns = 20 };
	return request;
}

/* Objects of the window that are nowhere else. */
static uint32_t left_in_window(void)
{
	uint32_t left = 0;

	for (uint32_t pfn = START; pfn < END; pfn++)
		if (frame_state(&f.region->frames, pfn) == FRAME_SWAP)
			left += entry_is_only_copy(holdings_entry(&f.store->held, f.region->frames.owner[pfn]));
	return left;
}

static void everything_comes_back(void)
{
	CHECK_VERIFIES(f.store);
	for (uint32_t key = first_key; key < last_key; key++)
		CHECK(in_pairs ? fixture_holds_pairs(&f, key, key + 1, PAIRS) : fixture_holds(&f, f.swap, key, key + 1, RAW));
	CHECK_EQ(tms_advance(f.store, 100 * NSEC_PER_SEC), TMS_OK);
	CHECK_VERIFIES(f.store);
	fixture_close(&f);
}

/* ---- the split --------------------------------------------------------------------------------------- */

static void each_lane_takes_its_share_of_the_plan(void)
{
	const struct tms_alloc_request request = request_with(TMS_EFFORT_PAGE_OUT, NSEC_PER_MSEC);
	const struct tms_window window = plan_of(200, 0, 100);
	struct evacuation e;

	open_window(300, true, 0);
	CHECK_SO_FAR();
	CHECK_EQ(run(&e, &request, &window), TMS_REASON_NONE);
	CHECK_EQ(e.writeback.objects, 100);
	CHECK_EQ(e.move.inside, 200);
	CHECK_EQ(e.move.overtaken + e.move.reserve, 0);
	CHECK_EQ(e.waited_ns, 0); /* the device was faster than the mover */
	CHECK_EQ(left_in_window(), 0);
	everything_comes_back();
}

static void what_is_being_written_is_moved_rather_than_waited_for(void)
{
	const struct tms_alloc_request request = request_with(TMS_EFFORT_PAGE_OUT, 0);
	const struct tms_window window = plan_of(200, 0, 100);
	struct evacuation e;

	open_window(300, true, 0);
	CHECK_SO_FAR();
	CHECK_EQ(run(&e, &request, &window), TMS_REASON_NONE);
	CHECK_EQ(e.writeback.objects, 100);
	CHECK_EQ(e.move.inside, 300);
	CHECK_EQ(e.move.overtaken, 100);
	CHECK_EQ(e.waited_ns, 0);
	CHECK_EQ(left_in_window(), 0);
	CHECK_EQ(fixture_stats(&f).pages_copied, 0);
	CHECK_EQ(tms_advance(f.store, NSEC_PER_SEC), TMS_OK);
	CHECK_EQ(fixture_stats(&f).pages_copied, 100); /* the write was not in vain */
	everything_comes_back();
}

static void a_stalled_device_is_overtaken_where_there_is_room(void)
{
	const struct tms_episode stall = { .duration_ns = FOR_EVER };
	const struct tms_alloc_request request = request_with(TMS_EFFORT_PAGE_OUT, 1000);

	for (uint64_t reserve = 0; reserve <= 300 * RAW; reserve += 300 * RAW) {
		const struct tms_window window = plan_of(0, 0, 300);
		struct evacuation e;

		open_window(300, reserve == 0, reserve);
		CHECK_SO_FAR();
		if (reserve)
			for (uint32_t key = START + 300; key < END; key++) /* the window holds 300, the rest is full */
				CHECK_EQ(tms_flush_page(f.store, f.swap, key >> 4, key), TMS_OK);
		CHECK_EQ(tms_device_episode(f.store, &stall), TMS_OK);
		CHECK_EQ(run(&e, &request, &window), TMS_REASON_NONE);
		CHECK_EQ(e.move.overtaken, 300);
		CHECK_EQ(e.move.inside, reserve ? 0 : 300);
		CHECK_EQ(e.move.reserve, reserve ? 300 : 0);
		CHECK_EQ(left_in_window(), 0);
		CHECK_VERIFIES(f.store);
		for (uint32_t key = START; key < START + 300; key++)
			CHECK(fixture_holds(&f, f.swap, key, key + 1, RAW));
		fixture_close(&f);
	}
}

/* ---- the device -------------------------------------------------------------------------------------- */

static void without_room_writes_are_waited_for_and_nothing_else(void)
{
	const struct tms_alloc_request request = request_with(TMS_EFFORT_PAGE_OUT, 0);
	const struct tms_window window = plan_of(0, 0, END - START);
	uint64_t began_ns;
	struct evacuation e;

	open_window(0, false, 0);
	CHECK_SO_FAR();
	began_ns = now_ns;
	CHECK_EQ(run(&e, &request, &window), TMS_REASON_NONE);
	CHECK_EQ(e.writeback.objects, END - START);
	CHECK_EQ(e.move.inside + e.move.reserve, 0);
	CHECK_EQ(left_in_window(), 0);
	CHECK_EQ(now_ns - began_ns, e.waited_ns + (END - START) * request.cost.object_ns);
	/* Four batches one after the other, the first of them begun as soon as it is full. */
	CHECK_EQ(now_ns - began_ns, PAGE_OUT_BLOCKS * request.cost.object_ns +
					    4 * (device.write_request_ns + PAGE_OUT_BLOCKS * (uint64_t)RAW * device.write_byte_ps / 1000));
	everything_comes_back();
}

static void a_stalled_device_without_room_is_waited_for_until_the_deadline(void)
{
	const struct tms_episode stall = { .duration_ns = 2 * DEADLINE };
	const struct tms_alloc_request request = request_with(TMS_EFFORT_PAGE_OUT, 0);
	const struct tms_window window = plan_of(0, 0, END - START);
	uint64_t began_ns;
	struct evacuation e;

	open_window(0, false, 0);
	CHECK_SO_FAR();
	began_ns = now_ns;
	CHECK_EQ(tms_device_episode(f.store, &stall), TMS_OK);
	CHECK_EQ(run(&e, &request, &window), TMS_REASON_TIME);
	CHECK_EQ(now_ns - began_ns, DEADLINE + 1);
	CHECK_EQ(left_in_window(), END - START);
	CHECK_VERIFIES(f.store);
	CHECK_EQ(tms_advance(f.store, 3 * DEADLINE), TMS_OK);
	CHECK_EQ(left_in_window(), 0); /* what was at the device completed when it moved again */
	everything_comes_back();
}

static void a_failed_write_ends_it_where_there_is_no_room_and_only_there(void)
{
	const struct tms_alloc_request request = request_with(TMS_EFFORT_PAGE_OUT, 0);

	for (int room = 0; room < 2; room++) {
		const struct tms_window window = plan_of(0, 0, 300);
		struct evacuation e;

		open_window(300, room, 0);
		CHECK_SO_FAR();
		CHECK_EQ(tms_fault_arm(f.store, TMS_FAULT_WRITE, 0, FOR_EVER, EIO, 0), TMS_OK);
		CHECK_EQ(run(&e, &request, &window), room ? TMS_REASON_NONE : TMS_REASON_SPILL);
		CHECK_EQ(left_in_window() > 0, !room);
		everything_comes_back();
	}
}

static void a_full_spill_file_is_the_same_as_a_failed_write(void)
{
	const struct tms_alloc_request request = request_with(TMS_EFFORT_PAGE_OUT, 0);

	for (int room = 0; room < 2; room++) {
		const struct tms_window window = plan_of(0, 0, 300);
		struct evacuation e;

		open_window(300, room, 0);
		CHECK_SO_FAR();
		f.store->held.spill.limit = 50; /* as of a small device */
		CHECK_EQ(run(&e, &request, &window), room ? TMS_REASON_NONE : TMS_REASON_SPILL);
		CHECK_EQ(left_in_window() > 0, !room);
		everything_comes_back();
	}
}

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

	in_pairs = true;
	now_ns = 1000;
	device = steady_device();
	CHECK_EQ(fixture_open(&f, &(struct setup){ .frames = FRAMES, .reserve_bytes = 10 * RAW, .device = &device,
						   .virtual_ns = &now_ns, .packed = true, .denser = true }), TMS_OK);
	for (uint32_t key = 0; f.region->frames.held[FRAME_FREE] > FRAMES - END + 48; key++)
		CHECK_EQ(fixture_put(&f, f.swap, key, key + 1, 300), TMS_OK);
	for (uint32_t key = 300000; f.region->frames.chunk[0].frames_free > 0; key++)
		CHECK_EQ(fixture_put(&f, f.swap, key, key + 1, RAW), TMS_OK);
	CHECK(copy_out(&f, 0, FRAMES));
	first_key = 100000;
	put(first_key, first_key + 20);
	CHECK_SO_FAR();
	for (uint32_t key = first_key; key < last_key; key++)
		CHECK(pfn_of(&f, f.swap, key) >= START && pfn_of(&f, f.swap, key) < END);
	for (uint32_t key = 200000; f.region->frames.held[FRAME_FREE] > 0; key++)
		CHECK_EQ(fixture_put(&f, f.swap, key, key + 1, RAW), TMS_OK);
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

/* ---- bookkeeping, closing ------------------------------------------------------------------------------ */

static void bookkeeping_that_cannot_be_had_ends_it_before_it_begins(void)
{
	const struct tms_alloc_request request = request_with(TMS_EFFORT_PAGE_OUT, 0);
	const struct tms_window window = plan_of(300, 10, 0);
	struct evacuation e;

	open_window(300, true, 0);
	CHECK_SO_FAR();
	CHECK_EQ(tms_fault_arm(f.store, TMS_FAULT_GROUP_ALLOC, 0, 1, 0, 0), TMS_OK);
	CHECK_EQ(run(&e, &request, &window), TMS_REASON_MEMORY);
	CHECK_EQ(e.move.inside + e.writeback.objects, 0);
	CHECK_EQ(left_in_window(), 300);
	everything_comes_back();
}

static void a_closed_store_ends_it(void)
{
	const struct tms_alloc_request request = request_with(TMS_EFFORT_PAGE_OUT, 0);
	const struct tms_window window = plan_of(0, 0, 300);
	uint32_t abandoned;
	struct evacuation e;

	open_window(300, true, 0);
	CHECK_SO_FAR();
	CHECK_EQ(tms_store_close(f.store, NSEC_PER_SEC, &abandoned), TMS_OK);
	CHECK_EQ(run(&e, &request, &window), TMS_REASON_CLOSED);
	CHECK_EQ(left_in_window(), 300);
	fixture_close(&f);
}

int main(void)
{
	RUN(each_lane_takes_its_share_of_the_plan);
	RUN(what_is_being_written_is_moved_rather_than_waited_for);
	RUN(a_stalled_device_is_overtaken_where_there_is_room);
	RUN(without_room_writes_are_waited_for_and_nothing_else);
	RUN(a_stalled_device_without_room_is_waited_for_until_the_deadline);
	RUN(a_failed_write_ends_it_where_there_is_no_room_and_only_there);
	RUN(a_full_spill_file_is_the_same_as_a_failed_write);
	RUN(what_fits_is_moved_and_the_rest_written);
	RUN(without_room_and_writes_it_ends_at_once);
	RUN(holes_of_the_reserve_are_room);
	RUN(compressed_pages_need_half_the_room);
	RUN(a_page_is_written_in_its_compressed_form_if_the_plan_says_so);
	RUN(pages_that_do_not_compress_are_moved_as_they_are);
	RUN(pages_to_be_compressed_are_found_behind_any_number_of_copied_ones);
	RUN(compressed_pages_find_room_in_the_holes_of_the_reserve);
	RUN(bookkeeping_that_cannot_be_had_ends_it_before_it_begins);
	RUN(a_closed_store_ends_it);
	return check_finish(__FILE__);
}
