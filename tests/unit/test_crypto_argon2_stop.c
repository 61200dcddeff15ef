// SPDX-License-Identifier: Apache-2.0
// Our own argon2, stopped.
#include <cryptvol/crypto.h>

#include <pthread.h>

#include "check.h"
#include "crypto/argon2.h"
#include "crypto/internal.h"
#include "crypto_stop.h"

static struct secret *pass, *key;
static const unsigned char salt[16];

static int derive(const struct argon2_core *core, unsigned int cpus, const struct crypto_pbkdf *p,
		  struct crypto_arena *arena, const _Atomic bool *stop, struct err *e)
{
	const struct crypto_argon2_input in = { .pass = pass,
						.salt = { salt, sizeof(salt) },
						.stop = stop };

	key->len = 0;
	return crypto_argon2_by(core, cpus, p, arena, &in, key, e);
}

/* Hours of work by every core, with lanes in one thread and in several: it ends soon, nothing is
 * left in memory, and the same memory derives the right key afterwards. */
static void stopped_anywhere(void)
{
	const struct argon2_core *core;
	struct crypto_pbkdf p = { CRYPTO_ARGON2ID, "", 1, 8192, 1 };
	struct crypto_arena *arena = NULL;
	unsigned char want[32];

	REQUIRE(crypto_argon2_can_stop());
	REQUIRE(!secret_new(8, &pass, NULL) && !secret_new(32, &key, NULL));
	REQUIRE(!crypto_arena_new(8 * MIB, &arena, NULL));
	REQUIRE(!derive(&crypto_argon2_portable, 1, &p, arena, NULL, NULL));
	memcpy(want, key->data, sizeof(want));
	for (unsigned int i = 0; (core = crypto_argon2_core(i)); i++) {
		for (unsigned int n = 0; core->usable() && n < 6; n++) {
			const struct crypto_pbkdf endless = { CRYPTO_ARGON2ID, "", 60000, 8192,
							      1u << n / 2 };
			_Atomic bool stop = n == 5; /* before it begins */
			pthread_t id;
			bool several = n & 1;
			int r;
			struct err e = { 0 };

			REQUIRE(!pthread_create(&id, NULL, stop_soon, &stop));
			r = derive(core, several ? 4 : 1, &endless, arena, &stop, &e);
			CHECK_INT(r, -ECANCELED);
			CHECK_CONTAINS(e.text, "no longer wanted");
			CHECK_INT(key->len, 0);
			for (size_t at = 0; at < arena->bytes; at++)
				REQUIRE(!arena->data[at]);
			pthread_join(id, NULL);
			REQUIRE(!derive(core, 1, &p, arena, NULL, NULL));
			CHECK_MEM(key->data, want, sizeof(want));
		}
	}
	crypto_arena_free(arena);
	secret_free(pass);
	secret_free(key);
}

int main(void)
{
	RUN(stopped_anywhere);
	return check_exit();
}
