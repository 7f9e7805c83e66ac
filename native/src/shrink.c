/*
 * shrink.c: the ways an entry leaves its frame, and the bookkeeping of all of them.
 *
 * Laws: 1. the frame of a persistent page is given up only once its write is complete; until then the
 * page is served from the region.  2. a write in flight owns its blocks: an entry that is dropped
 * meanwhile forgets them, and completion gives them back.  3. the data is copied out before the write
 * begins, so that no frame waits for a device.
 * Locks: the store's, in every function but page_out_create, page_out_destroy and page_out_group_put.
 */
#include "shrink.h"

void holdings_count(struct holdings *held, const struct entry *entry, int sign)
{
	const uint64_t one = (uint64_t)(int64_t)sign;
	struct tms_stats *stats = &held->stats;
	struct tms_chunk *chunk;

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
	chunk = frame_chunk(&held->region->frames, entry->place >> UNITS_SHIFT);
	stats->bytes_kept += one * entry->size;
	if (entry->flags & ENTRY_COPY) {
		stats->pages_copied += one;
		chunk->objects_copied += (uint32_t)one;
	} else {
		chunk->objects_uncopied += (uint32_t)one;
		chunk->bytes_uncopied += (uint32_t)one * entry->size;
	}
}

static void free_place(struct holdings *held, const struct entry *entry)
{
	if (entry->flags & ENTRY_PACKED)
		packing_remove(&held->region->packing, entry->place);
	else
		frame_release(&held->region->frames, entry->place >> UNITS_SHIFT);
}

void shrink_drop(struct holdings *held, uint32_t id)
{
	const struct entry *entry = holdings_entry(held, id);

	holdings_count(held, entry, -1);
	if (!(entry->flags & ENTRY_PERSISTENT))
		(entry->flags & ENTRY_FILL ? evict_forget_filled : evict_forget)(&held->evict, id);
	if (entry->flags & ENTRY_RESIDENT)
		free_place(held, entry);
	if (entry->flags & ENTRY_COPY)
		spill_put(&held->spill, entry->block);
	index_remove(&held->index, id);
}

void shrink_drop_resident(struct holdings *held, uint32_t id)
{
	struct entry *entry = holdings_entry(held, id);

	holdings_count(held, entry, -1);
	free_place(held, entry);
	entry->flags &= (uint8_t)~ENTRY_RESIDENT;
	holdings_count(held, entry, 1);
}

void shrink_moved(void *context, uint32_t id, uint32_t new_place)
{
	struct holdings *held = context;
	struct entry *entry = holdings_entry(held, id);

	holdings_count(held, entry, -1);
	entry->place = new_place;
	holdings_count(held, entry, 1);
	held->stats.objects_moved++;
}

/* ---- writing back ------------------------------------------------------------------------------------ */

static void release_page_out(struct io_request *request)
{
	page_out_destroy((struct page_out *)request);
}

struct page_out *page_out_create(void)
{
	struct page_out *batch = calloc(1, sizeof(*batch));
	void *buffer;

	if (!batch)
		return NULL;
	if (posix_memalign(&buffer, PAGE_SIZE, PAGE_OUT_BLOCKS * (size_t)BLOCK_BYTES)) {
		free(batch);
		return NULL;
	}
	memset(buffer, 0, PAGE_OUT_BLOCKS * (size_t)BLOCK_BYTES);
	batch->io = (struct io_request){ .op = IO_WRITE, .buffer = buffer, .release = release_page_out };
	return batch;
}

void page_out_destroy(struct page_out *batch)
{
	if (batch->group)
		page_out_group_put(batch->group);
	free(batch->io.buffer);
	free(batch);
}

void page_out_group_put(struct page_out_group *group)
{
	if (--group->users == 0)
		free(group);
}

