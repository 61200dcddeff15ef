// SPDX-License-Identifier: Apache-2.0
// A clock that only goes on.
#include <cryptvol/base.h>

#include <time.h>

double base_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}
