// SPDX-License-Identifier: Apache-2.0
// Errors: a negative errno for the machine, one sentence for the person.
#pragma once

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>

/*
 * What an errno means throughout cryptvol. Functions return 0 or one of these, negated.
 *
 *   EPERM         no keyslot opens with this passphrase or key
 *   EINVAL        a parameter, option or name is wrong
 *   EMEDIUMTYPE   the device carries no LUKS header
 *   EBADMSG       corrupt on disk: checksum, structure or a field out of its bounds
 *   EUCLEAN       needs repair by a person: ambiguous copies, or a foreign signature in the way
 *   EOPNOTSUPP    valid, but beyond us (LUKS1, re-encryption, integrity, OPAL, a cipher not
 * allowed) ETXTBSY       a mandatory requirement that we don't know EBUSY         in use
 *   EINPROGRESS   another operation holds this volume
 *   ESTALE        the header changed on disk since it was read
 *   EEXIST        the name, slot or file is taken
 *   ENOENT        the keyslot, token or file does not exist
 *   ENODEV        no such device or mapping
 *   ENOTBLK       not a block device
 *   ENOSPC        no room: keyslot area, JSON area, device
 *   ENOMEM        memory, or a KDF that needs more than may be used
 *   ENOKEY        the kept key is gone
 *   EHOSTDOWN     the host lacks something (dm-crypt module, AF_ALG, a cipher); the sentence says
 * what ETIMEDOUT     a wait ran out EIO           a read or write failed
 */

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
