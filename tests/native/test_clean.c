/* Background work, step by step, on a virtual clock: copies for cold pages, the reserve emptied, the share kept. */
#include "cleaner.h"

/* Steps, time passing in between, until nothing is to be done. */
static void run(const struct tms_clean_request *request)
{
	for (int steps = 0; steps < 10000; steps++) {
		enum tms_clean_state state = step(request);

		CHECK_VERIFIES(f.store);
		CHECK_EQ(tms_advance(f.store, 10 * NSEC_PER_MSEC), TMS_OK);
		if (state == TMS_CLEAN_IDLE)
			return;
		CHECK(state == TMS_CLEAN_BEGUN || state == TMS_CLEAN_BUSY);
	}
	CHECK(!"it comes to an end");
}

static void all_hold(uint32_t from, uint32_t to, uint32_t noise)
{
	for (uint32_t key = from; key < to; key++)
		CHECK(fixture_holds(&f, f.swap, key, key + 1, noise));
}

/* ---- cleaning ------------------------------------------------------------------------------------------ */

static void cold_pages_get_copies_oldest_first_until_the_rest_may_stay(void)
{
	struct tms_clean_request request = everything;

	open_store(CHUNK, 0);
	put(0, 200, RAW);
	request.cold_bytes = 80 * RAW;
	CHECK_EQ(step(&request), TMS_CLEAN_BEGUN);
	CHECK_EQ(result.cause, TMS_CAUSE_CLEAN);
	CHECK_EQ(result.bytes, 32 * RAW);
	CHECK_EQ(result.objects, 32);
	CHECK_EQ(result.backlog_bytes, 200 * RAW);
	CHECK_EQ(fixture_stats(&f).pages_copied, 0);
	CHECK_EQ(tms_advance(f.store, 10 * NSEC_PER_MSEC), TMS_OK);
	CHECK_EQ(fixture_stats(&f).pages_copied, 32);
	run(&request);
	CHECK_SO_FAR();
	CHECK(fixture_stats(&f).uncopied_bytes <= request.cold_bytes);
	CHECK(fixture_stats(&f).uncopied_bytes > request.cold_bytes - 32 * RAW);
	for (uint32_t key = 0; key < 120; key++)
		CHECK_EQ(fixture_place(&f, f.swap, key), TMS_PLACE_REGION | TMS_PLACE_SPILL);
	CHECK_EQ(fixture_place(&f, f.swap, 199), TMS_PLACE_REGION);
	CHECK_EQ(fixture_stats(&f).frames_frontswap, 200); /* they keep their frames */
	all_hold(0, 200, RAW);
	fixture_close(&f);
}

static void steps_in_one_call_begin_when_the_writes_before_them_have_ended(void)
{
	struct tms_clean_request request = everything;

	open_store(CHUNK, 0);
	put(0, 200, RAW);
	request.pending_max_bytes = 32 * RAW;
	request.steps = 100;
	CHECK_EQ(step(&request), TMS_CLEAN_BUSY);
	CHECK_EQ(result.bytes, 32 * RAW);
	request.wait_ns = 1; /* the write takes longer */
	CHECK_EQ(step(&request), TMS_CLEAN_BUSY);
	CHECK_EQ(result.bytes, 0);
	request.wait_ns = 100 * NSEC_PER_MSEC;
	CHECK_EQ(step(&request), TMS_CLEAN_IDLE);
	CHECK_EQ(result.bytes, 168 * RAW);
	CHECK_EQ(result.objects, 168);
	CHECK_EQ(result.cause, TMS_CAUSE_CLEAN);
	CHECK_VERIFIES(f.store);
	run(&request);
	all_hold(0, 200, RAW);
	fixture_close(&f);
}

/* A caller that came back in the middle would leave the device waiting for it. */
static void a_call_does_not_end_while_there_is_a_reserve_to_empty_unless_that_takes_too_long(void)
{
	struct tms_clean_request request = everything;

	open_store(CHUNK, 128 * RAW);
	put(0, 128, RAW);
	to_reserve(0, 128);
	request.drain = true;
	request.cold_bytes = UINT64_MAX;
	request.pending_max_bytes = 32 * RAW;
	request.steps = 100;
	request.wait_ns = 1;
	request.drain_ns = 2; /* a write takes longer */
	CHECK_EQ(step(&request), TMS_CLEAN_BUSY);
	CHECK_EQ(result.objects, 32);
	request.drain_ns = NSEC_PER_SEC;
	CHECK_EQ(step(&request), TMS_CLEAN_IDLE);
	CHECK_EQ(result.objects, 96);
	CHECK_EQ(held->region->reserve.used, 0);
	CHECK(now_ns < 1000 + NSEC_PER_SEC); /* and no longer than it took */
	all_hold(0, 128, RAW);
	fixture_close(&f);
}

