/*
 * aging.h: the order in which persistent pages are written back and give up their frames.
 *
 *      newest  first <-> ... <-> last  oldest
 *
 * A page comes in at the front.  A load only marks it (ENTRY_VISITED); who looks for a cold page from the
 * back moves marked ones to the front, once.
 */
#ifndef TMS_AGING_H
#define TMS_AGING_H

#include "entry.h"

/* uncopied, copied: pages in the region without and with a spill copy; reserve: pages in the escape
 * reserve, in the order of their places. */
enum age { AGE_UNCOPIED, AGE_COPIED, AGE_RESERVE, AGES };

struct aging {
	const struct slab *entries; /* borrowed */
	struct list list[AGES];
	uint32_t slide_hand; /* the next page of the reserve that may slide down; 0: no pass is on */
	uint32_t slide_to;   /* the unit it slides to */
};

void aging_init(struct aging *aging, const struct slab *entries);
void aging_enlist(struct aging *aging, enum age age, uint32_t id);
void aging_delist(struct aging *aging, enum age age, uint32_t id);

/* The next older page's successor towards the newest; 0: none. */
static inline uint32_t aging_newer(const struct aging *aging, uint32_t id)
{
	return entry_at(aging->entries, id)->order.prev;
}

/* The oldest page from id on (0: from the very oldest) that was not visited, visited ones being moved to
 * the front on the way; 0: none.  After a few dozen of them the next one is as good as cold. */
uint32_t aging_cold(struct aging *aging, enum age age, uint32_t id);

#endif
