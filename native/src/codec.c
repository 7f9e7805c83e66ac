/*
 * codec.c: calls into liblz4 and libzstd through the addresses the caller gave.
 *
 * Owns: idle zstd contexts, one for each thread that was ever compressing at the same time.
 * Law: a codec call holds no lock; only taking and giving back a context does, for a few instructions.
 */
#include <stdlib.h>
#include <string.h>

#include "codec.h"

typedef int (*lz4_compress_fn)(const char *from, char *to, int bytes, int capacity);
typedef int (*lz4_decompress_fn)(const char *from, char *to, int bytes, int capacity);
typedef void *(*zstd_create_fn)(void);
typedef size_t (*zstd_free_fn)(void *context);
typedef size_t (*zstd_compress_fn)(void *context, void *to, size_t capacity, const void *from, size_t bytes, int level);
typedef size_t (*zstd_decompress_fn)(void *context, void *to, size_t capacity, const void *from, size_t bytes);
typedef unsigned int (*zstd_is_error_fn)(size_t result);

struct codec_context {
	struct codec_context *next;
	void *compress;
	void *decompress;
};

/* ISO C has no conversion from void * to a function; POSIX guarantees that the bytes are the same. */
#define CALL(type, address)                               \
	(__extension__({                                  \
		type call_;                               \
		memcpy(&call_, &(address), sizeof(call_)); \
		call_;                                    \
	}))

int codec_init(struct codec *codec, const struct tms_codec *functions)
{
	const struct tms_codec *f = functions;
	bool complete = false;

	if (f->kind == TMS_CODEC_NONE)
		complete = true;
	else if (f->kind == TMS_CODEC_LZ4)
		complete = f->lz4_compress_default && f->lz4_decompress_safe;
	else if (f->kind == TMS_CODEC_ZSTD)
		complete = f->zstd_create_cctx && f->zstd_free_cctx && f->zstd_compress_cctx && f->zstd_create_dctx &&
			   f->zstd_free_dctx && f->zstd_decompress_dctx && f->zstd_is_error;
	if (!complete)
		return TMS_E_INVALID;
	*codec = (struct codec){ .functions = *functions };
	pthread_mutex_init(&codec->lock, NULL);
	return TMS_OK;
}

static void free_context(struct codec *codec, struct codec_context *context)
{
	if (context->compress)
		CALL(zstd_free_fn, codec->functions.zstd_free_cctx)(context->compress);
	if (context->decompress)
		CALL(zstd_free_fn, codec->functions.zstd_free_dctx)(context->decompress);
	free(context);
}

void codec_deinit(struct codec *codec)
{
	while (codec->idle) {
		struct codec_context *context = codec->idle;

		codec->idle = context->next;
		free_context(codec, context);
	}
	pthread_mutex_destroy(&codec->lock);
}

static struct codec_context *take_context(struct codec *codec)
{
	struct codec_context *context;

	pthread_mutex_lock(&codec->lock);
	context = codec->idle;
	if (context)
		codec->idle = context->next;
	pthread_mutex_unlock(&codec->lock);
	if (context)
		return context;
	context = calloc(1, sizeof(*context));
	if (!context)
		return NULL;
	context->compress = CALL(zstd_create_fn, codec->functions.zstd_create_cctx)();
	context->decompress = CALL(zstd_create_fn, codec->functions.zstd_create_dctx)();
	if (context->compress && context->decompress)
		return context;
	free_context(codec, context);
	return NULL;
}

static void give_context(struct codec *codec, struct codec_context *context)
{
	pthread_mutex_lock(&codec->lock);
	context->next = codec->idle;
	codec->idle = context;
	pthread_mutex_unlock(&codec->lock);
}

static size_t zstd_failed(const struct codec *codec, size_t result)
{
	return CALL(zstd_is_error_fn, codec->functions.zstd_is_error)(result);
}

static uint32_t zstd_compress(struct codec *codec, const uint8_t *page, uint8_t *out, uint32_t limit)
{
	struct codec_context *context = take_context(codec);
	size_t result;

	if (!context)
		return 0;
	result = CALL(zstd_compress_fn, codec->functions.zstd_compress_cctx)(context->compress, out, limit, page, PAGE_SIZE,
									     codec->functions.level);
	give_context(codec, context);
	return zstd_failed(codec, result) ? 0 : (uint32_t)result;
}

static bool zstd_decompress(struct codec *codec, const uint8_t *bytes, uint32_t size, uint8_t *page)
{
	struct codec_context *context = take_context(codec);
	size_t result;

	if (!context)
		return false;
	result = CALL(zstd_decompress_fn, codec->functions.zstd_decompress_dctx)(context->decompress, page, PAGE_SIZE, bytes,
										 size);
	give_context(codec, context);
	return !zstd_failed(codec, result) && result == PAGE_SIZE;
}

uint32_t codec_compress(struct codec *codec, const uint8_t *page, uint8_t *out, uint32_t limit)
{
	int bytes;

	if (codec->functions.kind == TMS_CODEC_ZSTD)
		return zstd_compress(codec, page, out, limit);
	bytes = CALL(lz4_compress_fn, codec->functions.lz4_compress_default)((const char *)page, (char *)out, TMS_PAGE_SIZE,
									     (int)limit);
	return bytes > 0 ? (uint32_t)bytes : 0;
}

bool codec_decompress(struct codec *codec, const uint8_t *bytes, uint32_t size, uint8_t *page)
{
	if (codec->functions.kind == TMS_CODEC_ZSTD)
		return zstd_decompress(codec, bytes, size, page);
	return CALL(lz4_decompress_fn, codec->functions.lz4_decompress_safe)((const char *)bytes, (char *)page, (int)size,
									     TMS_PAGE_SIZE) == TMS_PAGE_SIZE;
}

bool page_is_filled(const uint8_t *page, uint64_t *value)
{
	uint64_t first;
	uint64_t second;
	uint64_t last;

	/* Most pages show it in a cache line that the copy reads first anyway, the others at their end. */
	memcpy(&first, page, sizeof(first));
	memcpy(&second, page + sizeof(first), sizeof(second));
	if (first != second)
		return false;
	memcpy(&last, page + PAGE_SIZE - sizeof(last), sizeof(last));
	/* A page is filled iff it equals itself one word further on. */
	if (first != last || memcmp(page, page + sizeof(first), PAGE_SIZE - sizeof(first)) != 0)
		return false;
	*value = first;
	return true;
}

void page_fill(uint8_t *page, uint64_t value)
{
	for (size_t at = 0; at < PAGE_SIZE; at += sizeof(value))
		memcpy(page + at, &value, sizeof(value));
}
