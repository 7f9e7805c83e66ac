/* The data of an emulated device against an array. */
#include <pthread.h>
#include <sys/resource.h>

#include "emulate.h"
#include "fixture.h"

#define MIB (UINT64_C(1) << 20)
#define SEGMENT_BYTES (2 * MIB)
#define BLOCKS 2048u /* of the shadow: four segments */
#define RUN_MAX 128u

static uint8_t shadow[BLOCKS * PAGE_SIZE];
static uint8_t buffer[RUN_MAX * PAGE_SIZE];

static struct emulate *open_memory(uint64_t size_bytes)
{
	struct tms_device device = { .size_bytes = size_bytes, .in_memory = true };

	return emulate_create(&device, 0);
}

static bool is_filled_with(const uint8_t *bytes, size_t n, uint8_t with)
{
	while (n--)
		if (*bytes++ != with)
			return false;
	return true;
}

static bool reads_as(struct emulate *emulate, uint64_t offset, uint8_t with)
{
	memset(buffer, ~with, PAGE_SIZE);
	return !emulate_read(emulate, offset, buffer, PAGE_SIZE) && is_filled_with(buffer, PAGE_SIZE, with);
}

static int fill(struct emulate *emulate, uint64_t offset, uint8_t with)
{
	memset(buffer, with, PAGE_SIZE);
	return emulate_write(emulate, offset, buffer, PAGE_SIZE);
}

static void what_was_written_is_read_and_all_else_is_zero(void)
{
	struct emulate *emulate = open_memory(0);
	uint64_t rng = 41;

	memset(shadow, 0, sizeof(shadow));
	for (int step = 0; step < 6000; step++) {
		uint32_t run = 1 + rng_below(&rng, RUN_MAX);
		uint64_t at = (uint64_t)rng_below(&rng, BLOCKS - run + 1) * PAGE_SIZE;
		uint32_t bytes = run * (uint32_t)PAGE_SIZE;

		if (rng_below(&rng, 100) == 0) {
			emulate_truncate(emulate, at);
			memset(shadow + at, 0, sizeof(shadow) - at);
		} else if (rng_below(&rng, 3) == 0) {
			for (uint32_t block = 0; block < run; block++)
				page_make(shadow + at + block * PAGE_SIZE, rng_next(&rng), 64);
			CHECK_EQ(emulate_write(emulate, at, shadow + at, bytes), 0);
		} else {
			memset(buffer, 0xa5, bytes);
			CHECK_EQ(emulate_read(emulate, at, buffer, bytes), 0);
			CHECK(!memcmp(buffer, shadow + at, bytes));
		}
	}
	emulate_destroy(emulate);
}

static void memory_is_used_where_data_is_and_given_back_by_truncate(void)
{
	struct emulate *emulate = open_memory(0);
	uint64_t empty = emulate_bytes(emulate);
	uint64_t one, far;

	CHECK(reads_as(emulate, 1000 * SEGMENT_BYTES, 0));
	CHECK_EQ(emulate_bytes(emulate), empty);
	CHECK_EQ(fill(emulate, 5 * SEGMENT_BYTES, 1), 0);
	one = emulate_bytes(emulate);
	CHECK(one >= empty + SEGMENT_BYTES && one < empty + SEGMENT_BYTES + 4096);
	CHECK_EQ(fill(emulate, 6 * SEGMENT_BYTES - PAGE_SIZE, 2), 0);
	CHECK_EQ(emulate_bytes(emulate), one);
	CHECK_EQ(fill(emulate, 900 * SEGMENT_BYTES, 3), 0);
	far = emulate_bytes(emulate);
	CHECK(far >= one + SEGMENT_BYTES && far < one + SEGMENT_BYTES + 16384);

	emulate_truncate(emulate, 6 * SEGMENT_BYTES - PAGE_SIZE);
	CHECK_EQ(emulate_bytes(emulate), far - SEGMENT_BYTES);
	CHECK(reads_as(emulate, 5 * SEGMENT_BYTES, 1));
	CHECK(reads_as(emulate, 6 * SEGMENT_BYTES - PAGE_SIZE, 0));
	CHECK(reads_as(emulate, 900 * SEGMENT_BYTES, 0));
	emulate_truncate(emulate, 5 * SEGMENT_BYTES);
	CHECK_EQ(emulate_bytes(emulate), far - 2 * SEGMENT_BYTES);
	emulate_truncate(emulate, UINT64_MAX);
	CHECK_EQ(fill(emulate, 5 * SEGMENT_BYTES + PAGE_SIZE, 4), 0);
	CHECK(reads_as(emulate, 5 * SEGMENT_BYTES, 0));
	emulate_destroy(emulate);
}

