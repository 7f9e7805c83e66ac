/* An allocation under a clock that passes the deadline at a step of the test's choice: MET by the deadline or ABORTED. */
#include "inside.h"

#define RAW TMS_PAGE_SIZE
#define FRAMES FRAMES_PER_MIB
#define SWAP 70u
#define CLEAN 100u
#define BEGAN UINT64_C(1000000)
#define DEADLINE (10 * NSEC_PER_SEC)
#define STEPS_MAX 500

struct scene {
	bool swap;
	bool copied; /* the frontswap pages have a copy, and a frame */
	bool clean;
	bool zero;
};

static struct fixture f;
static struct fake_clock fake;

static uint32_t noise_of(uint32_t key)
{
	return key % 2 ? 900 : RAW;
}

static struct tms_alloc_request whole_region(const struct scene *scene)
{
	struct tms_alloc_request request = request_of(FRAMES, TMS_EFFORT_PAGE_OUT);

	request.deadline_ns = DEADLINE;
	request.zero = scene->zero;
	return request;
}

static void give_copies(void)
{
	CHECK(copy_out(&f, 0, FRAMES));
	CHECK_EQ(fixture_stats(&f).pages_copied, SWAP);
}

static void open_scene(const struct scene *scene)
{
	fake = (struct fake_clock){ .now_ns = BEGAN, .jump_to_ns = BEGAN + DEADLINE + 1 };
	CHECK_EQ(fixture_open(&f, &(struct setup){ .frames = FRAMES, .spill = scene->swap, .packed = true, .fake = &fake }), TMS_OK);
	for (uint32_t key = 0; key < CLEAN && scene->clean; key++)
		CHECK_EQ(fixture_put(&f, f.clean, key, key, RAW), TMS_OK);
	for (uint32_t key = 0; key < SWAP && scene->swap; key++)
		CHECK_EQ(fixture_put(&f, f.swap, key, key, noise_of(key)), TMS_OK);
	if (scene->copied)
		give_copies();
	CHECK_SO_FAR();
	fake.jump_at = 0;
	atomic_store(&fake.reads, 0);
}

static void look_over(const struct scene *scene, const struct tms_report *r, bool met)
{
	const struct tms_stats stats = fixture_stats(&f);

	CHECK_EQ(r->ending, met ? TMS_MET : TMS_ABORTED);
	CHECK_EQ(r->reason, met ? TMS_REASON_NONE : TMS_REASON_TIME);
	CHECK_EQ(r->range != 0, met);
	CHECK_EQ(stats.frames_allocated, met ? FRAMES : 0);
	CHECK_EQ(stats.frames_isolated, 0);
	CHECK_EQ(stats.ranges_out, met);
	CHECK_EQ(stats.pages_clean, (scene->clean ? CLEAN : 0) - r->clean_dropped);
	CHECK_EQ(stats.pages_swap, scene->swap ? SWAP : 0);
	CHECK(r->clean_dropped == 0 || stats.pages_spilled == stats.pages_swap); /* clean pages go last */
	CHECK_VERIFIES(f.store);
	for (uint32_t key = 0; key < SWAP && scene->swap; key++)
		CHECK(fixture_holds(&f, f.swap, key, key, noise_of(key)));
}

/* Lets the clock jump past the deadline at its 2nd reading, its 3rd and so on, until an allocation ends
 * before it does.  The first reading is when the allocation begins. */
static void whatever_step_is_late(struct scene scene)
{
	const struct tms_alloc_request request = whole_region(&scene);
	uint64_t aborted = 0;

	for (uint64_t step = 2; step < STEPS_MAX; step++) {
		struct tms_report r;
		bool jumped;
		bool met;

		open_scene(&scene);
		CHECK_SO_FAR();
		fake.jump_at = step;
		met = tms_alloc_contig(f.store, &request, &r) == TMS_OK;
		jumped = fake_clock_jumped(&fake);
		fake.jump_at = jumped ? 1 : 0;
		CHECK(met || jumped);
		CHECK(!met || r.commit_ns <= DEADLINE); /* it jumped after the commit point, on the way back, if at all */
		CHECK(!met || !jumped || r.returned_ns == DEADLINE + 1);
		look_over(&scene, &r, met);
		CHECK_SO_FAR();
		fixture_close(&f);
		if (!jumped) {
			CHECK(aborted >= 3);
			return;
		}
		aborted += !met;
	}
	CHECK(!"an allocation ends");
}

static void an_empty_window_that_is_late_at_any_step_is_aborted(void)
{
	whatever_step_is_late((struct scene){ 0 });
}

