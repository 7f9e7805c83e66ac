/* The CPU lane of an allocation: where the objects of a window go, in which order, and what may not happen. */
#include "move.h"

#include "inside.h"

#define RAW TMS_PAGE_SIZE
#define CHUNK TMS_CHUNK_FRAMES

static const struct tms_cost cost = { 0 };
static struct fixture f;
static struct holdings *held;
static struct move m;
static uint32_t range;
static uint32_t window_end;

static void open_store(const struct setup *setup)
{
	CHECK_EQ(fixture_open(&f, setup), TMS_OK);
	held = &f.store->held;
}

static void put(tms_pool_id pool, uint32_t from, uint32_t to, uint32_t noise)
{
	for (uint32_t key = from; key < to; key++)
		CHECK_EQ(fixture_put(&f, pool, key, key + 1, noise), TMS_OK);
}

static void flush(tms_pool_id pool, uint32_t from, uint32_t to)
{
	for (uint32_t key = from; key < to; key++)
		CHECK_EQ(tms_flush_page(f.store, pool, key >> 4, key), TMS_OK);
}

/* The window is the region's beginning. */
static void begin(uint32_t frames, bool takes_written)
{
	window_end = frames;
	range = region_isolate(f.region, 0, frames);
	CHECK(range);
	m = (struct move){ .store = f.store, .cost = &cost, .end_pfn = frames };
	move_begin(&m, takes_written);
}

static enum move_turn run(void)
{
	enum move_turn turn = MOVE_AGAIN;

	while (turn == MOVE_AGAIN)
		turn = move_turn(&m);
	return turn;
}

static void end(void)
{
	region_abort(f.region, range, 0, window_end);
	CHECK_VERIFIES(f.store);
}

static bool holds(uint32_t from, uint32_t to, uint32_t noise)
{
	for (uint32_t key = from; key < to; key++)
		if (!fixture_holds(&f, f.swap, key, key + 1, noise))
			return false;
	return true;
}

static void free_frames_go_first_then_those_of_clean_pages_then_the_reserve(void)
{
	enum move_turn turn = MOVE_AGAIN;

	open_store(&(struct setup){ .frames = 3 * CHUNK, .reserve_bytes = 60 * RAW });
	put(f.swap, 0, CHUNK, RAW);              /* the window */
	put(f.clean, 0, 150, RAW);
	put(f.swap, CHUNK, 3 * CHUNK - 150, RAW); /* full */
	flush(f.swap, 2 * CHUNK, 2 * CHUNK + 100);
	CHECK_SO_FAR();
	begin(CHUNK, false);
	while (turn == MOVE_AGAIN) {
		turn = move_turn(&m);
		CHECK(m.clean_evicted == 0 || held->region->frames.held[FRAME_FREE] == 0);
		CHECK(m.reserve == 0 || held->region->frames.held[FRAME_CLEAN] == 0);
		CHECK_VERIFIES(f.store);
	}
	CHECK_EQ(turn, MOVE_NO_ROOM);
	CHECK_EQ(m.clean_evicted, 150);
	CHECK_EQ(m.inside, 100 + 150);
	CHECK_EQ(m.reserve, 60);
	CHECK_EQ(m.overtaken + m.compressed, 0);
	end();
	CHECK(holds(0, 2 * CHUNK, RAW));
	CHECK(holds(2 * CHUNK + 100, 3 * CHUNK - 150, RAW));
	fixture_close(&f);
}

static void packed_objects_go_the_same_way(void)
{
	uint32_t keys = 0;

	open_store(&(struct setup){ .frames = 2 * CHUNK, .packed = true, .reserve_bytes = 100 * RAW });
	for (; held->region->frames.held[FRAME_FREE] > CHUNK + 8; keys++)
		CHECK_EQ(fixture_put(&f, f.swap, keys, keys + 1, 1000), TMS_OK);
	put(f.clean, 0, (uint32_t)held->region->frames.held[FRAME_FREE], RAW);
	CHECK_SO_FAR();
	flush(f.clean, 300, 350);
	begin(CHUNK, false);
	CHECK_EQ(run(), MOVE_DONE);
	CHECK_EQ(m.inside, keys);
	CHECK_EQ(m.reserve, 0);
	CHECK(m.clean_evicted > 0);
	for (uint32_t pfn = 0; pfn < CHUNK; pfn++)
		CHECK(frame_state(&f.region->frames, pfn) != FRAME_PACKED);
	end();
	CHECK(holds(0, keys, 1000));
	fixture_close(&f);
}

