/*
 * store.h: the store as its own files see it.
 */
#ifndef TMS_STORE_H
#define TMS_STORE_H

#include "admit.h"
#include "clock.h"
#include "codec.h"
#include "page_out.h"

#define PAGE_OUT_BATCHES 8
/* Of them those that only an allocation may take. */
#define PAGE_OUT_BATCHES_KEPT 4

/* From first to before end; empty: none. */
struct chunks {
	uint32_t first;
	uint32_t end;
};

/* Of a destroyed store lock, present and closed live on until the last lease has ended. */
struct tms_store {
	pthread_mutex_t lock; /* guards everything below but what says otherwise */
	_Atomic uint32_t holders;  /* whoever made the store, and each lease */
	_Atomic uint32_t sleepers; /* who wait for the lock and look for it no more */
	_Atomic bool puts_copy;    /* of the last flight of each kind most pages were copied: those of the next one are touched */
	_Atomic bool gets_copy;
	struct holdings held;
	struct codec codec;          /* its own lock */
	struct codec denser;         /* its own lock; the compress route */
	struct tms_clock clock;      /* constant */
	struct faults *faults;       /* its own lock */
	struct io *io;               /* its own lock; null: no spill file */
	struct page_out *idle;       /* batches not in use */
	uint32_t idle_batches;
	uint32_t allocations;        /* under way */
	struct chunks refused;       /* the window that was refused last because it has to recover first */
	const bool *present;         /* constant; false in a forked child, which has no pages */
	uint64_t io_timeout_ns;      /* constant */
	uint32_t denser_permille;    /* constant; of a region without data */
	bool without_data;           /* constant; the region's */
	uint64_t close_began_ns;
	_Atomic uint32_t interrupts; /* of background work */
	uint32_t loads;              /* that pin a block */
	bool spill_is_file;          /* constant */
	bool enabled;
	bool closed;
};

/* Takes the lock, whatever became of the store. */
void store_lock(tms_store *store);
/* Takes the lock and lets completed I/O take effect.  TMS_OK, or TMS_E_CLOSED without the lock. */
int store_enter(tms_store *store);
void store_leave(tms_store *store);
/* Between two steps of a long call, without the lock, which is whoever's looks first: those that sleep get it now. */
void store_give_way(tms_store *store);
/* The lock again, in a call that gave it up: the store may be closed by now. */
void store_reenter(tms_store *store);
/* Takes the lock for a look. */
bool store_is_closed(tms_store *store);
/* With the lock held: completed writes become copies, abandoned loads are cleared away. */
void store_reap(tms_store *store);
/* Keeps a store, even if it is destroyed, for calls that answer TMS_E_CLOSED then. */
void store_hold(tms_store *store);
void store_let_go(tms_store *store);
/* A flight is over: of so many pages so many were copied. */
static inline void store_learn(_Atomic bool *copies, uint64_t pages, uint64_t copied)
{
	const bool most = 2 * copied >= pages;

	if (unlikely(atomic_load_explicit(copies, memory_order_relaxed) != most))
		atomic_store_explicit(copies, most, memory_order_relaxed);
}

/* An idle batch, or null: all are at the device. */
struct page_out *store_take_batch(tms_store *store);
/* The same for work that an allocation must not wait for: some are kept back. */
struct page_out *store_take_spare_batch(tms_store *store);
/* Wakes those that wait for writes to end. */
void store_give_batch(tms_store *store, struct page_out *batch);
/* One that could not be begun, for want of blocks: whoever took it may wait for writes itself, and is not woken. */
void store_put_back_batch(tms_store *store, struct page_out *batch);

/* A load under way; frees itself through its request's release or load_destroy. */
struct load;
/* With the lock held: an abandoned load has ended. */
void load_reaped(tms_store *store, struct io_request *request);

/* tms_get, in any region. */
int store_get(tms_store *store, tms_pool_id pool, uint64_t object, uint32_t index, uint8_t *page, struct tms_wait *wait);
/* In a region without data: a put of a page of which only the size is known, compressed; 0: it is same-filled. */
int store_put_size(tms_store *store, tms_pool_id pool, uint64_t object, uint32_t index, uint32_t flags, uint32_t size);

#endif
