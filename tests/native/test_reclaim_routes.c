/* The routes of whole allocations on a virtual clock: which are taken, and that the report adds up. */
#include "inside.h"

#define RAW TMS_PAGE_SIZE
#define CHUNK TMS_CHUNK_FRAMES
#define PAIRS 3600u

static struct fixture f;
static struct tms_device device;
static uint64_t now_ns;

static void open_store(uint32_t frames, uint64_t reserve_bytes)
{
	now_ns = 1000;
	device = steady_device();
	CHECK_EQ(fixture_open(&f, &(struct setup){ .frames = frames,
						   .denser = true,
						   .reserve_bytes = reserve_bytes,
						   .device = &device,
						   .virtual_ns = &now_ns }),
		 TMS_OK);
}

static void put(tms_pool_id pool, uint32_t from, uint32_t to)
{
	for (uint32_t key = from; key < to; key++)
		CHECK_EQ(fixture_put(&f, pool, key, key + 1, RAW), TMS_OK);
}

static void put_pairs(uint32_t from, uint32_t to)
{
	for (uint32_t key = from; key < to; key++)
		CHECK_EQ(fixture_put_pairs(&f, key, key + 1, PAIRS), TMS_OK);
}

static struct tms_alloc_request request_priced(uint32_t start, uint32_t frames, int32_t effort)
{
	struct tms_alloc_request request = request_at(start, frames, effort);

	request.cost = (struct tms_cost){ .t0_ns = 1000, .frame_ns = 10, .drop_ns = 100, .move_ns = 300, .move_ps = 100, .compress_ns = 5000,
					  .compress_permille = 500, .object_ns = 1000, .byte_ps = 1000 };
	request.p99 = request.bound = request.cost;
	return request;
}

static void where_there_is_room_nothing_is_written(void)
{
	struct tms_alloc_request request = request_priced(0, CHUNK, TMS_EFFORT_PAGE_OUT);
	struct tms_report r;

	open_store(3 * CHUNK, 0);
	put(f.swap, 0, 400);
	put(f.clean, 0, 2 * CHUNK);
	CHECK_EQ(tms_alloc_contig(f.store, &request, &r), TMS_OK);
	CHECK_EQ(r.window.to_page_out + r.window.to_compress + r.window.bytes_to_page_out, 0);
	CHECK_EQ(r.migrated_inside, 400);
	CHECK_EQ(r.clean_dropped, CHUNK - 400);
	CHECK_EQ(r.paged_out + r.bytes_written + r.write_batches + r.waited_ns + r.migrated_reserve, 0);
	CHECK(r.clean_evicted > 0);
	CHECK_EQ(r.elapsed_ns, now_ns - 1000);
	/* The clock goes by the model, but for the drops of what was moved instead, and fractions. */
	CHECK(r.elapsed_ns <= r.window.predicted_ns);
	CHECK(r.elapsed_ns + 400 * (request.cost.drop_ns + 1) >= r.window.predicted_ns);
	CHECK_VERIFIES(f.store);
	fixture_close(&f);
}

static void without_room_every_page_is_written(void)
{
	struct tms_alloc_request request = request_priced(0, 2 * CHUNK, TMS_EFFORT_PAGE_OUT);
	struct tms_report r;

	open_store(2 * CHUNK, 0);
	put(f.swap, 0, CHUNK);
	request.cost.compress_permille = 1000;
	CHECK_EQ(tms_alloc_contig(f.store, &request, &r), TMS_OK);
	CHECK_EQ(r.paged_out, CHUNK);
	CHECK_EQ(r.bytes_written, CHUNK * RAW);
	CHECK_EQ(r.migrated_inside + r.migrated_reserve + r.copied_dropped, 0);
	CHECK(r.waited_ns > 0);
	CHECK_VERIFIES(f.store);
	fixture_close(&f);
}

static void each_effort_uses_what_is_below_it(void)
{
	for (int32_t effort = 0; effort < TMS_EFFORTS; effort++) {
		/* A window that is free; of clean pages; that fits the reserve; compressed; not even then. */
		const uint32_t swap[] = { 0, 0, 100, 150, 300 };
		const uint32_t clean[] = { 0, 100, 100, 100, 100 };

		for (int32_t needs = 0; needs < TMS_EFFORTS; needs++) {
			struct tms_alloc_request request = request_priced(0, 2 * CHUNK, effort);
			struct tms_report r;

			open_store(2 * CHUNK, 100 * RAW);
			put_pairs(0, swap[needs]);
			put(f.clean, 0, clean[needs]);
			CHECK_EQ(tms_alloc_contig(f.store, &request, &r), effort < needs ? TMS_ALLOC_REFUSED : TMS_OK);
			CHECK_EQ(r.reason, effort < needs ? TMS_REASON_EFFORT : TMS_REASON_NONE);
			CHECK(r.bytes_written == 0 || effort == TMS_EFFORT_PAGE_OUT);
			CHECK(r.compressed == 0 || effort >= TMS_EFFORT_COMPRESS);
			CHECK_EQ(r.bytes_written + r.compressed > 0, effort >= needs && needs >= TMS_EFFORT_COMPRESS);
			CHECK_VERIFIES(f.store);
			for (uint32_t key = 0; key < swap[needs]; key++)
				CHECK(fixture_holds_pairs(&f, key, key + 1, PAIRS));
			fixture_close(&f);
		}
	}
}

