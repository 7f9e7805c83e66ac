/*
 * clean.c: background work in steps: a copy for cold pages, the reserve emptied, the share kept.
 *
 * What is done is decided by whoever calls: how much, how often.  Draining goes before trimming, trimming
 * before chunks that hold more without a copy than their share, these before cold pages: the room of the
 * reserve is what allocations count on first.
 *
 * Laws: 1. begins nothing, and gives up what it has gathered, while an allocation is under way.  2. some
 * batches are always left for allocations.  3. the lock is held for a few dozen objects at a time.
 */
#include <errno.h>

#include "store.h"
#include "walk.h"

/* Objects gathered, or looked at, in one go, before others get the lock. */
#define STEP 32
#define LOOK_STEP 256
/* Chunks looked at for one that exceeds its share, in one step. */
#define CHUNK_LOOK 4096
/* Between two looks for work where nothing has ended that would make some, the first and the longest time.  An
 * allocation that ends has left some, but wakes nobody: whoever is woken takes its processor before it has returned. */
#define IDLE_FIRST_NS NSEC_PER_MSEC
#define IDLE_LONGEST_NS (8 * NSEC_PER_MSEC)

struct cleaner {
	tms_store *store;
	const struct tms_clean_request *request;
	struct tms_clean_result *result;
	struct page_out *batch;
	enum tms_cause cause;
	uint32_t at;      /* the page the last step stopped at; looked up again, since it may have gone */
	struct walk walk; /* in the chunk that exceeds a share; without a region: pages are taken by age */
	uint64_t over_bytes; /* still to be written there */
	uint64_t pending_bytes; /* at the device when the step began */
	bool moved;       /* something else than a write was done */
	bool looking;     /* no page was met yet, but there are more to look at */
	uint64_t ended;   /* writes that had ended when the step began */
	bool waits;       /* it is busy until one of the others does */
};

/* ---- which pages ------------------------------------------------------------------------------------- */

/* The oldest page of a list that is to be written; 0: none among those looked at.  Pages of the reserve are
 * not moved about for having been loaded: their order is that of their places. */
static uint32_t oldest(struct cleaner *c, enum age age)
{
	struct aging *aging = &c->store->held.aging;
	uint32_t id = age == AGE_RESERVE ? aging->list[age].last : aging_cold(aging, age, 0);

	for (uint32_t look = 0; id && look < PAGE_OUT_BATCHES * PAGE_OUT_ITEMS; look++) {
		if (entry_waits_for_copy(holdings_entry(&c->store->held, id)))
			return id;
		id = aging_newer(aging, id);
		if (age != AGE_RESERVE)
			id = id ? aging_cold(aging, age, id) : 0;
	}
	return 0;
}

/* The next page of the chunk that exceeds its share to be written; copied ones give up their frame at once. */
static uint32_t next_trimmed(struct cleaner *c)
{
	struct holdings *held = &c->store->held;
	struct ceiling_view view = holdings_ceiling(held);

	c->looking = false;
	for (uint32_t look = 0; look < LOOK_STEP; look++) {
		uint32_t id = walk_current(&c->walk);
		const struct entry *entry;

		if (!id || !c->over_bytes || !ceiling_frames_over(&view, c->walk.start_pfn >> CHUNK_SHIFT))
			return 0;
		entry = holdings_entry(held, id);
		walk_next(&c->walk);
		if (entry->flags & ENTRY_WRITING)
			continue;
		c->over_bytes -= min_u64(c->over_bytes, entry->size);
		if (entry_waits_for_copy(entry))
			return id;
		shrink_drop_resident(held, id);
		held->stats.swap_evicted++;
		c->moved = true;
	}
	c->looking = true;
	return 0;
}

