// SPDX-License-Identifier: Apache-2.0
// Two copies of the header: which counts, and when the other is rewritten (checklist 2.2, 2.11).
#include <sys/file.h>
#include <sys/wait.h>

#include "luks_disk.h"

static int foreign_verdict, foreign_calls;

static int check_foreign(int fd, struct err *e)
{
	(void)fd;
	foreign_calls++;
	return foreign_verdict ? err_set(e, foreign_verdict, "an ext4 file system is there") : 0;
}

static struct luks_io writable_io(int fd)
{
	foreign_verdict = foreign_calls = 0;
	return (struct luks_io){ .fd = fd, .writable = true, .check_foreign = check_foreign };
}

static struct luks_header *load(const struct luks_io *io)
{
	struct luks_header *h = NULL;
	struct err e = { 0 };
	int r = luks_load(io, &h, &e);

	CHECK_MSG(!r, "%d (%s)", r, err_text(&e));
	return h;
}

/* Both copies load on their own, with one number and one JSON, and with different salts. */
static void check_both_good(int fd, uint64_t seqid)
{
	struct luks_header *h = NULL;
	struct image img = { 0 };
	struct err e = { 0 };

	disk_read(fd, &img);
	REQUIRE(img.data);
	CHECK_INT(image_be64(&img, 16), (long long)seqid);
	CHECK_INT(image_be64(&img, 16384 + 16), (long long)seqid);
	CHECK(!memcmp(img.data + 4096, img.data + 16384 + 4096, 12288));
	CHECK(memcmp(img.data + 104, img.data + 16384 + 104, 64) != 0);
	CHECK(!luks_parse(img.data, img.len, img.device_bytes, &h, &e));
	CHECK(h && !h->needs_recovery && !h->from_secondary && !h->seqid_conflict);
	luks_free(h);
	memset(img.data, 0, 16384); /* the secondary alone */
	CHECK(!luks_parse(img.data, img.len, img.device_bytes, &h, &e));
	luks_free(h);
	image_free(&img);
}

/* Damaged so, a writable load recovers, from the copy with @seqid, and once. */
static void check_recovers(const char *edits, uint64_t seqid, bool from_secondary)
{
	int fd = disk_edited("plain", edits);
	struct luks_io io = writable_io(fd);
	struct luks_header *h = load(&io);
	uint8_t salt[64];

	REQUIRE(h);
	CHECK_INT(h->seqid, (long long)seqid);
	CHECK_INT(h->from_secondary, from_secondary);
	CHECK(!h->needs_recovery);
	CHECK_INT(foreign_calls, 1);
	CHECK(disk.n_events > 0);
	check_both_good(fd, seqid);
	CHECK(__real_pread64(fd, salt, 64, (from_secondary ? 0 : 16384) + 104) == 64);
	CHECK_MSG(!memcmp(h->copies[from_secondary ? 0 : 1].salt, salt, 64), "%s: salt", edits);
	luks_free(h);
	disk.n_events = 0;
	h = load(&io);
	CHECK(h && !h->needs_recovery);
	CHECK_INT(disk.n_events, 0);
	luks_free(h);
	disk_close(fd);
}

static void box_2_2_one_ok_the_other_is_rewritten(void)
{
	check_recovers("copy 2 ;; zero 0 16384 ;; nosum", 3, false);
	check_recovers("copy 1 ;; zero 0 16384 ;; nosum", 3, true);
	check_recovers("copy 2 ;; zero 448 64 ;; nosum", 3, false); /* torn */
	check_recovers("copy 1 ;; fill 5000 7 ;; nosum", 3, true);
	check_recovers("copy 2 ;; be64 256 0", 3, false);
}

static void box_2_2_good_checksum_with_bad_json_is_obsolete(void)
{
	check_recovers("copy 1 ;; set keyslots/0/area/offset \"0\"", 3, true);
	check_recovers("copy 2 ;; del config", 3, false);
}

