// SPDX-License-Identifier: Apache-2.0
// "Known blank": holes by SEEK_DATA, or bytes that were read and are zero.
#include "internal.h"

#include <fcntl.h>
#include <stdio.h>

#define CHUNK_BYTES (1u << 20)
#define CHUNK_ALIGN 4096u

static bool all_zero(const unsigned char *p, size_t len)
{
	/* Equal to itself moved by one, and the first is zero: so all are. */
	return !len || (!p[0] && !memcmp(p, p + 1, len - 1));
}

static int read_zero(int fd, uint64_t from, uint64_t to, bool *ret, struct err *e)
{
	_cleanup_free_ void *buf = NULL;
	int r = 0;

	if (posix_memalign(&buf, CHUNK_ALIGN, CHUNK_BYTES))
		return err_set(e, -ENOMEM, "no memory to look at the device");
	*ret = true;
	while (!r && *ret && from < to) {
		size_t n = to - from < CHUNK_BYTES ? (size_t)(to - from) : CHUNK_BYTES;

		r = io_pread_full(fd, buf, n, from, e);
		if (!r)
			*ret = all_zero(buf, n);
		from += n;
	}
	return r;
}

/* The page cache may be older than a shared device: read around it where that is possible. */
static int device_zero(int fd, uint64_t from, uint64_t to, bool *ret, struct err *e)
{
	_cleanup_close_ int direct = -1;
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	direct = open(path, O_RDONLY | O_CLOEXEC | O_DIRECT);
	return read_zero(direct >= 0 ? direct : fd, from, to, ret, e);
}

/* Data extents are read: a file system may call a range data that holds zeros only. */
static int file_zero(int fd, uint64_t from, uint64_t to, bool *ret, struct err *e)
{
	bool zero = true;
	int r = 0;

	while (!r && zero && from < to) {
		off_t data = lseek(fd, (off_t)from, SEEK_DATA), hole;

		if (data < 0 && errno == ENXIO)
			break; /* a hole up to the end of the file */
		if (data < 0 && errno == EINVAL)
			data = (off_t)from; /* a file system without the call */
		if (data < 0)
			return err_sys(e, -errno, "the holes of the image file can't be found");
		if ((uint64_t)data >= to)
			break;
		hole = lseek(fd, data, SEEK_HOLE);
		from = hole < 0 || (uint64_t)hole > to ? to : (uint64_t)hole;
		r = read_zero(fd, (uint64_t)data, from, &zero, e);
	}
	if (!r)
		*ret = zero;
	return r;
}

int block_known_blank(int fd, uint64_t offset_bytes, uint64_t len_bytes, bool *ret_blank,
		      struct err *e)
{
	uint64_t size, end;
	struct stat st;
	bool blank = false;
	int r;

	if (__builtin_add_overflow(offset_bytes, len_bytes, &end) || offset_bytes % CHUNK_ALIGN ||
	    len_bytes % CHUNK_ALIGN)
		return err_set(e, -EINVAL, "a range to look at has to be whole 4096-byte blocks");
	if (fstat(fd, &st))
		return err_sys(e, -errno, "the device can't be examined");
	if (S_ISREG(st.st_mode)) {
		size = (uint64_t)st.st_size;
		r = file_zero(fd, offset_bytes, end < size ? end : size, &blank, e);
	} else {
		r = io_size(fd, &size, e);
		if (!r && end > size)
			r = err_set(e, -EINVAL, "the device ends before %llu",
				    (unsigned long long)end);
		if (!r)
			r = device_zero(fd, offset_bytes, end, &blank, e);
	}
	if (!r)
		*ret_blank = blank;
	return r;
}
