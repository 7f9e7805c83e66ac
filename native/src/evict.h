/*
 * evict.h: the order in which ephemeral pages are given up when room is needed.
 */
#ifndef TMS_EVICT_H
#define TMS_EVICT_H

#include "entry.h"

struct evict;

enum evict_answer {
	EVICT_NO,  /* giving this page up would help nobody now */
	EVICT_UNSUITED, /* it would not help who asks: the next one may take it */
	EVICT_YES,
	EVICT_GONE /* it is no page any more, and may have left the list: look at the next one */
};

/* Who wants a page gone. */
struct evict_asker {
	enum evict_answer (*ask)(const void *context, uint32_t id);
	const void *context;
	bool asks_again; /* where the next page is far, the order may stop on its way, and goes on from there */
};

/* An eviction order.  The list runs from the newest (first) to the oldest (last). */
struct order {
	const char *name;
	/* A get found the page and left it. */
	void (*touch)(struct evict *evict, uint32_t id);
	/* The page to give up next, still in the list; 0: none among those looked at is usable. */
	uint32_t (*victim)(struct evict *evict, const struct evict_asker *asker);
};

struct evict {
	const struct order *order;
	const struct slab *entries; /* borrowed */
	struct list list;
	struct list filled; /* same-filled pages: no frame to win, but bookkeeping that must not grow without end */
	uint32_t hand; /* SIEVE: where the next look begins; 0: at the oldest */
	bool stopped;  /* the last look met so many that were gone that it went no further */
	bool is_on_its_way; /* the last look passed so many marked pages that it went no further; ask again */
};

/* order: enum tms_order, checked by the caller. */
void evict_init(struct evict *evict, int order, const struct slab *entries);
void evict_admit(struct evict *evict, uint32_t id);
void evict_forget(struct evict *evict, uint32_t id);
void evict_admit_filled(struct evict *evict, uint32_t id);
void evict_forget_filled(struct evict *evict, uint32_t id);

/* The page that will most likely be given up next; 0: there is none. */
static inline uint32_t evict_next(const struct evict *evict)
{
	return evict->hand ? evict->hand : evict->list.last;
}

static inline void evict_touch(struct evict *evict, uint32_t id)
{
	evict->order->touch(evict, id);
}

static inline uint32_t evict_victim(struct evict *evict, const struct evict_asker *asker)
{
	evict->stopped = evict->is_on_its_way = false;
	return evict->order->victim(evict, asker);
}

#endif
