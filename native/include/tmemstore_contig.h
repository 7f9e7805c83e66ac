/*
 * tmemstore_contig.h: contiguous ranges, and what bounds the time they take: costs, ceilings, the cleaner,
 * measurements.  A part of tmemstore.h, which includes it.
 */
#ifndef TMEMSTORE_CONTIG_H
#define TMEMSTORE_CONTIG_H

/* cffi: begin */
/* ---- contiguous ranges -------------------------------------------------------------------------- */

enum tms_effort { TMS_EFFORT_FREE = 0, TMS_EFFORT_DROP = 1, TMS_EFFORT_MIGRATE = 2, TMS_EFFORT_COMPRESS = 3, TMS_EFFORT_PAGE_OUT = 4, TMS_EFFORTS = 5 };
enum tms_ending { TMS_MET = 0, TMS_REFUSED = 1, TMS_ABORTED = 2 };
enum tms_reason {
	TMS_REASON_NONE = 0,
	TMS_REASON_NO_WINDOW = 1,  /* refused: an allocated frame in every window */
	TMS_REASON_EFFORT = 2,     /* refused: no window can be emptied at this effort */
	TMS_REASON_DEADLINE = 3,   /* refused: the bound exceeds the deadline */
	TMS_REASON_TIME = 4,       /* aborted: something was slower than its model */
	TMS_REASON_SPILL = 5,      /* aborted: the spill device failed or is full */
	TMS_REASON_MEMORY = 6,     /* aborted: no memory for the bookkeeping */
	TMS_REASON_CLOSED = 7,     /* aborted: the store was closed meanwhile */
	TMS_REASON_RECOVERING = 8, /* refused: the bound exceeds the deadline of a contract that is recovering */
	TMS_REASON_ROOM = 9,       /* aborted: no room was left where pages could be moved to */
	TMS_REASONS = 10
};

/* What it takes to empty a window, at some confidence:
 *
 *      t0 + frames * frame + clean pages * clean + drops * drop + zeroed frames * zero + max(cpu lane, device lane)
 *      cpu lane      moved * move + moved bytes * move_ps + compressed * compress + written * object
 *      device lane   written bytes * byte_ps + spread(written bytes)
 *
 * *_ps are picoseconds a kept byte.  spread_ns[i] is what a write of 64 KiB << i may take beyond the linear
 * part; in between it is interpolated, beyond the last it grows on.  All zero: nothing. */
enum { TMS_SPREAD_POINTS = 16, TMS_SPREAD_FIRST_BYTES = 65536 };
struct tms_cost {
	uint64_t t0_ns;
	uint64_t frame_ns; /* isolating and claiming a frame, whatever it holds */
	uint64_t clean_ns; /* giving up a clean page */
	uint64_t drop_ns;  /* the same of a frontswap page that has a copy */
	uint64_t move_ns;  /* migrating one object, beyond its bytes */
	uint64_t move_ps;
	uint64_t compress_ns;       /* one object with the denser codec */
	uint64_t compress_permille; /* what it leaves of the kept bytes */
	uint64_t object_ns; /* gathering one object for a write */
	uint64_t byte_ps;
	uint64_t zero_ns;
	uint64_t spread_ns[16];
};

/* A range that is lent out: given back by tms_lease_end, which may come after tms_store_destroy. */
struct tms_lease {
	tms_store *store; /* null: ended, or never begun */
	uint32_t range;   /* not 0: lent out */
};

struct tms_alloc_request {
	uint64_t frames;
	uint64_t align_frames;  /* power of two, at least 1 */
	uint64_t start_pfn;     /* used if fixed */
	uint64_t deadline_ns;   /* from the call on */
	struct tms_cost cost;   /* expected: p50 */
	struct tms_cost p99;
	struct tms_cost bound;  /* at the confidence asked for */
	uint64_t batch_bytes;   /* of one write to the device; 0: as much as there is room for in a batch */
	struct tms_lease *lease; /* begun if the allocation is met; null: the range is given back by tms_release */
	int32_t effort;
	bool fixed;
	bool zero;
	bool refuse_over_bound; /* false: nothing is refused for time */
	bool covered;           /* by a contract: refused for time means that it is recovering */
	bool no_wait;           /* the plan must wait on no write: what a hard contract asks for */
};

