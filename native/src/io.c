/*
 * io.c: the I/O threads, their queue, and timed waits.
 *
 * Owns: the file descriptor, the threads, requests between submit and completion.
 * Laws: 1. no lock is held in a system call.  2. whoever waits here waits with a time limit.  3. a
 * request in a system call is never touched by anybody else.  4. one thread is always left for reads,
 * so that a load does not queue behind batches of writes (if there is more than one thread).
 * Locks: io.lock, taken after the store's lock if both are needed.
 * Lifetime: the struct is freed by whoever leaves last, the store or a thread the device held up.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "io_device.h"

#define THREADS_MAX 16
#define STACK_BYTES (256u << 10)

enum thread_state { THREAD_READY, THREAD_IN_CALL, THREAD_GONE };

struct queue {
	struct io_request *first;
	struct io_request *last;
};

struct io {
	struct io_config config;
	pthread_mutex_t lock;
	pthread_cond_t work;
	pthread_cond_t changed; /* a request ended */
	struct queue urgent;    /* reads, truncations */
	struct queue writes;
	struct queue completed;
	atomic_uint completed_count;
	_Atomic uint64_t ended;
	struct io_counters counters;
	uint32_t busy;        /* threads in a system call */
	uint32_t busy_writes; /* of them, with a write */
	uint32_t users;       /* the store, and each thread */
	bool stopping;
	atomic_bool orphaned;   /* the store has left */
	uint32_t threads;
	pthread_t thread[THREADS_MAX];
	enum thread_state state[THREADS_MAX];
};

struct thread_start {
	struct io *io;
	uint32_t number;
};

static void push(struct queue *queue, struct io_request *request)
{
	request->next = NULL;
	if (queue->last)
		queue->last->next = request;
	else
		queue->first = request;
	queue->last = request;
}

static struct io_request *pop(struct queue *queue)
{
	struct io_request *request = queue->first;

	if (request) {
		queue->first = request->next;
		if (!queue->first)
			queue->last = NULL;
	}
	return request;
}

/* ---- threads ---------------------------------------------------------------------------------------- */

static void count_ended(struct io *io, const struct io_request *request)
{
	if (request->op == IO_WRITE) {
		io->counters.writes_pending--;
		if (request->error)
			io->counters.write_errors++;
		else
			io->counters.bytes_written += request->bytes;
	} else if (request->op == IO_READ) {
		if (request->error)
			io->counters.read_errors++;
		else
			io->counters.bytes_read += request->bytes;
	}
}

/* With the lock held. */
static void complete(struct io *io, struct io_request *request, int error)
{
	request->error = error;
	request->done = true;
	count_ended(io, request);
	if (io->orphaned) {
		request->release(request);
	} else if (!request->watched) {
		push(&io->completed, request);
		atomic_fetch_add(&io->completed_count, 1);
	}
	atomic_fetch_add(&io->ended, 1);
	pthread_cond_broadcast(&io->changed);
}

static struct io_request *next_request(struct io *io)
{
	bool may_write = io->busy_writes == 0 || io->busy_writes + 1 < io->threads;

	if (io->urgent.first)
		return pop(&io->urgent);
	return may_write ? pop(&io->writes) : NULL;
}

