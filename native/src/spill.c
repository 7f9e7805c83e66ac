/*
 * spill.c: blocks of the spill file and what they are checked by.
 *
 * Owns: the users and the free set of the blocks.
 * Invariants: 1. a block below end is in the free set iff it has no user.  2. used counts the others.
 * Laws: 1. the file grows only while half of it or more is in use, or where no block is free.  2. a
 * block stays in use while a write to it is under way, whatever became of the page: a late write must
 * never land in a block that was given to another page.
 * Locks: the store's.
 */
#include "spill.h"

#define CAPACITY_START 1024u
/* Free runs looked at before the file is made longer, and the run that is long enough to take at once. */
#define RUNS_LOOKED_AT 256
#define RUN_LONG_ENOUGH 32

bool spill_init(struct spill *spill, uint64_t limit_bytes)
{
	uint64_t limit = limit_bytes ? limit_bytes / BLOCK_BYTES : UINT32_MAX;

	*spill = (struct spill){ .end = SPILL_HEADER_BLOCKS, .limit = (uint32_t)min_u64(limit, UINT32_MAX) };
	spill->capacity = (uint32_t)min_u64(CAPACITY_START, spill->limit);
	spill->users = calloc(spill->capacity, sizeof(*spill->users));
	if (spill->users && bitmap_init(&spill->free, spill->capacity))
		return true;
	spill_deinit(spill);
	return false;
}

void spill_deinit(struct spill *spill)
{
	free(spill->users);
	bitmap_deinit(&spill->free);
	*spill = (struct spill){ 0 };
}

static bool reserve(struct spill *spill, uint32_t blocks)
{
	uint32_t capacity = spill->capacity;
	uint16_t *users;

	if (blocks <= capacity)
		return true;
	while (capacity < blocks)
		capacity = (uint32_t)min_u64((uint64_t)capacity * 2, spill->limit);
	users = realloc(spill->users, capacity * sizeof(*users));
	if (!users)
		return false;
	spill->users = users;
	if (!bitmap_grow(&spill->free, capacity))
		return false;
	memset(users + spill->capacity, 0, (capacity - spill->capacity) * sizeof(*users));
	spill->capacity = capacity;
	return true;
}

/* The longest of the next free runs, up to want blocks.  The hand goes through the file like a log's head:
 * what was written together is mostly freed together, and the largest runs lie just before it. */
static uint32_t longest_run(const struct spill *spill, uint32_t want, uint32_t *start)
{
	uint64_t at = bitmap_next(&spill->free, spill->hand);
	bool wrapped = false;
	uint32_t best = 0;

	for (uint32_t look = RUNS_LOOKED_AT; look; look--) {
		uint64_t end = at + 1;

		if (at == BITMAP_NONE) {
			if (wrapped)
				break;
			wrapped = true;
			at = bitmap_next(&spill->free, 0);
			continue;
		}

		while (end - at < want && end < spill->end && bitmap_test(&spill->free, end))
			end++;
		if (end - at > best) {
			best = (uint32_t)(end - at);
			*start = (uint32_t)at;
			if (best == want || best >= RUN_LONG_ENOUGH)
				break;
		}
		at = bitmap_next(&spill->free, end);
	}
	return best;
}

uint32_t spill_take_run(struct spill *spill, uint32_t want, uint32_t *start)
{
	uint32_t at = 0;
	uint32_t run = longest_run(spill, want, &at);

	if (run < want && run < RUN_LONG_ENOUGH && (run == 0 || spill->used >= spill->end / 2)) {
		uint32_t fresh = (uint32_t)min_u64(want, spill->limit > spill->end ? spill->limit - spill->end : 0);

		if (fresh > run && reserve(spill, spill->end + fresh)) {
			at = spill->end;
			run = fresh;
			spill->end += fresh;
		}
	}
	for (uint32_t block = at; block < at + run; block++) {
		bitmap_clear(&spill->free, block);
		spill->users[block] = 1;
	}
	spill->used += run;
	spill->hand = at + run < spill->capacity ? at + run : 0;
	*start = at;
	return run;
}

void spill_put(struct spill *spill, uint32_t block)
{
	if (--spill->users[block])
		return;
	bitmap_set(&spill->free, block);
	spill->used--;
}

uint64_t spill_checksum(const uint8_t *bytes, uint32_t size)
{
	/* Four lanes of multiply and xor-shift.  Each step is a bijection of the lane for a given word and
	 * of the word for a given lane, so that the change of one word never cancels out in its lane. */
	uint64_t lane[4] = { UINT64_C(0x9e3779b97f4a7c15), UINT64_C(0xc2b2ae3d27d4eb4f), UINT64_C(0x165667b19e3779f9),
			     UINT64_C(0x27d4eb2f165667c5) };
	uint64_t word[4];

	for (uint32_t at = 0; at < size; at += sizeof(word)) {
		if (size - at < sizeof(word)) {
			memset(word, 0, sizeof(word));
			memcpy(word, bytes + at, size - at);
		} else {
			memcpy(word, bytes + at, sizeof(word));
		}
		for (int i = 0; i < 4; i++) {
			lane[i] = (lane[i] ^ word[i]) * UINT64_C(0xbf58476d1ce4e5b9);
			lane[i] ^= lane[i] >> 29;
		}
	}
	lane[0] += lane[1] << 17 | lane[1] >> 47;
	lane[0] += lane[2] << 31 | lane[2] >> 33;
	lane[0] += lane[3] << 47 | lane[3] >> 17;
	lane[0] = (lane[0] ^ size) * UINT64_C(0x94d049bb133111eb);
	return lane[0] ^ lane[0] >> 32;
}

uint64_t spill_bytes(const struct spill *spill)
{
	return spill->capacity * sizeof(*spill->users) + bitmap_bytes(&spill->free);
}
