// SPDX-License-Identifier: Apache-2.0
// Memory is wiped as it is given back, by whomever: a message that gRPC refuses by itself (too
// long, its client gone) is freed by the library without ever being shown to us, and may have
// carried a Secret. The program's own free and realloc stand before libc's, for its libraries too.
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

/* The sanitizers have an allocator of their own. */
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

void __libc_free(void *p); // NOLINT(bugprone-reserved-identifier): glibc's name

void free(void *p)
{
	if (!p)
		return;
	explicit_bzero(p, malloc_usable_size(p));
	__libc_free(p);
}

/* libc's would leave the old block behind as it was. */
void *realloc(void *p, size_t n)
{
	size_t have = p ? malloc_usable_size(p) : 0;
	void *q;

	if (p && !n) {
		free(p);
		return NULL;
	}
	if (n <= have && n >= have / 2)
		return p;
	q = malloc(n);
	if (!q || !p)
		return q;
	memcpy(q, p, n < have ? n : have);
	free(p);
	return q;
}

#endif
