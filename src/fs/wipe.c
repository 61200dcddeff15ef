// SPDX-License-Identifier: Apache-2.0
// Wipe signatures: each magic in turn, flushed, then looked for again.
#include "internal.h"

/* The first signature that has a magic, of those that are left. *ret_found false: none. */
static int find_left(int fd, bool skip_luks, struct fs_signature *ret, bool *ret_found,
		     struct err *e)
{
	_cleanup_probe_ blkid_probe p = NULL;
	int r;

	r = fs_new_probe(fd, skip_luks, &p, e);
	if (!p)
		return r;
	*ret_found = false;
	for (int i = 0; i < FS_ROUNDS_MAX && !*ret_found; i++) {
		r = blkid_do_probe(p);
		if (r)
			break;
		*ret_found = fs_read_result(p, ret);
	}
	return r < 0 ? err_set(e, -EIO, "libblkid failed to look for signatures") : 0;
}

int fs_wipe_signatures(int fd, bool skip_luks, size_t *ret_wiped, struct err *e)
{
	_cleanup_probe_ blkid_probe p = NULL;
	struct fs_signature s;
	size_t wiped = 0;
	bool blank = false, left = false;
	int r;

	r = fs_read_places(fd, &blank, e);
	if (!r && !blank)
		r = fs_new_probe(fd, skip_luks, &p, e);
	if (r)
		return r;
	for (int i = 0; p && i < FS_ROUNDS_MAX; i++) {
		r = blkid_do_probe(p);
		if (r)
			break;
		if (!fs_read_result(p, &s))
			continue; /* recognised by its structure: there is no magic to wipe */
		/* It steps back by itself, so that a second copy of this type is found next. */
		if (blkid_do_wipe(p, 0))
			return err_set(e, -EIO, "the %s signature at %llu can't be wiped", s.type,
				       (unsigned long long)s.offset_bytes);
		wiped++;
	}
	if (r < 0)
		return err_set(e, -EIO, "libblkid failed to look for signatures");
	r = wiped ? io_fsync(fd, e) : 0;
	if (!r && wiped)
		r = find_left(fd, skip_luks, &s, &left, e);
	if (r)
		return r;
	if (left)
		return err_set(e, -EIO,
			       "the %s signature at %llu is still there after it was wiped", s.type,
			       (unsigned long long)s.offset_bytes);
	*ret_wiped = wiped;
	return 0;
}
