/* Arming and firing of fault sites. */
#include "fault.h"
#include "fixture.h"

#define SITE TMS_FAULT_WRITE
#define HITS_A_THREAD 20000

static uint32_t fires_in(struct faults *faults, int site, uint32_t hits)
{
	uint32_t fired = 0;

	while (hits--)
		fired += fault_fires(faults, site);
	return fired;
}

static void a_site_that_is_not_armed_never_fires(void)
{
	struct faults *faults = faults_create();
	int32_t error = 77;

	CHECK(faults);
	for (int site = 0; site < TMS_FAULT_SITES; site++) {
		CHECK(!fault_hit(faults, site, &error));
		CHECK_EQ(fault_fired(faults, site), 0);
	}
	fault_arm(faults, SITE, &(struct fault_site){ .count = FOR_EVER });
	for (int site = 0; site < TMS_FAULT_SITES; site++)
		CHECK_EQ(fault_fires(faults, site), site == SITE);
	CHECK_EQ(error, 77);
	faults_put(faults);
}

static void an_armed_site_lets_skip_hits_pass_and_fires_on_the_next_count(void)
{
	struct faults *faults = faults_create();

	for (uint64_t skip = 0; skip < 4; skip++)
		for (uint64_t count = 1; count < 4; count++) {
			fault_arm(faults, SITE, &(struct fault_site){ .skip = skip, .count = count, .error = EIO });
			for (uint64_t hit = 0; hit < 10; hit++) {
				bool due = hit >= skip && hit < skip + count;
				int32_t error = 0;

				CHECK_EQ(fault_hit(faults, SITE, &error), due);
				CHECK_EQ(error, due ? EIO : 0);
			}
			CHECK_EQ(fault_fired(faults, SITE), count);
		}
	faults_put(faults);
}

static void arming_again_forgets_what_was_armed(void)
{
	struct faults *faults = faults_create();

	fault_arm(faults, SITE, &(struct fault_site){ .count = FOR_EVER });
	CHECK_EQ(fires_in(faults, SITE, 1000), 1000);
	CHECK_EQ(fault_fired(faults, SITE), 1000);
	fault_arm(faults, SITE, &(struct fault_site){ .skip = 5, .count = 1 });
	CHECK_EQ(fault_fired(faults, SITE), 0);
	CHECK_EQ(fires_in(faults, SITE, 5), 0);
	CHECK_EQ(fires_in(faults, SITE, 5), 1);
	faults_put(faults);
}

static void count_0_disarms(void)
{
	struct faults *faults = faults_create();

	fault_arm(faults, SITE, &(struct fault_site){ .count = FOR_EVER });
	fault_arm(faults, SITE, &(struct fault_site){ 0 });
	CHECK(!fault_is_armed(faults, SITE));
	CHECK(!fault_is_held(faults, SITE));
	CHECK_EQ(fires_in(faults, SITE, 10), 0);
	faults_put(faults);
}

static void a_site_is_held_until_it_is_disarmed_even_if_it_has_no_count_left(void)
{
	struct faults *faults = faults_create();

	fault_arm(faults, TMS_FAULT_STALL, &(struct fault_site){ .count = 1 });
	CHECK_EQ(fires_in(faults, TMS_FAULT_STALL, 3), 1);
	CHECK(!fault_is_armed(faults, TMS_FAULT_STALL));
	CHECK(fault_is_held(faults, TMS_FAULT_STALL));
	fault_arm(faults, TMS_FAULT_STALL, &(struct fault_site){ 0 });
	CHECK(!fault_is_held(faults, TMS_FAULT_STALL));
	faults_put(faults);
}

static void *hit_often(void *faults)
{
	return (void *)(uintptr_t)fires_in(faults, SITE, HITS_A_THREAD);
}

static void threads_share_the_count_of_a_site(void)
{
	struct faults *faults = faults_create();
	pthread_t thread[3];
	uintptr_t total = 0;

	fault_arm(faults, SITE, &(struct fault_site){ .skip = 100, .count = HITS_A_THREAD });
	for (int i = 0; i < 3; i++) {
		faults_get(faults);
		CHECK_EQ(pthread_create(&thread[i], NULL, hit_often, faults), 0);
	}
	for (int i = 0; i < 3; i++) {
		void *fired;

		CHECK_EQ(pthread_join(thread[i], &fired), 0);
		total += (uintptr_t)fired;
		faults_put(faults);
	}
	CHECK_EQ(total, HITS_A_THREAD);
	CHECK_EQ(fault_fired(faults, SITE), HITS_A_THREAD);
	faults_put(faults);
}

static void a_delay_on_a_virtual_clock_is_spent_not_slept(void)
{
	const uint64_t hours = UINT64_C(3600) * NSEC_PER_SEC;
	struct faults *faults = faults_create();
	uint64_t now_ns = 0;
	struct tms_clock clock;

	tms_virtual_clock(&now_ns, &clock);
	faults_set_clock(faults, &clock);
	fault_arm(faults, SITE, &(struct fault_site){ .skip = 1, .count = 2, .delay_ns = hours });
	CHECK(!fault_fires(faults, SITE));
	CHECK_EQ(now_ns, 0);
	CHECK(fault_fires(faults, SITE));
	CHECK_EQ(now_ns, hours);
	CHECK(fault_fires(faults, SITE));
	CHECK(!fault_fires(faults, SITE));
	CHECK_EQ(now_ns, 2 * hours);
	faults_put(faults);
}

int main(void)
{
	RUN(a_site_that_is_not_armed_never_fires);
	RUN(an_armed_site_lets_skip_hits_pass_and_fires_on_the_next_count);
	RUN(arming_again_forgets_what_was_armed);
	RUN(count_0_disarms);
	RUN(a_site_is_held_until_it_is_disarmed_even_if_it_has_no_count_left);
	RUN(threads_share_the_count_of_a_site);
	RUN(a_delay_on_a_virtual_clock_is_spent_not_slept);
	return check_finish(__FILE__);
}
