/*
 * clock.c: the system's monotonic clock, and one whose time is a number, behind struct tms_clock.
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

static uint64_t virtual_now_ns(void *context)
{
	return __atomic_load_n((uint64_t *)context, __ATOMIC_ACQUIRE);
}

static uint64_t virtual_cpu_ns(void *context)
{
	(void)context;
	return 0;
}

static void virtual_spend(void *context, uint64_t ns)
{
	__atomic_fetch_add((uint64_t *)context, ns, __ATOMIC_ACQ_REL);
}

void tms_virtual_clock(uint64_t *now_ns, struct tms_clock *ret)
{
	*ret = (struct tms_clock){ virtual_now_ns, virtual_cpu_ns, now_ns, virtual_spend };
}

const struct tms_clock clock_system = { .now_ns = system_now_ns, .cpu_ns = system_cpu_ns };
