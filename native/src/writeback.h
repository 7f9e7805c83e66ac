/*
 * writeback.h: the device lane of an allocation: objects of a window get copies in the spill file.
 */
#ifndef TMS_WRITEBACK_H
#define TMS_WRITEBACK_H

#include "squeeze.h"
#include "walk.h"

enum writeback_turn {
	WRITEBACK_AGAIN, /* something was gathered or submitted */
	WRITEBACK_FULL,  /* all batches, or all blocks, are at the device */
	WRITEBACK_DONE,  /* as many were submitted as were asked for, or none is left */
	WRITEBACK_FAILED /* the spill file is full, or a write failed */
};

struct writeback {
	tms_store *store;
	const struct tms_cost *cost; /* what work takes on a virtual clock */
	uint32_t start_pfn;
	uint32_t end_pfn;
	uint32_t batch_blocks;
	uint64_t objects_max;    /* to be written */
	uint64_t to_compress;    /* of them, first */
	struct squeeze *squeeze; /* null: nothing is compressed */
	/* what was done */
	uint64_t objects;
	uint64_t compressed;
	uint64_t bytes; /* to the device, whole blocks */
	uint64_t batches;
	struct walk walk;
	struct page_out_group *group;
	struct page_out *batch; /* being filled */
};

/* False: no memory. */
bool writeback_begin(struct writeback *w);
/* Back to the start of the window, for what was passed over. */
void writeback_rewind(struct writeback *w);
/* One step; takes the lock and gives it up. */
enum writeback_turn writeback_turn(struct writeback *w);
/* With the lock held: what was gathered but not submitted stays without a copy; what is at the device
 * completes into the index whenever it does. */
void writeback_end(struct writeback *w);

#endif
