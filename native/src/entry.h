/*
 * entry.h: the bookkeeping of one page: its key, what form it has, where its bytes are.
 *
 *      ephemeral            RESIDENT, raw, in an order list
 *      persistent           RESIDENT, raw or PACKED, in the region or in its reserve; then, once written,
 *                           RESIDENT | COPY (in the region only); then COPY alone
 *      same-filled          FILL: the value stands in place of an address, no frame, no copy
 *
 * Invariants: 1. FILL excludes RESIDENT, COPY and WRITING; every other entry has RESIDENT or COPY or
 * both.  2. WRITING implies RESIDENT and excludes COPY.  3. ephemeral entries have RESIDENT or FILL and
 * neither COPY nor WRITING.  4. bytes in memory and in the spill file are the same: size of them, as kept.
 */
#ifndef TMS_ENTRY_H
#define TMS_ENTRY_H

#include <string.h>

#include "list.h"
#include "slab.h"

enum entry_flag {
	ENTRY_PERSISTENT = 1,
	ENTRY_FILL = 2,
	ENTRY_PACKED = 4,   /* kept compressed, size bytes of it; else raw */
	ENTRY_RESIDENT = 8, /* place names the bytes in the region or in its reserve */
	ENTRY_COPY = 16,    /* block and unit name a completed copy in the spill file */
	ENTRY_WRITING = 32, /* block and unit name a copy under way; they belong to the write until it is complete */
	ENTRY_VISITED = 64, /* by a get since the order of its kind looked last */
	ENTRY_DENSE = 128   /* PACKED by the denser codec */
};

/* In unit, of an ephemeral entry, which has no block: nobody vouched for the page, and no get has found it yet. */
#define ENTRY_TRIED 1

struct entry {
	uint32_t index;
	uint32_t object; /* id of the record that has the pool and the object's number; 0: not in use */
	uint32_t hash_next;
	struct link sibling; /* pages of the same object */
	struct link order;   /* eviction order, or age */
	uint32_t place;      /* FILL: with block, the value */
	uint32_t block;
	uint32_t check_low; /* checksum of the spill copy */
	uint16_t check_high;
	uint16_t size;
	uint8_t unit;
	uint8_t flags;
};
_Static_assert(sizeof(struct entry) == 48, "the metadata goal counts on it");

static inline struct entry *entry_at(const struct slab *entries, uint32_t id)
{
	return slab_at(entries, id);
}

static inline uint64_t entry_fill(const struct entry *entry)
{
	return (uint64_t)entry->block << 32 | entry->place;
}

static inline void entry_set_fill(struct entry *entry, uint64_t value)
{
	entry->place = (uint32_t)value;
	entry->block = (uint32_t)(value >> 32);
}

#endif
