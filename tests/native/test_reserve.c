/* The escape reserve's places, against a table of which unit belongs to whom. */
#include "reserve.h"

#include "fixture.h"

#define UNITS 400u
#define OBJECTS 200u
#define FIRST 1000u

static uint8_t memory[UNITS << UNIT_SHIFT];
static struct reserve reserve;

struct object {
	uint32_t place; /* 0: not there */
	uint32_t bytes;
};
static struct object object[OBJECTS];

static void open_reserve(void)
{
	reserve = (struct reserve){ .base = memory, .first = FIRST, .units = UNITS };
	memset(object, 0, sizeof(object));
}

/* How many units an object has, by counting. */
static uint32_t units_by_hand(uint32_t bytes)
{
	uint32_t units = 0;

	while (units * 64 < bytes)
		units++;
	return units;
}

static void a_footprint_is_its_bytes_rounded_up_to_units(void)
{
	for (uint32_t bytes = 1; bytes <= TMS_PAGE_SIZE; bytes++)
		CHECK_EQ(units_of(bytes), units_by_hand(bytes));
}

static void objects_lie_one_behind_the_other_until_it_is_full(void)
{
	uint32_t next = FIRST;

	open_reserve();
	for (uint32_t bytes = 1; next + units_by_hand(bytes) <= FIRST + UNITS; bytes += 37) {
		CHECK_EQ(reserve_take(&reserve, bytes), next);
		CHECK(reserve_has(&reserve, next));
		CHECK_EQ(reserve_at(&reserve, next) - memory, (next - FIRST) * 64);
		next += units_by_hand(bytes);
		CHECK_EQ(reserve.used, next - FIRST);
		CHECK_EQ(reserve_free(&reserve), UNITS - reserve.used);
	}
	CHECK_EQ(reserve_take(&reserve, TMS_PAGE_SIZE), PLACE_NONE);
	CHECK(!reserve_has(&reserve, FIRST - 1));
}

static void what_fits_to_the_last_unit_fits(void)
{
	open_reserve();
	CHECK_EQ(reserve_take(&reserve, (UNITS - 1) * 64), FIRST);
	CHECK_EQ(reserve_take(&reserve, 65), PLACE_NONE);
	CHECK_EQ(reserve_take(&reserve, 64), FIRST + UNITS - 1);
	CHECK_EQ(reserve_take(&reserve, 1), PLACE_NONE);
	CHECK_EQ(reserve_free(&reserve), 0);
}

static void the_last_object_gives_its_units_back_and_one_in_between_leaves_a_hole(void)
{
	uint32_t place[3];

	open_reserve();
	for (int i = 0; i < 3; i++)
		place[i] = reserve_take(&reserve, 640);
	reserve_put(&reserve, place[1], 640);
	CHECK_EQ(reserve.end, 30);
	CHECK_EQ(reserve.used, 20);
	reserve_put(&reserve, place[2], 640);
	CHECK_EQ(reserve.end, 20); /* the hole stays */
	reserve_put(&reserve, place[0], 640);
	CHECK_EQ(reserve.end, 0); /* nothing is left, not even holes */
}

/* No unit is given twice, none is used beyond the end, and what is used is the sum of the footprints. */
static void no_unit_belongs_to_two_whatever_comes_and_goes(void)
{
	uint64_t rng = 5;

	open_reserve();
	for (int step = 0; step < 20000; step++) {
		struct object *o = &object[rng_below(&rng, OBJECTS)];
		uint8_t taken[UNITS] = { 0 };
		uint32_t used = 0;

		if (o->place) {
			reserve_put(&reserve, o->place, o->bytes);
			o->place = 0;
		} else {
			uint32_t end = reserve.end;

			o->bytes = 1 + rng_below(&rng, 1000);
			o->place = reserve_take(&reserve, o->bytes);
			CHECK_EQ(o->place == PLACE_NONE, end + units_by_hand(o->bytes) > UNITS);
			if (o->place == PLACE_NONE)
				o->place = 0;
		}
		for (uint32_t i = 0; i < OBJECTS; i++)
			for (uint32_t u = 0; object[i].place && u < units_by_hand(object[i].bytes); u++, used++) {
				uint32_t at = object[i].place - FIRST + u;

				CHECK(at < reserve.end && !taken[at]);
				taken[at] = 1;
			}
		CHECK_EQ(reserve.used, used);
		CHECK(reserve.used <= reserve.end && reserve.end <= UNITS);
	}
}

int main(void)
{
	RUN(a_footprint_is_its_bytes_rounded_up_to_units);
	RUN(objects_lie_one_behind_the_other_until_it_is_full);
	RUN(what_fits_to_the_last_unit_fits);
	RUN(the_last_object_gives_its_units_back_and_one_in_between_leaves_a_hole);
	RUN(no_unit_belongs_to_two_whatever_comes_and_goes);
	return check_finish(__FILE__);
}