/* Objects of the window that were nowhere else have left by exactly one route; so it is told. */
static void the_routes_add_up(void)
{
	uint64_t rng = 93;
	uint32_t met = 0;

	for (int round = 0; round < 150; round++) {
		struct tms_alloc_request request = request_priced(CHUNK, CHUNK, TMS_EFFORT_PAGE_OUT);
		uint32_t keys = CHUNK + rng_below(&rng, 2 * CHUNK);
		struct tms_chunk chunks[3];
		struct tms_stats before;
		struct tms_stats after;
		struct tms_report r;

		open_store(3 * CHUNK, rng_below(&rng, 3) * 50 * RAW);
		put_pairs(0, keys);
		CHECK(copy_out(&f, CHUNK, CHUNK + rng_below(&rng, 200)));
		for (uint32_t i = rng_below(&rng, 300); i; i--)
			(void)tms_flush_page(f.store, f.swap, i >> 4, i);
		put(f.clean, 0, rng_below(&rng, 200));
		if (rng_below(&rng, 2))
			request.cost.compress_permille = 1000;
		if (rng_below(&rng, 2))
			request.cost.byte_ps = 100000; /* so that the plan compresses */
		request.bound = request.cost;
		if (rng_below(&rng, 4) == 0)
			CHECK_EQ(tms_device_episode(f.store, &(struct tms_episode){ .duration_ns = NSEC_PER_SEC, .slow_permille = 20000 }), TMS_OK);
		CHECK_EQ(tms_chunks(f.store, 3, chunks), TMS_OK);
		before = fixture_stats(&f);
		if (tms_alloc_contig(f.store, &request, &r) == TMS_OK) {
			met++;
			CHECK_EQ(r.window.objects_uncopied, chunks[1].objects_uncopied);
			CHECK_EQ(r.migrated_inside + r.migrated_reserve + r.paged_out, chunks[1].objects_uncopied);
			CHECK_EQ(r.copied_dropped, chunks[1].objects_copied);
			CHECK_EQ(r.clean_dropped, chunks[1].frames_clean);
			after = fixture_stats(&f);
			CHECK_EQ(after.alloc_paged_out - before.alloc_paged_out, r.paged_out);
			CHECK_EQ(after.alloc_compressed - before.alloc_compressed, r.compressed);
			CHECK(after.pages_reserve - before.pages_reserve <= r.migrated_reserve); /* some left with their copy */
			CHECK_EQ(after.clean_evicted - before.clean_evicted, r.clean_evicted);
			CHECK_EQ(before.pages_clean - after.pages_clean, r.clean_dropped + r.clean_evicted);
		}
		CHECK_VERIFIES(f.store);
		fixture_close(&f);
	}
	CHECK(met > 100);
}

static void what_was_written_in_vain_is_no_page_out(void)
{
	struct tms_alloc_request request = request_priced(0, CHUNK, TMS_EFFORT_PAGE_OUT);
	struct tms_report r;

	open_store(2 * CHUNK, 0);
	put(f.swap, 0, CHUNK);
	for (uint32_t key = 1000; f.region->frames.held[FRAME_FREE] > 0; key++)
		put(f.swap, key, key + 1);
	/* The plan sees no room; while it writes, room comes up, and all writes fail. */
	CHECK_EQ(tms_fault_arm(f.store, TMS_FAULT_WRITE, 0, FOR_EVER, EIO, 0), TMS_OK);
	CHECK_EQ(tms_alloc_contig(f.store, &request, &r), TMS_ALLOC_ABORTED);
	CHECK_EQ(r.reason, TMS_REASON_SPILL);
	CHECK_EQ(r.copied_dropped + r.migrated_inside, 0);
	CHECK_VERIFIES(f.store);
	for (uint32_t key = 0; key < CHUNK; key++)
		CHECK(fixture_holds(&f, f.swap, key, key + 1, RAW));
	fixture_close(&f);
}

