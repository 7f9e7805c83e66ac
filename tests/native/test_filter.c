/* The admission filter: by itself, and in a store, where a page that is turned away leaves its key absent. */
#include "filter.h"

#include "inside.h"

#define RAW TMS_PAGE_SIZE
#define ENOUGH 1024u /* pages tried until they say anything */
#define SAMPLE 32u
#define PAGES 4096u

static const struct tms_filter worth_a_tenth = { .saved_ns = 1000, .copy_ns = 100, .enabled = true };
static struct filter filter;
static struct fixture f;

static void open_filter(uint32_t useful, uint32_t wasted)
{
	filter_init(&filter);
	CHECK(filter_set(&filter, &worth_a_tenth, PAGES));
	for (uint32_t i = 0; i < useful; i++)
		filter_learn(&filter, true);
	for (uint32_t i = 0; i < wasted; i++)
		filter_learn(&filter, false);
}

/* Of a page with this number, as spread as a hash is. */
static uint64_t hash_of(uint64_t number)
{
	return hash_mix(number + 1);
}

static void all_come_in_until_there_is_evidence(void)
{
	open_filter(0, ENOUGH - 1);
	CHECK_EQ(filter_judge(&filter, hash_of(1), false), TMS_ADMIT_WORTH);
	filter_learn(&filter, false);
	CHECK_EQ(filter_judge(&filter, hash_of(1), false), TMS_ADMITS);
	filter_deinit(&filter);
}

static void it_turns_at_what_a_copy_costs(void)
{
	open_filter(103, ENOUGH - 103); /* a tenth of 1024 is 102.4 */
	CHECK(filter_finds_worth(&filter));
	filter_deinit(&filter);
	open_filter(102, ENOUGH - 102);
	CHECK(!filter_finds_worth(&filter));
	filter_deinit(&filter);
}

static void old_evidence_counts_less(void)
{
	uint32_t needed = 0;

	open_filter(0, 100 * ENOUGH);
	while (!filter_finds_worth(&filter) && needed < ENOUGH) {
		filter_learn(&filter, true);
		needed++;
	}
	CHECK(needed > ENOUGH / 10);
	CHECK(needed < ENOUGH / 4);
	CHECK(filter.useful + filter.wasted < 2 * ENOUGH);
	filter_deinit(&filter);
}

static void a_key_that_comes_again_is_let_in_once(void)
{
	open_filter(0, ENOUGH);
	CHECK_EQ(filter_judge(&filter, hash_of(1), false), TMS_ADMITS);
	CHECK_EQ(filter_judge(&filter, hash_of(2), false), TMS_ADMITS);
	CHECK_EQ(filter_judge(&filter, hash_of(1), false), TMS_ADMIT_SEEN);
	CHECK_EQ(filter_judge(&filter, hash_of(1), false), TMS_ADMITS);
	CHECK_EQ(filter_judge(&filter, hash_of(3), true), TMS_ADMIT_ACTIVE);
	filter_deinit(&filter);
}

static void what_comes_again_much_later_is_not_known_any_more(void)
{
	uint32_t again = 0;

	open_filter(0, ENOUGH);
	for (uint64_t number = 0; number < 10 * PAGES; number++)
		(void)filter_judge(&filter, hash_of(number), false);
	for (uint64_t number = 0; number < 100; number++)
		again += filter_judge(&filter, hash_of(number), false) == TMS_ADMIT_SEEN;
	CHECK_EQ(again, 0);
	for (uint64_t number = 10 * PAGES - 100; number < 10 * PAGES; number++)
		again += filter_judge(&filter, hash_of(number), false) == TMS_ADMIT_SEEN;
	CHECK(again > 80); /* all but a few, whose slot was taken since, or who were samples */
	CHECK_EQ(filter_bytes(&filter), PAGES * sizeof(uint32_t));
	filter_deinit(&filter);
}

