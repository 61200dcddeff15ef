// SPDX-License-Identifier: Apache-2.0
// File systems by type: one table row each for making, checking and growing.
#include "internal.h"

#include <cryptvol/fs.h>
#include <fcntl.h>
#include <stdio.h>
#include <time.h>

#define ARGS_MAX 64
#define TAIL_BYTES 400

struct fs_row {
	const char *type;
	const char
		*mkfs[8]; /* program and fixed options; UUID, extra options and the device follow */
	const char *uuid; /* the option that takes the UUID, its text in front */
	const char *uuid_prefix;
	const char *fsck[4]; /* program and options; NULL = none worth running before a mount */
	const char *grow_device[4]; /* online grower that takes the device ... */
	const char *grow_mount[5];  /* ... or the mount point */
};

/* -m 0: no blocks kept for root on a data volume. lazy initialisation writes later: a thin image
 * stays thin for as long. */
static const struct fs_row rows[] = {
	{ .type = "ext4",
	  .mkfs = { "mkfs.ext4", "-q", "-F", "-m", "0" },
	  .uuid = "-U",
	  .uuid_prefix = "",
	  .fsck = { "fsck.ext4", "-p" },
	  .grow_device = { "resize2fs" } },
	{ .type = "ext3",
	  .mkfs = { "mkfs.ext3", "-q", "-F", "-m", "0" },
	  .uuid = "-U",
	  .uuid_prefix = "",
	  .fsck = { "fsck.ext3", "-p" },
	  .grow_device = { "resize2fs" } },
	{ .type = "xfs",
	  .mkfs = { "mkfs.xfs", "-q", "-f" },
	  .uuid = "-m",
	  .uuid_prefix = "uuid=",
	  .grow_mount = { "xfs_growfs", "-d" } },
	{ .type = "btrfs",
	  .mkfs = { "mkfs.btrfs", "-q", "-f" },
	  .uuid = "-U",
	  .uuid_prefix = "",
	  .grow_mount = { "btrfs", "filesystem", "resize", "max" } },
};

static const struct fs_row *find_row(const char *type)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (!strcmp(rows[i].type, type))
			return &rows[i];
	return NULL;
}

int fs_type_supported(const char *type, struct err *e)
{
	return find_row(type)
		       ? 0
		       : err_set(e, -EINVAL, "\"%.40s\" is none of ext4, ext3, xfs, btrfs", type);
}

int fs_type_of(int fd, char ret_type[FS_TYPE_MAX], struct err *e)
{
	struct fs_signatures found;
	int r;

	r = fs_probe(fd, false, &found, e);
	if (r)
		return r;
	if (found.n == 0 && !found.ambiguous) {
		ret_type[0] = '\0';
		return 0;
	}
	if (found.n == 1 && !found.ambiguous && !found.found[0].partition_table &&
	    find_row(found.found[0].type))
		return text_copy(ret_type, FS_TYPE_MAX, found.found[0].type) ? -EUCLEAN : 0;
	return err_set(e, -EUCLEAN, "the device holds %s%s, not a file system that is supported",
		       found.n ? found.found[0].type : "signatures that contradict each other",
		       found.n > 1 ? " and more" : "");
}

int fs_uuid_of(int fd, char ret_uuid[40], struct err *e)
{
	_cleanup_probe_ blkid_probe p = NULL;
	const char *value = NULL;
	int r;

	r = fs_new_probe(fd, true, &p, e);
	if (r)
		return r;
	blkid_probe_set_superblocks_flags(p, BLKID_SUBLKS_UUID | BLKID_SUBLKS_TYPE |
						     BLKID_SUBLKS_MAGIC);
	r = blkid_do_safeprobe(p);
	if (r < 0)
		return err_set(e, r == -2 ? -EUCLEAN : -EIO,
			       "the device can't be probed for file systems");
	if (r == 0)
		(void)!blkid_probe_lookup_value(p, "UUID", &value, NULL);
	return text_copy(ret_uuid, 40, value ?: "")
		       ? err_set(e, -EUCLEAN, "the device holds something with a long UUID")
		       : 0;
}

static size_t put_args(const char **argv, size_t n, const char *const *from, size_t max)
{
	for (size_t i = 0; i < max && from[i]; i++)
		argv[n++] = from[i];
	return n;
}

/* Blank-separated words into argv; @buf holds them. */
static int split_options(const char *options, char *buf, const char **argv, size_t *n,
			 struct err *e)
{
	char *save = NULL;

	if (!options)
		return 0;
	if (text_copy(buf, FS_OPTIONS_MAX, options))
		return err_set(e, -EINVAL, "the mkfs options are longer than %d bytes",
			       FS_OPTIONS_MAX - 1);
	for (char *w = strtok_r(buf, " \t\n", &save); w; w = strtok_r(NULL, " \t\n", &save)) {
		if (*n + 3 > ARGS_MAX)
			return err_set(e, -EINVAL, "too many mkfs options");
		argv[(*n)++] = w;
	}
	return 0;
}