/* The next page to be written of the chunk that holds too much without a copy. */
static uint32_t next_over(struct cleaner *c)
{
	c->looking = false;
	for (uint32_t look = 0; c->over_bytes && look < LOOK_STEP; look++) {
		uint32_t id = walk_current(&c->walk);
		const struct entry *entry;

		if (!id)
			return 0;
		entry = holdings_entry(&c->store->held, id);
		walk_next(&c->walk);
		if (!entry_waits_for_copy(entry))
			continue;
		c->over_bytes -= min_u64(c->over_bytes, entry->size);
		return id;
	}
	c->looking = c->over_bytes;
	return 0;
}

static bool has_backlog(const struct cleaner *c)
{
	const struct holdings *held = &c->store->held;
	uint64_t in_region = (held->uncopied_units - held->region->reserve.used) << UNIT_SHIFT;

	return c->request->cold_bytes != UINT64_MAX && in_region > c->request->cold_bytes + c->pending_bytes;
}

/* Of a chunk that exceeds a share; once it does no longer, cold pages fill the rest of the batch. */
static uint32_t next_of_chunk(struct cleaner *c)
{
	uint32_t id = c->cause == TMS_CAUSE_TRIM ? next_trimmed(c) : next_over(c);

	if (id || c->looking || c->cause == TMS_CAUSE_TRIM || !has_backlog(c))
		return id;
	c->walk.region = NULL;
	return oldest(c, AGE_UNCOPIED);
}

static uint32_t next_page(struct cleaner *c)
{
	const struct holdings *held = &c->store->held;
	struct aging *aging = &c->store->held.aging;
	const enum age age = c->cause == TMS_CAUSE_DRAIN ? AGE_RESERVE : AGE_UNCOPIED;
	const struct entry *last = c->at ? holdings_entry(held, c->at) : NULL;
	uint32_t id;

	if (c->walk.region)
		return next_of_chunk(c);
	/* From the page that was gathered last towards the newer ones, if it is still there: an allocation may have
	 * moved it into the reserve, and with it into another list. */
	if (last && last->flags & ENTRY_WRITING && holdings_age(held, last) == age) {
		id = aging_newer(aging, c->at);
		if (id && age == AGE_UNCOPIED)
			id = aging_cold(aging, age, id);
		if (id && entry_waits_for_copy(holdings_entry(held, id)))
			return id;
	}
	return oldest(c, age);
}

/* ---- what to do -------------------------------------------------------------------------------------- */

/* Takes what is being written in the chunk off what is too much there: it leaves on its own. */
static uint64_t less_what_is_written(const struct holdings *held, const struct walk *chunk, uint64_t over_bytes)
{
	struct walk walk = *chunk;
	uint32_t id;

	while (over_bytes && (id = walk_current(&walk))) {
		const struct entry *entry = holdings_entry(held, id);

		if (entry->flags & ENTRY_WRITING)
			over_bytes -= min_u64(over_bytes, entry->size);
		walk_next(&walk);
	}
	return over_bytes;
}

static bool find_exceeding_chunk(struct cleaner *c)
{
	struct holdings *held = &c->store->held;
	const struct frame_table *frames = &held->region->frames;
	struct ceiling_view view = holdings_ceiling(held);

	for (uint32_t chunk = 0; chunk < frames->chunks && chunk < CHUNK_LOOK; chunk++) {
		c->over_bytes = ceiling_frames_over(&view, chunk) * TMS_PAGE_SIZE;
		if (!c->over_bytes || frames->chunk[chunk].frames_leaving)
			continue;
		c->walk = walk_begin(held->region, chunk << CHUNK_SHIFT, frame_chunk_end(frames, chunk));
		c->over_bytes = less_what_is_written(held, &c->walk, c->over_bytes);
		if (c->over_bytes)
			return true;
	}
	c->walk.region = NULL;
	return false;
}

