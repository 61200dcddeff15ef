// SPDX-License-Identifier: Apache-2.0
// Header backup and restore: the whole metadata region, key slots included, to a file and back.
#include "internal.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#define COPY_BYTES (1024u * 1024)
/* Both header copies and the keyslots area at their largest. */
#define BACKUP_MAX_BYTES (2ull * LUKS_HEADER_MAX_BYTES + LUKS_KEYSLOTS_AREA_MAX_BYTES)

static uint64_t region_bytes(const struct luks_header *h)
{
	return 2 * h->header_bytes + h->keyslots_bytes;
}

static bool all_zero(const char *p, size_t n)
{
	return !n || (!p[0] && !memcmp(p, p + 1, n - 1));
}

int volume_copy_region(int from, int to, uint64_t bytes, bool skip_zeros, struct err *e)
{
	_cleanup_free_ char *buf = malloc(COPY_BYTES);
	int r = 0;

	if (!buf)
		return err_set(e, -ENOMEM, "no memory for a copy of the header");
	for (uint64_t at = 0; !r && at < bytes; at += COPY_BYTES) {
		size_t n = bytes - at < COPY_BYTES ? (size_t)(bytes - at) : COPY_BYTES;

		r = io_pread_full(from, buf, n, at, e);
		if (!r && !(skip_zeros && all_zero(buf, n)))
			r = io_pwrite_full(to, buf, n, at, e);
	}
	secret_wipe(buf, COPY_BYTES);
	return r ?: io_fsync(to, e);
}

/* ---- backup ---- */

/* What was copied is what is asked about: the device may have changed since it was loaded. */
static int check_copy(int fd, const struct volume_check *check, struct err *e)
{
	const struct luks_io io = { .fd = fd, .no_locks = true };
	_cleanup_luks_ struct luks_header *h = NULL;
	int r;

	if (!check)
		return 0;
	r = luks_load(&io, &h, e);
	return r ?: volume_ask(check, h, e);
}

static int write_backup(const struct volume_metadata *m, const char *file,
			const struct volume_check *check, struct err *e)
{
	uint64_t bytes = region_bytes(m->header);
	struct volume_new_file n;
	int r;

	/* As with cryptsetup: it isn't made to be written again. */
	r = volume_new_file_open(file, 0400, &n, e);
	if (r)
		return err_wrap(e, r, "header backup");
	r = ftruncate(n.fd, (off_t)bytes) ? err_sys(e, -errno, "%s", file) : 0;
	r = r ?: volume_copy_region(m->io.fd, n.fd, bytes, true, e);
	r = r ?: check_copy(n.fd, check, e);
	r = r ?: volume_new_file_name(&n, e);
	close(n.fd);
	return r;
}

int volume_backup_header(const struct volume_env *env, const struct volume_where *w,
			 const char *file, const struct volume_check *check, struct err *e)
{
	struct volume_metadata m;
	struct luks_locks locks;
	int r;

	r = volume_open_metadata(env, w, VOLUME_READ, &m, e);
	if (r)
		return r;
	if (m.header->version != 2)
		r = luks_check_usable(m.header, e);
	if (!r)
		r = luks_locks_take(&m.io, false, &locks, e);
	if (!r) {
		r = write_backup(&m, file, check, e);
		luks_locks_release(&m.io, &locks);
	}
	volume_close_metadata(&m);
	return r;
}

/* ---- restore ---- */

/* A header that stands there already has to be of the same shape, or its data would be lost. */
static int check_same_shape(const struct luks_header *old, const struct luks_header *new,
			    struct err *e)
{
	if (luks_data_offset(old) != luks_data_offset(new))
		return err_set(e, -EINVAL,
			       "the backup has another data offset (%llu) than the device's header "
			       "(%llu)",
			       (unsigned long long)luks_data_offset(new),
			       (unsigned long long)luks_data_offset(old));
	if (region_bytes(old) != region_bytes(new))
		return err_set(e, -EINVAL,
			       "the backup's metadata area has another size than the device's");
	return 0;
}

/** A backup, read once: what is checked is what is written. */
struct copy {
	char *bytes;
	uint64_t len;
	struct luks_header *header;
};

static void copy_free(struct copy *c)
{
	if (c->bytes)
		secret_wipe(c->bytes, c->len);
	free(c->bytes);
	luks_free(c->header);
	*c = (struct copy){ 0 };
}

static int parse_copy(const struct volume_env *env, const char *file, struct copy *c,
		      uint64_t file_bytes, struct err *e)
{
	int r = luks_parse(c->bytes, c->len, file_bytes, &c->header, e);

	if (r)
		return r;
	volume_warn_header(env, file, c->header);
	r = luks_check_usable(c->header, e);
	if (!r && region_bytes(c->header) > c->len)
		r = err_set(e, -EBADMSG, "it ends before the keyslots area does");
	return r;
}

/* The whole of it in memory: a backup that can't be read must not cost the device its header. */
static int read_copy(const struct volume_env *env, const char *file, struct copy *ret,
		     struct err *e)
{
	struct copy c = { 0 };
	struct block_device d;
	int r;

	r = block_open(file, BLOCK_READONLY, &d, e);
	if (r)
		return r == -ENODEV ? -ENOENT
				    : r; /* the device's own word is kept for the device */
	c.len = d.size_bytes < BACKUP_MAX_BYTES ? d.size_bytes : BACKUP_MAX_BYTES;
	c.bytes = malloc(c.len ?: 1);
	r = c.bytes ? io_pread_full(d.fd, c.bytes, c.len, 0, e)
		    : err_set(e, -ENOMEM, "no memory for a header");
	if (!r)
		r = parse_copy(env, file, &c, d.size_bytes, e);
	block_close(&d);
	if (r) {
		copy_free(&c);
		return err_wrap(e, r, "the backup %s", file);
	}
	*ret = c;
	return 0;
}

