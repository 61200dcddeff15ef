// SPDX-License-Identifier: Apache-2.0
// The costs of new keyslots: from the machine's size alone, overridable within limits; bounds of
// stored ones.
#include <cryptvol/crypto.h>

#include <sched.h>

#include "check.h"
#include "crypto/internal.h"

static void by_size_of_the_machine(void)
{
	static const struct {
		uint64_t total_bytes;
		uint32_t cpus, memory_kib, parallel;
	} cases[] = {
		{ 64 * GIB, 64, 1048576, 4 }, { 2 * GIB, 2, 1048576, 2 }, { 1 * GIB, 1, 524288, 1 },
		{ 256 * MIB, 3, 131072, 3 },  { 128 * MIB, 4, 65536, 4 }, { 64 * MIB, 1, 32768, 1 },
		{ 32 * KIB, 1, 32, 1 },	      { 4 * GIB, 0, 1048576, 1 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct crypto_policy_machine m = { cases[i].total_bytes, cases[i].cpus };
		struct crypto_pbkdf p = { 0 };

		CHECK_INT(crypto_policy_fill(&m, &(struct crypto_pbkdf_request){ 0 }, &p, NULL), 0);
		CHECK_INT(p.type, CRYPTO_ARGON2ID);
		CHECK_INT(p.iterations, 4);
		CHECK_INT(p.memory_kib, cases[i].memory_kib);
		CHECK_INT(p.parallel, cases[i].parallel);
		CHECK_STR(p.hash, "");
		CHECK_INT(crypto_pbkdf_check_stored(&p, NULL), 0);
	}
}

static void pbkdf2_by_hash(void)
{
	struct crypto_policy_machine m = { GIB, 1 };
	static const struct {
		const char *hash;
		uint32_t iterations;
	} cases[] = { { NULL, 3000000 },     { "", 3000000 },	  { "sha256", 3000000 },
		      { "sha512", 1500000 }, { "sha1", 4000000 }, { "ripemd160", 1000000 } };

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct crypto_pbkdf_request req = { .type = CRYPTO_PBKDF2, .hash = cases[i].hash };
		struct crypto_pbkdf p = { 0 };

		CHECK_INT(crypto_policy_fill(&m, &req, &p, NULL), 0);
		CHECK_INT(p.iterations, cases[i].iterations);
		CHECK_INT(p.memory_kib, 0);
		CHECK_INT(p.parallel, 0);
		CHECK_STR(p.hash, cases[i].hash && cases[i].hash[0] ? cases[i].hash : "sha256");
		/* a random key: the least that cryptsetup writes */
		req.high_entropy = true;
		CHECK_INT(crypto_policy_fill(&m, &req, &p, NULL), 0);
		CHECK_INT(p.iterations, 1000);
	}
}

static void overridden(void)
{
	struct crypto_policy_machine m = { 64 * GIB, 8 };
	struct crypto_pbkdf p;

	CHECK_INT(crypto_policy_fill(&m,
				     &(struct crypto_pbkdf_request){ .type = CRYPTO_ARGON2I,
								     .force_iterations = 7,
								     .memory_kib = 32,
								     .parallel = 3 },
				     &p, NULL),
		  0);
	CHECK(p.type == CRYPTO_ARGON2I && p.iterations == 7 && p.memory_kib == 32 &&
	      p.parallel == 3);
	CHECK_INT(crypto_policy_fill(&m, &(struct crypto_pbkdf_request){ .high_entropy = true }, &p,
				     NULL),
		  0);
	CHECK(p.type == CRYPTO_ARGON2ID && p.iterations == 4 && p.memory_kib == 32 &&
	      p.parallel == 1);
	CHECK_INT(crypto_policy_fill(&m,
				     &(struct crypto_pbkdf_request){ .high_entropy = true,
								     .memory_kib = 1024,
								     .parallel = 2 },
				     &p, NULL),
		  0);
	CHECK(p.memory_kib == 1024 && p.parallel == 2);
}

static void refused_by_name(void)
{
	static const struct {
		struct crypto_pbkdf_request req;
		int r;
		const char *says;
	} cases[] = {
		{ { .force_iterations = 3 }, -EINVAL, "--pbkdf-force-iterations 3" },
		{ { .force_iterations = 100001 }, -EINVAL, "--pbkdf-force-iterations 100001" },
		{ { .memory_kib = 31 }, -EINVAL, "--pbkdf-memory 31" },
		{ { .memory_kib = 4194305 }, -EINVAL, "--pbkdf-memory 4194305" },
		{ { .parallel = 5 }, -EINVAL, "--pbkdf-parallel 5" },
		{ { .force_iterations = 1000, .memory_kib = 4194304 },
		  -EINVAL,
		  "--pbkdf-force-iterations" },
		{ { .force_iterations = 4, .iter_time_ms = 1 }, -EINVAL, "--iter-time" },
		{ { .type = CRYPTO_PBKDF2, .force_iterations = 999 },
		  -EINVAL,
		  "--pbkdf-force-iterations 999" },
		{ { .type = CRYPTO_PBKDF2, .force_iterations = 1000000001 },
		  -EINVAL,
		  "--pbkdf-force-iterations 1000000001" },
		{ { .type = CRYPTO_PBKDF2, .memory_kib = 64 }, -EINVAL, "--pbkdf-memory" },
		{ { .type = CRYPTO_PBKDF2, .parallel = 1 }, -EINVAL, "--pbkdf-parallel" },
		{ { .type = CRYPTO_PBKDF2, .hash = "nonsense" }, -EOPNOTSUPP, "nonsense" },
	};
	struct crypto_policy_machine m = { GIB, 1 };

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct crypto_pbkdf p = { .iterations = 4711 };
		struct err e = { 0 };

		CHECK_INT(crypto_policy_fill(&m, &cases[i].req, &p, &e), cases[i].r);
		CHECK_CONTAINS(e.text, cases[i].says);
		CHECK_INT(p.iterations, 4711);
	}
}

