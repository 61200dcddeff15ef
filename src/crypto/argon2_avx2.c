// SPDX-License-Identifier: Apache-2.0
// Argon2's block function (RFC 9106, 3.5 and 3.6) with AVX2: four words a register, two
// permutations at a time to hide the multiplication's latency.
#ifdef __x86_64__
#include "blake2b.h"

#include <immintrin.h>
#include "cpu_x86.h"

#define ARGON2_TARGET __attribute__((target("avx2")))
#include "argon2_segment.h"

typedef __m256i vec;

ARGON2_TARGET ARGON2_INLINE vec load(const uint64_t *p)
{
	return _mm256_load_si256((const void *)p);
}

ARGON2_TARGET ARGON2_INLINE void store(uint64_t *p, vec x)
{
	_mm256_store_si256((void *)p, x);
}

ARGON2_TARGET ARGON2_INLINE vec multiply_add(vec a, vec b)
{
	vec product = _mm256_mul_epu32(a, b);

	return _mm256_add_epi64(_mm256_add_epi64(a, b), _mm256_add_epi64(product, product));
}

ARGON2_TARGET ARGON2_INLINE vec rotate_r1(vec x)
{
	return _mm256_shuffle_epi32(x, _MM_SHUFFLE(2, 3, 0, 1));
}

ARGON2_TARGET ARGON2_INLINE vec rotate_r2(vec x)
{
	const vec bytes = _mm256_setr_epi8(3, 4, 5, 6, 7, 0, 1, 2, 11, 12, 13, 14, 15, 8, 9, 10, 3,
					   4, 5, 6, 7, 0, 1, 2, 11, 12, 13, 14, 15, 8, 9, 10);

	return _mm256_shuffle_epi8(x, bytes);
}

ARGON2_TARGET ARGON2_INLINE vec rotate_r3(vec x)
{
	const vec bytes = _mm256_setr_epi8(2, 3, 4, 5, 6, 7, 0, 1, 10, 11, 12, 13, 14, 15, 8, 9, 2,
					   3, 4, 5, 6, 7, 0, 1, 10, 11, 12, 13, 14, 15, 8, 9);

	return _mm256_shuffle_epi8(x, bytes);
}

ARGON2_TARGET ARGON2_INLINE vec rotate_r4(vec x)
{
	return _mm256_xor_si256(_mm256_srli_epi64(x, BLAKE2B_R4), _mm256_add_epi64(x, x));
}

/* Of two permutations: [0] and [1]. */
ARGON2_TARGET ARGON2_INLINE void mix(vec *a, vec *b, vec *c, vec *d)
{
	a[0] = multiply_add(a[0], b[0]);
	a[1] = multiply_add(a[1], b[1]);
	d[0] = rotate_r1(_mm256_xor_si256(d[0], a[0]));
	d[1] = rotate_r1(_mm256_xor_si256(d[1], a[1]));
	c[0] = multiply_add(c[0], d[0]);
	c[1] = multiply_add(c[1], d[1]);
	b[0] = rotate_r2(_mm256_xor_si256(b[0], c[0]));
	b[1] = rotate_r2(_mm256_xor_si256(b[1], c[1]));
	a[0] = multiply_add(a[0], b[0]);
	a[1] = multiply_add(a[1], b[1]);
	d[0] = rotate_r3(_mm256_xor_si256(d[0], a[0]));
	d[1] = rotate_r3(_mm256_xor_si256(d[1], a[1]));
	c[0] = multiply_add(c[0], d[0]);
	c[1] = multiply_add(c[1], d[1]);
	b[0] = rotate_r4(_mm256_xor_si256(b[0], c[0]));
	b[1] = rotate_r4(_mm256_xor_si256(b[1], c[1]));
}

#define FORWARD_1 _MM_SHUFFLE(0, 3, 2, 1)
#define FORWARD_2 _MM_SHUFFLE(1, 0, 3, 2)
#define FORWARD_3 _MM_SHUFFLE(2, 1, 0, 3)

