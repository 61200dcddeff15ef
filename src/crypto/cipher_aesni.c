// SPDX-License-Identifier: Apache-2.0
// AES-XTS (IEEE 1619) by the processor's AES instructions, where it has them: libcrypto's provider
// costs a process of a few milliseconds a third of its life to start.
#include "internal.h"

#ifdef __x86_64__
#include <immintrin.h>
#include "cpu_x86.h"

#define BLOCK_BYTES 16
#define ROUNDS_MAX 14
#define LANES 8 /* blocks in flight: an instruction's latency is several times its throughput */
#define WITH_AES __attribute__((target("aes,sse2")))

struct schedule {
	__m128i key[ROUNDS_MAX + 1];
	unsigned int rounds;
};

struct xts {
	struct schedule tweak, data;
};

static WITH_AES __m128i load(const unsigned char *p)
{
	return _mm_loadu_si128((const __m128i *)(const void *)p);
}

static WITH_AES void store(unsigned char *p, __m128i v)
{
	_mm_storeu_si128((__m128i *)(void *)p, v);
}

/* FIPS 197, 5.2, a word at a time; the instruction knows SubWord and RotWord. */
static WITH_AES void expand(const unsigned char *key, size_t key_bytes, struct schedule *ret)
{
	size_t nk = key_bytes / 4, n;
	uint32_t w[4 * (ROUNDS_MAX + 1)], rcon = 1;

	ret->rounds = (unsigned int)nk + 6;
	n = 4 * (ret->rounds + 1);
	memcpy(w, key, key_bytes);
	for (size_t i = nk; i < n; i++) {
		__m128i sub = _mm_aeskeygenassist_si128(_mm_set1_epi32((int)w[i - 1]), 0);
		uint32_t t = w[i - 1];

		if (i % nk == 0) {
			t = (uint32_t)_mm_cvtsi128_si32(_mm_srli_si128(sub, 4)) ^ rcon;
			rcon = rcon << 1 ^ (rcon & 0x80 ? 0x11b : 0);
		} else if (nk > 6 && i % nk == 4) {
			t = (uint32_t)_mm_cvtsi128_si32(sub);
		}
		w[i] = w[i - nk] ^ t;
	}
	for (size_t i = 0; i <= ret->rounds; i++)
		ret->key[i] = load((const unsigned char *)&w[4 * i]);
	explicit_bzero(w, sizeof(w));
}

/* The equivalent inverse cipher's keys (FIPS 197, 5.3.5). */
static WITH_AES void invert(struct schedule *s)
{
	for (unsigned int i = 0, j = s->rounds; i < j; i++, j--) {
		__m128i swap = s->key[i];

		s->key[i] = s->key[j];
		s->key[j] = swap;
	}
	for (unsigned int i = 1; i < s->rounds; i++)
		s->key[i] = _mm_aesimc_si128(s->key[i]);
}

static WITH_AES __m128i encrypt_block(const struct schedule *s, __m128i b)
{
	b = _mm_xor_si128(b, s->key[0]);
	for (unsigned int i = 1; i < s->rounds; i++)
		b = _mm_aesenc_si128(b, s->key[i]);
	return _mm_aesenclast_si128(b, s->key[s->rounds]);
}

static WITH_AES void run_lanes(const struct schedule *s, bool encrypt, __m128i b[LANES])
{
	for (size_t l = 0; l < LANES; l++)
		b[l] = _mm_xor_si128(b[l], s->key[0]);
	for (unsigned int i = 1; i < s->rounds; i++)
		for (size_t l = 0; l < LANES; l++)
			b[l] = encrypt ? _mm_aesenc_si128(b[l], s->key[i])
				       : _mm_aesdec_si128(b[l], s->key[i]);
	for (size_t l = 0; l < LANES; l++)
		b[l] = encrypt ? _mm_aesenclast_si128(b[l], s->key[s->rounds])
			       : _mm_aesdeclast_si128(b[l], s->key[s->rounds]);
}

/* Times x in GF(2^128), IEEE 1619's order of bits: what leaves at the top comes back as 0x87. */
static WITH_AES __m128i next_tweak(__m128i t)
{
	__m128i carry = _mm_srai_epi32(_mm_shuffle_epi32(t, _MM_SHUFFLE(0, 1, 0, 3)), 31);

	return _mm_xor_si128(_mm_add_epi64(t, t),
			     _mm_and_si128(carry, _mm_set_epi32(0, 1, 0, 0x87)));
}

static WITH_AES void run_unit(const struct xts *x, bool encrypt, __m128i tweak, unsigned char *buf,
			      size_t len)
{
	for (size_t at = 0; at < len; at += LANES * BLOCK_BYTES) {
		__m128i b[LANES], t[LANES];

		for (size_t l = 0; l < LANES; l++, tweak = next_tweak(tweak)) {
			t[l] = tweak;
			b[l] = _mm_xor_si128(load(buf + at + l * BLOCK_BYTES), tweak);
		}
		run_lanes(&x->data, encrypt, b);
		for (size_t l = 0; l < LANES; l++)
			store(buf + at + l * BLOCK_BYTES, _mm_xor_si128(b[l], t[l]));
	}
}

bool crypto_aesni_has(const struct crypto_cipher_job *j)
{
	size_t half = j->key->len / 2;

	/* Two equal halves are for libcrypto to refuse. */
	return !strcmp(j->cipher->cipher, "aes") && !strcmp(j->cipher->mode, "xts") &&
	       (j->key->len == 32 || j->key->len == 64) &&
	       !crypto_equal(j->key->data, j->key->data + half, half) &&
	       j->unit_bytes % ((size_t)LANES * BLOCK_BYTES) == 0 && CPU_HAS(AES);
}

WITH_AES void crypto_aesni_run(const struct crypto_cipher_job *j)
{
	size_t half = j->key->len / 2;
	uint64_t sector = j->first_sector;
	unsigned char iv[CRYPTO_IV_MAX_BYTES];
	struct xts x;

	expand(j->key->data, half, &x.data);
	expand(j->key->data + half, half, &x.tweak);
	if (!j->encrypt)
		invert(&x.data);
	for (size_t at = 0; at < j->len; at += j->unit_bytes, sector++) {
		crypto_iv_sector(j->cipher, sector, iv);
		run_unit(&x, j->encrypt, encrypt_block(&x.tweak, load(iv)), j->buf + at,
			 j->unit_bytes);
	}
	explicit_bzero(&x, sizeof(x));
}
#else
bool crypto_aesni_has(const struct crypto_cipher_job *j)
{
	(void)j;
	return false;
}

void crypto_aesni_run(const struct crypto_cipher_job *j)
{
	(void)j;
}
#endif
