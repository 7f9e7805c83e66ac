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

/* The transfer alone, as fast as it goes: 0 or an errno. */
int io_device_transfer(const struct io_config *config, struct io_sync *sync, const struct io_request *request);
/* When an emulated device has served a request that is handed over at now_ns; without one at once. */
uint64_t io_device_due_ns(const struct io_config *config, const struct io_request *request, uint64_t now_ns);
/* Carries the transfer out on the calling thread, however long that takes.  0 or an errno.  An injected
 * stall ends early once *abandoned. */
int io_device_serve(const struct io_config *config, struct io_sync *sync, const struct io_request *request, const atomic_bool *abandoned);

#endif
