/* The window that range_propose chooses, against a look at every window there is. */
#include "plan.h"
#include "range.h"
#include "fixture.h"

#define FRAMES (3u * TMS_CHUNK_FRAMES + 200)
#define SHARE 65536u /* a frontswap frame stands for its share of its chunk's objects, in these units */

static struct mapping mapping = { .size_bytes = (uint64_t)FRAMES * TMS_PAGE_SIZE }; /* no data is touched */
static struct frame_table frames;
static struct range_table table;

/* Fills the region.  sparse: all packed, and hardly more than one object in a span of 8 frames,
 * as after many invalidations. */
static bool open_region(uint64_t *rng, bool sparse)
{
	if (!frame_table_init(&frames, &mapping))
		return false;
	range_table_init(&table, &frames);
	for (uint32_t chunk = 0; chunk < frames.chunks; chunk++) {
		struct tms_chunk *c = &frames.chunk[chunk];
		uint32_t odds[4] = { rng_below(rng, 3) * 40, rng_below(rng, 3) * 40, rng_below(rng, 3) * 40, rng_below(rng, 4) == 0 };

		for (uint32_t pfn = chunk << CHUNK_SHIFT; pfn < frame_chunk_end(&frames, chunk); pfn++) {
			uint32_t draw = rng_below(rng, odds[0] + odds[1] + odds[2] + odds[3] + 1);

			if (draw < odds[1])
				frame_take(&frames, pfn, FRAME_CLEAN, 1);
			else if (draw < odds[1] + odds[2])
				frame_take(&frames, pfn, pfn & 1 && !sparse ? FRAME_SWAP : FRAME_PACKED, 1);
			else if (draw < odds[1] + odds[2] + odds[3])
				frame_isolate_run(&frames, pfn, pfn + 1);
		}
		if (c->frames_frontswap) {
			uint32_t frontswap = c->frames_frontswap;
			uint32_t objects = sparse ? (frontswap + 7) / 8 + rng_below(rng, 3) : frontswap * (1 + rng_below(rng, 3));
			uint32_t kind = rng_below(rng, 3);

			c->objects_copied = kind == 0 ? objects : kind == 1 ? 0 : rng_below(rng, objects + 1);
			c->objects_uncopied = objects - c->objects_copied;
			c->bytes_uncopied = c->objects_uncopied * (100 + rng_below(rng, 3900));
			c->units_uncopied = (c->bytes_uncopied + 63) / 64 + rng_below(rng, 10);
		}
	}
	return true;
}

static void close_region(void)
{
	range_table_deinit(&table);
	frame_table_deinit(&frames);
}

struct sum {
	uint64_t free, clean, frontswap, taken, copied, uncopied, bytes, units, room;
};

/* Bytes that a chunk can take: free and clean frames, within the frontswap share and what it may hold without a copy. */
static uint64_t chunk_room_by_hand(uint32_t index, const struct surroundings *around)
{
	const struct tms_chunk *c = &frames.chunk[index];
	uint64_t all = frame_chunk_end(&frames, index) - index * (uint64_t)TMS_CHUNK_FRAMES;
	uint64_t share = all * around->frontswap_permille / 1000;
	uint64_t open = (uint64_t)c->frames_free + c->frames_clean;
	uint64_t object = c->objects_uncopied ? c->bytes_uncopied / c->objects_uncopied : TMS_PAGE_SIZE;
	uint64_t held = c->units_uncopied * UINT64_C(64) + object;

	if (c->frames_leaving || share <= c->frames_frontswap)
		return 0;
	open = open < share - c->frames_frontswap ? open : share - c->frames_frontswap;
	if (around->chunk_bytes_max == UINT64_MAX)
		return open * TMS_PAGE_SIZE;
	if (around->chunk_bytes_max <= held)
		return 0;
	return open * TMS_PAGE_SIZE < around->chunk_bytes_max - held ? open * TMS_PAGE_SIZE : around->chunk_bytes_max - held;
}

/* whole_chunks: a chunk that lies in the window as a whole counts with its own numbers, not by shares. */
static struct sum add_up(const struct surroundings *around, uint32_t start, uint32_t n, bool whole_chunks)
{
	struct sum sum = { 0 };

