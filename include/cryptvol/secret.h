// SPDX-License-Identifier: Apache-2.0
// Secrets: own pages between guard pages, locked, not in core dumps, wiped on free.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct err;

/**
 * A secret of up to @cap bytes of which @len are used. @data may hold NUL bytes and isn't
 * terminated. There is no copy function on purpose: move the pointer, or borrow it for the length
 * of a call.
 */
struct secret {
	unsigned char *data;
	size_t len;
	size_t cap;
};

/** secret_new - room for @cap bytes (0 is allowed: an empty passphrase), zeroed, len 0. -ENOMEM.
 * Free with secret_free. */
int secret_new(size_t cap, struct secret **ret, struct err *e);

/** secret_free - wipe and give the pages back; NULL is allowed. */
void secret_free(struct secret *s);
void secret_freep(struct secret **s);
#define _cleanup_secret_ __attribute__((cleanup(secret_freep)))

/** secret_random - a new secret of @len bytes from getrandom(2) (/dev/urandom's pool, initialised).
 */
int secret_random(size_t len, struct secret **ret, struct err *e);

/** secret_from_bytes - a new secret that takes over @len bytes from @src and wipes @src. */
int secret_from_bytes(void *src, size_t len, struct secret **ret, struct err *e);

/**
 * secret_read_fd - read(2) straight from @fd into a new secret until end of file, or until @max
 * bytes.
 * @exact: exactly @max bytes have to come (else -EINVAL). Not exact: more than @max is -EFBIG.
 */
int secret_read_fd(int fd, size_t max, bool exact, struct secret **ret, struct err *e);

/**
 * secret_read_line - a byte at a time until a newline (not included), end of file or @max bytes;
 * the bytes behind the newline stay in the pipe. End of file before the first byte is -ENODATA.
 */
int secret_read_line(int fd, size_t max, struct secret **ret, struct err *e);

/** secret_equal - constant-time comparison, lengths included. */
bool secret_equal(const struct secret *a, const struct secret *b);

/** secret_wipe - overwrite memory that isn't a struct secret; the compiler doesn't drop it. */
void secret_wipe(void *p, size_t len);

/** secret_process_init - no core dumps, not dumpable (prctl, RLIMIT_CORE). For main() of every
 * binary that holds secrets. */
int secret_process_init(struct err *e);
