/* Measuring the spill device, and what the last writes took. */
#include "inside.h"

#define RAW TMS_PAGE_SIZE
#define FRAMES 600u
#define SHORTLY NSEC_PER_MSEC

static struct fixture f;

static int open_store(uint64_t spill_limit_bytes)
{
	return fixture_open(&f, &(struct setup){ .frames = FRAMES, .spill = true, .packed = true, .spill_limit_bytes = spill_limit_bytes });
}

static uint32_t noise_of(uint32_t key)
{
	return key % 3 ? 900 + key % 2 * 1000 : RAW;
}

static void put(uint32_t n)
{
	for (uint32_t key = 0; key < n; key++)
		CHECK_EQ(fixture_put(&f, f.swap, key, key, noise_of(key)), TMS_OK);
}

static void a_measurement_keeps_nothing(void)
{
	struct tms_write_sample sample = { 0 };

	CHECK_EQ(open_store(0), TMS_OK);
	put(20);
	CHECK_EQ(tms_measure_write(f.store, 300 * RAW, NSEC_PER_SEC * 20, &sample), TMS_OK);
	CHECK_EQ(sample.bytes, 300 * RAW);
	CHECK(sample.elapsed_ns > 0 && sample.batches >= 3);
	CHECK_EQ(fixture_stats(&f).spill_blocks_used, 0);
	CHECK_EQ(fixture_stats(&f).spill_bytes_written, 300 * RAW);
	CHECK_EQ(fixture_stats(&f).pages_copied, 0);
	CHECK_VERIFIES(f.store);
	CHECK(fixture_page_out(&f));
	for (uint32_t key = 0; key < 20; key++)
		CHECK(fixture_holds(&f, f.swap, key, key, noise_of(key)));
	fixture_close(&f);
}

static void what_cannot_be_measured_is_zeros(void)
{
	struct tms_write_sample sample = { .bytes = 7 };

	CHECK_EQ(fixture_open(&f, &(struct setup){ .spill = false }), TMS_OK);
	CHECK_EQ(tms_measure_write(f.store, 10 * RAW, SHORTLY, &sample), TMS_OK);
	CHECK_EQ(sample.bytes + sample.elapsed_ns + sample.batches, 0);
	fixture_close(&f);
	CHECK_EQ(open_store(5 * RAW), TMS_OK);
	for (uint32_t key = 0; key < 4; key++)
		CHECK_EQ(fixture_put(&f, f.swap, key, key, RAW), TMS_OK);
	CHECK(fixture_page_out(&f));
	sample.bytes = 7;
	CHECK_EQ(tms_measure_write(f.store, 10 * RAW, SHORTLY, &sample), TMS_OK);
	CHECK_EQ(sample.bytes, 0);
	CHECK_VERIFIES(f.store);
	fixture_close(&f);
	CHECK_EQ(open_store(0), TMS_OK);
	CHECK_EQ(tms_fault_arm(f.store, TMS_FAULT_WRITE, 0, FOR_EVER, EIO, 0), TMS_OK);
	CHECK_EQ(tms_measure_write(f.store, 10 * RAW, NSEC_PER_SEC, &sample), TMS_OK);
	CHECK_EQ(sample.bytes + sample.batches, 0);
	fixture_close(&f);
}

/* ---- an emulated device, whose time is known --------------------------------------------------------- */

/* 1 ms a request and 100 ns a KiB, one after the other. */
static const struct tms_device even = {
	.seed = 1, .write_request_ns = NSEC_PER_MSEC, .write_byte_ps = 100000, .read_request_ns = 1000, .read_byte_ps = 1, .in_memory = true
};
static uint64_t now_ns;

static int open_emulated(void)
{
	now_ns = 5;
	return fixture_open(&f, &(struct setup){ .frames = FRAMES, .device = &even, .virtual_ns = &now_ns });
}

static uint64_t time_of(uint64_t bytes)
{
	return even.write_request_ns + bytes * even.write_byte_ps / 1000;
}

static void what_is_measured_is_what_the_device_takes(void)
{
	const uint64_t large = PAGE_OUT_BLOCKS * (uint64_t)RAW;
	struct tms_write_sample sample;

	CHECK_EQ(open_emulated(), TMS_OK);
	CHECK_EQ(tms_measure_write(f.store, (64 << 10) + 2 * large, NSEC_PER_SEC * 20, &sample), TMS_OK);
	CHECK_EQ(sample.batches, 3);
	CHECK_EQ(sample.bytes, (64 << 10) + 2 * large);
	CHECK_EQ(sample.elapsed_ns, time_of(64 << 10) + 2 * time_of(large));
	CHECK_EQ(fixture_stats(&f).written_by_cause[TMS_CAUSE_MEASURE], sample.bytes);
	CHECK_EQ(fixture_stats(&f).spill_blocks_used, 0);
	CHECK_VERIFIES(f.store);
	fixture_close(&f);
}

