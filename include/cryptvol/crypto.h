// SPDX-License-Identifier: Apache-2.0
// Crypto: hashes, PBKDFs with admission by memory, sector ciphers for keyslot areas, random
// numbers.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct secret;

#define CRYPTO_NAME_MAX 32	  /* hash and KDF names, with NUL */
#define CRYPTO_CIPHER_SPEC_MAX 96 /* a dm-crypt cipher specification, with NUL */
#define CRYPTO_HASH_MAX_BYTES 64
#define CRYPTO_KEY_MAX_BYTES 512 /* no key of a header may be longer */

/* ---- hashes: whatever libcrypto knows, by the kernel's and cryptsetup's spelling ("sha256",
 * "blake2b-512", ...) ---- */

/** crypto_hash_size - digest length in bytes; -EOPNOTSUPP where libcrypto has no such hash (or an
 * XOF). */
int crypto_hash_size(const char *name, size_t *ret_bytes, struct err *e);

struct crypto_iov {
	const void *data;
	size_t len;
};

/** crypto_hash - digest over @n pieces, one after another, into @out[*_hash_size]. */
int crypto_hash(const char *name, const struct crypto_iov *iov, size_t n, void *out, struct err *e);
/** A SHA-256 over what comes piece by piece and isn't secret. */
struct crypto_sha256 {
	uint64_t state[14];
};
void crypto_sha256_begin(struct crypto_sha256 *s);
void crypto_sha256_add(struct crypto_sha256 *s, const void *data, size_t len);
void crypto_sha256_end(struct crypto_sha256 *s, uint8_t ret[32]);

/**
 * crypto_hash_chain - the diffusion of the AF splitter (LUKS1 specification 2.4) over @n stripes of
 * @len bytes: @acc ^= stripe, then each digest-sized piece of @acc becomes H(its index, 32 bits
 * big-endian || itself), the last one cut to what is left. Behind its @len bytes @acc has room for
 * a digest: wipe it afterwards.
 */
int crypto_hash_chain(const char *name, const void *stripes, size_t n, void *acc, size_t len,
		      struct err *e);

/** crypto_random - @len bytes of getrandom(2); half a MiB and more by several threads. */
int crypto_random(void *buf, size_t len, struct err *e);

/** crypto_equal - constant-time comparison. */
bool crypto_equal(const void *a, const void *b, size_t len);

/* ---- password-based key derivation ---- */

enum crypto_pbkdf_type {
	CRYPTO_PBKDF2 = 1,
	CRYPTO_ARGON2I,
	CRYPTO_ARGON2ID,
};

/** crypto_pbkdf_name / _type - "pbkdf2", "argon2i", "argon2id"; -EOPNOTSUPP for another name. */
const char *crypto_pbkdf_name(enum crypto_pbkdf_type t);
int crypto_pbkdf_type(const char *name, enum crypto_pbkdf_type *ret);

/** Costs as they stand on disk. hash: PBKDF2 only. iterations: argon2's "time". memory, parallel:
 * argon2 only. */
struct crypto_pbkdf {
	enum crypto_pbkdf_type type;
	char hash[CRYPTO_NAME_MAX];
	uint32_t iterations;
	uint32_t memory_kib;
	uint32_t parallel;
};

/* What a header may ask of us at most, and what a new keyslot costs at least (cryptsetup's minima).
 */
#define CRYPTO_PBKDF2_MIN_ITERATIONS 1000u
#define CRYPTO_PBKDF2_MAX_ITERATIONS 1000000000u
#define CRYPTO_ARGON2_MIN_ITERATIONS 4u
#define CRYPTO_ARGON2_MAX_ITERATIONS 100000u
#define CRYPTO_ARGON2_MIN_MEMORY_KIB 32u
#define CRYPTO_ARGON2_POLICY_MIN_MEMORY_KIB 65536u
#define CRYPTO_ARGON2_MAX_MEMORY_KIB (4u * 1024 * 1024)
#define CRYPTO_ARGON2_MAX_PARALLEL 4u	    /* of a keyslot that we make */
#define CRYPTO_ARGON2_OPEN_MAX_PARALLEL 64u /* of a keyslot that we open */
/* time * memory of a keyslot that we try: as long as PBKDF2's highest iterations, some ten minutes
 */
