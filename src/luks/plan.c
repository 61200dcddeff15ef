// SPDX-License-Identifier: Apache-2.0
// What of a header may be mapped: one segment that encrypts, or nothing (docs/FORMAT.md "What may
// be mapped"). A header isn't authenticated, and programs read the same header differently, so
// everything that another reader might map in another way is refused.
#include "internal.h"

static int refuse(const struct luks_segment *s, struct err *e, const char *why)
{
	return err_set(e, -EOPNOTSUPP, "segment %u: %s", s->id, why);
}

/* Several segments have a meaning only while a re-encryption moves data between them. cryptsetup
 * would encrypt the whole device like the first one, and the rest would be written as plaintext. */
static int check_alone(const struct luks_header *h, struct err *e)
{
	for (size_t i = 0; i < h->n_segments; i++) {
		const struct luks_segment *s = &h->segments[i];

		if (s->type == LUKS_SEGMENT_LINEAR)
			return refuse(s, e,
				      "its type is linear, so it would be mapped without "
				      "encryption, and no re-encryption explains that");
		if (s->flags || s->backup)
			return refuse(s, e,
				      "it has a flag that only a re-encryption explains, and none "
				      "is under way");
		if (s->id != 0)
			return refuse(s, e,
				      "only a re-encryption explains more than one data segment, "
				      "and none is under way");
		if (s->type != LUKS_SEGMENT_CRYPT)
			return refuse(s, e, "its type doesn't encrypt");
	}
	return h->n_segments ? 0 : err_set(e, -EBADMSG, "segments: there is none");
}

static int check_place(const struct luks_segment *s, struct err *e)
{
	if (s->iv_tweak)
		return refuse(s, e,
			      "iv_tweak isn't 0: some programs would encrypt with it, others "
			      "without");
	if (s->sector_size_bytes > SECTOR_SIZE_BYTES && s->offset_bytes % s->sector_size_bytes)
		return refuse(s, e, "its offset isn't a multiple of its sector size");
	return 0;
}

/* The one digest of the segment; of two each reader would take the one that it meets first. */
static int find_digest(const struct luks_header *h, const struct luks_segment *s,
		       const struct luks_digest **ret, struct err *e)
{
	const struct luks_digest *found = NULL;

	for (size_t i = 0; i < h->n_digests; i++) {
		if (!(h->digests[i].segments & 1u << s->id))
			continue;
		if (found)
			return err_set(e, -EOPNOTSUPP,
				       "segment %u: digests %u and %u both are for its key", s->id,
				       found->id, h->digests[i].id);
		found = &h->digests[i];
	}
	if (!found)
		return refuse(s, e, "no digest is for its key");
	if (strcmp(found->type_name, "pbkdf2") != 0)
		return err_set(e, -EOPNOTSUPP, "digest %u: type \"%s\" isn't supported", found->id,
			       found->type_name);
	*ret = found;
	return 0;
}

static int find_key_bytes(const struct luks_header *h, const struct luks_digest *d, uint32_t *ret,
			  struct err *e)
{
	uint32_t bytes = 0;

	for (size_t i = 0; i < h->n_keyslots; i++) {
		const struct luks_keyslot *k = &h->keyslots[i];

		if (!(d->keyslots & 1u << k->id))
			continue;
		if (k->type != LUKS_KEYSLOT_LUKS2)
			return err_set(e, -EOPNOTSUPP,
				       "digest %u lists keyslot %u, whose type isn't luks2", d->id,
				       k->id);
		if (bytes && k->key_bytes != bytes)
			return err_set(e, -EOPNOTSUPP,
				       "keyslot %u: its key has %u bytes, another one's for the "
				       "same segment has %u",
				       k->id, k->key_bytes, bytes);
		bytes = k->key_bytes;
	}
	*ret = bytes;
	return 0;
}

static int make_plan(const struct luks_header *h, struct luks_plan *ret, struct err *e)
{
	const struct luks_digest *d = NULL;
	const struct luks_segment *s;
	uint32_t key_bytes = 0;
	int r;

	r = check_alone(h, e);
	if (r)
		return r;
	s = &h->segments[0];
	r = check_place(s, e);
	if (!r)
		r = find_digest(h, s, &d, e);
	if (!r)
		r = find_key_bytes(h, d, &key_bytes, e);
	if (r)
		return r;
	*ret = (struct luks_plan){
		.segment = s->id,
		.digest = d->id,
		.offset_bytes = s->offset_bytes,
		.size_bytes = s->size_bytes,
		.dynamic = s->dynamic,
		.sector_size_bytes = s->sector_size_bytes,
		.key_bytes = key_bytes,
	};
	memcpy(ret->encryption, s->encryption, sizeof(ret->encryption));
	return 0;
}

int luks_make_plan(const struct luks_header *h, struct luks_plan *ret, struct err *e)
{
	int r;

	r = luks_check_usable(h, e);
	if (r)
		return r;
	if (h->other_invalid)
		return err_set(e, -EUCLEAN,
			       "the header's other copy has a good checksum and metadata that "
			       "aren't valid: another program may read that one; run repair first");
	r = make_plan(h, ret, e);
	return r ? err_wrap(e, r, "this volume can't be mapped") : 0;
}