/* A chunk takes what its ceiling allows, and no more, however many free frames it has. */
static void the_ceilings_of_the_chunks_outside_are_kept(void)
{
	const uint64_t share = 50 * (uint64_t)RAW;
	struct tms_ceilings ceilings = { .contract = { { .window_chunks = 1, .cpu_ns = FOR_EVER, .device_bytes = share } },
					 .contracts = 1,
					 .frontswap_permille = 1000 };

	open_store(&(struct setup){ .frames = 4 * CHUNK, .reserve_bytes = 20 * RAW });
	put(f.swap, 0, 300, RAW);
	ceilings.contract[0].device_bytes -= 20 * RAW; /* the reserve is as good as the device */
	CHECK_EQ(tms_set_ceilings(f.store, &ceilings), TMS_OK);
	begin(CHUNK, false);
	CHECK_EQ(run(), MOVE_NO_ROOM);
	CHECK_EQ(m.inside, 150);
	CHECK_EQ(m.reserve, 20);
	for (uint32_t chunk = 1; chunk < 4; chunk++)
		CHECK_EQ(held->region->frames.chunk[chunk].frames_frontswap, 50);
	end();
	CHECK(holds(0, 300, RAW));
	fixture_close(&f);
}

static void the_frontswap_share_of_the_chunks_outside_is_kept(void)
{
	const struct tms_ceilings ceilings = { .frontswap_permille = 100 };

	open_store(&(struct setup){ .frames = 3 * CHUNK });
	put(f.swap, 0, 300, RAW);
	CHECK_EQ(tms_set_ceilings(f.store, &ceilings), TMS_OK);
	begin(CHUNK, false);
	CHECK_EQ(run(), MOVE_NO_ROOM);
	for (uint32_t chunk = 1; chunk < 3; chunk++)
		CHECK_EQ(held->region->frames.chunk[chunk].frames_frontswap, CHUNK / 10);
	end();
	fixture_close(&f);
}

/* What is bounded in all is no less for being moved. */
static void a_hard_limit_does_not_hold_up_what_is_in_the_store_already(void)
{
	const struct tms_ceilings ceilings = { .frontswap_permille = 1000, .hard = true };

	open_store(&(struct setup){ .frames = 2 * CHUNK, .reserve_bytes = 100 * RAW });
	CHECK_EQ(tms_set_ceilings(f.store, &ceilings), TMS_OK);
	put(f.swap, 0, 100, RAW);
	CHECK_EQ(fixture_put(&f, f.swap, 100, 1, RAW), TMS_REJECTED);
	begin(CHUNK, false);
	CHECK_EQ(run(), MOVE_DONE);
	CHECK_EQ(m.inside, 100);
	end();
	CHECK(holds(0, 100, RAW));
	fixture_close(&f);
}

static void copied_pages_outside_keep_their_frames(void)
{
	open_store(&(struct setup){ .frames = 2 * CHUNK, .spill = true, .reserve_bytes = 10 * RAW });
	put(f.swap, 0, 2 * CHUNK, RAW);
	CHECK(copy_out(&f, CHUNK, 2 * CHUNK));
	begin(CHUNK, false);
	CHECK_EQ(run(), MOVE_NO_ROOM);
	CHECK_EQ(m.inside, 0);
	CHECK_EQ(m.reserve, 10);
	CHECK_EQ(held->stats.swap_evicted, 0);
	end();
	fixture_close(&f);
}

/* The clean pages of the window itself are the oldest of all: giving those up frees nothing. */
static void clean_frames_outside_are_found_however_many_the_window_holds(void)
{
	for (int order = 0; order < TMS_ORDERS; order++) {
		open_store(&(struct setup){ .frames = 2 * CHUNK, .order = order });
		put(f.swap, 0, 50, RAW);
		put(f.clean, 0, 2 * CHUNK - 50, RAW);
		begin(CHUNK, false);
		CHECK_EQ(run(), MOVE_DONE);
		CHECK_EQ(m.inside, 50);
		CHECK_EQ(m.clean_evicted, 50);
		end();
		CHECK(holds(0, 50, RAW));
		fixture_close(&f);
	}
}

static void copied_pages_are_passed_over(void)
{
	open_store(&(struct setup){ .frames = 2 * CHUNK, .spill = true });
	put(f.swap, 0, 300, RAW);
	CHECK(copy_out(&f, 0, 100));
	begin(CHUNK, false);
	CHECK_EQ(run(), MOVE_DONE);
	CHECK_EQ(m.inside, 200);
	CHECK_EQ(fixture_stats(&f).pages_copied, 100);
	end();
	CHECK(holds(0, 300, RAW));
	fixture_close(&f);
}

/* ---- what is being written ----------------------------------------------------------------------------- */

