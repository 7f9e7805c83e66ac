/*
 * range_content.c: adding up frames, a chunk at a time where it can.
 *
 * Law: touches nothing.
 * Locks: the store's.
 */
#include "range_content.h"

void content_add(struct content *sum, const struct content *part)
{
	sum->free += part->free;
	sum->clean += part->clean;
	sum->frontswap += part->frontswap;
	sum->taken += part->taken;
	sum->copied += part->copied;
	sum->uncopied += part->uncopied;
	sum->bytes += part->bytes;
	sum->units += part->units;
	sum->room += part->room;
}

void content_subtract(struct content *sum, const struct content *part)
{
	sum->free -= part->free;
	sum->clean -= part->clean;
	sum->frontswap -= part->frontswap;
	sum->taken -= part->taken;
	sum->copied -= part->copied;
	sum->uncopied -= part->uncopied;
	sum->bytes -= part->bytes;
	sum->units -= part->units;
	sum->room -= part->room;
}

/* Frames of the chunk that may come to hold frontswap data: free ones, and those of clean pages. */
static uint64_t frames_open(const struct frame_table *frames, uint32_t index, const struct surroundings *around)
{
	const struct tms_chunk *chunk = &frames->chunk[index];
	uint64_t all = frame_chunk_end(frames, index) - ((uint64_t)index << CHUNK_SHIFT);
	uint64_t share = all * around->frontswap_permille / 1000;
	uint64_t left = share > chunk->frames_frontswap ? share - chunk->frames_frontswap : 0;

	return chunk->frames_leaving ? 0 : min_u64(left, (uint64_t)chunk->frames_free + chunk->frames_clean);
}

static uint64_t chunk_room(const struct frame_table *frames, uint32_t index, const struct surroundings *around)
{
	const struct tms_chunk *chunk = &frames->chunk[index];
	uint64_t bytes = frames_open(frames, index, around) * TMS_PAGE_SIZE;
	/* The last object does not fit, on average. */
	uint64_t object = chunk->objects_uncopied ? chunk->bytes_uncopied / chunk->objects_uncopied : TMS_PAGE_SIZE;
	uint64_t held = ((uint64_t)chunk->units_uncopied << UNIT_SHIFT) + object;

	if (around->chunk_bytes_max == UINT64_MAX)
		return bytes;
	return min_u64(bytes, around->chunk_bytes_max > held ? around->chunk_bytes_max - held : 0);
}

struct content chunk_content(const struct frame_table *frames, uint32_t index, const struct surroundings *around)
{
	const struct tms_chunk *chunk = &frames->chunk[index];

	return (struct content){
		.free = chunk->frames_free,
		.clean = chunk->frames_clean,
		.frontswap = chunk->frames_frontswap,
		.taken = (uint64_t)chunk->frames_allocated + chunk->frames_isolated + chunk->frames_leaving,
		.copied = (uint64_t)chunk->objects_copied << SHARE_SHIFT,
		.uncopied = (uint64_t)chunk->objects_uncopied << SHARE_SHIFT,
		.bytes = (uint64_t)chunk->bytes_uncopied << SHARE_SHIFT,
		.units = (uint64_t)chunk->units_uncopied << SHARE_SHIFT,
		.room = chunk_room(frames, index, around),
	};
}

static void cursor_enter_chunk(struct cursor *cursor)
{
	const struct tms_chunk *chunk = frame_chunk(cursor->frames, cursor->pfn);
	struct content content = chunk_content(cursor->frames, cursor->pfn >> CHUNK_SHIFT, cursor->around);
	uint64_t open = content.free + content.clean ? content.free + content.clean : 1;
	uint64_t frontswap = chunk->frames_frontswap ? chunk->frames_frontswap : 1;

	cursor->chunk_end = frame_chunk_end(cursor->frames, cursor->pfn >> CHUNK_SHIFT);
	cursor->copied = content.copied / frontswap;
	cursor->uncopied = content.uncopied / frontswap;
	cursor->bytes = content.bytes / frontswap;
	cursor->units = content.units / frontswap;
	cursor->room = content.room / open;
}

/* Adds the frame at the cursor to the sum (sign 1) or takes it out (-1), and steps on. */
void cursor_step(struct cursor *cursor, struct content *sum, uint64_t sign)
{
	uint8_t state;

	if (cursor->pfn >= cursor->chunk_end)
		cursor_enter_chunk(cursor);
	state = cursor->frames->state[cursor->pfn++];
	if (state & FRAME_ISOLATED || state == FRAME_ALLOCATED)
		sum->taken += sign;
	switch (state & FRAME_STATE_MASK) {
	case FRAME_FREE:
		sum->free += sign;
		sum->room += sign * cursor->room;
		break;
	case FRAME_CLEAN:
		sum->clean += sign;
		sum->room += sign * cursor->room;
		break;
	case FRAME_SWAP:
	case FRAME_PACKED:
		sum->frontswap += sign;
		sum->copied += sign * cursor->copied;
		sum->uncopied += sign * cursor->uncopied;
		sum->bytes += sign * cursor->bytes;
		sum->units += sign * cursor->units;
		break;
	default:
		break;
	}
}

struct content run_content(const struct frame_table *frames, const struct surroundings *around, uint32_t start,
				  uint32_t end)
{
	struct content sum = { 0 };

	while (start < end) {
		uint32_t chunk_end = frame_chunk_end(frames, start >> CHUNK_SHIFT);
		uint32_t stop = chunk_end < end ? chunk_end : end;
		struct cursor cursor = { .frames = frames, .around = around, .pfn = start };

		if ((start & (TMS_CHUNK_FRAMES - 1)) == 0 && stop == chunk_end) {
			struct content part = chunk_content(frames, start >> CHUNK_SHIFT, around);

			content_add(&sum, &part);
		} else {
			while (cursor.pfn < stop)
				cursor_step(&cursor, &sum, 1);
		}
		start = stop;
	}
	return sum;
}

uint64_t region_room(const struct frame_table *frames, const struct surroundings *around)
{
	uint64_t room = 0;

	for (uint32_t c = 0; c < frames->chunks; c++)
		room += chunk_room(frames, c, around);
	return room;
}
