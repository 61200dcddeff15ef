// SPDX-License-Identifier: Apache-2.0
// Errors: a negative errno for the machine, one sentence for the person.
#pragma once

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>

/* clang-format off */
/*
 * What an errno means throughout cryptvol. Functions return 0 or one of these, negated. One that
 * isn't here is the kernel's own, handed on with its words behind our sentence (err_sys). A number
 * is the exit status of the command; it is 1 for all others (tests/lint/errors.py holds this table
 * and the sources together).
 *
 *   EPERM         2  no keyslot opens with this passphrase or key; a question was answered with no
 *   EINVAL        1  a parameter, option or name is wrong
 *   ERANGE        1  a number, or a size that was asked for, is out of its range
 *   ENAMETOOLONG  1  a name or path is longer than the kernel, or the format, has room for
 *   ENODATA       1  there was nothing to read: no passphrase came
 *   EFBIG         1  longer than we take: a key, a device to be backed up
 *   EKEYREJECTED  1  the two entries of a new passphrase differ
 *   EMEDIUMTYPE   1  the device carries no LUKS header
 *   ENOMEDIUM     1  the backup store isn't there: no folder, or no marker in it
 *   EBADMSG       1  corrupt on disk: checksum, structure or a field out of its bounds
 *   EUCLEAN       1  needs repair by a person: ambiguous copies, or a foreign signature in the way
 *   EOPNOTSUPP    1  valid, but beyond us (LUKS1, re-encryption, OPAL, a cipher not allowed)
 *   ETXTBSY       1  a mandatory requirement that we don't know
 *   EOVERFLOW     1  a counter on disk is at its end: the sequence number can't grow
 *   EROFS         1  the device, or the file with the header, is read-only
 *   EBUSY         5  in use
 *   EADDRINUSE    1  another process listens on this socket
 *   EINPROGRESS   5  another operation holds this volume
 *   ESTALE        1  the header, or the mapping, changed since it was read
 *   EEXIST        5  the name, slot or file is taken
 *   ENOENT        1  the keyslot, token or file does not exist
 *   ENODEV        4  no such device or mapping
 *   ENOTBLK       4  not a block device
 *   EACCES        4  not permitted by the system
 *   ENOSPC        1  no room: keyslot area, JSON area, device
 *   ENOMEM        3  memory, or a KDF that needs more than may be used
 *   EAGAIN        1  the system has no more threads to give
 *   ECANCELED     1  what was begun is no longer wanted: another keyslot opened, the caller has gone
 *   ENOKEY        2  the kept key is gone
 *   EHOSTDOWN     1  the host lacks something (dm-crypt, AF_ALG, a cipher); the sentence says what
 *   ENOTCONN      1  the state directory's disk isn't there, or is another one
 *   ETIMEDOUT     1  a wait ran out
 *   EIO           1  a read or write failed
 *   EINTR         1  a signal came that ends us; what was begun is undone
 */
/* clang-format on */

#define ERR_TEXT_MAX 640

/** An error, owned by the caller. Fixed in size, so that reporting can't fail. */
struct err {
	int code; /* negative errno, 0 = none */
	char text[ERR_TEXT_MAX];
};

/**
 * err_set - set the sentence. @code: a negative errno. @e may be NULL.
 * Returns @code, so that `return err_set(e, -EINVAL, "...")` reads well. Never put a secret in it.
 */
int err_set(struct err *e, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/** err_sys - like err_set, with ": <strerror(-code)>" behind. */
int err_sys(struct err *e, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/** err_wrap - put "<context>: " before the sentence that is there. Returns e->code (@code if @e is
 * NULL). */
int err_wrap(struct err *e, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/** err_clear - forget the error. */
void err_clear(struct err *e);

/** err_text - the sentence, or strerror of the code where none was set. Never NULL. */
const char *err_text(const struct err *e);

#ifdef CRYPTVOL_ANALYZE
/* For static analyzers only (make lint): they can't see into err.c that the code comes back, and that
 * it is negative, and would follow paths that don't exist. */
#define ERR_KNOWN(call, code)                                                                      \
	({                                                                                         \
		int err_known_code = (code);                                                       \
		call;                                                                              \
		if (err_known_code >= 0)                                                           \
			__builtin_unreachable();                                                   \
		err_known_code;                                                                    \
	})
#define err_set(e, code, ...) ERR_KNOWN((err_set)((e), err_known_code, __VA_ARGS__), code)
#define err_sys(e, code, ...) ERR_KNOWN((err_sys)((e), err_known_code, __VA_ARGS__), code)
#define err_wrap(e, code, ...) ERR_KNOWN((err_wrap)((e), err_known_code, __VA_ARGS__), code)
#endif
