/*
 * range_propose.c: which window an allocation takes, and how it would be emptied.
 *
 * Law: touches nothing.
 * Locks: the store's.
 */
#include "range_search.h"

/* Objects of several classes do not pack without gaps, nor fill the last span of each; raw pages do. */
#define DENSITY_PERCENT 90
#define OPEN_SPANS_FRAMES 128

static uint64_t content_bytes(const struct content *content)
{
	return whole(content->units) << UNIT_SHIFT;
}

/* Free frames outside the window, and those of clean pages there, as far as their chunks may take more; and the
 * reserve. */
static uint64_t room_of(const struct search *search, const struct content *content)
{
	const bool raw = whole(content->bytes) == whole(content->uncopied) * TMS_PAGE_SIZE;
	const uint64_t open = (uint64_t)OPEN_SPANS_FRAMES * TMS_PAGE_SIZE;
	uint64_t inside = search->room - content->room;

	if (!raw)
		inside = inside > open ? (inside - open) / 100 * DENSITY_PERCENT : 0;
	return inside + search->around->reserve_bytes_free;
}

const struct tms_cost *search_cost(const struct tms_alloc_request *request)
{
	return request->refuse_over_bound ? &request->bound : &request->cost;
}

struct plan_task search_task(const struct search *search, const struct content *content)
{
	const struct tms_alloc_request *request = search->request;

	return (struct plan_task){
		.frames = request->frames,
		.clean = content->clean,
		.drops = whole(content->copied),
		.uncopied = whole(content->uncopied),
		.bytes = content_bytes(content),
		.room = content->uncopied ? room_of(search, content) : 0,
		.pending = search->around->pending_bytes,
		.batch = request->batch_bytes ? request->batch_bytes : UINT64_MAX,
		.effort = request->effort,
		.zero = request->zero,
		.can_write = search->around->can_write,
		.can_compress = search->around->can_compress,
		.prefers_no_write = request->no_wait,
	};
}

/* Nothing is cheaper than free frames, as far as the region has some, and for the rest either clean pages or copied
 * objects, if there are any packed ones in spans so sparse that eight frames are free for one. */
static uint64_t floor_of(const struct search *search)
{
	const struct frame_table *frames = search->table->frames;
	uint64_t free = min_u64(search->request->frames, frames->held[FRAME_FREE]);
	uint64_t held = search->request->frames - free;
	uint64_t sparse = frames->held[FRAME_PACKED] ? 8 : 1;
	uint64_t frames_clean = min_u64(held, frames->held[FRAME_CLEAN]);
	struct plan_task clean = { .frames = search->request->frames, .clean = frames_clean, .zero = search->request->zero };
	struct plan_task copied = clean;
	struct plan nothing = { 0 };

	clean.drops = (held - frames_clean) / sparse;
	copied.clean = 0;
	copied.drops = held / sparse;
	return min_u64(plan_price(&clean, &nothing, &search->request->cost),
		       plan_price(&copied, &nothing, &search->request->cost));
}

static bool is_settled(const struct search *search)
{
	return search->found && search->best->predicted_ns <= search->floor_ns;
}

static struct tms_window window_of(const struct search *search, uint32_t start, const struct content *content,
				   const struct plan_task *task, const struct plan *plan)
{
	const struct tms_alloc_request *request = search->request;

	return (struct tms_window){
		.start_pfn = start,
		.frames = request->frames,
		.frames_free = content->free,
		.frames_clean = content->clean,
		.frames_frontswap = content->frontswap,
		.objects_copied = whole(content->copied),
		.objects_uncopied = task->uncopied,
		.bytes_uncopied = whole(content->bytes),
		.room_bytes = task->room,
		.to_migrate = plan->migrate,
		.to_compress = plan->compress,
		.to_page_out = plan->page_out,
		.bytes_to_page_out = plan->page_out_bytes,
		.predicted_ns = plan_price(task, plan, &request->cost),
		.p99_ns = plan_price(task, plan, &request->p99),
		.bound_ns = plan_price(task, plan, &request->bound),
	};
}

static void consider(struct search *search, uint32_t start, const struct content *content)
{
	const struct tms_alloc_request *request = search->request;
	struct plan_task task;
	struct plan plan;

	if (content->taken || (request->effort == TMS_EFFORT_FREE && content->clean + content->frontswap))
		return;
	task = search_task(search, content);
	plan = plan_make(&task, search_cost(request));
	if (!plan.feasible)
		return;
	if (search->found && plan_price(&task, &plan, &request->cost) >= search->best->predicted_ns)
		return;
	search->found = true;
	*search->best = window_of(search, start, content, &task, &plan);
}

