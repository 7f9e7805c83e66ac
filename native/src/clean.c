/*
 * clean.c: background work in steps: a copy for cold pages, the reserve emptied, the share kept.
 *
 * What is done is decided by whoever calls: how much, how often.  What comes first, clean_choose.c says.
 *
 * Laws: 1. begins nothing, and gives up what it has gathered, while an allocation is under way.  2. some
 * batches are always left for allocations.  3. the lock is held for a few dozen objects at a time.
 */
#include <errno.h>

#include "clean.h"

/* Objects gathered, or looked at, in one go, before others get the lock. */
#define STEP 32
/* Between two looks for work where nothing has ended that would make some, the first and the longest time.  An
 * allocation that ends has left some, but wakes nobody: whoever is woken takes its processor before it has returned.
 * While one is under way looks stay short: what it leaves in the reserve stands in the way of the next. */
#define IDLE_FIRST_NS NSEC_PER_MSEC
#define IDLE_LONGEST_NS (8 * NSEC_PER_MSEC)

static bool is_busy(const struct cleaner *c, const struct io_counters *io)
{
	if (c->store->allocations)
		return true;
	return io->bytes_pending + c->request->batch_bytes > c->request->pending_max_bytes && io->bytes_pending;
}

/* With the lock held. */
static enum tms_clean_state begin(struct cleaner *c)
{
	uint32_t blocks = (uint32_t)min_u64(PAGE_OUT_BLOCKS, (c->request->batch_bytes + BLOCK_BYTES - 1) / BLOCK_BYTES);
	struct io_counters io;

	(void)shrink_slide(&c->store->held);
	if (!c->store->io)
		return clean_choose(c) ? TMS_CLEAN_FULL : TMS_CLEAN_IDLE;
	c->ended = io_ended(c->store->io); /* first: what ends from here on is noticed */
	io_read_counters(c->store->io, &io);
	c->pending_bytes = io.bytes_pending;
	if (is_busy(c, &io)) {
		c->waits = !c->held_up;
		return TMS_CLEAN_BUSY;
	}
	c->yields = c->request->yield && io.reads_pending;
	if (!clean_choose(c))
		return TMS_CLEAN_IDLE;
	if (c->yields && c->cause == TMS_CAUSE_CLEAN && !c->walk.region)
		return TMS_CLEAN_BUSY;
	c->batch = store_take_spare_batch(c->store);
	if (!c->batch)
		return TMS_CLEAN_BUSY;
	if (page_out_begin(&c->store->held, c->batch, blocks ? blocks : 1, c->cause, NULL))
		return TMS_CLEAN_BEGUN;
	store_put_back_batch(c->store, c->batch);
	return TMS_CLEAN_FULL;
}

/* With the lock held.  True: the batch is full, or nothing is left for it. */
static bool gather(struct cleaner *c)
{
	for (uint32_t i = 0; i < STEP; i++) {
		uint32_t id = clean_next_page(c);

		if (!id && c->looking)
			return false;
		if (!id || !page_out_gather(&c->store->held, c->batch, id, NULL))
			return true;
		c->at = id;
		c->result->objects++;
	}
	return false;
}

/* With the lock held.  The batch is ready for the device: true; or it is idle again. */
static bool finish(struct cleaner *c, bool wanted)
{
	struct holdings *held = &c->store->held;

	if (wanted && page_out_seal(held, c->batch)) {
		c->result->bytes = c->batch->io.bytes;
		c->result->cause = (int32_t)c->cause;
		return true;
	}
	page_out_complete(held, c->batch, wanted ? 0 : ECANCELED);
	store_give_batch(c->store, c->batch);
	c->result->objects = 0;
	return false;
}

static bool is_given_up(const struct cleaner *c)
{
	return c->store->allocations || c->store->closed;
}

