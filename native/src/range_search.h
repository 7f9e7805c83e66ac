/*
 * range_search.h: the search for a window, and what the counts of chunks say about those not looked at.
 */
#ifndef TMS_RANGE_SEARCH_H
#define TMS_RANGE_SEARCH_H

#include "plan.h"
#include "range_content.h"

struct search {
	const struct range_table *table;
	const struct tms_alloc_request *request;
	const struct surroundings *around;
	uint64_t room; /* of the whole region */
	bool found;
	struct tms_window *best;
	uint64_t floor_ns; /* no window can cost less */
};

/* With a deadline what can be guaranteed decides, else what can be expected. */
const struct tms_cost *search_cost(const struct tms_alloc_request *request);
struct plan_task search_task(const struct search *search, const struct content *content);

/* What a window of less than two chunks that begins in the chunk costs at least, or UINT64_MAX: the effort empties
 * none. */
uint64_t range_least_ns(const struct search *search, uint32_t chunk);
/* What the frames of a chunk hold, added up one by one. */
struct content range_frames_of(const struct search *search, uint32_t chunk);
/* The first window at an aligned frame of [from, end) without a frame that bars it from an effort, or PFN_NONE.  From
 * MIGRATE on only a taken one does. */
uint32_t range_open_from(const struct search *search, int32_t effort, uint32_t from, uint32_t end);
/* The first frame of [pfn, stop) that bars windows from the effort that is asked for, or stop. */
uint32_t range_open_end(const struct search *search, uint32_t pfn, uint32_t stop);
/* No window that holds all of this will do. */
bool range_is_barred(const struct search *search, const struct content *content);

#endif