static void box_2_2_higher_number_wins(void)
{
	check_recovers("copy 2 ;; be64 16 9", 9, true);
	check_recovers("copy 1 ;; be64 16 9", 9, false);
}

/* The newer copy holds metadata that we refuse: using the older one is all that we do by ourselves.
 */
static void newer_copy_that_we_refuse_is_not_overwritten(void)
{
	int fd = disk_edited("plain",
			     "copy 1 ;; be64 16 9 ;; set keyslots/0/area/offset \"0\"");
	struct luks_io io = writable_io(fd);
	struct luks_header *h = load(&io);

	REQUIRE(h);
	CHECK(h->from_secondary && h->needs_recovery);
	CHECK_INT(h->seqid, 3);
	CHECK_INT(disk.n_events, 0);
	luks_free(h);
	CHECK_INT(luks_repair(&io, true, NULL), 0);
	check_both_good(fd, 3);
	disk_close(fd);
}

static void box_2_2_new_salt_for_the_repaired_copy(void)
{
	int fd = disk_edited("plain", "copy 2 ;; zero 448 64 ;; nosum");
	struct luks_io io = writable_io(fd);
	uint8_t before[64], after[64], primary[2][64];

	CHECK(__real_pread64(fd, before, 64, 16384 + 104) == 64);
	CHECK(__real_pread64(fd, primary[0], 64, 104) == 64);
	luks_free(load(&io));
	CHECK(__real_pread64(fd, after, 64, 16384 + 104) == 64);
	CHECK(__real_pread64(fd, primary[1], 64, 104) == 64);
	CHECK(memcmp(before, after, 64) != 0);
	CHECK(!memcmp(primary[0], primary[1], 64));
	disk_close(fd);
}

static void check_error(const char *edits, int code)
{
	int fd = disk_edited("plain", edits);
	struct luks_io io = writable_io(fd);
	struct luks_header *h = NULL;
	struct err e = { 0 };

	CHECK_INT(luks_load(&io, &h, &e), code);
	CHECK(e.text[0]);
	CHECK_INT(luks_repair(&io, true, &e), code);
	CHECK_INT(disk.n_events, 0);
	disk_close(fd);
}

static void box_2_2_none_ok_is_an_error(void)
{
	check_error("zero 448 64 ;; nosum", -EBADMSG);
	check_error("del config", -EBADMSG);
	check_error("zero 0 16384 ;; nosum", -EMEDIUMTYPE);
}

static void box_2_2_io_error_only_if_both_were_io_errors(void)
{
	int fd = disk_edited("plain", "");
	struct luks_io io = writable_io(fd);
	struct luks_header *h = NULL;
	struct err e = { 0 };

	disk.bad_len = 1 << 20;
	CHECK_INT(luks_load(&io, &h, &e), -EIO);
	disk.bad_offset_bytes = 16384; /* the primary can be read */
	h = load(&io);
	luks_free(h);
	disk_close(fd);
	fd = disk_edited("plain", "copy 1 ;; del config");
	io.fd = fd;
	disk.bad_offset_bytes = 16384;
	disk.bad_len = 1;
	CHECK_INT(luks_load(&io, &h, &e), -EBADMSG);
	disk_close(fd);
}

/* Loaded all the same; nothing is written; it is said that one copy needs it. */
static void check_left_alone(struct luks_io *io)
{
	struct luks_header *h = load(io);

	REQUIRE(h);
	CHECK(h->needs_recovery);
	CHECK_INT(disk.n_events, 0);
	luks_free(h);
}

static void box_2_2_no_recovery_without_lock_or_write_access(void)
{
	int fd = disk_edited("plain", "copy 2 ;; zero 0 512 ;; nosum");
	struct luks_io io = writable_io(fd);

	io.no_locks = true;
	check_left_alone(&io);
	io.no_locks = io.writable = false;
	check_left_alone(&io);
	io.writable = true;
	io.check_foreign = NULL; /* nobody to ask */
	check_left_alone(&io);
	disk_close(fd);
}

