/* Giving pages back, from the region and from the spill file.  Batches: test_store_get_batch.c. */
#include "loads.h"

static void only_a_private_exclusive_get_removes_the_page(void)
{
	const uint8_t uuid[TMS_UUID_SIZE] = { 1 };
	tms_pool_id pool[4];
	uint8_t page[RAW];

	CHECK_EQ(open_store(NULL), TMS_OK);
	pool[0] = f.clean;
	pool[1] = f.swap;
	CHECK_EQ(tms_pool_create(f.store, TMS_POOL_INCLUSIVE, NULL, &pool[2]), TMS_OK);
	CHECK_EQ(tms_shared_authorize(f.store, uuid, true), TMS_OK);
	CHECK_EQ(tms_pool_create(f.store, TMS_POOL_SHARED, uuid, &pool[3]), TMS_OK);
	for (int i = 0; i < 4; i++)
		for (uint32_t noise = 0; noise <= RAW; noise += RAW / 2) {
			CHECK_EQ(fixture_put(&f, pool[i], 3, 3, noise), TMS_OK);
			CHECK(fixture_holds(&f, pool[i], 3, 3, noise));
			CHECK_EQ(fixture_get(&f, pool[i], 3, page), i ? TMS_OK : TMS_MISS);
		}
	CHECK_VERIFIES(f.store);
	fixture_close(&f);
}

static void a_page_in_the_spill_file_comes_back_as_often_as_wanted(void)
{
	CHECK_EQ(open_store(NULL), TMS_OK);
	put_in_spill(200);
	CHECK_SO_FAR();
	for (uint32_t key = 0; key < 400; key++)
		CHECK(fixture_holds(&f, f.swap, key % 200, key % 200, noise_of(key % 200)));
	CHECK_EQ(fixture_stats(&f).swap_hits_spill, 400);
	CHECK_EQ(fixture_stats(&f).swap_loads, 400);
	CHECK_EQ(fixture_stats(&f).pages_spilled, 200);
	CHECK_VERIFIES(f.store);
	fixture_close(&f);
}

static void without_a_wait_nothing_is_read(void)
{
	uint8_t page[RAW];

	CHECK_EQ(open_store(NULL), TMS_OK);
	put_in_spill(1);
	CHECK_EQ(tms_get(f.store, f.swap, 0, 0, page, NULL), TMS_WAITING);
	CHECK_EQ(f.store->loads, 0);
	CHECK_EQ(fixture_stats(&f).swap_loads, 0);
	fixture_close(&f);
}

static void a_load_that_fails_says_so_and_the_next_one_may_succeed(void)
{
	uint8_t page[RAW];

	CHECK_EQ(open_store(NULL), TMS_OK);
	put_in_spill(2);
	CHECK_SO_FAR();
	for (uint32_t key = 0; key < 2; key++) {
		arm(TMS_FAULT_READ, 1, EIO);
		CHECK_EQ(fixture_get(&f, f.swap, key, page), TMS_E_SPILL_READ);
		arm(TMS_FAULT_CORRUPT, 1, 0);
		CHECK_EQ(fixture_get(&f, f.swap, key, page), TMS_E_SPILL_CORRUPT);
		CHECK(fixture_holds(&f, f.swap, key, key, noise_of(key)));
	}
	CHECK_EQ(fixture_stats(&f).load_errors, 4);
	CHECK_EQ(fixture_stats(&f).spill_read_errors, 2);
	CHECK_VERIFIES(f.store);
	fixture_close(&f);
}

static void a_write_that_was_lost_is_noticed_when_its_page_is_read(void)
{
	uint8_t page[RAW];

	CHECK_EQ(open_store(NULL), TMS_OK);
	CHECK_EQ(fixture_put(&f, f.swap, 0, 0, RAW), TMS_OK);
	arm(TMS_FAULT_WRITE, 1, 0);
	CHECK(fixture_page_out(&f));
	CHECK_EQ(fixture_get(&f, f.swap, 0, page), TMS_E_SPILL_READ); /* the file ends before it */
	CHECK_EQ(fixture_put(&f, f.swap, 0, 1, RAW), TMS_OK);
	CHECK(fixture_page_out(&f));
	CHECK(fixture_holds(&f, f.swap, 0, 1, RAW));
	CHECK_EQ(fixture_put(&f, f.swap, 0, 2, RAW), TMS_OK);
	arm(TMS_FAULT_WRITE, 1, 0);
	CHECK(fixture_page_out(&f));
	CHECK_EQ(fixture_get(&f, f.swap, 0, page), TMS_E_SPILL_CORRUPT); /* the page before is there */
	fixture_close(&f);
}

