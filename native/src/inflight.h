/*
 * inflight.h: clean pages that are copied into or out of their frames without the store's lock, a batch at a time.
 */
#ifndef TMS_INFLIGHT_H
#define TMS_INFLIGHT_H

#include <pthread.h>
#include <stdatomic.h>

#include "copy.h"

/* Pages of a flight: the lock is held for the bookkeeping of so many in one go, some microseconds. */
#define FLIGHT_PAGES 16
/* At a time: one for each thread, as far as anybody has so many cores. */
#define FLIGHTS 8
#define FLIGHT_NONE UINT32_MAX

struct flight {
	pthread_mutex_t copying; /* held from opening to landing */
	copy_page_fn copy;
	uint32_t pages;
	uint32_t pfn[FLIGHT_PAGES]; /* PFN_NONE behind the last one */
	uint8_t *to[FLIGHT_PAGES];
	const uint8_t *from[FLIGHT_PAGES];
};

struct inflight {
	_Atomic uint32_t active; /* bit n: flight n is open or on its way */
	uint32_t open;           /* the one that takes pages now, or FLIGHT_NONE */
	struct flight flight[FLIGHTS];
};

void inflight_init(struct inflight *inflight);
void inflight_deinit(struct inflight *inflight);

/* With the store's lock held.  From here to inflight_close, pages may be added.  Where all flights are on their way, none
 * is open then. */
void inflight_open(struct inflight *inflight, copy_page_fn copy);
/* A page is to be copied into or out of the frame, which nobody copies into.  False: no flight is open, or it is full;
 * the caller copies it. */
bool inflight_add(struct inflight *inflight, uint32_t pfn, uint8_t *to, const uint8_t *from);
static inline bool inflight_is_open(const struct inflight *inflight)
{
	return inflight->open != FLIGHT_NONE;
}

/* What was opened, or FLIGHT_NONE. */
uint32_t inflight_close(struct inflight *inflight);
/* Until no frame of [start, end) is being copied into or out of.  Pages of the open flight are copied for that. */
void inflight_await(struct inflight *inflight, uint32_t start, uint32_t end);

/* Without the lock: copies what was added. */
void inflight_land(struct inflight *inflight, uint32_t number);

#endif
