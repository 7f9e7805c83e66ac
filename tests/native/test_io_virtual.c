/* The I/O layer on a virtual clock: the order of events, exact times, and no threads. */
#include "io.h"

#include "fixture.h"

#define BLOCK TMS_PAGE_SIZE
#define REQUESTS 24u
#define WRITE_NS (UINT64_C(1000000) + BLOCK)
#define READ_NS (UINT64_C(100000) + BLOCK)

static struct io *io;
static struct faults *faults;
static uint64_t now_ns;
static uint32_t released;

struct transfer {
	struct io_request io; /* first */
	uint32_t number;
	uint8_t buffer[BLOCK];
};
static struct transfer transfer[REQUESTS];

static void count_released(struct io_request *request)
{
	(void)request;
	released++;
}

static void open_io(const struct tms_device *device)
{
	struct io_config config = { .fd = -1, .threads = 2, .direct = true };
	int32_t error;

	now_ns = 100;
	released = 0;
	faults = faults_create();
	tms_virtual_clock(&now_ns, &config.clock);
	faults_set_clock(faults, &config.clock);
	config.faults = faults;
	config.emulate = emulate_create(device, now_ns);
	CHECK(config.emulate);
	CHECK_EQ(io_start(&config, &io, &error), TMS_OK);
}

static void close_io(void)
{
	CHECK_EQ(io_stop(io), 0);
	faults_put(faults);
}

static struct io_request *submit(uint32_t number, enum io_op op, uint32_t block, bool watched)
{
	struct transfer *t = &transfer[number];

	t->number = number;
	if (op == IO_WRITE)
		page_make(t->buffer, number + 1, BLOCK);
	t->io = (struct io_request){ .op = op,
				     .offset = (uint64_t)block * BLOCK,
				     .bytes = BLOCK,
				     .buffer = t->buffer,
				     .watched = watched,
				     .release = count_released };
	io_submit(io, &t->io);
	return &t->io;
}

static uint32_t number_of(struct io_request *request)
{
	return request ? ((struct transfer *)(void *)request)->number : REQUESTS;
}

static void requests_complete_one_after_the_other_at_their_times(void)
{
	const struct tms_device device = steady_device();

	open_io(&device);
	for (uint32_t i = 0; i < 5; i++)
		submit(i, IO_WRITE, i, false);
	CHECK_EQ(now_ns, 100); /* submitting takes no time */
	CHECK(!io_has_completed(io));
	for (uint32_t i = 0; i < 5; i++) {
		uint64_t seen = io_ended(io);

		CHECK(io_wait_ended(io, seen, NSEC_PER_SEC));
		CHECK_EQ(now_ns, 100 + (i + 1) * WRITE_NS);
		CHECK(io_has_completed(io));
		CHECK_EQ(number_of(io_reap(io)), i);
		CHECK(!io_reap(io));
	}
	close_io();
}

static void what_was_written_is_read(void)
{
	const struct tms_device device = steady_device();

	open_io(&device);
	for (uint32_t i = 0; i < 8; i++)
		submit(i, IO_WRITE, 100 + i, false);
	for (uint32_t i = 0; i < 8; i++) {
		struct io_request *request = submit(8 + i, IO_READ, 100 + i, true);

		CHECK(io_wait_request(io, request, NSEC_PER_SEC));
		CHECK_EQ(request->error, 0);
		CHECK(page_is(request->buffer, i + 1, BLOCK));
	}
	CHECK_EQ(now_ns, 100 + 8 * WRITE_NS + 8 * READ_NS);
	close_io();
}

static void waiting_advances_the_clock_to_the_end_or_by_the_timeout_and_no_further(void)
{
	const struct tms_device device = steady_device();
	struct io_request *request;
	uint64_t done_ns;

	open_io(&device);
	CHECK(!io_wait_ended(io, io_ended(io), 777)); /* nothing is under way */
	CHECK_EQ(now_ns, 100 + 777);
	request = submit(0, IO_READ, 0, true);
	CHECK(!io_wait_request(io, request, READ_NS - 1));
	CHECK_EQ(now_ns, 877 + READ_NS - 1);
	CHECK(!request->done);
	CHECK(io_wait_request(io, request, 1));
	CHECK_EQ(now_ns, 877 + READ_NS);
	CHECK(io_wait_request(io, request, NSEC_PER_SEC)); /* done: no time passes */
	CHECK_EQ(now_ns, 877 + READ_NS);
	CHECK_EQ(io_ended(io), 0); /* but for who watches it */
	request = submit(0, IO_WRITE, 0, true);
	CHECK(io_wait_request(io, request, NSEC_PER_SEC));
	done_ns = now_ns;
	CHECK(io_wait_ended(io, 0, NSEC_PER_SEC)); /* it has: no time passes */
	CHECK_EQ(now_ns, done_ns);
	close_io();
}

