/*
 * codec.h: how frontswap pages are kept: same-filled, compressed, raw.
 */
#ifndef TMS_CODEC_H
#define TMS_CODEC_H

#include <pthread.h>

#include "check.h"

struct codec_context;

struct codec {
	struct tms_codec functions;
	pthread_mutex_t lock; /* a leaf: guards idle */
	struct codec_context *idle;
};

/* TMS_E_INVALID: unknown kind, or a function of it is missing. */
int codec_init(struct codec *codec, const struct tms_codec *functions);
void codec_deinit(struct codec *codec);

static inline bool codec_compresses(const struct codec *codec)
{
	return codec->functions.kind != TMS_CODEC_NONE;
}

/* Bytes written to out, at most limit; 0: the page does not get that small.  Any thread. */
uint32_t codec_compress(struct codec *codec, const uint8_t *page, uint8_t *out, uint32_t limit);
/* False: these bytes are not a compressed page. */
bool codec_decompress(struct codec *codec, const uint8_t *bytes, uint32_t size, uint8_t *page);

/* True if all words of the page are equal; *value is the word. */
bool page_is_filled(const uint8_t *page, uint64_t *value);
void page_fill(uint8_t *page, uint64_t value);

#endif
