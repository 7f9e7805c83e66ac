/* Making one entry leave.  The store is there for its holdings; nobody else uses it, so its lock is not taken. */
#include "store.h"
#include "fixture.h"

#define RAW TMS_PAGE_SIZE

static struct fixture f;
static struct holdings *held;

static int open_holdings(void)
{
	int code = fixture_open(&f, &(struct setup){ .spill = true, .packed = true });

	held = f.store ? &f.store->held : NULL;
	return code;
}

static uint32_t id_of(tms_pool_id pool, uint32_t key)
{
	struct key k = { .object = key >> 4, .index = key, .pool = pool_slot(&held->pools, pool) };

	return index_find(&held->index, &k);
}

static uint32_t put(tms_pool_id pool, uint32_t key, uint32_t noise)
{
	return fixture_put(&f, pool, key, key + 1, noise) == TMS_OK ? id_of(pool, key) : 0;
}

/* A batch that holds these entries, ready for the device. */
static struct page_out *gather(const uint32_t *ids, uint32_t n, struct page_out_group *group)
{
	struct page_out *batch = store_take_batch(f.store);

	if (!page_out_begin(held, batch, group))
		return NULL;
	for (uint32_t i = 0; i < n; i++)
		if (!shrink_gather(held, batch, ids[i]))
			return NULL;
	return page_out_seal(held, batch) ? batch : NULL;
}

static void complete(struct page_out *batch, int32_t error)
{
	shrink_complete(held, batch, error);
	store_give_batch(f.store, batch);
}

static void give_copy(uint32_t id)
{
	complete(gather(&id, 1, NULL), 0);
}

static void a_dropped_entry_takes_all_it_has_with_it(void)
{
	const struct { bool swap; uint32_t noise; bool copy, resident; } form[] = {
		{ false, RAW, false, true }, { false, 0, false, false }, { true, RAW, false, true }, { true, 500, false, true },
		{ true, 0, false, false },   { true, RAW, true, true },	 { true, 500, true, true },  { true, RAW, true, false },
		{ true, 500, true, false },
	};

	CHECK_EQ(open_holdings(), TMS_OK);
	for (size_t i = 0; i < sizeof(form) / sizeof(*form); i++) {
		uint32_t id = put(form[i].swap ? f.swap : f.clean, 7, form[i].noise);
		struct tms_stats stats;

		CHECK(id);
		if (form[i].copy)
			give_copy(id);
		if (form[i].copy && !form[i].resident)
			shrink_drop_resident(held, id);
		CHECK_EQ(held->region->frames.held[FRAME_FREE] < FRAMES_PER_MIB, form[i].resident);
		CHECK_EQ(held->spill.used, form[i].copy);
		CHECK_VERIFIES(f.store);
		shrink_drop(held, id);
		stats = fixture_stats(&f);
		CHECK_EQ(stats.pages_clean + stats.pages_swap + stats.pages_fill + stats.pages_spilled + stats.pages_copied, 0);
		CHECK_EQ(stats.bytes_kept + stats.spans + stats.objects + stats.spill_blocks_used, 0);
		CHECK_EQ(stats.frames_free, FRAMES_PER_MIB);
		CHECK_VERIFIES(f.store);
	}
	fixture_close(&f);
}

