/*
 * shrink.h: making one entry leave: drop it, give up its frame, write it back.
 */
#ifndef TMS_SHRINK_H
#define TMS_SHRINK_H

#include "entry.h"
#include "evict.h"
#include "index.h"
#include "io.h"
#include "pool.h"
#include "region.h"
#include "spill.h"

/* Everything a page is held by.  The store owns it and guards it with its lock. */
struct holdings {
	struct tms_region *region; /* borrowed */
	struct index index;
	struct pools pools;
	struct evict evict;
	struct spill spill;
	struct tms_stats stats; /* what is counted as it happens; the rest is filled in when asked for */
};

static inline struct entry *holdings_entry(const struct holdings *held, uint32_t id)
{
	return entry_at(&held->index.entries, id);
}

/* Adds an entry, as it stands now, to the counts of its kind and its chunk, or takes it out of them.
 * Every change of an entry's flags, size or place lies between a take and an add. */
void holdings_count(struct holdings *held, const struct entry *entry, int sign);

/* The entry and all it has are gone: evicted, flushed or replaced. */
void shrink_drop(struct holdings *held, uint32_t id);
/* A persistent entry with a copy gives up its frame. */
void shrink_drop_resident(struct holdings *held, uint32_t id);
/* A packed object was moved by compaction; context is the holdings. */
void shrink_moved(void *context, uint32_t id, uint32_t new_place);

/* ---- writing back ------------------------------------------------------------------------------------ */

#define PAGE_OUT_BLOCKS 128 /* 512 KiB: large enough for a device's sequential speed */
#define PAGE_OUT_ITEMS 1024

/* What one allocation waits for. */
struct page_out_group {
	uint32_t users;   /* the allocation, and each batch */
	uint32_t pending; /* batches not complete */
	int32_t error;    /* errno of the first that failed */
};

struct page_out_item {
	uint32_t id;
	uint32_t block;
	uint8_t unit;
};

/* One sequential write of many objects: a run of blocks and a buffer of its own. */
struct page_out {
	struct io_request io; /* first: a completed request is turned back into its batch */
	struct page_out *next_idle;
	struct page_out_group *group;
	uint32_t start_block;
	uint32_t blocks; /* taken */
	uint32_t filled; /* begun, from the start */
	uint32_t items;
	struct page_out_item item[PAGE_OUT_ITEMS];
	uint16_t room[PAGE_OUT_BLOCKS]; /* bytes left in each block begun */
};

/* Null: no memory. */
struct page_out *page_out_create(void);
void page_out_destroy(struct page_out *batch);
/* Takes blocks for an empty batch.  False: the spill file is full. */
bool page_out_begin(struct holdings *held, struct page_out *batch, struct page_out_group *group);
/* Copies a resident object without a copy into the batch.  False: the batch is full. */
bool shrink_gather(struct holdings *held, struct page_out *batch, uint32_t id);
/* Gives back the blocks not begun; the batch is ready for io_submit.  False: it holds nothing. */
bool page_out_seal(struct holdings *held, struct page_out *batch);
/* The write has ended: what it held and is still wanted has a copy now, or, after an error, has none. */
void shrink_complete(struct holdings *held, struct page_out *batch, int32_t error);

void page_out_group_put(struct page_out_group *group);

#endif
