/*
 * verify.c: walks every structure and names the first invariant that does not hold.
 *
 * Reads only.  Holds the store's lock throughout, so that nothing is seen half done.  Each check names
 * the invariant as the card of its file does.
 */
#include "store.h"

struct walk {
	const struct holdings *held;
	const char *broken;
	/* recounted */
	struct tms_chunk *chunk;
	uint16_t *users;
	uint64_t clean, swap, fill, fill_clean, spilled, copied, bytes;
};

static bool holds(struct walk *walk, bool condition, const char *invariant)
{
	if (!condition && !walk->broken)
		walk->broken = invariant;
	return condition;
}

/* ---- frames ------------------------------------------------------------------------------------------ */

static bool owns_frame(const struct walk *walk, uint32_t pfn, bool persistent)
{
	const struct slab *entries = &walk->held->index.entries;
	uint32_t id = walk->held->region->frames.owner[pfn];
	const struct entry *entry;

	if (id == 0 || id >= entries->end)
		return false;
	entry = entry_at(entries, id);
	return entry->pool && entry->flags & ENTRY_RESIDENT && !(entry->flags & ENTRY_PACKED) &&
	       entry->place == pfn << UNITS_SHIFT && !(entry->flags & ENTRY_PERSISTENT) == !persistent;
}

static bool in_span(const struct walk *walk, uint32_t pfn)
{
	const struct packing *packing = &walk->held->region->packing;
	uint32_t id = packing->frames->owner[pfn];

	return id && id < packing->spans.end && packing_span(packing, id)->frames &&
	       span_lowest_pfn(packing_span(packing, id), pfn) == pfn;
}

static void verify_frame(struct walk *walk, uint32_t pfn)
{
	const struct frame_table *frames = &walk->held->region->frames;
	struct tms_chunk *chunk = &walk->chunk[pfn >> CHUNK_SHIFT];
	bool isolated = frame_is_isolated(frames, pfn);
	enum frame_state state = frame_state(frames, pfn);

	holds(walk, bitmap_test(&frames->free, pfn) == (state == FRAME_FREE && !isolated),
	      "frame 1: the free set holds exactly the free frames that are not isolated");
	if (isolated && state != FRAME_FREE)
		chunk->frames_leaving++;
	switch (state) {
	case FRAME_FREE:
		(*(isolated ? &chunk->frames_isolated : &chunk->frames_free))++;
		break;
	case FRAME_CLEAN:
		chunk->frames_clean++;
		holds(walk, owns_frame(walk, pfn, false), "frame: an ephemeral frame is owned by the entry that is there");
		break;
	case FRAME_SWAP:
		chunk->frames_frontswap++;
		holds(walk, owns_frame(walk, pfn, true), "frame: a raw frontswap frame is owned by the entry that is there");
		break;
	case FRAME_PACKED:
		chunk->frames_frontswap++;
		holds(walk, in_span(walk, pfn), "frame: a packed frame is owned by a span that names it");
		break;
	case FRAME_ALLOCATED:
		chunk->frames_allocated++;
		holds(walk, !isolated, "frame 3: an allocated frame is not isolated");
		break;
	default:
		holds(walk, false, "frame: every frame has a state");
	}
}

static void verify_totals(struct walk *walk)
{
	const struct frame_table *frames = &walk->held->region->frames;
	uint64_t free = 0, clean = 0, frontswap = 0, isolated = 0, allocated = 0;

	for (uint32_t c = 0; c < frames->chunks; c++) {
		free += walk->chunk[c].frames_free;
		clean += walk->chunk[c].frames_clean;
		frontswap += walk->chunk[c].frames_frontswap;
		isolated += walk->chunk[c].frames_isolated;
		allocated += walk->chunk[c].frames_allocated;
	}
	holds(walk,
	      frames->held[FRAME_FREE] == free && frames->held[FRAME_CLEAN] == clean &&
		      frames->held[FRAME_SWAP] + frames->held[FRAME_PACKED] == frontswap && frames->isolated == isolated &&
		      frames->held[FRAME_ALLOCATED] == allocated,
	      "frame: the counts of all frames are the sums of those of the chunks");
}

static void verify_frames(struct walk *walk)
{
	const struct frame_table *frames = &walk->held->region->frames;

	for (uint32_t pfn = 0; pfn < frames->frames; pfn++)
		verify_frame(walk, pfn);
	holds(walk, !memcmp(walk->chunk, frames->chunk, frames->chunks * sizeof(*walk->chunk)),
	      "frame 2: the counts of a chunk are those of its frames and objects");
	verify_totals(walk);
}

/* ---- ranges ------------------------------------------------------------------------------------------ */

static void verify_ranges(struct walk *walk)
{
	const struct range_table *table = &walk->held->region->ranges;
	uint64_t frames = 0;

	for (uint32_t id = 1; id < table->ranges.end; id++) {
		const struct range *range = slab_at(&table->ranges, id);

		if (!range->generation)
			continue;
		for (uint32_t pfn = range->start_pfn; pfn < range->end_pfn; pfn++)
			holds(walk,
			      range->allocated ? frame_state(table->frames, pfn) == FRAME_ALLOCATED :
						 frame_is_isolated(table->frames, pfn),
			      "range 2: the frames of a range are isolated, or allocated once it is handed out");
		frames += range->allocated ? range->end_pfn - range->start_pfn : 0;
	}
	holds(walk, frames == table->frames->held[FRAME_ALLOCATED], "range 1: ranges do not overlap");
}

/* ---- spans ------------------------------------------------------------------------------------------- */

