/*
 * io_virtual.c: the I/O layer on a virtual clock: no threads, no waiting, the same order of events.
 *
 * A transfer is carried out when it is submitted, and completes when the emulated device says so; time
 * passes in io_virtual_step only.  One thread at a time drives the store.
 */
#include <errno.h>

#include "io_inner.h"

static void insert_by_due(struct queue *queue, struct io_request *request)
{
	struct io_request *before = NULL;
	struct io_request *at = queue->first;

	/* Nearly always behind all others: the device serves in order. */
	if (queue->last && queue->last->due_ns <= request->due_ns) {
		queue_push(queue, request);
		return;
	}
	for (; at && at->due_ns <= request->due_ns; at = at->next)
		before = at;
	request->next = at;
	if (before)
		before->next = request;
	else
		queue->first = request;
	if (!at)
		queue->last = request;
}

void io_virtual_begin(struct io *io, struct io_request *request)
{
	uint64_t now_ns = clock_now_ns(&io->config.clock);

	request->error = io_device_transfer(&io->config, &io->sync, request);
	request->due_ns = request->op == IO_TRUNCATE ? now_ns : io_device_due_ns(&io->config, request, now_ns);
	insert_by_due(&io->timed, request);
}

void io_virtual_pump(struct io *io)
{
	uint64_t now_ns = clock_now_ns(&io->config.clock);

	while (io->timed.first && io->timed.first->due_ns <= now_ns) {
		struct io_request *request = queue_pop(&io->timed);

		io_complete(io, request, request->error);
	}
}

bool io_virtual_step(struct io *io, uint64_t until_ns)
{
	uint64_t now_ns = clock_now_ns(&io->config.clock);
	uint64_t due_ns = io->timed.first ? io->timed.first->due_ns : UINT64_MAX;

	if (due_ns > until_ns) {
		clock_spend(&io->config.clock, until_ns > now_ns ? until_ns - now_ns : 0);
		return false;
	}
	clock_spend(&io->config.clock, due_ns > now_ns ? due_ns - now_ns : 0);
	io_virtual_pump(io);
	return true;
}

uint64_t io_due_ns(const struct io *io)
{
	return io->timed.first ? io->timed.first->due_ns : UINT64_MAX;
}

void io_advance(struct io *io, uint64_t ns)
{
	uint64_t until_ns = clock_now_ns(&io->config.clock) + ns;

	pthread_mutex_lock(&io->lock);
	while (io_virtual_step(io, until_ns))
		;
	pthread_mutex_unlock(&io->lock);
}