static void one_of_many_is_a_sample(void)
{
	uint32_t samples = 0;

	open_filter(0, ENOUGH);
	for (uint64_t number = 0; number < 10 * SAMPLE; number++)
		samples += filter_judge(&filter, hash_of(number), false) == TMS_ADMIT_SAMPLE;
	CHECK_EQ(samples, 10);
	filter_deinit(&filter);
}

static void switched_off_it_lets_everything_in(void)
{
	const struct tms_filter off = { .enabled = false };

	open_filter(0, ENOUGH);
	CHECK(filter_set(&filter, &off, PAGES));
	CHECK_EQ(filter_judge(&filter, hash_of(1), false), TMS_ADMIT_WORTH);
	filter_deinit(&filter);
	CHECK_EQ(filter_bytes(&filter), 0);
}

/* ---- in a store ------------------------------------------------------------------------------------------------ */

/* As after a stream: nothing that came was asked for again. */
static void open_store(void)
{
	CHECK_EQ(fixture_open(&f, &(struct setup){ .frames = 1024, .order = TMS_ORDER_FIFO }), TMS_OK);
	CHECK_EQ(tms_set_filter(f.store, &worth_a_tenth), TMS_OK);
	for (uint32_t key = 0; key < 1024 + ENOUGH; key++)
		CHECK_EQ(fixture_put(&f, f.clean, key, key + 1, RAW), TMS_OK);
	CHECK_EQ(fixture_stats(&f).filter_wasted, ENOUGH);
	CHECK_EQ(fixture_stats(&f).filter_open, 0);
}

static void a_page_that_is_turned_away_leaves_its_key_absent(void)
{
	const uint32_t key = 1500; /* held */
	uint8_t page[RAW];

	open_store();
	CHECK(id_of(&f, f.clean, key));
	CHECK_EQ(fixture_put(&f, f.clean, key, 7, RAW), TMS_REJECTED);
	CHECK_EQ(fixture_get(&f, f.clean, key, page), TMS_MISS);
	CHECK_EQ(fixture_stats(&f).clean_rejects[TMS_REJECT_COLD], 1);
	CHECK_EQ(fixture_put(&f, f.clean, key, 8, RAW), TMS_OK);
	CHECK(fixture_holds(&f, f.clean, key, 8, RAW));
	CHECK_EQ(fixture_stats(&f).clean_admits[TMS_ADMIT_SEEN], 1);
	CHECK_VERIFIES(f.store);
	fixture_close(&f);
}

/* It was chosen: that it is found, or not, says nothing of the others. */
static void what_was_chosen_is_no_evidence(void)
{
	uint8_t page[RAW];

	open_store();
	page_make(page, 7, RAW);
	for (uint32_t key = 5000; key < 5100; key++) {
		CHECK_EQ(tms_put(f.store, f.clean, key >> 4, key, TMS_PUT_ACTIVE, page), TMS_OK);
		CHECK_EQ(fixture_get(&f, f.clean, key, page), TMS_OK);
	}
	CHECK_EQ(fixture_stats(&f).clean_admits[TMS_ADMIT_ACTIVE], 100);
	CHECK_EQ(fixture_stats(&f).filter_useful, 0);
	fixture_close(&f);
}

static void pages_that_are_found_open_it_again(void)
{
	uint8_t page[RAW];
	uint32_t key;

	open_store();
	for (key = 1024; key < 1024 + ENOUGH && !fixture_stats(&f).filter_open; key++)
		CHECK_EQ(fixture_get(&f, f.clean, key, page), TMS_OK);
	CHECK(fixture_stats(&f).filter_open);
	CHECK(key - 1024 >= ENOUGH / 10);
	CHECK_EQ(fixture_put(&f, f.clean, 9000, 1, RAW), TMS_OK);
	CHECK_EQ(fixture_stats(&f).clean_rejects[TMS_REJECT_COLD], 0);
	fixture_close(&f);
}

static void frontswap_pages_pass(void)
{
	open_store();
	CHECK_EQ(fixture_put(&f, f.swap, 1, 1, RAW), TMS_OK);
	CHECK_EQ(fixture_stats(&f).clean_rejects[TMS_REJECT_COLD], 0);
	CHECK_EQ(fixture_stats(&f).clean_rejects[TMS_REJECT_FULL], 0);
	fixture_close(&f);
}