static void a_device_that_does_not_answer_is_an_error_after_io_timeout_and_holds_up_nobody_else(void)
{
	struct fake_clock fake = { .now_ns = 7, .jump_to_ns = 7 + IO_TIMEOUT };
	struct tms_wait wait = { .slice_ns = SHORTLY };
	uint8_t page[RAW];

	CHECK_EQ(open_store(&fake), TMS_OK);
	put_in_spill(2);
	CHECK_EQ(fixture_put(&f, f.swap, 9, 9, RAW), TMS_OK);
	arm(TMS_FAULT_STALL, 1, 0);
	CHECK_EQ(tms_get(f.store, f.swap, 0, 0, page, &wait), TMS_WAITING);
	CHECK(fixture_holds(&f, f.swap, 9, 9, RAW));
	CHECK(fixture_holds(&f, f.swap, 1, 1, noise_of(1)));
	CHECK_EQ(tms_get(f.store, f.swap, 0, 0, page, &wait), TMS_WAITING);
	fake.jump_at = 1; /* io_timeout is over */
	CHECK_EQ(tms_get(f.store, f.swap, 0, 0, page, &wait), TMS_E_TIMEOUT);
	CHECK(!wait.request);
	CHECK_EQ(fixture_stats(&f).load_errors, 1);
	arm(TMS_FAULT_STALL, 0, 0);
	CHECK(fixture_holds(&f, f.swap, 0, 0, RAW));
	fixture_close(&f);
}

static void a_block_that_is_being_read_stays_in_use_whatever_becomes_of_its_page(void)
{
	struct tms_wait wait = { .slice_ns = SHORTLY };
	uint8_t page[RAW];
	uint64_t used;

	CHECK_EQ(open_store(NULL), TMS_OK);
	put_in_spill(1);
	used = fixture_stats(&f).spill_blocks_used;
	CHECK_EQ(used, 1);
	arm(TMS_FAULT_STALL, 1, 0);
	CHECK_EQ(tms_get(f.store, f.swap, 0, 0, page, &wait), TMS_WAITING);
	CHECK_EQ(tms_flush_page(f.store, f.swap, 0, 0), TMS_OK);
	CHECK_EQ(fixture_stats(&f).spill_blocks_used, used);
	CHECK_VERIFIES(f.store);
	arm(TMS_FAULT_STALL, 0, 0);
	while (wait.request)
		CHECK(tms_get(f.store, f.swap, 0, 0, page, &wait) == (wait.request ? TMS_WAITING : TMS_OK));
	CHECK(page_is(page, 0, RAW));
	CHECK_EQ(fixture_stats(&f).spill_blocks_used, 0);
	CHECK_VERIFIES(f.store);
	fixture_close(&f);
}

static void a_load_that_is_given_up_costs_nothing_once_the_device_has_answered(void)
{
	uint8_t page[RAW];

	CHECK_EQ(open_store(NULL), TMS_OK);
	put_in_spill(20);
	CHECK_SO_FAR();
	for (uint32_t key = 0; key < 20; key++) {
		struct tms_wait wait = { .slice_ns = 0 };

		arm(TMS_FAULT_STALL, key % 3, 0);
		if (tms_get(f.store, f.swap, key >> 4, key, page, &wait) == TMS_WAITING)
			tms_wait_cancel(f.store, &wait);
		CHECK(!wait.request);
		tms_wait_cancel(f.store, &wait);
	}
	arm(TMS_FAULT_STALL, 0, 0);
	for (uint32_t key = 0; key < 20; key++)
		CHECK(fixture_holds(&f, f.swap, key, key, noise_of(key)));
	CHECK(loads_end());
	CHECK_VERIFIES(f.store);
	fixture_close(&f);
}

