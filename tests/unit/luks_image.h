// SPDX-License-Identifier: Apache-2.0
// Header images for the luks tests: load one made by cryptsetup, edit it, seal it again. The format
// is spelled out here once more on purpose: nothing of the room's own code is used.
#pragma once

#include <endian.h>
#include <json-c/json.h>
#include <openssl/evp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define IMAGE_BIN_BYTES 4096u

struct image {
	uint8_t *data;
	size_t len;
	uint64_t device_bytes;
};

static inline void image_free(struct image *img)
{
	free(img->data);
	img->data = NULL;
}

/* The first @len bytes of an .xz file; an image shorter than that is filled with zeros. */
static inline bool image_load(struct image *img, const char *path, size_t len)
{
	char cmd[512];
	size_t n = 0, got;
	FILE *f;

	snprintf(cmd, sizeof(cmd), "xz -dc '%s' 2>/dev/null", path);
	f = popen(cmd, "r");
	if (!f)
		return false;
	img->data = calloc(1, len);
	while (img->data && n < len && (got = fread(img->data + n, 1, len - n, f)) > 0)
		n += got;
	pclose(f);
	img->len = len;
	img->device_bytes = 64u << 20;
	return img->data && n > 0;
}

static inline uint64_t image_be64(const struct image *img, size_t offset)
{
	uint64_t v;

	memcpy(&v, img->data + offset, sizeof(v));
	return be64toh(v);
}

static inline void image_put(struct image *img, size_t offset, uint64_t value, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		img->data[offset + i] = (uint8_t)(value >> 8 * (bytes - 1 - i));
}

/* Of copy 0 or 1; the sizes are those of the primary when the image was loaded. */
static inline size_t image_offset(size_t header_bytes, int copy)
{
	return copy ? header_bytes : 0;
}

static inline char *image_json(const struct image *img, size_t header_bytes, int copy)
{
	return (char *)img->data + image_offset(header_bytes, copy) + IMAGE_BIN_BYTES;
}

static inline bool image_set_json(struct image *img, size_t header_bytes, int copy,
				  const char *text)
{
	size_t room = header_bytes - IMAGE_BIN_BYTES, len = strlen(text);
	char *json = image_json(img, header_bytes, copy);

	if (len > room)
		return false;
	memset(json, 0, room);
	memcpy(json, text, len);
	return true;
}

/* The checksum of one copy anew, by the algorithm that stands in it (sha256 where it is unknown).
 */
static inline void image_seal(struct image *img, size_t header_bytes, int copy)
{
	uint8_t *bin = img->data + image_offset(header_bytes, copy), sum[EVP_MAX_MD_SIZE];
	const EVP_MD *md = EVP_get_digestbyname((const char *)bin + 72);
	unsigned int len = 0;

	memset(bin + 448, 0, 64);
	EVP_Digest(bin, header_bytes, sum, &len, md ? md : EVP_sha256(), NULL);
	memcpy(bin + 448, sum, len < 64 ? len : 64);
}

/* ---- a small language of edits: see tests/images/broken/README.md ---- */

struct image_editor {
	struct image *img;
	size_t header_bytes;
	int first, last; /* copies that edits go to */
	bool sum[2];	 /* to be sealed */
	bool is_luks1, no_sum;
};

/* "a/b/c": the object that holds the last name; NULL where there is none. */
static inline struct json_object *edit_walk(struct json_object *root, char *path, char **ret_name)
{
	char *slash;

	while ((slash = strchr(path, '/'))) {
		*slash = '\0';
		if (!json_object_object_get_ex(root, path, &root))
			return NULL;
		path = slash + 1;
	}
	*ret_name = path;
	return root;
}

