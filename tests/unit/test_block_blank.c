// SPDX-License-Identifier: Apache-2.0
// "Known blank" on image files: holes, zeros that were written, one byte anywhere, unreadable.
#include "block/internal.h"
#include "check.h"

#include <fcntl.h>

#define MIB (1u << 20)

static char path[] = "/tmp/cryptvol-blank.XXXXXX";

static int fresh(off_t size)
{
	int fd = open(path, O_RDWR | O_TRUNC | O_CLOEXEC);

	return fd >= 0 && !ftruncate(fd, size) ? fd : -1;
}

static bool blank(int fd, uint64_t offset, uint64_t len)
{
	struct err e = { 0 };
	bool b = false;
	int r = block_known_blank(fd, offset, len, &b, &e);

	CHECK_MSG(!r, "%d %s", r, e.text);
	return b;
}

static void holes(void)
{
	_cleanup_close_ int fd = fresh(32 * MIB);

	REQUIRE(fd >= 0);
	CHECK(blank(fd, 0, 16 * MIB));
	CHECK(blank(fd, 0, 32 * MIB));
}

static void behind_the_end(void)
{
	_cleanup_close_ int fd = fresh(0);

	REQUIRE(fd >= 0);
	CHECK(blank(fd, 0, 16 * MIB));
	CHECK(blank(fd, 1024 * (uint64_t)MIB, 16 * MIB));
}

static void written_zeros(void)
{
	_cleanup_close_ int fd = fresh(8 * MIB);
	static const char zeros[3 * MIB + 100];

	REQUIRE(fd >= 0);
	REQUIRE(pwrite(fd, zeros, sizeof(zeros), 5000) == (ssize_t)sizeof(zeros));
	CHECK(blank(fd, 0, 8 * MIB));
}

static void one_byte(void)
{
	static const off_t at[] = { 0, 1, 511, 4096, MIB - 1, MIB, 2 * MIB + 7, 4 * MIB - 1 };

	for (size_t i = 0; i < ARRAY_SIZE(at); i++) {
		_cleanup_close_ int fd = fresh(8 * MIB);

		REQUIRE(fd >= 0 && pwrite(fd, "x", 1, at[i]) == 1);
		CHECK_MSG(!blank(fd, 0, 4 * MIB), "byte at %lld", (long long)at[i]);
	}
}

static void outside_the_range(void)
{
	_cleanup_close_ int fd = fresh(8 * MIB);

	REQUIRE(fd >= 0);
	REQUIRE(pwrite(fd, "x", 1, MIB - 1) == 1 && pwrite(fd, "x", 1, 2 * MIB) == 1);
	CHECK(blank(fd, MIB, MIB));
	CHECK(!blank(fd, MIB, MIB + 4096));
	CHECK(!blank(fd, MIB - 4096, MIB));
}

static void last_byte_of_odd_file(void)
{
	_cleanup_close_ int fd = fresh(MIB + 100);

	REQUIRE(fd >= 0 && pwrite(fd, "x", 1, MIB + 99) == 1);
	CHECK(!blank(fd, 0, 16 * MIB));
}

static void unreadable_is_an_error(void)
{
	_cleanup_close_ int fd = fresh(MIB), wo = open(path, O_WRONLY | O_CLOEXEC);
	struct err e = { 0 };
	bool b = false;

	REQUIRE(fd >= 0 && wo >= 0 && pwrite(fd, "", 1, 0) == 1);
	CHECK_INT(block_known_blank(wo, 0, MIB, &b, &e), -EBADF);
	CHECK(!b && e.text[0]);
}

static void range_is_checked(void)
{
	_cleanup_close_ int fd = fresh(MIB);
	bool b = false;

	CHECK_INT(block_known_blank(fd, 1, 4096, &b, NULL), -EINVAL);
	CHECK_INT(block_known_blank(fd, 0, 100, &b, NULL), -EINVAL);
	CHECK_INT(block_known_blank(fd, UINT64_MAX & ~4095ULL, 8192, &b, NULL), -EINVAL);
	CHECK(!b);
}

int main(void)
{
	int fd = mkstemp(path);

	if (fd < 0)
		return 1;
	close(fd);
	RUN(holes);
	RUN(behind_the_end);
	RUN(written_zeros);
	RUN(one_byte);
	RUN(outside_the_range);
	RUN(last_byte_of_odd_file);
	RUN(unreadable_is_an_error);
	RUN(range_is_checked);
	unlink(path);
	return check_exit();
}
