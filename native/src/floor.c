/*
 * floor.c: the jobs of a put and a get without a store: copies of pages, look-ups in a table of their size, a
 * codec's calls; and those of a store without an interpreter.
 */
#include "codec.h"
#include "copy.h"
#include "hash.h"

/* Words of one record, two to a cache line: a table of as many bytes as an index has for as many pages. */
#define RECORD 4

void tms_floor_copy(int32_t how, uint8_t *to, const uint32_t *to_pages, const uint8_t *from, const uint32_t *from_pages,
		    uint64_t n)
{
	const struct copy copy = copy_choose(how, 0, UINT64_MAX);

	for (uint64_t i = 0; i < n; i++) {
		if (i + 1 < n)
			copy_prefetch(from + from_pages[i + 1] * PAGE_SIZE); /* as whoever is in a hurry would do it */
		copy.page(to + to_pages[i] * PAGE_SIZE, from + from_pages[i] * PAGE_SIZE);
	}
}

static uint64_t find(const uint64_t *table, uint64_t slots, uint64_t key)
{
	uint64_t slot = hash_mix(key) & (slots - 1);

	while (table[slot * RECORD] && table[slot * RECORD] != key)
		slot = (slot + 1) & (slots - 1);
	return slot * RECORD;
}

void tms_floor_table_add(uint64_t *table, uint64_t slots, const uint64_t *keys, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++) {
		uint64_t *record = table + find(table, slots, keys[i]);

		record[0] = keys[i];
		record[1] = i;
	}
}

uint64_t tms_floor_lookup(const uint64_t *table, uint64_t slots, const uint64_t *keys, uint64_t n)
{
	uint64_t found = 0;
	uint64_t sum = 0;

	for (uint64_t i = 0; i < n; i++) {
		found = table[find(table, slots, keys[i] + (found >> 63)) + 1]; /* plus 0, which only the answer tells */
		sum += found;
	}
	return sum;
}

int tms_floor_compress(const struct tms_codec *functions, uint64_t n, const uint8_t *pages, uint32_t limit, uint8_t *out,
		       uint32_t *sizes)
{
	struct codec codec;
	int code = codec_init(&codec, functions);

	if (code)
		return code;
	for (uint64_t i = 0; i < n; i++)
		sizes[i] = codec_compress(&codec, pages + i * PAGE_SIZE, out + i * PAGE_SIZE, limit);
	codec_deinit(&codec);
	return TMS_OK;
}

int tms_floor_decompress(const struct tms_codec *functions, uint64_t n, const uint8_t *objects, const uint32_t *sizes,
			 uint8_t *pages)
{
	struct codec codec;
	int code = codec_init(&codec, functions);

	if (code)
		return code;
	for (uint64_t i = 0; i < n && code == TMS_OK; i++)
		if (sizes[i] && !codec_decompress(&codec, objects + i * PAGE_SIZE, sizes[i], pages + i * PAGE_SIZE))
			code = TMS_E_CODEC;
	codec_deinit(&codec);
	return code;
}

int tms_floor_put_each(tms_store *store, tms_pool_id pool, uint64_t n, const uint64_t *objects, const uint64_t *indexes,
		       const uint8_t *page, uint64_t *done)
{
	*done = 0;
	for (uint64_t i = 0; i < n; i++) {
		int code = indexes[i] > UINT32_MAX ? TMS_E_INVALID :
						     tms_put(store, pool, objects[i], (uint32_t)indexes[i], 0, page);

		if (code < 0)
			return code;
		*done += code == TMS_OK;
	}
	return TMS_OK;
}

int tms_floor_get_each(tms_store *store, tms_pool_id pool, uint64_t n, const uint64_t *objects, const uint64_t *indexes,
		       uint8_t *page, uint64_t *done)
{
	*done = 0;
	for (uint64_t i = 0; i < n; i++) {
		int code = indexes[i] > UINT32_MAX ? TMS_E_INVALID :
						     tms_get(store, pool, objects[i], (uint32_t)indexes[i], page, NULL);

		if (code < 0)
			return code;
		*done += code == TMS_OK;
	}
	return TMS_OK;
}