static void what_does_not_lie_below_the_size_is_refused_and_changes_nothing(void)
{
	const uint64_t size = SEGMENT_BYTES + 2 * PAGE_SIZE;
	struct emulate *emulate = open_memory(size);
	const uint64_t beyond[] = { size, size + PAGE_SIZE, UINT64_MAX - PAGE_SIZE + 1, UINT64_C(1) << 63 };
	uint64_t used;

	CHECK_EQ(fill(emulate, size - PAGE_SIZE, 1), 0);
	used = emulate_bytes(emulate);
	memset(buffer, 2, 2 * PAGE_SIZE);
	CHECK_EQ(emulate_write(emulate, size - PAGE_SIZE, buffer, 2 * PAGE_SIZE), ENOSPC);
	CHECK_EQ(emulate_read(emulate, size - PAGE_SIZE, buffer, 2 * PAGE_SIZE), ENOSPC);
	for (size_t i = 0; i < sizeof(beyond) / sizeof(*beyond); i++) {
		CHECK_EQ(fill(emulate, beyond[i], 3), ENOSPC);
		CHECK_EQ(emulate_read(emulate, beyond[i], buffer, PAGE_SIZE), ENOSPC);
	}
	CHECK(reads_as(emulate, size - PAGE_SIZE, 1));
	CHECK_EQ(emulate_bytes(emulate), used);
	emulate_destroy(emulate);
	emulate = open_memory(PAGE_SIZE);
	CHECK_EQ(emulate_write(emulate, 0, buffer, 2 * PAGE_SIZE), ENOSPC);
	CHECK_EQ(fill(emulate, 0, 1), 0);
	emulate_destroy(emulate);
}

static void without_a_size_the_device_reaches_as_far_as_the_spill_file_may(void)
{
	const uint64_t end = (UINT64_C(1) << 32) * PAGE_SIZE;
	struct emulate *emulate = open_memory(0);

	CHECK_EQ(fill(emulate, end - PAGE_SIZE, 1), 0);
	CHECK(reads_as(emulate, end - PAGE_SIZE, 1));
	CHECK_EQ(fill(emulate, end, 1), ENOSPC);
	CHECK_EQ(fill(emulate, UINT64_MAX - PAGE_SIZE + 1, 1), ENOSPC);
	emulate_destroy(emulate);
}

static bool serves_on_without_memory(void *unused)
{
	struct emulate *emulate = open_memory(0);
	const struct rlimit little = { 64 * MIB, 64 * MIB };
	uint64_t full = 0;
	int error = 0;

	(void)unused;
	if (setrlimit(RLIMIT_AS, &little))
		return false;
	while (full < 64 && !(error = fill(emulate, full * SEGMENT_BYTES, (uint8_t)(full + 1))))
		full++;
	/* Of a write across two segments there is no part. */
	memset(buffer, 0xff, 2 * PAGE_SIZE);
	if (error != ENOMEM || full < 2 ||
	    emulate_write(emulate, full * SEGMENT_BYTES - PAGE_SIZE, buffer, 2 * PAGE_SIZE) != ENOMEM ||
	    !reads_as(emulate, full * SEGMENT_BYTES - PAGE_SIZE, 0) || !reads_as(emulate, full * SEGMENT_BYTES, 0))
		return false;
	for (uint64_t i = 0; i < full; i++)
		if (!reads_as(emulate, i * SEGMENT_BYTES, (uint8_t)(i + 1)))
			return false;
	emulate_truncate(emulate, SEGMENT_BYTES);
	return !fill(emulate, 3 * SEGMENT_BYTES, 7) && reads_as(emulate, 3 * SEGMENT_BYTES, 7);
}

static void a_write_without_memory_fails_and_loses_nothing(void)
{
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) /* those need address space of their own */
	CHECK(true_in_child(serves_on_without_memory, NULL));
#else
	(void)serves_on_without_memory;
#endif
}

struct worker {
	struct emulate *emulate;
	uint64_t first; /* every third page from here on is its own */
	bool failed;
};

static void *write_and_read(void *context)
{
	struct worker *worker = context;
	uint8_t page[TMS_PAGE_SIZE];

	for (uint64_t block = worker->first; block < BLOCKS; block += 3) {
		page_make(page, block, 100);
		worker->failed |= emulate_write(worker->emulate, block * PAGE_SIZE, page, PAGE_SIZE) != 0;
	}
	for (uint64_t block = worker->first; block < BLOCKS; block += 3)
		worker->failed |= emulate_read(worker->emulate, block * PAGE_SIZE, page, PAGE_SIZE) ||
				  !page_is(page, block, 100);
	return NULL;
}

static void threads_write_and_read_at_once(void)
{
	struct emulate *emulate = open_memory(0);
	struct worker worker[3];
	pthread_t thread[3];

	for (uint64_t i = 0; i < 3; i++) {
		worker[i] = (struct worker){ emulate, i, false };
		CHECK_EQ(pthread_create(&thread[i], NULL, write_and_read, &worker[i]), 0);
	}
	for (int i = 0; i < 3; i++) {
		CHECK_EQ(pthread_join(thread[i], NULL), 0);
		CHECK(!worker[i].failed);
	}
	emulate_destroy(emulate);
}

static void data_is_kept_where_the_device_says_so(void)
{
	struct tms_device device = { 0 };
	struct emulate *emulate = emulate_create(&device, 0);

	CHECK(!emulate_keeps_data(emulate));
	emulate_destroy(emulate);
	emulate = open_memory(0);
	CHECK(emulate_keeps_data(emulate));
	emulate_destroy(emulate);
}

int main(void)
{
	RUN(what_was_written_is_read_and_all_else_is_zero);
	RUN(memory_is_used_where_data_is_and_given_back_by_truncate);
	RUN(what_does_not_lie_below_the_size_is_refused_and_changes_nothing);
	RUN(without_a_size_the_device_reaches_as_far_as_the_spill_file_may);
	RUN(a_write_without_memory_fails_and_loses_nothing);
	RUN(threads_write_and_read_at_once);
	RUN(data_is_kept_where_the_device_says_so);
	return check_finish(__FILE__);
}
