/*
 * tmemstore_replay.h: a recorded load, run through a store without page data.  A part of tmemstore.h, which includes it.
 */
#ifndef TMEMSTORE_REPLAY_H
#define TMEMSTORE_REPLAY_H

/* cffi: begin */
/* ---- events of a trace --------------------------------------------------------------------------- */

enum tms_event_op {
	TMS_EVENT_PUT_PAGE = 0, /* cleancache, here and below */
	TMS_EVENT_GET_PAGE = 1,
	TMS_EVENT_INVALIDATE_PAGE = 2,
	TMS_EVENT_INVALIDATE_INODE = 3,
	TMS_EVENT_INVALIDATE_FS = 4,
	TMS_EVENT_STORE = 5, /* frontswap, here and below; object is 0 */
	TMS_EVENT_LOAD = 6,
	TMS_EVENT_INVALIDATE_SWAP = 7,
	TMS_EVENT_INVALIDATE_AREA = 8,
	TMS_EVENT_ALLOC = 9,    /* object: bytes; index: the number that its release names */
	TMS_EVENT_RELEASE = 10, /* index: of the allocation */
	TMS_EVENT_OPS = 11
};
const char *tms_event_name(int op);

enum tms_event_flag {
	TMS_EVENT_FILLED = 1, /* store, put_page: a same-filled page */
	TMS_EVENT_ACTIVE = 2  /* put_page: as TMS_PUT_ACTIVE */
};

/* As it lies in memory and, column by column, in a trace file. */
struct tms_event {
	uint64_t time_ns; /* from the start of the trace on; never runs backwards */
	uint64_t object;
	uint32_t index;
	uint16_t pool;    /* file system or swap area, of its kind */
	uint16_t size;    /* store: compressed bytes, up to 4096 (does not compress); 0: not known */
	uint8_t op;       /* enum tms_event_op */
	uint8_t flags;    /* enum tms_event_flag */
	uint8_t unused[6]; /* 0 */
};
/* cffi: end */

#endif
