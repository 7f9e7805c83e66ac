/*
 * range.c: proposing, isolating, claiming and releasing contiguous ranges.
 *
 * Owns: the table of ranges.  Borrows: frames.
 * Invariants: 1. ranges do not overlap.  2. the frames of a range being emptied are isolated, those of
 * a handed-out one ALLOCATED with the handle as owner.  3. a handle is never given twice while its
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

/* Walks frame by frame; frontswap is what one frontswap frame of the chunk at hand stands for. */
struct cursor {
	const struct frame_table *frames;
	uint32_t pfn;
	struct content frontswap;
};

static struct content cursor_next(struct cursor *cursor)
{
	const struct frame_table *frames = cursor->frames;
	uint32_t pfn = cursor->pfn++;
	const struct tms_chunk *chunk = frame_chunk(frames, pfn);
	struct content part = { 0 };

	if ((pfn & (TMS_CHUNK_FRAMES - 1)) == 0 || !cursor->frontswap.frontswap) {
		uint64_t in_chunk = chunk->frames_frontswap ? chunk->frames_frontswap : 1;

		cursor->frontswap = chunk_content(chunk);
		cursor->frontswap = (struct content){
			.frontswap = 1,
			.copied = cursor->frontswap.copied / in_chunk,
			.uncopied = cursor->frontswap.uncopied / in_chunk,
			.bytes = cursor->frontswap.bytes / in_chunk,
		};
	}
	switch (frame_state(frames, pfn)) {
	case FRAME_FREE:
		part.free = 1;
		break;
	case FRAME_CLEAN:
		part.clean = 1;
		break;
	case FRAME_SWAP:
	case FRAME_PACKED:
		part = cursor->frontswap;
		break;
	default:
		break;
	}
	part.taken = frame_state(frames, pfn) == FRAME_ALLOCATED || frame_is_isolated(frames, pfn);
	return part;
}

static struct content run_content(const struct frame_table *frames, uint32_t start, uint32_t end)
{
	struct content sum = { 0 };

	while (start < end) {
		uint32_t chunk_end = frame_chunk_end(frames, start >> CHUNK_SHIFT);
		uint32_t stop = chunk_end < end ? chunk_end : end;
		struct cursor cursor = { .frames = frames, .pfn = start };
		struct content part;

		if ((start & (TMS_CHUNK_FRAMES - 1)) == 0 && stop == chunk_end) {
			part = chunk_content(frame_chunk(frames, start));
			content_add(&sum, &part);
		} else {
			while (cursor.pfn < stop) {
				part = cursor_next(&cursor);
				content_add(&sum, &part);
			}
		}
		start = stop;
	}
	return sum;
}

static uint64_t predict(const struct tms_alloc_request *request, const struct content *content)
{
	const struct tms_cost *cost = &request->cost;
	uint64_t uncopied = whole(content->uncopied);
	uint64_t drops = content->clean + whole(content->copied) + uncopied;

	return cost->t0_ns + request->frames * cost->frame_ns + drops * cost->drop_ns + uncopied * cost->object_ns +
	       whole(content->bytes) * cost->byte_ps / 1000 + (request->zero ? request->frames * cost->zero_ns : 0);
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

/* Nothing is cheaper than free frames, as far as the region has some, and clean pages for the rest. */
static uint64_t floor_of(const struct search *search)
{
	const struct frame_table *frames = search->table->frames;
	uint64_t free = min_u64(search->request->frames, frames->held[FRAME_FREE]);
	struct content content = { .free = free, .clean = search->request->frames - free };

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
		struct content part = cursor_next(&entering);

		content_add(&sum, &part);
		if (entering.pfn - leaving.pfn < search->request->frames)
			continue;
		if (leaving.pfn % search->request->align_frames == 0)
			consider(search, leaving.pfn, &sum);
		part = cursor_next(&leaving);
		content_subtract(&sum, &part);
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
	for (uint32_t pfn = start_pfn; pfn < end_pfn; pfn++)
		frame_isolate(table->frames, pfn);
	return table->generation << SLOT_BITS | id;
}

void range_abort(struct range_table *table, uint32_t handle)
{
	struct range *range = find(table, handle);

	for (uint32_t pfn = range->start_pfn; pfn < range->end_pfn; pfn++)
		frame_unisolate(table->frames, pfn);
	slab_free(&table->ranges, handle & SLOT_MASK);
}

void range_claim(struct range_table *table, uint32_t handle)
{
	struct range *range = find(table, handle);

	for (uint32_t pfn = range->start_pfn; pfn < range->end_pfn; pfn++)
		frame_claim(table->frames, pfn, handle);
	range->allocated = true;
	table->allocated++;
}

bool range_release(struct range_table *table, uint32_t handle)
{
	struct range *range = find(table, handle);

	if (!range || !range->allocated)
		return false;
	for (uint32_t pfn = range->start_pfn; pfn < range->end_pfn; pfn++)
		frame_release(table->frames, pfn);
	slab_free(&table->ranges, handle & SLOT_MASK);
	table->allocated--;
	return true;
}