/* First nothing is recognised, then the key slots, last the headers: as a re-format does it. */
static int write_region(int fd, const struct luks_header *h, const char *region, struct err *e)
{
	uint64_t headers = 2 * h->header_bytes;
	_cleanup_free_ char *zeros = calloc(1, headers);
	int r;

	if (!zeros)
		return err_set(e, -ENOMEM, "no memory for a header");
	r = io_pwrite_full(fd, zeros, headers, 0, e);
	r = r ?: io_fsync(fd, e);
	r = r ?: io_pwrite_full(fd, region + headers, h->keyslots_bytes, headers, e);
	r = r ?: io_fsync(fd, e);
	r = r ?: io_pwrite_full(fd, region + h->header_bytes, h->header_bytes, h->header_bytes, e);
	r = r ?: io_fsync(fd, e);
	r = r ?: io_pwrite_full(fd, region, h->header_bytes, 0, e);
	return r ?: io_fsync(fd, e);
}

/* Does this mapping leave the first @bytes of the device below it alone? */
static int check_above(struct dm_control *dm, const struct block_number *n, uint64_t bytes,
		       const char *device, struct err *e)
{
	struct dm_table t = { 0 };
	char path[4096];
	const char *name;
	int r;

	r = block_path_of(n->major, n->minor, path, sizeof(path), NULL, 0, e);
	if (r)
		return r;
	name = strrchr(path, '/') + 1;
	r = dm_query_table(dm, name, &t, NULL, e);
	for (size_t i = 0; i < t.n_targets && !r; i++)
		if (t.targets[i].type != DM_TARGET_CRYPT ||
		    t.targets[i].crypt.device_offset_sectors < bytes / SECTOR_SIZE_BYTES)
			r = err_set(e, -EBUSY, "%s is in use by mapping %s, whose data lies there",
				    device, name);
	dm_table_free(&t);
	return r;
}

static int check_users(const struct block_device *d, uint64_t bytes, struct err *e)
{
	_cleanup_free_ struct block_number *list = NULL;
	_cleanup_dm_ struct dm_control *dm = NULL;
	size_t n;
	int r;

	r = block_find_crypt(d, &list, &n, e);
	if (!r && n)
		r = dm_control_open(&dm, e);
	for (size_t i = 0; i < n && !r; i++)
		r = check_above(dm, &list[i], bytes, d->given, e);
	return r;
}

/* A volume that is mapped may get its header back, for that is when it is missed. What is mounted
 * as it is, or used by anything but the data behind the header, isn't written over. */
static int open_target(const char *path, uint64_t bytes, struct block_device *ret, struct err *e)
{
	int r;

	r = block_open(path, BLOCK_EXCLUSIVE, ret, e);
	if (r != -EBUSY)
		return r;
	r = block_open(path, 0, ret, e);
	if (r)
		return r;
	r = check_users(ret, bytes, e);
	if (r)
		block_close(ret);
	else
		err_clear(e);
	return r;
}

/* No header is left to compare with, be it overwritten or on sectors that can't be read: that is
 * what a restore is for. */
static bool nothing_to_compare(int r)
{
	return r == -EMEDIUMTYPE || r == -EBADMSG || r == -EUCLEAN || r == -EIO || r == -ENODATA;
}

/* The header that stands there, read without a try to recover it: the restore writes both copies.
 */
static int check_old_header(const struct luks_io *io, const struct luks_header *new, struct err *e)
{
	const struct luks_io reader = { .fd = io->fd,
					.no_locks = true, /* ours is held, or isn't wanted */
					.size_bytes = io->size_bytes };
	_cleanup_luks_ struct luks_header *old = NULL;
	int r;

	r = luks_load(&reader, &old, e);
	if (!r)
		return check_same_shape(old, new, e);
	if (!nothing_to_compare(r))
		return r;
	err_clear(e);
	return 0;
}

static int compare_and_write(const struct luks_io *io, const struct block_device *dev,
			     const struct luks_header *new, const char *region, struct err *e)
{
	int r;

	r = check_old_header(io, new, e);
	if (!r && dev->size_bytes < region_bytes(new))
		r = err_set(e, -ENOSPC, "the device is smaller than the header in the backup");
	return r ?: write_region(io->fd, new, region, e);
}

/* What is compared is what is written over: one lock holds for both. */
static int restore_locked(const struct volume_env *env, struct block_device *dev,
			  const struct luks_header *new, const char *region, struct err *e)
{
	struct luks_io io = volume_io_of(env, dev);
	struct luks_locks locks;
	int r;

	r = luks_locks_take(&io, true, &locks, e);
	if (r)
		return r;
	if (!dev->exclusive) /* a loop device over the image may have been mounted meanwhile */
		r = check_users(dev, region_bytes(new), e);
	if (!r)
		r = compare_and_write(&io, dev, new, region, e);
	luks_locks_release(&io, &locks);
	return r;
}

static int restore_from(const struct volume_env *env, const char *path, const struct copy *copy,
			struct err *e)
{
	struct block_device dev;
	int r;

	r = open_target(path, region_bytes(copy->header), &dev, e);
	if (r)
		return r;
	r = dev.readonly ? err_set(e, -EROFS, "%s is read-only", path)
			 : restore_locked(env, &dev, copy->header, copy->bytes, e);
	block_close(&dev);
	return r;
}

int volume_restore_header(const struct volume_env *env, const struct volume_where *w,
			  const char *file, struct err *e)
{
	struct copy copy = { 0 };
	int r;

	r = read_copy(env, file, &copy, e);
	if (r)
		return r;
	r = restore_from(env, w->header ?: w->device, &copy, e);
	copy_free(&copy);
	return r;
}
