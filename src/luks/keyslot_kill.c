// SPDX-License-Identifier: Apache-2.0
// Revoke keyslots. Order of writes: docs/FORMAT.md, "Kill and remove" and "Erase".
#include "write.h"

static unsigned int count_bits(uint32_t bits)
{
	return (unsigned int)__builtin_popcount(bits);
}

/* May keyslot @id go? */
static int check_kill(const struct luks_header *h, int id, bool allow_last, struct err *e)
{
	const struct luks_keyslot *k = luks_find_keyslot(h, id);
	const struct luks_digest *d;

	if (!k)
		return err_set(e, -ENOENT, "Keyslot %d is not active.", id);
	if (k->type == LUKS_KEYSLOT_REENCRYPT)
		return err_set(e, -EOPNOTSUPP, "keyslot %d belongs to a re-encryption in flight",
			       id);
	d = luks_slot_digest(h, k->id);
	if (d && d->segments && count_bits(d->keyslots) == 1 && !allow_last)
		return err_set(e, -EBUSY, "keyslot %d is the last one: without it the data is lost",
			       id);
	return 0;
}

int luks_kill_keyslot(const struct luks_io *io, struct luks_header *h, int keyslot, bool allow_last,
		      struct err *e)
{
	const struct luks_keyslot *k;
	struct luks_change c = { .locked = false };
	int r;

	r = luks_check_usable(h, e);
	if (!r)
		r = check_kill(h, keyslot, allow_last, e);
	if (!r)
		r = luks_change_begin(io, h, &c, e);
	if (r)
		return r;
	k = luks_find_keyslot(c.next, keyslot);
	r = luks_area_wipe(io, k->area_offset_bytes, k->area_size_bytes, e);
	if (!r) {
		luks_slot_remove(c.next, (unsigned int)keyslot);
		r = luks_change_write(io, &c, e);
	}
	if (!r)
		r = luks_change_wipe_gaps(io, &c, e);
	luks_change_end(&c, h);
	return r;
}

/* The next keyslot that a kill has begun to wipe, or -1. */
static int find_wiped(const struct luks_io *io, const struct luks_header *h, int *ret,
		      struct err *e)
{
	*ret = -1;
	for (size_t i = 0; i < h->n_keyslots; i++) {
		const struct luks_keyslot *k = &h->keyslots[i];
		bool wiped;
		int r;

		if (k->type != LUKS_KEYSLOT_LUKS2 || check_kill(h, (int)k->id, false, NULL))
			continue;
		r = luks_area_wiped(io, k->area_offset_bytes, &wiped, e);
		if (r)
			return r;
		if (wiped) {
			*ret = (int)k->id;
			return 0;
		}
	}
	return 0;
}

int luks_finish_kills(const struct luks_io *io, struct luks_header *h, size_t *ret_n, struct err *e)
{
	int id, r;

	*ret_n = 0;
	while (!(r = find_wiped(io, h, &id, e)) && id >= 0) {
		r = luks_kill_keyslot(io, h, id, false, e);
		if (r)
			break;
		++*ret_n;
	}
	return r;
}

int luks_erase_keyslots(const struct luks_io *io, struct luks_header *h, struct err *e)
{
	struct luks_change c = { .locked = false };
	int r;

	r = luks_check_usable(h, e);
	if (!r)
		r = luks_change_begin(io, h, &c, e);
	if (r)
		return r;
	for (size_t i = 0; i < c.next->n_keyslots && !r; i++)
		r = luks_area_wipe(io, c.next->keyslots[i].area_offset_bytes,
				   c.next->keyslots[i].area_size_bytes, e);
	while (!r && c.next->n_keyslots > 0)
		luks_slot_remove(c.next, c.next->keyslots[0].id);
	if (!r)
		r = luks_change_write(io, &c, e);
	if (!r)
		r = luks_change_wipe_gaps(io, &c, e);
	luks_change_end(&c, h);
	return r;
}
