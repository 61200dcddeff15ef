// SPDX-License-Identifier: Apache-2.0
// Reads the stream of `logreplay.py states`: after each states_next() `image` holds one state that
// a power cut can leave. For test programs: it prints and exits on a broken stream.
//
//	struct states s;
//
//	states_start(&s, stdin);
//	while (states_next(&s))
//		judge(s.label, s.image, s.size);
//	printf("%llu enumerated, %llu sampled\n", s.exhaustive, s.sampled);
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STATES_UNIT 512
#define STATES_LABEL_MAX 256

struct states_write {
	uint64_t offset;
	uint32_t len;
	uint8_t *bytes;
};

struct states_range {
	uint64_t offset;
	uint64_t len;
};

struct states {
	FILE *in;
	uint64_t size;	/* bytes of the image */
	uint8_t *base;	/* what is durable */
	uint8_t *image; /* the present state */
	char label[STATES_LABEL_MAX];
	unsigned long long exhaustive, sampled; /* states of each kind; set at the end */
	/* how the image differs from the base */
	struct states_range *dirty;
	size_t n_dirty, max_dirty;
	/* what the records refer to */
	struct states_write *writes;
	size_t n_writes, max_writes;
};

static inline void states_die(const char *what)
{
	fprintf(stderr, "states: %s\n", what);
	exit(2);
}

static inline void states_read(struct states *s, void *to, size_t len)
{
	if (len && fread(to, 1, len, s->in) != len)
		states_die("the stream ends early");
}

static inline uint32_t states_u32(struct states *s)
{
	uint8_t b[4];

	states_read(s, b, sizeof(b));
	return b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

static inline uint64_t states_u64(struct states *s)
{
	uint64_t low = states_u32(s);

	return low | (uint64_t)states_u32(s) << 32;
}

static inline void *states_alloc(void *old, size_t n, size_t each)
{
	void *new = reallocarray(old, n, each);

	if (!new)
		states_die("out of memory");
	return new;
}

static inline void states_start(struct states *s, FILE *in)
{
	char magic[8];

	memset(s, 0, sizeof(*s));
	s->in = in;
	states_read(s, magic, sizeof(magic));
	if (memcmp(magic, "CVSTATE1", sizeof(magic)) != 0)
		states_die("this is not a stream of states");
	s->size = states_u64(s);
	s->base = states_alloc(NULL, s->size, 1);
	s->image = states_alloc(NULL, s->size, 1);
	memset(s->base, 0, s->size);
	memset(s->image, 0, s->size);
}

static inline void states_free(struct states *s)
{
	while (s->n_writes > 0)
		free(s->writes[--s->n_writes].bytes);
	free(s->writes);
	free(s->dirty);
	free(s->base);
	free(s->image);
	memset(s, 0, sizeof(*s));
}

static inline void states_check(const struct states *s, uint64_t offset, uint64_t len)
{
	if (offset > s->size || len > s->size - offset)
		states_die("a write beyond the image");
}

/* The bytes that a piece (id, first unit, count of units) stands for. */
static inline const uint8_t *states_piece(struct states *s, struct states_range *ret_range)
{
	uint32_t id = states_u32(s);
	uint64_t first = (uint64_t)states_u32(s) * STATES_UNIT;
	uint64_t len = (uint64_t)states_u32(s) * STATES_UNIT;
	const struct states_write *w;

	if (id >= s->n_writes)
		states_die("a piece of an unknown write");
	w = &s->writes[id];
	if (first > w->len || len > w->len - first)
		states_die("a piece beyond its write");
	*ret_range = (struct states_range){ w->offset + first, len };
	return w->bytes + first;
}

static inline void states_take_write(struct states *s)
{
	uint32_t id = states_u32(s);
	struct states_write *w;

	if (id != s->n_writes)
		states_die("a write out of its turn");
	if (s->n_writes == s->max_writes) {
		s->max_writes = s->max_writes ? 2 * s->max_writes : 64;
		s->writes = states_alloc(s->writes, s->max_writes, sizeof(*s->writes));
	}
	w = &s->writes[s->n_writes++];
	w->offset = states_u64(s);
	w->len = states_u32(s);
	states_check(s, w->offset, w->len);
	w->bytes = states_alloc(NULL, w->len, 1);
	states_read(s, w->bytes, w->len);
}

static inline void states_take_base(struct states *s)
{
	uint64_t offset = states_u64(s);
	uint32_t len = states_u32(s);

	states_check(s, offset, len);
	states_read(s, s->base + offset, len);
	memcpy(s->image + offset, s->base + offset, len);
}

static inline void states_revert(struct states *s)
{
	while (s->n_dirty > 0) {
		const struct states_range *r = &s->dirty[--s->n_dirty];

		memcpy(s->image + r->offset, s->base + r->offset, r->len);
	}
}

static inline void states_take_durable(struct states *s)
{
	struct states_range r;
	const uint8_t *bytes = states_piece(s, &r);

	memcpy(s->base + r.offset, bytes, r.len);
	memcpy(s->image + r.offset, bytes, r.len);
}

static inline void states_take_state(struct states *s)
{
	uint32_t n, len = states_u32(s);

	if (len >= sizeof(s->label))
		states_die("a label is too long");
	states_read(s, s->label, len);
	s->label[len] = '\0';
	n = states_u32(s);
	while (n-- > 0) {
		struct states_range r;
		const uint8_t *bytes = states_piece(s, &r);

		memcpy(s->image + r.offset, bytes, r.len);
		if (s->n_dirty == s->max_dirty) {
			s->max_dirty = s->max_dirty ? 2 * s->max_dirty : 64;
			s->dirty = states_alloc(s->dirty, s->max_dirty, sizeof(*s->dirty));
		}
		s->dirty[s->n_dirty++] = r;
	}
}

/* True with the next state in `image`; false at the end of the stream, with the counts set. */
static inline bool states_next(struct states *s)
{
	char type;

	states_revert(s);
	for (;;) {
		states_read(s, &type, 1);
		switch (type) {
		case 'B':
			states_take_base(s);
			break;
		case 'W':
			states_take_write(s);
			break;
		case 'D':
			states_take_durable(s);
			break;
		case 'E':
			while (s->n_writes > 0)
				free(s->writes[--s->n_writes].bytes);
			break;
		case 'S':
			states_take_state(s);
			return true;
		case 'Z':
			s->exhaustive = states_u64(s);
			s->sampled = states_u64(s);
			return false;
		default:
			states_die("a record of an unknown type");
		}
	}
}