	for (uint32_t pfn = start; pfn < start + n && !sum.taken; pfn++) {
		const struct tms_chunk *c = frame_chunk(&frames, pfn);
		uint32_t first = pfn & ~(TMS_CHUNK_FRAMES - 1u);
		bool whole = whole_chunks && first >= start && frame_chunk_end(&frames, pfn >> CHUNK_SHIFT) <= start + n;
		enum frame_state state = frame_state(&frames, pfn);

		sum.taken += state == FRAME_ALLOCATED || frame_is_isolated(&frames, pfn);
		sum.free += state == FRAME_FREE;
		sum.clean += state == FRAME_CLEAN;
		if (!whole && (state == FRAME_FREE || state == FRAME_CLEAN))
			sum.room += chunk_room_by_hand(pfn >> CHUNK_SHIFT, around) / ((uint64_t)c->frames_free + c->frames_clean);
		if (state == FRAME_SWAP || state == FRAME_PACKED) {
			sum.frontswap++;
			if (!whole) {
				sum.copied += (uint64_t)c->objects_copied * SHARE / c->frames_frontswap;
				sum.uncopied += (uint64_t)c->objects_uncopied * SHARE / c->frames_frontswap;
				sum.bytes += (uint64_t)c->bytes_uncopied * SHARE / c->frames_frontswap;
				sum.units += (uint64_t)c->units_uncopied * SHARE / c->frames_frontswap;
			}
		}
		if (whole && pfn == first) {
			sum.room += chunk_room_by_hand(pfn >> CHUNK_SHIFT, around);
			sum.copied += (uint64_t)c->objects_copied * SHARE;
			sum.uncopied += (uint64_t)c->objects_uncopied * SHARE;
			sum.bytes += (uint64_t)c->bytes_uncopied * SHARE;
			sum.units += (uint64_t)c->units_uncopied * SHARE;
		}
	}
	sum.copied = (sum.copied + SHARE - 1) / SHARE;
	sum.uncopied = (sum.uncopied + SHARE - 1) / SHARE;
	sum.bytes = (sum.bytes + SHARE - 1) / SHARE;
	sum.units = (sum.units + SHARE - 1) / SHARE;
	return sum;
}

/* What all chunks can take, less what those of the window could; packed objects fill nine tenths of it but 128 frames;
 * and the reserve. */
static uint64_t room_by_hand(const struct surroundings *around, const struct sum *s)
{
	uint64_t room = 0;

	for (uint32_t c = 0; c < frames.chunks; c++)
		room += chunk_room_by_hand(c, around);
	room -= s->room;
	if (s->bytes != s->uncopied * TMS_PAGE_SIZE)
		room = room > 128 * TMS_PAGE_SIZE ? (room - 128 * TMS_PAGE_SIZE) / 100 * 90 : 0;
	return room + around->reserve_bytes_free;
}

static struct plan_task task_by_hand(const struct tms_alloc_request *r, const struct surroundings *around, const struct sum *s)
{
	return (struct plan_task){ .frames = r->frames,
				   .clean = s->clean,
				   .drops = s->copied,
				   .uncopied = s->uncopied,
				   .bytes = s->units * 64,
				   .room = s->uncopied ? room_by_hand(around, s) : 0,
				   .effort = r->effort,
				   .zero = r->zero,
				   .can_write = around->can_write,
				   .can_compress = around->can_compress,
				   .pending = around->pending_bytes,
				   .batch = r->batch_bytes ? r->batch_bytes : UINT64_MAX,
				   .prefers_no_write = r->no_wait };
}

static struct tms_window window_by_hand(const struct tms_alloc_request *r, uint64_t start, const struct sum *s,
					const struct plan_task *task, const struct plan *plan)
{
	return (struct tms_window){ .start_pfn = start,
				    .frames = r->frames,
				    .frames_free = s->free,
				    .frames_clean = s->clean,
				    .frames_frontswap = s->frontswap,
				    .objects_copied = s->copied,
				    .objects_uncopied = s->uncopied,
				    .bytes_uncopied = s->bytes,
				    .room_bytes = task->room,
				    .to_migrate = plan->migrate,
				    .to_compress = plan->compress,
				    .to_page_out = plan->page_out,
				    .bytes_to_page_out = plan->page_out_bytes,
				    .predicted_ns = plan_price(task, plan, &r->cost),
				    .p99_ns = plan_price(task, plan, &r->p99),
				    .bound_ns = plan_price(task, plan, &r->bound) };
}

/* Looks at all windows whose start is a multiple of step. */
static bool cheapest(const struct tms_alloc_request *r, const struct surroundings *around, uint64_t step, bool whole_chunks,
		     struct tms_window *best, bool *open)
{
	bool found = false;

