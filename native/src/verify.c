/*
 * verify.c: walks every structure and names the first invariant that does not hold.
 *
 * Reads only.  Holds the store's lock throughout, so that nothing is seen half done.  Each check names
 * the invariant as the card of its file does.
 */
#include "verify_inner.h"

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
	verify_pages(walk);
	verify_frames(walk);
	verify_ranges(walk);
	verify_spans(walk);
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
