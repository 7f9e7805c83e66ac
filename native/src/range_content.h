/*
 * range_content.h: what a run of frames holds, and what could come in from elsewhere.
 */
#ifndef TMS_RANGE_CONTENT_H
#define TMS_RANGE_CONTENT_H

#include "range.h"
#include "reserve.h"

/* What a run of frames holds, additive.  Objects and bytes in units of 1 / 2^SHARE_SHIFT: a frontswap
 * frame stands for its share of what its chunk holds, since an object may lie across two frames. */
#define SHARE_SHIFT 16

struct content {
	uint64_t free, clean, frontswap, taken;
	uint64_t copied, uncopied, bytes, units;
	uint64_t room; /* bytes that could come in from elsewhere, within the ceilings */
};

static inline uint64_t whole(uint64_t shares)
{
	return (shares + (UINT64_C(1) << SHARE_SHIFT) - 1) >> SHARE_SHIFT;
}

/* Walks frame by frame; share is what one frontswap frame of the chunk at hand stands for. */
struct cursor {
	const struct frame_table *frames;
	const struct surroundings *around;
	uint32_t pfn;
	uint32_t chunk_end;
	uint64_t copied, uncopied, bytes, units;
	uint64_t room; /* of a free or clean frame */
};

void content_add(struct content *sum, const struct content *part);
void content_subtract(struct content *sum, const struct content *part);

/* Of a chunk, of a run, and of all chunks: the room alone. */
struct content chunk_content(const struct frame_table *frames, uint32_t index, const struct surroundings *around);
struct content run_content(const struct frame_table *frames, const struct surroundings *around, uint32_t start, uint32_t end);
uint64_t region_room(const struct frame_table *frames, const struct surroundings *around);

/* Adds the frame at the cursor to the sum (sign 1) or takes it out (UINT64_MAX), and steps on. */
void cursor_step(struct cursor *cursor, struct content *sum, uint64_t sign);

#endif
