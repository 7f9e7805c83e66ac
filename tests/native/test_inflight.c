/* The laws of inflight.c: a frame may be given up while its bytes are on their way, but what comes to it next waits; what a
 * batch's own next page must wait for is copied then and there. */
#include <pthread.h>

#include "inflight.h"

#include "inside.h"

#define RAW TMS_PAGE_SIZE
#define FRAMES 512u
#define OLD 1001u /* the seed of the page in its frame */
#define NEW 2002u
#define HOLD_US 20000 /* long enough for whoever does not wait to be seen */

static struct fixture f;
static uint8_t bytes[RAW]; /* of the page on its way */
static uint32_t flight;

static struct inflight *inflight(void)
{
	return &f.region->inflight;
}

/* Somebody else's copy, as put_flight and get_flight begin theirs. */
static void take_off(uint32_t pfn, uint8_t *to, const uint8_t *from)
{
	pthread_mutex_lock(&f.store->lock);
	inflight_open(inflight(), copy_plain);
	CHECK(inflight_add(inflight(), pfn, to, from));
	flight = inflight_close(inflight());
	pthread_mutex_unlock(&f.store->lock);
}

static void *run(void *work)
{
	(*(void (**)(void))work)();
	return NULL;
}

/* A mutex is given up by the thread that took it, hence a thread for the work that is to wait. */
static void while_on_its_way(void (*work)(void))
{
	pthread_t other;

	CHECK_EQ(pthread_create(&other, NULL, run, &work), 0);
	usleep(HOLD_US);
	inflight_land(inflight(), flight);
	CHECK_EQ(pthread_join(other, NULL), 0);
	CHECK_VERIFIES(f.store);
}

static void open_with(uint32_t pages, bool packed)
{
	CHECK_EQ(fixture_open(&f, &(struct setup){ .frames = FRAMES, .packed = packed, .order = TMS_ORDER_FIFO }), TMS_OK);
	for (uint32_t key = 0; key < pages; key++)
		CHECK_EQ(fixture_put(&f, f.clean, key, key ? key : OLD, RAW), TMS_OK);
	CHECK(!pages || pfn_of(&f, f.clean, 0) == 0);
}

/* ---- by itself ------------------------------------------------------------------------------------------------- */

static void an_open_flight_copies_what_its_next_page_waits_for(void)
{
	static uint8_t to[2][RAW];

	open_with(0, false);
	page_make(bytes, NEW, RAW);
	pthread_mutex_lock(&f.store->lock);
	inflight_open(inflight(), copy_plain);
	CHECK(inflight_add(inflight(), 7, to[0], bytes));
	inflight_await(inflight(), 8, 100);
	CHECK(!page_is(to[0], NEW, RAW));
	inflight_await(inflight(), 7, 8);
	CHECK(page_is(to[0], NEW, RAW));
	memset(to[0], 0, RAW); /* it is not copied again */
	CHECK(inflight_add(inflight(), 7, to[1], bytes));
	flight = inflight_close(inflight());
	pthread_mutex_unlock(&f.store->lock);
	inflight_land(inflight(), flight);
	CHECK(page_is(to[1], NEW, RAW));
	CHECK_EQ(to[0][0], 0);
	fixture_close(&f);
}

static void a_flight_is_full_and_there_are_so_many(void)
{
	static uint8_t to[RAW];
	uint32_t number[FLIGHTS];

	open_with(0, false);
	CHECK(!inflight_add(inflight(), 0, to, bytes)); /* none is open */
	inflight_land(inflight(), FLIGHT_NONE);
	for (uint32_t n = 0; n < FLIGHTS; n++) {
		inflight_open(inflight(), copy_plain);
		for (uint32_t page = 0; page < FLIGHT_PAGES; page++)
			CHECK(inflight_add(inflight(), page, to, bytes));
		CHECK(!inflight_add(inflight(), 99, to, bytes));
		number[n] = inflight_close(inflight());
		CHECK_EQ(number[n], n);
	}
	inflight_open(inflight(), copy_plain);
	CHECK(!inflight_add(inflight(), 99, to, bytes));
	CHECK_EQ(inflight_close(inflight()), FLIGHT_NONE);
	for (uint32_t n = 0; n < FLIGHTS; n++)
		inflight_land(inflight(), number[n]);
	inflight_open(inflight(), copy_plain);
	CHECK_EQ(inflight_close(inflight()), 0);
	inflight_land(inflight(), 0);
	fixture_close(&f);
}

/* ---- a page on its way into its frame ------------------------------------------------------------------------- */

static void get_it(void)
{
	CHECK(fixture_holds(&f, f.clean, 0, NEW, RAW));
}

static void a_get_waits_for_the_page_to_be_whole(void)
{
	open_with(1, false);
	page_make(bytes, NEW, RAW);
	take_off(0, tms_region_address(f.region, 0), bytes);
	while_on_its_way(get_it);
	fixture_close(&f);
}

static void allocate(void)
{
	struct tms_alloc_request request = request_at(0, FRAMES / 2, TMS_EFFORT_DROP);
	struct tms_report report;
	uint8_t *page = tms_region_address(f.region, 0);

	request.zero = true;
	CHECK_EQ(tms_alloc_contig(f.store, &request, &report), TMS_OK);
	CHECK_EQ(report.ending, TMS_MET);
	for (uint32_t at = 0; at < RAW; at++)
		CHECK_EQ(page[at], 0);
}

