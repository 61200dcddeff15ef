// SPDX-License-Identifier: Apache-2.0
// pwrite and fsync of one descriptor, counted; the Nth of both together may fail with EIO, and all
// behind it. For tests that are linked with --wrap=pwrite64,--wrap=fsync.
#pragma once

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

static struct {
	int fd;
	unsigned int calls, flushes, fail_at; /* 0 = none fails */
	bool for_good;			      /* the device never recovers */
	uint64_t bytes;
} faults = { .fd = -1 };

ssize_t __real_pwrite64(int fd, const void *buf, size_t len, off_t offset);
ssize_t __wrap_pwrite64(int fd, const void *buf, size_t len, off_t offset);
int __real_fsync(int fd);
int __wrap_fsync(int fd);

static inline void faults_start(int fd, unsigned int fail_at)
{
	faults.fd = fd;
	faults.calls = faults.flushes = 0;
	faults.bytes = 0;
	faults.fail_at = fail_at;
	faults.for_good = false;
}

static inline void faults_stop(void)
{
	faults.fd = -1;
}

static inline int faults_hit(int fd)
{
	if (fd != faults.fd)
		return 0;
	faults.calls++;
	return faults.calls == faults.fail_at ||
	       (faults.for_good && faults.fail_at && faults.calls > faults.fail_at);
}

ssize_t __wrap_pwrite64(int fd, const void *buf, size_t len, off_t offset)
{
	if (faults_hit(fd)) {
		errno = EIO;
		return -1;
	}
	if (fd == faults.fd)
		faults.bytes += len;
	return __real_pwrite64(fd, buf, len, offset);
}

int __wrap_fsync(int fd)
{
	if (faults_hit(fd)) {
		errno = EIO;
		return -1;
	}
	if (fd == faults.fd)
		faults.flushes++;
	return __real_fsync(fd);
}
