/*
 * clock.h: the clock that is used where the caller gives none.
 */
#ifndef TMS_CLOCK_H
#define TMS_CLOCK_H

#include "check.h"

/* CLOCK_MONOTONIC and CLOCK_THREAD_CPUTIME_ID. */
extern const struct tms_clock clock_system;

static inline uint64_t clock_now_ns(const struct tms_clock *clock)
{
	return clock->now_ns(clock->context);
}

static inline uint64_t clock_cpu_ns(const struct tms_clock *clock)
{
	return clock->cpu_ns(clock->context);
}

#endif
