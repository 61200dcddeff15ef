// SPDX-License-Identifier: Apache-2.0
// A thread that no longer wants a key.
#pragma once

#include <stdbool.h>
#include <time.h>

static inline void *stop_soon(void *stop)
{
	nanosleep(&(struct timespec){ 0, 20000000 }, NULL);
	*(_Atomic bool *)stop = true;
	return NULL;
}
