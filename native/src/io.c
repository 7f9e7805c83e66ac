/*
 * io.c: the I/O threads: starting, serving, leaving.
 *
 * Owns: the file descriptor, the threads, requests between submit and completion.
 * Laws: 1. no lock is held in a system call, but for the one that puts fdatasync in order (io_device.h).
 * 2. a request in a system call is never touched by anybody else.  3. with more than one thread, neither
 * loads nor writes take the last one while the other kind waits.
 * Locks: io.lock, taken after the store's lock if both are needed.
 * Lifetime: the struct is freed by whoever leaves last, the store or a thread the device held up.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "io_inner.h"

#define STACK_BYTES (256u << 10)
/* For the next load of a caller that has just got one: to be woken takes as long. */
#define SPIN_NS 20000

struct thread_start {
	struct io *io;
	uint32_t number;
};

/* The samples tell what a write takes while the device is at work, other people's loads included. */
static void take_sample(struct io *io, const struct io_request *request)
{
	uint64_t now_ns = clock_now_ns(&io->config.clock);
	uint64_t from_ns = request->begun_ns > io->last_write_ns ? request->begun_ns : io->last_write_ns;

	io->last_write_ns = now_ns;
	io->counters.serving_since_ns = io->counters.writes_pending > 1 ? now_ns : 0;
	if (request->error)
		return;
	io->samples++;
	io->sample[io->samples % IO_SAMPLES] = (struct tms_write_served){
		.number = io->samples,
		.payload_bytes = request->payload_bytes,
		.cause = request->cause,
		.service_ns = now_ns - from_ns,
		.ended_ns = now_ns,
	};
}

static void count_ended(struct io *io, const struct io_request *request)
{
	if (request->op == IO_WRITE) {
		take_sample(io, request);
		io->counters.writes_pending--;
		io->counters.bytes_pending -= request->bytes;
		if (request->error && request->error != ECANCELED)
			io->counters.write_errors++;
		else if (!request->error)
			io->counters.bytes_written += request->bytes;
	} else if (request->op == IO_READ) {
		io->counters.reads_pending--;
		if (request->error && request->error != ECANCELED)
			io->counters.read_errors++;
		else if (!request->error)
			io->counters.bytes_read += request->bytes;
	}
}

void io_complete(struct io *io, struct io_request *request, int error)
{
	const bool watched = request->watched;
	const bool disturbs = !watched || request->op != IO_READ;

	request->error = error;
	if (io->orphaned) { /* and nobody counts; the clock may be gone with the caller */
		request->release(request);
	} else {
		count_ended(io, request);
		if (!watched) {
			queue_push(&io->completed, request);
			atomic_fetch_add(&io->completed_count, 1);
		}
		/* From here on it is the waiter's, who may free it. */
		atomic_store_explicit(&request->done, true, memory_order_release);
	}
	if (disturbs)
		atomic_fetch_add(&io->ended, 1);
	if (disturbs || io->closing)
		pthread_cond_broadcast(&io->changed);
	if (watched)
		pthread_cond_broadcast(&io->answered);
}

/* Neither kind may take the last thread while the other waits. */
static struct io_request *next_request(struct io *io)
{
	uint32_t busy_urgent = io->busy - io->busy_writes;
	bool may_write = io->busy_writes == 0 || io->busy_writes + 1 < io->threads;
	bool must_write = io->writes.first && may_write && busy_urgent + 1 >= io->threads && io->threads > 1;

	/* A write that is under way would make the file long again. */
	if (io->urgent.first && io->urgent.first->op == IO_TRUNCATE && io->busy_writes)
		return NULL;
	if (io->urgent.first && !must_write)
		return queue_pop(&io->urgent);
	return may_write ? queue_pop(&io->writes) : NULL;
}

static void free_io(struct io *io)
{
	if (io->config.fd >= 0)
		close(io->config.fd);
	faults_put(io->config.faults);
	emulate_destroy(io->config.emulate);
	pthread_cond_destroy(&io->work);
	pthread_cond_destroy(&io->changed);
	pthread_cond_destroy(&io->answered);
	pthread_mutex_destroy(&io->lock);
	pthread_mutex_destroy(&io->sync.lock);
	free(io);
}

/* With the lock held; gives it up. */
static void leave(struct io *io)
{
	bool last = --io->users == 0;

	pthread_mutex_unlock(&io->lock);
	if (last)
		free_io(io);
}

/* With the lock held; gives it up meanwhile. */
static void look_for_request(struct io *io)
{
	uint64_t until_ns = clock_now_ns(&io->config.clock) + SPIN_NS;

	if (!io->config.spins || io->spin != SPIN_NONE)
		return;
	io->spin = SPIN_LOOKING;
	pthread_mutex_unlock(&io->lock);
	for (uint32_t look = 0; look < SPIN_LOOKS && clock_now_ns(&io->config.clock) < until_ns; look++)
		if (atomic_load_explicit(&io->spin, memory_order_relaxed) != SPIN_LOOKING)
			break;
	pthread_mutex_lock(&io->lock);
	io->spin = SPIN_NONE;
}