static int check_blank(const char *device, struct err *e)
{
	_cleanup_close_ int fd = open(device, O_RDONLY | O_CLOEXEC);
	struct fs_signatures found;
	int r;

	if (fd < 0)
		return err_sys(e, -errno, "%s can't be opened", device);
	r = fs_probe(fd, false, &found, e);
	if (r)
		return r;
	if (found.n || found.ambiguous)
		return err_set(e, -EUCLEAN, "%s holds %s already: it is not formatted", device,
			       found.n ? found.found[0].type
				       : "signatures that contradict each other");
	return 0;
}

int fs_make(const char *device, const char *type, const char *uuid, const char *options,
	    struct err *e)
{
	const struct fs_row *row = find_row(type);
	const char *argv[ARGS_MAX + 1] = { NULL };
	_cleanup_free_ char *buf = malloc(FS_OPTIONS_MAX);
	char tail[TAIL_BYTES], uuid_text[64];
	size_t n = 0;
	int r, status;

	if (!buf)
		return err_set(e, -ENOMEM, "no memory for mkfs options");
	if (!row)
		return fs_type_supported(type, e);
	r = check_blank(device, e);
	if (r)
		return r;
	n = put_args(argv, n, row->mkfs, ARRAY_SIZE(row->mkfs));
	if (uuid) {
		snprintf(uuid_text, sizeof(uuid_text), "%s%.40s", row->uuid_prefix, uuid);
		argv[n++] = row->uuid;
		argv[n++] = uuid_text;
	}
	r = split_options(options, buf, argv, &n, e);
	if (r)
		return r;
	argv[n++] = device;
	r = fs_run_program(argv, &status, tail, sizeof(tail), e);
	if (!r && status)
		r = err_set(e, -EIO, "%s failed (%d): %s", argv[0], status, tail);
	return r;
}

/* In another mount namespace, say, that a mount leaked into: it was checked then, can't be checked
 * now, and can be mounted here all the same. */
static bool mounted_somewhere(const char *device)
{
	int fd = open(device, O_RDONLY | O_CLOEXEC | O_EXCL);

	if (fd < 0)
		return errno == EBUSY;
	close(fd);
	base_spawn_settle();
	return false;
}

static uint32_t le(const unsigned char *p, size_t bytes)
{
	uint32_t v = 0;

	while (bytes--)
		v = v << 8 | p[bytes];
	return v;
}

/* Would e2fsck -p stop at the superblock, or only replay the journal, as the kernel does at the
 * mount? Then it isn't run: it changes the superblock by several writes, and ended between two of
 * them, with its container, say, it leaves one that neither it nor the kernel takes for good. */
static bool ext_is_sound(const char *device)
{
	unsigned char sb[1024];
	_cleanup_close_ int fd = open(device, O_RDONLY | O_CLOEXEC);
	uint32_t mounts, mounts_max, checked, interval;

	if (fd < 0 || io_pread_full(fd, sb, sizeof(sb), 1024, NULL) || le(sb + 0x38, 2) != 0xef53)
		return false;
	mounts = le(sb + 0x34, 2), mounts_max = le(sb + 0x36, 2);
	checked = le(sb + 0x40, 4), interval = le(sb + 0x44, 4);
	return (le(sb + 0x5c, 4) & 0x4) &&	/* it has a journal */
	       (le(sb + 0x3a, 2) & 0x3) == 1 && /* ended well or in the journal, no errors */
	       (!mounts_max || mounts_max >= 0x8000 || mounts < mounts_max) &&
	       (!interval || checked + (uint64_t)interval > (uint64_t)time(NULL));
}

int fs_check(const char *device, const char *type, enum fs_check_policy policy, struct err *e)
{
	const struct fs_row *row = find_row(type);
	const char *argv[8] = { NULL };
	char tail[TAIL_BYTES];
	size_t n;
	int r, status;

	if (policy == FS_CHECK_NONE || !row || !row->fsck[0] || mounted_somewhere(device) ||
	    ext_is_sound(device))
		return 0;
	n = put_args(argv, 0, row->fsck, ARRAY_SIZE(row->fsck));
	argv[n] = device;
	r = fs_run_program(argv, &status, tail, sizeof(tail), e);
	if (r == -EHOSTDOWN)
		return 0; /* a host without fsck still mounts: the journal is replayed by the kernel
			   */
	if (!r && status >= 4)
		r = err_set(e, -EUCLEAN,
			    "%s found errors on %s that it may not correct by itself (%d): %s",
			    argv[0], device, status, tail);
	return r;
}

int fs_grow(const char *device, const char *mounted_on, const char *type, struct err *e)
{
	const struct fs_row *row = find_row(type);
	const char *argv[8] = { NULL };
	char tail[TAIL_BYTES];
	size_t n;
	int r, status;

	if (!row)
		return fs_type_supported(type, e);
	if (row->grow_device[0]) {
		n = put_args(argv, 0, row->grow_device, ARRAY_SIZE(row->grow_device));
		argv[n] = device;
	} else {
		n = put_args(argv, 0, row->grow_mount, ARRAY_SIZE(row->grow_mount));
		argv[n] = mounted_on;
	}
	r = fs_run_program(argv, &status, tail, sizeof(tail), e);
	if (!r && status)
		r = err_set(e, -EIO, "%s failed (%d): %s", argv[0], status, tail);
	return r;
}
