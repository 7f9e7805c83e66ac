/*
 * range_propose.c: which window an allocation takes, and how it would be emptied.
 *
 * Law: touches nothing.
 * Locks: the store's.
 */
#include "plan.h"
#include "range.h"
#include "reserve.h"

/* What a run of frames holds, additive.  Objects and bytes in units of 1 / 2^SHARE_SHIFT: a frontswap
 * frame stands for its share of what its chunk holds, since an object may lie across two frames. */
#define SHARE_SHIFT 16

struct content {
	uint64_t free, clean, frontswap, taken;
	uint64_t copied, uncopied, bytes, units;
};

static void content_add(struct content *sum, const struct content *part)
{
	sum->free += part->free;
	sum->clean += part->clean;
	sum->frontswap += part->frontswap;
	sum->taken += part->taken;
	sum->copied += part->copied;
	sum->uncopied += part->uncopied;
	sum->bytes += part->bytes;
	sum->units += part->units;
}

static void content_subtract(struct content *sum, const struct content *part)
{
	sum->free -= part->free;
	sum->clean -= part->clean;
	sum->frontswap -= part->frontswap;
	sum->taken -= part->taken;
	sum->copied -= part->copied;
	sum->uncopied -= part->uncopied;
	sum->bytes -= part->bytes;
	sum->units -= part->units;
}

static uint64_t whole(uint64_t shares)
{
	return (shares + (UINT64_C(1) << SHARE_SHIFT) - 1) >> SHARE_SHIFT;
}

static struct content chunk_content(const struct tms_chunk *chunk)
{
	return (struct content){
		.free = chunk->frames_free,
		.clean = chunk->frames_clean,
		.frontswap = chunk->frames_frontswap,
		.taken = (uint64_t)chunk->frames_allocated + chunk->frames_isolated + chunk->frames_leaving,
		.copied = (uint64_t)chunk->objects_copied << SHARE_SHIFT,
		.uncopied = (uint64_t)chunk->objects_uncopied << SHARE_SHIFT,
		.bytes = (uint64_t)chunk->bytes_uncopied << SHARE_SHIFT,
		.units = (uint64_t)chunk->units_uncopied << SHARE_SHIFT,
	};
}

/* Walks frame by frame; share is what one frontswap frame of the chunk at hand stands for. */
struct cursor {
	const struct frame_table *frames;
	uint32_t pfn;
	uint32_t chunk_end;
	uint64_t copied, uncopied, bytes, units;
};

static void cursor_enter_chunk(struct cursor *cursor)
{
	const struct tms_chunk *chunk = frame_chunk(cursor->frames, cursor->pfn);
	struct content content = chunk_content(chunk);
	uint64_t frontswap = chunk->frames_frontswap ? chunk->frames_frontswap : 1;

	cursor->chunk_end = frame_chunk_end(cursor->frames, cursor->pfn >> CHUNK_SHIFT);
	cursor->copied = content.copied / frontswap;
	cursor->uncopied = content.uncopied / frontswap;
	cursor->bytes = content.bytes / frontswap;
	cursor->units = content.units / frontswap;
}

/* Adds the frame at the cursor to the sum (sign 1) or takes it out (-1), and steps on. */
static void cursor_step(struct cursor *cursor, struct content *sum, uint64_t sign)
{
	uint8_t state;

	if (cursor->pfn >= cursor->chunk_end)
		cursor_enter_chunk(cursor);
	state = cursor->frames->state[cursor->pfn++];
	if (state & FRAME_ISOLATED || state == FRAME_ALLOCATED)
		sum->taken += sign;
	switch (state & FRAME_STATE_MASK) {
	case FRAME_FREE:
		sum->free += sign;
		break;
	case FRAME_CLEAN:
		sum->clean += sign;
		break;
	case FRAME_SWAP:
	case FRAME_PACKED:
		sum->frontswap += sign;
		sum->copied += sign * cursor->copied;
		sum->uncopied += sign * cursor->uncopied;
		sum->bytes += sign * cursor->bytes;
		sum->units += sign * cursor->units;
		break;
	default:
		break;
	}
}

static struct content run_content(const struct frame_table *frames, uint32_t start, uint32_t end)
{
	struct content sum = { 0 };

	while (start < end) {
		uint32_t chunk_end = frame_chunk_end(frames, start >> CHUNK_SHIFT);
		uint32_t stop = chunk_end < end ? chunk_end : end;
		struct cursor cursor = { .frames = frames, .pfn = start };

		if ((start & (TMS_CHUNK_FRAMES - 1)) == 0 && stop == chunk_end) {
			struct content part = chunk_content(frame_chunk(frames, start));

			content_add(&sum, &part);
		} else {
			while (cursor.pfn < stop)
				cursor_step(&cursor, &sum, 1);
		}
		start = stop;
	}
	return sum;
}

