/*
 * io_calls.c: what callers of the I/O layer do: submit, reap, wait with a limit, cancel.
 *
 * Laws: 1. every wait has a time limit.  2. no system call on the file happens here, but for unlocking and
 * closing it.
 * Locks: io.lock.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "io_inner.h"

/* Reads that are waited for awake take no longer than this, as a mean. */
#define FAST_READ_NS 150000
/* To the I/O thread and back. */
#define WAY_NS 50000

/* With the lock held: the one that looks for work anyway, which takes the lock before it sleeps, or one that sleeps. */
static void call_thread(struct io *io)
{
	if (io->spin == SPIN_LOOKING)
		io->spin = SPIN_CALLED;
	else
		pthread_cond_signal(&io->work);
}

void io_submit(struct io *io, struct io_request *request)
{
	request->done = false;
	request->error = 0;
	pthread_mutex_lock(&io->lock);
	request->begun_ns = clock_now_ns(&io->config.clock);
	if (request->op == IO_WRITE && !io->counters.writes_pending)
		io->counters.serving_since_ns = request->begun_ns;
	io->counters.writes_pending += request->op == IO_WRITE;
	io->counters.bytes_pending += request->op == IO_WRITE ? request->bytes : 0;
	io->counters.reads_pending += request->op == IO_READ;
	if (io->closing) {
		io_complete(io, request, ECANCELED);
	} else if (io_is_virtual(io)) {
		io_virtual_begin(io, request);
	} else {
		queue_push(request->op == IO_WRITE ? &io->writes : &io->urgent, request);
		call_thread(io);
	}
	pthread_mutex_unlock(&io->lock);
}

struct io_request *io_reap(struct io *io)
{
	struct io_request *request;

	pthread_mutex_lock(&io->lock);
	request = queue_pop(&io->completed);
	if (request)
		atomic_fetch_sub(&io->completed_count, 1);
	pthread_mutex_unlock(&io->lock);
	return request;
}

bool io_has_completed(struct io *io)
{
	/* The look without the lock: nobody else is there to begin a request. */
	if (io_is_virtual(io) && io_due_ns(io) != UINT64_MAX) {
		pthread_mutex_lock(&io->lock);
		io_virtual_pump(io);
		pthread_mutex_unlock(&io->lock);
	}
	return atomic_load_explicit(&io->completed_count, memory_order_relaxed) != 0;
}

static struct timespec after(uint64_t timeout_ns)
{
	struct timespec until;
	uint64_t ns;

	clock_gettime(CLOCK_MONOTONIC, &until);
	ns = (uint64_t)until.tv_nsec + timeout_ns % NSEC_PER_SEC;
	until.tv_sec += (time_t)(timeout_ns / NSEC_PER_SEC + ns / NSEC_PER_SEC);
	until.tv_nsec = (long)(ns % NSEC_PER_SEC);
	return until;
}

uint64_t io_ended(const struct io *io)
{
	return atomic_load(&io->ended);
}

static bool has_ended_more(const struct io *io, const void *seen)
{
	return io_ended(io) > *(const uint64_t *)seen;
}

static bool is_done(const struct io *io, const void *request)
{
	(void)io;
	return ((const struct io_request *)request)->done;
}

static bool is_idle(const struct io *io, const void *unused)
{
	(void)unused;
	return !io->busy && !io->urgent.first && !io->writes.first && !io->timed.first;
}

static bool wait_virtually(struct io *io, bool (*reached)(const struct io *io, const void *what), const void *what,
			   uint64_t timeout_ns)
{
	uint64_t until_ns = clock_now_ns(&io->config.clock);
	bool yes;

	until_ns += min_u64(timeout_ns, UINT64_MAX - until_ns);
	pthread_mutex_lock(&io->lock);
	while (!(yes = reached(io, what)) && io_virtual_step(io, until_ns))
		;
	pthread_mutex_unlock(&io->lock);
	return yes;
}

static bool wait_until(struct io *io, pthread_cond_t *changed, bool (*reached)(const struct io *io, const void *what),
		       const void *what, uint64_t timeout_ns)
{
	struct timespec until = after(timeout_ns);
	bool yes;

	if (io_is_virtual(io))
		return wait_virtually(io, reached, what, timeout_ns);

	pthread_mutex_lock(&io->lock);
	while (!(yes = reached(io, what)))
		if (pthread_cond_timedwait(changed, &io->lock, &until) == ETIMEDOUT) {
			yes = reached(io, what);
			break;
		}
	pthread_mutex_unlock(&io->lock);
	return yes;
}

