// SPDX-License-Identifier: Apache-2.0
// A new header with its first keyslot (specification 4.1, 4.2). Order of writes: docs/FORMAT.md,
// "Format, in general".
#include <sys/stat.h>

#include "write.h"

#define DEFAULT_CIPHER "aes-xts-plain64"
#define FORMAT_SEQID 3u /* as cryptsetup's format ends */
#define UNKNOWN_OLD_END_BYTES (16u * 1024 * 1024)
#define OVERWRITE_MAX_BYTES (2ull * LUKS_HEADER_MAX_BYTES + LUKS_KEYSLOTS_AREA_MAX_BYTES)

/* Everything that is going to be written, in memory. */
struct plan {
	struct luks_geometry g;
	struct luks_header *h;
	struct secret *own_key; /* drawn here; NULL where the caller gave one */
	struct luks_material first;
	bool has_first;
	uint64_t first_offset;
	unsigned char *copies; /* both header copies, one behind the other */
	uint64_t device_bytes;
};

static void plan_free(struct plan *p)
{
	luks_free(p->h);
	secret_free(p->own_key);
	luks_material_free(&p->first);
	free(p->copies);
}

/* ---- what is to be written ---- */

static int key_bytes_for(const struct luks_format *f, const char *cipher, uint32_t *ret,
			 struct err *e)
{
	struct crypto_cipher c;
	int r;

	if (crypto_cipher_parse(cipher, &c, NULL))
		return err_set(e, -EINVAL, "\"%s\" is no cipher specification", cipher);
	*ret = f->key_bytes;
	if (*ret == 0 && f->volume_key)
		*ret = (uint32_t)f->volume_key->len;
	if (*ret == 0)
		*ret = strcmp(c.mode, "xts") != 0 ? 32 : 64;
	if (f->volume_key && f->volume_key->len != *ret)
		return err_set(e, -EINVAL, "the volume key has %zu bytes instead of %u",
			       f->volume_key->len, *ret);
	r = crypto_cipher_check(cipher, *ret, f->allow_null, e);
	return r ? r : crypto_cipher_available(&c, e);
}

static int put_segment(const struct luks_format *f, const struct luks_geometry *g,
		       const char *cipher, struct luks_header *h, struct err *e)
{
	struct luks_segment *s = &h->segments[0];

	s->type = LUKS_SEGMENT_CRYPT;
	s->offset_bytes = g->data_offset_bytes;
	s->dynamic = true;
	s->sector_size_bytes = f->sector_size_bytes ?: SECTOR_SIZE_BYTES;
	text_copy(s->type_name, sizeof(s->type_name), "crypt");
	if (text_copy(s->encryption, sizeof(s->encryption), cipher))
		return err_set(e, -EINVAL, "the cipher name is too long");
	h->n_segments = 1;
	return 0;
}

static int put_names(const struct luks_format *f, struct luks_header *h, struct err *e)
{
	if (text_copy(h->label, sizeof(h->label), f->label ?: "") ||
	    text_copy(h->subsystem, sizeof(h->subsystem), f->subsystem ?: ""))
		return err_set(e, -EINVAL, "a label has at most %u bytes", LUKS_LABEL_BYTES - 1);
	if (!f->uuid)
		return text_uuid_random(h->uuid, e);
	if (!text_uuid_valid(f->uuid))
		return err_set(e, -EINVAL, "Wrong LUKS UUID format provided.");
	luks_put_uuid(h, f->uuid);
	return 0;
}

static int put_digest(const struct luks_format *f, const struct secret *key, struct luks_header *h,
		      struct err *e)
{
	uint32_t iterations = f->digest_iterations;
	int r;

	if (iterations == 0)
		iterations = f->volume_key ? LUKS_DIGEST_ITERATIONS_GIVEN
					   : LUKS_DIGEST_ITERATIONS_RANDOM;
	r = luks_digest_make(f->hash ?: "sha256", iterations, key, &h->digests[0], e);
	if (r)
		return r;
	h->digests[0].segments = 1;
	h->n_digests = 1;
	return 0;
}

