/*
 * mapping.h: the reserved address range behind a region.
 */
#ifndef TMS_MAPPING_H
#define TMS_MAPPING_H

#include "check.h"

struct mapping {
	uint8_t *base; /* 2 MiB aligned */
	uint64_t size_bytes;
	uint64_t reserve_at;   /* where the escape reserve begins: at the next 2 MiB, or where all ends if there is none */
	uint64_t mapped_bytes; /* what munmap must be told */
	bool without_data;     /* addresses only: whoever reads or writes there is wrong */
};

/* Reserves, advises, populates.  TMS_OK or TMS_E_SYSTEM with info->map_errno.  What is refused and
 * done without stands in info as well. */
int mapping_init(struct mapping *mapping, const struct tms_region_config *config, struct tms_region_info *info);
void mapping_deinit(struct mapping *mapping);

static inline uint8_t *mapping_at(const struct mapping *mapping, uint64_t pfn)
{
	return mapping->base + (pfn << PAGE_SHIFT);
}

#endif
