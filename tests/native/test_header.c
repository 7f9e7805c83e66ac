/* tmemstore.h needs no other header, and keeps the sizes that Python and C programs rely on. */
#include "tmemstore.h"

#include "check.h"

static void chunk_is_two_mebibytes(void)
{
	CHECK_EQ(TMS_CHUNK_FRAMES * TMS_PAGE_SIZE, 2 << 20);
}

static void errors_are_negative_and_answers_are_not(void)
{
	CHECK_EQ(TMS_OK, 0);
	CHECK(TMS_MISS > 0 && TMS_REJECTED > 0 && TMS_WAITING > 0 && TMS_ALLOC_REFUSED > 0 && TMS_ALLOC_ABORTED > 0);
	CHECK(TMS_E_INVALID < 0 && TMS_E_BROKEN < 0);
}

static void arrays_in_stats_have_a_place_for_every_reason(void)
{
	struct tms_stats stats;

	CHECK_EQ(sizeof(stats.clean_rejects) / sizeof(stats.clean_rejects[0]), TMS_REJECTS);
	CHECK_EQ(sizeof(stats.swap_rejects) / sizeof(stats.swap_rejects[0]), TMS_REJECTS);
	CHECK_EQ(sizeof(stats.allocs_by_reason) / sizeof(stats.allocs_by_reason[0]), TMS_REASONS);
}

static void arrays_have_a_place_for_every_number_that_names_one(void)
{
	struct tms_stats stats;
	struct tms_ceilings ceilings;
	struct tms_device device;
	struct tms_cost cost;

	CHECK_EQ(sizeof(stats.written_by_cause) / sizeof(stats.written_by_cause[0]), TMS_CAUSES);
	CHECK_EQ(sizeof(ceilings.contract) / sizeof(ceilings.contract[0]), TMS_CONTRACTS);
	CHECK_EQ(sizeof(device.episodes) / sizeof(device.episodes[0]), TMS_EPISODES);
	CHECK_EQ(sizeof(cost.spread_ns) / sizeof(cost.spread_ns[0]), TMS_SPREAD_POINTS);
}

static void chunk_row_has_no_padding(void)
{
	CHECK_EQ(sizeof(struct tms_chunk), 6 * sizeof(uint16_t) + 4 * sizeof(uint32_t));
}

int main(void)
{
	RUN(chunk_is_two_mebibytes);
	RUN(errors_are_negative_and_answers_are_not);
	RUN(arrays_in_stats_have_a_place_for_every_reason);
	RUN(arrays_have_a_place_for_every_number_that_names_one);
	RUN(chunk_row_has_no_padding);
	return check_finish(__FILE__);
}
