/*
 * verify_inner.h: a walk over all structures, as its two files see it.
 */
#ifndef TMS_VERIFY_INNER_H
#define TMS_VERIFY_INNER_H

#include "store.h"

struct audit {
	const struct holdings *held;
	const char *broken;
	/* recounted */
	struct tms_chunk *chunk;
	uint16_t *users;
	uint64_t left_behind; /* entries of pages that were dropped with their windows */
	uint64_t clean, swap, fill, fill_clean, spilled, copied, bytes;
	uint64_t reserve, reserve_units, uncopied_units;
};

static inline bool holds(struct audit *audit, bool condition, const char *invariant)
{
	if (!condition && !audit->broken)
		audit->broken = invariant;
	return condition;
}

/* Entries, objects, eviction order, ages; recounts what they hold. */
void verify_pages(struct audit *audit);

#endif
