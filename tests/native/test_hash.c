/* A hash over a slab against an array by key, while it grows over several thousand records and shrinks. */
#include "hash.h"
#include "fixture.h"

#define KEYS 20000u

struct record {
	uint32_t key;
	uint32_t next;
};

struct table {
	struct slab slab;
	struct hash hash;
	uint64_t (*hash_of)(uint32_t key);
	uint32_t id[KEYS]; /* shadow; 0: not in */
	uint32_t count;
};

static struct table table;

static uint64_t spread(uint32_t key)
{
	return hash_mix(key);
}

static uint64_t collide(uint32_t key)
{
	return key % 5;
}

static uint64_t hash_of_record(const void *context, const void *record)
{
	return ((const struct table *)context)->hash_of(((const struct record *)record)->key);
}

static uint32_t find(uint32_t key)
{
	uint32_t id = *hash_head(&table.hash, table.hash_of(key));

	for (uint32_t longest = table.count; id && longest; longest--) {
		const struct record *record = slab_at(&table.slab, id);

		if (record->key == key)
			return id;
		id = record->next;
	}
	return 0;
}

static void insert(uint32_t key)
{
	uint32_t id = slab_alloc(&table.slab);

	((struct record *)slab_at(&table.slab, id))->key = key;
	hash_insert(&table.hash, &table.slab, id, table.hash_of(key));
	table.id[key] = id;
	table.count++;
}

static void take_out(uint32_t key)
{
	hash_remove(&table.hash, &table.slab, table.id[key], table.hash_of(key));
	slab_free(&table.slab, table.id[key]);
	table.id[key] = 0;
	table.count--;
}

static bool open_table(uint64_t (*hash_of)(uint32_t key))
{
	memset(&table, 0, sizeof(table));
	table.hash_of = hash_of;
	slab_init(&table.slab, sizeof(struct record));
	return hash_init(&table.hash, offsetof(struct record, next), hash_of_record, &table);
}

static void close_table(void)
{
	hash_deinit(&table.hash);
	slab_deinit(&table.slab);
}

static void play(uint32_t keys, int steps, uint32_t out_of_8, uint64_t *rng)
{
	for (int step = 0; step < steps; step++) {
		uint32_t key = rng_below(rng, keys);
		uint32_t asked = rng_below(rng, keys);
		uint32_t buckets = table.hash.buckets;

		if (rng_below(rng, 8) < out_of_8) {
			if (!table.id[key])
				insert(key);
		} else if (table.id[key]) {
			take_out(key);
		}
		CHECK(table.hash.buckets - buckets <= HASH_SPLITS);
		CHECK(table.hash.buckets >= table.count / HASH_RECORDS * HASH_BUCKETS);
		CHECK_EQ(table.hash.records, table.count);
		CHECK_EQ(find(asked), table.id[asked]);
	}
	for (uint32_t key = 0; key < keys; key++)
		CHECK_EQ(find(key), table.id[key]);
}

static void a_key_is_found_iff_it_was_inserted_and_not_removed(void)
{
	uint64_t rng = 5;

	CHECK(open_table(spread));
	for (uint32_t round = 0; round < 4; round++) {
		play(KEYS, 20000, round % 2 ? 2 : 7, &rng);
		CHECK_SO_FAR();
	}
	close_table();
}

static void keys_that_collide_are_told_apart(void)
{
	uint64_t rng = 6;

	CHECK(open_table(collide));
	play(300, 6000, 5, &rng);
	CHECK_SO_FAR();
	close_table();
}

/* Keys that came in one after the other are met in that order, wherever splits put them; others went meanwhile. */
static void a_chain_runs_from_the_oldest_to_the_newest(void)
{
	CHECK(open_table(spread));
	for (uint32_t key = 0; key < 5000; key++) {
		insert(key);
		if (key % 3 == 2)
			take_out(key - 1);
	}
	for (uint32_t bucket = 0; bucket < table.hash.buckets; bucket++) {
		uint32_t id = table.hash.segment[bucket >> SLAB_SHIFT][bucket & (SLAB_SEGMENT - 1)];
		const struct record *before = NULL;

		for (uint32_t longest = table.count; id && longest; longest--) {
			const struct record *record = slab_at(&table.slab, id);

			CHECK(!before || before->key < record->key);
			before = record;
			id = record->next;
		}
	}
	close_table();
}

/* Each chain holds only records whose hash names it now, and the chains hold all records. */
static void a_record_is_in_the_chain_of_the_bucket_that_its_hash_names(void)
{
	uint32_t seen = 0;

	CHECK(open_table(spread));
	for (uint32_t key = 0; key < 5000; key++)
		insert(key);
	for (uint32_t bucket = 0; bucket < table.hash.buckets; bucket++) {
		const uint32_t *head = &table.hash.segment[bucket >> SLAB_SHIFT][bucket & (SLAB_SEGMENT - 1)];

		for (uint32_t id = *head; id && seen <= 5000; id = *hash_next(&table.hash, &table.slab, id), seen++)
			CHECK(hash_head(&table.hash, hash_of_record(&table, slab_at(&table.slab, id))) == head);
	}
	CHECK_EQ(seen, 5000);
	CHECK(table.hash.segments >= 2);
	CHECK(hash_bytes(&table.hash) >= 5000 * sizeof(uint32_t));
	close_table();
}

int main(void)
{
	RUN(a_key_is_found_iff_it_was_inserted_and_not_removed);
	RUN(keys_that_collide_are_told_apart);
	RUN(a_chain_runs_from_the_oldest_to_the_newest);
	RUN(a_record_is_in_the_chain_of_the_bucket_that_its_hash_names);
	return check_finish(__FILE__);
}