/* A window and what is in it.  Objects are frontswap pages that occupy a frame or a part of one. */
struct tms_window {
	uint64_t start_pfn;
	uint64_t frames;
	uint64_t frames_free;
	uint64_t frames_clean;     /* ephemeral pages: one drop each */
	uint64_t frames_frontswap;
	uint64_t objects_copied;   /* with a valid spill copy: one drop each */
	uint64_t objects_uncopied; /* must be written first */
	uint64_t bytes_uncopied;
	/* how it would be emptied: of the uncopied objects so many are migrated as they are, compressed on the
	 * way, written; short: bytes that must leave the reserve or get a copy first, to be within the deadline */
	uint64_t room_bytes; /* where objects can be moved to */
	uint64_t to_migrate, to_compress, to_page_out;
	uint64_t bytes_to_page_out;
	uint64_t bytes_short;
	uint64_t served_ns; /* refused for time: of the write that the device is at, what is behind it */
	uint64_t predicted_ns, p99_ns, bound_ns;
};

struct tms_report {
	struct tms_window window;
	uint64_t deadline_ns;
	uint64_t elapsed_ns;  /* call to commit, or to the end of an undo */
	uint64_t cpu_ns;      /* of the calling thread */
	uint64_t waited_ns;   /* in timed waits for the device */
	uint64_t write_ns;    /* until every object had left or had a copy */
	uint64_t drop_ns;
	uint64_t zero_ns;
	uint64_t commit_ns;   /* the clock at the commit point, from the call on; 0: never reached */
	uint64_t returned_ns; /* the clock as the core is left, from the call on */
	uint64_t clean_dropped;
	uint64_t copied_dropped;   /* frontswap pages that had a copy before */
	uint64_t migrated_inside;  /* to other frames of the region */
	uint64_t migrated_reserve;
	uint64_t compressed;       /* on their way there, counted above, or into the spill file, counted below */
	uint64_t clean_evicted;    /* outside the window, to make room for migrated pages */
	uint64_t paged_out;
	uint64_t bytes_written;    /* to the device, whole blocks */
	uint64_t write_batches;
	int32_t ending;
	int32_t reason;
	uint32_t range; /* MET: the handle for tms_release; else 0 */
};

/* The device lane of a cost: its time for bytes; the bytes it takes within a time (UINT64_MAX: any). */
uint64_t tms_device_ns(const struct tms_cost *cost, uint64_t bytes);
uint64_t tms_device_bytes(const struct tms_cost *cost, uint64_t ns);
/* Chooses a cheap window (or takes the fixed one) without touching anything.  TMS_OK, or
 * TMS_ALLOC_REFUSED with the reason. */
int tms_propose(tms_store *store, const struct tms_alloc_request *request, struct tms_window *window, int32_t *reason);
/* One whole allocation.  TMS_OK (met), TMS_ALLOC_REFUSED, TMS_ALLOC_ABORTED or an error; the report is
 * filled in the first three cases. */
int tms_alloc_contig(tms_store *store, const struct tms_alloc_request *request, struct tms_report *report);
int tms_release(tms_store *store, uint32_t range);
/* Gives the range back, if there still is a store.  From any thread; true for the first of them. */
bool tms_lease_end(struct tms_lease *lease);

/* ---- ceilings and the cleaner ------------------------------------------------------------------ */

/* Why bytes were written to the spill device. */
enum tms_cause {
	TMS_CAUSE_RECLAIM = 0, /* by an allocation */
	TMS_CAUSE_CLEAN = 1,   /* a copy for a cold page */
	TMS_CAUSE_DRAIN = 2,   /* the escape reserve is emptied */
	TMS_CAUSE_TRIM = 3,    /* more frontswap frames than its share */
	TMS_CAUSE_THROUGH = 4, /* write-through */
	TMS_CAUSE_MEASURE = 5,
	TMS_CAUSES = 6
};
const char *tms_cause_name(int cause);

