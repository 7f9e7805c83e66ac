/*
 * reclaim.c: one whole contiguous allocation: choose a window, empty it, hand it over, or undo.
 *
 *      propose -> isolate -> write back -> drop -> zero -> commit point -> claim: MET
 *         |                     |           |       |          |
 *      REFUSED                  +-----------+-------+----------+--> abort: ABORTED
 *
 * Laws: 1. MET is decided at one commit point: the window being empty, the clock is read under the lock,
 * and the range is claimed iff the deadline is not past.  2. REFUSED changes nothing.  3. ABORTED gives
 * every frame back; what was written keeps its copy, what was dropped is counted.  4. clean pages are
 * dropped last, so that an allocation which fails at the device costs none.  5. the lock is given up
 * every few hundred pages, and never held while waiting.
 */
#include "drop.h"
#include "evacuate.h"

/* Frames zeroed between two looks at the clock. */
#define ZERO_STEP 64

struct reclaim {
	tms_store *store;
	const struct tms_alloc_request *request;
	struct tms_report *report;
	uint64_t began_ns;
	uint64_t deadline_ns; /* on the store's clock */
	uint32_t start_pfn;
	uint32_t end_pfn;
	uint32_t range;
	struct evacuation evacuation;
	struct drop drop;
};

static uint64_t elapsed(const struct reclaim *r)
{
	return clock_now_ns(&r->store->clock) - r->began_ns;
}

static bool is_late(const struct reclaim *r)
{
	return clock_now_ns(&r->store->clock) > r->deadline_ns;
}

static enum tms_reason zero_window(struct reclaim *r)
{
	(void)fault_fires(r->store->faults, TMS_FAULT_BEFORE_ZERO);
	if (!r->request->zero)
		return TMS_REASON_NONE;
	for (uint64_t pfn = r->start_pfn; pfn < r->end_pfn; pfn += ZERO_STEP) {
		uint64_t frames = min_u64(ZERO_STEP, r->end_pfn - pfn);

		if (is_late(r))
			return TMS_REASON_TIME;
		if (region_has_data(r->store->held.region))
			memset(mapping_at(&r->store->held.region->mapping, pfn), 0, frames * PAGE_SIZE);
		clock_spend(&r->store->clock, frames * r->request->cost.zero_ns);
	}
	return TMS_REASON_NONE;
}

/* ---- the whole --------------------------------------------------------------------------------------- */

/* With the lock held.  The commit point. */
static enum tms_reason commit(struct reclaim *r)
{
	uint64_t now_ns = clock_now_ns(&r->store->clock);

	if (now_ns > r->deadline_ns)
		return TMS_REASON_TIME;
	r->report->commit_ns = now_ns - r->began_ns;
	range_claim(&r->store->held.region->ranges, r->range);
	return TMS_REASON_NONE;
}

static enum tms_reason empty_window(struct reclaim *r)
{
	enum tms_reason reason = TMS_REASON_NONE;
	uint64_t before_ns;

	(void)fault_fires(r->store->faults, TMS_FAULT_AFTER_PROPOSE);
	if (r->report->window.objects_uncopied)
		reason = evacuate(&r->evacuation);
	r->report->write_ns = before_ns = elapsed(r);
	if (reason == TMS_REASON_NONE)
		reason = drop_window(&r->drop);
	r->report->drop_ns = elapsed(r) - before_ns;
	before_ns = elapsed(r);
	if (reason == TMS_REASON_NONE)
		reason = zero_window(r);
	r->report->zero_ns = elapsed(r) - before_ns;
	(void)fault_fires(r->store->faults, TMS_FAULT_BEFORE_COMMIT);
	return reason;
}

static void account(struct reclaim *r, enum tms_reason reason)
{
	struct tms_report *report = r->report;
	struct tms_stats *stats = &r->store->held.stats;

	const struct writeback *writeback = &r->evacuation.writeback;
	const struct move *move = &r->evacuation.move;
	uint64_t dropped_written;

	report->reason = (int32_t)reason;
	report->clean_dropped = r->drop.clean;
	report->migrated_inside = move->inside;
	report->migrated_reserve = move->reserve;
	report->clean_evicted = move->clean_evicted;
	report->compressed = move->compressed + writeback->compressed;
	/* What was moved while it was being written left by moving. */
	report->paged_out = writeback->objects - min_u64(writeback->objects, move->overtaken);
	report->bytes_written = writeback->bytes;
	report->write_batches = writeback->batches;
	report->waited_ns = r->evacuation.waited_ns;
	/* What this allocation wrote as it was kept leaves in the drop pass; the rest had its copy before. */
	dropped_written = report->paged_out - min_u64(report->paged_out, writeback->compressed);
	if (r->drop.frontswap > dropped_written)
		report->copied_dropped = r->drop.frontswap - dropped_written;
	stats->allocs_by_reason[reason]++;
	stats->alloc_clean_dropped += report->clean_dropped;
	stats->alloc_copied_dropped += report->copied_dropped;
	stats->alloc_paged_out += report->paged_out;
	stats->alloc_migrated_inside += report->migrated_inside;
	stats->alloc_migrated_reserve += report->migrated_reserve;
	stats->alloc_compressed += report->compressed;
}

