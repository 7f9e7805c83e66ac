/*
 * steer.c: what policy sets and asks from outside: ceilings, the filter, headroom, time, faults.
 */
#include "store.h"

#define COUNTERS_MIN 64

int tms_set_ceilings(tms_store *store, const struct tms_ceilings *ceilings)
{
	struct ceiling *ceiling = &store->held.ceiling;
	int code;

	if (!ceilings_are_valid(ceilings))
		return TMS_E_INVALID;
	code = store_enter(store);
	if (code)
		return code;
	ceiling->limits = *ceilings;
	ceiling->active = ceilings->contracts || ceilings->hard || ceilings->frontswap_permille < 1000;
	store_leave(store);
	return TMS_OK;
}

/* A stream whose pages are turned away is looked up in vain, twice a page: four counters a frame tell so mostly. */
static bool set_filter(struct holdings *held, const struct tms_filter *filter)
{
	const uint32_t frames = held->region->frames.frames;
	uint64_t counters = COUNTERS_MIN;

	while (counters < UINT64_C(4) * frames)
		counters <<= 1;
	if (filter->enabled && !index_count_present(&held->index, counters))
		return false;
	return filter_set(&held->filter, filter, frames);
}

int tms_set_filter(tms_store *store, const struct tms_filter *filter)
{
	int code;

	if (filter->saved_ns >= 1000 * NSEC_PER_SEC || filter->copy_ns >= 1000 * NSEC_PER_SEC)
		return TMS_E_INVALID;
	code = store_enter(store);
	if (code)
		return code;
	code = set_filter(&store->held, filter) ? TMS_OK : TMS_E_NO_MEMORY;
	store_leave(store);
	return code;
}

static uint64_t let_in(const struct tms_stats *stats)
{
	return stats->clean_puts + stats->swap_stores;
}

int tms_set_ghosts(tms_store *store, uint32_t sampled_frames)
{
	int code = store_enter(store);

	if (code)
		return code;
	code = ghost_set(&store->held.ghost, store->held.region->frames.frames, sampled_frames) ? TMS_OK : TMS_E_NO_MEMORY;
	if (code == TMS_OK)
		store->held.ghost.let_in_before = let_in(&store->held.stats);
	store_leave(store);
	return code;
}

static uint64_t sum(const uint64_t *counts, uint32_t n)
{
	uint64_t total = 0;

	while (n)
		total += counts[--n];
	return total;
}

int tms_ghosts(tms_store *store, struct tms_ghosts *ret)
{
	const struct tms_stats *stats = &store->held.stats;
	struct tms_ghosts seen;
	int code = store_enter(store);

	if (code)
		return code;
	ghost_read(&store->held.ghost, &seen);
	seen.accesses = let_in(stats) + sum(stats->clean_rejects, TMS_REJECTS) + stats->clean_gets +
			sum(stats->swap_rejects, TMS_REJECTS) + stats->swap_loads;
	seen.let_in = let_in(stats) - store->held.ghost.let_in_before;
	store_leave(store);
	*ret = seen;
	return TMS_OK;
}

struct sums {
	uint64_t bytes, objects, frames;
};

static void add(struct sums *sums, const struct tms_chunk *chunk, uint64_t sign)
{
	sums->bytes += sign * ((uint64_t)chunk->units_uncopied << UNIT_SHIFT);
	sums->objects += sign * chunk->objects_uncopied;
	sums->frames += sign * chunk->frames_frontswap;
}

static void keep_largest(uint64_t *largest, uint64_t value)
{
	if (value > *largest)
		*largest = value;
}

static void find_fullest(const struct frame_table *frames, uint64_t window_chunks, struct tms_headroom *ret)
{
	struct sums sums = { 0 };

	for (uint32_t c = 0; c < frames->chunks; c++) {
		keep_largest(&ret->chunk_frames_frontswap, frames->chunk[c].frames_frontswap);
		add(&sums, &frames->chunk[c], 1);
		if (c >= window_chunks)
			add(&sums, &frames->chunk[c - window_chunks], UINT64_MAX);
		keep_largest(&ret->window_bytes_uncopied, sums.bytes);
		keep_largest(&ret->window_objects_uncopied, sums.objects);
		keep_largest(&ret->window_frames_frontswap, sums.frames);
	}
}

int tms_measure_headroom(tms_store *store, uint64_t window_chunks, struct tms_headroom *ret)
{
	const struct holdings *held = &store->held;
	struct tms_headroom headroom = { 0 };
	struct io_counters io = { 0 };
	int code = store_enter(store);

	if (code)
		return code;
	find_fullest(&held->region->frames, window_chunks, &headroom);
	if (store->io)
		io_read_counters(store->io, &io);
	headroom.reserve_bytes_free = (uint64_t)reserve_free(&held->region->reserve) << UNIT_SHIFT;
	headroom.pending_bytes = io.bytes_pending;
	headroom.uncopied_bytes = held->uncopied_units << UNIT_SHIFT;
	store_leave(store);
	*ret = headroom;
	return TMS_OK;
}

/* ---- time, and the emulated device ------------------------------------------------------------------- */

int tms_advance(tms_store *store, uint64_t ns)
{
	int code = store_enter(store);

	if (code)
		return code;
	store_leave(store);
	if (!clock_is_virtual(&store->clock))
		return TMS_E_INVALID;
	if (store->io)
		io_advance(store->io, ns);
	else
		clock_spend(&store->clock, ns);
	code = store_enter(store);
	if (!code)
		store_leave(store);
	return code;
}

int tms_advance_to_event(tms_store *store, uint64_t ns, uint64_t *ret)
{
	uint64_t began_ns = clock_now_ns(&store->clock);
	uint64_t seen;
	int code;

	if (!store->io || !clock_is_virtual(&store->clock))
		code = tms_advance(store, ns);
	else {
		seen = io_ended(store->io);
		(void)io_wait_ended(store->io, seen, ns);
		code = tms_advance(store, 0);
	}
	if (!code)
		*ret = clock_now_ns(&store->clock) - began_ns;
	return code;
}

uint64_t tms_now(tms_store *store)
{
	return clock_now_ns(&store->clock);
}

int tms_device_episode(tms_store *store, const struct tms_episode *episode)
{
	struct tms_episode absolute = *episode;
	int code = store_enter(store);

	if (code)
		return code;
	store_leave(store);
	if (!store->io || !io_is_emulated(store->io))
		return TMS_E_INVALID;
	absolute.start_ns += clock_now_ns(&store->clock);
	io_add_episode(store->io, &absolute);
	return TMS_OK;
}

/* ---- faults ------------------------------------------------------------------------------------------ */

int tms_fault_arm(tms_store *store, int site, uint64_t skip, uint64_t count, int32_t error, uint64_t delay_ns)
{
	struct fault_site how = { .skip = skip, .count = count, .error = error, .delay_ns = delay_ns };

	if (site < 0 || site >= TMS_FAULT_SITES)
		return TMS_E_INVALID;
	fault_arm(store->faults, site, &how);
	return TMS_OK;
}

int tms_fault_fired(tms_store *store, int site, uint64_t *ret)
{
	if (site < 0 || site >= TMS_FAULT_SITES)
		return TMS_E_INVALID;
	*ret = fault_fired(store->faults, site);
	return TMS_OK;
}
