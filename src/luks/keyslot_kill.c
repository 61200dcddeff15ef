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

/** What is to be killed, and what has to hold for it under the lock. */
struct kill {
	int keyslot;
	int proof; /* this one has to stay; LUKS_ANY: none */
	bool allow_last;
	bool only_wiped;
};

/* What was found before the lock holds still. */
static int check_again(const struct luks_io *io, const struct luks_change *c,
		       const struct luks_header *h, const struct kill *k, struct err *e)
{
	bool wiped = true;
	int r;

	r = luks_change_keeps(c, h, k->keyslot, e);
	if (!r && k->proof != LUKS_ANY)
		r = luks_change_keeps(c, h, k->proof, e);
	if (r)
		return r;
	r = check_kill(c->next, k->keyslot, k->allow_last, e);
	/* Not the same as "it is the last one", which a caller may answer with "go on". */
	if (r == -EBUSY)
		return err_set(e, -ESTALE,
			       "keyslot %d is the last one by now, since others were removed "
			       "meanwhile; it is kept",
			       k->keyslot);
	if (!r && k->only_wiped)
		r = luks_area_wiped(io, luks_find_keyslot(c->next, k->keyslot)->area_offset_bytes,
				    &wiped, e);
	return r || wiped ? r : err_set(e, -ESTALE, "keyslot %d isn't wiped any more", k->keyslot);
}

static int kill_keyslot(const struct luks_io *io, struct luks_header *h, const struct kill *k,
			struct err *e)
{
	const struct luks_keyslot *dying;
	struct luks_change c = { .locked = false };
	int r;

	r = luks_check_usable(h, e);
	if (!r)
		r = check_kill(h, k->keyslot, k->allow_last, e);
	if (!r)
		r = luks_change_begin(io, h, &c, e);
	if (r)
		return r;
	r = check_again(io, &c, h, k, e);
	if (!r) {
		dying = luks_find_keyslot(c.next, k->keyslot);
		r = luks_area_wipe(io, dying->area_offset_bytes, dying->area_size_bytes, e);
	}
	if (!r) {
		luks_slot_remove(c.next, (unsigned int)k->keyslot);
		r = luks_change_write(io, &c, e);
	}
	if (!r)
		r = luks_change_wipe_gaps(io, &c, e);
	luks_change_end(&c, h);
	return r;
}

int luks_kill_keyslot(const struct luks_io *io, struct luks_header *h, int keyslot, bool allow_last,
		      struct err *e)
{
	const struct kill k = { .keyslot = keyslot, .proof = LUKS_ANY, .allow_last = allow_last };

	return kill_keyslot(io, h, &k, e);
}

int luks_kill_other(const struct luks_io *io, struct luks_header *h, int keyslot, int proof,
		    bool allow_last, struct err *e)
{
	const struct kill k = { .keyslot = keyslot, .proof = proof, .allow_last = allow_last };

	return kill_keyslot(io, h, &k, e);
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
		const struct kill k = { .keyslot = id, .proof = LUKS_ANY, .only_wiped = true };

		r = kill_keyslot(io, h, &k, e);
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
