// SPDX-License-Identifier: Apache-2.0
// Our argon2 beside libargon2: a grid of 1,000 sets of costs and random ones, by every core that
// this processor runs and by one thread or several.
#include <cryptvol/crypto.h>

#include <argon2.h>

#include "check.h"
#include "crypto/argon2.h"
#include "crypto/internal.h"

#define ARENA_BYTES (16 * MIB)
#define INPUT_MAX_BYTES 320
#define KEY_MAX_BYTES 512
/* ThreadSanitizer, ten times as slow, is for what the threads do: that depends little on the costs.
 */
#ifdef __SANITIZE_THREAD__
#define EVERY 7
#else
#define EVERY 1
#endif
#define RANDOM_SETS (300 / EVERY)
#define THREADS_MAX 3

static struct crypto_arena *arena;
static uint64_t seed, state;

/* splitmix64 */
static uint64_t draw(uint64_t below)
{
	uint64_t x = state += 0x9e3779b97f4a7c15;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
	x = (x ^ x >> 27) * 0x94d049bb133111eb;
	return (x ^ x >> 31) % below;
}

struct input {
	unsigned char pass[INPUT_MAX_BYTES], salt[INPUT_MAX_BYTES], secret[INPUT_MAX_BYTES],
		ad[INPUT_MAX_BYTES];
	uint32_t pass_len, salt_len, secret_len, ad_len, key_len;
};

static void draw_input(struct input *in)
{
	for (size_t i = 0; i < INPUT_MAX_BYTES; i++) {
		in->pass[i] = (unsigned char)draw(256);
		in->salt[i] = (unsigned char)draw(256);
		in->secret[i] = (unsigned char)draw(256);
		in->ad[i] = (unsigned char)draw(256);
	}
	in->pass_len = (uint32_t)draw(INPUT_MAX_BYTES);
	in->salt_len = 8 + (uint32_t)draw(64);
	in->secret_len = draw(2) ? (uint32_t)draw(40) : 0;
	in->ad_len = draw(2) ? (uint32_t)draw(40) : 0;
	in->key_len = 4 + (uint32_t)draw(KEY_MAX_BYTES - 3);
}

static void oracle(const struct crypto_pbkdf *p, struct input *in, unsigned char *key)
{
	argon2_context c = { .out = key,
			     .outlen = in->key_len,
			     .pwd = in->pass,
			     .pwdlen = in->pass_len,
			     .salt = in->salt,
			     .saltlen = in->salt_len,
			     .secret = in->secret,
			     .secretlen = in->secret_len,
			     .ad = in->ad,
			     .adlen = in->ad_len,
			     .t_cost = p->iterations,
			     .m_cost = p->memory_kib,
			     .lanes = p->parallel,
			     .threads = 1,
			     .version = ARGON2_VERSION_13 };

	CHECK_INT(argon2_ctx(&c, p->type == CRYPTO_ARGON2I ? Argon2_i : Argon2_id), ARGON2_OK);
}

static void ours(const struct argon2_core *core, unsigned int threads, const struct crypto_pbkdf *p,
		 const struct input *in, const unsigned char *want)
{
	_cleanup_secret_ struct secret *pass = NULL, *key = NULL;
	struct crypto_argon2_input given;

	REQUIRE(!secret_new(INPUT_MAX_BYTES, &pass, NULL) && !secret_new(in->key_len, &key, NULL));
	memcpy(pass->data, in->pass, in->pass_len);
	pass->len = in->pass_len;
	given = (struct crypto_argon2_input){ .pass = pass,
					      .salt = { in->salt, in->salt_len },
					      .secret = { in->secret, in->secret_len },
					      .ad = { in->ad, in->ad_len } };
	CHECK_INT(crypto_argon2_by(core, threads, p, arena, &given, key, NULL), 0);
	CHECK_INT(key->len, in->key_len);
	CHECK_MSG(!memcmp(key->data, want, in->key_len),
		  "%s, %u threads: %s t=%u m=%u p=%u, %u bytes of key, seed %llx", core->name,
		  threads, crypto_pbkdf_name(p->type), p->iterations, p->memory_kib, p->parallel,
		  in->key_len, (unsigned long long)seed);
}