static void free_io(struct io *io)
{
	close(io->config.fd);
	faults_put(io->config.faults);
	pthread_cond_destroy(&io->work);
	pthread_cond_destroy(&io->changed);
	pthread_mutex_destroy(&io->lock);
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

static void *run(void *argument)
{
	struct thread_start start = *(struct thread_start *)argument;
	struct io *io = start.io;

	free(argument);
	pthread_mutex_lock(&io->lock);
	while (!io->stopping) {
		struct io_request *request = next_request(io);
		int error;

		if (!request) {
			pthread_cond_wait(&io->work, &io->lock);
			continue;
		}
		io->state[start.number] = THREAD_IN_CALL;
		io->busy++;
		io->busy_writes += request->op == IO_WRITE;
		pthread_mutex_unlock(&io->lock);
		error = io_device_serve(&io->config, request, &io->orphaned);
		pthread_mutex_lock(&io->lock);
		io->state[start.number] = THREAD_READY;
		io->busy--;
		io->busy_writes -= request->op == IO_WRITE;
		pthread_cond_signal(&io->work); /* a write may have waited for its turn */
		complete(io, request, error);
	}
	io->state[start.number] = THREAD_GONE;
	leave(io);
	return NULL;
}

static bool start_thread(struct io *io, uint32_t number)
{
	struct thread_start *start = malloc(sizeof(*start));
	pthread_attr_t attributes;
	sigset_t all;
	sigset_t before;
	int error;

	if (!start)
		return false;
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
	return !error;
}

int io_start(const struct io_config *config, struct io **ret)
{
	struct io *io = calloc(1, sizeof(*io));
	pthread_condattr_t attributes;

	if (!io)
		return TMS_E_NO_MEMORY;
	io->config = *config;
	pthread_mutex_init(&io->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&io->work, &attributes);
	pthread_cond_init(&io->changed, &attributes);
	pthread_condattr_destroy(&attributes);
	faults_get(config->faults);
	io->users = 1;
	pthread_mutex_lock(&io->lock);
	while (io->threads < config->threads && io->threads < THREADS_MAX && start_thread(io, io->threads)) {
		io->threads++;
		io->users++;
	}
	if (io->threads) {
		pthread_mutex_unlock(&io->lock);
		*ret = io;
		return TMS_OK;
	}
	io->config.fd = -1;
	leave(io);
	return TMS_E_SYSTEM;
}

/* ---- callers ---------------------------------------------------------------------------------------- */

void io_submit(struct io *io, struct io_request *request)
{
	request->done = false;
	request->error = 0;
	pthread_mutex_lock(&io->lock);
	if (request->op == IO_WRITE) {
		io->counters.writes_pending++;
		push(&io->writes, request);
	} else {
		push(&io->urgent, request);
	}
	pthread_cond_signal(&io->work);
	pthread_mutex_unlock(&io->lock);
}

struct io_request *io_reap(struct io *io)
{
	struct io_request *request;

	pthread_mutex_lock(&io->lock);
	request = pop(&io->completed);
	if (request)
		atomic_fetch_sub(&io->completed_count, 1);
	pthread_mutex_unlock(&io->lock);
	return request;
}

bool io_has_completed(const struct io *io)
{
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
	return !io->busy && !io->urgent.first && !io->writes.first;
}

static bool wait_until(struct io *io, bool (*reached)(const struct io *io, const void *what), const void *what,
		       uint64_t timeout_ns)
{
	struct timespec until = after(timeout_ns);
	bool yes;

	pthread_mutex_lock(&io->lock);
	while (!(yes = reached(io, what)))
		if (pthread_cond_timedwait(&io->changed, &io->lock, &until) == ETIMEDOUT) {
			yes = reached(io, what);
			break;
		}
	pthread_mutex_unlock(&io->lock);
	return yes;
}

bool io_wait_ended(struct io *io, uint64_t seen, uint64_t timeout_ns)
{
	return wait_until(io, has_ended_more, &seen, timeout_ns);
}

bool io_wait_request(struct io *io, struct io_request *request, uint64_t timeout_ns)
{
	return wait_until(io, is_done, request, timeout_ns);
}

bool io_wait_idle(struct io *io, uint64_t timeout_ns, uint32_t *busy)
{
	bool idle = wait_until(io, is_idle, NULL, timeout_ns);

	pthread_mutex_lock(&io->lock);
	*busy = io->busy;
	pthread_mutex_unlock(&io->lock);
	return idle;
}

bool io_unwatch(struct io *io, struct io_request *request)
{
	bool done;

	pthread_mutex_lock(&io->lock);
	done = request->done;
	request->watched = false;
	pthread_mutex_unlock(&io->lock);
	return done;
}

void io_cancel_queued(struct io *io)
{
	struct io_request *request;

	pthread_mutex_lock(&io->lock);
	while ((request = pop(&io->urgent)) || (request = pop(&io->writes)))
		complete(io, request, ECANCELED);
	pthread_mutex_unlock(&io->lock);
}

uint32_t io_stop(struct io *io)
{
	uint32_t abandoned = 0;
	struct io_request *request;

	io_cancel_queued(io);
	pthread_mutex_lock(&io->lock);
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
	while ((request = pop(&io->completed)))
		request->release(request);
	leave(io);
	return abandoned;
}

void io_read_counters(struct io *io, struct io_counters *ret)
{
	pthread_mutex_lock(&io->lock);
	*ret = io->counters;
	pthread_mutex_unlock(&io->lock);
}
