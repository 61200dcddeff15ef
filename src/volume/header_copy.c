// SPDX-License-Identifier: Apache-2.0
// Header backup and restore: the whole metadata region, key slots included, to a file and back.
#include "internal.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#define COPY_BYTES (1024u * 1024)

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

/* The whole region in memory: a backup that can't be read must not cost the device its header. */
static int read_region(const struct volume_metadata *backup, char **ret, struct err *e)
{
	uint64_t bytes = region_bytes(backup->header);
	char *buf;
	int r;

	buf = malloc(bytes);
	if (!buf)
		return err_set(e, -ENOMEM, "no memory for a header");
	r = io_pread_full(backup->io.fd, buf, bytes, 0, e);
	if (r) {
		secret_wipe(buf, bytes);
		free(buf);
		return r;
	}
	*ret = buf;
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

/* A volume that is mapped may get its header back, that is when it is missed; one that is mounted
 * as it is has no header to miss. */
static int open_target(const char *path, struct block_device *ret, struct err *e)
{
	unsigned int holders = 0;
	int r;

	r = block_open(path, BLOCK_EXCLUSIVE, ret, e);
	if (r != -EBUSY)
		return r;
	r = block_open(path, 0, ret, NULL);
	if (r)
		return -EBUSY;
	if (ret->regular_file ||
	    (!block_count_holders(ret->major, ret->minor, &holders, NULL) && holders)) {
		err_clear(e);
		return 0;
	}
	block_close(ret);
	return -EBUSY;
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
	r = compare_and_write(&io, dev, new, region, e);
	luks_locks_release(&io, &locks);
	return r;
}

static int restore_from(const struct volume_env *env, const char *path,
			const struct volume_metadata *backup, const char *region, struct err *e)
{
	struct block_device dev;
	int r;

	r = open_target(path, &dev, e);
	if (r)
		return r;
	r = dev.readonly ? err_set(e, -EROFS, "%s is read-only", path)
			 : restore_locked(env, &dev, backup->header, region, e);
	block_close(&dev);
	return r;
}

int volume_restore_header(const struct volume_env *env, const struct volume_where *w,
			  const char *file, struct err *e)
{
	struct volume_where from = { .device = file };
	struct volume_metadata backup;
	char *region = NULL;
	int r;

	r = volume_open_metadata(env, &from, VOLUME_READ, &backup, e);
	if (r)
		return r == -ENODEV ? -ENOENT
				    : r; /* the device's own word is kept for the device */
	r = luks_check_usable(backup.header, e);
	r = r ?: read_region(&backup, &region, e);
	if (r)
		err_wrap(e, r, "the backup %s", file);
	else
		r = restore_from(env, w->header ?: w->device, &backup, region, e);
	if (region)
		secret_wipe(region, region_bytes(backup.header));
	free(region);
	volume_close_metadata(&backup);
	return r;
}
