/*
 * shrink.c: the ways an entry leaves its place, and the bookkeeping of all of them.
 *
 * Laws: 1. the frame of a persistent page is given up only once its write is complete, or once its bytes
 * lie elsewhere in memory; until then the page is served from where it is.  2. a page may move while a write
 * of it is under way: what is written was copied out before.  3. an entry that was left behind is no page: no
 * look-up finds it, nothing counts it, and it is gone before its frame is taken again.
 * Locks: the store's, in every function.
 */
#include "shrink.h"

/* Bytes that slide in one go, before others get the lock. */
#define SLIDE_STEP_BYTES (64u << 10)

/* ---- counting -------------------------------------------------------------------------------------- */

/* A resident persistent page, in the counts of where it lies. */
static void count_place(struct holdings *held, const struct entry *entry, uint64_t one)
{
	const bool in_reserve = reserve_has(&held->region->reserve, entry->place);
	struct tms_stats *stats = &held->stats;
	struct tms_chunk *chunk;

	if (!(entry->flags & ENTRY_COPY))
		held->uncopied_units += one * units_of(entry->size);
	if (in_reserve) {
		stats->pages_reserve += one;
		return;
	}
	chunk = frame_chunk(&held->region->frames, entry->place >> UNITS_SHIFT);
	stats->bytes_kept += one * entry->size;
	if (entry->flags & ENTRY_COPY) {
		stats->pages_copied += one;
		chunk->objects_copied += (uint32_t)one;
	} else {
		chunk->objects_uncopied += (uint32_t)one;
		chunk->bytes_uncopied += (uint32_t)one * entry->size;
		chunk->units_uncopied += (uint32_t)one * units_of(entry->size);
	}
}

void holdings_count(struct holdings *held, uint32_t id, int sign)
{
	const struct entry *entry = holdings_entry(held, id);
	const uint64_t one = (uint64_t)(int64_t)sign;
	struct tms_stats *stats = &held->stats;

	if (entry->flags & ENTRY_PERSISTENT)
		stats->pages_swap += one;
	else
		stats->pages_clean += one;
	if (entry->flags & ENTRY_FILL)
		stats->pages_fill += one;
	if ((entry->flags & (ENTRY_RESIDENT | ENTRY_COPY)) == ENTRY_COPY)
		stats->pages_spilled += one;
	if ((entry->flags & (ENTRY_RESIDENT | ENTRY_PERSISTENT)) != (ENTRY_RESIDENT | ENTRY_PERSISTENT))
		return;
	count_place(held, entry, one);
	(sign > 0 ? aging_enlist : aging_delist)(&held->aging, holdings_age(held, entry), id);
}

/* ---- dropping -------------------------------------------------------------------------------------- */

static void free_place(struct holdings *held, const struct entry *entry)
{
	struct tms_region *region = held->region;

	if (reserve_has(&region->reserve, entry->place))
		reserve_put(&region->reserve, entry->place, entry->size);
	else if (entry->flags & ENTRY_PACKED)
		packing_remove(&region->packing, entry->place);
	else
		frame_release(&region->frames, entry->place >> UNITS_SHIFT);
}

/* free: it gives up its frame, too. */
static bool drop(struct holdings *held, uint32_t id, bool free)
{
	const struct entry *entry = holdings_entry(held, id);
	const bool is_page = !holdings_left_behind(held, id);

	if (is_page)
		holdings_count(held, id, -1);
	if (!(entry->flags & ENTRY_PERSISTENT))
		(entry->flags & ENTRY_FILL ? evict_forget_filled : evict_forget)(&held->evict, id);
	if (!is_page)
		held->region->frames.owner[entry->place >> UNITS_SHIFT] = 0;
	else if (entry->flags & ENTRY_RESIDENT && free)
		free_place(held, entry);
	if (entry->flags & ENTRY_COPY)
		spill_put(&held->spill, entry->block);
	index_remove(&held->index, id);
	return is_page;
}

bool shrink_drop(struct holdings *held, uint32_t id)
{
	return drop(held, id, true);
}

void shrink_take_frame(struct holdings *held, uint32_t pfn, uint32_t victim, enum frame_state state, uint32_t id)
{
	if (victim) {
		(void)drop(held, victim, false);
		frame_pass_on(&held->region->frames, pfn, state, id);
	} else {
		frame_take(&held->region->frames, pfn, state, id);
	}
}

uint32_t holdings_find(struct holdings *held, const struct key *key)
{
	uint32_t id = index_find(&held->index, key);

	if (!id || !holdings_left_behind(held, id))
		return id;
	(void)shrink_drop(held, id);
	return 0;
}

