/* Looking in, the words for codes, and arming faults. */
#include "store.h"
#include "fixture.h"

#define RAW TMS_PAGE_SIZE
#define FRAMES 700u

static struct fixture f;

static void every_code_has_words_of_its_own(void)
{
	const char *unknown = tms_code_text(1000);

	for (int code = TMS_E_BROKEN; code <= TMS_ALLOC_ABORTED; code++) {
		CHECK(strcmp(tms_code_text(code), unknown) != 0);
		for (int other = TMS_E_BROKEN; other < code; other++)
			CHECK(strcmp(tms_code_text(code), tms_code_text(other)) != 0);
	}
	CHECK(!strcmp(tms_code_text(TMS_E_BROKEN - 1), unknown));
	CHECK(!strcmp(tms_code_text(TMS_ALLOC_ABORTED + 1), unknown));
}

static void every_reason_has_a_name_of_its_own(void)
{
	for (int i = 0; i < TMS_REASONS; i++) {
		CHECK(tms_reason_name(i));
		for (int other = 0; other < i; other++)
			CHECK(strcmp(tms_reason_name(i), tms_reason_name(other)) != 0);
	}
	for (int i = 0; i < TMS_REJECTS; i++) {
		CHECK(tms_reject_name(i));
		for (int other = 0; other < i; other++)
			CHECK(strcmp(tms_reject_name(i), tms_reject_name(other)) != 0);
	}
	for (int i = 0; i < TMS_CAUSES; i++) {
		CHECK(tms_cause_name(i));
		for (int other = 0; other < i; other++)
			CHECK(strcmp(tms_cause_name(i), tms_cause_name(other)) != 0);
	}
	CHECK(!tms_cause_name(-1) && !tms_cause_name(TMS_CAUSES));
	CHECK(!tms_reason_name(-1) && !tms_reason_name(TMS_REASONS));
	CHECK(!tms_reject_name(-1) && !tms_reject_name(TMS_REJECTS));
}

static void events_are_counted_as_they_happen(void)
{
	uint8_t page[RAW];
	struct tms_stats s;

	CHECK_EQ(fixture_open(&f, &(struct setup){ .frames = FRAMES, .spill = true, .packed = true }), TMS_OK);
	for (uint32_t key = 0; key < 20; key++) {
		CHECK_EQ(fixture_put(&f, f.clean, key, key, key % 4 ? RAW : 0), TMS_OK);
		CHECK_EQ(fixture_put(&f, f.swap, key, key, key % 2 ? RAW : 500), TMS_OK);
	}
	CHECK_EQ(fixture_get(&f, f.clean, 1, page), TMS_OK);
	CHECK_EQ(fixture_get(&f, f.clean, 1, page), TMS_MISS);
	CHECK_EQ(fixture_get(&f, f.swap, 1, page), TMS_OK);
	CHECK_EQ(fixture_get(&f, f.swap, 99, page), TMS_MISS);
	CHECK_EQ(tms_flush_page(f.store, f.clean, 0, 2), TMS_OK);
	CHECK_EQ(tms_flush_object(f.store, f.swap, 0), TMS_OK);
	s = fixture_stats(&f);
	CHECK_EQ(s.clean_puts, 20);
	CHECK_EQ(s.clean_gets, 2);
	CHECK_EQ(s.clean_hits, 1);
	CHECK_EQ(s.clean_flushes, 1);
	CHECK_EQ(s.swap_stores, 20);
	CHECK_EQ(s.swap_loads, 2);
	CHECK_EQ(s.swap_hits_region, 1);
	CHECK_EQ(s.swap_flushes, 16);
	CHECK_EQ(s.swap_incompressible, 10);
	CHECK_EQ(s.pages_clean, 18);
	CHECK_EQ(s.pages_swap, 4);
	CHECK_EQ(s.pages_fill, 5);
	CHECK_EQ(s.bytes_kept, 2 * RAW + 2 * (500 + TAIL_OVERHEAD));
	CHECK_EQ(s.objects, 3);
	CHECK_EQ(s.pools, 2);
	CHECK_EQ(s.frames_clean, 13);
	CHECK(fixture_page_out(&f));
	CHECK_EQ(fixture_get(&f, f.swap, 17, page), TMS_OK);
	s = fixture_stats(&f);
	CHECK_EQ(s.swap_hits_spill, 1);
	CHECK_EQ(s.pages_spilled, 4);
	CHECK_EQ(s.allocs_met, 1);
	CHECK_EQ(s.alloc_clean_dropped, 13);
	CHECK_EQ(s.alloc_paged_out, 4);
	CHECK_EQ(s.spill_blocks_used, 3);
	CHECK_EQ(s.spill_bytes_written, 3 * RAW);
	CHECK_EQ(s.spill_bytes_read, RAW);
	fixture_close(&f);
}

