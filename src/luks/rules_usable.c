// SPDX-License-Identifier: Apache-2.0
// What we can read but must not touch, each refused by its name.
#include "internal.h"

static const struct {
	enum luks_requirement requirement;
	const char *sentence;
} beyond_us[] = {
	{ LUKS_REQ_ONLINE_REENCRYPT, "re-encryption is in flight (requirement online-reencrypt)" },
	{ LUKS_REQ_OFFLINE_REENCRYPT,
	  "offline re-encryption is in flight (requirement offline-reencrypt)" },
	{ LUKS_REQ_INLINE_HW_TAGS, "integrity tags in hardware (requirement inline-hw-tags)" },
	{ LUKS_REQ_OPAL, "OPAL hardware encryption (requirement opal)" },
};

static int check_segment(const struct luks_segment *s, struct err *e)
{
	if (s->type == LUKS_SEGMENT_OPAL || s->type == LUKS_SEGMENT_OPAL_CRYPT)
		return err_set(e, -EOPNOTSUPP,
			       "segment %u: OPAL hardware encryption (%s) isn't supported", s->id,
			       s->type_name);
	if (s->type == LUKS_SEGMENT_UNKNOWN)
		return err_set(e, -EOPNOTSUPP, "segment %u: type \"%s\" isn't supported", s->id,
			       s->type_name);
	if (s->integrity)
		return err_set(e, -EOPNOTSUPP,
			       "segment %u: integrity protection (%s) isn't supported", s->id,
			       s->integrity_type);
	return 0;
}

int luks_check_usable(const struct luks_header *h, struct err *e)
{
	int r = 0;

	if (h->version == 1)
		return err_set(e, -EOPNOTSUPP, "LUKS1 isn't supported");
	if (h->unusable[0])
		return err_set(e, -EBADMSG, "%s", h->unusable);
	if (h->requirements & LUKS_REQ_UNKNOWN)
		return err_set(e, -ETXTBSY,
			       "the header has the requirement \"%s\", which isn't known here",
			       h->unknown_requirement);
	for (size_t i = 0; i < ARRAY_SIZE(beyond_us); i++)
		if (h->requirements & beyond_us[i].requirement)
			return err_set(e, -EOPNOTSUPP, "not supported: %s", beyond_us[i].sentence);
	for (size_t i = 0; i < h->n_segments && !r; i++)
		r = check_segment(&h->segments[i], e);
	return r;
}
