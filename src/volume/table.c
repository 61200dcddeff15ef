// SPDX-License-Identifier: Apache-2.0
// From the segments of a header to a device-mapper table. Bytes there, 512-byte sectors here.
#include "internal.h"

#include <stdio.h>

bool volume_spec_is_null(const char *spec)
{
	struct crypto_cipher c;

	return !crypto_cipher_parse(spec, &c, NULL) && c.null;
}

/* Offset and length on the device; both are checked to lie on it. */
static int place_segment(const struct luks_segment *s, const struct volume_table_how *how,
			 uint64_t *ret_len_bytes, struct err *e)
{
	uint64_t end, len = s->size_bytes;

	if (s->offset_bytes % SECTOR_SIZE_BYTES)
		return err_set(e, -EBADMSG, "segment %u: offset is not a multiple of 512", s->id);
	if (s->offset_bytes >= how->device_bytes)
		return err_set(e, -EINVAL,
			       "the device is too small: it has %llu bytes, segment %u begins at "
			       "%llu",
			       (unsigned long long)how->device_bytes, s->id,
			       (unsigned long long)s->offset_bytes);
	if (s->dynamic)
		len = (how->device_bytes - s->offset_bytes) & ~(SECTOR_SIZE_BYTES - 1);
	if (__builtin_add_overflow(s->offset_bytes, len, &end) || end > how->device_bytes)
		return err_set(e, -EINVAL,
			       "the device is too small: it has %llu bytes, segment %u needs %llu "
			       "from %llu on",
			       (unsigned long long)how->device_bytes, s->id,
			       (unsigned long long)len, (unsigned long long)s->offset_bytes);
	if (!len)
		return err_set(e, -EINVAL, "segment %u has no room for data", s->id);
	*ret_len_bytes = len;
	return 0;
}

static int check_sector_size(const struct luks_segment *s, uint64_t len_bytes,
			     const struct volume_table_how *how, struct err *e)
{
	if (s->sector_size_bytes <= SECTOR_SIZE_BYTES)
		return 0;
	if (!(how->supported & DM_CRYPT_SECTOR_SIZE))
		return err_set(e, -EHOSTDOWN,
			       "the volume has %u-byte sectors, which this kernel's crypt target "
			       "does not know (version 1.17)",
			       s->sector_size_bytes);
	if (len_bytes % s->sector_size_bytes)
		return err_set(e, -EINVAL,
			       "the data area of %llu bytes is not a multiple of the volume's "
			       "%u-byte sectors",
			       (unsigned long long)len_bytes, s->sector_size_bytes);
	return 0;
}

static int fill_crypt(const struct luks_header *h, const struct luks_segment *s,
		      const struct volume_table_how *how, struct dm_target *t, struct err *e)
{
	struct dm_crypt *c = &t->crypt;
	int r;

	/* One key is at hand: it has to be the key of every segment. */
	if (luks_segment_digest(h, (int)s->id) !=
	    luks_segment_digest(h, (int)luks_default_segment(h)->id))
		return err_set(e, -EOPNOTSUPP, "segment %u has a key of its own", s->id);
	r = crypto_cipher_check(s->encryption, how->key_bytes, how->allow_null, e);
	if (r)
		return err_wrap(e, r, "segment %u", s->id);
	r = text_copy(c->cipher, sizeof(c->cipher), s->encryption);
	if (r)
		return err_set(e, r, "segment %u: the cipher's name is too long", s->id);
	c->key_bytes = volume_spec_is_null(s->encryption) ? 0 : how->key_bytes;
	c->iv_offset_sectors = s->iv_tweak;
	c->device_offset_sectors = s->offset_bytes / SECTOR_SIZE_BYTES;
	c->sector_size_bytes = s->sector_size_bytes;
	c->flags = how->flags;
	return 0;
}

