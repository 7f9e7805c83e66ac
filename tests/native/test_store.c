/* The life of a store, its forked children, and many threads at once. */
#include <fcntl.h>
#include <sys/stat.h>

#include "store.h"
#include "fixture.h"

#define RAW TMS_PAGE_SIZE
#define OWN_KEYS 250u
#define OPERATIONS 3000u
#define SHORTLY NSEC_PER_MSEC
#define IO_TIMEOUT (30 * NSEC_PER_SEC)

static struct fixture f;

static int open_store(struct fake_clock *fake)
{
	return fixture_open(&f, &(struct setup){ .frames = 1100, .spill = true, .packed = true, .io_timeout_ns = IO_TIMEOUT, .fake = fake });
}

static void a_region_serves_one_store_in_its_life_unless_it_never_came_to_be(void)
{
	struct tms_store_config config = { .io_threads = 1, .spill_path = "no/such/folder" };
	struct tms_region_info info;
	struct tms_spill_info spill;
	tms_region *region = region_open(FRAMES_PER_MIB, &info);
	tms_store *store = NULL;
	tms_store *second = NULL;

	CHECK_EQ(tms_store_create(region, &config, &spill, &store), TMS_E_SYSTEM);
	CHECK_EQ(spill.error, ENOENT);
	config.spill_path = NULL;
	CHECK_EQ(tms_store_create(region, &config, &spill, &store), TMS_OK);
	CHECK_EQ(tms_store_create(region, &config, &spill, &second), TMS_E_INVALID);
	tms_store_destroy(&store);
	CHECK_EQ(tms_store_create(region, &config, &spill, &second), TMS_E_INVALID);
	CHECK(!second && !store);
	tms_store_destroy(&store);
	tms_region_destroy(&region);
}

static void a_config_out_of_its_range_is_refused(void)
{
	const struct tms_store_config wrong[] = {
		{ .io_threads = 0 }, { .io_threads = 17 }, { .io_threads = 1, .order = TMS_ORDERS }, { .io_threads = 1, .order = -1 },
		{ .io_threads = 1, .codec = { .kind = TMS_CODEC_LZ4 } }, { .io_threads = 1, .spill_path = "small.spill", .spill_limit_bytes = 4095 },
	};
	struct tms_region_info info;
	struct tms_spill_info spill;
	tms_region *region = region_open(FRAMES_PER_MIB, &info);
	tms_store *store = NULL;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		CHECK_EQ(tms_store_create(region, &wrong[i], &spill, &store), TMS_E_INVALID);
		CHECK(!store);
	}
	CHECK(access("small.spill", F_OK) != 0);
	tms_region_destroy(&region);
}

static void closing_empties_the_spill_file_and_lets_others_have_it(void)
{
	struct tms_store_config config = { .io_threads = 1, .io_timeout_ns = NSEC_PER_SEC, .spill_path = "closing.spill" };
	struct tms_spill_info spill;
	struct stat found;
	uint32_t abandoned = 9;
	int fd;

	f = (struct fixture){ .region = region_open(FRAMES_PER_MIB, &f.region_info) };
	f.region_info.frames = FRAMES_PER_MIB;
	CHECK_EQ(tms_store_create(f.region, &config, &spill, &f.store), TMS_OK);
	CHECK_EQ(tms_pool_create(f.store, TMS_POOL_PERSISTENT, NULL, &f.swap), TMS_OK);
	for (uint32_t key = 0; key < 50; key++)
		CHECK_EQ(fixture_put(&f, f.swap, key, key, RAW), TMS_OK);
	CHECK(fixture_page_out(&f));
	CHECK_EQ(stat(config.spill_path, &found), 0);
	CHECK(found.st_size >= 51 * RAW);
	while (tms_store_close(f.store, NSEC_PER_SEC, &abandoned) == TMS_WAITING)
		;
	CHECK_EQ(abandoned, 0);
	CHECK_EQ(stat(config.spill_path, &found), 0);
	CHECK_EQ(found.st_size, RAW);
	CHECK_EQ(spill_open(&config, &spill, &fd), TMS_OK);
	CHECK(spill.reused);
	close(fd);
	unlink(config.spill_path);
	tms_store_destroy(&f.store);
	tms_region_destroy(&f.region);
}

