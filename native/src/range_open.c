/*
 * range_open.c: runs of frames none of which rules a window out by itself.
 *
 * Law: touches nothing.
 * Locks: the store's.
 */
#include "range_search.h"

#define STATE(state) (UINT32_C(1) << (state))
/* Of the values of a state those with the flag, and the frames that are handed out. */
#define TAKEN (STATE(FRAME_ALLOCATED) | ((STATE(FRAME_ISOLATED) - 1) << FRAME_ISOLATED))

/* The states, a bit each, that bar a window from a chunk.  A frame of frontswap stands for its share of what the chunk
 * holds, so that all of them wait for a copy if one object does. */
static uint32_t barred_in(const struct frame_table *frames, int32_t effort, uint32_t chunk)
{
	const uint32_t frontswap = STATE(FRAME_SWAP) | STATE(FRAME_PACKED);

	if (effort == TMS_EFFORT_FREE)
		return TAKEN | STATE(FRAME_CLEAN) | frontswap;
	if (effort == TMS_EFFORT_DROP && frames->chunk[chunk].objects_uncopied)
		return TAKEN | frontswap;
	return TAKEN;
}

/* The last barred frame of [start, end), or PFN_NONE. */
static uint32_t last_barred(const struct frame_table *frames, int32_t effort, uint32_t start, uint32_t end)
{
	while (end > start) {
		const uint32_t chunk = (end - 1) >> CHUNK_SHIFT;
		const uint32_t barred = barred_in(frames, effort, chunk);
		const uint32_t first = chunk << CHUNK_SHIFT > start ? chunk << CHUNK_SHIFT : start;

		for (uint32_t pfn = end; pfn-- > first;)
			if (barred >> frames->state[pfn] & 1)
				return pfn;
		end = first;
	}
	return PFN_NONE;
}

uint32_t range_open_from(const struct search *search, int32_t effort, uint32_t from, uint32_t end)
{
	const struct frame_table *frames = search->table->frames;
	const uint64_t align = search->request->align_frames;
	uint64_t start = round_up_u64(from, align);

	while (start < end && start + search->request->frames <= frames->frames) {
		uint32_t bar = last_barred(frames, effort, (uint32_t)start, (uint32_t)(start + search->request->frames));

		if (bar == PFN_NONE)
			return (uint32_t)start;
		start = round_up_u64((uint64_t)bar + 1, align);
	}
	return PFN_NONE;
}

uint32_t range_open_end(const struct search *search, uint32_t pfn, uint32_t stop)
{
	const struct frame_table *frames = search->table->frames;

	while (pfn < stop) {
		const uint32_t barred = barred_in(frames, search->request->effort, pfn >> CHUNK_SHIFT);
		const uint32_t chunk_end = frame_chunk_end(frames, pfn >> CHUNK_SHIFT);
		const uint32_t end = chunk_end < stop ? chunk_end : stop;

		for (; pfn < end; pfn++)
			if (barred >> frames->state[pfn] & 1)
				return pfn;
	}
	return pfn;
}
