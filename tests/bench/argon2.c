// SPDX-License-Identifier: Apache-2.0
// argon2id by libargon2, by each of our cores that this processor runs, by libgcrypt and where it
// can by libsodium, in turn, at equal output; and what the memory alone takes of one lane's time.
//
// usage: argon2 MEMORY_MIB LANES ROUNDS
// A line a derivation: round, name, processor time in us, time in us. Each gets and gives back its
// memory, as an unlock in a process of its own does.
#include <cryptvol/crypto.h>

#include <argon2.h>
#include <gcrypt.h>
#include <sodium/core.h>
#include <sodium/crypto_pwhash.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#include "crypto/argon2.h"
#include "crypto/crew.h"
#include "crypto/internal.h"

#define PASSES 4
#define KEY_BYTES 64
#define PASS "correct horse"
#define SALT "0123456789abcdef0123456789abcdef"

static uint64_t us(int64_t seconds, int64_t microseconds)
{
	return (uint64_t)seconds * 1000000 + (uint64_t)microseconds;
}

static uint64_t wall_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return us(t.tv_sec, t.tv_nsec / 1000);
}

static uint64_t cpu_us(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return us(u.ru_utime.tv_sec, u.ru_utime.tv_usec) +
	       us(u.ru_stime.tv_sec, u.ru_stime.tv_usec);
}

static void must(int r, const char *what)
{
	if (!r)
		return;
	fprintf(stderr, "argon2: %s: %d\n", what, r);
	exit(1);
}

/* A virtual machine's memory that was free for a second or two may be the host's again: it costs
 * whoever comes first. As much as is needed, just before, so that it costs neither. */
static void warm(size_t bytes)
{
	struct crypto_arena *a;

	must(crypto_arena_new(bytes, &a, NULL), "memory");
	crypto_arena_free(a);
}

static void theirs(const struct crypto_pbkdf *p, unsigned char *key)
{
	must(argon2id_hash_raw(p->iterations, p->memory_kib, p->parallel, PASS, strlen(PASS), SALT,
			       strlen(SALT), key, KEY_BYTES),
	     "libargon2");
}

/* One lane, and salts of 16 bytes, so that its output is another one. */
static void by_libsodium(const struct crypto_pbkdf *p, unsigned char *key)
{
	must(crypto_pwhash(key, KEY_BYTES, PASS, strlen(PASS), (const unsigned char *)SALT,
			   p->iterations, (size_t)p->memory_kib * KIB,
			   crypto_pwhash_ALG_ARGON2ID13),
	     "libsodium");
}

static void by_libgcrypt(const struct crypto_pbkdf *p, unsigned char *key)
{
	const unsigned long costs[] = { KEY_BYTES, p->iterations, p->memory_kib, p->parallel };
	gcry_kdf_hd_t kdf;

	must(gcry_kdf_open(&kdf, GCRY_KDF_ARGON2, GCRY_KDF_ARGON2ID, costs, ARRAY_SIZE(costs), PASS,
			   strlen(PASS), SALT, strlen(SALT), NULL, 0, NULL, 0) ||
		     gcry_kdf_compute(kdf, NULL) || gcry_kdf_final(kdf, KEY_BYTES, key),
	     "libgcrypt");
	gcry_kdf_close(kdf);
}

static void ours(const struct argon2_core *core, const struct crypto_pbkdf *p,
		 const struct crypto_argon2_input *in, struct secret *key)
{
	struct crypto_arena *a;

	must(crypto_arena_new((size_t)p->memory_kib * KIB, &a, NULL), "memory");
	must(crypto_argon2_by(core, crypto_cpus(), p, a, in, key, NULL), core->name);
	crypto_arena_free(a);
}

/* What is left of one lane without the work: as many blocks read, from the second half of the first
 * pass on where the one before says, and as many written in order, XORed into what is there from
 * the second pass on. */
