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

static bool is_in_place(const struct audit *audit, const struct entry *entry, uint32_t id)
{
	const struct tms_region *region = audit->held->region;

	if (reserve_has(&region->reserve, entry->place))
		return entry->place + units_of(entry->size) <= region->reserve.first + region->reserve.end;
	if (entry->flags & ENTRY_PACKED)
		return entry->size <= PACKED_MAX_BYTES && packing_owns(&region->packing, entry->place, id);
	/* What was left behind names a frame that still names it. */
	return entry->size == TMS_PAGE_SIZE && region->frames.owner[entry->place >> UNITS_SHIFT] == id;
}

static void recount_place(struct audit *audit, const struct entry *entry)
{
	const struct reserve *reserve = &audit->held->region->reserve;
	struct tms_chunk *chunk;

	if (!(entry->flags & ENTRY_COPY))
		audit->uncopied_units += units_of(entry->size);
	if (reserve_has(reserve, entry->place)) {
		audit->reserve++;
		audit->reserve_units += units_of(entry->size);
		holds(audit, !(entry->flags & ENTRY_COPY), "shrink: a page with a copy does not stay in the reserve");
		return;
	}
	chunk = &audit->chunk[entry->place >> UNITS_SHIFT >> CHUNK_SHIFT];
	audit->bytes += entry->size;
	audit->copied += !!(entry->flags & ENTRY_COPY);
	if (entry->flags & ENTRY_COPY) {
		chunk->objects_copied++;
	} else {
		chunk->objects_uncopied++;
		chunk->bytes_uncopied += entry->size;
		chunk->units_uncopied += units_of(entry->size);
	}
}

static void recount(struct audit *audit, const struct entry *entry, bool is_left_behind)
{
	audit->left_behind += is_left_behind;
	audit->clean += !(entry->flags & ENTRY_PERSISTENT) && !is_left_behind;
	audit->swap += !!(entry->flags & ENTRY_PERSISTENT);
	audit->fill += !!(entry->flags & ENTRY_FILL);
	audit->fill_clean += (entry->flags & (ENTRY_FILL | ENTRY_PERSISTENT)) == ENTRY_FILL;
	audit->spilled += (entry->flags & (ENTRY_COPY | ENTRY_RESIDENT)) == ENTRY_COPY;
	if (entry->flags & (ENTRY_COPY | ENTRY_WRITING) &&
	    holds(audit, entry->block < audit->held->spill.end, "spill: a copy lies in the file"))
		audit->users[entry->block]++;
	if ((entry->flags & (ENTRY_RESIDENT | ENTRY_PERSISTENT)) == (ENTRY_RESIDENT | ENTRY_PERSISTENT))
		recount_place(audit, entry);
}

static bool is_found(const struct index *index, uint32_t id)
{
	const struct entry *entry = entry_at(&index->entries, id);
	const struct object *object = entry->object < index->objects.end ? index_object(index, entry) : NULL;

	return object && object->pool &&
	       index_find(index, &(struct key){ object->number, entry->index, (uint16_t)object->pool }) == id;
}

static void verify_entries(struct audit *audit)
{
	const struct index *index = &audit->held->index;
	const struct tms_stats *stats = &audit->held->stats;
	uint32_t live = 0;

	for (uint32_t id = 1; id < index->entries.end; id++) {
		const struct entry *entry = entry_at(&index->entries, id);

		if (!entry->object)
			continue;
		live++;
		holds(audit, is_found(index, id), "index 1: an entry is found by its key");
		holds(audit, flags_agree(entry), "entry 1 to 3: the flags of an entry agree");
		holds(audit, !(entry->flags & ENTRY_RESIDENT) || is_in_place(audit, entry, id),
		      "entry: a resident page lies where its entry says");
		if (audit->broken)
			return;
		recount(audit, entry, holdings_left_behind(audit->held, id));
	}
	holds(audit, live == index->entries.live && live == index->entry_hash.records, "index: entries are counted");
	holds(audit,
	      audit->clean == stats->pages_clean && audit->swap == stats->pages_swap && audit->fill == stats->pages_fill &&
		      audit->spilled == stats->pages_spilled && audit->copied == stats->pages_copied &&
		      audit->bytes == stats->bytes_kept && audit->reserve == stats->pages_reserve,
	      "stats: what is held is what is counted");
	holds(audit, audit->uncopied_units == audit->held->uncopied_units, "shrink: pages without a copy are counted in units");
	holds(audit, audit->reserve_units == audit->held->region->reserve.used,
	      "reserve: its objects are counted in units");
}

