/*
 * The walk over every structure: a store in which everything occurs is whole, and each invariant that is
 * broken by hand is named as the card of its file does, and by nothing else.
 */
#include "inside.h"

#define RAW TMS_PAGE_SIZE
#define FRAMES 700u

static struct fixture f;
static struct holdings *held;

static int put(tms_pool_id pool, uint32_t from, uint32_t to, uint32_t noise)
{
	int code = TMS_OK;

	for (uint32_t key = from; key < to && code == TMS_OK; key++)
		code = fixture_put(&f, pool, key, key + 1, noise);
	return code;
}

/* Frontswap keys 0-9 spilled, 10-19 raw, 20-59 packed, 60-64 filled, 70-79 with a copy,
 * 80-89 in the reserve; clean 0-29, 40-44 filled. */
static void open_store_of_everything(void)
{
	const struct tms_alloc_request request = request_at(600, 20, TMS_EFFORT_FREE);
	struct tms_report r;

	CHECK_EQ(fixture_open(&f, &(struct setup){ .frames = FRAMES, .spill = true, .packed = true, .reserve_bytes = 64 * RAW }), TMS_OK);
	held = &f.store->held;
	CHECK_EQ(put(f.swap, 0, 10, RAW), TMS_OK);
	CHECK(copy_out(&f, 0, FRAMES));
	for (uint32_t key = 0; key < 10; key++)
		shrink_drop_resident(held, id_of(&f, f.swap, key));
	CHECK_EQ(put(f.swap, 70, 80, RAW), TMS_OK);
	CHECK(copy_out(&f, 0, FRAMES));
	CHECK_EQ(put(f.swap, 10, 20, RAW), TMS_OK);
	CHECK_EQ(put(f.swap, 20, 60, 1000), TMS_OK);
	CHECK_EQ(put(f.swap, 60, 65, 0), TMS_OK);
	CHECK_EQ(put(f.swap, 80, 90, 1000), TMS_OK);
	for (uint32_t key = 80; key < 90; key++)
		CHECK(shrink_to_reserve(held, id_of(&f, f.swap, key), NULL, 0, 0));
	CHECK_EQ(put(f.clean, 0, 30, RAW), TMS_OK);
	CHECK_EQ(put(f.clean, 40, 45, 0), TMS_OK);
	CHECK_EQ(tms_alloc_contig(f.store, &request, &r), TMS_OK);
}

static struct span *span_of(uint32_t key)
{
	return packing_span(&held->region->packing, held->region->frames.owner[pfn_of(&f, f.swap, key)]);
}

/* The walk says a sentence that begins so. */
static bool is_named(const char *beginning)
{
	const char *broken = "nothing";
	int code = tms_verify(f.store, &broken);

	if (code != TMS_E_BROKEN || strncmp(broken, beginning, strlen(beginning)) != 0)
		fprintf(stderr, "%s: answered %d, %s\n", beginning, code, broken);
	return code == TMS_E_BROKEN && strncmp(broken, beginning, strlen(beginning)) == 0;
}

/* Puts another value in place, expects the sentence, and puts the old value back. */
#define BREAK(place, wrong, sentence)                     \
	do {                                              \
		__typeof__(place) *at_ = &(place);        \
		const __typeof__(place) before_ = *at_;   \
		*at_ = (__typeof__(place))(wrong);        \
		CHECK(is_named(sentence));                \
		*at_ = before_;                           \
		CHECK_VERIFIES(f.store);                  \
	} while (0)

static void a_store_in_which_everything_occurs_is_whole(void)
{
	struct tms_stats s;

	open_store_of_everything();
	CHECK_SO_FAR();
	CHECK_VERIFIES(f.store);
	s = fixture_stats(&f);
	CHECK(s.pages_spilled && s.pages_copied && s.pages_fill && s.spans && s.pages_reserve && s.frames_allocated && s.pages_clean);
	fixture_close(&f);
}

