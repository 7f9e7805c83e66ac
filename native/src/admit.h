/*
 * admit.h: where a new page comes to lie.
 */
#ifndef TMS_ADMIT_H
#define TMS_ADMIT_H

#include "shrink.h"

enum admit_result { ADMIT_OK, ADMIT_FULL, ADMIT_NO_MEMORY };

/* A free frame: the lowest; else one that compaction frees; else that of the ephemeral page to be given
 * up next.  PFN_NONE: the region is full of persistent pages. */
uint32_t admit_frame(struct holdings *held);

/* A place for a packed object of entry id: in a span with room; else in a new span, for whose frames the
 * same is done, all in one chunk.  fail_span: the bookkeeping for a new span is not to be had. */
enum admit_result admit_packed(struct holdings *held, uint32_t bytes, uint32_t id, bool fail_span, uint32_t *place);

#endif
