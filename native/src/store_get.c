/*
 * store_get.c: giving pages back.
 *
 * A page in the region is copied under the lock and decompressed after it; clean pages of a batch are copied after it,
 * a flight at a time.  One in the spill file is read by store_load.c.
 */
#include "store_load.h"

/* Of one batch at the device: as many as there are I/O threads, which serve reads before writes.  While an allocation is
 * under way, which waits for writes, a batch begins no load before the one before has ended. */
#define LOADS_AHEAD 4

static void read_clean(struct tms_region *region, uint32_t pfn, uint8_t *page)
{
	inflight_await(&region->inflight, pfn, pfn + 1);
	if (!inflight_add(&region->inflight, pfn, page, mapping_at(&region->mapping, pfn)))
		region_read_page(region, pfn, page);
}

static void count_hit(struct holdings *held, struct entry *entry)
{
	held->stats.clean_hits++;
	if (entry->unit != ENTRY_TRIED)
		return;
	entry->unit = 0;
	filter_learn(&held->filter, true);
}

/* With the lock held.  What is kept in another form than the page's comes to lie in bytes; the form. */
static uint8_t read_resident(tms_store *store, const struct pool *pool, uint32_t id, uint8_t *page, uint8_t *bytes)
{
	struct holdings *held = &store->held;
	struct entry *entry = holdings_entry(held, id);
	const uint8_t form = entry->flags & (ENTRY_PACKED | ENTRY_DENSE);

	if (!form && entry->flags & ENTRY_RESIDENT && !inflight_is_open(&held->region->inflight))
		copy_prefetch(mapping_at(&held->region->mapping, entry->place >> UNITS_SHIFT));
	if (pool_get_removes(pool))
		holdings_prefetch_drop(held, id);
	if (entry->flags & ENTRY_FILL)
		page_fill(page, entry_fill(entry));
	else if (!(entry->flags & ENTRY_PERSISTENT))
		read_clean(held->region, entry->place >> UNITS_SHIFT, page);
	else
		region_read(held->region, entry->place, entry->size, form, form ? bytes : page);
	if (entry->flags & ENTRY_PERSISTENT)
		held->stats.swap_hits_region++;
	else
		count_hit(held, entry);
	if (pool_get_removes(pool))
		shrink_drop(held, id);
	else if (entry->flags & ENTRY_PERSISTENT)
		entry->flags |= ENTRY_VISITED; /* what it means for its age is seen when a cold page is looked for */
	else if (!(entry->flags & ENTRY_FILL))
		evict_touch(&held->evict, id);
	return form;
}

static void see_get(struct holdings *held, const struct key *key, const struct pool *pool, bool persistent, bool found)
{
	uint64_t hash;

	if (holdings_samples(held, key, &hash))
		ghost_get(&held->ghost, ghost_kind_of(persistent), hash, found, pool_get_removes(pool));
}

/* *load null: a page that must be read is not. */
static int begin_get(tms_store *store, tms_pool_id pool, const struct key_run *keys, uint8_t *page, struct load **load)
{
	struct holdings *held = &store->held;
	uint64_t *gets = pool_id_is_persistent(pool) ? &held->stats.swap_loads : &held->stats.clean_gets;
	int code = store_enter(store);
	struct key key;
	uint32_t id = 0;
	uint16_t slot;

	if (code)
		return code;
	slot = pool_slot(&held->pools, pool);
	if (slot) {
		index_prefetch_keys(&held->index, keys, slot);
		key = key_run_at(keys, keys->at, slot);
		id = holdings_find(held, &key);
	}
	if (id && holdings_entry(held, id)->flags & (ENTRY_RESIDENT | ENTRY_FILL)) {
		const uint32_t size = holdings_entry(held, id)->size;
		uint8_t bytes[TMS_PAGE_SIZE];
		uint8_t form;

		++*gets;
		see_get(held, &key, &held->pools.pool[slot], pool_id_is_persistent(pool), true);
		form = read_resident(store, &held->pools.pool[slot], id, page, bytes);
		store_leave(store);
		return form ? load_unpack(store, bytes, size, form, page) : TMS_OK;
	}
	if (!slot)
		code = TMS_E_NO_POOL;
	else if (!id)
		code = TMS_MISS;
	else if (!load)
		code = TMS_WAITING;
	else
		code = load_begin(store, holdings_entry(held, id), load);
	if (code == TMS_MISS || (code == TMS_OK && load)) {
		++*gets;
		see_get(held, &key, &held->pools.pool[slot], pool_id_is_persistent(pool), false);
	}
	store_leave(store);
	return code == TMS_OK ? TMS_WAITING : code;
}

