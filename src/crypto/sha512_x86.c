// SPDX-License-Identifier: Apache-2.0
// Rounds of PBKDF2 with HMAC-SHA-512 (FIPS 180-4, 6.4), the message schedule in vectors beside the
// rounds in scalars. libcrypto's function takes two blocks at a time and hides the schedule in
// them; each block here waits for the one before.
#include "internal.h"

#if defined(__x86_64__) && defined(__LP64__)
#include "cpu_x86.h"

#ifndef __clang__
/* gcc 12's analyzer takes a vector's type for one of a single bit. */
#pragma GCC diagnostic ignored "-Wanalyzer-shift-count-overflow"
#endif

typedef uint64_t pair __attribute__((vector_size(16)));

/* FIPS 180-4, 4.2.3 */
static const uint64_t k[80] __attribute__((aligned(16))) = {
	0x428a2f98d728ae22, 0x7137449123ef65cd, 0xb5c0fbcfec4d3b2f, 0xe9b5dba58189dbbc,
	0x3956c25bf348b538, 0x59f111f1b605d019, 0x923f82a4af194f9b, 0xab1c5ed5da6d8118,
	0xd807aa98a3030242, 0x12835b0145706fbe, 0x243185be4ee4b28c, 0x550c7dc3d5ffb4e2,
	0x72be5d74f27b896f, 0x80deb1fe3b1696b1, 0x9bdc06a725c71235, 0xc19bf174cf692694,
	0xe49b69c19ef14ad2, 0xefbe4786384f25e3, 0x0fc19dc68b8cd5b5, 0x240ca1cc77ac9c65,
	0x2de92c6f592b0275, 0x4a7484aa6ea6e483, 0x5cb0a9dcbd41fbd4, 0x76f988da831153b5,
	0x983e5152ee66dfab, 0xa831c66d2db43210, 0xb00327c898fb213f, 0xbf597fc7beef0ee4,
	0xc6e00bf33da88fc2, 0xd5a79147930aa725, 0x06ca6351e003826f, 0x142929670a0e6e70,
	0x27b70a8546d22ffc, 0x2e1b21385c26c926, 0x4d2c6dfc5ac42aed, 0x53380d139d95b3df,
	0x650a73548baf63de, 0x766a0abb3c77b2a8, 0x81c2c92e47edaee6, 0x92722c851482353b,
	0xa2bfe8a14cf10364, 0xa81a664bbc423001, 0xc24b8b70d0f89791, 0xc76c51a30654be30,
	0xd192e819d6ef5218, 0xd69906245565a910, 0xf40e35855771202a, 0x106aa07032bbd1b8,
	0x19a4c116b8d2d0c8, 0x1e376c085141ab53, 0x2748774cdf8eeb99, 0x34b0bcb5e19b48a8,
	0x391c0cb3c5c95a63, 0x4ed8aa4ae3418acb, 0x5b9cca4f7763e373, 0x682e6ff3d6b2b8a3,
	0x748f82ee5defb2fc, 0x78a5636f43172f60, 0x84c87814a1f0ab72, 0x8cc702081a6439ec,
	0x90befffa23631e28, 0xa4506cebde82bde9, 0xbef9a3f7b2c67915, 0xc67178f2e372532b,
	0xca273eceea26619c, 0xd186b8c721c0c207, 0xeada7dd6cde0eb1e, 0xf57d4f7fee6ed178,
	0x06f067aa72176fba, 0x0a637dc5a2c898a6, 0x113f9804bef90dae, 0x1b710b35131c471b,
	0x28db77f523047d84, 0x32caab7b40c72493, 0x3c9ebe0a15c9bebc, 0x431d67c49c100d4c,
	0x4cc5d4becb3e42b6, 0x597f299cfc657e2a, 0x5fcb6fab3ad6faec, 0x6c44198c4a475817,
};

#define INLINE static inline __attribute__((always_inline))

/* The order of additions is what makes a round as short as its chain: compilers would change it. */
#define PIN(x) __asm__("" : "+r"(x))

INLINE uint64_t ror(uint64_t x, int n)
{
	return x >> n | x << (64 - n);
}

INLINE pair ror2(pair x, int n)
{
	return x >> n | x << (64 - n);
}

/* The words of an odd index and the one after it. */
INLINE pair odd(pair low, pair high)
{
	return __builtin_shufflevector(low, high, 1, 2);
}

/* Words 16 to 31 from words 0 to 15, a pair at a time; the pairs lie in a ring. */
INLINE void extend(pair w[8], int i)
{
	pair x = odd(w[i], w[(i + 1) & 7]), y = w[(i + 7) & 7];

	w[i] += (ror2(x, 1) ^ ror2(x, 8) ^ x >> 7) + odd(w[(i + 4) & 7], w[(i + 5) & 7]) +
		(ror2(y, 19) ^ ror2(y, 61) ^ y >> 6);
}

