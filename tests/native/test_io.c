/* The I/O threads, their queue, and timed waits.  No wait here ends by its time unless the test is about that. */
#include "io_inner.h"
#include "fixture.h"

#define SHORTLY NSEC_PER_MSEC
#define LONG (20 * NSEC_PER_SEC)
#define REQUESTS 64u

struct request {
	struct io_request io; /* first */
	_Alignas(4096) uint8_t buffer[TMS_PAGE_SIZE];
};

static struct io *io;
static struct faults *faults;
static _Atomic uint32_t released;

static void release(struct io_request *request)
{
	free(request);
	atomic_fetch_add(&released, 1);
}

static bool open_io(uint32_t threads)
{
	FILE *file = tmpfile();
	int32_t error = 0;
	struct io_config config = { .fd = file ? dup(fileno(file)) : -1, .threads = threads, .clock = clock_system };

	if (file)
		fclose(file);
	faults = config.faults = faults_create();
	released = 0;
	return config.fd >= 0 && faults && io_start(&config, &io, &error) == TMS_OK;
}

static uint32_t close_io(void)
{
	uint32_t left = io_stop(io);

	faults_put(faults);
	return left;
}

static void arm(int site, uint64_t count, int32_t error)
{
	fault_arm(faults, site, &(struct fault_site){ .count = count, .error = error });
}

static struct request *submit(enum io_op op, uint32_t block, bool watched)
{
	void *memory = NULL;
	struct request *request;

	if (posix_memalign(&memory, TMS_PAGE_SIZE, sizeof(*request)))
		return NULL;
	request = memory;
	memset(request, 0, sizeof(*request));
	request->io = (struct io_request){ .op = op, .offset = block * (uint64_t)TMS_PAGE_SIZE, .bytes = TMS_PAGE_SIZE,
					   .buffer = request->buffer, .watched = watched, .release = release };
	page_make(request->buffer, op == IO_WRITE ? block : 999, TMS_PAGE_SIZE);
	io_submit(io, &request->io);
	return request;
}

/* Of a watched request, which is freed.  -1: it did not end. */
static int32_t outcome(struct request *request)
{
	int32_t error = io_wait_request(io, &request->io, LONG) ? request->io.error : -1;

	if (error >= 0)
		free(request);
	return error;
}

/* Waits until a stall has hold of that many requests. */
static void wait_stalled(uint64_t n)
{
	while (fault_fired(faults, TMS_FAULT_STALL) < n)
		usleep(100);
}

static void what_was_written_is_read_and_counted(void)
{
	struct io_counters counters;

	CHECK(open_io(2));
	for (uint32_t block = 0; block < REQUESTS; block++)
		CHECK_EQ(outcome(submit(IO_WRITE, block, true)), 0);
	for (uint32_t block = 0; block < REQUESTS; block++) {
		struct request *request = submit(IO_READ, block, true);

		CHECK(io_wait_request(io, &request->io, LONG));
		CHECK(page_is(request->buffer, block, TMS_PAGE_SIZE));
		free(request);
	}
	io_read_counters(io, &counters);
	CHECK_EQ(counters.bytes_written, REQUESTS * TMS_PAGE_SIZE);
	CHECK_EQ(counters.bytes_read, REQUESTS * TMS_PAGE_SIZE);
	CHECK_EQ(counters.writes_pending + counters.write_errors + counters.read_errors, 0);
	CHECK_EQ(io_ended(io), REQUESTS); /* watched reads disturb nobody else */
	CHECK_EQ(close_io(), 0);
}

static void what_nobody_watches_comes_through_reap_once(void)
{
	uint32_t reaped = 0;

	CHECK(open_io(3));
	for (uint32_t block = 0; block < REQUESTS; block++)
		submit(IO_WRITE, block, false);
	while (reaped < REQUESTS) {
		uint64_t seen = io_ended(io);
		struct io_request *request = io_reap(io);

		if (!request) {
			CHECK(io_wait_ended(io, seen, LONG) || io_has_completed(io));
			continue;
		}
		CHECK(request->done && !request->error);
		free(request);
		reaped++;
	}
	CHECK(!io_has_completed(io));
	CHECK(!io_reap(io));
	CHECK_EQ(close_io(), 0);
	CHECK_EQ(released, 0);
}

