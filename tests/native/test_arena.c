/* Pieces of an arena do not overlap, are zeros, and end with it. */
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "arena.h"
#include "fixture.h"
#include "store.h"

#define PIECES 40u
#define BYTES (UINT64_C(900) << 10)

static void pieces_are_zeros_and_nobody_elses(void)
{
	struct arena arena = { 0 };
	uint8_t *piece[PIECES];

	for (uint32_t i = 0; i < PIECES; i++) {
		piece[i] = arena_take(&arena, BYTES + i, ARENA_BLOCK_BYTES);
		CHECK(piece[i]);
		CHECK_EQ((uintptr_t)piece[i] % ARENA_ALIGN, 0);
		CHECK(!piece[i][0] && !memcmp(piece[i], piece[i] + 1, BYTES + i - 1));
		memset(piece[i], (int)i + 1, BYTES + i);
	}
	for (uint32_t i = 0; i < PIECES; i++)
		CHECK(piece[i][0] == i + 1 && piece[i][BYTES + i - 1] == i + 1);
	arena_deinit(&arena);
	CHECK(!arena.block);
	arena_deinit(&arena);
}

static void a_block_may_be_one_piece(void)
{
	struct arena arena = { 0 };
	uint8_t *whole = arena_take(&arena, ARENA_BLOCK_BYTES - ARENA_ALIGN, ARENA_BLOCK_BYTES);

	CHECK(whole);
	memset(whole, 1, ARENA_BLOCK_BYTES - ARENA_ALIGN);
	CHECK(arena_take(&arena, 1, ARENA_BLOCK_BYTES));
	arena_deinit(&arena);
}

static void small_ones_and_ones_larger_than_a_block_have_blocks_of_their_own(void)
{
	struct arena arena = { 0 };
	uint8_t *small = arena_take(&arena, 100, PAGE_SIZE);
	uint8_t *large = arena_take(&arena, 3 * ARENA_PAGE_BYTES, PAGE_SIZE);

	CHECK(small && large);
	memset(small, 1, 100);
	memset(large, 2, 3 * ARENA_PAGE_BYTES);
	CHECK(small[99] == 1 && large[0] == 2);
	arena_deinit(&arena);
}

/* ---- tables that grow -------------------------------------------------------------------------------- */

/* Before Linux 5.14 nothing is brought in ahead, and all else is as it should be. */
static bool can_bring_in(void)
{
	uint8_t *page = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return page != MAP_FAILED && !madvise(page, PAGE_SIZE, MADV_POPULATE_WRITE) && !munmap(page, PAGE_SIZE);
}

static bool is_there(uint8_t *page)
{
	unsigned char there[ARENA_PAGE_BYTES / PAGE_SIZE];

	if (mincore(page, ARENA_PAGE_BYTES, there))
		return false;
	for (size_t i = 0; i < sizeof(there); i++)
		if (!(there[i] & 1))
			return false;
	return true;
}

static void what_a_table_comes_to_next_is_there_before_it_is_touched(void)
{
	struct arena arena = { 0 };
	uint32_t brought_in = 0;
	uint32_t touched_cold = 0;
	uint8_t *page = NULL; /* the 2 MiB that were taken from last */

	arena_look_ahead(&arena, ARENA_BLOCK_BYTES);
	for (uint32_t i = 0; i < 20 * ARENA_BLOCK_BYTES / BYTES; i++) {
		uint8_t *piece;
		uint8_t *last;

		brought_in += atomic_load(&arena.cold) != NULL;
		arena_warm(&arena);
		CHECK(!atomic_load(&arena.cold));
		piece = arena_take(&arena, BYTES / 4, ARENA_BLOCK_BYTES);
		CHECK(piece && !piece[0]);
		last = (uint8_t *)((uintptr_t)(piece + BYTES / 4 - 1) & ~(uintptr_t)(ARENA_PAGE_BYTES - 1));
		if (last != page)
			touched_cold += !is_there(last);
		page = last;
		memset(piece, (int)i, BYTES / 4);
		arena_look_ahead(&arena, ARENA_BLOCK_BYTES);
	}
	CHECK(brought_in > 4 * ARENA_BLOCK_BYTES / ARENA_PAGE_BYTES);
	CHECK(touched_cold == 0 || !can_bring_in());
	arena_deinit(&arena);
	CHECK(!arena.ahead);
}

