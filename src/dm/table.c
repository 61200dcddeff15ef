// SPDX-License-Identifier: Apache-2.0
// Targets as the text that the kernel reads and prints. The crypt target has a file of its own.
// Source: the kernel's Documentation/admin-guide/device-mapper/{linear,dm-integrity}.rst.
#include "internal.h"

#include <stdio.h>

/* What isn't the key or a free text: numbers, blanks, option names. */
#define PARAMS_FIXED_BYTES 512

/* ---- writing ---- */

void dm_text_add(struct dm_text *t, const char *fmt, ...)
{
	va_list ap;
	int n;

	if (t->r)
		return;
	va_start(ap, fmt);
	n = vsnprintf(t->at, t->room, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= t->room) {
		t->r = -ENAMETOOLONG;
		return;
	}
	t->at += n;
	t->room -= (size_t)n;
}

bool dm_params_plain(const char *s)
{
	if (!*s)
		return false;
	for (; *s; s++)
		if ((unsigned char)*s <= ' ' || *s == '\\' || *s == 0x7f)
			return false;
	return true;
}

static int linear_write(const struct dm_target *t, struct dm_text *out)
{
	dm_text_add(out, "%u:%u %llu", t->dev_major, t->dev_minor,
		    (unsigned long long)t->linear.device_offset_sectors);
	return 0;
}

static int integrity_write(const struct dm_target *t, struct dm_text *out, struct err *e)
{
	const struct dm_integrity *i = &t->integrity;
	const char *params = i->params ?: "";

	if (!i->mode || !strchr("JBDRI", i->mode))
		return err_set(e, -EINVAL, "an integrity target has no mode '%c'", i->mode ?: '?');
	if ((i->n_params > 0) != (*params != '\0'))
		return err_set(e, -EINVAL, "an integrity target with %u parameters, but \"%s\"",
			       i->n_params, *params ? "..." : "");
	dm_text_add(out, "%u:%u %llu ", t->dev_major, t->dev_minor,
		    (unsigned long long)i->offset_sectors);
	if (i->tag_bytes)
		dm_text_add(out, "%u", i->tag_bytes);
	else
		dm_text_add(out, "-");
	dm_text_add(out, " %c %u%s%s", i->mode, i->n_params, *params ? " " : "", params);
	return 0;
}

size_t dm_params_bound(const struct dm_target *t)
{
	size_t n = PARAMS_FIXED_BYTES;

	if (t->type == DM_TARGET_CRYPT) {
		n += sizeof(t->crypt);
		if (t->crypt.key)
			n += 2 * t->crypt.key->len;
	}
	if (t->type == DM_TARGET_INTEGRITY && t->integrity.params)
		n += strlen(t->integrity.params);
	return n;
}

int dm_params_write(const struct dm_target *t, char *buf, size_t cap, size_t *ret_len,
		    struct err *e)
{
	struct dm_text out = { .at = buf, .room = cap };
	int r = 0;

	if (!cap)
		return -ENAMETOOLONG;
	*buf = '\0';
	switch (t->type) {
	case DM_TARGET_LINEAR:
		r = linear_write(t, &out);
		break;
	case DM_TARGET_CRYPT:
		r = dm_crypt_write(t, &out, e);
		break;
	case DM_TARGET_INTEGRITY:
		r = integrity_write(t, &out, e);
		break;
	case DM_TARGET_ERROR:
		break;
	default:
		r = err_set(e, -EOPNOTSUPP, "a target of type %s can't be written",
			    t->type_name[0] ? t->type_name : "unknown");
	}
	if (r)
		return r;
	if (out.r)
		return err_set(e, out.r, "a target's parameters are too long");
	*ret_len = (size_t)(out.at - buf);
	return 0;
}

int dm_format_params(const struct dm_target *t, struct secret **ret, struct err *e)
{
	_cleanup_secret_ struct secret *s = NULL;
	int r;

	r = secret_new(dm_params_bound(t), &s, e);
	if (r)
		return r;
	r = dm_params_write(t, (char *)s->data, s->cap, &s->len, e);
	if (r)
		return r;
	*ret = s;
	s = NULL;
	return 0;
}

/* ---- reading ---- */

struct dm_word dm_word_next(const char **s)
{
	struct dm_word w;

