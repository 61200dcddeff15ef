// SPDX-License-Identifier: Apache-2.0
// Argon2 on 64-bit ARM: every core, against RFC 9106's and libargon2's outputs. Only what it takes
// is linked: no libcrypto for that processor is needed.
#include <cryptvol/crypto.h>

#include "crypto/argon2.h"
#include "crypto/internal.h"
#include "crypto_vectors.h"

#define MEMORY_MAX_KIB (64u * 1024)

static struct crypto_arena arena;
static int number;

/* Traces are looked for by test_crypto_traces, with the library's. */
void crypto_stack_wipe(void)
{
}

static void by_core(const struct argon2_core *core, char **f)
{
	unsigned char salt[VECTOR_BYTES_MAX], secret[VECTOR_BYTES_MAX], ad[VECTOR_BYTES_MAX],
		want[VECTOR_BYTES_MAX];
	_cleanup_secret_ struct secret *pass = vector_secret(f[4]), *key = NULL;
	size_t want_len = vector_bytes(f[8], want);
	struct crypto_argon2_input in = { .pass = pass,
					  .salt = { salt, vector_bytes(f[5], salt) },
					  .secret = { secret, vector_bytes(f[6], secret) },
					  .ad = { ad, vector_bytes(f[7], ad) } };
	struct crypto_pbkdf p = { .type = strcmp(f[0], "argon2i") ? CRYPTO_ARGON2ID
								  : CRYPTO_ARGON2I,
				  .iterations = (uint32_t)atoi(f[1]),
				  .memory_kib = (uint32_t)atoi(f[2]),
				  .parallel = (uint32_t)atoi(f[3]) };

	if (p.memory_kib > MEMORY_MAX_KIB)
		return;
	REQUIRE(!secret_new(want_len, &key, NULL));
	for (unsigned int threads = 1; threads <= 2; threads++) {
		CHECK_INT(crypto_argon2_by(core, threads, &p, &arena, &in, key, NULL), 0);
		CHECK_MSG(key->len == want_len && !memcmp(key->data, want, want_len),
			  "%s t=%s m=%s p=%s, %u threads", f[0], f[1], f[2], f[3], threads);
	}
}

static void each_vector(char **f)
{
	const struct argon2_core *core;
	char name[64];

	number++;
	for (unsigned int i = 0; (core = crypto_argon2_core(i)); i++) {
		if (!core->usable())
			continue;
		by_core(core, f);
		snprintf(name, sizeof(name), "argon2_%s_%d", core->name, number);
		check_report(name);
	}
}

static void best_is_neon(void)
{
	CHECK_STR(crypto_argon2_best()->name, "neon");
}

int main(void)
{
	arena.bytes = MEMORY_MAX_KIB * KIB;
	arena.data = aligned_alloc(4096, arena.bytes);
	if (!arena.data)
		return 1;
	RUN(best_is_neon);
	if (vectors_run("argon2.txt", 9, each_vector) < 10 ||
	    vectors_run("argon2-oracle.txt", 9, each_vector) < 40) {
		CHECK_MSG(false, "vectors are missing");
		check_report("argon2_vectors");
	}
	free(arena.data);
	return check_exit();
}
