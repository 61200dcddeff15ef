// SPDX-License-Identifier: Apache-2.0
// What the files of the crypto room share: digests, arenas, admission, the machine's memory, cipher
// backends.
#pragma once

#include <cryptvol/base.h>
#include <cryptvol/crypto.h>

#define KIB 1024ull
#define MIB (1024ull * 1024)
#define GIB (1024ull * 1024 * 1024)

/* ---- digests ---- */

struct evp_md_st;
struct evp_md_ctx_st;
struct ossl_lib_ctx_st;
struct ossl_provider_st;

/**
 * crypto_openssl_init - keep libcrypto from reading openssl.cnf; cheap when called again. @what
 * wants it. -EHOSTDOWN where it isn't installed: the CLI doesn't have it linked in
 * (tools/libcrypto.c).
 */
int crypto_openssl_init(const char *what, struct err *e);

/** A digest fetched from libcrypto, with a library context of its own where it isn't in the default
 * provider. */
struct crypto_evp_md {
	struct evp_md_st *md;
	struct ossl_lib_ctx_st *own;
	struct ossl_provider_st *providers[2];
};
int crypto_evp_md_open(const char *name, struct crypto_evp_md *ret, struct err *e);
void crypto_evp_md_close(struct crypto_evp_md *m);

/**
 * The SHA family by libcrypto's direct calls: no provider to start (0.5 ms of a process's life),
 * and their compression functions are what PBKDF2 needs. Room for the biggest context, checked in
 * hash_sha.c.
 */
union crypto_sha_state {
	uint64_t align;
	unsigned char room[224];
};
#define CRYPTO_SHA_BLOCK_MAX_BYTES 128
/** One block of PBKDF2's output: U_i, padded as the second block of a message, and the sum so far.
 */
struct crypto_pbkdf2_chain {
	unsigned char block[CRYPTO_SHA_BLOCK_MAX_BYTES];
	uint64_t sum[CRYPTO_HASH_MAX_BYTES / 8];
};
struct crypto_sha {
	const char *name;
	size_t digest_bytes, block_bytes;
	void (*init)(union crypto_sha_state *s);
	void (*update)(union crypto_sha_state *s, const void *data, size_t len);
	/* final leaves the chaining value in @s: wipe it */
	void (*final)(union crypto_sha_state *s, unsigned char *out);
	/* one block from the chaining value of @from; the new chaining value, big-endian, to @out
	 */
	void (*compress)(const union crypto_sha_state *from, const unsigned char *block,
			 unsigned char *out);
	/* The rounds of PBKDF2 by code of our own where the processor has what it needs. Returns
	 * of how many of the @n chains it did them: 0 where it is no use. May be NULL. */
	size_t (*rounds)(const union crypto_sha_state *inner, const union crypto_sha_state *outer,
			 struct crypto_pbkdf2_chain *chains, size_t n, uint32_t rounds);
	/* crypto_hash_chain by code of our own; false where that is no use. May be NULL. */
	bool (*chain)(const unsigned char *stripes, size_t n, unsigned char *acc, size_t len);
};
const struct crypto_sha *crypto_sha_find(const char *name);

/*
 * Side channels: none of these looks up a table by, branches on, or takes its time from what it
 * hashes; they are additions, rotations and logic on whole words, and the processor's SHA
 * instructions. libcrypto's compression functions are so too.
 */

/** crypto_sha512_x86_rounds - @u = HMAC(@u), @sum ^= @u, @rounds times; words in the processor's
 * order. Needs _has. */
bool crypto_sha512_x86_has(void);
void crypto_sha512_x86_rounds(const uint64_t inner[8], const uint64_t outer[8], uint64_t u[8],
			      uint64_t sum[8], uint32_t rounds);
/** crypto_sha256_x86_rounds - the same for two chains at once. */
bool crypto_sha256_x86_has(void);
void crypto_sha256_x86_rounds(const uint32_t inner[8], const uint32_t outer[8], uint32_t u[2][8],
			      uint32_t sum[2][8], uint32_t rounds);

/** crypto_sha256_x86_chain - crypto_hash_chain for SHA-256 and stripes of 64 bytes. */
void crypto_sha256_x86_chain(const unsigned char *stripes, size_t n, unsigned char acc[64]);

/** crypto_stack_wipe - overwrite the stack below the caller, where libraries left what they worked
 * on. */
void crypto_stack_wipe(void);

/* ---- key derivation ---- */

struct crypto_pbkdf2_input {
	const struct secret *pass;
	struct crypto_iov salt;
	uint32_t iterations;
	const _Atomic bool *stop; /* NULL, or the key is no longer wanted once this is set */
};
/** crypto_pbkdf2_sha - PBKDF2 (RFC 8018, 5.2) with HMAC's inner and outer states computed once.
 * false: stopped. */
bool crypto_pbkdf2_sha(const struct crypto_sha *sha, const struct crypto_pbkdf2_input *in,
		       unsigned char *out, size_t out_len);
/** crypto_pbkdf2_run - with any hash; -ECANCELED where it was stopped (the SHA family looks at it
 * every millisecond, other hashes never). */
int crypto_pbkdf2_run(const char *hash, const struct crypto_pbkdf2_input *in, void *out,
		      size_t out_len, struct err *e);

