/*
 * verify_pages.c: walks what pages are found by and kept in order by: entries, objects, orders, ages.
 *
 * Reads only.  Each check names the invariant as the card of its file does.
 */
#include "verify_inner.h"

static bool flags_agree(const struct entry *entry)
{
	unsigned int f = entry->flags;

	if (f & ENTRY_FILL)
		return !(f & (ENTRY_RESIDENT | ENTRY_COPY | ENTRY_WRITING | ENTRY_PACKED));
	if (!(f & (ENTRY_RESIDENT | ENTRY_COPY)))
		return false;
	if (f & ENTRY_WRITING && (f & ENTRY_COPY || !(f & ENTRY_RESIDENT)))
		return false;
	if (!(f & ENTRY_PERSISTENT))
		return (f & (ENTRY_RESIDENT | ENTRY_COPY | ENTRY_WRITING | ENTRY_PACKED)) == ENTRY_RESIDENT;
	return true;
}

static bool is_in_place(const struct walk *walk, const struct entry *entry, uint32_t id)
{
	const struct tms_region *region = walk->held->region;

	if (reserve_has(&region->reserve, entry->place))
		return entry->place + units_of(entry->size) <= region->reserve.first + region->reserve.end;
	if (entry->flags & ENTRY_PACKED)
		return entry->size <= PACKED_MAX_BYTES && packing_owns(&region->packing, entry->place, id);
	return entry->size == TMS_PAGE_SIZE && region->frames.owner[entry->place >> UNITS_SHIFT] == id;
}

static void recount_place(struct walk *walk, const struct entry *entry)
{
	const struct reserve *reserve = &walk->held->region->reserve;
	struct tms_chunk *chunk;

	if (!(entry->flags & ENTRY_COPY))
		walk->uncopied_units += units_of(entry->size);
	if (reserve_has(reserve, entry->place)) {
		walk->reserve++;
		walk->reserve_units += units_of(entry->size);
		holds(walk, !(entry->flags & ENTRY_COPY), "shrink: a page with a copy does not stay in the reserve");
		return;
	}
	chunk = &walk->chunk[entry->place >> UNITS_SHIFT >> CHUNK_SHIFT];
	walk->bytes += entry->size;
	walk->copied += !!(entry->flags & ENTRY_COPY);
	if (entry->flags & ENTRY_COPY) {
		chunk->objects_copied++;
	} else {
		chunk->objects_uncopied++;
		chunk->bytes_uncopied += entry->size;
		chunk->units_uncopied += units_of(entry->size);
	}
}

static void recount(struct walk *walk, const struct entry *entry)
{

	walk->clean += !(entry->flags & ENTRY_PERSISTENT);
	walk->swap += !!(entry->flags & ENTRY_PERSISTENT);
	walk->fill += !!(entry->flags & ENTRY_FILL);
	walk->fill_clean += (entry->flags & (ENTRY_FILL | ENTRY_PERSISTENT)) == ENTRY_FILL;
	walk->spilled += (entry->flags & (ENTRY_COPY | ENTRY_RESIDENT)) == ENTRY_COPY;
	if (entry->flags & (ENTRY_COPY | ENTRY_WRITING) &&
	    holds(walk, entry->block < walk->held->spill.end, "spill: a copy lies in the file"))
		walk->users[entry->block]++;
	if ((entry->flags & (ENTRY_RESIDENT | ENTRY_PERSISTENT)) == (ENTRY_RESIDENT | ENTRY_PERSISTENT))
		recount_place(walk, entry);
}

static void verify_entries(struct walk *walk)
{
	const struct index *index = &walk->held->index;
	const struct tms_stats *stats = &walk->held->stats;
	uint32_t live = 0;

	for (uint32_t id = 1; id < index->entries.end; id++) {
		const struct entry *entry = entry_at(&index->entries, id);
		struct key key = { entry_object(entry), entry->index, entry->pool };

		if (!entry->pool)
			continue;
		live++;
		holds(walk, index_find(index, &key) == id, "index 1: an entry is found by its key");
		holds(walk, flags_agree(entry), "entry 1 to 3: the flags of an entry agree");
		holds(walk, !(entry->flags & ENTRY_RESIDENT) || is_in_place(walk, entry, id),
		      "entry: a resident page lies where its entry says");
		if (walk->broken)
			return;
		recount(walk, entry);
	}
	holds(walk, live == index->entries.live && live == index->entry_hash.records, "index: entries are counted");
	holds(walk,
	      walk->clean == stats->pages_clean && walk->swap == stats->pages_swap && walk->fill == stats->pages_fill &&
		      walk->spilled == stats->pages_spilled && walk->copied == stats->pages_copied &&
		      walk->bytes == stats->bytes_kept && walk->reserve == stats->pages_reserve,
	      "stats: what is held is what is counted");
	holds(walk, walk->uncopied_units == walk->held->uncopied_units, "shrink: pages without a copy are counted in units");
	holds(walk, walk->reserve_units == walk->held->region->reserve.used,
	      "reserve: its objects are counted in units");
}