static int put_first(const struct luks_io *io, const struct luks_format *f, struct crypto_kdf *kdf,
		     const struct secret *key, struct plan *p, struct err *e)
{
	struct luks_new_keyslot n = f->first;
	unsigned int id = 0;
	int r;

	if (!n.passphrase)
		return f->volume_key ? 0
				     : err_set(e, -EINVAL,
					       "a header without a keyslot needs a volume key that "
					       "is kept elsewhere");
	if (!n.af_hash)
		n.af_hash = f->hash;
	n.unbound = false;
	r = luks_slot_free_number(p->h, n.keyslot, &id, e);
	/* No room is found out before the KDF is paid for. */
	if (!r)
		r = luks_area_find(p->h, luks_area_bytes((uint32_t)key->len), &p->first_offset, e);
	if (!r)
		r = luks_material_make(io, p->h, kdf, &n, key, &p->first, e);
	if (!r)
		r = luks_slot_add(p->h, &p->first, id, p->first_offset, 0, e);
	if (!r)
		p->has_first = true;
	return r;
}

/* The header, typed, with its first keyslot; the KDF runs here. */
static int plan_header(const struct luks_io *io, const struct luks_format *f,
		       struct crypto_kdf *kdf, struct plan *p, struct err *e)
{
	const char *cipher = f->cipher ?: DEFAULT_CIPHER;
	uint32_t key_bytes = 0;
	int r;

	r = key_bytes_for(f, cipher, &key_bytes, e);
	if (!r)
		r = luks_header_new(&p->h, e);
	if (r)
		return r;
	p->h->header_bytes = p->g.header_bytes;
	p->h->json_bytes = p->g.header_bytes - LUKS_BIN_HEADER_BYTES;
	p->h->keyslots_bytes = p->g.keyslots_bytes;
	p->h->seqid = FORMAT_SEQID - 1; /* luks_header_encode counts on */
	r = put_segment(f, &p->g, cipher, p->h, e);
	if (!r)
		r = put_names(f, p->h, e);
	if (!r && !f->volume_key)
		r = secret_random(key_bytes, &p->own_key, e);
	if (!r)
		r = put_digest(f, f->volume_key ?: p->own_key, p->h, e);
	if (!r)
		r = put_first(io, f, kdf, f->volume_key ?: p->own_key, p, e);
	return r;
}

/* Both copies as bytes, and what a reader makes of them: that is what the caller gets. */
static int plan_copies(struct plan *p, struct err *e)
{
	uint64_t device_bytes = 2 * p->g.header_bytes + p->g.keyslots_bytes;
	struct luks_header *read;
	int r;

	/* A header file may still be too short: it will grow. */
	if (device_bytes < p->device_bytes)
		device_bytes = p->device_bytes;
	p->copies = luks_block_alloc(2 * (size_t)p->g.header_bytes);
	if (!p->copies)
		return err_set(e, -ENOMEM, "no memory for a header");
	r = luks_header_encode(p->h, device_bytes, p->copies, e);
	if (!r)
		r = luks_parse(p->copies, 2 * (size_t)p->g.header_bytes, device_bytes, &read, e);
	if (r)
		return r;
	luks_free(p->h);
	p->h = read;
	return 0;
}

static int plan_all(const struct luks_io *io, const struct luks_format *f, struct crypto_kdf *kdf,
		    struct plan *p, bool *ret_grow, struct err *e)
{
	struct stat st;
	bool may_grow;
	int r;

	if (fstat(io->fd, &st))
		return err_sys(e, -errno, "the device can't be examined");
	may_grow = f->detached && S_ISREG(st.st_mode);
	r = io_size(io->fd, &p->device_bytes, e);
	if (!r)
		r = luks_geometry_make(f, p->device_bytes, may_grow, &p->g, e);
	if (!r)
		r = plan_header(io, f, kdf, p, e);
	if (!r)
		r = plan_copies(p, e);
	if (!r)
		*ret_grow = may_grow;
	return r;
}

/* ---- writing it ---- */

/* A detached header's file gets the size that it needs. */
static int grow_file(const struct luks_io *io, struct plan *p, struct err *e)
{
	uint64_t need = 2 * p->g.header_bytes + p->g.keyslots_bytes;

	if (p->device_bytes >= need)
		return 0;
	if (ftruncate(io->fd, (off_t)need))
		return err_sys(e, -errno, "the header file can't grow to %llu bytes",
			       (unsigned long long)need);
	p->device_bytes = need;
	return 0;
}

