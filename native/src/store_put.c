/*
 * store_put.c: taking pages in.
 *
 * Laws: 1. the old page of the key is detached before the new one is considered, so that every path
 * which does not store the new data leaves the key absent.  2. a page is compressed before the lock is
 * taken.  3. the caller's bytes are copied before return: under the lock, or, those of clean pages in a batch, after it,
 * a flight at a time.
 */
#include "store.h"

/* A page as it will be kept. */
struct kept {
	const uint8_t *bytes; /* null: of a region without data */
	uint32_t size;
	bool packed;
	bool fill;
	bool incompressible;
	bool active; /* the caller says so */
	enum tms_admit admit; /* why the filter let it in */
	uint8_t unit;      /* what the entry keeps of the filter's answer */
	bool judged;       /* the filter has answered */
	bool touched;      /* the system has the page in memory */
	uint16_t asked;    /* how often it is to be put again: a page to give up was on its way, or it was not touched */
	uint64_t value; /* fill */
};

/* In the place of a reason: put it again, without the lock in between. */
#define PUT_AGAIN ((enum tms_reject)(TMS_REJECTS + 1))
/* A hand that others mark pages before is not followed for ever. */
#define ASK_MAX 1024

static inline void prepare(struct kept *kept, tms_store *store, bool persistent, uint32_t flags, const uint8_t *page,
			   uint8_t *scratch)
{
	uint32_t packed;

	*kept = (struct kept){ .bytes = page, .size = TMS_PAGE_SIZE, .active = flags & TMS_PUT_ACTIVE, .touched = true };
	if (!persistent) /* a page that the filter turns away is not looked at */
		return;
	kept->fill = page_is_filled(page, &kept->value);
	if (kept->fill || !codec_compresses(&store->codec))
		return;
	packed = codec_compress(&store->codec, page, scratch, PACKED_MAX_BYTES);
	kept->incompressible = !packed;
	if (packed) {
		kept->bytes = scratch;
		kept->size = packed;
		kept->packed = true;
	}
}

static enum tms_reject reject_of(enum admit_result result, const struct kept *kept)
{
	switch (result) {
	case ADMIT_NO_MEMORY:
		return TMS_REJECT_MEMORY;
	case ADMIT_CEILING:
		return TMS_REJECT_CEILING;
	case ADMIT_ON_ITS_WAY:
		return PUT_AGAIN;
	default:
		return kept->incompressible ? TMS_REJECT_POOR : TMS_REJECT_FULL;
	}
}

/* TMS_REJECTS: accepted. */
static enum tms_reject place_packed(tms_store *store, uint32_t id, const struct kept *kept)
{
	struct admission page = { .bytes = kept->size, .persistent = true, .depth = ADMIT_ANY };
	enum admit_result result;
	uint32_t place;
	struct entry *entry;

	page.fail_span = fault_fires(store->faults, TMS_FAULT_SPAN_ALLOC);
	result = admit_packed(&store->held, &page, id, &place);
	if (result != ADMIT_OK)
		return reject_of(result, kept);
	entry = holdings_entry(&store->held, id);
	entry->place = place;
	entry->flags |= ENTRY_PACKED | ENTRY_RESIDENT;
	region_write(store->held.region, place, kept->size, true, kept->bytes);
	return TMS_REJECTS;
}

static enum tms_reject place_raw(tms_store *store, uint32_t id, bool persistent, const struct kept *kept)
{
	struct holdings *held = &store->held;
	struct admission page = {
		.bytes = TMS_PAGE_SIZE,
		.persistent = persistent,
		.asks_again = !persistent && kept->asked < ASK_MAX,
		.depth = persistent ? ADMIT_ANY : ADMIT_CLEAN
	};
	enum admit_result result;
	struct entry *entry;
	uint32_t victim;
	uint32_t pfn;

