// SPDX-License-Identifier: Apache-2.0
// Blocks by their SHA-256: stored once, checked at every read, swept when no manifest names them.
#include "internal.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>

#define PATH_BYTES STORE_PATH_BYTES
/* A host that the lock doesn't reach (NFS with nolock or local_lock) may be writing the backup that
 * a block belongs to. */
#define SWEEP_AGE_SECONDS (24 * 60 * 60)

uint64_t block_count(uint64_t device_bytes)
{
	return (device_bytes + BACKUP_BLOCK_BYTES - 1) / BACKUP_BLOCK_BYTES;
}

size_t block_length(uint64_t device_bytes, uint64_t i)
{
	uint64_t left = device_bytes - i * BACKUP_BLOCK_BYTES;

	return left < BACKUP_BLOCK_BYTES ? (size_t)left : BACKUP_BLOCK_BYTES;
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
	int fd, r, how = exclusive ? LOCK_EX | LOCK_NB : LOCK_SH;
	char path[PATH_BYTES];

	snprintf(path, sizeof(path), "%.4000s/lock", dir);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 && !exclusive && (errno == EROFS || errno == EACCES))
		fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, -errno, "%s can't be opened", path);
	do
		r = flock(fd, how) ? -errno : 0;
	while (r == -EINTR);
	if (r == -EWOULDBLOCK) {
		close(fd);
		return err_set(e, -EBUSY, "backups in %s are being written or read", dir);
	}
	if (r) {
		close(fd);
		return err_sys(e, r, "%s can't be locked", path);
	}
	*ret = fd;
	return 0;
}

static int make_store(const char *dir, struct err *e)
{
	static const char *const sub[] = { "blobs", "manifests" };
	char path[PATH_BYTES];
	int r;

	r = make_dir(dir, e);
	for (size_t i = 0; !r && i < ARRAY_SIZE(sub); i++) {
		snprintf(path, sizeof(path), "%.4000s/%s", dir, sub[i]);
		r = make_dir(path, e);
	}
	return r;
}

int store_check(const char *dir, struct err *e)
{
	char path[PATH_BYTES];

	snprintf(path, sizeof(path), "%.4000s/manifests", dir);
	if (access(path, F_OK))
		return errno == ENOENT ? err_set(e, -ENOENT, "%s is no backup store", dir)
				       : err_sys(e, -errno, "%s", path);
	return 0;
}

int store_open(const char *dir, bool create, bool exclusive, int *ret_lock, struct err *e)
{
	int r = create ? make_store(dir, e) : 0;

	r = r ?: store_check(dir, e);
	return r ?: take_lock(dir, exclusive, ret_lock, e);
}

int store_now(int lock, struct timespec *ret, struct err *e)
{
	struct stat st;

	if (futimens(lock, NULL) || fstat(lock, &st))
		return err_sys(e, -errno, "the backup store's clock");
	*ret = st.st_mtim;
	return 0;
}

bool store_before(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec != b->tv_sec ? a->tv_sec < b->tv_sec : a->tv_nsec < b->tv_nsec;
}

