/* Stalls and slow episodes of an emulated device. */
#include "emulate.h"
#include "fixture.h"

#define OPENED_NS UINT64_C(7000)
#define NEVER UINT64_MAX

/* Without noise; a write of b bytes takes 1000 + b ns, a read 500 + b / 2. */
static struct tms_device plain_device(void)
{
	return (struct tms_device){
		.seed = 1,
		.write_request_ns = 1000,
		.write_byte_ps = 1000,
		.read_request_ns = 500,
		.read_byte_ps = 500,
	};
}

static const struct tms_episode none;

static struct emulate *open_with(struct tms_episode episode, struct tms_episode other)
{
	struct tms_device device = plain_device();

	device.episodes[3] = episode;
	device.episodes[9] = other;
	return emulate_create(&device, OPENED_NS);
}

static void a_request_that_begins_in_a_stall_waits_for_its_end(void)
{
	struct emulate *emulate = open_with((struct tms_episode){ 10000, 50000, 0 }, none);

	CHECK_EQ(emulate_schedule(emulate, true, 0, OPENED_NS + 10000), OPENED_NS + 61000);
	CHECK_EQ(emulate_schedule(emulate, true, 0, OPENED_NS + 20000), OPENED_NS + 62000);
	CHECK_EQ(emulate_schedule(emulate, true, 0, OPENED_NS + 70000), OPENED_NS + 71000);
	emulate_destroy(emulate);
}

static void a_request_under_way_when_a_stall_begins_is_held_up_by_its_length(void)
{
	for (uint64_t before_ns = 0; before_ns <= 1000; before_ns += 250) {
		struct emulate *emulate = open_with((struct tms_episode){ 10000, 50000, 0 }, none);
		uint64_t now_ns = OPENED_NS + 10000 - before_ns;

		/* One that is done when the stall begins is done. */
		CHECK_EQ(emulate_schedule(emulate, true, 0, now_ns), now_ns + 1000 + (before_ns < 1000 ? 50000 : 0));
		emulate_destroy(emulate);
	}
}

static void after_a_stall_without_end_nothing_completes(void)
{
	struct emulate *emulate = open_with((struct tms_episode){ 10000, UINT64_MAX, 0 }, none);

	CHECK_EQ(emulate_schedule(emulate, true, 0, OPENED_NS + 9000), OPENED_NS + 10000);
	CHECK_EQ(emulate_schedule(emulate, true, 0, OPENED_NS + 9000), NEVER);
	CHECK_EQ(emulate_schedule(emulate, false, 0, 0), NEVER);
	emulate_destroy(emulate);
}

static void a_slow_episode_stretches_only_what_lies_in_it(void)
{
	struct emulate *emulate = open_with((struct tms_episode){ 10000, 30000, 3000 }, none);

	/* 4000 of 20000 before it, 10000 in its 30000, 6000 after it. */
	CHECK_EQ(emulate_schedule(emulate, true, 19000, OPENED_NS + 6000), OPENED_NS + 46000);
	emulate_destroy(emulate);
	emulate = open_with((struct tms_episode){ 10000, 30000, 3000 }, none);
	CHECK_EQ(emulate_schedule(emulate, true, 9000, OPENED_NS + 10000), OPENED_NS + 40000);
	CHECK_EQ(emulate_schedule(emulate, true, 9000, 0), OPENED_NS + 50000);
	emulate_destroy(emulate);
	emulate = open_with((struct tms_episode){ 0, UINT64_MAX, 250 }, none);
	CHECK_EQ(emulate_schedule(emulate, true, 3000, OPENED_NS), OPENED_NS + 1000);
	emulate_destroy(emulate);
}

static void where_episodes_overlap_the_slowest_counts_and_a_stall_wins(void)
{
	const struct tms_episode around = { 0, 30000, 2000 };
	struct emulate *emulate = open_with(around, (struct tms_episode){ 10000, 10000, 5000 });

	/* 5000 in 10000, 2000 in 10000, 3000 in 6000. */
	CHECK_EQ(emulate_schedule(emulate, true, 9000, OPENED_NS), OPENED_NS + 26000);
	emulate_destroy(emulate);
	emulate = open_with(around, (struct tms_episode){ 10000, 10000, 0 });
	CHECK_EQ(emulate_schedule(emulate, true, 9000, OPENED_NS), OPENED_NS + 30000);
	emulate_destroy(emulate);
}

/* Nanosecond by nanosecond. */
static uint64_t shadow_finish(const struct tms_episode *episode, uint64_t at_ns, uint64_t work_ps)
{
	for (;; at_ns++) {
		uint64_t slowest = 0, step_ps;
		bool stalled = false;

		for (int i = 0; i < TMS_EPISODES; i++) {
			if (at_ns < episode[i].start_ns || at_ns - episode[i].start_ns >= episode[i].duration_ns)
				continue;
			stalled |= !episode[i].slow_permille;
			slowest = episode[i].slow_permille > slowest ? episode[i].slow_permille : slowest;
		}
		step_ps = stalled ? 0 : 1000000 / (slowest ? slowest : 1000);
		if (work_ps <= step_ps)
			return work_ps == step_ps ? at_ns + 1 : at_ns;
		work_ps -= step_ps;
	}
}

