/*
 * replays.h: events, and a replay that is ready for them.
 */
#ifndef TMS_TESTS_REPLAYS_H
#define TMS_TESTS_REPLAYS_H

#include "fixture.h"

#define POOLS 2u
#define SLICE_NS UINT64_C(50000000)
#define MS UINT64_C(1000000)

static uint16_t sizes[TMS_REPLAY_SIZES];
static uint32_t page_of_size[TMS_PAGE_SIZE + 1];
static uint8_t *pages; /* number n: as many bytes of noise */
static tms_pool_id clean_pools[POOLS], swap_pools[POOLS];

/* With the fixture's codec a page of noise n takes n + TAIL_OVERHEAD bytes. */
static inline void make_pages(void)
{
	if (pages)
		return;
	pages = malloc((size_t)(TMS_PAGE_SIZE + 1) * TMS_PAGE_SIZE);
	for (uint32_t size = 0; size <= TMS_PAGE_SIZE; size++) {
		uint32_t noise = size <= TAIL_OVERHEAD ? size : size - TAIL_OVERHEAD;

		page_make(pages + (size_t)size * TMS_PAGE_SIZE, size + 1, size == TMS_PAGE_SIZE ? size : noise);
		page_of_size[size] = size;
	}
	for (uint32_t i = 0; i < TMS_REPLAY_SIZES; i++)
		sizes[i] = (uint16_t)(i < 20 ? 0 : i < 40 ? TMS_PAGE_SIZE : 40 + i);
}

static inline void prepare(struct fixture *f, struct tms_replay *ret)
{
	make_pages();
	for (uint32_t pool = 0; pool < POOLS; pool++) {
		CHECK_EQ(tms_pool_create(f->store, 0, NULL, &clean_pools[pool]), TMS_OK);
		CHECK_EQ(tms_pool_create(f->store, TMS_POOL_PERSISTENT, NULL, &swap_pools[pool]), TMS_OK);
	}
	*ret = (struct tms_replay){ .cleancache = clean_pools,
			       .frontswap = swap_pools,
			       .cleancaches = POOLS,
			       .frontswaps = POOLS,
			       .sizes = sizes,
			       .pages = pages,
			       .page_of_size = page_of_size,
			       .seed = 7,
			       .start_ns = tms_now(f->store),
			       .tick_ns = UINT64_MAX,
			       .slice_ns = SLICE_NS };
}

static inline struct tms_event event_of(uint64_t time_ns, enum tms_event_op op, uint32_t key, uint16_t size)
{
	return (struct tms_event){ .time_ns = time_ns, .op = (uint8_t)op, .object = key >> 4, .index = key, .size = size };
}

static inline void with_cleaner(struct tms_replay *replay)
{
	replay->cleans = true;
	replay->clean = (struct tms_clean_request){ .pending_max_bytes = 1 << 20,
					       .batch_bytes = 65536,
					       .cold_bytes = 200000,
					       .drain = true,
					       .trim = true };
}

#endif
