/*
 * replay.c: the events of a trace, one after the other, through the same calls that others use.
 *
 *      events  ->  come to the time of the next one: background work, completions  ->  put, get, flush
 *                  ->  back to the caller for what is policy's: allocations, pools, a look at the device
 *
 * Laws: 1. on a virtual clock nothing depends on the machine: the same events end in the same store.  2. no event is
 * begun twice: one that waits for the device keeps its place, and its wait.
 */
#include "store.h"

#define BUSY_LOOK_NS NSEC_PER_MSEC
#define IDLE_LOOK_NS (4 * NSEC_PER_MSEC)
#define CLEAN_STEPS 256
/* On a clock that runs by itself events this much before their time are not waited for. */
#define AHEAD_NS (200 * UINT64_C(1000))
/* Events between two looks at that clock. */
#define LOOK_EVERY 64
#define STEPS_SHIFT 4 /* sixteenths of a power of two */

static const char *const names[TMS_EVENT_OPS] = {
	"put_page", "get_page", "invalidate_page", "invalidate_inode", "invalidate_fs", "store",
	"load", "invalidate_swap", "invalidate_area", "alloc", "release"
};

const char *tms_event_name(int op)
{
	return op >= 0 && op < TMS_EVENT_OPS ? names[op] : "unknown operation";
}

struct run {
	tms_store *store;
	struct tms_replay *replay;
	uint64_t now_ns; /* at the last look at the clock */
	bool is_virtual;
	bool has_data;
};

/* ---- times, counted ---------------------------------------------------------------------------------- */

static uint32_t place_of(uint64_t ns)
{
	uint32_t shift;

	if (ns < 1U << STEPS_SHIFT)
		return (uint32_t)ns;
	shift = 63 - (uint32_t)__builtin_clzll(ns) - STEPS_SHIFT;
	return ((shift + 1) << STEPS_SHIFT) + (uint32_t)(ns >> shift) - (1U << STEPS_SHIFT);
}

uint64_t tms_replay_time_ns(uint32_t place)
{
	const uint32_t octave = place >> STEPS_SHIFT;
	const uint64_t step = place & ((1U << STEPS_SHIFT) - 1);

	return octave ? ((UINT64_C(1) << STEPS_SHIFT) + step) << (octave - 1) : step;
}

/* ---- the time of the next event ---------------------------------------------------------------------- */

static uint64_t requests_ended(const struct run *run)
{
	return run->store->io ? io_ended(run->store->io) : 0;
}

/* Background work, if there may be any.  A busy cleaner looks again after a while, an idle one with the next event, or
 * when a request has ended. */
static int clean(struct run *run, uint64_t now_ns)
{
	struct tms_replay *replay = run->replay;
	struct tms_clean_result result;
	uint64_t ended = requests_ended(run);
	int code;

	if (now_ns < replay->clean_due_ns && ended == replay->ended)
		return TMS_OK;
	replay->ended = ended;
	replay->clean.steps = CLEAN_STEPS;
	replay->clean.wait_ns = replay->clean.drain_ns = 0;
	code = tms_clean(run->store, &replay->clean, &result);
	if (code)
		return code;
	replay->clean_due_ns = now_ns + (result.state == TMS_CLEAN_BUSY ? BUSY_LOOK_NS : IDLE_LOOK_NS);
	return TMS_OK;
}

/* On a virtual clock.  Background work goes on where the events come late, too. */
static int pass_time(struct run *run, uint64_t until_ns)
{
	struct tms_replay *replay = run->replay;
	tms_store *store = run->store;

	for (;;) {
		uint64_t now_ns = clock_now_ns(&store->clock);
		int code = replay->cleans ? clean(run, now_ns) : TMS_OK;
		uint64_t next_ns = store->io ? io_due_ns(store->io) : UINT64_MAX;

		/* With nothing under way nothing changes until the event. */
		if (replay->cleans && next_ns != UINT64_MAX)
			next_ns = min_u64(next_ns, replay->clean_due_ns);
		if (code || now_ns >= until_ns)
			return code;
		if (next_ns > until_ns) {
			clock_spend(&store->clock, until_ns - now_ns);
			return TMS_OK;
		}
		code = tms_advance(store, next_ns > now_ns ? next_ns - now_ns : 0);
		if (code)
			return code;
	}
}

