// SPDX-License-Identifier: Apache-2.0
// Random bytes from the kernel, and comparison in constant time.
#include "crew.h"
#include "internal.h"

#include <sys/random.h>

/* The kernel makes 0.4 GB a second on one processor, less than disks take: what a format writes
 * over old data is made by several. */
#define PART_BYTES (256 * KIB)
#define MAX_THREADS 4u

static int fill(void *buf, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = getrandom((char *)buf + done, len - done, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		done += (size_t)n;
	}
	return 0;
}

struct wanted {
	char *buf;
	size_t len;
	_Atomic int r;
};

static void fill_part(struct crypto_crew *c, unsigned int number)
{
	struct wanted *w = c->arg;
	size_t from = w->len / c->size * number;
	size_t to = number + 1 == c->size ? w->len : w->len / c->size * (number + 1);
	int r = fill(w->buf + from, to - from);

	if (r)
		w->r = r;
}

int crypto_random(void *buf, size_t len, struct err *e)
{
	struct wanted w = { .buf = buf, .len = len };
	struct crypto_crew c = { .work = fill_part, .arg = &w };
	size_t threads = len / PART_BYTES;

	if (threads > MAX_THREADS)
		threads = MAX_THREADS;
	if (threads > 1 && threads > crypto_cpus())
		threads = crypto_cpus();
	if (threads > 1)
		crypto_crew_run(&c, (unsigned int)threads);
	else
		w.r = fill(buf, len);
	return w.r ? err_sys(e, w.r, "no random numbers from the kernel") : 0;
}

bool crypto_equal(const void *a, const void *b, size_t len)
{
	const unsigned char *x = a, *y = b;
	volatile unsigned char diff = 0;

	for (size_t i = 0; i < len; i++)
		diff |= x[i] ^ y[i];
	return diff == 0;
}
