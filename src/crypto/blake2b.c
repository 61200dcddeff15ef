// SPDX-License-Identifier: Apache-2.0
// BLAKE2b without a key (RFC 7693).
#include "blake2b.h"

#include <endian.h>
#include <string.h>

#define ROUNDS 12

/* 2.6: SHA-512's initial values. */
static const uint64_t iv[8] = {
	0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b, 0xa54ff53a5f1d36f1,
	0x510e527fade682d1, 0x9b05688c2b3e6c1f, 0x1f83d9abfb41bd6b, 0x5be0cd19137e2179,
};

/* 2.7: which word of the message goes where; round 10 is like round 0. */
static const unsigned char sigma[10][16] = {
	{ 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 },
	{ 14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3 },
	{ 11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4 },
	{ 7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8 },
	{ 9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13 },
	{ 2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9 },
	{ 12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11 },
	{ 13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10 },
	{ 6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5 },
	{ 10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0 },
};

static uint64_t rotate_right(uint64_t x, unsigned int n)
{
	return x >> n | x << (64 - n);
}

/* 3.1 */
static void mix(uint64_t v[16], unsigned int a, unsigned int b, unsigned int c, unsigned int d,
		uint64_t x, uint64_t y)
{
	v[a] += v[b] + x;
	v[d] = rotate_right(v[d] ^ v[a], BLAKE2B_R1);
	v[c] += v[d];
	v[b] = rotate_right(v[b] ^ v[c], BLAKE2B_R2);
	v[a] += v[b] + y;
	v[d] = rotate_right(v[d] ^ v[a], BLAKE2B_R3);
	v[c] += v[d];
	v[b] = rotate_right(v[b] ^ v[c], BLAKE2B_R4);
}

/* 3.2: the block that is full, or the last one. */
static void compress(struct blake2b *s, uint64_t last)
{
	uint64_t v[16], m[16];

	s->counted_bytes[0] += s->block_len;
	s->counted_bytes[1] += s->counted_bytes[0] < s->block_len;
	memcpy(m, s->block, sizeof(m));
	for (unsigned int i = 0; i < 16; i++)
		m[i] = le64toh(m[i]);
	memcpy(v, s->h, sizeof(s->h));
	memcpy(v + 8, iv, sizeof(iv));
	v[12] ^= s->counted_bytes[0];
	v[13] ^= s->counted_bytes[1];
	v[14] ^= last;
	for (unsigned int r = 0; r < ROUNDS; r++) {
		const unsigned char *p = sigma[r % 10];

		for (unsigned int i = 0; i < 4; i++)
			mix(v, i, 4 + i, 8 + i, 12 + i, m[p[2 * i]], m[p[2 * i + 1]]);
		for (unsigned int i = 0; i < 4; i++)
			mix(v, i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4,
			    m[p[8 + 2 * i]], m[p[9 + 2 * i]]);
	}
	for (unsigned int i = 0; i < 8; i++)
		s->h[i] ^= v[i] ^ v[8 + i];
	explicit_bzero(v, sizeof(v));
	explicit_bzero(m, sizeof(m));
}

void crypto_blake2b_init(struct blake2b *s, size_t out_len)
{
	memset(s, 0, sizeof(*s));
	memcpy(s->h, iv, sizeof(iv));
	s->h[0] ^= 0x01010000 ^ out_len; /* 2.5: fanout 1, depth 1, no key */
	s->out_len = out_len;
}

void crypto_blake2b_update(struct blake2b *s, const void *data, size_t len)
{
	const unsigned char *p = data;

	while (len) {
		size_t n = sizeof(s->block) - s->block_len;

		/* Only what is followed by more isn't the last block. */
		if (!n) {
			compress(s, 0);
			s->block_len = 0;
			n = sizeof(s->block);
		}
		if (n > len)
			n = len;
		memcpy(s->block + s->block_len, p, n);
		s->block_len += n;
		p += n;
		len -= n;
	}
}

void crypto_blake2b_final(struct blake2b *s, unsigned char *out)
{
	memset(s->block + s->block_len, 0, sizeof(s->block) - s->block_len);
	compress(s, UINT64_MAX);
	for (unsigned int i = 0; i < 8; i++)
		s->h[i] = htole64(s->h[i]);
	memcpy(out, s->h, s->out_len);
	explicit_bzero(s, sizeof(*s));
}
