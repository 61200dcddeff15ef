// SPDX-License-Identifier: Apache-2.0
// String maps of requests: look-up, comparison, and the JSON text that the records keep.
#include "params.h"

#include <json-c/json.h>

const char *csi_map_get(struct csi_map m, const char *key)
{
	for (size_t i = 0; i < m.n; i++)
		if (!strcmp(m.entries[i]->key, key))
			return m.entries[i]->value;
	return NULL;
}

bool csi_map_same(struct csi_map a, struct csi_map b)
{
	if (a.n != b.n)
		return false;
	for (size_t i = 0; i < a.n; i++) {
		const char *other = csi_map_get(b, a.entries[i]->key);

		if (!other || strcmp(other, a.entries[i]->value))
			return false;
	}
	return true;
}

static int by_key(const void *a, const void *b)
{
	const struct csi_map_entry *const *x = a, *const *y = b;

	return strcmp((*x)->key, (*y)->key);
}

int csi_map_json(struct csi_map m, char **ret, struct err *e)
{
	_cleanup_free_ struct csi_map_entry **sorted = calloc(m.n + 1, sizeof(*sorted));
	struct json_object *o = json_object_new_object();
	int r = -ENOMEM;

	if (sorted && o) {
		r = 0;
		if (m.n)
			memcpy(sorted, m.entries, m.n * sizeof(*sorted));
		qsort(sorted, m.n, sizeof(*sorted), by_key);
		for (size_t i = 0; i < m.n; i++)
			if (json_object_object_add(o, sorted[i]->key,
						   json_object_new_string(sorted[i]->value)))
				r = -ENOMEM;
	}
	if (!r) {
		*ret = strdup(json_object_to_json_string_ext(
			o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
		r = *ret ? 0 : -ENOMEM;
	}
	json_object_put(o);
	return r ? err_set(e, r, "no memory for the parameters") : 0;
}

static int add_entry(struct csi_arena *a, struct csi_map *m, const char *key, const char *value)
{
	struct csi_map_entry *en = csi_arena_alloc(a, sizeof(*en));

	if (!en)
		return -ENOMEM;
	/* All map entries of CSI are laid out alike; any of their descriptors serves to encode one.
	 */
	csi__v1__volume__volume_context_entry__init((Csi__V1__Volume__VolumeContextEntry *)en);
	en->key = csi_arena_strdup(a, key);
	en->value = csi_arena_strdup(a, value);
	m->entries[m->n++] = en;
	return en->key && en->value ? 0 : -ENOMEM;
}

int csi_map_parse(struct csi_arena *a, const char *json, struct csi_map *ret, struct err *e)
{
	struct json_object *o = json_tokener_parse(json && *json ? json : "{}");
	struct csi_map m = { NULL, 0 };
	int r = 0;

	if (!o || !json_object_is_type(o, json_type_object)) {
		json_object_put(o);
		return err_set(e, -EBADMSG, "the recorded parameters are no JSON object");
	}
	m.entries =
		csi_arena_alloc(a, sizeof(*m.entries) * ((size_t)json_object_object_length(o) + 1));
	if (!m.entries)
		r = -ENOMEM;
	json_object_object_foreach(o, key, value)
	{
		if (!r)
			r = add_entry(a, &m, key, json_object_get_string(value));
	}
	json_object_put(o);
	if (r)
		return err_set(e, r, "no memory for the parameters");
	*ret = m;
	return 0;
}