static void a_batch_holds_what_the_region_holds_each_object_in_one_block(void)
{
	static uint64_t units[PAGE_OUT_BLOCKS]; /* taken, a bit each */
	struct page_out *batch;
	uint64_t rng = 91;
	uint32_t n = 0;

	CHECK_EQ(open_holdings(), TMS_OK);
	memset(units, 0, sizeof(units));
	batch = store_take_batch(f.store);
	CHECK(page_out_begin(held, batch, NULL));
	for (uint32_t key = 0;; key++, n++) {
		uint32_t id = put(f.swap, key, 1 + rng_below(&rng, 5) * 1000);

		CHECK(id);
		if (!shrink_gather(held, batch, id))
			break;
	}
	CHECK(n > PAGE_OUT_BLOCKS && batch->items == n && batch->filled == PAGE_OUT_BLOCKS);
	for (uint32_t key = 0; key < n; key++) {
		const struct entry *entry = holdings_entry(held, id_of(f.swap, key));
		uint32_t block = entry->block - batch->start_block;
		const uint8_t *at = batch->io.buffer + block * BLOCK_BYTES + entry->unit * 64;
		uint8_t bytes[RAW];

		CHECK_EQ(entry->flags & (ENTRY_WRITING | ENTRY_RESIDENT | ENTRY_COPY), ENTRY_WRITING | ENTRY_RESIDENT);
		CHECK(block < PAGE_OUT_BLOCKS);
		CHECK(entry->unit * 64u + entry->size <= BLOCK_BYTES);
		region_read(held->region, entry->place, entry->size, entry->flags & ENTRY_PACKED, bytes);
		CHECK(!memcmp(at, bytes, entry->size));
		CHECK_EQ(spill_checksum(at, entry->size) & UINT64_C(0xffffffffffff), (uint64_t)entry->check_high << 32 | entry->check_low);
		for (uint32_t unit = entry->unit; unit < entry->unit + (entry->size + 63u) / 64; unit++) {
			CHECK(!(units[block] >> unit & 1));
			units[block] |= UINT64_C(1) << unit;
		}
	}
	CHECK(page_out_seal(held, batch));
	CHECK_EQ(batch->io.bytes, PAGE_OUT_BLOCKS * BLOCK_BYTES);
	CHECK_EQ(batch->io.offset, batch->start_block * (uint64_t)BLOCK_BYTES);
	complete(batch, 0);
	CHECK_EQ(fixture_stats(&f).pages_copied, n);
	CHECK_VERIFIES(f.store);
	fixture_close(&f);
}

static void a_batch_takes_no_more_items_than_it_has_room_for(void)
{
	struct page_out *batch;
	uint32_t n = 0;

	CHECK_EQ(open_holdings(), TMS_OK);
	batch = store_take_batch(f.store);
	CHECK(page_out_begin(held, batch, NULL));
	while (shrink_gather(held, batch, put(f.swap, n, 10)))
		n++;
	CHECK_EQ(n, PAGE_OUT_ITEMS);
	CHECK(page_out_seal(held, batch));
	CHECK_EQ(batch->io.bytes, PAGE_OUT_ITEMS / 64 * BLOCK_BYTES);
	complete(batch, 0);
	CHECK_EQ(held->spill.used, PAGE_OUT_ITEMS / 64);
	CHECK_VERIFIES(f.store);
	fixture_close(&f);
}

static void a_page_has_a_copy_once_its_write_is_complete_and_not_before(void)
{
	struct page_out *batch;
	uint32_t id;

	CHECK_EQ(open_holdings(), TMS_OK);
	id = put(f.swap, 1, RAW);
	batch = gather(&id, 1, NULL);
	CHECK(batch);
	CHECK_EQ(fixture_place(&f, f.swap, 1), TMS_PLACE_REGION);
	CHECK(fixture_holds(&f, f.swap, 1, 2, RAW));
	CHECK_VERIFIES(f.store);
	complete(batch, EIO);
	CHECK_EQ(fixture_place(&f, f.swap, 1), TMS_PLACE_REGION);
	CHECK_EQ(held->spill.used, 0);
	CHECK_VERIFIES(f.store);
	give_copy(id);
	CHECK_EQ(fixture_place(&f, f.swap, 1), TMS_PLACE_REGION | TMS_PLACE_SPILL);
	shrink_drop_resident(held, id);
	CHECK_EQ(fixture_place(&f, f.swap, 1), TMS_PLACE_SPILL);
	CHECK_VERIFIES(f.store);
	fixture_close(&f);
}

static void a_block_being_written_is_given_to_nobody_whatever_becomes_of_its_page(void)
{
	struct page_out *batch;
	uint32_t block;
	uint32_t start;
	uint32_t id;

	CHECK_EQ(open_holdings(), TMS_OK);
	id = put(f.swap, 1, RAW);
	batch = gather(&id, 1, NULL);
	block = holdings_entry(held, id)->block;
	CHECK_EQ(tms_flush_page(f.store, f.swap, 0, 1), TMS_OK);
	CHECK(held->spill.users[block]);
	CHECK(spill_take_run(&held->spill, 1, &start) == 1 && start != block);
	spill_put(&held->spill, start);
	CHECK_VERIFIES(f.store);
	complete(batch, 0);
	CHECK_EQ(held->spill.used, 0);
	CHECK_VERIFIES(f.store);
	fixture_close(&f);
}

