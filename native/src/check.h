/*
 * check.h: what every file of the core may assume.
 *
 * Nothing here aborts: a broken invariant is found by tms_verify and reported, never by a signal.
 */
#ifndef TMS_CHECK_H
#define TMS_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tmemstore.h"

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#define PAGE_SIZE ((size_t)TMS_PAGE_SIZE)
#define PAGE_SHIFT 12
#define CHUNK_SHIFT 9
#define NSEC_PER_MSEC UINT64_C(1000000)
#define NSEC_PER_SEC UINT64_C(1000000000)

_Static_assert(TMS_PAGE_SIZE == 1 << PAGE_SHIFT, "a page is 4 KiB");
_Static_assert(TMS_CHUNK_FRAMES == 1 << CHUNK_SHIFT, "a chunk is 2 MiB");

/* Ids of records and numbers of frames are 32 bits wide.  Id 0 is no record; PFN_NONE is no frame. */
#define PFN_NONE UINT32_MAX

/* Of Linux 5.14, before which it is refused; older libc headers lack it. */
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

/* In a loop that waits for another CPU. */
static inline void cpu_relax(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static inline uint64_t round_up_u64(uint64_t value, uint64_t step)
{
	return (value + step - 1) / step * step;
}

#endif
