/* Whole contiguous allocations: met, refused, aborted.  Deadlines and closing at each step: test_reclaim_deadline.c. */
#include "inside.h"

#define RAW TMS_PAGE_SIZE
#define FRAMES 1100u /* two chunks and a short one */
#define SWAP 300u
#define CLEAN 400u

static struct fixture f;

static uint32_t noise_of(uint32_t key)
{
	return key % 2 ? 800 : RAW;
}

/* Frontswap pages, those of the first 100 frames with a copy, and clean ones. */
static void open_filled(bool spill)
{
	CHECK_EQ(fixture_open(&f, &(struct setup){ .frames = FRAMES, .spill = spill, .packed = true, .spill_limit_bytes = 1000 * RAW }), TMS_OK);
	for (uint32_t key = 0; key < SWAP; key++)
		CHECK_EQ(fixture_put(&f, f.swap, key, key, noise_of(key)), TMS_OK);
	for (uint32_t key = 0; key < CLEAN; key++)
		CHECK_EQ(fixture_put(&f, f.clean, key, key + 7, RAW), TMS_OK);
	if (!spill)
		return;
	CHECK(copy_out(&f, 0, 100));
	CHECK(fixture_stats(&f).pages_copied > 0);
}

static bool swap_is_whole(void)
{
	for (uint32_t key = 0; key < SWAP; key++)
		if (!fixture_holds(&f, f.swap, key, key, noise_of(key)))
			return false;
	return true;
}

static int alloc(struct tms_alloc_request request, struct tms_report *report)
{
	return tms_alloc_contig(f.store, &request, report);
}

static void a_met_allocation_hands_over_every_frame_and_loses_no_frontswap_page(void)
{
	struct tms_stats before;
	struct tms_stats after;
	struct tms_report r;

	open_filled(true);
	CHECK_SO_FAR();
	before = fixture_stats(&f);
	CHECK_EQ(alloc(request_of(FRAMES, TMS_EFFORT_PAGE_OUT), &r), TMS_OK);
	after = fixture_stats(&f);
	CHECK_EQ(r.ending, TMS_MET);
	CHECK_EQ(r.reason, TMS_REASON_NONE);
	CHECK_EQ(after.frames_allocated, FRAMES);
	CHECK_EQ(after.ranges_out, 1);
	CHECK_EQ(r.clean_dropped, before.pages_clean);
	CHECK_EQ(r.copied_dropped, before.pages_copied);
	CHECK_EQ(r.copied_dropped + r.paged_out, before.pages_swap);
	CHECK(r.copied_dropped > 0 && r.paged_out > 0);
	CHECK_EQ(r.bytes_written, after.spill_bytes_written - before.spill_bytes_written);
	CHECK_EQ(r.elapsed_ns, r.commit_ns);
	CHECK(r.commit_ns > 0 && r.commit_ns <= r.deadline_ns);
	memset(tms_region_address(f.region, 0), 0xcc, FRAMES * (size_t)RAW);
	CHECK(swap_is_whole());
	CHECK_EQ(fixture_put(&f, f.clean, 1, 1, RAW), TMS_REJECTED);
	CHECK_VERIFIES(f.store);
	CHECK_EQ(tms_release(f.store, r.range), TMS_OK);
	CHECK_EQ(tms_release(f.store, r.range), TMS_E_NO_RANGE);
	CHECK_EQ(tms_release(f.store, 0), TMS_E_NO_RANGE);
	CHECK_EQ(fixture_stats(&f).frames_free, FRAMES);
	CHECK_VERIFIES(f.store);
	fixture_close(&f);
}

/* The stats but for the counts of refusals. */
static bool only_refusals_differ(struct tms_stats before)
{
	struct tms_stats after = fixture_stats(&f);

	before.allocs_refused = after.allocs_refused;
	memcpy(before.allocs_by_reason, after.allocs_by_reason, sizeof(before.allocs_by_reason));
	return !memcmp(&before, &after, sizeof(before));
}

