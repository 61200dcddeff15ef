// SPDX-License-Identifier: Apache-2.0
// A mutator that keeps protobuf's framing: a change inside a field mends the lengths round it,
// which bytes changed at random hardly ever do. Every other time libFuzzer's own mutation is taken,
// so that broken framing is tried too.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

size_t LLVMFuzzerMutate(uint8_t *data, size_t len, size_t cap);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t len, size_t cap, unsigned int seed);

#define FIELDS_MAX 256
#define DEPTH_MAX 6
#define ROOM_BYTES 16384

struct part {
	size_t at, body, end; /* tag, content, end of the field */
	int bytes;	      /* length-delimited */
};

static size_t read_varint(const uint8_t *p, size_t len, size_t at, uint64_t *ret)
{
	*ret = 0;
	for (unsigned int shift = 0; shift < 63 && at < len; shift += 7) {
		*ret |= (uint64_t)(p[at] & 0x7f) << shift;
		if (!(p[at++] & 0x80))
			return at;
	}
	return 0;
}

static size_t write_varint(uint8_t *p, uint64_t v)
{
	size_t n = 0;

	for (; v >= 0x80; v >>= 7)
		p[n++] = (uint8_t)(v | 0x80);
	p[n++] = (uint8_t)v;
	return n;
}

static size_t split(const uint8_t *p, size_t len, struct part *parts)
{
	size_t n = 0, at = 0;

	while (at < len && n < FIELDS_MAX) {
		struct part *f = &parts[n];
		uint64_t tag, v;

		*f = (struct part){ .at = at };
		at = read_varint(p, len, at, &tag);
		if (!at || !(tag >> 3))
			return 0;
		f->bytes = (tag & 7) == 2;
		f->body = at;
		if ((tag & 7) == 1 || (tag & 7) == 5) {
			at += (tag & 7) == 1 ? 8 : 4;
		} else {
			at = read_varint(p, len, at, &v);
			if (!at || (tag & 7) > 2 || (f->bytes && v > len - at))
				return 0;
			if (f->bytes) {
				f->body = at;
				at += v;
			}
		}
		if (at > len)
			return 0;
		f->end = at;
		n++;
	}
	return n;
}

static size_t replace(uint8_t *p, size_t len, size_t cap, size_t from, size_t to,
		      const uint8_t *with, size_t n)
{
	if (len - (to - from) + n > cap)
		return len;
	memmove(p + from + n, p + to, len - to);
	memcpy(p + from, with, n);
	return len - (to - from) + n;
}

static size_t mutate(uint8_t *p, size_t len, size_t cap, unsigned int depth)
{
	struct part parts[FIELDS_MAX], *f;
	size_t n = depth < DEPTH_MAX ? split(p, len, parts) : 0, head, body;
	uint8_t *copy;

	if (!n || rand() % 8 == 0)
		return LLVMFuzzerMutate(p, len, cap);
	f = &parts[(size_t)rand() % n];
	copy = malloc(2 * ROOM_BYTES);
	if (!copy || f->end - f->at > ROOM_BYTES) {
		free(copy);
		return len;
	}
	if (rand() % 8 == 0) { /* gone, or there twice */
		memcpy(copy, p + f->at, f->end - f->at);
		len = rand() % 2 ? replace(p, len, cap, f->at, f->end, copy, 0)
				 : replace(p, len, cap, f->end, f->end, copy, f->end - f->at);
	} else if (f->bytes) {
		body = f->end - f->body;
		memcpy(copy + 16, p + f->body, body);
		body = mutate(copy + 16, body, ROOM_BYTES, depth + 1);
		/* tag again, new length, new content */
		head = 0;
		for (size_t i = f->at; head < 8; i++) {
			copy[head++] = p[i];
			if (!(p[i] & 0x80))
				break;
		}
		head += write_varint(copy + head, body);
		memmove(copy + head, copy + 16, body);
		len = replace(p, len, cap, f->at, f->end, copy, head + body);
	} else {
		memcpy(copy, p + f->body, f->end - f->body);
		body = LLVMFuzzerMutate(copy, f->end - f->body, 10);
		len = replace(p, len, cap, f->body, f->end, copy, body);
	}
	free(copy);
	return len;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t len, size_t cap, unsigned int seed)
{
	srand(seed);
	if (seed % 2 || len < 2)
		return LLVMFuzzerMutate(data, len, cap);
	return 1 + mutate(data + 1, len - 1, cap - 1, 0);
}
