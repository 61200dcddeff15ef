// SPDX-License-Identifier: Apache-2.0
// A header's way to the disk, and a change from lock to flush (checklist 2.1 "Write order").
#include <sys/file.h>
#include <sys/wait.h>

#include "luks_disk.h"

static struct luks_header *load(const struct luks_io *io)
{
	struct luks_header *h = NULL;
	struct err e = { 0 };

	CHECK_MSG(!luks_load(io, &h, &e), "%s", err_text(&e));
	return h;
}

static struct luks_io io_of(int fd)
{
	return (struct luks_io){ .fd = fd, .writable = true };
}

static void box_2_1_write_order(void)
{
	/* offset, flush, checksum */
	static const struct disk_event want[] = {
		{ false, 0, 4096, false },     { false, 4096, 4096, false },
		{ false, 0, 4096, true },      { true, 0, 0, false },
		{ false, 16384, 4096, false }, { false, 20480, 4096, false },
		{ false, 16384, 4096, true },  { true, 0, 0, false },
	};
	int fd = disk_edited("plain", "");
	struct luks_io io = io_of(fd);
	struct luks_header *h = load(&io);
	struct err e = { 0 };

	REQUIRE(h);
	CHECK_INT(luks_header_write(&io, h, false, &e), 0);
	CHECK_INT(h->seqid, 4);
	REQUIRE(disk.n_events == sizeof(want) / sizeof(want[0]));
	for (size_t i = 0; i < disk.n_events; i++) {
		CHECK_INT(disk.events[i].flush, want[i].flush);
		CHECK_INT(disk.events[i].offset_bytes, want[i].offset_bytes);
		CHECK_INT(disk.events[i].len, want[i].len);
		/* JSON has other bytes there */
		if (!want[i].flush && want[i].offset_bytes % 16384 == 0)
			CHECK_INT(disk.events[i].has_checksum, want[i].has_checksum);
	}
	luks_free(h);
	disk_close(fd);
}

static size_t states_good, states;
static uint64_t least_seqid;

static void check_state(void)
{
	struct image img = { 0 };
	struct luks_header *h = NULL;

	disk_read(disk.fd, &img);
	states++;
	if (!luks_parse(img.data, img.len, img.device_bytes, &h, NULL) && h->seqid >= least_seqid)
		states_good++;
	luks_free(h);
	image_free(&img);
}

static void box_2_1_one_copy_is_valid_at_every_moment(void)
{
	int fd = disk_edited("rich", "");
	struct luks_io io = io_of(fd);
	struct luks_header *h = load(&io);

	REQUIRE(h);
	states = states_good = 0;
	least_seqid = h->seqid;
	disk.after_write = check_state;
	h->flags = LUKS_FLAG_ALLOW_DISCARDS;
	CHECK_INT(luks_header_write(&io, h, false, NULL), 0);
	disk.after_write = NULL;
	CHECK_INT(states, 6);
	CHECK_INT(states_good, 6);
	luks_free(h);
	disk_close(fd);
}

static void box_2_1_text_is_compact_and_padded_with_nul(void)
{
	int fd = disk_edited("plain", "set config/note \"long enough to span a second block\"");
	struct luks_io io = io_of(fd);
	struct luks_header *h = load(&io), *again;
	struct image img = { 0 };
	struct err e = { 0 };
	char *text = NULL;
	size_t len;

	REQUIRE(h);
	h->flags = LUKS_FLAG_NO_JOURNAL;
	REQUIRE(!luks_header_write(&io, h, false, &e));
	disk_read(fd, &img);
	REQUIRE(!luks_metadata_serialize(h, &text, &len, &e));
	for (int copy = 0; copy < 2; copy++) {
		const char *json = image_json(&img, 16384, copy);

		CHECK(!memcmp(json, text, len + 1));
		for (size_t i = len; i < 12288; i++)
			CHECK(!json[i]);
	}
	CHECK(!strpbrk(text, "\n\t"));
	again = load(&io);
	CHECK(again && again->seqid == 4 && again->flags == LUKS_FLAG_NO_JOURNAL);
	luks_free(again);
	luks_free(h);
	free(text);
	image_free(&img);
	disk_close(fd);
}

