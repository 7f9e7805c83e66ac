/*
 * clean.h: one step of background work, and the page it takes next.
 */
#ifndef TMS_CLEAN_H
#define TMS_CLEAN_H

#include "store.h"
#include "walk.h"

struct cleaner {
	tms_store *store;
	const struct tms_clean_request *request;
	struct tms_clean_result *result;
	struct page_out *batch;
	enum tms_cause cause;
	uint32_t at;      /* the page the last step stopped at; looked up again, since it may have gone */
	struct walk walk; /* in the chunk that exceeds a share; without a region: pages are taken by age */
	uint64_t over_bytes; /* still to be written there */
	uint64_t pending_bytes; /* at the device when the step began */
	bool moved;       /* something else than a write was done */
	bool looking;     /* no page was met yet, but there are more to look at */
	uint64_t ended;   /* writes that had ended when the step began */
	bool waits;       /* it is busy until one of the others does */
	bool held_up;     /* by an allocation */
	bool yields;      /* loads wait for the device: no page is written for being cold */
	bool drains;      /* the reserve is to be emptied */
};

/* What is to be done in this step, cause and chunk.  False: nothing. */
bool clean_choose(struct cleaner *c);
/* The next page of it; 0: there is none, or, if it is looking, none yet. */
uint32_t clean_next_page(struct cleaner *c);

#endif
