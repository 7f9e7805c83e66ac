/* The ceilings of contracts and of the knob, where pages come in: what is refused, what is not, and that it suffices. */
#include "ceilings.h"

#define FULL UINT64_MAX

/* A contract that bounds bytes without a copy only. */
static struct tms_ceilings device_ceiling(uint64_t window_chunks, uint64_t device_bytes)
{
	return (struct tms_ceilings){
		.contract = { { .window_chunks = window_chunks, .drops_ns = UINT64_MAX, .cpu_ns = FULL / window_chunks, .device_bytes = device_bytes } },
		.contracts = 1,
		.frontswap_permille = 1000,
	};
}

/* For that many raw pages, and not quite for one more: what is as a whole within a page a chunk of its limits is
 * refused without a look at the chunks. */
static uint64_t share_of(uint64_t pages)
{
	return pages * RAW + RAW - 64;
}

/* ---- the share of a chunk ------------------------------------------------------------------------------ */

static void a_chunk_holds_no_more_than_its_share_of_a_window(void)
{
	const uint64_t window_chunks[] = { 1, 2, 3 };

	for (int i = 0; i < 3; i++) {
		const uint64_t share = 100 * (uint64_t)RAW;
		const struct tms_ceilings ceilings = device_ceiling(window_chunks[i], share * window_chunks[i]);
		uint32_t keys;

		open_store(&(struct setup){ .frames = 4 * CHUNK, .packed = true });
		set(&ceilings);
		keys = fill(1800);
		for (uint32_t chunk = 0; chunk < 4; chunk++) {
			CHECK(units_uncopied(chunk, chunk + 1) * 64 <= share);
			CHECK(units_uncopied(chunk, chunk + 1) * 64 + 2 * 1856 > share); /* and not much less */
		}
		CHECK_EQ(fixture_stats(&f).swap_rejects[TMS_REJECT_CEILING], 1);
		CHECK(all_hold(keys, 1800));
		CHECK_VERIFIES(f.store);
		fixture_close(&f);
	}
}

static void what_the_cpu_has_time_for_is_kept_too(void)
{
	const struct tms_ceiling contract = {
		.window_chunks = 2, .drops_ns = UINT64_MAX, .cpu_ns = 2 * 600000, .frame_ns = 10, .clean_ns = 100, .drop_ns = 100, .object_ns = 3000, .byte_ps = 500, .device_bytes = FULL
	};
	const struct tms_ceilings ceilings = { .contract = { contract }, .contracts = 1, .frontswap_permille = 1000 };
	uint32_t keys;

	open_store(&(struct setup){ .frames = 2 * CHUNK });
	set(&ceilings);
	keys = fill(RAW);
	/* n objects of a chunk: 512 * 10 + 512 * 100 + n * (3000 + 2048) <= 600000 */
	CHECK_EQ(keys, 2 * ((600000 - 512 * 110) / (3000 + 2048)));
	CHECK_VERIFIES(f.store);
	fixture_close(&f);
}

static void the_tightest_of_several_contracts_counts(void)
{
	struct tms_ceilings ceilings = device_ceiling(1, share_of(300));

	for (int first = 0; first < 2; first++) {
		open_store(&(struct setup){ .frames = 2 * CHUNK });
		ceilings.contracts = 2;
		ceilings.contract[first] = (struct tms_ceiling){ .window_chunks = 2, .drops_ns = UINT64_MAX, .cpu_ns = FULL / 2, .device_bytes = 2 * share_of(200) };
		ceilings.contract[!first] = (struct tms_ceiling){ .window_chunks = 1, .drops_ns = UINT64_MAX, .cpu_ns = FULL, .device_bytes = share_of(300) };
		set(&ceilings);
		CHECK_EQ(fill(RAW), 400);
		fixture_close(&f);
	}
}

static void the_share_shrinks_as_the_reserve_fills(void)
{
	const uint64_t device = share_of(10);
	const struct tms_ceilings ceilings = device_ceiling(1, device);
	struct ceiling_view view;

	open_store(&(struct setup){ .frames = 2 * CHUNK, .reserve_bytes = 50 * RAW });
	set(&ceilings);
	for (uint32_t used = 0; used <= 50; used += 10) {
		view = holdings_ceiling(held);
		CHECK_EQ(ceiling_chunk_bytes(&view), device + (50 - used) * (uint64_t)RAW);
		for (uint32_t key = used; key < used + 10 && used < 50; key++) {
			CHECK_EQ(fixture_put(&f, f.swap, key, key + 1, RAW), TMS_OK);
			CHECK(shrink_to_reserve(held, id_of(&f, f.swap, key), NULL, 0, 0));
		}
	}
	/* What is in the reserve takes its room, and is in no chunk. */
	CHECK_EQ(fill_from(50, RAW), 20);
	CHECK_EQ(held->region->frames.chunk[0].frames_frontswap, 10);
	CHECK_VERIFIES(f.store);
	fixture_close(&f);
}

/* ---- which chunk --------------------------------------------------------------------------------------- */

