// SPDX-License-Identifier: Apache-2.0
// argon2i and argon2id (RFC 9106) by libargon2, in memory that we give it.
#include "internal.h"

#include <argon2.h>

/* libargon2's allocator gets no context, and calls it from the thread that called argon2_ctx. */
static _Thread_local struct crypto_arena *arena_to_lend;

static int lend_arena(uint8_t **memory, size_t bytes)
{
	if (!arena_to_lend || bytes > arena_to_lend->bytes)
		return ARGON2_MEMORY_ALLOCATION_ERROR;
	*memory = arena_to_lend->data;
	return ARGON2_OK;
}

/* The library has wiped it by now (FLAG_clear_internal_memory); the arena belongs to our caller. */
static void take_back_arena(uint8_t *memory, size_t bytes)
{
	(void)memory;
	(void)bytes;
}

static int argon2_failed(int rc, struct crypto_arena *arena, struct err *e)
{
	if (rc == ARGON2_THREAD_FAIL) {
		/* libargon2 doesn't wait for the threads that did start: they may write to the
		 * arena for a while, so it must never be unmapped or used again. */
		log_debug("an argon2 arena of %zu bytes is given up: threads failed to start",
			  arena->bytes);
		arena->data = NULL;
		arena->bytes = 0;
		return err_set(e, -EAGAIN, "the threads of a key derivation can't be started");
	}
	/* On failure the library returns before it wipes. */
	explicit_bzero(arena->data, arena->bytes);
	if (rc == ARGON2_MEMORY_ALLOCATION_ERROR)
		return err_set(e, -ENOMEM, "no memory for a key derivation");
	return err_set(e, -EINVAL, "argon2 refuses these parameters: %s", argon2_error_message(rc));
}

/* The library only reads what it gets, but takes pointers to non-const. */
static uint8_t *bytes_of(const void *p)
{
	return (uint8_t *)(uintptr_t)p;
}

/* The library starts a thread a lane, whatever there is. */
unsigned int crypto_argon2_threads(const struct crypto_pbkdf *p, unsigned int cpus)
{
	return cpus < p->parallel ? cpus : p->parallel;
}

bool crypto_argon2_can_stop(void)
{
	return false;
}

int crypto_argon2(const struct crypto_pbkdf *p, unsigned int cpus, struct crypto_arena *arena,
		  const struct crypto_argon2_input *in, struct secret *key, struct err *e)
{
	argon2_context ctx = {
		.out = key->data,
		.outlen = (uint32_t)key->cap,
		.pwd = in->pass->data,
		.pwdlen = (uint32_t)in->pass->len,
		.salt = bytes_of(in->salt.data),
		.saltlen = (uint32_t)in->salt.len,
		.secret = bytes_of(in->secret.data),
		.secretlen = (uint32_t)in->secret.len,
		.ad = bytes_of(in->ad.data),
		.adlen = (uint32_t)in->ad.len,
		.t_cost = p->iterations,
		.m_cost = p->memory_kib,
		.lanes = p->parallel,
		.threads = p->parallel,
		.version = ARGON2_VERSION_13,
		.allocate_cbk = lend_arena,
		.free_cbk = take_back_arena,
		.flags = ARGON2_DEFAULT_FLAGS, /* neither passphrase nor salt is the library's to
						  wipe */
	};
	int rc;

	(void)cpus;
	if (in->pass->len > UINT32_MAX || key->cap > UINT32_MAX || in->salt.len > UINT32_MAX)
		return err_set(e, -EINVAL, "passphrase, key or salt is too long for argon2");
	arena_to_lend = arena;
	rc = argon2_ctx(&ctx, p->type == CRYPTO_ARGON2I ? Argon2_i : Argon2_id);
	arena_to_lend = NULL;
	crypto_stack_wipe();
	if (rc != ARGON2_OK)
		return argon2_failed(rc, arena, e);
	key->len = key->cap;
	return 0;
}