	result = admit_frame(held, &page, &pfn, &victim);
	if (result != ADMIT_OK)
		return reject_of(result, kept);
	/* First the bytes: while they drain past the cache, the bookkeeping goes on. */
	if (!inflight_add(&held->region->inflight, pfn, mapping_at(&held->region->mapping, pfn), kept->bytes))
		region_write_page(held->region, pfn, kept->bytes);
	shrink_take_frame(held, pfn, victim, persistent ? FRAME_SWAP : FRAME_CLEAN, id);
	entry = holdings_entry(held, id);
	entry->place = pfn << UNITS_SHIFT;
	entry->flags |= ENTRY_RESIDENT;
	if (!persistent)
		evict_admit(&held->evict, id);
	held->stats.swap_incompressible += kept->incompressible;
	return TMS_REJECTS;
}

/* A same-filled page takes no frame.  Ephemeral ones are held to as many as the region has frames. */
static void place_fill(tms_store *store, uint32_t id, bool persistent, const struct kept *kept)
{
	struct holdings *held = &store->held;
	struct entry *entry = holdings_entry(held, id);

	entry->flags |= ENTRY_FILL;
	entry_set_fill(entry, kept->value);
	if (persistent)
		return;
	if (held->evict.filled.count >= held->region->frames.frames) {
		holdings_evicts(held, held->evict.filled.last);
		shrink_drop(held, held->evict.filled.last);
	}
	evict_admit_filled(&held->evict, id);
}

static enum tms_reject insert(tms_store *store, const struct key *key, uint64_t hash, uint32_t *id)
{
	if (fault_fires(store->faults, TMS_FAULT_ENTRY_ALLOC) || fault_fires(store->faults, TMS_FAULT_OBJECT_ALLOC))
		return TMS_REJECT_MEMORY;
	return index_insert_hashed(&store->held.index, key, hash, id) == INDEX_OK ? TMS_REJECTS : TMS_REJECT_MEMORY;
}

/* Hints to the CPU for the three pages that the next ones will most likely cost, each one step further than the last
 * time. */
static void prefetch_victims(const struct holdings *held)
{
	uint32_t id = held->region->frames.held[FRAME_FREE] ? 0 : evict_next(&held->evict);

	if (id)
		id = holdings_entry(held, id)->order.prev;
	if (id) {
		holdings_prefetch_drop(held, id);
		id = holdings_entry(held, id)->order.prev;
	}
	if (id)
		__builtin_prefetch(holdings_entry(held, id), 1);
}

/* Whether the filter lets a clean page in.  hash: of its key. */
static bool passes_filter(struct holdings *held, uint64_t hash, struct kept *kept)
{
	kept->judged = true;
	kept->admit = filter_judge(&held->filter, hash, kept->active);
	kept->unit = filter_tries(&held->filter, kept->admit) ? ENTRY_TRIED : 0;
	return kept->admit != TMS_ADMITS;
}

static enum tms_reject admit(tms_store *store, const struct key *key, bool persistent, struct kept *kept)
{
	const uint64_t hash = index_key_hash(key);
	struct holdings *held = &store->held;
	enum tms_reject reject;
	uint32_t id;
	struct entry *entry;

	id = index_find_hashed(&held->index, key, hash);
	if (id)
		shrink_drop(held, id);
	if (!store->enabled)
		return TMS_REJECT_DISABLED;
	if (!persistent) {
		if (!kept->judged && !passes_filter(held, hash, kept))
			return TMS_REJECT_COLD;
		if (unlikely(!kept->touched))
			return PUT_AGAIN;
		if (likely(kept->bytes))
			kept->fill = page_is_filled(kept->bytes, &kept->value);
	}
	reject = insert(store, key, hash, &id);
	if (reject != TMS_REJECTS)
		return reject;
	entry = holdings_entry(held, id);
	entry->flags = persistent ? ENTRY_PERSISTENT : 0;
	entry->size = (uint16_t)kept->size;
	entry->unit = kept->unit;
	if (kept->fill) {
		place_fill(store, id, persistent, kept);
	} else if (kept->packed) {
		reject = place_packed(store, id, kept);
	} else {
		reject = place_raw(store, id, persistent, kept);
	}
	if (reject == TMS_REJECTS)
		holdings_count(held, id, 1);
	else
		index_remove(&held->index, id);
	if (!persistent)
		prefetch_victims(held);
	return reject;
}