struct search {
	const struct range_table *table;
	const struct tms_alloc_request *request;
	const struct surroundings *around;
	uint64_t bytes_uncopied; /* in the region */
	bool open_seen; /* a window without a taken frame */
	bool found;
	struct tms_window *best;
	uint64_t floor_ns; /* no window can cost less */
};

/* Whole frames that pages of a window can be moved to: free ones outside it, and those of clean pages there. */
static uint64_t frames_elsewhere(const struct search *search, const struct content *content)
{
	const struct frame_table *frames = search->table->frames;
	uint64_t all = frames->held[FRAME_FREE] + frames->held[FRAME_CLEAN];
	uint64_t inside = content->free + content->clean;
	uint64_t room = all > inside ? all - inside : 0;
	uint64_t share = (frames->frames - search->request->frames) * search->around->frontswap_permille / 1000;
	uint64_t taken = frames->held[FRAME_SWAP] + frames->held[FRAME_PACKED] - content->frontswap;

	return min_u64(room, share > taken ? share - taken : 0);
}

/* Objects of several classes do not pack without gaps, nor fill the last span of each; raw pages do. */
#define DENSITY_PERCENT 90
#define OPEN_SPANS_FRAMES 128

static uint64_t content_bytes(const struct content *content)
{
	return whole(content->units) << UNIT_SHIFT;
}

static uint64_t room_in_frames(const struct content *content, uint64_t frames)
{
	if (whole(content->bytes) == whole(content->uncopied) * TMS_PAGE_SIZE)
		return frames * TMS_PAGE_SIZE;
	return frames > OPEN_SPANS_FRAMES ? (frames - OPEN_SPANS_FRAMES) * TMS_PAGE_SIZE / 100 * DENSITY_PERCENT : 0;
}

static uint64_t room_of(const struct search *search, const struct content *content)
{
	const struct frame_table *frames = search->table->frames;
	const struct surroundings *around = search->around;
	uint64_t inside = room_in_frames(content, frames_elsewhere(search, content));
	uint64_t chunks = frames->chunks - min_u64(frames->chunks, (search->request->frames + TMS_CHUNK_FRAMES - 1) >> CHUNK_SHIFT);

	if (around->chunk_bytes_max != UINT64_MAX) {
		uint64_t outside = search->bytes_uncopied - min_u64(search->bytes_uncopied, content_bytes(content));
		/* The last object that a chunk would take does not fit, on average. */
		uint64_t object = content->uncopied ? content_bytes(content) / whole(content->uncopied) : 0;
		uint64_t each = around->chunk_bytes_max > object ? around->chunk_bytes_max - object : 0;
		uint64_t allowed = each * chunks;

		inside = min_u64(inside, allowed > outside ? allowed - outside : 0);
	}
	return inside + around->reserve_bytes_free;
}

static struct plan_task task_of(const struct search *search, const struct content *content)
{
	const struct tms_alloc_request *request = search->request;

