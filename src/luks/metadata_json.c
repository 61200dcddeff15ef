// SPDX-License-Identifier: Apache-2.0
// Getters and setters for JSON members: strict types, errors that name object and member.
#include "metadata_json.h"

#include <stdio.h>

int(json_bad)(const struct json_at *at, const char *name, struct err *e, const char *fmt, ...)
{
	char what[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	if (at->id < 0)
		return err_set(e, -EBADMSG, "%s: %s%s: %s", at->kind, at->part, name, what);
	return err_set(e, -EBADMSG, "%s %d: %s%s: %s", at->kind, at->id, at->part, name, what);
}

int json_odd(const struct json_at *at, const char *name, const char *fmt, ...)
{
	char what[192];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	if (at->unusable[0])
		return 0;
	if (at->id < 0)
		snprintf(at->unusable, UNUSABLE_BYTES, "%s: %s%s: %s", at->kind, at->part, name,
			 what);
	else
		snprintf(at->unusable, UNUSABLE_BYTES, "%s %d: %s%s: %s", at->kind, at->id,
			 at->part, name, what);
	return 0;
}

bool json_has(const struct json_at *at, const char *name)
{
	return json_object_object_get_ex(at->obj, name, NULL);
}

static int get_typed(const struct json_at *at, const char *name, enum json_type type,
		     struct json_object **ret, struct err *e)
{
	struct json_object *o;

	if (!json_object_object_get_ex(at->obj, name, &o))
		return json_bad(at, name, e, "is missing");
	if (!json_object_is_type(o, type))
		return json_bad(at, name, e, "is of type %s, not %s",
				json_type_to_name(json_object_get_type(o)),
				json_type_to_name(type));
	*ret = o;
	return 0;
}

/* Printable ASCII: such texts end up in errors, on terminals and in kernel tables. */
static bool text_printable(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (s[i] < 0x20 || s[i] > 0x7e)
			return false;
	return true;
}

int json_get_text(const struct json_at *at, const char *name, char *ret, size_t cap, struct err *e)
{
	struct json_object *o = NULL;
	size_t len;
	int r;

	r = get_typed(at, name, json_type_string, &o, e);
	if (r)
		return r;
	len = (size_t)json_object_get_string_len(o);
	if (len == 0)
		return json_bad(at, name, e, "is empty");
	if (!text_printable(json_object_get_string(o), len))
		return json_bad(at, name, e, "has a byte that isn't printable ASCII");
	if (text_copy(ret, cap, json_object_get_string(o)))
		return json_bad(at, name, e, "%zu characters are over the limit of %zu", len,
				cap - 1);
	return 0;
}

int json_odd_text(const struct json_at *at, const char *name, char *ret, size_t cap, struct err *e)
{
	struct json_object *o = NULL;
	const char *text;
	size_t len;
	int r;

	r = get_typed(at, name, json_type_string, &o, e);
	if (r)
		return r;
	text = json_object_get_string(o);
	len = (size_t)json_object_get_string_len(o);
	if (len == 0)
		return json_bad(at, name, e, "is empty");
	if (!text_printable(text, len))
		json_odd(at, name, "has a byte that isn't printable ASCII");
	else if (len >= cap)
		json_odd(at, name, "%zu characters are over the limit of %zu", len, cap - 1);
	for (len = 0; text[len] && len + 1 < cap; len++)
		ret[len] = text_printable(&text[len], 1) ? text[len] : '?';
	ret[len] = '\0';
	return 0;
}

int json_odd_u32(const struct json_at *at, const char *name, uint32_t *ret, struct err *e)
{
	struct json_object *o = NULL;
	int64_t v;
	int r;

	r = get_typed(at, name, json_type_int, &o, e);
	if (r)
		return r;
	v = json_object_get_int64(o);
	if (v < 0 || v > UINT32_MAX)
		json_odd(at, name, "%s is outside 0 ... 4294967295", json_object_get_string(o));
	*ret = v < 0 ? 0 : v > UINT32_MAX ? UINT32_MAX : (uint32_t)v;
	return 0;
}

int json_get_u32(const struct json_at *at, const char *name, uint32_t *ret, struct err *e)
{
	struct json_object *o = NULL;
	int64_t v;
	int r;

	r = get_typed(at, name, json_type_int, &o, e);
	if (r)
		return r;
	v = json_object_get_int64(o);
	if (v < 0 || v > UINT32_MAX)
		return json_bad(at, name, e, "%s is outside 0 ... 4294967295",
				json_object_get_string(o));
	*ret = (uint32_t)v;
	return 0;
}

int json_get_u64(const struct json_at *at, const char *name, uint64_t *ret, struct err *e)
{
	char text[32];
	int r;

	r = json_get_text(at, name, text, sizeof(text), e);
	if (r)
		return r;
	r = text_parse_u64(text, ret);
	if (r == -ERANGE)
		return json_bad(at, name, e, "%s is over 2^64-1", text);
	if (r)
		return json_bad(at, name, e, "\"%s\" is no unsigned decimal number", text);
	return 0;
}

int json_get_object(const struct json_at *at, const char *name, const char *part,
		    struct json_at *ret, struct err *e)
{
	struct json_object *o = NULL;
	int r;

	r = get_typed(at, name, json_type_object, &o, e);
	if (r)
		return r;
	*ret = (struct json_at){ o, at->kind, at->id, part, at->unusable };
	return 0;
}

int json_get_array(const struct json_at *at, const char *name, struct json_object **ret,
		   struct err *e)
{
	struct json_object *o = NULL;
	int r;

	if (!json_has(at, name)) {
		*ret = NULL;
		return 0;
	}
	r = get_typed(at, name, json_type_array, &o, e);
	if (r)
		return r;
	for (size_t i = 0; i < json_object_array_length(o); i++)
		if (!json_object_is_type(json_object_array_get_idx(o, i), json_type_string))
			return json_bad(at, name, e, "element %zu is no string", i);
	*ret = o;
	return 0;
}

int json_number(const char *key, unsigned int max, unsigned int *ret)
{
	uint32_t v;

	if (text_parse_u32(key, &v) || v >= max || (key[0] == '0' && key[1]))
		return -EINVAL;
	*ret = v;
	return 0;
}

int json_get_refs(const struct json_at *at, const char *name, unsigned int max, uint32_t *ret,
		  struct err *e)
{
	struct json_object *a = NULL;
	uint32_t refs = 0;
	int r;

	r = json_get_array(at, name, &a, e);
	if (r)
		return r;
	if (!a)
		return json_bad(at, name, e, "is missing");
	for (size_t i = 0; i < json_object_array_length(a); i++) {
		struct json_object *o = json_object_array_get_idx(a, i);
		unsigned int n;

		if (json_number(json_object_get_string(o), max, &n))
			return json_bad(at, name, e, "element %zu is no number below %u", i, max);
		refs |= 1u << n;
	}
	*ret = refs;
	return 0;
}

bool json_get_bytes(const struct json_at *at, const char *name, void *ret, size_t cap,
		    size_t *ret_len)
{
	_cleanup_free_ uint8_t *bytes = NULL;
	struct json_object *o;
	size_t len;

	if (!json_object_object_get_ex(at->obj, name, &o) ||
	    !json_object_is_type(o, json_type_string) ||
	    text_base64_decode(json_object_get_string(o), &bytes, &len) || len > cap)
		return false;
	memcpy(ret, bytes, len);
	*ret_len = len;
	return true;
}

int json_put_new(struct json_object *obj, const char *name, struct json_object *value)
{
	if (value && !json_object_object_add(obj, name, value))
		return 0;
	json_object_put(value);
	return -ENOMEM;
}

/* The member, if it is of this type. */
static struct json_object *member(struct json_object *obj, const char *name, enum json_type type)
{
	struct json_object *o;

	if (!json_object_object_get_ex(obj, name, &o) || !json_object_is_type(o, type))
		return NULL;
	return o;
}

int json_put_text(struct json_object *obj, const char *name, const char *value)
{
	struct json_object *o = member(obj, name, json_type_string);

	if (o && !strcmp(json_object_get_string(o), value))
		return 0;
	return json_put_new(obj, name, json_object_new_string(value));
}

int json_put_u32(struct json_object *obj, const char *name, uint32_t value)
{
	struct json_object *o = member(obj, name, json_type_int);

	if (o && json_object_get_int64(o) == (int64_t)value)
		return 0;
	return json_put_new(obj, name, json_object_new_int64((int64_t)value));
}

int json_put_u64(struct json_object *obj, const char *name, uint64_t value)
{
	struct json_object *o = member(obj, name, json_type_string);
	char text[32];
	uint64_t old = 0;

	if (o && !text_parse_u64(json_object_get_string(o), &old) && old == value)
		return 0;
	snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	return json_put_new(obj, name, json_object_new_string(text));
}

int json_put_bytes(struct json_object *obj, const char *name, const void *bytes, size_t len)
{
	_cleanup_free_ char *text = text_base64_encode(bytes, len);

	if (!text)
		return -ENOMEM;
	return json_put_text(obj, name, text);
}

/* Those that stay keep their places; new ones follow in order. */
int json_put_refs(struct json_object *obj, const char *name, uint32_t refs)
{
	struct json_object *old = member(obj, name, json_type_array), *new;
	const struct json_at at = { obj, "", -1, "", (char[UNUSABLE_BYTES]){ 0 } };
	uint32_t have = 0, left = refs;
	unsigned int n;

	if (old && !json_get_refs(&at, name, 32, &have, NULL) && have == refs)
		return 0;
	new = json_object_new_array();
	if (!new)
		return -ENOMEM;
	for (size_t i = 0; old && i < json_object_array_length(old); i++) {
		struct json_object *o = json_object_array_get_idx(old, i);

		if (json_number(json_object_get_string(o), 32, &n) || !(left & 1u << n))
			continue;
		left &= ~(1u << n);
		if (json_object_array_add(new, json_object_get(o)))
			goto no_memory;
	}
	for (n = 0; n < 32; n++) {
		char text[16];

		snprintf(text, sizeof(text), "%u", n);
		if (left & 1u << n && json_object_array_add(new, json_object_new_string(text)))
			goto no_memory;
	}
	return json_put_new(obj, name, new);
no_memory:
	json_object_put(new);
	return -ENOMEM;
}

int json_put_object(struct json_object *obj, const char *name, struct json_object **ret)
{
	struct json_object *o = member(obj, name, json_type_object);
	int r;

	if (!o) {
		o = json_object_new_object();
		r = json_put_new(obj, name, o);
		if (r)
			return r;
	}
	*ret = o;
	return 0;
}
