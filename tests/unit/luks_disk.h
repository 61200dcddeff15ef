// SPDX-License-Identifier: Apache-2.0
// A disk in a file for the luks tests, with a hook on each read, write and flush (--wrap).
#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/types.h>

#include "luks/internal.h"
#include "luks_expect.h"

#define DISK_EVENTS_MAX 64

struct disk_event {
	bool flush;
	uint64_t offset_bytes;
	size_t len;
	bool has_checksum; /* of a write that starts with a magic */
};

static struct {
	int fd; /* the disk that is watched; 0: none */
	struct disk_event events[DISK_EVENTS_MAX];
	size_t n_events;
	uint64_t bad_offset_bytes, bad_len; /* reads of it fail with EIO */
	size_t fail_write;		    /* number of the write (from 1) that fails; 0: none */
	size_t writes;
	void (*after_write)(void);
} disk;

ssize_t __real_pread64(int fd, void *buf, size_t len, off64_t offset);
ssize_t __real_pwrite64(int fd, const void *buf, size_t len, off64_t offset);
int __real_fsync(int fd);
ssize_t __wrap_pread64(int fd, void *buf, size_t len, off64_t offset);
ssize_t __wrap_pwrite64(int fd, const void *buf, size_t len, off64_t offset);
int __wrap_fsync(int fd);

ssize_t __wrap_pread64(int fd, void *buf, size_t len, off64_t offset)
{
	if (fd == disk.fd && disk.bad_len &&
	    (uint64_t)offset < disk.bad_offset_bytes + disk.bad_len &&
	    disk.bad_offset_bytes < (uint64_t)offset + len) {
		errno = EIO;
		return -1;
	}
	return __real_pread64(fd, buf, len, offset);
}

static inline void disk_record(bool flush, const uint8_t *buf, size_t len, uint64_t offset)
{
	struct disk_event ev = { .flush = flush, .offset_bytes = offset, .len = len };

	for (size_t i = 448; !flush && len >= 512 && i < 512; i++)
		ev.has_checksum |= buf[i] != 0;
	if (disk.n_events < DISK_EVENTS_MAX)
		disk.events[disk.n_events++] = ev;
}

ssize_t __wrap_pwrite64(int fd, const void *buf, size_t len, off64_t offset)
{
	ssize_t n;

	if (fd != disk.fd || !disk.fd)
		return __real_pwrite64(fd, buf, len, offset);
	if (++disk.writes == disk.fail_write) {
		errno = EIO;
		return -1;
	}
	disk_record(false, buf, len, (uint64_t)offset);
	n = __real_pwrite64(fd, buf, len, offset);
	if (disk.after_write)
		disk.after_write();
	return n;
}

int __wrap_fsync(int fd)
{
	if (fd == disk.fd && disk.fd)
		disk_record(true, NULL, 0, 0);
	return __real_fsync(fd);
}

/* A disk of 64 MiB that holds @img; it is watched from now on. */
static inline int disk_make(const struct image *img)
{
	int fd = memfd_create("disk", MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, (off_t)img->device_bytes) ||
	    pwrite(fd, img->data, img->len, 0) != (ssize_t)img->len)
		return -1;
	memset(&disk, 0, sizeof(disk));
	disk.fd = fd;
	return fd;
}

static inline int disk_edited(const char *base, const char *edits)
{
	struct image img = { 0 };
	int fd = edited_image(&img, base, edits) ? disk_make(&img) : -1;

	image_free(&img);
	CHECK(fd >= 0);
	return fd;
}

/* The first bytes of the disk. */
static inline void disk_read(int fd, struct image *img)
{
	img->len = IMAGE_TEST_BYTES;
	img->device_bytes = 64u << 20;
	img->data = malloc(img->len);
	CHECK(img->data && __real_pread64(fd, img->data, img->len, 0) == (ssize_t)img->len);
}

static inline void disk_close(int fd)
{
	memset(&disk, 0, sizeof(disk));
	close(fd);
}
