/*
 * admit.h: where a page comes to lie.
 */
#ifndef TMS_ADMIT_H
#define TMS_ADMIT_H

#include "shrink.h"

enum admit_result {
	ADMIT_OK,
	ADMIT_FULL,
	ADMIT_CEILING,
	ADMIT_NO_MEMORY,
	ADMIT_ON_ITS_WAY /* the page to be given up is still to be found: the same again, after others had the lock */
};

/* What may be given up for room. */
enum admit_depth {
	ADMIT_FREE,  /* nothing: free frames only */
	ADMIT_CLEAN, /* ephemeral pages */
	ADMIT_ANY,   /* and persistent ones that have a spill copy */
};

struct admission {
	uint32_t bytes;
	bool persistent; /* bound by the ceilings */
	bool moves;      /* it is in the store already: bound by those of chunks only */
	bool asks_again; /* ADMIT_ON_ITS_WAY may be the answer */
	bool fail_span;  /* the bookkeeping for a new span is not to be had */
	enum admit_depth depth;
};

/* A free frame: the lowest that the ceilings allow; else one that compaction frees; else that of the page
 * to be given up next.  That page is left to the caller, as *victim (else 0), to be dropped before the frame is taken:
 * the new page's bytes may come to lie over it first. */
enum admit_result admit_frame(struct holdings *held, const struct admission *page, uint32_t *pfn, uint32_t *victim);

/* A place for a packed object of entry id: in a span with room; else in a new span, for whose frames the
 * same is done, all in one chunk. */
enum admit_result admit_packed(struct holdings *held, const struct admission *page, uint32_t id, uint32_t *place);

#endif
