/*
 * evacuate.c: the writer and the mover empty a window from both ends.
 *
 *      loop:  the writer, until its batches are all at the device or its share is submitted
 *             the mover, one step, whenever the writer has nothing to do
 *             neither: look the window over; wait for the device if writes are what is left
 *
 * The plan gives the writer a share; everything else is the mover's.  Whoever is short of means passes its
 * rest on: a mover without room to the writer; and while writes are under way the mover takes their objects
 * too, as far as there is room, so that a device that is slower than its model is not waited for.
 *
 * Laws: 1. nothing waits longer than the deadline, in one place, with a time limit.  2. the lock is never
 * held while waiting.  3. a plan that prefers no write waits for one only if there is no room.
 */
#include "evacuate.h"

/* Objects looked at in one go, before others get the lock. */
#define LOOK_STEP 512

static bool begin(struct evacuation *e)
{
	const struct tms_window *window = e->window;
	const bool compresses = window->to_compress && e->request->effort >= TMS_EFFORT_COMPRESS;
	uint64_t blocks = e->request->batch_bytes / BLOCK_BYTES;
	struct squeeze *squeeze = compresses ? malloc(sizeof(*squeeze)) : NULL;

	if (compresses && !squeeze)
		return false;
	e->squeeze = squeeze;
	e->may_write = e->store->io && e->request->effort == TMS_EFFORT_PAGE_OUT;
	e->move = (struct move){ .store = e->store,
				 .cost = &e->request->cost,
				 .start_pfn = (uint32_t)window->start_pfn,
				 .end_pfn = (uint32_t)(window->start_pfn + window->frames),
				 .squeeze = squeeze,
				 .to_compress = min_u64(window->to_compress, window->to_migrate) };
	e->writeback = (struct writeback){ .store = e->store,
					   .cost = &e->request->cost,
					   .start_pfn = e->move.start_pfn,
					   .end_pfn = e->move.end_pfn,
					   .batch_blocks = blocks ? (uint32_t)min_u64(blocks, PAGE_OUT_BLOCKS) : PAGE_OUT_BLOCKS,
					   .objects_max = e->may_write ? window->to_page_out : 0,
					   .to_compress = window->to_compress - e->move.to_compress,
					   .squeeze = squeeze };
	move_begin(&e->move, false);
	e->moved = e->request->effort >= TMS_EFFORT_MIGRATE ? MOVE_AGAIN : MOVE_NO_ROOM;
	return writeback_begin(&e->writeback);
}

/* What the window still holds: objects without a copy that nobody writes, and those that are being written. */
struct rest {
	bool idle;
	bool written;
};

/* One step, under the lock.  False: all has been looked at. */
static bool look_on(struct evacuation *e, struct walk *walk, struct rest *rest)
{
	for (uint32_t looked = 0; looked < LOOK_STEP; looked++) {
		uint32_t id = walk_current(walk);
		const struct entry *entry = id ? holdings_entry(&e->store->held, id) : NULL;

		if (!entry || rest->idle)
			return false;
		if (entry_is_only_copy(entry))
			*(entry->flags & ENTRY_WRITING ? &rest->written : &rest->idle) = true;
		walk_next(walk);
	}
	return true;
}

/* Past the deadline it does not look on: something is left, as far as anybody knows. */
static struct rest look_over(struct evacuation *e)
{
	struct walk walk = walk_begin(e->store->held.region, e->move.start_pfn, e->move.end_pfn);
	struct rest rest = { 0 };
	bool more = true;

	while (more && !store_enter(e->store)) {
		more = look_on(e, &walk, &rest);
		store_leave(e->store);
		if (more && clock_now_ns(&e->store->clock) > e->deadline_ns)
			rest.idle = true;
		more = more && !rest.idle;
	}
	return rest;
}

/* Waits until a write ends that had not when seen was read, or for the deadline. */
static void wait_for_device(struct evacuation *e, uint64_t seen)
{
	uint64_t now_ns = clock_now_ns(&e->store->clock);

	if (now_ns > e->deadline_ns)
		return;
	(void)io_wait_ended(e->store->io, seen, e->deadline_ns - now_ns + 1);
	e->waited_ns += clock_now_ns(&e->store->clock) - now_ns;
}

/* All that is there, as it is, also what is being written: a pass that ends with nothing left, or no room. */
static void move_everything(struct evacuation *e)
{
	e->move.to_compress = 0;
	move_begin(&e->move, true);
	e->moved = MOVE_AGAIN;
}

/* The mover has come to its end, and the writer can begin nothing: who is to take what is left? */
static enum tms_reason take_stock(struct evacuation *e, enum writeback_turn written, uint64_t seen, bool *done)
{
	struct rest rest = look_over(e);

	*done = !rest.idle && !rest.written;
	if (*done)
		return TMS_REASON_NONE;
	if (e->moved == MOVE_DONE) {
		move_everything(e);
		return TMS_REASON_NONE;
	}
	if (rest.idle && written == WRITEBACK_FAILED)
		return TMS_REASON_SPILL;
	if (rest.idle && !e->may_write)
		return TMS_REASON_ROOM;
	if (rest.idle && written == WRITEBACK_DONE) {
		e->writeback.objects_max = UINT64_MAX;
		writeback_rewind(&e->writeback);
		return TMS_REASON_NONE;
	}
	wait_for_device(e, seen);
	/* A write that ended may have made room in the reserve. */
	if (e->request->effort >= TMS_EFFORT_MIGRATE)
		move_everything(e);
	return TMS_REASON_NONE;
}

enum tms_reason evacuate(struct evacuation *e)
{
	enum tms_reason reason = TMS_REASON_NONE;
	bool done = false;

	if (!begin(e))
		return TMS_REASON_MEMORY;
	while (!done && reason == TMS_REASON_NONE) {
		uint64_t seen = e->store->io ? io_ended(e->store->io) : 0;
		enum writeback_turn written = writeback_turn(&e->writeback);

		if (clock_now_ns(&e->store->clock) > e->deadline_ns)
			reason = TMS_REASON_TIME;
		else if (store_is_closed(e->store))
			reason = TMS_REASON_CLOSED;
		else if (written != WRITEBACK_AGAIN && e->moved == MOVE_AGAIN)
			e->moved = move_turn(&e->move);
		else if (written != WRITEBACK_AGAIN)
			reason = take_stock(e, written, seen, &done);
	}
	return reason;
}

void evacuate_end(struct evacuation *e)
{
	writeback_end(&e->writeback);
	free(e->squeeze);
	e->squeeze = NULL;
}