/* A long text, then a short one: what the long one left behind goes. */
static void shorter_text_covers_the_longer_one(void)
{
	char edit[9000];
	struct luks_header *h;
	struct luks_io io;
	int fd;

	strcpy(edit, "set tokens/0 {\"type\":\"x\",\"keyslots\":[],\"pad\":\"");
	memset(edit + strlen(edit), 'p', 8000);
	strcpy(edit + 8000, "\"}");
	fd = disk_edited("plain", edit);
	io = io_of(fd);
	h = load(&io);
	REQUIRE(h && h->n_tokens == 1);
	h->n_tokens = 0;
	CHECK_INT(luks_header_write(&io, h, false, NULL), 0);
	luks_free(h);
	h = load(&io);
	CHECK(h && h->n_tokens == 0 && !h->needs_recovery && h->seqid == 4);
	luks_free(h);
	disk_close(fd);
}

static void format_writes_the_whole_area(void)
{
	int fd = disk_edited("plain", "");
	struct luks_io io = io_of(fd);
	struct luks_header *h = load(&io);

	REQUIRE(h);
	CHECK_INT(luks_header_write(&io, h, true, NULL), 0);
	CHECK_INT(disk.events[1].len, 12288);
	CHECK_INT(disk.events[5].len, 12288);
	luks_free(h);
	disk_close(fd);
}

static void salts_stay_and_the_other_fields_are_as_they_were(void)
{
	int fd = disk_edited("rich", "hex 72 73686135313200"); /* checksum by sha512 */
	struct luks_io io = io_of(fd);
	struct luks_header *h = load(&io);
	struct image before = { 0 }, after = { 0 };

	REQUIRE(h);
	disk_read(fd, &before);
	CHECK_INT(luks_header_write(&io, h, false, NULL), 0);
	disk_read(fd, &after);
	/* cryptsetup's bytes, but for the number and the checksum */
	image_put(&before, 16, 10, 8);
	image_put(&before, 16384 + 16, 10, 8);
	image_seal(&before, 16384, 0);
	image_seal(&before, 16384, 1);
	CHECK(!memcmp(before.data, after.data, 32768));
	luks_free(h);
	image_free(&before);
	image_free(&after);
	disk_close(fd);
}

static void box_2_1_device_must_be_big_enough_to_write(void)
{
	int fd = disk_edited("plain", "");
	struct luks_io io = io_of(fd);
	struct luks_header *h = load(&io);
	struct err e = { 0 };

	REQUIRE(h && !ftruncate(fd, 557055));
	CHECK_INT(luks_header_write(&io, h, false, &e), -EBADMSG);
	CHECK_CONTAINS(err_text(&e), "the device is too small");
	CHECK_INT(disk.n_events, 0);
	CHECK_INT(h->seqid, 3);
	luks_free(h);
	disk_close(fd);
}

/* Nothing goes out that would be refused when read. */
static void invalid_header_is_not_written(void)
{
	int fd = disk_edited("plain", "");
	struct luks_io io = io_of(fd);
	struct luks_header *h = load(&io);
	struct err e = { 0 };

	REQUIRE(h);
	h->keyslots[0].area_offset_bytes = 4096;
	CHECK_INT(luks_header_write(&io, h, false, &e), -EBADMSG);
	CHECK_STR(err_text(&e), "the new header isn't valid: keyslot 0: area.offset: 4096 is "
				"inside the header");
	h->keyslots[0].area_offset_bytes = 32768;
	h->seqid = UINT64_MAX;
	CHECK_INT(luks_header_write(&io, h, false, &e), -EOVERFLOW);
	CHECK_INT(disk.n_events, 0);
	luks_free(h);
	disk_close(fd);
}