static void many_gets_go_on_past_errors_and_name_them(void)
{
	static uint8_t pages[6][RAW];
	const uint64_t objects[6] = { 0 };
	const uint64_t indexes[6] = { 0, 100, 1, 2, 3, 4 }; /* 100 is absent */
	struct tms_wait wait = { .slice_ns = SHORTLY };
	bool results[6];
	int32_t errors[6];
	uint32_t failed = 0;
	int code;

	CHECK_EQ(open_store(NULL), TMS_OK);
	put_in_spill(5);
	CHECK_EQ(fixture_put(&f, f.swap, 2, 2, RAW), TMS_OK);
	CHECK_EQ(tms_fault_arm(f.store, TMS_FAULT_READ, 1, 1, EIO, 0), TMS_OK); /* one of those side by side */
	do {
		code = tms_get_many(f.store, f.swap, 6, objects, indexes, pages[0], results, errors, &wait);
	} while (code == TMS_WAITING);
	CHECK_EQ(code, TMS_E_SPILL_READ);
	CHECK_EQ(wait.done, 6);
	for (uint32_t i = 0; i < 6; i++) {
		CHECK(errors[i] == TMS_OK || (errors[i] == TMS_E_SPILL_READ && !failed++));
		CHECK_EQ(results[i], i != 1 && !errors[i]);
		CHECK(!results[i] || page_is(pages[i], indexes[i], noise_of((uint32_t)indexes[i])));
	}
	CHECK_EQ(failed, 1);
	wait = (struct tms_wait){ .slice_ns = SHORTLY };
	CHECK_EQ(tms_get_many(f.store, f.swap, 1, objects, &(uint64_t){ UINT64_C(1) << 32 }, pages[0], results, errors, &wait), TMS_E_INVALID);
	fixture_close(&f);
}

static void where_touches_nothing(void)
{
	CHECK_EQ(open_store(NULL), TMS_OK);
	CHECK_EQ(fixture_put(&f, f.clean, 1, 1, RAW), TMS_OK);
	CHECK_EQ(fixture_place(&f, f.clean, 1), TMS_PLACE_REGION);
	CHECK_EQ(fixture_place(&f, f.clean, 1), TMS_PLACE_REGION);
	CHECK_EQ(fixture_place(&f, f.clean, 2), TMS_PLACE_ABSENT);
	CHECK_EQ(fixture_place(&f, 4321, 2), -1);
	CHECK_EQ(fixture_stats(&f).clean_gets, 0);
	fixture_close(&f);
}

static void a_kept_page_that_was_damaged_in_memory_is_an_error(void)
{
	uint8_t page[RAW];

	CHECK_EQ(open_store(NULL), TMS_OK);
	CHECK_EQ(fixture_put(&f, f.swap, 1, 1, 700), TMS_OK);
	memset(tms_region_address(f.region, 0), 0xff, RAW);
	CHECK_EQ(fixture_get(&f, f.swap, 1, page), TMS_E_CODEC);
	CHECK_EQ(fixture_get(&f, f.swap, 2, page), TMS_MISS);
	CHECK_EQ(fixture_get(&f, 4321, 2, page), TMS_E_NO_POOL);
	fixture_close(&f);
}

int main(void)
{
	RUN(only_a_private_exclusive_get_removes_the_page);
	RUN(a_page_in_the_spill_file_comes_back_as_often_as_wanted);
	RUN(without_a_wait_nothing_is_read);
	RUN(a_load_that_fails_says_so_and_the_next_one_may_succeed);
	RUN(a_write_that_was_lost_is_noticed_when_its_page_is_read);
	RUN(a_device_that_does_not_answer_is_an_error_after_io_timeout_and_holds_up_nobody_else);
	RUN(a_block_that_is_being_read_stays_in_use_whatever_becomes_of_its_page);
	RUN(a_load_that_is_given_up_costs_nothing_once_the_device_has_answered);
	RUN(many_gets_go_on_past_errors_and_name_them);
	RUN(where_touches_nothing);
	RUN(a_kept_page_that_was_damaged_in_memory_is_an_error);
	return check_finish(__FILE__);
}
