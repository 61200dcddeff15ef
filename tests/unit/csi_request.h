// SPDX-License-Identifier: Apache-2.0
// Requests and string maps for the tests of the driver.
#pragma once

#include <cryptvol/base.h>

#include "check.h"
#include "csi/driver.h"
#include "csi/params.h"

/* ---- bytes of a request, by protobuf's encoding document ---- */

struct bytes {
	uint8_t *p;
	size_t n;
};

static inline void put_bytes(struct bytes *b, const void *data, size_t n)
{
	b->p = realloc(b->p, b->n + n + 1);
	if (!b->p)
		abort();
	if (n)
		memcpy(b->p + b->n, data, n);
	b->n += n;
}

static inline void put_varint(struct bytes *b, uint64_t v)
{
	uint8_t c;

	for (; v >= 0x80; v >>= 7) {
		c = (uint8_t)(v | 0x80);
		put_bytes(b, &c, 1);
	}
	c = (uint8_t)v;
	put_bytes(b, &c, 1);
}

/** A length-delimited field. */
static inline void put_field(struct bytes *b, unsigned int number, const void *data, size_t n)
{
	put_varint(b, (uint64_t)number << 3 | 2);
	put_varint(b, n);
	put_bytes(b, data, n);
}

/** A text of @n bytes 'x'. */
static inline void put_long(struct bytes *b, unsigned int number, size_t n)
{
	char *x = malloc(n + 1);

	if (!x)
		abort();
	memset(x, 'x', n);
	put_field(b, number, x, n);
	free(x);
}

static inline void put_entry(struct bytes *b, unsigned int number, const char *key,
			     const char *value)
{
	struct bytes en = { 0 };

	put_field(&en, 1, key, strlen(key));
	put_field(&en, 2, value, strlen(value));
	put_field(b, number, en.p, en.n);
	free(en.p);
}

/* ---- string maps; values are copies, since a Secret's are wiped where they lie ---- */

struct map {
	struct csi_map_entry entries[16], *list[16];
	size_t n;
};

static inline void map_add(struct map *m, const char *key, const char *value)
{
	m->entries[m->n].key = strdup(key);
	m->entries[m->n].value = strdup(value);
	m->list[m->n] = &m->entries[m->n];
	m->n++;
}

static inline struct csi_map map_of(struct map *m)
{
	return (struct csi_map){ m->list, m->n };
}

static inline void map_clear(struct map *m)
{
	for (size_t i = 0; i < m->n; i++) {
		free(m->entries[i].key);
		free(m->entries[i].value);
	}
	m->n = 0;
}

/* ---- the methods, and the messages of their requests ---- */

static const struct csi_method_list *const method_lists[] = {
	&csi_identity_methods, &csi_controller_methods, &csi_group_methods, &csi_node_methods
};

#define EACH_METHOD(m)                                                           \
	for (size_t each_i = 0; each_i < ARRAY_SIZE(method_lists); each_i++)     \
		for (const struct csi_method *m = method_lists[each_i]->methods; \
		     m < method_lists[each_i]->methods + method_lists[each_i]->n; m++)

/** The descriptor of a method's request by its name ("CreateVolumeRequest"). */
static inline const ProtobufCMessageDescriptor *request_named(const char *name)
{
	EACH_METHOD(m)
	if (!strcmp(m->request->short_name, name))
		return m->request;
	return NULL;
}
