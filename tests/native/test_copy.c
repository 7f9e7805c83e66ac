/* The copies of a page, and the choice among them. */
#include "copy.h"
#include "fixture.h"

#define REGION (UINT64_C(64) << 20)

static const int32_t ways[] = { TMS_COPY_PLAIN, TMS_COPY_NONTEMPORAL };

static void every_variant_copies_a_page_and_not_a_byte_more(void)
{
	_Alignas(4096) static uint8_t to[3 * TMS_PAGE_SIZE];
	static uint8_t from[TMS_PAGE_SIZE + 64];

	for (size_t way = 0; way < sizeof(ways) / sizeof(*ways); way++)
		for (size_t skew = 0; skew < 64; skew++) {
			struct copy copy = copy_choose(ways[way], REGION, REGION);

			memset(to, 0xa5, sizeof(to));
			page_make(from + skew, skew + 1, TMS_PAGE_SIZE);
			copy.page(to + TMS_PAGE_SIZE, from + skew);
			CHECK(page_is(to + TMS_PAGE_SIZE, skew + 1, TMS_PAGE_SIZE));
			for (size_t i = 0; i < TMS_PAGE_SIZE; i++)
				CHECK(to[i] == 0xa5 && to[2 * TMS_PAGE_SIZE + i] == 0xa5);
		}
}

static void auto_goes_past_the_cache_in_large_regions_only(void)
{
	const char *best = tms_copy_best_variant();

	CHECK(!strcmp(copy_choose(TMS_COPY_AUTO, REGION - 1, REGION).variant, "plain"));
	CHECK(!strcmp(copy_choose(TMS_COPY_AUTO, REGION, REGION).variant, best));
	CHECK(!strcmp(copy_choose(TMS_COPY_AUTO, REGION, 0).variant, best));
}

static void who_asks_for_a_copy_gets_it(void)
{
	CHECK(!strcmp(copy_choose(TMS_COPY_PLAIN, REGION, 0).variant, "plain"));
	CHECK(!strcmp(copy_choose(TMS_COPY_NONTEMPORAL, 1, REGION).variant, tms_copy_best_variant()));
#if defined(__x86_64__) || defined(__aarch64__)
	CHECK(strcmp(tms_copy_best_variant(), "plain") != 0);
#endif
}

int main(void)
{
	RUN(every_variant_copies_a_page_and_not_a_byte_more);
	RUN(auto_goes_past_the_cache_in_large_regions_only);
	RUN(who_asks_for_a_copy_gets_it);
	return check_finish(__FILE__);
}
