/* Events of a trace. */
#include <string.h>

#include "fixture.h"

static void every_operation_has_a_name_of_its_own(void)
{
	for (int op = 0; op < TMS_EVENT_OPS; op++)
		for (int other = 0; other < op; other++)
			CHECK(strcmp(tms_event_name(op), tms_event_name(other)) != 0);
	CHECK(!strcmp(tms_event_name(TMS_EVENT_OPS), "unknown operation"));
	CHECK(!strcmp(tms_event_name(-1), "unknown operation"));
}

int main(void)
{
	RUN(every_operation_has_a_name_of_its_own);
	return check_finish(__FILE__);
}
