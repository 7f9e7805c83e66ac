/*
 * pool.c: creating, finding and dropping pools.
 *
 *      handle   | persistent 1 | generation 15 | slot 16 |
 *
 * Owns: the table of pools and the authorised uuids.
 * Laws: 1. a shared pool without authorisation is private (Xen's tmem rule).  2. a handle of a
 * destroyed pool finds nothing, whoever has the slot now, until the generations (15 bits) have come round.
 * Locks: the store's.
 */
#include "pool.h"

#define GENERATION_MAX 0x7fff
#define GENERATION_DYING 0x8000 /* in no handle */

void pools_init(struct pools *pools)
{
	*pools = (struct pools){ .slots = 1 };
}

void pools_deinit(struct pools *pools)
{
	free(pools->pool);
	free(pools->authorized.uuid);
	*pools = (struct pools){ 0 };
}

static uint32_t find_uuid(const struct uuid_list *list, const uint8_t *uuid)
{
	uint32_t i = 0;

	while (i < list->count && memcmp(list->uuid[i], uuid, TMS_UUID_SIZE) != 0)
		i++;
	return i;
}

bool pool_authorize(struct pools *pools, const uint8_t *uuid, bool allow)
{
	struct uuid_list *list = &pools->authorized;
	uint32_t at = find_uuid(list, uuid);
	uint8_t(*larger)[TMS_UUID_SIZE];

	if (!allow) {
		if (at < list->count)
			memcpy(list->uuid[at], list->uuid[--list->count], TMS_UUID_SIZE);
		return true;
	}
	if (at < list->count)
		return true;
	larger = realloc(list->uuid, (list->count + 1) * sizeof(*larger));
	if (!larger)
		return false;
	list->uuid = larger;
	memcpy(list->uuid[list->count++], uuid, TMS_UUID_SIZE);
	return true;
}

static tms_pool_id handle_of(const struct pools *pools, uint32_t slot)
{
	const struct pool *pool = &pools->pool[slot];

	return (uint32_t)(pool->flags & TMS_POOL_PERSISTENT) << TMS_POOL_ID_PERSISTENT_BIT | (uint32_t)pool->generation << 16 | slot;
}

static uint32_t free_slot(struct pools *pools, struct index *index)
{
	uint32_t slot = 1;
	struct pool *larger;

	while (slot < pools->slots && pools->pool[slot].generation)
		slot++;
	if (slot < pools->slots)
		return slot;
	if (slot == POOLS_MAX)
		return 0;
	larger = realloc(pools->pool, (slot + 1) * sizeof(*larger));
	if (!larger)
		return 0;
	pools->pool = larger;
	if (!index_reserve_pools(index, slot + 1))
		return 0;
	pools->slots = slot + 1;
	return slot;
}

static uint32_t find_shared(const struct pools *pools, const uint8_t *uuid)
{
	for (uint32_t slot = 1; slot < pools->slots; slot++) {
		const struct pool *pool = &pools->pool[slot];

		if (pool->handles && pool->flags & TMS_POOL_SHARED && !memcmp(pool->uuid, uuid, TMS_UUID_SIZE))
			return slot;
	}
	return 0;
}

tms_pool_id pool_create(struct pools *pools, struct index *index, uint32_t flags, const uint8_t *uuid)
{
	uint32_t slot;

	if (flags & TMS_POOL_SHARED && find_uuid(&pools->authorized, uuid) == pools->authorized.count)
		flags &= ~(uint32_t)TMS_POOL_SHARED;
	slot = flags & TMS_POOL_SHARED ? find_shared(pools, uuid) : 0;
	if (slot && pools->pool[slot].handles == UINT16_MAX)
		return 0;
	if (slot) {
		pools->pool[slot].handles++;
		return handle_of(pools, slot);
	}
	slot = free_slot(pools, index);
	if (!slot)
		return 0;
	pools->generation = (uint16_t)(pools->generation % GENERATION_MAX + 1);
	pools->pool[slot] = (struct pool){ .generation = pools->generation, .handles = 1, .flags = (uint8_t)flags };
	if (flags & TMS_POOL_SHARED)
		memcpy(pools->pool[slot].uuid, uuid, TMS_UUID_SIZE);
	pools->live++;
	return handle_of(pools, slot);
}

uint16_t pool_slot(const struct pools *pools, tms_pool_id id)
{
	uint32_t slot = id & 0xffff;

	if (slot == 0 || slot >= pools->slots || !pools->pool[slot].handles || handle_of(pools, slot) != id)
		return 0;
	return (uint16_t)slot;
}

bool pool_drop_handle(struct pools *pools, uint16_t slot)
{
	struct pool *pool = &pools->pool[slot];

	if (--pool->handles)
		return false;
	pool->generation = GENERATION_DYING;
	return true;
}

void pool_free(struct pools *pools, uint16_t slot)
{
	pools->pool[slot] = (struct pool){ 0 };
	pools->live--;
}