static void stored_bounds(void)
{
	static const struct {
		struct crypto_pbkdf p;
		const char *says; /* NULL: accepted */
	} cases[] = {
		{ { CRYPTO_PBKDF2, "sha256", 1, 0, 0 }, NULL },
		{ { CRYPTO_PBKDF2, "sha256", 1000000000, 0, 0 }, NULL },
		{ { CRYPTO_PBKDF2, "sha256", 0, 0, 0 }, "iterations 0" },
		{ { CRYPTO_PBKDF2, "sha256", 1000000001, 0, 0 }, "iterations 1000000001" },
		{ { CRYPTO_ARGON2ID, "", 1, 8, 1 }, NULL },
		{ { CRYPTO_ARGON2I, "", 4, 4194304, 64 }, NULL },
		{ { CRYPTO_ARGON2ID, "", 0, 32, 1 }, "time 0" },
		{ { CRYPTO_ARGON2ID, "", 100001, 32, 1 }, "time 100001" },
		{ { CRYPTO_ARGON2ID, "", 4, 7, 1 }, "memory (KiB) 7" },
		{ { CRYPTO_ARGON2ID, "", 4, 31, 4 }, "memory (KiB) 31" },
		{ { CRYPTO_ARGON2ID, "", 4, 4194305, 4 }, "memory (KiB) 4194305" },
		{ { CRYPTO_ARGON2ID, "", 4, 65536, 0 }, "cpus 0" },
		{ { CRYPTO_ARGON2ID, "", 4, 65536, 65 }, "cpus 65" },
		{ { CRYPTO_ARGON2ID, "", 129, 4194304, 4 }, "more work than allowed" },
		{ { 0, "", 4, 65536, 4 }, "number 0" },
		{ { 9, "", 4, 65536, 4 }, "number 9" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct err e = { 0 };

		CHECK_INT(crypto_pbkdf_check_stored(&cases[i].p, &e), cases[i].says ? -EBADMSG : 0);
		CHECK_CONTAINS(e.text, cases[i].says ?: "");
	}
}

static void names(void)
{
	enum crypto_pbkdf_type type = 0;

	CHECK_STR(crypto_pbkdf_name(CRYPTO_PBKDF2), "pbkdf2");
	CHECK_STR(crypto_pbkdf_name(CRYPTO_ARGON2I), "argon2i");
	CHECK_STR(crypto_pbkdf_name(CRYPTO_ARGON2ID), "argon2id");
	CHECK_STR(crypto_pbkdf_name(0), "unknown");
	CHECK_INT(crypto_pbkdf_type("argon2id", &type), 0);
	CHECK_INT(type, CRYPTO_ARGON2ID);
	CHECK_INT(crypto_pbkdf_type("argon2d", &type), -EOPNOTSUPP);
	CHECK_INT(crypto_pbkdf_type("", &type), -EOPNOTSUPP);
	CHECK_INT(type, CRYPTO_ARGON2ID);
}

/* Asked for by time: memory up to what was allowed, then iterations; never below the least. */
static void measured(void)
{
	struct crypto_pbkdf p = { 0 };
	struct crypto_kdf *kdf = NULL;
	struct err e = { 0 };

	REQUIRE(!crypto_kdf_new(&(struct crypto_kdf_config){ 0 }, &kdf, NULL));
	CHECK_MSG(!crypto_pbkdf_fill(kdf,
				     &(struct crypto_pbkdf_request){ .iter_time_ms = 150,
								     .memory_kib = 512,
								     .parallel = 1 },
				     &p, &e),
		  "%s", e.text);
	CHECK_INT(p.memory_kib, 512);
	CHECK_MSG(p.iterations > 4, "time %u", p.iterations);
	CHECK_INT(p.parallel, 1);
	CHECK_MSG(!crypto_pbkdf_fill(kdf,
				     &(struct crypto_pbkdf_request){ .iter_time_ms = 1,
								     .memory_kib = 131072,
								     .parallel = 1 },
				     &p, &e),
		  "%s", e.text);
	CHECK_INT(p.memory_kib, 65536);
	CHECK_INT(p.iterations, 4);
	CHECK_MSG(!crypto_pbkdf_fill(kdf,
				     &(struct crypto_pbkdf_request){ .type = CRYPTO_PBKDF2,
								     .iter_time_ms = 100 },
				     &p, &e),
		  "%s", e.text);
	/* a hundredth and a hundred times of a machine of today */
	CHECK_MSG(p.iterations > 8000 && p.iterations < 80000000, "%u", p.iterations);
	crypto_kdf_free(kdf);
}

/* Every third derivation, the first one among them, is disturbed for 200 ms while it is timed. */
static void disturb(void *arg, double seconds)
{
	unsigned int *calls = arg;
	double until = base_now() + 0.2;

	(void)seconds;
	if ((*calls)++ % 3 == 0)
		while (base_now() < until)
			;
}

static void disturbed(void)
{
	static const struct crypto_pbkdf_request cases[] = {
		{ .iter_time_ms = 200, .memory_kib = 512, .parallel = 1 },
		{ .type = CRYPTO_PBKDF2, .iter_time_ms = 200 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct crypto_pbkdf quiet = { 0 }, p = { 0 };
		struct crypto_kdf *kdf = NULL, *busy = NULL;
		unsigned int calls = 0;

		REQUIRE(!crypto_kdf_new(&(struct crypto_kdf_config){ 0 }, &kdf, NULL));
		REQUIRE(!crypto_kdf_new(
			&(struct crypto_kdf_config){ .derived = disturb, .arg = &calls }, &busy,
			NULL));
		CHECK_INT(crypto_pbkdf_fill(kdf, &cases[i], &quiet, NULL), 0);
		CHECK_INT(crypto_pbkdf_fill(busy, &cases[i], &p, NULL), 0);
		CHECK_INT(p.memory_kib, quiet.memory_kib);
		CHECK_MSG(p.iterations > quiet.iterations / 2, "%s: %u, undisturbed %u",
			  crypto_pbkdf_name(p.type), p.iterations, quiet.iterations);
		crypto_kdf_free(kdf);
		crypto_kdf_free(busy);
	}
}

/* Where fewer processors may be used than there are, two lanes take one of them twice as long. */
static void measured_on_one_processor(void)
{
	const struct crypto_pbkdf_request one = { .iter_time_ms = 200,
						  .memory_kib = 1024,
						  .parallel = 1 },
					  two = { .iter_time_ms = 200,
						  .memory_kib = 1024,
						  .parallel = 2 };
	struct crypto_pbkdf a = { 0 }, b = { 0 };
	struct crypto_kdf *kdf = NULL;
	cpu_set_t before, set;

	REQUIRE(!sched_getaffinity(0, sizeof(before), &before));
	if (CPU_COUNT(&before) < 2)
		SKIP_TEST("one processor is all there is");
	REQUIRE(!crypto_kdf_new(&(struct crypto_kdf_config){ 0 }, &kdf, NULL));
	CPU_ZERO(&set);
	for (int i = 0; i < CPU_SETSIZE && !CPU_COUNT(&set); i++)
		if (CPU_ISSET(i, &before))
			CPU_SET(i, &set);
	REQUIRE(!sched_setaffinity(0, sizeof(set), &set));
	CHECK_INT(crypto_pbkdf_fill(kdf, &one, &a, NULL), 0);
	CHECK_INT(crypto_pbkdf_fill(kdf, &two, &b, NULL), 0);
	CHECK_INT(sched_setaffinity(0, sizeof(before), &before), 0);
	CHECK_MSG(b.iterations < 1.5 * a.iterations, "two lanes: %u, one: %u", b.iterations,
		  a.iterations);
	crypto_kdf_free(kdf);
}

/* The same twice: nothing that changes from one moment to the next goes in. */
static void fixed_cost(void)
{
	struct crypto_pbkdf a, b;
	struct crypto_kdf *kdf = NULL;
	char *load;

	REQUIRE(!crypto_kdf_new(&(struct crypto_kdf_config){ 0 }, &kdf, NULL));
	CHECK_INT(crypto_pbkdf_fill(kdf, &(struct crypto_pbkdf_request){ 0 }, &a, NULL), 0);
	load = malloc(200 * MIB);
	REQUIRE(load);
	memset(load, 1, 200 * MIB);
	CHECK_INT(crypto_pbkdf_fill(kdf, &(struct crypto_pbkdf_request){ 0 }, &b, NULL), 0);
	CHECK_INT(load[5], 1);
	free(load);
	CHECK_MEM(&a, &b, sizeof(a));
	crypto_kdf_free(kdf);
}

int main(void)
{
	RUN(by_size_of_the_machine);
	RUN(pbkdf2_by_hash);
	RUN(overridden);
	RUN(refused_by_name);
	RUN(stored_bounds);
	RUN(names);
	RUN(measured);
	RUN(disturbed);
	RUN(measured_on_one_processor);
	RUN(fixed_cost);
	return check_exit();
}