bool io_wait_ended(struct io *io, uint64_t seen, uint64_t timeout_ns)
{
	return wait_until(io, &io->changed, has_ended_more, &seen, timeout_ns);
}

/* A read of a fast device is over before a thread would have been woken. */
static bool is_done_soon(const struct io *io, const struct io_request *request, uint64_t timeout_ns)
{
	const uint64_t mean_ns = atomic_load(&io->read_ns);
	uint64_t until_ns;

	if (!io->config.spins || io_is_virtual(io) || mean_ns > FAST_READ_NS)
		return false;
	until_ns = clock_now_ns(&io->config.clock) + min_u64(2 * mean_ns + WAY_NS, timeout_ns);
	for (uint32_t look = 0; look < SPIN_LOOKS && clock_now_ns(&io->config.clock) < until_ns; look++)
		if (atomic_load_explicit(&request->done, memory_order_acquire))
			return true;
	return false;
}

bool io_wait_request(struct io *io, struct io_request *request, uint64_t timeout_ns)
{
	if (is_done_soon(io, request, timeout_ns))
		return true;
	return wait_until(io, &io->answered, is_done, request, timeout_ns);
}

bool io_wait_idle(struct io *io, uint64_t timeout_ns, uint32_t *busy)
{
	bool idle = wait_until(io, &io->changed, is_idle, NULL, timeout_ns);

	pthread_mutex_lock(&io->lock);
	*busy = io->busy;
	pthread_mutex_unlock(&io->lock);
	return idle;
}

bool io_unwatch(struct io *io, struct io_request *request)
{
	bool done;

	pthread_mutex_lock(&io->lock);
	if (!request->done && (queue_unlink(&io->urgent, request) || queue_unlink(&io->timed, request)))
		io_complete(io, request, ECANCELED);
	done = request->done;
	request->watched = false;
	pthread_mutex_unlock(&io->lock);
	return done;
}

void io_notify(struct io *io)
{
	pthread_mutex_lock(&io->lock);
	atomic_fetch_add(&io->ended, 1);
	pthread_cond_broadcast(&io->changed);
	pthread_mutex_unlock(&io->lock);
}

void io_cancel_queued(struct io *io)
{
	struct io_request *request;

	while ((request = queue_pop(&io->urgent)) || (request = queue_pop(&io->writes)) || (request = queue_pop(&io->timed)))
		io_complete(io, request, ECANCELED);
}

void io_close(struct io *io, struct io_request *last)
{
	pthread_mutex_lock(&io->lock);
	io->closing = true;
	io_cancel_queued(io);
	if (last && io_is_virtual(io)) {
		io_virtual_begin(io, last);
	} else if (last) {
		queue_push(&io->urgent, last);
		pthread_cond_signal(&io->work);
	}
	atomic_fetch_add(&io->ended, 1); /* who waits for anything is to look again */
	pthread_cond_broadcast(&io->changed);
	pthread_cond_broadcast(&io->answered);
	pthread_mutex_unlock(&io->lock);
}

void io_unlock_file(struct io *io)
{
	(void)flock(io->config.fd, LOCK_UN);
}

void io_forget(struct io *io)
{
	close(io->config.fd);
}

void io_read_counters(struct io *io, struct io_counters *ret)
{
	pthread_mutex_lock(&io->lock);
	*ret = io->counters;
	pthread_mutex_unlock(&io->lock);
}

uint32_t io_writes_served(struct io *io, uint64_t since, uint32_t n, struct tms_write_served *samples)
{
	uint32_t taken = 0;
	uint64_t first;

	pthread_mutex_lock(&io->lock);
	first = io->samples > IO_SAMPLES ? io->samples - IO_SAMPLES + 1 : 1;
	for (uint64_t number = since + 1 > first ? since + 1 : first; number <= io->samples && taken < n; number++)
		samples[taken++] = io->sample[number % IO_SAMPLES];
	pthread_mutex_unlock(&io->lock);
	return taken;
}

bool io_is_emulated(const struct io *io)
{
	return io->config.emulate;
}

void io_add_episode(struct io *io, const struct tms_episode *episode)
{
	emulate_add_episode(io->config.emulate, episode);
}
