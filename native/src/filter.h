/*
 * filter.h: which clean pages are worth their copy.
 */
#ifndef TMS_FILTER_H
#define TMS_FILTER_H

#include "check.h"

/* Pages tried until they say anything, and until the old ones count half. */
#define FILTER_ENOUGH 1024

struct filter {
	struct tms_filter config;
	uint32_t *ghost; /* hashes of keys that were turned away; 0: none */
	uint32_t ghost_mask;
	uint32_t useful; /* of the pages that nobody vouched for: those that a get found */
	uint32_t wasted; /* and those that were evicted before */
	uint32_t turned_away; /* since the last sample */
};

/* Filters nothing. */
void filter_init(struct filter *filter);
void filter_deinit(struct filter *filter);
/* pages: of the region.  False: no memory, and nothing changed. */
bool filter_set(struct filter *filter, const struct tms_filter *config, uint32_t pages);

/* What the pages that were tried say; with too few of them, yes. */
static inline bool filter_finds_worth(const struct filter *filter)
{
	uint64_t tried = (uint64_t)filter->useful + filter->wasted;

	return tried < FILTER_ENOUGH || filter->useful * filter->config.saved_ns >= tried * filter->config.copy_ns;
}

/* A hint to the CPU: what filter_look_up will touch. */
static inline void filter_prefetch(const struct filter *filter, uint64_t hash)
{
	if (filter->ghost)
		__builtin_prefetch(&filter->ghost[hash >> 32 & filter->ghost_mask], 1);
}

/* Of a page that has to have a reason. */
enum tms_admit filter_look_up(struct filter *filter, uint64_t hash);

/* Whether a page is let in, and why; TMS_ADMITS: it is not.  hash: of its key. */
static inline enum tms_admit filter_judge(struct filter *filter, uint64_t hash, bool active)
{
	if (!filter->config.enabled)
		return TMS_ADMIT_WORTH;
	if (active)
		return TMS_ADMIT_ACTIVE;
	return likely(filter_finds_worth(filter)) ? TMS_ADMIT_WORTH : filter_look_up(filter, hash);
}

/* Nobody vouches for such a page: what becomes of it tells whether others like it are worth their copy. */
static inline bool filter_tries(const struct filter *filter, enum tms_admit admit)
{
	return filter->config.enabled && (admit == TMS_ADMIT_WORTH || admit == TMS_ADMIT_SAMPLE);
}

/* A page that was tried: a get found it, or it was evicted before. */
void filter_learn(struct filter *filter, bool useful);

uint64_t filter_bytes(const struct filter *filter);

#endif