/* Windows that start at chunks: whole chunks by a sliding sum, the tail frame by frame. */
static void search_chunks(struct search *search)
{
	const struct frame_table *frames = search->table->frames;
	uint32_t chunks = (uint32_t)(search->request->frames >> CHUNK_SHIFT);
	uint64_t align_chunks = search->request->align_frames >> CHUNK_SHIFT;
	struct content sum = { 0 };

	for (uint32_t end = 1; end <= frames->chunks && !is_settled(search); end++) {
		struct content part = chunk_content(frames, end - 1, search->around);
		uint32_t first = end - chunks;
		uint64_t window_end;

		content_add(&sum, &part);
		if (end < chunks)
			continue;
		window_end = ((uint64_t)first << CHUNK_SHIFT) + search->request->frames;
		if (window_end > frames->frames)
			break;
		if (!sum.taken && !(align_chunks > 1 && first % align_chunks)) {
			struct content window = run_content(frames, search->around, end << CHUNK_SHIFT, (uint32_t)window_end);

			content_add(&window, &sum);
			consider(search, first << CHUNK_SHIFT, &window);
		}
		part = chunk_content(frames, first, search->around);
		content_subtract(&sum, &part);
	}
}

/* Windows at every aligned frame of [first, end) that lie before stop, by a sliding sum over frames. */
static void search_run(struct search *search, uint32_t first, uint32_t end, uint32_t stop)
{
	const struct frame_table *frames = search->table->frames;
	struct cursor entering = { .frames = frames, .around = search->around, .pfn = first };
	struct cursor leaving = entering;
	struct content sum = { 0 };

	while (leaving.pfn < end && entering.pfn < stop && !is_settled(search)) {
		cursor_step(&entering, &sum, 1);
		if (entering.pfn - leaving.pfn < search->request->frames)
			continue;
		if (leaving.pfn % search->request->align_frames == 0)
			consider(search, leaving.pfn, &sum);
		cursor_step(&leaving, &sum, UINT64_MAX);
	}
}

/* Windows at every aligned frame of [first, end).  Frames that bar them are passed over a window at a time. */
static void search_frames(struct search *search, uint32_t first, uint32_t end)
{
	const uint32_t stop = (uint32_t)min_u64(search->table->frames->frames, end + search->request->frames);

	while (!is_settled(search)) {
		uint32_t start = range_open_from(search, search->request->effort, first, end);

		if (start == PFN_NONE)
			return;
		first = range_open_end(search, start, stop);
		search_run(search, start, end, first);
	}
}

/* ---- windows of less than two chunks ------------------------------------------------------------------- */

/* Frames looked at one by one, about 50 ns each, for a window that is cheaper than one found already. */
#define LOOK_FRAMES (16u << CHUNK_SHIFT)

/* Chunks that have nothing to offer are told by their counts, and once a window is found, no more than some frames are
 * looked at: the lock is held, and a deadline runs. */
static void search_small(struct search *search)
{
	const struct frame_table *frames = search->table->frames;
	uint64_t left = LOOK_FRAMES;
	uint64_t least = UINT64_MAX;
	uint32_t best = 0;

	for (uint32_t chunk = 0; chunk < frames->chunks && least > search->floor_ns; chunk++) {
		uint64_t ns = range_least_ns(search, chunk);

		if (ns >= least)
			continue;
		least = ns;
		best = chunk;
	}
	if (least < UINT64_MAX)
		search_frames(search, best << CHUNK_SHIFT, frame_chunk_end(frames, best));
	for (uint32_t chunk = 0; chunk < frames->chunks; chunk++) {
		uint64_t ns;

		if (search->found && (search->best->predicted_ns <= least || left < TMS_CHUNK_FRAMES))
			return;
		ns = range_least_ns(search, chunk);
		if (ns == UINT64_MAX || (search->found && ns >= search->best->predicted_ns))
			continue;
		search_frames(search, chunk << CHUNK_SHIFT, frame_chunk_end(frames, chunk));
		left -= min_u64(left, TMS_CHUNK_FRAMES);
	}
}

/* ---- windows of two chunks and more that start anywhere ------------------------------------------------ */

/* A run of chunks, all of which windows are looked for in. */
struct begins {
	uint32_t first;
	uint32_t end;
};

static void search_begins(struct search *search, const struct begins *run)
{
	if (run->first < run->end)
		search_frames(search, run->first << CHUNK_SHIFT, run->end << CHUNK_SHIFT);
}

/* Windows at every aligned frame, but for those that begin in chunks where the ones in their midst bar all; these are
 * passed over where there are more of them than a window spans, which is the price of a fresh sum. */
