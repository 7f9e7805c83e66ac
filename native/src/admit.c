/*
 * admit.c: finding room.
 *
 * Laws: 1. what is given up for a page is an ephemeral page or a frame whose data lies in the spill file as
 * well: a put never costs a persistent page.  2. half-empty spans are compacted before a page is evicted, and
 * ephemeral pages go before copied ones.  3. a page in a range that is being emptied is not evicted: its
 * frame would not come free.  4. a persistent page comes to lie only in a chunk whose ceilings allow it.
 * Locks: the store's.
 */
#include "admit.h"

/* Copied pages looked at, from the coldest on, for one whose chunk has room for the newcomer. */
#define COPIED_LOOK 64
/* Rounds of giving up copied pages until a chunk has enough frames free together. */
#define COPIED_ROUNDS 16

struct wanted {
	struct holdings *held;
	const struct admission *page;
	uint32_t frames;
};

static bool chunk_is_usable(const struct wanted *wanted, uint32_t chunk, uint32_t new_frames)
{
	struct newcomer newcomer = { wanted->page->bytes, new_frames };
	struct ceiling_view view;

	if (!wanted->page->persistent)
		return true;
	view = holdings_ceiling(wanted->held);
	return ceiling_allows(&view, chunk, &newcomer);
}

static bool takes_new_frames(const void *context, uint32_t chunk)
{
	const struct wanted *wanted = context;

	return chunk_is_usable(wanted, chunk, wanted->frames);
}

static bool takes_object(const void *context, uint32_t chunk)
{
	return chunk_is_usable(context, chunk, 0);
}

static bool lies_outside_ranges(const struct holdings *held, uint32_t id)
{
	return !frame_is_isolated(&held->region->frames, holdings_entry(held, id)->place >> UNITS_SHIFT);
}

static enum evict_answer ask(const void *context, uint32_t id)
{
	const struct wanted *wanted = context;
	uint32_t chunk = holdings_entry(wanted->held, id)->place >> UNITS_SHIFT >> CHUNK_SHIFT;

	if (holdings_left_behind(wanted->held, id)) {
		if (!wanted->page->moves) /* an allocation does not clear up what others left */
			(void)shrink_drop(wanted->held, id);
		return EVICT_GONE;
	}
	if (!lies_outside_ranges(wanted->held, id))
		return EVICT_NO;
	return takes_new_frames(wanted, chunk) ? EVICT_YES : EVICT_UNSUITED;
}

/* The next ephemeral page to be given up whose chunk will do, still there; or 0. */
static uint32_t choose_victim(struct holdings *held, const struct wanted *wanted)
{
	const struct evict_asker asker = { ask, wanted, wanted->page->asks_again };
	uint32_t id = wanted->page->depth >= ADMIT_CLEAN ? evict_victim(&held->evict, &asker) : 0;

	if (id)
		holdings_evicts(held, id);
	return id;
}

/* What has a copy adds nothing to the bytes that are limited. */
static bool may_move(const void *context, uint32_t id, uint32_t chunk)
{
	const struct holdings *held = context;
	const struct entry *entry = holdings_entry(held, id);
	struct ceiling_view view = holdings_ceiling(held);
	struct newcomer newcomer = { entry_is_only_copy(entry) ? entry->size : 0, 0 };

	return ceiling_allows(&view, chunk, &newcomer);
}

static bool compact(struct holdings *held)
{
	const struct compaction compaction = { may_move, shrink_moved, held };

	if (!packing_compact(&held->region->packing, &compaction))
		return false;
	held->stats.compactions++;
	return true;
}

/* ---- giving up frames of copied pages ---------------------------------------------------------------- */

