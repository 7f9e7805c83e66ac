/* The events of a trace at their times, and what comes back to the caller. */
#include "replays.h"

#define EVENTS 100u

static struct tms_event event[EVENTS];

static void open_without_data(struct fixture *f, uint64_t *now_ns, const struct tms_device *device, bool packed)
{
	const struct setup setup = { .device = device, .virtual_ns = now_ns, .packed = packed, .without_data = true };

	CHECK_EQ(fixture_open(f, &setup), TMS_OK);
}

static void only_a_replay_puts_and_gets_without_data(void)
{
	uint8_t page[TMS_PAGE_SIZE] = { 1 };
	const uint64_t key = 1;
	bool result = false;
	int32_t error = 0;
	uint64_t now_ns = 0;
	struct tms_wait wait = { .slice_ns = SLICE_NS };
	struct fixture f;

	open_without_data(&f, &now_ns, NULL, true);
	CHECK_EQ(tms_put(f.store, f.swap, 1, 1, 0, page), TMS_E_INVALID);
	CHECK_EQ(tms_put_many(f.store, f.clean, 1, &key, &key, 0, page, &result), TMS_E_INVALID);
	CHECK_EQ(tms_get(f.store, f.swap, 1, 1, page, &wait), TMS_E_INVALID);
	CHECK_EQ(tms_get_many(f.store, f.clean, 1, &key, &key, page, &result, &error, &wait), TMS_E_INVALID);
	CHECK_EQ(fixture_stats(&f).clean_puts + fixture_stats(&f).swap_stores, 0);
	fixture_close(&f);
}

static void a_spill_file_does_not_go_with_a_region_without_data(void)
{
	const struct setup setup = { .spill = true, .without_data = true };
	struct fixture f;

	CHECK_EQ(fixture_open(&f, &setup), TMS_E_INVALID);
	CHECK(!f.store);
	tms_region_destroy(&f.region);
}

static void events_take_place_at_their_times(void)
{
	uint64_t now_ns = 5 * MS;
	struct tms_replay replay;
	struct fixture f;

	open_without_data(&f, &now_ns, NULL, true);
	prepare(&f, &replay);
	event[0] = event_of(3 * MS, TMS_EVENT_STORE, 1, 100);
	CHECK_EQ(tms_replay(f.store, &replay, 1, event), TMS_OK);
	CHECK_EQ(now_ns, 8 * MS);
	CHECK_EQ(replay.late_ns, 0);
	event[0] = event_of(1 * MS, TMS_EVENT_LOAD, 1, 0); /* it comes too late, and takes place */
	CHECK_EQ(tms_replay(f.store, &replay, 1, event), TMS_OK);
	CHECK_EQ(now_ns, 8 * MS);
	CHECK_EQ(replay.late_ns, 2 * MS);
	CHECK_EQ(fixture_stats(&f).swap_hits_region, 1);
	fixture_close(&f);
}

static void a_load_from_the_device_takes_its_time(void)
{
	const struct tms_device device = steady_device();
	const uint64_t read_ns = 100000 + TMS_PAGE_SIZE;
	uint64_t now_ns = 0;
	uint64_t began_ns;
	struct tms_replay replay;
	uint64_t counted = 0;
	struct fixture f;

	open_without_data(&f, &now_ns, &device, false);
	prepare(&f, &replay);
	event[0] = event_of(0, TMS_EVENT_STORE, 1, 0);
	CHECK_EQ(tms_replay(f.store, &replay, 1, event), TMS_OK);
	CHECK(fixture_page_out(&f));
	began_ns = now_ns;
	event[0] = event_of(0, TMS_EVENT_LOAD, 1, 0);
	CHECK_EQ(tms_replay(f.store, &replay, 1, event), TMS_OK);
	CHECK_EQ(replay.stop, TMS_REPLAY_DONE);
	CHECK_EQ(now_ns - began_ns, read_ns);
	for (uint32_t place = 0; place < TMS_REPLAY_TIMES; place++) {
		counted += replay.load_ns[place];
		if (replay.load_ns[place])
			CHECK(tms_replay_time_ns(place) <= read_ns && read_ns < tms_replay_time_ns(place + 1));
	}
	CHECK_EQ(counted, 1);
	fixture_close(&f);
}

