/*
 * operations.c: does one kind of operation a few thousand times, for callgrind to count its instructions.
 *
 *      operations put|get|store|load|drop      prints how many pages measured() put, got, ... or dropped
 *      operations combination                  prints what the counts hold for: "gcc 12.2.0, glibc 2.36, x86_64"
 *
 * Laws: 1. a count repeats exactly: keys come from a seed, the clock stands still, pages are page aligned, and there is
 * one thread.  2. all that is not the operation itself is done outside measured().  3. where an operation did not do
 * what its kind is about, the program fails, and nothing is counted for it.  What it holds the system takes back.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "tmemstore.h"

#if defined(__GLIBC__)
#include <gnu/libc-version.h>
#define LIBC "glibc"
#else
#define LIBC "another libc"
#define gnu_get_libc_version() "of no known version"
#endif

#if defined(__clang__)
#define COMPILER "clang"
#define VERSION __clang_major__, __clang_minor__, __clang_patchlevel__
#else
#define COMPILER "gcc"
#define VERSION __GNUC__, __GNUC_MINOR__, __GNUC_PATCHLEVEL__
#endif

/* 16 MiB, since filling it is simulated too.  With sixteen times as many frames a count a page is the same but for 1 %,
 * drop excepted: the search looks at every chunk, which adds a fifth. */
#define FRAMES 4096u
#define KEYS (4 * FRAMES)
#define OPERATIONS 2048u
#define HISTORY (8 * FRAMES)
/* Of the store that holds both kinds of pages. */
#define SWAP_PAGES OPERATIONS
#define WINDOWS (OPERATIONS / TMS_CHUNK_FRAMES)

/* By turns, so that no page is what the one before it in its frame was. */
#define PAGES 16u
static _Alignas(4096) uint8_t pages[PAGES][TMS_PAGE_SIZE];
static _Alignas(4096) uint8_t answer[TMS_PAGE_SIZE];

static tms_region *region;
static tms_store *store;
static tms_pool_id clean;
static tms_pool_id swap;
static uint32_t chosen[KEYS];
static uint64_t random_state = 1;

/* splitmix64 (S. Vigna). */
static uint64_t draw(uint64_t below)
{
	uint64_t x = random_state += UINT64_C(0x9e3779b97f4a7c15);

	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return (x ^ x >> 31) % below;
}

/* ---- keys: 16 pages an object ---------------------------------------------------------------------- */

static int put(tms_pool_id pool, uint32_t key, uint32_t page)
{
	return tms_put(store, pool, key >> 4, key & 15, 0, pages[page % PAGES]);
}

static int get(tms_pool_id pool, uint32_t key)
{
	return tms_get(store, pool, key >> 4, key & 15, answer, NULL);
}

static int place_of(tms_pool_id pool, uint32_t key)
{
	uint64_t object = key >> 4;
	uint64_t index = key & 15;
	uint8_t place = 0xff;

	return tms_where_many(store, pool, 1, &object, &index, &place) == TMS_OK ? place : -1;
}

/* Keys whose data is there, or is absent, at random and each once, into chosen.  How many there are. */
static uint32_t choose(tms_pool_id pool, int place)
{
	uint32_t n = 0;

	for (uint32_t key = 0; key < KEYS; key++) {
		uint32_t at = (uint32_t)draw(n + 1);

		if (place_of(pool, key) != place)
			continue;
		chosen[n++] = chosen[at];
		chosen[at] = key;
	}
	return n;
}

/* ---- what is counted ------------------------------------------------------------------------------- */

/* Each does the i-th operation.  False: it did not. */
typedef bool (*operation)(uint32_t i);

static bool put_clean(uint32_t i)
{
	return put(clean, chosen[i], i) == TMS_OK;
}

static bool get_clean(uint32_t i)
{
	return get(clean, chosen[i]) == TMS_OK;
}

static bool store_swap(uint32_t i)
{
	return put(swap, chosen[i], i) == TMS_OK;
}

static bool load_swap(uint32_t i)
{
	return get(swap, chosen[i]) == TMS_OK;
}

/* Searched for, as a user has it; never given back, so that the next one is full of clean pages too. */
static bool alloc_window(uint32_t i)
{
	static const struct tms_cost cost = { .t0_ns = 1000, .clean_ns = 100, .drop_ns = 100 };
	static const struct tms_alloc_request request = { .frames = TMS_CHUNK_FRAMES,
							  .align_frames = 1,
							  .deadline_ns = UINT64_C(1000000000),
							  .cost = cost,
							  .p99 = cost,
							  .bound = cost,
							  .effort = TMS_EFFORT_DROP };
	struct tms_report report;

	(void)i;
	return tms_alloc_contig(store, &request, &report) == TMS_OK && report.clean_dropped == TMS_CHUNK_FRAMES;
}

/* How many were done.  Counted from its first instruction to its last; the test names it to callgrind. */
uint32_t measured(operation operate, uint32_t n);
__attribute__((noinline)) uint32_t measured(operation operate, uint32_t n)
{
	uint32_t done = 0;

	for (uint32_t i = 0; i < n; i++)
		done += operate(i);
	return done;
}

