/*
 * move.c: objects leave a window for other frames of the region, or for the reserve.
 *
 *      chunk by chunk from the window's end:   [ writer -> ]  ...  [ <- mover ]
 *
 * Laws: 1. first free frames outside the window, then those of clean pages there, as far as the ceilings of
 * their chunks allow, then the reserve.  2. the lock is held for a few dozen objects at a time.  3. an object
 * that cannot be moved stays where it is.
 */
#include "move.h"

/* Objects moved, or looked at, in one go, before others get the lock: tens of microseconds.  Where others wait for it
 * giving it up costs about as much as moving ten objects. */
#define MOVE_STEP 64
#define LOOK_STEP 512
/* How far ahead of the walk entries are asked for. */
#define AHEAD_FRAMES 4

static void enter_chunk(struct move *m, uint32_t end_pfn)
{
	uint32_t start = end_pfn > m->start_pfn ? (end_pfn - 1) & ~(uint32_t)(TMS_CHUNK_FRAMES - 1) : m->start_pfn;

	m->chunk_end_pfn = end_pfn;
	m->walk = walk_begin(m->store->held.region, start > m->start_pfn ? start : m->start_pfn, end_pfn);
}

void move_begin(struct move *m, bool takes_written)
{
	m->takes_written = takes_written;
	enter_chunk(m, m->end_pfn);
}

/* The next object to be moved; 0: none is left, or, with *looked at LOOK_STEP, none was met yet. */
static uint32_t next_object(struct move *m, uint32_t *looked)
{
	for (; *looked < LOOK_STEP; ++*looked) {
		uint32_t id = walk_current(&m->walk);
		const struct entry *entry;

		if (!id && m->walk.start_pfn == m->start_pfn)
			return 0;
		if (!id) {
			enter_chunk(m, m->walk.start_pfn);
			continue;
		}
		entry = holdings_entry(&m->store->held, id);
		if (m->takes_written ? entry_is_only_copy(entry) : entry_waits_for_copy(entry))
			return id;
		walk_next(&m->walk);
	}
	return 0;
}

/* A place in the region outside the window, or PLACE_NONE. */
static uint32_t place_inside(struct move *m, uint32_t id, uint32_t size, bool packed)
{
	struct holdings *held = &m->store->held;
	struct admission page = { .bytes = size, .persistent = true, .moves = true, .depth = ADMIT_CLEAN };
	uint64_t evicted = held->stats.clean_evicted;
	enum admit_result result;
	uint32_t victim;
	uint32_t place;
	uint32_t pfn;

	if (packed) {
		result = admit_packed(held, &page, id, &place);
	} else {
		result = admit_frame(held, &page, &pfn, &victim);
		if (result == ADMIT_OK) {
			shrink_take_frame(held, pfn, victim, FRAME_SWAP, id);
			place = pfn << UNITS_SHIFT;
		}
	}
	m->clean_evicted += held->stats.clean_evicted - evicted;
	return result == ADMIT_OK ? place : PLACE_NONE;
}

/* Null: as it is kept.  False: there is no room. */
static bool move_object(struct move *m, uint32_t id, const uint8_t *bytes, uint32_t size, uint8_t form)
{
	struct holdings *held = &m->store->held;
	uint32_t place = PLACE_NONE;

	if (!m->inside_is_full)
		place = place_inside(m, id, size, form & ENTRY_PACKED);
	if (place != PLACE_NONE) {
		shrink_move(held, id, place, bytes, size, form);
		m->inside++;
		return true;
	}
	m->inside_is_full = true;
	if (!shrink_to_reserve(held, id, bytes, size, form))
		return false;
	m->reserve++;
	return true;
}

static bool move_as_kept(struct move *m, uint32_t id)
{
	const struct entry *entry = holdings_entry(&m->store->held, id);
	const bool is_written = entry->flags & ENTRY_WRITING;

	if (!move_object(m, id, NULL, entry->size, entry->flags & (ENTRY_PACKED | ENTRY_DENSE)))
		return false;
	m->overtaken += is_written;
	return true;
}

/* Room that is there once the holes of the reserve are closed. */
static bool has_hole(const struct move *m, uint32_t size)
{
	const struct reserve *reserve = &m->store->held.region->reserve;

	return !reserve_is_dense(reserve) && reserve_free(reserve) >= units_of(size);
}

