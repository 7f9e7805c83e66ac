/* What the store is measured against does the same work. */
#include "fixture.h"

#define PAGES 64
#define KEYS 1000
#define SLOTS 2048

static void pages_are_copied_where_they_are_sent(void)
{
	_Alignas(4096) static uint8_t to[PAGES * TMS_PAGE_SIZE];
	static uint8_t from[PAGES * TMS_PAGE_SIZE];
	const int32_t ways[] = { TMS_COPY_AUTO, TMS_COPY_PLAIN, TMS_COPY_NONTEMPORAL };
	uint32_t to_pages[PAGES];
	uint32_t from_pages[PAGES];

	for (uint32_t i = 0; i < PAGES; i++) {
		page_make(from + i * TMS_PAGE_SIZE, i + 1, TMS_PAGE_SIZE);
		to_pages[i] = i * 7 % PAGES;
		from_pages[i] = i * 11 % PAGES;
	}
	for (size_t way = 0; way < sizeof(ways) / sizeof(*ways); way++) {
		memset(to, 0, sizeof(to));
		tms_floor_copy(ways[way], to, to_pages, from, from_pages, PAGES);
		for (uint32_t i = 0; i < PAGES; i++)
			CHECK(page_is(to + to_pages[i] * TMS_PAGE_SIZE, from_pages[i] + 1, TMS_PAGE_SIZE));
	}
}

static void every_key_is_found(void)
{
	static uint64_t table[SLOTS * 4];
	static uint64_t keys[KEYS];
	uint64_t one;

	for (uint64_t i = 0; i < KEYS; i++)
		keys[i] = (i + 1) * 0x9e3779b9;
	tms_floor_table_add(table, SLOTS, keys, KEYS);
	for (uint64_t i = 0; i < KEYS; i++) {
		one = keys[i];
		CHECK(tms_floor_lookup(table, SLOTS, &one, 1) == i);
	}
	CHECK(tms_floor_lookup(table, SLOTS, keys, KEYS) == KEYS * (KEYS - 1) / 2);
}

static void a_codec_that_is_none_is_no_floor(void)
{
	const struct tms_codec unknown = { .kind = 7 };
	static uint8_t page[TMS_PAGE_SIZE];
	static uint8_t out[TMS_PAGE_SIZE];
	uint32_t size = 1;

	CHECK(tms_floor_compress(&unknown, 1, page, TMS_PAGE_SIZE, out, &size) == TMS_E_INVALID);
	CHECK(tms_floor_decompress(&unknown, 1, page, &size, out) == TMS_E_INVALID);
}

int main(void)
{
	RUN(pages_are_copied_where_they_are_sent);
	RUN(every_key_is_found);
	RUN(a_codec_that_is_none_is_no_floor);
	return check_finish(__FILE__);
}
