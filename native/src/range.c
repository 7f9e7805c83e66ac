/*
 * range.c: proposing, isolating, claiming and releasing contiguous ranges.
 *
 * Owns: the table of ranges.  Borrows: frames.
 * Invariants: 1. ranges do not overlap.  2. the frames of a range being emptied are isolated, those of
 * a handed-out one ALLOCATED.  3. a handle is never given twice while its
 * generation lasts (16 bits), so that a late release is noticed.
 * Locks: the store's.
 */
#include "range.h"

#define SLOT_BITS 16
#define SLOT_MASK ((UINT32_C(1) << SLOT_BITS) - 1)

void range_table_init(struct range_table *table, struct frame_table *frames)
{
	*table = (struct range_table){ .frames = frames };
	slab_init(&table->ranges, sizeof(struct range));
}

void range_table_deinit(struct range_table *table)
{
	slab_deinit(&table->ranges);
}

/* ---- propose -------------------------------------------------------------------------------------- */

/* What a run of frames holds, additive.  Objects and bytes in units of 1 / 2^SHARE_SHIFT: a frontswap
 * frame stands for its share of what its chunk holds, since an object may lie across two frames. */
#define SHARE_SHIFT 16

struct content {
	uint64_t free, clean, frontswap, taken;
	uint64_t copied, uncopied, bytes;
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
	};
}

/* Walks frame by frame; share is what one frontswap frame of the chunk at hand stands for. */
struct cursor {
	const struct frame_table *frames;
	uint32_t pfn;
	uint32_t chunk_end;
	uint64_t copied, uncopied, bytes;
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

static uint64_t add_saturated(uint64_t sum, uint64_t count, uint64_t each, uint64_t divisor)
{
	__extension__ unsigned __int128 more = (unsigned __int128)count * each / divisor;

	return more > UINT64_MAX - sum ? UINT64_MAX : sum + (uint64_t)more;
}

static uint64_t predict(const struct tms_alloc_request *request, const struct content *content)
{
	const struct tms_cost *cost = &request->cost;
	uint64_t uncopied = whole(content->uncopied);
	uint64_t ns = cost->t0_ns;

	ns = add_saturated(ns, request->frames, cost->frame_ns, 1);
	ns = add_saturated(ns, content->clean + whole(content->copied) + uncopied, cost->drop_ns, 1);
	ns = add_saturated(ns, uncopied, cost->object_ns, 1);
	ns = add_saturated(ns, whole(content->bytes), cost->byte_ps, 1000);
	return request->zero ? add_saturated(ns, request->frames, cost->zero_ns, 1) : ns;
}

static bool reachable(int32_t effort, bool can_write, const struct content *content)
{
	if (effort == TMS_EFFORT_FREE)
		return content->clean + content->frontswap == 0;
	return content->uncopied == 0 || (effort == TMS_EFFORT_PAGE_OUT && can_write);
}

struct search {
	const struct range_table *table;
	const struct tms_alloc_request *request;
	bool can_write;
	bool open_seen; /* a window without a taken frame */
	bool found;
	struct tms_window *best;
	uint64_t floor_ns; /* no window can cost less */
};

/* Nothing is cheaper than free frames, as far as the region has some, and for the rest clean pages, or,
 * if there are any packed ones, copied objects in spans so sparse that eight frames are free for one. */
static uint64_t floor_of(const struct search *search)
{
	const struct frame_table *frames = search->table->frames;
	uint64_t free = min_u64(search->request->frames, frames->held[FRAME_FREE]);
	uint64_t held = search->request->frames - free;
	struct content content = { .clean = frames->held[FRAME_PACKED] ? held / 8 : held };

	return predict(search->request, &content);
}

static bool is_settled(const struct search *search)
{
	return search->found && search->best->predicted_ns <= search->floor_ns;
}

static void consider(struct search *search, uint32_t start, const struct content *content)
{
	uint64_t predicted_ns;

	if (content->taken)
		return;
	search->open_seen = true;
	if (!reachable(search->request->effort, search->can_write, content))
		return;
	predicted_ns = predict(search->request, content);
	if (search->found && predicted_ns >= search->best->predicted_ns)
		return;
	search->found = true;
	*search->best = (struct tms_window){
		.start_pfn = start,
		.frames = search->request->frames,
		.frames_free = content->free,
		.frames_clean = content->clean,
		.frames_frontswap = content->frontswap,
		.objects_copied = whole(content->copied),
		.objects_uncopied = whole(content->uncopied),
		.bytes_uncopied = whole(content->bytes),
		.predicted_ns = predicted_ns,
	};
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

enum tms_reason range_propose(const struct range_table *table, const struct tms_alloc_request *request, bool can_write,
			      struct tms_window *window)
{
	struct search search = { .table = table, .request = request, .can_write = can_write, .best = window };

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

/* ---- isolate, claim, release ---------------------------------------------------------------------- */

static struct range *find(const struct range_table *table, uint32_t handle)
{
	uint32_t id = handle & SLOT_MASK;
	struct range *range;

	if (id == 0 || id >= table->ranges.end)
		return NULL;
	range = slab_at(&table->ranges, id);
	return range->generation && range->generation == handle >> SLOT_BITS ? range : NULL;
}

uint32_t range_isolate(struct range_table *table, uint32_t start_pfn, uint32_t end_pfn)
{
	uint32_t id = slab_alloc(&table->ranges);
	struct range *range;

	if (!id)
		return 0;
	if (id > SLOT_MASK) {
		slab_free(&table->ranges, id);
		return 0;
	}
	table->generation = table->generation % SLOT_MASK + 1;
	range = slab_at(&table->ranges, id);
	*range = (struct range){ .generation = table->generation, .start_pfn = start_pfn, .end_pfn = end_pfn };
	frame_isolate_run(table->frames, start_pfn, end_pfn);
	return table->generation << SLOT_BITS | id;
}

void range_abort(struct range_table *table, uint32_t handle)
{
	struct range *range = find(table, handle);

	frame_unisolate_run(table->frames, range->start_pfn, range->end_pfn);
	slab_free(&table->ranges, handle & SLOT_MASK);
}

void range_claim(struct range_table *table, uint32_t handle)
{
	struct range *range = find(table, handle);

	frame_claim_run(table->frames, range->start_pfn, range->end_pfn);
	range->allocated = true;
	table->allocated++;
}

bool range_release(struct range_table *table, uint32_t handle)
{
	struct range *range = find(table, handle);

	if (!range || !range->allocated)
		return false;
	frame_release_run(table->frames, range->start_pfn, range->end_pfn);
	slab_free(&table->ranges, handle & SLOT_MASK);
	table->allocated--;
	return true;
}
