/*
 * evict.h: the order in which ephemeral pages are given up when room is needed.
 */
#ifndef TMS_EVICT_H
#define TMS_EVICT_H

#include "entry.h"

struct evict;

/* False: giving this page up would not help now. */
typedef bool (*evict_usable_fn)(const void *context, uint32_t id);

/* An eviction order.  The list runs from the newest (first) to the oldest (last). */
struct order {
	const char *name;
	/* A get found the page and left it. */
	void (*touch)(struct evict *evict, uint32_t id);
	/* The page to give up next, still in the list; 0: none among those looked at is usable. */
	uint32_t (*victim)(struct evict *evict, evict_usable_fn usable, const void *context);
};

struct evict {
	const struct order *order;
	const struct slab *entries; /* borrowed */
	struct list list;
	struct list filled; /* same-filled pages: no frame to win, but bookkeeping that must not grow without end */
	uint32_t hand; /* SIEVE: where the next look begins; 0: at the oldest */
};

/* order: enum tms_order, checked by the caller. */
void evict_init(struct evict *evict, int order, const struct slab *entries);
void evict_admit(struct evict *evict, uint32_t id);
void evict_forget(struct evict *evict, uint32_t id);
void evict_admit_filled(struct evict *evict, uint32_t id);
void evict_forget_filled(struct evict *evict, uint32_t id);

static inline void evict_touch(struct evict *evict, uint32_t id)
{
	evict->order->touch(evict, id);
}

static inline uint32_t evict_victim(struct evict *evict, evict_usable_fn usable, const void *context)
{
	return evict->order->victim(evict, usable, context);
}

#endif
