/* Pages by age, against an array in their order. */
#include "aging.h"

#include "fixture.h"

#define PAGES 40u
#define MANY 1000u

static struct slab entries;
static struct aging aging;
static uint32_t shadow[PAGES]; /* oldest first */
static uint32_t count;
static bool visited[PAGES + 1];

static void open_aging(void)
{
	slab_init(&entries, sizeof(struct entry));
	for (uint32_t i = 0; i < MANY; i++)
		memset(entry_at(&entries, slab_alloc(&entries)), 0, sizeof(struct entry));
	aging_init(&aging, &entries);
	count = 0;
}

static void close_aging(void)
{
	slab_deinit(&entries);
}

static void add(uint32_t id)
{
	aging_enlist(&aging, AGE_UNCOPIED, id);
	shadow[count++] = id;
}

static void drop_at(uint32_t at)
{
	memmove(shadow + at, shadow + at + 1, (--count - at) * sizeof(*shadow));
}

static uint32_t at_of(uint32_t id)
{
	uint32_t at = 0;

	while (at < count && shadow[at] != id)
		at++;
	return at;
}

static bool is_visited(uint32_t id)
{
	return entry_at(&entries, id)->flags & ENTRY_VISITED;
}

static void visit(uint32_t id)
{
	entry_at(&entries, id)->flags |= ENTRY_VISITED;
}

/* The list is the shadow's, both ways. */
static bool is_in_order(void)
{
	uint32_t id = aging.list[AGE_UNCOPIED].last;
	uint32_t forth = aging.list[AGE_UNCOPIED].first;

	for (uint32_t at = 0; at < count; at++) {
		if (id != shadow[at] || forth != shadow[count - 1 - at])
			return false;
		id = aging_newer(&aging, id);
		forth = entry_at(&entries, forth)->order.next;
	}
	return !id && !forth && aging.list[AGE_UNCOPIED].count == count;
}

static void the_oldest_comes_first(void)
{
	open_aging();
	CHECK_EQ(aging_cold(&aging, AGE_UNCOPIED, 0), 0);
	for (uint32_t id = 1; id <= 10; id++)
		add(id);
	CHECK_EQ(aging_cold(&aging, AGE_UNCOPIED, 0), 1);
	CHECK_EQ(aging_cold(&aging, AGE_UNCOPIED, 4), 4);
	for (uint32_t id = 1; id < 10; id++)
		CHECK_EQ(aging_newer(&aging, id), id + 1);
	CHECK_EQ(aging_newer(&aging, 10), 0);
	CHECK(is_in_order());
	close_aging();
}

static void a_visited_page_goes_to_the_front_once(void)
{
	open_aging();
	for (uint32_t id = 1; id <= 5; id++)
		add(id);
	visit(1);
	visit(3);
	CHECK_EQ(aging_cold(&aging, AGE_UNCOPIED, 0), 2); /* 1 had its second chance */
	CHECK(!is_visited(1) && is_visited(3)); /* 3 was not met */
	CHECK_EQ(aging_cold(&aging, AGE_UNCOPIED, 3), 4);
	for (uint32_t expected = 2; expected <= 5; expected++)
		if (expected != 3) {
			CHECK_EQ(aging_cold(&aging, AGE_UNCOPIED, 0), expected);
			aging_delist(&aging, AGE_UNCOPIED, expected);
		}
	CHECK_EQ(aging_cold(&aging, AGE_UNCOPIED, 0), 1);
	aging_delist(&aging, AGE_UNCOPIED, 1);
	CHECK_EQ(aging_cold(&aging, AGE_UNCOPIED, 0), 3);
	close_aging();
}

static void where_all_are_visited_there_is_still_one(void)
{
	open_aging();
	for (uint32_t id = 1; id <= 5; id++) {
		add(id);
		visit(id);
	}
	CHECK(aging_cold(&aging, AGE_UNCOPIED, 0));
	CHECK_EQ(aging.list[AGE_UNCOPIED].count, 5);
	close_aging();
}

