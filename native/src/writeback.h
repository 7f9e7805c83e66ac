/*
 * writeback.h: giving every frontswap object of a window a copy in the spill file.
 */
#ifndef TMS_WRITEBACK_H
#define TMS_WRITEBACK_H

#include "store.h"

struct writeback {
	tms_store *store;
	uint32_t start_pfn;
	uint32_t end_pfn;
	uint64_t deadline_ns; /* on the store's clock */
	/* what was done */
	uint64_t objects;
	uint64_t bytes; /* to the device, whole blocks */
	uint64_t batches;
	uint64_t waited_ns;
	/* where the writer stands: a frame, and for a packed one a slot of its span */
	uint32_t pfn;
	uint32_t slot;
	bool foreign; /* since start_pfn it met an object that another allocation's write is to give a copy */
	uint64_t scan_seen; /* io_ended when it was at start_pfn */
	uint64_t wait_seen; /* a turn that waits does so until io_ended is beyond this */
	struct page_out_group *group;
	struct page_out *batch; /* being filled */
};

/* Until all have a copy: TMS_REASON_NONE; or until the deadline, or an error.  Without the lock. */
enum tms_reason writeback_run(struct writeback *w);
/* With the lock held, after writeback_run or instead of it: what was gathered but not submitted stays
 * without a copy; what is at the device completes into the index whenever it does. */
void writeback_end(struct writeback *w);

#endif
