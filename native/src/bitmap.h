/*
 * bitmap.h: a set of numbers that finds its next member in a handful of steps.
 *
 * A bit of a level tells whether the word below it is not zero, so that a search over 2^26 frames
 * touches at most five words down and five up.
 *
 *      level 2   [ 1 . . 1 ]
 *                  |     |
 *      level 1   [ 1 . 1 ] ... [ . 1 . ]
 *                  |   |           |
 *      level 0   [0110] [0001]   [1000]      bit n: n is a member
 *
 * Invariant: bit w of level k+1 is set iff word w of level k is not zero.
 */
#ifndef TMS_BITMAP_H
#define TMS_BITMAP_H

#include <stdlib.h>
#include <string.h>

#include "check.h"

#define BITMAP_LEVELS 6
#define BITMAP_NONE UINT64_MAX

struct bitmap {
	uint64_t bits;
	uint64_t words[BITMAP_LEVELS]; /* of each level */
	uint32_t levels;
	uint64_t *level[BITMAP_LEVELS];
};

/* All bits clear.  False: no memory. */
static inline bool bitmap_init(struct bitmap *bitmap, uint64_t bits)
{
	struct bitmap made = { .bits = bits };
	uint64_t total = 0;
	uint64_t *memory;

	for (uint64_t n = bits ? bits : 1; made.levels < BITMAP_LEVELS;) {
		n = (n + 63) / 64;
		made.words[made.levels++] = n;
		total += n;
		if (n == 1)
			break;
	}
	memory = calloc(total, sizeof(*memory));
	if (!memory)
		return false;
	for (uint32_t k = 0; k < made.levels; k++) {
		made.level[k] = memory;
		memory += made.words[k];
	}
	*bitmap = made;
	return true;
}

static inline void bitmap_deinit(struct bitmap *bitmap)
{
	free(bitmap->level[0]);
	*bitmap = (struct bitmap){ 0 };
}

static inline bool bitmap_test(const struct bitmap *bitmap, uint64_t bit)
{
	return bitmap->level[0][bit >> 6] >> (bit & 63) & 1;
}

static inline void bitmap_set(struct bitmap *bitmap, uint64_t bit)
{
	for (uint32_t k = 0; k < bitmap->levels; k++, bit >>= 6) {
		uint64_t *word = &bitmap->level[k][bit >> 6];
		bool was_empty = !*word;

		*word |= UINT64_C(1) << (bit & 63);
		if (!was_empty)
			return;
	}
}

static inline void bitmap_clear(struct bitmap *bitmap, uint64_t bit)
{
	for (uint32_t k = 0; k < bitmap->levels; k++, bit >>= 6) {
		uint64_t *word = &bitmap->level[k][bit >> 6];

		*word &= ~(UINT64_C(1) << (bit & 63));
		if (*word)
			return;
	}
}

/* The bits of word w that lie in [start, end). */
static inline uint64_t bitmap_mask(uint64_t w, uint64_t start, uint64_t end)
{
	uint64_t mask = UINT64_MAX;

	if (w == start >> 6)
		mask &= UINT64_MAX << (start & 63);
	if (w == (end - 1) >> 6)
		mask &= UINT64_MAX >> (63 - ((end - 1) & 63));
	return mask;
}

/* [start, end), which is not empty, a word at a time. */
static inline void bitmap_set_run(struct bitmap *bitmap, uint64_t start, uint64_t end)
{
	for (uint64_t w = start >> 6; w <= (end - 1) >> 6; w++) {
		uint64_t mask = bitmap_mask(w, start, end);

		bitmap_set(bitmap, w << 6 | (uint64_t)__builtin_ctzll(mask)); /* for the levels above */
		bitmap->level[0][w] |= mask;
	}
}

static inline void bitmap_clear_run(struct bitmap *bitmap, uint64_t start, uint64_t end)
{
	for (uint64_t w = start >> 6; w <= (end - 1) >> 6; w++) {
		uint64_t mask = bitmap_mask(w, start, end);
		bool was_empty = !bitmap->level[0][w];

		bitmap->level[0][w] &= ~(mask & (mask - 1)); /* all but one, */
		if (!was_empty)
			bitmap_clear(bitmap, w << 6 | (uint64_t)__builtin_ctzll(mask)); /* which is for the levels above */
	}
}

/* The first member at or after from, or BITMAP_NONE. */
static inline uint64_t bitmap_next(const struct bitmap *bitmap, uint64_t from)
{
	uint32_t k = 0;
	uint64_t bit = from;

	if (from >= bitmap->bits)
		return BITMAP_NONE;
	for (;;) { /* up, until a word holds a member at or after bit */
		uint64_t word = bitmap->level[k][bit >> 6] & (UINT64_MAX << (bit & 63));

		if (word) {
			bit = (bit & ~UINT64_C(63)) | (uint64_t)__builtin_ctzll(word);
			break;
		}
		bit = (bit >> 6) + 1;
		if (++k == bitmap->levels || bit >> 6 >= bitmap->words[k])
			return BITMAP_NONE;
	}
	while (k > 0) { /* down, along the lowest member */
		k--;
		bit = bit << 6 | (uint64_t)__builtin_ctzll(bitmap->level[k][bit]);
	}
	return bit;
}

static inline uint64_t bitmap_bytes(const struct bitmap *bitmap)
{
	uint64_t words = 0;

	for (uint32_t k = 0; k < bitmap->levels; k++)
		words += bitmap->words[k];
	return words * sizeof(uint64_t);
}

/* Makes room for more bits, clear ones.  False: no memory, and nothing changed. */
static inline bool bitmap_grow(struct bitmap *bitmap, uint64_t bits)
{
	struct bitmap larger;

	if (!bitmap_init(&larger, bits))
		return false;
	for (uint64_t bit = bitmap_next(bitmap, 0); bit != BITMAP_NONE; bit = bitmap_next(bitmap, bit + 1))
		bitmap_set(&larger, bit);
	bitmap_deinit(bitmap);
	*bitmap = larger;
	return true;
}

#endif
