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

#define FIRST_SAMPLE_BYTES (64u << 10)

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

static void begin_scan(struct writeback *w)
{
	w->foreign = false;
	w->pfn = w->start_pfn;
	w->slot = 0;
	w->scan_seen = io_ended(w->store->io);
}

/* Called with the lock held, nothing being gathered or submitted by this turn.  A foreign write may have
 * ended at any time since its object was met, hence the wait from the beginning of the scan on. */
static enum turn look_around(struct writeback *w)
{
	if (w->pfn < w->end_pfn || w->group->pending)
		return TURN_WAIT;
	if (!w->foreign)
		return TURN_DONE;
	w->wait_seen = w->scan_seen;
	begin_scan(w);
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
	begin_scan(w);
	while (turn != TURN_DONE && reason == TMS_REASON_NONE) {
		uint64_t now_ns;

		w->wait_seen = io_ended(w->store->io);
		turn = take_turn(w, &reason);
		now_ns = clock_now_ns(clock);
		if (now_ns > w->deadline_ns && reason == TMS_REASON_NONE)
			return TMS_REASON_TIME;
		if (turn == TURN_WAIT && reason == TMS_REASON_NONE) {
			(void)io_wait_ended(w->store->io, w->wait_seen, w->deadline_ns - now_ns + 1);
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

struct measurement {
	tms_store *store;
	struct page_out_group *group;
	uint64_t began_ns;
	uint64_t left;
	uint64_t submitted; /* bytes */
	uint64_t batches;
	struct tms_write_sample sample;
};

/* A small batch first, which even a slow device answers; then as much as the device takes at once. */
static struct page_out *next_sample(struct measurement *m)
{
	struct page_out *batch;

	if (!m->left || m->group->error || (m->batches && !m->sample.batches))
		return NULL;
	batch = begin_sample(m->store, m->group, m->batches ? m->left : min_u64(m->left, FIRST_SAMPLE_BYTES));
	if (!batch)
		return NULL;
	m->left -= min_u64(m->left, batch->io.bytes);
	m->submitted += batch->io.bytes;
	m->batches++;
	return batch;
}

/* Submits what can be, and takes stock.  False: no more is to come. */
static bool measure_turn(struct measurement *m)
{
	struct page_out *batch = NULL;
	uint64_t complete;
	bool more;

	do {
		if (store_enter(m->store))
			return false;
		complete = m->batches - m->group->pending;
		if (complete > m->sample.batches) {
			m->sample.batches = complete;
			m->sample.bytes = m->submitted * complete / m->batches;
			m->sample.elapsed_ns = clock_now_ns(&m->store->clock) - m->began_ns;
		}
		batch = next_sample(m);
		more = m->group->pending && !m->group->error;
		store_leave(m->store);
		if (batch)
			io_submit(m->store->io, &batch->io);
	} while (batch);
	return more;
}

static void measure(struct measurement *m, uint64_t budget_ns)
{
	struct io *io = m->store->io;
	uint64_t spent_ns = 0;

	m->began_ns = clock_now_ns(&m->store->clock);
	while (spent_ns < budget_ns) {
		uint64_t seen = io_ended(io);

		if (!measure_turn(m))
			return;
		(void)io_wait_ended(io, seen, budget_ns - spent_ns);
		spent_ns = clock_now_ns(&m->store->clock) - m->began_ns;
	}
	/* What is at the device still completes on its own; a first answer that is not there yet is a bound. */
	m->left = 0;
	(void)measure_turn(m);
	if (!m->sample.batches)
		m->sample = (struct tms_write_sample){ .bytes = m->submitted, .elapsed_ns = spent_ns };
}

int tms_measure_write(tms_store *store, uint64_t bytes, uint64_t budget_ns, struct tms_write_sample *ret)
{
	struct measurement m = { .store = store, .left = bytes };
	int code = store_enter(store);

	if (code)
		return code;
	store_leave(store);
	if (store->io) {
		m.group = calloc(1, sizeof(*m.group));
		if (!m.group)
			return TMS_E_NO_MEMORY;
		m.group->users = 1;
		measure(&m, budget_ns);
		pthread_mutex_lock(&store->lock);
		if (m.group->error)
			m.sample = (struct tms_write_sample){ 0 };
		page_out_group_put(m.group);
		pthread_mutex_unlock(&store->lock);
	}
	*ret = m.sample;
	return TMS_OK;
}
