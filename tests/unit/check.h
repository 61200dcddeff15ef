// SPDX-License-Identifier: Apache-2.0
// A test program is a list of TEST() functions; each prints one "ok", "FAIL" or "SKIP" line.
#pragma once

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int check_failures, check_skips, check_passes;
static bool check_this_failed, check_this_skipped;
static char check_why[1024];

#define CHECK_MSG(cond, ...)                                                               \
	do {                                                                               \
		if (!(cond) && !check_this_failed) {                                       \
			int check_n = snprintf(check_why, sizeof(check_why),               \
					       "%s:%d: %s: ", __FILE__, __LINE__, #cond);  \
			snprintf(check_why + check_n, sizeof(check_why) - (size_t)check_n, \
				 __VA_ARGS__);                                             \
			check_this_failed = true;                                          \
		}                                                                          \
	} while (0)
#define CHECK(cond) CHECK_MSG(cond, "is false")
#define CHECK_INT(a, b)                                                                   \
	do {                                                                              \
		long long check_a = (long long)(a), check_b = (long long)(b);             \
		CHECK_MSG(check_a == check_b, #a " is %lld, not %lld", check_a, check_b); \
	} while (0)
#define CHECK_STR(a, b)                                                        \
	do {                                                                   \
		const char *check_a = (a), *check_b = (b);                     \
		CHECK_MSG(check_a &&check_b && !strcmp(check_a, check_b),      \
			  "\"%.200s\" is not \"%.200s\"", check_a ?: "(null)", \
			  check_b ?: "(null)");                                \
	} while (0)
#define CHECK_CONTAINS(a, b)                                                                 \
	do {                                                                                 \
		const char *check_a = (a), *check_b = (b);                                   \
		CHECK_MSG(strstr(check_a, check_b), "\"%.300s\" doesn't contain \"%.200s\"", \
			  check_a, check_b);                                                 \
	} while (0)
#define CHECK_MEM(a, b, len) CHECK_MSG(!memcmp(a, b, len), "bytes differ")
/** Leave the test where going on makes no sense. */
#define REQUIRE(cond)                                            \
	do {                                                     \
		if (!(cond)) {                                   \
			CHECK_MSG(false, "required: %s", #cond); \
			return;                                  \
		}                                                \
	} while (0)
#define SKIP_TEST(...)                                               \
	do {                                                         \
		snprintf(check_why, sizeof(check_why), __VA_ARGS__); \
		check_this_skipped = true;                           \
		return;                                              \
	} while (0)

static inline void check_report(const char *name)
{
	if (check_this_failed) {
		printf("FAIL %s: %s\n", name, check_why);
		check_failures++;
	} else if (check_this_skipped) {
		printf("SKIP %s: %s\n", name, check_why);
		check_skips++;
	} else {
		printf("ok %s\n", name);
		check_passes++;
	}
	fflush(stdout);
	check_this_failed = check_this_skipped = false;
}

/** Run one test function; its name is printed. */
#define RUN(fn)                    \
	do {                       \
		fn();              \
		check_report(#fn); \
	} while (0)
/** Run a case of a table under a name of its own. */
#define RUN_CASE(name, call)        \
	do {                        \
		call;               \
		check_report(name); \
	} while (0)

/** Its own memory and mappings are between the program and what is measured. */
static inline bool check_sanitized(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	return true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
	return true;
#endif
#endif
	return false;
}

static inline int check_exit(void)
{
	if (check_failures)
		return 1;
	return check_passes ? 0 : 77;
}
