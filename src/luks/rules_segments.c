// SPDX-License-Identifier: Apache-2.0
// The rules of segments among each other (specification 3.3, checklist 2.4 and 2.7), and of
// re-encryption in flight.
#include "rules.h"

/* Numbers run from 0 without a gap, regular segments first, then backups; at least one is regular.
 */
static int check_order(const struct luks_header *h, size_t *ret_regular, struct err *e)
{
	size_t regular = 0;

	for (size_t i = 0; i < h->n_segments; i++)
		regular += !h->segments[i].backup;
	if (h->n_segments == 0)
		return err_set(e, -EBADMSG, "segments: there is none");
	for (size_t i = 0; i < h->n_segments; i++) {
		const struct luks_segment *s = luks_find_segment(h, (int)i);

		if (!s)
			return err_set(e, -EBADMSG, "segments: number %zu is missing", i);
		if (s->backup != (i >= regular) || regular == 0)
			return luks_rule_bad("segment", s->id, "flags", e,
					     "backup segments stand behind all others");
	}
	*ret_regular = regular;
	return 0;
}

static uint64_t segment_end(const struct luks_segment *s)
{
	uint64_t end;

	if (s->dynamic || __builtin_add_overflow(s->offset_bytes, s->size_bytes, &end))
		return UINT64_MAX;
	return end;
}

static int check_overlap(const struct luks_header *h, struct err *e)
{
	for (size_t i = 0; i < h->n_segments; i++)
		for (size_t j = 0; j < i; j++) {
			const struct luks_segment *a = &h->segments[i], *b = &h->segments[j];

			if (a->backup || b->backup)
				continue;
			if (a->offset_bytes < segment_end(b) && b->offset_bytes < segment_end(a))
				return luks_rule_bad("segment", a->id, "offset", e,
						     "overlaps segment %u", b->id);
		}
	return 0;
}

static bool has_key(const struct luks_segment *s)
{
	return s->type == LUKS_SEGMENT_CRYPT || s->type == LUKS_SEGMENT_OPAL ||
	       s->type == LUKS_SEGMENT_OPAL_CRYPT;
}

static int check_segment(const struct luks_header *h, const struct luks_segment *s, size_t regular,
			 struct err *e)
{
	bool opal = s->type == LUKS_SEGMENT_OPAL || s->type == LUKS_SEGMENT_OPAL_CRYPT;

	if (s->dynamic && !s->backup && s->id != regular - 1)
		return luks_rule_bad("segment", s->id, "size", e,
				     "only the last segment's may be dynamic");
	if (has_key(s) && !luks_segment_digest(h, (int)s->id))
		return luks_rule_bad("segment", s->id, "digest", e, "no digest lists it");
	if (opal && !(h->requirements & LUKS_REQ_OPAL))
		return luks_rule_bad("segment", s->id, "type", e, "%s needs the requirement opal",
				     s->type_name);
	return 0;
}

static int check_first_offset(const struct luks_header *h, struct err *e)
{
	uint64_t offset = luks_data_offset(h), end = 2 * h->header_bytes + h->keyslots_bytes;

	for (size_t i = 0; i < h->n_segments; i++)
		if (!h->segments[i].backup && h->segments[i].offset_bytes == offset && offset &&
		    offset < end)
			return luks_rule_bad("segment", h->segments[i].id, "offset", e,
					     "%llu is inside header or keyslots area, which end at "
					     "%llu",
					     (unsigned long long)offset, (unsigned long long)end);
	return 0;
}

int luks_rules_segments(const struct luks_header *h, struct err *e)
{
	size_t regular = 0;
	int r;

	r = check_order(h, &regular, e);
	for (size_t i = 0; i < h->n_segments && !r; i++)
		r = check_segment(h, &h->segments[i], regular, e);
	if (!r)
		r = check_overlap(h, e);
	if (!r)
		r = check_first_offset(h, e);
	return r;
}

static const struct luks_segment *flagged(const struct luks_header *h, uint32_t flag)
{
	for (size_t i = 0; i < h->n_segments; i++)
		if (h->segments[i].flags & flag)
			return &h->segments[i];
	return NULL;
}

static bool same_kind(const struct luks_segment *a, const struct luks_segment *b)
{
	return a->type == b->type && !strcmp(a->encryption, b->encryption) &&
	       a->sector_size_bytes == b->sector_size_bytes;
}

/* Each part of the data is as it was, or as it will be (checklist 2.7). */
static int check_reencrypt_segments(const struct luks_header *h, struct err *e)
{
	const struct luks_segment *previous = flagged(h, LUKS_SEGMENT_BACKUP_PREVIOUS);
	const struct luks_segment *final = flagged(h, LUKS_SEGMENT_BACKUP_FINAL);

	if (!previous || !final)
		return err_set(e, -EBADMSG, "segments: re-encryption needs one flagged %s",
			       previous ? "backup-final" : "backup-previous");
	for (size_t i = 0; i < h->n_segments; i++) {
		const struct luks_segment *s = &h->segments[i];
		bool running = s->flags & LUKS_SEGMENT_IN_REENCRYPTION;

		if (s->backup || same_kind(s, final) || (!running && same_kind(s, previous)))
			continue;
		return luks_rule_bad("segment", s->id, "type", e,
				     running ? "is not that of backup-final"
					     : "is neither that of backup-previous nor of "
					       "backup-final");
	}
	return 0;
}

int luks_rules_reencrypt(const struct luks_header *h, struct err *e)
{
	bool required = h->requirements & LUKS_REQ_ONLINE_REENCRYPT;
	const struct luks_keyslot *slot = NULL;

	for (size_t i = 0; i < h->n_keyslots; i++) {
		if (h->keyslots[i].type != LUKS_KEYSLOT_REENCRYPT)
			continue;
		if (slot)
			return luks_rule_bad("keyslot", h->keyslots[i].id, "type", e,
					     "keyslot %u is of type reencrypt already", slot->id);
		slot = &h->keyslots[i];
	}
	if (slot && !required)
		return luks_rule_bad("keyslot", slot->id, "type", e,
				     "reencrypt needs a requirement online-reencrypt");
	if (required && !slot)
		return err_set(e, -EBADMSG,
			       "config: requirements.mandatory: online-reencrypt needs a keyslot "
			       "of type reencrypt");
	return required ? check_reencrypt_segments(h, e) : 0;
}