static void frames_add_up_in_the_stats_in_the_chunks_and_in_the_short_counts(void)
{
	struct tms_chunk chunk[2];
	uint64_t counts[5];
	struct tms_report r;
	struct tms_alloc_request request = request_at(550, 60, TMS_EFFORT_DROP);
	struct tms_stats s;

	CHECK_EQ(fixture_open(&f, &(struct setup){ .frames = FRAMES, .packed = true }), TMS_OK);
	for (uint32_t key = 0; key < 300; key++) {
		CHECK_EQ(fixture_put(&f, f.clean, key, key, RAW), TMS_OK);
		CHECK_EQ(fixture_put(&f, f.swap, key, key, key % 3 ? 700 : RAW), TMS_OK);
	}
	CHECK_EQ(tms_alloc_contig(f.store, &request, &r), TMS_OK);
	CHECK_EQ(tms_chunks(f.store, 2, chunk), TMS_OK);
	CHECK_EQ(tms_frame_counts(f.store, counts), TMS_OK);
	s = fixture_stats(&f);
	CHECK_EQ(s.frames, FRAMES);
	CHECK_EQ(s.frames_free + s.frames_clean + s.frames_frontswap + s.frames_isolated + s.frames_allocated, FRAMES);
	CHECK_EQ(counts[0], s.frames_free);
	CHECK_EQ(counts[1], s.frames_clean);
	CHECK_EQ(counts[2], s.frames_frontswap);
	CHECK_EQ(counts[3], s.frames_isolated);
	CHECK_EQ(counts[4], s.frames_allocated);
	CHECK_EQ(s.frames_allocated, 60);
	CHECK_EQ(chunk[0].frames_free + chunk[1].frames_free, s.frames_free);
	CHECK_EQ(chunk[0].frames_clean + chunk[1].frames_clean, s.frames_clean);
	CHECK_EQ(chunk[0].frames_frontswap + chunk[1].frames_frontswap, s.frames_frontswap);
	CHECK_EQ(chunk[1].frames_allocated, 60);
	CHECK_EQ(chunk[0].objects_uncopied + chunk[1].objects_uncopied, 300);
	CHECK_EQ(chunk[0].bytes_uncopied + chunk[1].bytes_uncopied, s.bytes_kept);
	CHECK_EQ(tms_chunks(f.store, 3, chunk), TMS_E_INVALID);
	CHECK_EQ(tms_chunks(f.store, 0, chunk), TMS_OK);
	fixture_close(&f);
}

static void metadata_is_counted_and_grows_with_the_pages(void)
{
	uint64_t before;

	CHECK_EQ(fixture_open(&f, &(struct setup){ .frames = FRAMES }), TMS_OK);
	before = fixture_stats(&f).metadata_bytes;
	CHECK(before >= FRAMES * 5);
	for (uint32_t key = 0; key < 9000; key++)
		CHECK_EQ(fixture_put(&f, f.swap, key, 0, 0), TMS_OK);
	CHECK(fixture_stats(&f).metadata_bytes >= before + 9000 * sizeof(struct entry) - SLAB_SEGMENT * sizeof(struct entry));
	fixture_close(&f);
}

static void only_sites_that_exist_are_armed(void)
{
	uint64_t fired = 77;

	CHECK_EQ(fixture_open(&f, &(struct setup){ 0 }), TMS_OK);
	CHECK_EQ(tms_fault_arm(f.store, -1, 0, 1, 0, 0), TMS_E_INVALID);
	CHECK_EQ(tms_fault_arm(f.store, TMS_FAULT_SITES, 0, 1, 0, 0), TMS_E_INVALID);
	CHECK_EQ(tms_fault_fired(f.store, TMS_FAULT_SITES, &fired), TMS_E_INVALID);
	CHECK_EQ(fired, 77);
	CHECK_EQ(tms_fault_arm(f.store, TMS_FAULT_ENTRY_ALLOC, 1, 1, 0, 0), TMS_OK);
	CHECK_EQ(fixture_put(&f, f.swap, 1, 1, 0), TMS_OK);
	CHECK_EQ(fixture_put(&f, f.swap, 2, 1, 0), TMS_REJECTED);
	CHECK_EQ(fixture_put(&f, f.swap, 3, 1, 0), TMS_OK);
	CHECK_EQ(tms_fault_fired(f.store, TMS_FAULT_ENTRY_ALLOC, &fired), TMS_OK);
	CHECK_EQ(fired, 1);
	fixture_close(&f);
}

static void what_has_no_copy_and_what_is_in_the_reserve_is_told(void)
{
	struct tms_stats s;
	uint32_t id;

	CHECK_EQ(fixture_open(&f, &(struct setup){ .spill = true, .packed = true, .reserve_bytes = 10 * RAW }), TMS_OK);
	CHECK_EQ(fixture_put(&f, f.swap, 1, 1, 97), TMS_OK); /* 100 bytes as kept, two units */
	CHECK_EQ(fixture_put(&f, f.swap, 2, 2, RAW), TMS_OK);
	id = index_find(&f.store->held.index, &(struct key){ .object = 0, .index = 1, .pool = pool_slot(&f.store->held.pools, f.swap) });
	CHECK(shrink_to_reserve(&f.store->held, id, NULL, 0, 0));
	s = fixture_stats(&f);
	CHECK_EQ(s.reserve_bytes, 10 * RAW);
	CHECK_EQ(s.reserve_bytes_used, 128);
	CHECK_EQ(s.uncopied_bytes, 128 + RAW);
	CHECK_EQ(s.pages_reserve, 1);
	CHECK_EQ(s.bytes_kept, RAW); /* those of the region */
	fixture_close(&f);
}

int main(void)
{
	RUN(every_code_has_words_of_its_own);
	RUN(every_reason_has_a_name_of_its_own);
	RUN(events_are_counted_as_they_happen);
	RUN(frames_add_up_in_the_stats_in_the_chunks_and_in_the_short_counts);
	RUN(metadata_is_counted_and_grows_with_the_pages);
	RUN(only_sites_that_exist_are_armed);
	RUN(what_has_no_copy_and_what_is_in_the_reserve_is_told);
	return check_finish(__FILE__);
}