int store_next(DIR *dir, struct dirent **ret, const char *path, struct err *e)
{
	errno = 0;
	*ret = readdir(dir);
	return *ret || !errno ? 0 : err_sys(e, -errno, "%s can't be listed to its end", path);
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

int store_new_file(const char *path, char ret_tmp[STORE_PATH_BYTES + 32], struct err *e)
{
	uint64_t random;
	char hex[17];
	int fd, r;

	/* Other threads and hosts may write the same file at this moment. */
	r = crypto_random(&random, sizeof(random), e);
	if (r)
		return r;
	text_hex(&random, sizeof(random), hex);
	snprintf(ret_tmp, STORE_PATH_BYTES + 32, "%s.new-%s", path, hex);
	fd = open(ret_tmp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	return fd < 0 ? err_sys(e, -errno, "%s can't be made", ret_tmp) : fd;
}

/* Flushed, then under its name. */
static int write_blob(const char *path, const void *block, size_t len, struct err *e)
{
	char tmp[STORE_PATH_BYTES + 32];
	_cleanup_close_ int fd = store_new_file(path, tmp, e);
	int r;

	if (fd < 0)
		return fd;
	r = io_pwrite_full(fd, block, len, 0, e);
	r = r ?: io_fsync(fd, e);
	if (!r && rename(tmp, path))
		r = err_sys(e, -errno, "%s can't get its name", path);
	if (r)
		(void)!unlink(tmp);
	return r;
}

/* Is it there, and whole? It is read once a run: what has rotted must not be handed on to a new
 * backup. Its time is that of its last use, so that no sweep takes it. */
static bool have_block(const struct store_run *run, const char *path,
		       const uint8_t hash[HASH_BYTES], size_t len)
{
	struct stat st;

	if (stat(path, &st) || (uint64_t)st.st_size != len)
		return false;
	if (!store_before(&st.st_mtim, &run->since))
		return true;
	return !store_get(run->dir, hash, run->spare, len, NULL) &&
	       !store_touch(run->dir, hash, NULL);
}

int store_put(const struct store_run *run, const uint8_t hash[HASH_BYTES], const void *block,
	      size_t len, bool *ret_new, struct err *e)
{
	char path[PATH_BYTES];
	size_t n;
	int r;

	blob_path(run->dir, hash, path, &n);
	*ret_new = !have_block(run, path, hash, len);
	if (!*ret_new)
		return 0;
	path[n] = '\0';
	r = make_dir(path, e);
	path[n] = '/';
	if (r)
		return r;
	return write_blob(path, block, len, e);
}

int store_touch(const char *dir, const uint8_t hash[HASH_BYTES], struct err *e)
{
	char path[PATH_BYTES];
	size_t n;

	blob_path(dir, hash, path, &n);
	if (!utimensat(AT_FDCWD, path, NULL, 0))
		return 0;
	return errno == ENOENT ? err_set(e, -EBADMSG, "the backup's block %s is missing", path)
			       : err_sys(e, -errno, "%s", path);
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

/* The blocks in use whose hash begins with one of a range of bytes: all of a store may be more than
 * there is room for, so it is swept in as many parts as that takes. */
#define SET_MAX (128u * 1024) /* 4 MiB of hashes */
struct hash_set {
	uint8_t (*hashes)[HASH_BYTES];
	size_t n, cap;
	unsigned int from, to;
};

static int by_bytes(const void *a, const void *b)
{
	return memcmp(a, b, HASH_BYTES);
}

static void sort_set(struct hash_set *s)
{
	size_t kept = 0;

	if (s->n)
		qsort(s->hashes, s->n, HASH_BYTES, by_bytes);
	for (size_t i = 0; i < s->n; i++)
		if (!kept || memcmp(s->hashes[i], s->hashes[kept - 1], HASH_BYTES) != 0)
			memmove(s->hashes[kept++], s->hashes[i], HASH_BYTES);
	s->n = kept;
}

/* Full: the same blocks of several backups are one; then half the range will do. One byte's is
 * never left out. */
static int make_room(struct hash_set *s, struct err *e)
{
	size_t cap = s->cap ? 2 * s->cap : 1024;
	void *grown;

	if (s->n >= SET_MAX)
		sort_set(s);
	while (s->n > SET_MAX / 2 && s->to - s->from > 1) {
		s->to -= (s->to - s->from) / 2;
		while (s->n && s->hashes[s->n - 1][0] >= s->to)
			s->n--;
	}
	if (s->n < s->cap / 4 * 3)
		return 0;
	grown = reallocarray(s->hashes, cap, HASH_BYTES);
	if (!grown)
		return err_set(e, -ENOMEM, "no memory to look for blocks in use");
	s->hashes = grown;
	s->cap = cap;
	return 0;
}

static int collect(void *arg, struct manifest *m, struct err *e)
{
	struct hash_set *s = arg;
	uint8_t hash[HASH_BYTES];
	uint64_t index;
	int r;

	while ((r = manifest_next(m, &index, hash, e)) > 0) {
		if (s->n == s->cap)
			r = make_room(s, e);
		if (r < 0)
			break;
		if (hash[0] >= s->from && hash[0] < s->to)
			memcpy(s->hashes[s->n++], hash, HASH_BYTES);
	}
	return r;
}

bool store_is_old(int dirfd, const char *name, const struct timespec *now)
{
	struct stat st;

	return !fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) &&
	       st.st_mtim.tv_sec < now->tv_sec - SWEEP_AGE_SECONDS;
}

static bool is_used(const char *prefix, const char *name, const struct hash_set *used)
{
	uint8_t hash[HASH_BYTES];
	char hex[HASH_HEX];
	size_t n = 0;

	return strlen(name) == 62 && snprintf(hex, sizeof(hex), "%s%.62s", prefix, name) == 64 &&
	       !text_unhex(hex, hash, sizeof(hash), &n) && used->n &&
	       bsearch(hash, used->hashes, used->n, HASH_BYTES, by_bytes);
}

/* Unused, or what a dead writer left; a file that can't go is tried again by the next sweep. */
static int sweep_dir(const char *path, const char *prefix, const struct hash_set *used,
		     const struct timespec *now, struct err *e)
{
	DIR *dir = opendir(path);
	struct dirent *d;
	int r;

	if (!dir)
		return errno == ENOENT ? 0 : err_sys(e, -errno, "%s", path);
	while (!(r = store_next(dir, &d, path, e)) && d)
		if (d->d_name[0] != '.' && !is_used(prefix, d->d_name, used) &&
		    store_is_old(dirfd(dir), d->d_name, now))
			(void)!unlinkat(dirfd(dir), d->d_name, 0);
	closedir(dir);
	return r;
}

/* From s->from on; s->to: how far. */
static int sweep_part(const char *dir, const struct timespec *now, struct hash_set *s,
		      struct err *e)
{
	char path[PATH_BYTES], prefix[12];
	int r;

	s->n = 0;
	s->to = 256;
	r = manifest_each(dir, NULL, collect, NULL, s, e);
	if (!r)
		sort_set(s);
	for (unsigned int i = s->from; !r && i < s->to; i++) {
		snprintf(prefix, sizeof(prefix), "%02x", i);
		snprintf(path, sizeof(path), "%.4000s/blobs/%s", dir, prefix);
		r = sweep_dir(path, prefix, s, now, e);
	}
	return r;
}

int store_sweep(const char *dir, int lock, struct err *e)
{
	struct hash_set used = { NULL, 0, 0, 0, 0 };
	struct timespec now;
	int r;

	r = store_now(lock, &now, e);
	r = r ?: manifest_sweep(dir, &now, e);
	for (; !r && used.from < 256; used.from = used.to)
		r = sweep_part(dir, &now, &used, e);
	free(used.hashes);
	return r;
}
