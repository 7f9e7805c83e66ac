/*
 * admit.c: finding room.
 *
 * Laws: 1. only ephemeral pages are evicted, for whichever kind of page comes in: a put never costs a
 * persistent page.  2. half-empty spans are compacted before a page is evicted.  3. a page in a range
 * that is being emptied is not evicted: its frame would not come free.
 * Locks: the store's.
 */
#include "admit.h"

static bool is_outside_ranges(const void *context, uint32_t id)
{
	const struct holdings *held = context;

	return !frame_is_isolated(&held->region->frames, holdings_entry(held, id)->place >> UNITS_SHIFT);
}

/* Evicts the next ephemeral page.  The frame that came free, or PFN_NONE. */
static uint32_t evict_one(struct holdings *held)
{
	uint32_t id = evict_victim(&held->evict, is_outside_ranges, held);
	uint32_t pfn;

	if (!id)
		return PFN_NONE;
	pfn = holdings_entry(held, id)->place >> UNITS_SHIFT;
	shrink_drop(held, id);
	held->stats.clean_evicted++;
	return pfn;
}

static bool compact(struct holdings *held)
{
	if (!packing_compact(&held->region->packing, shrink_moved, held))
		return false;
	held->stats.compactions++;
	return true;
}

uint32_t admit_frame(struct holdings *held)
{
	uint32_t pfn = frame_next_free(&held->region->frames, 0);

	if (pfn == PFN_NONE && compact(held))
		pfn = frame_next_free(&held->region->frames, 0);
	return pfn == PFN_NONE ? evict_one(held) : pfn;
}

/* Evicts further ephemeral pages of a chunk until it has that many free frames; first those that no get
 * has asked for since the eviction order looked last. */
static void evict_in_chunk(struct holdings *held, uint32_t chunk, uint32_t frames)
{
	const struct frame_table *table = &held->region->frames;
	uint32_t end = frame_chunk_end(table, chunk);

	for (int pass = 0; pass < 2; pass++)
		for (uint32_t pfn = chunk << CHUNK_SHIFT; pfn < end && table->chunk[chunk].frames_free < frames; pfn++) {
			if (frame_state(table, pfn) != FRAME_CLEAN || frame_is_isolated(table, pfn))
				continue;
			if (pass == 0 && holdings_entry(held, table->owner[pfn])->flags & ENTRY_VISITED)
				continue;
			shrink_drop(held, table->owner[pfn]);
			held->stats.clean_evicted++;
		}
}

/* Adds a span of as many frames as the class packs best into, or of as many as can be had together. */
static enum admit_result add_span(struct holdings *held, uint32_t bytes)
{
	struct tms_region *region = held->region;
	uint32_t want = packing_span_frames(bytes);
	uint32_t chunk = frame_chunk_with_free(&region->frames, want);
	uint32_t have;

	if (chunk == PFN_NONE || region->frames.chunk[chunk].frames_free < want) {
		uint32_t freed = compact(held) ? PFN_NONE : evict_one(held);

		if (freed != PFN_NONE)
			evict_in_chunk(held, freed >> CHUNK_SHIFT, want);
		chunk = frame_chunk_with_free(&region->frames, want);
	}
	if (chunk == PFN_NONE)
		return ADMIT_FULL;
	have = region->frames.chunk[chunk].frames_free;
	return packing_add_span(&region->packing, bytes, chunk, have < want ? have : want) ? ADMIT_OK : ADMIT_NO_MEMORY;
}

enum admit_result admit_packed(struct holdings *held, uint32_t bytes, uint32_t id, bool fail_span, uint32_t *place)
{
	struct packing *packing = &held->region->packing;
	enum admit_result result = ADMIT_OK;

	*place = packing_place(packing, bytes, id);
	if (*place != PLACE_NONE)
		return ADMIT_OK;
	result = fail_span ? ADMIT_NO_MEMORY : add_span(held, bytes);
	if (result == ADMIT_OK)
		*place = packing_place(packing, bytes, id);
	return result;
}
