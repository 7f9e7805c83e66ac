/* Law 3 of shrink.c: an entry that was left behind is no page: no look-up finds it, nothing counts it, and it is gone
 * before its frame is taken again.  What a drop costs: test_reclaim*.c. */
#include "drop.h"

#include "inside.h"

#define RAW TMS_PAGE_SIZE
#define FRAMES 1024u
#define WINDOW 256u
#define LARGE 1024u /* more than a put looks at */

static struct fixture f;
static uint32_t range;

/* A region full of clean pages, key k in frame k, whose first window was handed out. */
static void open_emptied(int order)
{
	struct tms_alloc_request request = request_at(0, WINDOW, TMS_EFFORT_DROP);
	struct tms_report report;

	CHECK_EQ(fixture_open(&f, &(struct setup){ .frames = FRAMES, .order = order }), TMS_OK);
	for (uint32_t key = 0; key < FRAMES; key++)
		CHECK_EQ(fixture_put(&f, f.clean, key, key + 1, RAW), TMS_OK);
	CHECK_EQ(pfn_of(&f, f.clean, 5), 5);
	CHECK_EQ(tms_alloc_contig(f.store, &request, &report), TMS_OK);
	CHECK_EQ(report.clean_dropped, WINDOW);
	range = report.range;
	CHECK_VERIFIES(f.store);
}

static bool is_there(uint32_t key)
{
	uint8_t page[RAW];

	return tms_get(f.store, f.clean, key >> 4, key, page, NULL) != TMS_MISS;
}

static uint8_t place_of(uint32_t key)
{
	uint64_t object = key >> 4;
	uint64_t index = key;
	uint8_t place;

	return tms_where_many(f.store, f.clean, 1, &object, &index, &place) == TMS_OK ? place : 0xff;
}

static void nothing_counts_what_was_left_behind(void)
{
	struct tms_stats stats;

	open_emptied(TMS_ORDER_SIEVE);
	stats = fixture_stats(&f);
	CHECK_EQ(stats.pages_clean, FRAMES - WINDOW);
	CHECK_EQ(stats.frames_clean, FRAMES - WINDOW);
	CHECK_EQ(stats.frames_allocated, WINDOW);
	CHECK(id_of(&f, f.clean, 5)); /* its entry, which nobody came by yet */
	fixture_close(&f);
}

static void no_lookup_finds_it(void)
{
	open_emptied(TMS_ORDER_SIEVE);
	CHECK_EQ(tms_flush_page(f.store, f.clean, 1 >> 4, 1), TMS_MISS);
	CHECK_EQ(place_of(2), TMS_PLACE_ABSENT);
	CHECK(!is_there(3));
	CHECK_EQ(id_of(&f, f.clean, 1), 0);
	CHECK(id_of(&f, f.clean, 2)); /* to ask where it is touches nothing */
	CHECK_EQ(id_of(&f, f.clean, 3), 0);
	CHECK(is_there(WINDOW));
	CHECK_VERIFIES(f.store);
	CHECK_EQ(fixture_stats(&f).clean_flushes, 0);
	CHECK_EQ(tms_flush_object(f.store, f.clean, 4 >> 4), TMS_OK); /* keys 0 to 15, all left behind */
	CHECK_EQ(fixture_stats(&f).clean_flushes, 0);
	CHECK_EQ(id_of(&f, f.clean, 4), 0);
	CHECK_VERIFIES(f.store);
	CHECK_EQ(tms_pool_destroy(f.store, f.clean), TMS_OK);
	CHECK_EQ(fixture_stats(&f).clean_flushes, FRAMES - WINDOW - 1);
	CHECK_EQ(fixture_stats(&f).pages_clean, 0);
	CHECK_VERIFIES(f.store);
	fixture_close(&f);
}

static void a_put_under_its_key_is_a_new_page(void)
{
	open_emptied(TMS_ORDER_SIEVE);
	CHECK_EQ(fixture_put(&f, f.clean, 7, 4711, RAW), TMS_OK); /* in the frame of another one, which is given up */
	CHECK(fixture_holds(&f, f.clean, 7, 4711, RAW));
	CHECK_VERIFIES(f.store);
	CHECK_EQ(tms_release(f.store, range), TMS_OK);
	CHECK_VERIFIES(f.store);
	fixture_close(&f);
}

/* Whoever takes the frame: a clean page, a raw frontswap page, a span. */
static void its_frame_is_taken_without_it(void)
{
	open_emptied(TMS_ORDER_SIEVE);
	CHECK_EQ(tms_release(f.store, range), TMS_OK);
	CHECK_EQ(fixture_stats(&f).frames_free, WINDOW);
	for (uint32_t i = 0; i < WINDOW; i++) {
		uint32_t key = FRAMES + i;
		tms_pool_id pool = i % 2 ? f.clean : f.swap;

		CHECK_EQ(fixture_put(&f, pool, key, key, i % 4 ? RAW : 900), TMS_OK);
		CHECK(fixture_holds(&f, pool, key, key, i % 4 ? RAW : 900));
		if (i % 64 == 0)
			CHECK_VERIFIES(f.store);
	}
	CHECK_VERIFIES(f.store);
	fixture_close(&f);
}

