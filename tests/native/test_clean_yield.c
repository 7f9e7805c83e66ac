/* When background work is not done: others come first, or there is no place for it. */
#include <pthread.h>
#include <unistd.h>

#include "cleaner.h"

/* ---- others come first ----------------------------------------------------------------------------------- */

static void nothing_is_begun_while_an_allocation_is_under_way(void)
{
	struct tms_clean_request request = everything;

	open_store(CHUNK, 0);
	put(0, 100, RAW);
	f.store->allocations++;
	CHECK_EQ(step(&request), TMS_CLEAN_BUSY);
	CHECK_EQ(fixture_stats(&f).spill_writes_pending, 0);
	f.store->allocations--;
	CHECK_EQ(step(&request), TMS_CLEAN_BEGUN);
	fixture_close(&f);
}

static void nothing_is_begun_beyond_what_may_be_pending_but_something_always(void)
{
	struct tms_clean_request request = everything;

	open_store(CHUNK, 0);
	put(0, 200, RAW);
	request.pending_max_bytes = 70 * RAW;
	CHECK_EQ(step(&request), TMS_CLEAN_BEGUN);
	CHECK_EQ(step(&request), TMS_CLEAN_BEGUN);
	CHECK_EQ(step(&request), TMS_CLEAN_BUSY);
	CHECK_EQ(fixture_stats(&f).spill_writes_pending, 2);
	CHECK_EQ(tms_advance(f.store, NSEC_PER_SEC), TMS_OK);
	request.pending_max_bytes = 0;
	CHECK_EQ(step(&request), TMS_CLEAN_BEGUN);
	CHECK_EQ(step(&request), TMS_CLEAN_BUSY);
	fixture_close(&f);
}

static void some_batches_are_kept_for_allocations(void)
{
	struct tms_clean_request request = everything;
	uint32_t begun = 0;

	open_store(CHUNK, 0);
	put(0, 400, RAW);
	request.batch_bytes = RAW;
	while (step(&request) == TMS_CLEAN_BEGUN)
		begun++;
	CHECK_EQ(result.state, TMS_CLEAN_BUSY);
	CHECK_EQ(begun, PAGE_OUT_BATCHES - PAGE_OUT_BATCHES_KEPT);
	CHECK(copy_out(&f, 0, CHUNK)); /* an allocation finds those that were kept */
	fixture_close(&f);
}

static void cleaning_yields_to_a_load_and_draining_does_not(void)
{
	struct tms_clean_request request = everything;
	struct tms_wait wait = { .slice_ns = 0 };
	uint8_t page[RAW];

	open_store(CHUNK, 10 * RAW);
	put(0, 50, RAW);
	CHECK(copy_out(&f, 0, 10));
	for (uint32_t key = 0; key < 10; key++)
		shrink_drop_resident(held, id_of(&f, f.swap, key));
	CHECK_EQ(tms_get(f.store, f.swap, 0, 1, page, &wait), TMS_WAITING);
	request.yield = true;
	CHECK_EQ(step(&request), TMS_CLEAN_BUSY);
	request.yield = false;
	CHECK_EQ(step(&request), TMS_CLEAN_BEGUN);
	to_reserve(45, 50);
	request.yield = request.drain = true;
	CHECK_EQ(step(&request), TMS_CLEAN_BEGUN);
	CHECK_EQ(result.cause, TMS_CAUSE_DRAIN);
	wait.slice_ns = NSEC_PER_SEC;
	CHECK_EQ(tms_get(f.store, f.swap, 0, 1, page, &wait), TMS_OK);
	CHECK(page_is(page, 2, RAW));
	fixture_close(&f);
}