static void give_up_span(struct holdings *held, uint32_t span_id)
{
	const struct span *span = packing_span(&held->region->packing, span_id);
	uint32_t left = span->used;
	uint32_t id = 0;

	/* The span is gone with its last object, hence the count. */
	for (uint32_t slot = 0; left; left--, slot++) {
		slot = span_next_used(span, slot, &id);
		if (!(holdings_entry(held, id)->flags & ENTRY_COPY))
			continue;
		shrink_drop_resident(held, id);
		held->stats.swap_evicted++;
	}
}

/* The coldest copied page outside ranges in a chunk that the ceilings allow, and all that shares its span:
 * their frames come free together.  False: none among those looked at. */
static bool give_up_copied(struct holdings *held, const struct wanted *wanted)
{
	uint32_t id = aging_cold(&held->aging, AGE_COPIED, 0);

	for (uint32_t look = COPIED_LOOK; id && look; look--) {
		const struct entry *entry = holdings_entry(held, id);
		uint32_t pfn = entry->place >> UNITS_SHIFT;

		if (lies_outside_ranges(held, id) && takes_object(wanted, pfn >> CHUNK_SHIFT)) {
			if (entry->flags & ENTRY_PACKED) {
				give_up_span(held, held->region->frames.owner[pfn]);
			} else {
				shrink_drop_resident(held, id);
				held->stats.swap_evicted++;
			}
			return true;
		}
		id = aging_newer(&held->aging, id);
	}
	return false;
}

/* ---- ephemeral pages of one chunk -------------------------------------------------------------------- */

/* Evicts ephemeral pages of a chunk until it has that many free frames; first those that no get has asked for
 * since the eviction order looked last. */
static void evict_in_chunk(struct holdings *held, uint32_t chunk, uint32_t frames)
{
	const struct frame_table *table = &held->region->frames;
	const uint32_t first = chunk << CHUNK_SHIFT;
	const uint32_t size = frame_chunk_end(table, chunk) - first;
	const uint32_t begin = held->evict_next; /* behind the last one: what came into its frame is new */

	for (int pass = 0; pass < 2; pass++)
		for (uint32_t n = 0; n < size && table->chunk[chunk].frames_free < frames; n++) {
			uint32_t pfn = first + (begin + n) % size;

			if (frame_state(table, pfn) != FRAME_CLEAN || frame_is_isolated(table, pfn))
				continue;
			if (pass == 0 && holdings_entry(held, table->owner[pfn])->flags & ENTRY_VISITED)
				continue;
			holdings_evicts(held, table->owner[pfn]);
			shrink_drop(held, table->owner[pfn]);
			held->evict_next = (begin + n + 1) % size;
		}
}

/* Gives up frames of copied pages of a chunk until it has that many free ones. */
static void give_up_in_chunk(struct holdings *held, uint32_t chunk, uint32_t frames)
{
	const struct frame_table *table = &held->region->frames;
	uint32_t end = frame_chunk_end(table, chunk);

	for (uint32_t pfn = chunk << CHUNK_SHIFT; pfn < end && table->chunk[chunk].frames_free < frames; pfn++) {
		enum frame_state state = frame_state(table, pfn);

		if (frame_is_isolated(table, pfn))
			continue;
		if (state == FRAME_PACKED)
			give_up_span(held, table->owner[pfn]);
		if (state != FRAME_SWAP || !(holdings_entry(held, table->owner[pfn])->flags & ENTRY_COPY))
			continue;
		shrink_drop_resident(held, table->owner[pfn]);
		held->stats.swap_evicted++;
	}
}

/* Any chunk that the ceilings allow and that has pages which may go.  Looked for from where one was found last, so that
 * a look is short until all are full. */
