/*
 * sizeclass.h: compressed objects packed into frames.
 *
 * A span is 1 to 8 frames of one chunk, in no particular order, that hold objects of one size class
 * back to back, a group of frames at a time: the fewest that waste the least.  Within a group an object
 * may lie across two of them.  Because a span never leaves its chunk, a
 * chunk-aligned window can be emptied without touching anything outside it.
 *
 *      span   frame[0]       frame[1]     frame[2]       frame[3]
 *            [ o0 | o1 | o|2  | o3 | o4 | - ][ o5 | o6 | o|7  | o8 | o9 | - ]     two groups of two frames
 *
 * An object is named by its place: the frame its first byte lies in and the offset there, in units of
 * 64 bytes.  Class sizes are multiples of the unit, so every object starts at one.
 */
#ifndef TMS_SIZECLASS_H
#define TMS_SIZECLASS_H

#include "frame.h"
#include "list.h"
#include "reserve.h"
#include "slab.h"

#define SIZE_CLASSES 63 /* 64, 128, ... 4032 bytes; above that a page is kept raw */
#define SPAN_FRAMES 8
#define PACKED_MAX_BYTES (SIZE_CLASSES << UNIT_SHIFT)
#define REGION_MAX_FRAMES (UINT32_C(1) << (32 - UNITS_SHIFT))

/* Where the frames of a span lie. */
struct span_home {
	uint32_t first; /* pfn of the chunk */
	uint16_t frame[]; /* from there */
};

struct span {
	struct link link;    /* among the spans of its class with room, unless full or sealed */
	uint32_t *slot;      /* the entry that owns the object; or SLOT_FREE | next free slot; behind them span_home */
	uint16_t capacity;
	uint16_t used;
	uint16_t free_first; /* a free slot, or SLOT_NONE */
	uint8_t class_id;
	uint8_t frames : 4;
	bool sealed : 1;     /* in a window being emptied: takes no object */
	bool listed : 1;
};
_Static_assert(sizeof(struct span) == 24, "the metadata goal counts on it");

#define SLOT_FREE (UINT32_C(1) << 31)
#define SLOT_NONE UINT16_MAX

struct size_class {
	struct list with_room;
	uint64_t free_slots;  /* in with_room */
	uint8_t group_frames; /* the fewest that waste the least, as zsmalloc chooses them */
	uint8_t group_objects;
};

struct packing {
	struct frame_table *frames; /* borrowed */
	struct slab spans;
	uint64_t slot_bytes;
	struct size_class class[SIZE_CLASSES];
	uint64_t open; /* bit c: class c lists a span */
	uint32_t compact_next; /* the class that is looked at first, after one whose objects may not move */
};

/* Where the bytes of an object lie: one or two pieces. */
struct pieces {
	uint8_t *at[2];
	uint32_t bytes[2];
};

void packing_init(struct packing *packing, struct frame_table *frames);
void packing_deinit(struct packing *packing);

/* Frames that the class packs best into: as many groups as hold no more than SPAN_OBJECTS, since the fewer spans the
 * less bookkeeping, and the fewer that are partly filled. */
#define SPAN_OBJECTS 64
uint32_t packing_span_frames(uint32_t bytes);
/* Makes an empty span of that many free frames of the chunk.  False: no memory. */
bool packing_add_span(struct packing *packing, uint32_t bytes, uint32_t chunk, uint32_t frames);
/* A place for an object in a span with room of a chunk that is usable (null: any), or PLACE_NONE: none among
 * those looked at. */
uint32_t packing_place(struct packing *packing, uint32_t bytes, uint32_t entry, frame_chunk_fn usable, const void *context);
/* Frees the object; the frames of a span that becomes empty with it. */
void packing_remove(struct packing *packing, uint32_t place);
struct pieces packing_pieces(const struct packing *packing, uint32_t place, uint32_t bytes);

/* True if the place names an object of that entry; whatever is broken. */
bool packing_owns(const struct packing *packing, uint32_t place, uint32_t entry);

static inline struct span *packing_span(const struct packing *packing, uint32_t id)
{
	return slab_at(&packing->spans, id);
}

static inline struct span_home *span_home(const struct span *span)
{
	return (struct span_home *)(void *)(span->slot + span->capacity);
}

static inline uint32_t span_pfn(const struct span *span, uint32_t frame)
{
	return span_home(span)->first + span_home(span)->frame[frame];
}

static inline uint32_t span_class_bytes(const struct span *span)
{
	return ((uint32_t)span->class_id + 1) << UNIT_SHIFT;
}

/* The place of the object in a slot. */
uint32_t packing_slot_place(const struct packing *packing, const struct span *span, uint32_t slot);
/* The next slot in use at or after slot, with its entry; capacity if there is none. */
uint32_t span_next_used(const struct span *span, uint32_t slot, uint32_t *entry);
/* The lowest pfn of the span at or after from. */
uint32_t span_lowest_pfn(const struct span *span, uint32_t from);

void packing_seal(struct packing *packing, uint32_t id);
void packing_unseal(struct packing *packing, uint32_t id);

struct compaction {
	/* Whether an object may come to lie in another chunk than its own; null: in any. */
	bool (*may_move)(const void *context, uint32_t entry, uint32_t chunk);
	/* An object lies at a new place; its old one is given up next. */
	void (*moved)(void *context, uint32_t entry, uint32_t new_place);
	void *context;
};

/* Empties one of the emptier spans into others of its class and frees its frames.  Returns how many objects
 * moved; 0: no frame came free, for no class has a span's worth of free slots, or not where objects may go. */
uint32_t packing_compact(struct packing *packing, const struct compaction *compaction);

uint64_t packing_bytes(const struct packing *packing);

#endif
