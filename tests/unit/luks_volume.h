// SPDX-License-Identifier: Apache-2.0
// Volumes in files for the luks tests: made by us or by cryptsetup, opened by the other one.
#pragma once

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cryptvol/base.h>
#include <cryptvol/luks.h>

#define MIB (1024ull * 1024)

struct volume_file {
	char path[64], dir[48];
	struct luks_io io;
	struct crypto_kdf *kdf;
	struct luks_header *h;
	struct err e;
};

/* A sparse file of @bytes in a folder of its own. */
static inline bool volume_file_new(struct volume_file *v, uint64_t bytes)
{
	const struct crypto_kdf_config config = { 0 };

	memset(v, 0, sizeof(*v));
	snprintf(v->dir, sizeof(v->dir), "/tmp/cryptvol-unit-XXXXXX");
	if (!mkdtemp(v->dir))
		return false;
	snprintf(v->path, sizeof(v->path), "%s/image", v->dir);
	v->io.fd = open(v->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	v->io.writable = true;
	return v->io.fd >= 0 && !ftruncate(v->io.fd, (off_t)bytes) &&
	       !crypto_kdf_new(&config, &v->kdf, &v->e);
}

static inline void volume_file_free(struct volume_file *v)
{
	char cmd[96];

	luks_free(v->h);
	crypto_kdf_free(v->kdf);
	if (v->io.fd > 0)
		close(v->io.fd);
	snprintf(cmd, sizeof(cmd), "rm -rf '%s'", v->dir);
	if (v->dir[0] && system(cmd))
		fprintf(stderr, "%s is left\n", v->dir);
}
#define _cleanup_volume_ __attribute__((cleanup(volume_file_free)))

/* Load the header anew, for reading what another program wrote. */
static inline int volume_file_load(struct volume_file *v)
{
	luks_free(v->h);
	v->h = NULL;
	return luks_load(&v->io, &v->h, &v->e);
}

/* Exit status of a shell command in which %s and so on stand for the arguments; output is dropped.
 */
__attribute__((format(printf, 1, 2))) static inline int shell(const char *fmt, ...)
{
	char cmd[1024] = "( ";
	va_list ap;
	int n, status;

	va_start(ap, fmt);
	n = vsnprintf(cmd + 2, sizeof(cmd) - 32, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof(cmd) - 32)
		return -1;
	strcat(cmd, " ) >/dev/null 2>&1");
	status = system(cmd);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static inline bool have_cryptsetup(void)
{
	return shell("PATH=$PATH:/usr/sbin command -v cryptsetup") == 0;
}

#define CHEAP "--pbkdf pbkdf2 --pbkdf-force-iterations 1000"

/* cryptsetup's exit status for a passphrase. */
static inline int stock_opens(const struct volume_file *v, const char *pass)
{
	return shell("printf %%s '%s' | cryptsetup open --test-passphrase -d - '%s'", pass,
		     v->path);
}

/* Are these the bytes of the volume key that cryptsetup finds with @pass? */
static inline bool stock_key_equal(const struct volume_file *v, const char *pass,
				   const struct secret *key)
{
	unsigned char got[CRYPTO_KEY_MAX_BYTES] = { 0 };
	char path[80];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "%s/key", v->dir);
	unlink(path);
	if (shell("printf %%s '%s' | cryptsetup luksDump --dump-volume-key --volume-key-file '%s' "
		  "-q -d - '%s'",
		  pass, path, v->path))
		return false;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = read(fd, got, sizeof(got));
	close(fd);
	return n > 0 && (size_t)n == key->len && !memcmp(got, key->data, key->len);
}

static inline struct secret *secret_text(const char *text)
{
	char copy[128];
	struct secret *s = NULL;

	snprintf(copy, sizeof(copy), "%s", text);
	if (secret_from_bytes(copy, strlen(text), &s, NULL))
		abort();
	return s;
}

static inline struct luks_new_keyslot new_slot(const struct secret *passphrase)
{
	struct luks_new_keyslot n = { .keyslot = LUKS_ANY, .passphrase = passphrase };

	n.pbkdf.type = CRYPTO_PBKDF2;
	n.pbkdf.iterations = CRYPTO_PBKDF2_MIN_ITERATIONS;
	snprintf(n.pbkdf.hash, sizeof(n.pbkdf.hash), "sha256");
	return n;
}

/* Unlock with a text; the key is freed unless it is wanted. Returns luks_unlock_keyslot's value. */
static inline int unlock_text(struct volume_file *v, const char *text, int keyslot,
			      struct secret **ret_key, int *ret_slot)
{
	_cleanup_secret_ struct secret *pass = secret_text(text);
	struct luks_unlock u = { .passphrase = pass, .keyslot = keyslot, .segment = LUKS_ANY };
	struct secret *key = NULL;
	int slot = -1, r;

	err_clear(&v->e);
	r = luks_unlock_keyslot(&v->io, v->h, v->kdf, &u, &key, &slot, &v->e);
	if (ret_slot)
		*ret_slot = slot;
	if (ret_key)
		*ret_key = key;
	else
		secret_free(key);
	return r;
}

/* A small volume of ours: passphrase "first" in keyslot 0, room for @slots keys of 32 bytes. */
static inline int format_small(struct volume_file *v, unsigned int slots)
{
	_cleanup_secret_ struct secret *pass = secret_text("first");
	struct luks_format f = { .key_bytes = 32,
				 .keyslots_bytes = slots * 131072ull,
				 .alignment_bytes = 4096,
				 .first = new_slot(pass),
				 .known_blank = true };

	luks_free(v->h);
	v->h = NULL;
	return luks_format(&v->io, v->kdf, &f, &v->h, &v->e);
}
