/*
 * ceilings.h: pages are stored until ceilings refuse one, and what has no completed copy is counted by hand.
 */
#ifndef TMS_TESTS_CEILINGS_H
#define TMS_TESTS_CEILINGS_H

#include "inside.h"

#define RAW TMS_PAGE_SIZE
#define CHUNK TMS_CHUNK_FRAMES

static struct fixture f;
static struct holdings *held;

static inline void open_store(const struct setup *setup)
{
	CHECK_EQ(fixture_open(&f, setup), TMS_OK);
	held = &f.store->held;
}

static inline void set(const struct tms_ceilings *ceilings)
{
	CHECK_EQ(tms_set_ceilings(f.store, ceilings), TMS_OK);
}

/* Stores pages from a key on until one is refused.  How many. */
static inline uint32_t fill_from(uint32_t first, uint32_t noise)
{
	uint32_t keys = 0;

	while (keys < 100000 && fixture_put(&f, f.swap, first + keys, first + keys + 1, noise) == TMS_OK)
		keys++;
	return keys;
}

static inline uint32_t fill(uint32_t noise)
{
	return fill_from(0, noise);
}

/* The sum over pages without a completed copy that lie in these chunks, those of the reserve coming last. */
static inline uint64_t units_uncopied(uint32_t start_chunk, uint32_t end_chunk)
{
	uint64_t units = 0;

	for (uint32_t id = 1; id < held->index.entries.end; id++) {
		const struct entry *entry = holdings_entry(held, id);
		const uint64_t chunk = entry->place >> UNITS_SHIFT >> CHUNK_SHIFT;

		if (entry->object && entry_is_only_copy(entry) && start_chunk <= chunk && chunk < end_chunk)
			units += (entry->size + 63u) / 64;
	}
	return units;
}

static inline bool all_hold(uint32_t keys, uint32_t noise)
{
	for (uint32_t key = 0; key < keys; key++)
		if (!fixture_holds(&f, f.swap, key, key + 1, noise))
			return false;
	return true;
}

#endif
