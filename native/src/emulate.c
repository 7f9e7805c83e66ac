/*
 * emulate.c: the time a device takes.
 *
 * Owns: the end of the queue, the random streams, the episodes.
 *
 * Invariant: an episode that never was is one that was over at 0.
 * Laws: 1. requests are served one after the other.  2. the same seed and the same calls give the same
 * times (with another libm nearly always, and to the nanosecond).  3. pauses and factors are drawn from
 * streams of their own: the pauses stay where they are, whatever sigma is.  4. what overflows is never
 * complete.
 * Locks: emulate.lock, a leaf.
 */
#include <math.h>

#include "emulate_inner.h"
#include "hash.h"

#define REQUEST_BYTES (UINT64_C(512) * 1024) /* the largest that must end in time */
#define LONGEST_NS (1000 * NSEC_PER_SEC)
#define SIGMA_MAX_PERMILLE 3000
#define PAUSES_MAX 1024 /* in one request */
#define PSEC_PER_NSEC 1000

__extension__ typedef unsigned __int128 wide;

_Static_assert(sizeof(((struct tms_device *)0)->episodes) == TMS_EPISODES * sizeof(struct tms_episode),
	       "the header says it as a number, for cffi");

static uint64_t add(uint64_t a, uint64_t b)
{
	return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

static uint64_t multiply(uint64_t a, uint64_t b)
{
	return b && a > UINT64_MAX / b ? UINT64_MAX : a * b;
}

static uint64_t from_double(double value)
{
	return value < 0x1p64 ? (uint64_t)value : UINT64_MAX;
}

/* ---- chance ---------------------------------------------------------------------------------------- */

/* splitmix64 (S. Vigna). */
static uint64_t draw(uint64_t *stream)
{
	*stream += UINT64_C(0x9e3779b97f4a7c15);
	return hash_mix(*stream);
}

/* An odd multiple of 2^-53: neither 0 nor 1, and as far from the one as from the other. */
static double draw_uniform(uint64_t *stream)
{
	return (double)(draw(stream) >> 11 | 1) * 0x1p-53;
}

static double polynomial(const double *coefficient, int n, double x)
{
	double value = 0;

	for (int i = 0; i < n; i++)
		value = value * x + coefficient[i];
	return value;
}

/* P. J. Acklam, An algorithm for computing the inverse normal cumulative distribution function (2003):
 * relative error below 1.15e-9, far out in the tails as well. */
static double normal_quantile(double p)
{
	static const double a[] = { -3.969683028665376e+01, 2.209460984245205e+02,  -2.759285104469687e+02,
				    1.383577518672690e+02,  -3.066479806614716e+01, 2.506628277459239e+00 };
	static const double b[] = { -5.447609879822406e+01, 1.615858368580409e+02,  -1.556989798598866e+02,
				    6.680131188771972e+01,  -1.328068155288572e+01, 1 };
	static const double c[] = { -7.784894002430293e-03, -3.223964580411365e-01, -2.400758277161838e+00,
				    -2.549732539343734e+00, 4.374664141464968e+00,  2.938163982698783e+00 };
	static const double d[] = { 7.784695709041462e-03, 3.224671290700398e-01, 2.445134137142996e+00,
				    3.754408661907416e+00, 1 };
	double tail = p < 0.5 ? p : 1 - p;
	double x;

	if (tail >= 0.02425) {
		x = (p - 0.5) * (p - 0.5);
		return (p - 0.5) * polynomial(a, 6, x) / polynomial(b, 6, x);
	}
	x = sqrt(-2 * log(tail));
	x = polynomial(c, 6, x) / polynomial(d, 5, x);
	return p < 0.5 ? x : -x;
}

/* Times a lognormal factor of mean 1. */
static uint64_t draw_stretched(struct emulate *emulate, uint64_t ps)
{
	double sigma = (double)emulate->device.sigma_permille / 1000;
	double z;

	if (!emulate->device.sigma_permille)
		return ps;
	z = normal_quantile(draw_uniform(&emulate->factors));
	return ps == UINT64_MAX ? ps : from_double((double)ps * exp(sigma * z - sigma * sigma / 2));
}

static void draw_next_pause(struct emulate *emulate)
{
	double bytes = -log(draw_uniform(&emulate->pauses)) * (double)emulate->device.pause_every_bytes;

	emulate->until_pause_bytes = add(from_double(bytes), 1);
}

static uint64_t draw_pauses_ps(struct emulate *emulate, uint64_t bytes)
{
	const struct tms_device *device = &emulate->device;
	uint64_t total_ps = 0;

	if (!device->pause_every_bytes)
		return 0;
	for (int n = 0; n < PAUSES_MAX && bytes >= emulate->until_pause_bytes; n++) {
		double ns = (double)device->pause_ns * (0.5 + draw_uniform(&emulate->pauses));

		bytes -= emulate->until_pause_bytes;
		total_ps = add(total_ps, from_double(ns * PSEC_PER_NSEC));
		draw_next_pause(emulate);
	}
	/* After PAUSES_MAX more bytes may be left than fit: none is owed for those. */
	emulate->until_pause_bytes -= min_u64(bytes, emulate->until_pause_bytes - 1);
	return total_ps;
}

/* ---- time ------------------------------------------------------------------------------------------ */

static uint64_t service_ps(const struct tms_device *device, bool is_write, uint64_t bytes)
{
	uint64_t request_ns = is_write ? device->write_request_ns : device->read_request_ns;
	uint64_t byte_ps = is_write ? device->write_byte_ps : device->read_byte_ps;

	return add(multiply(request_ns, PSEC_PER_NSEC), multiply(bytes, byte_ps));
}

/* How slowly time flows at at_ns; 0: not at all.  *until_ns: at least up to here.  Where episodes overlap
 * the slowest counts. */
static uint64_t pace_at(const struct emulate *emulate, uint64_t at_ns, uint64_t *until_ns)
{
	uint64_t slowest_permille = 0;
	bool stalled = false;

	*until_ns = UINT64_MAX;
	for (int i = 0; i < TMS_EPISODES; i++) {
		const struct span *episode = &emulate->episode[i];

		if (at_ns < episode->start_ns) {
			*until_ns = min_u64(*until_ns, episode->start_ns);
		} else if (at_ns < episode->end_ns) {
			*until_ns = min_u64(*until_ns, episode->end_ns);
			if (!episode->slow_permille)
				stalled = true;
			else if (episode->slow_permille > slowest_permille)
				slowest_permille = episode->slow_permille;
		}
	}
	if (stalled)
		return 0;
	return slowest_permille ? slowest_permille : 1000;
}

/* When work that is begun at at_ns is done, piece by piece between the edges of episodes. */
static uint64_t finish_ns(const struct emulate *emulate, uint64_t at_ns, uint64_t work_ps)
{
	const uint64_t unit = UINT64_C(1000) * PSEC_PER_NSEC; /* of ps * permille in a nanosecond */

	if (work_ps == UINT64_MAX)
		return UINT64_MAX;
	for (;;) {
		uint64_t until_ns;
		uint64_t permille = pace_at(emulate, at_ns, &until_ns);
		wide lasts = (wide)(until_ns - at_ns) * unit;
		wide needed = (wide)work_ps * permille;

		if (permille && needed <= lasts)
			return at_ns + (uint64_t)(needed / unit);
		if (until_ns == UINT64_MAX)
			return UINT64_MAX;
		if (permille)
			work_ps -= (uint64_t)(lasts / permille);
		at_ns = until_ns;
	}
}

uint64_t emulate_schedule(struct emulate *emulate, bool is_write, uint64_t bytes, uint64_t now_ns)
{
	uint64_t work_ps = service_ps(&emulate->device, is_write, bytes);
	uint64_t start_ns, done_ns;

	pthread_mutex_lock(&emulate->lock);
	work_ps = draw_stretched(emulate, work_ps);
	if (is_write)
		work_ps = add(work_ps, draw_pauses_ps(emulate, bytes));
	if (now_ns > emulate->latest_ns)
		emulate->latest_ns = now_ns;
	start_ns = now_ns > emulate->busy_until_ns ? now_ns : emulate->busy_until_ns;
	done_ns = finish_ns(emulate, start_ns, work_ps);
	emulate->busy_until_ns = done_ns;
	pthread_mutex_unlock(&emulate->lock);
	return done_ns;
}

static struct span span_of(const struct tms_episode *episode, uint64_t origin_ns)
{
	uint64_t start_ns = add(origin_ns, episode->start_ns);

	if (!episode->duration_ns)
		return (struct span){ 0 };
	return (struct span){ start_ns, add(start_ns, episode->duration_ns), episode->slow_permille };
}

void emulate_add_episode(struct emulate *emulate, const struct tms_episode *episode)
{
	struct span *first = emulate->episode;
	struct span *last = emulate->episode;

	if (!episode->duration_ns)
		return;
	pthread_mutex_lock(&emulate->lock);
	for (struct span *span = emulate->episode; span < emulate->episode + TMS_EPISODES; span++) {
		if (span->end_ns < first->end_ns)
			first = span;
		if (span->start_ns > last->start_ns)
			last = span;
	}
	*(first->end_ns <= emulate->latest_ns ? first : last) = span_of(episode, 0);
	pthread_mutex_unlock(&emulate->lock);
}

/* ---- life ------------------------------------------------------------------------------------------ */

bool emulate_is_valid(const struct tms_device *device)
{
	const uint64_t longest_ps = LONGEST_NS * PSEC_PER_NSEC;

	for (int i = 0; i < TMS_EPISODES; i++) {
		const struct tms_episode *episode = &device->episodes[i];

		if (episode->duration_ns != UINT64_MAX && episode->start_ns > UINT64_MAX - episode->duration_ns)
			return false;
	}
	if (device->sigma_permille > SIGMA_MAX_PERMILLE || device->pause_ns >= LONGEST_NS)
		return false;
	if (device->pause_every_bytes && device->pause_every_bytes < PAGE_SIZE)
		return false;
	return service_ps(device, true, REQUEST_BYTES) < longest_ps && service_ps(device, false, REQUEST_BYTES) < longest_ps;
}

struct emulate *emulate_create(const struct tms_device *device, uint64_t opened_ns)
{
	struct emulate *emulate = calloc(1, sizeof(*emulate));

	if (!emulate)
		return NULL;
	emulate->device = *device;
	emulate->latest_ns = opened_ns;
	emulate->factors = device->seed;
	emulate->pauses = hash_mix(~device->seed);
	for (int i = 0; i < TMS_EPISODES; i++)
		emulate->episode[i] = span_of(&device->episodes[i], opened_ns);
	draw_next_pause(emulate);
	atomic_init(&emulate->bytes, sizeof(*emulate));
	pthread_mutex_init(&emulate->lock, NULL);
	pthread_mutex_init(&emulate->data_lock, NULL);
	return emulate;
}

void emulate_destroy(struct emulate *emulate)
{
	if (!emulate)
		return;
	emulate_truncate(emulate, 0);
	free(emulate->segment);
	pthread_mutex_destroy(&emulate->lock);
	pthread_mutex_destroy(&emulate->data_lock);
	free(emulate);
}

bool emulate_keeps_data(const struct emulate *emulate)
{
	return emulate->device.in_memory;
}
