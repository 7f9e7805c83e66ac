/*
 * tmemstore_floor.h: what a machine can do at best for the jobs of a put and a get, and what a caller in C pays for
 * them, to measure against.  A part of tmemstore.h, which includes it.  Nothing of the store uses it.
 */
#ifndef TMEMSTORE_FLOOR_H
#define TMEMSTORE_FLOOR_H

/* cffi: begin */
/* ---- floors, for benchmarks --------------------------------------------------------------------- */

/* Copies n pages: page from_pages[i] of from to page to_pages[i] of to, which is page aligned but for
 * TMS_COPY_PLAIN.  how: enum tms_copy; TMS_COPY_AUTO is the plain one. */
void tms_floor_copy(int32_t how, uint8_t *to, const uint32_t *to_pages, const uint8_t *from, const uint32_t *from_pages,
		    uint64_t n);
/* A table of keys, each with 4 words (the first holds the key, 0: none; the second a number below 2^63), found where
 * its hash says or behind it.  slots: a power of two, more than keys. */
void tms_floor_table_add(uint64_t *table, uint64_t slots, const uint64_t *keys, uint64_t n);
/* Finds keys that are there, one after the other: no look-up begins before the one before has its answer, as a call
 * that copies what it found.  The sum of what was found. */
uint64_t tms_floor_lookup(const uint64_t *table, uint64_t slots, const uint64_t *keys, uint64_t n);
/* Compresses n pages, each into the page of out in its place, and what they take into sizes; 0: not into less than
 * limit bytes.  TMS_E_INVALID: no such codec. */
int tms_floor_compress(const struct tms_codec *functions, uint64_t n, const uint8_t *pages, uint32_t limit, uint8_t *out,
		       uint32_t *sizes);
/* The other way; objects of size 0 are passed over.  TMS_E_CODEC: other bytes than were made above. */
int tms_floor_decompress(const struct tms_codec *functions, uint64_t n, const uint8_t *objects, const uint32_t *sizes,
			 uint8_t *pages);
/* tms_put, or tms_get, n times with one buffer: what calls of one page take where no interpreter stands between them.
 * done: how many were kept, or found.  The first error ends it. */
int tms_floor_put_each(tms_store *store, tms_pool_id pool, uint64_t n, const uint64_t *objects, const uint64_t *indexes,
		       const uint8_t *page, uint64_t *done);
int tms_floor_get_each(tms_store *store, tms_pool_id pool, uint64_t n, const uint64_t *objects, const uint64_t *indexes,
		       uint8_t *page, uint64_t *done);
/* cffi: end */

#endif
