/*
 * drop.c: what remains in a window once its frontswap pages lie elsewhere or have a copy.
 *
 * Laws: 1. frontswap pages are dropped first, clean pages last: they are what an abort should not cost.  2. a
 * persistent page without a copy is not dropped; the window then cannot be emptied.  3. the lock is given up every few
 * hundred objects.
 * Locks: takes and gives up the store's.
 */
#include "drop.h"

/* Frontswap pages dropped in one go, or frames passed over, before others get the lock (as in move.c). */
#define STEP 256
/* Frames looked at for clean pages in one go: some 10 us. */
#define CLEAN_STEP 32768

static bool is_late(const struct drop *drop)
{
	return clock_now_ns(&drop->store->clock) > drop->deadline_ns;
}

/* False: a persistent page without a copy. */
static bool drop_resident(struct drop *drop, uint32_t id)
{
	if (!(holdings_entry(&drop->store->held, id)->flags & ENTRY_COPY))
		return false;
	shrink_drop_resident(&drop->store->held, id);
	drop->frontswap++;
	return true;
}

/* Drops all objects of the span, which is gone with the last. */
static bool drop_span(struct drop *drop, uint32_t span_id, uint32_t *dropped)
{
	const struct span *span = packing_span(&drop->store->held.region->packing, span_id);
	uint32_t left = span->used;
	uint32_t slot = 0;
	uint32_t id;

	for (*dropped = left; left; left--) {
		slot = span_next_used(span, slot, &id);
		if (!drop_resident(drop, id))
			return false;
		slot++;
	}
	return true;
}

static bool drop_frame(struct drop *drop, uint32_t pfn, uint32_t *dropped)
{
	const struct frame_table *frames = &drop->store->held.region->frames;
	uint32_t owner = frames->owner[pfn];

	*dropped = 1;
	switch (frame_state(frames, pfn)) {
	case FRAME_SWAP:
		return drop_resident(drop, owner);
	case FRAME_PACKED:
		return drop_span(drop, owner, dropped);
	default:
		*dropped = 0;
		return true;
	}
}

/* Of the pass over frontswap pages, from *pfn on, under the lock: STEP frames, or fewer if they hold many objects. */
static bool drop_frontswap(struct drop *drop, uint32_t *pfn)
{
	const struct frame_table *frames = &drop->store->held.region->frames;
	uint32_t done = 0;
	uint64_t left = 0; /* pages that did */
	bool empty = true;

	while (*pfn < drop->end_pfn && done < STEP && empty) {
		uint32_t dropped;

		if (!frame_chunk(frames, *pfn)->frames_frontswap) {
			*pfn = (uint32_t)min_u64(drop->end_pfn, frame_chunk_end(frames, *pfn >> CHUNK_SHIFT));
			done++;
			continue;
		}
		empty = drop_frame(drop, *pfn, &dropped);
		left += dropped;
		done += dropped ? dropped : 1;
		++*pfn;
	}
	clock_spend(&drop->store->clock, left * drop->drop_ns);
	return empty;
}

/* Of the pass over clean pages. */
static bool drop_clean(struct drop *drop, uint32_t *pfn)
{
	uint32_t stop = (uint32_t)min_u64(drop->end_pfn, (uint64_t)*pfn + CLEAN_STEP);
	uint32_t vacated = shrink_vacate(&drop->store->held, *pfn, stop);

	clock_spend(&drop->store->clock, vacated * drop->clean_ns);
	drop->clean += vacated;
	*pfn = stop;
	return true;
}

static enum tms_reason drop_pass(struct drop *drop, bool (*step)(struct drop *drop, uint32_t *pfn))
{
	bool empty = true;

	for (uint32_t pfn = drop->start_pfn; pfn < drop->end_pfn && empty;) {
		if (is_late(drop))
			return TMS_REASON_TIME;
		if (store_enter(drop->store))
			return TMS_REASON_CLOSED;
		empty = step(drop, &pfn);
		store_leave(drop->store);
	}
	return empty ? TMS_REASON_NONE : TMS_REASON_SPILL;
}

enum tms_reason drop_window(struct drop *drop)
{
	enum tms_reason reason;

	(void)fault_fires(drop->store->faults, TMS_FAULT_BEFORE_DROP);
	reason = drop_pass(drop, drop_frontswap);
	return reason == TMS_REASON_NONE ? drop_pass(drop, drop_clean) : reason;
}