static void what_is_being_written_is_moved_only_if_asked_for(void)
{
	for (int takes = 0; takes < 2; takes++) {
		uint32_t ids[10];
		struct page_out *batch;

		open_store(&(struct setup){ .frames = 2 * CHUNK, .spill = true });
		put(f.swap, 0, 30, RAW);
		for (uint32_t i = 0; i < 10; i++)
			ids[i] = id_of(&f, f.swap, i);
		batch = batch_of(&f, ids, 10, TMS_CAUSE_RECLAIM, NULL);
		begin(CHUNK, takes);
		CHECK_EQ(run(), MOVE_DONE);
		CHECK_EQ(m.inside, takes ? 30 : 20);
		CHECK_EQ(m.overtaken, takes ? 10 : 0);
		end();
		batch_complete(&f, batch, 0);
		CHECK_EQ(fixture_stats(&f).pages_copied, 10);
		CHECK(holds(0, 30, RAW));
		CHECK_VERIFIES(f.store);
		fixture_close(&f);
	}
}

/* outcome of the write, form of the copy, where the page went meanwhile: the page is whole in every case. */
static void the_completion_of_a_page_that_was_moved_is_right(void)
{
	uint8_t page[RAW];
	uint8_t dense[RAW];

	page_make_pairs(page, 5, 3000);
	for (int way = 0; way < 8; way++) {
		const bool fails = way & 1;
		const bool other_form = way & 2;
		const bool to_reserve = way & 4;
		struct page_out_bytes bytes = { dense, 0, ENTRY_PACKED | ENTRY_DENSE };
		struct page_out *batch;

		open_store(&(struct setup){ .frames = 2 * CHUNK, .spill = true, .packed = true, .denser = true, .reserve_bytes = RAW });
		CHECK_EQ(fixture_put_pairs(&f, 0, 5, 3000), TMS_OK);
		bytes.size = codec_compress(&f.store->denser, page, dense, PACKED_MAX_BYTES);
		batch = store_take_batch(f.store);
		CHECK(page_out_begin(held, batch, 1, TMS_CAUSE_RECLAIM, NULL));
		CHECK(page_out_gather(held, batch, id_of(&f, f.swap, 0), other_form ? &bytes : NULL));
		CHECK(page_out_seal(held, batch));
		if (to_reserve)
			frame_isolate_run(&held->region->frames, CHUNK, 2 * CHUNK);
		begin(CHUNK, true);
		CHECK_EQ(run(), MOVE_DONE);
		CHECK_EQ(to_reserve ? m.reserve : m.inside, 1);
		if (to_reserve)
			frame_unisolate_run(&held->region->frames, CHUNK, 2 * CHUNK);
		end();
		CHECK_EQ(tms_fault_arm(f.store, TMS_FAULT_WRITE, 0, fails, EIO, 0), TMS_OK);
		io_submit(f.store->io, &batch->io);
		while (f.store->idle_batches < PAGE_OUT_BATCHES)
			CHECK_EQ(fixture_place(&f, f.swap, 1), TMS_PLACE_ABSENT); /* a call that reaps */
		CHECK_EQ(fixture_place(&f, f.swap, 0),
			 fails ? TMS_PLACE_REGION : other_form || to_reserve ? TMS_PLACE_SPILL : TMS_PLACE_REGION | TMS_PLACE_SPILL);
		CHECK_VERIFIES(f.store);
		CHECK(fixture_holds_pairs(&f, 0, 5, 3000));
		CHECK_EQ(tms_flush_page(f.store, f.swap, 0, 0), TMS_OK);
		CHECK_EQ(fixture_stats(&f).spill_blocks_used + fixture_stats(&f).reserve_bytes_used, 0);
		CHECK_VERIFIES(f.store);
		fixture_close(&f);
	}
}

/* ---- time ---------------------------------------------------------------------------------------------- */

static void work_takes_what_the_model_says(void)
{
	const struct tms_cost slow = { .move_ns = 1000, .move_ps = 2000 };
	uint64_t now_ns = 0;

	open_store(&(struct setup){ .frames = 2 * CHUNK, .virtual_ns = &now_ns });
	put(f.swap, 0, 100, RAW);
	begin(CHUNK, false);
	m.cost = &slow;
	CHECK_EQ(run(), MOVE_DONE);
	CHECK_EQ(now_ns, 100 * (1000 + RAW * 2));
	end();
	fixture_close(&f);
}

int main(void)
{
	RUN(free_frames_go_first_then_those_of_clean_pages_then_the_reserve);
	RUN(packed_objects_go_the_same_way);
	RUN(the_ceilings_of_the_chunks_outside_are_kept);
	RUN(the_frontswap_share_of_the_chunks_outside_is_kept);
	RUN(a_hard_limit_does_not_hold_up_what_is_in_the_store_already);
	RUN(copied_pages_outside_keep_their_frames);
	RUN(clean_frames_outside_are_found_however_many_the_window_holds);
	RUN(copied_pages_are_passed_over);
	RUN(what_is_being_written_is_moved_only_if_asked_for);
	RUN(the_completion_of_a_page_that_was_moved_is_right);
	RUN(work_takes_what_the_model_says);
	return check_finish(__FILE__);
}
