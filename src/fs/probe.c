// SPDX-License-Identifier: Apache-2.0
// Signatures by libblkid's low-level probing; its silence is trusted only where the device can be
// read.
#include "internal.h"

#include <stdio.h>

/*
 * Where libblkid looks: the farthest superblock from the start is LUKS2's second header (at most
 * 4 MiB in), the farthest from the end is Promise RAID's (3087 sectors).
 */
#define HEAD_BYTES (5u << 20)
#define TAIL_BYTES (2u << 20)
#define CHUNK_BYTES (1u << 20)

static bool all_zero(const unsigned char *p, size_t len)
{
	return !len || (!p[0] && !memcmp(p, p + 1, len - 1));
}

/* Where the next data of an image file is; of anything that has no holes, just here. */
static uint64_t skip_hole(int fd, uint64_t from, uint64_t to)
{
	off_t data = lseek(fd, (off_t)from, SEEK_DATA);

	if (data < 0)
		return errno == ENXIO ? to : from;
	return (uint64_t)data < to ? (uint64_t)data : to;
}

static int read_range(int fd, unsigned char *buf, uint64_t from, uint64_t to, bool *blank,
		      struct err *e)
{
	int r = 0;

	from = skip_hole(fd, from, to);
	while (!r && from < to) {
		size_t n = to - from < CHUNK_BYTES ? (size_t)(to - from) : CHUNK_BYTES;

		r = io_pread_full(fd, buf, n, from, e);
		*blank = *blank && !r && all_zero(buf, n);
		from += n;
	}
	return r;
}

int fs_read_places(int fd, bool *ret_blank, struct err *e)
{
	_cleanup_free_ void *buf = NULL;
	uint64_t size, head, tail;
	bool blank = true;
	int r;

	r = io_size(fd, &size, e);
	if (r)
		return r;
	if (skip_hole(fd, 0, size) == size) {
		*ret_blank = true; /* an image file that is one hole */
		return 0;
	}
	if (posix_memalign(&buf, 4096, CHUNK_BYTES))
		return err_set(e, -ENOMEM, "no memory to look for signatures");
	head = size < HEAD_BYTES ? size : HEAD_BYTES;
	tail = size - head < TAIL_BYTES ? head : size - TAIL_BYTES;
	r = read_range(fd, buf, 0, head, &blank, e);
	if (!r)
		r = read_range(fd, buf, tail, size, &blank, e);
	if (r)
		return err_wrap(e, r, "looking for signatures");
	*ret_blank = blank;
	return 0;
}

void fs_free_probe(blkid_probe *p)
{
	blkid_free_probe(*p);
}

int fs_new_probe(int fd, bool skip_luks, blkid_probe *ret, struct err *e)
{
	_cleanup_probe_ blkid_probe p = NULL;
	char luks[] = "crypto_LUKS";
	char *types[] = { luks, NULL };

	p = blkid_new_probe();
	if (!p)
		return err_set(e, -ENOMEM, "no memory to look for signatures");
	if (blkid_probe_set_device(p, fd, 0, 0))
		return err_set(e, -EIO, "libblkid can't read the device");
	/* BADCSUM: a superblock with a wrong checksum is still somebody's data. */
	if (blkid_probe_enable_superblocks(p, 1) ||
	    blkid_probe_set_superblocks_flags(p, BLKID_SUBLKS_TYPE | BLKID_SUBLKS_MAGIC |
							 BLKID_SUBLKS_BADCSUM) ||
	    blkid_probe_enable_partitions(p, 1) ||
	    blkid_probe_set_partitions_flags(p, BLKID_PARTS_MAGIC) ||
	    (skip_luks && blkid_probe_filter_superblocks_type(p, BLKID_FLTR_NOTIN, types)))
		return err_set(e, -ENOMEM, "libblkid can't be set up");
	*ret = p;
	p = NULL;
	return 0;
}

bool fs_read_result(blkid_probe p, struct fs_signature *ret)
{
	const char *text, *offset;

	memset(ret, 0, sizeof(*ret));
	if (!blkid_probe_lookup_value(p, "PTTYPE", &text, NULL)) {
		ret->partition_table = true;
		if (blkid_probe_lookup_value(p, "PTMAGIC_OFFSET", &offset, NULL))
			offset = NULL;
	} else if (!blkid_probe_lookup_value(p, "TYPE", &text, NULL)) {
		if (blkid_probe_lookup_value(p, "SBMAGIC_OFFSET", &offset, NULL))
			offset = NULL;
	} else {
		text = "unknown";
		offset = NULL;
	}
	snprintf(ret->type, sizeof(ret->type), "%s", text);
	return offset && !text_parse_u64(offset, &ret->offset_bytes);
}

/* libblkid's own rule for which combinations of signatures contradict each other. */
static int probe_ambiguous(int fd, bool skip_luks, bool *ret, struct err *e)
{
	_cleanup_probe_ blkid_probe p = NULL;
	int r;

	r = fs_new_probe(fd, skip_luks, &p, e);
	if (!p)
		return r;
	r = blkid_do_safeprobe(p);
	if (r == -1)
		return err_set(e, -EIO, "libblkid failed to look for signatures");
	*ret = r == -2;
	return 0;
}

int fs_probe(int fd, bool skip_luks, struct fs_signatures *ret, struct err *e)
{
	_cleanup_probe_ blkid_probe p = NULL;
	struct fs_signatures s = { 0 };
	bool blank = false;
	int r;

	r = fs_read_places(fd, &blank, e);
	if (!r && blank) {
		*ret = s;
		return 0;
	}
	if (!r)
		r = probe_ambiguous(fd, skip_luks, &s.ambiguous, e);
	if (!r)
		r = fs_new_probe(fd, skip_luks, &p, e);
	if (!p)
		return r;
	for (int i = 0; i < FS_ROUNDS_MAX && s.n < FS_SIGNATURES_MAX; i++) {
		r = blkid_do_probe(p);
		if (r)
			break;
		fs_read_result(p, &s.found[s.n++]);
	}
	if (r < 0)
		return err_set(e, -EIO, "libblkid failed to look for signatures");
	*ret = s;
	return 0;
}
