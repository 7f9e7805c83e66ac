/*
 * cleaner.h: a store on a virtual clock, pages with and without a copy, and background work one step at a time.
 */
#ifndef TMS_TESTS_CLEANER_H
#define TMS_TESTS_CLEANER_H

#include "inside.h"

#define RAW TMS_PAGE_SIZE
#define CHUNK TMS_CHUNK_FRAMES

static const struct tms_clean_request everything = { .pending_max_bytes = UINT64_MAX / 2, .batch_bytes = 32 * RAW };
static struct fixture f;
static struct holdings *held;
static struct tms_device device;
static uint64_t now_ns;
static struct tms_clean_result result;

static inline void open_store(uint32_t frames, uint64_t reserve_bytes)
{
	now_ns = 1000;
	device = steady_device();
	CHECK_EQ(fixture_open(&f, &(struct setup){ .frames = frames,
						   .packed = true,
						   .denser = true,
						   .reserve_bytes = reserve_bytes,
						   .device = &device,
						   .virtual_ns = &now_ns }),
		 TMS_OK);
	held = &f.store->held;
}

static inline void put(uint32_t from, uint32_t to, uint32_t noise)
{
	for (uint32_t key = from; key < to; key++)
		CHECK_EQ(fixture_put(&f, f.swap, key, key + 1, noise), TMS_OK);
}

static inline void to_reserve(uint32_t from, uint32_t to)
{
	for (uint32_t key = from; key < to; key++)
		CHECK(shrink_to_reserve(held, id_of(&f, f.swap, key), NULL, 0, 0));
}

/* One contract, which allows a window of so many chunks so many bytes without a copy. */
static inline void limit_bytes(uint64_t window_chunks, uint64_t bytes)
{
	const struct tms_ceilings ceilings = {
		.contract = { { .window_chunks = window_chunks, .cpu_ns = UINT64_MAX, .device_bytes = bytes } },
		.contracts = 1,
		.frontswap_permille = 1000,
	};

	CHECK_EQ(tms_set_ceilings(f.store, &ceilings), TMS_OK);
}

static inline enum tms_clean_state step(const struct tms_clean_request *request)
{
	return tms_clean(f.store, request, &result) == TMS_OK ? (enum tms_clean_state)result.state : TMS_CLEAN_IDLE;
}

#endif