/* They are in no frame, and learned from all the same. */
static void same_filled_pages_are_tried_as_others(void)
{
	CHECK_EQ(fixture_open(&f, &(struct setup){ .order = TMS_ORDER_FIFO }), TMS_OK);
	CHECK_EQ(tms_set_filter(f.store, &worth_a_tenth), TMS_OK);
	for (uint32_t key = 0; key < FRAMES_PER_MIB + ENOUGH; key++)
		CHECK_EQ(fixture_put(&f, f.clean, key, 0, 0), TMS_OK);
	CHECK_EQ(fixture_stats(&f).filter_wasted, ENOUGH);
	CHECK_EQ(fixture_put(&f, f.clean, 9001, 0, 0), TMS_REJECTED);
	CHECK_VERIFIES(f.store);
	fixture_close(&f);
}

/* What was let in and found no room is no page that was let in. */
static void only_pages_that_were_kept_are_counted_as_let_in(void)
{
	struct tms_stats stats;

	CHECK_EQ(fixture_open(&f, &(struct setup){ .order = TMS_ORDER_FIFO }), TMS_OK);
	for (uint32_t key = 0; key < FRAMES_PER_MIB; key++)
		CHECK_EQ(fixture_put(&f, f.swap, key, key + 1, RAW), TMS_OK);
	CHECK_EQ(fixture_put(&f, f.clean, 9000, 1, RAW), TMS_REJECTED);
	CHECK_EQ(tms_flush_page(f.store, f.swap, 0, 0), TMS_OK);
	CHECK_EQ(fixture_put(&f, f.clean, 9000, 1, RAW), TMS_OK);
	stats = fixture_stats(&f);
	CHECK_EQ(stats.clean_rejects[TMS_REJECT_FULL], 1);
	CHECK_EQ(stats.clean_puts, 1);
	CHECK_EQ(stats.clean_admits[TMS_ADMIT_WORTH], 1);
	fixture_close(&f);
}

static void unknown_flags_are_refused(void)
{
	uint8_t page[RAW] = { 1 };
	uint64_t zero = 0;
	bool result;

	CHECK_EQ(fixture_open(&f, &(struct setup){ .order = TMS_ORDER_FIFO }), TMS_OK);
	CHECK_EQ(tms_put(f.store, f.clean, 0, 0, TMS_PUT_ACTIVE << 1, page), TMS_E_INVALID);
	CHECK_EQ(tms_put_many(f.store, f.clean, 1, &zero, &zero, 0x80000000, page, &result), TMS_E_INVALID);
	CHECK_EQ(fixture_stats(&f).clean_puts, 0);
	fixture_close(&f);
}

static void times_that_are_none_are_refused(void)
{
	const struct tms_filter wrong[] = { { .saved_ns = 1000 * NSEC_PER_SEC }, { .copy_ns = UINT64_MAX } };

	open_store();
	for (int i = 0; i < 2; i++)
		CHECK_EQ(tms_set_filter(f.store, &wrong[i]), TMS_E_INVALID);
	fixture_close(&f);
}

int main(void)
{
	RUN(all_come_in_until_there_is_evidence);
	RUN(it_turns_at_what_a_copy_costs);
	RUN(old_evidence_counts_less);
	RUN(a_key_that_comes_again_is_let_in_once);
	RUN(what_comes_again_much_later_is_not_known_any_more);
	RUN(one_of_many_is_a_sample);
	RUN(switched_off_it_lets_everything_in);
	RUN(a_page_that_is_turned_away_leaves_its_key_absent);
	RUN(what_was_chosen_is_no_evidence);
	RUN(pages_that_are_found_open_it_again);
	RUN(frontswap_pages_pass);
	RUN(same_filled_pages_are_tried_as_others);
	RUN(only_pages_that_were_kept_are_counted_as_let_in);
	RUN(unknown_flags_are_refused);
	RUN(times_that_are_none_are_refused);
	return check_finish(__FILE__);
}
