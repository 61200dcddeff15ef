// SPDX-License-Identifier: Apache-2.0
// Sizes of a new header: defaults as cryptsetup has them, and rules (docs/FORMAT.md "What a format
// writes").
#include "write.h"

#define DEFAULT_HEAD_BYTES (16u * 1024 * 1024) /* both copies and the keyslots area */
#define DEFAULT_ALIGNMENT_BYTES (1024u * 1024)

typedef unsigned long long ull;

static bool is_header_size(uint64_t bytes)
{
	return bytes >= LUKS_HEADER_MIN_BYTES && bytes <= LUKS_HEADER_MAX_BYTES &&
	       (bytes & (bytes - 1)) == 0;
}

static uint64_t round_up(uint64_t n, uint64_t unit)
{
	return (n + unit - 1) / unit * unit;
}

/* What is left below the data offset that was asked for, or the default. */
static int default_keyslots(const struct luks_format *f, uint64_t copies_bytes, uint64_t *ret,
			    struct err *e)
{
	uint64_t n = DEFAULT_HEAD_BYTES - copies_bytes;

	if (f->data_offset_bytes) {
		if (f->data_offset_bytes <= copies_bytes)
			return err_set(e, -EINVAL,
				       "a data offset of %llu bytes leaves no room for the header",
				       (ull)f->data_offset_bytes);
		n = f->data_offset_bytes - copies_bytes;
		if (n > LUKS_KEYSLOTS_AREA_MAX_BYTES)
			n = LUKS_KEYSLOTS_AREA_MAX_BYTES;
	}
	*ret = n / LUKS_BLOCK_BYTES * LUKS_BLOCK_BYTES;
	return 0;
}

static int data_offset(const struct luks_format *f, uint64_t head_bytes, uint64_t *ret,
		       struct err *e)
{
	uint64_t align = f->alignment_bytes ?: DEFAULT_ALIGNMENT_BYTES, at = f->data_offset_bytes;
	uint32_t unit;

	if (at == 0 && !f->detached) {
		/* head_bytes is below 2^28; what a device reports is checked. */
		if (align > UINT32_MAX || f->alignment_offset_bytes > UINT32_MAX)
			return err_set(e, -EINVAL, "an alignment of %llu bytes is too large",
				       (ull)align);
		at = round_up(head_bytes, align) + f->alignment_offset_bytes;
	}
	/* One that follows from the alignment need only be of whole sectors, as cryptsetup has it:
	 * with a detached header that is the alignment itself. */
	unit = at == f->alignment_bytes || !f->data_offset_bytes ? SECTOR_SIZE_BYTES
								 : LUKS_BLOCK_BYTES;
	if (at % unit)
		return err_set(e, -EINVAL, "Data offset is not multiple of %u bytes.", unit);
	/* Of a detached header too, unless it is 0 (checklist 2.4). */
	if ((at != 0 || !f->detached) && at < head_bytes)
		return err_set(e, -EINVAL,
			       "the data offset %llu lies within the header (%llu bytes)", (ull)at,
			       (ull)head_bytes);
	*ret = at;
	return 0;
}

static int check_devices(const struct luks_format *f, uint64_t device_bytes, bool may_grow,
			 const struct luks_geometry *g, struct err *e)
{
	uint64_t head_bytes = 2 * g->header_bytes + g->keyslots_bytes;
	uint32_t sector = f->sector_size_bytes ?: SECTOR_SIZE_BYTES;
	uint64_t data_bytes = f->data_device_bytes;

	if (device_bytes < head_bytes && !may_grow)
		return err_set(e, -ENOSPC, "the device has %llu bytes, the header needs %llu",
			       (ull)device_bytes, (ull)head_bytes);
	if (!data_bytes && !f->detached)
		data_bytes = device_bytes;
	if (data_bytes &&
	    (data_bytes < g->data_offset_bytes || data_bytes - g->data_offset_bytes < sector))
		return err_set(e, -ENOSPC,
			       "the device has %llu bytes, the data begin at %llu: no room for any",
			       (ull)data_bytes, (ull)g->data_offset_bytes);
	/* Of an image file the part of a sector at its end is no part of the device. */
	if (data_bytes &&
	    (data_bytes - g->data_offset_bytes) / SECTOR_SIZE_BYTES * SECTOR_SIZE_BYTES % sector)
		return err_set(e, -EINVAL, "Device size is not aligned to requested sector size.");
	return 0;
}

int luks_geometry_make(const struct luks_format *f, uint64_t device_bytes, bool may_grow,
		       struct luks_geometry *ret, struct err *e)
{
	struct luks_geometry g = { .header_bytes = f->header_bytes ?: LUKS_HEADER_MIN_BYTES,
				   .keyslots_bytes = f->keyslots_bytes };
	uint32_t sector = f->sector_size_bytes ?: SECTOR_SIZE_BYTES;
	int r = 0;

	if (sector != 512 && sector != 1024 && sector != 2048 && sector != 4096)
		return err_set(e, -EINVAL, "Unsupported encryption sector size.");
	if (!is_header_size(g.header_bytes))
		return err_set(e, -EINVAL, "a metadata size of %llu bytes is not allowed",
			       (ull)g.header_bytes);
	if (g.keyslots_bytes == 0)
		r = default_keyslots(f, 2 * g.header_bytes, &g.keyslots_bytes, e);
	if (r)
		return r;
	if (g.keyslots_bytes % LUKS_BLOCK_BYTES || g.keyslots_bytes > LUKS_KEYSLOTS_AREA_MAX_BYTES)
		return err_set(e, -EINVAL,
			       "a keyslots area of %llu bytes is not allowed: a multiple of %u, at "
			       "most %u",
			       (ull)g.keyslots_bytes, LUKS_BLOCK_BYTES,
			       LUKS_KEYSLOTS_AREA_MAX_BYTES);
	r = data_offset(f, 2 * g.header_bytes + g.keyslots_bytes, &g.data_offset_bytes, e);
	if (!r)
		r = check_devices(f, device_bytes, may_grow, &g, e);
	if (!r)
		*ret = g;
	return r;
}
