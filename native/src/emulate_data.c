/*
 * emulate_data.c: the data of an emulated device, in RAM.
 *
 * Owns: the segments.
 * Invariants: 1. a segment holds zeros wherever nothing was written.  2. bytes = the memory of all.
 * Locks: emulate.data_lock, a leaf, not that of the times: no copy holds up a schedule.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "emulate_inner.h"

#define SEGMENT_SHIFT 21
#define SEGMENT_BYTES (UINT64_C(1) << SEGMENT_SHIFT)
#define DIRECTORY_START 64
#define DATA_BYTES_MAX (UINT64_C(1) << 44) /* 2^32 blocks, as in the spill file */

static bool fits(const struct emulate *emulate, uint64_t offset, uint32_t bytes)
{
	uint64_t size = emulate->device.size_bytes ? emulate->device.size_bytes : DATA_BYTES_MAX;

	size = min_u64(size, DATA_BYTES_MAX);
	return bytes <= size && offset <= size - bytes;
}

static bool grow_directory(struct emulate *emulate, uint64_t segments)
{
	uint64_t grown = emulate->segments;
	uint8_t **directory;

	if (segments <= grown)
		return true;
	while (grown < segments)
		grown = grown ? 2 * grown : DIRECTORY_START;
	directory = realloc(emulate->segment, grown * sizeof(*directory));
	if (!directory)
		return false;
	memset(directory + emulate->segments, 0, (grown - emulate->segments) * sizeof(*directory));
	atomic_fetch_add(&emulate->bytes, (grown - emulate->segments) * sizeof(*directory));
	emulate->segment = directory;
	emulate->segments = grown;
	return true;
}

/* All segments of [offset, end).  False: no memory; those that were to be had stay. */
static bool reserve(struct emulate *emulate, uint64_t offset, uint64_t end)
{
	uint64_t segments = (end + SEGMENT_BYTES - 1) >> SEGMENT_SHIFT;

	if (!grow_directory(emulate, segments))
		return false;
	for (uint64_t i = offset >> SEGMENT_SHIFT; i < segments; i++) {
		if (emulate->segment[i])
			continue;
		emulate->segment[i] = calloc(1, SEGMENT_BYTES);
		if (!emulate->segment[i])
			return false;
		atomic_fetch_add(&emulate->bytes, SEGMENT_BYTES);
	}
	return true;
}

/* The bytes at offset, or null: zeros.  *run: how many of them lie together. */
static uint8_t *data_at(const struct emulate *emulate, uint64_t offset, uint32_t bytes, uint32_t *run)
{
	uint64_t i = offset >> SEGMENT_SHIFT;
	uint64_t place = offset & (SEGMENT_BYTES - 1);

	*run = (uint32_t)min_u64(bytes, SEGMENT_BYTES - place);
	return i < emulate->segments && emulate->segment[i] ? emulate->segment[i] + place : NULL;
}

void emulate_keep_nothing(struct emulate *emulate)
{
	emulate->keeps_nothing = true;
}

int emulate_write(struct emulate *emulate, uint64_t offset, const uint8_t *from, uint32_t bytes)
{
	bool reserved;

	if (!fits(emulate, offset, bytes))
		return ENOSPC;
	if (emulate->keeps_nothing)
		return 0;
	pthread_mutex_lock(&emulate->data_lock);
	reserved = reserve(emulate, offset, offset + bytes);
	for (uint32_t done = 0, run; reserved && done < bytes; done += run) {
		uint8_t *data = data_at(emulate, offset + done, bytes - done, &run);

		memcpy(data, from + done, run);
	}
	pthread_mutex_unlock(&emulate->data_lock);
	return reserved ? 0 : ENOMEM;
}

int emulate_read(struct emulate *emulate, uint64_t offset, uint8_t *to, uint32_t bytes)
{
	if (!fits(emulate, offset, bytes))
		return ENOSPC;
	if (emulate->keeps_nothing)
		return 0;
	pthread_mutex_lock(&emulate->data_lock);
	for (uint32_t done = 0, run; done < bytes; done += run) {
		const uint8_t *data = data_at(emulate, offset + done, bytes - done, &run);

		if (data)
			memcpy(to + done, data, run);
		else
			memset(to + done, 0, run);
	}
	pthread_mutex_unlock(&emulate->data_lock);
	return 0;
}

void emulate_truncate(struct emulate *emulate, uint64_t offset)
{
	uint64_t i = offset >> SEGMENT_SHIFT;
	uint64_t place = offset & (SEGMENT_BYTES - 1);

	pthread_mutex_lock(&emulate->data_lock);
	if (place && i < emulate->segments && emulate->segment[i])
		memset(emulate->segment[i] + place, 0, SEGMENT_BYTES - place);
	for (i += place != 0; i < emulate->segments; i++) {
		if (!emulate->segment[i])
			continue;
		free(emulate->segment[i]);
		emulate->segment[i] = NULL;
		atomic_fetch_sub(&emulate->bytes, SEGMENT_BYTES);
	}
	pthread_mutex_unlock(&emulate->data_lock);
}

uint64_t emulate_bytes(const struct emulate *emulate)
{
	return atomic_load(&emulate->bytes);
}