static void an_error_belongs_to_its_request_alone(void)
{
	struct io_counters counters;

	CHECK(open_io(1));
	arm(TMS_FAULT_WRITE, 1, EIO);
	CHECK_EQ(outcome(submit(IO_WRITE, 1, true)), EIO);
	CHECK_EQ(outcome(submit(IO_WRITE, 1, true)), 0);
	arm(TMS_FAULT_READ, 1, ENXIO);
	CHECK_EQ(outcome(submit(IO_READ, 1, true)), ENXIO);
	CHECK_EQ(outcome(submit(IO_READ, 1, true)), 0);
	arm(TMS_FAULT_SHORT_WRITE, 1, 0);
	CHECK_EQ(outcome(submit(IO_WRITE, 2, true)), 0);
	io_read_counters(io, &counters);
	CHECK_EQ(counters.write_errors, 1);
	CHECK_EQ(counters.read_errors, 1);
	CHECK_EQ(counters.bytes_written, 2 * TMS_PAGE_SIZE);
	CHECK_EQ(counters.bytes_read, TMS_PAGE_SIZE);
	CHECK_EQ(close_io(), 0);
}

static void a_wait_for_a_stalled_device_ends_by_its_time(void)
{
	struct request *request;
	uint32_t busy = 9;

	CHECK(open_io(2));
	CHECK(io_wait_idle(io, LONG, &busy));
	CHECK_EQ(busy, 0);
	arm(TMS_FAULT_STALL, 1, 0);
	request = submit(IO_WRITE, 1, true);
	CHECK(!io_wait_request(io, &request->io, SHORTLY));
	CHECK(!io_wait_ended(io, io_ended(io), SHORTLY));
	wait_stalled(1);
	CHECK(!io_wait_idle(io, SHORTLY, &busy));
	CHECK_EQ(busy, 1);
	arm(TMS_FAULT_STALL, 0, 0);
	CHECK_EQ(outcome(request), 0);
	CHECK(io_wait_idle(io, LONG, &busy));
	CHECK_EQ(close_io(), 0);
}

static void whoever_stops_watching_gets_the_request_now_or_through_reap(void)
{
	struct request *late;
	struct request *done;

	CHECK(open_io(2));
	done = submit(IO_WRITE, 1, true);
	CHECK(io_wait_request(io, &done->io, LONG));
	CHECK(io_unwatch(io, &done->io));
	CHECK(!io_reap(io));
	free(done);
	arm(TMS_FAULT_STALL, 1, 0);
	late = submit(IO_READ, 1, true);
	wait_stalled(1);
	CHECK(!io_unwatch(io, &late->io));
	CHECK(!io_reap(io));
	arm(TMS_FAULT_STALL, 0, 0);
	CHECK(io_wait_ended(io, 1, LONG));
	CHECK(io_reap(io) == &late->io);
	free(late);
	CHECK_EQ(close_io(), 0);
}

static void closing_cancels_what_no_thread_has_begun_and_what_comes_later(void)
{
	struct request *begun;
	struct request *queued[3];
	struct io_counters counters;

	CHECK(open_io(1));
	arm(TMS_FAULT_STALL, 1, 0);
	begun = submit(IO_WRITE, 0, true);
	wait_stalled(1);
	for (uint32_t i = 0; i < 3; i++)
		queued[i] = submit(i ? IO_WRITE : IO_READ, 1 + i, true);
	io_close(io, NULL);
	for (uint32_t i = 0; i < 3; i++)
		CHECK_EQ(outcome(queued[i]), ECANCELED);
	CHECK_EQ(outcome(submit(IO_WRITE, 9, true)), ECANCELED);
	CHECK_EQ(outcome(submit(IO_READ, 9, true)), ECANCELED);
	CHECK(!io_wait_request(io, &begun->io, 0));
	arm(TMS_FAULT_STALL, 0, 0);
	CHECK_EQ(outcome(begun), 0);
	io_read_counters(io, &counters);
	CHECK_EQ(counters.writes_pending, 0);
	CHECK_EQ(close_io(), 0);
}

