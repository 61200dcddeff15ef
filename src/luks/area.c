// SPDX-License-Identifier: Apache-2.0
// The keyslots area: gaps, whole-block reads and writes, wiping (specification 2.3).
#include "write.h"

#define WIPE_CHUNK_BYTES (256u * 1024)
#define GAP_CHUNK_BYTES (1024u * 1024)

/* How a wiped area begins: no key material has it, nor a medium that gives zeros for an error. */
static const char wiped_text[] = "this keyslot is wiped\n";

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
		if (!done)
			memcpy(buf, wiped_text, n < sizeof(wiped_text) ? n : sizeof(wiped_text));
		if (!r)
			r = io_pwrite_full(io->fd, buf, n, offset + done, e);
		if (r)
			return err_wrap(e, r, "wiping a keyslot area");
		done += n;
	}
	return io_fsync(io->fd, e);
}

int luks_area_crypt(const struct luks_io *io, const struct crypto_cipher *c,
		    const struct secret *key, bool encrypt, struct secret *area, size_t len,
		    struct err *e)
{
	struct err near = { 0 }, far = { 0 };
	int r;

	r = crypto_cipher_run(c, key, encrypt, area->data, len, 0, &near);
	if (r == -EHOSTDOWN && io->run_cipher) {
		r = io->run_cipher(c, key, encrypt, area, len, &far);
		if (r && r != -EINTR && r != -ENOMEM)
			return err_set(e, -EHOSTDOWN, "%s; a mapping can't do it either: %s",
				       near.text, far.text);
		if (r)
			return err_set(e, r, "%s", far.text);
		return 0;
	}
	return r ? err_set(e, r, "%s", near.text) : 0;
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

static bool is_zero(const unsigned char *p, size_t len)
{
	return len == 0 || (p[0] == 0 && !memcmp(p, p + 1, len - 1));
}

int luks_area_wiped(const struct luks_io *io, uint64_t offset, bool *ret, struct err *e)
{
	_cleanup_secret_ struct secret *s = NULL;
	int r = luks_area_read(io, offset, sizeof(wiped_text), &s, e);

	if (r)
		return r;
	*ret = !memcmp(s->data, wiped_text, sizeof(wiped_text));
	return 0;
}

int luks_overwrite_chunk(const struct luks_io *io, unsigned char *chunk, size_t len, uint64_t at,
			 enum luks_filling with, bool *wrote, struct err *e)
{
	size_t run = 0, n;
	int r = 0;

	for (size_t i = 0; i < len && !r; i += n) {
		bool zero;
		size_t end;

		n = len - i < LUKS_BLOCK_BYTES ? len - i : LUKS_BLOCK_BYTES;
		zero = is_zero(chunk + i, n);
		if (!zero)
			run += n;
		if (run == 0 || (!zero && i + n < len))
			continue;
		end = zero ? i : i + n;
		if (with == LUKS_FILL_ZEROS)
			memset(chunk + end - run, 0, run);
		else
			r = crypto_random(chunk + end - run, run, e);
		*wrote = true;
		if (!r)
			r = io_pwrite_full(io->fd, chunk + end - run, run, at + end - run, e);
		run = 0;
	}
	return r;
}

/* A block that can't be read may hold anything: it is written, which is also what makes most media
 * take another one in its place. */
static int zero_range(const struct luks_io *io, uint64_t from, uint64_t to, unsigned char *chunk,
		      bool *wrote, struct err *e)
{
	int r = 0;

	for (uint64_t at = from; at < to && !r;) {
		size_t n = to - at < GAP_CHUNK_BYTES ? (size_t)(to - at) : GAP_CHUNK_BYTES;

		if (io_pread_full(io->fd, chunk, n, at, NULL))
			memset(chunk, 0xff, n);
		r = luks_overwrite_chunk(io, chunk, n, at, LUKS_FILL_ZEROS, wrote, e);
		at += n;
	}
	return r;
}

/* Where the gap at @from ends; *ret_next: behind the area that ends it. */
static uint64_t gap_end(const struct luks_header *h, uint64_t from, uint64_t end,
			uint64_t *ret_next)
{
	uint64_t to = from;

	*ret_next = end;
	while (to < end && gap_at(h, to, LUKS_BLOCK_BYTES, ret_next))
		to += LUKS_BLOCK_BYTES;
	return to;
}

int luks_gaps_zero(const struct luks_io *io, const struct luks_header *h, struct err *e)
{
	_cleanup_free_ unsigned char *chunk = luks_block_alloc(GAP_CHUNK_BYTES);
	uint64_t from = 2 * h->header_bytes, end = from + h->keyslots_bytes, device_bytes, next;
	bool wrote = false;
	int r;

	if (!chunk)
		return err_set(e, -ENOMEM, "no memory to wipe the keyslots area");
	r = io_size(io->fd, &device_bytes, e);
	/* A header file may end before its keyslots area does. */
	if (!r && end > device_bytes)
		end = device_bytes / LUKS_BLOCK_BYTES * LUKS_BLOCK_BYTES;
	for (; from < end && !r; from = next)
		r = zero_range(io, from, gap_end(h, from, end, &next), chunk, &wrote, e);
	if (!r && wrote)
		r = io_fsync(io->fd, e);
	return r;
}
