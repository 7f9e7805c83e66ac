/*
 * store_load.h: a page that is read from the spill file while its caller waits.
 */
#ifndef TMS_STORE_LOAD_H
#define TMS_STORE_LOAD_H

#include "store.h"

/* First the buffer, which O_DIRECT wants aligned. */
struct load {
	_Alignas(4096) uint8_t buffer[BLOCK_BYTES];
	struct io_request io;
	struct load *next; /* of its batch */
	uint64_t item;     /* of its batch */
	bool alone;        /* begun while an allocation was under way */
	uint64_t until_ns;
	uint64_t check; /* 48 bits */
	uint32_t block;
	uint32_t size;
	uint32_t at; /* of the object in the block */
	uint8_t form; /* ENTRY_PACKED, ENTRY_DENSE */
};

/* With the lock held, which a copy in the spill file has to be read without. */
int load_begin(tms_store *store, const struct entry *entry, struct load **ret);
/* Without the lock, from here on.  To the device. */
void load_submit(tms_store *store, struct load *load, const struct tms_wait *wait);
/* For the oldest load of a wait.  All answers but TMS_WAITING end it. */
int load_wait(tms_store *store, struct load *load, uint8_t *page, struct tms_wait *wait);

/* A page from the bytes that are kept of it. */
int load_unpack(tms_store *store, const uint8_t *bytes, uint32_t size, uint8_t form, uint8_t *page);

#endif
