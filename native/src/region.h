/*
 * region.h: the reserved area as a whole: mapping, frames, packed objects, contiguous ranges; and the
 * escape reserve beside it.
 */
#ifndef TMS_REGION_H
#define TMS_REGION_H

#include <stdatomic.h>
#include <string.h>

#include "copy.h"
#include "frame.h"
#include "inflight.h"
#include "mapping.h"
#include "range.h"
#include "sizeclass.h"

struct tms_region {
	struct mapping mapping;
	struct frame_table frames;
	struct packing packing;
	struct range_table ranges;
	struct reserve reserve;
	struct copy copy;
	struct inflight inflight; /* of clean pages only */
	atomic_bool lent; /* to a store; for good, since what is in the frames dies with it */
};

/* Empties of circulation: frames by range_isolate, and the spans that touch them take no object.
 * A handle, or 0: no memory. */
uint32_t region_isolate(struct tms_region *region, uint32_t start_pfn, uint32_t end_pfn);
/* Undoes region_isolate, with whatever the frames hold now. */
void region_abort(struct tms_region *region, uint32_t handle, uint32_t start_pfn, uint32_t end_pfn);

/* False: whatever follows moves no byte. */
static inline bool region_has_data(const struct tms_region *region)
{
	return likely(!region->mapping.without_data);
}

/* The bytes of an object: in the reserve, raw (place = frame << UNITS_SHIFT), or packed. */
void region_read(const struct tms_region *region, uint32_t place, uint32_t bytes, bool packed, uint8_t *to);
/* Where they lie, if that is in one piece; else scratch, which then holds them. */
const uint8_t *region_look(const struct tms_region *region, uint32_t place, uint32_t bytes, bool packed, uint8_t *scratch);
/* A raw page, to a caller. */
static inline void region_read_page(const struct tms_region *region, uint32_t pfn, uint8_t *page)
{
	if (region_has_data(region))
		memcpy(page, mapping_at(&region->mapping, pfn), PAGE_SIZE);
}

/* The same for writing; a raw page with region_write_page's copy. */
void region_write(struct tms_region *region, uint32_t place, uint32_t bytes, bool packed, const uint8_t *from);

/* Within the reserve. */
static inline void region_slide(struct tms_region *region, uint32_t to_place, uint32_t from_place, uint32_t bytes)
{
	if (region_has_data(region))
		memmove(reserve_at(&region->reserve, to_place), reserve_at(&region->reserve, from_place), bytes);
}

static inline void region_write_page(struct tms_region *region, uint32_t pfn, const uint8_t *page)
{
	region->copy.page(mapping_at(&region->mapping, pfn), page);
}

#endif