static void a_window_of_clean_pages_that_is_late_at_any_step_is_aborted(void)
{
	whatever_step_is_late((struct scene){ .clean = true });
}

static void a_window_to_be_written_that_is_late_at_any_step_is_aborted(void)
{
	whatever_step_is_late((struct scene){ .swap = true, .clean = true });
}

static void a_window_with_copies_that_is_late_at_any_step_is_aborted(void)
{
	whatever_step_is_late((struct scene){ .swap = true, .copied = true, .clean = true });
}

static void a_window_to_be_zeroed_that_is_late_at_any_step_is_aborted(void)
{
	whatever_step_is_late((struct scene){ .swap = true, .zero = true });
}

static void close_store(void)
{
	uint32_t abandoned;

	(void)tms_store_close(f.store, 0, &abandoned);
}

/* Closes the store at each reading of the clock but the first, when the allocation begins, and the last two, which
 * are at the commit point, with the lock held, and on the way back. */
static void whatever_step_is_overtaken_by_a_close(struct scene scene)
{
	const struct tms_alloc_request request = whole_region(&scene);
	struct tms_report r;
	uint64_t readings;

	open_scene(&scene);
	CHECK_EQ(tms_alloc_contig(f.store, &request, &r), TMS_OK);
	readings = atomic_load(&fake.reads);
	fixture_close(&f);
	CHECK(readings > 5);
	for (uint64_t step = 2; step < readings - 1; step++) {
		const struct frame_table *frames;

		open_scene(&scene);
		CHECK_SO_FAR();
		frames = &f.region->frames;
		fake.jump_at = step;
		fake.jump_to_ns = BEGAN;
		fake.at_jump = close_store;
		CHECK_EQ(tms_alloc_contig(f.store, &request, &r), TMS_ALLOC_ABORTED);
		CHECK_EQ(r.reason, TMS_REASON_CLOSED);
		CHECK_EQ(r.range, 0);
		CHECK_EQ(frames->isolated + frames->held[FRAME_ALLOCATED] + f.region->ranges.ranges.live, 0);
		fixture_close(&f);
	}
}

static void an_allocation_that_a_close_overtakes_is_aborted(void)
{
	whatever_step_is_overtaken_by_a_close((struct scene){ .clean = true, .zero = true });
	CHECK_SO_FAR();
	whatever_step_is_overtaken_by_a_close((struct scene){ .swap = true, .copied = true });
}

/* The clock jumps to the deadline itself before the first step: that is not late. */
static void what_is_ready_at_the_deadline_to_the_nanosecond_is_met(void)
{
	for (uint64_t past = 0; past < 2; past++) {
		const struct scene scene = { .clean = true };
		const struct tms_alloc_request request = whole_region(&scene);
		struct tms_report r;

		open_scene(&scene);
		fake.jump_at = 2;
		fake.jump_to_ns = BEGAN + DEADLINE + past;
		CHECK_EQ(tms_alloc_contig(f.store, &request, &r), past ? TMS_ALLOC_ABORTED : TMS_OK);
		CHECK_EQ(r.commit_ns, past ? 0 : DEADLINE);
		CHECK_EQ(r.elapsed_ns, DEADLINE + past);
		CHECK_EQ(r.clean_dropped, past ? 0 : CLEAN);
		fixture_close(&f);
	}
}

static void a_deadline_beyond_all_numbers_is_no_deadline(void)
{
	const struct scene scene = { .swap = true, .clean = true };
	struct tms_alloc_request request = whole_region(&scene);
	struct tms_report r;

	open_scene(&scene);
	fake.now_ns = 0;
	request.deadline_ns = UINT64_MAX;
	fake.jump_at = 5;
	fake.jump_to_ns = UINT64_MAX - 1;
	CHECK_EQ(tms_alloc_contig(f.store, &request, &r), TMS_OK);
	CHECK(r.commit_ns == UINT64_MAX - 1);
	fixture_close(&f);
}

int main(void)
{
	RUN(an_empty_window_that_is_late_at_any_step_is_aborted);
	RUN(a_window_of_clean_pages_that_is_late_at_any_step_is_aborted);
	RUN(a_window_to_be_written_that_is_late_at_any_step_is_aborted);
	RUN(a_window_with_copies_that_is_late_at_any_step_is_aborted);
	RUN(a_window_to_be_zeroed_that_is_late_at_any_step_is_aborted);
	RUN(an_allocation_that_a_close_overtakes_is_aborted);
	RUN(what_is_ready_at_the_deadline_to_the_nanosecond_is_met);
	RUN(a_deadline_beyond_all_numbers_is_no_deadline);
	return check_finish(__FILE__);
}