static void time_that_passes_elsewhere_completes_what_is_due(void)
{
	const struct tms_device device = steady_device();

	open_io(&device);
	submit(0, IO_WRITE, 0, false);
	submit(1, IO_WRITE, 1, false);
	now_ns += WRITE_NS - 1;
	CHECK(!io_has_completed(io));
	now_ns += 1;
	CHECK(io_has_completed(io));
	CHECK_EQ(number_of(io_reap(io)), 0);
	CHECK(!io_reap(io));
	close_io();
}

static void advancing_lets_everything_complete_in_its_order(void)
{
	const struct tms_device device = steady_device();
	struct io_counters counters;

	open_io(&device);
	for (uint32_t i = 0; i < 10; i++)
		submit(i, i % 2 ? IO_READ : IO_WRITE, i, false);
	io_read_counters(io, &counters);
	CHECK_EQ(counters.writes_pending, 5);
	CHECK_EQ(counters.bytes_pending, 5 * BLOCK);
	CHECK_EQ(counters.reads_pending, 5);
	io_advance(io, 3 * WRITE_NS + 2 * READ_NS);
	CHECK_EQ(now_ns, 100 + 3 * WRITE_NS + 2 * READ_NS);
	for (uint32_t i = 0; i < 5; i++)
		CHECK_EQ(number_of(io_reap(io)), i);
	CHECK(!io_reap(io));
	io_advance(io, NSEC_PER_SEC);
	for (uint32_t i = 5; i < 10; i++)
		CHECK_EQ(number_of(io_reap(io)), i);
	io_read_counters(io, &counters);
	CHECK_EQ(counters.writes_pending + counters.bytes_pending + counters.reads_pending, 0);
	CHECK_EQ(counters.bytes_written, 5 * BLOCK);
	CHECK_EQ(counters.bytes_read, 5 * BLOCK);
	close_io();
}

static void a_device_that_never_answers_is_waited_for_by_the_timeout(void)
{
	struct tms_device device = steady_device();
	struct io_request *request;
	uint32_t busy;

	device.episodes[0] = (struct tms_episode){ .duration_ns = UINT64_MAX };
	open_io(&device);
	request = submit(0, IO_READ, 0, true);
	submit(1, IO_WRITE, 0, false);
	CHECK(!io_wait_request(io, request, 5 * NSEC_PER_SEC));
	CHECK_EQ(now_ns, 100 + 5 * NSEC_PER_SEC);
	CHECK(!io_wait_idle(io, NSEC_PER_SEC, &busy));
	CHECK_EQ(busy, 0);
	CHECK_EQ(now_ns, 100 + 6 * NSEC_PER_SEC);
	CHECK(io_unwatch(io, request)); /* it is the caller's again */
	CHECK_EQ(request->error, ECANCELED);
	close_io();
	CHECK_EQ(released, 1); /* the write */
}

static void a_cancelled_request_does_not_come_back(void)
{
	const struct tms_device device = steady_device();
	struct io_request *request;

	open_io(&device);
	request = submit(0, IO_READ, 0, true);
	submit(1, IO_READ, 1, false);
	CHECK(io_unwatch(io, request));
	CHECK_EQ(request->error, ECANCELED);
	io_advance(io, NSEC_PER_SEC);
	CHECK_EQ(number_of(io_reap(io)), 1);
	CHECK(!io_reap(io));
	close_io();
	CHECK_EQ(released, 0);
}

