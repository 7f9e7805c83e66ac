/*
 * store.c: the life of a store and its lock.
 *
 * Owns: holdings, codec, I/O layer, batches.  Borrows: the region.
 * Locks: store.lock.  Order: store.lock, then io.lock, codec.lock or faults.lock (leaves).  The lock
 * is never held in a system call on the spill file, in a codec call, or while waiting.
 */
#define _GNU_SOURCE
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "store.h"

/* Looks at a lock that is taken before going to sleep, some microseconds in all: it is held for a fraction of one by
 * puts and gets, and to be woken takes several. */
#define LOCK_LOOKS 50
#define LOCK_LOOK_PAUSES 8
/* How long a long call lets those who sleep wake up, some hundred microseconds at most. */
#define GIVE_WAY_YIELDS 200
/* How long a store that was never closed may take to empty its file. */
#define DESTROY_WAIT_NS (100 * NSEC_PER_MSEC)

/* ---- lock -------------------------------------------------------------------------------------------- */

void store_lock(tms_store *store)
{
	for (int look = 0; look < LOCK_LOOKS; look++) {
		if (likely(pthread_mutex_trylock(&store->lock) == 0))
			return;
		for (int pause = 0; pause < LOCK_LOOK_PAUSES; pause++)
			cpu_relax();
	}
	atomic_fetch_add_explicit(&store->sleepers, 1, memory_order_relaxed);
	pthread_mutex_lock(&store->lock);
	atomic_fetch_sub_explicit(&store->sleepers, 1, memory_order_relaxed);
}

void store_give_way(tms_store *store)
{
	for (int i = 0; i < GIVE_WAY_YIELDS && unlikely(atomic_load_explicit(&store->sleepers, memory_order_relaxed)); i++)
		sched_yield();
}

int store_enter(tms_store *store)
{
	if (unlikely(!*store->present))
		return TMS_E_CLOSED;
	store_lock(store);
	if (unlikely(store->closed)) {
		pthread_mutex_unlock(&store->lock);
		return TMS_E_CLOSED;
	}
	if (store->io && unlikely(io_has_completed(store->io)))
		store_reap(store);
	return TMS_OK;
}

void store_reenter(tms_store *store)
{
	store_lock(store);
	if (store->io && io_has_completed(store->io))
		store_reap(store);
}

bool store_is_closed(tms_store *store)
{
	bool closed;

	store_lock(store);
	closed = store->closed;
	store_leave(store);
	return closed;
}

void store_leave(tms_store *store)
{
	pthread_mutex_unlock(&store->lock);
}

void store_reap(tms_store *store)
{
	struct io_request *request;

	while ((request = io_reap(store->io))) {
		if (request->op == IO_WRITE) {
			struct page_out *batch = (struct page_out *)request;

			page_out_complete(&store->held, batch, request->error);
			store_give_batch(store, batch);
		} else if (request->op == IO_READ) {
			load_reaped(store, request);
		} else {
			request->release(request);
		}
	}
}

struct page_out *store_take_batch(tms_store *store)
{
	struct page_out *batch = store->idle;

	if (batch) {
		store->idle = batch->next_idle;
		store->idle_batches--;
	}
	return batch;
}

struct page_out *store_take_spare_batch(tms_store *store)
{
	return store->idle_batches > PAGE_OUT_BATCHES_KEPT ? store_take_batch(store) : NULL;
}

void store_put_back_batch(tms_store *store, struct page_out *batch)
{
	batch->next_idle = store->idle;
	store->idle = batch;
	store->idle_batches++;
}

void store_give_batch(tms_store *store, struct page_out *batch)
{
	store_put_back_batch(store, batch);
	if (store->io)
		io_notify(store->io);
}

/* ---- life -------------------------------------------------------------------------------------------- */

