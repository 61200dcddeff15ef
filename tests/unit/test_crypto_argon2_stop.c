// SPDX-License-Identifier: Apache-2.0
// Our own argon2, stopped.
#include <cryptvol/crypto.h>

#include <pthread.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "crypto/argon2.h"
#include "crypto/internal.h"

static double now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

static void *stop_soon(void *arg)
{
	usleep(30000);
	*(_Atomic bool *)arg = true;
	return NULL;
}

/* Hours of work by every core, with lanes in one thread and in several: it ends soon, nothing is
 * left in memory, and the same memory derives the right key afterwards. */
static void stopped_anywhere(void)
{
	const struct argon2_core *core;
	struct secret *pass = NULL, *key = NULL;
	struct crypto_arena *arena = NULL;
	static const unsigned char salt[16];

	REQUIRE(crypto_argon2_can_stop());
	REQUIRE(!secret_new(8, &pass, NULL) && !secret_new(32, &key, NULL));
	REQUIRE(!crypto_arena_new(8 * MIB, &arena, NULL));
	for (unsigned int i = 0; (core = crypto_argon2_core(i)); i++) {
		for (unsigned int n = 0; core->usable() && n < 6; n++) {
			struct crypto_pbkdf p = { CRYPTO_ARGON2ID, "", 60000, 8192, 1u << n / 2 };
			_Atomic bool stop = n == 5; /* before it begins */
			struct crypto_argon2_input in = { .pass = pass,
							  .salt = { salt, sizeof(salt) },
							  .stop = &stop };
			pthread_t id;
			bool several = n & 1;
			double from = now_ms();
			int r;
			struct err e = { 0 };

			key->len = 0;
			REQUIRE(!pthread_create(&id, NULL, stop_soon, &stop));
			r = crypto_argon2_by(core, several ? 4 : 1, &p, arena, &in, key, &e);
			CHECK_INT(r, -ECANCELED);
			CHECK(now_ms() - from < 10000);
			CHECK_CONTAINS(e.text, "no longer wanted");
			CHECK_INT(key->len, 0);
			for (size_t at = 0; at < arena->bytes; at++)
				REQUIRE(!arena->data[at]);
			pthread_join(id, NULL);
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