/* By a store with more room. */
static bool would_be_kept(enum tms_reject reject)
{
	return reject != TMS_REJECT_COLD && reject != TMS_REJECT_DISABLED && reject != TMS_REJECT_MEMORY;
}

/* With the lock held. */
static enum tms_reject put_one(tms_store *store, uint16_t slot, bool persistent, const struct key_run *keys,
			       struct kept *kept)
{
	const struct key key = key_run_at(keys, keys->at, slot);
	struct tms_stats *stats = &store->held.stats;
	enum tms_reject reject;
	uint64_t hash;

	reject = admit(store, &key, persistent, kept);
	if (unlikely(reject == PUT_AGAIN)) {
		kept->asked++;
		return reject;
	}
	if (holdings_samples(&store->held, &key, &hash) && would_be_kept(reject))
		ghost_put(&store->held.ghost, ghost_kind_of(persistent), hash, slot, ghost_owner(slot, key.object),
			  kept->fill ? 0 : units_of(kept->size));
	if (reject != TMS_REJECTS) {
		(persistent ? stats->swap_rejects : stats->clean_rejects)[reject]++;
	} else if (persistent) {
		stats->swap_stores++;
	} else {
		stats->clean_puts++;
		stats->clean_admits[kept->admit]++;
	}
	return reject;
}

/* Without the lock, and no flight under way, which others wait for with it: memory for the bookkeeping of pages to come. */
static void warm_tables(tms_store *store)
{
	struct holdings *held = &store->held;

	arena_warm(&held->index.entries.arena);
	arena_warm(&held->index.entry_hash.arena);
	arena_warm(&held->region->packing.spans.arena);
}

static int put(tms_store *store, tms_pool_id pool, const struct key_run *keys, struct kept *kept)
{
	enum tms_reject reject;
	uint16_t slot;

	do {
		int code = store_enter(store);

		if (code)
			return code;
		slot = pool_slot(&store->held.pools, pool);
		if (!slot) {
			store_leave(store);
			return TMS_E_NO_POOL;
		}
		index_prefetch_keys(&store->held.index, keys, slot);
		reject = put_one(store, slot, pool_id_is_persistent(pool), keys, kept);
		store_leave(store);
		warm_tables(store);
	} while (unlikely(reject == PUT_AGAIN));
	return reject == TMS_REJECTS ? TMS_OK : TMS_REJECTED;
}

static int put_page(tms_store *store, tms_pool_id pool, const struct key_run *keys, uint32_t flags, const uint8_t *page)
{
	uint8_t scratch[PACKED_MAX_BYTES];
	struct kept kept;

	if (!*store->present)
		return TMS_E_CLOSED;
	if (unlikely(flags & ~(uint32_t)TMS_PUT_ACTIVE || store->without_data))
		return TMS_E_INVALID;
	copy_prefetch(page);
	copy_touch(page);
	prepare(&kept, store, pool_id_is_persistent(pool), flags, page, scratch);
	return put(store, pool, keys, &kept);
}

int tms_put(tms_store *store, tms_pool_id pool, uint64_t object, uint32_t index, uint32_t flags, const uint8_t *page)
{
	const uint64_t indexes[] = { index };
	const struct key_run keys = { .objects = &object, .indexes = indexes, .n = 1 };

	return put_page(store, pool, &keys, flags, page);
}

int store_put_size(tms_store *store, tms_pool_id pool, uint64_t object, uint32_t index, uint32_t flags, uint32_t size)
{
	const uint64_t indexes[] = { index };
	const struct key_run keys = { .objects = &object, .indexes = indexes, .n = 1 };
	struct kept kept = { .size = TMS_PAGE_SIZE, .active = flags & TMS_PUT_ACTIVE, .fill = !size, .touched = true };

	if (pool_id_is_persistent(pool) && size && codec_compresses(&store->codec)) {
		kept.packed = size <= PACKED_MAX_BYTES;
		kept.incompressible = !kept.packed;
		kept.size = kept.packed ? size : TMS_PAGE_SIZE;
	}
	return put(store, pool, &keys, &kept);
}

