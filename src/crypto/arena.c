// SPDX-License-Identifier: Apache-2.0
// Memory for argon2: anonymous mappings, in huge pages from 2 MiB on, out of dumps and forks.
#include "internal.h"

#include <sys/mman.h>

#define HUGE_PAGE_BYTES (2 * MIB)
#define SMALL_PAGE_BYTES 4096ul
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

static size_t arena_unit(size_t bytes)
{
	return bytes >= HUGE_PAGE_BYTES ? HUGE_PAGE_BYTES : SMALL_PAGE_BYTES;
}

size_t crypto_arena_bytes(size_t bytes)
{
	size_t unit = arena_unit(bytes);

	return (bytes + unit - 1) / unit * unit;
}

/* Map more than is needed and give both ends back, so that the rest starts on a huge page. */
static unsigned char *map_aligned(size_t bytes)
{
	size_t unit = arena_unit(bytes), extra = unit > SMALL_PAGE_BYTES ? unit : 0, lead;
	unsigned char *map;

	map = mmap(NULL, bytes + extra, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (map == MAP_FAILED)
		return NULL;
	if (!extra)
		return map;
	lead = (unit - (uintptr_t)map % unit) % unit;
	if (lead)
		munmap(map, lead);
	if (extra - lead)
		munmap(map + lead + bytes, extra - lead);
	return map + lead;
}

/* Older kernels have no MADV_POPULATE_WRITE: a write to each page does the same. */
static void populate(unsigned char *data, size_t bytes)
{
	if (!madvise(data, bytes, MADV_POPULATE_WRITE))
		return;
	for (size_t i = 0; i < bytes; i += SMALL_PAGE_BYTES)
		((volatile unsigned char *)data)[i] = 0;
}

int crypto_arena_new(size_t bytes, struct crypto_arena **ret, struct err *e)
{
	struct crypto_arena *a = calloc(1, sizeof(*a));

	if (a) {
		a->bytes = crypto_arena_bytes(bytes);
		a->data = map_aligned(a->bytes);
	}
	if (!a || !a->data) {
		free(a);
		return err_set(e, -ENOMEM, "no memory for a key derivation of %zu KiB",
			       bytes / 1024);
	}
	if (a->bytes >= HUGE_PAGE_BYTES)
		(void)!madvise(a->data, a->bytes, MADV_HUGEPAGE);
	(void)!madvise(a->data, a->bytes, MADV_DONTDUMP);
	(void)!madvise(a->data, a->bytes, MADV_DONTFORK);
	populate(a->data, a->bytes);
	*ret = a;
	return 0;
}

void crypto_arena_trim(struct crypto_arena *a, size_t bytes)
{
	size_t keep = crypto_arena_bytes(bytes);

	if (keep >= a->bytes)
		return;
	munmap(a->data + keep, a->bytes - keep);
	a->bytes = keep;
}

void crypto_arena_free(struct crypto_arena *a)
{
	if (!a)
		return;
	if (a->data)
		munmap(a->data, a->bytes);
	free(a);
}
