/*
 * plan.h: how a window's objects are split among the routes, and what that takes.
 */
#ifndef TMS_PLAN_H
#define TMS_PLAN_H

#include "check.h"

/* What must leave, and where it can go. */
struct plan_task {
	uint64_t frames;
	uint64_t clean;    /* pages */
	uint64_t drops;    /* copied objects */
	uint64_t uncopied; /* objects */
	uint64_t bytes;    /* of them, each rounded up to a unit: what they take elsewhere */
	uint64_t room;     /* bytes that can be moved elsewhere */
	uint64_t pending;  /* bytes at the device that come before what is written */
	uint64_t batch;    /* bytes of one write: so many are gathered before the device begins */
	int32_t effort;
	bool zero;
	bool can_write;
	bool can_compress;
	bool prefers_no_write; /* writes only what has no room */
};

struct plan {
	uint64_t migrate, compress, page_out; /* objects; compress counts those of either of the others that shrink first */
	uint64_t page_out_bytes;              /* as written */
	bool feasible; /* at this effort */
};

/* The split whose slower lane ends first at a cost: that of the bound, if a deadline is to be kept. */
struct plan plan_make(const struct plan_task *task, const struct tms_cost *cost);
/* What a plan takes at a cost. */
uint64_t plan_price(const struct plan_task *task, const struct plan *plan, const struct tms_cost *cost);
/* Bytes of the window that must have a copy, to be dropped instead of moved, for the CPU to be done within a time. */
uint64_t plan_cpu_bytes_over(const struct plan_task *task, const struct plan *plan, const struct tms_cost *cost, uint64_t ns);
/* Bytes that can be written to the device within a time; and its time for bytes. */
uint64_t plan_device_ns(const struct tms_cost *cost, uint64_t bytes);
uint64_t plan_device_bytes(const struct tms_cost *cost, uint64_t ns);

#endif
