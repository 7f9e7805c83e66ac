/*
 * writeback.c: gathering objects into batches and keeping the device busy with them.
 *
 * Laws: 1. the lock is held for one step of a batch at a time; nothing here waits.  2. a batch is large and
 * sequential: one run of blocks, one write.
 */
#include <errno.h>

#include "writeback.h"

/* Objects gathered, or looked at, in one go, before others get the lock. */
#define GATHER_STEP 32
#define LOOK_STEP 512
/* Batches at the device while objects are compressed for the next one. */
#define SQUEEZE_PENDING 2

bool writeback_begin(struct writeback *w)
{
	w->group = fault_fires(w->store->faults, TMS_FAULT_GROUP_ALLOC) ? NULL : calloc(1, sizeof(*w->group));
	if (!w->group)
		return false;
	w->group->users = 1;
	writeback_rewind(w);
	return true;
}

void writeback_rewind(struct writeback *w)
{
	w->walk = walk_begin(w->store->held.region, w->start_pfn, w->end_pfn);
}

static bool wants_more(const struct writeback *w)
{
	uint64_t begun = w->objects + (w->batch ? w->batch->items : 0);

	return begun < w->objects_max && !walk_is_over(&w->walk);
}

/* The next object that has no copy and no write under way; 0: none met within the step. */
static uint32_t next_object(struct writeback *w, uint32_t *looked)
{
	while (wants_more(w) && ++*looked < LOOK_STEP) {
		uint32_t id = walk_current(&w->walk);
		const struct entry *entry;

		if (!id)
			return 0;
		entry = holdings_entry(&w->store->held, id);
		if (entry_waits_for_copy(entry))
			return id;
		walk_next(&w->walk);
	}
	return 0;
}

/* One step.  True: the batch is ready to go. */
static bool fill_batch(struct writeback *w)
{
	uint32_t looked = 0;
	uint32_t gathered = 0;
	bool full = false;

	while (!full && gathered < GATHER_STEP && looked < LOOK_STEP) {
		uint32_t id = next_object(w, &looked);

		if (!id)
			break;
		full = !page_out_gather(&w->store->held, w->batch, id, NULL);
		if (!full) {
			walk_next(&w->walk);
			gathered++;
		}
	}
	clock_spend(&w->store->clock, gathered * w->cost->object_ns);
	return full || !wants_more(w);
}

/* With the lock held.  True: the batch is ready to go. */
static bool gather_squeezed(struct writeback *w)
{
	bool full = false;

	for (uint32_t i = 0; i < w->squeeze->n && !full; i++) {
		const struct squeezed *object = &w->squeeze->object[i];
		struct page_out_bytes bytes = { object->packed, object->packed_size, ENTRY_PACKED | ENTRY_DENSE };

		if (!squeeze_is_current(w->store, object))
			continue;
		full = !page_out_gather(&w->store->held, w->batch, object->id, object->packed_size ? &bytes : NULL);
		w->compressed += !full && object->packed_size;
	}
	clock_spend(&w->store->clock, w->squeeze->n * w->cost->object_ns);
	return full || !wants_more(w);
}

/* Like fill_batch, compressing on the way; gives the lock up and takes it again.  What found no room in the
 * batch was passed over: writeback_rewind comes back to it.  Closed: nothing. */
static bool fill_batch_squeezed(struct writeback *w)
{
	uint32_t looked = 0;
	uint32_t id;

	w->squeeze->n = 0;
	while ((id = next_object(w, &looked)) && squeeze_take(w->squeeze, w->store, id))
		walk_next(&w->walk);
	store_leave(w->store);
	squeeze_run(w->squeeze, w->store);
	clock_spend(&w->store->clock, w->squeeze->n * w->cost->compress_ns);
	w->to_compress -= min_u64(w->to_compress, w->squeeze->n);
	store_reenter(w->store);
	return gather_squeezed(w);
}

/* No batch is taken if all are at the device, or if all blocks are taken and batches in use may give some back.
 * False: the spill file is full. */
static bool begin_batch(struct writeback *w)
{
	struct page_out *batch = store_take_batch(w->store);

	if (!batch)
		return true;
	if (!page_out_begin(&w->store->held, batch, w->batch_blocks, TMS_CAUSE_RECLAIM, w->group)) {
		store_put_back_batch(w->store, batch);
		return w->store->idle_batches < PAGE_OUT_BATCHES;
	}
	w->batch = batch;
	return true;
}

/* The batch, ready for the device; null: it holds nothing and is idle again. */
static struct page_out *seal_batch(struct writeback *w)
{
	struct page_out *batch = w->batch;

	w->batch = NULL;
	if (!page_out_seal(&w->store->held, batch)) {
		page_out_complete(&w->store->held, batch, 0);
		store_give_batch(w->store, batch);
		return NULL;
	}
	w->objects += batch->items;
	w->bytes += batch->io.bytes;
	w->batches++;
	return batch;
}

/* Compressing takes longer than the device's next write: it must have enough to do meanwhile. */
static bool may_squeeze(const struct writeback *w)
{
	return w->squeeze && w->to_compress && w->group->pending >= SQUEEZE_PENDING;
}

/* With the lock held. */
static enum writeback_turn take_turn(struct writeback *w, struct page_out **ready)
{
	bool is_ready;

	if (w->group->error || (!w->batch && wants_more(w) && !begin_batch(w)))
		return WRITEBACK_FAILED;
	if (!w->batch)
		return wants_more(w) ? WRITEBACK_FULL : WRITEBACK_DONE;
	is_ready = may_squeeze(w) ? fill_batch_squeezed(w) : fill_batch(w);
	if (is_ready)
		*ready = seal_batch(w);
	return WRITEBACK_AGAIN;
}

enum writeback_turn writeback_turn(struct writeback *w)
{
	struct page_out *ready = NULL;
	enum writeback_turn turn;

	(void)fault_fires(w->store->faults, TMS_FAULT_DURING_GATHER);
	if (store_enter(w->store))
		return WRITEBACK_FAILED;
	turn = take_turn(w, &ready);
	store_leave(w->store);
	if (ready)
		io_submit(w->store->io, &ready->io);
	return turn;
}

void writeback_end(struct writeback *w)
{
	if (w->batch) {
		page_out_complete(&w->store->held, w->batch, ECANCELED);
		store_give_batch(w->store, w->batch);
		w->batch = NULL;
	}
	if (w->group)
		page_out_group_put(w->group);
	w->group = NULL;
}
