/* Stores that return only once the page lies in the spill file as well, on a virtual clock. */
#include <pthread.h>
#include <stdatomic.h>

#include "inside.h"

#define RAW TMS_PAGE_SIZE
#define MANY 700u

static struct fixture f;
static struct tms_device device;
static uint64_t now_ns;
static uint64_t objects[MANY];
static uint64_t indexes[MANY];
static bool results[MANY];

static void open_store(uint64_t spill_limit_bytes)
{
	now_ns = 1000;
	device = steady_device();
	CHECK_EQ(fixture_open(&f, &(struct setup){ .frames = 2 * TMS_CHUNK_FRAMES,
						   .packed = true,
						   .spill_limit_bytes = spill_limit_bytes,
						   .device = &device,
						   .io_timeout_ns = NSEC_PER_SEC,
						   .virtual_ns = &now_ns }),
		 TMS_OK);
	for (uint32_t key = 0; key < MANY; key++) {
		objects[key] = key >> 4;
		indexes[key] = key;
	}
}

static void put(uint32_t n)
{
	for (uint32_t key = 0; key < n; key++) {
		results[key] = fixture_put(&f, f.swap, key, key + 1, key % 3 ? RAW : 900) == TMS_OK;
		CHECK(results[key]);
	}
}

static bool holds(uint32_t key)
{
	return fixture_holds(&f, f.swap, key, key + 1, key % 3 ? RAW : 900);
}

/* Waits in slices as a caller does. */
static int through(uint32_t n)
{
	struct tms_wait wait = { .slice_ns = 5 * NSEC_PER_MSEC };
	int code;

	do {
		code = tms_write_through(f.store, f.swap, n, objects, indexes, results, &wait);
	} while (code == TMS_WAITING);
	return wait.request ? TMS_E_BROKEN : code;
}

static void every_page_has_a_copy_on_return(void)
{
	open_store(0);
	put(MANY);
	CHECK_SO_FAR();
	CHECK_EQ(through(MANY), TMS_OK);
	for (uint32_t key = 0; key < MANY; key++) {
		CHECK(results[key]);
		CHECK_EQ(fixture_place(&f, f.swap, key), TMS_PLACE_REGION | TMS_PLACE_SPILL);
	}
	CHECK_EQ(fixture_stats(&f).written_by_cause[TMS_CAUSE_THROUGH], fixture_stats(&f).spill_bytes_written);
	CHECK_EQ(fixture_stats(&f).uncopied_bytes, 0);
	CHECK_VERIFIES(f.store);
	fixture_close(&f);
}

static void a_page_whose_write_fails_is_rejected_and_absent(void)
{
	uint32_t rejected = 0;

	open_store(0);
	put(300);
	CHECK_SO_FAR();
	CHECK_EQ(tms_fault_arm(f.store, TMS_FAULT_WRITE, 1, 1, EIO, 0), TMS_OK);
	CHECK_EQ(through(300), TMS_OK);
	for (uint32_t key = 0; key < 300; key++) {
		CHECK_EQ(fixture_place(&f, f.swap, key), results[key] ? TMS_PLACE_REGION | TMS_PLACE_SPILL : TMS_PLACE_ABSENT);
		CHECK(!results[key] || holds(key));
		rejected += !results[key];
	}
	CHECK(rejected > 0 && rejected < 300);
	CHECK_EQ(fixture_stats(&f).swap_rejects[TMS_REJECT_SPILL], rejected);
	CHECK_EQ(fixture_stats(&f).swap_stores, 300 - rejected);
	CHECK_VERIFIES(f.store);
	fixture_close(&f);
}

static void a_full_spill_file_rejects_what_it_has_no_room_for(void)
{
	uint32_t stored = 0;

	open_store(51 * RAW);
	for (uint32_t key = 0; key < 80; key++)
		results[key] = fixture_put(&f, f.swap, key, key + 1, RAW) == TMS_OK;
	CHECK_EQ(through(80), TMS_OK);
	for (uint32_t key = 0; key < 80; key++) {
		CHECK_EQ(fixture_holds(&f, f.swap, key, key + 1, RAW), results[key]);
		stored += results[key];
	}
	CHECK_EQ(stored, 50);
	CHECK_VERIFIES(f.store);
	fixture_close(&f);
}

static void a_stalled_device_is_waited_for_until_the_timeout_and_costs_no_page(void)
{
	const struct tms_episode stall = { .duration_ns = 3 * NSEC_PER_SEC };
	uint64_t began_ns;

	open_store(0);
	put(20);
	CHECK_EQ(tms_device_episode(f.store, &stall), TMS_OK);
	began_ns = now_ns;
	CHECK_EQ(through(20), TMS_E_TIMEOUT);
	CHECK_EQ(now_ns - began_ns, NSEC_PER_SEC);
	for (uint32_t key = 0; key < 20; key++)
		CHECK(holds(key) && results[key]);
	CHECK_EQ(fixture_stats(&f).pages_copied, 0);
	CHECK_EQ(tms_advance(f.store, 5 * NSEC_PER_SEC), TMS_OK);
	CHECK_EQ(fixture_stats(&f).pages_copied, 20); /* whenever the device is done */
	CHECK_VERIFIES(f.store);
	fixture_close(&f);
}