static void time_flows_piece_by_piece_as_it_does_nanosecond_by_nanosecond(void)
{
	static const uint64_t slow[] = { 0, 250, 500, 1000, 2000, 4000, 8000 };
	uint64_t rng = 31;

	for (int round = 0; round < 300; round++) {
		struct tms_device device = { .write_request_ns = 20, .write_byte_ps = 333 };
		struct emulate *emulate;
		uint64_t free_ns = 0, now_ns = 0;

		for (int i = 0; i < TMS_EPISODES; i++)
			device.episodes[i] = (struct tms_episode){ rng_below(&rng, 4000), rng_below(&rng, 600),
								   slow[rng_below(&rng, 7)] };
		emulate = emulate_create(&device, 0);
		for (int i = 0; i < 20; i++) {
			uint64_t bytes = rng_below(&rng, 1000);

			now_ns += rng_below(&rng, 400);
			free_ns = now_ns > free_ns ? now_ns : free_ns;
			free_ns = shadow_finish(device.episodes, free_ns, 20000 + bytes * 333);
			CHECK_EQ(emulate_schedule(emulate, true, bytes, now_ns), free_ns);
		}
		emulate_destroy(emulate);
	}
}

static void an_added_episode_holds_from_its_start_on(void)
{
	struct tms_device device = plain_device();
	struct emulate *emulate = emulate_create(&device, OPENED_NS);

	CHECK_EQ(emulate_schedule(emulate, true, 0, 20000), 21000);
	emulate_add_episode(emulate, &(struct tms_episode){ 20500, 0, 0 }); /* none */
	emulate_add_episode(emulate, &(struct tms_episode){ 20500, 5000, 0 });
	CHECK_EQ(emulate_schedule(emulate, true, 0, 20000), 26500); /* what was scheduled stays */
	emulate_add_episode(emulate, &(struct tms_episode){ 30000, UINT64_MAX, 0 });
	CHECK_EQ(emulate_schedule(emulate, true, 0, 29000), 30000);
	CHECK_EQ(emulate_schedule(emulate, true, 0, 29000), NEVER);
	emulate_destroy(emulate);
}

/* Sixteen episodes of 1000 ns, from 10000, 20000, ... 160000 on. */
static struct emulate *open_full(void)
{
	struct tms_device device = plain_device();

	for (uint64_t i = 0; i < TMS_EPISODES; i++)
		device.episodes[i * 5 % TMS_EPISODES] = (struct tms_episode){ (i + 1) * 10000, 1000, 2000 };
	return emulate_create(&device, 0);
}

static void an_added_episode_takes_the_place_of_the_one_that_was_over_first(void)
{
	struct emulate *emulate = open_full();

	CHECK_EQ(emulate_schedule(emulate, false, 0, 11000), 11500);
	emulate_add_episode(emulate, &(struct tms_episode){ 500000, 1000, 2000 });
	for (uint64_t start_ns = 20000; start_ns <= 160000; start_ns += 10000)
		CHECK_EQ(emulate_schedule(emulate, false, 0, start_ns), start_ns + 1000);
	CHECK_EQ(emulate_schedule(emulate, false, 0, 500000), 501000);
	emulate_destroy(emulate);
}

static void where_none_is_over_an_added_episode_takes_the_place_of_the_last_to_start(void)
{
	struct emulate *emulate = open_full();

	CHECK_EQ(emulate_schedule(emulate, false, 0, 10999), 11499);
	emulate_add_episode(emulate, &(struct tms_episode){ 15000, 1000, 2000 });
	emulate_add_episode(emulate, &(struct tms_episode){ 15000, 0, 2000 }); /* none, in place of none */
	CHECK_EQ(emulate_schedule(emulate, false, 0, 15000), 16000);
	for (uint64_t start_ns = 20000; start_ns <= 150000; start_ns += 10000)
		CHECK_EQ(emulate_schedule(emulate, false, 0, start_ns), start_ns + 1000);
	CHECK_EQ(emulate_schedule(emulate, false, 0, 160000), 160500);
	emulate_destroy(emulate);
}

int main(void)
{
	RUN(a_request_that_begins_in_a_stall_waits_for_its_end);
	RUN(a_request_under_way_when_a_stall_begins_is_held_up_by_its_length);
	RUN(after_a_stall_without_end_nothing_completes);
	RUN(a_slow_episode_stretches_only_what_lies_in_it);
	RUN(where_episodes_overlap_the_slowest_counts_and_a_stall_wins);
	RUN(time_flows_piece_by_piece_as_it_does_nanosecond_by_nanosecond);
	RUN(an_added_episode_holds_from_its_start_on);
	RUN(an_added_episode_takes_the_place_of_the_one_that_was_over_first);
	RUN(where_none_is_over_an_added_episode_takes_the_place_of_the_last_to_start);
	return check_finish(__FILE__);
}