static void refuse(struct tms_alloc_request request, enum tms_reason reason)
{
	struct tms_stats before = fixture_stats(&f);
	struct tms_report r;

	CHECK_EQ(alloc(request, &r), TMS_ALLOC_REFUSED);
	CHECK_EQ(r.ending, TMS_REFUSED);
	CHECK_EQ(r.reason, reason);
	CHECK_EQ(r.range, 0);
	CHECK(only_refusals_differ(before));
	CHECK_EQ(fixture_stats(&f).allocs_by_reason[reason], before.allocs_by_reason[reason] + 1);
	CHECK_VERIFIES(f.store);
}

static void refused_changes_nothing(void)
{
	struct tms_alloc_request request = request_of(FRAMES, TMS_EFFORT_PAGE_OUT);
	struct tms_report r;

	open_filled(true);
	CHECK_SO_FAR();
	for (int32_t effort = TMS_EFFORT_FREE; effort < TMS_EFFORT_PAGE_OUT; effort++) {
		refuse(request_of(FRAMES, effort), TMS_REASON_EFFORT);
		CHECK_SO_FAR();
	}
	request.refuse_over_bound = true;
	request.bound.t0_ns = request.deadline_ns + 1;
	refuse(request, TMS_REASON_DEADLINE);
	CHECK_SO_FAR();
	CHECK_EQ(alloc(request_at(600, 1, TMS_EFFORT_PAGE_OUT), &r), TMS_OK);
	refuse(request_of(FRAMES, TMS_EFFORT_PAGE_OUT), TMS_REASON_NO_WINDOW);
	CHECK_SO_FAR();
	refuse(request_at(600, 1, TMS_EFFORT_PAGE_OUT), TMS_REASON_NO_WINDOW);
	CHECK_SO_FAR();
	CHECK(swap_is_whole());
	fixture_close(&f);
}

static void a_bound_that_just_fits_the_deadline_is_not_refused(void)
{
	struct tms_alloc_request request = request_at(1000, 10, TMS_EFFORT_FREE);
	struct tms_report r;

	open_filled(true);
	CHECK_SO_FAR();
	request.refuse_over_bound = true;
	request.cost = (struct tms_cost){ .t0_ns = request.deadline_ns / 3 };
	request.p99 = (struct tms_cost){ .t0_ns = request.deadline_ns / 2 };
	request.bound = (struct tms_cost){ .t0_ns = request.deadline_ns };
	CHECK_EQ(alloc(request, &r), TMS_OK);
	CHECK_EQ(r.window.bound_ns, request.deadline_ns);
	CHECK_EQ(r.window.p99_ns, request.deadline_ns / 2);
	CHECK_EQ(r.window.predicted_ns, request.deadline_ns / 3);
	CHECK_EQ(tms_release(f.store, r.range), TMS_OK);
	request.bound.t0_ns++;
	CHECK_EQ(alloc(request, &r), TMS_ALLOC_REFUSED);
	CHECK_EQ(r.reason, TMS_REASON_DEADLINE);
	CHECK_EQ(f.store->refused.end, 0);
	request.covered = true;
	CHECK_EQ(alloc(request, &r), TMS_ALLOC_REFUSED);
	CHECK_EQ(r.reason, TMS_REASON_RECOVERING);
	CHECK_EQ(f.store->refused.first, 1000 / TMS_CHUNK_FRAMES); /* the cleaner's next window */
	CHECK_EQ(f.store->refused.end, 1009 / TMS_CHUNK_FRAMES + 1);
	fixture_close(&f);
}

static void without_a_spill_file_no_frontswap_page_leaves(void)
{
	struct tms_report r;

	open_filled(false);
	CHECK_SO_FAR();
	refuse(request_of(FRAMES, TMS_EFFORT_PAGE_OUT), TMS_REASON_EFFORT);
	CHECK_SO_FAR();
	CHECK_EQ(alloc(request_of(CLEAN, TMS_EFFORT_DROP), &r), TMS_OK);
	CHECK(swap_is_whole());
	CHECK_VERIFIES(f.store);
	fixture_close(&f);
}

