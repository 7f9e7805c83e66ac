/* What an I/O thread does with a request, done here on the test's own thread. */
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>

#include "io_device.h"
#include "fixture.h"

#define BLOCKS 8u

static _Alignas(4096) uint8_t buffer[BLOCKS * TMS_PAGE_SIZE];
static struct io_sync syncs = { .lock = PTHREAD_MUTEX_INITIALIZER };
static atomic_bool abandoned;

static bool open_device(struct io_config *config)
{
	FILE *file = tmpfile();

	*config = (struct io_config){ .fd = file ? dup(fileno(file)) : -1, .faults = faults_create() };
	if (file)
		fclose(file);
	atomic_store(&abandoned, false);
	return config->fd >= 0 && config->faults;
}

static void close_device(struct io_config *config)
{
	close(config->fd);
	faults_put(config->faults);
}

static void arm(struct io_config *config, int site, uint64_t count, int32_t error)
{
	fault_arm(config->faults, site, &(struct fault_site){ .count = count, .error = error });
}

static int serve(const struct io_config *config, enum io_op op, uint32_t blocks)
{
	struct io_request request = { .op = op, .offset = TMS_PAGE_SIZE, .bytes = blocks * TMS_PAGE_SIZE, .buffer = buffer };

	if (config->emulate)
		request.begun_ns = clock_now_ns(&config->clock);

	return io_device_serve(config, &syncs, &request, &abandoned);
}

static void fill(uint64_t seed)
{
	for (uint32_t block = 0; block < BLOCKS; block++)
		page_make(buffer + block * TMS_PAGE_SIZE, seed + block, TMS_PAGE_SIZE);
}

static bool buffer_is(uint64_t seed)
{
	for (uint32_t block = 0; block < BLOCKS; block++)
		if (!page_is(buffer + block * TMS_PAGE_SIZE, seed + block, TMS_PAGE_SIZE))
			return false;
	return true;
}

static void what_was_written_is_read(void)
{
	struct io_config config;

	CHECK(open_device(&config));
	fill(1);
	CHECK_EQ(serve(&config, IO_WRITE, BLOCKS), 0);
	memset(buffer, 0, sizeof(buffer));
	CHECK_EQ(serve(&config, IO_READ, BLOCKS), 0);
	CHECK(buffer_is(1));
	close_device(&config);
}

static void a_short_write_is_continued_until_every_byte_is_written(void)
{
	for (uint64_t shorts = 1; shorts < 4; shorts++) {
		struct io_config config;

		CHECK(open_device(&config));
		fill(shorts);
		arm(&config, TMS_FAULT_SHORT_WRITE, shorts, 0);
		CHECK_EQ(serve(&config, IO_WRITE, BLOCKS), 0);
		CHECK_EQ(fault_fired(config.faults, TMS_FAULT_SHORT_WRITE), shorts);
		memset(buffer, 0, sizeof(buffer));
		CHECK_EQ(serve(&config, IO_READ, BLOCKS), 0);
		CHECK(buffer_is(shorts));
		close_device(&config);
	}
}

static void a_transfer_that_makes_no_progress_fails(void)
{
	struct io_config config;

	CHECK(open_device(&config));
	arm(&config, TMS_FAULT_SHORT_WRITE, FOR_EVER, 0);
	CHECK_EQ(serve(&config, IO_WRITE, BLOCKS), EIO);
	arm(&config, TMS_FAULT_SHORT_WRITE, 0, 0);
	CHECK_EQ(ftruncate(config.fd, 3 * TMS_PAGE_SIZE), 0);
	CHECK_EQ(serve(&config, IO_READ, 2), 0);
	CHECK_EQ(serve(&config, IO_READ, 3), EIO); /* beyond the end */
	close_device(&config);
}

static void without_o_direct_a_write_counts_only_once_it_is_synced(void)
{
	struct io_config config;

	CHECK(open_device(&config));
	close(config.fd);
	config.fd = open("/dev/null", O_RDWR); /* takes every write, and cannot sync */
	config.direct = true;
	CHECK_EQ(serve(&config, IO_WRITE, 1), 0);
	config.direct = false;
	CHECK_EQ(serve(&config, IO_WRITE, 1), EINVAL);
	close_device(&config);
}

static void an_error_of_the_system_is_its_errno(void)
{
	struct io_config config;

	CHECK(open_device(&config));
	close(config.fd);
	config.fd = open("/dev/full", O_RDWR);
	CHECK_EQ(serve(&config, IO_WRITE, 1), ENOSPC);
	close(config.fd);
	CHECK_EQ(serve(&config, IO_WRITE, 1), EBADF);
	CHECK_EQ(serve(&config, IO_READ, 1), EBADF);
	CHECK_EQ(serve(&config, IO_TRUNCATE, 1), EBADF);
	config.fd = open("/dev/null", O_RDWR);
	close_device(&config);
}

