// SPDX-License-Identifier: Apache-2.0
// Blocks by their SHA-256: stored once, checked at every read, swept when no manifest names them.
#include "internal.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>

#define PATH_BYTES STORE_PATH_BYTES

uint64_t block_count(uint64_t device_bytes)
{
	return (device_bytes + BACKUP_BLOCK_BYTES - 1) / BACKUP_BLOCK_BYTES;
}

size_t block_length(uint64_t device_bytes, uint64_t i)
{
	uint64_t left = device_bytes - i * BACKUP_BLOCK_BYTES;

	return left < BACKUP_BLOCK_BYTES ? (size_t)left : BACKUP_BLOCK_BYTES;
}

bool hash_is_hole(const uint8_t hash[HASH_BYTES])
{
	static const uint8_t none[HASH_BYTES];

	return !memcmp(hash, none, HASH_BYTES);
}

bool backup_name_valid(const char *name)
{
	size_t n = strlen(name);

	return n && n < BACKUP_NAME_MAX && name[0] != '.' &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789.-_") == n;
}

static int make_dir(const char *path, struct err *e)
{
	return mkdir(path, 0700) && errno != EEXIST ? err_sys(e, -errno, "%s can't be made", path)
						    : 0;
}

/* A file, not a folder: NFS locks nothing that isn't open for writing. A share that can only be
 * read has readers all the same. */
static int take_lock(const char *dir, bool exclusive, int *ret, struct err *e)
{
	char path[PATH_BYTES];
	int fd, r;

	snprintf(path, sizeof(path), "%.4000s/lock", dir);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 && !exclusive && (errno == EROFS || errno == EACCES))
		fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, -errno, "%s can't be opened", path);
	do
		r = flock(fd, exclusive ? LOCK_EX : LOCK_SH) ? -errno : 0;
	while (r == -EINTR);
	if (r) {
		close(fd);
		return err_sys(e, r, "%s can't be locked", path);
	}
	*ret = fd;
	return 0;
}

int store_open(const char *dir, bool create, bool exclusive, int *ret_lock, struct err *e)
{
	static const char *const sub[] = { "blobs", "manifests" };
	char path[PATH_BYTES];
	int r;

	if (create) {
		r = make_dir(dir, e);
		for (size_t i = 0; !r && i < ARRAY_SIZE(sub); i++) {
			snprintf(path, sizeof(path), "%.4000s/%s", dir, sub[i]);
			r = make_dir(path, e);
		}
		if (r)
			return r;
	}
	snprintf(path, sizeof(path), "%.4000s/manifests", dir);
	if (access(path, F_OK))
		return errno == ENOENT ? err_set(e, -ENOENT, "%s is no backup store", dir)
				       : err_sys(e, -errno, "%s", path);
	return take_lock(dir, exclusive, ret_lock, e);
}

int store_hash(const void *block, size_t len, uint8_t ret[HASH_BYTES], struct err *e)
{
	struct crypto_iov iov = { block, len };

	return crypto_hash("sha256", &iov, 1, ret, e);
}

static void blob_path(const char *dir, const uint8_t hash[HASH_BYTES], char ret[PATH_BYTES],
		      size_t *ret_dir_len)
{
	char hex[HASH_HEX];

	text_hex(hash, HASH_BYTES, hex);
	*ret_dir_len = (size_t)snprintf(ret, PATH_BYTES, "%.4000s/blobs/%.2s", dir, hex);
	snprintf(ret + *ret_dir_len, PATH_BYTES - *ret_dir_len, "/%s", hex + 2);
}

int store_write_file(const char *path, const struct crypto_iov *parts, size_t n, struct err *e)
{
	char tmp[STORE_PATH_BYTES + 32], hex[17];
	_cleanup_close_ int fd = -1;
	uint64_t random, at = 0;
	int r;

	/* Other threads and hosts may write the same file at this moment. */
	r = crypto_random(&random, sizeof(random), e);
	if (r)
		return r;
	text_hex(&random, sizeof(random), hex);
	snprintf(tmp, sizeof(tmp), "%s.new-%s", path, hex);
	fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_sys(e, -errno, "%s can't be made", tmp);
	for (size_t i = 0; !r && i < n; at += parts[i++].len)
		r = io_pwrite_full(fd, parts[i].data, parts[i].len, at, e);
	r = r ?: io_fsync(fd, e);
	if (!r && rename(tmp, path))
		r = err_sys(e, -errno, "%s can't get its name", path);
	if (r)
		(void)!unlink(tmp);
	return r;
}