static int fill_target(const struct luks_header *h, const struct luks_segment *s,
		       const struct volume_table_how *how, struct dm_target *t, struct err *e)
{
	uint64_t len = 0;
	int r;

	r = place_segment(s, how, &len, e);
	if (r)
		return r;
	t->len_sectors = len / SECTOR_SIZE_BYTES;
	t->dev_major = how->major;
	t->dev_minor = how->minor;
	switch (s->type) {
	case LUKS_SEGMENT_CRYPT:
		t->type = DM_TARGET_CRYPT;
		text_copy(t->type_name, sizeof(t->type_name), "crypt");
		r = check_sector_size(s, len, how, e);
		return r ?: fill_crypt(h, s, how, t, e);
	case LUKS_SEGMENT_LINEAR:
		t->type = DM_TARGET_LINEAR;
		text_copy(t->type_name, sizeof(t->type_name), "linear");
		t->linear.device_offset_sectors = s->offset_bytes / SECTOR_SIZE_BYTES;
		return 0;
	default:
		return err_set(e, -EOPNOTSUPP, "segment %u has the type %s, which can't be mapped",
			       s->id, s->type_name);
	}
}

/* Make the mapping @size_sectors long by cutting targets at its end. */
static int cut_table(struct dm_table *t, uint64_t size_sectors, struct err *e)
{
	struct dm_target *last = &t->targets[t->n_targets - 1];
	uint64_t whole = last->start_sectors + last->len_sectors;

	if (size_sectors > whole)
		return err_set(e, -EINVAL,
			       "the mapping can't have %llu sectors: the volume has %llu",
			       (unsigned long long)size_sectors, (unsigned long long)whole);
	while (t->n_targets > 1 && t->targets[t->n_targets - 1].start_sectors >= size_sectors)
		t->n_targets--;
	last = &t->targets[t->n_targets - 1];
	last->len_sectors = size_sectors - last->start_sectors;
	if (last->type == DM_TARGET_CRYPT && last->crypt.sector_size_bytes > SECTOR_SIZE_BYTES &&
	    last->len_sectors % (last->crypt.sector_size_bytes / SECTOR_SIZE_BYTES))
		return err_set(e, -EINVAL,
			       "%llu sectors are not a multiple of the volume's %u-byte sectors",
			       (unsigned long long)size_sectors, last->crypt.sector_size_bytes);
	return 0;
}

int volume_build_table(const struct luks_header *h, const struct volume_table_how *how,
		       struct dm_table *ret, struct err *e)
{
	struct dm_table t = { .readonly = how->readonly };
	const struct luks_segment *s;
	uint64_t start = 0;
	int r = 0;

	if (!luks_default_segment(h))
		return err_set(e, -EBADMSG, "the header has no data segment");
	t.targets = calloc(LUKS_SEGMENTS_MAX, sizeof(*t.targets));
	if (!t.targets)
		return err_set(e, -ENOMEM, "no memory for a table");
	/* Segments that belong to the data are numbered from 0 on; backups come behind them. */
	while (!r && t.n_targets < LUKS_SEGMENTS_MAX &&
	       (s = luks_find_segment(h, (int)t.n_targets)) && !s->backup) {
		struct dm_target *target = &t.targets[t.n_targets++];

		target->start_sectors = start;
		r = fill_target(h, s, how, target, e);
		start += target->len_sectors;
	}
	if (!r && !t.n_targets)
		r = err_set(e, -EBADMSG, "the header has no data segment");
	if (!r && how->size_sectors && t.n_targets)
		r = cut_table(&t, how->size_sectors, e);
	if (r)
		dm_table_free(&t);
	else
		*ret = t;
	return r;
}

void volume_table_set_key(struct dm_table *t, const char *key_description, const struct secret *hex)
{
	for (size_t i = 0; i < t->n_targets; i++) {
		struct dm_crypt *c = &t->targets[i].crypt;

		if (t->targets[i].type != DM_TARGET_CRYPT || !c->key_bytes)
			continue;
		c->key = hex;
		snprintf(c->key_description, sizeof(c->key_description), "%s",
			 key_description ?: "");
	}
}
