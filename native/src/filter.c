/*
 * filter.c: the admission of clean pages.
 *
 * A copy into the region costs time that a stream of pages, none of which is asked for again, never pays back.  So the
 * pages that are let in without a reason of their own are on trial: each is found by a get, or evicted before.
 *
 *      useful * saved_ns >= (useful + wasted) * copy_ns          all come in (WORTH)
 *      else            ACTIVE, in the ghost (SEEN), or every SAMPLE_EVERY-th (SAMPLE); the rest is COLD
 *
 * The ghost holds one hash in each slot, the last one that fell there; a key is found in it for about as many
 * COLD pages as it has slots, which are at least as many as the region has frames.
 *
 * Owns: the ghost.  Invariant: useful + wasted < 2 * FILTER_ENOUGH.
 * Laws: 1. without evidence everything is let in, and evidence ages: half of it counts half.  2. pages that were chosen
 * are no evidence for those that were not.
 * Locks: the store's.
 */
#include <stdlib.h>

#include "filter.h"

/* Of COLD pages one in so many is let in, so that a change is seen. */
#define SAMPLE_EVERY 32

void filter_init(struct filter *filter)
{
	*filter = (struct filter){ 0 };
}

void filter_deinit(struct filter *filter)
{
	free(filter->ghost);
	filter_init(filter);
}

bool filter_set(struct filter *filter, const struct tms_filter *config, uint32_t pages)
{
	uint32_t slots = 1;

	if (config->enabled && !filter->ghost) {
		while (slots < pages)
			slots <<= 1;
		filter->ghost = calloc(slots, sizeof(*filter->ghost));
		if (!filter->ghost)
			return false;
		filter->ghost_mask = slots - 1;
	}
	filter->config = *config;
	return true;
}

/* Whether the ghost holds the hash, which it does not afterwards, or from now on. */
static bool seen(struct filter *filter, uint64_t hash)
{
	uint32_t *slot = &filter->ghost[hash >> 32 & filter->ghost_mask];
	uint32_t mark = (uint32_t)hash | 1;
	bool found = *slot == mark;

	*slot = found ? 0 : mark;
	return found;
}

enum tms_admit filter_look_up(struct filter *filter, uint64_t hash)
{
	if (seen(filter, hash))
		return TMS_ADMIT_SEEN;
	if (++filter->turned_away < SAMPLE_EVERY)
		return TMS_ADMITS;
	filter->turned_away = 0;
	return TMS_ADMIT_SAMPLE;
}

void filter_learn(struct filter *filter, bool useful)
{
	if (useful)
		filter->useful++;
	else
		filter->wasted++;
	if (filter->useful + filter->wasted < 2 * FILTER_ENOUGH)
		return;
	filter->useful /= 2;
	filter->wasted /= 2;
}

uint64_t filter_bytes(const struct filter *filter)
{
	return filter->ghost ? (filter->ghost_mask + UINT64_C(1)) * sizeof(*filter->ghost) : 0;
}
