/* A caller's page that the system must bring in first, from whatever device, is not waited for under the lock. */
#include <signal.h>
#include <sys/mman.h>

#include "fixture.h"
#include "store.h"

#define PAGES 40u
#define SKEW 2048u /* pages need not begin where those of the system do */

static struct fixture f;
static uint8_t *memory;
static volatile sig_atomic_t faults;
static volatile sig_atomic_t faults_waited_for; /* under the lock, or in a flight, which others may wait for with it */

/* In place of the device: the page is there when the handler is over. */
static void bring_in(int signal, siginfo_t *info, void *context)
{
	uint8_t *page = (uint8_t *)((uintptr_t)info->si_addr & ~(uintptr_t)(TMS_PAGE_SIZE - 1));

	(void)signal;
	(void)context;
	if (page < memory || page > memory + PAGES * TMS_PAGE_SIZE)
		_exit(2);
	faults++;
	if (pthread_mutex_trylock(&f.store->lock)) {
		faults_waited_for++;
	} else {
		faults_waited_for += atomic_load(&f.store->held.region->inflight.active) != 0;
		pthread_mutex_unlock(&f.store->lock);
	}
	mprotect(page, TMS_PAGE_SIZE, PROT_READ | PROT_WRITE);
}

static uint8_t *caller_page(uint32_t n)
{
	return memory + SKEW + n * TMS_PAGE_SIZE;
}

static void take_away(void)
{
	faults = 0;
	mprotect(memory, (PAGES + 1) * TMS_PAGE_SIZE, PROT_NONE);
}

static void do_one(tms_pool_id pool, bool puts)
{
	for (uint32_t n = 0; n < PAGES; n++)
		CHECK_EQ(puts ? tms_put(f.store, pool, 1, n, 0, caller_page(n)) : tms_get(f.store, pool, 1, n, caller_page(n), NULL),
			 TMS_OK);
}

/* All pages of an object.  *done: how many were kept, or found. */
static void do_object(tms_pool_id pool, bool puts, uint64_t object, uint32_t *done)
{
	struct tms_wait wait = { .slice_ns = NSEC_PER_SEC };
	uint64_t objects[PAGES];
	uint64_t indexes[PAGES];
	bool results[PAGES];
	int32_t errors[PAGES];

	for (uint32_t n = 0; n < PAGES; n++) {
		objects[n] = object;
		indexes[n] = n;
	}
	if (puts)
		CHECK_EQ(tms_put_many(f.store, pool, PAGES, objects, indexes, 0, caller_page(0), results), TMS_OK);
	else
		CHECK_EQ(tms_get_many(f.store, pool, PAGES, objects, indexes, caller_page(0), results, errors, &wait), TMS_OK);
	*done = 0;
	for (uint32_t n = 0; n < PAGES; n++)
		*done += results[n];
}

static void do_many(tms_pool_id pool, bool puts)
{
	uint32_t done = 0;

	do_object(pool, puts, 1, &done);
	CHECK_EQ(done, PAGES);
}

/* Of noise that no codec makes smaller, with a tail that one does, or zeros. */
static const uint32_t noises[] = { TMS_PAGE_SIZE, 1000, 0 };

static void put_and_get(void (*verbs)(tms_pool_id pool, bool puts), bool persistent, uint32_t noise)
{
	const tms_pool_id pool = persistent ? f.swap : f.clean;

	for (uint32_t n = 0; n < PAGES; n++)
		page_make(caller_page(n), n + 1, noise);
	take_away();
	verbs(pool, true);
	CHECK(faults > (int)PAGES / 2); /* each of them lies in two of the system's */
	take_away();
	verbs(pool, false);
	CHECK(faults > (int)PAGES / 2);
	for (uint32_t n = 0; n < PAGES; n++)
		CHECK(page_is(caller_page(n), n + 1, noise));
}

static void try_all(void (*verbs)(tms_pool_id pool, bool puts))
{
	for (int packed = 0; packed < 2; packed++)
		for (int persistent = 0; persistent < 2; persistent++)
			for (size_t i = 0; i < sizeof(noises) / sizeof(*noises); i++) {
				CHECK_EQ(fixture_open(&f, &(struct setup){ .packed = packed }), TMS_OK);
				put_and_get(verbs, persistent, noises[i]);
				fixture_close(&f);
			}
	CHECK_EQ(faults_waited_for, 0);
}

static void pages_one_by_one_are_brought_in_without_the_lock(void)
{
	try_all(do_one);
}

static void pages_of_a_batch_are_brought_in_without_the_lock(void)
{
	try_all(do_many);
}

/* ---- pages that are not copied ------------------------------------------------------------------------- */

#define ROUNDS 400u

/* Clean pages of an object, from or to memory that is not there. */
static uint32_t do_away(bool puts, uint64_t object)
{
	uint32_t done = 0;

	take_away();
	do_object(f.clean, puts, object, &done);
	return done;
}

static void open_for_streams(void)
{
	const struct tms_filter filter = { .saved_ns = 1, .copy_ns = 1, .enabled = true };

	CHECK_EQ(fixture_open(&f, &(struct setup){ 0 }), TMS_OK);
	CHECK_EQ(tms_set_filter(f.store, &filter), TMS_OK);
	for (uint32_t n = 0; n < PAGES; n++)
		page_make(caller_page(n), n + 1, TMS_PAGE_SIZE);
}

static void pages_that_are_turned_away_are_not_brought_in(void)
{
	uint64_t offered = 0;
	uint64_t kept = 0;
	uint64_t brought_in = 0;

	open_for_streams();
	for (uint64_t object = 0; object < 2 * ROUNDS; object++) {
		uint32_t taken = do_away(true, object);

		if (object < ROUNDS) /* the filter learns */
			continue;
		offered += PAGES;
		kept += taken;
		brought_in += (uint64_t)faults;
	}
	CHECK(kept > 0 && kept * 8 < offered);
	CHECK(brought_in >= kept && brought_in * 4 < offered);
	CHECK_EQ(faults_waited_for, 0);
	CHECK_VERIFIES(f.store);
	fixture_close(&f);
}

static void pages_that_are_not_found_are_not_brought_in(void)
{
	open_for_streams();
	CHECK_EQ(do_away(true, 1), PAGES);
	CHECK_EQ(do_away(false, 1), PAGES);
	CHECK(faults > (int)PAGES / 2);
	CHECK_EQ(do_away(false, 2), 0); /* the first ones may have been expected */
	CHECK_EQ(do_away(false, 3), 0);
	CHECK_EQ(faults, 0);
	CHECK_EQ(do_away(true, 4), PAGES);
	CHECK_EQ(do_away(false, 4), PAGES);
	CHECK_EQ(faults_waited_for, 0);
	for (uint32_t n = 0; n < PAGES; n++)
		CHECK(page_is(caller_page(n), n + 1, TMS_PAGE_SIZE));
	fixture_close(&f);
}

int main(void)
{
	const struct sigaction action = { .sa_sigaction = bring_in, .sa_flags = SA_SIGINFO };

	memory = mmap(NULL, (PAGES + 1) * TMS_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED || sigaction(SIGSEGV, &action, NULL))
		return EXIT_FAILURE;
	RUN(pages_one_by_one_are_brought_in_without_the_lock);
	RUN(pages_of_a_batch_are_brought_in_without_the_lock);
	RUN(pages_that_are_turned_away_are_not_brought_in);
	RUN(pages_that_are_not_found_are_not_brought_in);
	return check_finish(__FILE__);
}
