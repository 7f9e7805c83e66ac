/*
 * verify.c: walks every structure and names the first invariant that does not hold.
 *
 * Reads only.  Holds the store's lock throughout, so that nothing is seen half done.  Each check names
 * the invariant as the card of its file does.
 */
#include "verify_inner.h"

/* ---- frames ------------------------------------------------------------------------------------------ */

static bool owns_frame(const struct audit *audit, uint32_t pfn, bool persistent)
{
	const struct slab *entries = &audit->held->index.entries;
	uint32_t id = audit->held->region->frames.owner[pfn];
	const struct entry *entry;

	if (id == 0 || id >= entries->end)
		return false;
	entry = entry_at(entries, id);
	return entry->object && entry->flags & ENTRY_RESIDENT && !(entry->flags & ENTRY_PACKED) &&
	       entry->place == pfn << UNITS_SHIFT && !(entry->flags & ENTRY_PERSISTENT) == !persistent;
}

static bool in_span(const struct audit *audit, uint32_t pfn)
{
	const struct packing *packing = &audit->held->region->packing;
	uint32_t id = packing->frames->owner[pfn];

	return id && id < packing->spans.end && packing_span(packing, id)->frames &&
	       span_lowest_pfn(packing_span(packing, id), pfn) == pfn;
}

static void verify_frame(struct audit *audit, uint32_t pfn)
{
	const struct frame_table *frames = &audit->held->region->frames;
	struct tms_chunk *chunk = &audit->chunk[pfn >> CHUNK_SHIFT];
	bool isolated = frame_is_isolated(frames, pfn);
	enum frame_state state = frame_state(frames, pfn);

	holds(audit, !frame_left_behind(frames, pfn) || owns_frame(audit, pfn, false),
	      "frame 4: an entry that was left behind names the frame that it was left behind in");
	holds(audit, bitmap_test(&frames->free, pfn) == (state == FRAME_FREE && !isolated),
	      "frame 1: the free set holds exactly the free frames that are not isolated");
	if (isolated && state != FRAME_FREE)
		chunk->frames_leaving++;
	switch (state) {
	case FRAME_FREE:
		(*(isolated ? &chunk->frames_isolated : &chunk->frames_free))++;
		break;
	case FRAME_CLEAN:
		chunk->frames_clean++;
		holds(audit, owns_frame(audit, pfn, false), "frame: an ephemeral frame is owned by the entry that is there");
		break;
	case FRAME_SWAP:
		chunk->frames_frontswap++;
		holds(audit, owns_frame(audit, pfn, true), "frame: a raw frontswap frame is owned by the entry that is there");
		break;
	case FRAME_PACKED:
		chunk->frames_frontswap++;
		holds(audit, in_span(audit, pfn), "frame: a packed frame is owned by a span that names it");
		break;
	case FRAME_ALLOCATED:
		chunk->frames_allocated++;
		holds(audit, !isolated, "frame 3: an allocated frame is not isolated");
		break;
	default:
		holds(audit, false, "frame: every frame has a state");
	}
}

static void verify_totals(struct audit *audit)
{
	const struct frame_table *frames = &audit->held->region->frames;
	uint64_t free = 0, clean = 0, frontswap = 0, isolated = 0, allocated = 0;

	for (uint32_t c = 0; c < frames->chunks; c++) {
		free += audit->chunk[c].frames_free;
		clean += audit->chunk[c].frames_clean;
		frontswap += audit->chunk[c].frames_frontswap;
		isolated += audit->chunk[c].frames_isolated;
		allocated += audit->chunk[c].frames_allocated;
	}
	holds(audit,
	      frames->held[FRAME_FREE] == free && frames->held[FRAME_CLEAN] == clean &&
		      frames->held[FRAME_SWAP] + frames->held[FRAME_PACKED] == frontswap && frames->isolated == isolated &&
		      frames->held[FRAME_ALLOCATED] == allocated,
	      "frame: the counts of all frames are the sums of those of the chunks");
}

static void verify_frames(struct audit *audit)
{
	const struct frame_table *frames = &audit->held->region->frames;

	for (uint32_t pfn = 0; pfn < frames->frames; pfn++)
		verify_frame(audit, pfn);
	holds(audit, !memcmp(audit->chunk, frames->chunk, frames->chunks * sizeof(*audit->chunk)),
	      "frame 2: the counts of a chunk are those of its frames and objects");
	verify_totals(audit);
}

/* ---- ranges ------------------------------------------------------------------------------------------ */

