/*
 * range.h: contiguous ranges: where to take one, and its way from isolated to handed out and back.
 */
#ifndef TMS_RANGE_H
#define TMS_RANGE_H

#include "frame.h"
#include "slab.h"

struct range {
	uint32_t next_free;  /* the slab's, while not in use */
	uint32_t generation; /* high half of the handle; 0: record not in use */
	uint32_t start_pfn;
	uint32_t end_pfn;
	bool allocated; /* else being emptied */
};

struct range_table {
	struct frame_table *frames; /* borrowed */
	struct slab ranges;
	uint32_t generation;
	uint32_t allocated;
};

void range_table_init(struct range_table *table, struct frame_table *frames);
void range_table_deinit(struct range_table *table);

/* What lies outside any window, for pages to be moved to. */
struct surroundings {
	uint64_t reserve_bytes_free;
	uint64_t reserve_bytes_used;
	uint64_t chunk_bytes_max; /* uncopied bytes that a chunk may hold by the ceilings; UINT64_MAX: no ceiling */
	uint64_t window_chunks;   /* of the contract that sets this ceiling: a byte more in the reserve is shared by these */
	uint32_t frontswap_permille; /* of the frames of a chunk that may hold frontswap data */
	uint64_t pending_bytes;   /* of writes at the device */
	bool can_write;           /* there is a spill file */
	bool can_compress;        /* there is a denser codec */
};

/* The cheapest window for the request that its effort can empty, or the fixed one.  Windows of a chunk
 * and more start at chunks, unless there is no such window.  Of smaller ones in a large region the cheapest of those that
 * the counts of the chunks promise most of.
 * Touches nothing.  TMS_REASON_NONE, or why there is none. */
enum tms_reason range_propose(const struct range_table *table, const struct tms_alloc_request *request,
			      const struct surroundings *around, struct tms_window *window);

/* Of a window whose bound exceeds the deadline: the bytes that must go from memory to the device until it no
 * longer does, the reserve being drained first. */
uint64_t range_recovery_bytes(const struct range_table *table, const struct tms_alloc_request *request,
			      const struct surroundings *around, const struct tms_window *window);

/* All frames of [start, end) leave circulation.  A handle, or 0: no memory. */
uint32_t range_isolate(struct range_table *table, uint32_t start_pfn, uint32_t end_pfn);
/* Gives the frames of an isolated range back, whatever they hold. */
void range_abort(struct range_table *table, uint32_t handle);
/* Hands out an isolated range, all of whose frames are empty. */
void range_claim(struct range_table *table, uint32_t handle);
/* Frees a handed-out range.  False: the handle names none. */
bool range_release(struct range_table *table, uint32_t handle);

#endif