/* With the lock held; gives it up, as the way out of a step. */
static void fill(struct cleaner *c)
{
	bool full = gather(c);
	bool ready;

	while (!full && !is_given_up(c)) {
		store_leave(c->store);
		(void)fault_fires(c->store->faults, TMS_FAULT_DURING_GATHER);
		store_reenter(c->store);
		full = !is_given_up(c) && gather(c);
	}
	ready = finish(c, full && !c->store->allocations);
	if (!ready)
		c->result->state = c->store->allocations ? TMS_CLEAN_BUSY : c->moved ? TMS_CLEAN_BEGUN : TMS_CLEAN_IDLE;
	store_leave(c->store);
	if (ready)
		io_submit(c->store->io, &c->batch->io);
}

static int step(struct cleaner *c)
{
	int code = store_enter(c->store);

	if (code)
		return code;
	c->result->backlog_bytes = c->store->held.uncopied_units << UNIT_SHIFT;
	c->held_up = c->store->allocations;
	c->drains = c->request->drain && c->store->held.aging.list[AGE_RESERVE].count;
	c->result->state = (int32_t)begin(c);
	if (c->result->state == TMS_CLEAN_BEGUN)
		fill(c);
	else
		store_leave(c->store);
	return TMS_OK;
}

/* When a call ends. */
struct limits {
	uint64_t wait_ns;
	uint64_t drain_ns;
	uint64_t idle_ns; /* until the next look for work */
};

static struct limits limits_of(const struct tms_clean_request *request, uint64_t now_ns)
{
	const uint64_t most_ns = UINT64_MAX - now_ns;
	const uint64_t drain_ns = request->drain_ns > request->wait_ns ? request->drain_ns : request->wait_ns;

	return (struct limits){ now_ns + min_u64(request->wait_ns, most_ns), now_ns + min_u64(drain_ns, most_ns), IDLE_FIRST_NS };
}

/* Waits without the lock, as tms_write_through does: whoever closes the store sees to it that nobody is here.  False:
 * time is up. */
static bool goes_on(const struct cleaner *c, struct limits *limits)
{
	const uint64_t until_ns = c->drains ? limits->drain_ns : limits->wait_ns;
	uint64_t now_ns;

	if (!c->request->wait_ns || !c->store->io)
		return c->result->state == TMS_CLEAN_BEGUN;
	now_ns = clock_now_ns(&c->store->clock);
	if (now_ns >= until_ns)
		return false;
	if (c->held_up || c->result->state == TMS_CLEAN_BEGUN)
		limits->idle_ns = IDLE_FIRST_NS;
	if (c->result->state == TMS_CLEAN_BEGUN)
		return true;
	(void)io_wait_ended(c->store->io, c->ended,
			    c->waits ? until_ns - now_ns : min_u64(until_ns - now_ns, limits->idle_ns));
	limits->idle_ns = min_u64(2 * limits->idle_ns, IDLE_LONGEST_NS);
	return true;
}

int tms_clean(tms_store *store, const struct tms_clean_request *request, struct tms_clean_result *ret)
{
	const uint32_t interrupts = atomic_load(&store->interrupts);
	const uint32_t steps = request->steps ? request->steps : 1;
	struct limits limits = limits_of(request, clock_now_ns(&store->clock));
	struct tms_clean_result total = { 0 };

	for (uint32_t i = 0; i < steps; i++) {
		struct tms_clean_result result = { .cause = total.cause };
		struct cleaner c = { .store = store, .request = request, .result = &result };
		int code = step(&c);

		if (code)
			return code;
		result.bytes += total.bytes;
		result.objects += total.objects;
		total = result;
		if (i + 1 == steps || atomic_load(&store->interrupts) != interrupts || !goes_on(&c, &limits))
			break;
	}
	*ret = total;
	return TMS_OK;
}

void tms_clean_interrupt(tms_store *store)
{
	if (!*store->present)
		return;
	atomic_fetch_add(&store->interrupts, 1);
	if (store->io)
		io_notify(store->io);
}
