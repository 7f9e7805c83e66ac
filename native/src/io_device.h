/*
 * io_device.h: what an I/O thread does with a request.
 */
#ifndef TMS_IO_DEVICE_H
#define TMS_IO_DEVICE_H

#include "io.h"

/* Carries the transfer out on the calling thread, however long that takes.  0 or an errno.  An injected
 * stall ends early once *abandoned. */
int io_device_serve(const struct io_config *config, const struct io_request *request, const atomic_bool *abandoned);

#endif