	for (uint64_t start = r->fixed ? r->start_pfn : 0; start + r->frames <= FRAMES; start += step) {
		struct sum s = add_up(around, (uint32_t)start, (uint32_t)r->frames, whole_chunks);

		*open |= !s.taken;
		if (!s.taken && !(r->effort == TMS_EFFORT_FREE && s.clean + s.frontswap)) {
			struct plan_task task = task_by_hand(r, around, &s);
			struct plan plan = plan_make(&task, r->refuse_over_bound ? &r->bound : &r->cost);

			if (plan.feasible && (!found || plan_price(&task, &plan, &r->cost) < best->predicted_ns)) {
				found = true;
				*best = window_by_hand(r, start, &s, &task, &plan);
			}
		}
		if (r->fixed)
			break;
	}
	return found;
}

static enum tms_reason propose_by_hand(const struct tms_alloc_request *r, const struct surroundings *around,
				       struct tms_window *best)
{
	uint64_t chunk_step = r->align_frames > TMS_CHUNK_FRAMES ? r->align_frames : TMS_CHUNK_FRAMES;
	bool open = false;
	bool found = false;

	if (r->fixed)
		found = cheapest(r, around, 1, true, best, &open);
	else if (r->frames >= TMS_CHUNK_FRAMES)
		found = cheapest(r, around, chunk_step, true, best, &open);
	if (!found && !r->fixed)
		found = cheapest(r, around, r->align_frames, false, best, &open);
	return found ? TMS_REASON_NONE : open ? TMS_REASON_EFFORT : TMS_REASON_NO_WINDOW;
}

static struct tms_alloc_request any_request(uint64_t *rng)
{
	const uint32_t sizes[] = { 1, 2, 8, 30, 100, 511, 512, 513, 700, 1024, 1100, 1536, FRAMES };
	struct tms_alloc_request r = request_of(sizes[rng_below(rng, sizeof(sizes) / sizeof(*sizes))], 0);

	r.effort = (int32_t)rng_below(rng, TMS_EFFORTS);
	r.align_frames = rng_below(rng, 2) ? 1 : UINT64_C(1) << rng_below(rng, 12);
	r.zero = rng_below(rng, 2);
	r.cost.frame_ns = rng_below(rng, 3);
	r.cost.clean_ns = rng_below(rng, 40);
	r.cost.drop_ns = rng_below(rng, 200);
	r.cost.object_ns = rng_below(rng, 3) * 1000;
	r.cost.move_ns = rng_below(rng, 3) * 500;
	r.cost.compress_permille = rng_below(rng, 3) * 400;
	r.cost.compress_ns = rng_below(rng, 4000);
	r.cost.spread_ns[0] = rng_below(rng, 2) * 100000;
	r.bound = r.cost;
	r.bound.object_ns = rng_below(rng, 3) * 1000;
	r.batch_bytes = rng_below(rng, 2) * 65536;
	r.refuse_over_bound = rng_below(rng, 2);
	r.no_wait = rng_below(rng, 2);
	r.p99.frame_ns = 7;
	r.p99.byte_ps = 2000;
	r.fixed = rng_below(rng, 4) == 0;
	if (r.fixed)
		r.start_pfn = rng_below(rng, (uint32_t)((FRAMES - r.frames) / r.align_frames + 1)) * r.align_frames;
	return r;
}

static struct surroundings any_surroundings(uint64_t *rng)
{
	return (struct surroundings){ .reserve_bytes_free = rng_below(rng, 3) * UINT64_C(300000),
				      .chunk_bytes_max = rng_below(rng, 2) ? UINT64_MAX : rng_below(rng, 2000000),
				      .frontswap_permille = rng_below(rng, 2) ? 1000 : rng_below(rng, 1001),
				      .pending_bytes = rng_below(rng, 2) * UINT64_C(100000),
				      .can_write = rng_below(rng, 4) != 0,
				      .can_compress = rng_below(rng, 2) };
}

static const struct surroundings nowhere = { .chunk_bytes_max = UINT64_MAX, .frontswap_permille = 1000, .can_write = true };

