// SPDX-License-Identifier: Apache-2.0
// Segments between JSON and struct luks_segment (specification 3.3 and 4.10, checklist 2.7).
#include "metadata_json.h"

static const struct {
	const char *name;
	enum luks_segment_type type;
} types[] = {
	{ "crypt", LUKS_SEGMENT_CRYPT },
	{ "linear", LUKS_SEGMENT_LINEAR },
	{ "hw-opal", LUKS_SEGMENT_OPAL },
	{ "hw-opal-crypt", LUKS_SEGMENT_OPAL_CRYPT },
};

static const struct {
	const char *name;
	enum luks_segment_flag flag;
} flags[] = {
	{ "backup-previous", LUKS_SEGMENT_BACKUP_PREVIOUS },
	{ "backup-final", LUKS_SEGMENT_BACKUP_FINAL },
	{ "backup-moved-segment", LUKS_SEGMENT_BACKUP_MOVED },
	{ "in-reencryption", LUKS_SEGMENT_IN_REENCRYPTION },
};

static uint32_t flag_bit(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
		if (!strcmp(name, flags[i].name))
			return flags[i].flag;
	return LUKS_SEGMENT_OTHER_FLAG;
}

static int read_flags(const struct json_at *at, struct luks_segment *ret, struct err *e)
{
	struct json_object *a;
	int r;

	r = json_get_array(at, "flags", &a, e);
	if (r || !a)
		return r;
	for (size_t i = 0; i < json_object_array_length(a); i++) {
		const char *name = json_object_get_string(json_object_array_get_idx(a, i));

		ret->flags |= flag_bit(name);
		if (!strncmp(name, "backup-", strlen("backup-")))
			ret->backup = true;
	}
	return 0;
}

static int read_range(const struct json_at *at, struct luks_segment *ret, struct err *e)
{
	char size[32];
	uint64_t end;
	int r;

	r = json_get_u64(at, "offset", &ret->offset_bytes, e);
	if (!r && ret->offset_bytes % SECTOR_SIZE_BYTES)
		r = json_bad(at, "offset", e, "%llu is no multiple of 512",
			     (unsigned long long)ret->offset_bytes);
	if (!r)
		r = json_get_text(at, "size", size, sizeof(size), e);
	if (r)
		return r;
	ret->dynamic = !strcmp(size, "dynamic");
	if (ret->dynamic)
		return 0;
	r = json_get_u64(at, "size", &ret->size_bytes, e);
	if (r)
		return r;
	if (ret->size_bytes == 0 || ret->size_bytes % SECTOR_SIZE_BYTES)
		return json_bad(at, "size", e, "%s is no multiple of 512 above 0", size);
	if (__builtin_add_overflow(ret->offset_bytes, ret->size_bytes, &end))
		return json_odd(at, "size", "%s ends beyond 2^64", size);
	return 0;
}

static int read_integrity(const struct json_at *segment, struct luks_segment *ret, struct err *e)
{
	struct json_at at;
	int r;

	ret->integrity = json_has(segment, "integrity");
	if (!ret->integrity)
		return 0;
	r = json_get_object(segment, "integrity", "integrity.", &at, e);
	if (!r)
		r = json_get_text(&at, "type", ret->integrity_type, sizeof(ret->integrity_type), e);
	if (!r)
		r = json_get_text(&at, "journal_encryption", ret->integrity_journal_encryption,
				  sizeof(ret->integrity_journal_encryption), e);
	if (!r)
		r = json_get_text(&at, "journal_integrity", ret->integrity_journal_integrity,
				  sizeof(ret->integrity_journal_integrity), e);
	if (!r && json_has(&at, "key_size"))
		r = json_get_u32(&at, "key_size", &ret->integrity_key_bytes, e);
	if (!r && ret->integrity_key_bytes > CRYPTO_KEY_MAX_BYTES)
		r = json_bad(&at, "key_size", e, "%u is over the limit of %u",
			     ret->integrity_key_bytes, CRYPTO_KEY_MAX_BYTES);
	return r;
}

