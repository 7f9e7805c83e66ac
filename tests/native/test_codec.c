/* Calls through the addresses of a codec, and same-filled pages.  The codecs are the test's own. */
#include "codec.h"
#include "fixture.h"

#define THREADS 4
#define LIMIT 4032u

/* ---- a codec with contexts, as libzstd has them ----------------------------------------------------- */

struct context {
	_Atomic int busy;
};

static _Atomic uint32_t contexts_made;
static _Atomic uint32_t contexts_freed;
static _Atomic uint32_t contexts_shared;
static _Atomic int32_t contexts_left; /* below 0: no end */

static void *make_context(void)
{
	if (atomic_load(&contexts_left) == 0)
		return NULL;
	atomic_fetch_sub(&contexts_left, 1);
	atomic_fetch_add(&contexts_made, 1);
	return calloc(1, sizeof(struct context));
}

static size_t free_context(void *context)
{
	atomic_fetch_add(&contexts_freed, 1);
	free(context);
	return 0;
}

static void enter(struct context *context)
{
	if (atomic_exchange(&context->busy, 1))
		atomic_fetch_add(&contexts_shared, 1);
}

static size_t compress_in(void *context, void *to, size_t capacity, const void *from, size_t bytes, int level)
{
	int size;

	enter(context);
	size = level == 3 ? tail_compress(from, to, (int)bytes, (int)capacity) : 0;
	atomic_store(&((struct context *)context)->busy, 0);
	return size > 0 ? (size_t)size : SIZE_MAX;
}

static size_t decompress_in(void *context, void *to, size_t capacity, const void *from, size_t bytes)
{
	int size;

	enter(context);
	size = tail_decompress(from, to, (int)bytes, (int)capacity);
	atomic_store(&((struct context *)context)->busy, 0);
	return size > 0 ? (size_t)size : SIZE_MAX;
}

static unsigned int is_error(size_t result)
{
	return result == SIZE_MAX;
}

static struct tms_codec with_contexts(void)
{
	contexts_made = contexts_freed = contexts_shared = 0;
	contexts_left = -1;
	return (struct tms_codec){ .kind = TMS_CODEC_ZSTD,
				   .level = 3,
				   .zstd_create_cctx = (void *)make_context,
				   .zstd_free_cctx = (void *)free_context,
				   .zstd_compress_cctx = (void *)compress_in,
				   .zstd_create_dctx = (void *)make_context,
				   .zstd_free_dctx = (void *)free_context,
				   .zstd_decompress_dctx = (void *)decompress_in,
				   .zstd_is_error = (void *)is_error };
}

/* ---- tests ------------------------------------------------------------------------------------------ */

static void a_codec_that_lacks_a_function_or_is_unknown_is_refused(void)
{
	struct tms_codec functions = with_contexts();
	void **needed[] = { &functions.zstd_create_cctx, &functions.zstd_free_cctx, &functions.zstd_compress_cctx, &functions.zstd_create_dctx,
			    &functions.zstd_free_dctx, &functions.zstd_decompress_dctx, &functions.zstd_is_error };
	struct codec codec;

	for (size_t i = 0; i < sizeof(needed) / sizeof(*needed); i++) {
		functions = with_contexts();
		*needed[i] = NULL;
		CHECK_EQ(codec_init(&codec, &functions), TMS_E_INVALID);
	}
	functions = tail_codec();
	functions.lz4_compress_default = NULL;
	CHECK_EQ(codec_init(&codec, &functions), TMS_E_INVALID);
	functions = tail_codec();
	functions.lz4_decompress_safe = NULL;
	CHECK_EQ(codec_init(&codec, &functions), TMS_E_INVALID);
	CHECK_EQ(codec_init(&codec, &(struct tms_codec){ .kind = 3 }), TMS_E_INVALID);
	CHECK_EQ(codec_init(&codec, &(struct tms_codec){ .kind = -1 }), TMS_E_INVALID);
	CHECK_EQ(codec_init(&codec, &(struct tms_codec){ .kind = TMS_CODEC_NONE }), TMS_OK);
	CHECK(!codec_compresses(&codec));
	codec_deinit(&codec);
}

