/*
 * shrink.h: making one entry leave its place: drop it, give up its frame, move it.
 */
#ifndef TMS_SHRINK_H
#define TMS_SHRINK_H

#include "aging.h"
#include "ceiling.h"
#include "entry.h"
#include "evict.h"
#include "filter.h"
#include "ghost.h"
#include "index.h"
#include "io.h"
#include "pool.h"
#include "region.h"
#include "spill.h"

/* Everything a page is held by.  The store owns it and guards it with its lock. */
struct holdings {
	struct tms_region *region; /* borrowed */
	struct index index;
	struct pools pools;
	struct evict evict;
	struct aging aging;
	struct ceiling ceiling;
	struct filter filter;
	struct ghost ghost;
	struct spill spill;
	uint32_t tried_id;       /* the page that the denser codec was tried on last */
	uint32_t open_hint;      /* a chunk that had room under its ceilings when one was looked for last */
	uint32_t evict_next;     /* frame of a chunk at which the next look for its clean pages begins */
	uint64_t uncopied_units; /* of persistent pages without a completed copy, in region and reserve */
	struct tms_stats stats; /* what is counted as it happens; the rest is filled in when asked for */
};

static inline struct entry *holdings_entry(const struct holdings *held, uint32_t id)
{
	return entry_at(&held->index.entries, id);
}

static inline struct ceiling_view holdings_ceiling(const struct holdings *held)
{
	return (struct ceiling_view){ &held->ceiling, &held->region->frames, &held->region->reserve, held->uncopied_units };
}

/* True: a frontswap page that must not be given up, since it is nowhere else. */
static inline bool entry_is_only_copy(const struct entry *entry)
{
	return (entry->flags & (ENTRY_PERSISTENT | ENTRY_RESIDENT | ENTRY_COPY)) == (ENTRY_PERSISTENT | ENTRY_RESIDENT);
}

/* The same, and nobody is writing it. */
static inline bool entry_waits_for_copy(const struct entry *entry)
{
	return entry_is_only_copy(entry) && !(entry->flags & ENTRY_WRITING);
}

/* The list that a resident persistent entry is in. */
static inline enum age holdings_age(const struct holdings *held, const struct entry *entry)
{
	if (reserve_has(&held->region->reserve, entry->place))
		return AGE_RESERVE;
	return entry->flags & ENTRY_COPY ? AGE_COPIED : AGE_UNCOPIED;
}

/* Adds an entry, as it stands now, to the counts of its kind and its chunk and to the list of its age, or
 * takes it out of them.  Every change of an entry's flags, size or place lies between a take and an add. */
void holdings_count(struct holdings *held, uint32_t id, int sign);

/* The entry of a page that was dropped with its window: only the bookkeeping is still there. */
static inline bool holdings_left_behind(const struct holdings *held, uint32_t id)
{
	const struct entry *entry = holdings_entry(held, id);

	return (entry->flags & (ENTRY_PERSISTENT | ENTRY_RESIDENT)) == ENTRY_RESIDENT &&
	       frame_left_behind(&held->region->frames, entry->place >> UNITS_SHIFT) == id;
}

/* Hints to the CPU, for a page that will be dropped soon and whose entry is at hand. */
static inline void holdings_prefetch_drop(const struct holdings *held, uint32_t id)
{
	const struct frame_table *frames = &held->region->frames;
	uint32_t pfn = holdings_entry(held, id)->place >> UNITS_SHIFT;

	index_prefetch_removal(&held->index, id);
	if (pfn >= frames->frames)
		return;
	__builtin_prefetch(&frames->owner[pfn], 1);
	__builtin_prefetch(&frames->state[pfn], 1);
}

/* A clean page gives way to another one: counted, and the filter learns from it. */
static inline void holdings_evicts(struct holdings *held, uint32_t id)
{
	held->stats.clean_evicted++;
	if (holdings_entry(held, id)->unit == ENTRY_TRIED)
		filter_learn(&held->filter, false);
}

static inline enum ghost_kind ghost_kind_of(bool persistent)
{
	return persistent ? GHOST_SWAP : GHOST_CLEAN;
}

static inline uint32_t ghost_owner(uint16_t pool, uint64_t object)
{
	return (uint32_t)index_hash(object, 0, pool);
}

/* Whether the page of a key is looked at; *hash: of the key then. */
static inline bool holdings_samples(const struct holdings *held, const struct key *key, uint64_t *hash)
{
	if (likely(!held->ghost.threshold))
		return false;
	*hash = index_key_hash(key);
	return ghost_samples(&held->ghost, *hash);
}

/* The page of a key, or 0.  What was left behind under the key is removed. */
uint32_t holdings_find(struct holdings *held, const struct key *key);

/* The entry and all it has are gone: evicted, flushed or replaced.  False: it was only left behind. */
bool shrink_drop(struct holdings *held, uint32_t id);
/* The frame, as admit_frame chose it, is entry id's: it is free, or its clean page, the victim, is gone. */
void shrink_take_frame(struct holdings *held, uint32_t pfn, uint32_t victim, enum frame_state state, uint32_t id);
/* The clean pages in [start, end), which is isolated, are gone, also those on their way out of it or into it; their
 * entries are left behind.  How many. */
uint32_t shrink_vacate(struct holdings *held, uint32_t start, uint32_t end);
/* A free frame is to be taken next: what was left behind in it is removed, what is on its way out of it waited for. */
void shrink_settle(struct holdings *held, uint32_t pfn);
/* A persistent entry with a copy gives up its frame. */
void shrink_drop_resident(struct holdings *held, uint32_t id);
/* The same for one whose copy, just completed, has another form. */
void shrink_become_copy(struct holdings *held, uint32_t id, uint32_t size, uint8_t form);
/* A packed object was moved by compaction; context is the holdings. */
void shrink_moved(void *context, uint32_t id, uint32_t new_place);

/* The bytes of a resident entry come to lie at a place that was taken for them, in this form; the old place
 * is free.  Null: the bytes it has, in the form it has. */
void shrink_move(struct holdings *held, uint32_t id, uint32_t new_place, const uint8_t *bytes, uint32_t size, uint8_t form);
/* Moves an entry into the reserve.  False: no room behind its last object. */
bool shrink_to_reserve(struct holdings *held, uint32_t id, const uint8_t *bytes, uint32_t size, uint8_t form);

/* Closes holes of the reserve, one step of a pass at a time.  True: the pass is over, or none was needed. */
bool shrink_slide(struct holdings *held);

#endif
