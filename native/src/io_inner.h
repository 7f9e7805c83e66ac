/*
 * io_inner.h: the I/O layer as its own two files see it.
 */
#ifndef TMS_IO_INNER_H
#define TMS_IO_INNER_H

#include "io_device.h"

#define IO_THREADS_MAX 16

enum thread_state { THREAD_READY, THREAD_IN_CALL, THREAD_GONE };

struct queue {
	struct io_request *first;
	struct io_request *last;
};

struct io {
	struct io_config config;
	struct io_sync sync;    /* its own lock */
	pthread_mutex_t lock;
	pthread_cond_t work;
	pthread_cond_t changed; /* a request ended, or a batch is idle again */
	struct queue urgent;    /* reads, truncations */
	struct queue writes;
	struct queue completed;
	atomic_uint completed_count;
	_Atomic uint64_t ended;
	struct io_counters counters;
	uint32_t busy;        /* threads in a system call */
	uint32_t busy_writes; /* of them, with a write */
	bool closing;         /* what is submitted from now on is cancelled */
	uint32_t users;       /* the store, and each thread */
	bool stopping;
	atomic_bool orphaned;   /* the store has left */
	uint32_t threads;
	pthread_t thread[IO_THREADS_MAX];
	enum thread_state state[IO_THREADS_MAX];
};

/* With the lock held: a request has ended; whoever waits learns of it. */
void io_complete(struct io *io, struct io_request *request, int error);
/* With the lock held: what no thread has begun completes with ECANCELED. */
void io_cancel_queued(struct io *io);

static inline void queue_push(struct queue *queue, struct io_request *request)
{
	request->next = NULL;
	if (queue->last)
		queue->last->next = request;
	else
		queue->first = request;
	queue->last = request;
}

static inline struct io_request *queue_pop(struct queue *queue)
{
	struct io_request *request = queue->first;

	if (request) {
		queue->first = request->next;
		if (!queue->first)
			queue->last = NULL;
	}
	return request;
}

static inline bool queue_unlink(struct queue *queue, const struct io_request *request)
{
	struct io_request *before = NULL;

	for (struct io_request *at = queue->first; at; before = at, at = at->next) {
		if (at != request)
			continue;
		if (before)
			before->next = at->next;
		else
			queue->first = at->next;
		if (queue->last == at)
			queue->last = before;
		return true;
	}
	return false;
}

#endif