/** Memory for argon2: whole huge pages where it is big enough. All zero between two derivations. */
struct crypto_arena {
	unsigned char *data;
	size_t bytes;
	struct crypto_arena *next;
};
/** crypto_arena_bytes - what an arena for @bytes really takes. */
size_t crypto_arena_bytes(size_t bytes);
/** crypto_arena_new - map it and touch every page, so that it counts as used from now on. */
int crypto_arena_new(size_t bytes, struct crypto_arena **ret, struct err *e);
/** crypto_arena_trim - give back what is above @bytes. */
void crypto_arena_trim(struct crypto_arena *a, size_t bytes);
void crypto_arena_free(struct crypto_arena *a);

/** What goes in. secret and ad (RFC 9106, 3.1) have no place in LUKS2: only the vectors set them.
 */
struct crypto_argon2_input {
	const struct secret *pass;
	struct crypto_iov salt, secret, ad;
	const _Atomic bool *stop; /* as PBKDF2's */
};
/** crypto_argon2_threads - how many of @cpus processors a derivation uses. */
unsigned int crypto_argon2_threads(const struct crypto_pbkdf *p, unsigned int cpus);
/** crypto_argon2_can_stop - does crypto_argon2 ever look at in->stop? */
bool crypto_argon2_can_stop(void);
/** crypto_argon2 - argon2i or argon2id, version 0x13, in @arena on @cpus processors; fills key to
 * its capacity. -ECANCELED within a millisecond of in->stop, and the time that wiping takes. */
int crypto_argon2(const struct crypto_pbkdf *p, unsigned int cpus, struct crypto_arena *arena,
		  const struct crypto_argon2_input *in, struct secret *key, struct err *e);

/* ---- the machine ---- */

struct crypto_memory {
	uint64_t total_bytes, available_bytes; /* of the host */
	uint64_t swap_bytes;		       /* of the host, in all */
	uint64_t cgroup_max_bytes;	       /* smallest of all ancestors, UINT64_MAX = none */
	uint64_t cgroup_available_bytes;       /* the least that an ancestor has left */
	char cgroup_file[192];		       /* which file cgroup_max_bytes stands in */
};
/** crypto_memory_read - from the proc and sys below @root ("" = the machine's own). */
int crypto_memory_read(const char *root, struct crypto_memory *ret, struct err *e);
/** crypto_cpus_read - how many processors this thread may run on, and its control groups have time
 * for: 1 or more. */
unsigned int crypto_cpus_read(const char *root);

/* ---- policy ---- */

/** What the policy may look at: the machine's size, nothing else. */
struct crypto_policy_machine {
	uint64_t total_bytes;
	uint32_t cpus_online;
};
int crypto_policy_fill(const struct crypto_policy_machine *m,
		       const struct crypto_pbkdf_request *req, struct crypto_pbkdf *ret,
		       struct err *e);
/** crypto_measure_cost - change p's memory and iterations so that a derivation takes @target_ms. */
int crypto_measure_cost(struct crypto_kdf *kdf, uint32_t target_ms, uint32_t max_memory_kib,
			struct crypto_pbkdf *p, struct err *e);

/* ---- cipher backends ---- */

#define CRYPTO_IV_MAX_BYTES 32

/** crypto_iv_sector - "plain" (32 bits) or "plain64": the sector's number, little-endian, zero
 * behind it. */
void crypto_iv_sector(const struct crypto_cipher *c, uint64_t sector,
		      unsigned char iv[CRYPTO_IV_MAX_BYTES]);
/** crypto_iv_essiv_hash - the hash of an "essiv:HASH" IV, or NULL. */
const char *crypto_iv_essiv_hash(const struct crypto_cipher *c);

/** One direction of a cipher that has its key; a unit is what one IV is for. */
struct crypto_cipher_job {
	const struct crypto_cipher *cipher;
	const struct secret *key;
	bool encrypt;
	unsigned char *buf;
	size_t len, unit_bytes;
	uint64_t first_sector;
};
bool crypto_evp_has(const struct crypto_cipher *c, size_t key_bytes);
int crypto_evp_run(const struct crypto_cipher_job *j, struct err *e);
/** crypto_xts_unit - one unit of XTS from single blocks: @data has the first half of the key and the
 * direction, @tweak the second half and encrypts; both in ECB mode without padding. @len: whole
 * blocks. */
struct evp_cipher_ctx_st;
bool crypto_xts_unit(struct evp_cipher_ctx_st *data, struct evp_cipher_ctx_st *tweak,
		     const unsigned char *iv, unsigned char *buf, size_t len);
/** crypto_aesni_has - can crypto_aesni_run do this job on this processor? */
bool crypto_aesni_has(const struct crypto_cipher_job *j);
void crypto_aesni_run(const struct crypto_cipher_job *j);

/** A keyed AF_ALG skcipher. */
struct crypto_afalg {
	int tfm_fd, op_fd;
	uint32_t iv_bytes;
};
int crypto_afalg_open(const struct crypto_cipher *c, const struct secret *key,
		      struct crypto_afalg *ret, struct err *e);
void crypto_afalg_close(struct crypto_afalg *a);
int crypto_afalg_unit(const struct crypto_afalg *a, bool encrypt, const unsigned char *iv,
		      unsigned char *buf, size_t len, struct err *e);
int crypto_afalg_run(const struct crypto_cipher_job *j, struct err *e);
