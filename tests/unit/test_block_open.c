// SPDX-License-Identifier: Apache-2.0
// Opening paths and naming devices, on what every machine has: files, nodes, sysfs.
#include "block/internal.h"
#include "check.h"

#include <fcntl.h>
#include <stdio.h>

static char dir[] = "/tmp/cryptvol-open.XXXXXX";
static char file[64], fifo[64];

static void image_file(void)
{
	struct block_device d;
	struct err e = { 0 };

	REQUIRE(!block_open(file, BLOCK_EXCLUSIVE, &d, &e));
	CHECK(d.regular_file && !d.loop_attached && !d.readonly && !d.exclusive);
	CHECK_INT(d.size_bytes, 12345);
	CHECK_INT(d.major, 0);
	CHECK_INT(d.logical_sector_bytes, 512);
	CHECK_STR(d.path, file);
	CHECK_STR(d.given, file);
	CHECK_INT(block_metadata_fd(&d), d.fd);
	CHECK_INT(fcntl(d.fd, F_GETFL) & O_ACCMODE, O_RDWR);
	CHECK(fcntl(d.fd, F_GETFD) & FD_CLOEXEC);
	CHECK_INT(block_drop_exclusive(&d, NULL), 0);
	REQUIRE(!truncate(file, 20000));
	CHECK_INT(block_refresh_size(&d, NULL), 0);
	CHECK_INT(d.size_bytes, 20000);
	REQUIRE(!truncate(file, 12345));
	block_close(&d);
	CHECK_INT(d.fd, -1);
	block_close(&d);
	block_close(NULL);
}

static void readonly_asked(void)
{
	struct block_device d;

	REQUIRE(!block_open(file, BLOCK_READONLY, &d, NULL));
	CHECK(d.readonly);
	CHECK_INT(fcntl(d.fd, F_GETFL) & O_ACCMODE, O_RDONLY);
	block_close(&d);
}

static void readonly_found(void)
{
	struct block_device d;
	uid_t was = geteuid();
	int r;

	/* Root may write every file, so somebody else looks. */
	REQUIRE(!chmod(dir, 0755) && !chmod(file, 0444));
	REQUIRE(was || !seteuid(65534));
	r = block_open(file, 0, &d, NULL);
	REQUIRE(!seteuid(was));
	REQUIRE(!r);
	CHECK(d.readonly);
	block_close(&d);
	chmod(file, 0600);
}

struct refusal {
	const char *name, *path;
	int want;
};

static int lowest_free_fd(void)
{
	int fd = dup(0);

	close(fd);
	return fd;
}

static void refused(const struct refusal *f)
{
	struct block_device d = { .fd = 77 };
	struct err e = { 0 };
	int before = lowest_free_fd();

	CHECK_INT(block_open(f->path, BLOCK_EXCLUSIVE | BLOCK_NEED_DEVICE, &d, &e), f->want);
	CHECK_INT(e.code, f->want);
	CHECK(e.text[0]);
	CHECK_INT(d.fd, 77); /* outputs only on success */
	CHECK_INT(lowest_free_fd(), before);
}

/* The kernel's own list of devices is what the names are checked against. */
static void names_by_sysfs(void)
{
	char major_minor[32], path[4096], loop[4096], *text, *colon;
	struct err e = { 0 };

	if (io_read_file("/sys/block/loop0/dev", 31, &text, NULL))
		SKIP_TEST("no loop0 here");
	snprintf(major_minor, sizeof(major_minor), "%s", text);
	free(text);
	colon = strchr(major_minor, ':');
	REQUIRE(colon);
	CHECK_INT(block_path_of((uint32_t)strtoul(major_minor, NULL, 10),
				(uint32_t)strtoul(colon + 1, NULL, 10), path, sizeof(path), loop,
				sizeof(loop), &e),
		  0);
	CHECK_STR(path, "/dev/loop0");
	CHECK_INT(block_path_of(7, 0, path, 5, loop, sizeof(loop), &e), -ENAMETOOLONG);
}

static void name_of_a_gone_device(void)
{
	struct err e = { 0 };
	char path[64] = "old";
	unsigned int n = 5;

	if (access("/sys/dev/block", F_OK))
		SKIP_TEST("no sysfs here");
	CHECK_INT(block_path_of(4000, 77, path, sizeof(path), NULL, 0, &e), -ENODEV);
	CHECK_STR(path, "old");
	CHECK_INT(block_count_holders(4000, 77, &n, &e), -ENODEV);
	CHECK_INT(n, 5);
}

int main(void)
{
	static char long_path[5000];
	const struct refusal refusals[] = {
		{ "missing", "/nonexistent/device", -ENODEV },
		{ "below_a_file", "/etc/passwd/x", -ENODEV },
		{ "folder", "/tmp", -ENOTBLK },
		{ "character_device", "/dev/null", -ENOTBLK },
		{ "fifo_does_not_wait", fifo, -ENOTBLK },
		{ "path_too_long", long_path, -ENAMETOOLONG },
	};
	int fd;

	if (!mkdtemp(dir))
		return 1;
	snprintf(file, sizeof(file), "%s/image", dir);
	snprintf(fifo, sizeof(fifo), "%s/fifo", dir);
	memset(long_path, 'x', sizeof(long_path) - 1);
	fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, 12345) || mkfifo(fifo, 0600))
		return 1;
	close(fd);
	RUN(image_file);
	RUN(readonly_asked);
	RUN(readonly_found);
	for (size_t i = 0; i < ARRAY_SIZE(refusals); i++)
		RUN_CASE(refusals[i].name, refused(&refusals[i]));
	RUN(names_by_sysfs);
	RUN(name_of_a_gone_device);
	unlink(file);
	unlink(fifo);
	rmdir(dir);
	return check_exit();
}
