/*
 * Random histories on a virtual clock: pages come and go, ranges are taken and given back at every effort, the
 * cleaner works, the device fails, stalls and gets slower.  After each step the whole store is walked; a shadow
 * knows what every page holds: a persistent page is held and whole, an ephemeral one whole or absent.  The same
 * seed gives the same history.
 */
#include "tmemstore.h"

#include "fixture.h"

#define RAW TMS_PAGE_SIZE
#define FRAMES (2u * TMS_CHUNK_FRAMES + 100)
#define SWAPS 1600u
#define CLEANS 700u
#define RANGES 3u
#define STEPS 2500u
#define MSEC UINT64_C(1000000)

enum content { ABSENT, NOISE, PAIRS };

struct shadow {
	enum content content;
	uint32_t seed;
	uint32_t noise;
};

struct held_range {
	uint32_t range; /* 0: none */
	uint64_t start_pfn, frames;
	uint8_t pattern;
};

static struct fixture f;
static struct tms_device device;
static uint64_t now_ns;
static uint64_t rng;
static struct shadow swap[SWAPS];
static struct shadow clean[CLEANS];
static struct held_range ranges[RANGES];
static uint32_t endings[3];
static uint32_t routes[6]; /* seen: dropped, inside, reserve, compressed, paged out, copied dropped */

static void make(uint8_t *page, const struct shadow *shadow)
{
	(shadow->content == PAIRS ? page_make_pairs : page_make)(page, shadow->seed, shadow->noise);
}

static void put_one(uint32_t step)
{
	const uint32_t noise[] = { 0, 200, 1000, 3600, 3600, 4029, RAW, RAW, RAW };
	const bool persistent = rng_below(&rng, 6);
	const uint32_t key = rng_below(&rng, persistent ? SWAPS : CLEANS);
	struct shadow *shadow = persistent ? &swap[key] : &clean[key];
	uint8_t page[RAW];
	int code;

	*shadow = (struct shadow){ rng_below(&rng, 2) ? NOISE : PAIRS, step, noise[rng_below(&rng, 9)] };
	make(page, shadow);
	code = tms_put(f.store, persistent ? f.swap : f.clean, key >> 4, key, 0, page);
	CHECK(code == TMS_OK || code == TMS_REJECTED);
	if (code == TMS_REJECTED)
		shadow->content = ABSENT;
}

/* may_fail: the device may answer with errors, or not at all. */
static void get_one(bool persistent, uint32_t key, bool may_fail)
{
	struct shadow *shadow = persistent ? &swap[key] : &clean[key];
	uint8_t page[RAW];
	uint8_t expected[RAW];
	int code = fixture_get(&f, persistent ? f.swap : f.clean, key, page);

	if (code < 0) {
		CHECK(persistent && may_fail);
		CHECK(code == TMS_E_SPILL_READ || code == TMS_E_TIMEOUT || code == TMS_E_SPILL_CORRUPT);
		return;
	}
	CHECK(code == TMS_OK || !persistent || shadow->content == ABSENT);
	if (code == TMS_OK) {
		CHECK(shadow->content != ABSENT);
		make(expected, shadow);
		CHECK(!memcmp(page, expected, RAW));
	}
	if (!persistent)
		shadow->content = ABSENT;
}

static void flush_one(void)
{
	const uint32_t key = rng_below(&rng, SWAPS);
	int code = tms_flush_page(f.store, f.swap, key >> 4, key);

	CHECK_EQ(code, swap[key].content == ABSENT ? TMS_MISS : TMS_OK);
	swap[key].content = ABSENT;
}

static void give_back(struct held_range *range)
{
	const uint8_t *at = tms_region_address(f.region, range->start_pfn);

	for (uint64_t i = 0; i < range->frames * RAW; i += 509)
		CHECK_EQ(at[i], range->pattern); /* nobody else wrote there */
	CHECK_EQ(tms_release(f.store, range->range), TMS_OK);
	range->range = 0;
}

static struct tms_alloc_request any_request(void)
{
	const uint32_t sizes[] = { 40, 300, TMS_CHUNK_FRAMES, TMS_CHUNK_FRAMES, TMS_CHUNK_FRAMES, 2 * TMS_CHUNK_FRAMES, FRAMES };
	struct tms_alloc_request request = request_of(sizes[rng_below(&rng, 7)], (int32_t)rng_below(&rng, 2 * TMS_EFFORTS) / 2);

	request.cost = (struct tms_cost){ .t0_ns = 1000,
					  .frame_ns = 10,
					  .drop_ns = 100,
					  .move_ns = 300,
					  .move_ps = 100,
					  .compress_ns = 5000,
					  .compress_permille = rng_below(&rng, 3) ? 600 : 1000,
					  .object_ns = 1000,
					  .byte_ps = 1000,
					  .zero_ns = 200 };
	request.p99 = request.bound = request.cost;
	request.deadline_ns = rng_below(&rng, 3) ? 20 * 1000 * MSEC : rng_below(&rng, 4000) * UINT64_C(2000);
	request.batch_bytes = rng_below(&rng, 2) ? 0 : 40 * RAW;
	request.zero = rng_below(&rng, 4) == 0;
	request.no_wait = rng_below(&rng, 4) == 0;
	request.refuse_over_bound = rng_below(&rng, 2);
	return request;
}