/* ---- kinds ----------------------------------------------------------------------------------------- */

static const struct kind {
	const char *name;
	bool with_swap; /* the store holds frontswap pages as well */
	operation operate;
	uint32_t times;
	uint32_t pages;   /* that all of them together concern: the count is divided by it */
	int place;        /* of the keys, before */
	uint64_t evicted; /* clean pages, by all of them */
	uint64_t fewer;   /* clean pages in the store, after all of them */
} kinds[] = {
	{ "put", false, put_clean, OPERATIONS, OPERATIONS, TMS_PLACE_ABSENT, OPERATIONS, 0 },
	{ "get", false, get_clean, OPERATIONS, OPERATIONS, TMS_PLACE_REGION, 0, OPERATIONS },
	{ "store", true, store_swap, OPERATIONS, OPERATIONS, TMS_PLACE_REGION, 0, 0 },
	{ "load", true, load_swap, OPERATIONS, OPERATIONS, TMS_PLACE_REGION, 0, 0 },
	{ "drop", false, alloc_window, WINDOWS, OPERATIONS, TMS_PLACE_REGION, 0, OPERATIONS },
};

static uint64_t standing_still(void *context)
{
	(void)context;
	return 1;
}

static bool open_store(void)
{
	static const struct tms_clock clock = { .now_ns = standing_still, .cpu_ns = standing_still };
	struct tms_region_config config = { .size_bytes = (uint64_t)FRAMES * TMS_PAGE_SIZE, .copy = TMS_COPY_AUTO };
	struct tms_store_config store_config = {
		.clock = &clock, .io_timeout_ns = 1, .io_threads = 1, .order = TMS_ORDER_SIEVE
	};
	struct tms_region_info info;
	struct tms_spill_info spill_info;

	return tms_region_create(&config, &info, &region) == TMS_OK &&
	       tms_store_create(region, &store_config, &spill_info, &store) == TMS_OK &&
	       tms_pool_create(store, 0, NULL, &clean) == TMS_OK &&
	       tms_pool_create(store, TMS_POOL_PERSISTENT, NULL, &swap) == TMS_OK;
}

static struct tms_stats stats_now(void)
{
	struct tms_stats stats = { 0 };

	(void)tms_stats(store, &stats);
	return stats;
}

/* Pages come, go and come again until frames and chains are well mixed; then no frame stays free. */
static void live_through_history(bool with_swap)
{
	for (uint32_t key = 0; with_swap && key < SWAP_PAGES; key++)
		(void)put(swap, key, key);
	for (uint32_t i = 0; i < HISTORY; i++) {
		uint32_t key = (uint32_t)draw(KEYS);

		if (i % 8 == 0)
			(void)get(clean, key);
		else if (i % 8 == 1)
			(void)tms_flush_page(store, clean, key >> 4, key & 15);
		else if (i % 2 && with_swap)
			(void)put(swap, key % SWAP_PAGES, i);
		else
			(void)put(clean, key, i);
	}
	while (stats_now().frames_free)
		(void)put(clean, (uint32_t)draw(KEYS), 0);
}

/* What is wrong, or NULL. */
static const char *run(const struct kind *kind)
{
	const char *broken = "";
	struct tms_stats before;
	struct tms_stats after;

	if (!open_store())
		return "no region, or no store";
	live_through_history(kind->with_swap);
	if (choose(kind->with_swap ? swap : clean, kind->place) < kind->times)
		return "too few keys to choose from";
	before = stats_now();
	if (measured(kind->operate, kind->times) != kind->times)
		return "an operation was refused, or found nothing";
	after = stats_now();
	if (after.clean_evicted - before.clean_evicted != kind->evicted)
		return "not as many clean pages were evicted as should be";
	if (before.pages_clean - after.pages_clean != kind->fewer || before.pages_swap != after.pages_swap)
		return "not as many pages are left as should be";
	return tms_verify(store, &broken) == TMS_OK ? NULL : broken;
}

/* The program's exit status. */
static int count(const struct kind *kind)
{
	const char *wrong = run(kind);

	if (wrong)
		fprintf(stderr, "%s: %s\n", kind->name, wrong);
	else
		printf("%u\n", kind->pages);
	return wrong != NULL;
}

static int print_combination(void)
{
	struct utsname machine;

	if (uname(&machine))
		return 1;
	printf(COMPILER " %d.%d.%d, " LIBC " %s, %s\n", VERSION, gnu_get_libc_version(), machine.machine);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc != 2)
		return 2;
	if (!strcmp(argv[1], "combination"))
		return print_combination();
	for (uint32_t at = 0; at < PAGES * TMS_PAGE_SIZE; at++)
		pages[at / TMS_PAGE_SIZE][at % TMS_PAGE_SIZE] = (uint8_t)draw(256);
	for (size_t k = 0; k < sizeof(kinds) / sizeof(*kinds); k++)
		if (!strcmp(argv[1], kinds[k].name))
			return count(&kinds[k]);
	return 2;
}
