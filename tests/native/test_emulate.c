/* The times of an emulated device: the queue, noise, pauses. */
#include <math.h>
#include <pthread.h>

#include "emulate.h"
#include "fixture.h"

#define MIB (UINT64_C(1) << 20)
#define DRAWS 200000u
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

/* ---- the queue ------------------------------------------------------------------------------------- */

static void without_noise_a_request_takes_its_time_and_that_of_its_bytes(void)
{
	struct tms_device device = plain_device();
	struct emulate *emulate;
	uint64_t now_ns = 0;

	device.write_byte_ps = 833;
	emulate = emulate_create(&device, 0);
	for (uint64_t bytes = 0; bytes <= MIB; bytes += 4096) {
		now_ns += 100 * NSEC_PER_MSEC;
		CHECK_EQ(emulate_schedule(emulate, true, bytes, now_ns), now_ns + 1000 + bytes * 833 / 1000);
		now_ns += 100 * NSEC_PER_MSEC;
		CHECK_EQ(emulate_schedule(emulate, false, bytes, now_ns), now_ns + 500 + bytes / 2);
	}
	emulate_destroy(emulate);
}

static void requests_are_served_one_after_the_other(void)
{
	struct tms_device device = plain_device();
	struct emulate *emulate = emulate_create(&device, 0);
	uint64_t free_ns = 0, now_ns = 0, rng = 11;

	for (int i = 0; i < 10000; i++) {
		bool is_write = rng_below(&rng, 2);
		uint64_t bytes = rng_below(&rng, 3) * 4096;

		now_ns += rng_below(&rng, 8000);
		free_ns = (now_ns > free_ns ? now_ns : free_ns) + (is_write ? 1000 + bytes : 500 + bytes / 2);
		CHECK_EQ(emulate_schedule(emulate, is_write, bytes, now_ns), free_ns);
	}
	emulate_destroy(emulate);
}

static void *schedule_often(void *emulate)
{
	for (int i = 0; i < 20000; i++)
		emulate_schedule(emulate, true, 0, 0);
	return NULL;
}

static void threads_share_one_queue(void)
{
	struct tms_device device = plain_device();
	struct emulate *emulate = emulate_create(&device, 0);
	pthread_t thread[3];

	for (int i = 0; i < 3; i++)
		CHECK_EQ(pthread_create(&thread[i], NULL, schedule_often, emulate), 0);
	for (int i = 0; i < 3; i++)
		CHECK_EQ(pthread_join(thread[i], NULL), 0);
	CHECK_EQ(emulate_schedule(emulate, true, 0, 0), 60001 * 1000);
	emulate_destroy(emulate);
}

static void what_overflows_is_never_complete(void)
{
	struct tms_device device = plain_device();
	struct emulate *emulate = emulate_create(&device, 0);

	CHECK_EQ(emulate_schedule(emulate, true, 0, UINT64_MAX - 1000), UINT64_MAX);
	CHECK_EQ(emulate_schedule(emulate, true, 0, 0), NEVER);
	emulate_destroy(emulate);
	for (uint64_t sigma = 0; sigma <= 3000; sigma += 1000) {
		device.sigma_permille = sigma;
		for (uint64_t seed = 0; seed < 50; seed++) {
			device.seed = seed;
			device.pause_every_bytes = 4096;
			device.pause_ns = 999 * NSEC_PER_SEC;
			emulate = emulate_create(&device, UINT64_MAX - 1);
			CHECK_EQ(emulate_schedule(emulate, seed % 2, UINT64_MAX, 0), NEVER);
			CHECK_EQ(emulate_schedule(emulate, true, 4096, UINT64_MAX), NEVER);
			emulate_destroy(emulate);
		}
	}
}

/* ---- noise ----------------------------------------------------------------------------------------- */

/* What a write takes, a millisecond without noise. */
static struct emulate *noisy(uint64_t seed, uint64_t sigma_permille)
{
	struct tms_device device = { .seed = seed, .write_request_ns = NSEC_PER_MSEC, .sigma_permille = sigma_permille };

	return emulate_create(&device, 0);
}

