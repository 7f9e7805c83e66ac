/* The frame table against three arrays, recounted after every few changes. */
#include "frame.h"
#include "fixture.h"

#define FRAMES (2u * TMS_CHUNK_FRAMES + 77) /* the last chunk is short */
#define CHUNKS 3u

struct shadow {
	uint8_t state[FRAMES];
	bool isolated[FRAMES];
	uint32_t owner[FRAMES];
};

static struct mapping mapping = { .size_bytes = (uint64_t)FRAMES * TMS_PAGE_SIZE }; /* no data is touched */
static struct shadow shadow;

static uint32_t free_in(uint32_t chunk)
{
	uint32_t free = 0;

	for (uint32_t pfn = 0; pfn < FRAMES; pfn++)
		free += pfn / TMS_CHUNK_FRAMES == chunk && shadow.state[pfn] == FRAME_FREE && !shadow.isolated[pfn];
	return free;
}

static void recount(const struct frame_table *table)
{
	struct tms_chunk chunk[CHUNKS] = { 0 };
	uint64_t held[FRAME_STATES] = { 0 };
	uint64_t isolated = 0;

	for (uint32_t pfn = 0; pfn < FRAMES; pfn++) {
		struct tms_chunk *c = &chunk[pfn / TMS_CHUNK_FRAMES];
		bool empty = shadow.state[pfn] == FRAME_FREE;

		CHECK_EQ(frame_state(table, pfn), shadow.state[pfn]);
		CHECK_EQ(frame_is_isolated(table, pfn), shadow.isolated[pfn]);
		CHECK_EQ(table->owner[pfn], shadow.owner[pfn]);
		CHECK_EQ(bitmap_test(&table->free, pfn), empty && !shadow.isolated[pfn]);
		c->frames_clean += shadow.state[pfn] == FRAME_CLEAN;
		c->frames_frontswap += shadow.state[pfn] == FRAME_SWAP || shadow.state[pfn] == FRAME_PACKED;
		c->frames_allocated += shadow.state[pfn] == FRAME_ALLOCATED;
		c->frames_free += empty && !shadow.isolated[pfn];
		c->frames_isolated += empty && shadow.isolated[pfn];
		c->frames_leaving += !empty && shadow.isolated[pfn];
		held[shadow.state[pfn]] += !(empty && shadow.isolated[pfn]);
		isolated += empty && shadow.isolated[pfn];
	}
	CHECK(!memcmp(chunk, table->chunk, sizeof(chunk)));
	CHECK(!memcmp(held, table->held, sizeof(held)));
	CHECK_EQ(table->isolated, isolated);
}

/* The longest run from pfn on whose frames are all in the state asked for, up to limit frames. */
static uint32_t run_end(uint32_t pfn, bool empty, bool isolated, uint32_t limit)
{
	uint32_t end = pfn;

	while (end < FRAMES && end - pfn < limit && shadow.isolated[end] == isolated && (!empty || shadow.state[end] == FRAME_FREE) &&
	       shadow.state[end] != FRAME_ALLOCATED)
		end++;
	return end;
}

static void isolate(struct frame_table *table, uint32_t start, uint32_t end)
{
	frame_isolate_run(table, start, end);
	memset(shadow.isolated + start, true, end - start);
}

static void unisolate(struct frame_table *table, uint32_t start, uint32_t end)
{
	frame_unisolate_run(table, start, end);
	memset(shadow.isolated + start, false, end - start);
}

static void claim(struct frame_table *table, uint32_t start, uint32_t end)
{
	frame_claim_run(table, start, end);
	memset(shadow.isolated + start, false, end - start);
	memset(shadow.state + start, FRAME_ALLOCATED, end - start);
}

static void release_run(struct frame_table *table, uint32_t start, uint32_t limit)
{
	uint32_t end = start;

	while (end < FRAMES && end - start < limit && shadow.state[end] == FRAME_ALLOCATED)
		end++;
	frame_release_run(table, start, end);
	memset(shadow.state + start, FRAME_FREE, end - start);
}

