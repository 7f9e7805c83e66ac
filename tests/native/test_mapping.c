/* The reserved address range. */
#include <sys/mman.h>

#include "mapping.h"
#include "fixture.h"

#define PAGES 700u /* no multiple of a huge page */
#define HUGE_BYTES (UINT64_C(2) << 20)

static const struct tms_region_config plain = { .size_bytes = PAGES * (uint64_t)TMS_PAGE_SIZE };

static bool all_is(const struct mapping *mapping, uint8_t value)
{
	for (uint64_t at = 0; at < mapping->size_bytes; at++)
		if (mapping->base[at] != value)
			return false;
	return true;
}

static void every_page_is_there_and_zero_before_the_first_touch(void)
{
	struct tms_region_info info = { 0 };
	unsigned char resident[PAGES];
	struct mapping mapping;

	CHECK_EQ(mapping_init(&mapping, &plain, &info), TMS_OK);
	CHECK_EQ(mincore(mapping.base, mapping.size_bytes, resident), 0);
	for (uint32_t pfn = 0; pfn < PAGES; pfn++)
		CHECK(resident[pfn] & 1);
	CHECK(all_is(&mapping, 0));
	mapping_deinit(&mapping);
	CHECK(!mapping.base);
}

static void a_mapping_starts_at_a_huge_page_and_keeps_no_more_than_it_needs(void)
{
	struct tms_region_info info = { 0 };
	struct mapping mapping;

	CHECK_EQ(mapping_init(&mapping, &plain, &info), TMS_OK);
	CHECK_EQ((uintptr_t)mapping.base % HUGE_BYTES, 0);
	CHECK_EQ(mapping.size_bytes, plain.size_bytes);
	CHECK_EQ(mapping.mapped_bytes, plain.size_bytes);
	CHECK(mapping_at(&mapping, 0) == mapping.base);
	CHECK_EQ(mapping_at(&mapping, PAGES) - mapping.base, mapping.size_bytes);
	memset(mapping.base, 0xff, mapping.size_bytes);
	mapping_deinit(&mapping);
}

static bool sees_zeros(void *mapping)
{
	bool zeros = all_is(mapping, 0);

	memset(((struct mapping *)mapping)->base, 0x11, TMS_PAGE_SIZE);
	return zeros;
}

static void a_forked_child_sees_zeros_and_the_parent_keeps_its_pages(void)
{
	struct tms_region_info info = { 0 };
	struct mapping mapping;

	CHECK_EQ(mapping_init(&mapping, &plain, &info), TMS_OK);
	memset(mapping.base, 0x42, mapping.size_bytes);
	CHECK(true_in_child(sees_zeros, &mapping));
	CHECK(all_is(&mapping, 0x42));
	mapping_deinit(&mapping);
}

static void what_is_asked_for_and_refused_is_done_without_and_said(void)
{
	struct tms_region_config config = plain;
	struct tms_region_info info = { 0 };
	struct mapping mapping;

	config.hugetlb = config.mlock = true;
	CHECK_EQ(mapping_init(&mapping, &config, &info), TMS_OK);
	CHECK_EQ(info.hugetlb, info.hugetlb_errno == 0);
	CHECK_EQ(info.mlocked, info.mlock_errno == 0);
	CHECK_EQ((uintptr_t)mapping.base % HUGE_BYTES, 0);
	CHECK(all_is(&mapping, 0));
	mapping_deinit(&mapping);
}

static void a_mapping_that_cannot_be_had_leaves_nothing_behind(void)
{
	struct tms_region_config config = { .size_bytes = UINT64_C(1) << 60 };
	struct tms_region_info info = { 0 };
	struct mapping mapping;

	CHECK_EQ(mapping_init(&mapping, &config, &info), TMS_E_SYSTEM);
	CHECK_EQ(info.map_errno, ENOMEM);
	CHECK(!mapping.base);
	mapping_deinit(&mapping);
}

static void the_reserve_begins_at_a_huge_page_behind_the_area(void)
{
	const uint64_t areas[] = { 1 << 20, HUGE_BYTES, HUGE_BYTES + (1 << 20) };

	for (int i = 0; i < 3; i++) {
		const struct tms_region_config config = { .size_bytes = areas[i], .reserve_bytes = 3 * TMS_PAGE_SIZE };
		struct tms_region_info info = { 0 };
		struct mapping mapping;

		CHECK_EQ(mapping_init(&mapping, &config, &info), TMS_OK);
		CHECK_EQ(mapping.reserve_at % HUGE_BYTES, 0);
		CHECK(mapping.reserve_at >= areas[i] && mapping.reserve_at < areas[i] + HUGE_BYTES);
		CHECK(mapping.mapped_bytes >= mapping.reserve_at + config.reserve_bytes);
		memset(mapping.base + mapping.reserve_at, 0x33, config.reserve_bytes);
		memset(mapping.base, 0x44, areas[i]);
		CHECK_EQ(mapping.base[mapping.reserve_at], 0x33);
		mapping_deinit(&mapping);
	}
}

int main(void)
{
	RUN(every_page_is_there_and_zero_before_the_first_touch);
	RUN(a_mapping_starts_at_a_huge_page_and_keeps_no_more_than_it_needs);
	RUN(a_forked_child_sees_zeros_and_the_parent_keeps_its_pages);
	RUN(what_is_asked_for_and_refused_is_done_without_and_said);
	RUN(a_mapping_that_cannot_be_had_leaves_nothing_behind);
	RUN(the_reserve_begins_at_a_huge_page_behind_the_area);
	return check_finish(__FILE__);
}
