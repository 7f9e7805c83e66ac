/*
 * io.h: system calls on the spill file, on threads that nobody joins while they are in one.
 */
#ifndef TMS_IO_H
#define TMS_IO_H

#include <pthread.h>
#include <stdatomic.h>

#include "clock.h"
#include "emulate.h"
#include "fault.h"

enum io_op { IO_WRITE, IO_READ, IO_TRUNCATE };

/* One transfer.  From io_submit until done it belongs to the I/O layer; the buffer is the request's own,
 * never a frame of the region. */
struct io_request {
	struct io_request *next;
	enum io_op op;
	uint64_t offset;
	uint32_t bytes;
	uint8_t *buffer;
	int32_t cause;  /* of a write, enum tms_cause */
	uint32_t payload_bytes; /* of a write: what it holds besides gaps */
	uint64_t begun_ns; /* when it was submitted */
	uint64_t due_ns;   /* on a virtual clock: when it completes */
	int32_t error;  /* errno; 0: the transfer is complete and, without O_DIRECT, synced */
	_Atomic bool done; /* the last that is written to it */
	bool watched;   /* somebody waits for this one: it is not put on the completed list */
	void (*release)(struct io_request *request); /* frees it, if it ends after everybody has left */
};

struct io;

struct io_config {
	int fd;      /* owned from io_start on */
	bool direct;
	bool spins; /* threads look for a while before they sleep */
	uint32_t threads;
	struct faults *faults; /* shared: a reference is taken */
	struct tms_clock clock;
	struct emulate *emulate; /* owned from io_start on; null: the device is what the fd is */
};

struct io_counters {
	uint64_t bytes_written;
	uint64_t bytes_read;
	uint64_t write_errors;
	uint64_t read_errors;
	uint64_t writes_pending;
	uint64_t bytes_pending; /* of them */
	uint64_t serving_since_ns; /* the clock when the write that is served now came to its turn; 0: none is */
	uint64_t reads_pending;
};

/* TMS_OK, TMS_E_NO_MEMORY, or TMS_E_SYSTEM with *error: no thread to be had; the fd is not taken then. */
int io_start(const struct io_config *config, struct io **ret, int32_t *error);

void io_submit(struct io *io, struct io_request *request);
/* The next completed request that nobody watches, or null. */
struct io_request *io_reap(struct io *io);
/* True: io_reap has something.  Cheap; a hint without a lock. */
bool io_has_completed(struct io *io);

/* How many requests have ended so far, but for reads that somebody watches, and how often io_notify was called. */
uint64_t io_ended(const struct io *io);
/* Waits for at most timeout_ns until more than seen have.  False: time is up.  Whoever reads io_ended
 * before it looks at a state that completions change misses none, whichever thread reaps them. */
bool io_wait_ended(struct io *io, uint64_t seen, uint64_t timeout_ns);
/* Something else that io_wait_ended waits for has happened. */
void io_notify(struct io *io);
/* Waits for at most timeout_ns for a watched request.  False: time is up. */
bool io_wait_request(struct io *io, struct io_request *request, uint64_t timeout_ns);
/* Stops watching: true if it is done (or cancelled, if no thread has begun it) and the caller's again,
 * false if it will come through io_reap. */
bool io_unwatch(struct io *io, struct io_request *request);

/* From now on what is submitted, and what no thread has begun, completes with ECANCELED, but for last,
 * which is served (null: nothing). */
void io_close(struct io *io, struct io_request *last);
/* Lets others open the file, though this process may still have it open (a fork, an abandoned thread). */
void io_unlock_file(struct io *io);
/* In a forked child, which has none of the threads: closes the file, and touches nothing else. */
void io_forget(struct io *io);
/* Waits for at most timeout_ns until no request is queued or in a system call.  False: time is
 * up.  *busy: threads in a system call then. */
bool io_wait_idle(struct io *io, uint64_t timeout_ns, uint32_t *busy);
/* Leaves: joins the threads that are idle, abandons those in a system call, and returns how many.
 * Those free what they hold when the device lets them go. */
uint32_t io_stop(struct io *io);

void io_read_counters(struct io *io, struct io_counters *ret);
/* The samples with numbers above since, oldest first, at most n.  Returns how many. */
uint32_t io_writes_served(struct io *io, uint64_t since, uint32_t n, struct tms_write_served *samples);
/* On a virtual clock, where one thread drives the store: when the next request completes; UINT64_MAX: none is begun. */
uint64_t io_due_ns(const struct io *io);
/* On a virtual clock: lets ns pass. */
void io_advance(struct io *io, uint64_t ns);
bool io_is_emulated(const struct io *io);
/* From start_ns on (the clock's time) the emulated device is slower, or stands still. */
void io_add_episode(struct io *io, const struct tms_episode *episode);

#endif
