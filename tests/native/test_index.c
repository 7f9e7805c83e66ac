/* Keys, objects and pools against an array of keys. */
#include "index.h"
#include "fixture.h"

#define POOLS 3u
#define OBJECTS 20u
#define PAGES 100u

static uint32_t shadow[POOLS + 1][OBJECTS][PAGES]; /* entry id; 0: absent */

/* Numbers that differ in the high half only, too. */
static uint64_t object_number(uint32_t object)
{
	return object % 2 ? (uint64_t)object << 32 : object;
}

static struct key key_of(uint32_t pool, uint32_t object, uint32_t page)
{
	return (struct key){ .object = object_number(object), .index = page * 77, .pool = (uint16_t)pool };
}

static bool open_index(struct index *index)
{
	memset(shadow, 0, sizeof(shadow));
	return index_init(index) && index_reserve_pools(index, POOLS + 1);
}

static void play(struct index *index, int steps, uint32_t inserts_of_8, uint64_t *rng)
{
	while (steps--) {
		uint32_t pool = 1 + rng_below(rng, POOLS);
		uint32_t object = rng_below(rng, OBJECTS);
		uint32_t page = rng_below(rng, PAGES);
		uint32_t *id = &shadow[pool][object][page];
		struct key key = key_of(pool, object, page);

		CHECK_EQ(index_find(index, &key), *id);
		if (*id == 0 && rng_below(rng, 8) < inserts_of_8) {
			CHECK_EQ(index_insert(index, &key, id), INDEX_OK);
			CHECK(*id);
			CHECK_EQ(entry_at(&index->entries, *id)->flags, 0);
			CHECK_EQ(entry_at(&index->entries, *id)->place, 0);
		} else if (*id && rng_below(rng, 8) >= inserts_of_8) {
			index_remove(index, *id);
			*id = 0;
		}
	}
}

static void count(const struct index *index)
{
	uint32_t entries = 0;
	uint32_t objects = 0;

	for (uint32_t pool = 1; pool <= POOLS; pool++) {
		uint32_t of_pool = 0;

		for (uint32_t object = 0; object < OBJECTS; object++) {
			uint32_t pages = 0;
			uint32_t any = index_any_of_object(index, (uint16_t)pool, object_number(object));

			for (uint32_t page = 0; page < PAGES; page++) {
				struct key key = key_of(pool, object, page);

				pages += shadow[pool][object][page] != 0;
				CHECK_EQ(index_find(index, &key), shadow[pool][object][page]);
			}
			CHECK_EQ(any != 0, pages != 0);
			CHECK(!any || (index_object(index, entry_at(&index->entries, any))->number == object_number(object) &&
				       index_object(index, entry_at(&index->entries, any))->pool == pool));
			entries += pages;
			of_pool += pages != 0;
		}
		CHECK_EQ(index->pool_objects[pool].count, of_pool);
		CHECK_EQ(index_any_of_pool(index, (uint16_t)pool) != 0, of_pool != 0);
		objects += of_pool;
	}
	CHECK_EQ(index->entries.live, entries);
	CHECK_EQ(index->objects.live, objects);
}

static void an_entry_is_found_by_its_key_alone(void)
{
	struct index index;
	uint64_t rng = 61;

	CHECK(open_index(&index));
	for (uint32_t round = 0; round < 6; round++) {
		play(&index, 8000, round % 2 ? 2 : 6, &rng);
		CHECK_SO_FAR();
		count(&index);
		CHECK_SO_FAR();
	}
	CHECK(index_bytes(&index) >= index.entries.live * sizeof(struct entry));
	index_deinit(&index);
}

static void counters_are_those_of_the_entries_and_one_that_is_full_stays_so(void)
{
	const uint64_t counters[] = { 4096, 16 }; /* of the latter each is full */
	uint64_t rng = 62;

	for (int i = 0; i < 2; i++) {
		struct index index;
		uint64_t counted = 0;
		uint32_t known_absent = 0;

		CHECK(open_index(&index));
		CHECK(index_count_present(&index, counters[i]));
		CHECK(index_count_present(&index, 2 * counters[i])); /* once is enough */
		CHECK_EQ(index.present_mask, counters[i] - 1);
		for (uint32_t round = 0; round < 4; round++) {
			play(&index, 8000, round % 2 ? 2 : 6, &rng);
			CHECK_SO_FAR();
			count(&index);
			CHECK_SO_FAR();
		}
		for (uint64_t at = 0; at < counters[i]; at++)
			counted += index.present[at];
		for (uint32_t page = 0; page < PAGES; page++) {
			struct key key = key_of(1, OBJECTS + 1, page); /* never put */

			known_absent += !index_may_hold(&index, index_key_hash(&key));
		}
		if (i == 0)
			CHECK_EQ(counted, index.entries.live);
		CHECK(i == 0 ? known_absent > PAGES / 4 : known_absent == 0);
		index_deinit(&index);
	}
}

static void an_index_with_entries_goes_on_without_counters(void)
{
	struct key key = key_of(1, 2, 3);
	struct index index;
	uint32_t id;

	CHECK(open_index(&index));
	CHECK_EQ(index_insert(&index, &key, &id), INDEX_OK);
	CHECK(index_count_present(&index, 4096));
	CHECK(!index.present);
	CHECK(index_may_hold(&index, 12345));
	CHECK_EQ(index_find(&index, &key), id);
	index_deinit(&index);
}

static void an_object_with_no_page_does_not_exist(void)
{
	struct index index;
	struct key key = key_of(1, 3, 4);
	uint32_t id;

	CHECK(open_index(&index));
	CHECK_EQ(index_insert(&index, &key, &id), INDEX_OK);
	CHECK_EQ(index.objects.live, 1);
	index_remove(&index, id);
	CHECK_EQ(index.objects.live, 0);
	CHECK_EQ(index_any_of_object(&index, 1, object_number(3)), 0);
	CHECK_EQ(index_any_of_pool(&index, 1), 0);
	index_deinit(&index);
}

static void taking_any_of_an_object_drains_it_and_nothing_else(void)
{
	struct index index;
	uint64_t rng = 62;

	CHECK(open_index(&index));
	play(&index, 4000, 8, &rng);
	CHECK_SO_FAR();
	for (uint32_t id; (id = index_any_of_object(&index, 2, object_number(5)));)
		index_remove(&index, id);
	memset(shadow[2][5], 0, sizeof(shadow[2][5]));
	count(&index);
	CHECK_SO_FAR();
	for (uint32_t id; (id = index_any_of_pool(&index, 3));)
		index_remove(&index, id);
	memset(shadow[3], 0, sizeof(shadow[3]));
	count(&index);
	index_deinit(&index);
}

static void more_pools_cost_no_object_of_the_old_ones(void)
{
	struct index index;
	uint64_t rng = 63;

	CHECK(open_index(&index));
	play(&index, 2000, 8, &rng);
	CHECK(index_reserve_pools(&index, 1000));
	CHECK(index_reserve_pools(&index, 2));
	CHECK_EQ(index.pools, 1000);
	CHECK_EQ(index_any_of_pool(&index, 999), 0);
	count(&index);
	index_deinit(&index);
}

int main(void)
{
	RUN(an_entry_is_found_by_its_key_alone);
	RUN(counters_are_those_of_the_entries_and_one_that_is_full_stays_so);
	RUN(an_index_with_entries_goes_on_without_counters);
	RUN(an_object_with_no_page_does_not_exist);
	RUN(taking_any_of_an_object_drains_it_and_nothing_else);
	RUN(more_pools_cost_no_object_of_the_old_ones);
	return check_finish(__FILE__);
}