	return (struct plan_task){
		.frames = request->frames,
		.drops = content->clean + whole(content->copied),
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

/* Nothing is cheaper than free frames, as far as the region has some, and for the rest clean pages, or,
 * if there are any packed ones, copied objects in spans so sparse that eight frames are free for one. */
static uint64_t floor_of(const struct search *search)
{
	const struct frame_table *frames = search->table->frames;
	uint64_t free = min_u64(search->request->frames, frames->held[FRAME_FREE]);
	uint64_t held = search->request->frames - free;
	struct plan_task task = { .frames = search->request->frames,
				  .drops = frames->held[FRAME_PACKED] ? held / 8 : held,
				  .zero = search->request->zero };
	struct plan nothing = { 0 };

	return plan_price(&task, &nothing, &search->request->cost);
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

	if (content->taken)
		return;
	search->open_seen = true;
	if (request->effort == TMS_EFFORT_FREE && content->clean + content->frontswap)
		return;
	task = task_of(search, content);
	plan = plan_make(&task, &request->bound);
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
		struct content part = chunk_content(&frames->chunk[end - 1]);
		uint32_t first = end - chunks;
		uint64_t window_end;

		content_add(&sum, &part);
		if (end < chunks)
			continue;
		window_end = ((uint64_t)first << CHUNK_SHIFT) + search->request->frames;
		if (window_end > frames->frames)
			break;
		if (!sum.taken && !(align_chunks > 1 && first % align_chunks)) {
			struct content window = run_content(frames, end << CHUNK_SHIFT, (uint32_t)window_end);

			content_add(&window, &sum);
			consider(search, first << CHUNK_SHIFT, &window);
		}
		part = chunk_content(&frames->chunk[first]);
		content_subtract(&sum, &part);
	}
}

/* Windows at every aligned frame, by a sliding sum over frames. */
static void search_frames(struct search *search)
{
	const struct frame_table *frames = search->table->frames;
	struct cursor entering = { .frames = frames };
	struct cursor leaving = { .frames = frames };
	struct content sum = { 0 };

	while (entering.pfn < frames->frames && !is_settled(search)) {
		cursor_step(&entering, &sum, 1);
		if (entering.pfn - leaving.pfn < search->request->frames)
			continue;
		if (leaving.pfn % search->request->align_frames == 0)
			consider(search, leaving.pfn, &sum);
		cursor_step(&leaving, &sum, UINT64_MAX);
	}
}

static uint64_t bytes_uncopied(const struct frame_table *frames)
{
	uint64_t bytes = 0;

	for (uint32_t c = 0; c < frames->chunks; c++)
		bytes += (uint64_t)frames->chunk[c].units_uncopied << UNIT_SHIFT;
	return bytes;
}

enum tms_reason range_propose(const struct range_table *table, const struct tms_alloc_request *request,
			      const struct surroundings *around, struct tms_window *window)
{
	struct search search = { .table = table, .request = request, .around = around, .best = window };

	if (around->chunk_bytes_max != UINT64_MAX)
		search.bytes_uncopied = bytes_uncopied(table->frames);
	search.floor_ns = floor_of(&search);
	if (request->fixed) {
		struct content content = run_content(table->frames, (uint32_t)request->start_pfn,
						     (uint32_t)(request->start_pfn + request->frames));

		consider(&search, (uint32_t)request->start_pfn, &content);
	} else {
		if (request->frames >= TMS_CHUNK_FRAMES)
			search_chunks(&search);
		if (!search.found)
			search_frames(&search);
	}
	if (search.found)
		return TMS_REASON_NONE;
	return search.open_seen ? TMS_REASON_EFFORT : TMS_REASON_NO_WINDOW;
}

/* ---- recovery ---------------------------------------------------------------------------------------- */

#define RECOVERY_STEP_BYTES UINT64_C(4096)

/* What is still too much with that many bytes of the reserve drained: bytes to be written that do not fit into
 * the deadline; 0: the bound is met. */
static uint64_t short_after(const struct search *search, const struct content *content, uint64_t drained)
{
	const struct tms_alloc_request *request = search->request;
	struct surroundings around = *search->around;
	struct search then = *search;
	struct plan_task task;
	struct plan plan;
	uint64_t bound_ns, device_ns, other_ns, fit;

	around.reserve_bytes_free += drained;
	if (around.chunk_bytes_max != UINT64_MAX)
		around.chunk_bytes_max += drained / around.window_chunks;
	then.around = &around;
	task = task_of(&then, content);
	plan = plan_make(&task, &request->bound);
	bound_ns = plan_price(&task, &plan, &request->bound);
	if (bound_ns <= request->deadline_ns)
		return 0;
	device_ns = plan_device_ns(&request->bound, plan.page_out_bytes);
	other_ns = bound_ns > device_ns ? bound_ns - device_ns : 0;
	fit = plan_device_bytes(&request->bound, request->deadline_ns > other_ns ? request->deadline_ns - other_ns : 0);
	return plan.page_out_bytes > fit ? plan.page_out_bytes - fit : 1;
}

uint64_t range_recovery_bytes(const struct range_table *table, const struct tms_alloc_request *request,
			      const struct surroundings *around, const struct tms_window *window)
{
	struct search search = { .table = table, .request = request, .around = around };
	struct content content =
		run_content(table->frames, (uint32_t)window->start_pfn, (uint32_t)(window->start_pfn + window->frames));
	uint64_t low = 0;
	uint64_t high = around->reserve_bytes_used;
	uint64_t more;

	if (around->chunk_bytes_max != UINT64_MAX)
		search.bytes_uncopied = bytes_uncopied(table->frames);
	more = short_after(&search, &content, high);
	if (more)
		return high + more;
	while (high - low > RECOVERY_STEP_BYTES) {
		uint64_t middle = low + (high - low) / 2;

		if (short_after(&search, &content, middle))
			low = middle;
		else
			high = middle;
	}
	return high;
}