enum { TMS_CONTRACTS = 8 };

/* A contract as admission sees it.  Coefficients as in struct tms_cost; object_ns and byte_ps are what one
 * uncopied object takes of the CPU, whichever way it leaves. */
struct tms_ceiling {
	uint64_t window_chunks;
	uint64_t drops_ns;     /* that isolating and dropping may take, a window; all else must wait for it */
	uint64_t cpu_ns;       /* that they and moving its objects may take */
	uint64_t frame_ns, clean_ns, drop_ns, object_ns, byte_ps;
	uint64_t device_bytes; /* that the device takes within the deadline; UINT64_MAX: bounded otherwise */
};

/* Enforced where pages come in, for every chunk: its share of what a window may hold. */
struct tms_ceilings {
	struct tms_ceiling contract[8];
	uint32_t contracts;
	uint32_t frontswap_permille; /* of the frames of a chunk; 1000: all */
	bool hard;                   /* frontswap data without a completed copy never exceeds the reserve */
};
int tms_set_ceilings(tms_store *store, const struct tms_ceilings *ceilings);

/* What the fullest window of a size holds now. */
struct tms_headroom {
	uint64_t window_bytes_uncopied; /* rounded up to 64 an object */
	uint64_t window_objects_uncopied;
	uint64_t window_frames_frontswap; /* each maximum on its own */
	uint64_t chunk_frames_frontswap;
	uint64_t reserve_bytes_free;
	uint64_t pending_bytes; /* of writes at the device */
	uint64_t uncopied_bytes;
};
int tms_measure_headroom(tms_store *store, uint64_t window_chunks, struct tms_headroom *ret);

/* Background work, in steps that begin at most one write each.  Does nothing while an allocation is under way. */
struct tms_clean_request {
	uint64_t pending_max_bytes; /* at the device; beyond that nothing is begun */
	uint64_t batch_bytes;
	uint64_t cold_bytes; /* of uncopied pages in the region that may stay without a copy; UINT64_MAX: all */
	bool drain;          /* empty the reserve */
	bool trim;           /* page out what exceeds the frontswap share */
	bool yield;          /* write no page only for being cold while loads wait for the device */
	uint32_t steps;      /* most of them in this call; 0: one */
	uint64_t wait_ns;    /* how long the call goes on, waiting for work and for earlier writes; 0: not at all */
	uint64_t drain_ns;   /* the same while the reserve is to be emptied, if that is longer */
};
enum tms_clean_state {
	TMS_CLEAN_IDLE = 0,  /* nothing is to be done */
	TMS_CLEAN_BEGUN = 1, /* a write was begun, or a frame came free: call again */
	TMS_CLEAN_BUSY = 2,  /* an allocation, a load or earlier writes come first */
	TMS_CLEAN_FULL = 3   /* the spill file is full, or there is none */
};
struct tms_clean_result {
	uint64_t bytes;      /* begun by this call */
	uint64_t objects;
	uint64_t backlog_bytes; /* uncopied, in region and reserve, rounded up to 64 an object */
	int32_t state;       /* enum tms_clean_state */
	int32_t cause;       /* of the last write that was begun */
};
int tms_clean(tms_store *store, const struct tms_clean_request *request, struct tms_clean_result *ret);
/* Whoever is in tms_clean comes back after the step it is in, to be asked for something else. */
void tms_clean_interrupt(tms_store *store);

/* Write-through: gives the pages of these keys, as far as results says that they were stored, a copy, and
 * waits for it like tms_get.  A page whose write fails is rejected after all: absent, its result false. */