static void an_injected_error_is_reported_and_nothing_is_transferred(void)
{
	struct io_config config;
	struct stat found;

	CHECK(open_device(&config));
	arm(&config, TMS_FAULT_WRITE, 1, EIO);
	CHECK_EQ(serve(&config, IO_WRITE, 1), EIO);
	arm(&config, TMS_FAULT_WRITE, 1, 0);
	CHECK_EQ(serve(&config, IO_WRITE, 1), 0); /* lost, but reported as done */
	CHECK_EQ(fstat(config.fd, &found), 0);
	CHECK_EQ(found.st_size, 0);
	CHECK_EQ(serve(&config, IO_WRITE, 1), 0);
	arm(&config, TMS_FAULT_READ, 1, ENXIO);
	CHECK_EQ(serve(&config, IO_READ, 1), ENXIO);
	CHECK_EQ(serve(&config, IO_READ, 1), 0);
	close_device(&config);
}

static void corruption_changes_what_was_read_and_not_what_is_kept(void)
{
	struct io_config config;

	CHECK(open_device(&config));
	fill(5);
	CHECK_EQ(serve(&config, IO_WRITE, BLOCKS), 0);
	arm(&config, TMS_FAULT_CORRUPT, 1, 0);
	CHECK_EQ(serve(&config, IO_READ, BLOCKS), 0);
	CHECK(!buffer_is(5));
	CHECK_EQ(serve(&config, IO_READ, BLOCKS), 0);
	CHECK(buffer_is(5));
	close_device(&config);
}

static void truncation_cuts_at_the_offset(void)
{
	struct io_config config;
	struct stat found;

	CHECK(open_device(&config));
	CHECK_EQ(serve(&config, IO_WRITE, BLOCKS), 0);
	CHECK_EQ(serve(&config, IO_TRUNCATE, 0), 0);
	CHECK_EQ(fstat(config.fd, &found), 0);
	CHECK_EQ(found.st_size, TMS_PAGE_SIZE);
	close_device(&config);
}

static void *write_one(void *config)
{
	return (void *)(intptr_t)serve(config, IO_WRITE, 1);
}

/* ends by disarming, or by abandoning the thread. */
static void stall_until(bool disarmed)
{
	struct io_config config;
	pthread_t thread;
	void *error;

	CHECK(open_device(&config));
	arm(&config, TMS_FAULT_STALL, 1, 0);
	CHECK_EQ(pthread_create(&thread, NULL, write_one, &config), 0);
	while (fault_fired(config.faults, TMS_FAULT_STALL) == 0)
		usleep(100);
	if (disarmed)
		arm(&config, TMS_FAULT_STALL, 0, 0);
	else
		atomic_store(&abandoned, true);
	CHECK_EQ(pthread_join(thread, &error), 0);
	CHECK(!error);
	close_device(&config);
}

static void a_stall_ends_when_it_is_disarmed_or_the_thread_is_abandoned(void)
{
	stall_until(true);
	CHECK_SO_FAR();
	stall_until(false);
}

/* 20 ms a write, 10 ms a read, on a clock that runs by itself; the data in memory or in the file. */
static void an_emulated_device_answers_no_earlier_than_its_model(void)
{
	for (int in_memory = 0; in_memory < 2; in_memory++) {
		const struct tms_device device = { .seed = 1, .write_request_ns = 20 * NSEC_PER_MSEC, .read_request_ns = 10 * NSEC_PER_MSEC,
						   .in_memory = in_memory };
		struct io_config config;
		uint64_t began_ns;

		CHECK(open_device(&config));
		config.clock = clock_system;
		config.direct = true;
		config.emulate = emulate_create(&device, clock_now_ns(&clock_system));
		CHECK(config.emulate);
		fill(9);
		began_ns = clock_now_ns(&clock_system);
		CHECK_EQ(serve(&config, IO_WRITE, BLOCKS), 0);
		CHECK(clock_now_ns(&clock_system) - began_ns >= 20 * NSEC_PER_MSEC);
		memset(buffer, 0, sizeof(buffer));
		began_ns = clock_now_ns(&clock_system);
		CHECK_EQ(serve(&config, IO_READ, BLOCKS), 0);
		CHECK(clock_now_ns(&clock_system) - began_ns >= 10 * NSEC_PER_MSEC);
		CHECK(buffer_is(9));
		CHECK_EQ(serve(&config, IO_TRUNCATE, 0), 0);
		emulate_destroy(config.emulate);
		close_device(&config);
	}
}

int main(void)
{
	RUN(what_was_written_is_read);
	RUN(a_short_write_is_continued_until_every_byte_is_written);
	RUN(a_transfer_that_makes_no_progress_fails);
	RUN(without_o_direct_a_write_counts_only_once_it_is_synced);
	RUN(an_error_of_the_system_is_its_errno);
	RUN(an_injected_error_is_reported_and_nothing_is_transferred);
	RUN(corruption_changes_what_was_read_and_not_what_is_kept);
	RUN(truncation_cuts_at_the_offset);
	RUN(a_stall_ends_when_it_is_disarmed_or_the_thread_is_abandoned);
	RUN(an_emulated_device_answers_no_earlier_than_its_model);
	return check_finish(__FILE__);
}