static bool make_room_in_open_chunk(struct holdings *held, const struct wanted *wanted, bool copied_too)
{
	const struct frame_table *table = &held->region->frames;
	const uint32_t want = wanted->frames ? wanted->frames : 1;

	for (uint32_t look = 0; look < table->chunks; look++) {
		uint32_t chunk = (held->open_hint + look) % table->chunks;
		const struct tms_chunk *counts = &table->chunk[chunk];

		/* Where all that is in use is being emptied nothing may go, and finding that out would take all frames. */
		if (counts->frames_leaving == counts->frames_clean + counts->frames_frontswap || !takes_object(wanted, chunk))
			continue;
		if (counts->frames_clean && takes_new_frames(wanted, chunk))
			evict_in_chunk(held, chunk, want);
		if (copied_too && counts->objects_copied && counts->frames_free < want)
			give_up_in_chunk(held, chunk, want);
		if (!counts->frames_free || !takes_new_frames(wanted, chunk))
			continue;
		held->open_hint = chunk;
		return true;
	}
	return false;
}

/* The order of eviction has pages that may go, and was not followed to the next of them: what windows left behind
 * stands before it. */
static bool make_room_past_the_gone(struct holdings *held, const struct wanted *wanted)
{
	return wanted->page->depth >= ADMIT_CLEAN && held->evict.stopped && make_room_in_open_chunk(held, wanted, false);
}

/* The pages to be given up next all lie in chunks that are at their ceiling, or, where nothing is limited, in a window
 * that is being emptied. */
static bool make_room_elsewhere(struct holdings *held, const struct wanted *wanted)
{
	if (!wanted->page->persistent || !(held->ceiling.active || wanted->page->moves) || wanted->page->depth < ADMIT_CLEAN)
		return false;
	return make_room_in_open_chunk(held, wanted, wanted->page->depth >= ADMIT_ANY);
}

/* ---- frames ------------------------------------------------------------------------------------------ */

static uint32_t free_frame(const struct wanted *wanted)
{
	const struct frame_table *frames = &wanted->held->region->frames;
	uint32_t chunk;

	if (!frames->held[FRAME_FREE])
		return PFN_NONE;
	chunk = frame_chunk_with_free(frames, 1, takes_new_frames, wanted);
	return chunk == PFN_NONE ? PFN_NONE : frame_next_free(frames, chunk << CHUNK_SHIFT);
}

static bool is_limited(const struct wanted *wanted)
{
	struct newcomer newcomer = { wanted->page->bytes, wanted->frames };
	struct ceiling_view view;

	if (!wanted->page->persistent || wanted->page->moves)
		return false;
	view = holdings_ceiling(wanted->held);
	return !ceiling_allows_somewhere(&view, &newcomer);
}

static enum admit_result none(const struct wanted *wanted)
{
	return wanted->page->persistent && wanted->held->ceiling.active ? ADMIT_CEILING : ADMIT_FULL;
}

enum admit_result admit_frame(struct holdings *held, const struct admission *page, uint32_t *pfn, uint32_t *victim)
{
	struct wanted wanted = { held, page, 1 };

	if (is_limited(&wanted))
		return ADMIT_CEILING;
	*pfn = free_frame(&wanted);
	if (*pfn == PFN_NONE && compact(held))
		*pfn = free_frame(&wanted);
	*victim = *pfn == PFN_NONE ? choose_victim(held, &wanted) : 0;
	if (*victim) {
		*pfn = holdings_entry(held, *victim)->place >> UNITS_SHIFT;
		inflight_await(&held->region->inflight, *pfn, *pfn + 1);
		return ADMIT_OK;
	}
	if (*pfn == PFN_NONE && page->asks_again && held->evict.is_on_its_way)
		return ADMIT_ON_ITS_WAY;
	if (*pfn == PFN_NONE && make_room_past_the_gone(held, &wanted))
		*pfn = free_frame(&wanted);
	for (int round = 0; *pfn == PFN_NONE && round < COPIED_ROUNDS; round++) {
		if (page->depth < ADMIT_ANY || !give_up_copied(held, &wanted))
			break;
		*pfn = free_frame(&wanted);
	}
	if (*pfn == PFN_NONE && make_room_elsewhere(held, &wanted))
		*pfn = free_frame(&wanted);
	if (*pfn == PFN_NONE)
		return none(&wanted);
	shrink_settle(held, *pfn);
	return ADMIT_OK;
}

