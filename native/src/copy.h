/*
 * copy.h: copying one page into the region, or out of it.
 */
#ifndef TMS_COPY_H
#define TMS_COPY_H

#include "check.h"

/* Copies a page, and meanwhile hints to the CPU that next will be read soon; null: nothing comes next.  Line by line:
 * all of a page at once fill the places for misses under way, and whatever else is read waits behind them. */
typedef void (*copy_page_fn)(uint8_t *to, const uint8_t *from, const uint8_t *next);

struct copy {
	copy_page_fn page;
	const char *variant;
};

/* The plain copy, which leaves what it wrote in the cache. */
void copy_plain(uint8_t *to, const uint8_t *from, const uint8_t *next);

/* Hints to the CPU: a page will be read soon, with other work before it.  In a loop: unrolled they took 30 ns longer. */
static inline void copy_prefetch(const uint8_t *page)
{
	for (size_t at = 0; at < PAGE_SIZE; at += 64)
		__builtin_prefetch(page + at);
}

/* Of a region without data. */
extern const struct copy copy_nothing;

/* how: enum tms_copy.  AUTO writes past the cache in regions of from_bytes and more.  A CPU without
 * such stores gets the plain copy whatever is asked. */
struct copy copy_choose(int32_t how, uint64_t region_bytes, uint64_t from_bytes);

#endif
