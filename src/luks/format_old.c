// SPDX-License-Identifier: Apache-2.0
// What a device held before a format: old magics are found and forgotten, old key material is
// overwritten (docs/FORMAT.md "Order of writes", steps 1 to 3).
#include "write.h"

#define OLD_END_MAX_BYTES (2ull * LUKS_HEADER_MAX_BYTES + LUKS_KEYSLOTS_AREA_MAX_BYTES)
#define CHUNK_BYTES (1024u * 1024)
#define MAGIC_BYTES 6
#define NEAR_BYTES (128u * 1024 + LUKS_BLOCK_BYTES) /* the first five places */

static const unsigned char magic_primary[MAGIC_BYTES] = { 'L', 'U', 'K', 'S', 0xba, 0xbe };
static const unsigned char magic_secondary[MAGIC_BYTES] = { 'S', 'K', 'U', 'L', 0xba, 0xbe };

uint64_t luks_probe_offset(unsigned int i)
{
	return i == 0 ? 0 : (uint64_t)LUKS_HEADER_MIN_BYTES << (i - 1);
}

/* How much of the block at @offset the device has, in whole sectors. */
static size_t block_len(uint64_t offset, uint64_t device_bytes)
{
	uint64_t left = device_bytes > offset ? device_bytes - offset : 0;

	if (left >= LUKS_BLOCK_BYTES)
		return LUKS_BLOCK_BYTES;
	return (size_t)(left / SECTOR_SIZE_BYTES * SECTOR_SIZE_BYTES);
}

/* Of a header that doesn't load, the primary and the secondary that it names count as live. */
static void guess_live(const unsigned char *primary, struct luks_old *old)
{
	be64 size;

	memcpy(&size, primary + 8, sizeof(size)); /* hdr_size (specification 2.1) */
	old->live[0] = old->magic[0];
	for (unsigned int i = 1; i < LUKS_PROBES && old->magic[0]; i++)
		if (primary[6] == 0 && primary[7] == 2 && be64_get(size) == luks_probe_offset(i))
			old->live[i] = old->magic[i];
}

/*
 * Which places belong to the header that opens now, and where its keyslots area ends. A copy that
 * is stale or damaged isn't live: left alone for a moment, it would be a header that doesn't open.
 */
static void find_live(const struct luks_io *io, const unsigned char *primary, struct luks_old *old)
{
	const struct luks_io quiet = { .fd = io->fd, .no_locks = true };
	_cleanup_luks_ struct luks_header *h = NULL;

	if (luks_load(&quiet, &h, NULL)) {
		guess_live(primary, old);
		return;
	}
	old->live[0] = old->magic[0] && !h->from_secondary;
	if (h->version == 1) {
		old->end_bytes = h->luks1->payload_offset_sectors * SECTOR_SIZE_BYTES;
	} else {
		bool both = !h->needs_recovery && !h->seqid_conflict;

		for (unsigned int i = 1; i < LUKS_PROBES; i++)
			if (luks_probe_offset(i) == h->header_bytes)
				old->live[i] = old->magic[i] && (both || h->from_secondary);
		old->end_bytes = 2 * h->header_bytes + h->keyslots_bytes;
	}
	if (old->end_bytes > OLD_END_MAX_BYTES)
		old->end_bytes = OLD_END_MAX_BYTES;
}

/* The first five places lie so close together that one read serves them. */
static int read_place(const struct luks_io *io, unsigned int i, uint64_t device_bytes,
		      unsigned char *buf, const unsigned char **ret_block, struct err *e)
{
	uint64_t offset = luks_probe_offset(i);
	size_t len = block_len(offset, device_bytes);

	if (i == 0)
		len = device_bytes < NEAR_BYTES ? (size_t)(device_bytes & ~511ull) : NEAR_BYTES;
	*ret_block = offset < NEAR_BYTES ? buf + offset : buf + NEAR_BYTES;
	if (i != 0 && offset < NEAR_BYTES)
		return 0;
	memset(buf + NEAR_BYTES, 0, LUKS_BLOCK_BYTES);
	return io_pread_full(io->fd, i == 0 ? buf : buf + NEAR_BYTES, len, offset, e);
}

