/*
 * sizeclass_compact.c: frames come free as the objects of an emptier span go into others of its class.
 *
 * Law: the span takes none of its own objects meanwhile, and is gone with its last one; where one finds no place it is a
 * span as before.
 * Locks: the store's.
 */
#include "sizeclass.h"

/* Spans looked at for the emptiest one: enough to find a good one, few enough for a put to wait for. */
#define COMPACT_LOOK 16

/* The emptiest of the first spans with room of a class, if the class has a span's worth of free slots; or 0. */
static uint32_t victim_of_class(const struct packing *packing, const struct size_class *class)
{
	uint32_t best = 0;
	uint32_t look = COMPACT_LOOK;

	for (uint32_t id = class->with_room.first; id && look--; id = packing_span(packing, id)->link.next)
		if (!best || packing_span(packing, id)->used < packing_span(packing, best)->used)
			best = id;
	return best && class->free_slots >= packing_span(packing, best)->capacity ? best : 0;
}

/* That of the classes with room, round and round from the one that is next. */
static uint32_t compaction_victim(const struct packing *packing)
{
	const uint64_t from_next = UINT64_MAX << packing->compact_next;
	const uint64_t parts[] = { packing->open & from_next, packing->open & ~from_next };

	for (int part = 0; packing->open && part < 2; part++)
		for (uint64_t open = parts[part]; open; open &= open - 1) {
			uint32_t best = victim_of_class(packing, &packing->class[__builtin_ctzll(open)]);

			if (best)
				return best;
		}
	return 0;
}

static void copy_pieces(const struct pieces *to, const struct pieces *from)
{
	uint8_t whole[TMS_PAGE_SIZE];

	memcpy(whole, from->at[0], from->bytes[0]);
	if (from->bytes[1])
		memcpy(whole + from->bytes[0], from->at[1], from->bytes[1]);
	memcpy(to->at[0], whole, to->bytes[0]);
	if (to->bytes[1])
		memcpy(to->at[1], whole + to->bytes[0], to->bytes[1]);
}

struct mover {
	const struct compaction *compaction;
	uint32_t entry;
	uint32_t chunk; /* it lies in, and may go on lying in */
};

static bool takes_moved(const void *context, uint32_t chunk)
{
	const struct mover *mover = context;
	const struct compaction *compaction = mover->compaction;

	return chunk == mover->chunk || !compaction->may_move ||
	       compaction->may_move(compaction->context, mover->entry, chunk);
}

/* False: no span that takes the object has room. */
static bool move_away(struct packing *packing, const struct compaction *compaction, uint32_t from, uint32_t bytes,
		      uint32_t entry)
{
	const struct mover mover = { compaction, entry, from >> UNITS_SHIFT >> CHUNK_SHIFT };
	uint32_t to = packing_place(packing, bytes, entry, takes_moved, &mover);
	struct pieces from_pieces;
	struct pieces to_pieces;

	if (to == PLACE_NONE)
		return false;
	from_pieces = packing_pieces(packing, from, bytes);
	to_pieces = packing_pieces(packing, to, bytes);
	if (!packing->frames->mapping->without_data)
		copy_pieces(&to_pieces, &from_pieces);
	compaction->moved(compaction->context, entry, to);
	packing_remove(packing, from);
	return true;
}

uint32_t packing_compact(struct packing *packing, const struct compaction *compaction)
{
	uint32_t id = compaction_victim(packing);
	uint32_t objects = id ? packing_span(packing, id)->used : 0;
	uint32_t slot = 0;

	if (!id)
		return 0;
	packing_seal(packing, id); /* it takes none of its own; with its last object it is gone */
	for (uint32_t left = objects; left; left--, slot++) {
		const struct span *span = packing_span(packing, id);
		uint32_t entry = 0;

		slot = span_next_used(span, slot, &entry);
		if (!move_away(packing, compaction, packing_slot_place(packing, span, slot), span_class_bytes(span), entry)) {
			packing->compact_next = (span->class_id + 1u) % SIZE_CLASSES;
			packing_unseal(packing, id);
			return 0;
		}
	}
	return objects;
}