#define CRYPTO_ARGON2_MAX_WORK_KIB (512ull * 1024 * 1024)
#define CRYPTO_SALT_BYTES 32u

/** crypto_pbkdf_check_stored - may a stored keyslot with these costs be tried at all? -EBADMSG
 * names the field. */
int crypto_pbkdf_check_stored(const struct crypto_pbkdf *p, struct err *e);

/**
 * crypto_pbkdf_fill - costs of a new keyslot from what the user asked (0 / "" = unset) and the
 * stated policy (docs/FORMAT.md "PBKDF costs"): a fixed cost that depends on the machine's size
 * alone, never on its load.
 */
struct crypto_pbkdf_request {
	enum crypto_pbkdf_type type; /* 0 = argon2id */
	const char *hash;	     /* NULL = sha256 */
	uint32_t force_iterations;   /* 0 = unset: fixed cost, or iter_time_ms */
	uint32_t iter_time_ms; /* 0 = unset; else the cost is measured so that one derivation takes
				  this long */
	uint32_t memory_kib;   /* 0 = policy */
	uint32_t parallel;     /* 0 = policy */
	bool high_entropy; /* the passphrase is a random key: the cheapest allowed cost is sound */
};
struct crypto_kdf;
int crypto_pbkdf_fill(struct crypto_kdf *kdf, const struct crypto_pbkdf_request *req,
		      struct crypto_pbkdf *ret, struct err *e);

/**
 * struct crypto_kdf - where derivations run: arenas of memory that are used again, and admission by
 * a memory budget, first come first served, for all threads of the process and (lock file) for all
 * processes of the host; in the process no more at once than there are processors. One a process;
 * thread-safe.
 */
struct crypto_kdf_config {
	uint64_t budget_bytes; /* 0 = no policy limit of the owner's; min() with cgroup memory.max
				  and MemAvailable holds anyway */
	uint64_t idle_bytes;   /* memory that may stay mapped for the next derivation; 0 = 256 MiB,
				  at most half of what may be used. For a process that ends soon:
				  UINT64_MAX */
	const char *lock_dir;  /* directory of the host's admission lock file, NULL = this process
				  only */
	bool exceed_available; /* one that runs alone may take more than is available just now
				  (never more than a limit): the host swaps, or ends a process */
	/* After each derivation, in its thread: how long it took, its turn in the queue included.
	 * May be NULL. */
	void (*derived)(void *arg, double seconds);
	void *arg;
};
int crypto_kdf_new(const struct crypto_kdf_config *c, struct crypto_kdf **ret, struct err *e);
void crypto_kdf_free(struct crypto_kdf *kdf);

/**
 * crypto_kdf_derive - fill key->data[0..key->cap) (key->len is set) from @pass and @salt. Blocks
 * until it is admitted. -ENOMEM with a sentence where the costs alone exceed what may ever be
 * used.
 */
int crypto_kdf_derive(struct crypto_kdf *kdf, const struct crypto_pbkdf *p,
		      const struct secret *pass, const void *salt, size_t salt_len,
		      struct secret *key, struct err *e);

/**
 * struct crypto_wish - a key that may turn out not to be wanted. @stop: NULL, or -ECANCELED soon
 * after it is set, where crypto_kdf_can_stop says that this derivation can be stopped. @if_free:
 * -EBUSY where memory or a processor would have to be waited for, or not as much memory again would
 * be left for others; PBKDF2 needs neither. @admitted: NULL, or called once it need no longer wait.
 */
