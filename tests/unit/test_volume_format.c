// SPDX-License-Identifier: Apache-2.0
// volume_format over faked rooms: what luks_format is asked for, and what a failure leaves
// (nothing, not even a header file).
#include "volume_fakes.h"

#include <fcntl.h>
#include <sys/stat.h>

static struct volume_format request;
static char header_path[] = "/tmp/cryptvol-hdr.XXXXXX";

static void ask(void)
{
	request = (struct volume_format){ .where.device = "/dev/data" };
}

static int format(struct err *e)
{
	return volume_format(&env, &request, e);
}

static void formats(void)
{
	struct err e = { 0 };

	fake_reset();
	ask();
	fake.blank = true;
	CHECK_MSG(!format(&e), "%s", e.text);
	/* What stands there is wiped by luks_format's leave, once nothing can be refused any more.
	 */
	CHECK_STR(fake.trace, "block_open block_known_blank luks_format fs_wipe luks_free "
			      "block_close");
	CHECK_INT(fake.block_flags[0] & 7, BLOCK_EXCLUSIVE);
	CHECK(fake.format.known_blank && !fake.format.detached);
	CHECK_INT(fake.format.data_device_bytes, 64 * MIB);
	CHECK_INT(fake.format.alignment_bytes, 0);
	CHECK_STR(fake.warned, "");
	CHECK_INT(fake.n_held, 0);
	fake.blank = false;
	request.luks.known_blank = true; /* nobody's word for it */
	CHECK_INT(format(NULL), 0);
	CHECK(!fake.format.known_blank);
}

static void every_rung(void)
{
	ask();
	fail_each_rung(&(struct rungs){ .run = format, .min_steps = 4 });
}

static bool header_exists(off_t *ret_size)
{
	struct stat st;

	if (stat(header_path, &st))
		return false;
	*ret_size = st.st_size;
	return true;
}

static void detached(void)
{
	off_t size = -1;

	fake_reset();
	ask();
	request.where.header = header_path;
	fake.device_file = true;
	unlink(header_path);
	CHECK_INT(format(NULL), 0);
	CHECK(fake.format.detached);
	CHECK(header_exists(&size));
	CHECK_INT(fake.block_flags[0] & 7, BLOCK_EXCLUSIVE | BLOCK_READONLY); /* the data */
	CHECK_INT(fake.block_flags[1] & 7, BLOCK_EXCLUSIVE);
	CHECK_INT(fake.n_held, 0);
}

static int format_new_header(struct err *e)
{
	off_t size;
	int r;

	unlink(header_path);
	r = format(e);
	CHECK_MSG(!r == header_exists(&size), "%d after %s", r, fake.failed);
	return r;
}

static void detached_every_rung(void)
{
	ask();
	request.where.header = header_path;
	fail_each_rung(&(struct rungs){ .run = format_new_header, .min_steps = 5 });
	CHECK_INT(open("/nonexistent", O_RDONLY), -1);
	request.where.header = "/nonexistent/header";
	fake_reset();
	CHECK_INT(format(NULL), -ENOENT);
	CHECK_INT(fake.n_held, 0);
}

static void old_header_file_stays(void)
{
	int fd = open(header_path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	off_t size = -1;

	REQUIRE(fd >= 0 && write(fd, "old", 3) == 3);
	close(fd);
	fake_reset();
	ask();
	request.where.header = header_path;
	fake.fail_at = 4;
	CHECK_INT(format(NULL), FAIL_ERRNO);
	CHECK_STR(fake.failed, "luks_format");
	CHECK(header_exists(&size));
	CHECK_INT(size, 3);
}

static void alignment(void)
{
	fake_reset();
	ask();
	fake.alignment_bytes = 3 * MIB;
	fake.alignment_offset_bytes = 8192;
	CHECK_INT(format(NULL), 0);
	CHECK_INT(fake.format.alignment_bytes, 3 * MIB);
	CHECK_INT(fake.format.alignment_offset_bytes, 8192);
	CHECK_CONTAINS(fake.warned, "optimal");
	fake_reset(); /* 1 MiB serves */
	fake.alignment_bytes = 65536;
	fake.alignment_offset_bytes = 3584; /* can't be made good */
	CHECK_INT(format(NULL), 0);
	CHECK_INT(fake.format.alignment_bytes, 0);
	CHECK_INT(fake.format.alignment_offset_bytes, 0);
	fake_reset(); /* the user's word */
	fake.alignment_bytes = 3 * MIB;
	request.luks.alignment_bytes = 4 * MIB;
	CHECK_INT(format(NULL), 0);
	CHECK_INT(fake.format.alignment_bytes, 4 * MIB);
}

static uint32_t sector_for(uint32_t physical, uint64_t device_bytes, uint64_t data_offset)
{
	fake_reset();
	ask();
	request.sector_size_auto = true;
	request.luks.data_offset_bytes = data_offset;
	fake.physical_sector_bytes = physical;
	fake.device_bytes = device_bytes;
	CHECK_INT(format(NULL), 0);
	return fake.format.sector_size_bytes;
}

static void sector_sizes(void)
{
	CHECK_INT(sector_for(512, 64 * MIB, 0), 512);
	CHECK_INT(sector_for(4096, 64 * MIB, 0), 4096);
	CHECK_INT(sector_for(65536, 64 * MIB, 0), 4096);
	CHECK_INT(sector_for(4096, 64 * MIB + 512, 0), 512);
	CHECK_INT(sector_for(4096, 64 * MIB + 2048, 0), 2048);
	CHECK_INT(sector_for(4096, 64 * MIB, 16 * MIB + 1024), 1024);
	request.luks.data_offset_bytes = 0;
	request.luks.alignment_bytes = 3 * 512; /* at 16 MiB + 512 */
	CHECK_INT(format(NULL), 0);
	CHECK_INT(fake.format.sector_size_bytes, 512);
	request.luks.alignment_bytes = 512; /* at 16 MiB */
	CHECK_INT(format(NULL), 0);
	CHECK_INT(fake.format.sector_size_bytes, 4096);
	request.sector_size_auto = false;
	request.luks.sector_size_bytes = 1024;
	CHECK_INT(format(NULL), 0);
	CHECK_INT(fake.format.sector_size_bytes, 1024);
}

static void refused(void)
{
	struct fs_signatures found = { 0 };

	fake_reset();
	ask();
	fake.device_readonly = true;
	CHECK_INT(format(NULL), -EROFS);
	CHECK(!strstr(fake.trace, "fs_wipe"));
	request.where.device = NULL;
	CHECK_INT(format(NULL), -EINVAL);
	CHECK_INT(fake.n_held, 0);
	fake_reset();
	fake.found.n = 3;
	CHECK_INT(volume_probe(&env, "/dev/data", &found, NULL), 0);
	CHECK_INT(found.n, 3);
	CHECK_STR(fake.trace, "block_open fs_probe block_close");
	CHECK(fake.block_flags[0] & BLOCK_READONLY);
}

int main(void)
{
	int fd = mkstemp(header_path);

	if (fd < 0)
		return 1;
	close(fd);
	RUN(formats);
	RUN(every_rung);
	RUN(detached);
	RUN(detached_every_rung);
	RUN(old_header_file_stays);
	RUN(alignment);
	RUN(sector_sizes);
	RUN(refused);
	unlink(header_path);
	return check_exit();
}