static void a_broken_frame_is_named(void)
{
	struct frame_table *frames;

	open_store_of_everything();
	CHECK_SO_FAR();
	frames = &held->region->frames;
	BREAK(frames->chunk[1].frames_free, frames->chunk[1].frames_free - 1, "frame 2");
	BREAK(frames->chunk[0].objects_copied, 1, "frame 2");
	BREAK(frames->chunk[0].bytes_uncopied, 1, "frame 2");
	BREAK(frames->state[600], FRAME_ALLOCATED | FRAME_ISOLATED, "frame 3");
	BREAK(frames->state[699], FRAME_STATES, "frame 1");
	BREAK(frames->owner[pfn_of(&f, f.clean, 3)], 0, "entry");
	bitmap_clear(&frames->free, 699);
	CHECK(is_named("frame 1"));
	bitmap_set(&frames->free, 699);
	bitmap_set(&frames->free, 600);
	CHECK(is_named("frame 1"));
	bitmap_clear(&frames->free, 600);
	CHECK_VERIFIES(f.store);
	fixture_close(&f);
}

static void frames_that_are_counted_wrong_in_all_are_named(void)
{
	struct frame_table *frames;

	open_store_of_everything();
	CHECK_SO_FAR();
	frames = &held->region->frames;
	for (int state = FRAME_FREE; state < FRAME_STATES; state++)
		BREAK(frames->held[state], frames->held[state] + 1, "");
	BREAK(frames->isolated, 1, "");
	fixture_close(&f);
}

static void a_broken_range_is_named(void)
{
	struct range *range;

	open_store_of_everything();
	CHECK_SO_FAR();
	CHECK_EQ(held->region->ranges.ranges.live, 1);
	range = slab_at(&held->region->ranges.ranges, 1); /* the first id was free again */
	CHECK(range->allocated);
	BREAK(range->end_pfn, range->end_pfn + 1, "range 2");
	BREAK(range->end_pfn, range->end_pfn - 1, "range 1");
	BREAK(range->allocated, false, "range 2");
	fixture_close(&f);
}

static void a_broken_span_is_named(void)
{
	struct span *span;

	open_store_of_everything();
	CHECK_SO_FAR();
	span = span_of(59);
	BREAK(span->used, span->used + 1, "sizeclass");
	BREAK(span_home(span)->first, span_home(span)->first + TMS_CHUNK_FRAMES, "");
	BREAK(span_home(span)->frame[0], span_home(span)->frame[0] + 1, "");
	span->listed = !span->listed;
	CHECK(is_named("sizeclass"));
	span->listed = !span->listed;
	CHECK_VERIFIES(f.store);
	BREAK(held->region->packing.class[span->class_id].free_slots, 1000, "sizeclass 4");
	BREAK(held->region->frames.owner[span_pfn(span, 0)], 0, "");
	fixture_close(&f);
}

static void a_broken_entry_is_named(void)
{
	open_store_of_everything();
	CHECK_SO_FAR();
	BREAK(entry_of(&f, f.swap, 15)->flags, ENTRY_PERSISTENT, "entry 1");
	BREAK(entry_of(&f, f.swap, 15)->flags, ENTRY_PERSISTENT | ENTRY_FILL | ENTRY_RESIDENT, "entry 1");
	BREAK(entry_of(&f, f.swap, 75)->flags, ENTRY_PERSISTENT | ENTRY_RESIDENT | ENTRY_COPY | ENTRY_WRITING, "entry 1");
	BREAK(entry_of(&f, f.swap, 5)->flags, ENTRY_PERSISTENT | ENTRY_COPY | ENTRY_WRITING, "entry 1");
	BREAK(entry_of(&f, f.clean, 5)->flags, ENTRY_RESIDENT | ENTRY_COPY, "entry 1");
	BREAK(entry_of(&f, f.swap, 15)->place, pfn_of(&f, f.swap, 16) << UNITS_SHIFT, "entry");
	BREAK(entry_of(&f, f.swap, 25)->place, entry_of(&f, f.swap, 26)->place, "entry");
	BREAK(entry_of(&f, f.swap, 15)->index, 12345, "index 1");
	BREAK(entry_of(&f, f.swap, 5)->block, held->spill.end, "spill");
	fixture_close(&f);
}

