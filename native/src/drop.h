/*
 * drop.h: dropping what is in an isolated window.
 */
#ifndef TMS_DROP_H
#define TMS_DROP_H

#include "store.h"

struct drop {
	tms_store *store;
	uint64_t deadline_ns; /* on the store's clock */
	uint64_t clean_ns;    /* of a page, by the model */
	uint64_t drop_ns;     /* of a frontswap page */
	uint32_t start_pfn;
	uint32_t end_pfn;
	uint64_t clean; /* pages that were dropped, of each kind */
	uint64_t frontswap;
};

/* TMS_REASON_NONE: the window is empty.  TIME: it is late; CLOSED; SPILL: a page without a copy is in it. */
enum tms_reason drop_window(struct drop *drop);

#endif
