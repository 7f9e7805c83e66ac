/*
 * ghost.h: what a larger or a smaller share of the region would have held, of either kind of page.
 */
#ifndef TMS_GHOST_H
#define TMS_GHOST_H

#include "check.h"

enum ghost_kind { GHOST_CLEAN, GHOST_SWAP, GHOST_KINDS };

struct ghost_slot;

/* The sampled pages of a kind, in the order of their last use:
 *
 *      slot     0      1      2      3      4    ...  end
 *             [ p7 | empty |  p3  | hole |  p9  ]            newest last
 *
 * The distance of a page is the weight of what lies behind it.  A page that goes leaves a hole, which the next one that
 * comes fills: what lies in front of it does not come any nearer, since it may have been given up before. */
struct ghost_stack {
	struct ghost_slot *slot;
	uint32_t *tree;  /* Fenwick: weights, in units of 64 bytes */
	uint32_t *head;  /* of the chains of equal hashes */
	uint64_t *holes; /* a bit a slot */
	uint16_t *owners; /* pages by a byte of their owner: most objects have none */
	uint32_t end;
	uint64_t weight;
	uint64_t pages_weight; /* without the holes */
	uint64_t pages_most;   /* at any time */
};

struct ghost {
	uint32_t threshold; /* of the upper half of a hash; 0: nothing is sampled */
	uint32_t slots;     /* a power of two */
	uint32_t bin_units;
	void *memory;
	struct ghost_stack stack[GHOST_KINDS];
	struct tms_ghosts seen;
	uint64_t let_in_before; /* pages that the store had let in when it was set: the store's to keep */
};

/* Looks at nothing. */
void ghost_init(struct ghost *ghost);
void ghost_deinit(struct ghost *ghost);
/* frames: of the region; sampled: how many of them are to stand for it, 0: none.  Forgets what it saw.  False: no memory,
 * and nothing changed. */
bool ghost_set(struct ghost *ghost, uint32_t frames, uint32_t sampled);

/* Whether the page of a key with this hash is looked at. */
static inline bool ghost_samples(const struct ghost *ghost, uint64_t hash)
{
	return (uint32_t)(hash >> 32) < ghost->threshold;
}

/* A page of so many units of 64 bytes came to its pool, whether it was taken or not.  owner: of its object, 32 bits. */
void ghost_put(struct ghost *ghost, enum ghost_kind kind, uint64_t hash, uint16_t pool, uint32_t owner, uint32_t units);
/* It was asked for, and found in the region or not.  goes: it is the caller's now. */
void ghost_get(struct ghost *ghost, enum ghost_kind kind, uint64_t hash, bool found, bool goes);
void ghost_flush(struct ghost *ghost, enum ghost_kind kind, uint64_t hash);
void ghost_flush_object(struct ghost *ghost, enum ghost_kind kind, uint16_t pool, uint32_t owner);
void ghost_flush_pool(struct ghost *ghost, enum ghost_kind kind, uint16_t pool);

uint64_t ghost_bytes(const struct ghost *ghost);
/* What it has seen since it was set. */
void ghost_read(const struct ghost *ghost, struct tms_ghosts *ret);

#endif
