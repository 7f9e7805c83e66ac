/*
 * emulate.h: a model of a storage device, and a place for its data in RAM.
 *
 * It says how long a request takes and holds blocks; whoever asks does the waiting.
 */
#ifndef TMS_EMULATE_H
#define TMS_EMULATE_H

#include "check.h"

struct emulate;

/* A device that emulate_create may be given. */
bool emulate_is_valid(const struct tms_device *device);

/* Null: no memory.  opened_ns: the clock now; the episodes of the device count from it. */
struct emulate *emulate_create(const struct tms_device *device, uint64_t opened_ns);
/* From the start on: what is written to it takes its time and its room, and is gone; what is read is anything. */
void emulate_keep_nothing(struct emulate *emulate);
void emulate_destroy(struct emulate *emulate);

/* When a request that is handed over at now_ns is complete: after those before it.  UINT64_MAX: never, nor
 * is any that comes later.  Draws from the seed in the order of calls. */
uint64_t emulate_schedule(struct emulate *emulate, bool is_write, uint64_t bytes, uint64_t now_ns);

/* start_ns is on the clock itself here.  Takes the place of the episode that was over first; if none is, of
 * the one that starts last.  What was scheduled before stays as it was told. */
void emulate_add_episode(struct emulate *emulate, const struct tms_episode *episode);

/* 0 or an errno, and then no data has changed: ENOMEM; ENOSPC: not all of it lies below the device's size.
 * What was never written reads as zeros. */
int emulate_write(struct emulate *emulate, uint64_t offset, const uint8_t *from, uint32_t bytes);
int emulate_read(struct emulate *emulate, uint64_t offset, uint8_t *to, uint32_t bytes);
/* Forgets what lies at and after offset. */
void emulate_truncate(struct emulate *emulate, uint64_t offset);

/* tms_device.in_memory: the data belongs here, not into the file. */
bool emulate_keeps_data(const struct emulate *emulate);
/* Memory in use.  Without a lock. */
uint64_t emulate_bytes(const struct emulate *emulate);

#endif