static void box_2_2_foreign_signature_refuses_until_repair(void)
{
	int fd = disk_edited("plain", "copy 1 ;; zero 0 16384 ;; nosum");
	struct luks_io io = writable_io(fd);
	struct luks_header *h = NULL;
	struct err e = { 0 };

	foreign_verdict = -EUCLEAN;
	CHECK_INT(luks_load(&io, &h, &e), -EUCLEAN);
	CHECK_CONTAINS(err_text(&e), "won't be rewritten: an ext4 file system is there");
	CHECK_INT(disk.n_events, 0);
	CHECK_INT(foreign_calls, 1);
	/* Nor read only or without locks: is it this volume at all? */
	io.writable = false;
	CHECK_INT(luks_load(&io, &h, &e), -EUCLEAN);
	io.no_locks = true;
	CHECK_INT(luks_load(&io, &h, &e), -EUCLEAN);
	io.writable = true;
	CHECK_INT(luks_load(&io, &h, &e), -EUCLEAN);
	io.no_locks = false;
	CHECK_INT(foreign_calls, 4);
	CHECK_INT(luks_repair(&io, true, &e), 0);
	CHECK_INT(foreign_calls, 4);
	check_both_good(fd, 3);
	disk_close(fd);
}

static void box_2_11_never_over_a_read_error(void)
{
	int fd = disk_edited("plain", "");
	struct luks_io io = writable_io(fd);
	struct err e = { 0 };

	disk.bad_offset_bytes = 16384 + 8192;
	disk.bad_len = 512;
	check_left_alone(&io);
	CHECK_INT(luks_repair(&io, true, &e), -EIO);
	CHECK_CONTAINS(err_text(&e), "the secondary copy can't be read");
	disk.bad_offset_bytes = 0;
	check_left_alone(&io);
	CHECK_INT(luks_repair(&io, true, &e), -EIO);
	CHECK_CONTAINS(err_text(&e), "the primary copy can't be read");
	CHECK_INT(disk.n_events, 0);
	CHECK_INT(foreign_calls, 0);
	disk_close(fd);
}

static void box_2_11_equal_numbers_different_content(void)
{
	int fd = disk_edited("plain", "copy 2 ;; set keyslots/0/priority 2");
	struct luks_io io = writable_io(fd);
	struct luks_header *h = load(&io);
	struct luks_change c;
	struct err e = { 0 };

	REQUIRE(h);
	CHECK(h->seqid_conflict && !h->from_secondary);
	CHECK(!h->keyslots[0].priority_set); /* the primary's */
	CHECK_INT(disk.n_events, 0);
	CHECK_INT(luks_change_begin(&io, h, &c, &e), -EUCLEAN);
	CHECK_CONTAINS(err_text(&e), "the same sequence number and different content");
	luks_free(h);
	CHECK_INT(luks_repair(&io, true, &e), 0);
	check_both_good(fd, 3);
	disk_close(fd);
	/* A label counts as content too; salts don't. */
	fd = disk_edited("plain", "copy 2 ;; hex 24 41");
	io.fd = fd;
	h = load(&io);
	CHECK(h && h->seqid_conflict);
	luks_free(h);
	disk_close(fd);
	fd = disk_edited("plain", "copy 2 ;; fill 104 64");
	io.fd = fd;
	h = load(&io);
	CHECK(h && !h->seqid_conflict);
	luks_free(h);
	disk_close(fd);
}