int tms_write_through(tms_store *store, tms_pool_id pool, uint64_t n, const uint64_t *objects, const uint64_t *indexes, bool *results, struct tms_wait *wait);
/* Gives up waiting: the pages stay, and get their copies whenever the device is done. */
void tms_write_through_cancel(tms_store *store, struct tms_wait *wait);

/* ---- what another ratio would have held --------------------------------------------------------- */

/* Re-use distances of a sample of the keys, in bins of a 32nd of the region: what lies behind a page in the order of last
 * use, of its kind, when it is asked for.  A share of x frames, under LRU, finds what is at distances below x.
 * Counts of the sample; divided by the rate they are those of all pages. */
enum { TMS_GHOST_BINS = 64 };
struct tms_ghosts {
	uint64_t clean_hits[64], clean_misses[64]; /* gets, by whether the page was in the region */
	uint64_t swap_hits[64], swap_misses[64];   /* loads, the same; a miss was read from the device, or not held */
	uint64_t swap_freed_units[64]; /* invalidated or overwritten: 64 bytes that a share which held them need not write */
	uint64_t swap_stores;
	uint64_t swap_pages[64]; /* that are known now, by the distance at which they are */
	uint64_t cold[2];   /* asked for and not known: clean, swap */
	uint64_t units[2];      /* of 64 bytes, of the pages that are known now */
	uint64_t units_most[2]; /* at any time */
	uint64_t accesses;  /* puts and gets of both kinds, all of them */
	uint64_t let_in;    /* pages of both kinds that were, since it was set */
	uint64_t rate_ppb;  /* keys that are sampled, in 10^9; 0: none */
};
/* How many frames of the region its sample is to stand for; 0, as a new store has it: none.  Forgets what was seen. */
int tms_set_ghosts(tms_store *store, uint32_t sampled_frames);
int tms_ghosts(tms_store *store, struct tms_ghosts *ret);

/* ---- time of a virtual clock ------------------------------------------------------------------------ */

/* Lets ns pass, I/O completing in its order meanwhile.  TMS_E_INVALID: the clock runs by itself. */
int tms_advance(tms_store *store, uint64_t ns);
/* The same, but only until the next I/O completes; *ret: how much passed. */
int tms_advance_to_event(tms_store *store, uint64_t ns, uint64_t *ret);
/* The store's clock. */
uint64_t tms_now(tms_store *store);
/* The emulated device gets slower, or stalls; start_ns counts from now.  TMS_E_INVALID: there is none. */
int tms_device_episode(tms_store *store, const struct tms_episode *episode);

/* ---- measuring the device ----------------------------------------------------------------------- */

/* Writes up to bytes to free spill blocks, for at most budget_ns, as a page-out would.  Nothing is kept. */
struct tms_write_sample {
	uint64_t bytes;      /* 0: no spill file, no room, or an error */
	uint64_t elapsed_ns; /* for these bytes; more than this where batches is 0 */
	uint64_t batches;    /* complete */
};
int tms_measure_write(tms_store *store, uint64_t bytes, uint64_t budget_ns, struct tms_write_sample *ret);

/* What the denser codec would leave of a few pages without a copy, the coldest: bytes before and after, in whole
 * units of 64.  Nothing is changed.  Zeros: no such page, or no such codec. */
struct tms_denser_sample {
	uint64_t objects;
	uint64_t bytes_before;
	uint64_t bytes_after;
};
int tms_sample_denser(tms_store *store, struct tms_denser_sample *ret);

/* The last completed writes.  service_ns: from the later of submission and the end of the one before. */
struct tms_write_served {
	uint64_t number; /* 1, 2, ... since the store was opened */
	uint32_t payload_bytes; /* of objects; whole blocks, which hold gaps, are somewhat more */
	int32_t cause;
	uint64_t service_ns;
	uint64_t ended_ns; /* the store's clock */
};
/* Those after the number since, oldest first, at most n; *ret: how many. */
int tms_writes_served(tms_store *store, uint64_t since, uint32_t n, struct tms_write_served *samples, uint32_t *ret);
/* cffi: end */

#endif
