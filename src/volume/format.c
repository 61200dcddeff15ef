// SPDX-License-Identifier: Apache-2.0
// Format: make sure of the device, write a LUKS2 header over what stands there. The ladder
// and its undo stand in format_volume.
#include "internal.h"

#include <cryptvol/fs.h>

#include <fcntl.h>
#include <sys/stat.h>

#define MIB (1024ull * 1024)
#define HEADER_DEFAULT_BYTES (16ull * 1024)
#define METADATA_DEFAULT_BYTES (16 * MIB)
/* What is read to prove a region blank: at least all offsets where a header may be looked for, at
 * most what is cheaper to read than to write. */
#define BLANK_MIN_BYTES (8 * MIB)
#define BLANK_MAX_BYTES (64 * MIB)
#define BLOCK_BYTES 4096u
#define ALIGNMENT_DEFAULT_BYTES MIB
#define SECTOR_AUTO_MAX_BYTES 4096u

struct formatting {
	const struct volume_env *env;
	const struct volume_format *f;
	struct block_device data;
	struct block_device header_dev; /* where the header is detached */
	bool detached;
	struct volume_new_file new_header; /* fd -1: it was there */
	uint64_t header_file_bytes;	   /* of a header file, as it was */
	struct luks_format luks;
	struct luks_io io;
};

static const struct block_device *metadata_device(const struct formatting *x)
{
	return x->detached ? &x->header_dev : &x->data;
}

/* Both copies and the keyslots area. */
static uint64_t metadata_bytes(const struct luks_format *f)
{
	uint64_t headers = 2 * (f->header_bytes ?: HEADER_DEFAULT_BYTES);

	if (f->keyslots_bytes)
		return headers + f->keyslots_bytes;
	if (f->data_offset_bytes && f->data_offset_bytes < METADATA_DEFAULT_BYTES)
		return f->data_offset_bytes;
	return headers > METADATA_DEFAULT_BYTES ? headers + METADATA_DEFAULT_BYTES
						: METADATA_DEFAULT_BYTES;
}

/* ---- the rungs ---- */

static int open_data(struct formatting *x, struct err *e)
{
	uint32_t flags = BLOCK_EXCLUSIVE | (x->detached ? BLOCK_READONLY : 0);
	int r;

	r = block_open(x->f->where.device, flags, &x->data, e);
	if (r)
		return r;
	if (!x->detached && x->data.readonly) {
		block_close(&x->data);
		return err_set(e, -EROFS, "%s is read-only", x->f->where.device);
	}
	return 0;
}

static void unmake_header_file(const struct formatting *x)
{
	if (x->new_header.fd < 0 && x->header_dev.regular_file)
		(void)!ftruncate(x->header_dev.fd, (off_t)x->header_file_bytes);
}

/* A header file is made where there is none. */
static int open_header(struct formatting *x, struct err *e)
{
	const char *path = x->f->where.header;
	int r;

	if (!x->detached)
		return 0;
	if (access(path, F_OK)) {
		r = volume_new_file_open(path, 0600, &x->new_header, e);
		if (r)
			return err_wrap(e, r, "header");
		path = x->new_header.open_path;
	}
	r = block_open(path, BLOCK_EXCLUSIVE, &x->header_dev, e);
	if (r)
		return err_wrap(e, r, "header");
	text_copy(x->header_dev.given, sizeof(x->header_dev.given), x->f->where.header);
	x->header_file_bytes = x->header_dev.size_bytes; /* luks_format may let it grow */
	if (!x->header_dev.readonly)
		return 0;
	block_close(&x->header_dev);
	return err_set(e, -EROFS, "header %s is read-only", x->f->where.header);
}

/* 1 MiB serves every device whose own unit divides it. */
static void fill_alignment(struct formatting *x)
{
	uint64_t unit = x->data.alignment_bytes;

	if (!x->luks.alignment_bytes && unit && ALIGNMENT_DEFAULT_BYTES % unit)
		x->luks.alignment_bytes = unit;
	/* An odd shift of the device can't be made good: sectors of 4096 bytes would be lost for
	 * it. */
	if (!x->luks.alignment_offset_bytes && x->data.alignment_offset_bytes % BLOCK_BYTES == 0)
		x->luks.alignment_offset_bytes = x->data.alignment_offset_bytes;
}

static uint64_t data_offset(const struct luks_format *f)
{
	uint64_t unit = f->alignment_bytes;

	if (f->data_offset_bytes || !unit || f->detached)
		return f->data_offset_bytes;
	return (metadata_bytes(f) + unit - 1) / unit * unit;
}

/* The device's physical sector, where both the device and the data offset are whole ones. */
static uint32_t auto_sector_size(const struct formatting *x)
{
	uint64_t offset = data_offset(&x->luks);
	uint32_t bytes = x->data.physical_sector_bytes;

	if (bytes > SECTOR_AUTO_MAX_BYTES)
		bytes = SECTOR_AUTO_MAX_BYTES;
	while (bytes > SECTOR_SIZE_BYTES && (x->data.size_bytes % bytes || offset % bytes))
		bytes /= 2;
	return bytes;
}