static int read_crypt(const struct json_at *at, struct luks_segment *ret, struct err *e)
{
	struct crypto_cipher c;
	uint32_t sector;
	int r;

	r = json_get_u64(at, "iv_tweak", &ret->iv_tweak, e);
	if (!r)
		r = json_odd_text(at, "encryption", ret->encryption, sizeof(ret->encryption), e);
	if (r)
		return r;
	if (crypto_cipher_parse(ret->encryption, &c, NULL))
		json_odd(at, "encryption", "\"%s\" is no cipher specification", ret->encryption);
	r = json_get_u32(at, "sector_size", &sector, e);
	if (r)
		return r;
	if (sector == 0 || sector % SECTOR_SIZE_BYTES)
		return json_bad(at, "sector_size", e, "%u is none of 512, 1024, 2048, 4096",
				sector);
	/* What the kernel takes (dm-crypt's sector_size). */
	if (sector != 512 && sector != 1024 && sector != 2048 && sector != 4096)
		json_odd(at, "sector_size", "%u is none of 512, 1024, 2048, 4096", sector);
	if (ret->size_bytes % sector)
		return json_bad(at, "size", e, "%llu is no multiple of the sector size %u",
				(unsigned long long)ret->size_bytes, sector);
	ret->sector_size_bytes = sector;
	return read_integrity(at, ret, e);
}

static int check_opal(const struct json_at *at, const struct luks_segment *s, struct err *e)
{
	uint64_t locking_bytes;
	uint32_t number, key_bytes;
	int r;

	if (s->dynamic)
		return json_bad(at, "size", e, "can't be dynamic for %s", s->type_name);
	r = json_get_u32(at, "opal_segment_number", &number, e);
	if (!r)
		r = json_get_u32(at, "opal_key_size", &key_bytes, e);
	if (!r && key_bytes > CRYPTO_KEY_MAX_BYTES)
		r = json_bad(at, "opal_key_size", e, "%u is over the limit of %u", key_bytes,
			     CRYPTO_KEY_MAX_BYTES);
	if (!r)
		r = json_get_u64(at, "opal_segment_size", &locking_bytes, e);
	if (!r && locking_bytes < s->size_bytes)
		r = json_bad(at, "opal_segment_size", e, "%llu is less than the segment's size",
			     (unsigned long long)locking_bytes);
	return r;
}

int metadata_read_segment(const struct json_at *at, struct luks_segment *ret, struct err *e)
{
	int r;

	r = json_get_text(at, "type", ret->type_name, sizeof(ret->type_name), e);
	if (!r)
		r = read_range(at, ret, e);
	if (!r)
		r = read_flags(at, ret, e);
	if (r)
		return r;
	ret->type = LUKS_SEGMENT_UNKNOWN;
	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (!strcmp(ret->type_name, types[i].name))
			ret->type = types[i].type;
	if (ret->type == LUKS_SEGMENT_CRYPT || ret->type == LUKS_SEGMENT_OPAL_CRYPT)
		r = read_crypt(at, ret, e);
	if (!r && (ret->type == LUKS_SEGMENT_OPAL || ret->type == LUKS_SEGMENT_OPAL_CRYPT))
		r = check_opal(at, ret, e);
	return r;
}

int metadata_put_segment(struct json_object *obj, const struct luks_segment *s)
{
	int r;

	r = json_put_text(obj, "type", s->type_name);
	if (!r)
		r = json_put_u64(obj, "offset", s->offset_bytes);
	if (!r)
		r = s->dynamic ? json_put_text(obj, "size", "dynamic")
			       : json_put_u64(obj, "size", s->size_bytes);
	if (r || (s->type != LUKS_SEGMENT_CRYPT && s->type != LUKS_SEGMENT_OPAL_CRYPT))
		return r;
	r = json_put_u64(obj, "iv_tweak", s->iv_tweak);
	if (!r)
		r = json_put_text(obj, "encryption", s->encryption);
	if (!r)
		r = json_put_u32(obj, "sector_size", s->sector_size_bytes);
	return r;
}
