/* Pools, and flushing: a page, an object, a pool. */
#include <pthread.h>

#include "store.h"
#include "fixture.h"

#define RAW TMS_PAGE_SIZE
#define PAGES 200u /* more than are flushed in one go */

static struct fixture f;
static uint8_t page[RAW];
static const uint8_t uuid[TMS_UUID_SIZE] = { 7 };

static bool open_store(void)
{
	page_make(page, 1, RAW);
	return fixture_open(&f, &(struct setup){ 0 }) == TMS_OK;
}

static bool put_object(tms_pool_id pool, uint64_t object, uint32_t n)
{
	for (uint32_t index = 0; index < n; index++)
		if (tms_put(f.store, pool, object, index, 0, page) != TMS_OK)
			return false;
	return true;
}

static void flags_that_make_no_sense_are_refused(void)
{
	const uint32_t wrong[] = { 8, 1u << 31, TMS_POOL_PERSISTENT | TMS_POOL_SHARED, TMS_POOL_PERSISTENT | TMS_POOL_INCLUSIVE };
	tms_pool_id id = 99;

	CHECK(open_store());
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
		CHECK_EQ(tms_pool_create(f.store, wrong[i], uuid, &id), TMS_E_INVALID);
	CHECK_EQ(tms_pool_create(f.store, TMS_POOL_SHARED, NULL, &id), TMS_E_INVALID);
	CHECK_EQ(id, 99);
	CHECK_EQ(fixture_stats(&f).pools, 2);
	fixture_close(&f);
}

static void a_pool_has_the_flags_it_really_has(void)
{
	uint32_t flags = 99;
	tms_pool_id id;

	CHECK(open_store());
	CHECK_EQ(tms_pool_create(f.store, TMS_POOL_SHARED, uuid, &id), TMS_OK);
	CHECK_EQ(tms_pool_flags(f.store, id, &flags), TMS_OK);
	CHECK_EQ(flags, 0);
	CHECK_EQ(tms_shared_authorize(f.store, uuid, true), TMS_OK);
	CHECK_EQ(tms_pool_create(f.store, TMS_POOL_SHARED | TMS_POOL_INCLUSIVE, uuid, &id), TMS_OK);
	CHECK_EQ(tms_pool_flags(f.store, id, &flags), TMS_OK);
	CHECK_EQ(flags, TMS_POOL_SHARED | TMS_POOL_INCLUSIVE);
	CHECK_EQ(tms_pool_flags(f.store, f.swap, &flags), TMS_OK);
	CHECK_EQ(flags, TMS_POOL_PERSISTENT);
	CHECK_EQ(tms_pool_flags(f.store, 0, &flags), TMS_E_NO_POOL);
	CHECK_EQ(flags, TMS_POOL_PERSISTENT);
	fixture_close(&f);
}

static void a_flush_takes_what_it_names_and_nothing_else(void)
{
	CHECK(open_store());
	CHECK(put_object(f.clean, 1, 50) && put_object(f.clean, 2, 50) && put_object(f.swap, 1, 50));
	CHECK_EQ(tms_flush_page(f.store, f.clean, 1, 7), TMS_OK);
	CHECK_EQ(tms_flush_page(f.store, f.clean, 1, 7), TMS_MISS);
	CHECK_EQ(fixture_stats(&f).pages_clean, 99);
	CHECK_EQ(tms_flush_object(f.store, f.clean, 1), TMS_OK);
	CHECK_EQ(fixture_stats(&f).pages_clean, 50);
	CHECK_EQ(tms_flush_object(f.store, f.clean, 1), TMS_OK);
	CHECK_EQ(tms_flush_pool(f.store, f.clean), TMS_OK);
	CHECK_EQ(fixture_stats(&f).pages_clean, 0);
	CHECK_EQ(fixture_stats(&f).pages_swap, 50);
	CHECK_EQ(fixture_stats(&f).clean_flushes, 100);
	CHECK_EQ(fixture_stats(&f).objects, 1);
	CHECK_VERIFIES(f.store);
	fixture_close(&f);
}

static void a_flush_of_many_pages_takes_every_one(void)
{
	CHECK(open_store());
	CHECK(put_object(f.swap, 5, PAGES));
	CHECK_EQ(tms_flush_object(f.store, f.swap, 5), TMS_OK);
	CHECK_EQ(fixture_stats(&f).pages_swap, 0);
	CHECK(put_object(f.swap, 5, PAGES / 2) && put_object(f.swap, 6, PAGES / 2));
	CHECK_EQ(tms_flush_pool(f.store, f.swap), TMS_OK);
	CHECK_EQ(fixture_stats(&f).pages_swap, 0);
	CHECK_EQ(fixture_stats(&f).swap_flushes, 2 * PAGES);
	CHECK_EQ(fixture_stats(&f).frames_free, FRAMES_PER_MIB);
	CHECK_VERIFIES(f.store);
	fixture_close(&f);
}

