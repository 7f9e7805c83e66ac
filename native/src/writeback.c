/*
 * writeback.c: gathering objects into batches and keeping the device busy with them.
 *
 * Laws: 1. the lock is held for one step of a batch at a time, never while waiting.  2. nothing waits
 * longer than the deadline.  3. a batch is large and sequential: one run of blocks, one write.
 */
#include <errno.h>

#include "writeback.h"

/* Objects gathered in one go, before others get the lock. */
#define STEP 32

/* The next frontswap object of the window from where the writer stands; 0: none is left.  A span is met
 * at its first frame in the window. */
static uint32_t current_object(struct writeback *w)
{
	const struct tms_region *region = w->store->held.region;

	for (; w->pfn < w->end_pfn; w->pfn++, w->slot = 0) {
		uint32_t owner = region->frames.owner[w->pfn];
		enum frame_state state = frame_state(&region->frames, w->pfn);

		if (state == FRAME_SWAP && w->slot == 0)
			return owner;
		if (state == FRAME_PACKED) {
			const struct span *span = packing_span(&region->packing, owner);
			uint32_t id;

			if (span_lowest_pfn(span, w->start_pfn) != w->pfn)
				continue;
			w->slot = span_next_used(span, w->slot, &id);
			if (w->slot < span->capacity)
				return id;
		}
	}
	return 0;
}

/* False: the batch is full. */
static bool gather(struct writeback *w, uint32_t id)
{
	const struct entry *entry = holdings_entry(&w->store->held, id);

	if (entry->flags & ENTRY_WRITING)
		w->foreign = true;
	else if (!(entry->flags & ENTRY_COPY))
		return shrink_gather(&w->store->held, w->batch, id);
	return true;
}

/* One step.  True: the batch is full, or the window is at its end. */
static bool fill_batch(struct writeback *w)
{
	for (int i = 0; i < STEP; i++) {
		uint32_t id = current_object(w);

		if (!id || !gather(w, id))
			return true;
		w->slot++;
	}
	return false;
}

/* False: the spill file is full.  No batch is taken if all are at the device. */
static bool begin_batch(struct writeback *w)
{
	struct page_out *batch = store_take_batch(w->store);

	if (!batch)
		return true;
	if (!page_out_begin(&w->store->held, batch, w->group)) {
		store_give_batch(w->store, batch);
		return false;
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
		shrink_complete(&w->store->held, batch, 0);
		store_give_batch(w->store, batch);
		return NULL;
	}
	w->objects += batch->items;
	w->bytes += batch->io.bytes;
	w->batches++;
	return batch;
}

enum turn { TURN_AGAIN, TURN_WAIT, TURN_DONE };

/* Called with the lock held, nothing being gathered or submitted by this turn. */
static enum turn look_around(struct writeback *w)
{
	if (w->pfn < w->end_pfn || w->group->pending)
		return TURN_WAIT;
	if (!w->foreign)
		return TURN_DONE;
	w->foreign = false;
	w->pfn = w->start_pfn;
	w->slot = 0;
	return TURN_WAIT;
}

static enum turn take_turn(struct writeback *w, enum tms_reason *reason)
{
	struct page_out *ready = NULL;
	enum turn turn = TURN_AGAIN;

	if (store_enter(w->store)) {
		*reason = TMS_REASON_CLOSED;
		return TURN_DONE;
	}
	if (!w->batch && w->pfn < w->end_pfn && !begin_batch(w))
		*reason = TMS_REASON_SPILL;
	else if (!w->batch)
		turn = look_around(w);
	else if (fill_batch(w))
		ready = seal_batch(w);
	if (w->group->error)
		*reason = TMS_REASON_SPILL;
	store_leave(w->store);
	if (ready)
		io_submit(w->store->io, &ready->io);
	return turn;
}

enum tms_reason writeback_run(struct writeback *w)
{
	struct tms_clock *clock = &w->store->clock;
	enum tms_reason reason = TMS_REASON_NONE;
	enum turn turn = TURN_AGAIN;

