/*
 * window.h: the second of four chunks, full of frontswap pages, is emptied on a virtual clock.
 */
#ifndef TMS_TESTS_WINDOW_H
#define TMS_TESTS_WINDOW_H

#include "evacuate.h"

#include "inside.h"

#define RAW TMS_PAGE_SIZE
#define FRAMES (4u * TMS_CHUNK_FRAMES)
#define START TMS_CHUNK_FRAMES /* the window: the second chunk */
#define END (2u * TMS_CHUNK_FRAMES)
#define PAIRS 3600u
#define DEADLINE (10 * NSEC_PER_SEC)

static struct fixture f;
static struct tms_device device;
static uint64_t now_ns;
static uint32_t first_key; /* keys held: first_key to last_key */
static uint32_t last_key;
static bool in_pairs;

static inline void put(uint32_t from, uint32_t to)
{
	for (uint32_t key = from; key < to; key++)
		CHECK_EQ(in_pairs ? fixture_put_pairs(&f, key, key + 1, PAIRS) : fixture_put(&f, f.swap, key, key + 1, RAW), TMS_OK);
	last_key = to;
}

/* n raw pages in the window, and, unless there is room, all frames before and behind it full as well. */
static inline void open_window_with(uint32_t n, bool room, uint64_t reserve_bytes, bool pairs)
{
	in_pairs = pairs;
	now_ns = 1000;
	device = steady_device();
	CHECK_EQ(fixture_open(&f, &(struct setup){ .frames = FRAMES,
						   .reserve_bytes = reserve_bytes,
						   .device = &device,
						   .virtual_ns = &now_ns,
						   .denser = true }),
		 TMS_OK);
	first_key = 0;
	put(0, room ? START + n : FRAMES);
	CHECK_SO_FAR();
	if (!room)
		return;
	for (first_key = 0; first_key < START; first_key++)
		CHECK_EQ(tms_flush_page(f.store, f.swap, first_key >> 4, first_key), TMS_OK);
}

static inline void open_window(uint32_t n, bool room, uint64_t reserve_bytes)
{
	open_window_with(n, room, reserve_bytes, false);
}

static inline struct tms_window plan_of(uint64_t migrate, uint64_t compress, uint64_t page_out)
{
	return (struct tms_window){
		.start_pfn = START, .frames = END - START, .to_migrate = migrate, .to_compress = compress, .to_page_out = page_out
	};
}

/* Isolates the window, empties it, and gives it back. */
static inline enum tms_reason run(struct evacuation *e, const struct tms_alloc_request *request, const struct tms_window *window)
{
	enum tms_reason reason;
	uint32_t range;

	range = region_isolate(f.region, START, END);
	*e = (struct evacuation){ .store = f.store, .request = request, .window = window, .deadline_ns = now_ns + DEADLINE };
	f.store->allocations++;
	reason = evacuate(e);
	pthread_mutex_lock(&f.store->lock);
	evacuate_end(e);
	f.store->allocations--;
	region_abort(f.region, range, START, END);
	pthread_mutex_unlock(&f.store->lock);
	return reason;
}

static inline struct tms_alloc_request request_with(int32_t effort, uint64_t move_ns)
{
	struct tms_alloc_request request = request_at(START, END - START, effort);

	request.cost = (struct tms_cost){ .move_ns = move_ns, .object_ns = 10, .compress_ns = 20 };
	return request;
}

/* Objects of the window that are nowhere else. */
static inline uint32_t left_in_window(void)
{
	uint32_t left = 0;

	for (uint32_t pfn = START; pfn < END; pfn++)
		if (frame_state(&f.region->frames, pfn) == FRAME_SWAP)
			left += entry_is_only_copy(holdings_entry(&f.store->held, f.region->frames.owner[pfn]));
	return left;
}

static inline void everything_comes_back(void)
{
	CHECK_VERIFIES(f.store);
	for (uint32_t key = first_key; key < last_key; key++)
		CHECK(in_pairs ? fixture_holds_pairs(&f, key, key + 1, PAIRS) : fixture_holds(&f, f.swap, key, key + 1, RAW));
	CHECK_EQ(tms_advance(f.store, 100 * NSEC_PER_SEC), TMS_OK);
	CHECK_VERIFIES(f.store);
	fixture_close(&f);
}

#endif