int store_put(const char *dir, const uint8_t hash[HASH_BYTES], const void *block, size_t len,
	      bool *ret_new, struct err *e)
{
	struct crypto_iov part = { block, len };
	char path[PATH_BYTES];
	struct stat st;
	size_t n;
	int r;

	blob_path(dir, hash, path, &n);
	*ret_new = stat(path, &st) || (uint64_t)st.st_size != len;
	if (!*ret_new)
		return 0;
	path[n] = '\0';
	r = make_dir(path, e);
	path[n] = '/';
	if (r)
		return r;
	return store_write_file(path, &part, 1, e);
}

int store_sync(const char *dir, struct err *e)
{
	_cleanup_close_ int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	/* Hundreds of folders may have new names: the whole file system at once is cheaper. */
	if (fd < 0 || syncfs(fd))
		return err_sys(e, -errno, "%s can't be flushed", dir);
	return 0;
}

int store_get(const char *dir, const uint8_t hash[HASH_BYTES], void *block, size_t len,
	      struct err *e)
{
	_cleanup_close_ int fd = -1;
	uint8_t found[HASH_BYTES];
	char path[PATH_BYTES];
	struct stat st;
	size_t n;
	int r;

	blob_path(dir, hash, path, &n);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT
			       ? err_set(e, -EBADMSG, "the backup's block %s is missing", path)
			       : err_sys(e, -errno, "%s", path);
	if (fstat(fd, &st) || (uint64_t)st.st_size != len)
		return err_set(e, -EBADMSG, "the backup's block %s has another size", path);
	r = io_pread_full(fd, block, len, 0, e);
	r = r ?: store_hash(block, len, found, e);
	if (!r && memcmp(found, hash, HASH_BYTES) != 0)
		r = err_set(e, -EBADMSG, "the backup's block %s is damaged", path);
	return r;
}

/* ---- sweep ---- */

struct hash_set {
	uint8_t (*hashes)[HASH_BYTES];
	size_t n, cap;
};

static int collect(void *arg, struct manifest *m, struct err *e)
{
	struct hash_set *s = arg;

	for (uint64_t i = 0; i < m->n_blocks; i++) {
		if (hash_is_hole(m->hashes[i]))
			continue;
		if (s->n == s->cap) {
			size_t cap = s->cap ? 2 * s->cap : 1024;
			void *grown = reallocarray(s->hashes, cap, HASH_BYTES);

			if (!grown)
				return err_set(e, -ENOMEM, "no memory to look for blocks in use");
			s->hashes = grown;
			s->cap = cap;
		}
		memcpy(s->hashes[s->n++], m->hashes[i], HASH_BYTES);
	}
	return 0;
}

static int by_bytes(const void *a, const void *b)
{
	return memcmp(a, b, HASH_BYTES);
}

static void sweep_dir(const char *path, const char *prefix, const struct hash_set *used)
{
	struct dirent *d;
	DIR *dir = opendir(path);

	while (dir && (d = readdir(dir))) {
		uint8_t hash[HASH_BYTES];
		char hex[HASH_HEX];
		size_t n = 0;
		bool whole = strlen(d->d_name) == 62 &&
			     snprintf(hex, sizeof(hex), "%s%.62s", prefix, d->d_name) == 64 &&
			     !text_unhex(hex, hash, sizeof(hash), &n);

		if (d->d_name[0] == '.' ||
		    (whole && used->n &&
		     bsearch(hash, used->hashes, used->n, HASH_BYTES, by_bytes)))
			continue;
		(void)!unlinkat(dirfd(dir), d->d_name, 0); /* unused, or what a dead writer left */
	}
	if (dir)
		closedir(dir);
}

int store_sweep(const char *dir, struct err *e)
{
	struct hash_set used = { NULL, 0, 0 };
	char path[PATH_BYTES];
	int r;

	r = manifest_each(dir, NULL, collect, &used, e);
	r = r ?: manifest_sweep(dir, e);
	if (!r && used.n)
		qsort(used.hashes, used.n, HASH_BYTES, by_bytes);
	for (unsigned int i = 0; !r && i < 256; i++) {
		char prefix[3];

		snprintf(prefix, sizeof(prefix), "%02x", i);
		snprintf(path, sizeof(path), "%.4000s/blobs/%s", dir, prefix);
		sweep_dir(path, prefix, &used);
	}
	free(used.hashes);
	return r;
}
