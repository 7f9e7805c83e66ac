/*
 * copy.h: copying one page into the region.
 */
#ifndef TMS_COPY_H
#define TMS_COPY_H

#include "check.h"

typedef void (*copy_page_fn)(uint8_t *to, const uint8_t *from);

struct copy {
	copy_page_fn page;
	const char *variant;
};

/* how: enum tms_copy.  AUTO writes past the cache in regions of from_bytes and more.  A CPU without
 * such stores gets the plain copy whatever is asked. */
struct copy copy_choose(int32_t how, uint64_t region_bytes, uint64_t from_bytes);

#endif
