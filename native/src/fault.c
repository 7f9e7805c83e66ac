/*
 * fault.c: arming and firing of fault sites.
 *
 * Locks: faults.lock, a leaf; never held while a delay passes.
 */
#include <stdlib.h>
#include <time.h>

#include "fault.h"

struct faults *faults_create(void)
{
	struct faults *faults = calloc(1, sizeof(*faults));

	if (!faults)
		return NULL;
	pthread_mutex_init(&faults->lock, NULL);
	atomic_init(&faults->users, 1);
	return faults;
}

void faults_get(struct faults *faults)
{
	atomic_fetch_add(&faults->users, 1);
}

void faults_put(struct faults *faults)
{
	if (atomic_fetch_sub(&faults->users, 1) != 1)
		return;
	pthread_mutex_destroy(&faults->lock);
	free(faults);
}

void faults_set_clock(struct faults *faults, const struct tms_clock *clock)
{
	faults->clock = *clock;
}

void fault_arm(struct faults *faults, int site, const struct fault_site *how)
{
	pthread_mutex_lock(&faults->lock);
	faults->site[site] = *how;
	faults->site[site].fired = 0;
	if (how->count) {
		atomic_fetch_or(&faults->armed, 1U << site);
		atomic_fetch_or(&faults->held, 1U << site);
	} else {
		atomic_fetch_and(&faults->armed, ~(1U << site));
		atomic_fetch_and(&faults->held, ~(1U << site));
	}
	pthread_mutex_unlock(&faults->lock);
}

uint64_t fault_fired(struct faults *faults, int site)
{
	uint64_t fired;

	pthread_mutex_lock(&faults->lock);
	fired = faults->site[site].fired;
	pthread_mutex_unlock(&faults->lock);
	return fired;
}

static void sleep_ns(uint64_t ns)
{
	struct timespec left = { (time_t)(ns / NSEC_PER_SEC), (long)(ns % NSEC_PER_SEC) };

	while (nanosleep(&left, &left))
		;
}

bool fault_hit_armed(struct faults *faults, int site, int32_t *error)
{
	struct fault_site *armed = &faults->site[site];
	uint64_t delay_ns = 0;
	bool fires = false;

	pthread_mutex_lock(&faults->lock);
	if (armed->skip) {
		armed->skip--;
	} else if (armed->count) {
		fires = true;
		armed->fired++;
		*error = armed->error;
		delay_ns = armed->delay_ns;
		if (armed->count != UINT64_MAX && --armed->count == 0)
			atomic_fetch_and(&faults->armed, ~(1U << site));
	}
	pthread_mutex_unlock(&faults->lock);
	if (fires && delay_ns && clock_is_virtual(&faults->clock))
		clock_spend(&faults->clock, delay_ns);
	else if (fires && delay_ns)
		sleep_ns(delay_ns);
	return fires;
}
