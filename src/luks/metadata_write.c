// SPDX-License-Identifier: Apache-2.0
// The typed header back to JSON: typed values over the raw objects, so that what we don't know, and
// the order and spelling of what we do, stay as they were.
#include "metadata_json.h"

#include <stdio.h>

/* A section's typed objects, seen the same way for all four kinds. */
struct section {
	const char *name;
	unsigned int max;
	size_t n, stride;
	const char *first; /* the typed array */
	int (*put)(struct json_object *obj, const void *typed);
	struct json_object *(*raw)(const void *typed);
	unsigned int (*id)(const void *typed);
	bool (*pruned)(const void *typed); /* not to be written at all */
};

#define SECTION_FUNCTIONS(kind)                                                     \
	static int put_##kind(struct json_object *obj, const void *typed)           \
	{                                                                           \
		return metadata_put_##kind(obj, (const struct luks_##kind *)typed); \
	}                                                                           \
	static struct json_object *raw_##kind(const void *typed)                    \
	{                                                                           \
		return ((const struct luks_##kind *)typed)->raw;                    \
	}                                                                           \
	static unsigned int id_##kind(const void *typed)                            \
	{                                                                           \
		return ((const struct luks_##kind *)typed)->id;                     \
	}
SECTION_FUNCTIONS(keyslot)
SECTION_FUNCTIONS(token)
SECTION_FUNCTIONS(segment)
SECTION_FUNCTIONS(digest)

/* A digest of nothing is dropped when the header is written (checklist 2.6). */
static bool digest_pruned(const void *typed)
{
	const struct luks_digest *d = typed;

	return !d->keyslots && !d->segments;
}

static bool never_pruned(const void *typed)
{
	(void)typed;
	return false;
}

#define SECTION(kind, MAX, prune)                                                           \
	{                                                                                   \
#kind "s", MAX, h->n_##kind##s, sizeof(struct luks_##kind),                 \
			(const char *)h->kind##s, put_##kind, raw_##kind, id_##kind, prune, \
	}

static const void *find_typed(const struct section *s, unsigned int id)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->id(s->first + i * s->stride) == id)
			return s->first + i * s->stride;
	return NULL;
}

/* One typed object over a copy of its raw one, into @section under its number. */
static int write_object(const struct section *s, const void *typed, struct json_object *section)
{
	struct json_object *obj = NULL, *raw = s->raw(typed);
	char key[16];
	int r;

	if (raw && json_object_deep_copy(raw, &obj, NULL))
		return -ENOMEM;
	if (!raw)
		obj = json_object_new_object();
	r = obj ? s->put(obj, typed) : -ENOMEM;
	if (r) {
		json_object_put(obj);
		return r;
	}
	snprintf(key, sizeof(key), "%u", s->id(typed));
	return json_put_new(section, key, obj);
}

/* First those that stood there, in their order, then the new ones. */
static int write_objects(const struct section *s, struct json_object *old,
			 struct json_object *section)
{
	uint32_t done = 0;
	unsigned int id;
	int r;

	if (old) {
		json_object_object_foreach(old, key, value)
		{
			const void *typed;

			(void)value;
			if (json_number(key, s->max, &id))
				return -EINVAL;
			typed = find_typed(s, id);
			if (!typed || s->pruned(typed))
				continue;
			r = write_object(s, typed, section);
			if (r)
				return r;
			done |= 1u << id;
		}
	}
	for (size_t i = 0; i < s->n; i++) {
		const void *typed = s->first + i * s->stride;

		if (done & 1u << s->id(typed) || s->pruned(typed))
			continue;
		r = write_object(s, typed, section);
		if (r)
			return r;
	}
	return 0;
}

static int write_section(const struct section *s, struct json_object *root)
{
	struct json_object *old = NULL, *section = json_object_new_object();
	int r;

	if (!section)
		return -ENOMEM;
	json_object_object_get_ex(root, s->name, &old);
	r = write_objects(s, old, section);
	if (r) {
		json_object_put(section);
		return r;
	}
	return json_put_new(root, s->name, section);
}

/* A new root with the typed values in it. */
static int build_root(const struct luks_header *h, struct json_object **ret)
{
	const struct section sections[] = {
		SECTION(keyslot, LUKS_KEYSLOTS_MAX, never_pruned),
		SECTION(token, LUKS_TOKENS_MAX, never_pruned),
		SECTION(segment, LUKS_SEGMENTS_MAX, never_pruned),
		SECTION(digest, LUKS_DIGESTS_MAX, digest_pruned),
	};
	struct json_object *root = NULL, *config;
	int r = 0;

	if (json_object_deep_copy(h->raw, &root, NULL))
		return -ENOMEM;
	for (size_t i = 0; i < ARRAY_SIZE(sections) && !r; i++)
		r = write_section(&sections[i], root);
	if (!r)
		r = json_put_object(root, "config", &config);
	if (!r)
		r = metadata_put_config(config, h);
	if (r) {
		json_object_put(root);
		return r;
	}
	*ret = root;
	return 0;
}

int luks_metadata_serialize(const struct luks_header *h, char **ret, size_t *ret_len, struct err *e)
{
	struct json_object *root;
	char *text;
	size_t len;
	int r;

	r = build_root(h, &root);
	if (r)
		return err_set(e, r, "the metadata can't be put into JSON");
	r = metadata_to_text(root, false, &text, &len, e);
	json_object_put(root);
	if (r)
		return r;
	if (len + 1 > h->json_bytes) {
		free(text);
		return err_set(e, -ENOSPC,
			       "the JSON area has room for %llu bytes, the metadata takes %zu",
			       (unsigned long long)(h->json_bytes ? h->json_bytes - 1 : 0), len);
	}
	*ret = text;
	*ret_len = len;
	return 0;
}

int luks_json_text(const struct luks_header *h, char **ret, struct err *e)
{
	if (h->version != 2)
		return err_set(e, -EOPNOTSUPP, "only LUKS2 has JSON metadata");
	return metadata_to_text(h->raw, true, ret, NULL, e);
}

int luks_header_new(struct luks_header **ret, struct err *e)
{
	static const char *const names[] = { "keyslots", "tokens", "segments", "digests",
					     "config" };
	_cleanup_luks_ struct luks_header *h = NULL;
	struct json_object *o;
	int r;

	r = luks_header_alloc(&h, e);
	if (r)
		return r;
	h->version = 2;
	text_copy(h->checksum_alg, sizeof(h->checksum_alg), "sha256");
	h->raw = json_object_new_object();
	if (!h->raw)
		return err_set(e, -ENOMEM, "no memory for a header");
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (json_put_object(h->raw, names[i], &o))
			return err_set(e, -ENOMEM, "no memory for a header");
	*ret = h;
	h = NULL;
	return 0;
}

/* Point each typed object of the clone to the copy of its raw object, wherever that stands. */
static void move_raws(const struct luks_header *h, struct luks_header *clone, const char *name,
		      struct json_object *from, struct json_object *to)
{
	for (size_t i = 0; i < h->n_keyslots && !strcmp(name, "keyslots"); i++)
		if (h->keyslots[i].raw == from)
			clone->keyslots[i].raw = to;
	for (size_t i = 0; i < h->n_digests && !strcmp(name, "digests"); i++)
		if (h->digests[i].raw == from)
			clone->digests[i].raw = to;
	for (size_t i = 0; i < h->n_segments && !strcmp(name, "segments"); i++)
		if (h->segments[i].raw == from)
			clone->segments[i].raw = to;
	for (size_t i = 0; i < h->n_tokens && !strcmp(name, "tokens"); i++)
		if (h->tokens[i].raw == from)
			clone->tokens[i].raw = to;
}

static void clear_raws(struct luks_header *h)
{
	for (size_t i = 0; i < h->n_keyslots; i++)
		h->keyslots[i].raw = NULL;
	for (size_t i = 0; i < h->n_digests; i++)
		h->digests[i].raw = NULL;
	for (size_t i = 0; i < h->n_segments; i++)
		h->segments[i].raw = NULL;
	for (size_t i = 0; i < h->n_tokens; i++)
		h->tokens[i].raw = NULL;
}

int luks_header_clone(const struct luks_header *h, struct luks_header **ret, struct err *e)
{
	_cleanup_luks_ struct luks_header *c = NULL;
	struct json_object *copy = NULL;
	int r;

	r = luks_header_alloc(&c, e);
	if (r)
		return r;
	*c = *h;
	c->raw = NULL;
	c->luks1 = NULL;
	clear_raws(c);
	if (h->version != 2)
		return err_set(e, -EOPNOTSUPP, "a LUKS1 header can't be changed");
	if (json_object_deep_copy(h->raw, &copy, NULL))
		return err_set(e, -ENOMEM, "no memory for a header");
	c->raw = copy;
	json_object_object_foreach((struct json_object *)h->raw, name, section)
	{
		struct json_object *to_section;

		if (!json_object_object_get_ex(copy, name, &to_section) ||
		    !json_object_is_type(section, json_type_object))
			continue;
		json_object_object_foreach(section, key, from)
		{
			struct json_object *to;

			if (from && json_object_object_get_ex(to_section, key, &to))
				move_raws(h, c, name, from, to);
		}
	}
	*ret = c;
	c = NULL;
	return 0;
}
