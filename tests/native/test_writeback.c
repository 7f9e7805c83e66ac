/* Giving every frontswap object of a window a copy in the spill file. */
#include "writeback.h"
#include "fixture.h"

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

static struct writeback window(uint32_t start, uint32_t end, uint64_t time_ns)
{
	return (struct writeback){ .store = f.store, .start_pfn = start, .end_pfn = end, .deadline_ns = clock_now_ns(&f.store->clock) + time_ns };
}

static enum tms_reason run(struct writeback *w)
{
	enum tms_reason reason = writeback_run(w);

	pthread_mutex_lock(&f.store->lock);
	writeback_end(w);
	pthread_mutex_unlock(&f.store->lock);
	return reason;
}

/* The pages of the window without a copy, and those outside it with one. */
static void count(uint32_t start, uint32_t end, uint32_t *without, uint32_t *outside)
{
	const struct holdings *held = &f.store->held;

	*without = *outside = 0;
	for (uint32_t id = 1; id < held->index.entries.end; id++) {
		const struct entry *entry = holdings_entry(held, id);
		uint32_t pfn = entry->place >> UNITS_SHIFT;

		if (!entry->pool)
			continue;
		if (pfn >= start && pfn < end)
			*without += !(entry->flags & ENTRY_COPY);
		else
			*outside += !!(entry->flags & ENTRY_COPY);
	}
}

static void every_object_of_the_window_has_a_copy_then(void)
{
	struct writeback w;
	uint32_t outside;
	uint32_t without;

	CHECK_EQ(open_store(0), TMS_OK);
	put(700);
	CHECK_SO_FAR();
	w = window(100, 250, NSEC_PER_SEC * 20);
	CHECK_EQ(run(&w), TMS_REASON_NONE);
	count(100, 250, &without, &outside);
	CHECK_EQ(without, 0);
	CHECK(outside < 3 * 8 * 4); /* of spans that reach over an edge */
	CHECK_EQ(fixture_stats(&f).pages_copied, w.objects);
	CHECK_EQ(fixture_stats(&f).spill_bytes_written, w.bytes);
	CHECK_VERIFIES(f.store);
	CHECK(fixture_page_out(&f));
	for (uint32_t key = 0; key < 700; key++)
		CHECK(fixture_holds(&f, f.swap, key, key, noise_of(key)));
	fixture_close(&f);
}

static void batches_are_large_and_what_has_a_copy_is_not_written_again(void)
{
	struct writeback w;

	CHECK_EQ(open_store(0), TMS_OK);
	for (uint32_t key = 0; key < 2 * PAGE_OUT_BLOCKS + 10; key++)
		CHECK_EQ(fixture_put(&f, f.swap, key, key, RAW), TMS_OK);
	w = window(0, FRAMES, NSEC_PER_SEC * 20);
	CHECK_EQ(run(&w), TMS_REASON_NONE);
	CHECK_EQ(w.objects, 2 * PAGE_OUT_BLOCKS + 10);
	CHECK_EQ(w.batches, 3);
	CHECK_EQ(w.bytes, w.objects * RAW);
	CHECK_EQ(fixture_put(&f, f.swap, 3, 3000, RAW), TMS_OK);
	w = window(0, FRAMES, NSEC_PER_SEC * 20);
	CHECK_EQ(run(&w), TMS_REASON_NONE);
	CHECK_EQ(w.objects, 1);
	CHECK_EQ(w.bytes, RAW);
	w = window(0, FRAMES, NSEC_PER_SEC * 20);
	CHECK_EQ(run(&w), TMS_REASON_NONE);
	CHECK_EQ(w.batches, 0);
	CHECK_VERIFIES(f.store);
	fixture_close(&f);
}

static void a_full_spill_file_ends_it_and_costs_no_page(void)
{
	struct writeback w;

	CHECK_EQ(open_store(51 * RAW), TMS_OK);
	for (uint32_t key = 0; key < 60; key++)
		CHECK_EQ(fixture_put(&f, f.swap, key, key, RAW), TMS_OK);
	w = window(0, FRAMES, NSEC_PER_SEC * 20);
	CHECK_EQ(run(&w), TMS_REASON_SPILL);
	while (fixture_stats(&f).spill_writes_pending || fixture_stats(&f).pages_copied < 50)
		usleep(100);
	for (uint32_t key = 0; key < 60; key++)
		CHECK(fixture_holds(&f, f.swap, key, key, RAW));
	CHECK_VERIFIES(f.store);
	for (uint32_t key = 0; key < 20; key++)
		CHECK_EQ(tms_flush_page(f.store, f.swap, key >> 4, key), TMS_OK);
	w = window(0, FRAMES, NSEC_PER_SEC * 20);
	CHECK_EQ(run(&w), TMS_REASON_NONE);
	CHECK_EQ(fixture_stats(&f).pages_copied, 40);
	CHECK_VERIFIES(f.store);
	fixture_close(&f);
}

