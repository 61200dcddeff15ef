// SPDX-License-Identifier: Apache-2.0
// The rules between objects of one header: sizes, references, areas (specification 2 and 3,
// checklist 2.4 to 2.8 and 2.11). What concerns a single object is checked where it is parsed.
#include "header.h"
#include "rules.h"

int luks_rule_bad(const char *kind, unsigned int id, const char *member, struct err *e,
		  const char *fmt, ...)
{
	char what[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	return err_set(e, -EBADMSG, "%s %u: %s: %s", kind, id, member, what);
}

static int check_sizes(const struct luks_header *h, uint64_t device_bytes, struct err *e)
{
	uint64_t need;

	if (!luks_header_size_valid(h->header_bytes))
		return err_set(e, -EBADMSG, "header: hdr_size: %llu is no allowed size",
			       (unsigned long long)h->header_bytes);
	if (h->json_bytes != h->header_bytes - LUKS_BIN_HEADER_BYTES)
		return err_set(e, -EBADMSG, "config: json_size: %llu is not the header's %llu",
			       (unsigned long long)h->json_bytes,
			       (unsigned long long)h->header_bytes - LUKS_BIN_HEADER_BYTES);
	if (h->keyslots_bytes % 4096)
		return err_set(e, -EBADMSG, "config: keyslots_size: %llu is no multiple of 4096",
			       (unsigned long long)h->keyslots_bytes);
	if (h->keyslots_bytes > LUKS_KEYSLOTS_AREA_MAX_BYTES)
		return err_set(e, -EBADMSG, "config: keyslots_size: %llu is over the limit of %u",
			       (unsigned long long)h->keyslots_bytes, LUKS_KEYSLOTS_AREA_MAX_BYTES);
	need = 2 * h->header_bytes + h->keyslots_bytes;
	if (device_bytes < need)
		return err_set(e, -EBADMSG,
			       "the device is too small: header and keyslots take %llu bytes, it "
			       "has %llu",
			       (unsigned long long)need, (unsigned long long)device_bytes);
	return 0;
}

/* The name of a mapping and of its key are made from it. */
static int check_uuid(const struct luks_header *h, struct err *e)
{
	if (!text_uuid_valid(h->uuid))
		return err_set(e, -EBADMSG, "header: uuid: is no UUID");
	return 0;
}

/* Bits of @refs that name no object. */
static int check_refs(const char *kind, unsigned int id, const char *member, uint32_t refs,
		      uint32_t exist, const char *target, struct err *e)
{
	uint32_t lost = refs & ~exist;

	if (lost)
		return luks_rule_bad(kind, id, member, e, "%s %d doesn't exist", target,
				     __builtin_ctz(lost));
	return 0;
}

static int check_all_refs(const struct luks_header *h, struct err *e)
{
	uint32_t keyslots = 0, segments = 0;
	int r = 0;

	for (size_t i = 0; i < h->n_keyslots; i++)
		keyslots |= 1u << h->keyslots[i].id;
	for (size_t i = 0; i < h->n_segments; i++)
		segments |= 1u << h->segments[i].id;
	for (size_t i = 0; i < h->n_tokens && !r; i++)
		r = check_refs("token", h->tokens[i].id, "keyslots", h->tokens[i].keyslots,
			       keyslots, "keyslot", e);
	for (size_t i = 0; i < h->n_digests && !r; i++) {
		const struct luks_digest *d = &h->digests[i];

		r = check_refs("digest", d->id, "keyslots", d->keyslots, keyslots, "keyslot", e);
		if (!r)
			r = check_refs("digest", d->id, "segments", d->segments, segments,
				       "segment", e);
	}
	return r;
}

/* AF split material, in whole sectors (checklist 2.5). */
static uint64_t material_bytes(const struct luks_keyslot *k)
{
	uint64_t n = (uint64_t)k->key_bytes * LUKS_AF_STRIPES;

	return (n + SECTOR_SIZE_BYTES - 1) / SECTOR_SIZE_BYTES * SECTOR_SIZE_BYTES;
}

static int check_area(const struct luks_header *h, const struct luks_keyslot *k, struct err *e)
{
	uint64_t begin = 2 * h->header_bytes, limit = begin + h->keyslots_bytes, end;

	if (k->area_offset_bytes < begin)
		return luks_rule_bad("keyslot", k->id, "area.offset", e,
				     "%llu is inside the header",
				     (unsigned long long)k->area_offset_bytes);
	if (k->area_size_bytes == 0)
		return luks_rule_bad("keyslot", k->id, "area.size", e, "is 0");
	if (__builtin_add_overflow(k->area_offset_bytes, k->area_size_bytes, &end) || end > limit)
		return luks_rule_bad("keyslot", k->id, "area.size", e,
				     "%llu from %llu on ends beyond the keyslots area, at %llu",
				     (unsigned long long)k->area_size_bytes,
				     (unsigned long long)k->area_offset_bytes,
				     (unsigned long long)limit);
	return 0;
}

static int check_material(const struct luks_keyslot *k, struct err *e)
{
	if (k->type != LUKS_KEYSLOT_LUKS2 || material_bytes(k) <= k->area_size_bytes)
		return 0;
	return luks_rule_bad(
		"keyslot", k->id, "area.size", e, "%llu is less than the %llu that its key takes",
		(unsigned long long)k->area_size_bytes, (unsigned long long)material_bytes(k));
}

static bool areas_overlap(const struct luks_keyslot *a, const struct luks_keyslot *b)
{
	return a->area_offset_bytes < b->area_offset_bytes + b->area_size_bytes &&
	       b->area_offset_bytes < a->area_offset_bytes + a->area_size_bytes;
}

static int check_one_digest(const struct luks_header *h, const struct luks_keyslot *k,
			    struct err *e)
{
	size_t n = 0;

	for (size_t i = 0; i < h->n_digests; i++)
		n += h->digests[i].keyslots >> k->id & 1u;
	if (n != 1)
		return luks_rule_bad("keyslot", k->id, "digest", e,
				     "%zu digests list it, not exactly one", n);
	return 0;
}

static int check_keyslots(const struct luks_header *h, struct err *e)
{
	int r;

	for (size_t i = 0; i < h->n_keyslots; i++) {
		const struct luks_keyslot *k = &h->keyslots[i];

		r = check_area(h, k, e);
		if (!r && k->type == LUKS_KEYSLOT_LUKS2)
			r = check_one_digest(h, k, e);
		if (r)
			return r;
		for (size_t j = 0; j < i; j++)
			if (areas_overlap(k, &h->keyslots[j]))
				return luks_rule_bad("keyslot", k->id, "area.offset", e,
						     "overlaps the area of keyslot %u",
						     h->keyslots[j].id);
	}
	return 0;
}

int luks_rules_check(const struct luks_header *h, uint64_t device_bytes, struct err *e)
{
	int r;

	r = check_sizes(h, device_bytes, e);
	if (!r)
		r = check_all_refs(h, e);
	if (!r)
		r = luks_rules_segments(h, e);
	if (!r)
		r = check_keyslots(h, e);
	if (!r)
		r = luks_rules_reencrypt(h, e);
	return r;
}

int luks_rules_usable(const struct luks_header *h, struct err *e)
{
	int r = check_uuid(h, e);

	for (size_t i = 0; i < h->n_keyslots && !r; i++)
		r = check_material(&h->keyslots[i], e);
	return r;
}
