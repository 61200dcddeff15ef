// SPDX-License-Identifier: Apache-2.0
// Changes of metadata alone: labels, UUID, priority, persistent flags. Order of writes:
// docs/FORMAT.md, "Any change of metadata".
#include "internal.h"

#define FLAGS_ALL ((1u << 7) - 1) /* enum luks_flag */

static int begin(const struct luks_io *io, const struct luks_header *h, struct luks_change *c,
		 struct err *e)
{
	int r = luks_check_usable(h, e);

	return r ? r : luks_change_begin(io, h, c, e);
}

static int finish(const struct luks_io *io, struct luks_header *h, struct luks_change *c,
		  struct err *e)
{
	int r = luks_change_write(io, c, e);

	luks_change_end(c, h);
	return r;
}

static int check_label(const char *what, const char *label, struct err *e)
{
	if (label && strlen(label) >= LUKS_LABEL_BYTES)
		return err_set(e, -EINVAL, "a %s has at most %u bytes", what, LUKS_LABEL_BYTES - 1);
	return 0;
}

/* The whole field is on disk: nothing of the old text may stay behind the NUL. */
static void put_label(char dst[LUKS_LABEL_BYTES], const char *label)
{
	if (!label)
		return;
	memset(dst, 0, LUKS_LABEL_BYTES);
	text_copy(dst, LUKS_LABEL_BYTES, label);
}

int luks_set_labels(const struct luks_io *io, struct luks_header *h, const char *label,
		    const char *subsystem, struct err *e)
{
	struct luks_change c = { .locked = false };
	int r;

	r = check_label("label", label, e);
	if (!r)
		r = check_label("subsystem label", subsystem, e);
	if (!r)
		r = begin(io, h, &c, e);
	if (r)
		return r;
	put_label(c.next->label, label);
	put_label(c.next->subsystem, subsystem);
	return finish(io, h, &c, e);
}

/* In lower case, as cryptsetup writes it: mappings, keys and udev's links are named by it. */
void luks_put_uuid(struct luks_header *h, const char *uuid)
{
	memset(h->uuid, 0, sizeof(h->uuid));
	for (size_t i = 0; uuid[i] && i + 1 < sizeof(h->uuid); i++)
		h->uuid[i] = (char)(uuid[i] >= 'A' && uuid[i] <= 'F' ? uuid[i] + ('a' - 'A')
								     : uuid[i]);
}

int luks_set_uuid(const struct luks_io *io, struct luks_header *h, const char *uuid, struct err *e)
{
	struct luks_change c = { .locked = false };
	int r;

	if (!text_uuid_valid(uuid))
		return err_set(e, -EINVAL, "\"%.64s\" is no UUID", uuid);
	r = begin(io, h, &c, e);
	if (r)
		return r;
	luks_put_uuid(c.next, uuid);
	return finish(io, h, &c, e);
}

int luks_set_priority(const struct luks_io *io, struct luks_header *h, int keyslot,
		      enum luks_priority p, struct err *e)
{
	struct luks_change c = { .locked = false };
	int r;

	if (p != LUKS_PRIORITY_IGNORE && p != LUKS_PRIORITY_NORMAL && p != LUKS_PRIORITY_PREFER)
		return err_set(e, -EINVAL, "a priority is 0, 1 or 2");
	if (!luks_find_keyslot(h, keyslot))
		return err_set(e, -ENOENT, "Keyslot %d is not active.", keyslot);
	r = begin(io, h, &c, e);
	if (r)
		return r;
	if (!luks_find_keyslot(c.next, keyslot)) {
		luks_change_end(&c, NULL);
		return err_set(e, -ENOENT, "Keyslot %d is not active.", keyslot);
	}
	for (size_t i = 0; i < c.next->n_keyslots; i++) {
		if (c.next->keyslots[i].id != (unsigned int)keyslot)
			continue;
		c.next->keyslots[i].priority = p;
		c.next->keyslots[i].priority_set = true;
	}
	return finish(io, h, &c, e);
}

int luks_set_flags(const struct luks_io *io, struct luks_header *h, uint32_t flags, struct err *e)
{
	struct luks_change c = { .locked = false };
	int r;

	if (flags & ~FLAGS_ALL)
		return err_set(e, -EINVAL, "an activation flag isn't known");
	r = begin(io, h, &c, e);
	if (r)
		return r;
	c.next->flags = flags;
	return finish(io, h, &c, e);
}
