/*
 * io_inner.h: the I/O layer as its own files (io*.c) see it.
 */
#ifndef TMS_IO_INNER_H
#define TMS_IO_INNER_H

#include "io_device.h"

#define IO_THREADS_MAX 16
#define IO_SAMPLES 2048

/* A thread that has just served a read looks for the next one before it sleeps; there is one such at most. */
enum spin { SPIN_NONE, SPIN_LOOKING, SPIN_CALLED };
/* (Looks are reads of the clock, without pauses: a hypervisor may take a CPU that pauses in a loop for idle.)
 * No thread looks longer than so often, whatever the clock says: one that stands still would keep it for ever. */
#define SPIN_LOOKS 16384

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
	pthread_cond_t changed; /* a request ended that io_ended counts, or a batch is idle again, or all is at its end */
	pthread_cond_t answered; /* one that is watched ended: who waits for it, and nobody else, is woken */
	struct queue urgent;    /* reads, truncations */
	struct queue writes;
	struct queue completed;
	atomic_uint completed_count;
	_Atomic uint64_t ended;
	struct queue timed; /* on a virtual clock: at the device, in the order of their ends */
	struct io_counters counters;
	struct tms_write_served sample[IO_SAMPLES]; /* number n at n % IO_SAMPLES */
	uint64_t samples;       /* taken since the start */
	uint64_t last_write_ns; /* end of the write before */
	uint32_t busy;        /* threads in a system call */
	uint32_t busy_writes; /* of them, with a write */
	atomic_uint spin;     /* enum spin; changed with the lock held */
	_Atomic uint64_t read_ns; /* what reads took lately at the device, as a mean */
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

/* On a virtual clock there are no threads: io_virtual.c. */
static inline bool io_is_virtual(const struct io *io)
{
	return clock_is_virtual(&io->config.clock);
}

/* With the lock held: the transfer is done, and completes when its time has come. */
void io_virtual_begin(struct io *io, struct io_request *request);
/* With the lock held: completes what is due. */
void io_virtual_pump(struct io *io);
/* With the lock held: lets time pass until something is due, at most until until_ns.  False: that time has come. */
bool io_virtual_step(struct io *io, uint64_t until_ns);

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
