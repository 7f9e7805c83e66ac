/* Compressing a few objects with the denser codec, outside the lock. */
#include "squeeze.h"

#include "inside.h"

#define RAW TMS_PAGE_SIZE
#define PAIRS 3600u

static struct fixture f;
static struct holdings *held;
static struct squeeze squeeze;

static int open_store(bool packed)
{
	int code = fixture_open(&f, &(struct setup){ .spill = true, .packed = packed, .denser = true, .reserve_bytes = 8 * RAW });

	held = f.store ? &f.store->held : NULL;
	squeeze.n = 0;
	return code;
}

static uint32_t take(uint32_t key)
{
	uint32_t id = id_of(&f, f.swap, key);

	return squeeze_take(&squeeze, f.store, id) ? id : 0;
}

static void it_takes_a_few_and_then_is_full(void)
{
	CHECK_EQ(open_store(false), TMS_OK);
	for (uint32_t key = 0; key <= SQUEEZE_OBJECTS; key++) {
		CHECK_EQ(fixture_put_pairs(&f, key, key, PAIRS), TMS_OK);
		CHECK_EQ(take(key) != 0, key < SQUEEZE_OBJECTS);
	}
	CHECK_EQ(squeeze.n, SQUEEZE_OBJECTS);
	fixture_close(&f);
}

/* From raw and from packed, the denser form gives the same page back. */
static void the_denser_form_is_the_same_page(void)
{
	for (int packed = 0; packed < 2; packed++) {
		uint8_t page[RAW];

		CHECK_EQ(open_store(packed), TMS_OK);
		for (uint32_t key = 0; key < SQUEEZE_OBJECTS; key++) {
			CHECK_EQ(fixture_put_pairs(&f, key, key + 1, 2000 + 200 * key), TMS_OK);
			CHECK_EQ(entry_of(&f, f.swap, key)->flags & ENTRY_PACKED, packed ? ENTRY_PACKED : 0);
			CHECK(take(key));
		}
		squeeze_run(&squeeze, f.store);
		for (uint32_t i = 0; i < SQUEEZE_OBJECTS; i++) {
			const struct squeezed *object = &squeeze.object[i];
			uint8_t expected[RAW];

			CHECK(object->packed_size > 0 && object->packed_size < object->size);
			CHECK(codec_decompress(&f.store->denser, object->packed, object->packed_size, page));
			page_make_pairs(expected, i + 1, 2000 + 200 * i);
			CHECK(!memcmp(page, expected, RAW));
			CHECK(squeeze_is_current(f.store, object));
		}
		CHECK_VERIFIES(f.store); /* nothing has changed */
		fixture_close(&f);
	}
}

static void what_gets_no_smaller_keeps_its_form(void)
{
	CHECK_EQ(open_store(true), TMS_OK);
	CHECK_EQ(fixture_put(&f, f.swap, 0, 1, RAW), TMS_OK);      /* raw noise, no pairs */
	CHECK_EQ(fixture_put(&f, f.swap, 1, 2, 1001), TMS_OK);     /* packed, no pairs */
	CHECK_EQ(fixture_put_pairs(&f, 2, 3, 60), TMS_OK);         /* one unit either way */
	CHECK_EQ(fixture_put_pairs(&f, 3, 4, PAIRS), TMS_OK);
	for (uint32_t key = 0; key < 4; key++)
		CHECK(take(key));
	squeeze_run(&squeeze, f.store);
	for (uint32_t i = 0; i < 3; i++)
		CHECK_EQ(squeeze.object[i].packed_size, 0);
	CHECK(squeeze.object[3].packed_size > 0);
	fixture_close(&f);
}

static void what_is_dense_already_is_not_compressed_again(void)
{
	const struct squeezed *object = &squeeze.object[0];

	CHECK_EQ(open_store(true), TMS_OK);
	CHECK_EQ(fixture_put_pairs(&f, 0, 1, PAIRS), TMS_OK);
	CHECK(take(0));
	squeeze_run(&squeeze, f.store);
	CHECK(shrink_to_reserve(held, object->id, object->packed, object->packed_size, ENTRY_PACKED | ENTRY_DENSE));
	CHECK_VERIFIES(f.store);
	CHECK(fixture_holds_pairs(&f, 0, 1, PAIRS));
	squeeze.n = 0;
	CHECK(take(0));
	squeeze_run(&squeeze, f.store);
	CHECK_EQ(object->packed_size, 0);
	fixture_close(&f);
}

static void a_page_that_changed_meanwhile_is_told(void)
{
	for (int change = 0; change < 7; change++) {
		struct page_out *batch = NULL;
		uint32_t id;

		CHECK_EQ(open_store(true), TMS_OK);
		CHECK_EQ(fixture_put_pairs(&f, 0, 1, PAIRS), TMS_OK);
		id = take(0);
		squeeze_run(&squeeze, f.store);
		CHECK(squeeze_is_current(f.store, &squeeze.object[0]));
		if (change == 0)
			shrink_drop(held, id);
		if (change == 1)
			CHECK(shrink_to_reserve(held, id, NULL, 0, 0));
		if (change == 2)
			CHECK(copy_out(&f, 0, FRAMES_PER_MIB));
		if (change == 3)
			batch = batch_of(&f, &id, 1, TMS_CAUSE_CLEAN, NULL);
		if (change == 4) {
			CHECK(copy_out(&f, 0, FRAMES_PER_MIB));
			shrink_drop_resident(held, id);
		}
		if (change == 5) { /* its id is used for another page */
			shrink_drop(held, id);
			CHECK_EQ(fixture_put(&f, f.clean, 7, 7, RAW), TMS_OK);
			CHECK_EQ(id_of(&f, f.clean, 7), id);
		}
		if (change == 6) { /* all the same but for the bytes, as where a span reaches out of the window */
			shrink_drop(held, id);
			CHECK_EQ(fixture_put_pairs(&f, 0, 2, PAIRS), TMS_OK);
			CHECK_EQ(id_of(&f, f.swap, 0), id);
			CHECK_EQ(entry_of(&f, f.swap, 0)->place, squeeze.object[0].place);
			CHECK_EQ(entry_of(&f, f.swap, 0)->size, squeeze.object[0].size);
		}
		CHECK(!squeeze_is_current(f.store, &squeeze.object[0]));
		if (batch)
			batch_complete(&f, batch, 0);
		fixture_close(&f);
	}
}

int main(void)
{
	RUN(it_takes_a_few_and_then_is_full);
	RUN(the_denser_form_is_the_same_page);
	RUN(what_gets_no_smaller_keeps_its_form);
	RUN(what_is_dense_already_is_not_compressed_again);
	RUN(a_page_that_changed_meanwhile_is_told);
	return check_finish(__FILE__);
}
