/*
 * slab.h: records of one size, named by 32-bit ids.
 *
 * A table grows by whole segments, so that no record ever moves and growing costs one allocation, not
 * a copy of everything: a put must not stop for it.
 *
 *      segment[0] [ - r1 r2 r3 ... ]   id 0 names no record
 *      segment[1] [ r r r r ... ]      id = segment number * SLAB_SEGMENT + place
 *
 * Owns: the segments.  Invariants: 1. a free record holds the next free id in its first four bytes, and zeros.
 * 2. live = ids handed out and not given back.  Whether a record is free is for its owner to mark.
 */
#ifndef TMS_SLAB_H
#define TMS_SLAB_H

#include <stdlib.h>
#include <string.h>

#include "arena.h"

#define SLAB_SHIFT 11
#define SLAB_SEGMENT (UINT32_C(1) << SLAB_SHIFT)
/* So many segments lie where malloc puts them: a small store shall not pay for huge pages. */
#define SLAB_SMALL 16
#define SLAB_MAX_ID (UINT32_C(1) << 31)

struct slab {
	uint8_t **segment;
	struct arena arena; /* of the segments from SLAB_SMALL on */
	uint32_t record_size;
	uint32_t segments;
	uint32_t end; /* ids at and above were never used */
	uint32_t free_first;
	uint32_t live;
};

static inline void slab_init(struct slab *slab, size_t record_size)
{
	*slab = (struct slab){ .record_size = (uint32_t)record_size, .end = 1 };
}

static inline void slab_deinit(struct slab *slab)
{
	for (uint32_t i = 0; i < slab->segments && i < SLAB_SMALL; i++)
		free(slab->segment[i]);
	free(slab->segment);
	arena_deinit(&slab->arena);
	slab_init(slab, slab->record_size);
}

static inline void *slab_at(const struct slab *slab, uint32_t id)
{
	return slab->segment[id >> SLAB_SHIFT] + (size_t)(id & (SLAB_SEGMENT - 1)) * slab->record_size;
}

static inline bool slab_grow(struct slab *slab)
{
	uint8_t **directory = realloc(slab->segment, (slab->segments + 1) * sizeof(*directory));
	uint8_t *segment;

	if (!directory)
		return false;
	slab->segment = directory;
	if (slab->segments < SLAB_SMALL)
		segment = malloc((size_t)SLAB_SEGMENT * slab->record_size);
	else
		segment = arena_take(&slab->arena, (uint64_t)SLAB_SEGMENT * slab->record_size, ARENA_BLOCK_BYTES);
	if (!segment)
		return false;
	slab->segment[slab->segments++] = segment;
	if (slab->segments >= SLAB_SMALL)
		arena_look_ahead(&slab->arena, ARENA_BLOCK_BYTES);
	return true;
}

/* A record of zeros, or 0: no memory. */
static inline uint32_t slab_alloc(struct slab *slab)
{
	uint32_t id = slab->free_first;

	if (id) {
		memcpy(&slab->free_first, slab_at(slab, id), sizeof(slab->free_first));
		memset(slab_at(slab, id), 0, sizeof(slab->free_first));
	} else {
		if (slab->end == SLAB_MAX_ID)
			return 0;
		if (slab->end >> SLAB_SHIFT >= slab->segments && !slab_grow(slab))
			return 0;
		id = slab->end++;
		memset(slab_at(slab, id), 0, slab->record_size);
	}
	slab->live++;
	return id;
}

static inline void slab_free(struct slab *slab, uint32_t id)
{
	void *record = slab_at(slab, id);

	memset(record, 0, slab->record_size);
	memcpy(record, &slab->free_first, sizeof(slab->free_first));
	slab->free_first = id;
	slab->live--;
}

static inline uint64_t slab_bytes(const struct slab *slab)
{
	return (uint64_t)slab->segments * (SLAB_SEGMENT * (uint64_t)slab->record_size + sizeof(*slab->segment));
}

#endif