static void a_broken_index_is_named(void)
{
	struct object *object;

	open_store_of_everything();
	CHECK_SO_FAR();
	object = slab_at(&held->index.objects, held->index.pool_objects[pool_slot(&held->pools, f.swap)].first);
	BREAK(object->pages.count, object->pages.count + 1, "index 2");
	BREAK(held->index.pool_objects[pool_slot(&held->pools, f.swap)].count, 1, "index 3");
	BREAK(held->index.entry_hash.records, 1, "index");
	BREAK(entry_of(&f, f.swap, 5)->object, held->index.objects.end, "index 1");
	BREAK(entry_of(&f, f.swap, 5)->object, entry_of(&f, f.clean, 3)->object, "index 1");
	BREAK(entry_at(&held->index.entries, object->pages.first)->sibling.next, 0, "index 2");
	fixture_close(&f);
}

static void a_broken_eviction_order_is_named(void)
{
	struct evict *evict;

	open_store_of_everything();
	CHECK_SO_FAR();
	evict = &held->evict;
	BREAK(evict->list.count, evict->list.count - 1, "evict");
	BREAK(evict->list.first, evict->filled.first, "evict");
	BREAK(evict->filled.first, 0, "evict");
	fixture_close(&f);
}

/* evict 2: the hand names a page of the list or is 0. */
static void a_hand_that_points_at_no_page_of_its_list_is_named(void)
{
	struct key key = { .object = 0, .index = 5 };

	open_store_of_everything();
	CHECK_SO_FAR();
	key.pool = pool_slot(&held->pools, f.swap);
	BREAK(held->evict.hand, index_find(&held->index, &key), "evict");
	fixture_close(&f);
}

static void a_list_that_does_not_run_back_as_forth_is_named(void)
{
	open_store_of_everything();
	CHECK_SO_FAR();
	BREAK(entry_of(&f, f.clean, 5)->order.prev, 0, "");
	BREAK(held->evict.list.last, held->evict.list.first, "");
	fixture_close(&f);
}

static void a_broken_spill_file_is_named(void)
{
	uint32_t block;

	open_store_of_everything();
	CHECK_SO_FAR();
	block = entry_of(&f, f.swap, 5)->block;
	BREAK(held->spill.users[block], held->spill.users[block] + 1, "spill");
	BREAK(held->spill.users[block], 0, "spill");
	BREAK(held->spill.used, held->spill.used + 1, "spill 2");
	bitmap_set(&held->spill.free, block);
	CHECK(is_named("spill 1"));
	bitmap_clear(&held->spill.free, block);
	CHECK_VERIFIES(f.store);
	fixture_close(&f);
}

static void a_count_that_is_not_what_is_held_is_named(void)
{
	struct tms_stats *s;

	open_store_of_everything();
	CHECK_SO_FAR();
	s = &held->stats;
	BREAK(s->pages_clean, 0, "stats");
	BREAK(s->pages_swap, 0, "stats");
	BREAK(s->pages_fill, 0, "stats");
	BREAK(s->pages_spilled, 0, "stats");
	BREAK(s->pages_copied, 0, "stats");
	BREAK(s->bytes_kept, 0, "stats");
	fixture_close(&f);
}

/* ---- ages, the reserve, what has no copy ------------------------------------------------------------- */

static void a_broken_age_is_named(void)
{
	struct aging *aging;

	open_store_of_everything();
	CHECK_SO_FAR();
	aging = &held->aging;
	for (int age = 0; age < AGES; age++) {
		BREAK(aging->list[age].count, aging->list[age].count + 1, "aging");
		BREAK(aging->list[age].first, 0, "aging");
	}
	BREAK(aging->list[AGE_UNCOPIED].first, aging->list[AGE_COPIED].first, "aging 1");
	BREAK(aging->list[AGE_COPIED].first, aging->list[AGE_RESERVE].first, "aging 1");
	BREAK(aging->list[AGE_RESERVE].first, aging->list[AGE_UNCOPIED].first, "aging 1");
	fixture_close(&f);
}