static void note_late(struct run *run, uint64_t due_ns)
{
	if (run->now_ns > due_ns && run->now_ns - due_ns > run->replay->late_ns)
		run->replay->late_ns = run->now_ns - due_ns;
}

/* Whether the event may take place now; else stop says why not. */
static int come_to(struct run *run, const struct tms_event *event)
{
	struct tms_replay *replay = run->replay;
	const uint64_t due_ns = replay->start_ns + event->time_ns;
	uint64_t ended;
	int code;

	if (!run->is_virtual) {
		if (due_ns > run->now_ns + AHEAD_NS)
			run->now_ns = clock_now_ns(&run->store->clock);
		if (due_ns > run->now_ns + AHEAD_NS)
			replay->stop = TMS_REPLAY_AHEAD;
		note_late(run, due_ns);
		return TMS_OK;
	}
	code = pass_time(run, due_ns);
	run->now_ns = clock_now_ns(&run->store->clock);
	note_late(run, due_ns);
	if (code || run->now_ns < replay->tick_ns)
		return code;
	ended = requests_ended(run);
	if (ended != replay->ticked)
		replay->stop = TMS_REPLAY_TICK;
	replay->ticked = ended;
	return TMS_OK;
}

/* ---- one event --------------------------------------------------------------------------------------- */

static tms_pool_id pool_of(const struct tms_replay *replay, const struct tms_event *event)
{
	if (event->op <= TMS_EVENT_INVALIDATE_FS)
		return event->pool < replay->cleancaches ? replay->cleancache[event->pool] : 0;
	return event->pool < replay->frontswaps ? replay->frontswap[event->pool] : 0;
}

static uint32_t size_of(const struct tms_replay *replay, const struct tms_event *event, tms_pool_id pool)
{
	struct key key = { .object = event->object, .index = event->index, .pool = event->pool };

	if (event->flags & TMS_EVENT_FILLED)
		return 0;
	if (event->size || !pool_id_is_persistent(pool))
		return event->size ? event->size : TMS_PAGE_SIZE;
	return replay->sizes[hash_mix(index_key_hash(&key) ^ replay->seed) % TMS_REPLAY_SIZES];
}

static int put_page(struct run *run, const struct tms_event *event, tms_pool_id pool)
{
	const struct tms_replay *replay = run->replay;
	const uint32_t size = size_of(replay, event, pool);
	const uint32_t flags = event->flags & TMS_EVENT_ACTIVE ? TMS_PUT_ACTIVE : 0;

	if (!run->has_data)
		return store_put_size(run->store, pool, event->object, event->index, flags, size);
	return tms_put(run->store, pool, event->object, event->index, flags,
		       replay->pages + (size_t)replay->page_of_size[size] * PAGE_SIZE);
}

/* With replay->waits: one slice of it. */
static int go_on(struct run *run, const struct tms_event *event, tms_pool_id pool)
{
	struct tms_wait *wait = &run->replay->wait;
	const uint64_t index = event->index;
	uint8_t page[TMS_PAGE_SIZE];
	bool held = true;

	if (event->op == TMS_EVENT_STORE)
		return tms_write_through(run->store, pool, 1, &event->object, &index, &held, wait);
	return store_get(run->store, pool, event->object, event->index, page, wait);
}

/* TMS_WAITING: it goes on in a while. */
static int wait_for_device(struct run *run, const struct tms_event *event, tms_pool_id pool)
{
	struct tms_replay *replay = run->replay;
	int code = go_on(run, event, pool);

	while (code == TMS_WAITING && run->is_virtual)
		code = go_on(run, event, pool);
	if (code == TMS_WAITING)
		return code;
	run->now_ns = clock_now_ns(&run->store->clock);
	if (event->op == TMS_EVENT_LOAD && code == TMS_OK)
		replay->load_ns[place_of(run->now_ns - replay->waits_since_ns)]++;
	replay->waits = false;
	return code;
}

static int begin_wait(struct run *run, const struct tms_event *event, tms_pool_id pool)
{
	struct tms_replay *replay = run->replay;

	replay->waits = true;
	replay->waits_since_ns = clock_now_ns(&run->store->clock);
	replay->wait = (struct tms_wait){ .slice_ns = replay->slice_ns };
	return wait_for_device(run, event, pool);
}