static void a_store_that_grows_brings_in_what_its_tables_come_to_next(void)
{
	const uint32_t pages = 3 * SLAB_SMALL * SLAB_SEGMENT;
	uint64_t now_ns = 0;
	struct arena *entries;
	struct arena *heads;
	struct fixture f;

	CHECK_EQ(fixture_open(&f, &(struct setup){ .frames = pages, .virtual_ns = &now_ns, .without_data = true }), TMS_OK);
	entries = &f.store->held.index.entries.arena;
	heads = &f.store->held.index.entry_hash.arena;
	for (uint32_t n = 0; n < pages; n++) {
		CHECK_EQ(store_put_size(f.store, f.clean, n >> 10, n, 0, TMS_PAGE_SIZE), TMS_OK);
		CHECK(!atomic_load(&entries->cold) && !atomic_load(&heads->cold));
	}
	CHECK(entries->block && heads->block);
	CHECK((is_there(entries->named) && is_there(heads->named)) || !can_bring_in());
	fixture_close(&f);
}

/* In place of the C library's: whoever waits for a flight has the store's lock, and would wait for this, too. */
static struct fixture grown;
static uint32_t brought_in;
static uint32_t brought_in_while_others_wait;

int madvise(void *start, size_t bytes, int advice)
{
	if (advice == MADV_POPULATE_WRITE && grown.store) {
		brought_in++;
		if (pthread_mutex_trylock(&grown.store->lock) == 0) {
			brought_in_while_others_wait += atomic_load(&grown.store->held.region->inflight.active) != 0;
			pthread_mutex_unlock(&grown.store->lock);
		} else {
			brought_in_while_others_wait++;
		}
	}
	return (int)syscall(SYS_madvise, start, bytes, advice);
}

static void nobody_waits_for_what_is_brought_in(void)
{
	enum { BATCH = 64 };
	static uint8_t pages[BATCH * TMS_PAGE_SIZE];
	uint64_t objects[BATCH];
	uint64_t indexes[BATCH];
	bool results[BATCH];

	for (uint32_t n = 0; n < BATCH; n++)
		page_make(pages + n * TMS_PAGE_SIZE, n + 1, TMS_PAGE_SIZE);
	CHECK_EQ(fixture_open(&grown, &(struct setup){ .frames = (SLAB_SMALL + 2) * SLAB_SEGMENT }), TMS_OK);
	for (uint64_t object = 0; object < (SLAB_SMALL + 1) * SLAB_SEGMENT / BATCH; object++) {
		for (uint32_t n = 0; n < BATCH; n++) {
			objects[n] = object;
			indexes[n] = n;
		}
		CHECK_EQ(tms_put_many(grown.store, grown.clean, BATCH, objects, indexes, 0, pages, results), TMS_OK);
	}
	CHECK(brought_in > 0);
	CHECK_EQ(brought_in_while_others_wait, 0);
	fixture_close(&grown);
}

int main(void)
{
	RUN(pieces_are_zeros_and_nobody_elses);
	RUN(a_block_may_be_one_piece);
	RUN(small_ones_and_ones_larger_than_a_block_have_blocks_of_their_own);
	RUN(what_a_table_comes_to_next_is_there_before_it_is_touched);
	RUN(a_store_that_grows_brings_in_what_its_tables_come_to_next);
	RUN(nobody_waits_for_what_is_brought_in);
	return check_finish(__FILE__);
}