static void an_id_that_is_used_again_is_not_taken_for_the_page_that_was_written(void)
{
	struct page_out *first;
	struct page_out *second;
	uint32_t id;

	CHECK_EQ(open_holdings(), TMS_OK);
	id = put(f.swap, 1, RAW);
	first = gather(&id, 1, NULL);
	CHECK_EQ(tms_flush_page(f.store, f.swap, 0, 1), TMS_OK);
	CHECK_EQ(put(f.swap, 2, RAW), id);
	second = gather(&id, 1, NULL);
	complete(first, 0);
	CHECK_EQ(fixture_place(&f, f.swap, 2), TMS_PLACE_REGION);
	CHECK_VERIFIES(f.store);
	complete(second, 0);
	CHECK_EQ(fixture_place(&f, f.swap, 2), TMS_PLACE_REGION | TMS_PLACE_SPILL);
	CHECK_EQ(held->spill.used, 1);
	CHECK_VERIFIES(f.store);
	fixture_close(&f);
}

static void a_batch_that_holds_nothing_gives_all_blocks_back(void)
{
	struct page_out_group *group = calloc(1, sizeof(*group));
	struct page_out *batch;

	CHECK_EQ(open_holdings(), TMS_OK);
	group->users = 1;
	batch = store_take_batch(f.store);
	CHECK(page_out_begin(held, batch, group));
	CHECK_EQ(held->spill.used, PAGE_OUT_BLOCKS);
	CHECK(!page_out_seal(held, batch));
	CHECK_EQ(held->spill.used, 0);
	complete(batch, 0);
	CHECK_EQ(group->users, 1);
	page_out_group_put(group);
	fixture_close(&f);
}

static void a_group_counts_its_batches_and_keeps_the_first_error(void)
{
	struct page_out_group *group = calloc(1, sizeof(*group));
	struct page_out *batch[3];

	CHECK_EQ(open_holdings(), TMS_OK);
	group->users = 1;
	for (uint32_t i = 0; i < 3; i++) {
		uint32_t id = put(f.swap, i, RAW);

		batch[i] = gather(&id, 1, group);
		CHECK_EQ(group->pending, i + 1);
	}
	complete(batch[1], 0);
	CHECK_EQ(group->error, 0);
	complete(batch[0], ENOSPC);
	CHECK_EQ(group->pending, 1);
	page_out_group_put(group); /* who waited has left; the last batch frees it */
	CHECK_EQ(group->users, 1);
	CHECK_EQ(group->error, ENOSPC);
	complete(batch[2], EIO);
	CHECK_EQ(fixture_stats(&f).pages_copied, 1);
	fixture_close(&f);
}

static void an_object_that_compaction_moves_keeps_its_bytes_and_its_copy(void)
{
	struct page_out *batch;
	uint32_t id[100];

	CHECK_EQ(open_holdings(), TMS_OK);
	for (uint32_t key = 0; key < 100; key++)
		id[key] = put(f.swap, key, 1000);
	for (uint32_t key = 0; key < 100; key++)
		if (key % 5)
			shrink_drop(held, id[key]);
	give_copy(id[0]);
	batch = gather(&id[95], 1, NULL);
	while (packing_compact(&held->region->packing, shrink_moved, held))
		CHECK_VERIFIES(f.store);
	CHECK(held->stats.objects_moved > 0);
	complete(batch, 0);
	CHECK_VERIFIES(f.store);
	for (uint32_t key = 0; key < 100; key += 5)
		CHECK(fixture_holds(&f, f.swap, key, key + 1, 1000));
	CHECK_EQ(fixture_stats(&f).pages_copied, 2);
	fixture_close(&f);
}

int main(void)
{
	RUN(a_dropped_entry_takes_all_it_has_with_it);
	RUN(a_batch_holds_what_the_region_holds_each_object_in_one_block);
	RUN(a_batch_takes_no_more_items_than_it_has_room_for);
	RUN(a_page_has_a_copy_once_its_write_is_complete_and_not_before);
	RUN(a_block_being_written_is_given_to_nobody_whatever_becomes_of_its_page);
	RUN(an_id_that_is_used_again_is_not_taken_for_the_page_that_was_written);
	RUN(a_batch_that_holds_nothing_gives_all_blocks_back);
	RUN(a_group_counts_its_batches_and_keeps_the_first_error);
	RUN(an_object_that_compaction_moves_keeps_its_bytes_and_its_copy);
	return check_finish(__FILE__);
}
