/* Gets of many pages, several of which are at the device at a time. */
#include "loads.h"

#define BATCH 40u

static uint8_t pages_of_batch[BATCH][RAW];
static uint64_t objects_of_batch[BATCH];
static uint64_t indexes_of_batch[BATCH];
static struct tms_device slow;
static uint64_t now_ns;
static bool results_of_batch[BATCH];
static int32_t errors_of_batch[BATCH];

static int get_batch(struct tms_wait *wait)
{
	return tms_get_many(f.store, f.swap, BATCH, objects_of_batch, indexes_of_batch, pages_of_batch[0], results_of_batch,
			    errors_of_batch, wait);
}

static void open_batch(void)
{
	CHECK_EQ(open_store(NULL), TMS_OK);
	put_in_spill(BATCH);
	for (uint32_t i = 0; i < BATCH; i++) {
		indexes_of_batch[i] = BATCH - 1 - i;
		objects_of_batch[i] = indexes_of_batch[i] >> 4;
	}
}

static void the_loads_of_a_batch_are_at_the_device_side_by_side(void)
{
	struct tms_wait wait = { .slice_ns = SHORTLY };
	int code;

	open_batch();
	arm(TMS_FAULT_STALL, 1, 0);
	CHECK_EQ(get_batch(&wait), TMS_WAITING);
	CHECK(f.store->loads > 1 && f.store->loads < BATCH);
	CHECK(wait.done >= f.store->loads);
	arm(TMS_FAULT_STALL, 0, 0);
	do {
		code = get_batch(&wait);
	} while (code == TMS_WAITING);
	CHECK_EQ(code, TMS_OK);
	CHECK_EQ(wait.done, BATCH);
	for (uint32_t i = 0; i < BATCH; i++) {
		CHECK(results_of_batch[i] && !errors_of_batch[i]);
		CHECK(page_is(pages_of_batch[i], indexes_of_batch[i], noise_of((uint32_t)indexes_of_batch[i])));
	}
	CHECK_EQ(f.store->loads, 0);
	CHECK_VERIFIES(f.store);
	fixture_close(&f);
}

static void a_batch_that_is_given_up_gives_all_its_blocks_back(void)
{
	struct tms_wait wait = { .slice_ns = SHORTLY };

	open_batch();
	arm(TMS_FAULT_STALL, 1, 0);
	CHECK_EQ(get_batch(&wait), TMS_WAITING);
	tms_wait_cancel(f.store, &wait);
	CHECK(!wait.request);
	arm(TMS_FAULT_STALL, 0, 0);
	CHECK(loads_end());
	for (uint32_t key = 0; key < BATCH; key++)
		CHECK(fixture_holds(&f, f.swap, key, key, noise_of(key)));
	CHECK_VERIFIES(f.store);
	fixture_close(&f);
}

static void a_batch_whose_pool_went_holds_no_block_any_more(void)
{
	struct tms_wait wait = { .slice_ns = SHORTLY };

	open_batch();
	arm(TMS_FAULT_STALL, 1, 0);
	CHECK_EQ(get_batch(&wait), TMS_WAITING);
	CHECK_EQ(tms_pool_destroy(f.store, f.swap), TMS_OK);
	arm(TMS_FAULT_STALL, 0, 0);
	while (get_batch(&wait) == TMS_WAITING)
		continue;
	CHECK(!wait.request);
	CHECK(loads_end());
	CHECK_VERIFIES(f.store);
	fixture_close(&f);
}

/* On a virtual clock, reads of 10 ms each, one after the other. */
static void open_slow_batch(uint64_t io_timeout_ns)
{
	slow = steady_device();
	slow.read_request_ns = 10 * NSEC_PER_MSEC;
	now_ns = 1000;
	CHECK_EQ(fixture_open(&f, &(struct setup){ .frames = 300,
						   .device = &slow,
						   .virtual_ns = &now_ns,
						   .packed = true,
						   .io_timeout_ns = io_timeout_ns }),
		 TMS_OK);
	put_in_spill(BATCH);
	for (uint32_t i = 0; i < BATCH; i++) {
		indexes_of_batch[i] = i;
		objects_of_batch[i] = i >> 4;
	}
}

static void each_load_of_a_batch_has_a_time_limit_of_its_own(void)
{
	struct tms_wait wait = { .slice_ns = FOR_EVER };
	int code;

	open_slow_batch(25 * NSEC_PER_MSEC); /* of four at the device the last one takes 40 ms */
	do {
		code = get_batch(&wait);
	} while (code == TMS_WAITING);
	CHECK_EQ(code, TMS_OK);
	for (uint32_t i = 0; i < BATCH; i++)
		CHECK(results_of_batch[i]);
	fixture_close(&f);
}

static void a_batch_stays_in_the_core_no_longer_than_a_slice_and_a_load(void)
{
	struct tms_wait wait = { .slice_ns = 15 * NSEC_PER_MSEC };
	uint64_t longest_ns = 0;
	int code;

	open_slow_batch(0);
	do {
		uint64_t began_ns = now_ns;

		code = get_batch(&wait);
		longest_ns = now_ns - began_ns > longest_ns ? now_ns - began_ns : longest_ns;
	} while (code == TMS_WAITING);
	CHECK_EQ(code, TMS_OK);
	CHECK(longest_ns < 30 * NSEC_PER_MSEC);
	for (uint32_t i = 0; i < BATCH; i++)
		CHECK(results_of_batch[i]);
	fixture_close(&f);
}

int main(void)
{
	RUN(the_loads_of_a_batch_are_at_the_device_side_by_side);
	RUN(a_batch_that_is_given_up_gives_all_its_blocks_back);
	RUN(a_batch_whose_pool_went_holds_no_block_any_more);
	RUN(each_load_of_a_batch_has_a_time_limit_of_its_own);
	RUN(a_batch_stays_in_the_core_no_longer_than_a_slice_and_a_load);
	return check_finish(__FILE__);
}
