/* Packed objects against an array of what was written into them. */
#include "sizeclass.h"
#include "fixture.h"

#define FRAMES (TMS_CHUNK_FRAMES + 200u)
#define OBJECTS 3000u

struct object {
	uint32_t place; /* PLACE_NONE: not there */
	uint32_t bytes;
	uint8_t pattern;
};

static struct mapping mapping;
static struct frame_table frames;
static struct packing packing;
static struct object object[OBJECTS + 1]; /* by entry; 0 is none */
static bool sealed[OBJECTS + 1];          /* by span */
static uint32_t moved_wrongly;

static uint32_t span_of(uint32_t place)
{
	return frames.owner[place >> UNITS_SHIFT];
}

/* Writes the pattern, or looks whether it is there. */
static bool pattern(const struct object *o, bool write)
{
	struct pieces pieces = packing_pieces(&packing, o->place, o->bytes);
	uint8_t value = o->pattern;

	for (int piece = 0; piece < 2; piece++)
		for (uint32_t i = 0; i < pieces.bytes[piece]; i++, value = (uint8_t)(value + 7)) {
			if (write)
				pieces.at[piece][i] = value;
			else if (pieces.at[piece][i] != value)
				return false;
		}
	return pieces.bytes[0] + pieces.bytes[1] == o->bytes;
}

static bool has_pattern(const struct object *o)
{
	return pattern(o, false);
}

static void note_move(void *context, uint32_t entry, uint32_t new_place)
{
	(void)context;
	moved_wrongly += sealed[span_of(object[entry].place)] || sealed[span_of(new_place)];
	object[entry].place = new_place;
}

static bool open_packing(void)
{
	const struct tms_region_config config = { .size_bytes = (uint64_t)FRAMES * TMS_PAGE_SIZE };
	struct tms_region_info info = { 0 };

	for (uint32_t entry = 0; entry <= OBJECTS; entry++)
		object[entry].place = PLACE_NONE;
	memset(sealed, 0, sizeof(sealed));
	if (mapping_init(&mapping, &config, &info) || !frame_table_init(&frames, &mapping))
		return false;
	packing_init(&packing, &frames);
	return true;
}

static void close_packing(void)
{
	packing_deinit(&packing);
	frame_table_deinit(&frames);
	mapping_deinit(&mapping);
}

static bool add_span(uint32_t bytes)
{
	uint32_t want = packing_span_frames(bytes);
	uint32_t chunk = frame_chunk_with_free(&frames, want, NULL, NULL);
	uint32_t have = chunk == PFN_NONE ? 0 : frames.chunk[chunk].frames_free;

	return have && packing_add_span(&packing, bytes, chunk, have < want ? have : want);
}

static void place(uint32_t entry, uint32_t bytes)
{
	struct object *o = &object[entry];

	o->bytes = bytes;
	o->pattern = (uint8_t)(entry * 31);
	o->place = packing_place(&packing, bytes, entry, NULL, NULL);
	if (o->place == PLACE_NONE && add_span(bytes))
		o->place = packing_place(&packing, bytes, entry, NULL, NULL);
	if (o->place == PLACE_NONE)
		return;
	CHECK(!sealed[span_of(o->place)]);
	CHECK(packing_owns(&packing, o->place, entry));
	CHECK(!packing_owns(&packing, o->place, entry + 1));
	CHECK(pattern(o, true));
}

static void take_out(uint32_t entry)
{
	struct object *o = &object[entry];
	uint32_t span = span_of(o->place);

	CHECK(has_pattern(o));
	if (packing_span(&packing, span)->used == 1)
		sealed[span] = false; /* it goes with its last object */
	packing_remove(&packing, o->place);
	CHECK(!packing_owns(&packing, o->place, entry));
	o->place = PLACE_NONE;
}

static void seal_or_unseal(uint32_t span)
{
	if (span >= packing.spans.end || !packing_span(&packing, span)->frames)
		return;
	sealed[span] = !sealed[span];
	(sealed[span] ? packing_seal : packing_unseal)(&packing, span);
}

