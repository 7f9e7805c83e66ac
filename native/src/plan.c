/*
 * plan.c: splitting objects among the routes.
 *
 * Migrating and gathering for a write both copy an object once, so that writing what could be moved gains
 * nothing; what has no room is written, and the one choice left is how many objects to compress first.  A
 * compressed object leaves (1 - ratio) of its bytes for another one, be it in the room or in the write: the
 * device lane falls and the CPU lane rises with their number, and the best one is where the two meet.
 *
 *      time ^  cpu       device
 *           |     `.    .'            x: objects compressed
 *           |       `..'   the best
 *           +-----------------> x
 *
 * Pure functions; all objects of a window are taken to be of their mean size.
 */
#include "plan.h"

#define PERMILLE UINT64_C(1000)

static uint64_t add_saturated(uint64_t sum, uint64_t count, uint64_t each, uint64_t divisor)
{
	__extension__ unsigned __int128 more = (unsigned __int128)count * each / divisor;

	return more > UINT64_MAX - sum ? UINT64_MAX : sum + (uint64_t)more;
}

/* ---- the device lane ------------------------------------------------------------------------------- */

static uint64_t spread_ns(const struct tms_cost *cost, uint64_t bytes)
{
	uint64_t low_bytes = 0;
	uint64_t low_ns = 0;
	uint64_t high_bytes = TMS_SPREAD_FIRST_BYTES;
	uint32_t i = 0;

	while (i < TMS_SPREAD_POINTS - 1 && bytes > high_bytes) {
		low_bytes = high_bytes;
		low_ns = cost->spread_ns[i++];
		high_bytes *= 2;
	}
	if (cost->spread_ns[i] <= low_ns)
		return cost->spread_ns[i];
	/* The first piece is no line from zero: the smallest write may meet the longest pause. */
	if (i == 0)
		return bytes ? cost->spread_ns[0] : 0;
	return add_saturated(low_ns, bytes - low_bytes, cost->spread_ns[i] - low_ns, high_bytes - low_bytes);
}

uint64_t plan_device_ns(const struct tms_cost *cost, uint64_t bytes)
{
	return add_saturated(spread_ns(cost, bytes), bytes, cost->byte_ps, PERMILLE);
}

uint64_t plan_device_bytes(const struct tms_cost *cost, uint64_t ns)
{
	uint64_t low = 0;
	uint64_t high = UINT64_C(1) << 40;

	if (plan_device_ns(cost, high) <= ns)
		return UINT64_MAX;
	while (high - low > 1) {
		uint64_t middle = low + (high - low) / 2;

		if (plan_device_ns(cost, middle) <= ns)
			low = middle;
		else
			high = middle;
	}
	return low;
}

uint64_t tms_device_ns(const struct tms_cost *cost, uint64_t bytes)
{
	return plan_device_ns(cost, bytes);
}

uint64_t tms_device_bytes(const struct tms_cost *cost, uint64_t ns)
{
	return plan_device_bytes(cost, ns);
}

/* ---- both lanes ------------------------------------------------------------------------------------ */

static uint64_t base_ns(const struct plan_task *task, const struct plan *plan, const struct tms_cost *cost)
{
	uint64_t ns = add_saturated(cost->t0_ns, task->frames, cost->frame_ns, 1);

	ns = add_saturated(ns, task->clean, cost->clean_ns, 1);
	/* What was written is dropped from its frame; what was moved has left it. */
	ns = add_saturated(ns, task->drops + plan->page_out, cost->drop_ns, 1);
	return task->zero ? add_saturated(ns, task->frames, cost->zero_ns, 1) : ns;
}

static uint64_t cpu_ns(const struct plan_task *task, const struct plan *plan, const struct tms_cost *cost)
{
	uint64_t ns = add_saturated(0, plan->migrate, cost->move_ns, 1);
	uint64_t moved = task->uncopied ? add_saturated(0, task->bytes, plan->migrate, task->uncopied) : 0;

	ns = add_saturated(ns, moved, cost->move_ps, PERMILLE);
	ns = add_saturated(ns, plan->compress, cost->compress_ns, 1);
	return add_saturated(ns, plan->page_out, cost->object_ns, 1);
}

/* Bytes that so many compressed objects leave for others. */
static uint64_t saved_bytes(const struct plan_task *task, const struct tms_cost *cost, uint64_t compressed)
{
	uint64_t bytes = add_saturated(0, task->bytes, compressed, task->uncopied);

	return add_saturated(0, bytes, PERMILLE - cost->compress_permille, PERMILLE);
}

