/*
 * write_through.c: a store that returns only once the page lies in the spill file as well.
 *
 * Laws: 1. a page whose write failed is not stored: its key is absent, as after any rejected put, and
 * whoever stored under a key that is absent in the end is told so.  2. a caller that gives up waiting loses
 * nothing: the page is stored, and its copy is completed whenever it is.  3. the lock is given up now and then, so that
 * nobody waits for a large batch.
 */
#include <errno.h>

#include "store.h"

/* Keys looked at in one go, before others get the lock, but for those that go into a batch. */
#define LOOK_STEP 512

/* What one caller waits for.  Batches under way outlive it with their group. */
struct through {
	struct page_out_group *group;
	uint64_t begun;  /* keys looked at */
	uint64_t judged; /* keys whose result is certain: never more than begun */
	uint32_t pending; /* writes under way when the lock was given up last */
	uint64_t until_ns; /* unless something goes on before */
};

enum step { GOES_ON, WAITS, ENDS };

static void forget(tms_store *store, struct tms_wait *wait)
{
	struct through *through = wait->request;

	wait->request = NULL;
	store_lock(store);
	page_out_group_put(through->group);
	store_leave(store);
	free(through);
}

static struct through *begin(void)
{
	struct through *through = calloc(1, sizeof(*through));

	if (!through)
		return NULL;
	through->group = calloc(1, sizeof(*through->group));
	if (!through->group) {
		free(through);
		return NULL;
	}
	through->group->users = 1;
	return through;
}

/* With the lock held. */
static uint32_t find(const tms_store *store, tms_pool_id pool, uint64_t object, uint64_t index)
{
	struct key key = { .object = object, .index = (uint32_t)index, .pool = pool_slot(&store->held.pools, pool) };

	return key.pool ? index_find(&store->held.index, &key) : 0;
}

struct keys {
	tms_pool_id pool;
	uint64_t n;
	const uint64_t *objects;
	const uint64_t *indexes;
	bool *results;
};

/* With the lock held.  A batch ready for the device with as many of the next keys as it takes, or null: none of them
 * waits for a copy, or no batch is to be had now (*wait), or no block (the group's error). */
static struct page_out *next_batch(tms_store *store, struct through *through, const struct keys *keys, bool *wait)
{
	struct holdings *held = &store->held;
	struct page_out *batch = NULL;

	for (uint32_t look = LOOK_STEP; through->begun < keys->n && look; through->begun++) {
		uint64_t i = through->begun;
		uint32_t id = keys->results[i] ? find(store, keys->pool, keys->objects[i], keys->indexes[i]) : 0;

		if (!id || !entry_waits_for_copy(holdings_entry(held, id))) {
			look--;
			continue;
		}
		if (!batch) {
			batch = store_take_spare_batch(store);
			*wait = !batch;
			if (!batch)
				return NULL;
			if (!page_out_begin(held, batch, PAGE_OUT_BLOCKS, TMS_CAUSE_THROUGH, through->group)) {
				store_put_back_batch(store, batch);
				through->group->error = ENOSPC;
				through->begun = keys->n;
				return NULL;
			}
		}
		if (!page_out_gather(held, batch, id, NULL))
			break;
	}
	if (batch && !page_out_seal(held, batch)) {
		page_out_complete(held, batch, 0);
		store_give_batch(store, batch);
		batch = NULL;
	}
	return batch;
}

/* With the lock held, all keys being begun and no write of them under way: of the next keys, what has no copy, since
 * writes failed, is rejected after all, and so is what another caller, whose writes failed, has rejected.  What is being
 * written by whomever is waited for.  Without an error a page that has no copy was stored over one that has; it is to be
 * written as well. */
static enum step judge(tms_store *store, struct through *through, const struct keys *keys)
{
	struct holdings *held = &store->held;

	for (uint32_t look = LOOK_STEP; through->judged < keys->n && look; through->judged++, look--) {
		uint64_t i = through->judged;
		uint32_t id = keys->results[i] ? find(store, keys->pool, keys->objects[i], keys->indexes[i]) : 0;

		if (id && holdings_entry(held, id)->flags & ENTRY_WRITING)
			return WAITS;
		if (!keys->results[i] || (id && !entry_is_only_copy(holdings_entry(held, id))))
			continue;
		if (id && !through->group->error) {
			through->begun = i;
			return GOES_ON;
		}
		if (id)
			shrink_drop(held, id);
		keys->results[i] = false;
		held->stats.swap_stores--;
		held->stats.swap_rejects[TMS_REJECT_SPILL]++;
	}
	return through->judged < keys->n ? GOES_ON : ENDS;
}

/* With the lock held: the next keys, and *batch: what is to be submitted of them. */
static enum step step(tms_store *store, struct through *through, const struct keys *keys, struct page_out **batch)
{
	bool wait = false;

	*batch = next_batch(store, through, keys, &wait);
	if (wait)
		return WAITS;
	if (*batch || through->begun < keys->n)
		return GOES_ON;
	return through->group->pending ? WAITS : judge(store, through, keys);
}

/* Submits what can be.  TMS_WAITING, or TMS_OK: all is over and judged.  *goes_on: a key was looked at, or a write has
 * begun or ended; a device that answers is waited for, however long it takes for all of them. */
static int turn(tms_store *store, struct through *through, const struct keys *keys, bool *goes_on)
{
	enum step next;

	do {
		const struct through before = *through;
		struct page_out *batch;
		int code = store_enter(store);

		if (code)
			return code;
		next = step(store, through, keys, &batch);
		through->pending = through->group->pending;
		*goes_on |= through->begun != before.begun || through->judged != before.judged || through->pending != before.pending;
		store_leave(store);
		if (batch)
			io_submit(store->io, &batch->io);
		store_give_way(store);
	} while (next == GOES_ON);
	return next == WAITS ? TMS_WAITING : TMS_OK;
}

int tms_write_through(tms_store *store, tms_pool_id pool, uint64_t n, const uint64_t *objects, const uint64_t *indexes,
		      bool *results, struct tms_wait *wait)
{
	const struct keys keys = { pool, n, objects, indexes, results };
	struct through *through = wait->request;
	bool goes_on = !through;
	uint64_t seen;
	uint64_t now_ns;
	int code;

	if (!*store->present)
		return TMS_E_CLOSED;
	if (!store->io || !pool_id_is_persistent(pool))
		return TMS_E_INVALID;
	if (!through)
		through = begin();
	if (!through)
		return TMS_E_NO_MEMORY;
	wait->request = through;
	seen = io_ended(store->io);
	code = turn(store, through, &keys, &goes_on);
	now_ns = clock_now_ns(&store->clock);
	if (goes_on)
		through->until_ns = now_ns + store->io_timeout_ns;
	if (code == TMS_WAITING && now_ns >= through->until_ns)
		code = TMS_E_TIMEOUT;
	if (code == TMS_WAITING)
		(void)io_wait_ended(store->io, seen, min_u64(wait->slice_ns, through->until_ns - now_ns));
	else
		forget(store, wait);
	return code;
}

void tms_write_through_cancel(tms_store *store, struct tms_wait *wait)
{
	if (wait->request && *store->present)
		forget(store, wait);
}