static void failed_write_leaves_a_header_and_the_number(void)
{
	for (size_t n = 1; n <= 6; n++) {
		int fd = disk_edited("plain", "");
		struct luks_io io = io_of(fd);
		struct luks_header *h = load(&io), *again;
		struct err e = { 0 };

		REQUIRE(h);
		disk.fail_write = n;
		CHECK_INT(luks_header_write(&io, h, false, &e), -EIO);
		/* The primary is put back; where it is through, the change is made. */
		CHECK_INT(h->seqid, n <= 3 ? 3 : 4);
		CHECK_INT(h->needs_recovery, n > 3);
		disk.fail_write = 0;
		again = load(&io);
		CHECK(again && again->seqid == h->seqid);
		CHECK(again && again->needs_recovery == (n > 3));
		luks_free(again);
		luks_free(h);
		disk_close(fd);
	}
}

/* ---- luks_change_* ---- */

static void change_commits_or_drops(void)
{
	int fd = disk_edited("rich", "");
	struct luks_io io = io_of(fd);
	struct luks_header *h = load(&io);
	struct luks_change c;
	struct err e = { 0 };

	REQUIRE(h);
	REQUIRE(!luks_change_begin(&io, h, &c, &e));
	c.next->flags = LUKS_FLAG_ALLOW_DISCARDS;
	luks_change_end(&c, h);
	CHECK_INT(h->flags, 0);
	CHECK_INT(disk.n_events, 0);
	REQUIRE(!luks_change_begin(&io, h, &c, &e));
	c.next->flags = LUKS_FLAG_ALLOW_DISCARDS;
	CHECK_INT(luks_change_write(&io, &c, &e), 0);
	CHECK_INT(luks_change_write(&io, &c, &e), 0); /* more than once */
	luks_change_end(&c, h);
	CHECK_INT(h->flags, LUKS_FLAG_ALLOW_DISCARDS);
	CHECK_INT(h->seqid, 11);
	luks_free(h);
	disk_close(fd);
}

/* What someone else changed meanwhile stays. */
static void change_goes_on_from_what_is_on_disk(void)
{
	int fd = disk_edited("plain", "");
	struct luks_io io = io_of(fd);
	struct luks_header *h = load(&io), *other = load(&io), *after;
	struct luks_change c;
	struct err e = { 0 };

	REQUIRE(h && other);
	text_copy(other->label, sizeof(other->label), "theirs");
	CHECK_INT(luks_header_write(&io, other, false, &e), 0);
	REQUIRE(!luks_change_begin(&io, h, &c, &e));
	CHECK_STR(c.next->label, "theirs");
	c.next->flags = LUKS_FLAG_ALLOW_DISCARDS;
	CHECK_INT(luks_change_write(&io, &c, &e), 0);
	luks_change_end(&c, h);
	after = load(&io);
	REQUIRE(after);
	CHECK_INT(after->seqid, 5);
	CHECK_STR(after->label, "theirs");
	CHECK_INT(after->flags, LUKS_FLAG_ALLOW_DISCARDS);
	luks_free(after);
	luks_free(h);
	luks_free(other);
	disk_close(fd);
}

static void change_of_a_replaced_header_is_refused(void)
{
	int fd = disk_edited("plain", "");
	struct luks_io io = io_of(fd);
	struct luks_header *h = load(&io), *other = load(&io);
	struct luks_change c;
	struct err e = { 0 };

	REQUIRE(h && other);
	h->seqid = 7; /* an older header was restored */
	CHECK_INT(luks_change_begin(&io, h, &c, &e), -ESTALE);
	CHECK_CONTAINS(err_text(&e), "its sequence number is 3, not 7");
	h->seqid = 3;
	other->digests[0].digest[0] ^= 1; /* formatted anew */
	CHECK_INT(luks_header_write(&io, other, false, &e), 0);
	CHECK_INT(luks_change_begin(&io, h, &c, &e), -ESTALE);
	CHECK_CONTAINS(err_text(&e), "another volume's");
	luks_free(h);
	luks_free(other);
	disk_close(fd);
}