/* The plan with that many objects compressed, writing what then has no room. */
static struct plan with_compressed(const struct plan_task *task, const struct tms_cost *cost, uint64_t compressed)
{
	struct plan plan = { .compress = compressed, .feasible = true };
	uint64_t left = task->bytes - (compressed ? saved_bytes(task, cost, compressed) : 0);

	plan.page_out_bytes = left > task->room ? left - task->room : 0;
	if (left)
		plan.page_out = (add_saturated(left - 1, task->uncopied, plan.page_out_bytes, 1)) / left;
	if (plan.page_out > task->uncopied)
		plan.page_out = task->uncopied;
	plan.migrate = task->uncopied - plan.page_out;
	return plan;
}

/* The device begins once the first batch is full, and with what came before it. */
static uint64_t device_lane_ns(const struct plan_task *task, const struct plan *plan, const struct tms_cost *cost)
{
	uint64_t first = plan->page_out;

	if (!plan->page_out)
		return 0;
	if (task->batch < plan->page_out_bytes)
		first = add_saturated(0, plan->page_out, task->batch, plan->page_out_bytes);
	return add_saturated(plan_device_ns(cost, plan->page_out_bytes + task->pending), first, cost->object_ns, 1);
}

/* Compressing may gain less at this cost than at the one the plan was made by: more is written then. */
static struct plan plan_at(const struct plan_task *task, const struct plan *plan, const struct tms_cost *cost)
{
	struct plan at = with_compressed(task, cost, plan->compress);

	return plan->compress && at.page_out_bytes > plan->page_out_bytes ? at : *plan;
}

uint64_t plan_price(const struct plan_task *task, const struct plan *plan, const struct tms_cost *cost)
{
	struct plan at = plan_at(task, plan, cost);
	uint64_t cpu = cpu_ns(task, &at, cost);
	uint64_t device = device_lane_ns(task, &at, cost);

	return add_saturated(base_ns(task, &at, cost), cpu > device ? cpu : device, 1, 1);
}

uint64_t plan_cpu_bytes_over(const struct plan_task *task, const struct plan *plan, const struct tms_cost *cost, uint64_t ns)
{
	struct plan at = plan_at(task, plan, cost);
	uint64_t lane = cpu_ns(task, &at, cost);
	uint64_t taken = add_saturated(base_ns(task, &at, cost), lane, 1, 1);
	uint64_t drops = add_saturated(0, at.migrate, cost->drop_ns, 1); /* what is written is dropped in any case */
	uint64_t objects;

	if (taken <= ns)
		return 0;
	if (lane <= drops)
		return task->bytes;
	objects = add_saturated(1, taken - ns, task->uncopied, lane - drops);
	return objects < task->uncopied ? objects * (task->bytes / task->uncopied) : task->bytes;
}

static bool device_is_slower(const struct plan_task *task, const struct tms_cost *cost, const struct plan *plan)
{
	return device_lane_ns(task, plan, cost) > cpu_ns(task, plan, cost);
}

/* The fewest objects to compress so that the device is no longer the slower lane (writing), or so that
 * everything has room (not writing). */
static uint64_t best_compressed(const struct plan_task *task, const struct tms_cost *cost, bool writing)
{
	uint64_t low = 0;
	uint64_t high = task->uncopied;

	while (low < high) {
		uint64_t middle = low + (high - low) / 2;
		struct plan plan = with_compressed(task, cost, middle);

		if (writing ? device_is_slower(task, cost, &plan) : plan.page_out_bytes > 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct plan plan_make(const struct plan_task *task, const struct tms_cost *cost)
{
	const bool may_move = task->effort >= TMS_EFFORT_MIGRATE;
	const bool may_compress = task->effort >= TMS_EFFORT_COMPRESS && task->can_compress && cost->compress_permille < PERMILLE;
	const bool may_write = task->effort == TMS_EFFORT_PAGE_OUT && task->can_write;
	struct plan plan = { .feasible = true };

	if (!task->uncopied)
		return plan;
	plan = with_compressed(task, cost, 0);
	if (plan.page_out && may_compress) {
		struct plan other = with_compressed(task, cost, best_compressed(task, cost, may_write && !task->prefers_no_write));

		if (!may_write || task->prefers_no_write || plan_price(task, &other, cost) < plan_price(task, &plan, cost))
			plan = other;
	}
	plan.feasible = may_move && (!plan.page_out || may_write);
	return plan;
}
