/*
 * tmemstore: a reserved contiguous memory area lent to cleancache and frontswap pages only.
 *
 * The only header to include; tmemstore_contig.h, with contiguous ranges and what bounds their time,
 * tmemstore_replay.h, with recorded loads, and tmemstore_floor.h, what a machine can do at best, come with it.
 * Everything between the two cffi marks of each is read by native/build_ffi.py as well, so that the Python binding cannot
 * drift from it; that part stays free of macros.
 *
 * Laws that hold for every function:
 *   - Nothing here prints, aborts, reads the environment or keeps a hidden global.
 *   - A function returns an enum tms_code.  The out-parameter stands last and is untouched on failure.
 *   - All functions of a store may be called from several threads at once, tms_store_destroy excepted.
 *   - Times are integer nanoseconds of the store's own clock; ranges of pfns are half-open.
 */
#ifndef TMEMSTORE_H
#define TMEMSTORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#pragma GCC visibility push(default)
#endif
#ifdef __cplusplus
extern "C" {
#endif

/* cffi: begin */
enum {
	TMS_PAGE_SIZE = 4096,
	TMS_CHUNK_FRAMES = 512, /* 2 MiB: the unit of windows */
	TMS_ROUTES = 4,
	TMS_UUID_SIZE = 16
};

/* Zero and above: an answer.  Below zero: the call itself could not be carried out. */
enum tms_code {
	TMS_OK = 0,
	TMS_MISS = 1,      /* get: the key is not held */
	TMS_REJECTED = 2,  /* put: not admitted; the key is absent now */
	TMS_WAITING = 3,   /* the device has not answered yet: call again with the same tms_wait */
	TMS_ALLOC_REFUSED = 4,
	TMS_ALLOC_ABORTED = 5,
	TMS_E_INVALID = -1,   /* an argument out of its range */
	TMS_E_NO_MEMORY = -2,
	TMS_E_NO_POOL = -3,   /* no such pool (destroyed, or never made) */
	TMS_E_NO_RANGE = -4,  /* no such contiguous range (released, or never handed out) */
	TMS_E_CLOSED = -5,
	TMS_E_SPILL_READ = -6,    /* the spill device failed or did not answer; the page is still held */
	TMS_E_SPILL_CORRUPT = -7, /* the spill device answered with other bytes than were written */
	TMS_E_TIMEOUT = -8,       /* io_timeout_ns passed */
	TMS_E_SYSTEM = -9,        /* the system refused; errno is in the struct that goes with the call */
	TMS_E_FOREIGN = -10,      /* spill path: not empty and without our header */
	TMS_E_LOCKED = -11,       /* spill path: another store has it open */
	TMS_E_TOO_SMALL = -12,    /* spill path: device smaller than two blocks */
	TMS_E_CODEC = -13,        /* a kept page could not be decompressed: memory was damaged */
	TMS_E_BROKEN = -14        /* verify: an invariant does not hold */
};
const char *tms_code_text(int code);

/* ---- clock: the core has none of its own ------------------------------------------------------ */

/* now_ns never runs backwards.  cpu_ns is the CPU time of the calling thread.  Both may be called
 * from any thread.  A null pointer in place of a struct tms_clock means the system's monotonic clock.
 * spend null: time passes by itself.  Else the clock is virtual: the core calls spend for what its work
 * and its waiting take by the model, and one thread at a time drives the store. */
struct tms_clock {
	uint64_t (*now_ns)(void *context);
	uint64_t (*cpu_ns)(void *context);
	void *context;
	void (*spend)(void *context, uint64_t ns);
};
/* A virtual clock that starts at *now_ns and keeps its time there. */
void tms_virtual_clock(uint64_t *now_ns, struct tms_clock *ret);

/* ---- an emulated device -------------------------------------------------------------------------- */

enum { TMS_EPISODES = 16 };

/* From start_ns on, for duration_ns, every request takes slow_permille / 1000 of its time; 0: nothing
 * moves until the episode is over.  Times on the store's clock, counted from the opening of the device. */
struct tms_episode {
	uint64_t start_ns;
	uint64_t duration_ns; /* 0: no episode; UINT64_MAX: without end */
	uint64_t slow_permille;
};

/* A request of b bytes takes request_ns + b * byte_ps / 1000, times a lognormal factor of mean 1, one
 * request after the other.  Each request draws from the seed, so that the same requests in the same order
 * take the same times.  Episodes hold for the part of a request, pauses included, that lies in them; where
 * they overlap the slowest counts. */
struct tms_device {
	uint64_t seed;
	uint64_t write_request_ns, write_byte_ps;
	uint64_t read_request_ns, read_byte_ps; /* of either kind, 512 KiB take less than 1000 s */
	uint64_t sigma_permille;    /* of the logarithm of the factor; 0: none; at most 3000 */
	uint64_t pause_every_bytes; /* written between two pauses: the mean of an exponential distribution, at
				     * least 4096; 0: none */
	uint64_t pause_ns;          /* mean, less than 1000 s; a pause lasts from half of it to one and a half */
	uint64_t size_bytes;        /* 0: none but the file's or the memory's */
	struct tms_episode episodes[16];
	bool in_memory;             /* keep the data in RAM, not in the spill file */
};

/* ---- region: the reserved area ------------------------------------------------------------------ */

enum tms_copy { TMS_COPY_AUTO = 0, TMS_COPY_PLAIN = 1, TMS_COPY_NONTEMPORAL = 2 };

struct tms_region_config {
	uint64_t size_bytes;            /* page multiple, 1 MiB to 256 GiB */
	uint64_t reserve_bytes;         /* RAM outside the area that reclaim may fill; page multiple, 0: none */
	uint64_t nontemporal_from_bytes; /* TMS_COPY_AUTO: regions of this size and more are written past the cache */
	int32_t copy;                   /* enum tms_copy */
	bool hugetlb;                   /* ask for reserved huge pages; goes on without where refused */
	bool mlock;                     /* ask for locked memory; goes on without where refused */
	bool without_data;              /* no memory, for tms_replay, which alone puts and gets then: everything is decided and
					 * counted as ever, but pages have sizes and no bytes */
};

struct tms_region_info {
	uint64_t size_bytes;
	uint64_t reserve_bytes;
	uint64_t frames;
	uint64_t chunks;      /* the last one may be short */
	uint64_t base_address;
	int32_t hugepage_errno; /* madvise(MADV_HUGEPAGE); 0: granted */
	int32_t hugetlb_errno;  /* 0: granted or not asked */
	int32_t mlock_errno;    /* 0: granted or not asked */
	int32_t map_errno;      /* why tms_region_create failed with TMS_E_SYSTEM */
	bool hugetlb;
	bool mlocked;
	const char *copy_variant; /* "avx512-nt", "avx2-nt", "sse2-nt", "neon-nt", "plain", "none" */
};

typedef struct tms_region tms_region;

/* Reserves, populates and owns the area.  info is filled on success and on TMS_E_SYSTEM. */
int tms_region_create(const struct tms_region_config *config, struct tms_region_info *info, tms_region **ret);
/* Unmaps, and makes the pointer null.  No store and no view of the region may be left.  Idempotent. */
void tms_region_destroy(tms_region **region);
uint8_t *tms_region_address(tms_region *region, uint64_t pfn);
/* The variant TMS_COPY_NONTEMPORAL would use on this CPU. */
const char *tms_copy_best_variant(void);

/* ---- store -------------------------------------------------------------------------------------- */

enum tms_codec_kind { TMS_CODEC_NONE = 0, TMS_CODEC_LZ4 = 1, TMS_CODEC_ZSTD = 2 };

/* Addresses of the C functions of liblz4 or libzstd.  Only those of the kind chosen are used. */
struct tms_codec {
	int32_t kind;
	int32_t level; /* zstd only */
	void *lz4_compress_default;
	void *lz4_decompress_safe;
	void *zstd_create_cctx;
	void *zstd_free_cctx;
	void *zstd_compress_cctx;
	void *zstd_create_dctx;
	void *zstd_free_dctx;
	void *zstd_decompress_dctx;
	void *zstd_is_error;
};

enum tms_order { TMS_ORDER_FIFO = 0, TMS_ORDER_LRU = 1, TMS_ORDER_SIEVE = 2, TMS_ORDERS = 3 };
const char *tms_order_name(int order);

struct tms_spill_info {
	uint64_t size_bytes;     /* a device's size; 0: a file, that grows */
	int32_t error;           /* errno of the step that failed; 0 */
	int32_t direct_errno;    /* why O_DIRECT is not used; 0: it is */
	bool direct;
	bool is_device;
	bool created;
	bool reused;             /* a file with our header from an earlier run */
	bool preallocated;
	const char *failed_step; /* "open", "lock", "read header", ...; null if none */
};

struct tms_store_config {
	const struct tms_clock *clock; /* null: the system's monotonic clock */
	struct tms_codec codec;
	struct tms_codec denser;       /* for the compress route; kind TMS_CODEC_NONE: there is none */
	const char *spill_path;        /* null: no page-out route, unless a device in memory is emulated */
	const struct tms_device *device; /* emulated, over the spill file or in memory; null: the file is the device */
	uint64_t spill_limit_bytes;    /* 0: none but the device's */
	uint64_t spill_preallocate_bytes;
	uint64_t io_timeout_ns;
	uint32_t io_threads;           /* 1 to 16 */
	int32_t order;                 /* enum tms_order */
	uint32_t denser_permille;      /* in a region without data: what the denser codec leaves of the bytes kept; 0 or 1000
					* and more: all of them */
	bool spill_overwrite;          /* take a foreign file or device, losing what is in it */
	bool spill_buffered;           /* do not try O_DIRECT */
	bool io_spins;                 /* where there are processors to spare: a load from a fast device is waited for awake, and
					* by the I/O thread, for a moment, the one after it */
};

typedef struct tms_store tms_store;

/* The store borrows the region, which must outlive it; a region serves one store in its life.  Over a region without data
 * a spill device must be emulated in memory, and keeps none either. */
int tms_store_create(tms_region *region, const struct tms_store_config *config, struct tms_spill_info *spill_info, tms_store **ret);
/* From here on every call answers TMS_E_CLOSED.  TMS_WAITING: I/O is under way, call again.  TMS_OK:
 * done; *abandoned_threads (a device that hangs) is set then.  Idempotent. */
int tms_store_close(tms_store *store, uint64_t slice_ns, uint32_t *abandoned_threads);
/* Frees all but what an abandoned I/O thread still holds, and makes the pointer null.  The last call; idempotent. */
void tms_store_destroy(tms_store **store);
/* While disabled every put is rejected (and leaves its key absent); gets and flushes go on. */
int tms_store_set_enabled(tms_store *store, bool enabled);

/* ---- pools -------------------------------------------------------------------------------------- */

enum tms_pool_flag {
	TMS_POOL_PERSISTENT = 1,
	TMS_POOL_SHARED = 2,    /* ephemeral only; private unless the uuid is authorised */
	TMS_POOL_INCLUSIVE = 4  /* ephemeral only: get leaves the page; shared pools always do */
};
typedef uint32_t tms_pool_id; /* never 0 */
enum { TMS_POOL_ID_PERSISTENT_BIT = 31 }; /* of an id: set where the pool is persistent */

int tms_pool_create(tms_store *store, uint32_t flags, const uint8_t *uuid, tms_pool_id *ret);
/* Drops one handle; the pages go with the last one. */
int tms_pool_destroy(tms_store *store, tms_pool_id pool);
/* The flags the pool really has: SHARED is missing where the uuid was not authorised. */
int tms_pool_flags(tms_store *store, tms_pool_id pool, uint32_t *ret);
int tms_shared_authorize(tms_store *store, const uint8_t *uuid, bool allow);

/* ---- put, get, flush ---------------------------------------------------------------------------- */

/* A get that waits for the device.  Zero it before the first call; while the answer is TMS_WAITING call
 * again with everything unchanged, or give up with tms_wait_cancel.  done counts items whose turn has come: of a
 * batch several may be at the device. */
struct tms_wait {
	uint64_t slice_ns; /* longest wait inside one call, for a batch as for one page */
	uint64_t done;
	uint64_t until_ns; /* the core's: of a batch that timed out once, later pages are not waited for */
	void *request; /* of a batch the oldest */
};

enum tms_put_flag {
	TMS_PUT_ACTIVE = 1 /* ephemeral: the caller knows that the page is in use; the filter lets it in */
};

/* Page bytes are copied before return.  flags: enum tms_put_flag.  TMS_REJECTED leaves the key absent, whatever it
 * held. */
int tms_put(tms_store *store, tms_pool_id pool, uint64_t object, uint32_t index, uint32_t flags, const uint8_t *page);
/* TMS_OK or TMS_MISS.  Private ephemeral pools: the page is removed unless the pool is inclusive.  wait
 * null: a page that must be read from the spill file answers TMS_WAITING, and nothing is begun. */
int tms_get(tms_store *store, tms_pool_id pool, uint64_t object, uint32_t index, uint8_t *page, struct tms_wait *wait);
/* The same over n keys; pages are n * TMS_PAGE_SIZE bytes; results hold one bool a key.  put_many
 * stops at the first error; get_many goes on past device errors, marks those keys in errors (a
 * tms_code a key, 0: none) and answers the first of them.  errors, wait: null will do for an ephemeral pool. */
int tms_put_many(tms_store *store, tms_pool_id pool, uint64_t n, const uint64_t *objects, const uint64_t *indexes, uint32_t flags, const uint8_t *pages, bool *results);
int tms_get_many(tms_store *store, tms_pool_id pool, uint64_t n, const uint64_t *objects, const uint64_t *indexes, uint8_t *pages, bool *results, int32_t *errors, struct tms_wait *wait);
void tms_wait_cancel(tms_store *store, struct tms_wait *wait);

int tms_flush_page(tms_store *store, tms_pool_id pool, uint64_t object, uint32_t index);
int tms_flush_object(tms_store *store, tms_pool_id pool, uint64_t object);
int tms_flush_pool(tms_store *store, tms_pool_id pool);

/* Where the data of a key is, without touching it. */
enum tms_place {
	TMS_PLACE_ABSENT = 0,
	TMS_PLACE_FILL = 1,   /* same-filled: no frame */
	TMS_PLACE_REGION = 2,
	TMS_PLACE_SPILL = 4   /* REGION | SPILL: in the region, with a copy in the spill file */
};
int tms_where_many(tms_store *store, tms_pool_id pool, uint64_t n, const uint64_t *objects, const uint64_t *indexes, uint8_t *places);

/* ---- looking in --------------------------------------------------------------------------------- */

enum tms_reject {
	TMS_REJECT_FULL = 0,     /* no frame to be had */
	TMS_REJECT_POOR = 1,     /* does not compress, and no whole frame to be had */
	TMS_REJECT_DISABLED = 2,
	TMS_REJECT_MEMORY = 3,   /* no memory for the bookkeeping */
	TMS_REJECT_CEILING = 4,  /* a contract, or the frontswap share, allows it in no chunk */
	TMS_REJECT_SPILL = 5,    /* write-through: the device failed or is full */
	TMS_REJECT_COLD = 6,     /* ephemeral: not worth its copy, as far as is known */
	TMS_REJECTS = 7
};
const char *tms_reject_name(int reject);

/* Why an ephemeral page was let in. */
enum tms_admit {
	TMS_ADMIT_WORTH = 0,  /* pages like it are found again often enough, or nothing says the contrary */
	TMS_ADMIT_SEEN = 1,   /* its key was turned away not long ago, and came again */
	TMS_ADMIT_ACTIVE = 2, /* TMS_PUT_ACTIVE */
	TMS_ADMIT_SAMPLE = 3, /* one of many, to see what becomes of it */
	TMS_ADMITS = 4
};
const char *tms_admit_name(int admit);

/* The admission filter of ephemeral pages. */
struct tms_filter {
	uint64_t saved_ns; /* what a get that finds its page spares: a read from its file; less than 1000 s */
	uint64_t copy_ns;  /* a put and its share of a get; less than 1000 s */
	bool enabled;      /* false, as a new store has it: every page is let in */
};
int tms_set_filter(tms_store *store, const struct tms_filter *filter);
const char *tms_reason_name(int reason);

struct tms_stats {
	/* cleancache, events */
	uint64_t clean_puts, clean_gets, clean_hits, clean_flushes, clean_evicted;
	uint64_t clean_rejects[7];
	uint64_t clean_admits[4]; /* of clean_puts, by enum tms_admit */
	/* frontswap, events; incompressible: kept raw because they did not compress */
	uint64_t swap_stores, swap_loads, swap_hits_region, swap_hits_spill, swap_flushes, swap_incompressible, load_errors;
	uint64_t swap_rejects[7];
	uint64_t swap_evicted; /* frames given up because a copy was in the spill file */
	/* pages held now; fill: same-filled ones of both kinds; spilled: only in the spill file; copied: in the
	 * region and in the spill file */
	uint64_t pages_clean, pages_swap, pages_fill, pages_spilled, pages_copied, pages_reserve;
	uint64_t bytes_kept; /* frontswap bytes in the region, as kept */
	/* the escape reserve; uncopied: frontswap data without a completed copy, in region and reserve; both with
	 * every object rounded up to 64 bytes */
	uint64_t reserve_bytes, reserve_bytes_used, uncopied_bytes;
	uint64_t objects, pools;
	/* frames now */
	uint64_t frames, frames_free, frames_clean, frames_frontswap, frames_isolated, frames_allocated;
	/* packing; spans: now */
	uint64_t spans, compactions, objects_moved;
	/* spill; total: the extent of the file, ever used at once */
	uint64_t spill_blocks_used, spill_blocks_total, spill_bytes_written, spill_bytes_read;
	uint64_t spill_write_errors, spill_read_errors, spill_writes_pending;
	uint64_t written_by_cause[6]; /* bytes of completed writes, by enum tms_cause */
	/* allocations; ranges_out: now */
	uint64_t allocs_met, allocs_refused, allocs_aborted, ranges_out;
	uint64_t allocs_by_reason[10];
	uint64_t alloc_clean_dropped, alloc_copied_dropped, alloc_paged_out;
	uint64_t alloc_migrated_inside, alloc_migrated_reserve, alloc_compressed;
	/* allocations that ran, and how many of them took no longer than was said before */
	uint64_t allocs_run, allocs_within_p50, allocs_within_p99, allocs_within_bound;
	uint64_t metadata_bytes;
	/* the filter: of the pages let in to be tried those that were found, and those evicted before; and whether they
	 * say that every page is worth its copy (0 or 1) */
	uint64_t filter_useful, filter_wasted, filter_open;
};
int tms_stats(tms_store *store, struct tms_stats *ret);

/* Per chunk: what its frames hold.  n is at most the region's number of chunks. */
struct tms_chunk {
	uint16_t frames_free;
	uint16_t frames_clean;
	uint16_t frames_frontswap;
	uint16_t frames_isolated;  /* being emptied, and empty already */
	uint16_t frames_allocated;
	uint16_t frames_leaving;   /* in a range being emptied, not empty yet; counted by kind as well */
	uint32_t objects_copied;
	uint32_t objects_uncopied;
	uint32_t bytes_uncopied;
	uint32_t units_uncopied;   /* the same with every object rounded up to 64 bytes, in these */
};
int tms_chunks(tms_store *store, uint64_t n, struct tms_chunk *ret);
/* The few counts a filling loop steers by: free, clean, frontswap, isolated, allocated. */
int tms_frame_counts(tms_store *store, uint64_t ret[5]);

/* Walks every structure.  TMS_E_BROKEN and a sentence in *ret at the first broken invariant. */
int tms_verify(tms_store *store, const char **ret);

/* ---- fault injection: for tests of this library and of what is built on it ---------------------- */

enum tms_fault_site {
	TMS_FAULT_ENTRY_ALLOC = 0,  /* bookkeeping for one page */
	TMS_FAULT_OBJECT_ALLOC = 1, /* bookkeeping for one file or area */
	TMS_FAULT_SPAN_ALLOC = 2,
	TMS_FAULT_GROUP_ALLOC = 3,  /* bookkeeping of one allocation's writes */
	TMS_FAULT_WRITE = 4,        /* error: the errno; 0: the write is lost but reported as done */
	TMS_FAULT_READ = 5,
	TMS_FAULT_SHORT_WRITE = 6,  /* one system call writes half of what it was given */
	TMS_FAULT_CORRUPT = 7,      /* what was read is changed */
	TMS_FAULT_STALL = 8,        /* the I/O thread hangs until the site is disarmed */
	TMS_FAULT_BEFORE_DROP = 9,  /* delay only, here and below: the allocating thread is held up */
	TMS_FAULT_BEFORE_COMMIT = 10,
	TMS_FAULT_AFTER_PROPOSE = 11, /* the window is isolated */
	TMS_FAULT_DURING_MOVE = 12,   /* a step of migrating or compressing */
	TMS_FAULT_DURING_GATHER = 13, /* a step of filling a batch */
	TMS_FAULT_BEFORE_ZERO = 14,
	TMS_FAULT_SITES = 15
};
/* Arms a site: lets skip hits pass, then fires on the next count ones (UINT64_MAX: for ever).
 * count 0 disarms.  delay_ns holds up the thread that hits it. */
int tms_fault_arm(tms_store *store, int site, uint64_t skip, uint64_t count, int32_t error, uint64_t delay_ns);
/* How often a site has fired since it was armed. */
int tms_fault_fired(tms_store *store, int site, uint64_t *ret);
/* cffi: end */

#include "tmemstore_contig.h"
#include "tmemstore_replay.h"
#include "tmemstore_floor.h"

#ifdef __cplusplus
}
#endif
#if defined(__GNUC__)
#pragma GCC visibility pop
#endif
#endif
