// SPDX-License-Identifier: Apache-2.0
// Keyslots between JSON and struct luks_keyslot (specification 3.2, checklist 2.5).
#include "metadata_json.h"

/* The KDF types that we know, with the exact set of members that they have (checklist 2.5). */
static const char *const pbkdf2_members[] = { "type", "salt", "hash", "iterations" };
static const char *const argon2_members[] = { "type", "salt", "time", "memory", "cpus" };

static bool is_one_of(const char *s, const char *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(s, list[i]))
			return true;
	return false;
}

/*
 * Other members are leftovers, as of another KDF that was there before: dropped from memory here,
 * as cryptsetup does, and from disk with the next write (checklist 2.3).
 */
static void drop_leftovers(const struct json_at *at, const char *const *names, size_t n)
{
	json_object_object_foreach(at->obj, key, value)
	{
		(void)value;
		if (!is_one_of(key, names, n))
			json_object_object_del(at->obj, key);
	}
}

static int check_limit(const struct json_at *at, const char *name, uint32_t value, uint32_t limit)
{
	if (value > limit)
		return json_odd(at, name, "%u is over the limit of %u", value, limit);
	return 0;
}

static int read_pbkdf2(const struct json_at *at, struct crypto_pbkdf *ret, struct err *e)
{
	int r;

	drop_leftovers(at, pbkdf2_members, ARRAY_SIZE(pbkdf2_members));
	r = json_get_text(at, "hash", ret->hash, sizeof(ret->hash), e);
	if (!r)
		r = json_odd_u32(at, "iterations", &ret->iterations, e);
	if (!r)
		r = check_limit(at, "iterations", ret->iterations, CRYPTO_PBKDF2_MAX_ITERATIONS);
	return r;
}

static int read_argon2(const struct json_at *at, struct crypto_pbkdf *ret, struct err *e)
{
	int r;

	drop_leftovers(at, argon2_members, ARRAY_SIZE(argon2_members));
	r = json_odd_u32(at, "time", &ret->iterations, e);
	if (!r)
		r = json_odd_u32(at, "memory", &ret->memory_kib, e);
	if (!r)
		r = json_odd_u32(at, "cpus", &ret->parallel, e);
	if (!r)
		r = check_limit(at, "time", ret->iterations, CRYPTO_ARGON2_MAX_ITERATIONS);
	if (!r)
		r = check_limit(at, "memory", ret->memory_kib, CRYPTO_ARGON2_MAX_MEMORY_KIB);
	if (!r)
		r = check_limit(at, "cpus", ret->parallel, CRYPTO_ARGON2_OPEN_MAX_PARALLEL);
	return r;
}

/* Where the names are spelled: crypto_pbkdf_type's job, but for a room that must parse without it.
 */
static int read_kdf(const struct json_at *slot, struct luks_keyslot *ret, struct err *e)
{
	char salt[1024];
	struct json_at at;
	int r;

	r = json_get_object(slot, "kdf", "kdf.", &at, e);
	if (!r)
		r = json_get_text(&at, "type", ret->kdf_name, sizeof(ret->kdf_name), e);
	if (!r)
		r = json_get_text(&at, "salt", salt, sizeof(salt), e);
	if (r)
		return r;
	/* Another size than this fails closed: the slot can't be opened. */
	if (!json_get_bytes(&at, "salt", ret->salt, sizeof(ret->salt), &ret->salt_len) ||
	    ret->salt_len != CRYPTO_SALT_BYTES)
		ret->salt_len = 0;
	if (crypto_pbkdf_type(ret->kdf_name, &ret->kdf.type))
		return 0; /* unknown: loads, never opens */
	return ret->kdf.type == CRYPTO_PBKDF2 ? read_pbkdf2(&at, &ret->kdf, e)
					      : read_argon2(&at, &ret->kdf, e);
}

static int read_af(const struct json_at *slot, struct luks_keyslot *ret, struct err *e)
{
	struct json_at at;
	uint32_t stripes;
	char type[32];
	int r;

	r = json_get_object(slot, "af", "af.", &at, e);
	if (!r)
		r = json_get_text(&at, "type", type, sizeof(type), e);
	if (r)
		return r;
	if (strcmp(type, "luks1") != 0)
		return json_bad(&at, "type", e, "\"%s\" isn't known", type);
	r = json_get_u32(&at, "stripes", &stripes, e);
	if (r)
		return r;
	if (stripes != LUKS_AF_STRIPES)
		json_odd(&at, "stripes", "%u is not %u", stripes, LUKS_AF_STRIPES);
	return json_get_text(&at, "hash", ret->af_hash, sizeof(ret->af_hash), e);
}

