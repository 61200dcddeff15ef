// SPDX-License-Identifier: Apache-2.0
// The vectors of argon2: tests/vectors/argon2.txt and argon2-oracle.txt.
#pragma once

#include "crypto/internal.h"
#include "crypto_vectors.h"

struct argon2_vector {
	unsigned char salt[VECTOR_BYTES_MAX], secret[VECTOR_BYTES_MAX], ad[VECTOR_BYTES_MAX],
		want[VECTOR_BYTES_MAX];
	size_t want_len;
	struct secret *pass, *key; /* the key: room for @want */
	struct crypto_argon2_input in;
	struct crypto_pbkdf p;
};

/** A line's fields; what it lends to the input stays in @v. */
static inline void argon2_vector_read(struct argon2_vector *v, char **f)
{
	v->pass = vector_secret(f[4]);
	v->key = NULL;
	v->want_len = vector_bytes(f[8], v->want);
	v->in = (struct crypto_argon2_input){ .pass = v->pass,
					      .salt = { v->salt, vector_bytes(f[5], v->salt) },
					      .secret = { v->secret,
							  vector_bytes(f[6], v->secret) },
					      .ad = { v->ad, vector_bytes(f[7], v->ad) } };
	v->p = (struct crypto_pbkdf){ .type = strcmp(f[0], "argon2i") ? CRYPTO_ARGON2ID
								      : CRYPTO_ARGON2I,
				      .iterations = (uint32_t)atoi(f[1]),
				      .memory_kib = (uint32_t)atoi(f[2]),
				      .parallel = (uint32_t)atoi(f[3]) };
	if (secret_new(v->want_len, &v->key, NULL))
		abort();
}

static inline void argon2_vector_free(struct argon2_vector *v)
{
	secret_free(v->pass);
	secret_free(v->key);
}

static inline void argon2_vectors_run(void (*each)(char **fields))
{
	if (vectors_run("argon2.txt", 9, each) < 10 ||
	    vectors_run("argon2-oracle.txt", 9, each) < 40) {
		CHECK_MSG(false, "vectors are missing");
		check_report("argon2_vectors");
	}
}