static int get(tms_store *store, tms_pool_id pool, const struct key_run *keys, uint8_t *page, struct tms_wait *wait)
{
	struct load *load = NULL;
	int code;

	if (!*store->present)
		return TMS_E_CLOSED;
	if (wait && wait->request)
		return load_wait(store, wait->request, page, wait);
	code = begin_get(store, pool, keys, page, wait ? &load : NULL);
	if (!load)
		return code;
	load_submit(store, load, wait);
	wait->request = load;
	return load_wait(store, load, page, wait);
}

int store_get(tms_store *store, tms_pool_id pool, uint64_t object, uint32_t index, uint8_t *page, struct tms_wait *wait)
{
	const uint64_t indexes[] = { index };
	const struct key_run keys = { .objects = &object, .indexes = indexes, .n = 1 };

	return get(store, pool, &keys, page, wait);
}

int tms_get(tms_store *store, tms_pool_id pool, uint64_t object, uint32_t index, uint8_t *page, struct tms_wait *wait)
{
	if (unlikely(store->without_data))
		return *store->present ? TMS_E_INVALID : TMS_E_CLOSED;
	copy_touch(page);
	return store_get(store, pool, object, index, page, wait);
}

/* A get over many keys: those whose turn has come are answered, or at the device. */
struct get_batch {
	tms_store *store;
	tms_pool_id pool;
	struct key_run keys;
	uint8_t *pages;
	bool *results;
	int32_t *errors;
	struct tms_wait *wait;
};

static void answer(const struct get_batch *batch, uint64_t item, int code)
{
	batch->results[item] = code == TMS_OK;
	batch->errors[item] = code < 0 ? code : TMS_OK;
}

/* Below zero: the whole batch is at its end. */
static int begin_loads(struct get_batch *batch)
{
	struct tms_wait *wait = batch->wait;
	struct load *last = wait->request;
	uint32_t ahead = last != NULL;

	for (; last && last->next; last = last->next)
		ahead++;
	for (; wait->done < batch->keys.n && ahead < LOADS_AHEAD && !(last && last->alone); wait->done++) {
		struct load *load = NULL;
		int code;

		batch->keys.at = wait->done;
		copy_touch(batch->pages + wait->done * PAGE_SIZE);
		code = begin_get(batch->store, batch->pool, &batch->keys, batch->pages + wait->done * PAGE_SIZE, &load);
		if (code == TMS_E_CLOSED || code == TMS_E_NO_POOL)
			return code;
		if (!load) {
			answer(batch, wait->done, code);
			continue;
		}
		load->item = wait->done;
		load_submit(batch->store, load, wait);
		if (last)
			last->next = load;
		else
			wait->request = load;
		last = load;
		ahead++;
	}
	return TMS_OK;
}

/* Of a batch of clean pages so many as fit into a flight, at keys->at, which goes on.  *found: at the first one, when the
 * last flight ended, there was a page, and the caller's was not touched. */