/* While the range is held they stand in the order of eviction, with nothing to give up. */
static void eviction_passes_it_by(void)
{
	for (int order = 0; order < TMS_ORDERS; order++) {
		open_emptied(order);
		for (uint32_t i = 0; i < 3 * WINDOW; i++) {
			uint32_t key = FRAMES + i;

			CHECK_EQ(fixture_put(&f, f.clean, key, key, RAW), TMS_OK);
			CHECK(place_of(key) == TMS_PLACE_REGION);
		}
		for (uint32_t key = 0; key < WINDOW; key++)
			CHECK_EQ(id_of(&f, f.clean, key), 0);
		CHECK_EQ(fixture_stats(&f).pages_clean, FRAMES - WINDOW);
		CHECK_VERIFIES(f.store);
		fixture_close(&f);
	}
}

static void no_put_is_refused_while_a_clean_page_could_go(void)
{
	struct tms_alloc_request request = request_at(0, LARGE, TMS_EFFORT_DROP);
	struct tms_report report;

	for (int order = 0; order < TMS_ORDERS; order++) {
		CHECK_EQ(fixture_open(&f, &(struct setup){ .frames = 2 * LARGE, .order = order, .packed = true }), TMS_OK);
		for (uint32_t key = 0; key < 2 * LARGE; key++)
			CHECK_EQ(fixture_put(&f, f.clean, key, key + 1, RAW), TMS_OK);
		CHECK_EQ(tms_alloc_contig(f.store, &request, &report), TMS_OK);
		for (uint32_t key = 10000; key < 10060; key++)
			CHECK_EQ(fixture_put(&f, key % 3 ? f.clean : f.swap, key, key, key % 2 ? RAW : 900), TMS_OK);
		for (uint32_t key = 10000; key < 10060; key++)
			CHECK(fixture_holds(&f, key % 3 ? f.clean : f.swap, key, key, key % 2 ? RAW : 900));
		CHECK_VERIFIES(f.store);
		fixture_close(&f);
	}
}

/* The chunk of a window that is being emptied has clean pages beside it. */
static void pages_beside_a_window_in_its_chunk_may_go(void)
{
	uint32_t handle;

	CHECK_EQ(fixture_open(&f, &(struct setup){ .frames = TMS_CHUNK_FRAMES, .order = TMS_ORDER_FIFO }), TMS_OK);
	for (uint32_t key = 0; key < TMS_CHUNK_FRAMES; key++)
		CHECK_EQ(fixture_put(&f, f.clean, key, key + 1, RAW), TMS_OK);
	handle = region_isolate(f.region, 0, 400); /* more of the oldest pages than a put looks at */
	CHECK(handle);
	f.store->held.ceiling.active = true; /* by limits that limit nothing */
	for (uint32_t key = 1000; key < 1050; key++)
		CHECK_EQ(fixture_put(&f, f.swap, key, key, RAW), TMS_OK);
	region_abort(f.region, handle, 0, 400);
	CHECK_VERIFIES(f.store);
	fixture_close(&f);
}

/* The time of an allocation is not for the entries of another one's pages. */
static void an_allocation_does_not_clear_up_what_another_left(void)
{
	struct tms_alloc_request first = request_at(0, LARGE, TMS_EFFORT_DROP);
	struct tms_alloc_request second = request_at(LARGE, 256, TMS_EFFORT_MIGRATE);
	struct tms_report report;

	CHECK_EQ(fixture_open(&f, &(struct setup){ .frames = 2 * LARGE, .order = TMS_ORDER_FIFO }), TMS_OK);
	for (uint32_t key = 0; key < 2 * LARGE; key++)
		CHECK_EQ(fixture_put(&f, key < LARGE || key >= LARGE + 256 ? f.clean : f.swap, key, key + 1, RAW), TMS_OK);
	CHECK_EQ(tms_alloc_contig(f.store, &first, &report), TMS_OK);
	CHECK_EQ(tms_alloc_contig(f.store, &second, &report), TMS_OK);
	CHECK_EQ(report.migrated_inside, 256);
	CHECK_EQ(report.clean_evicted, 256);
	for (uint32_t key = 0; key < LARGE; key++)
		CHECK(id_of(&f, f.clean, key));
	for (uint32_t key = LARGE; key < LARGE + 256; key++)
		CHECK(fixture_holds(&f, f.swap, key, key + 1, RAW));
	CHECK_VERIFIES(f.store);
	fixture_close(&f);
}

int main(void)
{
	RUN(nothing_counts_what_was_left_behind);
	RUN(no_lookup_finds_it);
	RUN(a_put_under_its_key_is_a_new_page);
	RUN(its_frame_is_taken_without_it);
	RUN(eviction_passes_it_by);
	RUN(no_put_is_refused_while_a_clean_page_could_go);
	RUN(pages_beside_a_window_in_its_chunk_may_go);
	RUN(an_allocation_does_not_clear_up_what_another_left);
	return check_finish(__FILE__);
}