static void compare(const struct crypto_pbkdf *p, struct input *in)
{
	const struct argon2_core *core;
	unsigned char want[KEY_MAX_BYTES];

	oracle(p, in, want);
	for (unsigned int i = 0; (core = crypto_argon2_core(i)); i++)
		if (core->usable())
			ours(core, 1 + (unsigned int)draw(THREADS_MAX), p, in, want);
}

static void grid_of_1000(void)
{
	static const uint32_t passes[] = { 1, 2, 3, 4, 6 }, lanes[] = { 1, 2, 3, 4, 8 },
			      key_lens[] = { 4, 32, 64, 65 };
	/* the least, a remainder that isn't used, one address block, two, more than two */
	static const struct {
		uint32_t a_lane, more;
	} memory[] = { { 8, 0 }, { 8, 7 }, { 33, 5 }, { 521, 3 }, { 1050, 0 } };
	unsigned int sets = 0;
	struct input in;

	for (size_t i = 0; i < 2 * 5 * 5 * 5 * 4; i += EVERY) {
		size_t n = i;
		struct crypto_pbkdf p = { .type = n % 2 ? CRYPTO_ARGON2I : CRYPTO_ARGON2ID };

		p.iterations = passes[(n /= 2) % 5];
		p.parallel = lanes[(n /= 5) % 5];
		n /= 5;
		p.memory_kib = memory[n % 5].a_lane * p.parallel + memory[n % 5].more;
		draw_input(&in);
		in.key_len = key_lens[n / 5];
		compare(&p, &in);
		sets++;
	}
	CHECK_INT(sets, (1000 + EVERY - 1) / EVERY);
}

static void random_sets(void)
{
	struct input in;

	for (unsigned int i = 0; i < RANDOM_SETS; i++) {
		struct crypto_pbkdf p = { .type = draw(2) ? CRYPTO_ARGON2I : CRYPTO_ARGON2ID };

		p.iterations = 1 + (uint32_t)draw(5);
		p.parallel = 1 + (uint32_t)draw(draw(4) ? 8 : 64);
		p.memory_kib = 8 * p.parallel + (uint32_t)draw(2500);
		draw_input(&in);
		compare(&p, &in);
	}
}

/* What LUKS2 allows at its ends: as many lanes, as much key. */
static void the_ends(void)
{
	struct crypto_pbkdf p = { .type = CRYPTO_ARGON2ID,
				  .iterations = 2,
				  .memory_kib = 8 * CRYPTO_ARGON2_OPEN_MAX_PARALLEL,
				  .parallel = CRYPTO_ARGON2_OPEN_MAX_PARALLEL };
	struct input in;

	draw_input(&in);
	in.key_len = CRYPTO_KEY_MAX_BYTES;
	compare(&p, &in);
	p.memory_kib = ARENA_BYTES / 1024;
	compare(&p, &in);
	p.iterations = 3000 / EVERY;
	p.memory_kib = 8;
	p.parallel = 1;
	in.pass_len = 0;
	compare(&p, &in);
}

static void cores_by_speed(void)
{
	const struct argon2_core *core;
	unsigned int n = 0;

	while ((core = crypto_argon2_core(n))) {
		printf("# %s: %s\n", core->name,
		       core->usable() ? "tested" : "this processor hasn't it");
		n++;
	}
	REQUIRE(n >= 2);
	CHECK_STR(crypto_argon2_core(n - 1)->name, "portable");
	CHECK(crypto_argon2_portable.usable());
	CHECK(crypto_argon2_best()->usable());
}

int main(void)
{
	if (crypto_random(&seed, sizeof(seed), NULL) || crypto_arena_new(ARENA_BYTES, &arena, NULL))
		return 1;
	state = seed;
	RUN(cores_by_speed);
	RUN(grid_of_1000);
	RUN(random_sets);
	RUN(the_ends);
	crypto_arena_free(arena);
	return check_exit();
}
