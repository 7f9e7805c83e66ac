/* Taking pages in. */
#include "store.h"
#include "fixture.h"

#define RAW TMS_PAGE_SIZE
#define FRAMES FRAMES_PER_MIB
#define KEYS 600u

static struct fixture f;

static int open_store(bool packed)
{
	return fixture_open(&f, &(struct setup){ .packed = packed });
}

static void every_form_of_a_page_comes_back(void)
{
	const uint32_t sizes[] = { 0, 1, 60, 61, 62, 500, 4000, PACKED_MAX_BYTES - TAIL_OVERHEAD, PACKED_MAX_BYTES - TAIL_OVERHEAD + 1, RAW };

	CHECK_EQ(open_store(true), TMS_OK);
	for (uint32_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		CHECK_EQ(fixture_put(&f, f.swap, i, i + 9, sizes[i]), TMS_OK);
		CHECK_EQ(fixture_put(&f, f.clean, i, i + 5, sizes[i]), TMS_OK);
	}
	CHECK_VERIFIES(f.store);
	CHECK_EQ(fixture_place(&f, f.swap, 0), TMS_PLACE_FILL);
	CHECK_EQ(fixture_place(&f, f.clean, 0), TMS_PLACE_FILL);
	CHECK_EQ(fixture_stats(&f).swap_incompressible, 2);
	CHECK_EQ(fixture_stats(&f).frames_clean, 9);
	for (uint32_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		CHECK(fixture_holds(&f, f.swap, i, i + 9, sizes[i]));
		CHECK(fixture_holds(&f, f.clean, i, i + 5, sizes[i]));
		CHECK_EQ(fixture_place(&f, f.clean, i), TMS_PLACE_ABSENT);
	}
	CHECK_VERIFIES(f.store);
	fixture_close(&f);
}

static void the_callers_bytes_are_copied_before_return(void)
{
	uint8_t page[RAW];

	CHECK_EQ(open_store(false), TMS_OK);
	page_make(page, 1, RAW);
	CHECK_EQ(tms_put(f.store, f.swap, 0, 1, 0, page), TMS_OK);
	memset(page, 0, sizeof(page));
	CHECK(fixture_holds(&f, f.swap, 1, 1, RAW));
	fixture_close(&f);
}

/* The old page is there, the new one is refused: the key is absent. */
static void put_over(tms_pool_id pool, uint32_t noise, enum tms_reject reason)
{
	bool swap = pool_id_is_persistent(pool);
	struct tms_stats stats;
	uint8_t page[RAW];
	uint64_t rejects;

	stats = fixture_stats(&f);
	rejects = swap ? stats.swap_rejects[reason] : stats.clean_rejects[reason];
	CHECK_EQ(fixture_put(&f, pool, 1, 2, noise), TMS_REJECTED);
	CHECK_EQ(fixture_get(&f, pool, 1, page), TMS_MISS);
	stats = fixture_stats(&f);
	CHECK_EQ(swap ? stats.swap_rejects[reason] : stats.clean_rejects[reason], rejects + 1);
	CHECK_VERIFIES(f.store);
}

static void put_put_get_never_returns_old(void)
{
	const int sites[] = { TMS_FAULT_ENTRY_ALLOC, TMS_FAULT_OBJECT_ALLOC, TMS_FAULT_SPAN_ALLOC };
	const uint32_t sizes[] = { 0, 500, RAW };

	for (int swap = 0; swap < 2; swap++)
		for (int size = 0; size < 3; size++)
			for (int site = 0; site < 4; site++) {
				tms_pool_id pool;

				if (site == 2 && !(swap && size == 1))
					continue; /* no span is needed */
				CHECK_EQ(open_store(true), TMS_OK);
				pool = swap ? f.swap : f.clean;
				CHECK_EQ(fixture_put(&f, pool, 1, 1, sizes[(size + 1) % 3]), TMS_OK);
				if (site == 3)
					CHECK_EQ(tms_store_set_enabled(f.store, false), TMS_OK);
				else
					CHECK_EQ(tms_fault_arm(f.store, sites[site], 0, 1, 0, 0), TMS_OK);
				put_over(pool, sizes[size], site == 3 ? TMS_REJECT_DISABLED : TMS_REJECT_MEMORY);
				CHECK_SO_FAR();
				fixture_close(&f);
			}
}

static void a_put_that_finds_no_room_leaves_its_key_absent(void)
{
	CHECK_EQ(open_store(true), TMS_OK);
	for (uint32_t key = 2; key < FRAMES + 2; key++)
		CHECK_EQ(fixture_put(&f, f.swap, key, key, RAW), TMS_OK);
	CHECK_EQ(fixture_put(&f, f.swap, 1, 1, 0), TMS_OK);
	put_over(f.swap, RAW, TMS_REJECT_POOR);
	CHECK_SO_FAR();
	CHECK_EQ(fixture_put(&f, f.swap, 1, 1, 0), TMS_OK);
	put_over(f.swap, 500, TMS_REJECT_FULL);
	CHECK_SO_FAR();
	CHECK_EQ(fixture_put(&f, f.clean, 1, 1, 0), TMS_OK);
	put_over(f.clean, RAW, TMS_REJECT_FULL);
	CHECK_SO_FAR();
	CHECK_EQ(fixture_stats(&f).pages_swap, FRAMES);
	for (uint32_t key = 2; key < FRAMES + 2; key++)
		CHECK(fixture_holds(&f, f.swap, key, key, RAW));
	fixture_close(&f);
}

