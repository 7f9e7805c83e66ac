/*
 * walk.h: going through the frontswap objects of a run of frames.
 *
 * A span is met at its first frame in the run, whatever the order of its frames.  Objects may leave between
 * two steps, and none comes in: the run is isolated.
 */
#ifndef TMS_WALK_H
#define TMS_WALK_H

#include "region.h"

struct walk {
	const struct tms_region *region;
	uint32_t start_pfn;
	uint32_t end_pfn;
	uint32_t pfn; /* where it stands: a frame, and for a packed one a slot of its span */
	uint32_t slot;
};

static inline struct walk walk_begin(const struct tms_region *region, uint32_t start_pfn, uint32_t end_pfn)
{
	return (struct walk){ .region = region, .start_pfn = start_pfn, .end_pfn = end_pfn, .pfn = start_pfn };
}

static inline bool walk_is_over(const struct walk *walk)
{
	return walk->pfn >= walk->end_pfn;
}

/* The object it stands at, or the next one; 0: none is left. */
static inline uint32_t walk_current(struct walk *walk)
{
	for (; walk->pfn < walk->end_pfn; walk->pfn++, walk->slot = 0) {
		uint32_t owner = walk->region->frames.owner[walk->pfn];
		enum frame_state state = frame_state(&walk->region->frames, walk->pfn);

		if (state == FRAME_SWAP && walk->slot == 0)
			return owner;
		if (state == FRAME_PACKED) {
			const struct span *span = packing_span(&walk->region->packing, owner);
			uint32_t id;

			if (span_lowest_pfn(span, walk->start_pfn) != walk->pfn)
				continue;
			walk->slot = span_next_used(span, walk->slot, &id);
			if (walk->slot < span->capacity)
				return id;
		}
	}
	return 0;
}

/* Past the object it stands at. */
static inline void walk_next(struct walk *walk)
{
	walk->slot++;
}

#endif