static void a_page_that_was_visited_gets_a_second_chance_and_no_third(void)
{
	struct tms_clean_request request = everything;
	uint8_t page[RAW];

	open_store(CHUNK, 0);
	put(0, 64, RAW);
	for (uint32_t key = 0; key < 10; key++)
		CHECK_EQ(fixture_get(&f, f.swap, key, page), TMS_OK);
	request.batch_bytes = 2 * RAW;
	request.cold_bytes = 32 * RAW;
	run(&request);
	CHECK_SO_FAR();
	for (uint32_t key = 0; key < 64; key++)
		CHECK_EQ(fixture_place(&f, f.swap, key) == TMS_PLACE_REGION, key < 10 || key >= 42);
	request.cold_bytes = 10 * RAW;
	run(&request);
	CHECK_SO_FAR();
	for (uint32_t key = 0; key < 64; key++)
		CHECK_EQ(fixture_place(&f, f.swap, key) == TMS_PLACE_REGION, key < 10);
	request.cold_bytes = 0;
	run(&request);
	CHECK_EQ(fixture_stats(&f).pages_copied, 64);
	fixture_close(&f);
}

static void without_a_limit_for_what_is_cold_nothing_is_written(void)
{
	struct tms_clean_request request = everything;

	open_store(CHUNK, 0);
	put(0, 100, RAW);
	request.cold_bytes = UINT64_MAX;
	CHECK_EQ(step(&request), TMS_CLEAN_IDLE);
	CHECK_EQ(result.backlog_bytes, 100 * RAW);
	CHECK_EQ(result.bytes + result.objects, 0);
	fixture_close(&f);
}

/* ---- draining ------------------------------------------------------------------------------------------ */

static void the_reserve_is_emptied_before_anything_else_is_done(void)
{
	const struct tms_ceilings ceilings = { .frontswap_permille = 100 };
	struct tms_clean_request request = everything;

	open_store(CHUNK, 100 * RAW);
	put(0, 200, RAW);
	to_reserve(0, 60);
	CHECK_EQ(tms_set_ceilings(f.store, &ceilings), TMS_OK);
	request.drain = request.trim = true;
	while (fixture_stats(&f).reserve_bytes_used) {
		CHECK_EQ(step(&request), TMS_CLEAN_BEGUN);
		CHECK_EQ(result.cause, TMS_CAUSE_DRAIN);
		CHECK_EQ(tms_advance(f.store, 10 * NSEC_PER_MSEC), TMS_OK);
		CHECK_VERIFIES(f.store);
	}
	CHECK_EQ(fixture_stats(&f).written_by_cause[TMS_CAUSE_DRAIN], 60 * RAW);
	for (uint32_t key = 0; key < 60; key++)
		CHECK_EQ(fixture_place(&f, f.swap, key), TMS_PLACE_SPILL);
	CHECK_EQ(step(&request), TMS_CLEAN_BEGUN);
	CHECK_EQ(result.cause, TMS_CAUSE_TRIM);
	all_hold(0, 200, RAW);
	fixture_close(&f);
}

/* Whatever sizes lie in the reserve, a write that fails leaves them there, whole and in order. */
static void a_drain_that_fails_costs_nothing_and_is_tried_again(void)
{
	const uint32_t noise[] = { 10, 700, 2000, RAW };
	struct tms_clean_request request = everything;

	open_store(CHUNK, 100 * RAW);
	for (uint32_t key = 0; key < 100; key++)
		put(key, key + 1, noise[key % 4]);
	CHECK_SO_FAR();
	to_reserve(0, 100);
	request.drain = true;
	request.cold_bytes = UINT64_MAX;
	CHECK_EQ(tms_fault_arm(f.store, TMS_FAULT_WRITE, 0, 3, EIO, 0), TMS_OK);
	for (uint32_t key = 3; key < 100; key += 9)
		CHECK_EQ(tms_flush_page(f.store, f.swap, key >> 4, key), TMS_OK);
	run(&request);
	CHECK_SO_FAR();
	CHECK_EQ(fixture_stats(&f).spill_write_errors, 3);
	CHECK_EQ(fixture_stats(&f).reserve_bytes_used, 0);
	for (uint32_t key = 0; key < 100; key++)
		CHECK(key % 9 == 3 || fixture_holds(&f, f.swap, key, key + 1, noise[key % 4]));
	fixture_close(&f);
}

static void holes_of_the_reserve_are_closed_in_passing(void)
{
	struct tms_clean_request request = everything;

	open_store(CHUNK, 100 * RAW);
	put(0, 100, RAW);
	to_reserve(0, 100);
	for (uint32_t key = 0; key < 100; key += 2)
		CHECK_EQ(tms_flush_page(f.store, f.swap, key >> 4, key), TMS_OK);
	request.cold_bytes = UINT64_MAX;
	for (int i = 0; i < 100; i++) {
		CHECK_EQ(step(&request), TMS_CLEAN_IDLE);
		CHECK_VERIFIES(f.store);
	}
	CHECK_EQ(held->region->reserve.end, held->region->reserve.used);
	for (uint32_t key = 1; key < 100; key += 2)
		CHECK(fixture_holds(&f, f.swap, key, key + 1, RAW));
	fixture_close(&f);
}