static void a_pool_takes_its_pages_with_it_and_its_handle_means_nothing_then(void)
{
	tms_pool_id other;
	uint32_t flags;

	CHECK(open_store());
	CHECK(put_object(f.swap, 5, PAGES) && put_object(f.clean, 5, 3));
	CHECK_EQ(tms_pool_destroy(f.store, f.swap), TMS_OK);
	CHECK_EQ(fixture_stats(&f).pages_swap, 0);
	CHECK_EQ(fixture_stats(&f).pages_clean, 3);
	CHECK_EQ(fixture_stats(&f).pools, 1);
	CHECK_EQ(tms_pool_create(f.store, TMS_POOL_PERSISTENT, NULL, &other), TMS_OK);
	CHECK(other != f.swap);
	CHECK(put_object(other, 5, 1));
	CHECK_EQ(tms_put(f.store, f.swap, 5, 0, 0, page), TMS_E_NO_POOL);
	CHECK_EQ(tms_get(f.store, f.swap, 5, 0, page, NULL), TMS_E_NO_POOL);
	CHECK_EQ(tms_flush_page(f.store, f.swap, 5, 0), TMS_E_NO_POOL);
	CHECK_EQ(tms_flush_object(f.store, f.swap, 5), TMS_E_NO_POOL);
	CHECK_EQ(tms_flush_pool(f.store, f.swap), TMS_E_NO_POOL);
	CHECK_EQ(tms_pool_flags(f.store, f.swap, &flags), TMS_E_NO_POOL);
	CHECK_EQ(tms_pool_destroy(f.store, f.swap), TMS_E_NO_POOL);
	CHECK_EQ(fixture_stats(&f).pages_swap, 1);
	CHECK_VERIFIES(f.store);
	fixture_close(&f);
}

static void a_shared_pool_goes_with_its_last_handle(void)
{
	tms_pool_id a;
	tms_pool_id b;

	CHECK(open_store());
	CHECK_EQ(tms_shared_authorize(f.store, uuid, true), TMS_OK);
	CHECK_EQ(tms_pool_create(f.store, TMS_POOL_SHARED, uuid, &a), TMS_OK);
	CHECK_EQ(tms_pool_create(f.store, TMS_POOL_SHARED, uuid, &b), TMS_OK);
	CHECK(put_object(a, 1, 10));
	CHECK_EQ(tms_pool_destroy(f.store, a), TMS_OK);
	CHECK_EQ(tms_get(f.store, b, 1, 3, page, NULL), TMS_OK);
	CHECK_EQ(tms_pool_destroy(f.store, b), TMS_OK);
	CHECK_EQ(tms_get(f.store, b, 1, 3, page, NULL), TMS_E_NO_POOL);
	CHECK_EQ(fixture_stats(&f).pages_clean, 0);
	CHECK_VERIFIES(f.store);
	fixture_close(&f);
}

#define ROUNDS 200u

static atomic_uint got;

static void *take_the_lock(void *unused)
{
	(void)unused;
	store_lock(f.store);
	atomic_fetch_add(&got, 1);
	store_leave(f.store);
	return NULL;
}

/* Without it, hardly any: whoever is awake takes the lock again at once. */
static void who_sleeps_for_the_lock_gets_it_between_two_steps(void)
{
	uint32_t in_between = 0;

	CHECK(open_store());
	for (uint32_t round = 0; round < ROUNDS; round++) {
		pthread_t other;

		store_lock(f.store);
		CHECK(!pthread_create(&other, NULL, take_the_lock, NULL));
		while (!atomic_load(&f.store->sleepers))
			sched_yield();
		store_leave(f.store);
		store_give_way(f.store);
		store_lock(f.store);
		in_between += atomic_load(&got) == round + 1;
		store_leave(f.store);
		pthread_join(other, NULL);
	}
	CHECK(in_between > ROUNDS / 2);
	fixture_close(&f);
}

int main(void)
{
	RUN(flags_that_make_no_sense_are_refused);
	RUN(a_pool_has_the_flags_it_really_has);
	RUN(a_flush_takes_what_it_names_and_nothing_else);
	RUN(a_flush_of_many_pages_takes_every_one);
	RUN(a_pool_takes_its_pages_with_it_and_its_handle_means_nothing_then);
	RUN(a_shared_pool_goes_with_its_last_handle);
	RUN(who_sleeps_for_the_lock_gets_it_between_two_steps);
	return check_finish(__FILE__);
}