static void while_disabled_gets_and_flushes_go_on(void)
{
	CHECK_EQ(open_store(false), TMS_OK);
	for (uint32_t key = 0; key < 3; key++)
		CHECK_EQ(fixture_put(&f, f.swap, key, key, RAW), TMS_OK);
	CHECK_EQ(tms_store_set_enabled(f.store, false), TMS_OK);
	CHECK(fixture_holds(&f, f.swap, 1, 1, RAW));
	CHECK_EQ(tms_flush_page(f.store, f.swap, 0, 1), TMS_OK);
	CHECK_EQ(fixture_put(&f, f.swap, 5, 5, RAW), TMS_REJECTED);
	CHECK_EQ(tms_store_set_enabled(f.store, true), TMS_OK);
	CHECK_EQ(fixture_put(&f, f.swap, 5, 5, RAW), TMS_OK);
	fixture_close(&f);
}

static void same_filled_clean_pages_are_no_more_than_the_region_has_frames(void)
{
	CHECK_EQ(open_store(false), TMS_OK);
	for (uint32_t key = 0; key < FRAMES + 10; key++)
		CHECK_EQ(fixture_put(&f, f.clean, key, 0, 0), TMS_OK);
	CHECK_EQ(fixture_stats(&f).pages_fill, FRAMES);
	CHECK_EQ(fixture_stats(&f).clean_evicted, 10);
	for (uint32_t key = 0; key < FRAMES + 10; key++)
		CHECK_EQ(fixture_place(&f, f.clean, key), key < 10 ? TMS_PLACE_ABSENT : TMS_PLACE_FILL);
	CHECK_EQ(fixture_stats(&f).frames_free, FRAMES);
	CHECK_VERIFIES(f.store);
	fixture_close(&f);
}

static void many_puts_are_as_many_single_ones(void)
{
	static uint8_t pages[8][RAW];
	uint64_t objects[8];
	uint64_t indexes[8];
	bool results[8];

	CHECK_EQ(open_store(false), TMS_OK);
	for (uint32_t i = 0; i < 8; i++) {
		page_make(pages[i], i, RAW);
		objects[i] = 0;
		indexes[i] = i;
	}
	indexes[7] = UINT64_C(1) << 32;
	CHECK_EQ(tms_put_many(f.store, f.swap, 8, objects, indexes, 0, pages[0], results), TMS_E_INVALID);
	CHECK_EQ(fixture_stats(&f).pages_swap, 0);
	indexes[7] = 7;
	CHECK_EQ(tms_fault_arm(f.store, TMS_FAULT_ENTRY_ALLOC, 3, 1, 0, 0), TMS_OK);
	CHECK_EQ(tms_put_many(f.store, f.swap, 8, objects, indexes, 0, pages[0], results), TMS_OK);
	for (uint32_t i = 0; i < 8; i++) {
		CHECK_EQ(results[i], i != 3);
		CHECK_EQ(fixture_holds(&f, f.swap, i, i, RAW), i != 3);
	}
	CHECK_EQ(tms_put_many(f.store, 12345, 8, objects, indexes, 0, pages[0], results), TMS_E_NO_POOL);
	fixture_close(&f);
}

/* Frontswap pages come back byte for byte, clean ones too or not at all, whatever came and went. */
static void a_long_history_agrees_with_an_array(void)
{
	static uint32_t swap[KEYS]; /* seed; 0: absent */
	static uint32_t clean[KEYS];
	uint8_t page[RAW];
	uint64_t rng = 101;

	CHECK_EQ(open_store(true), TMS_OK);
	for (uint32_t step = 1; step < 12000; step++) {
		bool is_swap = rng_below(&rng, 2);
		uint32_t key = rng_below(&rng, KEYS);
		uint32_t *seed = &(is_swap ? swap : clean)[key];
		tms_pool_id pool = is_swap ? f.swap : f.clean;

		switch (rng_below(&rng, 4)) {
		case 0:
		case 1:
			*seed = fixture_put(&f, pool, key, step, step % 7 * 682) == TMS_OK ? step : 0;
			break;
		case 2:
			if (fixture_get(&f, pool, key, page) == TMS_OK)
				CHECK(*seed && page_is(page, *seed, *seed % 7 * 682));
			else
				CHECK(!is_swap || !*seed);
			*seed = is_swap ? *seed : 0;
			break;
		default:
			CHECK(tms_flush_page(f.store, pool, key >> 4, key) == (*seed ? TMS_OK : TMS_MISS) || (*seed && !is_swap));
			*seed = 0;
		}
		if (step % 1000 == 0)
			CHECK_VERIFIES(f.store);
	}
	for (uint32_t key = 0; key < KEYS; key++)
		CHECK(!swap[key] || fixture_holds(&f, f.swap, key, swap[key], swap[key] % 7 * 682));
	CHECK(fixture_stats(&f).clean_evicted > 0 && fixture_stats(&f).compactions > 0);
	fixture_close(&f);
}

int main(void)
{
	RUN(every_form_of_a_page_comes_back);
	RUN(the_callers_bytes_are_copied_before_return);
	RUN(put_put_get_never_returns_old);
	RUN(a_put_that_finds_no_room_leaves_its_key_absent);
	RUN(while_disabled_gets_and_flushes_go_on);
	RUN(same_filled_clean_pages_are_no_more_than_the_region_has_frames);
	RUN(many_puts_are_as_many_single_ones);
	RUN(a_long_history_agrees_with_an_array);
	return check_finish(__FILE__);
}
