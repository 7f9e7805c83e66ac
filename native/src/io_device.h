/*
 * io_device.h: what an I/O thread does with a request.
 */
#ifndef TMS_IO_DEVICE_H
#define TMS_IO_DEVICE_H

#include "io.h"

/* Without O_DIRECT.  The kernel tells of a failed write-back once for each open file, to whichever thread
 * syncs first; so one sync runs at a time, and a failure is every thread's whose write began before it. */
struct io_sync {
	pthread_mutex_t lock; /* a leaf, for I/O threads only, held in fdatasync */
	uint32_t failures;
};

/* Carries the transfer out on the calling thread, however long that takes.  0 or an errno.  An injected
 * stall ends early once *abandoned. */
int io_device_serve(const struct io_config *config, struct io_sync *sync, const struct io_request *request, const atomic_bool *abandoned);

#endif
