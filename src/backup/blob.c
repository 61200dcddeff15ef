// SPDX-License-Identifier: Apache-2.0
// Blocks by their SHA-256, blobs/<2 hex>/<62 hex>: stored once, checked at every read.
#include "internal.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#define BLOB_NAME_BYTES 63
#define BLOB_TEXT_BYTES 96

int store_hash(const void *block, size_t len, uint8_t ret[HASH_BYTES], struct err *e)
{
	struct crypto_iov iov = { block, len };

	return crypto_hash("sha256", &iov, 1, ret, e);
}

/* A block's folder and its names: in the folder, and for sentences. */
struct blob {
	int folder;
	char name[BLOB_NAME_BYTES], text[BLOB_TEXT_BYTES];
};

static int missing(const struct blob *b, struct err *e)
{
	return err_set(e, -EBADMSG, "the backup's block %s is missing", b->text);
}

/* -ENOENT: there is no such folder; where it is to be made, it always is. */
static int find_blob(const struct store *s, const uint8_t hash[HASH_BYTES], bool make,
		     struct blob *ret, struct err *e)
{
	char hex[HASH_HEX], prefix[3];
	int blobs;

	text_hex(hash, HASH_BYTES, hex);
	snprintf(prefix, sizeof(prefix), "%.2s", hex);
	snprintf(ret->name, sizeof(ret->name), "%s", hex + 2);
	snprintf(ret->text, sizeof(ret->text), "blobs/%s/%s", prefix, ret->name);
	blobs = store_folder(s->fd, "blobs", false, e);
	if (blobs < 0)
		return err_wrap(e, blobs, "%s", s->dir);
	ret->folder = store_folder(blobs, prefix, make, e);
	close(blobs);
	return ret->folder < 0 ? err_wrap(e, ret->folder, "%s/blobs", s->dir) : 0;
}

/* Flushed, then under its name. */
static int write_blob(const struct blob *b, const void *block, size_t len, struct err *e)
{
	char tmp[STORE_NAME_BYTES];
	_cleanup_close_ int fd = store_new_file(b->folder, b->name, tmp, e);
	int r;

	if (fd < 0)
		return fd;
	r = io_pwrite_full(fd, block, len, 0, e);
	r = r ?: io_fsync(fd, e);
	if (!r && renameat(b->folder, tmp, b->folder, b->name))
		r = err_sys(e, -errno, "%s can't get its name", b->text);
	if (r)
		(void)!unlinkat(b->folder, tmp, 0);
	return r;
}

static int read_blob(const struct blob *b, const uint8_t hash[HASH_BYTES], void *block, size_t len,
		     struct err *e)
{
	_cleanup_close_ int fd = -1;
	uint8_t found[HASH_BYTES];
	uint64_t bytes = 0;
	int r;

	fd = store_file(b->folder, b->name, O_RDONLY, &bytes, e);
	if (fd < 0)
		return fd == -ENOENT ? missing(b, e) : err_wrap(e, fd, "the backup's block");
	if (bytes != len)
		return err_set(e, -EBADMSG, "the backup's block %s has another size", b->text);
	r = io_pread_full(fd, block, len, 0, e);
	r = r ?: store_hash(block, len, found, e);
	if (!r && memcmp(found, hash, HASH_BYTES) != 0)
		r = err_set(e, -EBADMSG, "the backup's block %s is damaged", b->text);
	return r;
}

static int touch_blob(const struct blob *b, struct err *e)
{
	if (!utimensat(b->folder, b->name, NULL, AT_SYMLINK_NOFOLLOW))
		return 0;
	return errno == ENOENT ? missing(b, e) : err_sys(e, -errno, "%s", b->text);
}

/* Is it there, and whole? It is read once a run: what has rotted must not be handed on to a new
 * backup. Its time is that of its last use, so that no sweep takes it. */
static bool have_block(const struct store_run *run, const struct blob *b,
		       const uint8_t hash[HASH_BYTES], size_t len)
{
	struct stat st;

	if (fstatat(b->folder, b->name, &st, AT_SYMLINK_NOFOLLOW) || !S_ISREG(st.st_mode) ||
	    (uint64_t)st.st_size != len)
		return false;
	if (!store_before(&st.st_mtim, &run->since))
		return true;
	return !read_blob(b, hash, run->spare, len, NULL) && !touch_blob(b, NULL);
}

int store_put(const struct store_run *run, const uint8_t hash[HASH_BYTES], const void *block,
	      size_t len, bool *ret_new, struct err *e)
{
	struct blob b;
	int r;

	r = find_blob(run->store, hash, true, &b, e);
	if (r)
		return r;
	*ret_new = !have_block(run, &b, hash, len);
	if (*ret_new)
		r = write_blob(&b, block, len, e);
	close(b.folder);
	return r;
}

int store_touch(const struct store *s, const uint8_t hash[HASH_BYTES], struct err *e)
{
	struct blob b;
	int r = find_blob(s, hash, false, &b, e);

	if (r)
		return r == -ENOENT ? missing(&b, e) : r;
	r = touch_blob(&b, e);
	close(b.folder);
	return r;
}

int store_get(const struct store *s, const uint8_t hash[HASH_BYTES], void *block, size_t len,
	      struct err *e)
{
	struct blob b;
	int r = find_blob(s, hash, false, &b, e);

	if (r)
		return r == -ENOENT ? missing(&b, e) : r;
	r = read_blob(&b, hash, block, len, e);
	close(b.folder);
	return r;
}
