/*
 * No late success: whatever holds an allocation up, at whichever step, beyond its deadline, it is ABORTED, never MET
 * late; nothing is lost and all frames of the range are the region's again.  On a virtual clock, where a delay is exact.
 */
#include "inside.h"

#define RAW TMS_PAGE_SIZE
#define CHUNK TMS_CHUNK_FRAMES
#define FRAMES (4u * CHUNK)
#define SWAP 300u       /* pages in a window of one chunk */
#define SWAP_LARGE 960u /* of two: a turn of the mover takes 64 */
#define DEADLINE (5 * NSEC_PER_SEC)
#define HITS_MAX 200

/* What the window is emptied by. */
struct scene {
	int32_t effort;
	bool room;   /* free frames outside the window */
	bool pairs;  /* pages that the denser codec compresses; the reserve has room for their smaller form only */
	bool zero;
	bool large; /* the window */
};

static uint32_t frames_of(const struct scene *scene)
{
	return scene->large ? 2 * CHUNK : CHUNK;
}

static uint32_t swap_of(const struct scene *scene)
{
	return scene->large ? SWAP_LARGE : SWAP;
}

static struct fixture f;
static struct tms_device device;
static uint64_t now_ns;

static void open_scene(const struct scene *scene)
{
	now_ns = 1000;
	device = steady_device();
	CHECK_EQ(fixture_open(&f, &(struct setup){ .frames = FRAMES,
						   .denser = true,
						   .reserve_bytes = scene->pairs ? swap_of(scene) * RAW / 2 : 0,
						   .device = &device,
						   .virtual_ns = &now_ns }),
		 TMS_OK);
	for (uint32_t key = 0; key < swap_of(scene); key++)
		CHECK_EQ(scene->pairs ? fixture_put_pairs(&f, key, key + 1, 3600) : fixture_put(&f, f.swap, key, key + 1, RAW), TMS_OK);
	for (uint32_t key = 0; key < frames_of(scene) - swap_of(scene); key++)
		CHECK_EQ(fixture_put(&f, f.clean, key, key, RAW), TMS_OK);
	if (!scene->room) /* nowhere to go: the other chunks are handed out */
		frame_isolate_run(&f.region->frames, frames_of(scene), FRAMES);
}

static struct tms_alloc_request window_of(const struct scene *scene)
{
	struct tms_alloc_request request = request_at(0, frames_of(scene), scene->effort);

	request.cost = (struct tms_cost){ .t0_ns = 1, .frame_ns = 1, .drop_ns = 1, .move_ns = 1, .compress_ns = 1,
					  .compress_permille = scene->pairs ? 500 : 1000, .object_ns = 1, .byte_ps = 1000, .zero_ns = 1 };
	request.bound = request.p99 = request.cost;
	request.deadline_ns = DEADLINE;
	request.batch_bytes = 50 * RAW;
	request.zero = scene->zero;
	return request;
}

static void nothing_is_lost(const struct scene *scene, const struct tms_report *r, bool met)
{
	struct tms_stats stats = fixture_stats(&f);
	struct tms_chunk chunk[FRAMES / CHUNK];

	CHECK_EQ(tms_chunks(f.store, frames_of(scene) / CHUNK, chunk), TMS_OK);
	for (uint32_t i = 0; i < frames_of(scene) / CHUNK; i++) {
		CHECK_EQ(chunk[i].frames_allocated, met ? CHUNK : 0);
		CHECK_EQ(chunk[i].frames_isolated + chunk[i].frames_leaving, 0);
	}
	CHECK_EQ(stats.ranges_out, met);
	CHECK_EQ(stats.pages_clean, frames_of(scene) - swap_of(scene) - r->clean_dropped);
	CHECK_EQ(stats.pages_swap, swap_of(scene));
	if (!scene->room)
		frame_unisolate_run(&f.region->frames, frames_of(scene), FRAMES);
	CHECK_VERIFIES(f.store);
	for (uint32_t key = 0; key < swap_of(scene); key++)
		CHECK(scene->pairs ? fixture_holds_pairs(&f, key, key + 1, 3600) : fixture_holds(&f, f.swap, key, key + 1, RAW));
}

/* Delays the site at its first hit, its second and so on, until it is hit no more.  How often it was. */
static uint32_t delay(int site, struct scene scene)
{
	const struct tms_alloc_request request = window_of(&scene);

	for (uint32_t hit = 0; hit < HITS_MAX; hit++) {
		struct tms_report r;
		uint64_t fired;
		int code;

		open_scene(&scene);
		if (check_test_failed || tms_fault_arm(f.store, site, hit, 1, 0, DEADLINE + 1) != TMS_OK)
			return 0;
		code = tms_alloc_contig(f.store, &request, &r);
		(void)tms_fault_fired(f.store, site, &fired);
		if (code != (fired ? TMS_ALLOC_ABORTED : TMS_OK) || r.reason != (fired ? TMS_REASON_TIME : TMS_REASON_NONE) ||
		    (r.commit_ns != 0) == (fired != 0) || (r.range != 0) == (fired != 0)) {
			fprintf(stderr, "site %d, hit %u: code %d, reason %d\n", site, hit, code, r.reason);
			check_test_failed = 1;
		}
		nothing_is_lost(&scene, &r, !fired);
		if (check_test_failed)
			return 0;
		fixture_close(&f);
		if (!fired)
			return hit;
	}
	return HITS_MAX;
}

