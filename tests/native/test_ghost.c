/* Re-use distances of sampled pages, beside a stack too simple to be wrong. */
#include "ghost.h"
#include "hash.h"

#include "fixture.h"

#define FRAMES 256u
#define PAGES 600u
#define STEPS 40000u
#define UNITS_PER_FRAME 64u
#define HALF (TMS_GHOST_BINS / 2)

/* The shadow: places from the newest on; a place holds a page, or is a hole. */
struct place {
	uint32_t page;
	uint32_t units;
	bool hole;
	uint32_t reach;
};
static struct place shadow[STEPS + 1];
static uint32_t places;

static uint64_t hash_of(uint32_t page)
{
	return hash_mix(page + 1);
}

static uint32_t shadow_find(uint32_t page)
{
	for (uint32_t at = 0; at < places; at++)
		if (!shadow[at].hole && shadow[at].page == page)
			return at;
	return UINT32_MAX;
}

static uint32_t shadow_distance(uint32_t at)
{
	uint32_t units = 0;

	while (at)
		units += shadow[--at].units;
	return units;
}

static void shadow_remove_place(uint32_t at)
{
	memmove(&shadow[at], &shadow[at + 1], (--places - at) * sizeof(*shadow));
}

static void shadow_push(uint32_t page, uint32_t units, uint32_t reach)
{
	uint32_t left = units;

	for (uint32_t at = 0; at < places && left;) {
		uint32_t taken = shadow[at].units < left ? shadow[at].units : left;

		if (!shadow[at].hole) {
			at++;
			continue;
		}
		shadow[at].units -= taken;
		left -= taken;
		if (!shadow[at].units)
			shadow_remove_place(at);
	}
	memmove(&shadow[1], &shadow[0], places++ * sizeof(*shadow));
	shadow[0] = (struct place){ page, units, false, reach };
}

/* At the place, or where it was loaded from before. */
static uint32_t shadow_bin(uint32_t at)
{
	uint32_t bin = shadow_distance(at) / (FRAMES * UNITS_PER_FRAME / HALF);

	bin = bin < TMS_GHOST_BINS ? bin : TMS_GHOST_BINS - 1;
	return bin > shadow[at].reach ? bin : shadow[at].reach;
}

static void distances_are_those_of_a_stack_with_holes(void)
{
	struct tms_ghosts expected = { 0 };
	struct tms_ghosts seen;
	struct ghost ghost;
	uint64_t rng = 11;

	ghost_init(&ghost);
	CHECK(ghost_set(&ghost, FRAMES, FRAMES));
	places = 0;
	for (uint32_t step = 0; step < STEPS; step++) {
		/* Some are used more often. */
		uint32_t page = rng_below(&rng, 1 + rng_below(&rng, PAGES));
		uint32_t at = shadow_find(page);
		uint32_t units = 1 + rng_below(&rng, 64);
		uint32_t what = rng_below(&rng, 10);

		if (what < 4) {
			if (at != UINT32_MAX)
				expected.swap_freed_units[shadow_bin(at)] += shadow[at].units;
			ghost_put(&ghost, GHOST_SWAP, hash_of(page), 1, page, units);
			if (at != UINT32_MAX)
				shadow[at].hole = true;
			shadow_push(page, units, 0);
		} else if (what < 9) {
			bool found = rng_below(&rng, 2);
			bool goes = rng_below(&rng, 4) == 0;

			if (at == UINT32_MAX)
				expected.cold[GHOST_SWAP]++;
			else
				(found ? expected.swap_hits : expected.swap_misses)[shadow_bin(at)]++;
			ghost_get(&ghost, GHOST_SWAP, hash_of(page), found, goes);
			if (at != UINT32_MAX) {
				const struct place was = shadow[at];
				const uint32_t reach = shadow_bin(at);

				shadow[at].hole = true;
				if (!goes)
					shadow_push(page, was.units, reach);
			}
		} else {
			if (at != UINT32_MAX) {
				expected.swap_freed_units[shadow_bin(at)] += shadow[at].units;
				shadow[at].hole = true;
			}
			ghost_flush(&ghost, GHOST_SWAP, hash_of(page));
		}
	}
	ghost_read(&ghost, &seen);
	for (uint32_t bin = 0; bin < TMS_GHOST_BINS; bin++) {
		CHECK_EQ(seen.swap_hits[bin], expected.swap_hits[bin]);
		CHECK_EQ(seen.swap_misses[bin], expected.swap_misses[bin]);
		CHECK_EQ(seen.swap_freed_units[bin], expected.swap_freed_units[bin]);
	}
	CHECK_EQ(seen.cold[GHOST_SWAP], expected.cold[GHOST_SWAP]);
	CHECK_EQ(seen.cold[GHOST_CLEAN], 0);
	ghost_deinit(&ghost);
}

static void a_page_that_is_far_away_is_forgotten(void)
{
	struct tms_ghosts seen;
	struct ghost ghost;

	ghost_init(&ghost);
	CHECK(ghost_set(&ghost, FRAMES, FRAMES));
	for (uint32_t page = 0; page < 100 * FRAMES; page++)
		ghost_put(&ghost, GHOST_CLEAN, hash_of(page), 1, page, UNITS_PER_FRAME);
	ghost_get(&ghost, GHOST_CLEAN, hash_of(0), false, true);
	ghost_get(&ghost, GHOST_CLEAN, hash_of(100 * FRAMES - 1), true, true);
	ghost_read(&ghost, &seen);
	CHECK_EQ(seen.cold[GHOST_CLEAN], 1);
	CHECK_EQ(seen.clean_hits[0], 1);
	ghost_deinit(&ghost);
}

