// SPDX-License-Identifier: Apache-2.0
// benchmark: speed of PBKDFs and ciphers, in memory, and how long an unlock takes with the costs
// that a new keyslot gets here. As lines like cryptsetup's, or as JSON.
#include "cli.h"

#include <stdio.h>

#define CIPHER_BYTES (16u * 1024 * 1024)
#define DEFAULT_TIME_MS 2000u
#define RUNS 3 /* of each, by the clock on the wall; the median counts */
#define RUN_SECONDS 0.1
#define KEY_BYTES 64 /* of a keyslot area with the default cipher */

/* What was measured is printed as it comes; in JSON that takes commas, and arrays to be closed. */
struct report {
	struct cli *c;
	bool json, all;
	const char *array; /* the one that is open */
	bool first;	   /* nothing is in it yet */
};

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *v)
{
	qsort(v, RUNS, sizeof(*v), by_size);
	return v[RUNS / 2];
}

/* ---- JSON ---- */

static void close_array(struct report *p)
{
	if (p->array)
		printf("]");
	p->array = NULL;
}

/* The start of an object in @array. */
static void object(struct report *p, const char *array)
{
	if (!p->array || strcmp(p->array, array) != 0) {
		close_array(p);
		printf("%s\"%s\":[", p->first ? "" : ",", array);
		p->array = array;
	} else {
		printf(",");
	}
	p->first = false;
	printf("{");
}

static void number_or_null(const char *name, double v, bool known)
{
	if (known)
		printf(",\"%s\":%.1f", name, v);
	else
		printf(",\"%s\":null", name);
}

static bool is_lacking(int r)
{
	return r == -EOPNOTSUPP || r == -EHOSTDOWN;
}

/* What this machine lacks has its line, without a figure; where it was asked for by name that is an
 * error. */
static int lacking(const struct report *p, int r)
{
	if (!p->all)
		return r;
	err_clear(&p->c->err);
	return 0;
}

/* ---- PBKDF2 ---- */

static int time_pbkdf2(struct cli *c, const char *hash, const struct secret *pass,
		       uint32_t iterations, double *ret_seconds)
{
	uint8_t salt[CRYPTO_SALT_BYTES] = { 0 }, out[32];
	double start = base_now();
	int r;

	r = crypto_pbkdf2(hash, pass, salt, sizeof(salt), iterations, out, sizeof(out), &c->err);
	*ret_seconds = base_now() - start;
	secret_wipe(out, sizeof(out));
	return r;
}

/* Double the work until it takes long enough, then the median of several runs. */
static int pbkdf2_speed(struct cli *c, const char *hash, double *ret_per_second)
{
	_cleanup_secret_ struct secret *pass = NULL;
	uint32_t iterations = 1000;
	double took[RUNS] = { 0 };
	int r;

	r = secret_random(8, &pass, &c->err);
	if (!r)
		r = time_pbkdf2(c, hash, pass, iterations, &took[0]);
	while (!r && took[0] < RUN_SECONDS && iterations < CRYPTO_PBKDF2_MAX_ITERATIONS / 2) {
		iterations *= 2;
		r = time_pbkdf2(c, hash, pass, iterations, &took[0]);
	}
	for (size_t i = 1; !r && i < RUNS; i++)
		r = time_pbkdf2(c, hash, pass, iterations, &took[i]);
	if (!r)
		*ret_per_second = iterations / median(took);
	return r;
}

static int measure_pbkdf2(struct report *p, const char *hash)
{
	double speed = 0;
	int r = pbkdf2_speed(p->c, hash, &speed);

	if (r && !is_lacking(r))
		return r;
	if (p->json) {
		object(p, "pbkdf2");
		printf("\"hash\":");
		cli_json_text(hash);
		number_or_null("iterations_per_second", speed, !r);
		printf("}");
	} else if (!r) {
		printf("PBKDF2-%-9s %7.0f iterations per second for 256-bit key\n", hash, speed);
	} else {
		printf("PBKDF2-%-9s     N/A\n", hash);
	}
	return lacking(p, r);
}

/* ---- argon2 ---- */

static void cost_json(const struct crypto_pbkdf *cost)
{
	printf("\"type\":\"%s\",\"iterations\":%u,\"memory_kib\":%u,\"parallel\":%u",
	       crypto_pbkdf_name(cost->type), cost->iterations, cost->memory_kib, cost->parallel);
}

static int measure_argon2(struct report *p, enum crypto_pbkdf_type type)
{
	struct cli *c = p->c;
	uint32_t time_ms = cli_set(c, OPT_ITER_TIME) ? cli_u32(c, OPT_ITER_TIME) : DEFAULT_TIME_MS;
	struct crypto_pbkdf_request req = {
		.type = type,
		.iter_time_ms = time_ms,
		.memory_kib = cli_u32(c, OPT_PBKDF_MEMORY),
		.parallel = cli_u32(c, OPT_PBKDF_PARALLEL),
	};
	struct crypto_pbkdf cost = { 0 };
	int r;

	cli_drop_useless(&req);
	r = cli_kdf(c);
	if (!r)
		r = crypto_pbkdf_fill(c->env.kdf, &req, &cost, &c->err);
	if (r)
		return r;
	if (p->json) {
		object(p, "argon2");
		cost_json(&cost);
		printf(",\"target_ms\":%u}", time_ms);
	} else {
		printf("%-10s %4u iterations, %5u memory, %1u parallel threads (CPUs) for 256-bit "
		       "key (requested %u ms time)\n",
		       crypto_pbkdf_name(type), cost.iterations, cost.memory_kib, cost.parallel,
		       time_ms);
	}
	return 0;
}

/* ---- this machine's policy ---- */

