/*
 * store_load.c: pages in the spill file, which an I/O thread reads while the caller waits, in slices, without holding up
 * anybody else.  A batch has several such reads under way, so that a device that serves them side by side does:
 *
 *      wait.request -> oldest load -> next -> ... -> 0
 *
 * Laws: 1. never wrong bytes: what comes from the device is compared with the checksum in the index.
 * 2. a failed load changes nothing: the next one may succeed.  3. a block that is being read stays in
 * use, whatever becomes of its page meanwhile.
 */
#include <errno.h>

#include "store_load.h"

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

int load_begin(tms_store *store, const struct entry *entry, struct load **ret)
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

int load_unpack(tms_store *store, const uint8_t *bytes, uint32_t size, uint8_t form, uint8_t *page)
{
	struct codec *codec = form & ENTRY_DENSE ? &store->denser : &store->codec;

	if (store->without_data)
		return TMS_OK;
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
	if (!store->without_data && (spill_checksum(bytes, load->size) & UINT64_C(0xffffffffffff)) != load->check)
		return TMS_E_SPILL_CORRUPT;
	return load_unpack(store, bytes, load->size, load->form, page);
}

/* The request is the caller's again: its bytes are judged, its block is given back. */
static int end_load(tms_store *store, struct load *load, uint8_t *page)
{
	int code = page ? check_load(store, load, page) : TMS_OK;

	store_lock(store);
	unpin(store, load);
	if (code == TMS_OK && page)
		store->held.stats.swap_hits_spill++;
	else if (code < 0)
		store->held.stats.load_errors++;
	store_leave(store);
	release_load(&load->io);
	return code;
}

/* The caller waits no more. */
static void abandon(tms_store *store, struct load *load)
{
	if (io_unwatch(store->io, &load->io))
		(void)end_load(store, load, NULL);
}

int load_wait(tms_store *store, struct load *load, uint8_t *page, struct tms_wait *wait)
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
	store_lock(store);
	store->held.stats.load_errors++;
	store_leave(store);
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

void load_submit(tms_store *store, struct load *load, const struct tms_wait *wait)
{
	load->until_ns = wait->until_ns ? wait->until_ns : clock_now_ns(&store->clock) + store->io_timeout_ns;
	io_submit(store->io, &load->io);
}