static void a_store_that_would_break_one_chunk_goes_to_another(void)
{
	const struct tms_ceilings ceilings = device_ceiling(1, share_of(20));

	open_store(&(struct setup){ .frames = 3 * CHUNK });
	set(&ceilings);
	for (uint32_t key = 0; key < 60; key++) {
		CHECK_EQ(fixture_put(&f, f.swap, key, key + 1, RAW), TMS_OK);
		CHECK_EQ(pfn_of(&f, f.swap, key) / CHUNK, key / 20);
	}
	CHECK_EQ(fixture_put(&f, f.swap, 60, 61, RAW), TMS_REJECTED);
	CHECK_EQ(fixture_stats(&f).swap_rejects[TMS_REJECT_CEILING], 1);
	CHECK_EQ(tms_flush_page(f.store, f.swap, 1, 25), TMS_OK);
	CHECK_EQ(fixture_put(&f, f.swap, 60, 61, RAW), TMS_OK);
	CHECK_EQ(pfn_of(&f, f.swap, 60) / CHUNK, 1);
	fixture_close(&f);
}

/* The chunk at its ceiling is the one whose clean pages are the oldest. */
static void clean_pages_are_evicted_in_a_chunk_with_room(void)
{
	const struct tms_ceilings ceilings = device_ceiling(1, share_of(20));

	for (int order = 0; order < TMS_ORDERS; order++) {
		open_store(&(struct setup){ .frames = 2 * CHUNK, .order = order });
		set(&ceilings);
		for (uint32_t key = 0; key < 20; key++)
			CHECK_EQ(fixture_put(&f, f.swap, key, key + 1, RAW), TMS_OK);
		for (uint32_t key = 0; key < 2 * CHUNK - 20; key++)
			CHECK_EQ(fixture_put(&f, f.clean, key, key + 1, RAW), TMS_OK);
		CHECK_EQ(held->region->frames.held[FRAME_FREE], 0);
		for (uint32_t key = 20; key < 40; key++) {
			CHECK_EQ(fixture_put(&f, f.swap, key, key + 1, RAW), TMS_OK);
			CHECK_EQ(pfn_of(&f, f.swap, key) / CHUNK, 1);
		}
		CHECK_EQ(fixture_stats(&f).clean_evicted, 20);
		CHECK_EQ(fixture_put(&f, f.swap, 40, 41, RAW), TMS_REJECTED);
		CHECK_EQ(fixture_stats(&f).clean_evicted, 20);
		CHECK_VERIFIES(f.store);
		fixture_close(&f);
	}
}

static void frames_of_copied_pages_are_given_up_in_a_chunk_with_room(void)
{
	const struct tms_ceilings ceilings = device_ceiling(1, share_of(20));

	open_store(&(struct setup){ .frames = 2 * CHUNK, .spill = true });
	for (uint32_t key = 0; key < 2 * CHUNK; key++)
		CHECK_EQ(fixture_put(&f, f.swap, key, key + 1, RAW), TMS_OK);
	CHECK(copy_out(&f, 20, 2 * CHUNK)); /* chunk 0 keeps 20 without a copy */
	set(&ceilings);
	for (uint32_t key = 5000; key < 5020; key++) {
		CHECK_EQ(fixture_put(&f, f.swap, key, key + 1, RAW), TMS_OK);
		CHECK_EQ(pfn_of(&f, f.swap, key) / CHUNK, 1);
	}
	CHECK_EQ(fixture_put(&f, f.swap, 5020, 1, RAW), TMS_REJECTED);
	CHECK_EQ(fixture_stats(&f).swap_evicted, 20);
	CHECK_VERIFIES(f.store);
	CHECK(all_hold(2 * CHUNK, RAW));
	fixture_close(&f);
}

/* However few frames the share allows, as many are used: a span is shorter there. */
static void a_span_is_as_long_as_the_share_allows(void)
{
	const uint32_t sizes[] = { 1000, 2000, 3000, 3700 };

	for (int i = 0; i < 4; i++) {
		const struct tms_ceilings ceilings = { .frontswap_permille = 5 }; /* two frames a chunk */

		open_store(&(struct setup){ .frames = 3 * CHUNK, .packed = true });
		set(&ceilings);
		CHECK(fill(sizes[i]) >= 3 * 2);
		for (uint32_t chunk = 0; chunk < 3; chunk++)
			CHECK_EQ(held->region->frames.chunk[chunk].frames_frontswap, 2);
		fixture_close(&f);
	}
}

/* ---- the frontswap share --------------------------------------------------------------------------------- */

static void frontswap_takes_no_more_than_its_share_of_any_chunk(void)
{
	const uint32_t permille[] = { 0, 1, 300, 500, 999 };

	for (int i = 0; i < 5; i++) {
		const struct tms_ceilings ceilings = { .frontswap_permille = permille[i] };

		open_store(&(struct setup){ .frames = 2 * CHUNK + 100 });
		set(&ceilings);
		CHECK_EQ(fill(RAW), 2 * (CHUNK * permille[i] / 1000) + 100 * permille[i] / 1000);
		CHECK_EQ(fixture_stats(&f).swap_rejects[TMS_REJECT_CEILING], 1);
		for (uint32_t key = 0; key < 3 * CHUNK; key++) /* clean pages are never limited */
			CHECK_EQ(fixture_put(&f, f.clean, key, key, RAW), TMS_OK);
		CHECK_EQ(held->region->frames.held[FRAME_FREE], 0);
		CHECK_VERIFIES(f.store);
		fixture_close(&f);
	}
}

