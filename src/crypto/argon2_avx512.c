// SPDX-License-Identifier: Apache-2.0
// Argon2's block function (RFC 9106, 3.5 and 3.6) with AVX-512: the whole block in 16 registers,
// two permutations in four of them.
#ifdef __x86_64__
#include "blake2b.h"

#include <immintrin.h>
#include "cpu_x86.h"

#define ARGON2_TARGET __attribute__((target("avx512f")))
#include "argon2_segment.h"

typedef __m512i vec;

ARGON2_TARGET ARGON2_INLINE vec load(const struct argon2_block *b, unsigned int i)
{
	return _mm512_load_si512((const void *)(b->v + 8 * i));
}

ARGON2_TARGET ARGON2_INLINE void store(struct argon2_block *b, unsigned int i, vec x)
{
	_mm512_store_si512((void *)(b->v + 8 * i), x);
}

ARGON2_TARGET ARGON2_INLINE vec multiply_add(vec a, vec b)
{
	vec product = _mm512_mul_epu32(a, b);

	return _mm512_add_epi64(_mm512_add_epi64(a, b), _mm512_add_epi64(product, product));
}

ARGON2_TARGET ARGON2_INLINE void mix(vec *a, vec *b, vec *c, vec *d)
{
	*a = multiply_add(*a, *b);
	*d = _mm512_ror_epi64(_mm512_xor_si512(*d, *a), BLAKE2B_R1);
	*c = multiply_add(*c, *d);
	*b = _mm512_ror_epi64(_mm512_xor_si512(*b, *c), BLAKE2B_R2);
	*a = multiply_add(*a, *b);
	*d = _mm512_ror_epi64(_mm512_xor_si512(*d, *a), BLAKE2B_R3);
	*c = multiply_add(*c, *d);
	*b = _mm512_ror_epi64(_mm512_xor_si512(*b, *c), BLAKE2B_R4);
}

#define FORWARD_1 _MM_SHUFFLE(0, 3, 2, 1)
#define FORWARD_2 _MM_SHUFFLE(1, 0, 3, 2)
#define FORWARD_3 _MM_SHUFFLE(2, 1, 0, 3)

/* P twice, in the halves; a register holds four words of each. */
ARGON2_TARGET ARGON2_INLINE void permute(vec *a, vec *b, vec *c, vec *d)
{
	mix(a, b, c, d);
	*b = _mm512_permutex_epi64(*b, FORWARD_1);
	*c = _mm512_permutex_epi64(*c, FORWARD_2);
	*d = _mm512_permutex_epi64(*d, FORWARD_3);
	mix(a, b, c, d);
	*b = _mm512_permutex_epi64(*b, FORWARD_3);
	*c = _mm512_permutex_epi64(*c, FORWARD_2);
	*d = _mm512_permutex_epi64(*d, FORWARD_1);
}

#define LOW_HALVES _MM_SHUFFLE(1, 0, 1, 0)
#define HIGH_HALVES _MM_SHUFFLE(3, 2, 3, 2)
#define SWAP_MIDDLE _MM_SHUFFLE(3, 1, 2, 0)
#define EVEN_QUARTERS _MM_SHUFFLE(2, 0, 2, 0)
#define ODD_QUARTERS _MM_SHUFFLE(3, 1, 3, 1)

/* Two rows: 32 words that lie together, as four registers. What the result is XORed with goes to
 * where it will be. */
ARGON2_TARGET ARGON2_INLINE void rows(const struct argon2_walk *w, bool into, unsigned int at,
				      vec *z)
{
	vec x[4];

	ARGON2_UNROLLED
	for (unsigned int i = 0; i < 4; i++) {
		vec t;

		x[i] = _mm512_xor_si512(load(w->previous, at + i), load(w->other, at + i));
		t = into ? _mm512_xor_si512(x[i], load(w->to, at + i)) : x[i];
		store(w->to, at + i, t);
	}
	z[0] = _mm512_shuffle_i64x2(x[0], x[2], LOW_HALVES);
	z[1] = _mm512_shuffle_i64x2(x[0], x[2], HIGH_HALVES);
	z[2] = _mm512_shuffle_i64x2(x[1], x[3], LOW_HALVES);
	z[3] = _mm512_shuffle_i64x2(x[1], x[3], HIGH_HALVES);
	permute(&z[0], &z[1], &z[2], &z[3]);
}

/* Columns 2 k and 2 k + 1: of two rows, what was a row a half becomes a column a half. */
ARGON2_TARGET ARGON2_INLINE void columns(unsigned int k, const vec *z, vec *x)
{
	ARGON2_UNROLLED
	for (unsigned int g = 0; g < 4; g++)
		x[g] = _mm512_shuffle_i64x2(z[4 * g + k], z[4 * g + k], SWAP_MIDDLE);
	permute(&x[0], &x[1], &x[2], &x[3]);
}

/* Four columns: half of each row. */
ARGON2_TARGET ARGON2_INLINE void finish(const struct argon2_walk *w, unsigned int half,
					const vec *x, const vec *y)
{
	ARGON2_UNROLLED
	for (unsigned int g = 0; g < 4; g++) {
		unsigned int at = 4 * g + half;
		vec even = _mm512_shuffle_i64x2(x[g], y[g], EVEN_QUARTERS);
		vec odd = _mm512_shuffle_i64x2(x[g], y[g], ODD_QUARTERS);

		store(w->to, at, _mm512_xor_si512(even, load(w->to, at)));
		store(w->to, at + 2, _mm512_xor_si512(odd, load(w->to, at + 2)));
	}
}

ARGON2_TARGET ARGON2_INLINE void argon2_step(struct argon2_walk *w, bool into)
{
	vec z[16], x[4], y[4];

	rows(w, into, 0, &z[0]);
	rows(w, into, 4, &z[4]);
	rows(w, into, 8, &z[8]);
	rows(w, into, 12, &z[12]);
	columns(0, z, x);
	argon2_found(w, (uint64_t)_mm_cvtsi128_si64(_mm512_castsi512_si128(x[0])) ^ w->to->v[0]);
	columns(1, z, y);
	finish(w, 0, x, y);
	columns(2, z, x);
	columns(3, z, y);
	finish(w, 1, x, y);
}

static bool usable(void)
{
	return CPU_HAS(AVX512F);
}

const struct argon2_core crypto_argon2_avx512 = { "avx512", usable, argon2_fill };
#endif