/* Hints to the CPU: what looking at all keys up to end will touch, side by side. */
static void prefetch_batch(const tms_store *store, const struct key_run *keys, uint64_t end, uint16_t slot)
{
	const struct holdings *held = &store->held;
	const bool open = store->enabled && filter_finds_worth(&held->filter);

	index_prefetch_batch(&held->index, keys, end, slot, open);
	for (uint64_t at = keys->at; at < end; at++) {
		const struct key key = key_run_at(keys, at, slot);

		if (store->enabled && !open)
			filter_prefetch(&held->filter, index_key_hash(&key));
	}
}

/* Of a batch of clean pages so many as fit into a flight, at keys->at, which goes on.  begun: the first one, if it is
 * put again. */
static int put_flight(tms_store *store, tms_pool_id pool, struct key_run *keys, uint32_t flags, const uint8_t *pages,
		      bool *results, struct kept *begun)
{
	const uint64_t start = keys->at;
	const uint64_t end = min_u64(keys->n, start + FLIGHT_PAGES);
	const bool copies = atomic_load_explicit(&store->puts_copy, memory_order_relaxed);
	const uint64_t touched = copies ? end : start + (begun->asked > 0);
	struct inflight *inflight = &store->held.region->inflight;
	uint64_t copied = 0;
	uint32_t flight;
	uint16_t slot;
	int code;

	for (uint64_t at = start; at < touched; at++)
		copy_touch(pages + at * PAGE_SIZE);
	code = store_enter(store);
	if (code)
		return code;
	slot = pool_slot(&store->held.pools, pool);
	prefetch_batch(store, keys, slot ? end : 0, slot);
	inflight_open(inflight, store->held.region->copy.page);
	for (; slot && keys->at < end; keys->at++) {
		enum tms_reject reject;
		struct kept kept;

		if (unlikely(begun->asked))
			kept = *begun;
		else
			prepare(&kept, store, false, flags, pages + keys->at * PAGE_SIZE, NULL);
		kept.touched = keys->at < touched;
		begun->asked = 0;
		reject = put_one(store, slot, false, keys, &kept);
		if (unlikely(reject == PUT_AGAIN)) {
			*begun = kept;
			break;
		}
		results[keys->at] = reject == TMS_REJECTS;
		copied += reject == TMS_REJECTS;
	}
	flight = inflight_close(inflight);
	store_learn(&store->puts_copy, keys->at - start + (begun->asked > 0), copied + (begun->asked > 0));
	store_leave(store);
	inflight_land(inflight, flight);
	warm_tables(store);
	return slot ? TMS_OK : TMS_E_NO_POOL;
}

int tms_put_many(tms_store *store, tms_pool_id pool, uint64_t n, const uint64_t *objects, const uint64_t *indexes,
		 uint32_t flags, const uint8_t *pages, bool *results)
{
	struct key_run keys = { .objects = objects, .indexes = indexes, .n = n };
	struct kept begun = { .asked = 0 };

	if (!*store->present)
		return TMS_E_CLOSED;
	if (!key_run_fits(&keys) || flags & ~(uint32_t)TMS_PUT_ACTIVE || store->without_data)
		return TMS_E_INVALID;
	while (!pool_id_is_persistent(pool) && keys.at < n) {
		int code = put_flight(store, pool, &keys, flags, pages, results, &begun);

		if (code < 0)
			return code;
	}
	for (; keys.at < n; keys.at++) {
		int code = put_page(store, pool, &keys, flags, pages + keys.at * PAGE_SIZE);

		if (code < 0)
			return code;
		results[keys.at] = code == TMS_OK;
	}
	return TMS_OK;
}
