/*
 * frame.c: every change of a frame's state.
 *
 *      FREE --take--> CLEAN | SWAP | PACKED --release--> FREE          CLEAN --pass on--> CLEAN | SWAP
 *        |                         |
 *     isolate                   isolate             (flag ISOLATED)
 *        v                         v
 *      FREE+I <-----release---- in use+I
 *        |
 *      claim --> ALLOCATED --release--> FREE
 *
 * CLEAN+I --vacate--> FREE+I leaves the owner standing: the law that makes the drop of a window a few instructions a
 * frame is that an entry whose frame is clean no more, or another's, is no page; it goes when somebody comes by.
 *
 * Owns: state, owner, the free set, the counts per chunk.
 * Invariants: 1. the free set holds exactly the frames that are FREE and not isolated.  2. the counts
 * of a chunk add up to its frames: free + clean + frontswap + isolated + allocated; leaving counts the
 * isolated frames in use a second time.  3. an ALLOCATED frame is not isolated.  4. the owner of a frame that is
 * FREE or ALLOCATED is 0, or an entry that was left behind and names the frame.
 * Locks: none of its own; the store's lock covers it.
 */
#include "frame.h"

bool frame_table_init(struct frame_table *table, struct mapping *mapping)
{
	uint32_t frames = (uint32_t)(mapping->size_bytes >> PAGE_SHIFT);
	uint64_t bytes;

	*table = (struct frame_table){ .mapping = mapping, .frames = frames };
	table->chunks = (uint32_t)(((uint64_t)frames + TMS_CHUNK_FRAMES - 1) >> CHUNK_SHIFT);
	bytes = (uint64_t)frames * (sizeof(*table->state) + sizeof(*table->owner)) + table->chunks * sizeof(*table->chunk);
	bytes = round_up_u64(bytes + 4 * ARENA_ALIGN, bytes < ARENA_PAGE_BYTES / 2 ? PAGE_SIZE : ARENA_PAGE_BYTES);
	table->owner = arena_take(&table->arena, frames * sizeof(*table->owner), bytes);
	table->state = arena_take(&table->arena, frames * sizeof(*table->state), bytes);
	table->chunk = arena_take(&table->arena, table->chunks * sizeof(*table->chunk), bytes);
	if (!table->state || !table->owner || !table->chunk || !bitmap_init(&table->free, frames)) {
		frame_table_deinit(table);
		return false;
	}
	for (uint32_t pfn = 0; pfn < frames; pfn++) {
		bitmap_set(&table->free, pfn);
		frame_chunk(table, pfn)->frames_free++;
	}
	table->held[FRAME_FREE] = frames;
	return true;
}

void frame_table_deinit(struct frame_table *table)
{
	arena_deinit(&table->arena);
	bitmap_deinit(&table->free);
	*table = (struct frame_table){ 0 };
}

static uint16_t *chunk_count(struct tms_chunk *chunk, enum frame_state state)
{
	switch (state) {
	case FRAME_CLEAN:
		return &chunk->frames_clean;
	case FRAME_SWAP:
	case FRAME_PACKED:
		return &chunk->frames_frontswap;
	case FRAME_ALLOCATED:
		return &chunk->frames_allocated;
	default:
		return &chunk->frames_free;
	}
}

static void count(struct frame_table *table, uint32_t pfn, enum frame_state state, int change)
{
	uint16_t *in_chunk = chunk_count(frame_chunk(table, pfn), state);

	*in_chunk = (uint16_t)(*in_chunk + change);
	table->held[state] += (uint64_t)(int64_t)change;
}

static void set(struct frame_table *table, uint32_t pfn, unsigned int state, uint32_t owner)
{
	table->state[pfn] = (uint8_t)state;
	table->owner[pfn] = owner;
}

void frame_take(struct frame_table *table, uint32_t pfn, enum frame_state state, uint32_t owner)
{
	bitmap_clear(&table->free, pfn);
	count(table, pfn, FRAME_FREE, -1);
	count(table, pfn, state, 1);
	set(table, pfn, state, owner);
}

void frame_pass_on(struct frame_table *table, uint32_t pfn, enum frame_state state, uint32_t owner)
{
	enum frame_state before = frame_state(table, pfn);

	if (state != before) {
		count(table, pfn, before, -1);
		count(table, pfn, state, 1);
	}
	set(table, pfn, state, owner);
}

void frame_release(struct frame_table *table, uint32_t pfn)
{
	count(table, pfn, frame_state(table, pfn), -1);
	if (frame_is_isolated(table, pfn)) {
		frame_chunk(table, pfn)->frames_leaving--;
		frame_chunk(table, pfn)->frames_isolated++;
		table->isolated++;
		set(table, pfn, FRAME_FREE | FRAME_ISOLATED, 0);
	} else {
		count(table, pfn, FRAME_FREE, 1);
		set(table, pfn, FRAME_FREE, 0);
		bitmap_set(&table->free, pfn);
	}
}

/* The end of the part of [start, end) that lies in start's chunk. */
static uint32_t part_end(const struct frame_table *table, uint32_t start, uint32_t end)
{
	return (uint32_t)min_u64(end, frame_chunk_end(table, start >> CHUNK_SHIFT));
}