static void times_are_counted_to_a_sixteenth(void)
{
	for (uint32_t place = 1; place + 1 < 60 * 16; place++) {
		uint64_t least_ns = tms_replay_time_ns(place);

		CHECK(tms_replay_time_ns(place + 1) > least_ns);
		CHECK(tms_replay_time_ns(place + 1) - least_ns <= 1 + least_ns / 16);
	}
}

static void what_is_policys_comes_back_to_the_caller(void)
{
	uint64_t now_ns = 0;
	struct tms_replay replay;
	struct fixture f;

	open_without_data(&f, &now_ns, NULL, true);
	prepare(&f, &replay);
	event[0] = event_of(1, TMS_EVENT_STORE, 1, 100);
	event[1] = event_of(2, TMS_EVENT_ALLOC, 0, 0);
	event[2] = event_of(3, TMS_EVENT_RELEASE, 0, 0);
	event[3] = event_of(4, TMS_EVENT_LOAD, 1, 0);
	event[3].pool = POOLS; /* none of those given */
	CHECK_EQ(tms_replay(f.store, &replay, 4, event), TMS_OK);
	CHECK_EQ(replay.stop, TMS_REPLAY_ALLOC);
	CHECK_EQ(replay.done, 1);
	CHECK_EQ(now_ns, 2);
	CHECK_EQ(tms_replay(f.store, &replay, 2, event + 2), TMS_OK);
	CHECK_EQ(replay.stop, TMS_REPLAY_ALLOC);
	CHECK_EQ(replay.done, 0);
	CHECK_EQ(tms_replay(f.store, &replay, 1, event + 3), TMS_OK);
	CHECK_EQ(replay.stop, TMS_REPLAY_POOL);
	CHECK_EQ(replay.done, 0);
	replay.frontswaps = POOLS - 1;
	event[3].pool = POOLS - 1;
	CHECK_EQ(tms_replay(f.store, &replay, 1, event + 3), TMS_OK);
	CHECK_EQ(replay.stop, TMS_REPLAY_POOL);
	fixture_close(&f);
}

static void a_tick_comes_only_after_the_device_did_something(void)
{
	const struct tms_device device = steady_device();
	uint64_t now_ns = 0;
	struct tms_replay replay;
	uint32_t ticks = 0;
	struct fixture f;

	open_without_data(&f, &now_ns, &device, false);
	prepare(&f, &replay);
	replay.tick_ns = 2 * MS;
	for (uint32_t i = 0; i < 100; i++)
		event[i] = event_of(i * MS, TMS_EVENT_STORE, i, 0);
	CHECK_EQ(tms_replay(f.store, &replay, 100, event), TMS_OK);
	CHECK_EQ(replay.stop, TMS_REPLAY_DONE);
	with_cleaner(&replay);
	replay.start_ns = now_ns;
	for (uint32_t done = 0, calls = 0; done < 100 && calls < 1000; calls++) {
		CHECK_EQ(tms_replay(f.store, &replay, 100 - done, event + done), TMS_OK);
		done += (uint32_t)replay.done;
		ticks += replay.stop == TMS_REPLAY_TICK;
		replay.tick_ns = now_ns + 2 * MS;
	}
	CHECK(ticks > 0);
	CHECK(fixture_stats(&f).written_by_cause[TMS_CAUSE_CLEAN] > 0);
	fixture_close(&f);
}

static void a_get_that_misses_is_followed_by_its_put_where_that_is_asked(void)
{
	for (int fill = 0; fill < 2; fill++) {
		uint64_t now_ns = 0;
		struct tms_replay replay;
		struct fixture f;

		open_without_data(&f, &now_ns, NULL, true);
		prepare(&f, &replay);
		CHECK_EQ(tms_pool_create(f.store, TMS_POOL_INCLUSIVE, NULL, &clean_pools[0]), TMS_OK);
		replay.fill = fill;
		for (uint32_t i = 0; i < 3; i++)
			event[i] = event_of(i, TMS_EVENT_GET_PAGE, 1, 0);
		CHECK_EQ(tms_replay(f.store, &replay, 3, event), TMS_OK);
		CHECK_EQ(fixture_stats(&f).clean_puts, fill);
		CHECK_EQ(fixture_stats(&f).clean_hits, fill ? 2 : 0);
		fixture_close(&f);
	}
}

