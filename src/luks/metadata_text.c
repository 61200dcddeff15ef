// SPDX-License-Identifier: Apache-2.0
// JSON text to tree and back. What no known writer produces (comments, single quotes, trailing
// commas, a member twice) is read for a look only (checklist 2.3).
#include "metadata_json.h"

#define JSON_DEPTH_MAX 32 /* cryptsetup's json-c default */

/* What json-c doesn't refuse even when strict, or would write back as something else. */
struct scan {
	size_t members; /* a colon outside of a string stands behind each member's name */
	const char *bad;
};

/* Digits from @s on: an integer beyond 64 bits would be cut to the nearest one. */
static bool integer_fits(const char *s, const char *end, bool negative)
{
	const char *limit = negative ? "9223372036854775808" : "18446744073709551615";
	size_t n = 0;

	while (s + n < end && s[n] >= '0' && s[n] <= '9')
		n++;
	if (s + n < end && (s[n] == '.' || s[n] == 'e' || s[n] == 'E'))
		return true;
	return n < strlen(limit) || (n == strlen(limit) && strncmp(s, limit, n) <= 0);
}

/* A string from behind its first quote; returns the last one's place. */
static const char *scan_string(const char *p, const char *end, struct scan *s)
{
	for (; p < end && *p != '"'; p++) {
		if (*p != '\\')
			continue;
		if (end - ++p >= 5 && !memcmp(p, "u0000", 5))
			s->bad = "a string has a NUL character";
	}
	return p;
}

static struct scan scan_text(const char *text, size_t len)
{
	const char *end = text + len;
	struct scan s = { 0 };
	char before = 0;

	if (text[len - 1] != '}')
		s.bad = "the area doesn't end with the object";
	for (const char *p = text; p < end; before = *p++) {
		if (*p == '"')
			p = scan_string(p + 1, end, &s);
		else if (*p == ':')
			s.members++;
		else if (*p == '\'')
			s.bad = "single quotes";
		else if (*p >= '0' && *p <= '9' && (!before || !strchr("0123456789.", before)) &&
			 !integer_fits(p, end, before == '-'))
			s.bad = "an integer is beyond 64 bits";
		if (p >= end)
			break;
	}
	return s;
}

/* Depth is bounded by the parser. */
static size_t count_members(struct json_object *o)
{
	size_t n = 0;

	if (json_object_is_type(o, json_type_object)) {
		json_object_object_foreach(o, key, value)
		{
			(void)key;
			n += 1 + count_members(value);
		}
	} else if (json_object_is_type(o, json_type_array)) {
		for (size_t i = 0; i < json_object_array_length(o); i++)
			n += count_members(json_object_array_get_idx(o, i));
	}
	return n;
}

/* A parse with these flags; *ret_end: where it ended. */
static int parse_text(const char *text, size_t len, int flags, struct json_object **ret,
		      size_t *ret_end, struct err *e)
{
	struct json_tokener *tok = json_tokener_new_ex(JSON_DEPTH_MAX);
	enum json_tokener_error bad;
	struct json_object *root;

	if (!tok)
		return err_set(e, -ENOMEM, "no memory for the JSON parser");
	json_tokener_set_flags(tok, flags);
	root = json_tokener_parse_ex(tok, text, (int)len);
	bad = json_tokener_get_error(tok);
	*ret_end = json_tokener_get_parse_end(tok);
	json_tokener_free(tok);
	if (bad == json_tokener_success && json_object_is_type(root, json_type_object)) {
		*ret = root;
		return 0;
	}
	json_object_put(root);
	if (bad == json_tokener_continue)
		return err_set(e, -EBADMSG, "JSON: the text ends before the object does");
	return err_set(e, -EBADMSG, "JSON: %s at byte %zu", json_tokener_error_desc(bad), *ret_end);
}

/* Strict; -EBADMSG where json-c reads it in its own way, or not at all. */
static int parse_strict(const char *text, size_t len, struct json_object **ret, struct err *e)
{
	struct json_object *root = NULL;
	struct scan s;
	size_t end;
	int r;

	r = parse_text(text, len, JSON_TOKENER_STRICT, &root, &end, e);
	if (r)
		return r;
	s = scan_text(text, len);
	/* json-c keeps the last of two members of one name. */
	if (!s.bad && s.members != count_members(root))
		s.bad = "an object has a member twice";
	if (s.bad) {
		json_object_put(root);
		return err_set(e, -EBADMSG, "JSON: %s", s.bad);
	}
	*ret = root;
	return 0;
}

int metadata_from_text(const char *text, size_t len, struct json_object **ret, struct err *ret_odd,
		       struct err *e)
{
	struct json_object *root = NULL;
	struct err why;
	size_t end = 0;
	int r;

	if (len == 0 || text[0] != '{')
		return err_set(e, -EBADMSG, "JSON: the area doesn't begin with '{'");
	err_clear(ret_odd);
	r = parse_strict(text, len, ret, &why);
	if (r != -EBADMSG)
		return r ? err_set(e, r, "%s", err_text(&why)) : 0;
	if (parse_text(text, len, 0, &root, &end, NULL))
		return err_set(e, -EBADMSG, "%s", err_text(&why));
	while (end < len && strchr(" \t\r\n", text[end]))
		end++;
	if (end < len) {
		json_object_put(root);
		return err_set(e, -EBADMSG, "%s", err_text(&why));
	}
	*ret_odd = why;
	*ret = root;
	return 0;
}

int metadata_to_text(struct json_object *root, bool pretty, char **ret, size_t *ret_len,
		     struct err *e)
{
	const char *text;
	size_t len;
	char *copy;

	text = json_object_to_json_string_length(
		root,
		(pretty ? JSON_C_TO_STRING_PRETTY : JSON_C_TO_STRING_PLAIN) |
			JSON_C_TO_STRING_NOSLASHESCAPE,
		&len);
	copy = text ? malloc(len + 1) : NULL;
	if (!copy)
		return err_set(e, -ENOMEM, "no memory for the JSON text");
	memcpy(copy, text, len + 1);
	*ret = copy;
	if (ret_len)
		*ret_len = len;
	return 0;
}