ARGON2_TARGET ARGON2_INLINE void permute(vec *a, vec *b, vec *c, vec *d)
{
	mix(a, b, c, d);
	ARGON2_UNROLLED
	for (unsigned int i = 0; i < 2; i++) {
		b[i] = _mm256_permute4x64_epi64(b[i], FORWARD_1);
		c[i] = _mm256_permute4x64_epi64(c[i], FORWARD_2);
		d[i] = _mm256_permute4x64_epi64(d[i], FORWARD_3);
	}
	mix(a, b, c, d);
	ARGON2_UNROLLED
	for (unsigned int i = 0; i < 2; i++) {
		b[i] = _mm256_permute4x64_epi64(b[i], FORWARD_3);
		c[i] = _mm256_permute4x64_epi64(c[i], FORWARD_2);
		d[i] = _mm256_permute4x64_epi64(d[i], FORWARD_1);
	}
}

/* Two rows from word @at on. What the result is XORed with goes to where it will be. */
ARGON2_TARGET ARGON2_INLINE void rows(const struct argon2_walk *w, bool into, unsigned int at,
				      uint64_t *z)
{
	vec x[4][2];

	ARGON2_UNROLLED
	for (unsigned int i = 0; i < 2; i++) {
		ARGON2_UNROLLED
		for (unsigned int k = 0; k < 4; k++) {
			unsigned int n = at + 16 * i + 4 * k;
			vec t = _mm256_xor_si256(load(w->previous->v + n), load(w->other->v + n));

			x[k][i] = t;
			store(w->to->v + n, into ? _mm256_xor_si256(t, load(w->to->v + n)) : t);
		}
	}
	permute(x[0], x[1], x[2], x[3]);
	ARGON2_UNROLLED
	for (unsigned int i = 0; i < 2; i++) {
		ARGON2_UNROLLED
		for (unsigned int k = 0; k < 4; k++)
			store(z + at + 16 * i + 4 * k, x[k][i]);
	}
}

#define LOW_HALVES 0x20
#define HIGH_HALVES 0x31

/* Two columns from word @at of each row on; a register holds a pair of words of two rows. */
ARGON2_TARGET ARGON2_INLINE void columns(const struct argon2_walk *w, unsigned int at,
					 const uint64_t *z)
{
	vec x[4][2];

	ARGON2_UNROLLED
	for (unsigned int k = 0; k < 4; k++) {
		vec even = load(z + at + 32 * k), odd = load(z + at + 32 * k + 16);

		x[k][0] = _mm256_permute2x128_si256(even, odd, LOW_HALVES);
		x[k][1] = _mm256_permute2x128_si256(even, odd, HIGH_HALVES);
	}
	permute(x[0], x[1], x[2], x[3]);
	ARGON2_UNROLLED
	for (unsigned int k = 0; k < 4; k++) {
		uint64_t *even = w->to->v + at + 32 * k, *odd = even + 16;
		vec low = _mm256_permute2x128_si256(x[k][0], x[k][1], LOW_HALVES);
		vec high = _mm256_permute2x128_si256(x[k][0], x[k][1], HIGH_HALVES);

		store(even, _mm256_xor_si256(load(even), low));
		store(odd, _mm256_xor_si256(load(odd), high));
	}
}

ARGON2_TARGET ARGON2_INLINE void argon2_step(struct argon2_walk *w, bool into)
{
	struct argon2_block z;

	rows(w, into, 0, z.v);
	rows(w, into, 32, z.v);
	rows(w, into, 64, z.v);
	rows(w, into, 96, z.v);
	columns(w, 0, z.v);
	argon2_found(w, w->to->v[0]);
	columns(w, 4, z.v);
	columns(w, 8, z.v);
	columns(w, 12, z.v);
}

static bool usable(void)
{
	return CPU_HAS(AVX2);
}

const struct argon2_core crypto_argon2_avx2 = { "avx2", usable, argon2_fill };
#endif
