/* The system's clock behind struct tms_clock. */
#include <pthread.h>

#include "clock.h"
#include "fixture.h"

#define BUSY_NS (20 * NSEC_PER_MSEC)

static void now_never_runs_backwards(void)
{
	uint64_t before_ns = clock_now_ns(&clock_system);

	CHECK(before_ns > 0);
	for (int i = 0; i < 100000; i++) {
		uint64_t now_ns = clock_now_ns(&clock_system);

		CHECK(now_ns >= before_ns);
		before_ns = now_ns;
	}
}

static void *be_busy(void *used_ns)
{
	uint64_t began_ns = clock_cpu_ns(&clock_system);
	uint64_t now_ns;

	do {
		now_ns = clock_cpu_ns(&clock_system);
	} while (now_ns - began_ns < BUSY_NS);
	*(uint64_t *)used_ns = now_ns - began_ns;
	return NULL;
}

static void cpu_time_is_that_of_the_calling_thread_alone(void)
{
	uint64_t began_ns = clock_cpu_ns(&clock_system);
	uint64_t used_ns = 0;
	pthread_t other;

	CHECK_EQ(pthread_create(&other, NULL, be_busy, &used_ns), 0);
	CHECK_EQ(pthread_join(other, NULL), 0);
	CHECK(used_ns >= BUSY_NS);
	CHECK(clock_cpu_ns(&clock_system) - began_ns < BUSY_NS);
}

static void a_clock_is_read_with_its_context(void)
{
	struct fake_clock fake = { .now_ns = 5, .jump_at = 2, .jump_to_ns = 9 };
	struct tms_clock clock = { .now_ns = fake_now_ns, .cpu_ns = fake_cpu_ns, .context = &fake };

	CHECK_EQ(clock_now_ns(&clock), 5);
	CHECK_EQ(clock_now_ns(&clock), 9);
	CHECK_EQ(clock_cpu_ns(&clock), 0);
}

static void a_virtual_clock_moves_only_by_what_is_spent(void)
{
	uint64_t now_ns = 7;
	struct tms_clock clock;

	tms_virtual_clock(&now_ns, &clock);
	CHECK(clock_is_virtual(&clock) && !clock_is_virtual(&clock_system));
	CHECK_EQ(clock_now_ns(&clock), 7);
	clock_spend(&clock, 0);
	clock_spend(&clock, 5);
	CHECK_EQ(clock_now_ns(&clock), 12);
	CHECK_EQ(now_ns, 12);
	now_ns = 100;
	CHECK_EQ(clock_now_ns(&clock), 100);
	CHECK_EQ(clock_cpu_ns(&clock), 0);
}

static void nothing_is_spent_on_a_clock_that_runs_by_itself(void)
{
	uint64_t began_ns = clock_now_ns(&clock_system);

	clock_spend(&clock_system, UINT64_C(1000000000000));
	CHECK(clock_now_ns(&clock_system) - began_ns < UINT64_C(100000000000));
}

int main(void)
{
	RUN(now_never_runs_backwards);
	RUN(cpu_time_is_that_of_the_calling_thread_alone);
	RUN(a_clock_is_read_with_its_context);
	RUN(a_virtual_clock_moves_only_by_what_is_spent);
	RUN(nothing_is_spent_on_a_clock_that_runs_by_itself);
	return check_finish(__FILE__);
}
