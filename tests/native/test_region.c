/* The region: mapping, frames, packing and ranges together. */
#include "region.h"
#include "fixture.h"

#define FRAMES 600u

static struct tms_region_info info;

static void a_region_is_page_multiple_and_at_least_a_mebibyte(void)
{
	const uint64_t wrong[] = { 0, 4096, (1 << 20) - 4096, (1 << 20) + 1, UINT64_C(256) << 30, UINT64_MAX - 4095 };
	struct tms_region_config config = { .copy = TMS_COPY_AUTO };
	tms_region *region = NULL;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		config.size_bytes = wrong[i];
		CHECK_EQ(tms_region_create(&config, &info, &region), TMS_E_INVALID);
		CHECK(!region);
	}
	config.size_bytes = 1 << 20;
	config.copy = TMS_COPY_NONTEMPORAL + 1;
	CHECK_EQ(tms_region_create(&config, &info, &region), TMS_E_INVALID);
	CHECK(!region);
}

static void what_the_region_says_of_itself_is_so(void)
{
	tms_region *region = region_open(FRAMES, &info);

	CHECK(region);
	CHECK_EQ(info.size_bytes, FRAMES * (uint64_t)TMS_PAGE_SIZE);
	CHECK_EQ(info.frames, FRAMES);
	CHECK_EQ(info.chunks, 2);
	CHECK(!strcmp(info.copy_variant, "plain"));
	CHECK_EQ((uintptr_t)tms_region_address(region, 0), info.base_address);
	CHECK_EQ(tms_region_address(region, 7) - tms_region_address(region, 0), 7 * TMS_PAGE_SIZE);
	CHECK_EQ(tms_region_address(region, FRAMES) - tms_region_address(region, 0), info.size_bytes);
	CHECK(!tms_region_address(region, FRAMES + 1));
	tms_region_destroy(&region);
	CHECK(!region);
	tms_region_destroy(&region);
}

static void raw_and_packed_bytes_come_back_also_across_frames(void)
{
	tms_region *region = region_open(FRAMES, &info);
	uint32_t across = 0;
	uint8_t bytes[TMS_PAGE_SIZE];
	uint8_t back[TMS_PAGE_SIZE];
	uint32_t place[12];

	CHECK(packing_add_span(&region->packing, 3000, 0, 8));
	for (uint32_t i = 0; i < 10; i++) {
		place[i] = packing_place(&region->packing, 3000, 1 + i, NULL, NULL);
		page_make(bytes, i, 3000);
		across += packing_pieces(&region->packing, place[i], 3000).bytes[1] > 0;
		region_write(region, place[i], 3000, true, bytes);
	}
	CHECK(across > 0);
	frame_take(&region->frames, 99, FRAME_SWAP, 1);
	page_make(bytes, 99, TMS_PAGE_SIZE);
	region_write(region, 99 << UNITS_SHIFT, TMS_PAGE_SIZE, false, bytes);
	for (uint32_t i = 0; i < 10; i++) {
		memset(back, 0, sizeof(back));
		region_read(region, place[i], 3000, true, back);
		CHECK(page_is(back, i, 3000));
	}
	region_read(region, 99 << UNITS_SHIFT, TMS_PAGE_SIZE, false, back);
	CHECK(page_is(back, 99, TMS_PAGE_SIZE));
	tms_region_destroy(&region);
}

static void a_span_that_touches_an_isolated_frame_takes_no_object(void)
{
	tms_region *region = region_open(FRAMES, &info);
	uint32_t place;
	uint32_t range;

	CHECK(packing_add_span(&region->packing, 1000, 0, 3)); /* frames 0 to 2 */
	place = packing_place(&region->packing, 1000, 1, NULL, NULL);
	range = region_isolate(region, 2, 5);
	CHECK(range);
	CHECK_EQ(packing_place(&region->packing, 1000, 2, NULL, NULL), PLACE_NONE);
	CHECK_EQ(packing_compact(&region->packing, &(struct compaction){ 0 }), 0);
	region_abort(region, range, 2, 5);
	CHECK(packing_place(&region->packing, 1000, 2, NULL, NULL) != PLACE_NONE);
	CHECK(packing_owns(&region->packing, place, 1));
	tms_region_destroy(&region);
}