	w->group = fault_fires(w->store->faults, TMS_FAULT_GROUP_ALLOC) ? NULL : calloc(1, sizeof(*w->group));
	if (!w->group)
		return TMS_REASON_MEMORY;
	w->group->users = 1;
	w->pfn = w->start_pfn;
	while (turn != TURN_DONE && reason == TMS_REASON_NONE) {
		uint64_t seen = io_ended(w->store->io);
		uint64_t now_ns;

		turn = take_turn(w, &reason);
		now_ns = clock_now_ns(clock);
		if (now_ns > w->deadline_ns && reason == TMS_REASON_NONE)
			return TMS_REASON_TIME;
		if (turn == TURN_WAIT && reason == TMS_REASON_NONE) {
			(void)io_wait_ended(w->store->io, seen, w->deadline_ns - now_ns + 1);
			w->waited_ns += clock_now_ns(clock) - now_ns;
		}
	}
	return reason;
}

void writeback_end(struct writeback *w)
{
	if (w->batch) {
		shrink_complete(&w->store->held, w->batch, ECANCELED);
		store_give_batch(w->store, w->batch);
		w->batch = NULL;
	}
	if (w->group)
		page_out_group_put(w->group);
	w->group = NULL;
}

/* ---- measuring --------------------------------------------------------------------------------------- */

/* A page-out's batch with nothing in it but bytes that no device can compress or find again. */
static struct page_out *begin_sample(tms_store *store, struct page_out_group *group, uint64_t bytes)
{
	struct page_out *batch = store_take_batch(store);
	uint64_t *word;

	if (!batch)
		return NULL;
	if (!page_out_begin(&store->held, batch, group)) {
		store_give_batch(store, batch);
		return NULL;
	}
	batch->filled = (uint32_t)min_u64(batch->blocks, (bytes + BLOCK_BYTES - 1) / BLOCK_BYTES);
	(void)page_out_seal(&store->held, batch);
	word = (uint64_t *)(void *)batch->io.buffer;
	for (uint64_t i = 0; i < batch->io.bytes / sizeof(*word); i++)
		word[i] = hash_mix(batch->io.offset + i);
	return batch;
}

/* One turn: a batch more while bytes are left.  False: no more are to come, and none is under way. */
static bool measure_turn(tms_store *store, struct page_out_group *group, uint64_t *left, struct tms_write_sample *sample)
{
	struct page_out *batch = NULL;
	bool more;

	if (store_enter(store))
		return false;
	if (*left && !group->error)
		batch = begin_sample(store, group, *left);
	if (batch) {
		*left -= min_u64(*left, batch->io.bytes);
		sample->bytes += batch->io.bytes;
		sample->batches++;
	}
	more = group->pending && !group->error;
	store_leave(store);
	if (batch)
		io_submit(store->io, &batch->io);
	return more;
}

int tms_measure_write(tms_store *store, uint64_t bytes, uint64_t budget_ns, struct tms_write_sample *ret)
{
	struct tms_write_sample sample = { 0 };
	struct page_out_group *group;
	uint64_t began_ns = clock_now_ns(&store->clock);
	uint64_t left = bytes;
	uint64_t seen;
	int code = store_enter(store);

	if (code)
		return code;
	store_leave(store);
	*ret = sample;
	if (!store->io)
		return TMS_OK;
	group = calloc(1, sizeof(*group));
	if (!group)
		return TMS_E_NO_MEMORY;
	group->users = 1;
	for (seen = io_ended(store->io); measure_turn(store, group, &left, &sample); seen = io_ended(store->io)) {
		uint64_t spent_ns = clock_now_ns(&store->clock) - began_ns;

		if (spent_ns >= budget_ns)
			left = 0;
		if (!io_wait_ended(store->io, seen, spent_ns < budget_ns ? budget_ns - spent_ns : store->io_timeout_ns))
			break;
	}
	sample.elapsed_ns = clock_now_ns(&store->clock) - began_ns;
	pthread_mutex_lock(&store->lock);
	if (!group->pending && !group->error && sample.bytes)
		*ret = sample;
	page_out_group_put(group);
	pthread_mutex_unlock(&store->lock);
	return TMS_OK;
}
