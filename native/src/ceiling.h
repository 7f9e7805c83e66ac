/*
 * ceiling.h: how much frontswap data a chunk may hold, so that every window can be emptied in time.
 */
#ifndef TMS_CEILING_H
#define TMS_CEILING_H

#include "region.h"

/* A page that looks for a place: frames it would newly take (0: it goes into a span that is there). */
struct newcomer {
	uint32_t bytes;
	uint32_t frames;
};

struct ceiling {
	struct tms_ceilings limits;
	bool active; /* false: nothing is limited */
};

struct ceiling_view {
	const struct ceiling *ceiling;
	const struct frame_table *frames;
	const struct reserve *reserve;
	uint64_t uncopied_units; /* of all persistent pages without a completed copy, wherever they are */
};

/* Whether the chunk stays within every ceiling with the newcomer in it. */
bool ceiling_allows(const struct ceiling_view *view, uint32_t chunk, const struct newcomer *newcomer);
/* Whether any chunk can: false as soon as the region as a whole is within one newcomer a chunk of its
 * limits, so that a store which must be refused looks at no chunk. */
bool ceiling_allows_somewhere(const struct ceiling_view *view, const struct newcomer *newcomer);
/* Bytes without a copy that a chunk may hold, by the tightest contract; UINT64_MAX: no limit. */
uint64_t ceiling_chunk_bytes(const struct ceiling_view *view);
/* The window of that contract, in chunks; 1 if there is none. */
uint64_t ceiling_window_chunks(const struct ceiling_view *view);
/* Frontswap frames of the chunk beyond the share that is allowed. */
uint64_t ceiling_frames_over(const struct ceiling_view *view, uint32_t chunk);
/* Bytes without a copy that the chunk holds beyond its share, as after device or CPU got slower; 0: none. */
uint64_t ceiling_bytes_over(const struct ceiling_view *view, uint32_t chunk);

bool ceilings_are_valid(const struct tms_ceilings *limits);

#endif
