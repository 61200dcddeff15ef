// SPDX-License-Identifier: Apache-2.0
// Pages for secrets. The first ones of a process come from one reservation whose flags are set
// once: five system calls fewer a secret. What doesn't fit there has a mapping of its own.
#include "secret_pages.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define POOL_BYTES (384u * 1024) /* a keyslot's area, a key file's first bytes, some keys */
#define SLOTS_MAX 32

/* Of one size for ever, so that its guards never move; free ones are zero. */
struct slot {
	size_t offset, bytes;
	bool used;
};

static struct {
	pthread_mutex_t lock;
	unsigned char *base; /* all guard but for the slots */
	bool tried, locked;
	size_t end; /* behind the last slot's guard */
	size_t n_slots;
	struct slot slots[SLOTS_MAX];
} pool = { .lock = PTHREAD_MUTEX_INITIALIZER };

static size_t page_bytes(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

/* Locked: mprotect(2) fills in the pages that it opens. A low RLIMIT_MEMLOCK isn't a reason to
 * refuse: the pages are still wiped and kept out of dumps. */
static unsigned char *reserve(size_t bytes, bool *ret_locked)
{
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
	unsigned char *map = mmap(NULL, bytes, PROT_NONE, flags | MAP_LOCKED, -1, 0);

	*ret_locked = map != MAP_FAILED;
	if (map == MAP_FAILED)
		map = mmap(NULL, bytes, PROT_NONE, flags, -1, 0);
	if (map == MAP_FAILED)
		return NULL;
	(void)!madvise(map, bytes, MADV_DONTDUMP);
	(void)!madvise(map, bytes, MADV_WIPEONFORK);
	return map;
}

/* ---- a mapping of its own ---- */

static bool open_pages(unsigned char *pages, size_t bytes, bool locked)
{
	if (mprotect(pages, bytes, PROT_READ | PROT_WRITE))
		return false;
	if (!locked)
		(void)!mlock(pages, bytes); /* the limit may do for these alone */
	return true;
}

static unsigned char *map_alone(size_t bytes)
{
	size_t guard = page_bytes();
	bool locked;
	unsigned char *map = reserve(bytes + 2 * guard, &locked);

	if (!map)
		return NULL;
	if (!open_pages(map + guard, bytes, locked)) {
		munmap(map, bytes + 2 * guard);
		return NULL;
	}
	return map + guard;
}

/* ---- the pool, under its lock ---- */

static bool pool_ready(void)
{
	if (!pool.tried) {
		pool.tried = true;
		pool.base = reserve(POOL_BYTES, &pool.locked);
		pool.end = page_bytes();
	}
	return pool.base;
}

static struct slot *open_slot(size_t bytes)
{
	size_t guard = page_bytes();
	struct slot *s = &pool.slots[pool.n_slots];

	if (!pool_ready() || pool.n_slots == SLOTS_MAX || pool.end >= POOL_BYTES ||
	    bytes > POOL_BYTES - pool.end || guard > POOL_BYTES - pool.end - bytes)
		return NULL;
	if (!open_pages(pool.base + pool.end, bytes, pool.locked))
		return NULL;
	*s = (struct slot){ .offset = pool.end, .bytes = bytes };
	pool.end += bytes + guard;
	pool.n_slots++;
	return s;
}

static struct slot *find_slot(size_t bytes)
{
	for (size_t i = 0; i < pool.n_slots; i++)
		if (!pool.slots[i].used && pool.slots[i].bytes == bytes)
			return &pool.slots[i];
	return open_slot(bytes);
}

static struct slot *slot_at(const unsigned char *pages)
{
	for (size_t i = 0; i < pool.n_slots; i++)
		if (pool.base + pool.slots[i].offset == pages)
			return &pool.slots[i];
	return NULL;
}

unsigned char *secret_pages_get(size_t bytes)
{
	unsigned char *pages = NULL;
	struct slot *s;

	pthread_mutex_lock(&pool.lock);
	s = find_slot(bytes);
	if (s) {
		s->used = true;
		pages = pool.base + s->offset;
	}
	pthread_mutex_unlock(&pool.lock);
	return pages ?: map_alone(bytes);
}

void secret_pages_put(unsigned char *pages, size_t bytes)
{
	struct slot *s;

	explicit_bzero(pages, bytes);
	pthread_mutex_lock(&pool.lock);
	s = slot_at(pages);
	if (s)
		s->used = false;
	pthread_mutex_unlock(&pool.lock);
	if (!s)
		munmap(pages - page_bytes(), bytes + 2 * page_bytes());
}