static void closing_cancels_what_is_at_the_device_and_serves_the_last_at_once(void)
{
	const struct tms_device device = steady_device();
	struct io_request last = { .op = IO_TRUNCATE, .offset = BLOCK, .release = count_released };
	uint32_t busy;

	open_io(&device);
	submit(0, IO_WRITE, 0, false);
	submit(1, IO_WRITE, 3, false);
	io_close(io, &last);
	CHECK(io_wait_idle(io, NSEC_PER_SEC, &busy));
	CHECK_EQ(now_ns, 100);
	CHECK_EQ(number_of(io_reap(io)), 0);
	CHECK_EQ(transfer[0].io.error, ECANCELED);
	CHECK_EQ(number_of(io_reap(io)), 1);
	CHECK(io_reap(io) == &last);
	CHECK_EQ(last.error, 0);
	submit(2, IO_WRITE, 0, false); /* what comes later is cancelled */
	CHECK_EQ(number_of(io_reap(io)), 2);
	CHECK_EQ(transfer[2].io.error, ECANCELED);
	close_io();
}

static void an_error_is_reported_when_the_request_is_due(void)
{
	const struct tms_device device = steady_device();

	open_io(&device);
	fault_arm(faults, TMS_FAULT_WRITE, &(struct fault_site){ .count = 1, .error = EIO });
	submit(0, IO_WRITE, 0, false);
	submit(1, IO_WRITE, 1, false);
	CHECK(!io_has_completed(io));
	io_advance(io, NSEC_PER_SEC);
	CHECK_EQ(number_of(io_reap(io)), 0);
	CHECK_EQ(transfer[0].io.error, EIO);
	CHECK_EQ(number_of(io_reap(io)), 1);
	CHECK_EQ(transfer[1].io.error, 0);
	close_io();
}

static void a_notice_ends_a_wait_without_time(void)
{
	const struct tms_device device = steady_device();
	uint64_t seen;

	open_io(&device);
	seen = io_ended(io);
	io_notify(io);
	CHECK(io_wait_ended(io, seen, NSEC_PER_SEC));
	CHECK_EQ(now_ns, 100);
	close_io();
}

/* The same requests in the same order take the same times, chance or not. */
static void what_happens_is_the_same_each_time(void)
{
	struct tms_device device = steady_device();
	uint64_t times[2][REQUESTS];

	device.sigma_permille = 700;
	device.pause_every_bytes = 5 * BLOCK;
	device.pause_ns = NSEC_PER_MSEC;
	for (int run = 0; run < 2; run++) {
		open_io(&device);
		for (uint32_t i = 0; i < REQUESTS; i++) {
			submit(i, i % 3 ? IO_WRITE : IO_READ, i, false);
			CHECK(io_wait_ended(io, i, NSEC_PER_SEC));
			times[run][i] = now_ns;
		}
		close_io();
	}
	CHECK(!memcmp(times[0], times[1], sizeof(times[0])));
	CHECK(times[0][1] - times[0][0] != times[0][2] - times[0][1]);
}

static void a_device_that_was_made_slower_is_slower_from_then_on(void)
{
	const struct tms_device device = steady_device();
	const struct tms_episode slow = { .start_ns = 100 + WRITE_NS, .duration_ns = UINT64_MAX, .slow_permille = 3000 };

	open_io(&device);
	CHECK(io_is_emulated(io));
	io_add_episode(io, &slow);
	submit(0, IO_WRITE, 0, false);
	submit(1, IO_WRITE, 1, false);
	CHECK(io_wait_ended(io, 0, NSEC_PER_SEC));
	CHECK_EQ(now_ns, 100 + WRITE_NS);
	CHECK(io_wait_ended(io, 1, NSEC_PER_SEC));
	CHECK_EQ(now_ns, 100 + 4 * WRITE_NS);
	close_io();
}

int main(void)
{
	RUN(requests_complete_one_after_the_other_at_their_times);
	RUN(what_was_written_is_read);
	RUN(waiting_advances_the_clock_to_the_end_or_by_the_timeout_and_no_further);
	RUN(time_that_passes_elsewhere_completes_what_is_due);
	RUN(advancing_lets_everything_complete_in_its_order);
	RUN(a_device_that_never_answers_is_waited_for_by_the_timeout);
	RUN(a_cancelled_request_does_not_come_back);
	RUN(closing_cancels_what_is_at_the_device_and_serves_the_last_at_once);
	RUN(an_error_is_reported_when_the_request_is_due);
	RUN(a_notice_ends_a_wait_without_time);
	RUN(what_happens_is_the_same_each_time);
	RUN(a_device_that_was_made_slower_is_slower_from_then_on);
	return check_finish(__FILE__);
}
