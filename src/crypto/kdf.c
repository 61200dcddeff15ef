// SPDX-License-Identifier: Apache-2.0
// Key derivation: which function, within which bounds, and the object in which derivations run.
#include "kdf.h"

#include <math.h>

#define ARGON2_KEY_MIN_BYTES 4
#define ARGON2_SALT_MIN_BYTES 8
#define ARGON2_LANE_MIN_KIB 8

static const char *const pbkdf_names[] = {
	[CRYPTO_PBKDF2] = "pbkdf2",
	[CRYPTO_ARGON2I] = "argon2i",
	[CRYPTO_ARGON2ID] = "argon2id",
};

const char *crypto_pbkdf_name(enum crypto_pbkdf_type t)
{
	return t >= CRYPTO_PBKDF2 && t <= CRYPTO_ARGON2ID ? pbkdf_names[t] : "unknown";
}

int crypto_pbkdf_type(const char *name, enum crypto_pbkdf_type *ret)
{
	for (unsigned int t = CRYPTO_PBKDF2; t <= CRYPTO_ARGON2ID; t++) {
		if (strcmp(name, pbkdf_names[t]) != 0)
			continue;
		*ret = (enum crypto_pbkdf_type)t;
		return 0;
	}
	return -EOPNOTSUPP;
}

static int check_range(const char *field, uint32_t v, uint32_t min, uint32_t max, struct err *e)
{
	if (v >= min && v <= max)
		return 0;
	return err_set(e, -EBADMSG, "%s %u isn't from %u to %u", field, v, min, max);
}

int crypto_pbkdf_check_stored(const struct crypto_pbkdf *p, struct err *e)
{
	int r;

	if (p->type == CRYPTO_PBKDF2)
		return check_range("pbkdf2 iterations", p->iterations, 1,
				   CRYPTO_PBKDF2_MAX_ITERATIONS, e);
	if (p->type != CRYPTO_ARGON2I && p->type != CRYPTO_ARGON2ID)
		return err_set(e, -EBADMSG, "no key derivation function has number %d",
			       (int)p->type);
	r = check_range("argon2 time", p->iterations, 1, CRYPTO_ARGON2_MAX_ITERATIONS, e);
	if (!r)
		r = check_range("argon2 cpus", p->parallel, 1, CRYPTO_ARGON2_OPEN_MAX_PARALLEL, e);
	if (!r)
		r = check_range("argon2 memory (KiB)", p->memory_kib,
				ARGON2_LANE_MIN_KIB * p->parallel, CRYPTO_ARGON2_MAX_MEMORY_KIB, e);
	if (!r && (uint64_t)p->iterations * p->memory_kib > CRYPTO_ARGON2_MAX_WORK_KIB)
		r = err_set(e, -EBADMSG,
			    "argon2 time %u with memory %u KiB is more work than allowed "
			    "(%llu KiB in all passes)",
			    p->iterations, p->memory_kib, CRYPTO_ARGON2_MAX_WORK_KIB);
	return r;
}

static char *copy_text(const char *s)
{
	return s ? strdup(s) : NULL;
}

int crypto_kdf_new_at(const char *root, const struct crypto_kdf_config *c, struct crypto_kdf **ret,
		      struct err *e)
{
	struct crypto_kdf *kdf = calloc(1, sizeof(*kdf));

	if (kdf) {
		kdf->root = copy_text(root);
		kdf->lock_dir = copy_text(c->lock_dir);
	}
	if (!kdf || !kdf->root || (c->lock_dir && !kdf->lock_dir)) {
		if (kdf) {
			free(kdf->root);
			free(kdf->lock_dir);
		}
		free(kdf);
		return err_set(e, -ENOMEM, "no memory for key derivations");
	}
	kdf->policy_bytes = c->budget_bytes;
	kdf->exceed_available = c->exceed_available;
	kdf->idle_max_bytes = c->idle_bytes;
	kdf->derived = c->derived;
	kdf->arg = c->arg;
	kdf->tail = &kdf->head;
	pthread_mutex_init(&kdf->lock, NULL);
	*ret = kdf;
	return 0;
}

int crypto_kdf_new(const struct crypto_kdf_config *c, struct crypto_kdf **ret, struct err *e)
{
	return crypto_kdf_new_at("", c, ret, e);
}

void crypto_kdf_free(struct crypto_kdf *kdf)
{
	if (!kdf)
		return;
	while (kdf->idle) {
		struct crypto_arena *next = kdf->idle->next;

		crypto_arena_free(kdf->idle);
		kdf->idle = next;
	}
	pthread_mutex_destroy(&kdf->lock);
	free(kdf->root);
	free(kdf->lock_dir);
	free(kdf);
}

