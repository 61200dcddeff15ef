// SPDX-License-Identifier: Apache-2.0
// Signatures on images that mkfs, mkswap, sfdisk and cryptsetup made; what was wiped is judged by
// wipefs.
#include <cryptvol/base.h>
#include <cryptvol/fs.h>

#include "check.h"

#include <fcntl.h>
#include <sys/wait.h>

static char path[] = "/tmp/cryptvol-fs.XXXXXX";

static int fresh(off_t size)
{
	int fd = open(path, O_RDWR | O_TRUNC | O_CLOEXEC);

	return fd >= 0 && !ftruncate(fd, size) ? fd : -1;
}

/* Runs a line of sh, with the image's path in $F; 127: there is no such program. */
static int make(const char *command)
{
	char line[512];
	int status;

	snprintf(line, sizeof(line), "PATH=$PATH:/sbin:/usr/sbin F=%s; { %s; } >/dev/null 2>&1",
		 path, command);
	status = system(line);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

#define MAKE(command)                                                       \
	do {                                                                \
		int make_status = make(command);                            \
		if (make_status == 127)                                     \
			SKIP_TEST("there is no such program: %s", command); \
		REQUIRE(make_status == 0);                                  \
	} while (0)

#define LUKS2                                                              \
	"printf x | cryptsetup -q luksFormat --type luks2 --pbkdf pbkdf2 " \
	"--pbkdf-force-iterations 1000 $F -d -"

static struct fs_signatures probe(int fd, bool skip_luks)
{
	struct fs_signatures s = { .n = 99 };
	struct err e = { 0 };
	int r = fs_probe(fd, skip_luks, &s, &e);

	CHECK_MSG(!r, "%d %s", r, e.text);
	return s;
}

static size_t wipe(int fd, bool skip_luks)
{
	struct err e = { 0 };
	size_t n = 99;
	int r = fs_wipe_signatures(fd, skip_luks, &n, &e);

	CHECK_MSG(!r, "%d %s", r, e.text);
	return n;
}

/* wipefs is not ours: it prints a line for each signature. */
static int wipefs_finds(void)
{
	return make("test -z \"$(wipefs $F)\"");
}

static void blank(void)
{
	static const off_t sizes[] = { 0, 100, 512, 4096, 1 << 20, 32 << 20 };

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		_cleanup_close_ int fd = fresh(sizes[i]);
		struct fs_signatures s = probe(fd, false);

		CHECK_INT(s.n, 0);
		CHECK(!s.ambiguous);
		CHECK_INT(wipe(fd, false), 0);
	}
}

static void noise(void)
{
	_cleanup_close_ int fd = fresh(8 << 20);

	REQUIRE(pwrite(fd, "noise", 5, 12345) == 5);
	CHECK_INT(probe(fd, false).n, 0);
	CHECK_INT(wipe(fd, false), 0);
}

static void ext4(void)
{
	_cleanup_close_ int fd = fresh(16 << 20);
	struct fs_signatures s;

	MAKE("mkfs.ext4 -q -F $F");
	s = probe(fd, true);
	CHECK_INT(s.n, 1);
	CHECK_STR(s.found[0].type, "ext4");
	CHECK_INT(s.found[0].offset_bytes, 1080);
	CHECK(!s.found[0].partition_table && !s.ambiguous);
	CHECK_INT(wipefs_finds(), 1);
	CHECK_INT(wipe(fd, true), 1);
	CHECK_INT(probe(fd, false).n, 0);
	CHECK_INT(wipefs_finds(), 0);
}

