// SPDX-License-Identifier: Apache-2.0
// From the plan of a header to a device-mapper table. Bytes there, 512-byte sectors here.
#include "internal.h"

#include <stdio.h>

bool volume_spec_is_null(const char *spec)
{
	struct crypto_cipher c;

	return !crypto_cipher_parse(spec, &c, NULL) && c.null;
}

/* Offset and length on the device; both are checked to lie on it. */
static int place(const struct luks_plan *p, const struct volume_table_how *how,
		 uint64_t *ret_len_bytes, struct err *e)
{
	uint64_t room;

	if (p->offset_bytes % SECTOR_SIZE_BYTES)
		return err_set(e, -EBADMSG, "segment %u: offset is not a multiple of 512",
			       p->segment);
	if (p->offset_bytes < how->metadata_bytes)
		return err_set(
			e, -EINVAL,
			"segment %u begins at %llu, inside the header and its keyslots: this "
			"is a detached header, and the data device is another",
			p->segment, (unsigned long long)p->offset_bytes);
	if (p->offset_bytes >= how->device_bytes)
		return err_set(e, -EINVAL,
			       "the device is too small: it has %llu bytes, segment %u begins at "
			       "%llu",
			       (unsigned long long)how->device_bytes, p->segment,
			       (unsigned long long)p->offset_bytes);
	room = (how->device_bytes - p->offset_bytes) & ~(SECTOR_SIZE_BYTES - 1);
	if (!p->dynamic && p->size_bytes > room)
		return err_set(e, -EINVAL,
			       "the device is too small: it has %llu bytes, segment %u needs %llu "
			       "from %llu on",
			       (unsigned long long)how->device_bytes, p->segment,
			       (unsigned long long)p->size_bytes,
			       (unsigned long long)p->offset_bytes);
	/* cryptsetup maps up to the device's end all the same, so what is behind is data to it. */
	if (!p->dynamic && p->size_bytes != room)
		return err_set(e, -EOPNOTSUPP,
			       "segment %u has a fixed size of %llu bytes, the device has %llu: "
			       "some programs would map one, some the other",
			       p->segment, (unsigned long long)p->size_bytes,
			       (unsigned long long)room);
	if (!room)
		return err_set(e, -EINVAL, "segment %u has no room for data", p->segment);
	*ret_len_bytes = room;
	return 0;
}

static int check_sector_size(const struct luks_plan *p, uint64_t len_bytes,
			     const struct volume_table_how *how, struct err *e)
{
	if (p->sector_size_bytes <= SECTOR_SIZE_BYTES)
		return 0;
	if (!(how->supported & DM_CRYPT_SECTOR_SIZE))
		return err_set(e, -EHOSTDOWN,
			       "the volume has %u-byte sectors, which this kernel's crypt target "
			       "does not know (version 1.17)",
			       p->sector_size_bytes);
	if (len_bytes % p->sector_size_bytes)
		return err_set(e, -EINVAL,
			       "the data area of %llu bytes is not a multiple of the volume's "
			       "%u-byte sectors",
			       (unsigned long long)len_bytes, p->sector_size_bytes);
	return 0;
}

static int fill_crypt(const struct luks_plan *p, const struct volume_table_how *how,
		      struct dm_crypt *c, struct err *e)
{
	int r;

	r = crypto_cipher_check(p->encryption, how->key_bytes, how->allow_null, e);
	if (r)
		return err_wrap(e, r, "segment %u", p->segment);
	r = text_copy(c->cipher, sizeof(c->cipher), p->encryption);
	if (r)
		return err_set(e, r, "segment %u: the cipher's name is too long", p->segment);
	c->key_bytes = volume_spec_is_null(p->encryption) ? 0 : how->key_bytes;
	c->device_offset_sectors = p->offset_bytes / SECTOR_SIZE_BYTES;
	c->sector_size_bytes = p->sector_size_bytes;
	c->flags = how->flags;
	return 0;
}

static int fill_target(const struct luks_plan *p, const struct volume_table_how *how,
		       struct dm_target *t, struct err *e)
{
	uint64_t len = 0;
	int r;

	r = place(p, how, &len, e);
	if (!r)
		r = check_sector_size(p, len, how, e);
	if (r)
		return r;
	t->type = DM_TARGET_CRYPT;
	text_copy(t->type_name, sizeof(t->type_name), "crypt");
	t->len_sectors = len / SECTOR_SIZE_BYTES;
	t->dev_major = how->major;
	t->dev_minor = how->minor;
	return fill_crypt(p, how, &t->crypt, e);
}

/* Make the mapping @size_sectors long. */
static int cut_target(struct dm_target *t, uint64_t size_sectors, struct err *e)
{
	if (size_sectors > t->len_sectors)
		return err_set(
			e, -EINVAL, "the mapping can't have %llu sectors: the volume has %llu",
			(unsigned long long)size_sectors, (unsigned long long)t->len_sectors);
	if (t->crypt.sector_size_bytes > SECTOR_SIZE_BYTES &&
	    size_sectors % (t->crypt.sector_size_bytes / SECTOR_SIZE_BYTES))
		return err_set(e, -EINVAL,
			       "%llu sectors are not a multiple of the volume's %u-byte sectors",
			       (unsigned long long)size_sectors, t->crypt.sector_size_bytes);
	t->len_sectors = size_sectors;
	return 0;
}

int volume_build_table(const struct luks_header *h, const struct volume_table_how *how,
		       struct dm_table *ret, struct err *e)
{
	struct dm_table t = { .readonly = how->readonly, .n_targets = 1 };
	struct luks_plan plan;
	int r;

	r = luks_make_plan(h, &plan, e);
	if (r)
		return r;
	t.targets = calloc(1, sizeof(*t.targets));
	if (!t.targets)
		return err_set(e, -ENOMEM, "no memory for a table");
	r = fill_target(&plan, how, &t.targets[0], e);
	if (!r && how->size_sectors)
		r = cut_target(&t.targets[0], how->size_sectors, e);
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
