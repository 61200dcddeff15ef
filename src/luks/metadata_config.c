// SPDX-License-Identifier: Apache-2.0
// The config object: sizes, persistent flags, mandatory requirements (specification 3.5, checklist
// 2.4).
#include "metadata_json.h"

static const struct {
	const char *name;
	enum luks_flag flag;
} flags[] = {
	{ "allow-discards", LUKS_FLAG_ALLOW_DISCARDS },
	{ "same-cpu-crypt", LUKS_FLAG_SAME_CPU_CRYPT },
	{ "submit-from-crypt-cpus", LUKS_FLAG_SUBMIT_FROM_CRYPT_CPUS },
	{ "no-journal", LUKS_FLAG_NO_JOURNAL },
	{ "no-read-workqueue", LUKS_FLAG_NO_READ_WORKQUEUE },
	{ "no-write-workqueue", LUKS_FLAG_NO_WRITE_WORKQUEUE },
	{ "high_priority", LUKS_FLAG_HIGH_PRIORITY },
};

static const struct {
	const char *name;
	enum luks_requirement requirement;
} requirements[] = {
	{ "offline-reencrypt", LUKS_REQ_OFFLINE_REENCRYPT },
	{ "online-reencrypt", LUKS_REQ_ONLINE_REENCRYPT },
	{ "online-reencrypt-v2", LUKS_REQ_ONLINE_REENCRYPT },
	{ "online-reencrypt-v3", LUKS_REQ_ONLINE_REENCRYPT },
	{ "inline-hw-tags", LUKS_REQ_INLINE_HW_TAGS },
	{ "opal", LUKS_REQ_OPAL },
};

const char *luks_flag_name(unsigned int bit)
{
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
		if ((unsigned int)flags[i].flag == bit)
			return flags[i].name;
	return NULL;
}

/* The bit of a flag's name; 0 for one that we don't know. */
static uint32_t flag_bit(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
		if (!strcmp(name, flags[i].name))
			return flags[i].flag;
	return 0;
}

static uint32_t flag_bits(struct json_object *a)
{
	uint32_t bits = 0;

	for (size_t i = 0; a && i < json_object_array_length(a); i++)
		bits |= flag_bit(json_object_get_string(json_object_array_get_idx(a, i)));
	return bits;
}

static void read_requirement(const char *name, struct luks_header *ret)
{
	for (size_t i = 0; i < ARRAY_SIZE(requirements); i++)
		if (!strcmp(name, requirements[i].name)) {
			ret->requirements |= requirements[i].requirement;
			return;
		}
	if (!(ret->requirements & LUKS_REQ_UNKNOWN)) {
		size_t n = strnlen(name, sizeof(ret->unknown_requirement) - 1);

		for (size_t i = 0; i < n; i++)
			ret->unknown_requirement[i] = (name[i] < 0x20 || name[i] > 0x7e) ? '?'
											 : name[i];
		ret->unknown_requirement[n] = '\0';
	}
	ret->requirements |= LUKS_REQ_UNKNOWN;
}

static int read_requirements(const struct json_at *config, struct luks_header *ret, struct err *e)
{
	struct json_object *a;
	struct json_at at;
	size_t online = 0;
	int r;

	if (!json_has(config, "requirements"))
		return 0;
	r = json_get_object(config, "requirements", "requirements.", &at, e);
	if (!r)
		r = json_get_array(&at, "mandatory", &a, e);
	if (r)
		return r;
	for (size_t i = 0; a && i < json_object_array_length(a); i++) {
		const char *name = json_object_get_string(json_object_array_get_idx(a, i));

		read_requirement(name, ret);
		if (!strncmp(name, "online-reencrypt", strlen("online-reencrypt")) && online++)
			return json_bad(&at, "mandatory", e, "more than one online-reencrypt");
	}
	return 0;
}

/* A sign or blanks before the digits: cryptsetup reads these two with strtoull. */
static int read_size(const struct json_at *at, const char *name, uint64_t *ret, struct err *e)
{
	const char *digits;
	char text[32];
	int r;

	r = json_get_u64(at, name, ret, e);
	if (!r || json_get_text(at, name, text, sizeof(text), NULL))
		return r;
	digits = text + strspn(text, " ");
	digits += *digits == '+';
	if (text_parse_u64(digits, ret))
		return r;
	err_clear(e);
	return json_odd(at, name, "\"%s\" is no unsigned decimal number", text);
}

int metadata_read_config(const struct json_at *at, struct luks_header *ret, struct err *e)
{
	struct json_object *a;
	int r;

	r = read_size(at, "json_size", &ret->json_bytes, e);
	if (!r)
		r = read_size(at, "keyslots_size", &ret->keyslots_bytes, e);
	if (!r)
		r = json_get_array(at, "flags", &a, e);
	if (r)
		return r;
	ret->flags = flag_bits(a);
	return read_requirements(at, ret, e);
}

/* Flags that we don't know stay; known ones are dropped or kept in place, new ones go behind. */
static int put_flags(struct json_object *obj, uint32_t want)
{
	struct json_object *old = NULL, *new;

	json_object_object_get_ex(obj, "flags", &old);
	if (flag_bits(old) == want)
		return 0;
	new = json_object_new_array();
	if (!new)
		return -ENOMEM;
	for (size_t i = 0; old && i < json_object_array_length(old); i++) {
		struct json_object *o = json_object_array_get_idx(old, i);
		uint32_t bit = flag_bit(json_object_get_string(o));

		if (bit && !(want & bit))
			continue;
		want &= ~bit;
		if (json_object_array_add(new, json_object_get(o)))
			goto no_memory;
	}
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
		if (want & flags[i].flag &&
		    json_object_array_add(new, json_object_new_string(flags[i].name)))
			goto no_memory;
	if (json_object_array_length(new) > 0)
		return json_put_new(obj, "flags", new);
	json_object_object_del(obj, "flags");
	json_object_put(new);
	return 0;
no_memory:
	json_object_put(new);
	return -ENOMEM;
}

int metadata_put_config(struct json_object *obj, const struct luks_header *h)
{
	int r;

	r = json_put_u64(obj, "json_size", h->json_bytes);
	if (!r)
		r = json_put_u64(obj, "keyslots_size", h->keyslots_bytes);
	if (!r)
		r = put_flags(obj, h->flags);
	return r;
}