/* ---- trimming ------------------------------------------------------------------------------------------ */

static void what_exceeds_the_share_is_paged_out_and_no_more(void)
{
	const struct tms_ceilings ceilings = { .frontswap_permille = 300 };
	struct tms_clean_request request = everything;

	open_store(2 * CHUNK, 0);
	put(0, 2 * CHUNK, RAW);
	CHECK_EQ(tms_set_ceilings(f.store, &ceilings), TMS_OK);
	request.trim = true;
	request.cold_bytes = UINT64_MAX;
	run(&request);
	CHECK_SO_FAR();
	for (uint32_t chunk = 0; chunk < 2; chunk++) {
		CHECK_EQ(held->region->frames.chunk[chunk].frames_frontswap, CHUNK * 300 / 1000);
	}
	CHECK_EQ(fixture_stats(&f).written_by_cause[TMS_CAUSE_TRIM], fixture_stats(&f).pages_spilled * RAW);
	all_hold(0, 2 * CHUNK, RAW);
	fixture_close(&f);
}

/* What is being written is as good as gone: steps in a row do not write what one of them writes already. */
static void writes_under_way_count_as_done(void)
{
	const struct tms_ceilings ceilings = { .frontswap_permille = 300 };
	struct tms_clean_request request = everything;

	open_store(CHUNK, 0);
	put(0, 160, RAW);
	CHECK_EQ(tms_set_ceilings(f.store, &ceilings), TMS_OK);
	request.trim = true;
	request.cold_bytes = 140 * RAW;
	CHECK_EQ(step(&request), TMS_CLEAN_BEGUN);
	CHECK_EQ(result.cause, TMS_CAUSE_TRIM);
	CHECK_EQ(result.objects, 160 - CHUNK * 300 / 1000);
	CHECK_EQ(step(&request), TMS_CLEAN_BEGUN);
	CHECK_EQ(result.cause, TMS_CAUSE_CLEAN);
	CHECK_EQ(step(&request), TMS_CLEAN_IDLE);
	fixture_close(&f);
}

static void copied_pages_are_trimmed_without_a_write(void)
{
	const struct tms_ceilings ceilings = { .frontswap_permille = 500 };
	struct tms_clean_request request = everything;

	open_store(CHUNK, 0);
	put(0, CHUNK, RAW);
	CHECK(copy_out(&f, 0, CHUNK));
	CHECK_EQ(tms_set_ceilings(f.store, &ceilings), TMS_OK);
	request.trim = true;
	request.cold_bytes = UINT64_MAX;
	CHECK_EQ(step(&request), TMS_CLEAN_BEGUN);
	run(&request);
	CHECK_EQ(fixture_stats(&f).frames_frontswap, CHUNK / 2);
	CHECK_EQ(fixture_stats(&f).written_by_cause[TMS_CAUSE_TRIM], 0);
	all_hold(0, CHUNK, RAW);
	fixture_close(&f);
}

/* ---- a share that shrank --------------------------------------------------------------------------------- */

static void a_chunk_beyond_its_share_gets_copies_until_it_is_within(void)
{
	struct tms_clean_request request = everything;

	open_store(2 * CHUNK, 0);
	put(0, CHUNK + 60, RAW);
	limit_bytes(1, 50 * RAW);
	request.cold_bytes = UINT64_MAX / 2;
	run(&request);
	CHECK_SO_FAR();
	for (uint32_t chunk = 0; chunk < 2; chunk++) {
		CHECK(held->region->frames.chunk[chunk].objects_uncopied <= 50);
		CHECK(held->region->frames.chunk[chunk].objects_uncopied > 50 - 32);
	}
	all_hold(0, CHUNK + 60, RAW);
	fixture_close(&f);
}

static void a_chunk_that_would_keep_the_cpu_too_long_gets_copies_until_it_does_not(void)
{
	struct tms_ceilings ceilings = { .contract = { { .window_chunks = 2,
							 .drops_ns = UINT64_MAX,
							 .cpu_ns = 2 * (CHUNK * 3 + CHUNK * 2 + 50 * 1000),
							 .frame_ns = 3,
							 .drop_ns = 2,
							 .object_ns = 1000,
							 .device_bytes = UINT64_MAX } },
					 .contracts = 1,
					 .frontswap_permille = 1000 };
	struct tms_clean_request request = everything;

	open_store(2 * CHUNK, 0);
	put(0, CHUNK + 40, RAW);
	CHECK_EQ(tms_set_ceilings(f.store, &ceilings), TMS_OK);
	request.cold_bytes = UINT64_MAX / 2;
	run(&request);
	CHECK_SO_FAR();
	CHECK(held->region->frames.chunk[0].objects_uncopied <= 50);
	CHECK(held->region->frames.chunk[0].objects_uncopied > 50 - 32);
	CHECK_EQ(held->region->frames.chunk[1].objects_uncopied, 40);
	all_hold(0, CHUNK + 40, RAW);
	fixture_close(&f);
}

