/* How a window's objects are split among the routes, against a look at every number of compressed objects. */
#include "plan.h"

#include "fixture.h"

#define ROUNDS 3000

static uint64_t larger(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* ---- the device's time --------------------------------------------------------------------------------- */

static struct tms_cost spread_cost(uint64_t *rng, bool monotone)
{
	struct tms_cost cost = { .byte_ps = rng_below(rng, 20000) };
	uint64_t ns = 0;

	for (int i = 0; i < TMS_SPREAD_POINTS; i++) {
		ns = monotone ? ns + rng_below(rng, 3) * rng_below(rng, 1000000) : rng_below(rng, 1000000);
		cost.spread_ns[i] = ns;
	}
	return cost;
}

static void a_spread_is_exact_at_its_points_and_straight_in_between(void)
{
	const struct tms_cost cost = { .spread_ns = { 100, 300, 700, 1500, 3100 } };
	const uint64_t first = TMS_SPREAD_FIRST_BYTES;

	CHECK_EQ(plan_device_ns(&cost, 0), 0);
	CHECK_EQ(plan_device_ns(&cost, 1), 100); /* the smallest write may meet the longest pause */
	CHECK_EQ(plan_device_ns(&cost, first), 100);
	CHECK_EQ(plan_device_ns(&cost, 2 * first), 300);
	CHECK_EQ(plan_device_ns(&cost, first + first / 2), 200);
	CHECK_EQ(plan_device_ns(&cost, 4 * first), 700);
	CHECK_EQ(plan_device_ns(&cost, 3 * first), 500);
	CHECK_EQ(plan_device_ns(&cost, 12 * first), 2300);
}

static void beyond_the_last_point_a_spread_grows_on(void)
{
	struct tms_cost cost = { .byte_ps = 0 };
	uint64_t last;

	for (int i = 0; i < TMS_SPREAD_POINTS; i++)
		cost.spread_ns[i] = 1000 * (uint64_t)(i + 1);
	last = (uint64_t)TMS_SPREAD_FIRST_BYTES << (TMS_SPREAD_POINTS - 1);
	CHECK_EQ(plan_device_ns(&cost, last), 16000);
	CHECK_EQ(plan_device_ns(&cost, last + last / 2), 17000);
	CHECK_EQ(plan_device_ns(&cost, 2 * last), 18000);
}

static void more_bytes_take_no_less_time_where_the_spread_is_so(void)
{
	uint64_t rng = 17;

	for (int round = 0; round < 200; round++) {
		const struct tms_cost cost = spread_cost(&rng, true);
		uint64_t before = 0;

		for (uint64_t bytes = 0; bytes < UINT64_C(1) << 33; bytes += 1 + bytes / 7) {
			uint64_t ns = plan_device_ns(&cost, bytes);

			CHECK(ns >= before);
			before = ns;
		}
	}
}

static void the_bytes_that_fit_a_time_are_those_that_take_no_longer(void)
{
	uint64_t rng = 18;

	for (int round = 0; round < ROUNDS; round++) {
		struct tms_cost cost = spread_cost(&rng, true);
		uint64_t ns = rng_next(&rng) >> (20 + rng_below(&rng, 40));
		uint64_t bytes;

		cost.byte_ps++;
		bytes = plan_device_bytes(&cost, ns);
		if (bytes == UINT64_MAX) {
			CHECK(plan_device_ns(&cost, UINT64_C(1) << 40) <= ns);
			continue;
		}
		CHECK(plan_device_ns(&cost, bytes) <= ns);
		CHECK(plan_device_ns(&cost, bytes + 1) > ns);
	}
}

static void a_device_that_takes_no_time_takes_any_number_of_bytes(void)
{
	const struct tms_cost cost = { 0 };

	CHECK(plan_device_bytes(&cost, 0) == UINT64_MAX);
	CHECK_EQ(plan_device_ns(&cost, UINT64_MAX), 0);
}

/* ---- the split ------------------------------------------------------------------------------------------ */

static struct plan_task any_task(uint64_t *rng)
{
	struct plan_task task = { .frames = 1 + rng_below(rng, 5000),
				  .drops = rng_below(rng, 1000),
				  .uncopied = rng_below(rng, 400),
				  .effort = (int32_t)rng_below(rng, TMS_EFFORTS),
				  .zero = rng_below(rng, 2),
				  .can_write = rng_below(rng, 4),
				  .can_compress = rng_below(rng, 4),
				  .prefers_no_write = rng_below(rng, 4) == 0 };

	task.bytes = task.uncopied * (64 + rng_below(rng, 4033));
	task.room = rng_below(rng, 3) ? rng_below(rng, (uint32_t)task.bytes + 1) : rng_below(rng, 2) * 10 * task.bytes;
	return task;
}

static struct tms_cost any_cost(uint64_t *rng)
{
	struct tms_cost cost = spread_cost(rng, true);

	cost.t0_ns = rng_below(rng, 100000);
	cost.frame_ns = rng_below(rng, 100);
	cost.clean_ns = rng_below(rng, 20);
	cost.drop_ns = rng_below(rng, 300);
	cost.move_ns = rng_below(rng, 2000);
	cost.move_ps = rng_below(rng, 500);
	cost.compress_ns = rng_below(rng, 40000);
	cost.compress_permille = 1 + rng_below(rng, 1000);
	cost.object_ns = rng_below(rng, 2000);
	cost.zero_ns = rng_below(rng, 500);
	return cost;
}

struct split {
	double left, written, written_objects;
};

/* x objects of the mean size compressed; what then has no room is written. */
static struct split split_by_hand(const struct plan_task *task, const struct tms_cost *cost, uint64_t x)
{
	double size = (double)task->bytes / (double)task->uncopied;
	struct split s = { .left = (double)task->bytes - (double)x * size * (1 - (double)cost->compress_permille / 1000) };

	s.written = s.left > (double)task->room ? s.left - (double)task->room : 0;
	s.written_objects = s.left > 0 ? s.written / (s.left / (double)task->uncopied) : 0;
	return s;
}

static double price_by_hand(const struct plan_task *task, const struct tms_cost *cost, uint64_t x)
{
	struct split s = split_by_hand(task, cost, x);
	double size = (double)task->bytes / (double)task->uncopied;
	double moved = (double)task->uncopied - s.written_objects;
	double cpu = moved * ((double)cost->move_ns + size * (double)cost->move_ps / 1000) + (double)x * (double)cost->compress_ns +
		     s.written_objects * (double)cost->object_ns;
	double device = s.written > 0 ? (double)plan_device_ns(cost, (uint64_t)s.written) : 0;
	double base = (double)cost->t0_ns + (double)(task->frames * cost->frame_ns) +
		      (double)(task->clean * cost->clean_ns) + ((double)task->drops + s.written_objects) * (double)cost->drop_ns + (task->zero ? (double)(task->frames * cost->zero_ns) : 0);

	return base + (cpu > device ? cpu : device);
}

static bool may_write(const struct plan_task *task)
{
	return task->effort == TMS_EFFORT_PAGE_OUT && task->can_write;
}

static uint64_t most_compressed(const struct plan_task *task, const struct tms_cost *cost)
{
	return task->effort >= TMS_EFFORT_COMPRESS && task->can_compress && cost->compress_permille < 1000 ? task->uncopied : 0;
}

static bool is_feasible_by_hand(const struct plan_task *task, const struct tms_cost *cost)
{
	if (!task->uncopied)
		return true;
	if (task->effort < TMS_EFFORT_MIGRATE)
		return false;
	/* With every object compressed there is the least to find room for. */
	return may_write(task) || split_by_hand(task, cost, most_compressed(task, cost)).written < 1;
}

static void a_plan_is_feasible_where_its_effort_and_the_room_allow_one(void)
{
	uint64_t rng = 23;

	for (int round = 0; round < ROUNDS; round++) {
		struct plan_task task = any_task(&rng);
		struct tms_cost cost = any_cost(&rng);
		struct plan plan = plan_make(&task, &cost);

		CHECK_EQ(plan.feasible, is_feasible_by_hand(&task, &cost));
		if (!plan.feasible)
			continue;
		CHECK_EQ(plan.migrate + plan.page_out, task.uncopied);
		CHECK(plan.compress <= most_compressed(&task, &cost));
		CHECK(may_write(&task) || !plan.page_out);
		CHECK_EQ(plan.page_out > 0, plan.page_out_bytes > 0);
		CHECK(plan.page_out_bytes <= task.bytes);
	}
}

static void what_has_room_is_neither_written_nor_compressed(void)
{
	uint64_t rng = 24;

	for (int round = 0; round < ROUNDS; round++) {
		struct plan_task task = any_task(&rng);
		struct tms_cost cost = any_cost(&rng);
		struct plan plan;

		task.room = task.bytes + rng_below(&rng, 1000);
		plan = plan_make(&task, &cost);
		CHECK_EQ(plan.page_out + plan.page_out_bytes + plan.compress, 0);
		CHECK_EQ(plan.feasible, !task.uncopied || task.effort >= TMS_EFFORT_MIGRATE);
	}
}

static void the_price_of_a_plan_is_within_a_few_percent_of_the_best(void)
{
	uint64_t rng = 25;
	uint32_t split = 0;

	for (int round = 0; round < ROUNDS; round++) {
		struct plan_task task = any_task(&rng);
		struct tms_cost cost = any_cost(&rng);
		struct plan plan;
		double best = 0;

		task.prefers_no_write = false;
		task.uncopied = larger(task.uncopied, 1);
		task.bytes = larger(task.bytes, 64);
		plan = plan_make(&task, &cost);
		if (!plan.feasible)
			continue;
		for (uint64_t x = 0; x <= most_compressed(&task, &cost); x++) {
			double price = price_by_hand(&task, &cost, x);

			if (!may_write(&task) && split_by_hand(&task, &cost, x).written > 0)
				continue;
			if (best == 0 || price < best)
				best = price;
		}
		/* Whole objects: one of each kind may be off. */
		CHECK((double)plan_price(&task, &plan, &cost) <= best * 1.03 + (double)(cost.compress_ns + cost.object_ns + cost.move_ns) + 4096);
		CHECK((double)plan_price(&task, &plan, &cost) >= best * 0.97 - (double)(cost.compress_ns + cost.object_ns + cost.move_ns) - 4096);
		split += plan.compress > 0 && plan.compress < task.uncopied && plan.page_out > 0;
	}
	CHECK(split > 50); /* where the lanes meet in between */
}

/* What waits on no write writes only what has no room even when compressed. */
static void a_plan_that_prefers_no_write_writes_the_least(void)
{
	uint64_t rng = 26;

	for (int round = 0; round < ROUNDS; round++) {
		struct plan_task task = any_task(&rng);
		struct tms_cost cost = any_cost(&rng);
		struct plan plan;

		task.prefers_no_write = true;
		task.uncopied = larger(task.uncopied, 1);
		task.bytes = larger(task.bytes, 64);
		plan = plan_make(&task, &cost);
		if (plan.feasible)
			CHECK((double)plan.page_out_bytes <= split_by_hand(&task, &cost, most_compressed(&task, &cost)).written + 2);
	}
}

static void the_same_plan_costs_more_at_a_higher_cost(void)
{
	uint64_t rng = 27;

	for (int round = 0; round < ROUNDS; round++) {
		struct plan_task task = any_task(&rng);
		struct tms_cost cost = any_cost(&rng);
		struct plan plan = plan_make(&task, &cost);
		struct tms_cost higher = cost;
		uint64_t *coefficient = (uint64_t *)(void *)&higher;

		coefficient[rng_below(&rng, sizeof(cost) / sizeof(uint64_t))] += rng_below(&rng, 1000000);
		if (higher.compress_permille == cost.compress_permille && !memcmp(cost.spread_ns, higher.spread_ns, sizeof(cost.spread_ns)))
			CHECK(plan_price(&task, &plan, &higher) >= plan_price(&task, &plan, &cost));
	}
}

static void a_price_beyond_all_numbers_is_the_highest_number(void)
{
	const struct plan_task task = {
		.frames = 1000, .drops = 10, .uncopied = 100, .bytes = 400000, .effort = TMS_EFFORT_PAGE_OUT, .can_write = true
	};
	struct tms_cost cost = { .t0_ns = 1 };

	for (uint64_t *coefficient = (uint64_t *)(void *)&cost; coefficient < (uint64_t *)(void *)(&cost + 1); coefficient++) {
		uint64_t before = *coefficient;
		struct plan plan;

		*coefficient = UINT64_MAX;
		plan = plan_make(&task, &cost);
		CHECK(plan.feasible);
		CHECK(plan_price(&task, &plan, &cost) >= 1);
		*coefficient = before;
	}
	cost.frame_ns = cost.drop_ns = cost.object_ns = cost.byte_ps = UINT64_MAX / 2;
	{
		struct plan plan = plan_make(&task, &cost);

		CHECK(plan_price(&task, &plan, &cost) == UINT64_MAX);
	}
}

static void an_empty_task_costs_its_frames_and_drops(void)
{
	const struct plan_task task = { .frames = 1000, .clean = 100, .drops = 10, .zero = true };
	const struct tms_cost cost = { .t0_ns = 5, .frame_ns = 7, .clean_ns = 3, .drop_ns = 11, .zero_ns = 13 };
	struct plan plan = plan_make(&task, &cost);

	CHECK(plan.feasible);
	CHECK_EQ(plan_price(&task, &plan, &cost), 5 + 7000 + 300 + 110 + 13000);
}

int main(void)
{
	RUN(a_spread_is_exact_at_its_points_and_straight_in_between);
	RUN(beyond_the_last_point_a_spread_grows_on);
	RUN(more_bytes_take_no_less_time_where_the_spread_is_so);
	RUN(the_bytes_that_fit_a_time_are_those_that_take_no_longer);
	RUN(a_device_that_takes_no_time_takes_any_number_of_bytes);
	RUN(a_plan_is_feasible_where_its_effort_and_the_room_allow_one);
	RUN(what_has_room_is_neither_written_nor_compressed);
	RUN(the_price_of_a_plan_is_within_a_few_percent_of_the_best);
	RUN(a_plan_that_prefers_no_write_writes_the_least);
	RUN(the_same_plan_costs_more_at_a_higher_cost);
	RUN(a_price_beyond_all_numbers_is_the_highest_number);
	RUN(an_empty_task_costs_its_frames_and_drops);
	return check_finish(__FILE__);
}
