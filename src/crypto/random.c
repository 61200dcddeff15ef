// SPDX-License-Identifier: Apache-2.0
// Random bytes from the kernel, and comparison in constant time.
#include "internal.h"

#include <sys/random.h>

int crypto_random(void *buf, size_t len, struct err *e)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = getrandom((char *)buf + done, len - done, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, -errno, "no random numbers from the kernel");
		done += (size_t)n;
	}
	return 0;
}

bool crypto_equal(const void *a, const void *b, size_t len)
{
	const unsigned char *x = a, *y = b;
	volatile unsigned char diff = 0;

	for (size_t i = 0; i < len; i++)
		diff |= x[i] ^ y[i];
	return diff == 0;
}
