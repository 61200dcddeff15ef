// SPDX-License-Identifier: Apache-2.0
// The memory of one call: requests carry secrets, so all of it is locked, kept out of dumps, and
// wiped when the call ends.
#include "csi.h"

#include <sys/mman.h>

#define ARENA_CHUNK_BYTES (64u * 1024)
#define ARENA_LIMIT_BYTES (8u * 1024 * 1024)

struct chunk {
	struct chunk *next;
	size_t size, used;
};

struct csi_arena {
	ProtobufCAllocator allocator;
	struct chunk *chunks;
	size_t total;
};

static struct chunk *chunk_new(size_t size)
{
	struct chunk *c = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			       0);

	if (c == MAP_FAILED)
		return NULL;
	/* A low RLIMIT_MEMLOCK is no reason to refuse: the chunk is wiped and not dumped all the
	 * same. */
	(void)!mlock(c, size);
	(void)!madvise(c, size, MADV_DONTDUMP);
	(void)!madvise(c, size, MADV_DONTFORK);
	c->size = size;
	c->used = (sizeof(*c) + 15) & ~(size_t)15;
	return c;
}

void *csi_arena_alloc(struct csi_arena *a, size_t len)
{
	struct chunk *c = a->chunks;
	size_t need = (len + 15) & ~(size_t)15;
	void *p;

	if (len > ARENA_LIMIT_BYTES)
		return NULL;
	if (!c || c->size - c->used < need) {
		size_t size = need + 64 > ARENA_CHUNK_BYTES ? (need + 64 + 4095) & ~(size_t)4095
							    : ARENA_CHUNK_BYTES;

		if (a->total + size > ARENA_LIMIT_BYTES)
			return NULL;
		c = chunk_new(size);
		if (!c)
			return NULL;
		c->next = a->chunks;
		a->chunks = c;
		a->total += size;
	}
	p = (char *)c + c->used;
	c->used += need;
	return p;
}

static void *arena_proto_alloc(void *data, size_t size)
{
	return csi_arena_alloc(data, size);
}

/* protobuf-c frees while it grows or fails; the content goes with the arena. */
static void arena_proto_free(void *data, void *p)
{
	(void)data;
	(void)p;
}

struct csi_arena *csi_arena_new(void)
{
	struct csi_arena *a = calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	a->allocator.alloc = arena_proto_alloc;
	a->allocator.free = arena_proto_free;
	a->allocator.allocator_data = a;
	return a;
}

void csi_arena_free(struct csi_arena *a)
{
	struct chunk *c, *next;

	if (!a)
		return;
	for (c = a->chunks; c; c = next) {
		size_t size = c->size;

		next = c->next;
		explicit_bzero(c, size);
		munmap(c, size);
	}
	free(a);
}

char *csi_arena_strdup(struct csi_arena *a, const char *s)
{
	size_t n = strlen(s) + 1;
	char *p = csi_arena_alloc(a, n);

	return p ? memcpy(p, s, n) : NULL;
}

ProtobufCAllocator *csi_arena_allocator(struct csi_arena *a)
{
	return &a->allocator;
}