/* Where old key material may reach to. */
static uint64_t overwrite_end(const struct luks_format *f, const struct plan *p,
			      const struct luks_old *old)
{
	uint64_t end = 2 * p->g.header_bytes + p->g.keyslots_bytes;
	uint64_t others[] = { old->end_bytes ?: UNKNOWN_OLD_END_BYTES,
			      f->detached ? 0 : p->g.data_offset_bytes };

	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		if (others[i] > end)
			end = others[i];
	if (end > OVERWRITE_MAX_BYTES)
		end = OVERWRITE_MAX_BYTES;
	return end < p->device_bytes ? end
				     : p->device_bytes / SECTOR_SIZE_BYTES * SECTOR_SIZE_BYTES;
}

/* One copy with its first sector, the one with the magic, left at zeros. */
static int write_headless(const struct luks_io *io, const struct plan *p, unsigned int i,
			  bool blank, unsigned char *tmp, struct err *e)
{
	size_t len = (size_t)p->g.header_bytes;
	const unsigned char *copy = p->copies + i * len;

	/* On a blank device zeros need not be written; within the JSON text there is no NUL. */
	while (blank && len > LUKS_BLOCK_BYTES && copy[len - LUKS_BLOCK_BYTES] == 0)
		len -= LUKS_BLOCK_BYTES;
	memcpy(tmp, copy, len);
	memset(tmp, 0, SECTOR_SIZE_BYTES);
	return io_pwrite_full(io->fd, tmp, len, i * p->g.header_bytes, e);
}

/* Step 3: all but the two sectors that make the header visible. */
static int write_body(const struct luks_io *io, const struct luks_format *f, const struct plan *p,
		      const struct luks_old *old, bool blank, struct err *e)
{
	_cleanup_free_ unsigned char *tmp = luks_block_alloc((size_t)p->g.header_bytes);
	int r = 0;

	if (!tmp)
		return err_set(e, -ENOMEM, "no memory for a header");
	if (!blank)
		r = luks_old_overwrite(io, 2 * p->g.header_bytes, overwrite_end(f, p, old), f, e);
	for (unsigned int i = 0; i < 2 && !r; i++)
		r = write_headless(io, p, i, blank, tmp, e);
	if (!r && p->has_first)
		r = io_pwrite_full(io->fd, p->first.area->data, p->first.area->len, p->first_offset,
				   e);
	if (!r)
		r = io_fsync(io->fd, e);
	return r;
}

/* Step 4: a block each, of which only the first sector isn't there yet. */
static int write_heads(const struct luks_io *io, const struct plan *p, struct err *e)
{
	uint64_t size = p->g.header_bytes;
	int r;

	r = io_pwrite_full(io->fd, p->copies + size, LUKS_BLOCK_BYTES, size, e);
	if (!r)
		r = io_pwrite_full(io->fd, p->copies, LUKS_BLOCK_BYTES, 0, e);
	if (!r)
		r = io_fsync(io->fd, e);
	return r;
}

static int write_plan(const struct luks_io *io, const struct luks_format *f, struct plan *p,
		      bool grow, struct err *e)
{
	struct luks_old old;
	bool blank = f->known_blank;
	int r;

	r = luks_old_find(io, &old, e);
	if (!r && f->clear)
		r = f->clear(f->clear_arg, e);
	if (!r && grow)
		r = grow_file(io, p, e);
	if (r)
		return r;
	for (unsigned int i = 0; i < LUKS_PROBES; i++)
		blank &= !old.magic[i];
	r = luks_old_forget(io, &old, e);
	if (!r)
		r = write_body(io, f, p, &old, blank, e);
	if (!r)
		r = write_heads(io, p, e);
	return r;
}

int luks_format(const struct luks_io *io, struct crypto_kdf *kdf, const struct luks_format *f,
		struct luks_header **ret, struct err *e)
{
	struct luks_locks locks;
	struct plan p = { 0 };
	bool grow = false;
	int r;

	r = plan_all(io, f, kdf, &p, &grow, e);
	if (!r)
		r = luks_locks_take(io, true, &locks, e);
	if (!r) {
		r = f->still_idle ? f->still_idle(f->clear_arg, e) : 0;
		r = r ?: write_plan(io, f, &p, grow, e);
		luks_locks_release(io, &locks);
	}
	if (!r) {
		*ret = p.h;
		p.h = NULL;
	}
	plan_free(&p);
	return r;
}
