/*
 * store_get.c: giving pages back.
 *
 * A page in the region is copied under the lock and decompressed after it.  A page in the spill file is
 * read by an I/O thread while the caller waits, in slices, without holding up anybody else.  A batch has several
 * such reads under way, so that a device that serves them side by side does:
 *
 *      wait.request -> oldest load -> next -> ... -> 0
 *
 * Laws: 1. never wrong bytes: what comes from the device is compared with the checksum in the index.
 * 2. a failed load changes nothing: the next one may succeed.  3. a block that is being read stays in
 * use, whatever becomes of its page meanwhile.
 */
#include <errno.h>

#include "store.h"

/* Of one batch at the device: as many as there are I/O threads, which serve reads before writes.  While an allocation is
 * under way, which waits for writes, a batch begins no load before the one before has ended. */
#define LOADS_AHEAD 4

/* First the buffer, which O_DIRECT wants aligned. */
struct load {
	_Alignas(4096) uint8_t buffer[BLOCK_BYTES];
	struct io_request io;
	struct load *next; /* of its batch */
	uint64_t item;     /* of its batch */
	bool alone;        /* begun while an allocation was under way */
	uint64_t until_ns;
	uint64_t check; /* 48 bits */
	uint32_t block;
	uint32_t size;
	uint32_t at; /* of the object in the block */
	uint8_t form; /* ENTRY_PACKED, ENTRY_DENSE */
};

static struct load *load_of(struct io_request *request)
{
	return (struct load *)(void *)((uint8_t *)request - offsetof(struct load, io));
}

static void release_load(struct io_request *request)
{
	free(load_of(request));
}

/* With the lock held. */
static void unpin(tms_store *store, const struct load *load)
{
	spill_put(&store->held.spill, load->block);
	store->loads--;
}

void load_reaped(tms_store *store, struct io_request *request)
{
	unpin(store, load_of(request));
	release_load(request);
}

/* With the lock held. */
static int begin_load(tms_store *store, const struct entry *entry, struct load **ret)
{
	struct load *load;
	void *memory;

	if (posix_memalign(&memory, PAGE_SIZE, sizeof(*load)))
		return TMS_E_NO_MEMORY;
	load = memory;
	memset(load, 0, sizeof(*load));
	load->io = (struct io_request){ .op = IO_READ,
					.offset = (uint64_t)entry->block * BLOCK_BYTES,
					.bytes = BLOCK_BYTES,
					.buffer = load->buffer,
					.watched = true,
					.release = release_load };
	load->alone = store->allocations > 0;
	load->check = (uint64_t)entry->check_high << 32 | entry->check_low;
	load->block = entry->block;
	load->size = entry->size;
	load->at = (uint32_t)entry->unit << BLOCK_UNIT_SHIFT;
	load->form = entry->flags & (ENTRY_PACKED | ENTRY_DENSE);
	spill_get(&store->held.spill, load->block);
	store->loads++;
	*ret = load;
	return TMS_OK;
}

static int unpack(tms_store *store, const uint8_t *bytes, uint32_t size, uint8_t form, uint8_t *page)
{
	struct codec *codec = form & ENTRY_DENSE ? &store->denser : &store->codec;

	if (form & ENTRY_PACKED)
		return codec_decompress(codec, bytes, size, page) ? TMS_OK : TMS_E_CODEC;
	memcpy(page, bytes, PAGE_SIZE);
	return TMS_OK;
}

static int check_load(tms_store *store, const struct load *load, uint8_t *page)
{
	const uint8_t *bytes = load->buffer + load->at;

	if (load->io.error)
		return load->io.error == ECANCELED ? TMS_E_CLOSED : TMS_E_SPILL_READ;
	if ((spill_checksum(bytes, load->size) & UINT64_C(0xffffffffffff)) != load->check)
		return TMS_E_SPILL_CORRUPT;
	return unpack(store, bytes, load->size, load->form, page);
}

/* The request is the caller's again: its bytes are judged, its block is given back. */
static int end_load(tms_store *store, struct load *load, uint8_t *page)
{
	int code = page ? check_load(store, load, page) : TMS_OK;

	pthread_mutex_lock(&store->lock);
	unpin(store, load);
	if (code == TMS_OK && page)
		store->held.stats.swap_hits_spill++;
	else if (code < 0)
		store->held.stats.load_errors++;
	pthread_mutex_unlock(&store->lock);
	release_load(&load->io);
	return code;
}

/* The caller waits no more. */
static void abandon(tms_store *store, struct load *load)
{
	if (io_unwatch(store->io, &load->io))
		(void)end_load(store, load, NULL);
}

/* For the oldest load.  All answers but TMS_WAITING end it. */
static int wait_load(tms_store *store, struct load *load, uint8_t *page, struct tms_wait *wait)
{
	uint64_t now_ns = clock_now_ns(&store->clock);
	uint64_t left_ns = load->until_ns > now_ns ? load->until_ns - now_ns : 0;
	struct load *next = load->next;
	int code;

	if (io_wait_request(store->io, &load->io, min_u64(left_ns, wait->slice_ns))) {
		wait->request = next;
		wait->until_ns = 0;
		/* The device works: those behind have a time of their own. */
		for (now_ns = clock_now_ns(&store->clock); next; next = next->next)
			next->until_ns = now_ns + store->io_timeout_ns;
		return end_load(store, load, page);
	}
	if (store_is_closed(store))
		code = TMS_E_CLOSED;
	else if (clock_now_ns(&store->clock) >= load->until_ns)
		code = TMS_E_TIMEOUT;
	else
		return TMS_WAITING;
	wait->until_ns = load->until_ns;
	wait->request = next;
	abandon(store, load);
	pthread_mutex_lock(&store->lock);
	store->held.stats.load_errors++;
	pthread_mutex_unlock(&store->lock);
	return code;
}

