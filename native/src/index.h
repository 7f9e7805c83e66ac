/*
 * index.h: from a key (pool, object, index) to its entry, and from an object or a pool to all of its.
 */
#ifndef TMS_INDEX_H
#define TMS_INDEX_H

#include "entry.h"
#include "hash.h"

struct key {
	uint64_t object;
	uint32_t index;
	uint16_t pool; /* slot */
};

/* Keys of one pool that are looked up one after the other. */
struct key_run {
	const uint64_t *objects;
	const uint64_t *indexes;
	uint64_t at; /* the one whose turn it is */
	uint64_t n;
};

static inline struct key key_run_at(const struct key_run *keys, uint64_t at, uint16_t pool)
{
	return (struct key){ .object = keys->objects[at], .index = (uint32_t)keys->indexes[at], .pool = pool };
}

/* Whether the caller's indexes are those of keys. */
static inline bool key_run_fits(const struct key_run *keys)
{
	uint64_t all = 0;

	for (uint64_t i = 0; i < keys->n; i++)
		all |= keys->indexes[i];
	return all <= UINT32_MAX;
}

/* A file or a swap area.  It exists while it has a page. */
struct object {
	uint64_t number;
	uint32_t pool; /* 0: record not in use */
	uint32_t hash_next;
	struct list pages;
	struct link link; /* objects of the same pool */
};

struct index {
	struct slab entries;
	struct hash entry_hash;
	struct slab objects;
	struct hash object_hash;
	uint32_t last_object;      /* that a page came to: the next one is often of the same, which its record shows */
	struct list *pool_objects; /* by slot */
	uint32_t pools;
	uint8_t *present;          /* keys that are held, counted by hash; null: they are not */
	uint64_t present_mask;
};

enum index_result { INDEX_OK, INDEX_NO_ENTRY, INDEX_NO_OBJECT };

/* False: no memory. */
bool index_init(struct index *index);
void index_deinit(struct index *index);
/* Makes room for pools with slots below n.  False: no memory. */
bool index_reserve_pools(struct index *index, uint32_t n);

static inline uint64_t index_hash(uint64_t object, uint32_t index, uint32_t pool)
{
	return hash_mix(object * UINT64_C(0x9e3779b97f4a7c15) + index * UINT64_C(0xc2b2ae3d27d4eb4f) +
			pool * UINT64_C(0x165667b19e3779f9));
}

static inline uint64_t index_key_hash(const struct key *key)
{
	return index_hash(key->object, key->index, key->pool);
}

/* The object of an entry. */
static inline const struct object *index_object(const struct index *index, const struct entry *entry)
{
	return slab_at(&index->objects, entry->object);
}

/* From here on keys are counted by hash, in so many counters (a power of two), which fit into a cache where the table does
 * not: most keys that are not held are known by that.  With entries in it already it goes on without, for to count them
 * would keep the lock for as long as there are many.  False: no memory, and nothing changed. */
bool index_count_present(struct index *index, uint64_t counters);

static inline uint8_t *index_counter(const struct index *index, uint64_t hash)
{
	return &index->present[hash >> 24 & index->present_mask];
}

/* False: no key with this hash is held. */
static inline bool index_may_hold(const struct index *index, uint64_t hash)
{
	return !index->present || *index_counter(index, hash);
}

/* The entry of the key, or 0.  hash: index_key_hash of it, for whoever needs it more than once. */
uint32_t index_find_hashed(const struct index *index, const struct key *key, uint64_t hash);

static inline uint32_t index_find(const struct index *index, const struct key *key)
{
	return index_find_hashed(index, key, index_key_hash(key));
}

/* Hints to the CPU: what looking up the next two keys will touch, each one step further than the last time. */
void index_prefetch_keys(const struct index *index, const struct key_run *keys, uint16_t pool);
/* The same for all keys up to end, at most INDEX_BATCH of them: their cache misses go side by side. */
#define INDEX_BATCH 16
/* inserts: those that are not held will be. */
void index_prefetch_batch(const struct index *index, const struct key_run *keys, uint64_t end, uint16_t pool, bool inserts);
/* For a page that will be removed soon: what that touches. */
void index_prefetch_removal(const struct index *index, uint32_t id);
/* A new entry for a key that has none; all but the key is zero. */
enum index_result index_insert_hashed(struct index *index, const struct key *key, uint64_t hash, uint32_t *ret);

static inline enum index_result index_insert(struct index *index, const struct key *key, uint32_t *ret)
{
	return index_insert_hashed(index, key, index_key_hash(key), ret);
}

/* Frees the entry, and its object with the last page. */
void index_remove(struct index *index, uint32_t id);

/* Any entry of the object, or of the pool; 0: none. */
uint32_t index_any_of_object(const struct index *index, uint16_t pool, uint64_t object);
uint32_t index_any_of_pool(const struct index *index, uint16_t pool);

uint64_t index_bytes(const struct index *index);

#endif