static void nothing_lands_in_a_range_that_was_handed_over(void)
{
	open_with(FRAMES, false);
	page_make(bytes, NEW, RAW);
	take_off(0, tms_region_address(f.region, 0), bytes);
	while_on_its_way(allocate);
	CHECK_EQ(*(uint8_t *)tms_region_address(f.region, 0), 0);
	fixture_close(&f);
}

/* ---- a page on its way out of its frame, which is given up ----------------------------------------------------- */

static void check_old_page(void)
{
	CHECK(page_is(bytes, OLD, RAW));
	fixture_close(&f);
}

static void an_allocation_waits_for_what_is_read_out_of_its_window(void)
{
	open_with(FRAMES, false);
	take_off(0, bytes, tms_region_address(f.region, 0));
	while_on_its_way(allocate);
	check_old_page();
}

static void flush_and_allocate(void)
{
	CHECK_EQ(tms_flush_page(f.store, f.clean, 0, 0), TMS_OK);
	allocate();
}

static void also_where_the_frame_came_free_before(void)
{
	open_with(FRAMES, false);
	take_off(0, bytes, tms_region_address(f.region, 0));
	while_on_its_way(flush_and_allocate);
	check_old_page();
}

static void flush_and_put(void)
{
	CHECK_EQ(tms_flush_page(f.store, f.clean, 0, 0), TMS_OK);
	CHECK_EQ(fixture_put(&f, f.clean, 900, NEW, RAW), TMS_OK);
	CHECK_EQ(pfn_of(&f, f.clean, 900), 0);
}

static void a_put_waits_for_the_free_frame(void)
{
	open_with(FRAMES, false);
	take_off(0, bytes, tms_region_address(f.region, 0));
	while_on_its_way(flush_and_put);
	check_old_page();
}

static void put_over(void)
{
	CHECK_EQ(fixture_put(&f, f.clean, 900, NEW, RAW), TMS_OK);
	CHECK_EQ(pfn_of(&f, f.clean, 900), 0);
}

static void a_put_waits_for_the_frame_of_its_victim(void)
{
	open_with(FRAMES, false);
	take_off(0, bytes, tms_region_address(f.region, 0));
	while_on_its_way(put_over);
	check_old_page();
}

static void flush_and_store(void)
{
	CHECK_EQ(tms_flush_page(f.store, f.clean, 0, 0), TMS_OK);
	CHECK_EQ(fixture_put(&f, f.swap, 900, NEW, 1000), TMS_OK);
	CHECK_EQ(pfn_of(&f, f.swap, 900), 0);
}

static void a_new_span_waits_for_its_frames(void)
{
	open_with(1, true);
	take_off(0, bytes, tms_region_address(f.region, 0));
	while_on_its_way(flush_and_store);
	check_old_page();
}

/* ---- batches --------------------------------------------------------------------------------------------------- */

#define BATCH 40u

/* One key again and again, and more keys than there are frames: each page may take the frame of one before it. */
static void the_last_page_of_a_key_wins_in_a_batch(void)
{
	static uint8_t pages[BATCH][RAW];
	uint64_t objects[BATCH] = { 0 };
	uint64_t indexes[BATCH];
	bool results[BATCH];
	uint8_t page[RAW];

	CHECK_EQ(fixture_open(&f, &(struct setup){ .frames = FRAMES_PER_MIB, .order = TMS_ORDER_FIFO }), TMS_OK);
	for (uint32_t key = 0; key < FRAMES_PER_MIB - 3; key++)
		CHECK_EQ(fixture_put(&f, f.swap, 5000 + key, 1 + key, RAW), TMS_OK);
	for (uint32_t i = 0; i < BATCH; i++) {
		page_make(pages[i], 100 + i, RAW);
		indexes[i] = i % 5;
	}
	CHECK_EQ(tms_put_many(f.store, f.clean, BATCH, objects, indexes, 0, pages[0], results), TMS_OK);
	CHECK_VERIFIES(f.store);
	for (uint32_t i = 0; i < BATCH; i++)
		CHECK(results[i]);
	for (uint32_t i = BATCH - 3; i < BATCH; i++) {
		CHECK_EQ(tms_get(f.store, f.clean, 0, i % 5, page, NULL), TMS_OK);
		CHECK(page_is(page, 100 + i, RAW));
	}
	CHECK_EQ(tms_get(f.store, f.clean, 0, (BATCH - 4) % 5, page, NULL), TMS_MISS);
	fixture_close(&f);
}

int main(void)
{
	RUN(an_open_flight_copies_what_its_next_page_waits_for);
	RUN(a_flight_is_full_and_there_are_so_many);
	RUN(a_get_waits_for_the_page_to_be_whole);
	RUN(nothing_lands_in_a_range_that_was_handed_over);
	RUN(an_allocation_waits_for_what_is_read_out_of_its_window);
	RUN(also_where_the_frame_came_free_before);
	RUN(a_put_waits_for_the_free_frame);
	RUN(a_put_waits_for_the_frame_of_its_victim);
	RUN(a_new_span_waits_for_its_frames);
	RUN(the_last_page_of_a_key_wins_in_a_batch);
	return check_finish(__FILE__);
}
