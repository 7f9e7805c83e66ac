/*
 * copy.c: the copies of one page, and the choice among them.
 *
 * Non-temporal stores do not read the destination's cache lines first and leave the caller's cache
 * alone; they lose where the destination is cached.  Hence they are for writes into a region much
 * larger than the cache, never for reads out of it.  The destination is page aligned, the source
 * need not be aligned at all.
 */
#include <string.h>

#include "copy.h"

void copy_plain(uint8_t *to, const uint8_t *from)
{
	memcpy(to, from, PAGE_SIZE);
}

#if defined(__x86_64__)
#include <immintrin.h>

__attribute__((target("avx512f"))) static void copy_avx512(uint8_t *to, const uint8_t *from)
{
	for (size_t i = 0; i < PAGE_SIZE; i += 256) {
		__m512i a = _mm512_loadu_si512((const void *)(from + i));
		__m512i b = _mm512_loadu_si512((const void *)(from + i + 64));
		__m512i c = _mm512_loadu_si512((const void *)(from + i + 128));
		__m512i d = _mm512_loadu_si512((const void *)(from + i + 192));

		_mm512_stream_si512((void *)(to + i), a);
		_mm512_stream_si512((void *)(to + i + 64), b);
		_mm512_stream_si512((void *)(to + i + 128), c);
		_mm512_stream_si512((void *)(to + i + 192), d);
	}
	_mm_sfence();
}

__attribute__((target("avx2"))) static void copy_avx2(uint8_t *to, const uint8_t *from)
{
	for (size_t i = 0; i < PAGE_SIZE; i += 128) {
		__m256i a = _mm256_loadu_si256((const void *)(from + i));
		__m256i b = _mm256_loadu_si256((const void *)(from + i + 32));
		__m256i c = _mm256_loadu_si256((const void *)(from + i + 64));
		__m256i d = _mm256_loadu_si256((const void *)(from + i + 96));

		_mm256_stream_si256((void *)(to + i), a);
		_mm256_stream_si256((void *)(to + i + 32), b);
		_mm256_stream_si256((void *)(to + i + 64), c);
		_mm256_stream_si256((void *)(to + i + 96), d);
	}
	_mm_sfence();
}

static void copy_sse2(uint8_t *to, const uint8_t *from)
{
	for (size_t i = 0; i < PAGE_SIZE; i += 64) {
		__m128i a = _mm_loadu_si128((const void *)(from + i));
		__m128i b = _mm_loadu_si128((const void *)(from + i + 16));
		__m128i c = _mm_loadu_si128((const void *)(from + i + 32));
		__m128i d = _mm_loadu_si128((const void *)(from + i + 48));

		_mm_stream_si128((void *)(to + i), a);
		_mm_stream_si128((void *)(to + i + 16), b);
		_mm_stream_si128((void *)(to + i + 32), c);
		_mm_stream_si128((void *)(to + i + 48), d);
	}
	_mm_sfence();
}

static struct copy best(void)
{
	__builtin_cpu_init();
	if (__builtin_cpu_supports("avx512f"))
		return (struct copy){ copy_avx512, "avx512-nt" };
	if (__builtin_cpu_supports("avx2"))
		return (struct copy){ copy_avx2, "avx2-nt" };
	return (struct copy){ copy_sse2, "sse2-nt" };
}

#elif defined(__aarch64__)

static void copy_neon(uint8_t *to, const uint8_t *from)
{
	for (size_t i = 0; i < PAGE_SIZE; i += 64)
		__asm__ volatile("ldp q0, q1, [%1]\n\t"
				 "ldp q2, q3, [%1, #32]\n\t"
				 "stnp q0, q1, [%0]\n\t"
				 "stnp q2, q3, [%0, #32]"
				 :
				 : "r"(to + i), "r"(from + i)
				 : "v0", "v1", "v2", "v3", "memory");
}

static struct copy best(void)
{
	return (struct copy){ copy_neon, "neon-nt" };
}

#else

static struct copy best(void)
{
	return (struct copy){ copy_plain, "plain" };
}

#endif

static void copy_no_page(uint8_t *to, const uint8_t *from)
{
	(void)to;
	(void)from;
}

const struct copy copy_nothing = { copy_no_page, "none" };

struct copy copy_choose(int32_t how, uint64_t region_bytes, uint64_t from_bytes)
{
	if (how == TMS_COPY_PLAIN || (how == TMS_COPY_AUTO && region_bytes < from_bytes))
		return (struct copy){ copy_plain, "plain" };
	return best();
}

const char *tms_copy_best_variant(void)
{
	return best().variant;
}
