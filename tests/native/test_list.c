/* A list against an array that is shifted by hand. */
#include "list.h"
#include "fixture.h"

#define IDS 40u

static struct link links[IDS + 1]; /* 0 names none */

static struct link *link_of(const void *table, uint32_t id)
{
	(void)table;
	return &links[id];
}

/* In order from the first. */
struct shadow {
	uint32_t id[IDS];
	uint32_t count;
};

static void shadow_push_front(struct shadow *shadow, uint32_t id)
{
	memmove(shadow->id + 1, shadow->id, shadow->count * sizeof(*shadow->id));
	shadow->id[0] = id;
	shadow->count++;
}

static bool shadow_remove(struct shadow *shadow, uint32_t id)
{
	for (uint32_t i = 0; i < shadow->count; i++)
		if (shadow->id[i] == id) {
			memmove(shadow->id + i, shadow->id + i + 1, (--shadow->count - i) * sizeof(*shadow->id));
			return true;
		}
	return false;
}

static void compare(const struct list *list, const struct shadow *shadow)
{
	uint32_t i = 0;

	CHECK_EQ(list->count, shadow->count);
	for (uint32_t id = list->first; id; id = links[id].next, i++) {
		CHECK(i < shadow->count);
		CHECK_EQ(id, shadow->id[i]);
	}
	CHECK_EQ(i, shadow->count);
	for (uint32_t id = list->last; id; id = links[id].prev) {
		CHECK(i > 0);
		CHECK_EQ(id, shadow->id[--i]);
	}
	CHECK_EQ(i, 0);
}

static void a_list_runs_the_same_way_back_as_forth(void)
{
	struct list list = { 0 };
	struct shadow shadow = { .count = 0 };
	uint64_t rng = 11;

	memset(links, 0, sizeof(links));
	for (int step = 0; step < 5000; step++) {
		uint32_t id = 1 + rng_below(&rng, IDS);

		if (shadow_remove(&shadow, id)) {
			list_remove(&list, NULL, link_of, id);
			CHECK_EQ(links[id].prev, 0);
			CHECK_EQ(links[id].next, 0);
		} else {
			list_push_front(&list, NULL, link_of, id);
			shadow_push_front(&shadow, id);
		}
		compare(&list, &shadow);
		CHECK_SO_FAR();
	}
}

static void a_list_has_no_first_iff_it_has_no_last_iff_its_count_is_0(void)
{
	struct list list = { 0 };

	memset(links, 0, sizeof(links));
	for (int round = 0; round < 2; round++) {
		list_push_front(&list, NULL, link_of, 5);
		CHECK_EQ(list.first, 5);
		CHECK_EQ(list.last, 5);
		list_push_front(&list, NULL, link_of, 6);
		list_remove(&list, NULL, link_of, round ? 5 : 6);
		CHECK_EQ(list.first, round ? 6 : 5);
		CHECK_EQ(list.last, round ? 6 : 5);
		list_remove(&list, NULL, link_of, round ? 6 : 5);
		CHECK_EQ(list.first, 0);
		CHECK_EQ(list.last, 0);
		CHECK_EQ(list.count, 0);
	}
}

int main(void)
{
	RUN(a_list_runs_the_same_way_back_as_forth);
	RUN(a_list_has_no_first_iff_it_has_no_last_iff_its_count_is_0);
	return check_finish(__FILE__);
}