uint32_t shrink_vacate(struct holdings *held, uint32_t start, uint32_t end)
{
	uint32_t vacated = frame_vacate_clean(&held->region->frames, start, end);

	inflight_await(&held->region->inflight, start, end);
	held->stats.pages_clean -= vacated;
	return vacated;
}

void shrink_settle(struct holdings *held, uint32_t pfn)
{
	uint32_t id = frame_left_behind(&held->region->frames, pfn);

	if (id)
		(void)shrink_drop(held, id);
	inflight_await(&held->region->inflight, pfn, pfn + 1);
}

void shrink_become_copy(struct holdings *held, uint32_t id, uint32_t size, uint8_t form)
{
	struct entry *entry = holdings_entry(held, id);

	holdings_count(held, id, -1);
	free_place(held, entry);
	entry->size = (uint16_t)size;
	entry->flags &= (uint8_t) ~(ENTRY_RESIDENT | ENTRY_VISITED | ENTRY_PACKED | ENTRY_DENSE);
	entry->flags |= form;
	holdings_count(held, id, 1);
}

void shrink_drop_resident(struct holdings *held, uint32_t id)
{
	const struct entry *entry = holdings_entry(held, id);

	shrink_become_copy(held, id, entry->size, entry->flags & (ENTRY_PACKED | ENTRY_DENSE));
}

/* ---- moving ---------------------------------------------------------------------------------------- */

void shrink_moved(void *context, uint32_t id, uint32_t new_place)
{
	struct holdings *held = context;
	struct entry *entry = holdings_entry(held, id);

	/* Region to region, copied or not as before: its age stays what it was. */
	count_place(held, entry, UINT64_MAX);
	entry->place = new_place;
	count_place(held, entry, 1);
	held->stats.objects_moved++;
}

void shrink_move(struct holdings *held, uint32_t id, uint32_t new_place, const uint8_t *bytes, uint32_t size, uint8_t form)
{
	struct entry *entry = holdings_entry(held, id);
	const bool same_list = !reserve_has(&held->region->reserve, new_place) &&
			       !reserve_has(&held->region->reserve, entry->place);
	uint8_t kept[TMS_PAGE_SIZE];

	if (!bytes) {
		size = entry->size;
		form = entry->flags & (ENTRY_PACKED | ENTRY_DENSE);
		bytes = region_look(held->region, entry->place, size, form & ENTRY_PACKED, kept);
	}
	region_write(held->region, new_place, size, form & ENTRY_PACKED, bytes);
	if (same_list)
		count_place(held, entry, UINT64_MAX);
	else
		holdings_count(held, id, -1);
	free_place(held, entry);
	entry->place = new_place;
	entry->size = (uint16_t)size;
	entry->flags = (uint8_t)((entry->flags & ~(ENTRY_PACKED | ENTRY_DENSE)) | form);
	if (same_list)
		count_place(held, entry, 1);
	else
		holdings_count(held, id, 1);
}

bool shrink_to_reserve(struct holdings *held, uint32_t id, const uint8_t *bytes, uint32_t size, uint8_t form)
{
	uint32_t place = reserve_take(&held->region->reserve, bytes ? size : holdings_entry(held, id)->size);

	if (place == PLACE_NONE)
		return false;
	shrink_move(held, id, place, bytes, size, form);
	return true;
}

/* ---- the holes of the reserve ---------------------------------------------------------------------- */

static bool begin_slide(struct holdings *held)
{
	const struct reserve *reserve = &held->region->reserve;
	struct aging *aging = &held->aging;

	if (!aging->slide_hand && reserve->end > reserve->used) {
		aging->slide_hand = aging->list[AGE_RESERVE].last;
		aging->slide_to = 0;
	}
	return aging->slide_hand;
}

bool shrink_slide(struct holdings *held)
{
	struct reserve *reserve = &held->region->reserve;
	struct aging *aging = &held->aging;
	uint32_t moved = 0;

	if (!begin_slide(held))
		return true;
	while (aging->slide_hand && moved < SLIDE_STEP_BYTES) {
		struct entry *entry = holdings_entry(held, aging->slide_hand);
		uint32_t place = reserve->first + aging->slide_to;

		if (entry->place != place) {
			region_slide(held->region, place, entry->place, entry->size);
			entry->place = place;
			moved += entry->size;
		}
		moved += 1U << UNIT_SHIFT;
		aging->slide_to += units_of(entry->size);
		aging->slide_hand = aging_newer(aging, aging->slide_hand);
	}
	if (aging->slide_hand)
		return false;
	reserve->end = aging->slide_to;
	return true;
}