static void alloc_one(void)
{
	struct tms_alloc_request request = any_request();
	struct held_range *range = &ranges[rng_below(&rng, RANGES)];
	uint64_t began_ns = now_ns;
	struct tms_report r;
	int code;

	for (uint32_t i = 0; i < RANGES; i++) {
		if (ranges[i].range && (&ranges[i] == range || rng_below(&rng, 3)))
			give_back(&ranges[i]);
		CHECK_SO_FAR();
	}
	code = tms_alloc_contig(f.store, &request, &r);
	CHECK_EQ(code, r.ending == TMS_MET ? TMS_OK : r.ending == TMS_REFUSED ? TMS_ALLOC_REFUSED : TMS_ALLOC_ABORTED);
	endings[r.ending]++;
	routes[0] += r.clean_dropped > 0;
	routes[1] += r.migrated_inside > 0;
	routes[2] += r.migrated_reserve > 0;
	routes[3] += r.compressed > 0;
	routes[4] += r.paged_out > 0;
	routes[5] += r.copied_dropped > 0;
	CHECK_EQ(r.reason == TMS_REASON_TIME, r.ending == TMS_ABORTED && r.elapsed_ns > request.deadline_ns);
	if (r.ending == TMS_REFUSED)
		CHECK_EQ(now_ns, began_ns);
	if (r.ending != TMS_MET)
		return;
	CHECK(r.elapsed_ns <= request.deadline_ns);
	*range = (struct held_range){ r.range, r.window.start_pfn, r.window.frames, (uint8_t)(1 + rng_below(&rng, 255)) };
	for (uint64_t pfn = 0; request.zero && pfn < range->frames; pfn++)
		CHECK(page_is(tms_region_address(f.region, range->start_pfn + pfn), 0, 0));
	memset(tms_region_address(f.region, range->start_pfn), range->pattern, range->frames * RAW);
}

static void clean_one(void)
{
	const struct tms_clean_request request = { .pending_max_bytes = rng_below(&rng, 200) * (uint64_t)RAW,
						   .batch_bytes = (1 + rng_below(&rng, 128)) * (uint64_t)RAW,
						   .cold_bytes = rng_below(&rng, 3) ? rng_below(&rng, 300) * (uint64_t)RAW : UINT64_MAX,
						   .drain = rng_below(&rng, 2),
						   .trim = rng_below(&rng, 2),
						   .yield = rng_below(&rng, 2) };
	struct tms_clean_result result;

	CHECK_EQ(tms_clean(f.store, &request, &result), TMS_OK);
}

/* hard: what has no copy must fit into the reserve from here on; what is there already may not. */
static void set_ceilings(bool hard)
{
	struct tms_ceilings ceilings = { .frontswap_permille = rng_below(&rng, 2) ? 1000 : 200 + rng_below(&rng, 800), .hard = hard };

	ceilings.contracts = rng_below(&rng, 3);
	for (uint32_t i = 0; i < ceilings.contracts; i++)
		ceilings.contract[i] = (struct tms_ceiling){ .window_chunks = 1 + rng_below(&rng, 2),
							     .cpu_ns = UINT64_MAX / 2,
							     .device_bytes = rng_below(&rng, 600) * (uint64_t)RAW };
	CHECK_EQ(tms_set_ceilings(f.store, &ceilings), TMS_OK);
}

static void through_one(void)
{
	uint64_t objects[8];
	uint64_t indexes[8];
	bool results[8];
	struct tms_wait wait = { .slice_ns = MSEC };
	int code;

	for (uint32_t i = 0; i < 8; i++) {
		uint32_t key = rng_below(&rng, SWAPS / 8) * 8 + i;

		objects[i] = key >> 4;
		indexes[i] = key;
		results[i] = swap[key].content != ABSENT;
	}
	do {
		code = tms_write_through(f.store, f.swap, 8, objects, indexes, results, &wait);
	} while (code == TMS_WAITING && rng_below(&rng, 50));
	if (code == TMS_WAITING)
		tms_write_through_cancel(f.store, &wait);
	CHECK(code == TMS_WAITING || code == TMS_OK || code == TMS_E_TIMEOUT);
	for (uint32_t i = 0; i < 8; i++)
		if (!results[i])
			swap[indexes[i]].content = ABSENT;
}

