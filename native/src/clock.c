/*
 * clock.c: the system's monotonic clock behind struct tms_clock.
 *
 * The rest of the core reads time through that struct only, so that a replay can put its own in place.
 */
#include <time.h>

#include "clock.h"

static uint64_t read_clock(clockid_t which)
{
	struct timespec now;

	clock_gettime(which, &now);
	return (uint64_t)now.tv_sec * NSEC_PER_SEC + (uint64_t)now.tv_nsec;
}

static uint64_t system_now_ns(void *context)
{
	(void)context;
	return read_clock(CLOCK_MONOTONIC);
}

static uint64_t system_cpu_ns(void *context)
{
	(void)context;
	return read_clock(CLOCK_THREAD_CPUTIME_ID);
}

const struct tms_clock clock_system = { .now_ns = system_now_ns, .cpu_ns = system_cpu_ns };
