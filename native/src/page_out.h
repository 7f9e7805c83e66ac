/*
 * page_out.h: one sequential write of many objects.
 */
#ifndef TMS_PAGE_OUT_H
#define TMS_PAGE_OUT_H

#include "shrink.h"

#define PAGE_OUT_BLOCKS 128 /* 512 KiB: large enough for a device's sequential speed */
#define PAGE_OUT_ITEMS 1024

/* What one allocation, or one caller of write-through, waits for. */
struct page_out_group {
	uint32_t users;   /* the one who waits, and each batch */
	uint32_t pending; /* batches not complete */
	int32_t error;    /* errno of the first that failed */
};

/* size and form: those of the copy.  A page that was compressed on its way into the batch takes that form
 * with its completed copy, and gives up its frame then, since a page has one form. */
struct page_out_item {
	uint32_t id;
	uint32_t block;
	uint16_t size;
	uint8_t unit;
	uint8_t form; /* ENTRY_PACKED, ENTRY_DENSE */
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
	enum tms_cause cause;
	struct page_out_item item[PAGE_OUT_ITEMS];
	uint16_t room[PAGE_OUT_BLOCKS]; /* bytes left in each block begun */
};

/* The bytes of an object, in the form they are to be written in. */
struct page_out_bytes {
	const uint8_t *at; /* null: as they lie in the region or the reserve */
	uint32_t size;
	uint8_t form;
};

/* Null: no memory. */
struct page_out *page_out_create(void);
void page_out_destroy(struct page_out *batch);
/* Takes up to that many blocks for an empty batch.  False: the spill file is full. */
bool page_out_begin(struct holdings *held, struct page_out *batch, uint32_t blocks, enum tms_cause cause, struct page_out_group *group);
/* Copies a resident object without a copy into the batch, as it is kept or in another form (null: as it is
 * kept).  False: the batch is full. */
bool page_out_gather(struct holdings *held, struct page_out *batch, uint32_t id, const struct page_out_bytes *bytes);
/* Gives back the blocks not begun; the batch is ready for io_submit.  False: it holds nothing. */
bool page_out_seal(struct holdings *held, struct page_out *batch);
/* The write has ended: what it held and is still wanted has a copy now, or, after an error, has none. */
void page_out_complete(struct holdings *held, struct page_out *batch, int32_t error);

void page_out_group_put(struct page_out_group *group);

#endif