static int derive_argon2(struct crypto_kdf *kdf, const struct crypto_pbkdf *p,
			 const struct crypto_argon2_input *in, const struct crypto_wish *wish,
			 struct secret *key, struct err *e)
{
	struct crypto_grant g;
	int r;

	if (key->cap < ARGON2_KEY_MIN_BYTES || in->salt.len < ARGON2_SALT_MIN_BYTES)
		return err_set(e, -EINVAL, "argon2 needs %d bytes of salt and makes %d of key",
			       ARGON2_SALT_MIN_BYTES, ARGON2_KEY_MIN_BYTES);
	r = crypto_admission_enter(kdf, p, wish->if_free, &g, e);
	if (r)
		return r;
	if (wish->admitted)
		wish->admitted(wish->arg);
	r = crypto_argon2(p, g.cpus, g.arena, in, key, e);
	crypto_admission_leave(kdf, &g);
	return r;
}

static int derive_pbkdf2(struct crypto_kdf *kdf, const struct crypto_pbkdf *p,
			 const struct crypto_pbkdf2_input *in, struct secret *key, struct err *e)
{
	int r;

	r = crypto_pbkdf2_run(p->hash, in, key->data, key->cap, e);
	if (r)
		return r;
	key->len = key->cap;
	pthread_mutex_lock(&kdf->lock);
	kdf->derivations++;
	pthread_mutex_unlock(&kdf->lock);
	return 0;
}

bool crypto_kdf_can_stop(const struct crypto_pbkdf *p)
{
	return p->type == CRYPTO_PBKDF2 ? crypto_sha_find(p->hash) != NULL
					: crypto_argon2_can_stop();
}

/* Measured on one processor of today; only their order matters. */
#define NS_SHA 100.0
#define NS_SHA512 300.0
#define NS_OTHER_HASH 800.0
#define NS_ARGON2_KIB 700.0

double crypto_pbkdf_cost(const struct crypto_pbkdf *p, size_t key_bytes)
{
	const struct crypto_sha *sha = crypto_sha_find(p->hash);
	size_t digest_bytes = sha ? sha->digest_bytes : CRYPTO_HASH_MAX_BYTES;
	size_t chains = (key_bytes + digest_bytes - 1) / digest_bytes;
	double ns = !sha ? NS_OTHER_HASH : sha->digest_bytes == 64 ? NS_SHA512 : NS_SHA;

	if (p->type == CRYPTO_PBKDF2)
		return ns * p->iterations * (double)chains;
	if (p->type == CRYPTO_ARGON2I || p->type == CRYPTO_ARGON2ID)
		return NS_ARGON2_KIB * p->iterations * p->memory_kib;
	return HUGE_VAL;
}

int crypto_kdf_derive(struct crypto_kdf *kdf, const struct crypto_pbkdf *p,
		      const struct secret *pass, const void *salt, size_t salt_len,
		      struct secret *key, struct err *e)
{
	const struct crypto_wish wish = { 0 };

	return crypto_kdf_derive_wish(kdf, p, pass, salt, salt_len, &wish, key, e);
}

int crypto_kdf_derive_wish(struct crypto_kdf *kdf, const struct crypto_pbkdf *p,
			   const struct secret *pass, const void *salt, size_t salt_len,
			   const struct crypto_wish *wish, struct secret *key, struct err *e)
{
	double from = kdf->derived ? base_now() : 0;
	int r;

	r = crypto_pbkdf_check_stored(p, e);
	if (r)
		return r;
	if (p->type == CRYPTO_PBKDF2)
		r = derive_pbkdf2(kdf, p,
				  &(struct crypto_pbkdf2_input){ .pass = pass,
								 .salt = { salt, salt_len },
								 .iterations = p->iterations,
								 .stop = wish->stop },
				  key, e);
	else
		r = derive_argon2(kdf, p,
				  &(struct crypto_argon2_input){ .pass = pass,
								 .salt = { salt, salt_len },
								 .stop = wish->stop },
				  wish, key, e);
	if (!r && kdf->derived)
		kdf->derived(kdf->arg, base_now() - from);
	return r;
}

void crypto_kdf_get_stats(struct crypto_kdf *kdf, struct crypto_kdf_stats *ret)
{
	struct crypto_limits l = { 0 };

	(void)crypto_limits_read(kdf, &l, NULL);
	pthread_mutex_lock(&kdf->lock);
	*ret = (struct crypto_kdf_stats){
		.budget_bytes = l.hard_bytes,
		.in_use_bytes = kdf->in_use_bytes,
		.peak_bytes = kdf->peak_bytes,
		.waiting = kdf->waiting,
		.derivations = kdf->derivations,
	};
	pthread_mutex_unlock(&kdf->lock);
}
