/*
 * emulate_inner.h: what the two files of emulate share.
 */
#ifndef TMS_EMULATE_INNER_H
#define TMS_EMULATE_INNER_H

#include <pthread.h>
#include <stdatomic.h>

#include "emulate.h"

struct span {
	uint64_t start_ns;
	uint64_t end_ns; /* UINT64_MAX: never */
	uint64_t slow_permille;
};

/*
 *      segment[0]  -> [ 2 MiB ]
 *      segment[1]     null: zeros
 *      segment[2]  -> [ 2 MiB ]      offset = number of the segment << 21 | place
 */
struct emulate {
	struct tms_device device;
	bool keeps_nothing; /* constant */
	pthread_mutex_t lock;
	struct span episode[TMS_EPISODES];
	uint64_t busy_until_ns;
	uint64_t latest_ns; /* of the times handed in */
	uint64_t factors, pauses; /* streams */
	uint64_t until_pause_bytes;

	pthread_mutex_t data_lock;
	uint8_t **segment;
	uint64_t segments;
	_Atomic uint64_t bytes;
};

#endif