static void a_device_that_is_slow_and_answers_is_waited_for_however_long(void)
{
	const struct tms_episode slow = { .duration_ns = 60 * NSEC_PER_SEC, .slow_permille = 400000 }; /* 0.6 s a batch */
	uint64_t began_ns;

	open_store(0);
	put(MANY);
	CHECK_EQ(tms_device_episode(f.store, &slow), TMS_OK);
	began_ns = now_ns;
	CHECK_EQ(through(MANY), TMS_OK);
	CHECK(now_ns - began_ns > 2 * NSEC_PER_SEC); /* the timeout is one */
	CHECK_EQ(fixture_stats(&f).pages_copied, MANY);
	CHECK_VERIFIES(f.store);
	fixture_close(&f);
}

static void a_caller_that_gives_up_loses_nothing(void)
{
	struct tms_wait wait = { .slice_ns = 1 };

	open_store(0);
	put(20);
	CHECK_EQ(tms_write_through(f.store, f.swap, 20, objects, indexes, results, &wait), TMS_WAITING);
	CHECK(wait.request);
	tms_write_through_cancel(f.store, &wait);
	CHECK(!wait.request);
	tms_write_through_cancel(f.store, &wait); /* and once more */
	CHECK_EQ(tms_advance(f.store, NSEC_PER_SEC), TMS_OK);
	CHECK_EQ(fixture_stats(&f).pages_copied, 20);
	for (uint32_t key = 0; key < 20; key++)
		CHECK(holds(key));
	CHECK_VERIFIES(f.store);
	fixture_close(&f);
}

static void what_is_not_there_to_be_written_is_not_waited_for(void)
{
	open_store(0);
	put(40);
	CHECK_SO_FAR();
	CHECK(copy_out(&f, 0, 2 * TMS_CHUNK_FRAMES));
	results[3] = false; /* was not stored */
	CHECK_EQ(fixture_put(&f, f.swap, 5, 0, 0), TMS_OK); /* same-filled */
	CHECK_EQ(tms_flush_page(f.store, f.swap, 0, 7), TMS_OK);
	CHECK_EQ(through(40), TMS_OK);
	CHECK_EQ(fixture_stats(&f).written_by_cause[TMS_CAUSE_THROUGH], 0);
	CHECK(results[5] && !results[3]);
	CHECK_VERIFIES(f.store);
	fixture_close(&f);
}

static void what_others_are_writing_already_is_waited_for_and_not_written_twice(void)
{
	const struct tms_clean_request clean = { .pending_max_bytes = UINT64_MAX / 2, .batch_bytes = 64 * RAW };
	struct tms_clean_result result;
	uint64_t written;

	open_store(0);
	put(30);
	CHECK_EQ(tms_clean(f.store, &clean, &result), TMS_OK);
	CHECK_EQ(result.state, TMS_CLEAN_BEGUN);
	written = result.bytes;
	CHECK_EQ(through(30), TMS_OK);
	CHECK_EQ(fixture_stats(&f).pages_copied, 30);
	CHECK_EQ(fixture_stats(&f).spill_bytes_written, written);
	fixture_close(&f);
}

/* Its batches must not be those that an allocation needs. */
static void some_batches_are_kept_for_allocations(void)
{
	const struct tms_episode stall = { .duration_ns = UINT64_MAX };
	struct tms_wait wait = { .slice_ns = 1 };

	open_store(0);
	for (uint32_t key = 0; key < MANY; key++)
		results[key] = fixture_put(&f, f.swap, key, key + 1, RAW) == TMS_OK;
	CHECK_EQ(tms_device_episode(f.store, &stall), TMS_OK);
	CHECK_EQ(tms_write_through(f.store, f.swap, MANY, objects, indexes, results, &wait), TMS_WAITING);
	CHECK_EQ(f.store->idle_batches, PAGE_OUT_BATCHES_KEPT);
	tms_write_through_cancel(f.store, &wait);
	CHECK_VERIFIES(f.store);
	fixture_close(&f);
}

