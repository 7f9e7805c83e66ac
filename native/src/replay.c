/*
 * replay.c: running the events of a trace through a store.
 */
#include "store.h"

static const char *const names[TMS_EVENT_OPS] = {
	"put_page", "get_page", "invalidate_page", "invalidate_inode", "invalidate_fs", "store",
	"load", "invalidate_swap", "invalidate_area", "alloc", "release"
};

const char *tms_event_name(int op)
{
	return op >= 0 && op < TMS_EVENT_OPS ? names[op] : "unknown operation";
}
