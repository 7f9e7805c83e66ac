/* The device lane of an allocation, in turns: batches of a window's objects. */
#include "inside.h"

#define RAW TMS_PAGE_SIZE
#define FRAMES 600u

static const struct tms_cost cost = { 0 };
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

static struct writeback window(uint32_t start, uint32_t end)
{
	return (struct writeback){ .store = f.store,
				   .cost = &cost,
				   .start_pfn = start,
				   .end_pfn = end,
				   .batch_blocks = PAGE_OUT_BLOCKS,
				   .objects_max = UINT64_MAX };
}

/* All turns it takes. */
static enum writeback_turn run(struct writeback *w)
{
	enum writeback_turn turn;

	if (!writeback_begin(w))
		return WRITEBACK_FAILED;
	turn = writeback_drive(w);
	pthread_mutex_lock(&f.store->lock);
	writeback_end(w);
	pthread_mutex_unlock(&f.store->lock);
	return turn;
}

/* The pages of the window without a copy, and those outside it with one. */
static void count(uint32_t start, uint32_t end, uint32_t *without, uint32_t *outside)
{
	const struct holdings *held = &f.store->held;

	*without = *outside = 0;
	for (uint32_t id = 1; id < held->index.entries.end; id++) {
		const struct entry *entry = holdings_entry(held, id);
		uint32_t pfn = entry->place >> UNITS_SHIFT;

		if (!entry->object)
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
	w = window(100, 250);
	CHECK_EQ(run(&w), WRITEBACK_DONE);
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
	w = window(0, FRAMES);
	CHECK_EQ(run(&w), WRITEBACK_DONE);
	CHECK_EQ(w.objects, 2 * PAGE_OUT_BLOCKS + 10);
	CHECK_EQ(w.batches, 3);
	CHECK_EQ(w.bytes, w.objects * RAW);
	CHECK_EQ(fixture_put(&f, f.swap, 3, 3000, RAW), TMS_OK);
	w = window(0, FRAMES);
	CHECK_EQ(run(&w), WRITEBACK_DONE);
	CHECK_EQ(w.objects, 1);
	CHECK_EQ(w.bytes, RAW);
	w = window(0, FRAMES);
	CHECK_EQ(run(&w), WRITEBACK_DONE);
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
	w = window(0, FRAMES);
	CHECK_EQ(run(&w), WRITEBACK_FAILED);
	while (fixture_stats(&f).spill_writes_pending || fixture_stats(&f).pages_copied < 50)
		usleep(100);
	for (uint32_t key = 0; key < 60; key++)
		CHECK(fixture_holds(&f, f.swap, key, key, RAW));
	CHECK_VERIFIES(f.store);
	for (uint32_t key = 0; key < 20; key++)
		CHECK_EQ(tms_flush_page(f.store, f.swap, key >> 4, key), TMS_OK);
	w = window(0, FRAMES);
	CHECK_EQ(run(&w), WRITEBACK_DONE);
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
	w = window(0, FRAMES);
	CHECK_EQ(run(&w), WRITEBACK_FAILED);
	CHECK_EQ(fixture_stats(&f).pages_copied, 0);
	CHECK_EQ(fixture_stats(&f).spill_blocks_used, 0);
	CHECK_VERIFIES(f.store);
	w = window(0, FRAMES);
	CHECK_EQ(run(&w), WRITEBACK_DONE);
	CHECK_EQ(fixture_stats(&f).pages_copied, 100);
	fixture_close(&f);
}

static void a_group_that_cannot_be_had_is_said(void)
{
	struct writeback w;

	CHECK_EQ(open_store(0), TMS_OK);
	put(10);
	CHECK_EQ(tms_fault_arm(f.store, TMS_FAULT_GROUP_ALLOC, 0, 1, 0, 0), TMS_OK);
	w = window(0, FRAMES);
	CHECK(!writeback_begin(&w));
	writeback_end(&w);
	CHECK_EQ(fixture_stats(&f).pages_swap, 10);
	CHECK_VERIFIES(f.store);
	fixture_close(&f);
}

static void a_closed_store_ends_it(void)
{
	struct writeback w;
	uint32_t abandoned;

	CHECK_EQ(open_store(0), TMS_OK);
	put(10);
	while (tms_store_close(f.store, NSEC_PER_SEC, &abandoned) == TMS_WAITING)
		;
	w = window(0, FRAMES);
	CHECK_EQ(run(&w), WRITEBACK_FAILED);
	fixture_close(&f);
}

static void no_more_is_written_than_is_asked_for(void)
{
	struct writeback w;

	CHECK_EQ(open_store(0), TMS_OK);
	put(200);
	for (uint64_t want = 0; want <= 40; want += 20) {
		w = window(0, FRAMES);
		w.objects_max = want;
		CHECK_EQ(run(&w), WRITEBACK_DONE);
		CHECK_EQ(w.objects, want);
	}
	CHECK_EQ(fixture_stats(&f).pages_copied, 60);
	CHECK_VERIFIES(f.store);
	fixture_close(&f);
}

static void a_batch_is_as_large_as_is_asked_for(void)
{
	struct writeback w;

	CHECK_EQ(open_store(0), TMS_OK);
	for (uint32_t key = 0; key < 100; key++)
		CHECK_EQ(fixture_put(&f, f.swap, key, key, RAW), TMS_OK);
	w = window(0, FRAMES);
	w.batch_blocks = 7;
	CHECK_EQ(run(&w), WRITEBACK_DONE);
	CHECK_EQ(w.batches, 15);
	CHECK_EQ(w.bytes, 100 * RAW);
	fixture_close(&f);
}

/* What was gathered and not submitted, and what is at the device, when whoever asked has left. */
static void whoever_leaves_loses_no_page_and_leaves_no_block(void)
{
	struct writeback w;

	CHECK_EQ(open_store(0), TMS_OK);
	CHECK_EQ(tms_fault_arm(f.store, TMS_FAULT_STALL, 0, FOR_EVER, 0, 0), TMS_OK);
	for (uint32_t key = 0; key < 300; key++)
		CHECK_EQ(fixture_put(&f, f.swap, key, key, RAW), TMS_OK);
	w = window(0, FRAMES);
	CHECK(writeback_begin(&w));
	while (w.batches < 1 || !w.batch || !w.batch->items)
		CHECK_EQ(writeback_turn(&w), WRITEBACK_AGAIN);
	CHECK_VERIFIES(f.store);
	writeback_end(&w);
	CHECK_VERIFIES(f.store);
	CHECK_EQ(tms_flush_page(f.store, f.swap, 0, 5), TMS_OK);
	CHECK_EQ(tms_fault_arm(f.store, TMS_FAULT_STALL, 0, 0, 0, 0), TMS_OK);
	while (fixture_stats(&f).spill_writes_pending || fixture_stats(&f).pages_copied < PAGE_OUT_BLOCKS - 1)
		usleep(100);
	CHECK_EQ(fixture_stats(&f).spill_blocks_used, PAGE_OUT_BLOCKS - 1);
	CHECK_VERIFIES(f.store);
	for (uint32_t key = 0; key < 300; key++)
		CHECK(key == 5 || fixture_holds(&f, f.swap, key, key, RAW));
	fixture_close(&f);
}

static void batches_that_are_all_at_the_device_are_said(void)
{
	enum writeback_turn turn = WRITEBACK_AGAIN;
	struct writeback w;

	CHECK_EQ(open_store(0), TMS_OK);
	CHECK_EQ(tms_fault_arm(f.store, TMS_FAULT_STALL, 0, FOR_EVER, 0, 0), TMS_OK);
	for (uint32_t key = 0; key < 300; key++)
		CHECK_EQ(fixture_put(&f, f.swap, key, key, RAW), TMS_OK);
	w = window(0, FRAMES);
	w.batch_blocks = 10;
	CHECK(writeback_begin(&w));
	while (turn == WRITEBACK_AGAIN)
		turn = writeback_turn(&w);
	CHECK_EQ(turn, WRITEBACK_FULL);
	CHECK_EQ(w.batches, PAGE_OUT_BATCHES);
	CHECK_EQ(tms_fault_arm(f.store, TMS_FAULT_STALL, 0, 0, 0, 0), TMS_OK);
	CHECK_EQ(writeback_drive(&w), WRITEBACK_DONE);
	CHECK_EQ(w.objects, 300);
	writeback_end(&w);
	CHECK_VERIFIES(f.store);
	fixture_close(&f);
}

static void what_was_passed_over_is_met_after_a_rewind(void)
{
	struct writeback w;

	CHECK_EQ(open_store(0), TMS_OK);
	put(20);
	w = window(0, FRAMES);
	CHECK(writeback_begin(&w));
	CHECK_EQ(writeback_drive(&w), WRITEBACK_DONE);
	CHECK_EQ(fixture_put(&f, f.swap, 3, 99, RAW), TMS_OK); /* its copy is gone with the old page */
	CHECK_EQ(writeback_drive(&w), WRITEBACK_DONE);
	CHECK_EQ(w.objects, 20);
	writeback_rewind(&w);
	CHECK_EQ(writeback_drive(&w), WRITEBACK_DONE);
	CHECK_EQ(w.objects, 21);
	writeback_end(&w);
	CHECK_EQ(fixture_stats(&f).pages_copied, 20);
	CHECK_VERIFIES(f.store);
	fixture_close(&f);
}

/* While the device has two writes to do, and no more than were asked for. */
static void objects_are_compressed_on_the_way_while_the_device_is_busy(void)
{
	struct squeeze *squeeze = malloc(sizeof(*squeeze));
	struct tms_device device = steady_device();
	uint64_t now_ns = 1000;
	uint8_t page[RAW];
	uint8_t back[RAW];
	struct writeback w;

	device.in_memory = true;
	CHECK_EQ(fixture_open(&f, &(struct setup){ .frames = FRAMES, .device = &device, .virtual_ns = &now_ns, .packed = true,
						   .denser = true }), TMS_OK);
	for (uint32_t key = 0; key < 100; key++) {
		page_make_pairs(page, key + 1, 3600);
		CHECK_EQ(tms_put(f.store, f.swap, key >> 4, key, 0, page), TMS_OK);
	}
	w = window(0, FRAMES);
	w.batch_blocks = 8;
	w.squeeze = squeeze;
	w.to_compress = 40;
	CHECK(writeback_begin(&w));
	CHECK_EQ(writeback_drive(&w), WRITEBACK_DONE);
	writeback_rewind(&w); /* what found no room in a batch was passed over */
	CHECK_EQ(writeback_drive(&w), WRITEBACK_DONE);
	writeback_end(&w);
	CHECK_EQ(w.objects, 100);
	CHECK(w.compressed > 20 && w.compressed <= 40);
	CHECK_EQ(w.to_compress, 0);
	CHECK_EQ(tms_advance(f.store, NSEC_PER_SEC), TMS_OK);
	CHECK_EQ(fixture_stats(&f).pages_spilled, w.compressed); /* a page has one form: the copy's */
	CHECK_EQ(fixture_stats(&f).pages_copied, 100 - w.compressed);
	CHECK(w.bytes < 85 * RAW);
	CHECK_VERIFIES(f.store);
	for (uint32_t key = 0; key < 100; key++) {
		page_make_pairs(page, key + 1, 3600);
		CHECK_EQ(fixture_get(&f, f.swap, key, back), TMS_OK);
		CHECK(!memcmp(back, page, RAW));
	}
	free(squeeze);
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
		w[i] = window(0, FRAMES);
		CHECK_EQ(pthread_create(&thread[i], NULL, run_over_all, &w[i]), 0);
	}
	for (int i = 0; i < 3; i++) {
		void *turn;

		CHECK_EQ(pthread_join(thread[i], &turn), 0);
		CHECK_EQ((uintptr_t)turn, WRITEBACK_DONE);
		objects += w[i].objects;
	}
	CHECK_EQ(objects, 600);
	CHECK_EQ(fixture_stats(&f).pages_copied, 600);
	CHECK_VERIFIES(f.store);
	fixture_close(&f);
}

int main(void)
{
	RUN(every_object_of_the_window_has_a_copy_then);
	RUN(batches_are_large_and_what_has_a_copy_is_not_written_again);
	RUN(a_full_spill_file_ends_it_and_costs_no_page);
	RUN(a_failed_write_ends_it_and_leaves_those_pages_without_a_copy);
	RUN(a_group_that_cannot_be_had_is_said);
	RUN(a_closed_store_ends_it);
	RUN(no_more_is_written_than_is_asked_for);
	RUN(a_batch_is_as_large_as_is_asked_for);
	RUN(whoever_leaves_loses_no_page_and_leaves_no_block);
	RUN(batches_that_are_all_at_the_device_are_said);
	RUN(what_was_passed_over_is_met_after_a_rewind);
	RUN(objects_are_compressed_on_the_way_while_the_device_is_busy);
	RUN(windows_that_are_written_at_once_share_the_work);
	return check_finish(__FILE__);
}
