// SPDX-License-Identifier: Apache-2.0
// The keyslots area: gaps, whole-block reads and writes, wiping (specification 2.3).
#include "write.h"

#define WIPE_CHUNK_BYTES (256u * 1024)

static uint64_t round_up(uint64_t n, uint64_t unit)
{
	return (n + unit - 1) / unit * unit;
}

uint64_t luks_area_bytes(uint32_t key_bytes)
{
	return round_up((uint64_t)key_bytes * LUKS_AF_STRIPES, LUKS_BLOCK_BYTES);
}

void *luks_block_alloc(size_t len)
{
	void *p;

	if (posix_memalign(&p, LUKS_BLOCK_BYTES, len))
		return NULL;
	return memset(p, 0, len);
}

/* Is [at, at + bytes) free? If not, *ret_next is behind what is in the way. */
static bool gap_at(const struct luks_header *h, uint64_t at, uint64_t bytes, uint64_t *ret_next)
{
	for (size_t i = 0; i < h->n_keyslots; i++) {
		const struct luks_keyslot *k = &h->keyslots[i];
		uint64_t end = k->area_offset_bytes + k->area_size_bytes;

		if (at < end && k->area_offset_bytes < at + bytes) {
			*ret_next = round_up(end, LUKS_BLOCK_BYTES);
			return false;
		}
	}
	return true;
}

int luks_area_find(const struct luks_header *h, uint64_t bytes, uint64_t *ret_offset, struct err *e)
{
	uint64_t at = 2 * h->header_bytes, end = at + h->keyslots_bytes;

	while (at <= end && bytes <= end - at) {
		if (gap_at(h, at, bytes, &at)) {
			*ret_offset = at;
			return 0;
		}
	}
	return err_set(e, -ENOSPC, "no room for a keyslot of %llu bytes in the keyslots area",
		       (unsigned long long)bytes);
}

int luks_area_wipe(const struct luks_io *io, uint64_t offset, uint64_t len, struct err *e)
{
	_cleanup_free_ unsigned char *buf = luks_block_alloc(WIPE_CHUNK_BYTES);
	int r;

	if (!buf)
		return err_set(e, -ENOMEM, "no memory to wipe a keyslot area");
	for (uint64_t done = 0; done < len;) {
		uint64_t left = len - done;
		size_t n = left < WIPE_CHUNK_BYTES ? (size_t)left : WIPE_CHUNK_BYTES;

		r = crypto_random(buf, n, e);
		if (!r)
			r = io_pwrite_full(io->fd, buf, n, offset + done, e);
		if (r)
			return err_wrap(e, r, "wiping a keyslot area");
		done += n;
	}
	return io_fsync(io->fd, e);
}

int luks_area_write(const struct luks_io *io, const struct secret *area, uint64_t offset,
		    struct err *e)
{
	int r;

	r = io_pwrite_full(io->fd, area->data, area->len, offset, e);
	if (!r)
		r = io_fsync(io->fd, e);
	return r ? err_wrap(e, r, "keyslot area") : 0;
}

int luks_area_read(const struct luks_io *io, uint64_t offset, uint64_t len, struct secret **ret,
		   struct err *e)
{
	_cleanup_secret_ struct secret *s = NULL;
	uint64_t from = offset / LUKS_BLOCK_BYTES * LUKS_BLOCK_BYTES;
	uint64_t to = round_up(offset + len, LUKS_BLOCK_BYTES);
	int r;

	r = secret_new((size_t)(to - from), &s, e);
	if (r)
		return r;
	/* The keyslots area ends at a block boundary, so whole blocks don't reach beyond it. */
	r = io_pread_full(io->fd, s->data, (size_t)(to - from), from, e);
	if (r)
		return err_wrap(e, r, "keyslot area");
	if (offset != from)
		memmove(s->data, s->data + (offset - from), (size_t)len);
	s->len = (size_t)len;
	*ret = s;
	s = NULL;
	return 0;
}