/* A page that a forked child finds zeroed: it has the bookkeeping but neither pages nor I/O threads. */
static bool *make_present(void)
{
	bool *present = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (present == MAP_FAILED)
		return NULL;
	(void)madvise(present, PAGE_SIZE, MADV_WIPEONFORK);
	*present = true;
	return present;
}

static int make_batches(tms_store *store)
{
	for (int i = 0; i < PAGE_OUT_BATCHES; i++) {
		struct page_out *batch = page_out_create();

		if (!batch)
			return TMS_E_NO_MEMORY;
		store_give_batch(store, batch);
	}
	return TMS_OK;
}

static int start_spill(tms_store *store, const struct tms_store_config *config, struct tms_spill_info *info)
{
	struct io_config io = { .fd = -1, .threads = config->io_threads, .spins = config->io_spins, .faults = store->faults, .clock = store->clock };
	const bool in_memory = config->device && config->device->in_memory;
	uint64_t limit = config->spill_limit_bytes;
	int code = TMS_OK;

	if (in_memory)
		*info = (struct tms_spill_info){ .size_bytes = config->device->size_bytes, .created = true, .direct = true };
	else
		code = spill_open(config, info, &io.fd);
	if (code)
		return code;
	store->spill_is_file = !info->is_device;
	io.direct = info->direct;
	if (config->device && config->device->size_bytes && (!limit || limit > config->device->size_bytes))
		limit = config->device->size_bytes;
	if (info->size_bytes && (!limit || limit > info->size_bytes))
		limit = info->size_bytes;
	code = spill_init(&store->held.spill, limit) ? make_batches(store) : TMS_E_NO_MEMORY;
	if (!code && config->device) {
		io.emulate = emulate_create(config->device, clock_now_ns(&store->clock));
		code = io.emulate ? TMS_OK : TMS_E_NO_MEMORY;
		if (!code && store->without_data)
			emulate_keep_nothing(io.emulate);
	}
	if (!code) {
		code = io_start(&io, &store->io, &info->error);
		info->failed_step = code ? "start I/O threads" : NULL;
	}
	if (code)
		emulate_destroy(io.emulate);
	if (code && !in_memory)
		spill_undo_open(config, info, io.fd);
	return code;
}

static bool has_spill(const struct tms_store_config *config)
{
	return config->spill_path || (config->device && config->device->in_memory);
}

static bool is_valid(const struct tms_store_config *config)
{
	if (config->spill_limit_bytes && config->spill_limit_bytes < UINT64_C(2) * BLOCK_BYTES)
		return false;
	if (config->order < 0 || config->order >= TMS_ORDERS || config->io_threads < 1 || config->io_threads > 16)
		return false;
	if (config->device && (!emulate_is_valid(config->device) || !has_spill(config)))
		return false;
	/* Only a model knows when a transfer ends on a virtual clock. */
	return !config->clock || !clock_is_virtual(config->clock) || config->device || !config->spill_path;
}

static int start(tms_store *store, tms_region *region, const struct tms_store_config *config, struct tms_spill_info *info)
{
	struct holdings *held = &store->held;

	held->region = region;
	store->without_data = !region_has_data(region);
	pools_init(&held->pools);
	store->faults = faults_create();
	store->present = make_present();
	if (!index_init(&held->index) || !store->faults || !store->present)
		return TMS_E_NO_MEMORY;
	evict_init(&held->evict, config->order, &held->index.entries);
	aging_init(&held->aging, &held->index.entries);
	filter_init(&held->filter);
	ghost_init(&held->ghost);
	held->ceiling = (struct ceiling){ .limits.frontswap_permille = 1000 };
	store->clock = config->clock ? *config->clock : clock_system;
	store->io_timeout_ns = config->io_timeout_ns;
	store->denser_permille = config->denser_permille ? config->denser_permille : 1000;
	store->enabled = true;
	faults_set_clock(store->faults, &store->clock);
	return has_spill(config) ? start_spill(store, config, info) : TMS_OK;
}

