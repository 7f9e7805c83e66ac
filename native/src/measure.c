/*
 * measure.c: measuring the spill device with writes of nothing.
 *
 * Law: what is written goes to free blocks and is never read back.
 */
#include "hash.h"
#include "store.h"

#define FIRST_SAMPLE_BYTES (64u << 10)

/* A page-out's batch with nothing in it but bytes that no device can compress or find again. */
static struct page_out *begin_sample(tms_store *store, struct page_out_group *group, uint64_t bytes)
{
	struct page_out *batch = store_take_batch(store);
	uint64_t *word;

	if (!batch)
		return NULL;
	if (!page_out_begin(&store->held, batch, PAGE_OUT_BLOCKS, TMS_CAUSE_MEASURE, group)) {
		store_put_back_batch(store, batch);
		return NULL;
	}
	batch->filled = (uint32_t)min_u64(batch->blocks, (bytes + BLOCK_BYTES - 1) / BLOCK_BYTES);
	(void)page_out_seal(&store->held, batch);
	batch->io.payload_bytes = batch->io.bytes;
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
		store_lock(store);
		if (m.group->error)
			m.sample = (struct tms_write_sample){ 0 };
		page_out_group_put(m.group);
		store_leave(store);
	}
	*ret = m.sample;
	return TMS_OK;
}

int tms_writes_served(tms_store *store, uint64_t since, uint32_t n, struct tms_write_served *samples, uint32_t *ret)
{
	int code = store_enter(store);

	if (code)
		return code;
	store_leave(store);
	*ret = store->io ? io_writes_served(store->io, since, n, samples) : 0;
	return TMS_OK;
}