bool page_out_begin(struct holdings *held, struct page_out *batch, struct page_out_group *group)
{
	uint32_t start;
	uint32_t blocks = spill_take_run(&held->spill, PAGE_OUT_BLOCKS, &start);

	if (!blocks)
		return false;
	batch->start_block = start;
	batch->blocks = blocks;
	batch->filled = 0;
	batch->items = 0;
	batch->group = group;
	if (group) {
		group->users++;
		group->pending++;
	}
	return true;
}

/* Best fit: the block begun that has the least room still sufficient, else the next one. */
static uint32_t choose_block(struct page_out *batch, uint32_t bytes)
{
	uint32_t best = batch->filled;

	for (uint32_t b = 0; b < batch->filled; b++)
		if (batch->room[b] >= bytes && (best == batch->filled || batch->room[b] < batch->room[best]))
			best = b;
	if (best == batch->filled && batch->filled < batch->blocks)
		batch->room[batch->filled++] = BLOCK_BYTES;
	return best;
}

bool shrink_gather(struct holdings *held, struct page_out *batch, uint32_t id)
{
	struct entry *entry = holdings_entry(held, id);
	uint32_t bytes = (uint32_t)round_up_u64(entry->size, 1U << BLOCK_UNIT_SHIFT);
	uint32_t at;
	uint8_t *to;
	uint64_t check;
	uint32_t b;

	if (batch->items == PAGE_OUT_ITEMS)
		return false;
	b = choose_block(batch, bytes);
	if (b == batch->blocks)
		return false;
	at = BLOCK_BYTES - batch->room[b];
	batch->room[b] = (uint16_t)(batch->room[b] - bytes);
	to = batch->io.buffer + (size_t)b * BLOCK_BYTES + at;
	region_read(held->region, entry->place, entry->size, entry->flags & ENTRY_PACKED, to);
	check = spill_checksum(to, entry->size);
	entry->check_low = (uint32_t)check;
	entry->check_high = (uint16_t)(check >> 32);
	entry->block = batch->start_block + b;
	entry->unit = (uint8_t)(at >> BLOCK_UNIT_SHIFT);
	entry->flags |= ENTRY_WRITING;
	spill_get(&held->spill, entry->block);
	batch->item[batch->items++] = (struct page_out_item){ id, entry->block, entry->unit };
	return true;
}

bool page_out_seal(struct holdings *held, struct page_out *batch)
{
	while (batch->blocks > batch->filled)
		spill_put(&held->spill, batch->start_block + --batch->blocks);
	batch->io.offset = (uint64_t)batch->start_block * BLOCK_BYTES;
	batch->io.bytes = batch->blocks * BLOCK_BYTES;
	return batch->blocks;
}

static void complete_item(struct holdings *held, const struct page_out_item *item, bool written)
{
	struct entry *entry = item->id < held->index.entries.end ? holdings_entry(held, item->id) : NULL;

	/* Blocks in flight are given to nobody else, so block and unit tell whether this entry is still
	 * the one that was gathered, even if its id was used again. */
	if (!entry || !entry->pool || !(entry->flags & ENTRY_WRITING) || entry->block != item->block ||
	    entry->unit != item->unit) {
		spill_put(&held->spill, item->block);
		return;
	}
	holdings_count(held, entry, -1);
	entry->flags &= (uint8_t)~ENTRY_WRITING;
	if (written)
		entry->flags |= ENTRY_COPY;
	else
		spill_put(&held->spill, item->block);
	holdings_count(held, entry, 1);
}

void shrink_complete(struct holdings *held, struct page_out *batch, int32_t error)
{
	struct page_out_group *group = batch->group;

	for (uint32_t i = 0; i < batch->items; i++)
		complete_item(held, &batch->item[i], error == 0);
	for (uint32_t b = 0; b < batch->blocks; b++)
		spill_put(&held->spill, batch->start_block + b);
	batch->items = batch->blocks = 0;
	batch->group = NULL;
	if (!group)
		return;
	group->pending--;
	if (error && !group->error)
		group->error = error;
	page_out_group_put(group);
}
