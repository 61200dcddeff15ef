// SPDX-License-Identifier: Apache-2.0
// JSON text to tree and back. Strict: what no known writer produces (comments, single quotes,
// trailing commas, a member twice) is refused (checklist 2.3).
#include "metadata_json.h"

#define JSON_DEPTH_MAX 32 /* cryptsetup's json-c default */

/*
 * In strict JSON a colon outside of a string stands behind each member's name, and nowhere else.
 * *ret_nul: a string has the escape of NUL in it, at which json-c would cut a name.
 */
static size_t count_colons(const char *text, size_t len, bool *ret_nul)
{
	bool in_string = false;
	size_t n = 0;

	*ret_nul = false;
	for (size_t i = 0; i < len; i++) {
		if (in_string && text[i] == '\\') {
			i++;
			if (len - i >= 5 && !memcmp(text + i, "u0000", 5))
				*ret_nul = true;
		} else if (text[i] == '"')
			in_string = !in_string;
		else if (!in_string && text[i] == ':')
			n++;
	}
	return n;
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

static int parse_text(struct json_tokener *tok, const char *text, size_t len,
		      struct json_object **ret, struct err *e)
{
	enum json_tokener_error bad;
	struct json_object *root;

	json_tokener_set_flags(tok, JSON_TOKENER_STRICT);
	root = json_tokener_parse_ex(tok, text, (int)len);
	bad = json_tokener_get_error(tok);
	if (bad == json_tokener_success && json_object_is_type(root, json_type_object)) {
		*ret = root;
		return 0;
	}
	json_object_put(root);
	if (bad == json_tokener_continue)
		return err_set(e, -EBADMSG, "JSON: the text ends before the object does");
	return err_set(e, -EBADMSG, "JSON: %s at byte %zu", json_tokener_error_desc(bad),
		       json_tokener_get_parse_end(tok));
}

int metadata_from_text(const char *text, size_t len, struct json_object **ret, struct err *e)
{
	struct json_object *root = NULL;
	struct json_tokener *tok;
	size_t members;
	bool nul;
	int r;

	if (len == 0 || text[0] != '{')
		return err_set(e, -EBADMSG, "JSON: the area doesn't begin with '{'");
	tok = json_tokener_new_ex(JSON_DEPTH_MAX);
	if (!tok)
		return err_set(e, -ENOMEM, "no memory for the JSON parser");
	r = parse_text(tok, text, len, &root, e);
	json_tokener_free(tok);
	if (r)
		return r;
	members = count_colons(text, len, &nul);
	/* json-c keeps the last of two members of one name. */
	if (nul || members != count_members(root)) {
		json_object_put(root);
		return err_set(e, -EBADMSG,
			       nul ? "JSON: a string has a NUL character in it"
				   : "JSON: an object has a member twice");
	}
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