/* A contract that does not hold goes before a load's next page. */
static void what_is_above_its_ceiling_does_not_yield_to_a_load(void)
{
	struct tms_clean_request request = everything;
	struct tms_wait wait = { .slice_ns = 0 };
	uint8_t page[RAW];

	open_store(CHUNK, 0);
	put(0, 50, RAW);
	CHECK(copy_out(&f, 0, 10));
	for (uint32_t key = 0; key < 10; key++)
		shrink_drop_resident(held, id_of(&f, f.swap, key));
	limit_bytes(1, 30 * RAW);
	CHECK_EQ(tms_get(f.store, f.swap, 0, 1, page, &wait), TMS_WAITING);
	request.yield = true;
	CHECK_EQ(step(&request), TMS_CLEAN_BEGUN);
	CHECK_EQ(result.objects, 10); /* and no more, though a batch holds 32 */
	CHECK_EQ(step(&request), TMS_CLEAN_BUSY); /* the rest is only cold */
	wait.slice_ns = NSEC_PER_SEC;
	CHECK_EQ(tms_get(f.store, f.swap, 0, 1, page, &wait), TMS_OK);
	fixture_close(&f);
}

/* ---- no device --------------------------------------------------------------------------------------------- */

static void a_full_spill_file_is_said(void)
{
	struct tms_clean_request request = everything;
	uint32_t steps = 0;

	now_ns = 1000;
	device = steady_device();
	CHECK_EQ(fixture_open(&f, &(struct setup){ .frames = CHUNK, .device = &device, .virtual_ns = &now_ns, .spill_limit_bytes = 41 * RAW }),
		 TMS_OK);
	put(0, 100, RAW);
	while (step(&request) == TMS_CLEAN_BEGUN && steps++ < 100)
		CHECK_EQ(tms_advance(f.store, NSEC_PER_SEC), TMS_OK);
	CHECK_EQ(result.state, TMS_CLEAN_FULL);
	CHECK_EQ(fixture_stats(&f).pages_copied, 40);
	CHECK_VERIFIES(f.store);
	fixture_close(&f);
}

static void without_a_spill_file_there_is_nothing_to_do_or_no_place_for_it(void)
{
	struct tms_clean_request request = everything;

	CHECK_EQ(fixture_open(&f, &(struct setup){ .frames = CHUNK }), TMS_OK);
	put(0, 10, RAW);
	CHECK_EQ(step(&request), TMS_CLEAN_FULL);
	request.cold_bytes = UINT64_MAX;
	CHECK_EQ(step(&request), TMS_CLEAN_IDLE);
	fixture_close(&f);
}

static void a_closed_store_is_not_cleaned(void)
{
	uint32_t abandoned;

	open_store(CHUNK, 0);
	put(0, 10, RAW);
	CHECK_EQ(tms_store_close(f.store, NSEC_PER_SEC, &abandoned), TMS_OK);
	CHECK_EQ(tms_clean(f.store, &everything, &result), TMS_E_CLOSED);
	fixture_close(&f);
}

/* ---- the lock is given up meanwhile ------------------------------------------------------------------------ */

static pthread_t cleaner;

static void *clean_once(void *request)
{
	return tms_clean(f.store, request, &result) == TMS_OK ? NULL : request;
}

static void begin_cleaning(struct tms_clean_request *request)
{
	CHECK_EQ(pthread_create(&cleaner, NULL, clean_once, request), 0);
}

static void end_cleaning(void)
{
	void *failed;

	CHECK_EQ(pthread_join(cleaner, &failed), 0);
	CHECK(!failed);
}

static bool is_being_written(uint32_t key)
{
	bool written;

	pthread_mutex_lock(&f.store->lock);
	written = entry_of(&f, f.swap, key)->flags & ENTRY_WRITING;
	pthread_mutex_unlock(&f.store->lock);
	return written;
}

/* Between two steps of a batch an allocation moves the page gathered last into the reserve, and one that was
 * loaded behind it: the next step must not go on in the reserve's list as if it were that of the cold pages. */