	*s += strspn(*s, " ");
	w.at = *s;
	w.len = strcspn(*s, " ");
	*s += w.len;
	return w;
}

bool dm_word_is(struct dm_word w, const char *text)
{
	return w.len == strlen(text) && !memcmp(w.at, text, w.len);
}

int dm_word_copy(struct dm_word w, char *buf, size_t cap)
{
	if (!w.len)
		return -EBADMSG;
	if (w.len >= cap)
		return -ENAMETOOLONG;
	memcpy(buf, w.at, w.len);
	buf[w.len] = '\0';
	return 0;
}

int dm_word_u64(struct dm_word w, uint64_t *ret)
{
	char buf[24];

	return dm_word_copy(w, buf, sizeof(buf)) ?: text_parse_u64(buf, ret);
}

int dm_word_u32(struct dm_word w, uint32_t *ret)
{
	char buf[24];

	return dm_word_copy(w, buf, sizeof(buf)) ?: text_parse_u32(buf, ret);
}

int dm_word_dev(struct dm_word w, uint32_t *ret_major, uint32_t *ret_minor)
{
	const char *colon = memchr(w.at, ':', w.len);
	struct dm_word first, second;
	uint32_t major_nr, minor_nr;
	int r;

	if (!colon)
		return -EBADMSG;
	first = (struct dm_word){ w.at, (size_t)(colon - w.at) };
	second = (struct dm_word){ colon + 1, w.len - first.len - 1 };
	r = dm_word_u32(first, &major_nr) ?: dm_word_u32(second, &minor_nr);
	if (r)
		return r;
	*ret_major = major_nr;
	*ret_minor = minor_nr;
	return 0;
}

static int linear_parse(const char *params, struct dm_target *ret)
{
	return dm_word_dev(dm_word_next(&params), &ret->dev_major, &ret->dev_minor)
		       ?: dm_word_u64(dm_word_next(&params), &ret->linear.device_offset_sectors);
}

static int integrity_parse(const char *params, struct dm_target *ret)
{
	struct dm_integrity *i = &ret->integrity;
	struct dm_word w;
	int r;

	r = dm_word_dev(dm_word_next(&params), &ret->dev_major, &ret->dev_minor)
		    ?: dm_word_u64(dm_word_next(&params), &i->offset_sectors);
	if (r)
		return r;
	w = dm_word_next(&params);
	r = dm_word_is(w, "-") ? 0 : dm_word_u32(w, &i->tag_bytes);
	if (r)
		return r;
	w = dm_word_next(&params);
	if (w.len != 1)
		return -EBADMSG;
	i->mode = *w.at;
	return dm_word_u32(dm_word_next(&params), &i->n_params);
}

static const struct {
	const char *name;
	enum dm_target_type type;
} target_types[] = {
	{ "linear", DM_TARGET_LINEAR },
	{ "crypt", DM_TARGET_CRYPT },
	{ "error", DM_TARGET_ERROR },
	{ "integrity", DM_TARGET_INTEGRITY },
};

int dm_parse_params(const char *type_name, const char *params, struct dm_target *ret,
		    struct secret **ret_key, struct err *e)
{
	_cleanup_secret_ struct secret *key = NULL;
	struct dm_target t = { .type = DM_TARGET_OTHER };
	int r = 0;

	if (text_copy(t.type_name, sizeof(t.type_name), type_name))
		return err_set(e, -EBADMSG, "a target type with a name too long");
	for (size_t i = 0; i < ARRAY_SIZE(target_types); i++)
		if (!strcmp(type_name, target_types[i].name))
			t.type = target_types[i].type;
	if (t.type == DM_TARGET_LINEAR)
		r = linear_parse(params, &t);
	else if (t.type == DM_TARGET_INTEGRITY)
		r = integrity_parse(params, &t);
	else if (t.type == DM_TARGET_CRYPT)
		r = dm_crypt_parse(params, &t, ret_key ? &key : NULL);
	if (r == -ENOMEM)
		return err_set(e, r, "no memory for a table");
	if (r)
		return err_set(e, -EBADMSG, "the %s target's table can't be read", type_name);
	*ret = t;
	if (ret_key) {
		*ret_key = key;
		key = NULL;
	}
	return 0;
}

void dm_table_free(struct dm_table *t)
{
	free(t->targets);
	*t = (struct dm_table){ 0 };
}
