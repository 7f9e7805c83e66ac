/* One sequential write of many objects.  Nobody else uses the store, so its lock is not taken. */
#include "inside.h"

#define RAW TMS_PAGE_SIZE

static struct fixture f;
static struct holdings *held;

static int open_holdings(void)
{
	int code = fixture_open(&f, &(struct setup){ .spill = true, .packed = true, .reserve_bytes = 64 * RAW });

	held = f.store ? &f.store->held : NULL;
	return code;
}

static uint32_t put(tms_pool_id pool, uint32_t key, uint32_t noise)
{
	return fixture_put(&f, pool, key, key + 1, noise) == TMS_OK ? id_of(&f, pool, key) : 0;
}

static void give_copy(uint32_t id)
{
	batch_complete(&f, batch_of(&f, &id, 1, TMS_CAUSE_RECLAIM, NULL), 0);
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
	CHECK(page_out_begin(held, batch, PAGE_OUT_BLOCKS, TMS_CAUSE_RECLAIM, NULL));
	for (uint32_t key = 0;; key++, n++) {
		uint32_t id = put(f.swap, key, 1 + rng_below(&rng, 5) * 1000);

		CHECK(id);
		if (!page_out_gather(held, batch, id, NULL))
			break;
	}
	CHECK(n > PAGE_OUT_BLOCKS && batch->items == n && batch->filled == PAGE_OUT_BLOCKS);
	for (uint32_t key = 0; key < n; key++) {
		const struct entry *entry = holdings_entry(held, id_of(&f, f.swap, key));
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
	batch_complete(&f, batch, 0);
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
	CHECK(page_out_begin(held, batch, PAGE_OUT_BLOCKS, TMS_CAUSE_RECLAIM, NULL));
	while (page_out_gather(held, batch, put(f.swap, n, 10), NULL))
		n++;
	CHECK_EQ(n, PAGE_OUT_ITEMS);
	CHECK(page_out_seal(held, batch));
	CHECK_EQ(batch->io.bytes, PAGE_OUT_ITEMS / 64 * BLOCK_BYTES);
	batch_complete(&f, batch, 0);
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
	batch = batch_of(&f, &id, 1, TMS_CAUSE_RECLAIM, NULL);
	CHECK(batch);
	CHECK_EQ(fixture_place(&f, f.swap, 1), TMS_PLACE_REGION);
	CHECK(fixture_holds(&f, f.swap, 1, 2, RAW));
	CHECK_VERIFIES(f.store);
	batch_complete(&f, batch, EIO);
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
	batch = batch_of(&f, &id, 1, TMS_CAUSE_RECLAIM, NULL);
	block = holdings_entry(held, id)->block;
	CHECK_EQ(tms_flush_page(f.store, f.swap, 0, 1), TMS_OK);
	CHECK(held->spill.users[block]);
	CHECK(spill_take_run(&held->spill, 1, &start) == 1 && start != block);
	spill_put(&held->spill, start);
	CHECK_VERIFIES(f.store);
	batch_complete(&f, batch, 0);
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
	first = batch_of(&f, &id, 1, TMS_CAUSE_RECLAIM, NULL);
	CHECK_EQ(tms_flush_page(f.store, f.swap, 0, 1), TMS_OK);
	CHECK_EQ(put(f.swap, 2, RAW), id);
	second = batch_of(&f, &id, 1, TMS_CAUSE_RECLAIM, NULL);
	batch_complete(&f, first, 0);
	CHECK_EQ(fixture_place(&f, f.swap, 2), TMS_PLACE_REGION);
	CHECK_VERIFIES(f.store);
	batch_complete(&f, second, 0);
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
	CHECK(page_out_begin(held, batch, PAGE_OUT_BLOCKS, TMS_CAUSE_RECLAIM, group));
	CHECK_EQ(held->spill.used, PAGE_OUT_BLOCKS);
	CHECK(!page_out_seal(held, batch));
	CHECK_EQ(held->spill.used, 0);
	batch_complete(&f, batch, 0);
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

		batch[i] = batch_of(&f, &id, 1, TMS_CAUSE_RECLAIM, group);
		CHECK_EQ(group->pending, i + 1);
	}
	batch_complete(&f, batch[1], 0);
	CHECK_EQ(group->error, 0);
	batch_complete(&f, batch[0], ENOSPC);
	CHECK_EQ(group->pending, 1);
	page_out_group_put(group); /* who waited has left; the last batch frees it */
	CHECK_EQ(group->users, 1);
	CHECK_EQ(group->error, ENOSPC);
	batch_complete(&f, batch[2], EIO);
	CHECK_EQ(fixture_stats(&f).pages_copied, 1);
	fixture_close(&f);
}

