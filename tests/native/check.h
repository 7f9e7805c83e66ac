/*
 * check.h: the harness of the C tests.  One program a module:
 *
 *      static void a_freed_frame_is_free(void) { CHECK_EQ(frame_state(3), FRAME_FREE); }
 *
 *      int main(void)
 *      {
 *              RUN(a_freed_frame_is_free);
 *              return check_finish(__FILE__);
 *      }
 *
 * A failed check says where, ends its test and lets the next one run.  CHECK and CHECK_EQ belong in
 * functions that return void: they return from the one they stand in.
 */
#ifndef TMS_TESTS_CHECK_H
#define TMS_TESTS_CHECK_H

#include <stdint.h>
#include <stdio.h>
#include <string.h>

static unsigned int check_passed;
static unsigned int check_failed;
static int check_test_failed;

#define CHECK(condition) \
	do { \
		if (!(condition)) { \
			fprintf(stderr, "%s:%d: %s: not so: %s\n", __FILE__, __LINE__, __func__, #condition); \
			check_test_failed = 1; \
			return; \
		} \
	} while (0)

/* Integers of either sign, compared and shown as intmax_t. */
#define CHECK_EQ(left, right) \
	do { \
		intmax_t check_left = (intmax_t)(left); \
		intmax_t check_right = (intmax_t)(right); \
		if (check_left != check_right) { \
			fprintf(stderr, "%s:%d: %s: %s is %jd, %s is %jd\n", __FILE__, __LINE__, __func__, #left, check_left, \
				#right, check_right); \
			check_test_failed = 1; \
			return; \
		} \
	} while (0)

/* After a helper that checks: ends this test too if a check in the helper failed. */
#define CHECK_SO_FAR() \
	do { \
		if (check_test_failed) \
			return; \
	} while (0)

#define RUN(test) \
	do { \
		check_test_failed = 0; \
		test(); \
		if (check_test_failed) \
			check_failed++; \
		else \
			check_passed++; \
	} while (0)

/* The program's exit status.  A program that ran no test has failed. */
static inline int check_finish(const char *file)
{
	const char *slash = strrchr(file, '/');
	const char *name = slash ? slash + 1 : file;
	int length = (int)strcspn(name, ".");

	if (check_failed)
		fprintf(stderr, "%.*s: %u failed\n", length, name, check_failed);
	printf("%.*s: %u passed\n", length, name, check_passed);
	return check_failed > 0 || check_passed == 0;
}

#endif