int tms_store_create(tms_region *region, const struct tms_store_config *config, struct tms_spill_info *spill_info,
		     tms_store **ret)
{
	tms_store *store;
	int code;

	*spill_info = (struct tms_spill_info){ 0 };
	if (!is_valid(config) || (config->spill_path && !region_has_data(region)))
		return TMS_E_INVALID;
	store = calloc(1, sizeof(*store));
	if (!store)
		return TMS_E_NO_MEMORY;
	code = codec_init(&store->codec, &config->codec);
	if (!code)
		code = codec_init(&store->denser, &config->denser);
	if (code || atomic_exchange(&region->lent, true)) {
		free(store);
		return TMS_E_INVALID;
	}
	pthread_mutex_init(&store->lock, NULL);
	store->holders = 1;
	code = start(store, region, config, spill_info);
	if (code) {
		tms_store_destroy(&store);
		atomic_store(&region->lent, false); /* nothing has come to lie in it */
		return code;
	}
	*ret = store;
	return TMS_OK;
}

static void release_truncation(struct io_request *request)
{
	free(request);
}

/* What the file held is worth nothing once the index is gone, and it may be somebody's memory. */
static struct io_request *make_truncation(void)
{
	struct io_request *request = calloc(1, sizeof(*request));

	if (request)
		*request = (struct io_request){ .op = IO_TRUNCATE, .offset = BLOCK_BYTES, .release = release_truncation };
	return request;
}

int tms_store_close(tms_store *store, uint64_t slice_ns, uint32_t *abandoned_threads)
{
	uint32_t busy = 0;
	bool first;

	if (!*store->present) {
		*abandoned_threads = 0;
		return TMS_OK;
	}
	store_lock(store);
	first = !store->closed;
	store->closed = true;
	if (first)
		store->close_began_ns = clock_now_ns(&store->clock);
	store_leave(store);
	if (store->io) {
		if (first)
			io_close(store->io, store->spill_is_file ? make_truncation() : NULL);
		if (!io_wait_idle(store->io, slice_ns, &busy) &&
		    clock_now_ns(&store->clock) - store->close_began_ns < store->io_timeout_ns)
			return TMS_WAITING;
		if (!busy)
			io_unlock_file(store->io);
	}
	*abandoned_threads = busy;
	return TMS_OK;
}

void tms_store_destroy(tms_store **made)
{
	tms_store *store = *made;
	struct page_out *batch;
	uint32_t busy;

	*made = NULL;
	if (!store)
		return;
	if (store->present && !*store->present) {
		/* A forked child: locks may be held by threads that it does not have. */
		if (store->io)
			io_forget(store->io);
		return;
	}
	if (store->present)
		(void)tms_store_close(store, DESTROY_WAIT_NS, &busy);
	if (store->io)
		(void)io_stop(store->io);
	while ((batch = store_take_batch(store)))
		page_out_destroy(batch);
	codec_deinit(&store->codec);
	codec_deinit(&store->denser);
	spill_deinit(&store->held.spill);
	filter_deinit(&store->held.filter);
	ghost_deinit(&store->held.ghost);
	pools_deinit(&store->held.pools);
	index_deinit(&store->held.index);
	if (store->faults)
		faults_put(store->faults);
	store_let_go(store);
}

void store_hold(tms_store *store)
{
	atomic_fetch_add_explicit(&store->holders, 1, memory_order_relaxed);
}

void store_let_go(tms_store *store)
{
	if (atomic_fetch_sub_explicit(&store->holders, 1, memory_order_acq_rel) > 1)
		return;
	if (store->present)
		munmap((void *)(uintptr_t)store->present, PAGE_SIZE);
	pthread_mutex_destroy(&store->lock);
	free(store);
}

int tms_store_set_enabled(tms_store *store, bool enabled)
{
	int code = store_enter(store);

	if (code)
		return code;
	store->enabled = enabled;
	store_leave(store);
	return TMS_OK;
}
