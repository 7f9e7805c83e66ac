/*
 * loads.h: pages that are in the spill file only, and what becomes of loads that nobody waits for.
 */
#ifndef TMS_TESTS_LOADS_H
#define TMS_TESTS_LOADS_H

#include "store.h"

#include "fixture.h"

#define RAW TMS_PAGE_SIZE
#define SHORTLY NSEC_PER_MSEC
#define IO_TIMEOUT (30 * NSEC_PER_SEC)

static struct fixture f;

static inline int open_store(struct fake_clock *fake)
{
	return fixture_open(&f, &(struct setup){ .spill = true, .packed = true, .io_timeout_ns = IO_TIMEOUT, .fake = fake });
}

static inline uint32_t noise_of(uint32_t key)
{
	return key % 2 ? 700 : RAW;
}

/* Frontswap pages 0 to n-1, raw and packed in turn, in the spill file only. */
static inline void put_in_spill(uint32_t n)
{
	for (uint32_t key = 0; key < n; key++)
		CHECK_EQ(fixture_put(&f, f.swap, key, key, noise_of(key)), TMS_OK);
	CHECK(fixture_page_out(&f));
	for (uint32_t key = 0; key < n; key++)
		CHECK_EQ(fixture_place(&f, f.swap, key), TMS_PLACE_SPILL);
}

static inline void arm(int site, uint64_t count, int32_t error)
{
	(void)tms_fault_arm(f.store, site, 0, count, error, 0);
}

/* Whatever nobody waits for any more has ended, and gave its block back. */
static inline bool loads_end(void)
{
	for (int patience = 0; patience < 20000 && f.store->loads; patience++) {
		usleep(1000);
		(void)fixture_stats(&f);
	}
	return !f.store->loads;
}

#endif