static void write_through_has_a_copy_before_the_next_event(void)
{
	const struct tms_device device = steady_device();
	uint64_t now_ns = 0;
	struct tms_replay replay;
	struct fixture f;

	open_without_data(&f, &now_ns, &device, true);
	prepare(&f, &replay);
	replay.write_through = true;
	for (uint32_t i = 0; i < 10; i++)
		event[i] = event_of(i, TMS_EVENT_STORE, i, 1000);
	CHECK_EQ(tms_replay(f.store, &replay, 10, event), TMS_OK);
	CHECK_EQ(fixture_stats(&f).pages_copied, 10);
	CHECK(now_ns >= 10 * MS);
	fixture_close(&f);
}

static void what_is_no_event_is_refused_and_nothing_done(void)
{
	uint64_t now_ns = 0;
	struct tms_replay replay;
	struct fixture f;

	open_without_data(&f, &now_ns, NULL, true);
	prepare(&f, &replay);
	for (int wrong = 0; wrong < 3; wrong++) {
		event[0] = event_of(1, TMS_EVENT_STORE, 1, 100);
		event[1] = event_of(2, TMS_EVENT_STORE, 1, 100);
		if (wrong == 0)
			event[1].op = TMS_EVENT_OPS;
		else if (wrong == 1)
			event[1].size = TMS_PAGE_SIZE + 1;
		else
			replay.start_ns = UINT64_MAX;
		CHECK_EQ(tms_replay(f.store, &replay, 2, event), TMS_E_INVALID);
		CHECK_EQ(fixture_stats(&f).swap_stores, 0);
	}
	replay.start_ns = 0;
	replay.write_through = true; /* without a device */
	CHECK_EQ(tms_replay(f.store, &replay, 1, event), TMS_E_INVALID);
	replay.sizes = NULL;
	replay.write_through = false;
	CHECK_EQ(tms_replay(f.store, &replay, 1, event), TMS_E_INVALID);
	fixture_close(&f);
}

static void in_real_time_events_wait_for_their_time(void)
{
	const struct setup setup = { .packed = true };
	struct tms_replay replay;
	struct fixture f;

	CHECK_EQ(fixture_open(&f, &setup), TMS_OK);
	prepare(&f, &replay);
	event[0] = event_of(0, TMS_EVENT_STORE, 1, 100);
	event[1] = event_of(UINT64_C(3600) * 1000 * MS, TMS_EVENT_LOAD, 1, 0);
	CHECK_EQ(tms_replay(f.store, &replay, 2, event), TMS_OK);
	CHECK_EQ(replay.stop, TMS_REPLAY_AHEAD);
	CHECK_EQ(replay.done, 1);
	CHECK_EQ(fixture_stats(&f).swap_stores, 1);
	CHECK_EQ(fixture_stats(&f).swap_loads, 0);
	fixture_close(&f);
}

static void every_operation_has_a_name_of_its_own(void)
{
	for (int op = 0; op < TMS_EVENT_OPS; op++)
		for (int other = 0; other < op; other++)
			CHECK(strcmp(tms_event_name(op), tms_event_name(other)) != 0);
	CHECK(!strcmp(tms_event_name(TMS_EVENT_OPS), "unknown operation"));
	CHECK(!strcmp(tms_event_name(-1), "unknown operation"));
}

int main(void)
{
	RUN(only_a_replay_puts_and_gets_without_data);
	RUN(a_spill_file_does_not_go_with_a_region_without_data);
	RUN(events_take_place_at_their_times);
	RUN(a_load_from_the_device_takes_its_time);
	RUN(times_are_counted_to_a_sixteenth);
	RUN(what_is_policys_comes_back_to_the_caller);
	RUN(a_tick_comes_only_after_the_device_did_something);
	RUN(a_get_that_misses_is_followed_by_its_put_where_that_is_asked);
	RUN(write_through_has_a_copy_before_the_next_event);
	RUN(what_is_no_event_is_refused_and_nothing_done);
	RUN(in_real_time_events_wait_for_their_time);
	RUN(every_operation_has_a_name_of_its_own);
	return check_finish(__FILE__);
}
