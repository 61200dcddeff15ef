// SPDX-License-Identifier: Apache-2.0
// SHA-256 (FIPS 180-4, 6.2) by the processor's SHA instructions, two messages side by side: an
// instruction's latency is twice its throughput, and a key of 64 bytes is two of them that don't
// wait for each other, in PBKDF2's rounds as in the AF splitter's chain.
#include "internal.h"

#ifdef __x86_64__
#include <immintrin.h>
#include "cpu_x86.h"

#define WITH_SHA __attribute__((target("sha,sse4.1,ssse3")))
#define INLINE static inline __attribute__((always_inline)) WITH_SHA

/* FIPS 180-4, 4.2.2 */
static const uint32_t k[64] __attribute__((aligned(16))) = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4,
	0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe,
	0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f,
	0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7,
	0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc,
	0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
	0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116,
	0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7,
	0xc67178f2,
};

/* The instructions' order of the words: A, B, E, F and C, D, G, H, the first one on top. */
struct state {
	__m128i abef, cdgh;
};

INLINE __m128i load(const uint32_t *p)
{
	return _mm_loadu_si128((const __m128i *)(const void *)p);
}

INLINE void store(uint32_t *p, __m128i v)
{
	_mm_storeu_si128((__m128i *)(void *)p, v);
}

INLINE struct state state_of(const uint32_t h[8])
{
	__m128i dcba = _mm_shuffle_epi32(load(h), 0x1b);
	__m128i hgfe = _mm_shuffle_epi32(load(h + 4), 0x1b);

	return (struct state){ _mm_unpackhi_epi64(hgfe, dcba), _mm_unpacklo_epi64(hgfe, dcba) };
}

/* As the first words of the next block. */
INLINE void words_of(struct state s, __m128i w[2])
{
	__m128i abef = _mm_shuffle_epi32(s.abef, 0x1b), cdgh = _mm_shuffle_epi32(s.cdgh, 0x1b);

	w[0] = _mm_unpacklo_epi64(abef, cdgh);
	w[1] = _mm_unpackhi_epi64(abef, cdgh);
}

/* Two blocks @w, both from the same state; the digests' words to @u. */
INLINE void compress(struct state from, __m128i w[2][4], __m128i u[2][2])
{
	struct state s[2] = { from, from };

#pragma GCC unroll 16
	for (int t = 0; t < 16; t++) {
		__m128i kt = load(&k[4 * t]);

#pragma GCC unroll 2
		for (int l = 0; l < 2; l++) {
			__m128i *a = &w[l][t & 3], b = w[l][(t + 1) & 3], c = w[l][(t + 2) & 3];
			__m128i d = w[l][(t + 3) & 3], kw = _mm_add_epi32(*a, kt);

			s[l].cdgh = _mm_sha256rnds2_epu32(s[l].cdgh, s[l].abef, kw);
			s[l].abef = _mm_sha256rnds2_epu32(s[l].abef, s[l].cdgh,
							  _mm_shuffle_epi32(kw, 0x0e));
			if (t < 12)
				*a = _mm_sha256msg2_epu32(_mm_add_epi32(_mm_sha256msg1_epu32(*a, b),
									_mm_alignr_epi8(d, c, 4)),
							  d);
		}
	}
	for (int l = 0; l < 2; l++) {
		s[l].abef = _mm_add_epi32(s[l].abef, from.abef);
		s[l].cdgh = _mm_add_epi32(s[l].cdgh, from.cdgh);
		words_of(s[l], u[l]);
	}
}

/* Two blocks of a digest each and the padding of a message of block + digest; the new ones to @u.
 */
INLINE void digest_blocks(struct state from, __m128i u[2][2])
{
	__m128i w[2][4];

	for (int l = 0; l < 2; l++) {
		w[l][0] = u[l][0];
		w[l][1] = u[l][1];
		w[l][2] = _mm_set_epi32(0, 0, 0, (int)0x80000000);
		w[l][3] = _mm_set_epi32((64 + 32) * 8, 0, 0, 0);
	}
	compress(from, w, u);
}

/* What libc asked at the start: the instruction cpuid traps in a virtual machine, where two of them
 * before each stride of PBKDF2 were a fortieth of its time. */
bool crypto_sha256_x86_has(void)
{
	return CPU_HAS(SSE4_1) && CPU_HAS(SHA);
}

WITH_SHA void crypto_sha256_x86_rounds(const uint32_t inner[8], const uint32_t outer[8],
				       uint32_t u[2][8], uint32_t sum[2][8], uint32_t rounds)
{
	struct state in = state_of(inner), out = state_of(outer);
	__m128i x[2][2], total[2][2];

	for (int i = 0; i < 4; i++) {
		x[i / 2][i % 2] = load(u[i / 2] + 4 * (i % 2));
		total[i / 2][i % 2] = load(sum[i / 2] + 4 * (i % 2));
	}
	for (uint32_t r = 0; r < rounds; r++) {
		digest_blocks(in, x);
		digest_blocks(out, x);
		for (int i = 0; i < 4; i++)
			total[i / 2][i % 2] = _mm_xor_si128(total[i / 2][i % 2], x[i / 2][i % 2]);
	}
	for (int i = 0; i < 4; i++) {
		store(u[i / 2] + 4 * (i % 2), x[i / 2][i % 2]);
		store(sum[i / 2] + 4 * (i % 2), total[i / 2][i % 2]);
	}
}

/* The words of big-endian bytes, and back. */
INLINE __m128i swap(__m128i v)
{
	return _mm_shuffle_epi8(v,
				_mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3));
}

INLINE __m128i load_bytes(const unsigned char *p)
{
	return swap(_mm_loadu_si128((const __m128i *)(const void *)p));
}

WITH_SHA void crypto_sha256_x86_chain(const unsigned char *stripes, size_t n, unsigned char acc[64])
{
	/* FIPS 180-4, 5.3.3 */
	static const uint32_t initial[8] = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
					     0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19 };
	struct state from = state_of(initial);
	__m128i x[2][2], w[2][4];

	for (int i = 0; i < 4; i++)
		x[i / 2][i % 2] = load_bytes(acc + 16 * i);
	for (; n; n--, stripes += 64) {
		for (int i = 0; i < 4; i++)
			x[i / 2][i % 2] = _mm_xor_si128(x[i / 2][i % 2],
							load_bytes(stripes + 16 * i));
		for (int l = 0; l < 2; l++) { /* 4 + 32 bytes: index, piece, padding */
			w[l][0] = _mm_alignr_epi8(x[l][0], _mm_set_epi32(l, 0, 0, 0), 12);
			w[l][1] = _mm_alignr_epi8(x[l][1], x[l][0], 12);
			w[l][2] = _mm_alignr_epi8(_mm_set_epi32(0, 0, 0, (int)0x80000000), x[l][1],
						  12);
			w[l][3] = _mm_set_epi32((4 + 32) * 8, 0, 0, 0);
		}
		compress(from, w, x);
	}
	for (int i = 0; i < 4; i++)
		_mm_storeu_si128((__m128i *)(void *)(acc + 16 * i), swap(x[i / 2][i % 2]));
}

#else

bool crypto_sha256_x86_has(void)
{
	return false;
}

void crypto_sha256_x86_rounds(const uint32_t inner[8], const uint32_t outer[8], uint32_t u[2][8],
			      uint32_t sum[2][8], uint32_t rounds)
{
	(void)inner, (void)outer, (void)u, (void)sum, (void)rounds;
}

void crypto_sha256_x86_chain(const unsigned char *stripes, size_t n, unsigned char acc[64])
{
	(void)stripes, (void)n, (void)acc;
}

#endif
