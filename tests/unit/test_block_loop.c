// SPDX-License-Identifier: Apache-2.0
// Attaching a loop device, with every system call answered here: what is asked of the kernel, who
// wins a race for a number, and that no failure leaves a descriptor or a loop device behind.
#include "block/internal.h"
#include "check.h"

#include <fcntl.h>
#include <linux/loop.h>
#include <stdarg.h>

#define FILE_FD 500
#define CONTROL_FD 1000
#define DIRECT_FD 1001
#define LOOP_FD 1100

static struct {
	int control_errno, open_errno, free_errno, configure_errno;
	int direct_open_errno, direct_read_errno;
	int open_busy, configure_busy; /* so many tries find the number taken */
	int next, asked, open_fds, open_flags;
	bool configured;
	struct loop_config config;
} k;

int __real_open64(const char *path, int flags, ...);
int __real_ioctl(int fd, unsigned long request, ...);
int __real_close(int fd);
int __wrap_open(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);
int __wrap___open_2(const char *path, int flags);
int __wrap___open64_2(const char *path, int flags);
int __wrap_ioctl(int fd, unsigned long request, ...);
int __wrap_close(int fd);
ssize_t __real_pread64(int fd, void *buf, size_t len, off_t offset);
ssize_t __wrap_pread64(int fd, void *buf, size_t len, off_t offset);

static int answer(int err)
{
	errno = err;
	return -1;
}

static int fake_open(const char *path, int flags)
{
	int n;

	if (!strcmp(path, "/dev/loop-control")) {
		if (k.control_errno)
			return answer(k.control_errno);
		k.open_fds++;
		return CONTROL_FD;
	}
	if (!strcmp(path, "/proc/self/fd/500") && flags & O_DIRECT) {
		if (k.direct_open_errno)
			return answer(k.direct_open_errno);
		k.open_fds++;
		return DIRECT_FD;
	}
	if (sscanf(path, "/dev/loop%d", &n) != 1)
		return __real_open64(path, flags);
	if (k.open_errno)
		return answer(k.open_errno);
	if (k.open_busy && k.open_busy--)
		return answer(EBUSY);
	k.open_fds++;
	k.open_flags = flags;
	return LOOP_FD + n;
}

int __wrap_open(const char *path, int flags, ...)
{
	return fake_open(path, flags);
}
int __wrap_open64(const char *path, int flags, ...)
{
	return fake_open(path, flags);
}
int __wrap___open_2(const char *path, int flags)
{
	return fake_open(path, flags);
}
int __wrap___open64_2(const char *path, int flags)
{
	return fake_open(path, flags);
}

int __wrap_ioctl(int fd, unsigned long request, ...)
{
	va_list ap;
	void *arg;

	va_start(ap, request);
	arg = va_arg(ap, void *);
	va_end(ap);
	if (fd == CONTROL_FD && request == LOOP_CTL_GET_FREE) {
		k.asked++;
		return k.free_errno ? answer(k.free_errno) : k.next++;
	}
	if (fd >= LOOP_FD && request == LOOP_CONFIGURE) {
		if (k.configure_busy && k.configure_busy--)
			return answer(EBUSY);
		if (k.configure_errno)
			return answer(k.configure_errno);
		memcpy(&k.config, arg, sizeof(k.config));
		k.configured = true;
		return 0;
	}
	if (fd < CONTROL_FD)
		return __real_ioctl(fd, request, arg);
	return answer(ENOTTY);
}

/* One sector, to memory and from an offset that are no better aligned than that. */
ssize_t __wrap_pread64(int fd, void *buf, size_t len, off_t offset)
{
	if (fd != DIRECT_FD)
		return __real_pread64(fd, buf, len, offset);
	CHECK(len == 512 && offset % 1024 == 512 && (uintptr_t)buf % 1024 == 512);
	return k.direct_read_errno ? answer(k.direct_read_errno) : (ssize_t)len;
}

int __wrap_close(int fd)
{
	if (fd < CONTROL_FD)
		return __real_close(fd);
	k.open_fds--;
	return 0;
}

static struct block_device image(bool readonly)
{
	struct block_device d = { .fd = -1, .file_fd = FILE_FD, .readonly = readonly };

	snprintf(d.given, sizeof(d.given), "/some/image");
	memset(&k, 0, sizeof(k));
	k.next = 3;
	return d;
}