/* With the lock held.  Reads are timed at the device, without the way there and back. */
static void take_read(struct io *io, uint64_t took_ns)
{
	const uint64_t mean_ns = atomic_load(&io->read_ns);

	atomic_store(&io->read_ns, mean_ns ? (7 * mean_ns + took_ns) / 8 : took_ns);
}

static void *run(void *argument)
{
	struct thread_start start = *(struct thread_start *)argument;
	struct io *io = start.io;
	bool was_read = false;

	free(argument);
	/* Sleeps that stand for a device end when they should, and not up to 50 us later. */
	if (io->config.emulate)
		(void)prctl(PR_SET_TIMERSLACK, 1UL);
	pthread_mutex_lock(&io->lock);
	while (!io->stopping) {
		struct io_request *request = next_request(io);
		uint64_t began_ns;
		int error;

		if (!request && was_read) {
			look_for_request(io);
			was_read = false;
			continue;
		}
		if (!request) {
			pthread_cond_wait(&io->work, &io->lock);
			continue;
		}
		was_read = request->op == IO_READ;
		began_ns = clock_now_ns(&io->config.clock);
		io->state[start.number] = THREAD_IN_CALL;
		io->busy++;
		io->busy_writes += request->op == IO_WRITE;
		pthread_mutex_unlock(&io->lock);
		error = io_device_serve(&io->config, &io->sync, request, &io->orphaned);
		pthread_mutex_lock(&io->lock);
		if (was_read && !io->orphaned) /* the clock is the caller's, who may have left */
			take_read(io, clock_now_ns(&io->config.clock) - began_ns);
		io->state[start.number] = THREAD_READY;
		io->busy--;
		io->busy_writes -= request->op == IO_WRITE;
		if (io->writes.first || io->urgent.first)
			pthread_cond_signal(&io->work); /* it may have waited for its turn */
		io_complete(io, request, error);
	}
	io->state[start.number] = THREAD_GONE;
	leave(io);
	return NULL;
}

/* 0 or an errno. */
static int start_thread(struct io *io, uint32_t number)
{
	struct thread_start *start = malloc(sizeof(*start));
	pthread_attr_t attributes;
	sigset_t all;
	sigset_t before;
	int error;

	if (!start)
		return ENOMEM;
	*start = (struct thread_start){ io, number };
	pthread_attr_init(&attributes);
	(void)pthread_attr_setstacksize(&attributes, STACK_BYTES);
	/* Signals are for the caller's threads; SIGXFSZ blocked makes an oversized write an EFBIG. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&io->thread[number], &attributes, run, start);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attributes);
	if (error)
		free(start);
	return error;
}

int io_start(const struct io_config *config, struct io **ret, int32_t *error)
{
	struct io *io = calloc(1, sizeof(*io));
	pthread_condattr_t attributes;

	if (!io)
		return TMS_E_NO_MEMORY;
	io->config = *config;
	pthread_mutex_init(&io->sync.lock, NULL);
	pthread_mutex_init(&io->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&io->work, &attributes);
	pthread_cond_init(&io->changed, &attributes);
	pthread_cond_init(&io->answered, &attributes);
	pthread_condattr_destroy(&attributes);
	faults_get(config->faults);
	io->users = 1;
	pthread_mutex_lock(&io->lock);
	while (!io_is_virtual(io) && io->threads < config->threads && io->threads < IO_THREADS_MAX) {
		*error = start_thread(io, io->threads);
		if (*error)
			break;
		io->threads++;
		io->users++;
	}
	if (io->threads || io_is_virtual(io)) {
		*error = 0;
		pthread_mutex_unlock(&io->lock);
		*ret = io;
		return TMS_OK;
	}
	io->config.fd = -1;
	io->config.emulate = NULL;
	leave(io);
	return TMS_E_SYSTEM;
}

uint32_t io_stop(struct io *io)
{
	uint32_t abandoned = 0;
	struct io_request *request;

	pthread_mutex_lock(&io->lock);
	io_cancel_queued(io);
	io->stopping = true;
	pthread_cond_broadcast(&io->work);
	for (uint32_t i = 0; i < io->threads; i++) {
		if (io->state[i] == THREAD_IN_CALL) {
			pthread_detach(io->thread[i]);
			abandoned++;
		} else { /* it needs only the lock to leave */
			pthread_mutex_unlock(&io->lock);
			pthread_join(io->thread[i], NULL);
			pthread_mutex_lock(&io->lock);
		}
	}
	io->orphaned = true;
	while ((request = queue_pop(&io->completed)))
		request->release(request);
	leave(io);
	return abandoned;
}
