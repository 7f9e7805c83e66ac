/*
 * fault.h: named places where a test can make the world fail.
 *
 * Owns: what is armed.  Any thread may hit a site; where nothing is armed that is one relaxed load.
 */
#ifndef TMS_FAULT_H
#define TMS_FAULT_H

#include <pthread.h>
#include <stdatomic.h>

#include "clock.h"

struct fault_site {
	uint64_t skip;
	uint64_t count;
	uint64_t fired;
	uint64_t delay_ns;
	int32_t error;
};

/* Shared by the store and the I/O layer, which may outlive it. */
struct faults {
	atomic_uint users;
	atomic_uint armed; /* bit s: site s has count left */
	atomic_uint held;  /* bit s: site s was armed and is not disarmed */
	pthread_mutex_t lock;
	struct tms_clock clock; /* that delays are spent on, if it is virtual; else they are slept */
	struct fault_site site[TMS_FAULT_SITES];
};

/* Null: no memory.  One user. */
struct faults *faults_create(void);
void faults_get(struct faults *faults);
void faults_put(struct faults *faults);
/* Before anybody else knows them. */
void faults_set_clock(struct faults *faults, const struct tms_clock *clock);
void fault_arm(struct faults *faults, int site, const struct fault_site *how);
uint64_t fault_fired(struct faults *faults, int site);

bool fault_hit_armed(struct faults *faults, int site, int32_t *error);

static inline bool fault_is_armed(struct faults *faults, int site)
{
	return atomic_load_explicit(&faults->armed, memory_order_relaxed) >> site & 1;
}

/* A site that holds up whoever it fired on does so until this is false. */
static inline bool fault_is_held(struct faults *faults, int site)
{
	return atomic_load_explicit(&faults->held, memory_order_relaxed) >> site & 1;
}

/* True: the site fires now, its delay being over.  *error is the armed error. */
static inline bool fault_hit(struct faults *faults, int site, int32_t *error)
{
	return unlikely(fault_is_armed(faults, site)) && fault_hit_armed(faults, site, error);
}

/* True: the site fires now. */
static inline bool fault_fires(struct faults *faults, int site)
{
	int32_t unused;

	return fault_hit(faults, site, &unused);
}

#endif