static void verify_ranges(struct audit *audit)
{
	const struct range_table *table = &audit->held->region->ranges;
	uint64_t frames = 0;

	for (uint32_t id = 1; id < table->ranges.end; id++) {
		const struct range *range = slab_at(&table->ranges, id);

		if (!range->generation)
			continue;
		for (uint32_t pfn = range->start_pfn; pfn < range->end_pfn; pfn++)
			holds(audit,
			      range->allocated ? frame_state(table->frames, pfn) == FRAME_ALLOCATED :
						 frame_is_isolated(table->frames, pfn),
			      "range 2: the frames of a range are isolated, or allocated once it is handed out");
		frames += range->allocated ? range->end_pfn - range->start_pfn : 0;
	}
	holds(audit, frames == table->frames->held[FRAME_ALLOCATED], "range 1: ranges do not overlap");
}

/* ---- spans ------------------------------------------------------------------------------------------- */

static void verify_span(struct audit *audit, uint32_t id)
{
	const struct packing *packing = &audit->held->region->packing;
	const struct slab *entries = &audit->held->index.entries;
	const struct span *span = packing_span(packing, id);
	uint32_t used = 0;
	uint32_t entry;

	for (uint32_t slot = span_next_used(span, 0, &entry); slot < span->capacity;
	     slot = span_next_used(span, slot + 1, &entry), used++)
		holds(audit,
		      entry < entries->end && entry_at(entries, entry)->flags & ENTRY_PACKED &&
			      packing_owns(packing, entry_at(entries, entry)->place, entry),
		      "sizeclass: an object in use is owned by an entry that is there");
	for (uint32_t f = 0; f < span->frames; f++)
		holds(audit,
		      span_pfn(span, f) >> CHUNK_SHIFT == span_pfn(span, 0) >> CHUNK_SHIFT &&
			      packing->frames->owner[span_pfn(span, f)] == id &&
			      frame_state(packing->frames, span_pfn(span, f)) == FRAME_PACKED,
		      "sizeclass 2: the frames of a span are packed, its own, and in one chunk");
	holds(audit, used == span->used && used > 0, "sizeclass 3: a span counts its objects and has one");
	holds(audit, span->listed == (!span->sealed && used < span->capacity),
	      "sizeclass 1: a span is listed iff it has room and is not sealed");
}

static void verify_spans(struct audit *audit)
{
	const struct packing *packing = &audit->held->region->packing;
	uint64_t free_slots[SIZE_CLASSES] = { 0 };

	for (uint32_t id = 1; id < packing->spans.end; id++) {
		const struct span *span = packing_span(packing, id);

		if (!span->frames)
			continue;
		verify_span(audit, id);
		if (span->listed)
			free_slots[span->class_id] += (uint64_t)span->capacity - span->used;
	}
	for (uint32_t c = 0; c < SIZE_CLASSES; c++)
		holds(audit,
		      free_slots[c] == packing->class[c].free_slots &&
			      (packing->open >> c & 1) == (packing->class[c].with_room.count > 0),
		      "sizeclass 4: free slots are those of the listed spans, and a class that lists one is open");
}

/* ---- spill ------------------------------------------------------------------------------------------- */

/* quiet: no read or write is under way, so that only copies use blocks. */
static void verify_spill(struct audit *audit, bool quiet)
{
	const struct spill *spill = &audit->held->spill;
	uint32_t used = 0;

	for (uint32_t block = SPILL_HEADER_BLOCKS; block < spill->end; block++) {
		used += spill->users[block] != 0;
		holds(audit, quiet ? spill->users[block] == audit->users[block] : spill->users[block] >= audit->users[block],
		      "spill: a block has as many users as there are");
		holds(audit, bitmap_test(&spill->free, block) == !spill->users[block],
		      "spill 1: a block is free iff it has no user");
	}
	holds(audit, used == spill->used, "spill 2: blocks in use are counted");
}

static void verify_all(struct audit *audit, bool quiet)
{
	verify_pages(audit);
	verify_frames(audit);
	verify_ranges(audit);
	verify_spans(audit);
	verify_spill(audit, quiet);
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
	struct audit audit = { .held = &store->held };
	int code = store_enter(store);

	if (code)
		return code;
	audit.chunk = calloc(store->held.region->frames.chunks, sizeof(*audit.chunk));
	audit.users = calloc((size_t)store->held.spill.end + 1, sizeof(*audit.users));
	if (audit.chunk && audit.users)
		verify_all(&audit, is_quiet(store));
	else
		code = TMS_E_NO_MEMORY;
	store_leave(store);
	free(audit.chunk);
	free(audit.users);
	if (audit.broken) {
		*ret = audit.broken;
		code = TMS_E_BROKEN;
	}
	return code;
}