static uint32_t crc32_of(const unsigned char *p, size_t len)
{
	uint32_t crc = ~0u;

	for (size_t i = 0; i < len; i++) {
		crc ^= p[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
	}
	return ~crc;
}

static void put(unsigned char *p, size_t bytes, uint64_t v)
{
	for (size_t i = 0; i < bytes; i++)
		p[i] = (unsigned char)(v >> 8 * i);
}

/* One copy of an empty GPT (UEFI specification 5.3): header at LBA @at, entries at @entries. */
static bool write_gpt(int fd, uint64_t at, uint64_t other, uint64_t entries, uint64_t last)
{
	static const unsigned char table[128 * 128];
	unsigned char h[512] = "EFI PART";

	put(h + 8, 4, 0x00010000);
	put(h + 12, 4, 92);
	put(h + 24, 8, at);
	put(h + 32, 8, other);
	put(h + 40, 8, 34);
	put(h + 48, 8, last - 33);
	memset(h + 56, 0x5a, 16);
	put(h + 72, 8, entries);
	put(h + 80, 4, 128);
	put(h + 84, 4, 128);
	put(h + 88, 4, crc32_of(table, sizeof(table)));
	put(h + 16, 4, crc32_of(h, 92));
	return pwrite(fd, h, sizeof(h), (off_t)at * 512) == (ssize_t)sizeof(h);
}

static void gpt_both_copies(void)
{
	_cleanup_close_ int fd = fresh(16 << 20);
	unsigned char mbr[66] = {
		[4] = 0xee, [8] = 1, [12] = 0xff, [13] = 0x7f, [64] = 0x55, [65] = 0xaa
	};
	uint64_t last = (16 << 20) / 512 - 1;
	struct fs_signatures s;

	REQUIRE(pwrite(fd, mbr, sizeof(mbr), 446) == (ssize_t)sizeof(mbr));
	REQUIRE(write_gpt(fd, 1, last, 2, last) && write_gpt(fd, last, 1, last - 32, last));
	s = probe(fd, false);
	REQUIRE(s.n >= 1);
	CHECK(s.found[0].partition_table);
	CHECK_STR(s.found[0].type, "gpt");
	CHECK(wipe(fd, false) >= 3); /* both headers and the protective MBR */
	CHECK_INT(probe(fd, false).n, 0);
	CHECK_INT(wipefs_finds(), 0);
}

static void end_of_device(void)
{
	_cleanup_close_ int fd = fresh(16 << 20);
	static const unsigned char md_magic[4] = { 0xfc, 0x4e, 0x2b, 0xa9 };
	struct fs_signatures s;

	/* md 0.90: 64 KiB aligned, at least 64 KiB before the end; major version 0, minor 90 */
	REQUIRE(pwrite(fd, md_magic, 4, (16 << 20) - (64 << 10)) == 4);
	REQUIRE(pwrite(fd, "\0\0\0\0\x5a\0\0\0", 8, (16 << 20) - (64 << 10) + 4) == 8);
	s = probe(fd, true);
	REQUIRE(s.n == 1);
	CHECK_STR(s.found[0].type, "linux_raid_member");
	CHECK_INT(wipe(fd, true), 1);
	CHECK_INT(probe(fd, true).n, 0);
}

static void luks_left_out(void)
{
	_cleanup_close_ int fd = fresh(32 << 20);
	struct fs_signatures s;

	MAKE(LUKS2);
	s = probe(fd, false);
	REQUIRE(s.n >= 1);
	CHECK_STR(s.found[0].type, "crypto_LUKS");
	s = probe(fd, true);
	CHECK_INT(s.n, 0);
	CHECK_INT(wipe(fd, true), 0);
	CHECK(probe(fd, false).n >= 1);
	CHECK(wipe(fd, false) >= 1);
	CHECK_INT(probe(fd, false).n, 0);
}

static void luks_second_copy_only(void)
{
	_cleanup_close_ int fd = fresh(32 << 20);
	static const char zeros[4096];

	MAKE(LUKS2);
	REQUIRE(pwrite(fd, zeros, sizeof(zeros), 0) == (ssize_t)sizeof(zeros));
	CHECK(probe(fd, false).n >= 1);
	CHECK(wipe(fd, false) >= 1);
	CHECK_INT(probe(fd, false).n, 0);
}

/* A swap signature in the padding of a LUKS header: wiped, the header is as it was. */
static void foreign_beside_luks(void)
{
	_cleanup_close_ int fd = fresh(32 << 20);
	_cleanup_free_ char *before = malloc(4096), *after = malloc(4096);
	struct fs_signatures s;

	MAKE(LUKS2);
	REQUIRE(before && after && pread(fd, before, 4096, 0) == 4096);
	REQUIRE(pwrite(fd, "SWAPSPACE2", 10, 4086) == 10);
	REQUIRE(pwrite(fd, "\1\0\0\0\377\1\0\0", 8, 1024) == 8);
	s = probe(fd, true);
	REQUIRE(s.n == 1);
	CHECK_STR(s.found[0].type, "swap");
	CHECK_INT(wipe(fd, true), 1);
	CHECK_INT(probe(fd, true).n, 0);
	CHECK(probe(fd, false).n >= 1);
	REQUIRE(pwrite(fd, "\0\0\0\0\0\0\0\0", 8, 1024) == 8);
	REQUIRE(pread(fd, after, 4096, 0) == 4096);
	CHECK_MEM(before, after, 4096);
}

static void ambiguous(void)
{
	_cleanup_close_ int fd = fresh(64 << 20);
	struct fs_signatures s;

	MAKE("mkfs.ext4 -q -F $F");
	REQUIRE(pwrite(fd, "-rom1fs-", 8, 0) == 8);
	s = probe(fd, true);
	CHECK_MSG(s.n >= 2, "%zu found", s.n);
	CHECK(s.ambiguous);
	CHECK(wipe(fd, true) >= 2);
	CHECK_INT(probe(fd, true).n, 0);
}

static void unreadable_is_an_error(void)
{
	_cleanup_close_ int fd = fresh(8 << 20), wo = open(path, O_WRONLY | O_CLOEXEC);
	struct fs_signatures s = { .n = 99 };
	struct err e = { 0 };
	size_t n = 99;

	REQUIRE(fd >= 0 && wo >= 0 && pwrite(fd, "x", 1, 1 << 20) == 1);
	CHECK(fs_probe(wo, true, &s, &e) < 0);
	CHECK(e.text[0]);
	CHECK_INT(s.n, 99);
	CHECK(fs_wipe_signatures(wo, false, &n, &e) < 0);
	CHECK_INT(n, 99);
}

/* A wipe that doesn't reach the device is an error. */
static void unwritable_is_an_error(void)
{
	_cleanup_close_ int fd = fresh(16 << 20), ro = open(path, O_RDONLY | O_CLOEXEC);
	struct err e = { 0 };
	size_t n = 99;

	REQUIRE(fd >= 0 && ro >= 0);
	MAKE("mkfs.ext4 -q -F $F");
	CHECK_INT(fs_wipe_signatures(ro, true, &n, &e), -EIO);
	CHECK_INT(n, 99);
	CHECK_CONTAINS(e.text, "ext4");
}

int main(void)
{
	int fd = mkstemp(path);

	if (fd < 0)
		return 1;
	close(fd);
	RUN(blank);
	RUN(noise);
	RUN(ext4);
	RUN(gpt_both_copies);
	RUN(end_of_device);
	RUN(luks_left_out);
	RUN(luks_second_copy_only);
	RUN(foreign_beside_luks);
	RUN(ambiguous);
	RUN(unreadable_is_an_error);
	RUN(unwritable_is_an_error);
	unlink(path);
	return check_exit();
}
