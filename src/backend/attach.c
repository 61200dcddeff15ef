// SPDX-License-Identifier: Apache-2.0
// Images behind loop devices that stay until they are taken away: a driver that starts again finds
// them by their file.
#include "internal.h"

#include <cryptvol/block.h>
#include <stdio.h>

int backend_attach(struct backend *b, const char *id, bool readonly, char *ret_path, struct err *e)
{
	struct backend_volume v = { .size_bytes = 0 };
	char file[sizeof(b->dir) + BACKEND_ID_MAX + 32];
	uint64_t want;
	bool thick;
	int r;

	r = backend_get(b, id, &v, e);
	if (r)
		return r;
	want = v.size_bytes + v.header_bytes;
	backend_volume_clear(&v);
	r = image_finish_growing(b, id, want, e);
	if (r)
		return r;
	state_lock(b);
	thick = volume_row_thick(b, id, NULL) > 0;
	state_unlock(b);
	/* Zeroes that a file system wrote may have become holes: they are counted as promised, and
	 * allocated again where that is possible. */
	if (thick && !readonly)
		(void)!image_allocate(b, id, 0, want, NULL);
	image_path(b, false, id, file, sizeof(file));
	r = block_keep_loop(file, readonly, ret_path, 4096, e);
	/* The device may be one that another volume had before. */
	if (!r)
		block_set_discard(ret_path, !thick && image_holes_free(b));
	return r;
}

void backend_image(const struct backend *b, const char *id, char *ret, size_t cap)
{
	image_path(b, false, id, ret, cap);
}

int backend_refresh(struct backend *b, const char *id, struct err *e)
{
	char file[sizeof(b->dir) + BACKEND_ID_MAX + 32], path[4096];
	int r;

	image_path(b, false, id, file, sizeof(file));
	r = block_find_loop(file, path, sizeof(path), e);
	if (r)
		return r == -ENOENT ? 0 : r;
	return block_update_loop(path, e);
}

int backend_detach(struct backend *b, const char *id, struct err *e)
{
	char file[sizeof(b->dir) + BACKEND_ID_MAX + 32];

	image_path(b, false, id, file, sizeof(file));
	return block_drop_loop(file, e);
}