static void change_refuses_what_it_must_not_touch(void)
{
	static const struct {
		const char *base, *edits;
		int code;
	} cases[] = {
		{ "plain", "set config/requirements {\"mandatory\":[\"future\"]}", -ETXTBSY },
		{ "reencrypt", "", -EOPNOTSUPP },
		{ "plain", "copy 2 ;; zero 0 512 ;; nosum", -EUCLEAN },
		{ "luks1", "copy 1", -EOPNOTSUPP },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int fd = disk_edited(cases[i].base, cases[i].edits);
		struct luks_io io = io_of(fd);
		struct luks_header *h = load(&io);
		struct luks_change c;

		REQUIRE(h);
		CHECK_INT(luks_change_begin(&io, h, &c, NULL), cases[i].code);
		CHECK_INT(disk.n_events, 0);
		io.writable = false;
		CHECK_INT(luks_change_begin(&io, h, &c, NULL), -EROFS);
		luks_free(h);
		disk_close(fd);
	}
}

/* Of the two, exactly one holds it: an own description of the same file sees the lock. */
static bool is_locked(int fd)
{
	char path[64];
	bool locked;
	int other;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	other = open(path, O_RDWR | O_CLOEXEC);
	CHECK(other >= 0);
	locked = flock(other, LOCK_EX | LOCK_NB) != 0;
	close(other);
	return locked;
}

static void change_holds_the_exclusive_lock(void)
{
	int fd = disk_edited("plain", "");
	struct luks_io io = io_of(fd);
	struct luks_header *h = load(&io);
	struct luks_change c;

	REQUIRE(h);
	CHECK(!is_locked(fd));
	REQUIRE(!luks_change_begin(&io, h, &c, NULL));
	CHECK(is_locked(fd));
	luks_change_end(&c, h);
	CHECK(!is_locked(fd));
	io.no_locks = true;
	REQUIRE(!luks_change_begin(&io, h, &c, NULL));
	CHECK(!is_locked(fd));
	luks_change_end(&c, h);
	h->seqid = 77; /* refused: no lock stays behind */
	io.no_locks = false;
	CHECK_INT(luks_change_begin(&io, h, &c, NULL), -ESTALE);
	CHECK(!is_locked(fd));
	luks_free(h);
	disk_close(fd);
}

/* What we wrote, cryptsetup reads. */
static void cryptsetup_reads_what_was_written(void)
{
	char path[] = "/tmp/test_luks_write.XXXXXX", cmd[256];
	struct image img = { 0 };
	struct luks_header *h;
	int fd = mkstemp(path);
	struct luks_io io = io_of(fd);

	if (system("command -v cryptsetup >/dev/null")) {
		unlink(path);
		SKIP_TEST("no cryptsetup");
	}
	REQUIRE(edited_image(&img, "rich", "set x {\"y\":1}"));
	REQUIRE(write(fd, img.data, img.len) == (ssize_t)img.len && !ftruncate(fd, 64 << 20));
	h = load(&io);
	REQUIRE(h);
	h->flags = LUKS_FLAG_ALLOW_DISCARDS;
	text_copy(h->label, sizeof(h->label), "another");
	CHECK_INT(luks_header_write(&io, h, false, NULL), 0);
	snprintf(cmd, sizeof(cmd),
		 "cryptsetup luksDump %s | grep -q 'Epoch:.*10' && "
		 "cryptsetup luksDump %s | grep -q 'Label:.*another' && "
		 "cryptsetup luksDump %s | grep -q 'Flags:.*allow-discards'",
		 path, path, path);
	CHECK_INT(system(cmd), 0);
	luks_free(h);
	image_free(&img);
	close(fd);
	unlink(path);
}

int main(void)
{
	RUN(box_2_1_write_order);
	RUN(box_2_1_one_copy_is_valid_at_every_moment);
	RUN(box_2_1_text_is_compact_and_padded_with_nul);
	RUN(shorter_text_covers_the_longer_one);
	RUN(format_writes_the_whole_area);
	RUN(salts_stay_and_the_other_fields_are_as_they_were);
	RUN(box_2_1_device_must_be_big_enough_to_write);
	RUN(invalid_header_is_not_written);
	RUN(failed_write_leaves_a_header_and_the_number);
	RUN(change_commits_or_drops);
	RUN(change_goes_on_from_what_is_on_disk);
	RUN(change_of_a_replaced_header_is_refused);
	RUN(change_refuses_what_it_must_not_touch);
	RUN(change_holds_the_exclusive_lock);
	RUN(cryptsetup_reads_what_was_written);
	return check_exit();
}