/* Called back by luks_format when nothing can be refused any more. LUKS itself stays for it: it
 * unmakes an old header in an order that a cut can't harm. */
static int wipe_foreign(void *arg, struct err *e)
{
	struct formatting *x = arg;
	size_t wiped;

	return fs_wipe_signatures(x->io.fd, true, &wiped, e);
}

/* The KDF took its time: a loop device over the image may have been mapped or mounted meanwhile. */
static int still_idle(void *arg, struct err *e)
{
	const struct formatting *x = arg;
	int r = block_check_idle(&x->data, e);

	return r || !x->detached ? r : block_check_idle(&x->header_dev, e);
}

static void fill_request(struct formatting *x)
{
	x->luks.still_idle = still_idle;
	x->luks.detached = x->detached;
	x->luks.data_device_bytes = x->data.size_bytes;
	x->luks.clear = wipe_foreign;
	x->luks.clear_arg = x;
	fill_alignment(x);
	if (x->f->sector_size_auto)
		x->luks.sector_size_bytes = auto_sector_size(x);
	if (!x->luks.progress) {
		x->luks.progress = x->env->progress;
		x->luks.progress_arg = x->env->arg;
	}
	x->io = volume_io_of(x->env, metadata_device(x));
}

static int look_for_blank(struct formatting *x, struct err *e)
{
	uint64_t len = metadata_bytes(&x->luks), size = metadata_device(x)->size_bytes;
	int r;

	x->luks.known_blank = false;
	if (len < BLANK_MIN_BYTES)
		len = BLANK_MIN_BYTES;
	/* Behind the end of an image file there is nothing, and that is blank too. */
	if (len > size && !metadata_device(x)->regular_file)
		len = size;
	len -= len % BLOCK_BYTES;
	if (!len || len > BLANK_MAX_BYTES)
		return 0;
	r = block_known_blank(x->io.fd, 0, len, &x->luks.known_blank, e);
	return r ? err_wrap(e, r, "%s", metadata_device(x)->given) : 0;
}

static bool is_aligned(uint64_t offset, uint64_t shift, uint64_t unit)
{
	return !unit || offset % unit == shift % unit;
}

static void warn_alignment(const struct formatting *x, const struct luks_header *h)
{
	const struct block_device *d = &x->data;
	uint64_t offset = luks_data_offset(h), shift = d->alignment_offset_bytes;

	if (!d->regular_file && !is_aligned(offset, shift, d->physical_sector_bytes))
		volume_warn(x->env,
			    "the data offset of %llu bytes does not lie on the device's physical "
			    "sectors of %u",
			    (unsigned long long)offset, d->physical_sector_bytes);
	else if (!is_aligned(offset, shift, d->alignment_bytes))
		volume_warn(x->env,
			    "the data offset of %llu bytes does not lie on the device's optimal "
			    "I/O size of %llu",
			    (unsigned long long)offset, (unsigned long long)d->alignment_bytes);
}

static int write_header(struct formatting *x, struct err *e)
{
	struct luks_header *h;
	int r;

	r = luks_format(&x->io, x->env->kdf, &x->luks, &h, e);
	if (r)
		return err_wrap(e, r, "%s", metadata_device(x)->given);
	warn_alignment(x, h);
	luks_free(h);
	return 0;
}

static int format_volume(struct formatting *x, struct err *e)
{
	int r;

	r = open_data(x, e);
	if (r)
		return r;
	r = open_header(x, e);
	if (r)
		goto undo_data;
	fill_request(x);
	r = look_for_blank(x, e);
	if (r)
		goto undo_header;
	r = write_header(x, e);
	if (!r && x->new_header.fd >= 0)
		r = volume_new_file_name(&x->new_header, e);
	if (!r)
		goto close_header;

undo_header:
	if (x->detached)
		unmake_header_file(x);
close_header:
	if (x->detached)
		block_close(&x->header_dev);
undo_data:
	block_close(&x->data);
	return r;
}

int volume_format(const struct volume_env *env, const struct volume_format *f, struct err *e)
{
	_cleanup_free_ struct formatting *x = NULL;
	int r;

	if (!f->where.device)
		return err_set(e, -EINVAL, "no device is named");
	x = calloc(1, sizeof(*x));
	if (!x)
		return err_set(e, -ENOMEM, "no memory to format a volume");
	x->env = env;
	x->f = f;
	x->luks = f->luks;
	x->detached = f->where.header;
	x->new_header.fd = -1;
	r = format_volume(x, e);
	if (x->new_header.fd >= 0)
		close(x->new_header.fd);
	return r;
}

int volume_probe(const struct volume_env *env, const char *device, struct fs_signatures *ret,
		 struct err *e)
{
	struct block_device d;
	int r;

	(void)env;
	r = block_open(device, BLOCK_READONLY, &d, e);
	if (r)
		return r;
	r = fs_probe(d.fd, false, ret, e);
	if (r)
		err_wrap(e, r, "%s", device);
	block_close(&d);
	return r;
}