/* Room is counted as it is used: whatever is begun at an effort below writing ends well if time allows. */
static void what_has_no_room_is_refused_and_not_aborted(void)
{
	const uint32_t noise[] = { 1, 62, 1000, 2049, 4029, RAW };

	for (int i = 0; i < 6; i++)
		for (uint64_t reserve = 0; reserve < 4; reserve++) {
			struct tms_alloc_request request = request_priced(0, 2 * CHUNK, TMS_EFFORT_MIGRATE);
			struct tms_report r;
			int code;

			now_ns = 1000;
			CHECK_EQ(fixture_open(&f, &(struct setup){ .frames = 2 * CHUNK, .packed = true, .reserve_bytes = reserve * 10 * RAW,
								   .virtual_ns = &now_ns }), TMS_OK);
			for (uint32_t key = 0; key < 700; key++)
				CHECK_EQ(fixture_put(&f, f.swap, key, key + 1, noise[i]), TMS_OK);
			code = tms_alloc_contig(f.store, &request, &r);
			CHECK_EQ(code, reserve * 640 >= 700 * (uint64_t)units_of(entry_of(&f, f.swap, 0)->size) ? TMS_OK : TMS_ALLOC_REFUSED);
			CHECK_VERIFIES(f.store);
			fixture_close(&f);
		}
}

/* Raw pages need no more than as many frames. */
static void what_has_room_to_the_last_frame_is_not_refused(void)
{
	struct tms_alloc_request request = request_priced(0, CHUNK, TMS_EFFORT_MIGRATE);
	struct tms_report r;

	open_store(2 * CHUNK, 0);
	put(f.swap, 0, 2 * CHUNK);
	for (uint32_t key = 100; key < CHUNK + 100; key++)
		CHECK_EQ(tms_flush_page(f.store, f.swap, key >> 4, key), TMS_OK);
	CHECK_EQ(tms_alloc_contig(f.store, &request, &r), TMS_OK);
	CHECK_EQ(r.migrated_inside, 100);
	fixture_close(&f);
}

/* Of what would have to be written, so much does not fit into the deadline. */
static void what_does_not_fit_the_deadline_is_told(void)
{
	struct tms_alloc_request request = request_priced(0, CHUNK, TMS_EFFORT_PAGE_OUT);
	struct tms_report r;

	open_store(CHUNK, 0);
	put(f.swap, 0, CHUNK);
	request.cost = request.p99 = request.bound = (struct tms_cost){ .t0_ns = 1000, .byte_ps = 1000, .compress_permille = 1000 }; /* 1 ns a byte */
	request.refuse_over_bound = true;
	request.deadline_ns = 1000 + CHUNK * RAW;
	CHECK_EQ(tms_propose(f.store, &request, &r.window, &r.reason), TMS_OK);
	CHECK_EQ(r.window.bound_ns, request.deadline_ns);
	request.deadline_ns -= 5000;
	CHECK_EQ(tms_alloc_contig(f.store, &request, &r), TMS_ALLOC_REFUSED);
	CHECK_EQ(r.reason, TMS_REASON_DEADLINE);
	CHECK_EQ(r.window.bytes_short, 5000);
	fixture_close(&f);
}

static void how_often_what_was_said_before_held_is_counted(void)
{
	struct tms_alloc_request request = request_priced(0, CHUNK, TMS_EFFORT_DROP);
	struct tms_report r;
	struct tms_stats s;

	open_store(CHUNK, 0);
	for (int i = 0; i < 4; i++) {
		const uint64_t said_ns[] = { 0, 1000, 100000000 };

		put(f.clean, 0, 100);
		request.p99 = request.bound = (struct tms_cost){ 0 };
		request.p99.t0_ns = said_ns[i > 1 ? 2 : 0];
		request.bound.t0_ns = said_ns[i > 2 ? 2 : 1];
		CHECK_EQ(tms_alloc_contig(f.store, &request, &r), TMS_OK);
		CHECK_EQ(tms_release(f.store, r.range), TMS_OK);
	}
	s = fixture_stats(&f);
	CHECK_EQ(s.allocs_run, 4);
	CHECK_EQ(s.allocs_within_p50, 4);
	CHECK_EQ(s.allocs_within_p99, 2);
	CHECK_EQ(s.allocs_within_bound, 1);
	fixture_close(&f);
}

int main(void)
{
	RUN(where_there_is_room_nothing_is_written);
	RUN(without_room_every_page_is_written);
	RUN(each_effort_uses_what_is_below_it);
	RUN(the_routes_add_up);
	RUN(what_was_written_in_vain_is_no_page_out);
	RUN(what_has_no_room_is_refused_and_not_aborted);
	RUN(what_has_room_to_the_last_frame_is_not_refused);
	RUN(what_does_not_fit_the_deadline_is_told);
	RUN(how_often_what_was_said_before_held_is_counted);
	return check_finish(__FILE__);
}