static void compact(void)
{
	uint64_t free_before = frames.held[FRAME_FREE];
	uint32_t moves = packing_compact(&packing, &(struct compaction){ .moved = note_move });

	CHECK_EQ(moved_wrongly, 0);
	CHECK_EQ(frames.held[FRAME_FREE] > free_before, moves > 0);
	for (uint32_t id = 1; moves == 0 && id < packing.spans.end; id++) {
		const struct span *span = packing_span(&packing, id);

		if (span->frames && span->listed && span->capacity == SPAN_FRAMES * TMS_PAGE_SIZE / span_class_bytes(span))
			CHECK(packing.class[span->class_id].free_slots < span->capacity);
	}
}

static void walk(void)
{
	uint64_t packed = 0;

	for (uint32_t id = 1; id < packing.spans.end; id++) {
		const struct span *span = packing_span(&packing, id);

		for (uint32_t f = 0; f < span->frames; f++, packed++) {
			CHECK_EQ(span_pfn(span, f) >> CHUNK_SHIFT, span_pfn(span, 0) >> CHUNK_SHIFT);
			CHECK_EQ(frames.owner[span_pfn(span, f)], id);
			CHECK(span_lowest_pfn(span, 0) <= span_pfn(span, f));
		}
		if (span->frames) {
			CHECK_EQ(span->listed, !sealed[id] && span->used < span->capacity);
			CHECK(span->used > 0);
		}
	}
	CHECK_EQ(packed, frames.held[FRAME_PACKED]);
	for (uint32_t entry = 1; entry <= OBJECTS; entry++)
		CHECK(object[entry].place == PLACE_NONE || (packing_owns(&packing, object[entry].place, entry) && has_pattern(&object[entry])));
}

static void objects_keep_their_bytes_whatever_comes_and_goes_around_them(void)
{
	uint64_t rng = 31;

	CHECK(open_packing());
	for (int step = 0; step < 40000; step++) {
		uint32_t entry = 1 + rng_below(&rng, OBJECTS);
		uint32_t filling = step / 5000 % 2 ? 3 : 6;

		if (rng_below(&rng, 40) == 0)
			compact();
		else if (rng_below(&rng, 40) == 0)
			seal_or_unseal(1 + rng_below(&rng, 500));
		else if (object[entry].place != PLACE_NONE && rng_below(&rng, 8) >= filling)
			take_out(entry);
		else if (object[entry].place == PLACE_NONE)
			place(entry, 1 + rng_below(&rng, rng_below(&rng, 2) ? PACKED_MAX_BYTES : 700));
		if (step % 2000 == 0)
			walk();
		CHECK_SO_FAR();
	}
	walk();
	for (uint32_t entry = 1; entry <= OBJECTS; entry++)
		if (object[entry].place != PLACE_NONE)
			take_out(entry);
	CHECK_EQ(packing.spans.live, 0);
	CHECK_EQ(packing.slot_bytes, 0);
	CHECK_EQ(frames.held[FRAME_FREE], FRAMES);
	close_packing();
}

static void no_number_of_frames_wastes_a_byte_a_frame_less_than_the_one_chosen(void)
{
	for (uint32_t bytes = 1; bytes <= PACKED_MAX_BYTES; bytes++) {
		uint32_t size = (bytes + 63) / 64 * 64;
		uint32_t n = packing_span_frames(bytes);

		CHECK(n >= 1 && n <= SPAN_FRAMES);
		for (uint32_t m = 1; m <= SPAN_FRAMES; m++)
			CHECK(n * TMS_PAGE_SIZE % size * m <= m * TMS_PAGE_SIZE % size * n + n * m);
		CHECK(n * TMS_PAGE_SIZE / size <= SPAN_OBJECTS);
		/* Twice as many would be too many, or hold too many objects. */
		CHECK(2 * n > SPAN_FRAMES || 2 * n * TMS_PAGE_SIZE / size > SPAN_OBJECTS);
	}
}