static void a_measurement_ends_with_its_budget(void)
{
	struct tms_write_sample sample;
	uint64_t began_ns;

	CHECK_EQ(open_emulated(), TMS_OK);
	began_ns = now_ns;
	CHECK_EQ(tms_measure_write(f.store, 64 << 20, 200 * NSEC_PER_MSEC, &sample), TMS_OK);
	CHECK_EQ(now_ns - began_ns, 200 * NSEC_PER_MSEC);
	CHECK(sample.batches > 1 && sample.bytes < 64 << 20);
	CHECK(sample.elapsed_ns <= 200 * NSEC_PER_MSEC);
	CHECK_EQ(tms_advance(f.store, NSEC_PER_SEC), TMS_OK);
	CHECK_EQ(fixture_stats(&f).spill_blocks_used, 0);
	CHECK_VERIFIES(f.store);
	fixture_close(&f);
}

static void a_first_answer_that_did_not_come_is_a_bound(void)
{
	const struct tms_episode stalled = { .duration_ns = FOR_EVER };
	struct tms_write_sample sample;

	CHECK_EQ(open_emulated(), TMS_OK);
	CHECK_EQ(tms_device_episode(f.store, &stalled), TMS_OK);
	CHECK_EQ(tms_measure_write(f.store, 1 << 20, 50 * NSEC_PER_MSEC, &sample), TMS_OK);
	CHECK_EQ(sample.batches, 0);
	CHECK_EQ(sample.bytes, 64 << 10);
	CHECK_EQ(sample.elapsed_ns, 50 * NSEC_PER_MSEC);
	CHECK_VERIFIES(f.store);
	fixture_close(&f);
}

/* ---- the last writes ----------------------------------------------------------------------------------- */

static void every_completed_write_is_told_with_its_time(void)
{
	struct tms_write_served served[8];
	uint32_t n = 9;
	uint64_t began_ns;
	uint32_t id;

	CHECK_EQ(open_emulated(), TMS_OK);
	began_ns = now_ns;
	CHECK_EQ(tms_writes_served(f.store, 0, 8, served, &n), TMS_OK);
	CHECK_EQ(n, 0);
	for (uint32_t key = 0; key < 3; key++) {
		struct page_out *batch;

		CHECK_EQ(fixture_put(&f, f.swap, key, key, RAW), TMS_OK);
		id = id_of(&f, f.swap, key);
		batch = batch_of(&f, &id, 1, TMS_CAUSE_CLEAN, NULL);
		batch->io.cause = (int32_t)key;
		io_submit(f.store->io, &batch->io);
	}
	CHECK_EQ(tms_advance(f.store, 10 * time_of(RAW)), TMS_OK);
	CHECK_EQ(tms_writes_served(f.store, 0, 8, served, &n), TMS_OK);
	CHECK_EQ(n, 3);
	for (uint32_t i = 0; i < 3; i++) {
		CHECK_EQ(served[i].number, i + 1);
		CHECK_EQ(served[i].payload_bytes, RAW);
		CHECK_EQ(served[i].cause, i);
		CHECK_EQ(served[i].ended_ns, began_ns + (i + 1) * time_of(RAW));
		CHECK_EQ(served[i].service_ns, time_of(RAW)); /* waiting for those before it does not count */
	}
	CHECK_EQ(tms_writes_served(f.store, 1, 1, served, &n), TMS_OK);
	CHECK_EQ(n, 1);
	CHECK_EQ(served[0].number, 2);
	CHECK_EQ(tms_writes_served(f.store, 3, 8, served, &n), TMS_OK);
	CHECK_EQ(n, 0);
	fixture_close(&f);
}

static void a_failed_write_is_not_told(void)
{
	struct tms_write_sample sample;
	struct tms_write_served served;
	uint32_t n;

	CHECK_EQ(open_emulated(), TMS_OK);
	CHECK_EQ(tms_fault_arm(f.store, TMS_FAULT_WRITE, 0, 1, EIO, 0), TMS_OK);
	CHECK_EQ(tms_measure_write(f.store, RAW, NSEC_PER_SEC, &sample), TMS_OK);
	CHECK_EQ(sample.bytes, 0);
	CHECK_EQ(tms_writes_served(f.store, 0, 1, &served, &n), TMS_OK);
	CHECK_EQ(n, 0);
	fixture_close(&f);
}

int main(void)
{
	RUN(a_measurement_keeps_nothing);
	RUN(what_cannot_be_measured_is_zeros);
	RUN(what_is_measured_is_what_the_device_takes);
	RUN(a_measurement_ends_with_its_budget);
	RUN(a_first_answer_that_did_not_come_is_a_bound);
	RUN(every_completed_write_is_told_with_its_time);
	RUN(a_failed_write_is_not_told);
	return check_finish(__FILE__);
}
