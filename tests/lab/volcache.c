// SPDX-License-Identifier: Apache-2.0
// Preloaded into linux.uml: gives files of the host a volatile write cache. What a write replaces
// is first appended to FILE.undo (u64 offset, u64 length, the old bytes; little endian), and a
// flush of the file empties that. After a power cut volundo.py takes back all or some of what is in
// it.
//
// VOLCACHE names the files, separated by colons.
#define _GNU_SOURCE
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FILES_MAX 8
#define BLOCK_BYTES 65536

struct undo_record {
	uint64_t offset, len;
	unsigned char bytes[BLOCK_BYTES];
};

/* The record lies here and not on the stack: a guest kernel's thread has few pages of it. */
struct cached_file {
	dev_t dev;
	ino_t ino;
	int undo_fd;
	struct undo_record record;
};

static struct cached_file files[FILES_MAX];
static size_t n_files;

static void give_up(const char *what)
{
	perror(what);
	_exit(1);
}

static void add_file(const char *path)
{
	char undo[4096];
	struct stat st;
	struct cached_file *f = &files[n_files];

	if (n_files == FILES_MAX || stat(path, &st) != 0)
		give_up(path);
	snprintf(undo, sizeof(undo), "%s.undo", path);
	f->dev = st.st_dev;
	f->ino = st.st_ino;
	f->undo_fd = open(undo, O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
	if (f->undo_fd < 0)
		give_up(undo);
	n_files++;
}

__attribute__((constructor)) static void start(void)
{
	const char *list = getenv("VOLCACHE");
	char *copy = list ? strdup(list) : NULL, *save = NULL, *path;

	for (path = copy ? strtok_r(copy, ":", &save) : NULL; path;
	     path = strtok_r(NULL, ":", &save))
		add_file(path);
	free(copy);
}

static struct cached_file *find_file(int fd)
{
	struct stat st;
	size_t i;

	if (n_files == 0 || fstat(fd, &st) != 0)
		return NULL;
	for (i = 0; i < n_files; i++) {
		if (files[i].dev == st.st_dev && files[i].ino == st.st_ino)
			return &files[i];
	}
	return NULL;
}

/* One record for each block: a record cut short by the power cut was of a write not yet begun. */
static void keep_old_bytes(int fd, uint64_t offset, uint64_t len)
{
	struct cached_file *f = find_file(fd);

	while (f && len > 0) {
		size_t part = len < BLOCK_BYTES ? len : BLOCK_BYTES;
		size_t size = offsetof(struct undo_record, bytes) + part;

		memset(f->record.bytes, 0, part); /* what is read beyond the end of the file */
		f->record.offset = offset;
		f->record.len = part;
		if (syscall(SYS_pread64, fd, f->record.bytes, part, offset) < 0 ||
		    syscall(SYS_write, f->undo_fd, &f->record, size) != (long)size)
			give_up("volcache");
		offset += part;
		len -= part;
	}
}

static int flush(int fd, long call)
{
	const struct cached_file *f = find_file(fd);

	return (int)(f ? syscall(SYS_ftruncate, f->undo_fd, 0L) : syscall(call, fd));
}

ssize_t pwrite64(int fd, const void *bytes, size_t len, off64_t offset)
{
	keep_old_bytes(fd, (uint64_t)offset, len);
	return syscall(SYS_pwrite64, fd, bytes, len, offset);
}

ssize_t pwrite(int fd, const void *bytes, size_t len, off_t offset)
{
	return pwrite64(fd, bytes, len, offset);
}

int fallocate64(int fd, int mode, off64_t offset, off64_t len)
{
	keep_old_bytes(fd, (uint64_t)offset, (uint64_t)len);
	return (int)syscall(SYS_fallocate, fd, mode, offset, len);
}

int fallocate(int fd, int mode, off_t offset, off_t len)
{
	return fallocate64(fd, mode, offset, len);
}

int fsync(int fd)
{
	return flush(fd, SYS_fsync);
}

int fdatasync(int fd)
{
	return flush(fd, SYS_fdatasync);
}