static void a_place_that_names_no_object_is_owned_by_nobody(void)
{
	CHECK(open_packing());
	CHECK_EQ(packing_place(&packing, 1000, 1, NULL, NULL), PLACE_NONE);
	CHECK(packing_add_span(&packing, 1000, 1, 1));
	object[1].place = packing_place(&packing, 1000, 1, NULL, NULL);
	CHECK_EQ(object[1].place >> UNITS_SHIFT >> CHUNK_SHIFT, 1);
	CHECK(packing_owns(&packing, object[1].place, 1));
	CHECK(!packing_owns(&packing, object[1].place + 1, 1));
	CHECK(!packing_owns(&packing, object[1].place + 16, 1));
	CHECK(!packing_owns(&packing, 0, 1));
	CHECK(!packing_owns(&packing, FRAMES << UNITS_SHIFT, 1));
	CHECK(!packing_owns(&packing, PLACE_NONE, 1));
	close_packing();
}

/* The walk of verify asks about structures that may be broken. */
static void a_frame_whose_span_does_not_name_it_holds_no_object_of_anybody(void)
{
	const uint32_t wrong[] = { 0, 2, 3, UINT32_MAX }; /* none, another, one that is not there, none that could be */
	uint32_t pfn;

	CHECK(open_packing());
	CHECK(packing_add_span(&packing, 3000, 0, 8) && packing_add_span(&packing, 1000, 0, 8));
	object[1].place = packing_place(&packing, 3000, 1, NULL, NULL);
	pfn = object[1].place >> UNITS_SHIFT;
	CHECK_EQ(frames.owner[pfn], 1);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		frames.owner[pfn] = wrong[i];
		CHECK(!packing_owns(&packing, object[1].place, 1));
	}
	frames.owner[pfn] = 1;
	CHECK(packing_owns(&packing, object[1].place, 1));
	close_packing();
}

static bool is_no_small_one(const void *context, uint32_t entry, uint32_t chunk)
{
	(void)context;
	(void)chunk;
	return object[entry].bytes != 1000;
}

/* Two spans of a class, each in a chunk of its own, with an object each: one of them could be emptied. */
static void place_in_two_chunks(uint32_t first, uint32_t bytes)
{
	for (uint32_t i = 0; i < 2; i++) {
		CHECK(packing_add_span(&packing, bytes, i, 2));
		place(first + i, bytes);
		packing_seal(&packing, span_of(object[first + i].place)); /* the next goes to the other */
	}
	for (uint32_t i = 0; i < 2; i++)
		packing_unseal(&packing, span_of(object[first + i].place));
}

static void objects_that_may_not_move_keep_no_other_class_from_being_compacted(void)
{
	const struct compaction compaction = { .may_move = is_no_small_one, .moved = note_move };

	moved_wrongly = 0;
	CHECK(open_packing());
	place_in_two_chunks(1, 1000);
	place_in_two_chunks(3, 2000);
	CHECK_SO_FAR();
	CHECK_EQ(packing_compact(&packing, &compaction) + packing_compact(&packing, &compaction), 1);
	CHECK_EQ(object[3].place >> UNITS_SHIFT >> CHUNK_SHIFT, object[4].place >> UNITS_SHIFT >> CHUNK_SHIFT);
	CHECK(object[1].place >> UNITS_SHIFT >> CHUNK_SHIFT != object[2].place >> UNITS_SHIFT >> CHUNK_SHIFT);
	for (uint32_t entry = 1; entry <= 4; entry++)
		CHECK(has_pattern(&object[entry]));
	walk();
	close_packing();
}

int main(void)
{
	RUN(objects_keep_their_bytes_whatever_comes_and_goes_around_them);
	RUN(no_number_of_frames_wastes_a_byte_a_frame_less_than_the_one_chosen);
	RUN(a_place_that_names_no_object_is_owned_by_nobody);
	RUN(a_frame_whose_span_does_not_name_it_holds_no_object_of_anybody);
	RUN(objects_that_may_not_move_keep_no_other_class_from_being_compacted);
	return check_finish(__FILE__);
}