static void what_is_proposed_is_what_is_taken(void)
{
	const uint32_t sizes[] = { 1, 17, 300, 512, 600, 1024 };

	open_filled(true);
	CHECK_SO_FAR();
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		struct tms_alloc_request request = request_of(sizes[i], TMS_EFFORT_PAGE_OUT);
		struct tms_window window;
		struct tms_report r;
		int32_t reason;

		request.align_frames = i % 2 ? 4 : 1;
		CHECK_EQ(tms_propose(f.store, &request, &window, &reason), TMS_OK);
		CHECK_EQ(alloc(request, &r), TMS_OK);
		CHECK(!memcmp(&window, &r.window, sizeof(window)));
		CHECK_EQ(r.window.start_pfn % request.align_frames, 0);
		CHECK_EQ(tms_release(f.store, r.range), TMS_OK);
		CHECK_VERIFIES(f.store);
	}
	CHECK(swap_is_whole());
	fixture_close(&f);
}

static void a_zeroed_range_is_zero(void)
{
	struct tms_alloc_request request = request_of(FRAMES, TMS_EFFORT_PAGE_OUT);
	struct tms_report r;

	open_filled(true);
	CHECK_SO_FAR();
	request.zero = true;
	CHECK_EQ(alloc(request, &r), TMS_OK);
	for (uint64_t pfn = 0; pfn < FRAMES; pfn++)
		CHECK(page_is(tms_region_address(f.region, pfn), 0, 0));
	fixture_close(&f);
}

/* Aborted for a reason of the device: every frame is the region's again, clean pages cost none. */
static void abort_for(enum tms_reason reason)
{
	struct tms_stats before = fixture_stats(&f);
	struct tms_alloc_request request = request_of(FRAMES, TMS_EFFORT_PAGE_OUT);
	struct tms_stats after;
	struct tms_report r;

	request.deadline_ns = reason == TMS_REASON_TIME ? 30 * NSEC_PER_MSEC : request.deadline_ns;
	CHECK_EQ(alloc(request, &r), TMS_ALLOC_ABORTED);
	after = fixture_stats(&f);
	CHECK_EQ(r.ending, TMS_ABORTED);
	CHECK_EQ(r.reason, reason);
	CHECK_EQ(r.range, 0);
	CHECK_EQ(r.commit_ns, 0);
	CHECK_EQ(r.clean_dropped, 0);
	CHECK_EQ(after.pages_clean, before.pages_clean);
	CHECK_EQ(after.frames_isolated + after.frames_allocated, 0);
	CHECK_EQ(after.allocs_by_reason[reason], before.allocs_by_reason[reason] + 1);
	CHECK_VERIFIES(f.store);
	for (int site = 0; site < TMS_FAULT_SITES; site++)
		CHECK_EQ(tms_fault_arm(f.store, site, 0, 0, 0, 0), TMS_OK);
	CHECK(swap_is_whole());
	CHECK_EQ(alloc(request_of(FRAMES, TMS_EFFORT_PAGE_OUT), &r), TMS_OK);
	CHECK(swap_is_whole());
	CHECK_VERIFIES(f.store);
}

static void an_abort_costs_no_frontswap_page_and_for_the_devices_sake_no_clean_one(void)
{
	const struct { int site; int32_t error; enum tms_reason reason; uint64_t count; } fault[] = {
		{ TMS_FAULT_WRITE, EIO, TMS_REASON_SPILL, 1 },
		{ TMS_FAULT_WRITE, ENOSPC, TMS_REASON_SPILL, 2 },
		{ TMS_FAULT_STALL, 0, TMS_REASON_TIME, FOR_EVER },
		{ TMS_FAULT_GROUP_ALLOC, 0, TMS_REASON_MEMORY, 1 },
	};

	for (size_t i = 0; i < sizeof(fault) / sizeof(*fault); i++) {
		open_filled(true);
		CHECK_EQ(tms_fault_arm(f.store, fault[i].site, 0, fault[i].count, fault[i].error, 0), TMS_OK);
		abort_for(fault[i].reason);
		CHECK_SO_FAR();
		fixture_close(&f);
	}
}