/* @value NULL: delete. */
static inline bool edit_json(struct image_editor *ed, int copy, const char *path, const char *value)
{
	struct json_object *root, *at, *new = NULL;
	char buf[256], *name;
	bool ok = false;

	snprintf(buf, sizeof(buf), "%s", path);
	root = json_tokener_parse(image_json(ed->img, ed->header_bytes, copy));
	at = root ? edit_walk(root, buf, &name) : NULL;
	if (at && json_object_is_type(at, json_type_object)) {
		if (value) {
			new = json_tokener_parse(value);
			ok = new || !strcmp(value, "null");
			if (ok)
				json_object_object_add(at, name, new);
		} else {
			ok = json_object_object_get_ex(at, name, NULL);
			json_object_object_del(at, name);
		}
	}
	if (ok)
		ok = image_set_json(
			ed->img, ed->header_bytes, copy,
			json_object_to_json_string_ext(
				root, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(root);
	return ok;
}

/* The first @from in the JSON text becomes @to. */
static inline bool edit_text(struct image_editor *ed, int copy, const char *from, const char *to)
{
	char *json = image_json(ed->img, ed->header_bytes, copy), *at = strstr(json, from);
	size_t cap = strlen(json) + strlen(to) + 1;
	char *text = malloc(cap);
	bool ok = at && text;

	if (ok) {
		snprintf(text, cap, "%.*s%s%s", (int)(at - json), json, to, at + strlen(from));
		ok = image_set_json(ed->img, ed->header_bytes, copy, text);
	}
	free(text);
	return ok;
}

static inline bool edit_hex(struct image_editor *ed, int copy, size_t offset, const char *hex)
{
	uint8_t *to = ed->img->data + image_offset(ed->header_bytes, copy) + offset;
	unsigned int byte;

	for (; hex[0] && hex[1]; hex += 2) {
		if (sscanf(hex, "%2x", &byte) != 1 || to >= ed->img->data + ed->img->len)
			return false;
		*to++ = (uint8_t)byte;
	}
	return !*hex;
}

/* Edits that concern a copy. @word: what to do; @arg: its argument, @rest: what follows that. */
static inline bool edit_copy(struct image_editor *ed, int copy, const char *word, const char *arg,
			     const char *rest)
{
	size_t offset = strtoul(arg, NULL, 0);

	ed->sum[copy] = true;
	if (!strcmp(word, "set"))
		return edit_json(ed, copy, arg, rest);
	if (!strcmp(word, "del"))
		return edit_json(ed, copy, arg, NULL);
	if (!strcmp(word, "json")) /* the whole text, without blanks */
		return image_set_json(ed->img, ed->header_bytes, copy, arg);
	if (!strcmp(word, "hex"))
		return edit_hex(ed, copy, offset, rest);
	if (!strncmp(word, "be", 2)) {
		image_put(ed->img, image_offset(ed->header_bytes, copy) + offset,
			  strtoull(rest, NULL, 0), strtoul(word + 2, NULL, 10) / 8);
		return true;
	}
	if (!strcmp(word, "fill")) { /* OFFSET BYTES: with 'x' */
		memset(ed->img->data + image_offset(ed->header_bytes, copy) + offset, 'x',
		       strtoul(rest, NULL, 0));
		return true;
	}
	if (!strcmp(word, "zero")) {
		memset(ed->img->data + image_offset(ed->header_bytes, copy) + offset, 0,
		       strtoul(rest, NULL, 0));
		return true;
	}
	return false;
}

static inline bool edit_one(struct image_editor *ed, char *edit)
{
	char *word = strtok(edit, " "), *arg = strtok(NULL, " "), *rest = strtok(NULL, "");
	bool ok = true;

	if (!strcmp(word, "copy")) { /* copy 1, copy 2, copy both */
		ed->first = !strcmp(arg, "2");
		ed->last = strcmp(arg, "1") != 0;
	} else if (!strcmp(word, "nosum")) {
		ed->no_sum = true;
	} else if (!strcmp(word, "device")) {
		ed->img->device_bytes = strtoull(arg, NULL, 0);
	} else if (!strcmp(word, "text")) { /* text FROM => TO, no blank in FROM */
		char *to = rest && !strncmp(rest, "=> ", 3) ? rest + 3 : NULL;

		for (int i = ed->first; i <= ed->last && ok; i++) {
			ed->sum[i] = true;
			ok = edit_text(ed, i, arg, to ? to : "");
		}
	} else {
		for (int i = ed->first; i <= ed->last && ok; i++)
			ok = edit_copy(ed, i, word, arg ? arg : "", rest ? rest : "");
	}
	return ok;
}

/* Edits, one after another, divided by " ;; "; then the checksums of what was touched. */
static inline bool image_edit(struct image *img, const char *edits)
{
	struct image_editor ed = { .img = img, .last = 1 };
	char *copy = strdup(edits), *next = copy;
	bool ok = copy;

	ed.is_luks1 = img->data[7] == 1;
	ed.header_bytes = ed.is_luks1 ? 0 : (size_t)image_be64(img, 8);
	if (ed.is_luks1)
		ed.last = 0;
	while (ok && next && *next) {
		char *end = strstr(next, " ;; ");

		if (end)
			*end = '\0';
		ok = edit_one(&ed, next);
		next = end ? end + 4 : NULL;
	}
	for (int i = 0; i < 2 && !ed.is_luks1; i++)
		if (ed.sum[i] && !ed.no_sum)
			image_seal(img, ed.header_bytes, i);
	free(copy);
	return ok;
}
