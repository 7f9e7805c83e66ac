/*
 * ceiling.c: the ceilings of contracts and of the knob, checked where pages come in.
 *
 * A contract bounds windows; what is kept here is a bound for each chunk, the window's share: if no chunk of
 * a window of n exceeds an n-th, the window does not exceed the whole.  Checking it costs the same whatever
 * the size of region and window, and as far as windows tile the region it admits no page less: in a region
 * full to its ceilings each window holds exactly what it may.
 *
 * Laws: 1. a chunk's share of what has no copy shrinks with the free room of the reserve, at once.
 * 2. with a hard contract, pages without a completed copy add up to no more than the reserve, in its units.
 * 3. clean pages break no ceiling: every frame without frontswap data is counted as one of them.
 * Locks: the store's.
 */
#include "ceiling.h"

/* As they would lie in the reserve. */
static uint64_t uncopied_bytes(const struct tms_chunk *chunk)
{
	return (uint64_t)chunk->units_uncopied << UNIT_SHIFT;
}

static uint64_t frontswap_frames_max(const struct ceiling_view *view, uint32_t chunk)
{
	uint64_t frames = frame_chunk_end(view->frames, chunk) - ((uint64_t)chunk << CHUNK_SHIFT);

	return frames * view->ceiling->limits.frontswap_permille / 1000;
}

static uint64_t reserve_bytes_free(const struct ceiling_view *view)
{
	return (uint64_t)reserve_free(view->reserve) << UNIT_SHIFT;
}

/* What the CPU is to do for a chunk, with a newcomer or, null, as it is. */
struct work {
	uint64_t clean;
	uint64_t drops;
	uint64_t objects; /* to be moved or gathered */
	uint64_t bytes;
};

static struct work work_of(const struct tms_chunk *chunk, const struct newcomer *newcomer)
{
	uint64_t frontswap = (uint64_t)chunk->frames_frontswap + (newcomer ? newcomer->frames : 0);
	uint64_t others = frontswap < TMS_CHUNK_FRAMES ? TMS_CHUNK_FRAMES - frontswap : 0;
	uint64_t uncopied = (uint64_t)chunk->objects_uncopied + (newcomer ? 1 : 0);

	return (struct work){ others, chunk->objects_copied + uncopied, uncopied,
			      (uint64_t)chunk->bytes_uncopied + (newcomer ? newcomer->bytes : 0) };
}

static uint64_t drops_ns(const struct tms_ceiling *contract, const struct work *work)
{
	return TMS_CHUNK_FRAMES * contract->frame_ns + work->clean * contract->clean_ns + work->drops * contract->drop_ns;
}

static uint64_t moves_ns(const struct tms_ceiling *contract, const struct work *work)
{
	return work->objects * contract->object_ns + work->bytes * contract->byte_ps / 1000;
}

static bool keeps(const struct ceiling_view *view, const struct tms_ceiling *contract, const struct tms_chunk *chunk,
		  const struct newcomer *newcomer)
{
	uint64_t bytes = uncopied_bytes(chunk) + ((uint64_t)units_of(newcomer->bytes) << UNIT_SHIFT);
	struct work work = work_of(chunk, newcomer);
	uint64_t drops = drops_ns(contract, &work) * contract->window_chunks;

	if (drops > contract->drops_ns || drops + moves_ns(contract, &work) * contract->window_chunks > contract->cpu_ns)
		return false;
	return contract->device_bytes == UINT64_MAX ||
	       bytes * contract->window_chunks <= contract->device_bytes + reserve_bytes_free(view);
}

bool ceiling_allows(const struct ceiling_view *view, uint32_t chunk, const struct newcomer *newcomer)
{
	const struct tms_ceilings *limits = &view->ceiling->limits;
	const struct tms_chunk *counts = &view->frames->chunk[chunk];

	if (!view->ceiling->active)
		return true;
	if (newcomer->frames && (uint64_t)counts->frames_frontswap + newcomer->frames > frontswap_frames_max(view, chunk))
		return false;
	for (uint32_t i = 0; i < limits->contracts; i++)
		if (!keeps(view, &limits->contract[i], counts, newcomer))
			return false;
	return true;
}

