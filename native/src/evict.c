/*
 * evict.c: FIFO, LRU and SIEVE over one list.
 *
 * SIEVE: Y. Zhang et al., "SIEVE is Simpler than LRU", NSDI 2024.  A page is admitted at the front; a
 * get only marks it; the hand runs from the oldest towards the newest, unmarks what it passes and stops
 * at the first page that is not marked.
 *
 *      newest  [ ]-[v]-[ ]-[v]-[ ]  oldest
 *                       ^ hand, moving left
 *
 * Owns: the list and the hand.  Invariants: 1. every ephemeral page with a frame, and every entry that one left
 * behind, is in the list, every same-filled one in filled (first in, first out), and nothing else.  2. the hand names
 * one of the list or is 0.
 * Laws: 1. a page in a range that is being emptied is passed over: giving it up would free nothing.  2. what is passed
 * over only because its chunk does not suit a newcomer is the next one's, and keeps its place and its mark: else the hand
 * would leave the oldest pages behind it, and newer ones would go.  3. a marked page goes only for an asker that cannot
 * ask again.
 * Locks: the store's.
 */
#include "evict.h"

/* Pages looked at before a put gives up: most of the list may lie in a range being emptied. */
#define VICTIM_LOOK 256
/* The same for a page that only some chunks may take. */
#define UNSUITED_LOOK 64
/* Entries that windows left behind which one look meets, and removes: a few us. */
#define GONE_MAX 64
/* Marked pages that are unmarked in one look, since the lock is held meanwhile. */
#define UNMARK_MAX 1024

static struct link *order_link(const void *entries, uint32_t id)
{
	return &entry_at(entries, id)->order;
}

static void touch_nothing(struct evict *evict, uint32_t id)
{
	(void)evict;
	(void)id;
}

static void touch_to_front(struct evict *evict, uint32_t id)
{
	list_remove(&evict->list, evict->entries, order_link, id);
	list_push_front(&evict->list, evict->entries, order_link, id);
}

static void touch_mark(struct evict *evict, uint32_t id)
{
	entry_at(evict->entries, id)->flags |= ENTRY_VISITED;
}

static uint32_t victim_oldest(struct evict *evict, const struct evict_asker *asker)
{
	uint32_t id = evict->list.last;
	uint32_t look[] = { [EVICT_NO] = VICTIM_LOOK, [EVICT_UNSUITED] = UNSUITED_LOOK, [EVICT_GONE] = GONE_MAX };
	uint32_t left = 1; /* of the looks of the last answer's kind */

	while (id && left) {
		uint32_t newer = order_link(evict->entries, id)->prev;
		enum evict_answer answer = asker->ask(asker->context, id);

		if (answer == EVICT_YES)
			return id;
		left = --look[answer];
		id = newer;
	}
	evict->stopped = !look[EVICT_GONE];
	return 0;
}

static uint32_t victim_sieve(struct evict *evict, const struct evict_asker *asker)
{
	uint32_t id = evict_next(evict);
	uint32_t look = VICTIM_LOOK;
	uint32_t unsuited = UNSUITED_LOOK;
	uint32_t gone = GONE_MAX;
	uint32_t unmark = UNMARK_MAX;
	bool passes = false; /* the hand stays behind */

	while (id && look && unsuited && gone) {
		struct entry *entry = entry_at(evict->entries, id);
		uint32_t newer = entry->order.prev;
		enum evict_answer answer = asker->ask(asker->context, id);

		if (answer == EVICT_GONE) {
			gone--;
		} else if (answer == EVICT_NO) {
			look--;
		} else if (answer == EVICT_UNSUITED || (passes && entry->flags & ENTRY_VISITED)) {
			unsuited--;
			passes = true;
		} else if (entry->flags & ENTRY_VISITED && unmark) {
			entry->flags &= (uint8_t)~ENTRY_VISITED;
			unmark--;
		} else if (entry->flags & ENTRY_VISITED && asker->asks_again) {
			evict->is_on_its_way = true;
			return 0;
		} else {
			if (!passes)
				evict->hand = id;
			return id;
		}
		id = newer ? newer : evict->list.last;
		if (!passes)
			evict->hand = id;
	}
	evict->stopped = !gone;
	return 0;
}

static const struct order orders[TMS_ORDERS] = {
	[TMS_ORDER_FIFO] = { "fifo", touch_nothing, victim_oldest },
	[TMS_ORDER_LRU] = { "lru", touch_to_front, victim_oldest },
	[TMS_ORDER_SIEVE] = { "sieve", touch_mark, victim_sieve },
};

const char *tms_order_name(int order)
{
	return order >= 0 && order < TMS_ORDERS ? orders[order].name : NULL;
}

void evict_init(struct evict *evict, int order, const struct slab *entries)
{
	*evict = (struct evict){ .order = &orders[order], .entries = entries };
}

void evict_admit(struct evict *evict, uint32_t id)
{
	list_push_front(&evict->list, evict->entries, order_link, id);
}

void evict_forget(struct evict *evict, uint32_t id)
{
	if (evict->hand == id)
		evict->hand = order_link(evict->entries, id)->prev;
	list_remove(&evict->list, evict->entries, order_link, id);
}

void evict_admit_filled(struct evict *evict, uint32_t id)
{
	list_push_front(&evict->filled, evict->entries, order_link, id);
}

void evict_forget_filled(struct evict *evict, uint32_t id)
{
	list_remove(&evict->filled, evict->entries, order_link, id);
}
