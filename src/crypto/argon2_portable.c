// SPDX-License-Identifier: Apache-2.0
// Argon2's block function (RFC 9106, 3.5 and 3.6) in plain C.
#include "blake2b.h"

#define ARGON2_TARGET
#include "argon2_segment.h"

ARGON2_INLINE uint64_t multiply_add(uint64_t a, uint64_t b)
{
	return a + b + 2 * ((uint64_t)(uint32_t)a * (uint32_t)b);
}

ARGON2_INLINE uint64_t rotate_right(uint64_t x, unsigned int n)
{
	return x >> n | x << (64 - n);
}

ARGON2_INLINE void mix(uint64_t *v, unsigned int a, unsigned int b, unsigned int c, unsigned int d)
{
	uint64_t va = v[a], vb = v[b], vc = v[c], vd = v[d];

	va = multiply_add(va, vb);
	vd = rotate_right(vd ^ va, BLAKE2B_R1);
	vc = multiply_add(vc, vd);
	vb = rotate_right(vb ^ vc, BLAKE2B_R2);
	va = multiply_add(va, vb);
	vd = rotate_right(vd ^ va, BLAKE2B_R3);
	vc = multiply_add(vc, vd);
	vb = rotate_right(vb ^ vc, BLAKE2B_R4);
	v[a] = va;
	v[b] = vb;
	v[c] = vc;
	v[d] = vd;
}

/* 3.6: P, on 16 words. Without loops: compilers keep in registers what has a constant index. */
ARGON2_INLINE void permute(uint64_t *v)
{
	mix(v, 0, 4, 8, 12);
	mix(v, 1, 5, 9, 13);
	mix(v, 2, 6, 10, 14);
	mix(v, 3, 7, 11, 15);
	mix(v, 0, 5, 10, 15);
	mix(v, 1, 6, 11, 12);
	mix(v, 2, 7, 8, 13);
	mix(v, 3, 4, 9, 14);
}

/* A row: 16 words that lie together. What the result is XORed with goes to where it will be. */
ARGON2_INLINE void row(const struct argon2_walk *w, bool into, unsigned int at, uint64_t *z)
{
	ARGON2_UNROLLED
	for (unsigned int i = 0; i < 16; i++) {
		uint64_t x = w->previous->v[at + i] ^ w->other->v[at + i];

		z[at + i] = x;
		w->to->v[at + i] = into ? w->to->v[at + i] ^ x : x;
	}
	permute(z + at);
}

/* A column: two words of each row. */
ARGON2_INLINE void column(const struct argon2_walk *w, unsigned int at, const uint64_t *z)
{
	uint64_t v[16];

	ARGON2_UNROLLED
	for (unsigned int i = 0; i < 16; i++)
		v[i] = z[at + i / 2 * 16 + i % 2];
	permute(v);
	ARGON2_UNROLLED
	for (unsigned int i = 0; i < 16; i++)
		w->to->v[at + i / 2 * 16 + i % 2] ^= v[i];
}

ARGON2_INLINE void argon2_step(struct argon2_walk *w, bool into)
{
	uint64_t z[ARGON2_WORDS];

	ARGON2_ROLLED
	for (unsigned int at = 0; at < ARGON2_WORDS; at += 16)
		row(w, into, at, z);
	column(w, 0, z);
	argon2_found(w, w->to->v[0]);
	ARGON2_ROLLED
	for (unsigned int at = 2; at < 16; at += 2)
		column(w, at, z);
}

static bool usable(void)
{
	return true;
}

const struct argon2_core crypto_argon2_portable = { "portable", usable, argon2_fill };
