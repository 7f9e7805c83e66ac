/*
 * squeeze.h: compressing a few objects with the denser codec, outside the lock.
 */
#ifndef TMS_SQUEEZE_H
#define TMS_SQUEEZE_H

#include "store.h"

#define SQUEEZE_OBJECTS 8

struct squeezed {
	uint32_t id;
	uint32_t place; /* where it lay */
	uint16_t size;
	uint8_t form;
	uint16_t packed_size; /* 0: it does not get smaller */
	uint8_t kept[TMS_PAGE_SIZE];
	uint8_t packed[TMS_PAGE_SIZE];
};

struct squeeze {
	uint32_t n;
	struct squeezed object[SQUEEZE_OBJECTS];
};

/* With the lock held: copies an object.  False: it is full. */
bool squeeze_take(struct squeeze *squeeze, const tms_store *store, uint32_t id);
/* Without the lock. */
void squeeze_run(struct squeeze *squeeze, tms_store *store);
/* With the lock held: whether the object is still where it was, without a copy, and none being written.  Id and
 * place may have been used again, where a span reaches out of the window, so the bytes are compared. */
bool squeeze_is_current(const tms_store *store, const struct squeezed *object);

#endif
