/* Pieces of an arena do not overlap, are zeros, and end with it. */
#include "arena.h"
#include "fixture.h"

#define PIECES 40u
#define BYTES (UINT64_C(900) << 10)

static void pieces_are_zeros_and_nobody_elses(void)
{
	struct arena arena = { 0 };
	uint8_t *piece[PIECES];

	for (uint32_t i = 0; i < PIECES; i++) {
		piece[i] = arena_take(&arena, BYTES + i, ARENA_BLOCK_BYTES);
		CHECK(piece[i]);
		CHECK_EQ((uintptr_t)piece[i] % ARENA_ALIGN, 0);
		CHECK(!piece[i][0] && !memcmp(piece[i], piece[i] + 1, BYTES + i - 1));
		memset(piece[i], (int)i + 1, BYTES + i);
	}
	for (uint32_t i = 0; i < PIECES; i++)
		CHECK(piece[i][0] == i + 1 && piece[i][BYTES + i - 1] == i + 1);
	arena_deinit(&arena);
	CHECK(!arena.block);
	arena_deinit(&arena);
}

static void a_block_may_be_one_piece(void)
{
	struct arena arena = { 0 };
	uint8_t *whole = arena_take(&arena, ARENA_BLOCK_BYTES - ARENA_ALIGN, ARENA_BLOCK_BYTES);

	CHECK(whole);
	memset(whole, 1, ARENA_BLOCK_BYTES - ARENA_ALIGN);
	CHECK(arena_take(&arena, 1, ARENA_BLOCK_BYTES));
	arena_deinit(&arena);
}

static void small_ones_and_ones_larger_than_a_block_have_blocks_of_their_own(void)
{
	struct arena arena = { 0 };
	uint8_t *small = arena_take(&arena, 100, PAGE_SIZE);
	uint8_t *large = arena_take(&arena, 3 * ARENA_PAGE_BYTES, PAGE_SIZE);

	CHECK(small && large);
	memset(small, 1, 100);
	memset(large, 2, 3 * ARENA_PAGE_BYTES);
	CHECK(small[99] == 1 && large[0] == 2);
	arena_deinit(&arena);
}

int main(void)
{
	RUN(pieces_are_zeros_and_nobody_elses);
	RUN(a_block_may_be_one_piece);
	RUN(small_ones_and_ones_larger_than_a_block_have_blocks_of_their_own);
	return check_finish(__FILE__);
}