/* A hint to the CPU: the entry of a raw page some frames ahead. */
static void prefetch_ahead(const struct move *m)
{
	const struct frame_table *frames = &m->store->held.region->frames;
	uint32_t pfn = m->walk.pfn + AHEAD_FRAMES;

	if (pfn < m->walk.end_pfn && frame_state(frames, pfn) == FRAME_SWAP)
		__builtin_prefetch(holdings_entry(&m->store->held, frames->owner[pfn]), 1);
}

/* With the lock held. */
static enum move_turn move_some(struct move *m)
{
	struct holdings *held = &m->store->held;
	uint64_t spent_ns = 0;
	enum move_turn turn = MOVE_AGAIN;
	uint32_t looked = 0;

	for (uint32_t moved = 0; moved < MOVE_STEP && turn == MOVE_AGAIN && looked < LOOK_STEP; moved++) {
		uint32_t id = next_object(m, &looked);
		uint32_t size = id ? holdings_entry(held, id)->size : 0;

		prefetch_ahead(m);
		if (!id) {
			turn = looked < LOOK_STEP ? MOVE_DONE : MOVE_AGAIN;
		} else if (move_as_kept(m, id)) {
			spent_ns += m->cost->move_ns + m->cost->move_ps * size / 1000;
			walk_next(&m->walk);
		} else if (has_hole(m, size)) {
			(void)shrink_slide(held);
			moved = MOVE_STEP;
		} else {
			turn = MOVE_NO_ROOM;
		}
	}
	clock_spend(&m->store->clock, spent_ns);
	return turn;
}

static bool place_one(struct move *m, const struct squeezed *object)
{
	if (!object->packed_size)
		return move_as_kept(m, object->id);
	if (!move_object(m, object->id, object->packed, object->packed_size, ENTRY_PACKED | ENTRY_DENSE))
		return false;
	m->compressed++;
	return true;
}

/* With the lock held: those that are still there are moved, smaller if they got so.  What finds no room is met
 * again by the pass that ends all. */
static void place_squeezed(struct move *m)
{
	for (uint32_t i = 0; i < m->squeeze->n; i++) {
		const struct squeezed *object = &m->squeeze->object[i];

		if (squeeze_is_current(m->store, object))
			(void)place_one(m, object);
	}
}

/* With the lock held.  The reserve has holes, and no room behind its last object for what one turn compresses: they
 * are closed first, one step a turn, for compressing takes long and its result must find a place. */
static bool must_slide(const struct move *m)
{
	const struct reserve *reserve = &m->store->held.region->reserve;
	const uint32_t wanted = SQUEEZE_OBJECTS * units_of(TMS_PAGE_SIZE);

	return !reserve_is_dense(reserve) && reserve->units - reserve->end < wanted;
}

static enum move_turn compress_turn(struct move *m)
{
	uint32_t looked = 0;
	uint32_t id;

	if (store_enter(m->store))
		return MOVE_DONE;
	if (must_slide(m)) {
		(void)shrink_slide(&m->store->held);
		store_leave(m->store);
		return MOVE_AGAIN;
	}
	m->squeeze->n = 0;
	while ((id = next_object(m, &looked)) && squeeze_take(m->squeeze, m->store, id))
		walk_next(&m->walk);
	store_leave(m->store);
	squeeze_run(m->squeeze, m->store);
	clock_spend(&m->store->clock, m->squeeze->n * m->cost->compress_ns);
	/* None met, and not for having looked at enough: none is left. */
	if (!m->squeeze->n && looked < LOOK_STEP)
		m->to_compress = 0;
	m->to_compress -= min_u64(m->to_compress, m->squeeze->n);
	if (store_enter(m->store))
		return MOVE_DONE;
	place_squeezed(m);
	store_leave(m->store);
	return MOVE_AGAIN;
}

enum move_turn move_turn(struct move *m)
{
	enum move_turn turn;

	(void)fault_fires(m->store->faults, TMS_FAULT_DURING_MOVE);
	if (m->squeeze && m->to_compress)
		return compress_turn(m);
	if (store_enter(m->store))
		return MOVE_DONE;
	turn = move_some(m);
	store_leave(m->store);
	return turn;
}
