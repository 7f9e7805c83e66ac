/* The window that range_propose chooses in a large region, and that it does not take a look at every frame for it. */
#include <time.h>

#include "fixture.h"
#include "range_content.h"

#define CHUNKS 512u
#define FRAMES (CHUNKS * TMS_CHUNK_FRAMES)
#define TRIES 5

static struct mapping mapping = { .size_bytes = (uint64_t)FRAMES * TMS_PAGE_SIZE }; /* no data is touched */
static struct frame_table frames;
static struct range_table table;
static const struct surroundings around = { .chunk_bytes_max = UINT64_MAX, .frontswap_permille = 1000 };
static const uint64_t sizes[] = { 1, 16, 511, 512, 513, 1024, 20480 };
#define SIZES (sizeof(sizes) / sizeof(*sizes))

static bool open_region(uint64_t frames_wanted)
{
	mapping.size_bytes = frames_wanted * TMS_PAGE_SIZE;
	if (!frame_table_init(&frames, &mapping))
		return false;
	range_table_init(&table, &frames);
	return true;
}

static void close_region(void)
{
	range_table_deinit(&table);
	frame_table_deinit(&frames);
}

/* Raw pages without a copy, but in [start, end). */
static void fill_but(uint32_t start, uint32_t end)
{
	for (uint32_t pfn = 0; pfn < frames.frames; pfn++)
		if (pfn < start || pfn >= end)
			frame_take(&frames, pfn, FRAME_SWAP, 1);
	for (uint32_t c = 0; c < frames.chunks; c++) {
		struct tms_chunk *chunk = &frames.chunk[c];

		chunk->objects_uncopied = chunk->frames_frontswap;
		chunk->bytes_uncopied = chunk->frames_frontswap * TMS_PAGE_SIZE;
		chunk->units_uncopied = chunk->bytes_uncopied / 64;
	}
}

static uint64_t cpu_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * NSEC_PER_SEC + (uint64_t)now.tv_nsec;
}

static void walk(void)
{
	struct cursor cursor = { .frames = &frames, .around = &around };
	struct content sum = { 0 };

	while (cursor.pfn < frames.frames)
		cursor_step(&cursor, &sum, 1);
	CHECK(sum.free + sum.frontswap == frames.frames);
}

/* Whether the search takes less than so many walks over all frames. */
static bool takes_less_than(uint64_t walks, const struct tms_alloc_request *request, const struct surroundings *near)
{
	uint64_t walk_ns = UINT64_MAX;
	uint64_t search_ns = UINT64_MAX;

	for (int i = 0; i < TRIES; i++) {
		struct tms_window window;
		uint64_t began = cpu_ns();

		(void)range_propose(&table, request, near, &window);
		search_ns = min_u64(search_ns, cpu_ns() - began);
		began = cpu_ns();
		walk();
		walk_ns = min_u64(walk_ns, cpu_ns() - began);
	}
	return search_ns < walks * walk_ns;
}

/* A look at every window takes several walks. */
static bool is_soon(const struct tms_alloc_request *request, const struct surroundings *near)
{
	return takes_less_than(1, request, near);
}

static struct tms_alloc_request asks(uint64_t n, int32_t effort)
{
	struct tms_alloc_request request = request_of(n, effort);

	request.cost.clean_ns = 10;
	request.cost.object_ns = request.cost.move_ns = 1000;
	return request;
}