static void the_last_request_of_a_closing_is_served(void)
{
	struct request *last;
	uint32_t busy;

	CHECK(open_io(2));
	CHECK_EQ(outcome(submit(IO_WRITE, 5, true)), 0);
	last = submit(IO_READ, 5, true);
	CHECK(io_wait_request(io, &last->io, LONG));
	last->io.done = false;
	last->io.op = IO_TRUNCATE;
	io_close(io, &last->io);
	CHECK(io_wait_idle(io, LONG, &busy));
	CHECK_EQ(outcome(last), 0);
	CHECK_EQ(close_io(), 0);
}

/* One of two threads hangs in a write: the other takes the load that comes later, not the write that waits. */
static void no_write_takes_the_last_thread(void)
{
	struct request *request[3];

	CHECK(open_io(2));
	CHECK_EQ(outcome(submit(IO_WRITE, 7, true)), 0);
	arm(TMS_FAULT_STALL, FOR_EVER, 0);
	request[0] = submit(IO_WRITE, 7, true);
	wait_stalled(1);
	request[1] = submit(IO_WRITE, 8, true);
	usleep(5000); /* time to take it, wrongly */
	request[2] = submit(IO_READ, 7, true);
	wait_stalled(2);
	pthread_mutex_lock(&io->lock);
	CHECK(io->writes.first == &request[1]->io && !io->urgent.first);
	pthread_mutex_unlock(&io->lock);
	arm(TMS_FAULT_STALL, 0, 0);
	for (int i = 0; i < 3; i++)
		CHECK_EQ(outcome(request[i]), 0);
	CHECK_EQ(close_io(), 0);
}

/* One of two threads hangs in a load: of a write and a load that wait the other takes the write first. */
static void no_load_takes_the_last_thread_while_a_write_waits(void)
{
	struct request *hanging;
	struct request *before;
	struct request *load;
	struct request *write;

	CHECK(open_io(2));
	CHECK_EQ(outcome(submit(IO_WRITE, 7, true)), 0);
	arm(TMS_FAULT_STALL, 1, 0);
	hanging = submit(IO_READ, 7, true);
	wait_stalled(1);
	fault_arm(faults, TMS_FAULT_WRITE, &(struct fault_site){ .count = FOR_EVER, .delay_ns = 30 * NSEC_PER_MSEC });
	before = submit(IO_WRITE, 8, true); /* keeps the other thread busy meanwhile */
	write = submit(IO_WRITE, 9, true);
	load = submit(IO_READ, 7, true);
	CHECK_EQ(outcome(load), 0);
	CHECK(io_wait_request(io, &write->io, 0));
	arm(TMS_FAULT_STALL, 0, 0);
	CHECK_EQ(outcome(hanging), 0);
	CHECK_EQ(outcome(before), 0);
	CHECK_EQ(outcome(write), 0);
	CHECK_EQ(close_io(), 0);
}

static void neither_loads_nor_writes_take_the_last_thread_while_the_other_kind_waits(void)
{
	no_write_takes_the_last_thread();
	CHECK_SO_FAR();
	no_load_takes_the_last_thread_while_a_write_waits();
}

