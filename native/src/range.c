/*
 * range.c: isolating, claiming and releasing contiguous ranges.
 *
 * Owns: the table of ranges.  Borrows: frames.
 * Invariants: 1. ranges do not overlap.  2. the frames of a range being emptied are isolated, those of
 * a handed-out one ALLOCATED.  3. a handle is never given twice while its
 * generation lasts (16 bits), so that a late release is noticed.
 * Locks: the store's.
 */
#include "range.h"

#define SLOT_BITS 16
#define SLOT_MASK ((UINT32_C(1) << SLOT_BITS) - 1)

void range_table_init(struct range_table *table, struct frame_table *frames)
{
	*table = (struct range_table){ .frames = frames };
	slab_init(&table->ranges, sizeof(struct range));
}

void range_table_deinit(struct range_table *table)
{
	slab_deinit(&table->ranges);
}

static struct range *find(const struct range_table *table, uint32_t handle)
{
	uint32_t id = handle & SLOT_MASK;
	struct range *range;

	if (id == 0 || id >= table->ranges.end)
		return NULL;
	range = slab_at(&table->ranges, id);
	return range->generation && range->generation == handle >> SLOT_BITS ? range : NULL;
}

uint32_t range_isolate(struct range_table *table, uint32_t start_pfn, uint32_t end_pfn)
{
	uint32_t id = slab_alloc(&table->ranges);
	struct range *range;

	if (!id)
		return 0;
	if (id > SLOT_MASK) {
		slab_free(&table->ranges, id);
		return 0;
	}
	table->generation = table->generation % SLOT_MASK + 1;
	range = slab_at(&table->ranges, id);
	*range = (struct range){ .generation = table->generation, .start_pfn = start_pfn, .end_pfn = end_pfn };
	frame_isolate_run(table->frames, start_pfn, end_pfn);
	return table->generation << SLOT_BITS | id;
}

void range_abort(struct range_table *table, uint32_t handle)
{
	struct range *range = find(table, handle);

	frame_unisolate_run(table->frames, range->start_pfn, range->end_pfn);
	slab_free(&table->ranges, handle & SLOT_MASK);
}

void range_claim(struct range_table *table, uint32_t handle)
{
	struct range *range = find(table, handle);

	frame_claim_run(table->frames, range->start_pfn, range->end_pfn);
	range->allocated = true;
	table->allocated++;
}

bool range_release(struct range_table *table, uint32_t handle)
{
	struct range *range = find(table, handle);

	if (!range || !range->allocated)
		return false;
	frame_release_run(table->frames, range->start_pfn, range->end_pfn);
	slab_free(&table->ranges, handle & SLOT_MASK);
	table->allocated--;
	return true;
}