/* A process that unlocks one volume finds no memory mapped by an earlier derivation. */
static int time_unlock(struct cli *c, const struct crypto_pbkdf *cost, double *ret_seconds)
{
	_cleanup_secret_ struct secret *pass = NULL, *key = NULL;
	uint8_t salt[CRYPTO_SALT_BYTES] = { 0 };
	double start;
	int r;

	crypto_kdf_free(c->env.kdf);
	c->env.kdf = NULL;
	r = cli_kdf(c);
	if (!r)
		r = secret_random(8, &pass, &c->err);
	if (!r)
		r = secret_new(KEY_BYTES, &key, &c->err);
	start = base_now();
	if (!r)
		r = crypto_kdf_derive(c->env.kdf, cost, pass, salt, sizeof(salt), key, &c->err);
	*ret_seconds = base_now() - start;
	return r;
}

static int measure_policy(struct report *p)
{
	struct crypto_pbkdf_request req = { 0 };
	struct crypto_pbkdf cost = { 0 };
	double took[RUNS] = { 0 };
	int r;

	r = cli_kdf(p->c);
	if (!r)
		r = crypto_pbkdf_fill(p->c->env.kdf, &req, &cost, &p->c->err);
	for (size_t i = 0; !r && i < RUNS; i++)
		r = time_unlock(p->c, &cost, &took[i]);
	if (r)
		return r;
	if (p->json) {
		close_array(p);
		printf("%s\"policy\":{", p->first ? "" : ",");
		p->first = false;
		cost_json(&cost);
		number_or_null("unlock_ms", median(took) * 1e3, true);
		printf("}");
	} else {
		printf("# A new keyslot here: %s, %u iterations, %u memory, %u parallel threads; "
		       "an unlock takes %.0f ms.\n",
		       crypto_pbkdf_name(cost.type), cost.iterations, cost.memory_kib,
		       cost.parallel, median(took) * 1e3);
	}
	return 0;
}

/* ---- ciphers ---- */

static int cipher_speed(struct cli *c, const char *spec, uint32_t bits, double *ret_enc,
			double *ret_dec)
{
	double enc[RUNS], dec[RUNS];
	int r = 0;

	for (size_t i = 0; !r && i < RUNS; i++)
		r = crypto_cipher_measure(spec, bits / 8, CIPHER_BYTES, &enc[i], &dec[i], &c->err);
	if (r)
		return r;
	*ret_enc = median(enc) / 1048576;
	*ret_dec = median(dec) / 1048576;
	return 0;
}

static int measure_cipher(struct report *p, const char *spec, uint32_t bits)
{
	int name = (int)(strrchr(spec, '-') ? strrchr(spec, '-') - spec : (long)strlen(spec));
	int pad = 15 - name > 0 ? 15 - name : 0;
	double enc = 0, dec = 0;
	int r = cipher_speed(p->c, spec, bits, &enc, &dec);

	if (r && !is_lacking(r))
		return r;
	if (p->json) {
		object(p, "ciphers");
		printf("\"cipher\":");
		cli_json_text(spec);
		printf(",\"key_bits\":%u", bits);
		number_or_null("encryption_mib_per_second", enc, !r);
		number_or_null("decryption_mib_per_second", dec, !r);
		printf("}");
	} else if (!r) {
		printf("%*s%.*s  %9ub  %10.1f MiB/s  %10.1f MiB/s\n", pad, "", name, spec, bits,
		       enc, dec);
	} else {
		printf("%*s%.*s  %9ub  %13s  %15s\n", pad, "", name, spec, bits, "N/A", "N/A");
	}
	return lacking(p, r);
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

static void print_cipher_head(const struct report *p)
{
	if (!p->json)
		printf("#     Algorithm |       Key |      Encryption |      Decryption\n");
}

static int measure_all(struct report *p)
{
	int r = 0;

	p->all = true;
	for (size_t i = 0; !r && i < ARRAY_SIZE(hashes); i++)
		r = measure_pbkdf2(p, hashes[i]);
	if (!r)
		r = measure_argon2(p, CRYPTO_ARGON2I);
	if (!r)
		r = measure_argon2(p, CRYPTO_ARGON2ID);
	if (!r)
		r = measure_policy(p);
	if (!r)
		print_cipher_head(p);
	for (size_t i = 0; !r && i < ARRAY_SIZE(ciphers); i++)
		r = measure_cipher(p, ciphers[i].spec, ciphers[i].bits);
	return r;
}

static int measure_asked(struct report *p)
{
	struct cli *c = p->c;
	const char *cipher = cli_text(c, OPT_CIPHER), *pbkdf = cli_text(c, OPT_PBKDF);
	enum crypto_pbkdf_type type = CRYPTO_PBKDF2;

	if (cipher) {
		print_cipher_head(p);
		return measure_cipher(p, cipher,
				      cli_u32(c, OPT_KEY_SIZE) ? cli_u32(c, OPT_KEY_SIZE)
				      : strstr(cipher, "xts")  ? 512
							       : 256);
	}
	if (pbkdf)
		crypto_pbkdf_type(pbkdf, &type);
	if (pbkdf && type != CRYPTO_PBKDF2)
		return measure_argon2(p, type);
	if (pbkdf || cli_set(c, OPT_HASH))
		return measure_pbkdf2(p, cli_text(c, OPT_HASH) ?: "sha256");
	return measure_all(p);
}

int cmd_benchmark(struct cli *c)
{
	struct report p = { .c = c, .json = cli_set(c, OPT_JSON), .first = true };
	int r;

	if (p.json)
		printf("{");
	else
		printf("# Tests are approximate using memory only (no storage IO).\n");
	r = measure_asked(&p);
	if (p.json) { /* whole even where an error cut it short: the exit status tells */
		close_array(&p);
		printf("}\n");
	}
	return r;
}
