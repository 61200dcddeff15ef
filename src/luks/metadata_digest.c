// SPDX-License-Identifier: Apache-2.0
// Digests and tokens between JSON and their structs (specification 3.4 and 3.6, checklist 2.6 and
// 2.8).
#include "metadata_json.h"

/*
 * Members of a digest that can't be used don't keep the header from loading, but nothing opens with
 * it (checklist 2.11). Each one that can be read is kept, for the dump; luks_digest_verify judges
 * them.
 */
static void read_pbkdf2(const struct json_at *at, struct luks_digest *ret)
{
	ret->unread = NULL;
	if (!json_get_bytes(at, "digest", ret->digest, sizeof(ret->digest), &ret->digest_len))
		ret->unread = "digest";
	if (!json_get_bytes(at, "salt", ret->salt, sizeof(ret->salt), &ret->salt_len))
		ret->unread = "salt";
	if (json_get_u32(at, "iterations", &ret->iterations, NULL))
		ret->unread = "iterations";
	if (json_get_text(at, "hash", ret->hash, sizeof(ret->hash), NULL))
		ret->unread = "hash";
}

int metadata_read_digest(const struct json_at *at, struct luks_digest *ret, struct err *e)
{
	int r;

	r = json_get_text(at, "type", ret->type_name, sizeof(ret->type_name), e);
	if (!r)
		r = json_get_refs(at, "keyslots", LUKS_KEYSLOTS_MAX, &ret->keyslots, e);
	if (!r)
		r = json_get_refs(at, "segments", LUKS_SEGMENTS_MAX, &ret->segments, e);
	if (r)
		return r;
	if (strcmp(ret->type_name, "pbkdf2") != 0)
		return 0;
	read_pbkdf2(at, ret);
	if (ret->iterations > CRYPTO_PBKDF2_MAX_ITERATIONS)
		return json_odd(at, "iterations", "%u is over the limit of %u", ret->iterations,
				CRYPTO_PBKDF2_MAX_ITERATIONS);
	return 0;
}

int metadata_put_digest(struct json_object *obj, const struct luks_digest *d)
{
	int r;

	r = json_put_text(obj, "type", d->type_name);
	if (!r)
		r = json_put_refs(obj, "keyslots", d->keyslots);
	if (!r)
		r = json_put_refs(obj, "segments", d->segments);
	if (r || d->unread || strcmp(d->type_name, "pbkdf2") != 0)
		return r;
	r = json_put_text(obj, "hash", d->hash);
	if (!r)
		r = json_put_u32(obj, "iterations", d->iterations);
	if (!r)
		r = json_put_bytes(obj, "salt", d->salt, d->salt_len);
	if (!r)
		r = json_put_bytes(obj, "digest", d->digest, d->digest_len);
	return r;
}

/* What else a token has is its plugin's business, in the built-in type luks2-keyring too: an odd
 * one is of no use, but no reason to refuse the volume. */
int metadata_read_token(const struct json_at *at, struct luks_token *ret, struct err *e)
{
	int r;

	r = json_get_text(at, "type", ret->type_name, sizeof(ret->type_name), e);
	if (!r)
		r = json_get_refs(at, "keyslots", LUKS_KEYSLOTS_MAX, &ret->keyslots, e);
	return r;
}

int metadata_put_token(struct json_object *obj, const struct luks_token *t)
{
	int r;

	r = json_put_text(obj, "type", t->type_name);
	if (!r)
		r = json_put_refs(obj, "keyslots", t->keyslots);
	return r;
}
