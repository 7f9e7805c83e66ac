/*
 * arena.h: memory for bookkeeping on huge pages.
 *
 * Records are met at random.  On 4 KiB pages each of them costs a walk of the page table beside its cache miss, in a
 * virtual machine one of several misses; on huge pages the table of a region of many GiB fits the TLB.  A block is
 * reserved whole and comes into being as it is used, 2 MiB at a time; one that is smaller has 4 KiB pages.
 *
 *      block -> [ next | taken, taken, ... | not touched yet ]    ahead -> [ not begun yet ]
 *
 * For the system to bring 2 MiB into being takes from a tenth of a millisecond to some, and whoever takes from an arena
 * has the store's lock.  So of a table that grows the next 2 MiB are named before they are needed (arena_look_ahead),
 * and brought in by whoever comes by without the lock (arena_warm); if nobody does, they come as they are touched.
 *
 * Owns: the blocks.  Nothing that was taken is given back before the end.
 * Locks: whatever guards what lies in it; arena_warm needs none, but the arena must not end meanwhile.
 */
#ifndef TMS_ARENA_H
#define TMS_ARENA_H

#include <stdatomic.h>
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
	struct arena_block *block; /* the last one begun */
	uint64_t used;             /* bytes of it */
	uint8_t *ahead;            /* the one after it, or null */
	uint64_t ahead_bytes;
	uint8_t *named;            /* the 2 MiB that were named last */
	_Atomic(uint8_t *) cold;   /* the same, until somebody brings them in */
};

static inline uint8_t *arena_reserve(uint64_t bytes)
{
	uint8_t *raw = mmap(NULL, bytes + ARENA_PAGE_BYTES, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
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
	return base;
}

/* A block with room for so many bytes.  False: no memory. */
static inline bool arena_begin_block(struct arena *arena, uint64_t bytes, uint64_t block_bytes)
{
	const uint64_t least = round_up_u64(bytes + ARENA_ALIGN, PAGE_SIZE);
	uint64_t size = block_bytes > least ? block_bytes : least;
	uint8_t *base = arena->ahead;
	struct arena_block *block;

	if (base && arena->ahead_bytes >= least) {
		size = arena->ahead_bytes;
		arena->ahead = NULL;
	} else {
		base = arena_reserve(size);
	}
	if (!base)
		return false;
	block = (struct arena_block *)(void *)base;
	*block = (struct arena_block){ .next = arena->block, .bytes = size };
	arena->block = block;
	arena->used = ARENA_ALIGN;
	return true;
}

/* Zeros, for good.  Null: no memory. */
static inline void *arena_take(struct arena *arena, uint64_t bytes, uint64_t block_bytes)
{
	uint8_t *taken;

	bytes = round_up_u64(bytes, ARENA_ALIGN);
	if ((!arena->block || arena->used + bytes > arena->block->bytes) && !arena_begin_block(arena, bytes, block_bytes))
		return NULL;
	taken = (uint8_t *)arena->block + arena->used;
	arena->used += bytes;
	return taken;
}

/* A table takes from the arena, or soon will for the first time, and goes on in blocks of that size.  Names the next 2 MiB
 * once three quarters of those before are taken. */
static inline void arena_look_ahead(struct arena *arena, uint64_t block_bytes)
{
	const uint64_t soon = (arena->used + ARENA_PAGE_BYTES / 4) & ~(ARENA_PAGE_BYTES - 1);
	uint8_t *next;

	if (arena->block && soon < arena->used)
		return;
	if (arena->block && soon < arena->block->bytes) {
		next = (uint8_t *)arena->block + soon;
	} else {
		if (!arena->ahead) {
			arena->ahead = arena_reserve(block_bytes);
			arena->ahead_bytes = block_bytes;
		}
		next = arena->ahead;
	}
	if (next == arena->named)
		return;
	arena->named = next;
	atomic_store_explicit(&arena->cold, next, memory_order_relaxed);
}

/* Without the lock. */
static inline void arena_warm(struct arena *arena)
{
	uint8_t *cold = atomic_load_explicit(&arena->cold, memory_order_relaxed);

	if (unlikely(cold) && atomic_compare_exchange_strong(&arena->cold, &cold, NULL))
		(void)madvise(cold, ARENA_PAGE_BYTES, MADV_POPULATE_WRITE);
}

static inline void arena_deinit(struct arena *arena)
{
	while (arena->block) {
		struct arena_block *block = arena->block;

		arena->block = block->next;
		munmap(block, block->bytes);
	}
	if (arena->ahead)
		munmap(arena->ahead, arena->ahead_bytes);
	*arena = (struct arena){ 0 };
}

#endif