int luks_old_find(const struct luks_io *io, struct luks_old *ret, struct err *e)
{
	_cleanup_free_ unsigned char *buf = luks_block_alloc(NEAR_BYTES + LUKS_BLOCK_BYTES);
	const unsigned char *block;
	struct luks_old old = { 0 };
	uint64_t device_bytes;
	bool any = false;
	int r;

	if (!buf)
		return err_set(e, -ENOMEM, "no memory to look for old headers");
	r = io_size(io->fd, &device_bytes, e);
	for (unsigned int i = 0; i < LUKS_PROBES && !r; i++) {
		r = read_place(io, i, device_bytes, buf, &block, e);
		if (r)
			return err_wrap(e, r, "looking for old headers");
		old.magic[i] = !memcmp(block, i == 0 ? magic_primary : magic_secondary,
				       MAGIC_BYTES);
		any |= old.magic[i];
	}
	if (!r && any)
		find_live(io, buf, &old);
	if (!r)
		*ret = old;
	return r;
}

/* Zero the first sector of the block at @offset; the rest is written back as it was. */
static int zero_magic(const struct luks_io *io, uint64_t offset, uint64_t device_bytes,
		      unsigned char *block, struct err *e)
{
	size_t len = block_len(offset, device_bytes);
	int r;

	r = io_pread_full(io->fd, block, len, offset, e);
	if (r)
		return r;
	memset(block, 0, SECTOR_SIZE_BYTES);
	return io_pwrite_full(io->fd, block, len, offset, e);
}

static int forget_some(const struct luks_io *io, const struct luks_old *old, bool live,
		       struct err *e)
{
	_cleanup_free_ unsigned char *block = NULL;
	unsigned int n = 0;
	uint64_t device_bytes;
	int r;

	for (unsigned int i = 0; i < LUKS_PROBES; i++)
		n += old->magic[i] && old->live[i] == live;
	if (n == 0)
		return 0;
	block = luks_block_alloc(LUKS_BLOCK_BYTES);
	if (!block)
		return err_set(e, -ENOMEM, "no memory to remove an old header");
	r = io_size(io->fd, &device_bytes, e);
	for (unsigned int i = 0; i < LUKS_PROBES && !r; i++)
		if (old->magic[i] && old->live[i] == live)
			r = zero_magic(io, luks_probe_offset(i), device_bytes, block, e);
	if (!r)
		r = io_fsync(io->fd, e);
	return r ? err_wrap(e, r, "removing an old header") : 0;
}

int luks_old_forget(const struct luks_io *io, const struct luks_old *old, struct err *e)
{
	int r = forget_some(io, old, false, e);

	return r ? r : forget_some(io, old, true, e);
}

int luks_old_overwrite(const struct luks_io *io, uint64_t from, uint64_t to,
		       const struct luks_format *f, struct err *e)
{
	_cleanup_free_ unsigned char *chunk = luks_block_alloc(CHUNK_BYTES);
	bool wrote;
	int r = 0;

	if (!chunk)
		return err_set(e, -ENOMEM, "no memory to overwrite the old header");
	for (uint64_t at = from; at < to && !r;) {
		uint64_t left = to - at;
		size_t n = left < CHUNK_BYTES ? (size_t)left : CHUNK_BYTES;

		r = io_pread_full(io->fd, chunk, n, at, e);
		if (!r)
			r = luks_overwrite_chunk(io, chunk, n, at, LUKS_FILL_RANDOM, &wrote, e);
		at += n;
		if (!r && f->progress)
			f->progress(f->progress_arg, at - from, to - from);
	}
	return r ? err_wrap(e, r, "overwriting the old header") : 0;
}
