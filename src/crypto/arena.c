// SPDX-License-Identifier: Apache-2.0
// Memory for argon2: anonymous mappings, in huge pages from 2 MiB on, out of dumps and forks.
#include "crew.h"
#include "internal.h"

#include <sys/mman.h>
#include <sys/resource.h>

#define HUGE_PAGE_BYTES (2 * MIB)
#define SMALL_PAGE_BYTES 4096ul
/* What a thread is started for, and how many are where memory's bandwidth ends. */
#define POPULATE_PART_BYTES (32 * MIB)
#define POPULATE_MAX_THREADS 4u
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

static unsigned char *map(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

/* Map more than is needed and give both ends back, so that the rest starts on a huge page. Where a
 * limit leaves no room for that it starts anywhere. */
static unsigned char *map_aligned(size_t bytes)
{
	size_t unit = arena_unit(bytes), lead;
	unsigned char *p;

	p = unit > SMALL_PAGE_BYTES ? map(bytes + unit) : NULL;
	if (!p)
		return map(bytes);
	lead = (unit - (uintptr_t)p % unit) % unit;
	if (lead)
		munmap(p, lead);
	munmap(p + lead + bytes, unit - lead);
	return p + lead;
}

/* Older kernels have no MADV_POPULATE_WRITE: a write to each page does the same. */
static void populate(unsigned char *data, size_t bytes)
{
	if (!madvise(data, bytes, MADV_POPULATE_WRITE))
		return;
	for (size_t i = 0; i < bytes; i += SMALL_PAGE_BYTES)
		((volatile unsigned char *)data)[i] = 0;
}

/* A part each, in whole huge pages. */
static void populate_part(struct crypto_crew *c, unsigned int number)
{
	const struct crypto_arena *a = c->arg;
	size_t units = a->bytes / arena_unit(a->bytes);
	size_t from = units * number / c->size, to = units * (number + 1) / c->size;

	populate(a->data + from * arena_unit(a->bytes), (to - from) * arena_unit(a->bytes));
}

/* The kernel zeroes a page when it is first touched: a tenth of a derivation's time. */
static void populate_all(struct crypto_arena *a)
{
	struct crypto_crew c = { .work = populate_part, .arg = a };
	size_t n = a->bytes / POPULATE_PART_BYTES;

	if (n > 1 && n > crypto_cpus())
		n = crypto_cpus();
	crypto_crew_run(&c, n < POPULATE_MAX_THREADS ? (unsigned int)n : POPULATE_MAX_THREADS);
}

/* The kernel says "no memory" for each of these. */
static int no_memory(size_t bytes, struct err *e)
{
	static const struct {
		int resource;
		const char *name;
	} limits[] = { { RLIMIT_AS, "RLIMIT_AS" }, { RLIMIT_DATA, "RLIMIT_DATA" } };
	struct rlimit l;

	for (size_t i = 0; i < ARRAY_SIZE(limits); i++)
		if (!getrlimit(limits[i].resource, &l) && l.rlim_cur != RLIM_INFINITY)
			return err_set(
				e, -ENOMEM,
				"no memory for a key derivation of %zu KiB; this process may "
				"have %llu KiB in all (limit: %s)",
				bytes / 1024, (unsigned long long)l.rlim_cur / 1024,
				limits[i].name);
	return err_set(e, -ENOMEM, "no memory for a key derivation of %zu KiB", bytes / 1024);
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
		return no_memory(bytes, e);
	}
	if (a->bytes >= HUGE_PAGE_BYTES)
		(void)!madvise(a->data, a->bytes, MADV_HUGEPAGE);
	(void)!madvise(a->data, a->bytes, MADV_DONTDUMP);
	(void)!madvise(a->data, a->bytes, MADV_DONTFORK);
	populate_all(a);
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