static void a_page_gathered_that_was_moved_leads_nowhere(void)
{
	const uint32_t last = 31; /* of the first step */
	struct tms_clean_request request = everything;

	request.batch_bytes = 100 * RAW;
	CHECK_EQ(fixture_open(&f, &(struct setup){ .frames = CHUNK, .spill = true, .reserve_bytes = 64 * RAW }), TMS_OK);
	held = &f.store->held;
	put(0, 100, RAW);
	CHECK(fixture_holds(&f, f.swap, 60, 61, RAW)); /* marked by the load */
	CHECK_EQ(tms_fault_arm(f.store, TMS_FAULT_DURING_GATHER, 0, 1, 0, 300 * NSEC_PER_MSEC), TMS_OK);
	begin_cleaning(&request);
	while (!is_being_written(last))
		usleep(1000);
	pthread_mutex_lock(&f.store->lock);
	CHECK(shrink_to_reserve(held, id_of(&f, f.swap, last), NULL, 0, 0));
	CHECK(shrink_to_reserve(held, id_of(&f, f.swap, 60), NULL, 0, 0));
	pthread_mutex_unlock(&f.store->lock);
	end_cleaning();
	CHECK_VERIFIES(f.store);
	for (uint32_t key = 0; key < 100; key++)
		CHECK(fixture_holds(&f, f.swap, key, key + 1, RAW));
	fixture_close(&f);
}

static void an_allocation_that_began_meanwhile_has_the_batch_given_up(void)
{
	struct tms_clean_request request = everything;

	request.batch_bytes = 100 * RAW;
	CHECK_EQ(fixture_open(&f, &(struct setup){ .frames = CHUNK, .spill = true }), TMS_OK);
	put(0, 100, RAW);
	CHECK_EQ(tms_fault_arm(f.store, TMS_FAULT_DURING_GATHER, 0, 1, 0, 300 * NSEC_PER_MSEC), TMS_OK);
	begin_cleaning(&request);
	while (!is_being_written(0))
		usleep(1000);
	pthread_mutex_lock(&f.store->lock);
	f.store->allocations++;
	pthread_mutex_unlock(&f.store->lock);
	end_cleaning();
	f.store->allocations--;
	CHECK_EQ(result.state, TMS_CLEAN_BUSY);
	CHECK_EQ(fixture_stats(&f).spill_bytes_written, 0);
	CHECK_VERIFIES(f.store);
	fixture_close(&f);
}

/* It would wait for hours for work, and goes on with what comes in meanwhile. */
static void who_waits_for_work_finds_it_and_can_be_interrupted(void)
{
	struct tms_clean_request request = everything;

	request.wait_ns = 10000 * NSEC_PER_SEC;
	request.steps = UINT32_MAX;
	CHECK_EQ(fixture_open(&f, &(struct setup){ .frames = CHUNK, .spill = true }), TMS_OK);
	begin_cleaning(&request);
	usleep(20000);
	put(0, 100, RAW);
	while (fixture_stats(&f).pages_copied < 100)
		usleep(1000);
	tms_clean_interrupt(f.store);
	end_cleaning();
	CHECK_EQ(result.objects, 100);
	CHECK_EQ(result.state, TMS_CLEAN_IDLE);
	CHECK_VERIFIES(f.store);
	fixture_close(&f);
}

int main(void)
{
	RUN(nothing_is_begun_while_an_allocation_is_under_way);
	RUN(nothing_is_begun_beyond_what_may_be_pending_but_something_always);
	RUN(some_batches_are_kept_for_allocations);
	RUN(cleaning_yields_to_a_load_and_draining_does_not);
	RUN(what_is_above_its_ceiling_does_not_yield_to_a_load);
	RUN(a_full_spill_file_is_said);
	RUN(without_a_spill_file_there_is_nothing_to_do_or_no_place_for_it);
	RUN(a_closed_store_is_not_cleaned);
	RUN(a_page_gathered_that_was_moved_leads_nowhere);
	RUN(an_allocation_that_began_meanwhile_has_the_batch_given_up);
	RUN(who_waits_for_work_finds_it_and_can_be_interrupted);
	return check_finish(__FILE__);
}
