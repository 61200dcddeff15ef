// SPDX-License-Identifier: Apache-2.0
// A change of the header: exclusive lock, nobody was faster, edit a copy, commit or drop it.
#include "header.h"
#include "write.h"

/* The header on disk must be the one that the caller has read: same number, both copies in order.
 */
static int check_on_disk(const struct luks_io *io, const struct luks_header *h, struct err *e)
{
	struct header_source src = { .fd = io->fd };
	struct header_pair pair;
	int r;

	r = io_size(io->fd, &src.device_bytes, e);
	if (!r)
		r = luks_pair_read(&src, &pair, e);
	if (r)
		return r;
	if (pair.use < 0)
		r = luks_pair_error(&pair, e);
	else if (pair.copy[pair.use].seqid != h->seqid)
		r = err_set(e, -ESTALE,
			    "the header was changed by someone else: its sequence number is %llu, "
			    "not %llu",
			    (unsigned long long)pair.copy[pair.use].seqid,
			    (unsigned long long)h->seqid);
	else if (pair.conflict)
		r = err_set(e, -EUCLEAN,
			    "the two header copies have the same sequence number and different "
			    "content: repair it first");
	else if (pair.rewrite >= 0)
		r = err_set(e, -EUCLEAN, "one copy of the header is damaged: repair it first");
	luks_pair_free(&pair);
	return r;
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
	if (!io->no_locks) {
		r = luks_lock_take(io->fd, true, &c.lock, e);
		if (r)
			return r;
		c.locked = true;
	}
	r = check_on_disk(io, h, e);
	if (!r)
		r = luks_header_clone(h, &c.next, e);
	if (r) {
		luks_change_end(&c, NULL);
		return r;
	}
	*ret = c;
	return 0;
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
		luks_lock_release(&c->lock);
	c->locked = false;
}
