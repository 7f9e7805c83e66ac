/* The record of one page. */
#include "entry.h"
#include "fixture.h"

static void a_fill_value_stands_in_the_entry_whole_and_leaves_the_rest_alone(void)
{
	const uint64_t values[] = { 0, 1, UINT64_MAX, UINT64_C(0x8000000000000000), UINT64_C(0x0123456789abcdef), UINT32_MAX };
	struct entry entry;
	struct entry before;

	for (size_t i = 0; i < sizeof(values) / sizeof(*values); i++) {
		memset(&entry, 0x5a, sizeof(entry));
		before = entry;
		entry_set_fill(&entry, values[i]);
		CHECK_EQ(entry_fill(&entry), values[i]);
		entry.place = before.place;
		entry.block = before.block;
		CHECK(!memcmp(&entry, &before, sizeof(entry)));
	}
}

static void flags_are_distinct_and_fit_their_byte(void)
{
	const unsigned int flags[] = { ENTRY_PERSISTENT, ENTRY_FILL, ENTRY_PACKED, ENTRY_RESIDENT, ENTRY_COPY, ENTRY_WRITING, ENTRY_VISITED };
	unsigned int all = 0;

	for (size_t i = 0; i < sizeof(flags) / sizeof(*flags); i++) {
		CHECK(flags[i] && (flags[i] & (flags[i] - 1)) == 0);
		CHECK(!(all & flags[i]));
		all |= flags[i];
	}
	CHECK(all <= UINT8_MAX);
}

/* A free record holds the slab's next free id in its first four bytes: the object must not lie there. */
static void a_free_record_of_the_slab_has_no_object(void)
{
	struct slab entries;
	uint32_t id[3];

	slab_init(&entries, sizeof(struct entry));
	for (int i = 0; i < 3; i++) {
		id[i] = slab_alloc(&entries);
		memset(entry_at(&entries, id[i]), 0xff, sizeof(struct entry));
	}
	for (int i = 0; i < 3; i++)
		slab_free(&entries, id[i]);
	for (int i = 0; i < 3; i++)
		CHECK_EQ(entry_at(&entries, id[i])->object, 0);
	slab_deinit(&entries);
}

static void size_and_unit_reach_over_a_whole_block(void)
{
	struct entry entry = { 0 };

	entry.size = TMS_PAGE_SIZE;
	CHECK_EQ(entry.size, TMS_PAGE_SIZE);
	entry.unit = TMS_PAGE_SIZE / 64 - 1;
	CHECK_EQ(entry.unit, TMS_PAGE_SIZE / 64 - 1);
	entry.check_low = UINT32_MAX;
	entry.check_high = UINT16_MAX;
	CHECK_EQ((uint64_t)entry.check_high << 32 | entry.check_low, UINT64_C(0xffffffffffff));
}

int main(void)
{
	RUN(a_fill_value_stands_in_the_entry_whole_and_leaves_the_rest_alone);
	RUN(flags_are_distinct_and_fit_their_byte);
	RUN(a_free_record_of_the_slab_has_no_object);
	RUN(size_and_unit_reach_over_a_whole_block);
	return check_finish(__FILE__);
}
