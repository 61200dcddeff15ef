// SPDX-License-Identifier: Apache-2.0
// The crypt target: its parameters as text, and which of them a version of the target knows.
// Source: the kernel's Documentation/admin-guide/device-mapper/dm-crypt.rst; versions as the target
// counted them up when it learnt a parameter.
#include "internal.h"

#include <stdio.h>

struct crypt_option {
	const char *word; /* with ':' at its end: a value follows */
	uint32_t flag;
	uint32_t since[3]; /* version of the crypt target */
};

/* In the order in which cryptsetup writes them. */
static const struct crypt_option options[] = {
	{ "allow_discards", DM_CRYPT_ALLOW_DISCARDS, { 1, 11, 0 } },
	{ "same_cpu_crypt", DM_CRYPT_SAME_CPU_CRYPT, { 1, 14, 0 } },
	{ "submit_from_crypt_cpus", DM_CRYPT_SUBMIT_FROM_CRYPT_CPUS, { 1, 14, 0 } },
	{ "no_read_workqueue", DM_CRYPT_NO_READ_WORKQUEUE, { 1, 22, 0 } },
	{ "no_write_workqueue", DM_CRYPT_NO_WRITE_WORKQUEUE, { 1, 22, 0 } },
	{ "iv_large_sectors", DM_CRYPT_IV_LARGE_SECTORS, { 1, 17, 0 } },
	{ "high_priority", DM_CRYPT_HIGH_PRIORITY, { 1, 26, 0 } },
	{ "sector_size:", DM_CRYPT_SECTOR_SIZE, { 1, 17, 0 } },
	{ "integrity:", DM_CRYPT_INTEGRITY, { 1, 17, 0 } },
	{ "integrity_key_size:", DM_CRYPT_INTEGRITY_KEY_SIZE, { 1, 27, 0 } },
	/* No parameter, but the form of the key. 1.15.0 has it; up to 1.18.0 a reload could lose
	   it. */
	{ NULL, DM_CRYPT_KEYRING, { 1, 18, 1 } },
};

/* These follow from the other members of struct dm_crypt. */
#define DERIVED_FLAGS                                                              \
	((uint32_t)(DM_CRYPT_KEYRING | DM_CRYPT_SECTOR_SIZE | DM_CRYPT_INTEGRITY | \
		    DM_CRYPT_INTEGRITY_KEY_SIZE))

const char *dm_crypt_flag_name(enum dm_crypt_flag flag)
{
	if (flag == DM_CRYPT_KEYRING)
		return "a key in the kernel keyring";
	if (flag == DM_CRYPT_SECTOR_SIZE)
		return "sector_size";
	if (flag == DM_CRYPT_INTEGRITY)
		return "integrity";
	if (flag == DM_CRYPT_INTEGRITY_KEY_SIZE)
		return "integrity_key_size";
	for (size_t i = 0; i < ARRAY_SIZE(options); i++)
		if (options[i].flag == (uint32_t)flag)
			return options[i].word;
	return NULL;
}

static bool version_reached(const uint32_t have[3], const uint32_t want[3])
{
	for (int i = 0; i < 3; i++)
		if (have[i] != want[i])
			return have[i] > want[i];
	return true;
}

uint32_t dm_crypt_offers(const uint32_t version[3])
{
	uint32_t flags = 0;

	for (size_t i = 0; i < ARRAY_SIZE(options); i++)
		if (version_reached(version, options[i].since))
			flags |= options[i].flag;
	return flags;
}

uint32_t dm_crypt_needs(const struct dm_crypt *t)
{
	uint32_t needs = t->flags & ~DERIVED_FLAGS;

	if (t->key_description[0])
		needs |= DM_CRYPT_KEYRING;
	if (t->sector_size_bytes > SECTOR_SIZE_BYTES)
		needs |= DM_CRYPT_SECTOR_SIZE;
	if (t->integrity[0])
		needs |= DM_CRYPT_INTEGRITY;
	if (t->integrity_key_bytes)
		needs |= DM_CRYPT_INTEGRITY_KEY_SIZE;
	return needs;
}

int dm_crypt_refuse(uint32_t missing, const uint32_t version[3], struct err *e)
{
	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		const uint32_t *s = options[i].since;

		if (missing & options[i].flag)
			return err_set(e, -EOPNOTSUPP,
				       "%s needs version %u.%u.%u of the kernel's crypt target, "
				       "this one is %u.%u.%u",
				       dm_crypt_flag_name(options[i].flag), s[0], s[1], s[2],
				       version[0], version[1], version[2]);
	}
	return err_set(e, -EOPNOTSUPP, "the crypt target has no flag %#x", missing);
}

/* ---- writing ---- */

static int crypt_check(const struct dm_crypt *c, struct err *e)
{
	uint32_t known = 0;

	for (size_t i = 0; i < ARRAY_SIZE(options); i++)
		known |= options[i].flag;
	if (c->unknown_options)
		return err_set(e, -EOPNOTSUPP,
			       "the crypt table has parameters that cryptvol doesn't know");
	if (c->flags & ~known)
		return err_set(e, -EINVAL, "the crypt target has no flag %#x", c->flags & ~known);
	if (!dm_params_plain(c->cipher))
		return err_set(e, -EINVAL, "\"%.80s\" can't be a cipher in a crypt table",
			       c->cipher);
	if (c->integrity[0] && !dm_params_plain(c->integrity))
		return err_set(e, -EINVAL, "\"%.60s\" can't be a crypt table's integrity",
			       c->integrity);
	if (c->key_description[0] && !dm_params_plain(c->key_description))
		return err_set(e, -EINVAL, "\"%.200s\" can't be a key's name in a crypt table",
			       c->key_description);
	if (c->key_description[0] && c->key)
		return err_set(e, -EINVAL, "a crypt table with a key and a key's name");
	return 0;
}