static void compare_with_a_look_at_every_window(uint64_t seed, bool sparse)
{
	uint64_t rng = seed;

	for (int round = 0; round < 25; round++) {
		CHECK(open_region(&rng, sparse));
		for (int i = 0; i < 12; i++) {
			struct tms_alloc_request request = any_request(&rng);
			struct surroundings around = any_surroundings(&rng);
			struct tms_window expected = { 0 };
			struct tms_window window = { 0 };

			CHECK_EQ(range_propose(&table, &request, &around, &window), propose_by_hand(&request, &around, &expected));
			CHECK_EQ(window.predicted_ns, expected.predicted_ns);
			CHECK_EQ(window.start_pfn, expected.start_pfn);
			CHECK(!memcmp(&window, &expected, sizeof(window)));
		}
		close_region();
	}
}

static void the_cheapest_window_that_the_effort_can_empty_is_proposed(void)
{
	compare_with_a_look_at_every_window(51, false);
}

static void the_cheapest_window_is_proposed_where_spans_are_nearly_empty(void)
{
	compare_with_a_look_at_every_window(52, true);
}

static void nearly_empty_spans_are_cheaper_to_empty_than_as_many_clean_pages(void)
{
	struct tms_alloc_request request = request_of(TMS_CHUNK_FRAMES, TMS_EFFORT_DROP);
	struct tms_window window;

	CHECK(frame_table_init(&frames, &mapping));
	range_table_init(&table, &frames);
	for (uint32_t pfn = 0; pfn < FRAMES; pfn++)
		frame_take(&frames, pfn, pfn >> CHUNK_SHIFT == 1 ? FRAME_PACKED : FRAME_CLEAN, 1);
	frames.chunk[1].objects_copied = TMS_CHUNK_FRAMES / 8; /* one object in each span of 8 frames */
	CHECK_EQ(range_propose(&table, &request, &nowhere, &window), TMS_REASON_NONE);
	CHECK_EQ(window.start_pfn, TMS_CHUNK_FRAMES);
	CHECK_EQ(window.objects_copied, TMS_CHUNK_FRAMES / 8);
	close_region();
}

static void a_price_beyond_all_numbers_is_the_highest_number(void)
{
	struct tms_alloc_request request = request_of(10, TMS_EFFORT_DROP);
	struct tms_window window;

	CHECK(frame_table_init(&frames, &mapping));
	range_table_init(&table, &frames);
	request.cost.frame_ns = UINT64_MAX / 9;
	CHECK_EQ(range_propose(&table, &request, &nowhere, &window), TMS_REASON_NONE);
	CHECK(window.predicted_ns == UINT64_MAX);
	request.cost.frame_ns = (UINT64_MAX - request.cost.t0_ns) / 10;
	CHECK_EQ(range_propose(&table, &request, &nowhere, &window), TMS_REASON_NONE);
	CHECK(window.predicted_ns < UINT64_MAX && window.predicted_ns > UINT64_MAX - 10);
	close_region();
}

static void a_window_of_a_chunk_and_more_starts_at_a_chunk_unless_there_is_none(void)
{
	struct tms_alloc_request request = request_of(TMS_CHUNK_FRAMES, TMS_EFFORT_DROP);
	struct tms_window window;

	CHECK(frame_table_init(&frames, &mapping));
	range_table_init(&table, &frames);
	for (uint32_t pfn = 0; pfn < 3 * TMS_CHUNK_FRAMES; pfn++)
		if (pfn % TMS_CHUNK_FRAMES < 40)
			frame_take(&frames, pfn, FRAME_CLEAN, 1);
	CHECK_EQ(range_propose(&table, &request, &nowhere, &window), TMS_REASON_NONE);
	CHECK_EQ(window.start_pfn, 0);
	CHECK_EQ(window.frames_clean, 40);
	for (uint32_t chunk = 0; chunk < 3; chunk++)
		frame_isolate_run(&frames, chunk * TMS_CHUNK_FRAMES + 20 + chunk, chunk * TMS_CHUNK_FRAMES + 21 + chunk);
	CHECK_EQ(range_propose(&table, &request, &nowhere, &window), TMS_REASON_NONE);
	CHECK(window.start_pfn % TMS_CHUNK_FRAMES > 20);
	close_region();
}

int main(void)
{
	RUN(the_cheapest_window_that_the_effort_can_empty_is_proposed);
	RUN(the_cheapest_window_is_proposed_where_spans_are_nearly_empty);
	RUN(nearly_empty_spans_are_cheaper_to_empty_than_as_many_clean_pages);
	RUN(a_price_beyond_all_numbers_is_the_highest_number);
	RUN(a_window_of_a_chunk_and_more_starts_at_a_chunk_unless_there_is_none);
	return check_finish(__FILE__);
}