static void objects_and_pools_go_with_all_their_pages(void)
{
	struct tms_ghosts seen;
	struct ghost ghost;

	ghost_init(&ghost);
	CHECK(ghost_set(&ghost, FRAMES, FRAMES));
	for (uint32_t page = 0; page < 60; page++)
		ghost_put(&ghost, GHOST_CLEAN, hash_of(page), (uint16_t)(1 + page / 30), page / 10, UNITS_PER_FRAME);
	ghost_flush_object(&ghost, GHOST_CLEAN, 1, 1);
	ghost_flush_object(&ghost, GHOST_CLEAN, 1, 4); /* of the other pool */
	ghost_flush_pool(&ghost, GHOST_CLEAN, 2);
	for (uint32_t page = 0; page < 60; page++)
		ghost_get(&ghost, GHOST_CLEAN, hash_of(page), true, false);
	ghost_read(&ghost, &seen);
	CHECK_EQ(seen.cold[GHOST_CLEAN], 40);
	CHECK_EQ(seen.units[GHOST_CLEAN], 20 * UNITS_PER_FRAME);
	ghost_deinit(&ghost);
}

static void a_share_of_the_keys_stands_for_all(void)
{
	struct ghost ghost;
	uint32_t sampled = 0;

	ghost_init(&ghost);
	CHECK(!ghost_samples(&ghost, 0)); /* as it is at first: nobody is looked at */
	CHECK(ghost_set(&ghost, 1U << 16, 1024));
	for (uint32_t page = 0; page < 1U << 16; page++)
		sampled += ghost_samples(&ghost, hash_of(page));
	CHECK(sampled > 900 && sampled < 1150);
	CHECK(ghost_bytes(&ghost) > 0);
	CHECK(ghost_set(&ghost, 1U << 16, 0));
	CHECK(!ghost_samples(&ghost, 0));
	CHECK_EQ(ghost_bytes(&ghost), 0);
	ghost_deinit(&ghost);
}

static void the_store_tells_what_it_saw(void)
{
	const struct setup setup = { .packed = true };
	struct tms_ghosts seen;
	uint8_t page[TMS_PAGE_SIZE];
	struct fixture f;

	CHECK_EQ(fixture_open(&f, &setup), TMS_OK);
	CHECK_EQ(fixture_put(&f, f.clean, 99, 1, 4096), TMS_OK); /* before it looks */
	CHECK_EQ(fixture_get(&f, f.clean, 99, page), TMS_OK);
	CHECK_EQ(tms_set_ghosts(f.store, f.region_info.frames > FRAMES ? FRAMES : (uint32_t)f.region_info.frames), TMS_OK);
	for (uint32_t key = 0; key < 40; key++) {
		CHECK_EQ(fixture_put(&f, f.clean, key, key + 1, 4096), TMS_OK);
		CHECK_EQ(fixture_put(&f, f.swap, key, key + 1, 1000), TMS_OK);
	}
	CHECK_EQ(fixture_get(&f, f.clean, 3, page), TMS_OK);
	CHECK_EQ(fixture_get(&f, f.clean, 3, page), TMS_MISS); /* the first one took it */
	CHECK_EQ(fixture_get(&f, f.swap, 3, page), TMS_OK);
	CHECK_EQ(fixture_get(&f, f.swap, 3, page), TMS_OK);
	CHECK_EQ(tms_flush_page(f.store, f.swap, 0, 4), TMS_OK);
	CHECK_EQ(tms_flush_object(f.store, f.clean, 0), TMS_OK);
	CHECK_EQ(tms_ghosts(f.store, &seen), TMS_OK);
	CHECK_EQ(seen.clean_hits[36 / 8], 1);
	CHECK_EQ(seen.cold[GHOST_CLEAN], 1);
	CHECK_EQ(seen.swap_hits[0] + seen.swap_hits[1], 2);
	CHECK(seen.swap_freed_units[0] + seen.swap_freed_units[1] > 0);
	CHECK_EQ(seen.accesses, 86);
	CHECK_EQ(seen.let_in, 80);
	CHECK_EQ(seen.units[GHOST_CLEAN], 24 * UNITS_PER_FRAME); /* of object 0 sixteen went */
	CHECK_EQ(seen.units_most[GHOST_CLEAN], 40 * UNITS_PER_FRAME);
	CHECK(seen.units[GHOST_SWAP] > 0);
	CHECK_EQ(tms_pool_destroy(f.store, f.swap), TMS_OK);
	CHECK_EQ(tms_ghosts(f.store, &seen), TMS_OK);
	CHECK_EQ(seen.units[GHOST_SWAP], 0);
	fixture_close(&f);
}

int main(void)
{
	RUN(distances_are_those_of_a_stack_with_holes);
	RUN(a_page_that_is_far_away_is_forgotten);
	RUN(objects_and_pools_go_with_all_their_pages);
	RUN(a_share_of_the_keys_stands_for_all);
	RUN(the_store_tells_what_it_saw);
	return check_finish(__FILE__);
}