static bool find_chunk_over(struct cleaner *c)
{
	struct holdings *held = &c->store->held;
	const struct frame_table *frames = &held->region->frames;
	struct ceiling_view view = holdings_ceiling(held);
	uint64_t most = 0;

	if (ceiling_chunk_bytes(&view) == UINT64_MAX)
		return false;
	for (uint32_t chunk = 0; chunk < frames->chunks && chunk < CHUNK_LOOK; chunk++) {
		uint64_t over = ceiling_bytes_over(&view, chunk);

		if (over <= most || frames->chunk[chunk].frames_leaving)
			continue;
		most = over;
		c->walk = walk_begin(held->region, chunk << CHUNK_SHIFT, frame_chunk_end(frames, chunk));
	}
	c->over_bytes = most ? less_what_is_written(held, &c->walk, most) : 0;
	if (!c->over_bytes)
		c->walk.region = NULL;
	return c->over_bytes;
}

/* False: nothing is to be done. */
static bool choose(struct cleaner *c)
{
	struct aging *aging = &c->store->held.aging;

	if (c->request->drain && aging->list[AGE_RESERVE].count) {
		c->cause = TMS_CAUSE_DRAIN;
		if (oldest(c, AGE_RESERVE))
			return true;
	}
	if (c->request->trim && find_exceeding_chunk(c)) {
		c->cause = TMS_CAUSE_TRIM;
		return true;
	}
	c->cause = TMS_CAUSE_CLEAN;
	if (find_chunk_over(c))
		return true;
	return has_backlog(c) && oldest(c, AGE_UNCOPIED);
}

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
		return choose(c) ? TMS_CLEAN_FULL : TMS_CLEAN_IDLE;
	io_read_counters(c->store->io, &io);
	c->ended = io_ended(c->store->io);
	c->pending_bytes = io.bytes_pending;
	if (is_busy(c, &io)) {
		c->waits = !c->store->allocations;
		return TMS_CLEAN_BUSY;
	}
	if (!choose(c))
		return TMS_CLEAN_IDLE;
	if (c->request->yield && io.reads_pending && c->cause == TMS_CAUSE_CLEAN)
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
		uint32_t id = next_page(c);

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
	c->result->state = (int32_t)begin(c);
	if (c->result->state == TMS_CLEAN_BEGUN)
		fill(c);
	else
		store_leave(c->store);
	return TMS_OK;
}

/* Waits without the lock, as tms_write_through does: whoever closes the store sees to it that nobody is here.  False:
 * time is up. */
static bool goes_on(const struct cleaner *c, uint64_t until_ns, uint64_t *idle_ns)
{
	uint64_t now_ns;

	if (!c->request->wait_ns || !c->store->io)
		return c->result->state == TMS_CLEAN_BEGUN;
	now_ns = clock_now_ns(&c->store->clock);
	if (now_ns >= until_ns)
		return false;
	if (c->result->state == TMS_CLEAN_BEGUN) {
		*idle_ns = IDLE_FIRST_NS;
		return true;
	}
	(void)io_wait_ended(c->store->io, c->ended, c->waits ? until_ns - now_ns : min_u64(until_ns - now_ns, *idle_ns));
	*idle_ns = min_u64(2 * *idle_ns, IDLE_LONGEST_NS);
	return true;
}

int tms_clean(tms_store *store, const struct tms_clean_request *request, struct tms_clean_result *ret)
{
	const uint32_t interrupts = atomic_load(&store->interrupts);
	const uint32_t steps = request->steps ? request->steps : 1;
	const uint64_t began_ns = clock_now_ns(&store->clock);
	const uint64_t until_ns = began_ns + min_u64(request->wait_ns, UINT64_MAX - began_ns);
	struct tms_clean_result total = { 0 };
	uint64_t idle_ns = IDLE_FIRST_NS;

	for (uint32_t i = 0; i < steps; i++) {
		struct tms_clean_result result = { .cause = total.cause };
		struct cleaner c = { .store = store, .request = request, .result = &result };
		int code = step(&c);

		if (code)
			return code;
		result.bytes += total.bytes;
		result.objects += total.objects;
		total = result;
		if (i + 1 == steps || atomic_load(&store->interrupts) != interrupts || !goes_on(&c, until_ns, &idle_ns))
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