static void a_free_window_is_found_wherever_it_is_and_soon(void)
{
	const uint32_t at[] = { 0, 77 * TMS_CHUNK_FRAMES + 300, FRAMES - 20480 };

	for (size_t where = 0; where < sizeof(at) / sizeof(*at); where++)
		for (size_t i = 0; i < SIZES; i++) {
			struct tms_alloc_request request = asks(sizes[i], TMS_EFFORT_MIGRATE);
			struct surroundings roomy = around;
			struct tms_window window;

			roomy.reserve_bytes_free = UINT64_C(1) << 30; /* any other window would do */
			CHECK(open_region(FRAMES));
			fill_but(at[where], at[where] + (uint32_t)sizes[i]);
			if (sizes[i] < 2 * TMS_CHUNK_FRAMES || at[where] % TMS_CHUNK_FRAMES == 0) {
				CHECK(is_soon(&request, &roomy));
				CHECK_EQ(range_propose(&table, &request, &roomy, &window), TMS_REASON_NONE);
				if (sizes[i] < TMS_CHUNK_FRAMES)
					CHECK_EQ(window.start_pfn, at[where]);
			}
			request.effort = TMS_EFFORT_FREE;
			CHECK_EQ(range_propose(&table, &request, &around, &window), TMS_REASON_NONE);
			CHECK_EQ(window.start_pfn, at[where]);
			close_region();
		}
}

static void that_the_effort_does_not_reach_is_known_soon(void)
{
	for (size_t i = 0; i < SIZES; i++)
		for (int32_t effort = 0; effort < TMS_EFFORTS; effort++) {
			struct tms_alloc_request request = asks(sizes[i], effort); /* and nowhere to go */
			struct tms_window window;

			CHECK(open_region(FRAMES));
			fill_but(0, 0);
			CHECK_EQ(range_propose(&table, &request, &around, &window), TMS_REASON_EFFORT);
			CHECK(is_soon(&request, &around));
			close_region();
		}
}

/* Of every few frames one waits for a copy, the others are free, so that counts alone tell of no chunk that it has none. */
static void among_frames_of_all_kinds_that_the_effort_does_not_reach_is_known_soon(void)
{
	for (size_t i = 1; i < SIZES; i++)
		for (int32_t effort = 0; effort <= TMS_EFFORT_DROP; effort++) {
			struct tms_alloc_request request = asks(sizes[i], effort);
			struct tms_window window;

			CHECK(open_region(FRAMES));
			for (uint32_t pfn = 0; pfn < FRAMES; pfn++)
				if (pfn % sizes[i] == sizes[i] - 1)
					frame_take(&frames, pfn, FRAME_SWAP, 1);
			for (uint32_t c = 0; c < frames.chunks; c++)
				frames.chunk[c].objects_uncopied = frames.chunk[c].frames_frontswap;
			CHECK_EQ(range_propose(&table, &request, &around, &window), TMS_REASON_EFFORT);
			CHECK(is_soon(&request, &around));
			request.frames--;
			CHECK_EQ(range_propose(&table, &request, &around, &window), TMS_REASON_NONE);
			close_region();
		}
}

/* Every other page waits for a copy, has nowhere to go, and yet bars no window by itself: all are looked at, once each. */
static void frames_are_looked_at_some_times_and_not_once_for_each_chunk(void)
{
	struct tms_alloc_request request = asks(TMS_CHUNK_FRAMES - 1, TMS_EFFORT_MIGRATE);
	const struct surroundings nowhere = { .chunk_bytes_max = UINT64_MAX };
	struct tms_window window;

	CHECK(open_region(8 * FRAMES));
	for (uint32_t pfn = 0; pfn < frames.frames; pfn += 2)
		frame_take(&frames, pfn, FRAME_SWAP, 1);
	for (uint32_t c = 0; c < frames.chunks; c++)
		frames.chunk[c].objects_uncopied = frames.chunk[c].units_uncopied = frames.chunk[c].frames_frontswap;
	CHECK_EQ(range_propose(&table, &request, &nowhere, &window), TMS_REASON_EFFORT);
	CHECK(takes_less_than(40, &request, &nowhere));
	close_region();
}