static void come_back(const struct tms_codec *functions)
{
	uint8_t page[TMS_PAGE_SIZE];
	uint8_t small[LIMIT];
	struct codec codec;

	CHECK_EQ(codec_init(&codec, functions), TMS_OK);
	CHECK(codec_compresses(&codec));
	for (uint32_t noise = 1; noise < LIMIT - TAIL_OVERHEAD; noise += 61) {
		uint32_t size;

		page_make(page, noise, noise);
		size = codec_compress(&codec, page, small, LIMIT);
		CHECK_EQ(size, noise + TAIL_OVERHEAD);
		CHECK_EQ(codec_compress(&codec, page, small, size - 1), 0);
		CHECK_EQ(codec_compress(&codec, page, small, size), size);
		memset(page, 0xee, sizeof(page));
		CHECK(codec_decompress(&codec, small, size, page));
		CHECK(page_is(page, noise, noise));
		CHECK(!codec_decompress(&codec, small, size - 1, page));
	}
	page_make(page, 1, TMS_PAGE_SIZE);
	CHECK_EQ(codec_compress(&codec, page, small, LIMIT), 0);
	codec_deinit(&codec);
}

static void a_page_comes_back_or_is_not_compressed_and_damaged_bytes_are_no_page(void)
{
	struct tms_codec functions = tail_codec();

	come_back(&functions);
	CHECK_SO_FAR();
	functions = with_contexts();
	come_back(&functions);
	CHECK_SO_FAR();
	CHECK_EQ(contexts_made, 2);
	CHECK_EQ(contexts_freed, 2);
}

static void *compress_often(void *codec)
{
	uint8_t page[TMS_PAGE_SIZE];
	uint8_t small[LIMIT];
	uintptr_t wrong = 0;

	for (uint32_t i = 1; i <= 500; i++) {
		uint32_t size;

		page_make(page, i, i);
		size = codec_compress(codec, page, small, LIMIT);
		wrong += !codec_decompress(codec, small, size, page) || !page_is(page, i, i);
	}
	return (void *)wrong;
}

static void no_two_threads_share_a_context_and_each_is_freed_once(void)
{
	struct tms_codec functions = with_contexts();
	pthread_t thread[THREADS];
	struct codec codec;

	CHECK_EQ(codec_init(&codec, &functions), TMS_OK);
	for (int i = 0; i < THREADS; i++)
		CHECK_EQ(pthread_create(&thread[i], NULL, compress_often, &codec), 0);
	for (int i = 0; i < THREADS; i++) {
		void *wrong;

		CHECK_EQ(pthread_join(thread[i], &wrong), 0);
		CHECK(!wrong);
	}
	CHECK(contexts_made >= 2 && contexts_made <= 2 * THREADS);
	CHECK_EQ(contexts_shared, 0);
	codec_deinit(&codec);
	CHECK_EQ(contexts_freed, contexts_made);
}

static void a_context_that_cannot_be_had_means_not_compressed(void)
{
	struct tms_codec functions = with_contexts();
	uint8_t page[TMS_PAGE_SIZE];
	uint8_t small[LIMIT];
	struct codec codec;

	page_make(page, 1, 100);
	CHECK_EQ(codec_init(&codec, &functions), TMS_OK);
	for (int32_t left = 0; left < 2; left++) {
		contexts_left = left;
		CHECK_EQ(codec_compress(&codec, page, small, LIMIT), 0);
		CHECK_EQ(contexts_freed, contexts_made);
		contexts_left = left;
		CHECK(!codec_decompress(&codec, small, 103, page));
		CHECK_EQ(contexts_freed, contexts_made);
	}
	codec_deinit(&codec);
}

static void a_page_is_filled_iff_all_its_words_are_equal(void)
{
	const uint64_t words[] = { 0, 1, UINT64_MAX, UINT64_C(0x0123456789abcdef) };
	uint8_t memory[TMS_PAGE_SIZE + 8];

	for (size_t skew = 0; skew < 8; skew++)
		for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
			uint8_t *page = memory + skew;
			uint64_t value = ~words[i];

			page_fill(page, words[i]);
			CHECK(page_is_filled(page, &value));
			CHECK_EQ(value, words[i]);
			value = 99;
			for (size_t at = skew; at < TMS_PAGE_SIZE; at += 5) {
				page[at] ^= 0x20;
				CHECK(!page_is_filled(page, &value));
				page[at] ^= 0x20;
			}
			CHECK_EQ(value, 99);
		}
	for (size_t at = 0; at < TMS_PAGE_SIZE; at++)
		memory[at] = (uint8_t)(at % 16);
	CHECK(!page_is_filled(memory, &(uint64_t){ 0 }));
}

int main(void)
{
	RUN(a_codec_that_lacks_a_function_or_is_unknown_is_refused);
	RUN(a_page_comes_back_or_is_not_compressed_and_damaged_bytes_are_no_page);
	RUN(no_two_threads_share_a_context_and_each_is_freed_once);
	RUN(a_context_that_cannot_be_had_means_not_compressed);
	RUN(a_page_is_filled_iff_all_its_words_are_equal);
	return check_finish(__FILE__);
}
