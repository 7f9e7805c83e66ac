/*
 * move.h: the CPU lane of an allocation: moving objects out of a window, smaller where the plan says so.
 */
#ifndef TMS_MOVE_H
#define TMS_MOVE_H

#include "squeeze.h"
#include "walk.h"

enum move_turn {
	MOVE_AGAIN,   /* some moved, or room is being made */
	MOVE_DONE,    /* no object without a copy is left for it */
	MOVE_NO_ROOM, /* neither in the region outside the window nor in the reserve */
};

struct move {
	tms_store *store;
	const struct tms_cost *cost; /* what work takes on a virtual clock */
	uint32_t start_pfn;
	uint32_t end_pfn;
	uint32_t chunk_end_pfn; /* of the chunk it is at, from the last to the first */
	struct walk walk;
	struct squeeze *squeeze;   /* null: nothing is compressed */
	uint64_t to_compress;      /* objects that are to shrink on the way */
	bool inside_is_full;
	bool takes_written;        /* also objects whose write is under way */
	/* what was done */
	uint64_t inside, reserve, compressed, clean_evicted;
	uint64_t overtaken; /* of them, that were being written */
};

void move_begin(struct move *m, bool takes_written);
/* One step; takes the lock and gives it up. */
enum move_turn move_turn(struct move *m);

#endif