static void verify_objects(struct walk *walk)
{
	const struct index *index = &walk->held->index;
	uint64_t pages = 0;
	uint64_t listed = 0;

	for (uint32_t id = 1; id < index->objects.end; id++) {
		const struct object *object = slab_at(&index->objects, id);
		uint32_t before = 0;
		uint32_t count = 0;

		if (!object->pool)
			continue;
		for (uint32_t at = object->pages.first; at && count <= index->entries.live; count++) {
			const struct entry *entry = entry_at(&index->entries, at);

			holds(walk, entry->sibling.prev == before, "index 1: the list of an object runs back as it runs forth");
			before = at;
			at = entry->sibling.next;
			holds(walk, entry->pool == object->pool && entry_object(entry) == object->object,
			      "index 1: the pages of an object are its own");
		}
		holds(walk, count == object->pages.count && count > 0, "index 2: an object with no page does not exist");
		pages += count;
	}
	for (uint32_t slot = 0; slot < index->pools; slot++)
		listed += index->pool_objects[slot].count;
	holds(walk, pages == index->entries.live, "index 1: each entry is in the list of its object");
	holds(walk, listed == index->objects.live && listed == index->object_hash.records,
	      "index 3: each object is in the list of its pool");
}

static uint64_t count_order(struct walk *walk, const struct list *list, unsigned int kind, uint32_t hand)
{
	const struct slab *entries = &walk->held->index.entries;
	uint64_t count = 0;
	uint32_t before = 0;
	bool hand_seen = !hand;

	for (uint32_t id = list->first; id && count <= entries->live; id = entry_at(entries, id)->order.next, count++) {
		const struct entry *entry = entry_at(entries, id);

		holds(walk, (entry->flags & (ENTRY_PERSISTENT | ENTRY_RESIDENT | ENTRY_FILL)) == kind,
		      "evict 1: an eviction order holds ephemeral pages only");
		holds(walk, entry->order.prev == before, "evict: an eviction order runs back as it runs forth");
		hand_seen |= id == hand;
		before = id;
	}
	holds(walk, count == list->count && before == list->last, "evict: an eviction order is counted to its last");
	holds(walk, hand_seen, "evict 2: the hand names a page of the list");
	return count;
}

static void verify_order(struct walk *walk)
{
	const struct evict *evict = &walk->held->evict;

	holds(walk, count_order(walk, &evict->list, ENTRY_RESIDENT, evict->hand) == walk->clean - walk->fill_clean,
	      "evict 1: every ephemeral page with a frame is in the eviction order");
	holds(walk, count_order(walk, &evict->filled, ENTRY_FILL, 0) == walk->fill_clean,
	      "evict 1: every same-filled ephemeral page is in the list of those");
}

/* ---- ages -------------------------------------------------------------------------------------------- */

static bool has_age(const struct walk *walk, const struct entry *entry, enum age age)
{
	const bool in_reserve = reserve_has(&walk->held->region->reserve, entry->place);

	if ((entry->flags & (ENTRY_PERSISTENT | ENTRY_RESIDENT | ENTRY_FILL)) != (ENTRY_PERSISTENT | ENTRY_RESIDENT))
		return false;
	return age == AGE_RESERVE ? in_reserve : !in_reserve && !(entry->flags & ENTRY_COPY) == (age == AGE_UNCOPIED);
}

static uint64_t count_age(struct walk *walk, enum age age)
{
	const struct aging *aging = &walk->held->aging;
	const struct list *list = &aging->list[age];
	bool hand_seen = age != AGE_RESERVE || !aging->slide_hand;
	uint32_t above = UINT32_MAX;
	uint64_t count = 0;

	for (uint32_t id = list->first; id && count <= aging->entries->live; count++) {
		const struct entry *entry = entry_at(aging->entries, id);

		holds(walk, has_age(walk, entry, age), "aging 1: a persistent page is in the list of its age");
		if (age == AGE_RESERVE)
			holds(walk, entry->place + units_of(entry->size) <= above,
			      "aging 2: the list of the reserve runs from the highest place to the lowest");
		above = entry->place;
		hand_seen |= id == aging->slide_hand;
		id = entry->order.next;
	}
	holds(walk, count == list->count, "aging: an age is counted to its last");
	holds(walk, hand_seen, "aging 3: the hand names a page of the reserve");
	return count;
}

static void verify_ages(struct walk *walk)
{
	uint64_t in_region = count_age(walk, AGE_UNCOPIED) + count_age(walk, AGE_COPIED);
	uint64_t in_reserve = count_age(walk, AGE_RESERVE);

	holds(walk, in_region + in_reserve + walk->spilled + walk->fill == walk->swap + walk->fill_clean,
	      "aging 1: every persistent page in memory has an age");
	holds(walk, in_reserve == walk->reserve, "aging 1: every page of the reserve is in its list");
}

void verify_pages(struct walk *walk)
{
	verify_entries(walk);
	if (walk->broken)
		return;
	verify_objects(walk);
	verify_order(walk);
	verify_ages(walk);
}
