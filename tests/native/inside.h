/*
 * inside.h: what the tests of the store's own modules share: entries by key, copies for the objects of a window.
 */
#ifndef TMS_TESTS_INSIDE_H
#define TMS_TESTS_INSIDE_H

#include "writeback.h"

#include "fixture.h"

static inline uint32_t id_of(const struct fixture *f, tms_pool_id pool, uint32_t key)
{
	const struct holdings *held = &f->store->held;
	struct key k = { .object = key >> 4, .index = key, .pool = pool_slot(&held->pools, pool) };

	return index_find(&held->index, &k);
}

static inline struct entry *entry_of(const struct fixture *f, tms_pool_id pool, uint32_t key)
{
	return holdings_entry(&f->store->held, id_of(f, pool, key));
}

static inline uint32_t pfn_of(const struct fixture *f, tms_pool_id pool, uint32_t key)
{
	return entry_of(f, pool, key)->place >> UNITS_SHIFT;
}

/* A frame that can be taken at once: the page that was to be given up for it is gone. */
static inline enum admit_result frame_for(struct holdings *held, const struct admission *page, uint32_t *pfn)
{
	uint32_t victim = 0;
	enum admit_result result = admit_frame(held, page, pfn, &victim);

	if (result == ADMIT_OK && victim)
		(void)shrink_drop(held, victim);
	return result;
}

static inline bool lies_in_reserve(const struct fixture *f, uint32_t key)
{
	const struct entry *entry = entry_of(f, f->swap, key);

	return entry->flags & ENTRY_RESIDENT && reserve_has(&f->region->reserve, entry->place);
}

/* A batch that holds these entries, ready for the device; null: it does not take them. */
static inline struct page_out *batch_of(struct fixture *f, const uint32_t *ids, uint32_t n, enum tms_cause cause,
					struct page_out_group *group)
{
	struct holdings *held = &f->store->held;
	struct page_out *batch = store_take_batch(f->store);

	if (!batch || !page_out_begin(held, batch, PAGE_OUT_BLOCKS, cause, group))
		return NULL;
	for (uint32_t i = 0; i < n; i++)
		if (!page_out_gather(held, batch, ids[i], NULL))
			return NULL;
	return page_out_seal(held, batch) ? batch : NULL;
}

static inline void batch_complete(struct fixture *f, struct page_out *batch, int32_t error)
{
	page_out_complete(&f->store->held, batch, error);
	store_give_batch(f->store, batch);
}

/* Turns of a writer until all it began is complete, however long that takes. */
static inline enum writeback_turn writeback_drive(struct writeback *w)
{
	for (;;) {
		uint64_t seen = io_ended(w->store->io);
		enum writeback_turn turn = writeback_turn(w);
		uint32_t pending;

		pthread_mutex_lock(&w->store->lock);
		pending = w->group->pending;
		pthread_mutex_unlock(&w->store->lock);
		if (turn == WRITEBACK_FAILED || (turn == WRITEBACK_DONE && !pending))
			return turn;
		if (turn != WRITEBACK_AGAIN)
			(void)io_wait_ended(w->store->io, seen, NSEC_PER_SEC);
	}
}

/* Every object of these frames gets a copy.  False: not all did. */
static inline bool copy_out(struct fixture *f, uint32_t start_pfn, uint32_t end_pfn)
{
	const struct tms_cost cost = { 0 };
	struct writeback w = { .store = f->store,
			       .cost = &cost,
			       .start_pfn = start_pfn,
			       .end_pfn = end_pfn,
			       .batch_blocks = PAGE_OUT_BLOCKS,
			       .objects_max = UINT64_MAX };
	bool done;

	if (!writeback_begin(&w))
		return false;
	done = writeback_drive(&w) == WRITEBACK_DONE;
	pthread_mutex_lock(&f->store->lock);
	writeback_end(&w);
	pthread_mutex_unlock(&f->store->lock);
	return done;
}

#endif
