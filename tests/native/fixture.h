/*
 * fixture.h: what the C tests build on: seeded randomness, pages, a codec, a clock, an open store.
 *
 * Seeds stand in the tests, so that a failure repeats.  A test that fails does not free what it holds.
 */
#ifndef TMS_TESTS_FIXTURE_H
#define TMS_TESTS_FIXTURE_H

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tmemstore.h"

#include "check.h"

#define FRAMES_PER_MIB 256u
#define FOR_EVER UINT64_MAX
#define HANGING_SECONDS 10

/* ---- randomness ------------------------------------------------------------------------------------ */

/* xorshift64* (S. Vigna); the state is the seed, and never 0. */
static inline uint64_t rng_next(uint64_t *rng)
{
	*rng ^= *rng >> 12;
	*rng ^= *rng << 25;
	*rng ^= *rng >> 27;
	return *rng * UINT64_C(2685821657736338717);
}

static inline uint32_t rng_below(uint64_t *rng, uint32_t n)
{
	return (uint32_t)((rng_next(rng) >> 32) * n >> 32);
}

/* ---- pages ----------------------------------------------------------------------------------------- */

/* The page of a seed: that many bytes of noise, the last of them not 0, then zeros. */
static inline void page_make(uint8_t *page, uint64_t seed, uint32_t noise)
{
	uint64_t rng = seed * UINT64_C(0x9e3779b97f4a7c15) | 1;

	memset(page, 0, TMS_PAGE_SIZE);
	for (uint32_t at = 0; at < noise; at++)
		page[at] = (uint8_t)(rng_next(&rng) >> 56);
	if (noise)
		page[noise - 1] |= 1;
}

/* The same, each byte of noise twice. */
static inline void page_make_pairs(uint8_t *page, uint64_t seed, uint32_t noise)
{
	uint8_t half[TMS_PAGE_SIZE];

	page_make(half, seed, noise / 2);
	for (uint32_t at = 0; at < TMS_PAGE_SIZE; at++)
		page[at] = half[at / 2];
}

static inline bool page_is(const uint8_t *page, uint64_t seed, uint32_t noise)
{
	uint8_t expected[TMS_PAGE_SIZE];

	page_make(expected, seed, noise);
	return !memcmp(page, expected, TMS_PAGE_SIZE);
}

/* ---- a codec --------------------------------------------------------------------------------------- */

/* With the signatures of liblz4: a 16-bit length, that many bytes, and the byte the rest consists of. */
#define TAIL_OVERHEAD 3

static inline int tail_compress(const char *from, char *to, int bytes, int capacity)
{
	int kept = bytes - 1;

	while (kept > 0 && from[kept - 1] == from[bytes - 1])
		kept--;
	if (kept + TAIL_OVERHEAD > capacity)
		return 0;
	to[0] = (char)(kept & 0xff);
	to[1] = (char)(kept >> 8);
	memcpy(to + 2, from, (size_t)kept);
	to[2 + kept] = from[bytes - 1];
	return kept + TAIL_OVERHEAD;
}

static inline int tail_decompress(const char *from, char *to, int bytes, int capacity)
{
	int kept = bytes < TAIL_OVERHEAD ? -1 : (int)(uint8_t)from[0] | (int)(uint8_t)from[1] << 8;

	if (kept != bytes - TAIL_OVERHEAD || kept > capacity)
		return -1;
	memcpy(to, from + 2, (size_t)kept);
	memset(to + kept, from[2 + kept], (size_t)(capacity - kept));
	return capacity;
}

static inline struct tms_codec tail_codec(void)
{
	return (struct tms_codec){ .kind = TMS_CODEC_LZ4,
				   .lz4_compress_default = (void *)tail_compress,
				   .lz4_decompress_safe = (void *)tail_decompress };
}

/* A denser one, for pages whose bytes come in equal pairs (page_make_pairs): it keeps one of each. */
static inline int run_compress(const char *from, char *to, int bytes, int capacity)
{
	int kept = bytes - 1;

	while (kept > 0 && from[kept - 1] == from[bytes - 1])
		kept--;
	/* Half of what the codec above needs, for pages of pairs. */
	if (kept % 2)
		kept++;
	if (kept / 2 + TAIL_OVERHEAD > capacity)
		return 0;
	for (int at = 0; at < kept; at += 2) {
		if (from[at] != from[at + 1])
			return 0;
		to[2 + at / 2] = from[at];
	}
	to[0] = (char)(kept & 0xff);
	to[1] = (char)(kept >> 8);
	to[2 + kept / 2] = from[bytes - 1];
	return kept / 2 + TAIL_OVERHEAD;
}

