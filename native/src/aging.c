/*
 * aging.c: lists of persistent pages by age.
 *
 * Owns: the lists and the hand.
 * Invariants: 1. a persistent page whose bytes are in the region or in the reserve is in exactly one list:
 * that of the reserve if they lie there, else that of the copied if it has a spill copy, else that of the
 * uncopied; no other page is in any.  2. the list of the reserve runs from the highest place (first) to the
 * lowest (last).  3. the hand names a page of the reserve or is 0.
 * Locks: the store's.
 */
#include "aging.h"

/* Pages that one look for a cold one moves to the front at most: the lock is held meanwhile. */
#define VISITED_MOVED_MAX 64

static struct link *age_link(const void *entries, uint32_t id)
{
	return &entry_at(entries, id)->order;
}

void aging_init(struct aging *aging, const struct slab *entries)
{
	*aging = (struct aging){ .entries = entries };
}

void aging_enlist(struct aging *aging, enum age age, uint32_t id)
{
	list_push_front(&aging->list[age], aging->entries, age_link, id);
}

void aging_delist(struct aging *aging, enum age age, uint32_t id)
{
	if (aging->slide_hand == id)
		aging->slide_hand = aging_newer(aging, id);
	list_remove(&aging->list[age], aging->entries, age_link, id);
}

uint32_t aging_cold(struct aging *aging, enum age age, uint32_t id)
{
	struct list *list = &aging->list[age];

	if (!id)
		id = list->last;
	for (uint32_t moved = 0; moved < VISITED_MOVED_MAX; moved++) {
		if (!id || id == list->first || !(entry_at(aging->entries, id)->flags & ENTRY_VISITED))
			break;
		uint32_t next = aging_newer(aging, id);

		entry_at(aging->entries, id)->flags &= (uint8_t)~ENTRY_VISITED;
		list_remove(list, aging->entries, age_link, id);
		list_push_front(list, aging->entries, age_link, id);
		id = next;
	}
	return id;
}
