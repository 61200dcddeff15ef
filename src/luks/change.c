// SPDX-License-Identifier: Apache-2.0
// A change of the header: exclusive lock, what is on disk by now, edit a copy of that, commit or
// drop it.
#include "header.h"
#include "write.h"

/* Both copies are in order: a change begins with two good copies of one state. */
static int check_pair(const struct header_pair *p, struct err *e)
{
	if (p->use < 0)
		return luks_pair_error(p, e);
	if (p->conflict)
		return err_set(e, -EUCLEAN,
			       "the two header copies have the same sequence number and different "
			       "content: repair it first");
	if (p->rewrite >= 0)
		return err_set(e, -EUCLEAN, "one copy of the header is damaged: repair it first");
	return 0;
}

static bool same_digest(const struct luks_header *a, const struct luks_header *b)
{
	char x[65] = "", y[65] = "";

	(void)luks_fingerprint(a, x, NULL); /* none: "" */
	(void)luks_fingerprint(b, y, NULL);
	return !strcmp(x, y);
}

int luks_check_same(const struct luks_header *old, const struct luks_header *now, struct err *e)
{
	if (now->header_bytes != old->header_bytes || now->keyslots_bytes != old->keyslots_bytes ||
	    !same_digest(old, now))
		return err_set(e, -ESTALE, "the header was replaced by another volume's meanwhile");
	return 0;
}

static int check_newer(const struct luks_header *old, const struct luks_header *now, struct err *e)
{
	int r;

	if (now->seqid < old->seqid)
		return err_set(e, -ESTALE,
			       "the header was replaced by an older one meanwhile: its sequence "
			       "number is %llu, not %llu",
			       (unsigned long long)now->seqid, (unsigned long long)old->seqid);
	r = luks_check_same(old, now, e);
	if (r)
		return r;
	if (now->seqid != old->seqid)
		log_debug("the header was changed by someone else: its sequence number is %llu, "
			  "not %llu",
			  (unsigned long long)now->seqid, (unsigned long long)old->seqid);
	return luks_check_usable(now, e);
}

/* What stands on disk now, for *ret. */
static int read_again(const struct luks_io *io, const struct luks_header *h,
		      struct luks_header **ret, struct err *e)
{
	_cleanup_luks_ struct luks_header *now = NULL;
	struct luks_io ask = *io;
	struct header_pair pair;
	int r;

	ask.size_bytes = 0; /* a header file may have grown */
	r = luks_pair_read_fresh(&ask, NULL, &pair, e);
	if (r)
		return r;
	r = check_pair(&pair, e);
	if (!r)
		now = luks_pair_take(&pair);
	luks_pair_free(&pair);
	if (!r)
		r = check_newer(h, now, e);
	if (r)
		return r;
	*ret = now;
	now = NULL;
	return 0;
}

int luks_change_begin(const struct luks_io *io, const struct luks_header *h,
		      struct luks_change *ret, struct err *e)
{
	struct luks_change c = { .locked = false };
	int r;

	if (!io->writable)
		return err_set(e, -EROFS, "the header was opened for reading only");
	r = luks_check_usable(h, e);
	if (r)
		return r;
	r = luks_locks_take(io, true, &c.locks, e);
	if (r)
		return r;
	c.locked = true;
	c.io = io;
	r = read_again(io, h, &c.next, e);
	if (r) {
		luks_change_end(&c, NULL);
		return r;
	}
	*ret = c;
	return 0;
}

int luks_check_same_keyslot(const struct luks_header *old, const struct luks_header *now, int id,
			    struct err *e)
{
	const struct luks_keyslot *a = luks_find_keyslot(old, id);
	const struct luks_keyslot *b = luks_find_keyslot(now, id);

	if (a && !b)
		return err_set(e, -ESTALE, "keyslot %d was removed by someone else meanwhile", id);
	if (!a || a->type != b->type || a->area_offset_bytes != b->area_offset_bytes ||
	    a->area_size_bytes != b->area_size_bytes || a->salt_len != b->salt_len ||
	    memcmp(a->salt, b->salt, a->salt_len) != 0)
		return err_set(e, -ESTALE, "keyslot %d was changed by someone else meanwhile", id);
	return 0;
}

int luks_change_keeps(const struct luks_change *c, const struct luks_header *h, int id,
		      struct err *e)
{
	int r = luks_check_same_keyslot(h, c->next, id, e);

	return r ? err_wrap(e, r, "nothing is changed") : 0;
}

int luks_change_write(const struct luks_io *io, struct luks_change *c, struct err *e)
{
	uint64_t before = c->next->seqid;
	int r;

	r = luks_header_write(io, c->next, false, e);
	if (c->next->seqid != before)
		c->made = true;
	return r;
}

int luks_change_wipe_gaps(const struct luks_io *io, const struct luks_change *c, struct err *e)
{
	int r = luks_gaps_zero(io, c->next, e);

	return r ? err_wrap(e, r,
			    "the change is made, but old key material may be left in a free part "
			    "of the keyslots area")
		 : 0;
}

void luks_change_end(struct luks_change *c, struct luks_header *h)
{
	struct luks_header old;

	if (c->made && h) {
		old = *h;
		*h = *c->next;
		*c->next = old;
	}
	luks_free(c->next);
	c->next = NULL;
	if (c->locked)
		luks_locks_release(c->io, &c->locks);
	c->locked = false;
}
