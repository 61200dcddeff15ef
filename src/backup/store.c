// SPDX-License-Identifier: Apache-2.0
// A store's life: its marker, its folders and its lock. Everything in it is reached from the
// descriptor of its folder, and no symbolic link below that is followed: whoever serves the share
// chooses what lies there.
#include "internal.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>

#define MARKER "cryptvol-store"
#define MARKER_TEXT "cryptvol backup store "
#define MARKER_VERSION "1"
#define MARKER_MAX_BYTES 128
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

uint64_t block_end(uint64_t device_bytes, uint64_t i)
{
	return i * BACKUP_BLOCK_BYTES + block_length(device_bytes, i);
}

bool backup_name_valid(const char *name)
{
	size_t n = strlen(name);

	return n && n < BACKUP_NAME_MAX && name[0] != '.' &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789.-_") == n;
}

int watch_stop(const struct backup_watch *w, struct err *e)
{
	return w && w->stop ? w->stop(w->arg, e) : 0;
}

void watch_progress(const struct backup_watch *w, uint64_t done_bytes, uint64_t total_bytes)
{
	if (w && w->progress)
		w->progress(w->arg, done_bytes, total_bytes);
}

/* ---- what lies in it ---- */

int store_folder(int parent, const char *name, bool make, struct err *e)
{
	int fd, r;

	if (make && mkdirat(parent, name, 0700) && errno != EEXIST)
		return err_sys(e, -errno, "%s can't be made", name);
	fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0)
		return fd;
	r = -errno;
	if (r == -ELOOP || r == -ENOTDIR)
		return err_set(e, -EBADMSG, "%s is no folder", name);
	return err_sys(e, r, "%s", name);
}

int store_file(int folder, const char *name, int flags, uint64_t *ret_bytes, struct err *e)
{
	_cleanup_close_ int fd = openat(folder, name, flags | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC,
					0600);
	struct stat st;
	int r = -errno;

	if (fd < 0 && r != -ELOOP && r != -ENXIO)
		return err_sys(e, r, "%s", name);
	if (fd >= 0 && fstat(fd, &st))
		return err_sys(e, -errno, "%s", name);
	if (fd < 0 || !S_ISREG(st.st_mode))
		return err_set(e, -EBADMSG, "%s is no regular file", name);
	if (ret_bytes)
		*ret_bytes = (uint64_t)st.st_size;
	r = fd;
	fd = -1;
	return r;
}