static void verify_span(struct walk *walk, uint32_t id)
{
	const struct packing *packing = &walk->held->region->packing;
	const struct slab *entries = &walk->held->index.entries;
	const struct span *span = packing_span(packing, id);
	uint32_t used = 0;
	uint32_t entry;

	for (uint32_t slot = span_next_used(span, 0, &entry); slot < span->capacity;
	     slot = span_next_used(span, slot + 1, &entry), used++)
		holds(walk,
		      entry < entries->end && entry_at(entries, entry)->flags & ENTRY_PACKED &&
			      packing_owns(packing, entry_at(entries, entry)->place, entry),
		      "sizeclass: an object in use is owned by an entry that is there");
	for (uint32_t f = 0; f < span->frames; f++)
		holds(walk,
		      span->pfn[f] >> CHUNK_SHIFT == span->pfn[0] >> CHUNK_SHIFT &&
			      packing->frames->owner[span->pfn[f]] == id &&
			      frame_state(packing->frames, span->pfn[f]) == FRAME_PACKED,
		      "sizeclass 2: the frames of a span are packed, its own, and in one chunk");
	holds(walk, used == span->used && used > 0, "sizeclass 3: a span counts its objects and has one");
	holds(walk, span->listed == (!span->sealed && used < span->capacity),
	      "sizeclass 1: a span is listed iff it has room and is not sealed");
}

static void verify_spans(struct walk *walk)
{
	const struct packing *packing = &walk->held->region->packing;
	uint64_t free_slots[SIZE_CLASSES] = { 0 };

	for (uint32_t id = 1; id < packing->spans.end; id++) {
		const struct span *span = packing_span(packing, id);

		if (!span->frames)
			continue;
		verify_span(walk, id);
		if (span->listed)
			free_slots[span->class_id] += (uint64_t)span->capacity - span->used;
	}
	for (uint32_t c = 0; c < SIZE_CLASSES; c++)
		holds(walk, free_slots[c] == packing->class[c].free_slots, "sizeclass 4: free slots are those of the listed spans");
}

/* ---- entries ----------------------------------------------------------------------------------------- */

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

	if (entry->flags & ENTRY_PACKED)
		return entry->size <= PACKED_MAX_BYTES && packing_owns(&region->packing, entry->place, id);
	return entry->size == TMS_PAGE_SIZE && region->frames.owner[entry->place >> UNITS_SHIFT] == id;
}

static void recount(struct walk *walk, const struct entry *entry)
{
	struct tms_chunk *chunk;

	walk->clean += !(entry->flags & ENTRY_PERSISTENT);
	walk->swap += !!(entry->flags & ENTRY_PERSISTENT);
	walk->fill += !!(entry->flags & ENTRY_FILL);
	walk->fill_clean += (entry->flags & (ENTRY_FILL | ENTRY_PERSISTENT)) == ENTRY_FILL;
	walk->spilled += (entry->flags & (ENTRY_COPY | ENTRY_RESIDENT)) == ENTRY_COPY;
	if (entry->flags & (ENTRY_COPY | ENTRY_WRITING) &&
	    holds(walk, entry->block < walk->held->spill.end, "spill: a copy lies in the file"))
		walk->users[entry->block]++;
	if ((entry->flags & (ENTRY_RESIDENT | ENTRY_PERSISTENT)) != (ENTRY_RESIDENT | ENTRY_PERSISTENT))
		return;
	chunk = &walk->chunk[entry->place >> UNITS_SHIFT >> CHUNK_SHIFT];
	walk->bytes += entry->size;
	walk->copied += !!(entry->flags & ENTRY_COPY);
	if (entry->flags & ENTRY_COPY) {
		chunk->objects_copied++;
	} else {
		chunk->objects_uncopied++;
		chunk->bytes_uncopied += entry->size;
	}
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
		      walk->bytes == stats->bytes_kept,
	      "stats: what is held is what is counted");
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

/* ---- spill ------------------------------------------------------------------------------------------- */

/* quiet: no read or write is under way, so that only copies use blocks. */
static void verify_spill(struct walk *walk, bool quiet)
{
	const struct spill *spill = &walk->held->spill;
	uint32_t used = 0;

	for (uint32_t block = SPILL_HEADER_BLOCKS; block < spill->end; block++) {
		used += spill->users[block] != 0;
		holds(walk, quiet ? spill->users[block] == walk->users[block] : spill->users[block] >= walk->users[block],
		      "spill: a block has as many users as there are");
		holds(walk, bitmap_test(&spill->free, block) == !spill->users[block],
		      "spill 1: a block is free iff it has no user");
	}
	holds(walk, used == spill->used, "spill 2: blocks in use are counted");
}

static void verify_all(struct walk *walk, bool quiet)
{
	verify_entries(walk);
	verify_frames(walk);
	verify_ranges(walk);
	verify_spans(walk);
	verify_objects(walk);
	verify_order(walk);
	verify_spill(walk, quiet);
}

/* No batch is being filled or written, no block being read. */
static bool is_quiet(const tms_store *store)
{
	uint32_t idle = 0;

	for (const struct page_out *batch = store->idle; batch; batch = batch->next_idle)
		idle++;
	return (!store->io || idle == PAGE_OUT_BATCHES) && store->loads == 0;
}

int tms_verify(tms_store *store, const char **ret)
{
	struct walk walk = { .held = &store->held };
	int code = store_enter(store);

	if (code)
		return code;
	walk.chunk = calloc(store->held.region->frames.chunks, sizeof(*walk.chunk));
	walk.users = calloc((size_t)store->held.spill.end + 1, sizeof(*walk.users));
	if (walk.chunk && walk.users)
		verify_all(&walk, is_quiet(store));
	else
		code = TMS_E_NO_MEMORY;
	store_leave(store);
	free(walk.chunk);
	free(walk.users);
	if (walk.broken) {
		*ret = walk.broken;
		code = TMS_E_BROKEN;
	}
	return code;
}