/* One round; what e waits for is added last, then what a waits for. s[] turns by renaming. */
INLINE void step(uint64_t s[8], int t, uint64_t kw, uint64_t *b_xor_c)
{
	uint64_t a = s[-t & 7], b = s[(1 - t) & 7], e = s[(4 - t) & 7], h = s[(7 - t) & 7];
	uint64_t chosen = e & s[(5 - t) & 7], other = ~e & s[(6 - t) & 7], sum, last, both;

	h += kw;
	PIN(h);
	sum = ror(e, 14) ^ ror(e, 18);
	last = ror(e, 41);
	PIN(last);
	sum ^= last;
	h += chosen;
	PIN(h);
	h += other;
	PIN(h);
	h += sum;
	PIN(h);
	s[(3 - t) & 7] += h;
	both = a ^ b;
	*b_xor_c = (*b_xor_c & both) ^ b; /* the majority */
	sum = ror(a, 28) ^ ror(a, 34);
	last = ror(a, 39);
	PIN(last);
	sum ^= last;
	h += sum;
	PIN(h);
	h += *b_xor_c;
	PIN(h);
	s[(7 - t) & 7] = h;
	*b_xor_c = both;
}

/* A block of the digest @u and the padding of a message of block + digest; the new one to @u. */
INLINE void digest_block(const uint64_t from[8], uint64_t u[8])
{
	uint64_t kw[2][16] __attribute__((aligned(16))), s[8], b_xor_c = from[1] ^ from[2];
	pair w[8];

#pragma GCC unroll 8
	for (int i = 0; i < 8; i++)
		s[i] = from[i];
#pragma GCC unroll 4
	for (int i = 0; i < 4; i++)
		w[i] = (pair){ u[2 * i], u[2 * i + 1] };
	w[4] = (pair){ 1ull << 63, 0 };
	w[5] = w[6] = (pair){ 0, 0 };
	w[7] = (pair){ 0, (128 + 64) * 8 };
#pragma GCC unroll 80
	for (int t = 0; t < 80; t++) {
		if (t < 64 && t % 2 == 0) {
			pair *next = (pair *)(void *)&kw[~(t / 16) & 1][t % 16];

			extend(w, t / 2 % 8);
			*next = w[t / 2 % 8] + *(const pair *)(const void *)&k[t + 16];
			/* through memory: moves between the register files are dearer */
			__asm__ volatile("" : "+m"(kw));
		}
		if (t < 8)
			step(s, t, u[t] + k[t], &b_xor_c);
		else if (t < 16)
			step(s, t,
			     k[t] + (t == 8    ? 1ull << 63
				     : t == 15 ? (128 + 64) * 8
					       : 0),
			     &b_xor_c);
		else
			step(s, t, kw[t / 16 & 1][t % 16], &b_xor_c);
	}
#pragma GCC unroll 8
	for (int i = 0; i < 8; i++)
		u[i] = s[i] + from[i];
}

bool crypto_sha512_x86_has(void)
{
	return CPU_HAS(AVX2) && CPU_HAS(BMI2) && CPU_HAS(BMI1);
}

INLINE void run(const uint64_t inner[8], const uint64_t outer[8], uint64_t u[8], uint64_t sum[8],
		uint32_t rounds)
{
	uint64_t x[8];

	memcpy(x, u, sizeof(x));
	for (uint32_t i = 0; i < rounds; i++) {
		digest_block(inner, x);
		digest_block(outer, x);
		for (int j = 0; j < 8; j++)
			sum[j] ^= x[j];
	}
	memcpy(u, x, sizeof(x));
}

/* AVX-512 has rotations of vectors. */
__attribute__((target("avx2,bmi,bmi2,avx512f,avx512vl"))) static void
run_avx512(const uint64_t inner[8], const uint64_t outer[8], uint64_t u[8], uint64_t sum[8],
	   uint32_t rounds)
{
	run(inner, outer, u, sum, rounds);
}

__attribute__((target("avx2,bmi,bmi2"))) static void run_avx2(const uint64_t inner[8],
							      const uint64_t outer[8],
							      uint64_t u[8], uint64_t sum[8],
							      uint32_t rounds)
{
	run(inner, outer, u, sum, rounds);
}

void crypto_sha512_x86_rounds(const uint64_t inner[8], const uint64_t outer[8], uint64_t u[8],
			      uint64_t sum[8], uint32_t rounds)
{
	if (CPU_HAS(AVX512F) && CPU_HAS(AVX512VL))
		run_avx512(inner, outer, u, sum, rounds);
	else
		run_avx2(inner, outer, u, sum, rounds);
}

#else

bool crypto_sha512_x86_has(void)
{
	return false;
}

void crypto_sha512_x86_rounds(const uint64_t inner[8], const uint64_t outer[8], uint64_t u[8],
			      uint64_t sum[8], uint32_t rounds)
{
	(void)inner, (void)outer, (void)u, (void)sum, (void)rounds;
}

#endif