int store_new_file(int folder, const char *name, char ret_tmp[STORE_NAME_BYTES], struct err *e)
{
	uint64_t random;
	char hex[17];
	int fd, r;

	/* Other threads and hosts may write the same file at this moment. */
	r = crypto_random(&random, sizeof(random), e);
	if (r)
		return r;
	text_hex(&random, sizeof(random), hex);
	snprintf(ret_tmp, STORE_NAME_BYTES, "%.160s.new-%s", name, hex);
	fd = openat(folder, ret_tmp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	return fd < 0 ? err_sys(e, -errno, "%s can't be made", ret_tmp) : fd;
}

DIR *store_list(int folder)
{
	int fd = openat(folder, ".",
			O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* a position of its own */
	DIR *d = fd < 0 ? NULL : fdopendir(fd);

	if (!d)
		base_closep(&fd);
	return d;
}

int store_next(DIR *dir, struct dirent **ret, const char *path, struct err *e)
{
	errno = 0;
	*ret = readdir(dir);
	return *ret || !errno ? 0 : err_sys(e, -errno, "%s can't be listed to its end", path);
}

/* ---- the lock ---- */

/* A file, not a folder: NFS locks nothing that isn't open for writing. A share that can only be
 * read has readers all the same. */
static int take_lock(struct store *s, bool exclusive, struct err *e)
{
	int fd, r, how = exclusive ? LOCK_EX | LOCK_NB : LOCK_SH;

	fd = store_file(s->fd, "lock", O_RDWR | O_CREAT, NULL, e);
	if (!exclusive && (fd == -EROFS || fd == -EACCES)) {
		err_clear(e);
		fd = store_file(s->fd, "lock", O_RDONLY, NULL, e);
	}
	if (fd < 0)
		return err_wrap(e, fd, "%s", s->dir);
	do
		r = flock(fd, how) ? -errno : 0;
	while (r == -EINTR);
	if (!r) {
		s->lock = fd;
		return 0;
	}
	close(fd);
	return r == -EWOULDBLOCK
		       ? err_set(e, -EBUSY, "backups in %s are being written or read", s->dir)
		       : err_sys(e, r, "the lock of %s can't be taken", s->dir);
}

/* ---- the marker ---- */

/* "cryptvol backup store 1 ID" and a line feed. */
static int parse_marker(char *text, struct store *s, struct err *e)
{
	const size_t n = strlen(MARKER_TEXT);
	char *version = text + n, *id = strchr(version, ' ');
	uint8_t raw[STORE_ID_BYTES];
	size_t len = 0;

	if (strncmp(text, MARKER_TEXT, n) != 0 || !id)
		return err_set(e, -EBADMSG, "%s in %s is no marker of a store", MARKER, s->dir);
	*id++ = '\0';
	id[strcspn(id, "\n")] = '\0';
	if (strcmp(version, MARKER_VERSION) != 0)
		return err_set(e, -EOPNOTSUPP, "%s is a store of version %.16s, which isn't known",
			       s->dir, version);
	if (text_unhex(id, raw, sizeof(raw), &len) || len != sizeof(raw))
		return err_set(e, -EBADMSG, "%s in %s is no marker of a store", MARKER, s->dir);
	text_hex(raw, sizeof(raw), s->id);
	return 0;
}

static int read_marker(struct store *s, struct err *e)
{
	char text[MARKER_MAX_BYTES + sizeof(MARKER_TEXT)] = "";
	_cleanup_close_ int fd = -1;
	uint64_t bytes = 0;
	int r;

	fd = store_file(s->fd, MARKER, O_RDONLY, &bytes, e);
	if (fd == -ENOENT)
		return err_set(
			e, -ENOMEDIUM,
			"%s is no backup store, for it has no file cryptvol-store: mount the "
			"share that holds the store there, or make it one with \"cryptvol "
			"backup --init %s\"",
			s->dir, s->dir);
	if (fd < 0)
		return err_wrap(e, fd, "%s", s->dir);
	if (bytes < sizeof(MARKER_TEXT) || bytes > MARKER_MAX_BYTES)
		return err_set(e, -EBADMSG, "%s in %s is no marker of a store", MARKER, s->dir);
	r = io_pread_full(fd, text, bytes, 0, e);
	return r ?: parse_marker(text, s, e);
}

static int write_marker(struct store *s, struct err *e)
{
	char tmp[STORE_NAME_BYTES], text[MARKER_MAX_BYTES];
	_cleanup_close_ int fd = -1;
	uint8_t raw[STORE_ID_BYTES];
	int r;

	r = crypto_random(raw, sizeof(raw), e);
	if (r)
		return r;
	text_hex(raw, sizeof(raw), s->id);
	snprintf(text, sizeof(text), MARKER_TEXT MARKER_VERSION " %s\n", s->id);
	fd = store_new_file(s->fd, MARKER, tmp, e);
	if (fd < 0)
		return fd;
	r = io_pwrite_full(fd, text, strlen(text), 0, e);
	r = r ?: io_fsync(fd, e);
	if (!r && renameat(s->fd, tmp, s->fd, MARKER))
		r = err_sys(e, -errno, "%s can't get its name", MARKER);
	if (r)
		(void)!unlinkat(s->fd, tmp, 0);
	return r ?: store_sync(s, e);
}

/* ---- open and close ---- */

static int open_dir(const char *dir, struct store *s, struct err *e)
{
	*s = (struct store){ .dir = dir, .fd = -1, .lock = -1 };
	s->fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->fd >= 0)
		return 0;
	return errno == ENOENT ? err_set(e, -ENOMEDIUM,
					 "%s is no backup store: there is no such folder", dir)
			       : err_sys(e, -errno, "%s", dir);
}

void store_close(struct store *s)
{
	base_closep(&s->lock);
	base_closep(&s->fd);
}

int store_open(const char *dir, enum store_lock how, const struct backup_watch *watch,
	       struct store *ret, struct err *e)
{
	int r = open_dir(dir, ret, e);

	ret->watch = watch;
	r = r ?: read_marker(ret, e);
	if (!r && how != STORE_UNLOCKED)
		r = take_lock(ret, how == STORE_EXCLUSIVE, e);
	if (r)
		store_close(ret);
	return r;
}

static int make_folders(const struct store *s, struct err *e)
{
	static const char *const sub[] = { "blobs", "manifests" };

	for (size_t i = 0; i < ARRAY_SIZE(sub); i++) {
		int fd = store_folder(s->fd, sub[i], true, e);

		if (fd < 0)
			return err_wrap(e, fd, "%s", s->dir);
		close(fd);
	}
	return 0;
}

/* The marker comes last: a store that has one is whole. */
static int init_locked(struct store *s, bool *ret_made, struct err *e)
{
	int r = read_marker(s, e);

	*ret_made = r == -ENOMEDIUM;
	if (r != -ENOMEDIUM)
		return r;
	err_clear(e);
	r = make_folders(s, e);
	return r ?: write_marker(s, e);
}

int backup_init(const char *dir, char ret_id[BACKUP_STORE_ID_BYTES], bool *ret_made, struct err *e)
{
	struct store s;
	int r;

	if (mkdir(dir, 0700) && errno != EEXIST)
		return err_sys(e, -errno, "%s can't be made", dir);
	r = open_dir(dir, &s, e);
	if (r)
		return r;
	r = take_lock(&s, true, e);
	r = r ?: init_locked(&s, ret_made, e);
	if (!r)
		text_copy(ret_id, BACKUP_STORE_ID_BYTES, s.id);
	store_close(&s);
	return r;
}

int store_now(const struct store *s, struct timespec *ret, struct err *e)
{
	struct stat st;

	if (futimens(s->lock, NULL) || fstat(s->lock, &st))
		return err_sys(e, -errno, "the backup store's clock");
	*ret = st.st_mtim;
	return 0;
}

bool store_before(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec != b->tv_sec ? a->tv_sec < b->tv_sec : a->tv_nsec < b->tv_nsec;
}

bool store_is_old(int folder, const char *name, const struct timespec *now)
{
	struct stat st;

	return !fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) &&
	       st.st_mtim.tv_sec < now->tv_sec - SWEEP_AGE_SECONDS;
}

int store_sync(const struct store *s, struct err *e)
{
	/* Hundreds of folders may have new names: the whole file system at once is cheaper. */
	return syncfs(s->fd) ? err_sys(e, -errno, "%s can't be flushed", s->dir) : 0;
}