static void each_age_has_a_list_of_its_own(void)
{
	open_aging();
	for (int age = 0; age < AGES; age++)
		aging_enlist(&aging, (enum age)age, 1 + (uint32_t)age);
	for (int age = 0; age < AGES; age++) {
		CHECK_EQ(aging.list[age].first, 1 + age);
		CHECK_EQ(aging.list[age].count, 1);
		aging_delist(&aging, (enum age)age, 1 + (uint32_t)age);
		CHECK_EQ(aging.list[age].first, 0);
	}
	close_aging();
}

/* The hand names a page of the reserve or is 0, whichever page leaves. */
static void the_hand_moves_on_from_a_page_that_leaves(void)
{
	open_aging();
	for (uint32_t id = 1; id <= 4; id++)
		aging_enlist(&aging, AGE_RESERVE, id);
	aging.slide_hand = 2;
	aging_delist(&aging, AGE_RESERVE, 3);
	CHECK_EQ(aging.slide_hand, 2);
	aging_delist(&aging, AGE_RESERVE, 2);
	CHECK_EQ(aging.slide_hand, 4);
	aging_delist(&aging, AGE_RESERVE, 1);
	CHECK_EQ(aging.slide_hand, 4);
	aging_delist(&aging, AGE_RESERVE, 4);
	CHECK_EQ(aging.slide_hand, 0);
	close_aging();
}

/* From there on visited ones go to the newest end, unmarked; what was the newest then is looked at no more. */
static uint32_t cold_by_hand(uint32_t at)
{
	while (at < count && visited[shadow[at]]) {
		uint32_t moved = shadow[at];

		if (at == count - 1)
			break;
		visited[moved] = false;
		drop_at(at);
		shadow[count++] = moved;
	}
	return at < count ? shadow[at] : 0;
}

static void the_order_is_that_of_the_shadow_whatever_comes_and_goes(void)
{
	uint64_t rng = 31;

	open_aging();
	for (int step = 0; step < 20000; step++) {
		uint32_t id = 1 + rng_below(&rng, PAGES);
		uint32_t at = at_of(id);

		if (rng_below(&rng, 3) == 0) {
			uint32_t from = at < count ? id : 0;

			CHECK_EQ(aging_cold(&aging, AGE_UNCOPIED, from), cold_by_hand(from ? at : 0));
		} else if (at < count) {
			aging_delist(&aging, AGE_UNCOPIED, id);
			drop_at(at);
		} else {
			visited[id] = rng_below(&rng, 2);
			entry_at(&entries, id)->flags = visited[id] ? ENTRY_VISITED : 0;
			add(id);
		}
		CHECK(is_in_order());
		for (uint32_t i = 0; i < count; i++)
			CHECK_EQ(is_visited(shadow[i]), visited[shadow[i]]);
	}
	close_aging();
}

/* A load of every page must not make the next look as long as the list. */
static void one_look_moves_a_few_dozen_pages_and_the_next_goes_on(void)
{
	uint32_t looks = 0;
	uint32_t before = 0;

	open_aging();
	for (uint32_t id = 1; id <= MANY; id++) {
		aging_enlist(&aging, AGE_UNCOPIED, id);
		visit(id);
	}
	for (uint32_t left = MANY; left > 1; looks++) {
		CHECK(aging_cold(&aging, AGE_UNCOPIED, 0));
		for (before = left, left = 0; left < MANY && is_visited(MANY - left); left++)
			;
		CHECK(left < before && before - left <= 64);
	}
	CHECK(looks >= MANY / 64);
	close_aging();
}

int main(void)
{
	RUN(the_oldest_comes_first);
	RUN(a_visited_page_goes_to_the_front_once);
	RUN(where_all_are_visited_there_is_still_one);
	RUN(each_age_has_a_list_of_its_own);
	RUN(the_hand_moves_on_from_a_page_that_leaves);
	RUN(the_order_is_that_of_the_shadow_whatever_comes_and_goes);
	RUN(one_look_moves_a_few_dozen_pages_and_the_next_goes_on);
	return check_finish(__FILE__);
}
