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

/* ---- running them --------------------------------------------------------------------------------- */

enum tms_replay_stop {
	TMS_REPLAY_DONE = 0,  /* all events */
	TMS_REPLAY_ALLOC = 1, /* the next one is an ALLOC or a RELEASE: the caller's, who counts it as done */
	TMS_REPLAY_POOL = 2,  /* the next one names a pool that is not among those given */
	TMS_REPLAY_TICK = 3,  /* tick_ns has come: call again after a look at what the device showed */
	TMS_REPLAY_AHEAD = 4, /* a clock that runs by itself: the next one is not due yet */
	TMS_REPLAY_SLICE = 5  /* the same: slice_ns has passed, or a load waits for the device */
};

enum { TMS_REPLAY_SIZES = 1024, TMS_REPLAY_TIMES = 1024 };

/* Events at their times: on a virtual clock it is put forward to the time of each, the device and the background work
 * going on meanwhile; on another one events wait for theirs.  An event that comes while the one before is still
 * waiting for the device is late, and takes place after it.
 *
 * In a region without data a page is its size alone, and in another the image in pages that page_of_size names.  A size
 * that an event lacks is drawn for its key, by seed, from sizes. */
struct tms_replay {
	const tms_pool_id *cleancache, *frontswap; /* by an event's pool; 0: none yet */
	uint32_t cleancaches, frontswaps;
	const uint16_t *sizes;        /* TMS_REPLAY_SIZES compressed sizes; 0: same-filled */
	const uint8_t *pages;         /* not used in a region without data */
	const uint32_t *page_of_size; /* 4097 numbers of pages, by compressed size; 0: a same-filled one */
	uint64_t seed;
	bool fill;                    /* a get that misses is followed by a put of its page */
	bool write_through;           /* stores have a copy before the next event */
	bool cleans;                  /* on a virtual clock: background work, as clean says */
	struct tms_clean_request clean;
	uint64_t start_ns;            /* the store's clock at time 0 of the trace */
	uint64_t tick_ns;             /* the store's clock; on a virtual one only if the device did anything */
	uint64_t slice_ns;
	/* what became of it */
	uint64_t done;                /* of this call's events */
	int32_t stop;
	uint64_t late_ns;             /* the most that an event came after its time */
	uint64_t errors;              /* loads that the device failed; the page is held still */
	uint64_t load_ns[1024];       /* loads from the spill device by time: tms_replay_time_ns of its place */
	/* the core's */
	struct tms_wait wait;         /* of the next event, which has begun */
	uint64_t waits_since_ns;
	bool waits;
	uint64_t clean_due_ns;
	uint64_t ended;               /* requests at the last look */
	uint64_t ticked;              /* the same at the last tick */
};
int tms_replay(tms_store *store, struct tms_replay *replay, uint64_t n, const struct tms_event *events);
/* The least time, and in steps of a sixteenth, that is counted there. */
uint64_t tms_replay_time_ns(uint32_t place);
/* cffi: end */

#endif
