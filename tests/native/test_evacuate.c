/* Both lanes of an allocation on a virtual clock: a window's objects leave it or get copies, and none is lost. */
#include "window.h"

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

static void writes_fail(void)
{
	CHECK_EQ(tms_fault_arm(f.store, TMS_FAULT_WRITE, 0, FOR_EVER, EIO, 0), TMS_OK);
}

static void the_spill_file_is_full(void)
{
	f.store->held.spill.limit = 50; /* as of a small device */
}

static void ends_where_there_is_no_room_and_only_there(void (*when)(void))
{
	const struct tms_alloc_request request = request_with(TMS_EFFORT_PAGE_OUT, 0);

	for (int room = 0; room < 2; room++) {
		const struct tms_window window = plan_of(0, 0, 300);
		struct evacuation e;

		open_window(300, room, 0);
		CHECK_SO_FAR();
		when();
		CHECK_EQ(run(&e, &request, &window), room ? TMS_REASON_NONE : TMS_REASON_SPILL);
		CHECK_EQ(left_in_window() > 0, !room);
		everything_comes_back();
	}
}

static void a_failed_write_ends_it_where_there_is_no_room_and_only_there(void)
{
	ends_where_there_is_no_room_and_only_there(writes_fail);
}

static void a_full_spill_file_is_the_same_as_a_failed_write(void)
{
	ends_where_there_is_no_room_and_only_there(the_spill_file_is_full);
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
	RUN(bookkeeping_that_cannot_be_had_ends_it_before_it_begins);
	RUN(a_closed_store_ends_it);
	return check_finish(__FILE__);
}
