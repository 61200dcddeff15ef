// SPDX-License-Identifier: Apache-2.0
// The memory of a call for the fuzz target: each piece is a malloc of its own, so that ASan sees a
// step past its end.
#include <stdlib.h>

#include "csi/csi.h"

#define LIMIT_BYTES (8u << 20) /* as arena.c has it */

struct piece {
	struct piece *next;
	_Alignas(16) unsigned char data[];
};

struct csi_arena {
	ProtobufCAllocator allocator;
	struct piece *pieces;
	size_t total;
};

void *csi_arena_alloc(struct csi_arena *a, size_t len)
{
	struct piece *p;

	if (len > LIMIT_BYTES || a->total + len > LIMIT_BYTES)
		return NULL;
	p = calloc(1, sizeof(*p) + len);
	if (!p)
		return NULL;
	p->next = a->pieces;
	a->pieces = p;
	a->total += len + 16;
	return p->data;
}

static void *proto_alloc(void *data, size_t size)
{
	return csi_arena_alloc(data, size);
}

static void proto_free(void *data, void *p)
{
	(void)data;
	(void)p;
}

struct csi_arena *csi_arena_new(void)
{
	struct csi_arena *a = calloc(1, sizeof(*a));

	if (a)
		a->allocator = (ProtobufCAllocator){ proto_alloc, proto_free, a };
	return a;
}

void csi_arena_free(struct csi_arena *a)
{
	struct piece *next;

	for (struct piece *p = a->pieces; p; p = next) {
		next = p->next;
		free(p);
	}
	free(a);
}

char *csi_arena_strdup(struct csi_arena *a, const char *s)
{
	char *p = csi_arena_alloc(a, strlen(s) + 1);

	return p ? memcpy(p, s, strlen(s) + 1) : NULL;
}

ProtobufCAllocator *csi_arena_allocator(struct csi_arena *a)
{
	return &a->allocator;
}