static int compare(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* DRAWS factors in ascending order; returns their mean. */
static double draw_factors(double *factor, uint64_t seed, uint64_t sigma_permille)
{
	struct emulate *emulate = noisy(seed, sigma_permille);
	uint64_t now_ns = 0;
	double sum = 0;

	for (uint32_t i = 0; i < DRAWS; i++) {
		uint64_t done_ns = emulate_schedule(emulate, true, 0, now_ns);

		factor[i] = (double)(done_ns - now_ns) / (double)NSEC_PER_MSEC;
		sum += factor[i];
		now_ns = done_ns;
	}
	emulate_destroy(emulate);
	qsort(factor, DRAWS, sizeof(*factor), compare);
	return sum / DRAWS;
}

static bool is_near(double value, double expected, double tolerance)
{
	if (fabs(value / expected - 1) <= tolerance)
		return true;
	fprintf(stderr, "%g, expected %g within %g\n", value, expected, tolerance);
	return false;
}

static void the_factor_is_lognormal_of_mean_1(void)
{
	static const struct {
		double p, z, tolerance;
	} quantiles[] = { { 0.001, -3.090232, 0.03 }, { 0.02, -2.053749, 0.01 }, { 0.5, 0, 0.01 },
			  { 0.98, 2.053749, 0.01 },    { 0.99, 2.326348, 0.02 },  { 0.999, 3.090232, 0.03 } };
	static double factor[DRAWS];

	for (uint64_t sigma = 100; sigma <= 500; sigma += 200)
		for (uint64_t seed = 1; seed <= 2; seed++) {
			double s = (double)sigma / 1000;

			CHECK(is_near(draw_factors(factor, seed, sigma), 1, 0.01));
			for (size_t i = 0; i < sizeof(quantiles) / sizeof(*quantiles); i++) {
				double drawn = factor[(uint32_t)(quantiles[i].p * DRAWS)];

				CHECK(is_near(drawn, exp(s * quantiles[i].z - s * s / 2), quantiles[i].tolerance));
			}
		}
}

static struct tms_device moody_device(uint64_t seed)
{
	struct tms_device device = plain_device();

	device.seed = seed;
	device.sigma_permille = 500;
	device.pause_every_bytes = MIB;
	device.pause_ns = NSEC_PER_MSEC;
	return device;
}

static void the_same_seed_repeats_and_another_one_does_not(void)
{
	struct tms_device device[3] = { moody_device(5), moody_device(5), moody_device(6) };
	struct emulate *emulate[3];
	uint64_t now_ns = 0, rng = 21;
	uint32_t differ = 0;

	for (int i = 0; i < 3; i++)
		emulate[i] = emulate_create(&device[i], 0);
	for (int step = 0; step < 2000; step++) {
		bool is_write = rng_below(&rng, 4);
		uint64_t bytes = rng_below(&rng, 128) * 4096;
		uint64_t done_ns[3];

		for (int i = 0; i < 3; i++)
			done_ns[i] = emulate_schedule(emulate[i], is_write, bytes, now_ns);
		CHECK_EQ(done_ns[0], done_ns[1]);
		differ += done_ns[0] != done_ns[2];
		now_ns += 5 * NSEC_PER_MSEC;
	}
	CHECK(differ > 1990);
	for (int i = 0; i < 3; i++)
		emulate_destroy(emulate[i]);
}

/* ---- pauses ---------------------------------------------------------------------------------------- */

static void pauses_come_as_often_and_last_as_long_as_they_should(void)
{
	struct tms_device device = { .seed = 3, .pause_every_bytes = MIB, .pause_ns = 1000 };
	struct emulate *emulate = emulate_create(&device, 0);
	const uint64_t writes = 4000000, bytes = 4096;
	uint64_t now_ns = 0, paused = 0, single = 0, shortest = NEVER, longest = 0, short_gaps = 0, last = 0;
	double expected = (double)(writes * bytes) / (double)MIB;

	for (uint64_t i = 0; i < writes; i++) {
		uint64_t took_ns = emulate_schedule(emulate, true, bytes, now_ns) - now_ns;

		now_ns += took_ns;
		CHECK_EQ(emulate_schedule(emulate, false, MIB, now_ns), now_ns); /* a read has none */
		if (!took_ns)
			continue;
		paused++;
		short_gaps += i - last < 256;
		last = i;
		if (took_ns >= 1500) /* two pauses */
			continue;
		single++;
		shortest = shortest < took_ns ? shortest : took_ns;
		longest = longest > took_ns ? longest : took_ns;
	}
	CHECK(is_near((double)now_ns / 1000, expected, 0.03));
	CHECK(paused - single < paused / 100);
	CHECK(shortest >= 500 && shortest < 503);
	CHECK(longest < 1500 && longest > 1497);
	/* Exponential: 1 - 1/e of the gaps are shorter than the mean. */
	CHECK(is_near((double)short_gaps / (double)paused, 1 - exp(-1), 0.02));
	emulate_destroy(emulate);
}

static void a_large_write_has_several_pauses_in_front_of_it(void)
{
	struct tms_device device = plain_device();
	struct emulate *emulate;
	uint64_t now_ns = 0;
	const int writes = 1000;

	device.pause_every_bytes = MIB / 8;
	device.pause_ns = 50000;
	emulate = emulate_create(&device, 0);
	for (int i = 0; i < writes; i++)
		now_ns = emulate_schedule(emulate, true, 2 * MIB, now_ns);
	now_ns -= writes * (1000 + 2 * MIB);
	CHECK(is_near((double)now_ns, writes * 16 * 50000.0, 0.03));
	emulate_destroy(emulate);
}

static void pauses_follow_the_seed_and_stay_where_they_are_whatever_sigma_is(void)
{
	struct tms_device device[3] = { moody_device(9), moody_device(9), moody_device(10) };
	struct emulate *emulate[3];
	uint64_t paused = 0, elsewhere = 0;

	for (int i = 0; i < 3; i++) {
		device[i].write_byte_ps = 0;
		device[i].write_request_ns = i == 1;
		device[i].sigma_permille = i == 1 ? 500 : 0;
		emulate[i] = emulate_create(&device[i], 0);
	}
	for (uint64_t now_ns = 0; now_ns < 10000 * NSEC_PER_SEC; now_ns += NSEC_PER_SEC) {
		uint64_t done_ns = emulate_schedule(emulate[0], true, 65536, now_ns);

		CHECK(emulate_schedule(emulate[1], true, 65536, now_ns) - done_ns < 30);
		paused += done_ns > now_ns;
		elsewhere += done_ns != emulate_schedule(emulate[2], true, 65536, now_ns);
	}
	CHECK(paused > 500);
	CHECK(elsewhere > 900);
	for (int i = 0; i < 3; i++)
		emulate_destroy(emulate[i]);
}

/* ---- limits ----------------------------------------------------------------------------------------- */

#define VALID(...) emulate_is_valid(&(struct tms_device){ __VA_ARGS__ })

static bool is_valid_with(int i, struct tms_episode episode)
{
	struct tms_device device = { 0 };

	device.episodes[i] = episode;
	return emulate_is_valid(&device);
}

static void a_device_is_valid_within_its_limits_only(void)
{
	const uint64_t longest_ns = 1000 * NSEC_PER_SEC;
	const uint64_t longest_byte_ps = longest_ns * 1000 / (512 * 1024);

	CHECK(VALID(.seed = 0));
	CHECK(VALID(.seed = UINT64_MAX, .size_bytes = UINT64_MAX));
	CHECK(VALID(.sigma_permille = 3000));
	CHECK(!VALID(.sigma_permille = 3001));
	CHECK(VALID(.write_request_ns = longest_ns - 1, .read_request_ns = longest_ns - 1));
	CHECK(!VALID(.write_request_ns = longest_ns));
	CHECK(!VALID(.read_request_ns = UINT64_MAX));
	CHECK(VALID(.write_byte_ps = longest_byte_ps, .read_byte_ps = longest_byte_ps));
	CHECK(!VALID(.write_byte_ps = longest_byte_ps + 1));
	CHECK(!VALID(.read_byte_ps = UINT64_MAX));
	CHECK(!VALID(.read_byte_ps = longest_byte_ps, .read_request_ns = NSEC_PER_SEC));
	CHECK(VALID(.pause_every_bytes = 4096, .pause_ns = longest_ns - 1));
	CHECK(!VALID(.pause_every_bytes = 4095));
	CHECK(!VALID(.pause_ns = longest_ns));
	for (int i = 0; i < TMS_EPISODES; i++) {
		CHECK(is_valid_with(i, (struct tms_episode){ UINT64_MAX, 0, UINT64_MAX }));
		CHECK(is_valid_with(i, (struct tms_episode){ UINT64_MAX, UINT64_MAX, 0 }));
		CHECK(is_valid_with(i, (struct tms_episode){ UINT64_MAX - 5, 5, 0 }));
		CHECK(!is_valid_with(i, (struct tms_episode){ UINT64_MAX - 5, 6, 0 }));
	}
}

int main(void)
{
	RUN(without_noise_a_request_takes_its_time_and_that_of_its_bytes);
	RUN(requests_are_served_one_after_the_other);
	RUN(threads_share_one_queue);
	RUN(what_overflows_is_never_complete);
	RUN(the_factor_is_lognormal_of_mean_1);
	RUN(the_same_seed_repeats_and_another_one_does_not);
	RUN(pauses_come_as_often_and_last_as_long_as_they_should);
	RUN(a_large_write_has_several_pauses_in_front_of_it);
	RUN(pauses_follow_the_seed_and_stay_where_they_are_whatever_sigma_is);
	RUN(a_device_is_valid_within_its_limits_only);
	return check_finish(__FILE__);
}
