/*
 * index.c: entries and objects, each found through a hash and chained to what they belong to.
 *
 *      pool_objects[slot] -> object <-> object          object.link
 *                              |
 *                            pages -> entry <-> entry   entry.sibling; entry.object leads back
 *
 * Owns: entries, objects.  Invariants: 1. each entry is in its hash chain and in the list of its object, whose id it
 * has.  2. an object with no page does not exist.  3. each object is in the list of its pool.  4. a counter of present is
 * the number of entries with its hash, or all ones: then it stays so.
 * Locks: the store's.
 */
#include "index.h"

static uint64_t object_hash(uint64_t number, uint32_t pool)
{
	return index_hash(number, 0, pool);
}

static uint64_t hash_of_entry(const void *context, const void *record)
{
	const struct entry *entry = record;
	const struct object *object = index_object(context, entry);

	return index_hash(object->number, entry->index, object->pool);
}

static uint64_t hash_of_object(const void *context, const void *record)
{
	const struct object *object = record;

	(void)context;
	return object_hash(object->number, object->pool);
}

static struct link *sibling_link(const void *entries, uint32_t id)
{
	return &entry_at(entries, id)->sibling;
}

static struct object *object_at(const struct index *index, uint32_t id)
{
	return slab_at(&index->objects, id);
}

static struct link *object_link(const void *objects, uint32_t id)
{
	return &((struct object *)slab_at(objects, id))->link;
}

bool index_init(struct index *index)
{
	*index = (struct index){ 0 };
	slab_init(&index->entries, sizeof(struct entry));
	slab_init(&index->objects, sizeof(struct object));
	if (hash_init(&index->entry_hash, offsetof(struct entry, hash_next), hash_of_entry, index) &&
	    hash_init(&index->object_hash, offsetof(struct object, hash_next), hash_of_object, index))
		return true;
	index_deinit(index);
	return false;
}

void index_deinit(struct index *index)
{
	hash_deinit(&index->entry_hash);
	hash_deinit(&index->object_hash);
	slab_deinit(&index->entries);
	slab_deinit(&index->objects);
	free(index->pool_objects);
	free(index->present);
	index->present = NULL;
	index->pool_objects = NULL;
	index->last_object = 0;
}

bool index_reserve_pools(struct index *index, uint32_t n)
{
	struct list *larger;

	if (n <= index->pools)
		return true;
	larger = realloc(index->pool_objects, n * sizeof(*larger));
	if (!larger)
		return false;
	memset(larger + index->pools, 0, (n - index->pools) * sizeof(*larger));
	index->pool_objects = larger;
	index->pools = n;
	return true;
}

/* ---- what is held, by hash --------------------------------------------------------------------------- */

static void count(const struct index *index, uint64_t hash, int sign)
{
	uint8_t *counter = index->present ? index_counter(index, hash) : NULL;

	if (counter && *counter != UINT8_MAX)
		*counter = (uint8_t)(*counter + sign);
}

bool index_count_present(struct index *index, uint64_t counters)
{
	if (index->present || index->entries.live)
		return true;
	index->present = calloc(counters, sizeof(*index->present));
	if (!index->present)
		return false;
	index->present_mask = counters - 1;
	return true;
}

/* ---- looking up -------------------------------------------------------------------------------------- */

static bool is_object(const struct object *object, uint64_t number, uint32_t pool)
{
	return object->number == number && object->pool == pool;
}

uint32_t index_find_hashed(const struct index *index, const struct key *key, uint64_t hash)
{
	uint32_t id = index_may_hold(index, hash) ? *hash_head(&index->entry_hash, hash) : 0;

	while (id) {
		const struct entry *entry = entry_at(&index->entries, id);

		if (entry->index == key->index && is_object(index_object(index, entry), key->object, key->pool))
			break;
		id = entry->hash_next;
	}
	return id;
}

static uint32_t find_object(const struct index *index, uint64_t number, uint32_t pool)
{
	uint32_t id = *hash_head(&index->object_hash, object_hash(number, pool));

	while (id && !is_object(object_at(index, id), number, pool))
		id = object_at(index, id)->hash_next;
	return id;
}

/* ---- hints to the CPU -------------------------------------------------------------------------------- */

void index_prefetch_keys(const struct index *index, const struct key_run *keys, uint16_t pool)
{
	struct key key;

	if (keys->at + 1 < keys->n && index->entries.live) {
		key = key_run_at(keys, keys->at + 1, pool);
		__builtin_prefetch(entry_at(&index->entries, *hash_head(&index->entry_hash, index_key_hash(&key))));
	}
	if (keys->at + 2 < keys->n) {
		key = key_run_at(keys, keys->at + 2, pool);
		__builtin_prefetch(hash_head(&index->entry_hash, index_key_hash(&key)));
	}
}

