/* Contiguous ranges: isolated, given back, claimed, released.  What propose answers: test_range_propose.c. */
#include "range.h"
#include "fixture.h"

#define FRAMES 600u
#define RANGES 20u

static struct mapping mapping = { .size_bytes = (uint64_t)FRAMES * TMS_PAGE_SIZE }; /* no data is touched */
static struct frame_table frames;
static struct range_table table;

static bool open_ranges(void)
{
	if (!frame_table_init(&frames, &mapping))
		return false;
	range_table_init(&table, &frames);
	return true;
}

static void close_ranges(void)
{
	range_table_deinit(&table);
	frame_table_deinit(&frames);
}

static void an_isolated_frame_is_taken_by_nobody_until_it_is_given_back(void)
{
	uint32_t handle;

	CHECK(open_ranges());
	handle = range_isolate(&table, 0, 10);
	CHECK(handle);
	CHECK_EQ(frame_next_free(&frames, 0), 10);
	range_abort(&table, handle);
	CHECK_EQ(frame_next_free(&frames, 0), 0);
	CHECK_EQ(frames.held[FRAME_FREE], FRAMES);
	close_ranges();
}

static void an_abort_gives_frames_back_with_whatever_they_hold(void)
{
	uint32_t handle;

	CHECK(open_ranges());
	frame_take(&frames, 3, FRAME_SWAP, 7);
	frame_take(&frames, 4, FRAME_CLEAN, 8);
	handle = range_isolate(&table, 0, 10);
	frame_release(&frames, 4);
	CHECK_EQ(frames.isolated, 9);
	range_abort(&table, handle);
	CHECK_EQ(frame_state(&frames, 3), FRAME_SWAP);
	CHECK_EQ(frames.owner[3], 7);
	CHECK_EQ(frames.held[FRAME_FREE], FRAMES - 1);
	CHECK_EQ(frames.isolated, 0);
	close_ranges();
}

static void only_a_range_that_was_handed_out_can_be_released_and_only_once(void)
{
	uint32_t handle;
	uint32_t next;

	CHECK(open_ranges());
	CHECK(!range_release(&table, 0));
	CHECK(!range_release(&table, UINT32_MAX));
	handle = range_isolate(&table, 5, 9);
	CHECK(!range_release(&table, handle));
	range_claim(&table, handle);
	CHECK_EQ(table.allocated, 1);
	for (uint32_t pfn = 0; pfn < FRAMES; pfn++)
		CHECK_EQ(frame_state(&frames, pfn) == FRAME_ALLOCATED, pfn >= 5 && pfn < 9);
	CHECK(range_release(&table, handle));
	CHECK(!range_release(&table, handle));
	CHECK_EQ(frames.held[FRAME_FREE], FRAMES);
	next = range_isolate(&table, 20, 30);
	range_claim(&table, next);
	CHECK(!range_release(&table, handle));
	CHECK_EQ(frames.held[FRAME_ALLOCATED], 10);
	CHECK(range_release(&table, next));
	CHECK_EQ(table.allocated, 0);
	close_ranges();
}

static void a_handle_is_not_given_twice_while_its_generation_lasts(void)
{
	static bool seen[1 << 16];

	CHECK(open_ranges());
	for (uint32_t i = 1; i < 1 << 16; i++) {
		uint32_t handle = range_isolate(&table, 0, 1);

		CHECK(handle >> 16 && !seen[handle >> 16]);
		seen[handle >> 16] = true;
		range_abort(&table, handle);
	}
	CHECK_EQ(table.ranges.live, 0);
	CHECK_EQ(table.ranges.end, 2);
	close_ranges();
}

static void every_frame_of_a_range_and_no_other_is_its_own(void)
{
	struct { uint32_t handle, start, end; bool claimed; } range[RANGES] = { 0 };
	uint64_t rng = 41;

	CHECK(open_ranges());
	for (int step = 0; step < 4000; step++) {
		uint32_t i = rng_below(&rng, RANGES);

		if (!range[i].handle) {
			range[i].start = i * (FRAMES / RANGES) + rng_below(&rng, 15);
			range[i].end = range[i].start + 1 + rng_below(&rng, 15);
			range[i].handle = range_isolate(&table, range[i].start, range[i].end);
			range[i].claimed = false;
		} else if (!range[i].claimed && rng_below(&rng, 2)) {
			range_claim(&table, range[i].handle);
			range[i].claimed = true;
		} else {
			if (range[i].claimed)
				CHECK(range_release(&table, range[i].handle));
			else
				range_abort(&table, range[i].handle);
			range[i].handle = 0;
		}
		for (uint32_t pfn = 0; pfn < FRAMES; pfn++) {
			uint32_t r = pfn / (FRAMES / RANGES);
			bool in = range[r].handle && pfn >= range[r].start && pfn < range[r].end;
			CHECK_EQ(frame_is_isolated(&frames, pfn), in && !range[r].claimed);
			CHECK_EQ(frame_state(&frames, pfn), in && range[r].claimed ? FRAME_ALLOCATED : FRAME_FREE);
		}
	}
	close_ranges();
}

int main(void)
{
	RUN(an_isolated_frame_is_taken_by_nobody_until_it_is_given_back);
	RUN(an_abort_gives_frames_back_with_whatever_they_hold);
	RUN(only_a_range_that_was_handed_out_can_be_released_and_only_once);
	RUN(a_handle_is_not_given_twice_while_its_generation_lasts);
	RUN(every_frame_of_a_range_and_no_other_is_its_own);
	return check_finish(__FILE__);
}