static int check_cipher(const struct json_at *at, const char *spec)
{
	struct crypto_cipher c;

	if (crypto_cipher_parse(spec, &c, NULL))
		return json_odd(at, "encryption", "\"%s\" is no cipher specification", spec);
	return 0;
}

static int check_key_bytes(const struct json_at *at, uint32_t bytes)
{
	if (bytes == 0)
		return json_odd(at, "key_size", "is 0");
	return check_limit(at, "key_size", bytes, CRYPTO_KEY_MAX_BYTES);
}

static int read_luks2(const struct json_at *slot, const struct json_at *area,
		      struct luks_keyslot *ret, struct err *e)
{
	int r;

	r = check_key_bytes(slot, ret->key_bytes);
	if (!r)
		r = read_kdf(slot, ret, e);
	if (!r)
		r = read_af(slot, ret, e);
	if (r)
		return r;
	if (strcmp(ret->area_type, "raw") != 0)
		return json_bad(area, "type", e, "\"%s\" is not \"raw\"", ret->area_type);
	r = json_odd_text(area, "encryption", ret->area_encryption, sizeof(ret->area_encryption),
			  e);
	if (!r)
		r = check_cipher(area, ret->area_encryption);
	if (!r)
		r = json_get_u32(area, "key_size", &ret->area_key_bytes, e);
	if (!r)
		r = check_key_bytes(area, ret->area_key_bytes);
	return r;
}

/* The members of the resilience types (specification 3.2.3). */
static int check_resilience(const struct json_at *area, const char *type, struct err *e)
{
	uint32_t sector_bytes;
	uint64_t shift_bytes;
	char hash[32];
	int r = 0;

	if (!strcmp(type, "checksum") || !strcmp(type, "datashift-checksum")) {
		r = json_get_text(area, "hash", hash, sizeof(hash), e);
		if (!r)
			r = json_get_u32(area, "sector_size", &sector_bytes, e);
		if (!r && (sector_bytes < 512 || (sector_bytes & (sector_bytes - 1))))
			r = json_bad(area, "sector_size", e, "%u is no power of 2 from 512 on",
				     sector_bytes);
	}
	if (!r && !strncmp(type, "datashift", strlen("datashift"))) {
		r = json_get_u64(area, "shift_size", &shift_bytes, e);
		if (!r && (shift_bytes == 0 || shift_bytes % SECTOR_SIZE_BYTES))
			r = json_bad(area, "shift_size", e, "%llu is no multiple of 512 above 0",
				     (unsigned long long)shift_bytes);
	}
	return r;
}

static int read_reencrypt(const struct json_at *slot, const struct json_at *area,
			  struct luks_keyslot *ret, struct err *e)
{
	static const char *const modes[] = { "reencrypt", "encrypt", "decrypt" };
	static const char *const directions[] = { "forward", "backward" };
	static const char *const types[] = { "none",
					     "journal",
					     "checksum",
					     "datashift",
					     "datashift-checksum",
					     "datashift-journal" };
	int r;

	if (ret->key_bytes != 1)
		return json_bad(slot, "key_size", e, "%u is not 1", ret->key_bytes);
	r = json_get_text(slot, "mode", ret->reencrypt_mode, sizeof(ret->reencrypt_mode), e);
	if (!r && !is_one_of(ret->reencrypt_mode, modes, ARRAY_SIZE(modes)))
		r = json_bad(slot, "mode", e, "\"%s\" isn't known", ret->reencrypt_mode);
	if (!r)
		r = json_get_text(slot, "direction", ret->reencrypt_direction,
				  sizeof(ret->reencrypt_direction), e);
	if (!r && !is_one_of(ret->reencrypt_direction, directions, ARRAY_SIZE(directions)))
		r = json_bad(slot, "direction", e, "\"%s\" isn't known", ret->reencrypt_direction);
	if (!r && !is_one_of(ret->area_type, types, ARRAY_SIZE(types)))
		r = json_odd(area, "type", "\"%s\" isn't known", ret->area_type);
	if (!r)
		r = check_resilience(area, ret->area_type, e);
	return r;
}

static int read_priority(const struct json_at *at, struct luks_keyslot *ret)
{
	uint32_t priority;
	struct err why;

	ret->priority = LUKS_PRIORITY_NORMAL;
	ret->priority_set = json_has(at, "priority");
	if (!ret->priority_set)
		return 0;
	/* Of another type it is none to cryptsetup. */
	if (json_odd_u32(at, "priority", &priority, &why))
		return json_odd(at, "priority", "%s", strstr(err_text(&why), "is of"));
	if (priority > LUKS_PRIORITY_PREFER)
		return json_odd(at, "priority", "%u is none of 0, 1, 2", priority);
	ret->priority = (enum luks_priority)priority;
	return 0;
}