static inline int run_decompress(const char *from, char *to, int bytes, int capacity)
{
	int kept = bytes < TAIL_OVERHEAD ? -1 : (int)(uint8_t)from[0] | (int)(uint8_t)from[1] << 8;

	if (kept < 0 || kept / 2 != bytes - TAIL_OVERHEAD || kept > capacity)
		return -1;
	for (int at = 0; at < kept; at++)
		to[at] = from[2 + at / 2];
	memset(to + kept, from[2 + kept / 2], (size_t)(capacity - kept));
	return capacity;
}

static inline struct tms_codec run_codec(void)
{
	return (struct tms_codec){ .kind = TMS_CODEC_LZ4,
				   .lz4_compress_default = (void *)run_compress,
				   .lz4_decompress_safe = (void *)run_decompress };
}

/* ---- a clock --------------------------------------------------------------------------------------- */

/* Stands still but for one jump: from the read with number jump_at on it shows jump_to_ns. */
struct fake_clock {
	_Atomic uint64_t reads;
	_Atomic uint64_t now_ns;
	_Atomic uint64_t jump_at; /* 0: never */
	uint64_t jump_to_ns;
	void (*at_jump)(void); /* called by whoever reads the clock then; null: nothing */
};

static inline bool fake_clock_jumped(const struct fake_clock *fake)
{
	return fake->jump_at && atomic_load(&fake->reads) >= fake->jump_at;
}

static inline uint64_t fake_now_ns(void *context)
{
	struct fake_clock *fake = context;

	if (atomic_fetch_add(&fake->reads, 1) + 1 == fake->jump_at && fake->at_jump)
		fake->at_jump();
	return fake_clock_jumped(fake) ? fake->jump_to_ns : fake->now_ns;
}

static inline uint64_t fake_cpu_ns(void *context)
{
	(void)context;
	return 0;
}

/* ---- a device -------------------------------------------------------------------------------------- */

/* An emulated one in memory, without chance: a millisecond a write, a tenth of that a read, a nanosecond a byte. */
static inline struct tms_device steady_device(void)
{
	return (struct tms_device){ .seed = 1,
				    .write_request_ns = 1000000,
				    .write_byte_ps = 1000,
				    .read_request_ns = 100000,
				    .read_byte_ps = 1000,
				    .in_memory = true };
}

/* ---- a store --------------------------------------------------------------------------------------- */

struct setup {
	uint32_t frames; /* 0: 1 MiB of them */
	bool spill;
	bool packed;     /* the codec above; else none */
	int32_t order;
	uint64_t spill_limit_bytes;
	uint64_t io_timeout_ns; /* 0: half a minute */
	uint64_t reserve_bytes;
	const struct tms_device *device; /* emulated */
	uint64_t *virtual_ns;            /* a virtual clock's time */
	bool denser;                     /* the compress route: the codec below */
	struct fake_clock *fake;
	bool without_data; /* the region */
};

struct fixture {
	tms_region *region;
	tms_store *store;
	tms_pool_id clean;
	tms_pool_id swap;
	struct tms_region_info region_info;
	struct tms_spill_info spill_info;
};

static inline tms_region *region_open_for(const struct setup *setup, struct tms_region_info *info)
{
	const uint64_t bytes = (uint64_t)(setup->frames ? setup->frames : FRAMES_PER_MIB) * TMS_PAGE_SIZE;
	const struct tms_region_config config = { bytes, setup->reserve_bytes, 0, TMS_COPY_PLAIN, false, false, setup->without_data };
	tms_region *region = NULL;

	return tms_region_create(&config, info, &region) == TMS_OK ? region : NULL;
}

static inline tms_region *region_open(uint32_t frames, struct tms_region_info *info)
{
	return region_open_for(&(struct setup){ .frames = frames }, info);
}

static inline int fixture_open(struct fixture *f, const struct setup *setup)
{
	struct tms_clock clock = { .now_ns = fake_now_ns, .cpu_ns = fake_cpu_ns, .context = setup->fake };
	char path[64];
	struct tms_store_config config = {
		.clock = setup->fake || setup->virtual_ns ? &clock : NULL,
		.spill_path = setup->spill ? path : NULL,
		.device = setup->device,
		.spill_limit_bytes = setup->spill_limit_bytes,
		.io_timeout_ns = setup->io_timeout_ns ? setup->io_timeout_ns : UINT64_C(30000000000),
		.io_threads = 2, .io_spins = true,
		.order = setup->order,
	};
	int code;

	if (setup->packed)
		config.codec = tail_codec();
	if (setup->denser)
		config.denser = run_codec();
	if (setup->virtual_ns)
		tms_virtual_clock(setup->virtual_ns, &clock);
	*f = (struct fixture){ 0 };
	snprintf(path, sizeof(path), "fixture-%ld.spill", (long)getpid());
	f->region = region_open_for(setup, &f->region_info);
	if (!f->region)
		return TMS_E_SYSTEM;
	code = tms_store_create(f->region, &config, &f->spill_info, &f->store);
	if (setup->spill)
		unlink(path); /* the store has it open; what a test leaves behind is gone with it */
	if (code == TMS_OK)
		code = tms_pool_create(f->store, 0, NULL, &f->clean);
	if (code == TMS_OK)
		code = tms_pool_create(f->store, TMS_POOL_PERSISTENT, NULL, &f->swap);
	return code;
}