/* Two callers, the second between the steps of the first.  Whether the second's page is there is what it is told. */
static void a_page_stored_over_anothers_is_not_rejected_for_it(void)
{
	for (int fails = 0; fails < 2; fails++) {
		struct tms_wait first = { .slice_ns = 1 };
		bool first_result = true;
		int code;

		open_store(0);
		CHECK_EQ(fixture_put(&f, f.swap, 0, 1, RAW), TMS_OK);
		if (fails)
			CHECK_EQ(tms_fault_arm(f.store, TMS_FAULT_WRITE, 0, 1, EIO, 0), TMS_OK);
		CHECK_EQ(tms_write_through(f.store, f.swap, 1, objects, indexes, &first_result, &first), TMS_WAITING);
		CHECK_EQ(tms_advance(f.store, NSEC_PER_SEC / 10), TMS_OK); /* its write ends */
		CHECK_EQ(fixture_put(&f, f.swap, 0, 2, RAW), TMS_OK);
		results[0] = true;
		do {
			code = tms_write_through(f.store, f.swap, 1, objects, indexes, &first_result, &first);
		} while (code == TMS_WAITING);
		CHECK_EQ(code, TMS_OK);
		CHECK_EQ(through(1), TMS_OK);
		CHECK_EQ(fixture_holds(&f, f.swap, 0, 2, RAW), results[0]);
		CHECK_EQ(first_result, !fails);
		CHECK_EQ(results[0], !fails);
		CHECK_EQ(fixture_stats(&f).swap_stores, fails ? 0 : 2);
		CHECK_EQ(fixture_stats(&f).swap_rejects[TMS_REJECT_SPILL], fails ? 2 : 0);
		CHECK_VERIFIES(f.store);
		fixture_close(&f);
	}
}

/* ---- the lock is given up meanwhile ------------------------------------------------------------------------ */

#define LARGE 1000000u

static atomic_bool is_over;
static uint64_t many_objects[LARGE];
static uint64_t many_indexes[LARGE];
static bool many_results[LARGE];

/* How often it got the lock between the first key's result and the last one's. */
static void *look_in(void *looks)
{
	while (!atomic_load(&is_over)) {
		store_lock(f.store);
		*(uint32_t *)looks += !many_results[0] && many_results[LARGE - 1];
		store_leave(f.store);
	}
	return NULL;
}

static void nobody_waits_for_a_large_batch(void)
{
	struct tms_wait wait = { .slice_ns = NSEC_PER_SEC };
	pthread_t other;
	uint32_t looks = 0;

	open_store(0);
	memset(many_results, true, sizeof(many_results)); /* and all absent: no device has to do with it */
	CHECK(!pthread_create(&other, NULL, look_in, &looks));
	CHECK_EQ(tms_write_through(f.store, f.swap, LARGE, many_objects, many_indexes, many_results, &wait), TMS_OK);
	atomic_store(&is_over, true);
	pthread_join(other, NULL);
	CHECK(!many_results[0] && !many_results[LARGE - 1]);
	CHECK(looks > 0);
	fixture_close(&f);
}

static void what_cannot_be_written_through_is_said(void)
{
	struct tms_wait wait = { .slice_ns = 1 };
	uint32_t abandoned;

	open_store(0);
	put(3);
	CHECK_EQ(tms_write_through(f.store, f.clean, 1, objects, indexes, results, &wait), TMS_E_INVALID);
	CHECK(!wait.request);
	CHECK_EQ(tms_write_through(f.store, f.swap, 3, objects, indexes, results, &wait), TMS_WAITING);
	CHECK_EQ(tms_store_close(f.store, NSEC_PER_SEC, &abandoned), TMS_OK);
	CHECK_EQ(tms_write_through(f.store, f.swap, 3, objects, indexes, results, &wait), TMS_E_CLOSED);
	CHECK(!wait.request);
	fixture_close(&f);
	CHECK_EQ(fixture_open(&f, &(struct setup){ .spill = false }), TMS_OK);
	CHECK_EQ(tms_write_through(f.store, f.swap, 1, objects, indexes, results, &wait), TMS_E_INVALID);
	fixture_close(&f);
}

int main(void)
{
	RUN(every_page_has_a_copy_on_return);
	RUN(a_page_whose_write_fails_is_rejected_and_absent);
	RUN(a_full_spill_file_rejects_what_it_has_no_room_for);
	RUN(a_stalled_device_is_waited_for_until_the_timeout_and_costs_no_page);
	RUN(a_device_that_is_slow_and_answers_is_waited_for_however_long);
	RUN(a_caller_that_gives_up_loses_nothing);
	RUN(what_is_not_there_to_be_written_is_not_waited_for);
	RUN(what_others_are_writing_already_is_waited_for_and_not_written_twice);
	RUN(some_batches_are_kept_for_allocations);
	RUN(a_page_stored_over_anothers_is_not_rejected_for_it);
	RUN(nobody_waits_for_a_large_batch);
	RUN(what_cannot_be_written_through_is_said);
	return check_finish(__FILE__);
}