static int carry_out(struct run *run, const struct tms_event *event, tms_pool_id pool)
{
	struct tms_replay *replay = run->replay;
	tms_store *store = run->store;
	uint8_t page[TMS_PAGE_SIZE];
	int code;

	if (replay->waits)
		return wait_for_device(run, event, pool);
	switch (event->op) {
	case TMS_EVENT_PUT_PAGE:
		return put_page(run, event, pool);
	case TMS_EVENT_STORE:
		code = put_page(run, event, pool);
		return code == TMS_OK && replay->write_through ? begin_wait(run, event, pool) : code;
	case TMS_EVENT_GET_PAGE:
		code = store_get(store, pool, event->object, event->index, page, NULL);
		return code == TMS_MISS && replay->fill ? put_page(run, event, pool) : code;
	case TMS_EVENT_LOAD:
		code = store_get(store, pool, event->object, event->index, page, NULL);
		return code == TMS_WAITING ? begin_wait(run, event, pool) : code;
	case TMS_EVENT_INVALIDATE_PAGE:
	case TMS_EVENT_INVALIDATE_SWAP:
		return tms_flush_page(store, pool, event->object, event->index);
	case TMS_EVENT_INVALIDATE_INODE:
		return tms_flush_object(store, pool, event->object);
	default:
		return tms_flush_pool(store, pool);
	}
}

static bool is_the_devices(int code)
{
	return code == TMS_E_SPILL_READ || code == TMS_E_SPILL_CORRUPT || code == TMS_E_TIMEOUT;
}

/* Below zero: the whole replay is at its end. */
static int run_event(struct run *run, const struct tms_event *event)
{
	struct tms_replay *replay = run->replay;
	tms_pool_id pool;
	int code = replay->waits ? TMS_OK : come_to(run, event);

	if (code || replay->stop)
		return code;
	if (event->op >= TMS_EVENT_ALLOC) {
		replay->stop = TMS_REPLAY_ALLOC;
		return TMS_OK;
	}
	pool = pool_of(replay, event);
	if (!pool) {
		replay->stop = TMS_REPLAY_POOL;
		return TMS_OK;
	}
	code = carry_out(run, event, pool);
	if (is_the_devices(code)) {
		replay->errors++;
		code = TMS_OK;
	}
	if (code == TMS_WAITING)
		replay->stop = TMS_REPLAY_SLICE;
	return code < 0 ? code : TMS_OK;
}

/* On a clock that runs by itself; the last event was the one before done. */
static uint64_t look_at_clock(struct run *run)
{
	run->now_ns = clock_now_ns(&run->store->clock);
	return run->now_ns;
}

static bool is_valid(const struct run *run, uint64_t n, const struct tms_event *events)
{
	const struct tms_replay *replay = run->replay;

	if (!replay->sizes || (run->has_data && (!replay->pages || !replay->page_of_size)))
		return false;
	if (replay->write_through && !run->store->io)
		return false;
	for (uint64_t i = 0; i < n; i++)
		if (events[i].op >= TMS_EVENT_OPS || events[i].size > TMS_PAGE_SIZE ||
		    events[i].time_ns > UINT64_MAX - replay->start_ns)
			return false;
	return true;
}

int tms_replay(tms_store *store, struct tms_replay *replay, uint64_t n, const struct tms_event *events)
{
	struct run run = { .store = store,
			   .replay = replay,
			   .is_virtual = clock_is_virtual(&store->clock),
			   .has_data = !store->without_data };
	uint64_t began_ns = clock_now_ns(&store->clock);
	int code = TMS_OK;

	if (!*store->present)
		return TMS_E_CLOSED;
	if (!is_valid(&run, n, events))
		return TMS_E_INVALID;
	replay->done = 0;
	replay->stop = TMS_REPLAY_DONE;
	run.now_ns = began_ns;
	while (replay->done < n) {
		code = run_event(&run, &events[replay->done]);
		if (code || replay->stop)
			break;
		replay->done++;
		if (!run.is_virtual && replay->done % LOOK_EVERY == 0 && look_at_clock(&run) - began_ns >= replay->slice_ns) {
			replay->stop = replay->done < n ? TMS_REPLAY_SLICE : TMS_REPLAY_DONE;
			break;
		}
	}
	return code;
}