static void same_filled_pages_break_no_ceiling(void)
{
	const struct tms_ceilings ceilings = { .hard = true };

	open_store(&(struct setup){ .frames = CHUNK });
	set(&ceilings);
	for (uint32_t key = 0; key < 1000; key++)
		CHECK_EQ(fixture_put(&f, f.swap, key, 0, 0), TMS_OK);
	CHECK_EQ(fixture_put(&f, f.swap, 1000, 1, 1000), TMS_REJECTED);
	fixture_close(&f);
}

static void no_ceilings_are_set_at_first_and_they_can_be_taken_away(void)
{
	const struct tms_ceilings none = { .frontswap_permille = 1000 };
	const struct tms_ceilings nothing = { .frontswap_permille = 0 };

	open_store(&(struct setup){ .frames = CHUNK });
	CHECK_EQ(fill(RAW), CHUNK);
	CHECK_EQ(fixture_stats(&f).swap_rejects[TMS_REJECT_FULL], 1);
	set(&nothing);
	CHECK_EQ(fixture_put(&f, f.swap, 1, 2, RAW), TMS_REJECTED); /* and absent now */
	CHECK_EQ(fixture_place(&f, f.swap, 1), TMS_PLACE_ABSENT);
	set(&none);
	CHECK_EQ(fixture_put(&f, f.swap, 1, 2, RAW), TMS_OK);
	fixture_close(&f);
}

static uint32_t chunks_over(void)
{
	struct ceiling_view view = holdings_ceiling(held);
	uint32_t over = 0;

	for (uint32_t chunk = 0; chunk < held->region->frames.chunks; chunk++)
		over += ceiling_bytes_over(&view, chunk) > 0;
	return over;
}

/* Pages of many sizes come and go, so that spans are compacted: into chunks that have room only. */
static void compaction_breaks_no_ceiling(void)
{
	const struct tms_ceilings ceilings = device_ceiling(1, 150 * RAW);
	uint64_t rng = 17;

	open_store(&(struct setup){ .frames = 4 * CHUNK, .packed = true });
	set(&ceilings);
	for (int i = 0; i < 4 * (int)CHUNK; i++) /* no frame is free */
		CHECK_EQ(fixture_put(&f, f.clean, i, i, RAW), TMS_OK);
	for (int step = 0; step < 60000; step++) {
		uint32_t key = rng_below(&rng, 6000);

		if (rng_below(&rng, 4) == 0)
			(void)fixture_put(&f, f.swap, key, key, 200 + 300 * rng_below(&rng, 12));
		else if (rng_below(&rng, 2) == 0)
			(void)tms_flush_page(f.store, f.swap, key >> 4, key);
		else
			(void)fixture_put(&f, f.swap, key, key, 500);
		CHECK_EQ(chunks_over(), 0);
	}
	CHECK(fixture_stats(&f).compactions > 0);
	CHECK_VERIFIES(f.store);
	fixture_close(&f);
}

static void ceilings_out_of_their_range_are_refused(void)
{
	struct tms_ceilings wrong[4] = { device_ceiling(1, 1), device_ceiling(1, 1), device_ceiling(1, 1), device_ceiling(1, 1) };

	open_store(&(struct setup){ .frames = CHUNK });
	wrong[0].contracts = TMS_CONTRACTS + 1;
	wrong[1].frontswap_permille = 1001;
	wrong[2].contract[0].window_chunks = 0;
	wrong[3].contract[0].window_chunks = UINT64_C(1) << 32;
	for (int i = 0; i < 4; i++)
		CHECK_EQ(tms_set_ceilings(f.store, &wrong[i]), TMS_E_INVALID);
	CHECK_EQ(fill(RAW), CHUNK);
	fixture_close(&f);
}

int main(void)
{
	RUN(a_chunk_holds_no_more_than_its_share_of_a_window);
	RUN(what_the_cpu_has_time_for_is_kept_too);
	RUN(the_tightest_of_several_contracts_counts);
	RUN(the_share_shrinks_as_the_reserve_fills);
	RUN(a_store_that_would_break_one_chunk_goes_to_another);
	RUN(clean_pages_are_evicted_in_a_chunk_with_room);
	RUN(frames_of_copied_pages_are_given_up_in_a_chunk_with_room);
	RUN(a_span_is_as_long_as_the_share_allows);
	RUN(frontswap_takes_no_more_than_its_share_of_any_chunk);
	RUN(same_filled_pages_break_no_ceiling);
	RUN(no_ceilings_are_set_at_first_and_they_can_be_taken_away);
	RUN(compaction_breaks_no_ceiling);
	RUN(ceilings_out_of_their_range_are_refused);
	return check_finish(__FILE__);
}