/* Each site in each scene; and it is hit as often as the scene says at least. */
static void every_delay(struct scene scene, uint32_t moves, uint32_t gathers)
{
	CHECK_EQ(delay(TMS_FAULT_AFTER_PROPOSE, scene), 1);
	CHECK_EQ(delay(TMS_FAULT_BEFORE_DROP, scene), 1);
	CHECK_EQ(delay(TMS_FAULT_BEFORE_ZERO, scene), 1);
	CHECK_EQ(delay(TMS_FAULT_BEFORE_COMMIT, scene), 1);
	CHECK(delay(TMS_FAULT_DURING_MOVE, scene) >= moves);
	CHECK_SO_FAR();
	CHECK(delay(TMS_FAULT_DURING_GATHER, scene) >= gathers);
}

static void an_allocation_that_moves_pages_is_never_met_late(void)
{
	every_delay((struct scene){ .effort = TMS_EFFORT_MIGRATE, .room = true, .large = true }, SWAP / 20, 0);
}

static void an_allocation_that_compresses_pages_is_never_met_late(void)
{
	every_delay((struct scene){ .effort = TMS_EFFORT_COMPRESS, .pairs = true }, SWAP / 20, 0);
}

static void an_allocation_that_writes_pages_is_never_met_late(void)
{
	every_delay((struct scene){ .effort = TMS_EFFORT_PAGE_OUT }, 0, SWAP / 40);
}

static void an_allocation_that_compresses_and_writes_is_never_met_late(void)
{
	every_delay((struct scene){ .effort = TMS_EFFORT_PAGE_OUT, .pairs = true }, 1, 1);
}

static void an_allocation_that_is_zeroed_is_never_met_late(void)
{
	every_delay((struct scene){ .effort = TMS_EFFORT_PAGE_OUT, .room = true, .zero = true }, 1, 0);
}

/* A delay that just leaves time is none. */
static void a_delay_within_the_deadline_is_met(void)
{
	const int sites[] = { TMS_FAULT_AFTER_PROPOSE, TMS_FAULT_DURING_MOVE, TMS_FAULT_BEFORE_DROP, TMS_FAULT_BEFORE_ZERO, TMS_FAULT_BEFORE_COMMIT };
	const struct scene scene = { .effort = TMS_EFFORT_MIGRATE, .room = true };
	const struct tms_alloc_request request = window_of(&scene);
	struct tms_report r;
	uint64_t undelayed_ns;

	open_scene(&scene);
	CHECK_EQ(tms_alloc_contig(f.store, &request, &r), TMS_OK);
	undelayed_ns = r.elapsed_ns;
	fixture_close(&f);
	for (int i = 0; i < 5; i++)
		for (uint64_t past = 0; past < 2; past++) {
			open_scene(&scene);
			CHECK_EQ(tms_fault_arm(f.store, sites[i], 0, 1, 0, DEADLINE - undelayed_ns + past), TMS_OK);
			CHECK_EQ(tms_alloc_contig(f.store, &request, &r), past ? TMS_ALLOC_ABORTED : TMS_OK);
			CHECK(past || r.elapsed_ns == DEADLINE);
			fixture_close(&f);
		}
}

/* A device that stalls, or answers too late, at any of its requests. */
static void a_device_that_is_late_is_not_waited_for_beyond_the_deadline(void)
{
	const struct scene scene = { .effort = TMS_EFFORT_PAGE_OUT };
	const struct tms_alloc_request request = window_of(&scene);

	for (uint64_t ms = 0; ms < 10; ms++) {
		const struct tms_episode stall = { .start_ns = ms * NSEC_PER_MSEC, .duration_ns = 2 * DEADLINE };
		uint64_t began_ns;
		struct tms_report r;
		int code;

		open_scene(&scene);
		CHECK_EQ(tms_device_episode(f.store, &stall), TMS_OK);
		began_ns = now_ns;
		code = tms_alloc_contig(f.store, &request, &r);
		CHECK_EQ(code, r.elapsed_ns > DEADLINE ? TMS_ALLOC_ABORTED : TMS_OK);
		CHECK(now_ns - began_ns <= DEADLINE + 1);
		CHECK_EQ(r.ending == TMS_ABORTED ? r.clean_dropped : 0, 0);
		CHECK_EQ(tms_advance(f.store, 3 * DEADLINE), TMS_OK);
		nothing_is_lost(&scene, &r, code == TMS_OK);
		CHECK_SO_FAR();
		fixture_close(&f);
	}
}

int main(void)
{
	RUN(an_allocation_that_moves_pages_is_never_met_late);
	RUN(an_allocation_that_compresses_pages_is_never_met_late);
	RUN(an_allocation_that_writes_pages_is_never_met_late);
	RUN(an_allocation_that_compresses_and_writes_is_never_met_late);
	RUN(an_allocation_that_is_zeroed_is_never_met_late);
	RUN(a_delay_within_the_deadline_is_met);
	RUN(a_device_that_is_late_is_not_waited_for_beyond_the_deadline);
	return check_finish(__FILE__);
}