/* ---- forms, causes, the reserve ------------------------------------------------------------------------ */

static void a_page_that_was_written_in_another_form_has_that_form_then(void)
{
	uint8_t page[RAW];
	uint8_t dense[RAW];
	struct page_out_bytes bytes = { dense, 0, ENTRY_PACKED | ENTRY_DENSE };

	for (int moved = 0; moved < 2; moved++) {
		struct page_out *batch;
		uint32_t id;

		CHECK_EQ(fixture_open(&f, &(struct setup){ .spill = true, .packed = true, .denser = true, .reserve_bytes = 4 * RAW }), TMS_OK);
		held = &f.store->held;
		page_make_pairs(page, 1, RAW);
		CHECK_EQ(tms_put(f.store, f.swap, 0, 1, 0, page), TMS_OK);
		id = id_of(&f, f.swap, 1);
		bytes.size = codec_compress(&f.store->denser, page, dense, PACKED_MAX_BYTES);
		CHECK(bytes.size > 0 && bytes.size < RAW);
		batch = store_take_batch(f.store);
		CHECK(page_out_begin(held, batch, PAGE_OUT_BLOCKS, TMS_CAUSE_RECLAIM, NULL));
		CHECK(page_out_gather(held, batch, id, &bytes));
		CHECK(page_out_seal(held, batch));
		CHECK_VERIFIES(f.store);
		if (moved)
			CHECK(shrink_to_reserve(held, id, NULL, 0, 0));
		io_submit(f.store->io, &batch->io); /* the store reaps it */
		while (fixture_place(&f, f.swap, 1) != TMS_PLACE_SPILL)
			usleep(100);
		CHECK_EQ(holdings_entry(held, id)->size, bytes.size);
		CHECK_EQ(fixture_stats(&f).frames_free, FRAMES_PER_MIB);
		CHECK_EQ(fixture_stats(&f).uncopied_bytes + fixture_stats(&f).reserve_bytes_used, 0);
		CHECK_VERIFIES(f.store);
		CHECK_EQ(fixture_get(&f, f.swap, 1, dense), TMS_OK);
		CHECK(!memcmp(dense, page, RAW));
		fixture_close(&f);
	}
}

static void a_page_of_the_reserve_leaves_it_with_its_completed_copy_and_not_before(void)
{
	struct page_out *batch;
	uint32_t id;

	CHECK_EQ(open_holdings(), TMS_OK);
	id = put(f.swap, 1, 900);
	CHECK(shrink_to_reserve(held, id, NULL, 0, 0));
	batch = batch_of(&f, &id, 1, TMS_CAUSE_DRAIN, NULL);
	CHECK(lies_in_reserve(&f, 1));
	batch_complete(&f, batch, EIO);
	CHECK(lies_in_reserve(&f, 1));
	CHECK_VERIFIES(f.store);
	batch_complete(&f, batch_of(&f, &id, 1, TMS_CAUSE_DRAIN, NULL), 0);
	CHECK_EQ(fixture_place(&f, f.swap, 1), TMS_PLACE_SPILL);
	CHECK_EQ(held->region->reserve.used, 0);
	CHECK_VERIFIES(f.store);
	fixture_close(&f);
}