void frame_isolate_run(struct frame_table *table, uint32_t start, uint32_t end)
{
	for (uint32_t stop; start < end; start = stop) {
		struct tms_chunk *chunk = frame_chunk(table, start);
		uint8_t *state = table->state; /* as below */
		uint32_t empty = 0;

		stop = part_end(table, start, end);
		bitmap_clear_run(&table->free, start, stop);
		for (uint32_t pfn = start; pfn < stop; pfn++) {
			empty += state[pfn] == FRAME_FREE;
			state[pfn] |= FRAME_ISOLATED;
		}
		chunk->frames_free = (uint16_t)(chunk->frames_free - empty);
		chunk->frames_isolated = (uint16_t)(chunk->frames_isolated + empty);
		chunk->frames_leaving = (uint16_t)(chunk->frames_leaving + (stop - start - empty));
		table->held[FRAME_FREE] -= empty;
		table->isolated += empty;
	}
}

void frame_unisolate_run(struct frame_table *table, uint32_t start, uint32_t end)
{
	for (uint32_t stop; start < end; start = stop) {
		struct tms_chunk *chunk = frame_chunk(table, start);
		uint32_t empty = 0;

		stop = part_end(table, start, end);
		for (uint32_t pfn = start; pfn < stop; pfn++) {
			table->state[pfn] &= FRAME_STATE_MASK;
			if (table->state[pfn] == FRAME_FREE) {
				bitmap_set(&table->free, pfn);
				empty++;
			}
		}
		chunk->frames_free = (uint16_t)(chunk->frames_free + empty);
		chunk->frames_isolated = (uint16_t)(chunk->frames_isolated - empty);
		chunk->frames_leaving = (uint16_t)(chunk->frames_leaving - (stop - start - empty));
		table->held[FRAME_FREE] += empty;
		table->isolated -= empty;
	}
}

void frame_claim_run(struct frame_table *table, uint32_t start, uint32_t end)
{
	memset(table->state + start, FRAME_ALLOCATED, end - start);
	table->isolated -= end - start;
	table->held[FRAME_ALLOCATED] += end - start;
	for (uint32_t stop; start < end; start = stop) {
		struct tms_chunk *chunk = frame_chunk(table, start);

		stop = part_end(table, start, end);
		chunk->frames_isolated = (uint16_t)(chunk->frames_isolated - (stop - start));
		chunk->frames_allocated = (uint16_t)(chunk->frames_allocated + (stop - start));
	}
}

void frame_release_run(struct frame_table *table, uint32_t start, uint32_t end)
{
	memset(table->state + start, FRAME_FREE, end - start);
	table->held[FRAME_ALLOCATED] -= end - start;
	table->held[FRAME_FREE] += end - start;
	for (uint32_t stop; start < end; start = stop) {
		struct tms_chunk *chunk = frame_chunk(table, start);

		stop = part_end(table, start, end);
		bitmap_set_run(&table->free, start, stop);
		chunk->frames_allocated = (uint16_t)(chunk->frames_allocated - (stop - start));
		chunk->frames_free = (uint16_t)(chunk->frames_free + (stop - start));
	}
}

uint32_t frame_vacate_clean(struct frame_table *table, uint32_t start, uint32_t end)
{
	uint32_t all = 0;

	for (uint32_t stop; start < end; start = stop) {
		struct tms_chunk *chunk = frame_chunk(table, start);
		uint8_t *state = table->state; /* of its own, or a store to it might change the pointer */
		uint32_t vacated = 0;

		stop = part_end(table, start, end);
		for (uint32_t pfn = start; pfn < stop; pfn++) {
			bool clean = state[pfn] == (FRAME_CLEAN | FRAME_ISOLATED);

			state[pfn] = clean ? FRAME_FREE | FRAME_ISOLATED : state[pfn];
			vacated += clean;
		}
		chunk->frames_clean = (uint16_t)(chunk->frames_clean - vacated);
		chunk->frames_leaving = (uint16_t)(chunk->frames_leaving - vacated);
		chunk->frames_isolated = (uint16_t)(chunk->frames_isolated + vacated);
		all += vacated;
	}
	table->held[FRAME_CLEAN] -= all;
	table->isolated += all;
	return all;
}

uint32_t frame_chunk_with_free(const struct frame_table *table, uint32_t frames, frame_chunk_fn usable, const void *context)
{
	uint32_t best = PFN_NONE;
	uint32_t most = 0;

	for (uint32_t pfn = frame_next_free(table, 0); pfn != PFN_NONE;) {
		uint32_t chunk = pfn >> CHUNK_SHIFT;

		if (table->chunk[chunk].frames_free > most && (!usable || usable(context, chunk))) {
			best = chunk;
			most = table->chunk[chunk].frames_free;
			if (most >= frames)
				break;
		}
		pfn = frame_next_free(table, frame_chunk_end(table, chunk));
	}
	return best;
}

uint64_t frame_table_bytes(const struct frame_table *table)
{
	return table->frames * (sizeof(*table->state) + sizeof(*table->owner)) + table->chunks * sizeof(*table->chunk) +
	       bitmap_bytes(&table->free);
}