/* Of these sizes, no whole units, the cleaner once looked for the difference without an end. */
static void pages_of_odd_sizes_that_are_all_being_written_leave_nothing_to_look_for(void)
{
	struct tms_clean_request request = everything;

	open_store(CHUNK, 0);
	put(0, 20, 1001);
	limit_bytes(1, 0);
	request.cold_bytes = UINT64_MAX / 2;
	CHECK_EQ(step(&request), TMS_CLEAN_BEGUN);
	CHECK_EQ(result.objects, 20);
	run(&request);
	CHECK_EQ(held->region->frames.chunk[0].objects_uncopied, 0);
	fixture_close(&f);
}

/* Whoever was refused was told a time. */
static void what_a_refused_allocation_waits_for_goes_before_what_is_further_beyond_its_share(void)
{
	struct tms_clean_request request = everything;

	open_store(2 * CHUNK, 0);
	put(0, CHUNK + 100, RAW);
	limit_bytes(1, 50 * RAW);
	f.store->refused = (struct chunks){ 1, 2 };
	request.cold_bytes = UINT64_MAX / 2;
	request.steps = 2;
	step(&request);
	CHECK_EQ(tms_advance(f.store, 10 * NSEC_PER_MSEC), TMS_OK);
	CHECK_EQ(held->region->frames.chunk[0].objects_uncopied, CHUNK - 14); /* the rest of a batch */
	CHECK_EQ(held->region->frames.chunk[1].objects_uncopied, 50);
	run(&request);
	CHECK(held->region->frames.chunk[0].objects_uncopied <= 50);
	fixture_close(&f);
}

/* Each is beyond its share by less than a batch: one write takes from several, and those of the window before any
 * other, whatever is under way. */
static void a_window_that_was_refused_gets_whole_batches(void)
{
	struct tms_clean_request request = everything;

	open_store(8 * CHUNK, 0);
	put(0, 8 * CHUNK, RAW);
	limit_bytes(4, 4 * 500 * RAW);
	f.store->refused = (struct chunks){ 4, 8 };
	request.cold_bytes = UINT64_MAX / 2;
	CHECK_EQ(step(&request), TMS_CLEAN_BEGUN);
	CHECK_EQ(result.objects, 32);
	CHECK_EQ(step(&request), TMS_CLEAN_BEGUN);
	CHECK_EQ(result.objects, 32);
	CHECK_EQ(tms_advance(f.store, 10 * NSEC_PER_MSEC), TMS_OK);
	for (uint32_t chunk = 4; chunk < 8; chunk++)
		CHECK_EQ(held->region->frames.chunk[chunk].objects_uncopied, 500);
	run(&request);
	for (uint32_t chunk = 0; chunk < 8; chunk++)
		CHECK_EQ(held->region->frames.chunk[chunk].objects_uncopied, 500);
	fixture_close(&f);
}

int main(void)
{
	RUN(cold_pages_get_copies_oldest_first_until_the_rest_may_stay);
	RUN(steps_in_one_call_begin_when_the_writes_before_them_have_ended);
	RUN(a_call_does_not_end_while_there_is_a_reserve_to_empty_unless_that_takes_too_long);
	RUN(a_page_that_was_visited_gets_a_second_chance_and_no_third);
	RUN(without_a_limit_for_what_is_cold_nothing_is_written);
	RUN(the_reserve_is_emptied_before_anything_else_is_done);
	RUN(a_drain_that_fails_costs_nothing_and_is_tried_again);
	RUN(holes_of_the_reserve_are_closed_in_passing);
	RUN(what_exceeds_the_share_is_paged_out_and_no_more);
	RUN(writes_under_way_count_as_done);
	RUN(copied_pages_are_trimmed_without_a_write);
	RUN(a_chunk_beyond_its_share_gets_copies_until_it_is_within);
	RUN(a_chunk_that_would_keep_the_cpu_too_long_gets_copies_until_it_does_not);
	RUN(pages_of_odd_sizes_that_are_all_being_written_leave_nothing_to_look_for);
	RUN(what_a_refused_allocation_waits_for_goes_before_what_is_further_beyond_its_share);
	RUN(a_window_that_was_refused_gets_whole_batches);
	return check_finish(__FILE__);
}
