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
static volatile sig_atomic_t faults_under_lock;

/* In place of the device: the page is there when the handler is over. */
static void bring_in(int signal, siginfo_t *info, void *context)
{
	uint8_t *page = (uint8_t *)((uintptr_t)info->si_addr & ~(uintptr_t)(TMS_PAGE_SIZE - 1));

	(void)signal;
	(void)context;
	if (page < memory || page > memory + PAGES * TMS_PAGE_SIZE)
		_exit(2);
	faults++;
	if (pthread_mutex_trylock(&f.store->lock))
		faults_under_lock++;
	else
		pthread_mutex_unlock(&f.store->lock);
	mprotect(page, TMS_PAGE_SIZE, PROT_READ | PROT_WRITE);
}

static uint8_t *caller_page(uint32_t n)
{
	return memory + SKEW + n * TMS_PAGE_SIZE;
}

static void take_away(void)
{
	faults = 0; /* but not those under the lock */
	mprotect(memory, (PAGES + 1) * TMS_PAGE_SIZE, PROT_NONE);
}

static void do_one(tms_pool_id pool, bool puts)
{
	for (uint32_t n = 0; n < PAGES; n++)
		CHECK_EQ(puts ? tms_put(f.store, pool, 1, n, 0, caller_page(n)) : tms_get(f.store, pool, 1, n, caller_page(n), NULL),
			 TMS_OK);
}

static void do_many(tms_pool_id pool, bool puts)
{
	struct tms_wait wait = { .slice_ns = NSEC_PER_SEC };
	uint64_t objects[PAGES];
	uint64_t indexes[PAGES];
	bool results[PAGES];
	int32_t errors[PAGES];

	for (uint32_t n = 0; n < PAGES; n++) {
		objects[n] = 1;
		indexes[n] = n;
	}
	if (puts)
		CHECK_EQ(tms_put_many(f.store, pool, PAGES, objects, indexes, 0, caller_page(0), results), TMS_OK);
	else
		CHECK_EQ(tms_get_many(f.store, pool, PAGES, objects, indexes, caller_page(0), results, errors, &wait), TMS_OK);
	for (uint32_t n = 0; n < PAGES; n++)
		CHECK(results[n]);
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
	CHECK_EQ(faults_under_lock, 0);
}

static void pages_one_by_one_are_brought_in_without_the_lock(void)
{
	try_all(do_one);
}

static void pages_of_a_batch_are_brought_in_without_the_lock(void)
{
	try_all(do_many);
}

int main(void)
{
	const struct sigaction action = { .sa_sigaction = bring_in, .sa_flags = SA_SIGINFO };

	memory = mmap(NULL, (PAGES + 1) * TMS_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED || sigaction(SIGSEGV, &action, NULL))
		return EXIT_FAILURE;
	RUN(pages_one_by_one_are_brought_in_without_the_lock);
	RUN(pages_of_a_batch_are_brought_in_without_the_lock);
	return check_finish(__FILE__);
}