bool ceiling_allows_somewhere(const struct ceiling_view *view, const struct newcomer *newcomer)
{
	const struct tms_ceilings *limits = &view->ceiling->limits;
	uint64_t bytes = (uint64_t)units_of(newcomer->bytes) << UNIT_SHIFT;
	uint64_t in_region = (view->uncopied_units - view->reserve->used) << UNIT_SHIFT;

	if (!view->ceiling->active)
		return true;
	if (limits->hard && view->uncopied_units + units_of(newcomer->bytes) > view->reserve->units)
		return false;
	for (uint32_t i = 0; i < limits->contracts; i++) {
		const struct tms_ceiling *contract = &limits->contract[i];

		if (contract->device_bytes == UINT64_MAX)
			continue;
		if ((in_region + bytes * view->frames->chunks) * contract->window_chunks >
		    (contract->device_bytes + reserve_bytes_free(view)) * view->frames->chunks)
			return false;
	}
	return true;
}

static uint64_t chunk_bytes(const struct ceiling_view *view, const struct tms_ceiling *contract)
{
	if (contract->device_bytes == UINT64_MAX)
		return UINT64_MAX;
	return (contract->device_bytes + reserve_bytes_free(view)) / contract->window_chunks;
}

/* The contract that allows a chunk the fewest bytes without a copy; null: none limits them. */
static const struct tms_ceiling *tightest(const struct ceiling_view *view)
{
	const struct tms_ceilings *limits = &view->ceiling->limits;
	const struct tms_ceiling *found = NULL;

	for (uint32_t i = 0; view->ceiling->active && i < limits->contracts; i++) {
		const struct tms_ceiling *contract = &limits->contract[i];

		if (chunk_bytes(view, contract) < (found ? chunk_bytes(view, found) : UINT64_MAX))
			found = contract;
	}
	return found;
}

uint64_t ceiling_chunk_bytes(const struct ceiling_view *view)
{
	const struct tms_ceiling *contract = tightest(view);

	return contract ? chunk_bytes(view, contract) : UINT64_MAX;
}

uint64_t ceiling_window_chunks(const struct ceiling_view *view)
{
	const struct tms_ceiling *contract = tightest(view);

	return contract ? contract->window_chunks : 1;
}

/* Bytes that must get a copy for the CPU to be done in time, by one contract: what has a copy is dropped where it
 * would be moved. */
static uint64_t cpu_bytes_over(const struct tms_ceiling *contract, const struct tms_chunk *chunk)
{
	struct work work = work_of(chunk, NULL);
	uint64_t each_ns = moves_ns(contract, &work) / (work.objects ? work.objects : 1);
	uint64_t ns = drops_ns(contract, &work) + moves_ns(contract, &work);
	uint64_t most_ns = contract->cpu_ns / contract->window_chunks;
	uint64_t objects;

	if (ns <= most_ns || !each_ns)
		return 0;
	objects = (ns - most_ns + each_ns - 1) / each_ns;
	return objects >= work.objects ? uncopied_bytes(chunk) : objects * (uncopied_bytes(chunk) / work.objects);
}

uint64_t ceiling_bytes_over(const struct ceiling_view *view, uint32_t chunk)
{
	const struct tms_ceilings *limits = &view->ceiling->limits;
	const struct tms_chunk *counts = &view->frames->chunk[chunk];
	uint64_t most = ceiling_chunk_bytes(view);
	uint64_t bytes = uncopied_bytes(counts);
	uint64_t over = bytes > most ? bytes - most : 0;

	for (uint32_t i = 0; view->ceiling->active && i < limits->contracts; i++) {
		uint64_t cpu_over = cpu_bytes_over(&limits->contract[i], counts);

		over = cpu_over > over ? cpu_over : over;
	}
	return over;
}

uint64_t ceiling_frames_over(const struct ceiling_view *view, uint32_t chunk)
{
	uint64_t most = frontswap_frames_max(view, chunk);
	uint64_t frames = view->frames->chunk[chunk].frames_frontswap;

	return view->ceiling->active && frames > most ? frames - most : 0;
}

bool ceilings_are_valid(const struct tms_ceilings *limits)
{
	if (limits->contracts > TMS_CONTRACTS || limits->frontswap_permille > 1000)
		return false;
	for (uint32_t i = 0; i < limits->contracts; i++)
		if (!limits->contract[i].window_chunks || limits->contract[i].window_chunks > UINT32_MAX)
			return false;
	return true;
}
