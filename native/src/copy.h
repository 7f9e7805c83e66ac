/*
 * copy.h: copying one page into the region, or out of it.
 */
#ifndef TMS_COPY_H
#define TMS_COPY_H

#include "check.h"

typedef void (*copy_page_fn)(uint8_t *to, const uint8_t *from);

struct copy {
	copy_page_fn page;
	const char *variant;
};

/* The plain copy, which leaves what it wrote in the cache. */
void copy_plain(uint8_t *to, const uint8_t *from);

/* Where a page begins that is copied soon: reading on, the CPU finds the rest by itself. */
#define COPY_BEGIN 1024

/* Hints to the CPU: a page will be copied soon.  All its lines would fill the places for misses under way, and what else
 * is read waits behind them: up to 150 ns a page. */
static inline void copy_prefetch(const uint8_t *page)
{
	for (size_t at = 0; at < COPY_BEGIN; at += 64)
		__builtin_prefetch(page + at);
}

/* Before the lock is taken: the system brings in now what it would bring in when the page is copied, from whatever device,
 * while all others waited.  A page may lie in two of the system's; in one, one look is enough. */
static inline void copy_touch(const uint8_t *page)
{
	const volatile uint8_t *at = page;

	(void)at[0];
	(void)at[-(uintptr_t)page & (PAGE_SIZE - 1)];
}

/* Of a region without data. */
extern const struct copy copy_nothing;

/* how: enum tms_copy.  AUTO writes past the cache in regions of from_bytes and more.  A CPU without
 * such stores gets the plain copy whatever is asked. */
struct copy copy_choose(int32_t how, uint64_t region_bytes, uint64_t from_bytes);

#endif