static void a_request_out_of_its_range_is_refused_at_the_door(void)
{
	struct tms_alloc_request wrong[] = { request_of(0, 0), request_of(FRAMES + 1, 0), request_of(1, -1), request_of(1, TMS_EFFORTS),
					     request_of(1, 0), request_of(1, 0), request_at(FRAMES, 1, 0), request_at(3, 1, 0),
					     request_at(UINT64_MAX, 1, 0), request_of(UINT64_MAX, 0) };
	struct tms_report r;
	struct tms_window window;
	int32_t reason;

	open_filled(true);
	wrong[4].align_frames = 0;
	wrong[5].align_frames = 3;
	wrong[7].align_frames = 2;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		CHECK_EQ(alloc(wrong[i], &r), TMS_E_INVALID);
		CHECK_EQ(tms_propose(f.store, &wrong[i], &window, &reason), TMS_E_INVALID);
	}
	fixture_close(&f);
}

/* ---- leases ------------------------------------------------------------------------------------------ */

static int lend(struct tms_lease *lease, struct tms_report *report)
{
	struct tms_alloc_request request = request_of(FRAMES, TMS_EFFORT_PAGE_OUT);

	request.lease = lease;
	return alloc(request, report);
}

static void a_lease_gives_its_range_back_once(void)
{
	struct tms_lease lease = { 0 };
	struct tms_lease other = { 0 };
	struct tms_report r;

	open_filled(true);
	CHECK(!tms_lease_end(&lease));
	CHECK_EQ(lend(&lease, &r), TMS_OK);
	CHECK_EQ(lease.range, r.range);
	CHECK_EQ(lend(&other, &r), TMS_ALLOC_REFUSED);
	CHECK(!other.store && !tms_lease_end(&other));
	CHECK_EQ(fixture_stats(&f).frames_allocated, FRAMES);
	CHECK(tms_lease_end(&lease));
	CHECK_EQ(lease.range, 0);
	CHECK_EQ(fixture_stats(&f).frames_allocated, 0);
	CHECK_EQ(lend(&other, &r), TMS_OK);
	CHECK(!tms_lease_end(&lease));
	CHECK_EQ(fixture_stats(&f).frames_allocated, FRAMES);
	CHECK(tms_lease_end(&other));
	CHECK_VERIFIES(f.store);
	fixture_close(&f);
}

static bool ends(void *lease)
{
	return tms_lease_end(lease) && !((struct tms_lease *)lease)->range;
}

static void a_lease_ends_though_its_store_is_closed_or_gone_or_another_process_s(void)
{
	struct tms_lease lease = { 0 };
	struct tms_report r;

	for (int gone = 0; gone < 2; gone++) {
		uint32_t busy;

		open_filled(true);
		CHECK_EQ(lend(&lease, &r), TMS_OK);
		CHECK(true_in_child(ends, &lease));
		CHECK_EQ(fixture_stats(&f).frames_allocated, FRAMES);
		if (gone)
			fixture_close(&f);
		else
			CHECK_EQ(tms_store_close(f.store, UINT64_C(1000000000), &busy), TMS_OK);
		CHECK(ends(&lease));
		if (!gone)
			fixture_close(&f);
	}
}

int main(void)
{
	RUN(a_met_allocation_hands_over_every_frame_and_loses_no_frontswap_page);
	RUN(refused_changes_nothing);
	RUN(a_bound_that_just_fits_the_deadline_is_not_refused);
	RUN(without_a_spill_file_no_frontswap_page_leaves);
	RUN(what_is_proposed_is_what_is_taken);
	RUN(a_zeroed_range_is_zero);
	RUN(an_abort_costs_no_frontswap_page_and_for_the_devices_sake_no_clean_one);
	RUN(a_request_out_of_its_range_is_refused_at_the_door);
	RUN(a_lease_gives_its_range_back_once);
	RUN(a_lease_ends_though_its_store_is_closed_or_gone_or_another_process_s);
	return check_finish(__FILE__);
}
