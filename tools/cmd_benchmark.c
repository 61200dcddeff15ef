// SPDX-License-Identifier: Apache-2.0
// benchmark: speed of PBKDFs and ciphers, in memory.
#include "cli.h"

#include <stdio.h>
#include <time.h>

#define CIPHER_BYTES (32u * 1024 * 1024)
#define DEFAULT_TIME_MS 2000u

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Double the work until it takes a quarter of a second. */
static int measure_pbkdf2(struct cli *c, const char *hash)
{
	_cleanup_secret_ struct secret *pass = NULL;
	uint8_t salt[CRYPTO_SALT_BYTES] = { 0 }, out[32];
	uint32_t iterations = 1000;
	double took = 0;
	int r;

	r = secret_random(8, &pass, &c->err);
	for (; !r && took < 0.25 && iterations < CRYPTO_PBKDF2_MAX_ITERATIONS / 2;
	     iterations *= 2) {
		double start = seconds();

		r = crypto_pbkdf2(hash, pass, salt, sizeof(salt), iterations, out, sizeof(out),
				  &c->err);
		took = seconds() - start;
	}
	secret_wipe(out, sizeof(out));
	if (r == -EOPNOTSUPP) {
		err_clear(&c->err);
		printf("PBKDF2-%-9s     N/A\n", hash);
		return 0;
	}
	if (!r) /* the loop doubled once more after the last run */
		printf("PBKDF2-%-9s %7.0f iterations per second for 256-bit key\n", hash,
		       iterations / (2 * took));
	return r;
}

static int measure_argon2(struct cli *c, enum crypto_pbkdf_type type)
{
	uint32_t time_ms = cli_set(c, OPT_ITER_TIME) ? cli_u32(c, OPT_ITER_TIME) : DEFAULT_TIME_MS;
	struct crypto_pbkdf_request req = {
		.type = type,
		.iter_time_ms = time_ms,
		.memory_kib = cli_u32(c, OPT_PBKDF_MEMORY),
		.parallel = cli_u32(c, OPT_PBKDF_PARALLEL),
	};
	struct crypto_pbkdf cost = { 0 };
	int r;

	r = cli_kdf(c);
	if (!r)
		r = crypto_pbkdf_fill(c->env.kdf, &req, &cost, &c->err);
	if (!r)
		printf("%-10s %4u iterations, %5u memory, %1u parallel threads (CPUs) for 256-bit "
		       "key (requested %u ms time)\n",
		       crypto_pbkdf_name(type), cost.iterations, cost.memory_kib, cost.parallel,
		       time_ms);
	return r;
}

static int measure_cipher(struct cli *c, const char *spec, uint32_t bits)
{
	double enc, dec;
	int name = (int)(strrchr(spec, '-') ? strrchr(spec, '-') - spec : (long)strlen(spec));
	int r;

	r = crypto_cipher_measure(spec, bits / 8, CIPHER_BYTES, &enc, &dec, &c->err);
	if (r == -EHOSTDOWN || r == -EOPNOTSUPP) {
		printf("%*s%.*s  %9ub  %13s  %15s\n", 15 - name > 0 ? 15 - name : 0, "", name, spec,
		       bits, "N/A", "N/A");
		err_clear(&c->err);
		return 0;
	}
	if (!r)
		printf("%*s%.*s  %9ub  %10.1f MiB/s  %10.1f MiB/s\n", 15 - name > 0 ? 15 - name : 0,
		       "", name, spec, bits, enc / 1048576, dec / 1048576);
	return r;
}

static const struct {
	const char *spec;
	uint32_t bits;
} ciphers[] = {
	{ "aes-cbc-essiv:sha256", 128 },
	{ "serpent-cbc-essiv:sha256", 128 },
	{ "twofish-cbc-essiv:sha256", 128 },
	{ "aes-cbc-essiv:sha256", 256 },
	{ "serpent-cbc-essiv:sha256", 256 },
	{ "twofish-cbc-essiv:sha256", 256 },
	{ "aes-xts-plain64", 256 },
	{ "serpent-xts-plain64", 256 },
	{ "twofish-xts-plain64", 256 },
	{ "aes-xts-plain64", 512 },
	{ "serpent-xts-plain64", 512 },
	{ "twofish-xts-plain64", 512 },
	{ "xchacha12,aes-adiantum-plain64", 256 },
};
static const char *const hashes[] = { "sha1", "sha256", "sha512", "ripemd160", "whirlpool" };

static void print_cipher_head(void)
{
	printf("#     Algorithm |       Key |      Encryption |      Decryption\n");
}

static int measure_all(struct cli *c)
{
	int r = 0;

	for (size_t i = 0; !r && i < ARRAY_SIZE(hashes); i++)
		r = measure_pbkdf2(c, hashes[i]);
	if (!r)
		r = measure_argon2(c, CRYPTO_ARGON2I);
	if (!r)
		r = measure_argon2(c, CRYPTO_ARGON2ID);
	if (!r)
		print_cipher_head();
	for (size_t i = 0; !r && i < ARRAY_SIZE(ciphers); i++)
		r = measure_cipher(c, ciphers[i].spec, ciphers[i].bits);
	return r;
}

int cmd_benchmark(struct cli *c)
{
	const char *cipher = cli_text(c, OPT_CIPHER), *pbkdf = cli_text(c, OPT_PBKDF);
	enum crypto_pbkdf_type type = CRYPTO_PBKDF2;

	printf("# Tests are approximate using memory only (no storage IO).\n");
	if (cipher) {
		print_cipher_head();
		return measure_cipher(c, cipher,
				      cli_u32(c, OPT_KEY_SIZE) ? cli_u32(c, OPT_KEY_SIZE)
				      : strstr(cipher, "xts")  ? 512
							       : 256);
	}
	if (pbkdf)
		crypto_pbkdf_type(pbkdf, &type);
	if (pbkdf && type != CRYPTO_PBKDF2)
		return measure_argon2(c, type);
	if (pbkdf || cli_set(c, OPT_HASH))
		return measure_pbkdf2(c, cli_text(c, OPT_HASH) ?: "sha256");
	return measure_all(c);
}
