/*
 * mapping.c: reserving the area, and the escape reserve behind it, once.
 *
 * Owns: the mapping.  Laws: 1. every page is populated before mapping_init returns, so that no page
 * fault falls into an allocation (one without data has none).  2. a forked child sees zeros (MADV_WIPEONFORK): inheriting the
 * pages would make every later write of the parent a copy-on-write fault.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "mapping.h"

#define HUGEPAGE_BYTES (UINT64_C(2) << 20)

static bool map_hugetlb(struct mapping *mapping, struct tms_region_info *info)
{
	uint64_t bytes = round_up_u64(mapping->mapped_bytes, HUGEPAGE_BYTES);
	void *base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);

	if (base == MAP_FAILED) {
		info->hugetlb_errno = errno;
		return false;
	}
	mapping->base = base;
	mapping->mapped_bytes = bytes;
	info->hugetlb = true;
	return true;
}

/* Addresses that nothing lies behind, so that a byte that is touched after all does not go unnoticed. */
static bool map_nothing(struct mapping *mapping, struct tms_region_info *info)
{
	void *base = mmap(NULL, mapping->mapped_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (base == MAP_FAILED) {
		info->map_errno = errno;
		return false;
	}
	mapping->base = base;
	return true;
}

/* A plain mapping, trimmed to start at a huge page boundary. */
static bool map_pages(struct mapping *mapping, struct tms_region_info *info)
{
	uint64_t bytes = mapping->mapped_bytes + HUGEPAGE_BYTES;
	uint8_t *raw = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint8_t *base;

	if (raw == MAP_FAILED) {
		info->map_errno = errno;
		return false;
	}
	base = (uint8_t *)(void *)round_up_u64((uintptr_t)raw, HUGEPAGE_BYTES);
	if (base > raw)
		munmap(raw, (size_t)(base - raw));
	if (base + mapping->mapped_bytes < raw + bytes)
		munmap(base + mapping->mapped_bytes, (size_t)(raw + bytes - base - mapping->mapped_bytes));
	mapping->base = base;
	if (madvise(base, mapping->mapped_bytes, MADV_HUGEPAGE))
		info->hugepage_errno = errno;
	return true;
}

static bool populate(struct mapping *mapping, struct tms_region_info *info)
{
	if (!madvise(mapping->base, mapping->mapped_bytes, MADV_POPULATE_WRITE))
		return true;
	if (errno != EINVAL) {
		info->map_errno = errno;
		return false;
	}
	for (uint64_t at = 0; at < mapping->mapped_bytes; at += PAGE_SIZE)
		*(volatile uint8_t *)(mapping->base + at) = 0;
	return true;
}

int mapping_init(struct mapping *mapping, const struct tms_region_config *config, struct tms_region_info *info)
{
	*mapping = (struct mapping){ .size_bytes = config->size_bytes, .reserve_at = config->size_bytes };
	if (config->reserve_bytes)
		mapping->reserve_at = round_up_u64(config->size_bytes, HUGEPAGE_BYTES);
	mapping->mapped_bytes = mapping->reserve_at + config->reserve_bytes;
	mapping->without_data = config->without_data;
	if (mapping->without_data)
		return map_nothing(mapping, info) ? TMS_OK : TMS_E_SYSTEM;
	if (!(config->hugetlb && map_hugetlb(mapping, info)) && !map_pages(mapping, info))
		return TMS_E_SYSTEM;
	(void)madvise(mapping->base, mapping->mapped_bytes, MADV_WIPEONFORK); /* hugetlb refuses it: a child then shares by copy */
	if (!populate(mapping, info)) {
		mapping_deinit(mapping);
		return TMS_E_SYSTEM;
	}
	if (config->mlock) {
		info->mlocked = !mlock(mapping->base, mapping->mapped_bytes);
		if (!info->mlocked)
			info->mlock_errno = errno;
	}
	return TMS_OK;
}

void mapping_deinit(struct mapping *mapping)
{
	if (mapping->base)
		munmap(mapping->base, mapping->mapped_bytes);
	*mapping = (struct mapping){ 0 };
}
