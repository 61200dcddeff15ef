// SPDX-License-Identifier: Apache-2.0
// Argon2 on 64-bit ARM: every core, against RFC 9106's and libargon2's outputs. Only what it takes
// is linked: no libcrypto for that processor is needed.
#include <cryptvol/crypto.h>

#include "crypto/argon2.h"
#include "crypto_argon2_vector.h"

#define MEMORY_MAX_KIB (64u * 1024)

static struct crypto_arena arena;
static int number;

/* Traces are looked for by test_crypto_traces, with the library's. */
void crypto_stack_wipe(void)
{
}

static void by_core(const struct argon2_core *core, struct argon2_vector *v, char **f)
{
	for (unsigned int threads = 1; threads <= 2; threads++) {
		CHECK_INT(crypto_argon2_by(core, threads, &v->p, &arena, &v->in, v->key, NULL), 0);
		CHECK_MSG(v->key->len == v->want_len && !memcmp(v->key->data, v->want, v->want_len),
			  "%s t=%s m=%s p=%s, %u threads", f[0], f[1], f[2], f[3], threads);
	}
}

static void each_vector(char **f)
{
	const struct argon2_core *core;
	struct argon2_vector v;
	char name[64];

	argon2_vector_read(&v, f);
	number++;
	for (unsigned int i = 0; (core = crypto_argon2_core(i)); i++) {
		if (!core->usable())
			continue;
		by_core(core, &v, f);
		snprintf(name, sizeof(name), "argon2_%s_%d", core->name, number);
		check_report(name);
	}
	argon2_vector_free(&v);
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
	argon2_vectors_run(each_vector);
	free(arena.data);
	return check_exit();
}