static void attach_asks_the_kernel(void)
{
	struct block_device d = image(false);
	struct err e = { 0 };

	CHECK_INT(block_loop_attach(&d, true, &e), 0);
	CHECK_STR(d.path, "/dev/loop3");
	CHECK_INT(d.fd, LOOP_FD + 3);
	CHECK(d.loop_attached && d.exclusive);
	CHECK_INT(k.config.fd, FILE_FD);
	CHECK_INT(k.config.block_size, 512);
	CHECK_INT(k.config.info.lo_flags, LO_FLAGS_AUTOCLEAR | LO_FLAGS_DIRECT_IO);
	CHECK_STR((const char *)k.config.info.lo_file_name, "/some/image");
	CHECK((k.open_flags & (O_EXCL | O_CLOEXEC | O_RDWR)) == (O_EXCL | O_CLOEXEC | O_RDWR));
	CHECK_INT(k.open_fds, 1);
}

static void attach_readonly(void)
{
	struct block_device d = image(true);

	CHECK_INT(block_loop_attach(&d, false, NULL), 0);
	CHECK_INT(k.config.info.lo_flags,
		  LO_FLAGS_AUTOCLEAR | LO_FLAGS_DIRECT_IO | LO_FLAGS_READ_ONLY);
	CHECK_INT(k.open_flags & (O_ACCMODE | O_EXCL), O_RDONLY);
	CHECK(!d.exclusive);
}

static void attach_long_name(void)
{
	struct block_device d = image(false);

	memset(d.given, 'x', 200);
	d.given[200] = '\0';
	CHECK_INT(block_loop_attach(&d, false, NULL), 0);
	CHECK_INT(strlen((const char *)k.config.info.lo_file_name), LO_NAME_SIZE - 1);
}

static void no_direct_io(void)
{
	int *const where[] = { &k.direct_open_errno, &k.direct_read_errno };

	for (size_t i = 0; i < ARRAY_SIZE(where); i++) {
		struct block_device d = image(false);

		*where[i] = EINVAL;
		CHECK_INT(block_loop_attach(&d, false, NULL), 0);
		CHECK_INT(k.config.info.lo_flags, LO_FLAGS_AUTOCLEAR);
		CHECK_INT(k.open_fds, 1);
	}
}

static void number_taken_by_others(void)
{
	struct block_device d = image(false);

	k.configure_busy = 2;
	k.open_busy = 1;
	CHECK_INT(block_loop_attach(&d, true, NULL), 0);
	CHECK_INT(k.asked, 4);
	CHECK_STR(d.path, "/dev/loop6");
	CHECK_INT(k.open_fds, 1);
}

static void number_always_taken(void)
{
	struct block_device d = image(false);
	struct err e = { 0 };

	k.configure_busy = 1000;
	CHECK_INT(block_loop_attach(&d, true, &e), -EBUSY);
	CHECK_INT(k.asked, 64);
	CHECK_INT(k.open_fds, 0);
	CHECK_INT(d.fd, -1);
	CHECK(e.text[0]);
}

struct failure {
	const char *name;
	int *where, err, want;
	const char *says;
};

static void attach_fails(const struct failure *f)
{
	struct block_device d = image(false);
	struct err e = { 0 };

	*f->where = f->err;
	CHECK_INT(block_loop_attach(&d, true, &e), f->want);
	CHECK_CONTAINS(e.text, f->says);
	CHECK_INT(e.code, f->want);
	CHECK_INT(k.open_fds, 0);
	CHECK(!k.configured && !d.loop_attached);
	CHECK_INT(d.fd, -1);
}

int main(void)
{
	const struct failure failures[] = {
		{ "no_loop_module", &k.control_errno, ENOENT, -EHOSTDOWN, "module loop" },
		{ "no_permission", &k.control_errno, EACCES, -EACCES, "/dev/loop-control" },
		{ "no_free_number", &k.free_errno, ENOSPC, -ENOSPC, "no loop device" },
		{ "no_node", &k.open_errno, ENOENT, -EHOSTDOWN, "/dev/loop3" },
		{ "node_refused", &k.open_errno, EPERM, -EACCES, "/dev/loop3" },
		{ "kernel_without_configure", &k.configure_errno, EINVAL, -EHOSTDOWN, "5.8" },
		{ "configure_refused", &k.configure_errno, EBADF, -EBADF, "/some/image" },
	};

	RUN(attach_asks_the_kernel);
	RUN(attach_readonly);
	RUN(attach_long_name);
	RUN(no_direct_io);
	RUN(number_taken_by_others);
	RUN(number_always_taken);
	for (size_t i = 0; i < ARRAY_SIZE(failures); i++)
		RUN_CASE(failures[i].name, attach_fails(&failures[i]));
	return check_exit();
}