static void memory_alone(const struct crypto_pbkdf *p, unsigned char *key)
{
	size_t n = p->memory_kib, bytes = n * ARGON2_BLOCK_BYTES;
	struct argon2_block *blocks;
	struct crypto_arena *a;
	uint64_t at = 1, sum;

	(void)key;
	must(crypto_arena_new(bytes, &a, NULL), "memory");
	blocks = (struct argon2_block *)(void *)a->data;
	for (size_t i = 0; i < n * p->iterations; i++) {
		volatile const uint64_t *from = blocks[(at >> 32) * n >> 32].v;
		volatile uint64_t *to = blocks[i % n].v;

		sum = 0;
		for (unsigned int w = 0; w < ARGON2_WORDS; w += 8)
			sum |= from[w];
		for (unsigned int w = 0; w < ARGON2_WORDS; w += 8)
			to[w] = i < n ? i : to[w] ^ i;
		/* Knuth's MMIX */
		at = at * 6364136223846793005u + (i < n / 2 ? 1 : (sum & 1) + 1);
	}
	crypto_arena_free(a);
}

struct side {
	const char *name;
	void (*derive)(const struct crypto_pbkdf *p, unsigned char *key);
	const struct argon2_core *core; /* in place of derive */
	bool other_output;
};

/* What libargon2 gave is what the others have to give. */
static void one(unsigned int round, const struct side *s, const struct crypto_pbkdf *p,
		const struct crypto_argon2_input *in, const unsigned char *want, struct secret *key)
{
	uint64_t cpu, wall;

	warm((size_t)p->memory_kib * KIB);
	cpu = cpu_us();
	wall = wall_us();
	if (s->core)
		ours(s->core, p, in, key);
	else
		s->derive(p, key->data);
	wall = wall_us() - wall;
	cpu = cpu_us() - cpu;
	printf("%u %s %llu %llu\n", round, s->name, (unsigned long long)cpu,
	       (unsigned long long)wall);
	if (want && !s->other_output)
		must(memcmp(want, key->data, KEY_BYTES), "the outputs differ");
}

static unsigned int sides(struct side *ret, unsigned int lanes)
{
	const struct argon2_core *core;
	unsigned int n = 0;

	ret[n++] = (struct side){ .name = "libargon2", .derive = theirs };
	for (unsigned int i = 0; (core = crypto_argon2_core(i)); i++)
		if (core->usable())
			ret[n++] = (struct side){ .name = core->name, .core = core };
	ret[n++] = (struct side){ .name = "libgcrypt", .derive = by_libgcrypt };
	if (lanes > 1)
		return n;
	ret[n++] = (struct side){ "libsodium", by_libsodium, .other_output = true };
	ret[n++] = (struct side){ "memory-alone", memory_alone, .other_output = true };
	return n;
}

int main(int argc, char **argv)
{
	struct crypto_pbkdf p = { .type = CRYPTO_ARGON2ID, .iterations = PASSES };
	struct secret *pass = NULL, *key = NULL;
	struct crypto_argon2_input in;
	unsigned char want[KEY_BYTES];
	char copy[] = PASS;
	unsigned int rounds, n;
	struct side s[8];

	if (argc != 4) {
		fprintf(stderr, "usage: argon2 MEMORY_MIB LANES ROUNDS\n");
		return 2;
	}
	p.memory_kib = (uint32_t)strtoul(argv[1], NULL, 10) * 1024;
	p.parallel = (uint32_t)strtoul(argv[2], NULL, 10);
	rounds = (unsigned int)strtoul(argv[3], NULL, 10);
	must(secret_from_bytes(copy, strlen(PASS), &pass, NULL) ||
		     secret_new(KEY_BYTES, &key, NULL),
	     "memory");
	in = (struct crypto_argon2_input){ .pass = pass, .salt = { SALT, strlen(SALT) } };
	gcry_check_version(NULL);
	gcry_control(GCRYCTL_DISABLE_SECMEM, 0);
	gcry_control(GCRYCTL_INITIALIZATION_FINISHED, 0);
	must(sodium_init(), "libsodium");
	n = sides(s, p.parallel);
	for (unsigned int round = 0; round < rounds; round++) {
		one(round, &s[0], &p, &in, NULL, key);
		memcpy(want, key->data, KEY_BYTES);
		for (unsigned int i = 1; i < n; i++)
			one(round, &s[i], &p, &in, want, key);
	}
	secret_free(key);
	secret_free(pass);
	return 0;
}