static void a_failed_write_ends_it_and_leaves_those_pages_without_a_copy(void)
{
	struct writeback w;

	CHECK_EQ(open_store(0), TMS_OK);
	put(100);
	CHECK_EQ(tms_fault_arm(f.store, TMS_FAULT_WRITE, 0, 1, ENOSPC, 0), TMS_OK);
	w = window(0, FRAMES, NSEC_PER_SEC * 20);
	CHECK_EQ(run(&w), TMS_REASON_SPILL);
	CHECK_EQ(fixture_stats(&f).pages_copied, 0);
	CHECK_EQ(fixture_stats(&f).spill_blocks_used, 0);
	CHECK_VERIFIES(f.store);
	w = window(0, FRAMES, NSEC_PER_SEC * 20);
	CHECK_EQ(run(&w), TMS_REASON_NONE);
	CHECK_EQ(fixture_stats(&f).pages_copied, 100);
	fixture_close(&f);
}

static void at_the_deadline_it_ends_and_what_is_at_the_device_completes_later(void)
{
	struct writeback w;

	CHECK_EQ(open_store(0), TMS_OK);
	put(200);
	CHECK_EQ(tms_fault_arm(f.store, TMS_FAULT_STALL, 0, FOR_EVER, 0, 0), TMS_OK);
	w = window(0, FRAMES, 20 * NSEC_PER_MSEC);
	CHECK_EQ(run(&w), TMS_REASON_TIME);
	CHECK_EQ(fixture_stats(&f).pages_copied, 0);
	CHECK_VERIFIES(f.store);
	CHECK_EQ(tms_flush_page(f.store, f.swap, 0, 5), TMS_OK);
	CHECK_EQ(tms_fault_arm(f.store, TMS_FAULT_STALL, 0, 0, 0, 0), TMS_OK);
	w = window(0, FRAMES, NSEC_PER_SEC * 20); /* meets what the first is still writing */
	CHECK_EQ(run(&w), TMS_REASON_NONE);
	CHECK_EQ(fixture_stats(&f).pages_copied, 199);
	CHECK_VERIFIES(f.store);
	fixture_close(&f);
}

static void a_group_that_cannot_be_had_or_a_closed_store_is_said(void)
{
	struct writeback w;
	uint32_t abandoned;

	CHECK_EQ(open_store(0), TMS_OK);
	put(10);
	CHECK_EQ(tms_fault_arm(f.store, TMS_FAULT_GROUP_ALLOC, 0, 1, 0, 0), TMS_OK);
	w = window(0, FRAMES, NSEC_PER_SEC * 20);
	CHECK_EQ(run(&w), TMS_REASON_MEMORY);
	CHECK_EQ(fixture_stats(&f).pages_swap, 10);
	while (tms_store_close(f.store, NSEC_PER_SEC, &abandoned) == TMS_WAITING)
		;
	w = window(0, FRAMES, NSEC_PER_SEC * 20);
	CHECK_EQ(run(&w), TMS_REASON_CLOSED);
	fixture_close(&f);
}

static void *run_over_all(void *w)
{
	return (void *)(uintptr_t)run(w);
}

static void windows_that_are_written_at_once_share_the_work(void)
{
	struct writeback w[3];
	pthread_t thread[3];
	uint64_t objects = 0;

	CHECK_EQ(open_store(0), TMS_OK);
	put(600);
	for (int i = 0; i < 3; i++) {
		w[i] = window(0, FRAMES, NSEC_PER_SEC * 20);
		CHECK_EQ(pthread_create(&thread[i], NULL, run_over_all, &w[i]), 0);
	}
	for (int i = 0; i < 3; i++) {
		void *reason;

		CHECK_EQ(pthread_join(thread[i], &reason), 0);
		CHECK_EQ((uintptr_t)reason, TMS_REASON_NONE);
		objects += w[i].objects;
	}
	CHECK_EQ(objects, 600);
	CHECK_EQ(fixture_stats(&f).pages_copied, 600);
	CHECK_VERIFIES(f.store);
	fixture_close(&f);
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

int main(void)
{
	RUN(every_object_of_the_window_has_a_copy_then);
	RUN(batches_are_large_and_what_has_a_copy_is_not_written_again);
	RUN(a_full_spill_file_ends_it_and_costs_no_page);
	RUN(a_failed_write_ends_it_and_leaves_those_pages_without_a_copy);
	RUN(at_the_deadline_it_ends_and_what_is_at_the_device_completes_later);
	RUN(a_group_that_cannot_be_had_or_a_closed_store_is_said);
	RUN(windows_that_are_written_at_once_share_the_work);
	RUN(a_measurement_keeps_nothing);
	RUN(what_cannot_be_measured_is_zeros);
	return check_finish(__FILE__);
}