/* A process with a shared lock of its own keeps recovery waiting, not reading. */
static void box_2_2_recovery_takes_the_exclusive_lock(void)
{
	char path[] = "/tmp/test_luks_recovery.XXXXXX";
	int other, fd = mkstemp(path), gate[2], status = -1;
	struct image img = { 0 };
	struct luks_io io;
	pid_t pid;
	char byte;

	REQUIRE(fd >= 0 && edited_image(&img, "plain", "copy 2 ;; zero 0 512 ;; nosum"));
	REQUIRE(pwrite(fd, img.data, img.len, 0) == (ssize_t)img.len && !ftruncate(fd, 64 << 20) &&
		!pipe(gate));
	other = open(path, O_RDONLY | O_CLOEXEC);
	REQUIRE(other >= 0 && !flock(other, LOCK_SH));
	io = writable_io(fd);
	pid = fork();
	if (pid == 0) {
		struct luks_header *h = NULL;
		int r;

		close(gate[0]);
		r = luks_load(&io, &h, NULL);
		luks_free(h);
		(void)!write(gate[1], "x", 1);
		_exit(r ? 1 : 0);
	}
	close(gate[1]);
	/* It can't be through while we hold ours: the copy is still bad after this much time. */
	usleep(200000);
	CHECK(pread(other, &byte, 1, 16384) == 1 && byte == 0);
	flock(other, LOCK_UN);
	CHECK(read(gate[0], &byte, 1) == 1);
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
	CHECK(pread(other, &byte, 1, 16384) == 1 && byte == 'S');
	close(gate[0]);
	close(other);
	close(fd);
	unlink(path);
	image_free(&img);
}

/* A write that fails leaves the good copy, and a header that can be used. */
static void failing_recovery_keeps_the_good_copy(void)
{
	for (size_t n = 1; n <= 3; n++) {
		int fd = disk_edited("plain", "copy 2 ;; zero 0 512 ;; nosum");
		struct luks_io io = writable_io(fd);
		struct luks_header *h;

		disk.fail_write = n;
		h = load(&io);
		CHECK(h && h->needs_recovery && !h->from_secondary);
		luks_free(h);
		disk_close(fd);
	}
}

static void primary_of_unknown_version_is_left_alone(void)
{
	int fd = disk_edited("plain", "copy 1 ;; be16 6 3");
	struct luks_io io = writable_io(fd);
	struct luks_header *h = NULL;
	struct err e = { 0 };

	CHECK_INT(luks_load(&io, &h, &e), -EBADMSG);
	CHECK_CONTAINS(err_text(&e), "version: 3");
	CHECK_INT(disk.n_events, 0);
	CHECK_INT(luks_repair(&io, true, &e), 0);
	check_both_good(fd, 3);
	disk_close(fd);
}

static void repair_of_a_good_header_writes_nothing(void)
{
	int fd = disk_edited("plain", "");
	struct luks_io io = writable_io(fd);
	struct err e = { 0 };

	CHECK_INT(luks_repair(&io, true, &e), 0);
	CHECK_INT(disk.n_events, 0);
	io.writable = false;
	CHECK_INT(luks_repair(&io, true, &e), -EROFS);
	disk_close(fd);
}

int main(void)
{
	RUN(box_2_2_one_ok_the_other_is_rewritten);
	RUN(box_2_2_good_checksum_with_bad_json_is_obsolete);
	RUN(box_2_2_higher_number_wins);
	RUN(newer_copy_that_we_refuse_is_not_overwritten);
	RUN(box_2_2_new_salt_for_the_repaired_copy);
	RUN(box_2_2_none_ok_is_an_error);
	RUN(box_2_2_io_error_only_if_both_were_io_errors);
	RUN(box_2_2_no_recovery_without_lock_or_write_access);
	RUN(box_2_2_foreign_signature_refuses_until_repair);
	RUN(box_2_11_never_over_a_read_error);
	RUN(box_2_11_equal_numbers_different_content);
	RUN(box_2_2_recovery_takes_the_exclusive_lock);
	RUN(failing_recovery_keeps_the_good_copy);
	RUN(primary_of_unknown_version_is_left_alone);
	RUN(repair_of_a_good_header_writes_nothing);
	return check_exit();
}