/* The order of the reserve is that of its places, also after a write that failed: sliding relies on it. */
static void a_failed_write_of_a_page_of_the_reserve_leaves_the_reserve_in_order(void)
{
	uint32_t id[20];

	CHECK_EQ(open_holdings(), TMS_OK);
	for (uint32_t key = 0; key < 20; key++) {
		id[key] = put(f.swap, key, 1000);
		CHECK(shrink_to_reserve(held, id[key], NULL, 0, 0));
	}
	batch_complete(&f, batch_of(&f, id + 5, 7, TMS_CAUSE_DRAIN, NULL), EIO);
	CHECK_VERIFIES(f.store);
	shrink_drop(held, id[0]);
	while (!shrink_slide(held))
		;
	CHECK_VERIFIES(f.store);
	for (uint32_t key = 1; key < 20; key++)
		CHECK(fixture_holds(&f, f.swap, key, key + 1, 1000));
	fixture_close(&f);
}

static void a_page_that_was_trimmed_gives_up_its_frame_with_its_copy(void)
{
	uint32_t id;

	CHECK_EQ(open_holdings(), TMS_OK);
	id = put(f.swap, 1, RAW);
	batch_complete(&f, batch_of(&f, &id, 1, TMS_CAUSE_TRIM, NULL), 0);
	CHECK_EQ(fixture_place(&f, f.swap, 1), TMS_PLACE_SPILL);
	CHECK_VERIFIES(f.store);
	fixture_close(&f);
}

static void what_was_written_is_counted_by_its_cause_if_it_was_written(void)
{
	CHECK_EQ(open_holdings(), TMS_OK);
	for (uint32_t cause = 0; cause < TMS_CAUSES; cause++) {
		uint32_t id = put(f.swap, cause, RAW);

		batch_complete(&f, batch_of(&f, &id, 1, (enum tms_cause)cause, NULL), EIO);
		CHECK_EQ(fixture_stats(&f).written_by_cause[cause], 0);
		batch_complete(&f, batch_of(&f, &id, 1, (enum tms_cause)cause, NULL), 0);
		CHECK_EQ(fixture_stats(&f).written_by_cause[cause], RAW);
	}
	fixture_close(&f);
}

static void a_batch_takes_no_more_blocks_than_it_is_allowed(void)
{
	struct page_out *batch;
	uint32_t n = 0;

	CHECK_EQ(open_holdings(), TMS_OK);
	batch = store_take_batch(f.store);
	CHECK(page_out_begin(held, batch, 3, TMS_CAUSE_CLEAN, NULL));
	while (page_out_gather(held, batch, put(f.swap, n, RAW), NULL))
		n++;
	CHECK_EQ(n, 3);
	CHECK(page_out_seal(held, batch));
	CHECK_EQ(batch->io.bytes, 3 * BLOCK_BYTES);
	batch_complete(&f, batch, 0);
	CHECK_VERIFIES(f.store);
	fixture_close(&f);
}

int main(void)
{
	RUN(a_batch_holds_what_the_region_holds_each_object_in_one_block);
	RUN(a_batch_takes_no_more_items_than_it_has_room_for);
	RUN(a_page_has_a_copy_once_its_write_is_complete_and_not_before);
	RUN(a_block_being_written_is_given_to_nobody_whatever_becomes_of_its_page);
	RUN(an_id_that_is_used_again_is_not_taken_for_the_page_that_was_written);
	RUN(a_batch_that_holds_nothing_gives_all_blocks_back);
	RUN(a_group_counts_its_batches_and_keeps_the_first_error);
	RUN(a_page_that_was_written_in_another_form_has_that_form_then);
	RUN(a_page_of_the_reserve_leaves_it_with_its_completed_copy_and_not_before);
	RUN(a_failed_write_of_a_page_of_the_reserve_leaves_the_reserve_in_order);
	RUN(a_page_that_was_trimmed_gives_up_its_frame_with_its_copy);
	RUN(what_was_written_is_counted_by_its_cause_if_it_was_written);
	RUN(a_batch_takes_no_more_blocks_than_it_is_allowed);
	return check_finish(__FILE__);
}