static void a_load_that_nobody_wants_before_it_has_begun_is_not_begun(void)
{
	struct request *hanging;
	struct request *queued;
	struct io_counters counters;

	CHECK(open_io(1));
	CHECK_EQ(outcome(submit(IO_WRITE, 3, true)), 0);
	arm(TMS_FAULT_STALL, 1, 0);
	hanging = submit(IO_READ, 3, true);
	wait_stalled(1);
	queued = submit(IO_READ, 3, true);
	CHECK(io_unwatch(io, &queued->io));
	CHECK_EQ(queued->io.error, ECANCELED);
	free(queued);
	arm(TMS_FAULT_STALL, 0, 0);
	CHECK_EQ(outcome(hanging), 0);
	io_read_counters(io, &counters);
	CHECK_EQ(counters.bytes_read, TMS_PAGE_SIZE);
	CHECK_EQ(close_io(), 0);
}

static void a_notice_ends_the_wait_for_an_end(void)
{
	uint64_t seen;

	CHECK(open_io(1));
	seen = io_ended(io);
	io_notify(io);
	CHECK(io_wait_ended(io, seen, LONG));
	CHECK(!io_wait_ended(io, seen + 1, 0));
	CHECK_EQ(close_io(), 0);
}

static void stopping_abandons_a_hanging_thread_which_frees_what_it_holds(void)
{
	CHECK(open_io(2));
	arm(TMS_FAULT_STALL, FOR_EVER, 0);
	submit(IO_WRITE, 1, false);
	wait_stalled(1);
	submit(IO_WRITE, 2, false);
	submit(IO_WRITE, 3, false);
	CHECK_EQ(close_io(), 1);
	for (int patience = 0; atomic_load(&released) < 3 && patience < 20000; patience++)
		usleep(1000);
	CHECK_EQ(released, 3);
}

static void stopping_frees_what_was_completed_and_not_reaped(void)
{
	CHECK(open_io(2));
	for (uint32_t block = 0; block < 5; block++)
		submit(IO_WRITE, block, false);
	CHECK(io_wait_ended(io, 4, LONG));
	CHECK_EQ(close_io(), 0);
	CHECK_EQ(released, 5);
}

static void *submit_and_wait(void *first_block)
{
	uintptr_t wrong = 0;

	for (uint32_t i = 0; i < REQUESTS; i++) {
		uint32_t block = (uint32_t)(uintptr_t)first_block + i;
		struct request *request;

		wrong += outcome(submit(IO_WRITE, block, true)) != 0;
		request = submit(IO_READ, block, true);
		wrong += !io_wait_request(io, &request->io, LONG) || !page_is(request->buffer, block, TMS_PAGE_SIZE);
		free(request);
	}
	return (void *)wrong;
}

static void threads_share_the_queue(void)
{
	pthread_t thread[3];

	CHECK(open_io(4));
	for (uintptr_t i = 0; i < 3; i++)
		CHECK_EQ(pthread_create(&thread[i], NULL, submit_and_wait, (void *)(i * REQUESTS)), 0);
	for (int i = 0; i < 3; i++) {
		void *wrong;

		CHECK_EQ(pthread_join(thread[i], &wrong), 0);
		CHECK(!wrong);
	}
	CHECK_EQ(io_ended(io), 3 * REQUESTS);
	CHECK_EQ(close_io(), 0);
}

int main(void)
{
	RUN(what_was_written_is_read_and_counted);
	RUN(what_nobody_watches_comes_through_reap_once);
	RUN(an_error_belongs_to_its_request_alone);
	RUN(a_wait_for_a_stalled_device_ends_by_its_time);
	RUN(whoever_stops_watching_gets_the_request_now_or_through_reap);
	RUN(closing_cancels_what_no_thread_has_begun_and_what_comes_later);
	RUN(the_last_request_of_a_closing_is_served);
	RUN(neither_loads_nor_writes_take_the_last_thread_while_the_other_kind_waits);
	RUN(a_load_that_nobody_wants_before_it_has_begun_is_not_begun);
	RUN(a_notice_ends_the_wait_for_an_end);
	RUN(stopping_abandons_a_hanging_thread_which_frees_what_it_holds);
	RUN(stopping_frees_what_was_completed_and_not_reaped);
	RUN(threads_share_the_queue);
	return check_finish(__FILE__);
}
