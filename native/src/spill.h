/*
 * spill.h: the spill file: opening it, its blocks, checksums.
 */
#ifndef TMS_SPILL_H
#define TMS_SPILL_H

#include "bitmap.h"

#define BLOCK_BYTES TMS_PAGE_SIZE
#define BLOCK_UNIT_SHIFT 6 /* objects start at multiples of 64 bytes */
#define SPILL_HEADER_BLOCKS 1

/*
 * Objects never cross a block, so that a load is one read of 4 KiB and the file never needs more
 * blocks than there are live objects, however they come and go.
 *
 *      block 0   header
 *      block 1   [ object | object  |  - ]     users[1] == 2
 *      block 2   [ object (a raw page)   ]     users[2] == 1
 *      block 3   free                          users[3] == 0
 */
struct spill {
	uint16_t *users;    /* objects, reads and writes under way in a block */
	struct bitmap free; /* of the blocks below capacity */
	uint32_t capacity;
	uint32_t end;       /* blocks at and above were never used */
	uint32_t limit;     /* of the device, or the caller's */
	uint32_t used;
	uint32_t hand;      /* where the search for a free run begins: behind the last one taken */
};

/* Opens the path, locks it, checks or writes the header.  TMS_OK and *fd, or a code, with the step and
 * errno in info. */
int spill_open(const struct tms_store_config *config, struct tms_spill_info *info, int *fd);
/* Closes the file again, and removes it if spill_open made it. */
void spill_undo_open(const struct tms_store_config *config, const struct tms_spill_info *info, int fd);

/* False: no memory. */
bool spill_init(struct spill *spill, uint64_t limit_bytes);
void spill_deinit(struct spill *spill);

/* A run of up to want free blocks that follow each other, each with one user: the caller.  Returns its
 * length; 0: the file is as large as it may be, or no memory. */
uint32_t spill_take_run(struct spill *spill, uint32_t want, uint32_t *start);

static inline void spill_get(struct spill *spill, uint32_t block)
{
	spill->users[block]++;
}

/* One user less; with the last the block is free. */
void spill_put(struct spill *spill, uint32_t block);

/* The index keeps 48 bits of it: a change goes unnoticed once in 2^48. */
uint64_t spill_checksum(const uint8_t *bytes, uint32_t size);

uint64_t spill_bytes(const struct spill *spill);

#endif