static void write_key(const struct dm_crypt *c, struct dm_text *out)
{
	size_t hex_len;

	if (c->key_description[0]) {
		dm_text_add(out, ":%u:%s", c->key_bytes, c->key_description);
		return;
	}
	if (!c->key || !c->key->len) {
		dm_text_add(out, "-");
		return;
	}
	hex_len = 2 * c->key->len;
	if (out->r || hex_len >= out->room) {
		out->r = out->r ?: -ENAMETOOLONG;
		return;
	}
	text_hex(c->key->data, c->key->len, out->at);
	out->at += hex_len;
	out->room -= hex_len;
}

static void write_option(const struct crypt_option *o, const struct dm_crypt *c,
			 struct dm_text *out)
{
	switch (o->flag) {
	case DM_CRYPT_SECTOR_SIZE:
		dm_text_add(out, " %s%u", o->word, c->sector_size_bytes);
		break;
	case DM_CRYPT_INTEGRITY:
		dm_text_add(out, " %s%s", o->word, c->integrity);
		break;
	case DM_CRYPT_INTEGRITY_KEY_SIZE:
		dm_text_add(out, " %s%u", o->word, c->integrity_key_bytes);
		break;
	default:
		dm_text_add(out, " %s", o->word);
	}
}

int dm_crypt_write(const struct dm_target *t, struct dm_text *out, struct err *e)
{
	const struct dm_crypt *c = &t->crypt;
	uint32_t wanted = dm_crypt_needs(c) & ~(uint32_t)DM_CRYPT_KEYRING;
	int r;

	r = crypt_check(c, e);
	if (r)
		return r;
	dm_text_add(out, "%s ", c->cipher);
	write_key(c, out);
	dm_text_add(out, " %llu %u:%u %llu", (unsigned long long)c->iv_offset_sectors, t->dev_major,
		    t->dev_minor, (unsigned long long)c->device_offset_sectors);
	if (!wanted)
		return 0;
	dm_text_add(out, " %d", __builtin_popcount(wanted));
	for (size_t i = 0; i < ARRAY_SIZE(options); i++)
		if (wanted & options[i].flag)
			write_option(&options[i], c, out);
	return 0;
}

/* ---- reading ---- */

/* "-", ":<bytes>:<type>:<description>" or hex digits. */
static int parse_key(struct dm_word w, struct dm_crypt *c, struct secret **ret_key)
{
	_cleanup_secret_ struct secret *key = NULL;
	int r;

	if (dm_word_is(w, "-"))
		return 0;
	if (w.len && *w.at == ':') {
		const char *end = memchr(w.at + 1, ':', w.len - 1);
		struct dm_word size = { w.at + 1, end ? (size_t)(end - w.at) - 1 : 0 };

		if (!end)
			return -EBADMSG;
		end++;
		return dm_word_u32(size, &c->key_bytes)
			       ?: dm_word_copy(
					  (struct dm_word){ end, w.len - (size_t)(end - w.at) },
					  c->key_description, sizeof(c->key_description));
	}
	if (!w.len || w.len % 2)
		return -EBADMSG;
	r = secret_new(w.len / 2, &key, NULL);
	if (r)
		return r;
	r = text_unhex_chars(w.at, w.len, key->data, key->cap, &key->len);
	if (r)
		return r;
	c->key_bytes = (uint32_t)key->len;
	if (ret_key) {
		c->key = *ret_key = key;
		key = NULL;
	}
	return 0;
}

static int parse_value(const struct crypt_option *o, struct dm_word value, struct dm_crypt *c)
{
	switch (o->flag) {
	case DM_CRYPT_SECTOR_SIZE:
		return dm_word_u32(value, &c->sector_size_bytes);
	case DM_CRYPT_INTEGRITY:
		return dm_word_copy(value, c->integrity, sizeof(c->integrity));
	default:
		return dm_word_u32(value, &c->integrity_key_bytes);
	}
}

static int parse_option(struct dm_word w, struct dm_crypt *c)
{
	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		size_t n = options[i].word ? strlen(options[i].word) : 0;

		if (!n || w.len < n || memcmp(w.at, options[i].word, n) != 0)
			continue;
		if (options[i].word[n - 1] == ':')
			return parse_value(&options[i], (struct dm_word){ w.at + n, w.len - n }, c);
		if (w.len == n) {
			c->flags |= options[i].flag;
			return 0;
		}
	}
	c->unknown_options = true;
	return 0;
}

int dm_crypt_parse(const char *params, struct dm_target *ret, struct secret **ret_key)
{
	struct dm_crypt *c = &ret->crypt;
	struct dm_word w;
	uint32_t n = 0;
	int r;

	r = dm_word_copy(dm_word_next(&params), c->cipher, sizeof(c->cipher))
		    ?: parse_key(dm_word_next(&params), c, ret_key)
		    ?: dm_word_u64(dm_word_next(&params), &c->iv_offset_sectors)
		    ?: dm_word_dev(dm_word_next(&params), &ret->dev_major, &ret->dev_minor)
		    ?: dm_word_u64(dm_word_next(&params), &c->device_offset_sectors);
	if (r)
		return r;
	w = dm_word_next(&params);
	if (!w.len)
		return 0;
	r = dm_word_u32(w, &n);
	while (!r && n--) {
		w = dm_word_next(&params);
		r = w.len ? parse_option(w, c) : -EBADMSG;
	}
	return r ?: dm_word_next(&params).len ? -EBADMSG : 0;
}