static void disturb(void)
{
	const struct tms_episode episode = { .duration_ns = rng_below(&rng, 40) * MSEC, .slow_permille = rng_below(&rng, 3) * 4000 };

	switch (rng_below(&rng, 9)) {
	case 0:
	case 1:
	case 2:
		CHECK_EQ(tms_device_episode(f.store, &episode), TMS_OK);
		break;
	case 3:
	case 4:
		CHECK_EQ(tms_fault_arm(f.store, TMS_FAULT_WRITE, rng_below(&rng, 3), 1, EIO, 0), TMS_OK);
		break;
	case 5:
	case 6:
	case 7:
		CHECK_EQ(tms_fault_arm(f.store, TMS_FAULT_READ, rng_below(&rng, 3), 1, EIO, 0), TMS_OK);
		break;
	default:
		CHECK_EQ(tms_fault_arm(f.store, TMS_FAULT_SPAN_ALLOC + (int)rng_below(&rng, 2), 0, 1, 0, 0), TMS_OK);
		break;
	}
}

static void step_once(uint32_t step, bool ceilings)
{
	const uint32_t kind = rng_below(&rng, 100);
	const bool persistent = rng_below(&rng, 2);

	if (kind < 62)
		for (uint32_t n = rng_below(&rng, 30); n && !check_test_failed; n--)
			put_one(step * 32 + n);
	else if (kind < 74)
		get_one(persistent, rng_below(&rng, persistent ? SWAPS : CLEANS), true);
	else if (kind < 80)
		flush_one();
	else if (kind < 90)
		alloc_one();
	else if (kind < 93)
		clean_one();
	else if (kind < 94)
		through_one();
	else if (kind < 97)
		CHECK_EQ(tms_advance(f.store, rng_below(&rng, 2000) * UINT64_C(10000)), TMS_OK);
	else if (kind < 98 && ceilings)
		set_ceilings(rng_below(&rng, 2));
	else
		disturb();
}

/* A number that tells histories apart. */
static uint64_t live(uint64_t seed, int32_t order, bool ceilings)
{
	uint64_t mark = 0;

	rng = seed;
	now_ns = 1000;
	memset(swap, 0, sizeof(swap));
	memset(clean, 0, sizeof(clean));
	memset(ranges, 0, sizeof(ranges));
	device = steady_device();
	device.seed = seed;
	device.sigma_permille = 400;
	device.pause_every_bytes = 100 * RAW;
	device.pause_ns = 2 * MSEC;
	if (fixture_open(&f, &(struct setup){ .frames = FRAMES,
					      .packed = true,
					      .denser = true,
					      .order = order,
					      .reserve_bytes = 120 * RAW,
					      .device = &device,
					      .spill_limit_bytes = 900 * RAW,
					      .virtual_ns = &now_ns }) != TMS_OK)
		return 0;
	for (uint32_t step = 1; step <= STEPS && !check_test_failed; step++) {
		const char *broken = "";

		step_once(step, ceilings);
		if (tms_verify(f.store, &broken) != TMS_OK) {
			fprintf(stderr, "seed %ju, step %u: %s\n", (uintmax_t)seed, step, broken);
			check_test_failed = 1;
		} else if (check_test_failed) {
			fprintf(stderr, "seed %ju, step %u\n", (uintmax_t)seed, step);
		}
		mark = mark * 31 + now_ns;
	}
	for (int site = 0; site < TMS_FAULT_SITES; site++)
		(void)tms_fault_arm(f.store, site, 0, 0, 0, 0);
	(void)tms_advance(f.store, 1000 * 1000 * MSEC);
	for (uint32_t key = 0; key < SWAPS && !check_test_failed; key++)
		get_one(true, key, false);
	for (uint32_t key = 0; key < CLEANS && !check_test_failed; key++)
		get_one(false, key, false);
	if (!check_test_failed)
		fixture_close(&f);
	return mark;
}

static void no_page_is_lost_and_no_structure_broken_whatever_happens(void)
{
	for (uint64_t seed = 1; seed <= 6; seed++) {
		(void)live(seed, (int32_t)((seed - 1) % TMS_ORDERS), true);
		CHECK_SO_FAR();
	}
	for (int i = 0; i < 3; i++)
		CHECK(endings[i] > 10);
	for (int i = 0; i < 6; i++)
		CHECK(routes[i] > 5);
}

static void no_page_is_lost_where_nothing_is_limited(void)
{
	for (uint64_t seed = 11; seed <= 13; seed++) {
		(void)live(seed, TMS_ORDER_SIEVE, false);
		CHECK_SO_FAR();
	}
}

static void the_same_seed_gives_the_same_history(void)
{
	uint64_t mark = live(21, TMS_ORDER_LRU, true);

	CHECK_SO_FAR();
	CHECK(live(21, TMS_ORDER_LRU, true) == mark);
	CHECK(live(22, TMS_ORDER_LRU, true) != mark);
}

int main(void)
{
	RUN(no_page_is_lost_and_no_structure_broken_whatever_happens);
	RUN(no_page_is_lost_where_nothing_is_limited);
	RUN(the_same_seed_gives_the_same_history);
	return check_finish(__FILE__);
}
