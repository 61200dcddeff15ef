// SPDX-License-Identifier: Apache-2.0
// Blocks that no manifest names, and what dead writers left, are removed when they are old.
#include "internal.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

/* The blocks in use whose hash begins with one of a range of bytes: all of a store may be more than
 * there is room for, so it is swept in as many parts as that takes. */
#define SET_MAX (128u * 1024) /* 4 MiB of hashes */
struct hash_set {
	uint8_t (*hashes)[HASH_BYTES];
	size_t n, cap;
	unsigned int from, to;
};

static int by_bytes(const void *a, const void *b)
{
	return memcmp(a, b, HASH_BYTES);
}

static void sort_set(struct hash_set *s)
{
	size_t kept = 0;

	if (s->n)
		qsort(s->hashes, s->n, HASH_BYTES, by_bytes);
	for (size_t i = 0; i < s->n; i++)
		if (!kept || memcmp(s->hashes[i], s->hashes[kept - 1], HASH_BYTES) != 0)
			memmove(s->hashes[kept++], s->hashes[i], HASH_BYTES);
	s->n = kept;
}

/* Full: the same blocks of several backups are one; then half the range will do. One byte's is
 * never left out. */
static int make_room(struct hash_set *s, struct err *e)
{
	size_t cap = s->cap ? 2 * s->cap : 1024;
	void *grown;

	if (s->n >= SET_MAX)
		sort_set(s);
	while (s->n > SET_MAX / 2 && s->to - s->from > 1) {
		s->to -= (s->to - s->from) / 2;
		while (s->n && s->hashes[s->n - 1][0] >= s->to)
			s->n--;
	}
	if (s->n < s->cap / 4 * 3)
		return 0;
	grown = reallocarray(s->hashes, cap, HASH_BYTES);
	if (!grown)
		return err_set(e, -ENOMEM, "no memory to look for blocks in use");
	s->hashes = grown;
	s->cap = cap;
	return 0;
}

static int collect(void *arg, struct manifest *m, struct err *e)
{
	struct hash_set *s = arg;
	uint8_t hash[HASH_BYTES];
	uint64_t index;
	int r;

	while ((r = manifest_next(m, &index, hash, e)) > 0) {
		if (s->n == s->cap)
			r = make_room(s, e);
		if (r < 0)
			break;
		if (hash[0] >= s->from && hash[0] < s->to)
			memcpy(s->hashes[s->n++], hash, HASH_BYTES);
	}
	return r;
}

static bool is_used(const char *prefix, const char *name, const struct hash_set *used)
{
	uint8_t hash[HASH_BYTES];
	char hex[HASH_HEX];
	size_t n = 0;

	return strlen(name) == 62 && snprintf(hex, sizeof(hex), "%s%.62s", prefix, name) == 64 &&
	       !text_unhex(hex, hash, sizeof(hash), &n) && used->n &&
	       bsearch(hash, used->hashes, used->n, HASH_BYTES, by_bytes);
}

/* Unused, or what a dead writer left; a file that can't go is tried again by the next sweep. */
static int sweep_dir(int blobs, const char *prefix, const struct hash_set *used,
		     const struct timespec *now, struct err *e)
{
	_cleanup_close_ int folder = store_folder(blobs, prefix, false, e);
	struct dirent *d;
	DIR *dir;
	int r;

	if (folder == -ENOENT)
		return err_clear(e), 0;
	if (folder < 0)
		return folder;
	dir = store_list(folder);
	if (!dir)
		return err_sys(e, -errno, "blobs/%s", prefix);
	while (!(r = store_next(dir, &d, prefix, e)) && d)
		if (d->d_name[0] != '.' && !is_used(prefix, d->d_name, used) &&
		    store_is_old(folder, d->d_name, now))
			(void)!unlinkat(folder, d->d_name, 0);
	closedir(dir);
	return r;
}

/* From s->from on; s->to: how far. */
static int sweep_part(const struct store *s, const struct timespec *now, struct hash_set *used,
		      struct err *e)
{
	_cleanup_close_ int blobs = store_folder(s->fd, "blobs", false, e);
	char prefix[12];
	int r;

	if (blobs < 0)
		return err_wrap(e, blobs, "%s", s->dir);
	used->n = 0;
	used->to = 256;
	r = manifest_each(s, NULL, collect, NULL, used, e);
	if (!r)
		sort_set(used);
	for (unsigned int i = used->from; !r && i < used->to; i++) {
		snprintf(prefix, sizeof(prefix), "%02x", i);
		r = sweep_dir(blobs, prefix, used, now, e);
	}
	return r;
}

int store_sweep(const struct store *s, struct err *e)
{
	struct hash_set used = { NULL, 0, 0, 0, 0 };
	struct timespec now;
	int r;

	r = store_now(s, &now, e);
	r = r ?: manifest_sweep(s, &now, e);
	for (; !r && used.from < 256; used.from = used.to)
		r = sweep_part(s, &now, &used, e);
	free(used.hashes);
	return r;
}