static void verify_objects(struct audit *audit)
{
	const struct index *index = &audit->held->index;
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

			holds(audit, entry->sibling.prev == before, "index 1: the list of an object runs back as it runs forth");
			before = at;
			at = entry->sibling.next;
			holds(audit, entry->object == id,
			      "index 1: the pages of an object are its own");
		}
		holds(audit, count == object->pages.count && count > 0, "index 2: an object with no page does not exist");
		pages += count;
	}
	for (uint32_t slot = 0; slot < index->pools; slot++)
		listed += index->pool_objects[slot].count;
	holds(audit, pages == index->entries.live, "index 1: each entry is in the list of its object");
	holds(audit, listed == index->objects.live && listed == index->object_hash.records,
	      "index 3: each object is in the list of its pool");
}

static uint64_t count_order(struct audit *audit, const struct list *list, unsigned int kind, uint32_t hand)
{
	const struct slab *entries = &audit->held->index.entries;
	uint64_t count = 0;
	uint32_t before = 0;
	bool hand_seen = !hand;

	for (uint32_t id = list->first; id && count <= entries->live; id = entry_at(entries, id)->order.next, count++) {
		const struct entry *entry = entry_at(entries, id);

		holds(audit, (entry->flags & (ENTRY_PERSISTENT | ENTRY_RESIDENT | ENTRY_FILL)) == kind,
		      "evict 1: an eviction order holds ephemeral pages only");
		holds(audit, entry->order.prev == before, "evict: an eviction order runs back as it runs forth");
		hand_seen |= id == hand;
		before = id;
	}
	holds(audit, count == list->count && before == list->last, "evict: an eviction order is counted to its last");
	holds(audit, hand_seen, "evict 2: the hand names a page of the list");
	return count;
}

static void verify_order(struct audit *audit)
{
	const struct evict *evict = &audit->held->evict;

	holds(audit,
	      count_order(audit, &evict->list, ENTRY_RESIDENT, evict->hand) ==
		      audit->clean - audit->fill_clean + audit->left_behind,
	      "evict 1: every ephemeral page with a frame is in the eviction order, and what one left behind");
	holds(audit, count_order(audit, &evict->filled, ENTRY_FILL, 0) == audit->fill_clean,
	      "evict 1: every same-filled ephemeral page is in the list of those");
}

/* ---- ages -------------------------------------------------------------------------------------------- */

static bool has_age(const struct audit *audit, const struct entry *entry, enum age age)
{
	const bool in_reserve = reserve_has(&audit->held->region->reserve, entry->place);

	if ((entry->flags & (ENTRY_PERSISTENT | ENTRY_RESIDENT | ENTRY_FILL)) != (ENTRY_PERSISTENT | ENTRY_RESIDENT))
		return false;
	return age == AGE_RESERVE ? in_reserve : !in_reserve && !(entry->flags & ENTRY_COPY) == (age == AGE_UNCOPIED);
}

static uint64_t count_age(struct audit *audit, enum age age)
{
	const struct aging *aging = &audit->held->aging;
	const struct list *list = &aging->list[age];
	bool hand_seen = age != AGE_RESERVE || !aging->slide_hand;
	uint32_t above = UINT32_MAX;
	uint32_t before = 0;
	uint64_t count = 0;

	for (uint32_t id = list->first; id && count <= aging->entries->live; count++) {
		const struct entry *entry = entry_at(aging->entries, id);

		holds(audit, has_age(audit, entry, age), "aging 1: a persistent page is in the list of its age");
		if (age == AGE_RESERVE)
			holds(audit, entry->place + units_of(entry->size) <= above,
			      "aging 2: the list of the reserve runs from the highest place to the lowest");
		holds(audit, entry->order.prev == before, "aging: an age runs back as it runs forth");
		above = entry->place;
		before = id;
		hand_seen |= id == aging->slide_hand;
		id = entry->order.next;
	}
	holds(audit, count == list->count && before == list->last, "aging: an age is counted to its last");
	holds(audit, hand_seen, "aging 3: the hand names a page of the reserve");
	return count;
}

static void verify_ages(struct audit *audit)
{
	uint64_t in_region = count_age(audit, AGE_UNCOPIED) + count_age(audit, AGE_COPIED);
	uint64_t in_reserve = count_age(audit, AGE_RESERVE);

	holds(audit, in_region + in_reserve + audit->spilled + audit->fill == audit->swap + audit->fill_clean,
	      "aging 1: every persistent page in memory has an age");
	holds(audit, in_reserve == audit->reserve, "aging 1: every page of the reserve is in its list");
}

void verify_pages(struct audit *audit)
{
	verify_entries(audit);
	if (audit->broken)
		return;
	verify_objects(audit);
	verify_order(audit);
	verify_ages(audit);
}
