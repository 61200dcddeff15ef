// SPDX-License-Identifier: Apache-2.0
// The pin: a hash over everything in the metadata that decides how a volume is mapped, in a form
// that doesn't depend on the order of members (docs/FORMAT.md "The pin").
#include "metadata_json.h"

#include <stdio.h>

#define PIN_BEGIN "cryptvol pin 1\n"

struct pin {
	struct crypto_sha256 sum;
	bool no_memory;
};

static void put_value(struct pin *p, struct json_object *o);

static void put(struct pin *p, const char *text)
{
	crypto_sha256_add(&p->sum, text, strlen(text));
}

static void put_string(struct pin *p, const char *s)
{
	put(p, "\"");
	for (; *s; s++) {
		bool escape = (unsigned char)*s < 0x20 || *s == '"' || *s == '\\';
		char c[8];

		snprintf(c, sizeof(c), escape ? "\\u%04x" : "%c", (unsigned char)*s);
		put(p, c);
	}
	put(p, "\"");
}

static bool is_empty(struct json_object *o)
{
	return !o || (json_object_is_type(o, json_type_array) && !json_object_array_length(o)) ||
	       (json_object_is_type(o, json_type_object) && !json_object_object_length(o));
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Room for @n texts; NULL, and the pin fails. */
static const char **texts_new(struct pin *p, size_t n)
{
	const char **texts = calloc(n + 1, sizeof(*texts));

	p->no_memory |= !texts;
	return texts;
}

/* Sorted by name; members that are empty are as good as missing, and so are left out. */
static void put_object(struct pin *p, struct json_object *o, const char *leave_out)
{
	const char **names = texts_new(p, (size_t)json_object_object_length(o));
	size_t n = 0;

	if (!names)
		return;
	json_object_object_foreach(o, key, value)
	{
		if (!is_empty(value) && strcmp(key, leave_out) != 0)
			names[n++] = key;
	}
	qsort(names, n, sizeof(*names), by_text);
	put(p, "{");
	for (size_t i = 0; i < n; i++) {
		put(p, i ? "," : "");
		put_string(p, names[i]);
		put(p, ":");
		put_value(p, json_object_object_get(o, names[i]));
	}
	put(p, "}");
	free(names);
}

static void put_list(struct pin *p, struct json_object *a)
{
	put(p, "[");
	for (size_t i = 0; i < json_object_array_length(a); i++) {
		put(p, i ? "," : "");
		put_value(p, json_object_array_get_idx(a, i));
	}
	put(p, "]");
}

/* An array of texts is a set here (flags, requirements, references): sorted, each text once. */
static void put_set(struct pin *p, struct json_object *a)
{
	size_t n = json_object_array_length(a);
	const char **texts = texts_new(p, n);

	if (!texts)
		return;
	for (size_t i = 0; i < n; i++)
		texts[i] = json_object_get_string(json_object_array_get_idx(a, i));
	qsort(texts, n, sizeof(*texts), by_text);
	put(p, "[");
	for (size_t i = 0; i < n; i++) {
		if (i && !strcmp(texts[i], texts[i - 1]))
			continue;
		put(p, i ? "," : "");
		put_string(p, texts[i]);
	}
	put(p, "]");
	free(texts);
}

static bool all_texts(struct json_object *a)
{
	for (size_t i = 0; i < json_object_array_length(a); i++)
		if (!json_object_is_type(json_object_array_get_idx(a, i), json_type_string))
			return false;
	return true;
}

/* Depth is bounded by the parser. */
static void put_value(struct pin *p, struct json_object *o)
{
	switch (json_object_get_type(o)) {
	case json_type_object:
		put_object(p, o, "");
		break;
	case json_type_array:
		if (all_texts(o))
			put_set(p, o);
		else
			put_list(p, o);
		break;
	case json_type_string:
		put_string(p, json_object_get_string(o));
		break;
	default:
		put(p, o ? json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN) : "null");
	}
}

/* Each object with its number, in the order of numbers; a digest without its keyslots, and only
 * where it is for a segment: keys come and go. */
static void put_numbered(struct pin *p, const struct luks_header *h)
{
	for (unsigned int id = 0; id < LUKS_SEGMENTS_MAX; id++) {
		const struct luks_segment *s = luks_find_segment(h, (int)id);
		const struct luks_digest *d = luks_find_digest(h, (int)id);
		char text[32];

		snprintf(text, sizeof(text), "segment %u:", id);
		if (s) {
			put(p, text);
			put_value(p, s->raw);
			put(p, "\n");
		}
		snprintf(text, sizeof(text), "digest %u:", id);
		if (d && d->segments) {
			put(p, text);
			put_object(p, d->raw, "keyslots");
			put(p, "\n");
		}
	}
}

static void put_config(struct pin *p, struct json_object *root, const char *name)
{
	struct json_object *config = json_object_object_get(root, "config"), *o;

	o = config ? json_object_object_get(config, name) : NULL;
	if (is_empty(o))
		return;
	put(p, name);
	put(p, ":");
	put_value(p, o);
	put(p, "\n");
}

int luks_pin(const struct luks_header *h, char ret[LUKS_PIN_CHARS], struct err *e)
{
	struct pin p = { .no_memory = false };
	uint8_t sum[32];

	if (h->version != 2 || !h->raw)
		return err_set(e, -EOPNOTSUPP, "only a LUKS2 header can be pinned");
	crypto_sha256_begin(&p.sum);
	put(&p, PIN_BEGIN);
	put_numbered(&p, h);
	put_config(&p, h->raw, "requirements");
	put_config(&p, h->raw, "flags");
	crypto_sha256_end(&p.sum, sum);
	if (p.no_memory)
		return err_set(e, -ENOMEM, "no memory for a header's pin");
	text_hex(sum, sizeof(sum), ret);
	return 0;
}
