/*
 * pool.h: pools: what their handles mean, who shares one.
 */
#ifndef TMS_POOL_H
#define TMS_POOL_H

#include "index.h"

#define POOLS_MAX 4096

struct pool {
	uint16_t generation; /* of the handle; 0: slot not in use */
	uint16_t handles;    /* a shared pool may have several */
	uint8_t flags;       /* enum tms_pool_flag */
	uint8_t uuid[TMS_UUID_SIZE];
};

struct uuid_list {
	uint8_t (*uuid)[TMS_UUID_SIZE];
	uint32_t count;
};

struct pools {
	struct pool *pool; /* by slot; slot 0 is none */
	uint32_t slots;
	uint32_t live;
	uint16_t generation;
	struct uuid_list authorized;
};

void pools_init(struct pools *pools);
void pools_deinit(struct pools *pools);

/* A handle, or 0: no memory or POOLS_MAX reached. */
tms_pool_id pool_create(struct pools *pools, struct index *index, uint32_t flags, const uint8_t *uuid);
/* The slot of the handle, or 0: no such pool. */
uint16_t pool_slot(const struct pools *pools, tms_pool_id id);
/* Drops one handle.  True: it was the last; no handle finds the pool any more, and its slot is taken
 * until its pages are gone and pool_free is called. */
bool pool_drop_handle(struct pools *pools, uint16_t slot);
void pool_free(struct pools *pools, uint16_t slot);
/* False: no memory. */
bool pool_authorize(struct pools *pools, const uint8_t *uuid, bool allow);

/* Whether a handle names a persistent pool stands in the handle itself, so that a put can prepare the
 * page before it takes the lock. */
static inline bool pool_id_is_persistent(tms_pool_id id)
{
	return id >> TMS_POOL_ID_PERSISTENT_BIT;
}

static inline bool pool_get_removes(const struct pool *pool)
{
	return !(pool->flags & (TMS_POOL_PERSISTENT | TMS_POOL_SHARED | TMS_POOL_INCLUSIVE));
}

#endif
