/* Hard contracts: what has no completed copy always has room in the reserve. */
#include "ceilings.h"

/* Whatever sizes come: what has no copy fits into the reserve, object by object. */
static void under_a_hard_contract_every_page_without_a_copy_has_room_in_the_reserve(void)
{
	const uint32_t noise[] = { 1, 61, 62, 63, 64, 65, 2045, 2046, 2049, 4029, 4030, 4033, RAW };
	const uint64_t reserves[] = { 1, 2, 17, 300 };
	const struct tms_ceilings ceilings = { .frontswap_permille = 1000, .hard = true };

	for (int n = 0; n < 13 * 4; n++) {
		struct tms_alloc_request request = request_of(2 * CHUNK, TMS_EFFORT_MIGRATE);
		struct tms_report r;
		uint32_t keys;

		open_store(&(struct setup){ .frames = 2 * CHUNK, .packed = true, .reserve_bytes = reserves[n % 4] * RAW });
		set(&ceilings);
		keys = fill(noise[n / 4]);
		CHECK(units_uncopied(0, UINT32_MAX) <= held->region->reserve.units);
		CHECK(held->region->reserve.units - units_uncopied(0, UINT32_MAX) < 64);
		CHECK_EQ(tms_alloc_contig(f.store, &request, &r), TMS_OK);
		CHECK_EQ(r.migrated_reserve, keys);
		CHECK_VERIFIES(f.store);
		memset(tms_region_address(f.region, 0), 0xdd, 2 * CHUNK * (size_t)RAW);
		CHECK(all_hold(keys, noise[n / 4]));
		fixture_close(&f);
	}
}

/* Sizes mixed at random, pages overwritten and flushed, allocated and released again and again. */
static void the_reserve_suffices_whatever_comes_and_goes(void)
{
	const struct tms_ceilings ceilings = { .frontswap_permille = 1000, .hard = true };
	const uint32_t sizes[] = { 1, 62, 700, 2049, 4029, RAW };
	static uint32_t noise[400];
	static uint32_t seed[400];
	uint64_t rng = 4711;

	memset(noise, 0, sizeof(noise));
	open_store(&(struct setup){ .frames = CHUNK + 100, .packed = true, .reserve_bytes = 50 * RAW });
	set(&ceilings);
	for (uint32_t step = 1; step < 6000; step++) {
		uint32_t key = rng_below(&rng, 400);
		uint32_t kind = rng_below(&rng, 20);

		if (kind == 0) {
			struct tms_alloc_request request = request_of(rng_below(&rng, 2) ? CHUNK + 100 : CHUNK, TMS_EFFORT_MIGRATE);
			struct tms_report r;

			CHECK_EQ(tms_alloc_contig(f.store, &request, &r), TMS_OK);
			CHECK_EQ(tms_release(f.store, r.range), TMS_OK);
		} else if (kind < 5) {
			CHECK_EQ(tms_flush_page(f.store, f.swap, key >> 4, key), noise[key] ? TMS_OK : TMS_MISS);
			noise[key] = 0;
		} else {
			noise[key] = sizes[rng_below(&rng, 6)];
			seed[key] = step;
			if (fixture_put(&f, f.swap, key, step, noise[key]) != TMS_OK)
				noise[key] = 0;
		}
		CHECK(units_uncopied(0, UINT32_MAX) <= held->region->reserve.units);
		CHECK_VERIFIES(f.store);
		key = rng_below(&rng, 400);
		CHECK(!noise[key] || fixture_holds(&f, f.swap, key, seed[key], noise[key]));
	}
	CHECK(fixture_stats(&f).swap_rejects[TMS_REJECT_CEILING] > 100);
	fixture_close(&f);
}

static void a_completed_copy_makes_room_under_a_hard_contract_and_a_write_under_way_does_not(void)
{
	const struct tms_ceilings ceilings = { .frontswap_permille = 1000, .hard = true };
	uint32_t ids[10];
	struct page_out *batch;

	open_store(&(struct setup){ .frames = CHUNK, .spill = true, .reserve_bytes = 10 * RAW });
	set(&ceilings);
	CHECK_EQ(fill(RAW), 10);
	for (uint32_t key = 0; key < 10; key++)
		ids[key] = id_of(&f, f.swap, key);
	batch = batch_of(&f, ids, 10, TMS_CAUSE_CLEAN, NULL);
	CHECK_EQ(fixture_put(&f, f.swap, 10, 11, RAW), TMS_REJECTED);
	batch_complete(&f, batch, EIO);
	CHECK_EQ(fixture_put(&f, f.swap, 10, 11, RAW), TMS_REJECTED);
	batch_complete(&f, batch_of(&f, ids, 10, TMS_CAUSE_CLEAN, NULL), 0);
	CHECK_EQ(fixture_put(&f, f.swap, 10, 11, RAW), TMS_OK);
	CHECK_VERIFIES(f.store);
	fixture_close(&f);
}

int main(void)
{
	RUN(under_a_hard_contract_every_page_without_a_copy_has_room_in_the_reserve);
	RUN(the_reserve_suffices_whatever_comes_and_goes);
	RUN(a_completed_copy_makes_room_under_a_hard_contract_and_a_write_under_way_does_not);
	return check_finish(__FILE__);
}