struct crypto_wish {
	const _Atomic bool *stop;
	bool if_free;
	void (*admitted)(void *arg);
	void *arg;
};
/** crypto_kdf_derive_wish - crypto_kdf_derive for such a key. */
int crypto_kdf_derive_wish(struct crypto_kdf *kdf, const struct crypto_pbkdf *p,
			   const struct secret *pass, const void *salt, size_t salt_len,
			   const struct crypto_wish *wish, struct secret *key, struct err *e);
bool crypto_kdf_can_stop(const struct crypto_pbkdf *p);

/** crypto_pbkdf_cost - what a derivation costs, for comparison with another one: roughly its
 * nanoseconds on one processor, and the same on all machines. */
double crypto_pbkdf_cost(const struct crypto_pbkdf *p, size_t key_bytes);

/** crypto_machine_free_cpus - processors that this process may use and that nobody uses just now,
 * the caller's own included: at least 1. */
unsigned int crypto_machine_free_cpus(void);

/** crypto_pbkdf2 - PBKDF2 into plain memory, for digests (no admission needed). @in may be a volume
 * key. */
int crypto_pbkdf2(const char *hash, const struct secret *in, const void *salt, size_t salt_len,
		  uint32_t iterations, void *out, size_t out_len, struct err *e);

/** What the queue and the memory look like, for metrics. */
struct crypto_kdf_stats {
	uint64_t budget_bytes, in_use_bytes, peak_bytes;
	uint64_t waiting, derivations;
};
void crypto_kdf_get_stats(struct crypto_kdf *kdf, struct crypto_kdf_stats *ret);

/** crypto_machine_memory - min(MemTotal, cgroup memory.max over all ancestors) in bytes; the
 * policy's base. */
int crypto_machine_memory(uint64_t *ret_total_bytes, uint64_t *ret_available_bytes, struct err *e);

/* ---- ciphers ---- */

/** "aes-xts-plain64" or "capi:xts(aes)-plain64" in its parts. iv includes options ("essiv:sha256").
 */
struct crypto_cipher {
	char spec[CRYPTO_CIPHER_SPEC_MAX]; /* as given */
	char cipher[CRYPTO_NAME_MAX];	   /* "aes" */
	char mode[CRYPTO_NAME_MAX];	   /* "xts", "cbc", "xchacha12,aes" adiantum: "adiantum" */
	char iv[CRYPTO_NAME_MAX];	   /* "plain64", "essiv:sha256" */
	bool capi, null;
};
/** crypto_cipher_parse - -EBADMSG where it is no cipher specification. */
int crypto_cipher_parse(const char *spec, struct crypto_cipher *ret, struct err *e);

/**
 * crypto_cipher_check - the allow-list, the same for keyslot areas and segments: is @spec with a
 * key of @key_bytes something that encrypts as we promise? -EOPNOTSUPP with the list of what is
 * allowed. @allow_null: the user asked for a null cipher by name.
 */
int crypto_cipher_check(const char *spec, size_t key_bytes, bool allow_null, struct err *e);

/**
 * crypto_cipher_available - does this host's kernel have the cipher? -EHOSTDOWN: it says that it
 * hasn't. 0: it has, or it can't be asked (no AF_ALG).
 */
int crypto_cipher_available(const struct crypto_cipher *c, struct err *e);

/**
 * crypto_cipher_run - encrypt or decrypt @len bytes (a multiple of 512) in place, 512-byte sectors,
 * IV counted from @first_sector. By the processor's AES instructions where it has them, else
 * by libcrypto; AF_ALG for ciphers that it lacks (-EHOSTDOWN where the kernel lacks them too). A
 * null cipher changes nothing.
 */
int crypto_cipher_run(const struct crypto_cipher *c, const struct secret *key, bool encrypt,
		      void *buf, size_t len, uint64_t first_sector, struct err *e);

/* ---- benchmark ---- */
/** crypto_cipher_measure - bytes a second for @bytes of data through the kernel's AF_ALG (or
 * libcrypto where it is absent). */
int crypto_cipher_measure(const char *spec, size_t key_bytes, size_t bytes, double *ret_enc,
			  double *ret_dec, struct err *e);