static void change(struct frame_table *table, uint32_t pfn, uint64_t *rng)
{
	bool empty = shadow.state[pfn] == FRAME_FREE;
	uint32_t limit = rng_below(rng, 4) ? 1 + rng_below(rng, 20) : FRAMES;

	if (shadow.state[pfn] == FRAME_ALLOCATED) {
		release_run(table, pfn, limit);
	} else if (shadow.isolated[pfn] && empty && rng_below(rng, 2)) {
		claim(table, pfn, run_end(pfn, true, true, limit));
	} else if (shadow.isolated[pfn] && (empty || rng_below(rng, 2))) {
		unisolate(table, pfn, run_end(pfn, false, true, limit));
	} else if (!shadow.isolated[pfn] && rng_below(rng, 20) == 0) {
		isolate(table, pfn, run_end(pfn, false, false, limit));
	} else if (empty) {
		shadow.state[pfn] = (uint8_t)(FRAME_CLEAN + rng_below(rng, 3));
		shadow.owner[pfn] = 1 + rng_below(rng, 1000000);
		frame_take(table, pfn, (enum frame_state)shadow.state[pfn], shadow.owner[pfn]);
	} else {
		frame_release(table, pfn);
		shadow.state[pfn] = FRAME_FREE;
		shadow.owner[pfn] = 0;
	}
}

static void the_counts_of_a_chunk_are_those_of_its_frames(void)
{
	struct frame_table table;
	uint64_t rng = 21;

	memset(&shadow, 0, sizeof(shadow));
	CHECK(frame_table_init(&table, &mapping));
	CHECK_EQ(table.frames, FRAMES);
	CHECK_EQ(table.chunks, CHUNKS);
	for (int step = 0; step < 20000; step++) {
		change(&table, rng_below(&rng, FRAMES), &rng);
		if (step % 100 == 0)
			recount(&table);
		CHECK_SO_FAR();
	}
	recount(&table);
	frame_table_deinit(&table);
}

static void the_next_free_frame_is_the_lowest_that_is_free_and_not_isolated(void)
{
	struct frame_table table;

	CHECK(frame_table_init(&table, &mapping));
	CHECK_EQ(frame_next_free(&table, 0), 0);
	frame_take(&table, 0, FRAME_CLEAN, 9);
	frame_isolate_run(&table, 1, 2);
	CHECK_EQ(frame_next_free(&table, 0), 2);
	frame_release(&table, 0);
	CHECK_EQ(frame_next_free(&table, 0), 0);
	frame_isolate_run(&table, 0, 1);
	frame_unisolate_run(&table, 1, 2);
	CHECK_EQ(frame_next_free(&table, 0), 1);
	CHECK_EQ(frame_next_free(&table, FRAMES - 1), FRAMES - 1);
	CHECK_EQ(frame_next_free(&table, FRAMES), PFN_NONE);
	CHECK_EQ(frame_chunk_end(&table, 0), TMS_CHUNK_FRAMES);
	CHECK_EQ(frame_chunk_end(&table, CHUNKS - 1), FRAMES);
	frame_table_deinit(&table);
}

static uint32_t chunk_by_hand(uint32_t frames)
{
	uint32_t best = PFN_NONE;

	for (uint32_t chunk = 0; chunk < CHUNKS; chunk++)
		if (free_in(chunk) >= frames && free_in(chunk))
			return chunk;
	for (uint32_t chunk = 0; chunk < CHUNKS; chunk++)
		if (free_in(chunk) && (best == PFN_NONE || free_in(chunk) > free_in(best)))
			best = chunk;
	return best;
}

/* Takes frames one by one until none is free. */
static void take_all(uint64_t seed)
{
	struct frame_table table;
	uint64_t rng = seed;

	memset(&shadow, 0, sizeof(shadow));
	CHECK(frame_table_init(&table, &mapping));
	for (uint32_t left = FRAMES; left; left--) {
		uint32_t pfn = rng_below(&rng, FRAMES);

		while (shadow.state[pfn] != FRAME_FREE)
			pfn = (pfn + 1) % FRAMES;
		frame_take(&table, pfn, FRAME_SWAP, 1);
		shadow.state[pfn] = FRAME_SWAP;
		for (uint32_t frames = 1; frames <= 8 && left < 60; frames++)
			CHECK_EQ(frame_chunk_with_free(&table, frames, NULL, NULL), chunk_by_hand(frames));
	}
	CHECK_EQ(frame_chunk_with_free(&table, 1, NULL, NULL), PFN_NONE);
	frame_table_deinit(&table);
}

static void a_chunk_with_enough_free_frames_is_preferred_to_one_with_the_most(void)
{
	for (uint64_t seed = 1; seed <= 8; seed++) {
		take_all(seed);
		CHECK_SO_FAR();
	}
}

int main(void)
{
	RUN(the_counts_of_a_chunk_are_those_of_its_frames);
	RUN(the_next_free_frame_is_the_lowest_that_is_free_and_not_isolated);
	RUN(a_chunk_with_enough_free_frames_is_preferred_to_one_with_the_most);
	return check_finish(__FILE__);
}
