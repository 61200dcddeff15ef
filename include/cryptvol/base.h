// SPDX-License-Identifier: Apache-2.0
// The ground: bytes, text, numbers, whole reads and writes, debug log. Includes no other room.
#pragma once

#include <endian.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include <cryptvol/err.h>
#include <cryptvol/secret.h>

/* ---- bytes in big-endian order: one-member structs, so that a forgotten conversion doesn't
 * compile ---- */
typedef struct {
	uint16_t raw;
} __attribute__((packed)) be16;
typedef struct {
	uint32_t raw;
} __attribute__((packed)) be32;
typedef struct {
	uint64_t raw;
} __attribute__((packed)) be64;

static inline uint16_t be16_get(be16 v)
{
	return be16toh(v.raw);
}
static inline uint32_t be32_get(be32 v)
{
	return be32toh(v.raw);
}
static inline uint64_t be64_get(be64 v)
{
	return be64toh(v.raw);
}
static inline be16 be16_make(uint16_t v)
{
	return (be16){ htobe16(v) };
}
static inline be32 be32_make(uint32_t v)
{
	return (be32){ htobe32(v) };
}
static inline be64 be64_make(uint64_t v)
{
	return (be64){ htobe64(v) };
}

#define SECTOR_SIZE_BYTES \
	512ULL /* the unit of device-mapper, whatever the device's own sector is */
#define SECTOR_SHIFT 9

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* ---- ownership ---- */
void base_freep(void *p);  /* frees *(void **)p */
void base_closep(int *fd); /* closes *fd if >= 0 */
#define _cleanup_free_ __attribute__((cleanup(base_freep)))
#define _cleanup_close_ __attribute__((cleanup(base_closep)))

/* ---- whole transfers ---- */
/** io_pread_full - exactly @len bytes at @offset_bytes; a short read is -EIO "device ends at ...".
 * Retries EINTR. */
int io_pread_full(int fd, void *buf, size_t len, uint64_t offset_bytes, struct err *e);
/** io_pwrite_full - all of @len bytes at @offset_bytes. Retries EINTR and short writes. */
int io_pwrite_full(int fd, const void *buf, size_t len, uint64_t offset_bytes, struct err *e);
/** io_fsync - fsync(2) with a sentence. */
int io_fsync(int fd, struct err *e);
/** io_size - size in bytes of a block device (BLKGETSIZE64) or regular file. */
int io_size(int fd, uint64_t *ret_bytes, struct err *e);
/** io_read_file - the whole of a small file (at most @max bytes) as a NUL-terminated string; free()
 * it. -errno of open/read; -EFBIG. */
int io_read_file(const char *path, size_t max, char **ret, size_t *ret_len);

/* ---- text and numbers ---- */
/** text_parse_u64 - decimal digits only, whole string, no sign, no blank, no overflow. -EINVAL /
 * -ERANGE. */
int text_parse_u64(const char *s, uint64_t *ret);
/** text_parse_u32 - the same for 32 bits. */
int text_parse_u32(const char *s, uint32_t *ret);
/**
 * text_parse_size - bytes with a unit behind: none or B = bytes, S = 512-byte sectors, K M G T (or
 * KiB MiB ..., = 1024^n), KB MB GB TB = 1000^n.
 */
int text_parse_size(const char *s, uint64_t *ret_bytes);
/** text_uuid_valid - 36 characters 8-4-4-4-12 of hexadecimal digits. */
bool text_uuid_valid(const char *s);
/** text_uuid_random - version 4 UUID in lower case into @buf[37]. */
int text_uuid_random(char buf[37], struct err *e);
/** text_hex - lower-case hex of @len bytes into @buf (2*len+1), in a time that depends on @len
 * alone. Not for secrets unless @buf lies in a struct secret. */
void text_hex(const void *bytes, size_t len, char *buf);
/** text_unhex - whole string of hex digits; *ret_len = number of bytes; at most @cap. -EINVAL. */
int text_unhex(const char *s, void *ret, size_t cap, size_t *ret_len);
/** text_unhex_chars - the same of @n characters, for keys: what they are shows in the time only
 * where one is no digit. */
int text_unhex_chars(const char *s, size_t n, void *ret, size_t cap, size_t *ret_len);
/** text_base64_encode - RFC 4648 section 4, padded; returns a malloc'ed string or NULL. */
char *text_base64_encode(const void *bytes, size_t len);
/** text_base64_decode - strict (padding needed, no blanks, zero trailing bits). malloc'ed; -EINVAL,
 * -ENOMEM. */
int text_base64_decode(const char *s, uint8_t **ret, size_t *ret_len);
/** text_copy - copy @src into @dst[@cap], NUL-terminated; -ENAMETOOLONG (dst untouched) where it
 * doesn't fit. */
int text_copy(char *dst, size_t cap, const char *src);
/** text_shown - @text into @buf[@cap] for a terminal or a log: each byte of a control character,
 * or of what is no UTF-8, as "\xNN"; cut where it doesn't fit. Returns @buf. */
char *text_shown(const char *text, char *buf, size_t cap);

/* ---- children ---- */
/** base_spawn - posix_spawnp for a child that keeps descriptors 0 to 2 only; @fa (it gets one more
 * action) and @attr may be NULL. */
int base_spawn(const char *path, char *const *argv, char *const *envp,
	       posix_spawn_file_actions_t *fa, const posix_spawnattr_t *attr, pid_t *ret);
/** base_spawn_settle - after the close of a descriptor that claims a device: returns once no child
 * that is being started has a copy of it. */
void base_spawn_settle(void);

/* ---- signals ---- */
struct base_signals {
	sigset_t before;
};
/** base_signals_hold - SIGHUP, SIGINT, SIGQUIT and SIGTERM wait, in this thread, for
 * base_signals_release; for a few steps that have to be done or undone together. May be nested. */
void base_signals_hold(struct base_signals *ret);
/** base_signals_came - does one wait that will end (or be handled by) the process at the release?
 * One that was blocked before, or is ignored, doesn't count. */
bool base_signals_came(const struct base_signals *s);
void base_signals_release(const struct base_signals *s);

/* ---- time ---- */
/** base_now - seconds of a clock that only goes on, from no time in particular. */
double base_now(void);

/* ---- debug log ---- */
/** log_set_debug - turn library debug messages on; @sink gets each line (no newline). NULL turns
 * them off. The only global. */
void log_set_debug(void (*sink)(const char *line));
void log_debug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
