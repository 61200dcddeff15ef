// SPDX-License-Identifier: Apache-2.0
// Whole reads and writes, sizes, small files, and the cleanup helpers.
#include <cryptvol/base.h>

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#define READ_FILE_FIRST_BYTES 4096u

void base_freep(void *p)
{
	free(*(void **)p);
}

void base_closep(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

int io_pread_full(int fd, void *buf, size_t len, uint64_t offset_bytes, struct err *e)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = pread(fd, (char *)buf + done, len - done, (off_t)(offset_bytes + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, -errno, "reading %zu bytes at offset %llu failed", len,
				       (unsigned long long)offset_bytes);
		if (n == 0)
			return err_set(e, -EIO,
				       "the device ends at %llu, within the %zu bytes to read at "
				       "offset %llu",
				       (unsigned long long)(offset_bytes + done), len,
				       (unsigned long long)offset_bytes);
		done += (size_t)n;
	}
	return 0;
}

int io_pwrite_full(int fd, const void *buf, size_t len, uint64_t offset_bytes, struct err *e)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = pwrite(fd, (const char *)buf + done, len - done,
				   (off_t)(offset_bytes + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, -errno, "writing %zu bytes at offset %llu failed", len,
				       (unsigned long long)offset_bytes);
		if (n == 0)
			return err_set(e, -EIO, "nothing could be written at offset %llu",
				       (unsigned long long)(offset_bytes + done));
		done += (size_t)n;
	}
	return 0;
}

int io_fsync(int fd, struct err *e)
{
	if (fsync(fd))
		return err_sys(e, -errno, "flushing to the device failed");
	return 0;
}

int io_size(int fd, uint64_t *ret_bytes, struct err *e)
{
	struct stat st;
	uint64_t bytes;

	if (fstat(fd, &st))
		return err_sys(e, -errno, "the device can't be examined");
	if (S_ISREG(st.st_mode)) {
		*ret_bytes = (uint64_t)st.st_size;
		return 0;
	}
	if (!S_ISBLK(st.st_mode))
		return err_set(e, -ENOTBLK, "neither a block device nor a regular file");
	if (ioctl(fd, BLKGETSIZE64, &bytes))
		return err_sys(e, -errno, "the size of the device can't be read");
	*ret_bytes = bytes;
	return 0;
}

/* Room for more: files of /proc have no size beforehand, and @max may be far above what they have.
 */
static int grow_buffer(char **buf, size_t *cap, size_t max)
{
	size_t more = *cap ? *cap * 2 : READ_FILE_FIRST_BYTES;
	char *p;

	if (more > max + 1)
		more = max + 1;
	p = realloc(*buf, more);
	if (!p)
		return -ENOMEM;
	*buf = p;
	*cap = more;
	return 0;
}

int io_read_file(const char *path, size_t max, char **ret, size_t *ret_len)
{
	_cleanup_close_ int fd = -1;
	_cleanup_free_ char *buf = NULL;
	size_t len = 0, cap = 0;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	for (;;) {
		ssize_t n;
		int r = len == cap ? grow_buffer(&buf, &cap, max) : 0;

		if (r)
			return r;
		n = read(fd, buf + len, cap - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		len += (size_t)n;
		if (len > max)
			return -EFBIG;
	}
	buf[len] = '\0'; /* len < cap: the last read had room and found nothing */
	if (ret_len)
		*ret_len = len;
	*ret = buf;
	buf = NULL;
	return 0;
}