/* How often what was said before held.  An abort for time has taken longer than whatever fitted into its
 * deadline. */
static void cover(struct tms_stats *stats, const struct tms_report *report)
{
	stats->allocs_run++;
	stats->allocs_within_p50 += report->elapsed_ns <= report->window.predicted_ns;
	stats->allocs_within_p99 += report->elapsed_ns <= report->window.p99_ns;
	stats->allocs_within_bound += report->elapsed_ns <= report->window.bound_ns;
}

static void begin_lease(const struct reclaim *r)
{
	store_hold(r->store);
	*r->request->lease = (struct tms_lease){ .store = r->store, .range = r->range };
}

/* With the lock held, even if the store was closed meanwhile. */
static int end(struct reclaim *r, enum tms_reason reason)
{
	struct tms_report *report = r->report;
	struct tms_stats *stats = &r->store->held.stats;

	evacuate_end(&r->evacuation);
	r->store->allocations--;
	if (reason == TMS_REASON_NONE)
		reason = r->store->closed ? TMS_REASON_CLOSED : commit(r);
	account(r, reason);
	if (reason == TMS_REASON_NONE) {
		report->ending = TMS_MET;
		report->range = r->range;
		if (r->request->lease)
			begin_lease(r);
		report->elapsed_ns = report->commit_ns;
		stats->allocs_met++;
		cover(stats, report);
		return TMS_OK;
	}
	region_abort(r->store->held.region, r->range, r->start_pfn, r->end_pfn);
	report->ending = TMS_ABORTED;
	report->elapsed_ns = elapsed(r);
	stats->allocs_aborted++;
	cover(stats, report);
	return TMS_ALLOC_ABORTED;
}

static int refuse(struct reclaim *r, enum tms_reason reason)
{
	r->report->ending = TMS_REFUSED;
	r->report->elapsed_ns = elapsed(r);
	r->store->held.stats.allocs_refused++;
	account(r, reason);
	return TMS_ALLOC_REFUSED;
}

static struct surroundings surroundings_of(const tms_store *store)
{
	const struct ceiling_view view = holdings_ceiling(&store->held);
	struct io_counters io = { 0 };

	if (store->io)
		io_read_counters(store->io, &io);
	return (struct surroundings){ .reserve_bytes_free = (uint64_t)reserve_free(view.reserve) << UNIT_SHIFT,
				      .reserve_bytes_used = (uint64_t)view.reserve->used << UNIT_SHIFT,
				      .chunk_bytes_max = ceiling_chunk_bytes(&view),
				      .window_chunks = ceiling_window_chunks(&view),
				      .frontswap_permille = store->held.ceiling.limits.frontswap_permille,
				      .pending_bytes = io.bytes_pending,
				      .can_write = store->io != NULL,
				      .can_compress = codec_compresses(&store->denser) };
}

static void tell_recovery(tms_store *store, const struct tms_alloc_request *request, const struct surroundings *around,
			  struct tms_window *window)
{
	struct io_counters io = { 0 };

	window->bytes_short = range_recovery_bytes(&store->held.region->ranges, request, around, window);
	if (store->io)
		io_read_counters(store->io, &io);
	if (io.serving_since_ns)
		window->served_ns = clock_now_ns(&store->clock) - io.serving_since_ns;
}

static struct chunks chunks_of(const struct tms_window *window)
{
	uint64_t end_pfn = window->start_pfn + window->frames;

	return (struct chunks){ (uint32_t)(window->start_pfn >> CHUNK_SHIFT),
				(uint32_t)((end_pfn + TMS_CHUNK_FRAMES - 1) >> CHUNK_SHIFT) };
}

