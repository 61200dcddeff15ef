// SPDX-License-Identifier: Apache-2.0
// The pin of a volume's header: what the record says that it has to be. It is checked on the very
// copy that a verb goes on with, before anything is derived from it.
#include "node.h"

static int pin_of(const struct luks_header *h, struct backend_pin *ret, struct err *e)
{
	struct backend_pin p = { .uuid = "" };
	struct luks_plan plan;
	int r;

	r = luks_make_plan(h, &plan, e);
	r = r ?: luks_fingerprint(h, p.digest, e);
	r = r ?: luks_pin(h, p.mapping, e);
	if (r)
		return r;
	p.data_offset_bytes = plan.offset_bytes;
	p.sector_size_bytes = plan.sector_size_bytes;
	if (text_copy(p.uuid, sizeof(p.uuid), h->uuid) ||
	    text_copy(p.cipher, sizeof(p.cipher), plan.encryption))
		return err_set(e, -EBADMSG, "the header's UUID or cipher is too long");
	*ret = p;
	return 0;
}

/* Fields first, since they say best what differs. Records and backups from before the hash have
 * only them. */
static int compare(const struct backend_pin *pin, const struct backend_pin *now, struct err *e)
{
	if (strcmp(now->cipher, pin->cipher) != 0)
		return err_set(
			e, -EBADMSG,
			"the header isn't the recorded one: its cipher is %s, recorded is %s",
			now->cipher, pin->cipher);
	if (now->data_offset_bytes != pin->data_offset_bytes)
		return err_set(e, -EBADMSG,
			       "the header isn't the recorded one: its data offset is %llu, "
			       "recorded is %llu",
			       (unsigned long long)now->data_offset_bytes,
			       (unsigned long long)pin->data_offset_bytes);
	if (now->sector_size_bytes != pin->sector_size_bytes)
		return err_set(
			e, -EBADMSG,
			"the header isn't the recorded one: its sector size is %u, recorded is %u",
			now->sector_size_bytes, pin->sector_size_bytes);
	if (strcmp(now->digest, pin->digest) != 0)
		return err_set(e, -EBADMSG,
			       "the header isn't the recorded one: it is for another volume key");
	if (*pin->mapping && strcmp(now->mapping, pin->mapping) != 0)
		return err_set(e, -EBADMSG,
			       "the header isn't the recorded one: its segments, their digests, "
			       "its requirements "
			       "or its flags were changed");
	return 0;
}

static int check_pin(struct node_stage *s, const struct luks_header *h, struct err *e)
{
	const struct backend_pin *pin = &s->volume.pin;
	int r;

	/* Of an old backup the UUID is all that is known. */
	if (*pin->uuid && strcmp(pin->uuid, h->uuid) != 0)
		return err_set(e, -EBADMSG,
			       "the header isn't the recorded one: its UUID is %s, recorded is %s",
			       h->uuid, pin->uuid);
	r = pin_of(h, &s->seen, e);
	return r ?: *pin->digest ? compare(pin, &s->seen, e) : 0;
}

static int check_size(const struct node_stage *s, const struct luks_header *h, struct err *e)
{
	uint64_t offset = luks_data_offset(h);

	if (s->is_static || s->volume.adopted || offset <= s->volume.header_bytes)
		return 0;
	return err_set(e, -EBADMSG,
		       "the header puts the data at %llu, beyond the %llu that were set aside",
		       (unsigned long long)offset, (unsigned long long)s->volume.header_bytes);
}

static int check_header(void *arg, const struct luks_header *h, struct err *e)
{
	int r = check_pin(arg, h, e);

	return r ?: check_size(arg, h, e);
}

struct volume_check node_check(struct node_stage *s)
{
	return (struct volume_check){ .check = check_header, .arg = s };
}
