/* What policy sets and asks from outside: headroom against a count by hand, time, episodes, faults. */
#include "inside.h"

#define RAW TMS_PAGE_SIZE
#define CHUNK TMS_CHUNK_FRAMES
#define CHUNKS 5u

static struct fixture f;
static struct tms_device device;
static uint64_t now_ns;

static void open_store(uint32_t frames, uint64_t reserve_bytes)
{
	now_ns = 1000;
	device = steady_device();
	CHECK_EQ(fixture_open(&f, &(struct setup){ .frames = frames,
						   .packed = true,
						   .reserve_bytes = reserve_bytes,
						   .device = &device,
						   .virtual_ns = &now_ns }),
		 TMS_OK);
}

/* ---- headroom ------------------------------------------------------------------------------------------- */

static uint64_t larger(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* Each page for itself, window by window. */
static struct tms_headroom by_hand(uint64_t window_chunks)
{
	struct tms_headroom most = { 0 };
	const struct holdings *held = &f.store->held;
	uint64_t bytes[CHUNKS] = { 0 };
	uint64_t objects[CHUNKS] = { 0 };
	uint64_t frames[CHUNKS] = { 0 };
	uint64_t in_reserve = 0;

	for (uint32_t pfn = 0; pfn < f.region->frames.frames; pfn++)
		frames[pfn / CHUNK] += frame_state(&f.region->frames, pfn) == FRAME_SWAP || frame_state(&f.region->frames, pfn) == FRAME_PACKED;
	for (uint32_t id = 1; id < held->index.entries.end; id++) {
		const struct entry *entry = holdings_entry(held, id);
		uint64_t rounded = (entry->size + UINT64_C(63)) / 64 * 64;

		if (!entry->object || !entry_is_only_copy(entry))
			continue;
		most.uncopied_bytes += rounded;
		if (reserve_has(&f.region->reserve, entry->place)) {
			in_reserve += rounded;
			continue;
		}
		bytes[entry->place / 64 / CHUNK] += rounded;
		objects[entry->place / 64 / CHUNK]++;
	}
	for (uint64_t first = 0; first < CHUNKS; first++) {
		uint64_t sum[3] = { 0 };

		for (uint64_t c = first; c < CHUNKS && c < first + window_chunks; c++) {
			sum[0] += bytes[c];
			sum[1] += objects[c];
			sum[2] += frames[c];
			most.chunk_frames_frontswap = larger(most.chunk_frames_frontswap, frames[c]);
		}
		most.window_bytes_uncopied = larger(most.window_bytes_uncopied, sum[0]);
		most.window_objects_uncopied = larger(most.window_objects_uncopied, sum[1]);
		most.window_frames_frontswap = larger(most.window_frames_frontswap, sum[2]);
	}
	most.reserve_bytes_free = ((uint64_t)f.region->reserve.units << UNIT_SHIFT) - in_reserve;
	return most;
}

static void headroom_is_what_a_count_by_hand_gives(void)
{
	const uint32_t noise[] = { 1, 500, 2000, 4029, RAW };
	uint64_t rng = 61;

	open_store(CHUNKS * CHUNK - 100, 100 * RAW);
	for (int round = 0; round < 40; round++) {
		for (int i = 0; i < 100; i++) {
			uint32_t key = rng_below(&rng, 3000);

			if (rng_below(&rng, 3))
				(void)fixture_put(&f, f.swap, key, key + 1, noise[rng_below(&rng, 5)]);
			else
				(void)tms_flush_page(f.store, f.swap, key >> 4, key);
		}
		for (int i = 0; i < 5; i++) {
			uint32_t id = id_of(&f, f.swap, rng_below(&rng, 3000));

			if (id && entry_is_only_copy(holdings_entry(&f.store->held, id)))
				(void)shrink_to_reserve(&f.store->held, id, NULL, 0, 0);
		}
		if (rng_below(&rng, 5) == 0) {
			uint32_t chunk = rng_below(&rng, CHUNKS);

			CHECK(copy_out(&f, chunk * CHUNK, frame_chunk_end(&f.region->frames, chunk)));
		}
		for (uint64_t chunks = 1; chunks <= CHUNKS + 1; chunks++) {
			struct tms_headroom expected = by_hand(chunks);
			struct tms_headroom headroom;

			CHECK_EQ(tms_measure_headroom(f.store, chunks, &headroom), TMS_OK);
			CHECK(!memcmp(&headroom, &expected, sizeof(headroom)));
		}
		CHECK_VERIFIES(f.store);
	}
	fixture_close(&f);
}

static void what_is_at_the_device_is_pending_until_it_is_complete(void)
{
	struct tms_headroom headroom;
	struct page_out *batch;
	uint32_t id;

	open_store(CHUNK, 0);
	CHECK_EQ(fixture_put(&f, f.swap, 1, 1, RAW), TMS_OK);
	id = id_of(&f, f.swap, 1);
	batch = batch_of(&f, &id, 1, TMS_CAUSE_CLEAN, NULL);
	io_submit(f.store->io, &batch->io);
	CHECK_EQ(tms_measure_headroom(f.store, 1, &headroom), TMS_OK);
	CHECK_EQ(headroom.pending_bytes, RAW);
	CHECK_EQ(headroom.uncopied_bytes, RAW);
	CHECK_EQ(tms_advance(f.store, NSEC_PER_SEC), TMS_OK);
	CHECK_EQ(tms_measure_headroom(f.store, 1, &headroom), TMS_OK);
	CHECK_EQ(headroom.pending_bytes + headroom.uncopied_bytes + headroom.window_bytes_uncopied, 0);
	CHECK_EQ(headroom.window_frames_frontswap, 1);
	fixture_close(&f);
}

/* ---- time ------------------------------------------------------------------------------------------------ */

static void time_passes_by_what_is_asked_for_and_io_completes_meanwhile(void)
{
	struct page_out *batch;
	uint32_t id;

	open_store(CHUNK, 0);
	CHECK_EQ(tms_now(f.store), 1000);
	CHECK_EQ(fixture_put(&f, f.swap, 1, 1, RAW), TMS_OK);
	id = id_of(&f, f.swap, 1);
	batch = batch_of(&f, &id, 1, TMS_CAUSE_CLEAN, NULL);
	io_submit(f.store->io, &batch->io);
	CHECK_EQ(tms_advance(f.store, 10), TMS_OK);
	CHECK_EQ(tms_now(f.store), 1010);
	CHECK_EQ(fixture_place(&f, f.swap, 1), TMS_PLACE_REGION);
	CHECK_EQ(tms_advance(f.store, NSEC_PER_SEC), TMS_OK);
	CHECK_EQ(tms_now(f.store), 1010 + NSEC_PER_SEC);
	CHECK_EQ(fixture_place(&f, f.swap, 1), TMS_PLACE_REGION | TMS_PLACE_SPILL);
	CHECK_EQ(tms_advance(f.store, 0), TMS_OK);
	fixture_close(&f);
}

static void time_passes_without_a_device_too(void)
{
	now_ns = 5;
	CHECK_EQ(fixture_open(&f, &(struct setup){ .virtual_ns = &now_ns }), TMS_OK);
	CHECK_EQ(tms_advance(f.store, 100), TMS_OK);
	CHECK_EQ(tms_now(f.store), 105);
	fixture_close(&f);
}

static void a_clock_that_runs_by_itself_is_not_advanced(void)
{
	uint64_t before_ns;

	CHECK_EQ(fixture_open(&f, &(struct setup){ .spill = true }), TMS_OK);
	before_ns = tms_now(f.store);
	CHECK_EQ(tms_advance(f.store, UINT64_C(1000000) * NSEC_PER_SEC), TMS_E_INVALID);
	CHECK(tms_now(f.store) - before_ns < 100 * NSEC_PER_SEC);
	fixture_close(&f);
}

/* ---- episodes --------------------------------------------------------------------------------------------- */

static uint64_t time_of_a_load(void)
{
	uint64_t began_ns = now_ns;
	uint8_t page[RAW];

	return fixture_get(&f, f.swap, 1, page) == TMS_OK ? now_ns - began_ns : 0;
}

static void an_episode_counts_from_now_and_ends(void)
{
	const struct tms_episode slow = { .start_ns = NSEC_PER_SEC, .duration_ns = NSEC_PER_SEC, .slow_permille = 5000 };
	uint64_t usual_ns;

	open_store(CHUNK, 0);
	CHECK_EQ(fixture_put(&f, f.swap, 1, 1, RAW), TMS_OK);
	CHECK(copy_out(&f, 0, CHUNK));
	shrink_drop_resident(&f.store->held, id_of(&f, f.swap, 1));
	usual_ns = time_of_a_load();
	CHECK(usual_ns > 0);
	CHECK_EQ(tms_advance(f.store, 7 * NSEC_PER_SEC), TMS_OK);
	CHECK_EQ(tms_device_episode(f.store, &slow), TMS_OK);
	CHECK_EQ(time_of_a_load(), usual_ns);
	CHECK_EQ(tms_advance(f.store, NSEC_PER_SEC), TMS_OK);
	CHECK_EQ(time_of_a_load(), 5 * usual_ns);
	CHECK_EQ(tms_advance(f.store, NSEC_PER_SEC), TMS_OK);
	CHECK_EQ(time_of_a_load(), usual_ns);
	fixture_close(&f);
}

static void only_an_emulated_device_has_episodes(void)
{
	const struct tms_episode slow = { .duration_ns = 1, .slow_permille = 2000 };

	CHECK_EQ(fixture_open(&f, &(struct setup){ .spill = true }), TMS_OK);
	CHECK_EQ(tms_device_episode(f.store, &slow), TMS_E_INVALID);
	fixture_close(&f);
	CHECK_EQ(fixture_open(&f, &(struct setup){ .spill = false }), TMS_OK);
	CHECK_EQ(tms_device_episode(f.store, &slow), TMS_E_INVALID);
	fixture_close(&f);
}

/* ---- a closed store --------------------------------------------------------------------------------------- */

static void a_closed_store_answers_so(void)
{
	const struct tms_ceilings ceilings = { .frontswap_permille = 1000 };
	const struct tms_episode slow = { .duration_ns = 1, .slow_permille = 2000 };
	struct tms_headroom headroom;
	uint32_t abandoned;

	open_store(CHUNK, 0);
	CHECK_EQ(tms_store_close(f.store, NSEC_PER_SEC, &abandoned), TMS_OK);
	CHECK_EQ(tms_set_ceilings(f.store, &ceilings), TMS_E_CLOSED);
	CHECK_EQ(tms_measure_headroom(f.store, 1, &headroom), TMS_E_CLOSED);
	CHECK_EQ(tms_advance(f.store, 1), TMS_E_CLOSED);
	CHECK_EQ(tms_device_episode(f.store, &slow), TMS_E_CLOSED);
	fixture_close(&f);
}

int main(void)
{
	RUN(headroom_is_what_a_count_by_hand_gives);
	RUN(what_is_at_the_device_is_pending_until_it_is_complete);
	RUN(time_passes_by_what_is_asked_for_and_io_completes_meanwhile);
	RUN(time_passes_without_a_device_too);
	RUN(a_clock_that_runs_by_itself_is_not_advanced);
	RUN(an_episode_counts_from_now_and_ends);
	RUN(only_an_emulated_device_has_episodes);
	RUN(a_closed_store_answers_so);
	return check_finish(__FILE__);
}
