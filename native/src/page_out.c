/*
 * page_out.c: gathering objects into one sequential write, and what its completion changes.
 *
 * Laws: 1. a write in flight owns its blocks: an entry that is dropped meanwhile forgets them, and
 * completion gives them back.  2. the data is copied out before the write begins, so that no frame waits
 * for a device.  3. an object of the escape reserve leaves it with its completed copy.
 * Locks: the store's, in every function but page_out_create, page_out_destroy and page_out_group_put.
 */
#include "page_out.h"

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

bool page_out_begin(struct holdings *held, struct page_out *batch, uint32_t blocks, enum tms_cause cause,
		    struct page_out_group *group)
{
	uint32_t start;

	blocks = spill_take_run(&held->spill, (uint32_t)min_u64(blocks, PAGE_OUT_BLOCKS), &start);
	if (!blocks)
		return false;
	batch->start_block = start;
	batch->blocks = blocks;
	batch->filled = 0;
	batch->items = 0;
	batch->cause = cause;
	batch->io.cause = (int32_t)cause;
	batch->io.payload_bytes = 0;
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

/* Their checksum. */
static uint64_t put_bytes(const struct holdings *held, const struct entry *entry, const struct page_out_bytes *from, uint8_t *to)
{
	if (from->at)
		memcpy(to, from->at, from->size);
	else
		region_read(held->region, entry->place, entry->size, entry->flags & ENTRY_PACKED, to);
	return spill_checksum(to, from->size);
}

bool page_out_gather(struct holdings *held, struct page_out *batch, uint32_t id, const struct page_out_bytes *bytes)
{
	struct entry *entry = holdings_entry(held, id);
	struct page_out_bytes kept = { .size = entry->size, .form = entry->flags & (ENTRY_PACKED | ENTRY_DENSE) };
	const struct page_out_bytes *from = bytes ? bytes : &kept;
	uint32_t rounded = (uint32_t)round_up_u64(from->size, 1U << BLOCK_UNIT_SHIFT);
	uint32_t b = batch->items < PAGE_OUT_ITEMS ? choose_block(batch, rounded) : batch->blocks;
	uint64_t check = 0;
	uint32_t at;

	if (b == batch->blocks)
		return false;
	at = BLOCK_BYTES - batch->room[b];
	batch->room[b] = (uint16_t)(batch->room[b] - rounded);
	batch->io.payload_bytes += rounded;
	if (region_has_data(held->region))
		check = put_bytes(held, entry, from, batch->io.buffer + (size_t)b * BLOCK_BYTES + at);
	entry->check_low = (uint32_t)check;
	entry->check_high = (uint16_t)(check >> 32);
	entry->block = batch->start_block + b;
	entry->unit = (uint8_t)(at >> BLOCK_UNIT_SHIFT);
	entry->flags |= ENTRY_WRITING;
	spill_get(&held->spill, entry->block);
	batch->item[batch->items++] =
		(struct page_out_item){ id, entry->block, (uint16_t)from->size, entry->unit, from->form };
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

/* False: the entry is another one by now.  Blocks in flight are given to nobody else, so block and unit tell
 * whether it is still the one that was gathered, even if its id was used again. */
static bool is_still_written(const struct holdings *held, const struct page_out_item *item)
{
	const struct entry *entry;

	if (item->id >= held->index.entries.end)
		return false;
	entry = holdings_entry(held, item->id);
	return entry->object && entry->flags & ENTRY_WRITING && entry->block == item->block && entry->unit == item->unit;
}

static bool has_form(const struct entry *entry, const struct page_out_item *item)
{
	return entry->size == item->size && (entry->flags & (ENTRY_PACKED | ENTRY_DENSE)) == item->form;
}

static void complete_item(struct holdings *held, const struct page_out_item *item, enum tms_cause cause, bool written)
{
	struct entry *entry;

	if (!is_still_written(held, item)) {
		spill_put(&held->spill, item->block);
		return;
	}
	entry = holdings_entry(held, item->id);
	entry->flags &= (uint8_t)~ENTRY_WRITING;
	if (!written) {
		spill_put(&held->spill, item->block);
		return;
	}
	holdings_count(held, item->id, -1);
	entry->flags |= ENTRY_COPY;
	holdings_count(held, item->id, 1);
	if (!has_form(entry, item))
		shrink_become_copy(held, item->id, item->size, item->form);
	else if (cause == TMS_CAUSE_TRIM || reserve_has(&held->region->reserve, entry->place))
		shrink_drop_resident(held, item->id);
}

void page_out_complete(struct holdings *held, struct page_out *batch, int32_t error)
{
	struct page_out_group *group = batch->group;

	for (uint32_t i = 0; i < batch->items; i++)
		complete_item(held, &batch->item[i], batch->cause, error == 0);
	for (uint32_t b = 0; b < batch->blocks; b++)
		spill_put(&held->spill, batch->start_block + b);
	if (!error)
		held->stats.written_by_cause[batch->cause] += (uint64_t)batch->blocks * BLOCK_BYTES;
	batch->items = batch->blocks = 0;
	batch->group = NULL;
	if (!group)
		return;
	group->pending--;
	if (error && !group->error)
		group->error = error;
	page_out_group_put(group);
}
