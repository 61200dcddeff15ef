// SPDX-License-Identifier: Apache-2.0
// Costs by measurement, where the user asked for a time: memory is grown first, then iterations.
#include "internal.h"

#include <math.h>
#include <time.h>

#define TRIES_MAX 12
#define GROWTH_MAX 16.0
/* One run is as long as its disturbances make it. The shortest of three, each about a quarter of
 * the time that is asked for, is nearer to what an unlock takes, and sooner there than one of full
 * length. */
#define RUNS 3
#define SHARE 4.0
#define NEAR 0.8
#define PBKDF2_SAMPLE_MS 100.0
#define PBKDF2_SAMPLE_ITERATIONS 20000u
#define SAMPLE_KEY_BYTES 64
#define SAMPLE_PASSPHRASE "measure"

static double timespec_ms(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

struct sample {
	struct secret *pass, *key;
	unsigned char salt[CRYPTO_SALT_BYTES];
};

/*
 * Milliseconds of one derivation. Other work on the machine must not make a keyslot cheaper: what
 * counts is CPU time divided by the threads that can run at once, or the elapsed time where that is
 * less (another thread of this process burns CPU time too).
 */
static int sample_ms(struct crypto_kdf *kdf, const struct crypto_pbkdf *p, struct sample *s,
		     double *ret_ms, struct err *e)
{
	unsigned int threads = 1;
	double wall, cpu;
	int r;

	if (p->type != CRYPTO_PBKDF2)
		threads = crypto_argon2_threads(p, crypto_cpus_read(""));
	wall = timespec_ms(CLOCK_MONOTONIC);
	cpu = timespec_ms(CLOCK_PROCESS_CPUTIME_ID);
	r = crypto_kdf_derive(kdf, p, s->pass, s->salt, sizeof(s->salt), s->key, e);
	if (r)
		return r;
	wall = timespec_ms(CLOCK_MONOTONIC) - wall;
	cpu = (timespec_ms(CLOCK_PROCESS_CPUTIME_ID) - cpu) / threads;
	*ret_ms = cpu < wall ? cpu : wall;
	if (*ret_ms < 0.001)
		*ret_ms = 0.001;
	return 0;
}

/* The shortest of several. */
static int best_ms(struct crypto_kdf *kdf, const struct crypto_pbkdf *p, struct sample *s,
		   double *ret_ms, struct err *e)
{
	double best = HUGE_VAL, ms = 0;

	for (unsigned int i = 0; i < RUNS; i++) {
		int r = sample_ms(kdf, p, s, &ms, e);

		if (r)
			return r;
		if (ms < best)
			best = ms;
	}
	*ret_ms = best;
	return 0;
}

static double limit_growth(double factor)
{
	return factor > GROWTH_MAX ? GROWTH_MAX : factor;
}

/* Spread the work (memory times iterations) over memory up to @max, the rest over iterations. */
static void spread_work(struct crypto_pbkdf *p, double work, uint32_t min, uint32_t max)
{
	double memory = work / CRYPTO_ARGON2_MIN_ITERATIONS, iterations;

	if (memory > max)
		memory = max;
	if (memory < min)
		memory = min;
	p->memory_kib = (uint32_t)memory;
	iterations = work / p->memory_kib + 0.5;
	if (iterations < CRYPTO_ARGON2_MIN_ITERATIONS)
		iterations = CRYPTO_ARGON2_MIN_ITERATIONS;
	if (iterations > CRYPTO_ARGON2_MAX_ITERATIONS)
		iterations = CRYPTO_ARGON2_MAX_ITERATIONS;
	if (iterations * p->memory_kib > (double)CRYPTO_ARGON2_MAX_WORK_KIB)
		iterations = (double)CRYPTO_ARGON2_MAX_WORK_KIB / p->memory_kib;
	p->iterations = (uint32_t)iterations;
}

static int measure_argon2(struct crypto_kdf *kdf, uint32_t target_ms, uint32_t max,
			  struct sample *s, struct crypto_pbkdf *p, struct err *e)
{
	uint32_t min = max < CRYPTO_ARGON2_POLICY_MIN_MEMORY_KIB
			       ? max
			       : CRYPTO_ARGON2_POLICY_MIN_MEMORY_KIB;

	p->memory_kib = min;
	p->iterations = CRYPTO_ARGON2_MIN_ITERATIONS;
	for (unsigned int i = 0; i < TRIES_MAX; i++) {
		double ms, work = (double)p->memory_kib * p->iterations;
		int r = best_ms(kdf, p, s, &ms, e);

		if (r)
			return r;
		log_debug("argon2 with %u KiB and time %u takes %.1f ms", p->memory_kib,
			  p->iterations, ms);
		if (ms >= target_ms / SHARE * NEAR) {
			spread_work(p, work * target_ms / ms, min, max);
			return 0;
		}
		spread_work(p, work * limit_growth(target_ms / SHARE / ms), min, max);
		if ((double)p->memory_kib * p->iterations <= work)
			return 0; /* no more is allowed */
	}
	return 0;
}

static int measure_pbkdf2(struct crypto_kdf *kdf, uint32_t target_ms, struct sample *s,
			  struct crypto_pbkdf *p, struct err *e)
{
	double ms = 0, iterations;
	int r;

	p->iterations = PBKDF2_SAMPLE_ITERATIONS;
	for (unsigned int i = 0; i < TRIES_MAX; i++) {
		r = sample_ms(kdf, p, s, &ms, e);
		if (r)
			return r;
		if (ms >= PBKDF2_SAMPLE_MS)
			break;
		p->iterations =
			(uint32_t)(p->iterations * limit_growth(1.2 * PBKDF2_SAMPLE_MS / ms));
	}
	r = best_ms(kdf, p, s, &ms, e);
	if (r)
		return r;
	iterations = p->iterations * (double)target_ms / ms;
	if (iterations < CRYPTO_PBKDF2_MIN_ITERATIONS)
		iterations = CRYPTO_PBKDF2_MIN_ITERATIONS;
	if (iterations > CRYPTO_PBKDF2_MAX_ITERATIONS)
		iterations = CRYPTO_PBKDF2_MAX_ITERATIONS;
	p->iterations = (uint32_t)iterations;
	return 0;
}

int crypto_measure_cost(struct crypto_kdf *kdf, uint32_t target_ms, uint32_t max_memory_kib,
			struct crypto_pbkdf *p, struct err *e)
{
	struct sample s = { 0 };
	int r;

	r = secret_new(sizeof(SAMPLE_PASSPHRASE), &s.pass, e);
	if (!r)
		r = secret_new(SAMPLE_KEY_BYTES, &s.key, e);
	if (!r)
		r = crypto_random(s.salt, sizeof(s.salt), e);
	if (!r) {
		memcpy(s.pass->data, SAMPLE_PASSPHRASE, sizeof(SAMPLE_PASSPHRASE));
		s.pass->len = sizeof(SAMPLE_PASSPHRASE);
		r = p->type == CRYPTO_PBKDF2
			    ? measure_pbkdf2(kdf, target_ms, &s, p, e)
			    : measure_argon2(kdf, target_ms, max_memory_kib, &s, p, e);
	}
	secret_free(s.pass);
	secret_free(s.key);
	return r;
}
