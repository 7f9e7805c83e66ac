/*
 * region.c: composes mapping, frames, packing and ranges into the region.
 *
 * Owns: all four.  Law: emptying a window moves no object outside it; a span that touches an isolated
 * frame is sealed, and unsealed only once none of its frames is isolated any more (two ranges may share
 * a span where they do not start at chunks).
 * Locks: the store's, once the region is lent to one.
 */
#include <string.h>

#include "region.h"

#define REGION_MIN_BYTES (UINT64_C(1) << 20)
/* Of area and reserve, so that every place of both has a number; the last chunk is left for rounding. */
#define REGION_MAX_BYTES ((uint64_t)(REGION_MAX_FRAMES - TMS_CHUNK_FRAMES) << PAGE_SHIFT)

static int build(tms_region *region, const struct tms_region_config *config, struct tms_region_info *info)
{
	int code = mapping_init(&region->mapping, config, info);

	if (code)
		return code;
	region->reserve = (struct reserve){ .base = region->mapping.base + region->mapping.reserve_at,
					    .first = (uint32_t)(region->mapping.reserve_at >> UNIT_SHIFT),
					    .units = (uint32_t)(config->reserve_bytes >> UNIT_SHIFT) };
	if (!frame_table_init(&region->frames, &region->mapping)) {
		mapping_deinit(&region->mapping);
		return TMS_E_NO_MEMORY;
	}
	packing_init(&region->packing, &region->frames);
	range_table_init(&region->ranges, &region->frames);
	inflight_init(&region->inflight);
	region->copy = config->without_data ?
			       copy_nothing :
			       copy_choose(config->copy, config->size_bytes, config->nontemporal_from_bytes);
	return TMS_OK;
}

int tms_region_create(const struct tms_region_config *config, struct tms_region_info *info, tms_region **ret)
{
	tms_region *region;
	int code;

	if (config->size_bytes % PAGE_SIZE || config->size_bytes < REGION_MIN_BYTES || config->reserve_bytes % PAGE_SIZE ||
	    config->size_bytes >= REGION_MAX_BYTES || config->reserve_bytes >= REGION_MAX_BYTES - config->size_bytes ||
	    config->copy < TMS_COPY_AUTO || config->copy > TMS_COPY_NONTEMPORAL)
		return TMS_E_INVALID;
	region = calloc(1, sizeof(*region));
	if (!region)
		return TMS_E_NO_MEMORY;
	*info = (struct tms_region_info){ .size_bytes = config->size_bytes };
	code = build(region, config, info);
	if (code) {
		free(region);
		return code;
	}
	info->reserve_bytes = config->reserve_bytes;
	info->frames = region->frames.frames;
	info->chunks = region->frames.chunks;
	info->base_address = (uintptr_t)region->mapping.base;
	info->copy_variant = region->copy.variant;
	*ret = region;
	return TMS_OK;
}

void tms_region_destroy(tms_region **made)
{
	tms_region *region = *made;

	*made = NULL;
	if (!region)
		return;
	inflight_deinit(&region->inflight);
	range_table_deinit(&region->ranges);
	packing_deinit(&region->packing);
	frame_table_deinit(&region->frames);
	mapping_deinit(&region->mapping);
	free(region);
}

uint8_t *tms_region_address(tms_region *region, uint64_t pfn)
{
	return pfn <= region->frames.frames ? mapping_at(&region->mapping, pfn) : NULL;
}

uint32_t region_isolate(struct tms_region *region, uint32_t start_pfn, uint32_t end_pfn)
{
	uint32_t handle = range_isolate(&region->ranges, start_pfn, end_pfn);

	if (!handle)
		return 0;
	for (uint32_t pfn = start_pfn; pfn < end_pfn; pfn++)
		if (!frame_chunk(&region->frames, pfn)->frames_frontswap)
			pfn |= TMS_CHUNK_FRAMES - 1; /* the last one of a chunk without any */
		else if (frame_state(&region->frames, pfn) == FRAME_PACKED)
			packing_seal(&region->packing, region->frames.owner[pfn]);
	return handle;
}

static bool span_is_isolated(const struct tms_region *region, const struct span *span)
{
	for (uint32_t f = 0; f < span->frames; f++)
		if (frame_is_isolated(&region->frames, span_pfn(span, f)))
			return true;
	return false;
}

void region_abort(struct tms_region *region, uint32_t handle, uint32_t start_pfn, uint32_t end_pfn)
{
	range_abort(&region->ranges, handle);
	for (uint32_t pfn = start_pfn; pfn < end_pfn; pfn++) {
		uint32_t id = region->frames.owner[pfn];

		if (frame_state(&region->frames, pfn) == FRAME_PACKED &&
		    !span_is_isolated(region, packing_span(&region->packing, id)))
			packing_unseal(&region->packing, id);
	}
}

void region_read(const struct tms_region *region, uint32_t place, uint32_t bytes, bool packed, uint8_t *to)
{
	struct pieces pieces;

	if (!region_has_data(region))
		return;
	if (!packed || reserve_has(&region->reserve, place)) {
		memcpy(to, region->mapping.base + ((size_t)place << UNIT_SHIFT), bytes);
		return;
	}
	pieces = packing_pieces(&region->packing, place, bytes);
	memcpy(to, pieces.at[0], pieces.bytes[0]);
	if (pieces.bytes[1])
		memcpy(to + pieces.bytes[0], pieces.at[1], pieces.bytes[1]);
}

const uint8_t *region_look(const struct tms_region *region, uint32_t place, uint32_t bytes, bool packed, uint8_t *scratch)
{
	if (region_has_data(region) && (!packed || reserve_has(&region->reserve, place)))
		return region->mapping.base + ((size_t)place << UNIT_SHIFT);
	region_read(region, place, bytes, packed, scratch);
	return scratch;
}

void region_write(struct tms_region *region, uint32_t place, uint32_t bytes, bool packed, const uint8_t *from)
{
	struct pieces pieces;

	if (!region_has_data(region))
		return;
	if (reserve_has(&region->reserve, place)) {
		memcpy(reserve_at(&region->reserve, place), from, bytes);
		return;
	}
	if (!packed) {
		region_write_page(region, place >> UNITS_SHIFT, from);
		return;
	}
	pieces = packing_pieces(&region->packing, place, bytes);
	memcpy(pieces.at[0], from, pieces.bytes[0]);
	if (pieces.bytes[1])
		memcpy(pieces.at[1], from + pieces.bytes[0], pieces.bytes[1]);
}
