/*
 * range_least.c: which chunks are worth a look, frame by frame, for a window.
 *
 * Law: touches nothing.
 * Locks: the store's.
 */
#include "range_search.h"

/* What frames of frontswap hold at least: the lightest of some chunks. */
struct share {
	uint64_t copied, uncopied, bytes, units;
};

static struct share share_of(const struct content *chunk)
{
	return (struct share){ chunk->copied / chunk->frontswap, chunk->uncopied / chunk->frontswap,
			       chunk->bytes / chunk->frontswap, chunk->units / chunk->frontswap };
}

static void put_share(struct content *content, const struct share *share)
{
	content->copied = content->frontswap * share->copied;
	content->uncopied = content->frontswap * share->uncopied;
	content->bytes = content->frontswap * share->bytes;
	content->units = content->frontswap * share->units;
}

/* All that the windows which begin in the chunk may lie in. */
static struct content reach_of(const struct search *search, uint32_t chunk, struct share *least)
{
	const struct frame_table *frames = search->table->frames;
	uint64_t end = chunk + ((search->request->frames + 2 * (TMS_CHUNK_FRAMES - 1)) >> CHUNK_SHIFT);
	struct content sum = { 0 };

	*least = (struct share){ UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX };
	for (end = min_u64(end, frames->chunks); chunk < end; chunk++) {
		struct content part = chunk_content(frames, chunk, search->around);
		struct share share;

		content_add(&sum, &part);
		if (!part.frontswap)
			continue;
		share = share_of(&part);
		least->copied = min_u64(least->copied, share.copied);
		least->uncopied = min_u64(least->uncopied, share.uncopied);
		least->bytes = min_u64(least->bytes, share.bytes);
		least->units = min_u64(least->units, share.units);
	}
	return sum;
}

uint64_t range_least_ns(const struct search *search, uint32_t chunk)
{
	const struct tms_alloc_request *request = search->request;
	struct share share;
	const struct content reach = reach_of(search, chunk, &share);
	const uint64_t free = min_u64(request->frames, reach.free);
	const uint64_t rest = request->frames - free;
	const uint64_t clean[] = { min_u64(rest, reach.clean), rest - min_u64(rest, reach.frontswap) };
	uint64_t least = UINT64_MAX;

	if (rest > reach.clean + reach.frontswap || (rest && request->effort == TMS_EFFORT_FREE))
		return UINT64_MAX;
	for (int i = 0; i < 2; i++) {
		struct content content = { .free = free, .clean = clean[i], .frontswap = rest - clean[i] };
		struct plan_task task;
		struct plan plan;

		if (content.frontswap)
			put_share(&content, &share);
		task = search_task(search, &content);
		plan = plan_make(&task, search_cost(request));
		if (plan.feasible)
			least = min_u64(least, plan_price(&task, &plan, &request->cost));
	}
	return least;
}

struct content range_frames_of(const struct search *search, uint32_t chunk)
{
	struct content content = chunk_content(search->table->frames, chunk, search->around);

	if (content.frontswap) {
		struct share share = share_of(&content);

		put_share(&content, &share);
	}
	return content;
}

bool range_is_barred(const struct search *search, const struct content *content)
{
	const struct tms_alloc_request *request = search->request;
	struct plan_task task;

	if (content->taken || (request->effort == TMS_EFFORT_FREE && content->clean + content->frontswap))
		return true;
	task = search_task(search, content);
	return !plan_make(&task, search_cost(request)).feasible;
}
