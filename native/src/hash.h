/*
 * hash.h: a hash index over the records of a slab, growing by one bucket at a time.
 *
 * Linear hashing (W. Litwin, VLDB 1980): each insertion splits at most two buckets, so that no put pays
 * for a rehash of everything, and the load stays at three records for four buckets.  Chains run through a next id
 * inside the records, from the oldest to the newest: the record that goes next is mostly the oldest, and is found
 * without looking at others, while a look-up that finds nothing has passed all of them before the new one comes in.
 *
 *      head[b] -> [id] -> [id] -> 0        b = low bits of the record's hash
 *
 * Owns: the heads.  Borrows: the slab.  Invariant: a record is in the chain of the bucket that its
 * hash names now.  Where there is no memory for a further bucket the table goes on with longer chains.
 */
#ifndef TMS_HASH_H
#define TMS_HASH_H

#include "slab.h"

/* Buckets for so many records: a look-up that finds nothing looks at three quarters of a record, each a cache miss. */
#define HASH_BUCKETS 4
#define HASH_RECORDS 3
#define HASH_SPLITS 2 /* an insertion does at most */

typedef uint64_t (*hash_of_fn)(const void *context, const void *record);

struct hash {
	uint32_t **segment;
	struct arena arena; /* of the segments from SLAB_SMALL on */
	uint32_t segments;
	uint32_t buckets;    /* in use; at least 1 once initialised */
	uint32_t low_mask;   /* of the last full doubling */
	uint32_t records;
	uint32_t next_offset; /* of the chain link inside a record */
	hash_of_fn hash_of;
	const void *context; /* of hash_of */
};

/* splitmix64's finaliser (S. Vigna): every input bit reaches the low output bits. */
static inline uint64_t hash_mix(uint64_t x)
{
	x ^= x >> 30;
	x *= UINT64_C(0xbf58476d1ce4e5b9);
	x ^= x >> 27;
	x *= UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

static inline bool hash_add_bucket(struct hash *hash)
{
	if (hash->buckets == SLAB_MAX_ID)
		return false;
	if (hash->buckets >> SLAB_SHIFT >= hash->segments) {
		uint32_t **directory = realloc(hash->segment, (hash->segments + 1) * sizeof(*directory));
		uint32_t *segment;

		if (!directory)
			return false;
		hash->segment = directory;
		if (hash->segments < SLAB_SMALL)
			segment = malloc(SLAB_SEGMENT * sizeof(*segment));
		else
			segment = arena_take(&hash->arena, SLAB_SEGMENT * sizeof(*segment), ARENA_PAGE_BYTES);
		if (!segment)
			return false;
		hash->segment[hash->segments++] = segment;
		if (hash->segments >= SLAB_SMALL)
			arena_look_ahead(&hash->arena, ARENA_PAGE_BYTES);
	}
	hash->segment[hash->buckets >> SLAB_SHIFT][hash->buckets & (SLAB_SEGMENT - 1)] = 0;
	hash->buckets++;
	return true;
}

static inline void hash_deinit(struct hash *hash)
{
	for (uint32_t i = 0; i < hash->segments && i < SLAB_SMALL; i++)
		free(hash->segment[i]);
	free(hash->segment);
	arena_deinit(&hash->arena);
	*hash = (struct hash){ 0 };
}

/* False: no memory. */
static inline bool hash_init(struct hash *hash, size_t next_offset, hash_of_fn hash_of, const void *context)
{
	*hash = (struct hash){ .next_offset = (uint32_t)next_offset, .hash_of = hash_of, .context = context };
	if (hash_add_bucket(hash))
		return true;
	hash_deinit(hash);
	return false;
}

static inline uint32_t *hash_head(const struct hash *hash, uint64_t value)
{
	uint32_t bucket = (uint32_t)value & (hash->low_mask << 1 | 1);

	if (bucket >= hash->buckets)
		bucket &= hash->low_mask;
	return &hash->segment[bucket >> SLAB_SHIFT][bucket & (SLAB_SEGMENT - 1)];
}

static inline uint32_t *hash_next(const struct hash *hash, const struct slab *slab, uint32_t id)
{
	return (uint32_t *)(void *)((uint8_t *)slab_at(slab, id) + hash->next_offset);
}

static inline void hash_split(struct hash *hash, const struct slab *slab)
{
	uint32_t fresh = hash->buckets;
	uint32_t *from;
	uint32_t *to;

	if (!hash_add_bucket(hash))
		return;
	if (fresh > (hash->low_mask << 1 | 1))
		hash->low_mask = hash->low_mask << 1 | 1;
	from = hash_head(hash, fresh & hash->low_mask);
	to = hash_head(hash, fresh);
	while (*from) {
		uint32_t id = *from;
		uint32_t *next = hash_next(hash, slab, id);

		if (((uint32_t)hash->hash_of(hash->context, slab_at(slab, id)) & (hash->low_mask << 1 | 1)) == fresh) {
			*from = *next;
			*next = 0;
			*to = id;
			to = next;
		} else {
			from = next;
		}
	}
}

static inline bool hash_is_dense(const struct hash *hash)
{
	return (uint64_t)hash->records * HASH_BUCKETS > (uint64_t)hash->buckets * HASH_RECORDS;
}

/* value: what hash_of says of the record. */
static inline void hash_insert(struct hash *hash, const struct slab *slab, uint32_t id, uint64_t value)
{
	uint32_t *at;

	hash->records++;
	for (int split = 0; split < HASH_SPLITS && hash_is_dense(hash); split++)
		hash_split(hash, slab);
	at = hash_head(hash, value);
	while (*at)
		at = hash_next(hash, slab, *at);
	*hash_next(hash, slab, id) = 0;
	*at = id;
}

static inline void hash_remove(struct hash *hash, const struct slab *slab, uint32_t id, uint64_t value)
{
	uint32_t *at = hash_head(hash, value);

	while (*at != id)
		at = hash_next(hash, slab, *at);
	*at = *hash_next(hash, slab, id);
	hash->records--;
}

static inline uint64_t hash_bytes(const struct hash *hash)
{
	return (uint64_t)hash->segments * (SLAB_SEGMENT * sizeof(uint32_t) + sizeof(*hash->segment));
}

#endif