static void search_between_bars(struct search *search)
{
	const uint32_t chunks = search->table->frames->chunks;
	const uint32_t inner = (uint32_t)(search->request->frames >> CHUNK_SHIFT) - 1; /* behind the one it begins in */
	struct begins run = { 0 };
	struct content sum = { 0 };

	for (uint32_t last = 1; last < chunks; last++) {
		struct content part = range_frames_of(search, last);
		const uint32_t begin = last - inner;

		content_add(&sum, &part);
		if (last < inner)
			continue;
		if (!range_is_barred(search, &sum)) {
			if (begin > run.end + inner) {
				search_begins(search, &run);
				run.first = begin;
			}
			run.end = begin + 1;
		}
		part = range_frames_of(search, begin + 1);
		content_subtract(&sum, &part);
	}
	search_begins(search, &run);
}

static void search_all(struct search *search)
{
	const struct frame_table *frames = search->table->frames;
	const uint64_t wanted = search->request->frames;

	if (wanted >= TMS_CHUNK_FRAMES)
		search_chunks(search);
	if (search->found)
		return;
	if (wanted >= 2 * TMS_CHUNK_FRAMES)
		search_between_bars(search);
	else if (frames->frames > LOOK_FRAMES)
		search_small(search);
	else
		search_frames(search, 0, frames->frames);
}

/* Whether a higher effort, or the one asked for at another time, could find a window. */
static bool is_open(const struct search *search)
{
	const struct tms_alloc_request *request = search->request;
	const uint32_t first = request->fixed ? (uint32_t)request->start_pfn : 0;
	const uint32_t end = request->fixed ? first + 1 : search->table->frames->frames;

	return range_open_from(search, TMS_EFFORT_MIGRATE, first, end) != PFN_NONE;
}

enum tms_reason range_propose(const struct range_table *table, const struct tms_alloc_request *request,
			      const struct surroundings *around, struct tms_window *window)
{
	struct search search = { .table = table, .request = request, .around = around, .best = window };

	search.room = region_room(table->frames, around);
	search.floor_ns = floor_of(&search);
	if (request->fixed) {
		struct content content = run_content(table->frames, around, (uint32_t)request->start_pfn,
						     (uint32_t)(request->start_pfn + request->frames));

		consider(&search, (uint32_t)request->start_pfn, &content);
	} else {
		search_all(&search);
	}
	if (search.found)
		return TMS_REASON_NONE;
	return is_open(&search) ? TMS_REASON_EFFORT : TMS_REASON_NO_WINDOW;
}

/* ---- recovery ---------------------------------------------------------------------------------------- */

#define RECOVERY_STEP_BYTES UINT64_C(4096)

/* What is still too much with that many bytes of the reserve drained: bytes that do not fit into the deadline, to be
 * written or, where it is the CPU that takes too long, to be moved; 0: the bound is met. */
static uint64_t short_after(const struct search *search, const struct tms_window *window, uint64_t drained)
{
	const struct tms_alloc_request *request = search->request;
	struct surroundings around = *search->around;
	struct search then = *search;
	struct content content;
	struct plan_task task;
	struct plan plan;
	uint64_t bound_ns, device_ns, other_ns, fit, written, moved;

	around.reserve_bytes_free += drained;
	if (around.chunk_bytes_max != UINT64_MAX)
		around.chunk_bytes_max += drained / around.window_chunks;
	then.around = &around;
	then.room = region_room(search->table->frames, &around);
	content = run_content(search->table->frames, &around, (uint32_t)window->start_pfn,
			      (uint32_t)(window->start_pfn + window->frames));
	task = search_task(&then, &content);
	plan = plan_make(&task, search_cost(request));
	bound_ns = plan_price(&task, &plan, &request->bound);
	if (bound_ns <= request->deadline_ns)
		return 0;
	device_ns = plan_device_ns(&request->bound, plan.page_out_bytes);
	other_ns = bound_ns > device_ns ? bound_ns - device_ns : 0;
	fit = plan_device_bytes(&request->bound, request->deadline_ns > other_ns ? request->deadline_ns - other_ns : 0);
	written = plan.page_out_bytes > fit ? plan.page_out_bytes - fit : 1;
	moved = plan_cpu_bytes_over(&task, &plan, &request->bound, request->deadline_ns);
	return written > moved ? written : moved;
}

uint64_t range_recovery_bytes(const struct range_table *table, const struct tms_alloc_request *request,
			      const struct surroundings *around, const struct tms_window *window)
{
	struct search search = { .table = table, .request = request, .around = around };
	uint64_t low = 0;
	uint64_t high = around->reserve_bytes_used;
	uint64_t more;

	more = short_after(&search, window, high);
	if (more)
		return high + more;
	while (high - low > RECOVERY_STEP_BYTES) {
		uint64_t middle = low + (high - low) / 2;

		if (short_after(&search, window, middle))
			low = middle;
		else
			high = middle;
	}
	return high;
}
