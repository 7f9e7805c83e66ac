/*
 * evacuate.h: a window's frontswap objects leave it, or get copies: both lanes of an allocation.
 */
#ifndef TMS_EVACUATE_H
#define TMS_EVACUATE_H

#include "move.h"
#include "writeback.h"

struct evacuation {
	tms_store *store;
	const struct tms_alloc_request *request;
	const struct tms_window *window; /* the plan */
	uint64_t deadline_ns;            /* on the store's clock */
	uint64_t waited_ns;
	struct move move;
	enum move_turn moved;
	struct writeback writeback;
	struct squeeze *squeeze;
	bool may_write;
};

/* Until no object without a copy is left: TMS_REASON_NONE; or until the deadline, or what else stops it.
 * Without the lock. */
enum tms_reason evacuate(struct evacuation *e);
/* With the lock held, after evacuate or instead of it. */
void evacuate_end(struct evacuation *e);

#endif
