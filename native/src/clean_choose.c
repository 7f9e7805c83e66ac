/*
 * clean_choose.c: what background work comes first, and which page is next.
 *
 * Draining goes before trimming, trimming before chunks that hold more without a copy than their share, these
 * before cold pages: the room of the reserve is what allocations count on first.  Of the chunks those of the window
 * that was refused last come first: whoever was refused was told a time.
 *
 * Locks: the store's.
 */
#include "clean.h"

/* Pages looked at in one go, before others get the lock. */
#define LOOK_STEP 256
/* Chunks looked at for one that exceeds its share, in one step. */
#define CHUNK_LOOK 4096

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

/* What a page counts for in its chunk's ceiling: whole units.  In bytes a rest would stay over that no page makes up, and
 * it would be looked for without an end. */
static uint64_t counted_bytes(const struct entry *entry)
{
	return (uint64_t)units_of(entry->size) << UNIT_SHIFT;
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
		c->over_bytes -= min_u64(c->over_bytes, counted_bytes(entry));
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

/* ---- what to do -------------------------------------------------------------------------------------- */

/* Takes what is being written in the chunk off what is too much there: it leaves on its own. */
static uint64_t less_what_is_written(const struct holdings *held, const struct walk *chunk, uint64_t over_bytes)
{
	struct walk walk = *chunk;
	uint32_t id;

	while (over_bytes && (id = walk_current(&walk))) {
		const struct entry *entry = holdings_entry(held, id);

		if (entry->flags & ENTRY_WRITING)
			over_bytes -= min_u64(over_bytes, counted_bytes(entry));
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

/* Of these chunks the one that is furthest beyond its share. */
static bool find_chunk_over_in(struct cleaner *c, const struct chunks *chunks)
{
	struct holdings *held = &c->store->held;
	const struct frame_table *frames = &held->region->frames;
	struct ceiling_view view = holdings_ceiling(held);
	uint64_t most = 0;

	c->walk.region = NULL;
	for (uint32_t chunk = chunks->first; chunk < chunks->end; chunk++) {
		uint64_t over = ceiling_bytes_over(&view, chunk);
		struct walk walk;

		if (over <= most || frames->chunk[chunk].frames_leaving)
			continue;
		walk = walk_begin(held->region, chunk << CHUNK_SHIFT, frame_chunk_end(frames, chunk));
		over = less_what_is_written(held, &walk, over);
		if (over <= most)
			continue;
		most = over;
		c->walk = walk;
	}
	c->over_bytes = most;
	return most;
}

static bool find_chunk_over(struct cleaner *c)
{
	const struct holdings *held = &c->store->held;
	const struct chunks all = { 0, (uint32_t)min_u64(held->region->frames.chunks, CHUNK_LOOK) };

	if (!held->ceiling.active)
		return false;
	return find_chunk_over_in(c, &c->store->refused) || find_chunk_over_in(c, &all);
}

/* Of a chunk that exceeds a share; once it does no longer, of the next one, looked for in a step of its own; then cold
 * pages fill the rest of the batch. */
static uint32_t next_of_chunk(struct cleaner *c)
{
	uint32_t id = c->cause == TMS_CAUSE_TRIM ? next_trimmed(c) : next_over(c);

	if (id || c->looking || c->cause == TMS_CAUSE_TRIM)
		return id;
	if (find_chunk_over(c)) {
		c->looking = true;
		return 0;
	}
	return has_backlog(c) && !c->yields ? oldest(c, AGE_UNCOPIED) : 0;
}

uint32_t clean_next_page(struct cleaner *c)
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

bool clean_choose(struct cleaner *c)
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