/* A write that is under way when the store closes must not leave its pages in the file after all. */
static void a_write_under_way_does_not_outlive_the_truncation(void)
{
	const struct tms_clean_request clean = { .pending_max_bytes = UINT64_MAX / 2, .batch_bytes = 32 * RAW };
	struct tms_store_config config = { .io_threads = 3, .io_timeout_ns = NSEC_PER_SEC, .spill_path = "under-way.spill" };
	struct tms_clean_result result;
	struct tms_spill_info spill;
	struct stat found;
	uint32_t abandoned = 9;

	f = (struct fixture){ .region = region_open(FRAMES_PER_MIB, &f.region_info) };
	CHECK_EQ(tms_store_create(f.region, &config, &spill, &f.store), TMS_OK);
	CHECK_EQ(tms_pool_create(f.store, TMS_POOL_PERSISTENT, NULL, &f.swap), TMS_OK);
	for (uint32_t key = 0; key < 50; key++)
		CHECK_EQ(fixture_put(&f, f.swap, key, key, RAW), TMS_OK);
	CHECK_EQ(tms_fault_arm(f.store, TMS_FAULT_SHORT_WRITE, 0, 1, 0, 200 * NSEC_PER_MSEC), TMS_OK);
	CHECK_EQ(tms_clean(f.store, &clean, &result), TMS_OK);
	while (!fault_fired(f.store->faults, TMS_FAULT_SHORT_WRITE))
		usleep(1000);
	while (tms_store_close(f.store, NSEC_PER_SEC, &abandoned) == TMS_WAITING)
		;
	CHECK_EQ(abandoned, 0);
	CHECK_EQ(stat(config.spill_path, &found), 0);
	CHECK_EQ(found.st_size, RAW);
	unlink(config.spill_path);
	tms_store_destroy(&f.store);
	tms_region_destroy(&f.region);
}

/* Every function that answers, but for the injection of faults.  begun: a load that the device still owes. */
static bool all_answer_closed(struct tms_wait *begun)
{
	const struct tms_alloc_request request = request_of(1, TMS_EFFORT_FREE);
	static uint8_t page[RAW];
	const uint64_t zero = 0;
	const uint8_t uuid[TMS_UUID_SIZE] = { 0 };
	struct tms_wait wait = { .slice_ns = SHORTLY };
	struct tms_write_sample sample;
	struct tms_report report;
	struct tms_window window;
	struct tms_chunk chunk;
	struct tms_stats stats;
	tms_pool_id pool;
	const char *broken;
	uint64_t counts[5];
	uint32_t flags;
	int32_t number;
	uint8_t place;
	bool result;
	const int codes[] = {
		tms_store_set_enabled(f.store, true),
		tms_pool_create(f.store, 0, NULL, &pool),
		tms_pool_destroy(f.store, f.clean),
		tms_pool_flags(f.store, f.clean, &flags),
		tms_shared_authorize(f.store, uuid, true),
		tms_put(f.store, f.swap, 0, 0, 0, page),
		tms_get(f.store, f.swap, 0, 0, page, NULL),
		tms_get(f.store, f.swap, 0, 0, page, &wait),
		tms_get(f.store, f.swap, 0, 0, page, begun),
		tms_put_many(f.store, f.swap, 1, &zero, &zero, 0, page, &result),
		tms_get_many(f.store, f.swap, 1, &zero, &zero, page, &result, &number, &wait),
		tms_flush_page(f.store, f.swap, 0, 0),
		tms_flush_object(f.store, f.swap, 0),
		tms_flush_pool(f.store, f.swap),
		tms_where_many(f.store, f.swap, 1, &zero, &zero, &place),
		tms_propose(f.store, &request, &window, &number),
		tms_alloc_contig(f.store, &request, &report),
		tms_release(f.store, 65537),
		tms_measure_write(f.store, RAW, SHORTLY, &sample),
		tms_stats(f.store, &stats),
		tms_chunks(f.store, 1, &chunk),
		tms_frame_counts(f.store, counts),
		tms_verify(f.store, &broken),
	};
	bool all = true;

	for (size_t i = 0; i < sizeof(codes) / sizeof(*codes); i++) {
		if (codes[i] != TMS_E_CLOSED)
			fprintf(stderr, "call %zu answers %d\n", i, codes[i]);
		all = all && codes[i] == TMS_E_CLOSED;
	}
	return all;
}

static void after_close_every_call_answers_closed(void)
{
	struct tms_wait none = { .slice_ns = SHORTLY };
	uint32_t abandoned;

	CHECK_EQ(open_store(NULL), TMS_OK);
	CHECK_EQ(fixture_put(&f, f.swap, 0, 1, RAW), TMS_OK);
	while (tms_store_close(f.store, NSEC_PER_SEC, &abandoned) == TMS_WAITING)
		;
	CHECK(all_answer_closed(&none));
	CHECK_EQ(tms_store_close(f.store, 0, &abandoned), TMS_OK);
	fixture_close(&f);
}

