/* Blocks of the spill file against an array of user counts, and the checksum. */
#include "spill.h"
#include "fixture.h"

#define BLOCKS 6000u

static uint32_t users[BLOCKS]; /* shadow */
static struct spill spill;

static uint32_t count_used(void)
{
	uint32_t used = 0;

	for (uint32_t block = 0; block < BLOCKS; block++)
		used += users[block] != 0;
	return used;
}

static bool has_free_block(void)
{
	for (uint32_t block = SPILL_HEADER_BLOCKS; block < spill.end; block++)
		if (!users[block])
			return true;
	return false;
}

static void take(uint32_t want, uint32_t limit)
{
	uint32_t end = spill.end;
	bool may_grow = !has_free_block() || count_used() >= end / 2;
	uint32_t start = 0;
	uint32_t run = spill_take_run(&spill, want, &start);

	CHECK(run <= want);
	CHECK(run > 0 || (!has_free_block() && end == limit));
	CHECK(spill.end == end || may_grow);
	CHECK(spill.end <= limit);
	CHECK(run == 0 || start >= SPILL_HEADER_BLOCKS);
	CHECK(start + run <= spill.end);
	for (uint32_t block = start; block < start + run; block++) {
		CHECK_EQ(users[block], 0);
		users[block] = 1;
	}
}

static void walk(void)
{
	CHECK_EQ(spill.used, count_used());
	for (uint32_t block = SPILL_HEADER_BLOCKS; block < spill.end; block++) {
		CHECK_EQ(spill.users[block], users[block]);
		CHECK_EQ(bitmap_test(&spill.free, block), users[block] == 0);
	}
}

static void play(uint32_t limit, uint64_t seed)
{
	uint64_t rng = seed;

	memset(users, 0, sizeof(users));
	CHECK(spill_init(&spill, (uint64_t)limit * BLOCK_BYTES));
	for (int step = 0; step < 3000; step++) {
		uint32_t block = SPILL_HEADER_BLOCKS + rng_below(&rng, spill.end);
		bool draining = step / 300 % 2;

		if (rng_below(&rng, draining ? 60 : 8) == 0) {
			take(1 + rng_below(&rng, 150), limit);
			CHECK_SO_FAR();
		} else if (block < spill.end && users[block] && rng_below(&rng, 8) == 0) {
			spill_get(&spill, block);
			users[block]++;
		}
		for (uint32_t i = 0; i < (draining ? 20 : 1); i++, block += 7)
			if (block < spill.end && users[block]) {
				spill_put(&spill, block);
				users[block]--;
			}
	}
	walk();
	CHECK_SO_FAR();
	for (uint32_t block = 0; block < BLOCKS; block++)
		for (; users[block]; users[block]--)
			spill_put(&spill, block);
	walk();
	CHECK_EQ(spill.used, 0);
	spill_deinit(&spill);
}

static void a_block_is_free_iff_it_has_no_user_and_the_file_grows_only_when_half_is_used(void)
{
	const uint32_t limits[] = { 2, 40, 1023, 1024, 1025, 3000, BLOCKS };

	for (size_t i = 0; i < sizeof(limits) / sizeof(*limits); i++) {
		play(limits[i], 81 + i);
		CHECK_SO_FAR();
	}
}

static void a_run_in_a_fresh_file_is_as_long_as_wanted(void)
{
	uint32_t start;

	CHECK(spill_init(&spill, 0));
	CHECK_EQ(spill_take_run(&spill, 128, &start), 128);
	CHECK_EQ(start, SPILL_HEADER_BLOCKS);
	CHECK_EQ(spill_take_run(&spill, 5000, &start), 5000);
	CHECK_EQ(start, SPILL_HEADER_BLOCKS + 128);
	CHECK_EQ(spill.used, 5128);
	CHECK(spill_bytes(&spill) >= 5128 * sizeof(uint16_t));
	spill_deinit(&spill);
}