static void an_age_that_does_not_run_back_as_forth_is_named(void)
{
	struct aging *aging;

	open_store_of_everything();
	CHECK_SO_FAR();
	aging = &held->aging;
	for (int age = 0; age < AGES; age++) {
		BREAK(aging->list[age].last, aging->list[age].first, "aging");
		BREAK(holdings_entry(held, aging->list[age].last)->order.prev, 0, "aging");
	}
	fixture_close(&f);
}

static void a_reserve_out_of_order_is_named(void)
{
	struct entry *low;
	struct entry *high;
	uint32_t place;

	open_store_of_everything();
	CHECK_SO_FAR();
	low = entry_of(&f, f.swap, 80);
	high = entry_of(&f, f.swap, 89);
	CHECK(low->place < high->place);
	place = low->place;
	low->place = high->place;
	high->place = place;
	CHECK(is_named("aging 2"));
	high->place = low->place;
	low->place = place;
	CHECK_VERIFIES(f.store);
	BREAK(high->place, high->place - 1, "aging 2"); /* it overlaps its neighbour */
	BREAK(high->place, high->place + 1, "entry");   /* it reaches beyond the end */
	fixture_close(&f);
}

static void a_hand_that_points_at_no_page_of_the_reserve_is_named(void)
{
	open_store_of_everything();
	CHECK_SO_FAR();
	BREAK(held->aging.slide_hand, id_of(&f, f.swap, 15), "aging 3");
	fixture_close(&f);
}

static void a_reserve_that_is_counted_wrong_is_named(void)
{
	open_store_of_everything();
	CHECK_SO_FAR();
	BREAK(held->region->reserve.used, held->region->reserve.used + 1, "reserve");
	BREAK(held->region->reserve.end, held->region->reserve.end - 1, "entry");
	BREAK(held->uncopied_units, held->uncopied_units + 1, "shrink");
	BREAK(held->stats.pages_reserve, 0, "stats");
	fixture_close(&f);
}

/* shrink: a page with a copy does not stay in the reserve. */
static void a_copied_page_in_the_reserve_is_named(void)
{
	struct entry *entry;
	uint32_t block = 0;

	open_store_of_everything();
	CHECK_SO_FAR();
	entry = entry_of(&f, f.swap, 85);
	CHECK_EQ(spill_take_run(&held->spill, 1, &block), 1);
	entry->block = block;
	entry->flags |= ENTRY_COPY;
	CHECK(is_named("shrink"));
	entry->flags &= (uint8_t)~ENTRY_COPY;
	spill_put(&held->spill, block);
	CHECK_VERIFIES(f.store);
	fixture_close(&f);
}

int main(void)
{
	RUN(a_store_in_which_everything_occurs_is_whole);
	RUN(a_broken_frame_is_named);
	RUN(frames_that_are_counted_wrong_in_all_are_named);
	RUN(a_broken_range_is_named);
	RUN(a_broken_span_is_named);
	RUN(a_broken_entry_is_named);
	RUN(a_broken_index_is_named);
	RUN(a_broken_eviction_order_is_named);
	RUN(a_hand_that_points_at_no_page_of_its_list_is_named);
	RUN(a_list_that_does_not_run_back_as_forth_is_named);
	RUN(a_broken_spill_file_is_named);
	RUN(a_count_that_is_not_what_is_held_is_named);
	RUN(a_broken_age_is_named);
	RUN(an_age_that_does_not_run_back_as_forth_is_named);
	RUN(a_reserve_out_of_order_is_named);
	RUN(a_hand_that_points_at_no_page_of_the_reserve_is_named);
	RUN(a_reserve_that_is_counted_wrong_is_named);
	RUN(a_copied_page_in_the_reserve_is_named);
	return check_finish(__FILE__);
}