/* With the lock held.  TMS_OK: the window is isolated. */
static int begin(struct reclaim *r)
{
	struct tms_region *region = r->store->held.region;
	struct tms_window *window = &r->report->window;
	struct surroundings around = surroundings_of(r->store);
	enum tms_reason reason = range_propose(&region->ranges, r->request, &around, window);

	if (reason != TMS_REASON_NONE)
		return refuse(r, reason);
	if (r->request->refuse_over_bound && window->bound_ns > r->request->deadline_ns) {
		tell_recovery(r->store, r->request, &around, window);
		if (r->request->covered)
			r->store->refused = chunks_of(window);
		return refuse(r, r->request->covered ? TMS_REASON_RECOVERING : TMS_REASON_DEADLINE);
	}
	r->start_pfn = (uint32_t)window->start_pfn;
	r->end_pfn = (uint32_t)(window->start_pfn + window->frames);
	r->range = region_isolate(region, r->start_pfn, r->end_pfn);
	if (!r->range)
		return TMS_E_NO_MEMORY;
	r->evacuation = (struct evacuation){
		.store = r->store, .request = r->request, .window = window, .deadline_ns = r->deadline_ns
	};
	r->drop = (struct drop){ .store = r->store,
				 .deadline_ns = r->deadline_ns,
				 .clean_ns = r->request->cost.clean_ns,
				 .drop_ns = r->request->cost.drop_ns,
				 .start_pfn = r->start_pfn,
				 .end_pfn = r->end_pfn };
	r->store->allocations++;
	clock_spend(&r->store->clock, r->request->cost.t0_ns + window->frames * r->request->cost.frame_ns);
	return TMS_OK;
}

static bool is_valid(const tms_store *store, const struct tms_alloc_request *request)
{
	uint64_t frames = store->held.region->frames.frames;
	uint64_t align = request->align_frames;

	if (request->frames == 0 || request->frames > frames || align == 0 || (align & (align - 1)) != 0)
		return false;
	if (request->effort < TMS_EFFORT_FREE || request->effort >= TMS_EFFORTS)
		return false;
	return !request->fixed || (request->start_pfn <= frames - request->frames && request->start_pfn % align == 0);
}

int tms_propose(tms_store *store, const struct tms_alloc_request *request, struct tms_window *window, int32_t *reason)
{
	struct surroundings around;
	struct tms_window found;
	int code;

	if (!is_valid(store, request))
		return TMS_E_INVALID;
	code = store_enter(store);
	if (code)
		return code;
	around = surroundings_of(store);
	*reason = (int32_t)range_propose(&store->held.region->ranges, request, &around, &found);
	if (*reason == TMS_REASON_NONE && request->refuse_over_bound && found.bound_ns > request->deadline_ns)
		tell_recovery(store, request, &around, &found);
	store_leave(store);
	if (*reason != TMS_REASON_NONE)
		return TMS_ALLOC_REFUSED;
	*window = found;
	return TMS_OK;
}

int tms_alloc_contig(tms_store *store, const struct tms_alloc_request *request, struct tms_report *report)
{
	struct reclaim r = { .store = store, .request = request, .report = report };
	uint64_t cpu_ns;
	int code;

	if (!is_valid(store, request))
		return TMS_E_INVALID;
	r.began_ns = clock_now_ns(&store->clock);
	cpu_ns = clock_cpu_ns(&store->clock);
	code = store_enter(store);
	if (code)
		return code;
	r.deadline_ns = r.began_ns + min_u64(request->deadline_ns, UINT64_MAX - r.began_ns);
	*report = (struct tms_report){ .deadline_ns = request->deadline_ns };
	code = begin(&r);
	store_leave(store);
	if (code == TMS_OK) {
		enum tms_reason reason = empty_window(&r);

		store_lock(store);
		code = end(&r, reason);
		store_leave(store);
	}
	report->cpu_ns = clock_cpu_ns(&store->clock) - cpu_ns;
	report->returned_ns = elapsed(&r);
	return code;
}

int tms_release(tms_store *store, uint32_t range)
{
	int code = store_enter(store);
	bool released;

	if (code)
		return code;
	released = range_release(&store->held.region->ranges, range);
	store_leave(store);
	return released ? TMS_OK : TMS_E_NO_RANGE;
}

bool tms_lease_end(struct tms_lease *lease)
{
	tms_store *store = __atomic_exchange_n(&lease->store, NULL, __ATOMIC_ACQ_REL);

	if (!store)
		return false;
	(void)tms_release(store, lease->range);
	__atomic_store_n(&lease->range, 0, __ATOMIC_RELEASE);
	store_let_go(store);
	return true;
}