static void a_run_is_looked_for_among_the_free_blocks_first(void)
{
	uint32_t start;

	CHECK(spill_init(&spill, 0));
	CHECK_EQ(spill_take_run(&spill, 200, &start), 200);
	for (uint32_t block = 50; block < 90; block++)
		spill_put(&spill, block);
	CHECK_EQ(spill_take_run(&spill, 128, &start), 40); /* long enough to be taken */
	CHECK_EQ(start, 50);
	for (uint32_t block = 60; block < 70; block++)
		spill_put(&spill, block);
	CHECK_EQ(spill_take_run(&spill, 10, &start), 10);
	CHECK_EQ(start, 60);
	CHECK_EQ(spill.end, SPILL_HEADER_BLOCKS + 200);
	spill_deinit(&spill);
}

static bool is_full_from_the_start(void *limit_bytes)
{
	uint32_t start = 0;

	return spill_init(&spill, *(uint64_t *)limit_bytes) && spill_take_run(&spill, 128, &start) == 0;
}

static void a_limit_that_leaves_no_block_beside_the_header_is_a_full_file(void)
{
	uint64_t limits[] = { BLOCK_BYTES, 2 * BLOCK_BYTES - 1, BLOCK_BYTES - 1, 1 };

	for (size_t i = 0; i < sizeof(limits) / sizeof(*limits); i++)
		CHECK(true_in_child(is_full_from_the_start, &limits[i]));
}

static void every_single_flipped_bit_changes_the_checksum(void)
{
	const uint32_t sizes[] = { 1, 7, 8, 9, 31, 32, 33, 63, 100, 1000, 4031, 4095, TMS_PAGE_SIZE };
	uint8_t bytes[TMS_PAGE_SIZE];

	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		uint64_t check;

		page_make(bytes, i + 1, sizes[i]);
		check = spill_checksum(bytes, sizes[i]);
		CHECK_EQ(spill_checksum(bytes, sizes[i]), check);
		for (uint32_t bit = 0; bit < sizes[i] * 8; bit++) {
			uint64_t other;

			bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
			other = spill_checksum(bytes, sizes[i]);
			bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
			CHECK(other != check);
			CHECK((other ^ check) << 16); /* nor in the 48 bits that an entry keeps */
		}
	}
}

static void the_checksum_knows_the_size_and_the_order_of_words(void)
{
	uint8_t bytes[TMS_PAGE_SIZE] = { 0 };
	uint64_t seen[65];

	for (uint32_t size = 0; size <= 64; size++) {
		seen[size] = spill_checksum(bytes, size);
		for (uint32_t other = 0; other < size; other++)
			CHECK(seen[other] != seen[size]);
	}
	for (uint32_t word = 0; word + 1 < TMS_PAGE_SIZE / 8; word++) {
		uint64_t check;

		memset(bytes, 0, sizeof(bytes));
		bytes[word * 8] = 1;
		check = spill_checksum(bytes, sizeof(bytes));
		bytes[word * 8] = 0;
		bytes[word * 8 + 8] = 1;
		CHECK(spill_checksum(bytes, sizeof(bytes)) != check);
	}
}

static void the_checksum_reads_no_byte_beyond_its_size(void)
{
	for (uint32_t size = 1; size < 100; size++) {
		uint8_t *exact = malloc(size); /* for the sanitizer */
		uint8_t longer[100];

		memset(exact, 7, size);
		memset(longer, 9, sizeof(longer));
		memset(longer, 7, size);
		CHECK_EQ(spill_checksum(exact, size), spill_checksum(longer, size));
		free(exact);
	}
}

int main(void)
{
	RUN(a_block_is_free_iff_it_has_no_user_and_the_file_grows_only_when_half_is_used);
	RUN(a_run_in_a_fresh_file_is_as_long_as_wanted);
	RUN(a_run_is_looked_for_among_the_free_blocks_first);
	RUN(a_limit_that_leaves_no_block_beside_the_header_is_a_full_file);
	RUN(every_single_flipped_bit_changes_the_checksum);
	RUN(the_checksum_knows_the_size_and_the_order_of_words);
	RUN(the_checksum_reads_no_byte_beyond_its_size);
	return check_finish(__FILE__);
}