static void where_every_window_has_an_allocated_frame_there_is_none(void)
{
	for (size_t i = 1; i < SIZES; i++) {
		struct tms_alloc_request request = asks(sizes[i], TMS_EFFORT_DROP);
		struct tms_window window;

		CHECK(open_region(FRAMES));
		fill_but(0, 0);
		for (uint32_t pfn = (uint32_t)sizes[i] - 1; pfn < FRAMES; pfn += (uint32_t)sizes[i])
			frame_isolate_run(&frames, pfn, pfn + 1);
		CHECK_EQ(range_propose(&table, &request, &around, &window), TMS_REASON_NO_WINDOW);
		request.frames--;
		CHECK_EQ(range_propose(&table, &request, &around, &window), TMS_REASON_EFFORT);
		close_region();
	}
}

/* Frames of all kinds, in runs, so that now and then a window is of one kind. */
static void fill_at_random(uint64_t *rng)
{
	for (uint32_t pfn = 0; pfn < frames.frames;) {
		uint32_t end = pfn + 1 + rng_below(rng, rng_below(rng, 8) ? 20 : 1500);
		uint32_t kind = rng_below(rng, 10);

		for (; pfn < end && pfn < frames.frames; pfn++)
			if (kind < 4)
				frame_take(&frames, pfn, FRAME_SWAP, 1);
			else if (kind < 9)
				frame_take(&frames, pfn, FRAME_CLEAN, 1);
	}
	for (uint32_t c = 0; c < frames.chunks; c++) {
		struct tms_chunk *chunk = &frames.chunk[c];

		chunk->objects_copied = rng_below(rng, 3) ? 0 : chunk->frames_frontswap;
		chunk->objects_uncopied = chunk->frames_frontswap - chunk->objects_copied;
		chunk->bytes_uncopied = chunk->objects_uncopied * TMS_PAGE_SIZE;
		chunk->units_uncopied = chunk->bytes_uncopied / 64;
	}
}

/* Each window by itself. */
static uint64_t cheapest_ns(struct tms_alloc_request request, const struct surroundings *near)
{
	uint64_t least = UINT64_MAX;

	request.fixed = true;
	for (; request.start_pfn + request.frames <= frames.frames; request.start_pfn++) {
		struct tms_window window;

		if (range_propose(&table, &request, near, &window) == TMS_REASON_NONE)
			least = min_u64(least, window.predicted_ns);
	}
	return least;
}

static void a_small_window_is_found_if_there_is_one_and_is_among_the_cheapest(void)
{
	uint64_t rng = 7;
	uint32_t cheapest = 0;
	uint32_t found = 0;

	for (int round = 0; round < 60; round++) {
		struct tms_alloc_request request = asks(sizes[rng_below(&rng, 3)], (int32_t)rng_below(&rng, TMS_EFFORTS));
		struct surroundings near = around;
		struct tms_window window;
		uint64_t least;
		enum tms_reason reason;

		near.reserve_bytes_free = rng_below(&rng, 2) * UINT64_C(1000000);
		CHECK(open_region(40 * TMS_CHUNK_FRAMES + 100));
		fill_at_random(&rng);
		reason = range_propose(&table, &request, &near, &window);
		least = cheapest_ns(request, &near);
		CHECK_EQ(reason, least == UINT64_MAX ? TMS_REASON_EFFORT : TMS_REASON_NONE);
		if (reason == TMS_REASON_NONE) {
			CHECK(window.predicted_ns >= least);
			found++;
			cheapest += window.predicted_ns == least;
		}
		close_region();
	}
	CHECK(found > 20 && cheapest * 4 >= found * 3);
}

int main(void)
{
	RUN(a_free_window_is_found_wherever_it_is_and_soon);
	RUN(that_the_effort_does_not_reach_is_known_soon);
	RUN(among_frames_of_all_kinds_that_the_effort_does_not_reach_is_known_soon);
	RUN(frames_are_looked_at_some_times_and_not_once_for_each_chunk);
	RUN(where_every_window_has_an_allocated_frame_there_is_none);
	RUN(a_small_window_is_found_if_there_is_one_and_is_among_the_cheapest);
	return check_finish(__FILE__);
}
