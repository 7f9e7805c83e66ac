/* Everything at once on a clock that runs by itself: pages come and go, two threads allocate, one cleans. */
#include <pthread.h>

#include "fixture.h"

#define RAW TMS_PAGE_SIZE
#define FRAMES (3u * TMS_CHUNK_FRAMES)
#define KEYS 900u
#define ROUNDS 1500

static struct fixture f;
static atomic_bool over;
static atomic_uint wrong;
static atomic_uint met;

/* Keys of its own, so that it knows what they hold. */
struct user {
	uint32_t first;
	uint64_t rng;
	uint32_t seed[KEYS]; /* 0: absent */
};
static struct user user[2];

static uint32_t noise_of(uint32_t seed)
{
	const uint32_t noise[] = { 700, 3600, RAW };

	return noise[seed % 3];
}

static void *use(void *context)
{
	struct user *u = context;

	for (uint32_t round = 1; round < ROUNDS; round++) {
		uint32_t key = rng_below(&u->rng, KEYS);

		if (rng_below(&u->rng, 3) == 0) {
			if (u->seed[key] && !fixture_holds(&f, f.swap, u->first + key, u->seed[key], noise_of(u->seed[key])))
				atomic_fetch_add(&wrong, 1);
		} else if (rng_below(&u->rng, 5) == 0) {
			(void)tms_flush_page(f.store, f.swap, (u->first + key) >> 4, u->first + key);
			u->seed[key] = 0;
		} else {
			u->seed[key] = fixture_put(&f, f.swap, u->first + key, round, noise_of(round)) == TMS_OK ? round : 0;
			(void)fixture_put(&f, f.clean, u->first + key, round, RAW);
		}
	}
	return NULL;
}

static void *allocate(void *context)
{
	uint64_t rng = *(uint64_t *)context;

	while (!atomic_load(&over)) {
		struct tms_alloc_request request =
			request_of(1 + rng_below(&rng, TMS_CHUNK_FRAMES), TMS_EFFORT_MIGRATE + (int32_t)rng_below(&rng, 3));
		struct tms_lease lease = { 0 };
		struct tms_report r;

		request.lease = rng_below(&rng, 2) ? &lease : NULL;
		request.cost.compress_permille = rng_below(&rng, 2) ? 500 : 1000;
		request.deadline_ns = rng_below(&rng, 2) ? UINT64_C(5000000000) : rng_below(&rng, 2000000);
		if (tms_alloc_contig(f.store, &request, &r) != TMS_OK)
			continue;
		if (r.elapsed_ns > request.deadline_ns)
			atomic_fetch_add(&wrong, 1);
		memset(tms_region_address(f.region, r.window.start_pfn), 0xab, r.window.frames * RAW);
		if (request.lease ? !tms_lease_end(&lease) : tms_release(f.store, r.range) != TMS_OK)
			atomic_fetch_add(&wrong, 1);
		atomic_fetch_add(&met, 1);
	}
	return NULL;
}

static void *clean(void *unused)
{
	const struct tms_clean_request request = { .pending_max_bytes = 1 << 20, .batch_bytes = 64 * RAW, .drain = true, .trim = true, .yield = true };

	(void)unused;
	while (!atomic_load(&over)) {
		struct tms_clean_result result;
		const char *broken = "";

		if (tms_clean(f.store, &request, &result) != TMS_OK || tms_verify(f.store, &broken) != TMS_OK) {
			fprintf(stderr, "%s\n", broken);
			atomic_fetch_add(&wrong, 1);
			return NULL;
		}
	}
	return NULL;
}

static void no_page_is_lost_where_everybody_works_at_once(void)
{
	uint64_t seeds[] = { 3, 4 };
	pthread_t users[2];
	pthread_t others[3];

	CHECK_EQ(fixture_open(&f, &(struct setup){ .frames = FRAMES, .spill = true, .packed = true, .denser = true, .reserve_bytes = 100 * RAW }),
		 TMS_OK);
	for (uint32_t i = 0; i < 2; i++) {
		user[i] = (struct user){ .first = i * 10000, .rng = 71 + i };
		CHECK_EQ(pthread_create(&users[i], NULL, use, &user[i]), 0);
		CHECK_EQ(pthread_create(&others[i], NULL, allocate, &seeds[i]), 0);
	}
	CHECK_EQ(pthread_create(&others[2], NULL, clean, NULL), 0);
	for (uint32_t i = 0; i < 2; i++)
		CHECK_EQ(pthread_join(users[i], NULL), 0);
	atomic_store(&over, true);
	for (uint32_t i = 0; i < 3; i++)
		CHECK_EQ(pthread_join(others[i], NULL), 0);
	CHECK_EQ(atomic_load(&wrong), 0);
	CHECK(atomic_load(&met) > 0);
	CHECK_VERIFIES(f.store);
	for (uint32_t i = 0; i < 2; i++)
		for (uint32_t key = 0; key < KEYS; key++)
			CHECK(!user[i].seed[key] || fixture_holds(&f, f.swap, user[i].first + key, user[i].seed[key], noise_of(user[i].seed[key])));
	fixture_close(&f);
}

int main(void)
{
	RUN(no_page_is_lost_where_everybody_works_at_once);
	return check_finish(__FILE__);
}