static void closing_cuts_loads_short_and_abandons_a_thread_that_hangs(void)
{
	struct fake_clock fake = { .now_ns = 5, .jump_to_ns = 5 + IO_TIMEOUT };
	struct tms_wait wait = { .slice_ns = SHORTLY };
	uint32_t abandoned = 9;
	uint8_t page[RAW];

	CHECK_EQ(open_store(&fake), TMS_OK);
	CHECK_EQ(fixture_put(&f, f.swap, 0, 1, RAW), TMS_OK);
	CHECK(fixture_page_out(&f));
	CHECK_EQ(tms_fault_arm(f.store, TMS_FAULT_STALL, 0, 1, 0, 0), TMS_OK);
	CHECK_EQ(tms_get(f.store, f.swap, 0, 0, page, &wait), TMS_WAITING);
	CHECK_EQ(tms_store_close(f.store, 0, &abandoned), TMS_WAITING);
	CHECK_EQ(abandoned, 9);
	CHECK(all_answer_closed(&wait));
	CHECK(!wait.request);
	fake.jump_at = 1; /* io_timeout is over */
	CHECK_EQ(fixture_close(&f), 1);
}

/* ---- a forked child ---------------------------------------------------------------------------------- */

static bool child_gets_closed(void *wait)
{
	return all_answer_closed(wait);
}

static void a_forked_child_gets_closed_from_every_call(void)
{
	struct tms_wait none = { .slice_ns = SHORTLY };

	CHECK_EQ(open_store(NULL), TMS_OK);
	CHECK_EQ(fixture_put(&f, f.swap, 0, 1, RAW), TMS_OK);
	CHECK(true_in_child(child_gets_closed, &none));
	CHECK(fixture_holds(&f, f.swap, 0, 1, RAW));
	CHECK_VERIFIES(f.store);
	fixture_close(&f);
}

static void a_forked_child_gets_closed_from_a_load_that_its_parent_began(void)
{
	struct tms_wait wait = { .slice_ns = SHORTLY };
	uint8_t page[RAW];
	bool closed;

	CHECK_EQ(open_store(NULL), TMS_OK);
	CHECK_EQ(fixture_put(&f, f.swap, 0, 1, RAW), TMS_OK);
	CHECK(fixture_page_out(&f));
	CHECK_EQ(tms_fault_arm(f.store, TMS_FAULT_STALL, 0, 1, 0, 0), TMS_OK);
	CHECK_EQ(tms_get(f.store, f.swap, 0, 0, page, &wait), TMS_WAITING);
	closed = true_in_child(child_gets_closed, &wait);
	CHECK_EQ(tms_fault_arm(f.store, TMS_FAULT_STALL, 0, 0, 0, 0), TMS_OK);
	while (wait.request)
		CHECK(tms_get(f.store, f.swap, 0, 0, page, &wait) == (wait.request ? TMS_WAITING : TMS_OK));
	CHECK(page_is(page, 1, RAW));
	fixture_close(&f);
	CHECK(closed);
}

static bool child_leaves(void *unused)
{
	uint32_t abandoned = 99;
	bool said;

	(void)unused;
	said = tms_store_close(f.store, NSEC_PER_SEC, &abandoned) == TMS_OK && abandoned == 0;
	tms_store_destroy(&f.store);
	tms_region_destroy(&f.region);
	return said;
}

static void a_forked_child_can_close_and_destroy_what_it_cannot_use(void)
{
	bool left;

	CHECK_EQ(open_store(NULL), TMS_OK);
	CHECK_EQ(fixture_put(&f, f.swap, 0, 1, RAW), TMS_OK);
	CHECK(fixture_page_out(&f));
	left = true_in_child(child_leaves, NULL);
	CHECK(fixture_holds(&f, f.swap, 0, 1, RAW));
	fixture_close(&f);
	CHECK(left);
}

/* ---- threads ----------------------------------------------------------------------------------------- */

struct worker {
	pthread_t thread;
	uint32_t first_key;
	uint64_t rng;
	const char *wrong;
	_Atomic bool *stop; /* for whoever works until told */
};

