/*
 * stats.c: looking in without changing anything, and the words for codes.
 */
#include "store.h"

static const char *const reject_names[TMS_REJECTS] = {
	[TMS_REJECT_FULL] = "full",
	[TMS_REJECT_POOR] = "poor",
	[TMS_REJECT_DISABLED] = "disabled",
	[TMS_REJECT_MEMORY] = "memory",
	[TMS_REJECT_CEILING] = "ceiling",
	[TMS_REJECT_SPILL] = "spill",
	[TMS_REJECT_COLD] = "cold",
};

static const char *const cause_names[TMS_CAUSES] = {
	[TMS_CAUSE_RECLAIM] = "reclaim", [TMS_CAUSE_CLEAN] = "clean",	  [TMS_CAUSE_DRAIN] = "drain",
	[TMS_CAUSE_TRIM] = "trim",	 [TMS_CAUSE_THROUGH] = "through", [TMS_CAUSE_MEASURE] = "measure",
};

static const char *const reason_names[TMS_REASONS] = {
	[TMS_REASON_NONE] = "none",	  [TMS_REASON_NO_WINDOW] = "no-window", [TMS_REASON_EFFORT] = "effort",
	[TMS_REASON_DEADLINE] = "deadline", [TMS_REASON_TIME] = "time",	      [TMS_REASON_SPILL] = "spill",
	[TMS_REASON_MEMORY] = "memory",	  [TMS_REASON_CLOSED] = "closed",       [TMS_REASON_RECOVERING] = "recovering",
	[TMS_REASON_ROOM] = "room",
};

static const char *const admit_names[TMS_ADMITS] = {
	[TMS_ADMIT_WORTH] = "worth",
	[TMS_ADMIT_SEEN] = "seen",
	[TMS_ADMIT_ACTIVE] = "active",
	[TMS_ADMIT_SAMPLE] = "sample",
};

const char *tms_admit_name(int admit)
{
	return admit >= 0 && admit < TMS_ADMITS ? admit_names[admit] : NULL;
}

const char *tms_reject_name(int reject)
{
	return reject >= 0 && reject < TMS_REJECTS ? reject_names[reject] : NULL;
}

const char *tms_reason_name(int reason)
{
	return reason >= 0 && reason < TMS_REASONS ? reason_names[reason] : NULL;
}

const char *tms_cause_name(int cause)
{
	return cause >= 0 && cause < TMS_CAUSES ? cause_names[cause] : NULL;
}

const char *tms_code_text(int code)
{
	switch (code) {
	case TMS_OK:
		return "done";
	case TMS_MISS:
		return "the key is not held";
	case TMS_REJECTED:
		return "the page was not admitted";
	case TMS_WAITING:
		return "the device has not answered yet";
	case TMS_ALLOC_REFUSED:
		return "the allocation was refused";
	case TMS_ALLOC_ABORTED:
		return "the allocation was aborted";
	case TMS_E_INVALID:
		return "an argument is out of its range";
	case TMS_E_NO_MEMORY:
		return "no memory for the bookkeeping";
	case TMS_E_NO_POOL:
		return "no such pool: it was destroyed, or never made";
	case TMS_E_NO_RANGE:
		return "no such contiguous range: it was released, or never handed out";
	case TMS_E_CLOSED:
		return "the store is closed";
	case TMS_E_SPILL_READ:
		return "the spill device failed to read";
	case TMS_E_SPILL_CORRUPT:
		return "the spill device answered with other bytes than were written";
	case TMS_E_TIMEOUT:
		return "the spill device did not answer in time";
	case TMS_E_SYSTEM:
		return "the system refused";
	case TMS_E_FOREIGN:
		return "the spill path holds something that is not a spill file";
	case TMS_E_LOCKED:
		return "the spill path is in use";
	case TMS_E_TOO_SMALL:
		return "the spill device is smaller than two blocks";
	case TMS_E_CODEC:
		return "a kept page could not be decompressed";
	case TMS_E_BROKEN:
		return "an invariant does not hold";
	default:
		return "unknown code";
	}
}

static void fill_frames(const struct frame_table *frames, struct tms_stats *stats)
{
	stats->frames = frames->frames;
	stats->frames_free = frames->held[FRAME_FREE];
	stats->frames_clean = frames->held[FRAME_CLEAN];
	stats->frames_frontswap = frames->held[FRAME_SWAP] + frames->held[FRAME_PACKED];
	stats->frames_isolated = frames->isolated;
	stats->frames_allocated = frames->held[FRAME_ALLOCATED];
}

int tms_stats(tms_store *store, struct tms_stats *ret)
{
	const struct holdings *held = &store->held;
	struct io_counters io = { 0 };
	int code = store_enter(store);

	if (code)
		return code;
	if (store->io)
		io_read_counters(store->io, &io);
	*ret = held->stats;
	fill_frames(&held->region->frames, ret);
	ret->objects = held->index.objects.live;
	ret->pools = held->pools.live;
	ret->spans = held->region->packing.spans.live;
	ret->spill_blocks_used = held->spill.used;
	ret->spill_blocks_total = held->spill.end;
	ret->spill_bytes_written = io.bytes_written;
	ret->spill_bytes_read = io.bytes_read;
	ret->spill_write_errors = io.write_errors;
	ret->spill_read_errors = io.read_errors;
	ret->spill_writes_pending = io.writes_pending;
	ret->reserve_bytes = (uint64_t)held->region->reserve.units << UNIT_SHIFT;
	ret->reserve_bytes_used = (uint64_t)held->region->reserve.used << UNIT_SHIFT;
	ret->uncopied_bytes = held->uncopied_units << UNIT_SHIFT;
	ret->ranges_out = held->region->ranges.allocated;
	ret->metadata_bytes = frame_table_bytes(&held->region->frames) + packing_bytes(&held->region->packing) +
			      index_bytes(&held->index) + spill_bytes(&held->spill) + filter_bytes(&held->filter) +
			      ghost_bytes(&held->ghost);
	ret->filter_useful = held->filter.useful;
	ret->filter_wasted = held->filter.wasted;
	ret->filter_open = filter_finds_worth(&held->filter);
	store_leave(store);
	return TMS_OK;
}

int tms_chunks(tms_store *store, uint64_t n, struct tms_chunk *ret)
{
	const struct frame_table *frames = &store->held.region->frames;
	int code;

	if (n > frames->chunks)
		return TMS_E_INVALID;
	code = store_enter(store);
	if (code)
		return code;
	memcpy(ret, frames->chunk, n * sizeof(*ret));
	store_leave(store);
	return TMS_OK;
}

int tms_frame_counts(tms_store *store, uint64_t ret[5])
{
	const struct frame_table *frames = &store->held.region->frames;
	int code = store_enter(store);

	if (code)
		return code;
	ret[0] = frames->held[FRAME_FREE];
	ret[1] = frames->held[FRAME_CLEAN];
	ret[2] = frames->held[FRAME_SWAP] + frames->held[FRAME_PACKED];
	ret[3] = frames->isolated;
	ret[4] = frames->held[FRAME_ALLOCATED];
	store_leave(store);
	return TMS_OK;
}
