/* Records of a slab against an array of what was written into them. */
#include "slab.h"
#include "fixture.h"

#define RECORDS (3 * SLAB_SMALL * SLAB_SEGMENT + 100) /* beyond the small ones */

struct record {
	uint64_t value;
	uint32_t more[3];
};

static struct record *at[RECORDS + 1]; /* by id; null: free */

static bool is_zero(const struct record *record)
{
	const struct record zero = { 0 };

	return !memcmp(record, &zero, sizeof(zero));
}

static void no_record_moves_or_changes_while_the_slab_grows(void)
{
	struct slab slab;

	slab_init(&slab, sizeof(struct record));
	for (uint32_t i = 1; i <= RECORDS; i++) {
		uint32_t id = slab_alloc(&slab);

		CHECK_EQ(id, i);
		at[id] = slab_at(&slab, id);
		CHECK(is_zero(at[id]));
		at[id]->value = ~(uint64_t)id * 3;
	}
	for (uint32_t id = 1; id <= RECORDS; id++) {
		CHECK(slab_at(&slab, id) == at[id]);
		CHECK_EQ(at[id]->value, ~(uint64_t)id * 3);
	}
	CHECK_EQ(slab.live, RECORDS);
	CHECK(slab_bytes(&slab) >= RECORDS * sizeof(struct record));
	slab_deinit(&slab);
	CHECK_EQ(slab.live, 0);
}

static void a_live_id_is_never_handed_out_again_and_a_new_record_is_zero(void)
{
	static uint64_t value[RECORDS + 1]; /* 0: free */
	struct slab slab;
	uint64_t rng = 3;
	uint32_t live = 0;

	slab_init(&slab, sizeof(struct record));
	for (int step = 0; step < 60000; step++) {
		uint32_t id = 1 + rng_below(&rng, RECORDS);

		if (value[id]) {
			const struct record *record = slab_at(&slab, id);

			CHECK_EQ(record->value, value[id]);
			slab_free(&slab, id);
			value[id] = 0;
			live--;
		} else if (live < RECORDS) {
			struct record *record;

			id = slab_alloc(&slab);
			CHECK(id >= 1 && id <= RECORDS);
			CHECK(!value[id]);
			record = slab_at(&slab, id);
			CHECK(is_zero(record));
			value[id] = record->value = rng_next(&rng) | 1;
			memset(record->more, 0xff, sizeof(record->more));
			live++;
		}
		CHECK_EQ(slab.live, live);
	}
	slab_deinit(&slab);
}

static void freed_ids_are_used_before_the_slab_grows(void)
{
	struct slab slab;
	uint32_t end;

	slab_init(&slab, sizeof(struct record));
	for (uint32_t i = 1; i < SLAB_SEGMENT; i++)
		CHECK_EQ(slab_alloc(&slab), i);
	end = slab.end;
	for (uint32_t id = 1; id < SLAB_SEGMENT; id += 2)
		slab_free(&slab, id);
	for (uint32_t id = 1; id < SLAB_SEGMENT; id += 2)
		CHECK(slab_alloc(&slab) % 2 == 1);
	CHECK_EQ(slab.end, end);
	CHECK_EQ(slab.segments, 1);
	CHECK_EQ(slab_alloc(&slab), end);
	CHECK_EQ(slab.segments, 2);
	slab_deinit(&slab);
}

int main(void)
{
	RUN(no_record_moves_or_changes_while_the_slab_grows);
	RUN(a_live_id_is_never_handed_out_again_and_a_new_record_is_zero);
	RUN(freed_ids_are_used_before_the_slab_grows);
	return check_finish(__FILE__);
}