int metadata_read_keyslot(const struct json_at *at, struct luks_keyslot *ret, struct err *e)
{
	struct json_at area;
	int r;

	r = json_odd_text(at, "type", ret->type_name, sizeof(ret->type_name), e);
	if (!r)
		r = json_get_u32(at, "key_size", &ret->key_bytes, e);
	if (!r)
		r = read_priority(at, ret);
	if (!r)
		r = json_get_object(at, "area", "area.", &area, e);
	if (!r)
		r = json_get_text(&area, "type", ret->area_type, sizeof(ret->area_type), e);
	if (!r)
		r = json_get_u64(&area, "offset", &ret->area_offset_bytes, e);
	if (!r)
		r = json_get_u64(&area, "size", &ret->area_size_bytes, e);
	if (r)
		return r;
	if (!strcmp(ret->type_name, "luks2")) {
		ret->type = LUKS_KEYSLOT_LUKS2;
		return read_luks2(at, &area, ret, e);
	}
	if (!strcmp(ret->type_name, "reencrypt")) {
		ret->type = LUKS_KEYSLOT_REENCRYPT;
		return read_reencrypt(at, &area, ret, e);
	}
	ret->type = LUKS_KEYSLOT_UNKNOWN;
	return 0;
}

/* ---- writing ---- */

static int put_af(struct json_object *obj, const struct luks_keyslot *k)
{
	struct json_object *af;
	int r;

	r = json_put_object(obj, "af", &af);
	if (!r)
		r = json_put_text(af, "type", "luks1");
	if (!r)
		r = json_put_u32(af, "stripes", LUKS_AF_STRIPES);
	if (!r)
		r = json_put_text(af, "hash", k->af_hash);
	return r;
}

static int put_area(struct json_object *obj, const struct luks_keyslot *k)
{
	struct json_object *area;
	int r;

	r = json_put_object(obj, "area", &area);
	if (!r)
		r = json_put_text(area, "type", k->area_type);
	if (!r)
		r = json_put_u64(area, "offset", k->area_offset_bytes);
	if (!r)
		r = json_put_u64(area, "size", k->area_size_bytes);
	if (r || k->type != LUKS_KEYSLOT_LUKS2)
		return r;
	r = json_put_text(area, "encryption", k->area_encryption);
	if (!r)
		r = json_put_u32(area, "key_size", k->area_key_bytes);
	return r;
}

/* The object to put the KDF into: a new one where the type changes, since the set of members does.
 */
static int kdf_object(struct json_object *obj, const char *type, struct json_object **ret)
{
	struct json_object *kdf, *old;
	int r;

	if (json_object_object_get_ex(obj, "kdf", &kdf) &&
	    json_object_object_get_ex(kdf, "type", &old) &&
	    strcmp(json_object_get_string(old), type) != 0)
		json_object_object_del(obj, "kdf");
	r = json_put_object(obj, "kdf", &kdf);
	if (!r)
		r = json_put_text(kdf, "type", type);
	if (!r)
		*ret = kdf;
	return r;
}

static int put_kdf(struct json_object *obj, const struct luks_keyslot *k)
{
	struct json_object *kdf;
	int r;

	r = kdf_object(obj, k->kdf_name, &kdf);
	if (r)
		return r;
	if (k->kdf.type == CRYPTO_PBKDF2) {
		r = json_put_text(kdf, "hash", k->kdf.hash);
		if (!r)
			r = json_put_u32(kdf, "iterations", k->kdf.iterations);
	} else if (k->kdf.type) {
		r = json_put_u32(kdf, "time", k->kdf.iterations);
		if (!r)
			r = json_put_u32(kdf, "memory", k->kdf.memory_kib);
		if (!r)
			r = json_put_u32(kdf, "cpus", k->kdf.parallel);
	}
	/* Without a usable salt what stood there stays. */
	if (!r && k->salt_len)
		r = json_put_bytes(kdf, "salt", k->salt, k->salt_len);
	return r;
}

int metadata_put_keyslot(struct json_object *obj, const struct luks_keyslot *k)
{
	int r;

	r = json_put_text(obj, "type", k->type_name);
	if (!r)
		r = json_put_u32(obj, "key_size", k->key_bytes);
	if (!r && k->type == LUKS_KEYSLOT_LUKS2)
		r = put_af(obj, k);
	if (!r)
		r = put_area(obj, k);
	if (!r && k->type == LUKS_KEYSLOT_LUKS2)
		r = put_kdf(obj, k);
	if (r)
		return r;
	if (k->priority_set)
		return json_put_u32(obj, "priority", (uint32_t)k->priority);
	json_object_object_del(obj, "priority");
	return 0;
}
