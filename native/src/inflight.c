/*
 * inflight.c: which frames have bytes on their way.
 *
 *      under the lock                        without it         under the lock, somebody else
 *      open -> add(frame) ... -> close  -->  land               await(frames): before their bytes are read, before they
 *                                                               are taken, and before they are zeroed or handed over
 *
 * Laws: 1. a frame may be given up while its bytes are on their way, but what comes to it next waits.  2. whoever copies
 * holds a mutex of its own meanwhile and takes no other: those that wait for it under the store's lock wait for
 * the copies of one flight at most, as they would if it had copied under that lock.  3. at most one flight is open, and
 * whoever opened it has the lock: what its own next page must wait for is copied then and there.
 * Owns: flights.  Borrows: the callers' pages.
 * Locks: all but land are called with the store's held; copying are leaves below it.
 */
#include "inflight.h"

void inflight_init(struct inflight *inflight)
{
	atomic_init(&inflight->active, 0);
	inflight->open = FLIGHT_NONE;
	for (uint32_t i = 0; i < FLIGHTS; i++)
		pthread_mutex_init(&inflight->flight[i].copying, NULL);
}

void inflight_deinit(struct inflight *inflight)
{
	for (uint32_t i = 0; i < FLIGHTS; i++)
		pthread_mutex_destroy(&inflight->flight[i].copying);
}

static void empty(struct flight *flight)
{
	flight->pages = 0;
	for (uint32_t page = 0; page < FLIGHT_PAGES; page++)
		flight->pfn[page] = PFN_NONE;
}

void inflight_open(struct inflight *inflight, copy_page_fn copy)
{
	uint32_t active = atomic_load_explicit(&inflight->active, memory_order_acquire);
	uint32_t number = (uint32_t)__builtin_ctz(~active);

	if (number >= FLIGHTS)
		return;
	pthread_mutex_lock(&inflight->flight[number].copying);
	inflight->flight[number].copy = copy;
	empty(&inflight->flight[number]);
	inflight->open = number;
	atomic_fetch_or_explicit(&inflight->active, UINT32_C(1) << number, memory_order_relaxed);
}

bool inflight_add(struct inflight *inflight, uint32_t pfn, uint8_t *to, const uint8_t *from)
{
	struct flight *flight;
	uint32_t page;

	if (!inflight_is_open(inflight))
		return false;
	flight = &inflight->flight[inflight->open];
	if (flight->pages == FLIGHT_PAGES)
		return false;
	page = flight->pages++;
	flight->pfn[page] = pfn;
	flight->to[page] = to;
	flight->from[page] = from;
	return true;
}

uint32_t inflight_close(struct inflight *inflight)
{
	uint32_t number = inflight->open;

	inflight->open = FLIGHT_NONE;
	return number;
}

static void copy_pages(struct flight *flight)
{
	for (uint32_t page = 0; page < flight->pages; page++) {
		if (page + 1 < flight->pages)
			copy_prefetch(flight->from[page + 1]);
		flight->copy(flight->to[page], flight->from[page]);
	}
}

/* All of them and no branch, which compilers turn into a few instructions. */
static bool has_frame_of(const struct flight *flight, uint32_t start, uint32_t end)
{
	uint32_t found = 0;

	for (uint32_t page = 0; page < FLIGHT_PAGES; page++)
		found |= flight->pfn[page] - start < end - start;
	return found;
}

void inflight_await(struct inflight *inflight, uint32_t start, uint32_t end)
{
	uint32_t active = atomic_load_explicit(&inflight->active, memory_order_acquire);

	for (; unlikely(active); active &= active - 1) {
		uint32_t number = (uint32_t)__builtin_ctz(active);
		struct flight *flight = &inflight->flight[number];

		if (likely(!has_frame_of(flight, start, end)))
			continue;
		if (number == inflight->open) {
			copy_pages(flight);
			empty(flight);
		} else {
			pthread_mutex_lock(&flight->copying);
			pthread_mutex_unlock(&flight->copying);
		}
	}
}

void inflight_land(struct inflight *inflight, uint32_t number)
{
	if (number == FLIGHT_NONE)
		return;
	copy_pages(&inflight->flight[number]);
	/* In this order: a flight that is not active has a free mutex. */
	pthread_mutex_unlock(&inflight->flight[number].copying);
	atomic_fetch_and_explicit(&inflight->active, ~(UINT32_C(1) << number), memory_order_release);
}
