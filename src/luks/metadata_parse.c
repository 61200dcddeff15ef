// SPDX-License-Identifier: Apache-2.0
// The JSON area to the typed header: five sections of numbered objects, each read once
// (specification 3, checklist 2.3).
#include "metadata_json.h"

#include <stdio.h>

/* Decimal digits or nothing: what cryptsetup takes as a number, though it can reach only some. */
static bool is_numberlike(const char *key)
{
	return key[strspn(key, "0123456789")] == '\0';
}

/*
 * An object whose number is from the limits on, or isn't spelled as one: left out, and the header
 * is only shown. A keyslot, segment or digest that no rule looks at could hide an area or an
 * overlap. No known writer makes one. 1: left out. @h NULL: refused, as cryptsetup does with
 * segments.
 */
static int object_number(const char *kind, const char *key, unsigned int max, struct luks_header *h,
			 unsigned int *ret, struct err *e)
{
	if (!json_number(key, max, ret))
		return 0;
	if (!h || !is_numberlike(key))
		return err_set(e, -EBADMSG, "%ss: \"%.32s\" is no number of 0 ... %u", kind, key,
			       max - 1);
	if (!h->unusable[0])
		snprintf(h->unusable, sizeof(h->unusable),
			 "%ss: \"%.32s\" is no number of 0 ... %u", kind, key, max - 1);
	return 1;
}

static int object_at(const char *kind, unsigned int id, struct json_object *o,
		     struct luks_header *h, struct json_at *ret, struct err *e)
{
	*ret = (struct json_at){ o, kind, (int)id, "", h->unusable };
	if (!json_object_is_type(o, json_type_object))
		return err_set(e, -EBADMSG, "%s %u: is no object", kind, id);
	return 0;
}

static int read_keyslots(struct json_object *section, struct luks_header *h, struct err *e)
{
	int r;

	json_object_object_foreach(section, key, o)
	{
		struct luks_keyslot k = { .raw = o };
		struct json_at at;

		r = object_number("keyslot", key, LUKS_KEYSLOTS_MAX, h, &k.id, e);
		if (r == 1)
			continue;
		if (!r)
			r = object_at("keyslot", k.id, o, h, &at, e);
		if (!r)
			r = metadata_read_keyslot(&at, &k, e);
		if (r)
			return r;
		h->keyslots[h->n_keyslots++] = k;
	}
	return 0;
}

static int read_tokens(struct json_object *section, struct luks_header *h, struct err *e)
{
	int r;

	json_object_object_foreach(section, key, o)
	{
		struct luks_token t = { .raw = o };
		struct json_at at;

		r = object_number("token", key, LUKS_TOKENS_MAX, h, &t.id, e);
		if (r == 1)
			continue;
		if (!r)
			r = object_at("token", t.id, o, h, &at, e);
		if (!r)
			r = metadata_read_token(&at, &t, e);
		if (r)
			return r;
		h->tokens[h->n_tokens++] = t;
	}
	return 0;
}

static int read_segments(struct json_object *section, struct luks_header *h, struct err *e)
{
	int r;

	json_object_object_foreach(section, key, o)
	{
		struct luks_segment s = { .raw = o };
		struct json_at at;

		r = object_number("segment", key, LUKS_SEGMENTS_MAX, NULL, &s.id, e);
		if (!r)
			r = object_at("segment", s.id, o, h, &at, e);
		if (!r)
			r = metadata_read_segment(&at, &s, e);
		if (r)
			return r;
		h->segments[h->n_segments++] = s;
	}
	return 0;
}

static int read_digests(struct json_object *section, struct luks_header *h, struct err *e)
{
	int r;

	json_object_object_foreach(section, key, o)
	{
		struct luks_digest d = { .raw = o };
		struct json_at at;

		r = object_number("digest", key, LUKS_DIGESTS_MAX, h, &d.id, e);
		if (r == 1)
			continue;
		if (!r)
			r = object_at("digest", d.id, o, h, &at, e);
		if (!r)
			r = metadata_read_digest(&at, &d, e);
		if (r)
			return r;
		h->digests[h->n_digests++] = d;
	}
	return 0;
}

static int read_config(struct json_object *section, struct luks_header *h, struct err *e)
{
	const struct json_at at = { section, "config", -1, "", h->unusable };

	return metadata_read_config(&at, h, e);
}

/* In the order in which they stand in an error: what others refer to comes first. */
static const struct {
	const char *name;
	int (*read)(struct json_object *section, struct luks_header *h, struct err *e);
} sections[] = {
	{ "config", read_config },     { "tokens", read_tokens },     { "digests", read_digests },
	{ "segments", read_segments }, { "keyslots", read_keyslots },
};

static int read_sections(struct json_object *root, struct luks_header *h, struct err *e)
{
	for (size_t i = 0; i < ARRAY_SIZE(sections); i++) {
		struct json_object *o;
		int r;

		if (!json_object_object_get_ex(root, sections[i].name, &o))
			return err_set(e, -EBADMSG, "%s: is missing", sections[i].name);
		if (!json_object_is_type(o, json_type_object))
			return err_set(e, -EBADMSG, "%s: is no object", sections[i].name);
		r = sections[i].read(o, h, e);
		if (r)
			return r;
	}
	return 0;
}

void luks_metadata_drop(struct luks_header *h)
{
	json_object_put(h->raw);
	h->raw = NULL;
	h->n_keyslots = h->n_digests = h->n_segments = h->n_tokens = 0;
}

int luks_metadata_parse(const char *text, size_t len, struct luks_header *h, struct err *e)
{
	struct json_object *root;
	struct err odd;
	int r;

	r = metadata_from_text(text, len, &root, &odd, e);
	if (r)
		return r;
	luks_metadata_drop(h);
	h->raw = root;
	snprintf(h->unusable, sizeof(h->unusable), "%s", odd.code ? err_text(&odd) : "");
	h->flags = h->requirements = 0;
	memset(h->unknown_requirement, 0, sizeof(h->unknown_requirement));
	r = read_sections(root, h, e);
	if (r)
		luks_metadata_drop(h);
	return r;
}