static void a_span_that_two_ranges_touch_stays_sealed_until_both_are_gone(void)
{
	tms_region *region = region_open(FRAMES, &info);
	uint32_t first;
	uint32_t second;

	CHECK(packing_add_span(&region->packing, 1000, 0, 3));
	CHECK(packing_place(&region->packing, 1000, 1, NULL, NULL) != PLACE_NONE);
	first = region_isolate(region, 0, 1);
	second = region_isolate(region, 2, 5);
	region_abort(region, first, 0, 1);
	CHECK_EQ(packing_place(&region->packing, 1000, 2, NULL, NULL), PLACE_NONE);
	region_abort(region, second, 2, 5);
	CHECK(packing_place(&region->packing, 1000, 2, NULL, NULL) != PLACE_NONE);
	tms_region_destroy(&region);
}

static void an_object_that_leaves_a_sealed_span_frees_its_frames_for_the_range_only(void)
{
	tms_region *region = region_open(FRAMES, &info);
	uint32_t place;
	uint32_t range;

	CHECK(packing_add_span(&region->packing, 1000, 0, 3));
	place = packing_place(&region->packing, 1000, 1, NULL, NULL);
	range = region_isolate(region, 1, 5);
	packing_remove(&region->packing, place);
	CHECK_EQ(frame_next_free(&region->frames, 0), 0);
	CHECK_EQ(frame_next_free(&region->frames, 1), 5);
	range_claim(&region->ranges, range);
	CHECK_EQ(region->frames.held[FRAME_ALLOCATED], 4);
	CHECK(range_release(&region->ranges, range));
	CHECK_EQ(region->frames.held[FRAME_FREE], FRAMES);
	tms_region_destroy(&region);
}

static void bytes_in_the_reserve_come_back_and_it_lies_beyond_the_frames(void)
{
	const uint32_t sizes[] = { 1, 64, 65, 3000, TMS_PAGE_SIZE };
	tms_region *region = region_open_for(&(struct setup){ .frames = FRAMES, .reserve_bytes = 16 * TMS_PAGE_SIZE }, &info);
	struct reserve *reserve = &region->reserve;
	uint8_t bytes[TMS_PAGE_SIZE];
	uint8_t back[TMS_PAGE_SIZE];
	uint32_t place[5];

	CHECK_EQ(info.reserve_bytes, 16 * TMS_PAGE_SIZE);
	CHECK_EQ(reserve->units, 16 << UNITS_SHIFT);
	CHECK(reserve->first >= FRAMES << UNITS_SHIFT);
	CHECK(!reserve_has(reserve, (FRAMES << UNITS_SHIFT) - 1));
	for (uint32_t i = 0; i < 5; i++) {
		place[i] = reserve_take(reserve, sizes[i]);
		CHECK(reserve_has(reserve, place[i]));
		page_make(bytes, i, sizes[i]);
		region_write(region, place[i], sizes[i], sizes[i] < TMS_PAGE_SIZE, bytes);
	}
	for (uint32_t i = 0; i < 5; i++) {
		memset(back, 0, sizeof(back));
		region_read(region, place[i], sizes[i], sizes[i] < TMS_PAGE_SIZE, back);
		CHECK(page_is(back, i, sizes[i]));
	}
	for (uint32_t pfn = 0; pfn < FRAMES; pfn++)
		CHECK(page_is(tms_region_address(region, pfn), 0, 0));
	tms_region_destroy(&region);
}

static void a_region_without_a_reserve_has_none(void)
{
	tms_region *region = region_open(FRAMES, &info);

	CHECK_EQ(info.reserve_bytes, 0);
	CHECK_EQ(reserve_free(&region->reserve), 0);
	CHECK_EQ(reserve_take(&region->reserve, 1), PLACE_NONE);
	CHECK(!reserve_has(&region->reserve, (FRAMES << UNITS_SHIFT) - 1));
	tms_region_destroy(&region);
}

int main(void)
{
	RUN(a_region_is_page_multiple_and_at_least_a_mebibyte);
	RUN(what_the_region_says_of_itself_is_so);
	RUN(raw_and_packed_bytes_come_back_also_across_frames);
	RUN(a_span_that_touches_an_isolated_frame_takes_no_object);
	RUN(a_span_that_two_ranges_touch_stays_sealed_until_both_are_gone);
	RUN(an_object_that_leaves_a_sealed_span_frees_its_frames_for_the_range_only);
	RUN(bytes_in_the_reserve_come_back_and_it_lies_beyond_the_frames);
	RUN(a_region_without_a_reserve_has_none);
	return check_finish(__FILE__);
}
