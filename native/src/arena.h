/*
 * arena.h: memory for bookkeeping on huge pages.
 *
 * Records are met at random.  On 4 KiB pages each of them costs a walk of the page table beside its cache miss, in a
 * virtual machine one of several misses; on huge pages the table of a region of many GiB fits the TLB.  A block is
 * reserved whole and comes into being as it is used, 2 MiB at a time; one that is smaller has 4 KiB pages.
 *
 *      block -> [ next | taken, taken, ... | not touched yet ]
 *
 * Owns: the blocks.  Nothing that was taken is given back before the end.
 */
#ifndef TMS_ARENA_H
#define TMS_ARENA_H

#include <sys/mman.h>

#include "check.h"

#define ARENA_BLOCK_BYTES (UINT64_C(16) << 20) /* for tables that grow */
#define ARENA_PAGE_BYTES (UINT64_C(2) << 20)
#define ARENA_ALIGN 64

struct arena_block {
	struct arena_block *next;
	uint64_t bytes;
};

struct arena {
	struct arena_block *block; /* the last one reserved */
	uint64_t used;             /* bytes of it */
};

static inline struct arena_block *arena_reserve(uint64_t bytes)
{
	uint8_t *raw = mmap(NULL, bytes + ARENA_PAGE_BYTES, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	struct arena_block *block;
	uint8_t *base;

	if (raw == MAP_FAILED)
		return NULL;
	base = (uint8_t *)(void *)round_up_u64((uintptr_t)raw, ARENA_PAGE_BYTES);
	if (base > raw)
		munmap(raw, (size_t)(base - raw));
	munmap(base + bytes, (size_t)(raw + ARENA_PAGE_BYTES - base));
#ifdef MADV_HUGEPAGE
	if (bytes >= ARENA_PAGE_BYTES)
		(void)madvise(base, bytes, MADV_HUGEPAGE); /* without, it is slower and no less right */
#endif
	block = (struct arena_block *)(void *)base;
	block->bytes = bytes;
	return block;
}

/* Zeros, for good.  Null: no memory. */
static inline void *arena_take(struct arena *arena, uint64_t bytes, uint64_t block_bytes)
{
	uint8_t *taken;

	bytes = round_up_u64(bytes, ARENA_ALIGN);
	if (!arena->block || arena->used + bytes > arena->block->bytes) {
		uint64_t least = round_up_u64(bytes + ARENA_ALIGN, PAGE_SIZE);
		struct arena_block *block = arena_reserve(block_bytes > least ? block_bytes : least);

		if (!block)
			return NULL;
		block->next = arena->block;
		arena->block = block;
		arena->used = ARENA_ALIGN;
	}
	taken = (uint8_t *)arena->block + arena->used;
	arena->used += bytes;
	return taken;
}

static inline void arena_deinit(struct arena *arena)
{
	while (arena->block) {
		struct arena_block *block = arena->block;

		arena->block = block->next;
		munmap(block, block->bytes);
	}
	*arena = (struct arena){ 0 };
}

#endif
