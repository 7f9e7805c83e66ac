/*
 * frame.h: the frame table: what each page frame of the region holds, and for whom.
 */
#ifndef TMS_FRAME_H
#define TMS_FRAME_H

#include "arena.h"
#include "bitmap.h"
#include "mapping.h"

enum frame_state {
	FRAME_FREE = 0,
	FRAME_CLEAN = 1,     /* an ephemeral page; owner: its entry */
	FRAME_SWAP = 2,      /* a persistent page kept raw; owner: its entry */
	FRAME_PACKED = 3,    /* part of a span of packed objects; owner: the span */
	FRAME_ALLOCATED = 4, /* handed out in a contiguous range; no owner */
	FRAME_STATES = 5,
	FRAME_STATE_MASK = 7,
	FRAME_ISOLATED = 8   /* flag: in a range that is being emptied */
};

struct frame_table {
	struct mapping *mapping; /* borrowed */
	uint32_t frames;
	uint32_t chunks;
	uint8_t *state;
	uint32_t *owner;
	struct bitmap free; /* state FREE and not isolated */
	struct tms_chunk *chunk;
	struct arena arena; /* of state, owner, chunk */
	uint64_t held[FRAME_STATES]; /* frames by state; FREE without the isolated ones */
	uint64_t isolated;           /* empty and isolated */
};

/* False: no memory. */
bool frame_table_init(struct frame_table *table, struct mapping *mapping);
void frame_table_deinit(struct frame_table *table);

static inline enum frame_state frame_state(const struct frame_table *table, uint32_t pfn)
{
	return (enum frame_state)(table->state[pfn] & FRAME_STATE_MASK);
}

static inline bool frame_is_isolated(const struct frame_table *table, uint32_t pfn)
{
	return table->state[pfn] & FRAME_ISOLATED;
}

static inline struct tms_chunk *frame_chunk(const struct frame_table *table, uint32_t pfn)
{
	return &table->chunk[pfn >> CHUNK_SHIFT];
}

static inline uint8_t *frame_data(const struct frame_table *table, uint32_t pfn)
{
	return mapping_at(table->mapping, pfn);
}

/* The entry that a page left behind when it was dropped with its window; 0: none. */
static inline uint32_t frame_left_behind(const struct frame_table *table, uint32_t pfn)
{
	enum frame_state state = frame_state(table, pfn);

	return state == FRAME_FREE || state == FRAME_ALLOCATED ? table->owner[pfn] : 0;
}

/* The first pfn after the chunk. */
static inline uint32_t frame_chunk_end(const struct frame_table *table, uint32_t chunk)
{
	return (uint32_t)min_u64(table->frames, ((uint64_t)chunk + 1) << CHUNK_SHIFT);
}

/* The lowest free frame at or after from, or PFN_NONE. */
static inline uint32_t frame_next_free(const struct frame_table *table, uint32_t from)
{
	uint64_t pfn = bitmap_next(&table->free, from);

	return pfn == BITMAP_NONE ? PFN_NONE : (uint32_t)pfn;
}

/* A free frame comes into use. */
void frame_take(struct frame_table *table, uint32_t pfn, enum frame_state state, uint32_t owner);
/* A frame in use, and not isolated, changes hands. */
void frame_pass_on(struct frame_table *table, uint32_t pfn, enum frame_state state, uint32_t owner);
/* A frame in use becomes free at once, or, in a range that is being emptied, one of its empty ones. */
void frame_release(struct frame_table *table, uint32_t pfn);

/* The clean frames of [start, end), which is isolated, become empty, a few instructions each.  A vacated frame keeps
 * its owner: the entry of the page, which names a frame that is clean no more and is to be removed before the frame is
 * taken again.  How many there were. */
uint32_t frame_vacate_clean(struct frame_table *table, uint32_t start, uint32_t end);

/* Isolation of [start, end): none of its frames is taken again until they are claimed or given back. */
void frame_isolate_run(struct frame_table *table, uint32_t start, uint32_t end);
void frame_unisolate_run(struct frame_table *table, uint32_t start, uint32_t end);
/* Isolated, empty frames are handed out; a few instructions a chunk, since the deadline has its say
 * just before. */
void frame_claim_run(struct frame_table *table, uint32_t start, uint32_t end);
/* Allocated frames become free. */
void frame_release_run(struct frame_table *table, uint32_t start, uint32_t end);

/* Whether a chunk may be taken from. */
typedef bool (*frame_chunk_fn)(const void *context, uint32_t chunk);
/* The chunk with at least that many free frames and the lowest number, or, where none has so many, the
 * one with the most, among those that are usable (null: all); PFN_NONE if none of them has a free frame. */
uint32_t frame_chunk_with_free(const struct frame_table *table, uint32_t frames, frame_chunk_fn usable, const void *context);

uint64_t frame_table_bytes(const struct frame_table *table);

#endif