void index_prefetch_batch(const struct index *index, const struct key_run *keys, uint64_t end, uint16_t pool, bool inserts)
{
	uint32_t *heads[INDEX_BATCH];
	uint32_t n = 0;

	for (uint64_t at = keys->at; at < end && n < INDEX_BATCH; at++) {
		struct key key = key_run_at(keys, at, pool);
		uint64_t hash = index_key_hash(&key);

		if (!inserts && !index_may_hold(index, hash))
			continue;
		heads[n] = hash_head(&index->entry_hash, hash);
		__builtin_prefetch(heads[n++]);
	}
	for (uint32_t i = 0; i < n && index->entries.live; i++)
		__builtin_prefetch(entry_at(&index->entries, *heads[i]));
	for (uint32_t i = 0; i < n; i++) {
		const struct entry *entry = *heads[i] ? entry_at(&index->entries, *heads[i]) : NULL;

		if (entry && entry->hash_next)
			__builtin_prefetch(entry_at(&index->entries, entry->hash_next));
	}
}

void index_prefetch_removal(const struct index *index, uint32_t id)
{
	const struct slab *entries = &index->entries;
	const struct entry *entry = entry_at(entries, id);

	__builtin_prefetch(hash_head(&index->entry_hash, hash_of_entry(index, entry)), 1);
	__builtin_prefetch(entry_at(entries, entry->sibling.prev), 1);
	__builtin_prefetch(entry_at(entries, entry->sibling.next), 1);
	__builtin_prefetch(entry_at(entries, entry->order.prev), 1);
	__builtin_prefetch(entry_at(entries, entry->order.next), 1);
}

/* ---- coming and going -------------------------------------------------------------------------------- */

static uint32_t make_object(struct index *index, const struct key *key)
{
	uint32_t id = slab_alloc(&index->objects);
	struct object *object;

	if (!id)
		return 0;
	object = object_at(index, id);
	object->number = key->object;
	object->pool = key->pool;
	hash_insert(&index->object_hash, &index->objects, id, object_hash(key->object, key->pool));
	list_push_front(&index->pool_objects[key->pool], &index->objects, object_link, id);
	return id;
}

enum index_result index_insert_hashed(struct index *index, const struct key *key, uint64_t hash, uint32_t *ret)
{
	uint32_t id = slab_alloc(&index->entries);
	uint32_t object = index->last_object;
	struct entry *entry;

	if (!id)
		return INDEX_NO_ENTRY;
	if (!object || !is_object(object_at(index, object), key->object, key->pool))
		object = find_object(index, key->object, key->pool);
	if (!object)
		object = make_object(index, key);
	if (!object) {
		slab_free(&index->entries, id);
		return INDEX_NO_OBJECT;
	}
	index->last_object = object;
	entry = entry_at(&index->entries, id);
	entry->object = object;
	entry->index = key->index;
	hash_insert(&index->entry_hash, &index->entries, id, hash);
	count(index, hash, 1);
	list_push_front(&object_at(index, object)->pages, &index->entries, sibling_link, id);
	*ret = id;
	return INDEX_OK;
}

void index_remove(struct index *index, uint32_t id)
{
	const struct entry *entry = entry_at(&index->entries, id);
	uint32_t object_id = entry->object;
	struct object *object = object_at(index, object_id);
	uint32_t pool = object->pool;
	uint64_t hash = hash_of_entry(index, entry);

	hash_remove(&index->entry_hash, &index->entries, id, hash);
	count(index, hash, -1);
	list_remove(&object->pages, &index->entries, sibling_link, id);
	slab_free(&index->entries, id);
	if (object->pages.count)
		return;
	hash_remove(&index->object_hash, &index->objects, object_id, hash_of_object(index, object));
	list_remove(&index->pool_objects[pool], &index->objects, object_link, object_id);
	slab_free(&index->objects, object_id);
}

/* ---- all of an object, of a pool --------------------------------------------------------------------- */

uint32_t index_any_of_object(const struct index *index, uint16_t pool, uint64_t object)
{
	uint32_t id = find_object(index, object, pool);

	return id ? object_at(index, id)->pages.first : 0;
}

uint32_t index_any_of_pool(const struct index *index, uint16_t pool)
{
	uint32_t id = index->pool_objects[pool].first;

	return id ? object_at(index, id)->pages.first : 0;
}

uint64_t index_bytes(const struct index *index)
{
	return slab_bytes(&index->entries) + slab_bytes(&index->objects) + hash_bytes(&index->entry_hash) +
	       hash_bytes(&index->object_hash) + index->pools * sizeof(*index->pool_objects) +
	       (index->present ? index->present_mask + 1 : 0);
}