/* How many I/O threads were abandoned. */
static inline uint32_t fixture_close(struct fixture *f)
{
	uint32_t abandoned = 0;

	while (tms_store_close(f->store, UINT64_C(100000000), &abandoned) == TMS_WAITING)
		;
	tms_store_destroy(&f->store);
	tms_region_destroy(&f->region);
	return abandoned;
}

static inline int fixture_put(struct fixture *f, tms_pool_id pool, uint32_t key, uint64_t seed, uint32_t noise)
{
	uint8_t page[TMS_PAGE_SIZE];

	page_make(page, seed, noise);
	return tms_put(f->store, pool, key >> 4, key, 0, page);
}

/* A get that waits for the device, however long. */
static inline int fixture_get(struct fixture *f, tms_pool_id pool, uint32_t key, uint8_t *page)
{
	struct tms_wait wait = { .slice_ns = UINT64_C(50000000) };
	int code;

	do {
		code = tms_get(f->store, pool, key >> 4, key, page, &wait);
	} while (code == TMS_WAITING);
	return code;
}

/* A page whose bytes come in pairs, put and found again. */
static inline int fixture_put_pairs(struct fixture *f, uint32_t key, uint64_t seed, uint32_t noise)
{
	uint8_t page[TMS_PAGE_SIZE];

	page_make_pairs(page, seed, noise);
	return tms_put(f->store, f->swap, key >> 4, key, 0, page);
}

static inline bool fixture_holds_pairs(struct fixture *f, uint32_t key, uint64_t seed, uint32_t noise)
{
	uint8_t expected[TMS_PAGE_SIZE];
	uint8_t page[TMS_PAGE_SIZE];

	page_make_pairs(expected, seed, noise);
	return fixture_get(f, f->swap, key, page) == TMS_OK && !memcmp(page, expected, TMS_PAGE_SIZE);
}

static inline bool fixture_holds(struct fixture *f, tms_pool_id pool, uint32_t key, uint64_t seed, uint32_t noise)
{
	uint8_t page[TMS_PAGE_SIZE];

	return fixture_get(f, pool, key, page) == TMS_OK && page_is(page, seed, noise);
}

static inline int fixture_place(struct fixture *f, tms_pool_id pool, uint32_t key)
{
	const uint64_t object = key >> 4;
	const uint64_t index = key;
	uint8_t place = 0xff;

	return tms_where_many(f->store, pool, 1, &object, &index, &place) == TMS_OK ? place : -1;
}

static inline struct tms_stats fixture_stats(struct fixture *f)
{
	struct tms_stats stats = { 0 };

	(void)tms_stats(f->store, &stats);
	return stats;
}

static inline struct tms_alloc_request request_of(uint64_t frames, int32_t effort)
{
	return (struct tms_alloc_request){
		.frames = frames,
		.align_frames = 1,
		.deadline_ns = UINT64_C(20000000000),
		.cost = { .t0_ns = 1000, .clean_ns = 100, .drop_ns = 100, .object_ns = 2000, .byte_ps = 1000, .zero_ns = 100 },
		.bound = { .t0_ns = 1000, .clean_ns = 100, .drop_ns = 100, .object_ns = 2000, .byte_ps = 1000, .zero_ns = 100 },
		.effort = effort,
	};
}

static inline struct tms_alloc_request request_at(uint64_t start_pfn, uint64_t frames, int32_t effort)
{
	struct tms_alloc_request request = request_of(frames, effort);

	request.fixed = true;
	request.start_pfn = start_pfn;
	return request;
}

/* Every frontswap page that has a frame goes to the spill file, every clean one away.  False: not all did. */
static inline bool fixture_page_out(struct fixture *f)
{
	struct tms_alloc_request request = request_of(f->region_info.frames, TMS_EFFORT_PAGE_OUT);
	struct tms_report report;

	return tms_alloc_contig(f->store, &request, &report) == TMS_OK && tms_release(f->store, report.range) == TMS_OK;
}

#define CHECK_VERIFIES(store) \
	do { \
		const char *check_broken = ""; \
		int check_code = tms_verify(store, &check_broken); \
		if (check_code == TMS_E_BROKEN) \
			fprintf(stderr, "%s\n", check_broken); \
		CHECK_EQ(check_code, TMS_OK); \
	} while (0)

/* ---- a child --------------------------------------------------------------------------------------- */

/* Runs it in a forked child that a hang ends.  True: it answered true. */
static inline bool true_in_child(bool (*ask)(void *context), void *context)
{
	pid_t child = fork();
	int status = 0;

	if (child == 0) {
		alarm(HANGING_SECONDS);
		_exit(ask(context) ? 0 : 1);
	}
	return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

#endif