/* ---- spans ------------------------------------------------------------------------------------------- */

/* The chunk for a new span, after making room where that is needed; PFN_NONE: there is none. */
static uint32_t find_chunk(struct holdings *held, const struct wanted *wanted)
{
	const struct frame_table *table = &held->region->frames;
	uint32_t chunk = frame_chunk_with_free(table, wanted->frames, takes_new_frames, wanted);

	if (chunk != PFN_NONE && table->chunk[chunk].frames_free >= wanted->frames)
		return chunk;
	/* What compaction frees may lie in a chunk that is at its ceiling. */
	if (compact(held))
		chunk = frame_chunk_with_free(table, wanted->frames, takes_new_frames, wanted);
	else
		chunk = PFN_NONE;
	if (chunk == PFN_NONE) {
		uint32_t victim = choose_victim(held, wanted);
		uint32_t freed = victim ? holdings_entry(held, victim)->place >> UNITS_SHIFT : PFN_NONE;

		if (victim) {
			(void)shrink_drop(held, victim);
			evict_in_chunk(held, freed >> CHUNK_SHIFT, wanted->frames);
		} else {
			(void)make_room_past_the_gone(held, wanted);
		}
	}
	for (int round = 0; round < COPIED_ROUNDS; round++) {
		chunk = frame_chunk_with_free(table, wanted->frames, takes_new_frames, wanted);
		if (chunk != PFN_NONE || wanted->page->depth < ADMIT_ANY || !give_up_copied(held, wanted))
			break;
	}
	if (chunk == PFN_NONE && make_room_elsewhere(held, wanted))
		chunk = frame_chunk_with_free(table, wanted->frames, takes_new_frames, wanted);
	return chunk;
}

/* Adds a span of as many frames as the class packs best into, or of as many as can be had together. */
static enum admit_result add_span(struct holdings *held, const struct admission *page)
{
	struct tms_region *region = held->region;
	struct wanted wanted = { held, page, packing_span_frames(page->bytes) };
	uint32_t chunk;
	uint32_t have;

	if (is_limited(&wanted))
		return ADMIT_CEILING;
	if (page->fail_span)
		return ADMIT_NO_MEMORY;
	chunk = find_chunk(held, &wanted);
	/* A share of a chunk's frames may be smaller than the span that packs best. */
	while (chunk == PFN_NONE && held->ceiling.active && wanted.frames > 1) {
		wanted.frames--;
		chunk = find_chunk(held, &wanted);
	}
	if (chunk == PFN_NONE)
		return none(&wanted);
	have = region->frames.chunk[chunk].frames_free;
	have = have < wanted.frames ? have : wanted.frames;
	for (uint32_t n = 0, pfn = chunk << CHUNK_SHIFT; n < have; n++, pfn++) {
		pfn = frame_next_free(&region->frames, pfn);
		shrink_settle(held, pfn);
	}
	return packing_add_span(&region->packing, page->bytes, chunk, have) ? ADMIT_OK : ADMIT_NO_MEMORY;
}

enum admit_result admit_packed(struct holdings *held, const struct admission *page, uint32_t id, uint32_t *place)
{
	struct wanted wanted = { held, page, 0 };
	struct packing *packing = &held->region->packing;
	enum admit_result result;

	if (is_limited(&wanted))
		return ADMIT_CEILING;
	*place = packing_place(packing, page->bytes, id, takes_object, &wanted);
	if (*place != PLACE_NONE)
		return ADMIT_OK;
	result = add_span(held, page);
	if (result == ADMIT_OK) {
		*place = packing_place(packing, page->bytes, id, NULL, NULL);
		return ADMIT_OK;
	}
	/* Pages that were given up for frames, which did not come free, have left places. */
	*place = packing_place(packing, page->bytes, id, takes_object, &wanted);
	return *place != PLACE_NONE ? ADMIT_OK : result;
}
