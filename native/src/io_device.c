/*
 * io_device.c: system calls on the spill file: whole transfers, made durable, with injected faults.
 *
 * Laws: 1. a short transfer is continued, an interrupted one repeated; success means every byte.
 * 2. without O_DIRECT a write counts only after fdatasync.  3. runs on I/O threads only.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <time.h>
#include <unistd.h>

#include "io_device.h"

/* System calls in a row that may transfer nothing before it counts as an error. */
#define NO_PROGRESS_MAX 3
/* Longest sleep between two looks at whether anybody still waits. */
#define NAP_NS (5 * NSEC_PER_MSEC)
/* So long before its time a request is not slept for: a thread that sleeps comes back late. */
#define SPIN_NS (60 * UINT64_C(1000))

static int transfer(const struct io_config *config, const struct io_request *request)
{
	bool is_write = request->op == IO_WRITE;
	uint32_t done = 0;
	uint32_t stuck = 0;

	while (done < request->bytes) {
		size_t left = request->bytes - done;
		off_t at = (off_t)(request->offset + done);
		ssize_t moved;

		if (is_write && fault_fires(config->faults, TMS_FAULT_SHORT_WRITE))
			left = left / 2 ? left / 2 : left;
		moved = is_write ? pwrite(config->fd, request->buffer + done, left, at) :
				   pread(config->fd, request->buffer + done, left, at);
		if (moved < 0 && errno == EINTR)
			continue;
		if (moved < 0)
			return errno;
		/* O_DIRECT wants the rest aligned again. */
		moved &= ~(ssize_t)(PAGE_SIZE - 1);
		stuck = moved ? 0 : stuck + 1;
		if (stuck == NO_PROGRESS_MAX)
			return EIO;
		done += (uint32_t)moved;
	}
	return 0;
}

static uint32_t count_failures(struct io_sync *sync)
{
	uint32_t failures;

	pthread_mutex_lock(&sync->lock);
	failures = sync->failures;
	pthread_mutex_unlock(&sync->lock);
	return failures;
}

static int write_and_sync(const struct io_config *config, struct io_sync *sync, const struct io_request *request)
{
	uint32_t failures = count_failures(sync);
	int error = transfer(config, request);

	if (error)
		return error;
	pthread_mutex_lock(&sync->lock);
	while (fdatasync(config->fd)) {
		if (errno == EINTR)
			continue;
		error = errno;
		sync->failures++;
		break;
	}
	if (!error && sync->failures != failures)
		error = EIO;
	pthread_mutex_unlock(&sync->lock);
	return error;
}

static void stall(const struct io_config *config, const atomic_bool *abandoned)
{
	const struct timespec nap = { 0, (long)NSEC_PER_MSEC };

	while (fault_is_held(config->faults, TMS_FAULT_STALL) && !atomic_load(abandoned))
		nanosleep(&nap, NULL);
}

static int truncate_file(const struct io_config *config, const struct io_request *request)
{
	if (config->emulate && emulate_keeps_data(config->emulate)) {
		emulate_truncate(config->emulate, request->offset);
		return 0;
	}
	return ftruncate(config->fd, (off_t)request->offset) ? errno : 0;
}

int io_device_transfer(const struct io_config *config, struct io_sync *sync, const struct io_request *request)
{
	const bool in_memory = config->emulate && emulate_keeps_data(config->emulate);
	struct faults *faults = config->faults;
	int32_t error = 0;

	if (request->op == IO_TRUNCATE)
		return truncate_file(config, request);
	if (fault_hit(faults, request->op == IO_WRITE ? TMS_FAULT_WRITE : TMS_FAULT_READ, &error))
		return error;
	if (in_memory && request->op == IO_WRITE)
		return emulate_write(config->emulate, request->offset, request->buffer, request->bytes);
	if (request->op == IO_WRITE && !config->direct)
		return write_and_sync(config, sync, request);
	if (in_memory)
		error = emulate_read(config->emulate, request->offset, request->buffer, request->bytes);
	else
		error = transfer(config, request);
	if (request->op == IO_READ && fault_fires(faults, TMS_FAULT_CORRUPT))
		for (uint32_t at = 0; at < request->bytes; at++)
			request->buffer[at] ^= 0x10;
	return error;
}

uint64_t io_device_due_ns(const struct io_config *config, const struct io_request *request, uint64_t now_ns)
{
	if (!config->emulate)
		return now_ns;
	return emulate_schedule(config->emulate, request->op == IO_WRITE, request->bytes, now_ns);
}

/* Until the time has come, or whoever waits has left. */
static void wait_until_due(const struct io_config *config, uint64_t due_ns, const atomic_bool *abandoned)
{
	uint64_t now_ns;

	while ((now_ns = clock_now_ns(&config->clock)) < due_ns && !atomic_load(abandoned)) {
		uint64_t left_ns = min_u64(due_ns - now_ns, NAP_NS);
		const struct timespec nap = { 0, (long)(left_ns - min_u64(left_ns, SPIN_NS)) };

		if (left_ns > SPIN_NS)
			nanosleep(&nap, NULL);
	}
}

int io_device_serve(const struct io_config *config, struct io_sync *sync, const struct io_request *request, const atomic_bool *abandoned)
{
	int error;

	if (fault_fires(config->faults, TMS_FAULT_STALL))
		stall(config, abandoned);
	if (config->emulate && request->op != IO_TRUNCATE) {
		/* A device begins with what it is given: that a thread had to be woken is not its time. */
		uint64_t due_ns = io_device_due_ns(config, request, request->begun_ns);

		error = io_device_transfer(config, sync, request);
		wait_until_due(config, due_ns, abandoned);
		return error;
	}
	return io_device_transfer(config, sync, request);
}