static int get_flight(tms_store *store, tms_pool_id pool, struct key_run *keys, uint8_t *pages, bool *results, bool *found)
{
	const uint64_t start = keys->at;
	const uint64_t end = min_u64(keys->n, start + FLIGHT_PAGES);
	const bool copies = atomic_load_explicit(&store->gets_copy, memory_order_relaxed);
	const uint64_t touched = copies ? end : start + *found;
	struct inflight *inflight = &store->held.region->inflight;
	struct holdings *held = &store->held;
	uint64_t copied = 0;
	uint32_t flight;
	uint16_t slot;
	int code;

	for (uint64_t at = start; at < touched; at++)
		copy_touch(pages + at * PAGE_SIZE);
	code = store_enter(store);
	if (code)
		return code;
	*found = false;
	slot = pool_slot(&held->pools, pool);
	inflight_open(inflight, copy_plain);
	index_prefetch_batch(&held->index, keys, slot ? end : 0, slot, false);
	for (; slot && keys->at < end; keys->at++) {
		const struct key key = key_run_at(keys, keys->at, slot);
		uint32_t id;

		id = holdings_find(held, &key);
		*found = id && keys->at >= touched;
		if (unlikely(*found))
			break;
		held->stats.clean_gets++;
		see_get(held, &key, &held->pools.pool[slot], false, id);
		if (id)
			(void)read_resident(store, &held->pools.pool[slot], id, pages + keys->at * PAGE_SIZE, NULL);
		results[keys->at] = id != 0;
		copied += id != 0;
	}
	flight = inflight_close(inflight);
	store_learn(&store->gets_copy, keys->at - start + *found, copied + *found);
	store_leave(store);
	inflight_land(inflight, flight);
	return slot ? TMS_OK : TMS_E_NO_POOL;
}

static int get_clean_pages(tms_store *store, tms_pool_id pool, struct key_run *keys, uint8_t *pages, bool *results)
{
	bool found = false;
	int code = TMS_OK;

	while (code == TMS_OK && keys->at < keys->n)
		code = get_flight(store, pool, keys, pages, results, &found);
	return code;
}

int tms_get_many(tms_store *store, tms_pool_id pool, uint64_t n, const uint64_t *objects, const uint64_t *indexes,
		 uint8_t *pages, bool *results, int32_t *errors, struct tms_wait *wait)
{
	struct get_batch batch = { store, pool, { .objects = objects, .indexes = indexes, .n = n }, pages, results, errors, wait };
	const bool goes_on = wait && (wait->done || wait->request);
	uint64_t began_ns;
	int code;

	if (!*store->present)
		return TMS_E_CLOSED;
	if (store->without_data || (!goes_on && !key_run_fits(&batch.keys)))
		return TMS_E_INVALID;
	if (!pool_id_is_persistent(pool)) {
		if (errors)
			memset(errors, 0, n * sizeof(*errors));
		return get_clean_pages(store, pool, &batch.keys, pages, results);
	}
	if (!errors || !wait)
		return TMS_E_INVALID;
	began_ns = clock_now_ns(&store->clock);
	while ((code = begin_loads(&batch)) == TMS_OK && wait->request) {
		struct load *load = wait->request;
		uint64_t item = load->item;

		code = load_wait(store, load, pages + item * PAGE_SIZE, wait);
		if (code == TMS_WAITING)
			return code;
		if (code == TMS_E_CLOSED)
			break;
		answer(&batch, item, code);
		if (clock_now_ns(&store->clock) - began_ns >= wait->slice_ns)
			return TMS_WAITING;
	}
	if (code != TMS_OK) {
		tms_wait_cancel(store, wait);
		return code;
	}
	for (uint64_t i = 0; i < n; i++)
		if (errors[i])
			return errors[i];
	return TMS_OK;
}

static uint8_t place_bits(const struct entry *entry)
{
	if (entry->flags & ENTRY_FILL)
		return TMS_PLACE_FILL;
	return (uint8_t)((entry->flags & ENTRY_RESIDENT ? TMS_PLACE_REGION : 0) | (entry->flags & ENTRY_COPY ? TMS_PLACE_SPILL : 0));
}

int tms_where_many(tms_store *store, tms_pool_id pool, uint64_t n, const uint64_t *objects, const uint64_t *indexes,
		   uint8_t *places)
{
	for (uint64_t i = 0; i < n; i++) {
		struct key key = { .object = objects[i], .index = (uint32_t)indexes[i] };
		uint32_t id;
		int code;

		if (indexes[i] > UINT32_MAX)
			return TMS_E_INVALID;
		code = store_enter(store);
		if (code)
			return code;
		key.pool = pool_slot(&store->held.pools, pool);
		id = key.pool ? index_find(&store->held.index, &key) : 0;
		places[i] = id && !holdings_left_behind(&store->held, id) ? place_bits(holdings_entry(&store->held, id)) :
									    TMS_PLACE_ABSENT;
		store_leave(store);
		if (!key.pool)
			return TMS_E_NO_POOL;
		store_give_way(store);
	}
	return TMS_OK;
}