void tms_wait_cancel(tms_store *store, struct tms_wait *wait)
{
	struct load *load = wait->request;

	wait->request = NULL;
	while (load && *store->present) {
		struct load *next = load->next;

		abandon(store, load);
		load = next;
	}
}

/* With the lock held, which it gives up. */
static int read_resident(tms_store *store, const struct pool *pool, uint32_t id, uint8_t *page)
{
	struct holdings *held = &store->held;
	struct entry *entry = holdings_entry(held, id);
	const uint8_t form = entry->flags & (ENTRY_PACKED | ENTRY_DENSE);
	const uint32_t size = entry->size;
	uint8_t bytes[TMS_PAGE_SIZE];

	if (!form && entry->flags & ENTRY_RESIDENT)
		copy_prefetch(mapping_at(&held->region->mapping, entry->place >> UNITS_SHIFT));
	if (pool_get_removes(pool))
		holdings_prefetch_drop(held, id);
	if (entry->flags & ENTRY_FILL)
		page_fill(page, entry_fill(entry));
	else
		region_read(held->region, entry->place, size, form, form ? bytes : page);
	if (entry->flags & ENTRY_PERSISTENT)
		held->stats.swap_hits_region++;
	else
		held->stats.clean_hits++;
	if (pool_get_removes(pool))
		shrink_drop(held, id);
	else if (entry->flags & ENTRY_PERSISTENT)
		entry->flags |= ENTRY_VISITED; /* what it means for its age is seen when a cold page is looked for */
	else if (!(entry->flags & ENTRY_FILL))
		evict_touch(&held->evict, id);
	store_leave(store);
	return form ? unpack(store, bytes, size, form, page) : TMS_OK;
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
		++*gets;
		return read_resident(store, &held->pools.pool[slot], id, page);
	}
	if (!slot)
		code = TMS_E_NO_POOL;
	else if (!id)
		code = TMS_MISS;
	else if (!load)
		code = TMS_WAITING;
	else
		code = begin_load(store, holdings_entry(held, id), load);
	if (code == TMS_MISS || (code == TMS_OK && load))
		++*gets;
	store_leave(store);
	return code == TMS_OK ? TMS_WAITING : code;
}

static void submit_load(tms_store *store, struct load *load, const struct tms_wait *wait)
{
	load->until_ns = wait->until_ns ? wait->until_ns : clock_now_ns(&store->clock) + store->io_timeout_ns;
	io_submit(store->io, &load->io);
}

static int get(tms_store *store, tms_pool_id pool, const struct key_run *keys, uint8_t *page, struct tms_wait *wait)
{
	struct load *load = NULL;
	int code;

	if (!*store->present)
		return TMS_E_CLOSED;
	if (wait && wait->request)
		return wait_load(store, wait->request, page, wait);
	code = begin_get(store, pool, keys, page, wait ? &load : NULL);
	if (!load)
		return code;
	submit_load(store, load, wait);
	wait->request = load;
	return wait_load(store, load, page, wait);
}

int tms_get(tms_store *store, tms_pool_id pool, uint64_t object, uint32_t index, uint8_t *page, struct tms_wait *wait)
{
	const uint64_t indexes[] = { index };
	const struct key_run keys = { .objects = &object, .indexes = indexes, .n = 1 };

	return get(store, pool, &keys, page, wait);
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
		code = begin_get(batch->store, batch->pool, &batch->keys, batch->pages + wait->done * PAGE_SIZE, &load);
		if (code == TMS_E_CLOSED || code == TMS_E_NO_POOL)
			return code;
		if (!load) {
			answer(batch, wait->done, code);
			continue;
		}
		load->item = wait->done;
		submit_load(batch->store, load, wait);
		if (last)
			last->next = load;
		else
			wait->request = load;
		last = load;
		ahead++;
	}
	return TMS_OK;
}

int tms_get_many(tms_store *store, tms_pool_id pool, uint64_t n, const uint64_t *objects, const uint64_t *indexes,
		 uint8_t *pages, bool *results, int32_t *errors, struct tms_wait *wait)
{
	struct get_batch batch = { store, pool, { .objects = objects, .indexes = indexes, .n = n }, pages, results, errors, wait };
	uint64_t began_ns;
	int code;

	if (!*store->present)
		return TMS_E_CLOSED;
	began_ns = clock_now_ns(&store->clock);
	if (wait->done == 0 && !wait->request)
		for (uint64_t i = 0; i < n; i++)
			if (indexes[i] > UINT32_MAX)
				return TMS_E_INVALID;
	while ((code = begin_loads(&batch)) == TMS_OK && wait->request) {
		struct load *load = wait->request;
		uint64_t item = load->item;

		code = wait_load(store, load, pages + item * PAGE_SIZE, wait);
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
	}
	return TMS_OK;
}
