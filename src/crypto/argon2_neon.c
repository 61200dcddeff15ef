// SPDX-License-Identifier: Apache-2.0
// Argon2's block function (RFC 9106, 3.5 and 3.6) with NEON, which every 64-bit ARM processor that
// runs Linux has: two words a register.
#ifdef __aarch64__
#include "blake2b.h"

#include <arm_neon.h>

#define ARGON2_TARGET
#include "argon2_segment.h"

typedef uint64x2_t vec;

ARGON2_INLINE vec multiply_add(vec a, vec b)
{
	vec product = vmull_u32(vmovn_u64(a), vmovn_u64(b));

	return vaddq_u64(vaddq_u64(a, b), vaddq_u64(product, product));
}

ARGON2_INLINE vec rotate_r1(vec x)
{
	return vreinterpretq_u64_u32(vrev64q_u32(vreinterpretq_u32_u64(x)));
}

ARGON2_INLINE vec rotate_r2(vec x)
{
	static const uint8_t bytes[16] = { 3, 4, 5, 6, 7, 0, 1, 2, 11, 12, 13, 14, 15, 8, 9, 10 };

	return vreinterpretq_u64_u8(vqtbl1q_u8(vreinterpretq_u8_u64(x), vld1q_u8(bytes)));
}

ARGON2_INLINE vec rotate_r3(vec x)
{
	static const uint8_t bytes[16] = { 2, 3, 4, 5, 6, 7, 0, 1, 10, 11, 12, 13, 14, 15, 8, 9 };

	return vreinterpretq_u64_u8(vqtbl1q_u8(vreinterpretq_u8_u64(x), vld1q_u8(bytes)));
}

ARGON2_INLINE vec rotate_r4(vec x)
{
	return vsriq_n_u64(vaddq_u64(x, x), x, BLAKE2B_R4);
}

/* The four words a in v[0] and v[1], b in v[2] and v[3], c, d. */
ARGON2_INLINE void mix(vec *v)
{
	ARGON2_UNROLLED
	for (unsigned int i = 0; i < 2; i++) {
		vec a = v[i], b = v[2 + i], c = v[4 + i], d = v[6 + i];

		a = multiply_add(a, b);
		d = rotate_r1(veorq_u64(d, a));
		c = multiply_add(c, d);
		b = rotate_r2(veorq_u64(b, c));
		a = multiply_add(a, b);
		d = rotate_r3(veorq_u64(d, a));
		c = multiply_add(c, d);
		b = rotate_r4(veorq_u64(b, c));
		v[i] = a;
		v[2 + i] = b;
		v[4 + i] = c;
		v[6 + i] = d;
	}
}

/* Four words in two registers: by one to the front, or to the back. */
ARGON2_INLINE void forward(vec *v)
{
	vec first = vextq_u64(v[0], v[1], 1);

	v[1] = vextq_u64(v[1], v[0], 1);
	v[0] = first;
}

ARGON2_INLINE void back(vec *v)
{
	vec first = vextq_u64(v[1], v[0], 1);

	v[1] = vextq_u64(v[0], v[1], 1);
	v[0] = first;
}

ARGON2_INLINE void swap(vec *v)
{
	vec first = v[1];

	v[1] = v[0];
	v[0] = first;
}

/* 3.6: P. */
ARGON2_INLINE void permute(vec *v)
{
	mix(v);
	forward(v + 2);
	swap(v + 4);
	back(v + 6);
	mix(v);
	back(v + 2);
	swap(v + 4);
	forward(v + 6);
}

/* A row: 16 words that lie together. What the result is XORed with goes to where it will be. */
ARGON2_INLINE void row(const struct argon2_walk *w, bool into, unsigned int at, uint64_t *z)
{
	vec v[8];

	ARGON2_UNROLLED
	for (unsigned int i = 0; i < 8; i++) {
		uint64_t *to = w->to->v + at + 2 * i;

		v[i] = veorq_u64(vld1q_u64(w->previous->v + at + 2 * i),
				 vld1q_u64(w->other->v + at + 2 * i));
		vst1q_u64(to, into ? veorq_u64(v[i], vld1q_u64(to)) : v[i]);
	}
	permute(v);
	ARGON2_UNROLLED
	for (unsigned int i = 0; i < 8; i++)
		vst1q_u64(z + at + 2 * i, v[i]);
}

/* A column: two words of each row. */
ARGON2_INLINE void column(const struct argon2_walk *w, unsigned int at, const uint64_t *z)
{
	vec v[8];

	ARGON2_UNROLLED
	for (unsigned int i = 0; i < 8; i++)
		v[i] = vld1q_u64(z + at + 16 * i);
	permute(v);
	ARGON2_UNROLLED
	for (unsigned int i = 0; i < 8; i++) {
		uint64_t *to = w->to->v + at + 16 * i;

		vst1q_u64(to, veorq_u64(v[i], vld1q_u64(to)));
	}
}

ARGON2_INLINE void argon2_step(struct argon2_walk *w, bool into)
{
	struct argon2_block z;

	ARGON2_ROLLED
	for (unsigned int at = 0; at < ARGON2_WORDS; at += 16)
		row(w, into, at, z.v);
	column(w, 0, z.v);
	argon2_found(w, w->to->v[0]);
	ARGON2_ROLLED
	for (unsigned int at = 2; at < 16; at += 2)
		column(w, at, z.v);
}

static bool usable(void)
{
	return true;
}

const struct argon2_core crypto_argon2_neon = { "neon", usable, argon2_fill };
#endif
