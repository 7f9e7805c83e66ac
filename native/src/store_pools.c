/*
 * store_pools.c: pools, and flushing: a page, an object, a pool.
 *
 * Law: a flush removes every page that was there when it began.  It gives up the lock now and then, so
 * that nobody waits for a large object; what is put meanwhile may go as well.
 */
#include "store.h"

/* Entries removed in one go, before others get the lock. */
#define FLUSH_STEP 128

/* ---- pools ------------------------------------------------------------------------------------------- */

int tms_pool_create(tms_store *store, uint32_t flags, const uint8_t *uuid, tms_pool_id *ret)
{
	const uint32_t known = TMS_POOL_PERSISTENT | TMS_POOL_SHARED | TMS_POOL_INCLUSIVE;
	tms_pool_id id;
	int code;

	if (flags & ~known || (flags & TMS_POOL_SHARED && !uuid) || (flags & TMS_POOL_PERSISTENT && flags != TMS_POOL_PERSISTENT))
		return TMS_E_INVALID;
	code = store_enter(store);
	if (code)
		return code;
	id = pool_create(&store->held.pools, &store->held.index, flags, uuid);
	store_leave(store);
	if (!id)
		return TMS_E_NO_MEMORY;
	*ret = id;
	return TMS_OK;
}

int tms_pool_flags(tms_store *store, tms_pool_id pool, uint32_t *ret)
{
	int code = store_enter(store);
	uint16_t slot;

	if (code)
		return code;
	slot = pool_slot(&store->held.pools, pool);
	if (slot)
		*ret = store->held.pools.pool[slot].flags;
	store_leave(store);
	return slot ? TMS_OK : TMS_E_NO_POOL;
}

int tms_shared_authorize(tms_store *store, const uint8_t *uuid, bool allow)
{
	int code = store_enter(store);
	bool done;

	if (code)
		return code;
	done = pool_authorize(&store->held.pools, uuid, allow);
	store_leave(store);
	return done ? TMS_OK : TMS_E_NO_MEMORY;
}

/* ---- flush ------------------------------------------------------------------------------------------- */

static uint64_t *flush_counter(tms_store *store, tms_pool_id pool)
{
	return pool_id_is_persistent(pool) ? &store->held.stats.swap_flushes : &store->held.stats.clean_flushes;
}

int tms_flush_page(tms_store *store, tms_pool_id pool, uint64_t object, uint32_t index)
{
	int code = store_enter(store);
	struct key key = { .object = object, .index = index };
	uint64_t hash;
	uint32_t id;

	if (code)
		return code;
	key.pool = pool_slot(&store->held.pools, pool);
	if (!key.pool) {
		store_leave(store);
		return TMS_E_NO_POOL;
	}
	id = holdings_find(&store->held, &key);
	if (holdings_samples(&store->held, &key, &hash))
		ghost_flush(&store->held.ghost, ghost_kind_of(pool_id_is_persistent(pool)), hash);
	if (id) {
		shrink_drop(&store->held, id);
		(*flush_counter(store, pool))++;
	}
	store_leave(store);
	return id ? TMS_OK : TMS_MISS;
}

/* Drops up to FLUSH_STEP entries of the object, or of the whole pool.  False: none is left. */
static bool flush_some(tms_store *store, tms_pool_id pool, uint16_t slot, const uint64_t *object)
{
	struct index *index = &store->held.index;

	for (int i = 0; i < FLUSH_STEP; i++) {
		uint32_t id = object ? index_any_of_object(index, slot, *object) : index_any_of_pool(index, slot);

		if (!id)
			return false;
		if (shrink_drop(&store->held, id))
			(*flush_counter(store, pool))++;
	}
	return true;
}

static void ghost_flush_all(struct holdings *held, tms_pool_id pool, uint16_t slot, const uint64_t *object)
{
	const enum ghost_kind kind = ghost_kind_of(pool_id_is_persistent(pool));

	if (object)
		ghost_flush_object(&held->ghost, kind, slot, ghost_owner(slot, *object));
	else
		ghost_flush_pool(&held->ghost, kind, slot);
}

static int flush(tms_store *store, tms_pool_id pool, const uint64_t *object)
{
	bool more = true;
	bool first = true;

	while (more) {
		int code = store_enter(store);
		uint16_t slot;

		if (code)
			return code;
		slot = pool_slot(&store->held.pools, pool);
		if (slot && first)
			ghost_flush_all(&store->held, pool, slot, object);
		first = false;
		more = slot && flush_some(store, pool, slot, object);
		store_leave(store);
		if (!slot)
			return TMS_E_NO_POOL;
		store_give_way(store);
	}
	return TMS_OK;
}

int tms_flush_object(tms_store *store, tms_pool_id pool, uint64_t object)
{
	return flush(store, pool, &object);
}

int tms_flush_pool(tms_store *store, tms_pool_id pool)
{
	return flush(store, pool, NULL);
}

int tms_pool_destroy(tms_store *store, tms_pool_id pool)
{
	int code = store_enter(store);
	uint16_t slot;
	bool last;

	if (code)
		return code;
	slot = pool_slot(&store->held.pools, pool);
	last = slot && pool_drop_handle(&store->held.pools, slot);
	if (last) /* its slot may be another pool's next */
		ghost_flush_all(&store->held, pool, slot, NULL);
	while (last && flush_some(store, pool, slot, NULL)) {
		store_leave(store);
		store_give_way(store);
		code = store_enter(store);
		if (code)
			return code;
	}
	if (last)
		pool_free(&store->held.pools, slot);
	store_leave(store);
	return slot ? TMS_OK : TMS_E_NO_POOL;
}
