/* A bitmap against an array of bools. */
#include "bitmap.h"
#include "fixture.h"

#define BITS_MAX 20000

static bool shadow[BITS_MAX];

static uint64_t shadow_next(uint64_t bits, uint64_t from)
{
	while (from < bits && !shadow[from])
		from++;
	return from < bits ? from : BITMAP_NONE;
}

static bool levels_agree(const struct bitmap *bitmap)
{
	for (uint32_t k = 0; k + 1 < bitmap->levels; k++)
		for (uint64_t w = 0; w < bitmap->words[k]; w++)
			if ((bitmap->level[k + 1][w >> 6] >> (w & 63) & 1) != (bitmap->level[k][w] != 0))
				return false;
	return true;
}

/* dense: out of 8, how often a bit is set rather than cleared. */
static void play(uint32_t bits, uint32_t dense, uint64_t seed)
{
	struct bitmap bitmap;
	uint64_t rng = seed;

	memset(shadow, 0, sizeof(shadow));
	CHECK(bitmap_init(&bitmap, bits));
	for (int step = 0; step < 3000; step++) {
		uint32_t bit = rng_below(&rng, bits);
		uint32_t from = rng_below(&rng, bits + 3);

		shadow[bit] = rng_below(&rng, 8) < dense;
		(shadow[bit] ? bitmap_set : bitmap_clear)(&bitmap, bit);
		CHECK_EQ(bitmap_test(&bitmap, bit), shadow[bit]);
		CHECK_EQ(bitmap_next(&bitmap, from), shadow_next(bits, from));
	}
	for (uint64_t at = 0, next; at != BITMAP_NONE; at = next == BITMAP_NONE ? next : next + 1) {
		next = bitmap_next(&bitmap, at);
		CHECK_EQ(next, shadow_next(bits, at));
	}
	CHECK(levels_agree(&bitmap));
	bitmap_deinit(&bitmap);
}

static void a_bitmap_agrees_with_an_array_of_bools(void)
{
	const uint32_t sizes[] = { 1, 2, 63, 64, 65, 128, 4095, 4096, 4097, BITS_MAX };

	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
		for (uint32_t dense = 1; dense < 8; dense += 3) {
			play(sizes[i], dense, 1 + i * 8 + dense);
			CHECK_SO_FAR();
		}
}

static void a_run_is_set_and_cleared_as_bit_by_bit(void)
{
	const uint32_t bits = 9000;
	struct bitmap bitmap;
	uint64_t rng = 9;

	memset(shadow, 0, sizeof(shadow));
	CHECK(bitmap_init(&bitmap, bits));
	for (int step = 0; step < 1500; step++) {
		uint32_t start = rng_below(&rng, bits);
		uint32_t end = start + 1 + rng_below(&rng, rng_below(&rng, 2) ? 3 : bits - start);
		bool to = rng_below(&rng, 2);

		end = end < bits ? end : bits;
		memset(shadow + start, to, end - start);
		(to ? bitmap_set_run : bitmap_clear_run)(&bitmap, start, end);
		CHECK_EQ(bitmap_next(&bitmap, 0), shadow_next(bits, 0));
		CHECK_EQ(bitmap_next(&bitmap, start), shadow_next(bits, start));
		CHECK(levels_agree(&bitmap));
		for (uint32_t bit = 0; bit < bits && step % 50 == 0; bit++)
			CHECK_EQ(bitmap_test(&bitmap, bit), shadow[bit]);
	}
	bitmap_deinit(&bitmap);
}

static void next_finds_nothing_at_the_end_and_beyond(void)
{
	struct bitmap bitmap;

	CHECK(bitmap_init(&bitmap, 4096));
	bitmap_set(&bitmap, 4095);
	CHECK_EQ(bitmap_next(&bitmap, 4095), 4095);
	CHECK_EQ(bitmap_next(&bitmap, 4096), BITMAP_NONE);
	CHECK_EQ(bitmap_next(&bitmap, UINT64_MAX - 1), BITMAP_NONE);
	bitmap_clear(&bitmap, 4095);
	CHECK_EQ(bitmap_next(&bitmap, 0), BITMAP_NONE);
	bitmap_deinit(&bitmap);
	CHECK(bitmap_init(&bitmap, 0));
	CHECK_EQ(bitmap_next(&bitmap, 0), BITMAP_NONE);
	bitmap_deinit(&bitmap);
}

static void the_last_bit_of_a_large_bitmap_is_found_from_the_first(void)
{
	const uint64_t bits = (UINT64_C(1) << 24) + 1;
	struct bitmap bitmap;

	CHECK(bitmap_init(&bitmap, bits));
	CHECK(bitmap_bytes(&bitmap) >= bits / 8 && bitmap_bytes(&bitmap) <= bits / 8 + bits / 256);
	bitmap_set(&bitmap, bits - 1);
	CHECK_EQ(bitmap_next(&bitmap, 0), bits - 1);
	bitmap_set(&bitmap, 77);
	CHECK_EQ(bitmap_next(&bitmap, 0), 77);
	CHECK_EQ(bitmap_next(&bitmap, 78), bits - 1);
	bitmap_deinit(&bitmap);
}

static void growing_keeps_every_member_and_adds_none(void)
{
	struct bitmap bitmap;
	uint64_t rng = 7;

	memset(shadow, 0, sizeof(shadow));
	CHECK(bitmap_init(&bitmap, 1));
	for (uint32_t bits = 1; bits < BITS_MAX; bits = bits * 3 + 1) {
		CHECK(bitmap_grow(&bitmap, bits));
		for (int i = 0; i < 20; i++) {
			uint32_t bit = rng_below(&rng, bits);

			shadow[bit] = true;
			bitmap_set(&bitmap, bit);
		}
		for (uint32_t bit = 0; bit < bits; bit++)
			CHECK_EQ(bitmap_test(&bitmap, bit), shadow[bit]);
		CHECK(levels_agree(&bitmap));
	}
	bitmap_deinit(&bitmap);
}

int main(void)
{
	RUN(a_bitmap_agrees_with_an_array_of_bools);
	RUN(a_run_is_set_and_cleared_as_bit_by_bit);
	RUN(next_finds_nothing_at_the_end_and_beyond);
	RUN(the_last_bit_of_a_large_bitmap_is_found_from_the_first);
	RUN(growing_keeps_every_member_and_adds_none);
	return check_finish(__FILE__);
}
