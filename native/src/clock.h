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

/* True: time passes only by clock_spend. */
static inline bool clock_is_virtual(const struct tms_clock *clock)
{
	return clock->spend;
}

/* What work or waiting takes by the model; on a clock that runs by itself nothing. */
static inline void clock_spend(const struct tms_clock *clock, uint64_t ns)
{
	if (clock->spend && ns)
		clock->spend(clock->context, ns);
}

static inline uint64_t clock_cpu_ns(const struct tms_clock *clock)
{
	return clock->cpu_ns(clock->context);
}

#endif