/* A thread knows what its own keys hold: its frontswap pages exactly, its clean ones or none. */
static void *put_get_flush(void *argument)
{
	struct worker *w = argument;
	uint32_t swap[OWN_KEYS] = { 0 };
	uint32_t clean[OWN_KEYS] = { 0 };
	uint8_t page[RAW];

	for (uint32_t step = 1; step <= OPERATIONS && !w->wrong; step++) {
		bool is_swap = rng_below(&w->rng, 2);
		uint32_t k = rng_below(&w->rng, OWN_KEYS);
		uint32_t *seed = &(is_swap ? swap : clean)[k];
		tms_pool_id pool = is_swap ? f.swap : f.clean;
		uint32_t key = w->first_key + k;
		int code;

		switch (rng_below(&w->rng, 5)) {
		case 0:
		case 1:
			code = fixture_put(&f, pool, key, step, step % 5 * 1000);
			*seed = code == TMS_OK ? step : 0;
			w->wrong = code < 0 ? "a put answers an error" : NULL;
			break;
		case 2:
		case 3:
			code = fixture_get(&f, pool, key, page);
			if (code < 0)
				w->wrong = "a get answers an error";
			else if (code == TMS_OK && (!*seed || !page_is(page, *seed, *seed % 5 * 1000)))
				w->wrong = "a get returns what was not put last";
			else if (code == TMS_MISS && is_swap && *seed)
				w->wrong = "a frontswap page is lost";
			*seed = is_swap ? *seed : 0;
			break;
		default:
			if (tms_flush_page(f.store, pool, key >> 4, key) < 0)
				w->wrong = "a flush answers an error";
			*seed = 0;
		}
	}
	for (uint32_t k = 0; k < OWN_KEYS && !w->wrong; k++)
		if (swap[k] && !fixture_holds(&f, f.swap, w->first_key + k, swap[k], swap[k] % 5 * 1000))
			w->wrong = "a frontswap page is lost at the end";
	return NULL;
}

/* Writes all over each range while it has it. */
static void *alloc_release(void *argument)
{
	struct worker *w = argument;

	while (!atomic_load(w->stop) && !w->wrong) {
		struct tms_alloc_request request = request_of(1 + rng_below(&w->rng, 600), TMS_EFFORT_PAGE_OUT);
		struct tms_report report;
		uint8_t *bytes;

		request.zero = rng_below(&w->rng, 2);
		if (tms_alloc_contig(f.store, &request, &report) != TMS_OK) {
			w->wrong = "an allocation is not met";
			break;
		}
		bytes = tms_region_address(f.region, report.window.start_pfn);
		for (uint64_t i = 0; request.zero && i < request.frames * RAW; i++)
			if (bytes[i])
				w->wrong = "a zeroed range is not zero";
		memset(bytes, (int)w->first_key, request.frames * RAW);
		usleep(rng_below(&w->rng, 500));
		for (uint64_t i = 0; i < request.frames * RAW; i++)
			if (bytes[i] != (uint8_t)w->first_key)
				w->wrong = "somebody else wrote into a range";
		if (tms_release(f.store, report.range) != TMS_OK)
			w->wrong = "a range cannot be released";
	}
	return NULL;
}

static void threads_that_put_get_flush_allocate_and_release_leave_every_invariant_whole(void)
{
	_Atomic bool stop = false;
	struct worker worker[3] = {
		{ .first_key = 1000, .rng = 111, .stop = &stop },
		{ .first_key = 5000, .rng = 112, .stop = &stop },
		{ .first_key = 0x5b, .rng = 113, .stop = &stop },
	};

	CHECK_EQ(open_store(NULL), TMS_OK);
	for (int i = 0; i < 3; i++)
		CHECK_EQ(pthread_create(&worker[i].thread, NULL, i < 2 ? put_get_flush : alloc_release, &worker[i]), 0);
	for (int i = 0; i < 3; i++) {
		CHECK_VERIFIES(f.store);
		if (i == 2)
			atomic_store(&stop, true);
		CHECK_EQ(pthread_join(worker[i].thread, NULL), 0);
	}
	for (int i = 0; i < 3; i++) {
		if (worker[i].wrong)
			fprintf(stderr, "thread %d: %s\n", i, worker[i].wrong);
		CHECK(!worker[i].wrong);
	}
	CHECK(fixture_stats(&f).allocs_met > 0);
	CHECK_VERIFIES(f.store);
	fixture_close(&f);
}

int main(void)
{
	RUN(a_region_serves_one_store_in_its_life_unless_it_never_came_to_be);
	RUN(a_config_out_of_its_range_is_refused);
	RUN(closing_empties_the_spill_file_and_lets_others_have_it);
	RUN(a_write_under_way_does_not_outlive_the_truncation);
	RUN(after_close_every_call_answers_closed);
	RUN(closing_cuts_loads_short_and_abandons_a_thread_that_hangs);
	RUN(a_forked_child_gets_closed_from_every_call);
	RUN(a_forked_child_gets_closed_from_a_load_that_its_parent_began);
	RUN(a_forked_child_can_close_and_destroy_what_it_cannot_use);
	RUN(threads_that_put_get_flush_allocate_and_release_leave_every_invariant_whole);
	return check_finish(__FILE__);
}
