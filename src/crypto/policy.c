// SPDX-License-Identifier: Apache-2.0
// What a new keyslot costs (docs/FORMAT.md, "PBKDF costs"): fixed, from the size of the machine
// alone.
#include "internal.h"

#define PARALLEL_DEFAULT_MAX 4u
#define MEMORY_CAP_KIB (1024u * 1024)
#define ARGON2_ITERATIONS 4u

/* What PBKDF2 costs by hash: about the time of argon2's default on one core of 2020. Other hashes
 * get the last line. */
static const struct {
	const char *hash;
	uint32_t iterations;
} pbkdf2_costs[] = {
	{ "sha1", 4000000 },
	{ "sha256", 3000000 },
	{ "sha512", 1500000 },
	{ NULL, 1000000 },
};

static uint32_t pbkdf2_cost(const char *hash)
{
	size_t i = 0;

	while (pbkdf2_costs[i].hash && strcmp(hash, pbkdf2_costs[i].hash) != 0)
		i++;
	return pbkdf2_costs[i].iterations;
}

static int check_option(const char *option, uint32_t v, uint32_t min, uint32_t max, struct err *e)
{
	if (!v || (v >= min && v <= max))
		return 0;
	return err_set(e, -EINVAL, "%s %u isn't from %u to %u", option, v, min, max);
}

static int check_request(const struct crypto_pbkdf_request *req, bool argon2, struct err *e)
{
	int r;

	if (req->force_iterations && req->iter_time_ms)
		return err_set(e, -EINVAL,
			       "--pbkdf-force-iterations and --iter-time exclude each other");
	if (!argon2) {
		if (req->memory_kib || req->parallel)
			return err_set(e, -EINVAL,
				       "%s has no meaning for pbkdf2, which uses neither memory "
				       "nor threads",
				       req->memory_kib ? "--pbkdf-memory" : "--pbkdf-parallel");
		return check_option("--pbkdf-force-iterations", req->force_iterations,
				    CRYPTO_PBKDF2_MIN_ITERATIONS, CRYPTO_PBKDF2_MAX_ITERATIONS, e);
	}
	r = check_option("--pbkdf-force-iterations", req->force_iterations,
			 CRYPTO_ARGON2_MIN_ITERATIONS, CRYPTO_ARGON2_MAX_ITERATIONS, e);
	if (!r)
		r = check_option("--pbkdf-memory", req->memory_kib, CRYPTO_ARGON2_MIN_MEMORY_KIB,
				 CRYPTO_ARGON2_MAX_MEMORY_KIB, e);
	if (!r)
		r = check_option("--pbkdf-parallel", req->parallel, 1, CRYPTO_ARGON2_MAX_PARALLEL,
				 e);
	return r;
}

/* At most half of what there is, at most 1 GiB. */
static uint32_t policy_memory_kib(const struct crypto_policy_machine *m)
{
	uint64_t kib = m->total_bytes / 2 / KIB;

	if (kib > MEMORY_CAP_KIB)
		kib = MEMORY_CAP_KIB;
	if (kib < CRYPTO_ARGON2_MIN_MEMORY_KIB)
		kib = CRYPTO_ARGON2_MIN_MEMORY_KIB;
	return (uint32_t)kib;
}

static void fill_argon2(const struct crypto_policy_machine *m,
			const struct crypto_pbkdf_request *req, struct crypto_pbkdf *p)
{
	uint32_t cpus = m->cpus_online ? m->cpus_online : 1;

	p->iterations = req->force_iterations ? req->force_iterations : ARGON2_ITERATIONS;
	p->memory_kib = req->memory_kib ? req->memory_kib : policy_memory_kib(m);
	p->parallel = cpus < PARALLEL_DEFAULT_MAX ? cpus : PARALLEL_DEFAULT_MAX;
	if (req->high_entropy) {
		p->memory_kib = req->memory_kib ? req->memory_kib : CRYPTO_ARGON2_MIN_MEMORY_KIB;
		p->parallel = 1;
	}
	if (req->parallel)
		p->parallel = req->parallel;
}

int crypto_policy_fill(const struct crypto_policy_machine *m,
		       const struct crypto_pbkdf_request *req, struct crypto_pbkdf *ret,
		       struct err *e)
{
	struct crypto_pbkdf p = { .type = req->type ? req->type : CRYPTO_ARGON2ID };
	const char *hash = req->hash && req->hash[0] ? req->hash : "sha256";
	bool argon2 = p.type != CRYPTO_PBKDF2;
	size_t digest_bytes;
	int r;

	r = check_request(req, argon2, e);
	if (r)
		return r;
	if (argon2) {
		fill_argon2(m, req, &p);
	} else {
		r = crypto_hash_size(hash, &digest_bytes, e);
		if (r)
			return r;
		text_copy(p.hash, sizeof(p.hash), hash);
		p.iterations = req->high_entropy ? CRYPTO_PBKDF2_MIN_ITERATIONS : pbkdf2_cost(hash);
		if (req->force_iterations)
			p.iterations = req->force_iterations;
	}
	r = crypto_pbkdf_check_stored(&p, NULL);
	if (r)
		return err_set(e, -EINVAL,
			       "--pbkdf-force-iterations %u with --pbkdf-memory %u is too much",
			       p.iterations, p.memory_kib);
	*ret = p;
	return 0;
}

static int look_at_machine(struct crypto_policy_machine *ret, struct err *e)
{
	uint64_t available;
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	ret->cpus_online = cpus > 0 ? (uint32_t)cpus : 1;
	return crypto_machine_memory(&ret->total_bytes, &available, e);
}

int crypto_pbkdf_fill(struct crypto_kdf *kdf, const struct crypto_pbkdf_request *req,
		      struct crypto_pbkdf *ret, struct err *e)
{
	struct crypto_policy_machine m = { 0 };
	struct crypto_pbkdf p = { 0 };
	int r = 0;

	if (req->type != CRYPTO_PBKDF2) /* its cost doesn't depend on the machine */
		r = look_at_machine(&m, e);
	if (!r)
		r = crypto_policy_fill(&m, req, &p, e);
	if (!r && req->iter_time_ms)
		r = crypto_measure_cost(kdf, req->iter_time_ms, p.memory_kib, &p, e);
	if (!r)
		*ret = p;
	return r;
}
