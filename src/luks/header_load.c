// SPDX-License-Identifier: Apache-2.0
// From a descriptor or from memory to a header; recovery of the other copy (checklist 2.2).
#include "header.h"

/* May this pair be put in order without a person's say? */
static bool may_recover(const struct luks_io *io, const struct header_pair *p)
{
	return p->rewrite >= 0 && !p->unreadable && !p->newer && !p->version && io->writable &&
	       !io->no_locks && io->check_foreign;
}

/*
 * One copy is damaged and something else stands on the device: is it still this volume? A person
 * says so by `repair`; until then no verb goes on with the copy that is left, whether it could
 * write or not (docs/FORMAT.md).
 */
static int check_owner(const struct luks_io *io, const struct header_pair *p, struct err *e)
{
	int r;

	if (p->use < 0 || p->rewrite < 0 || p->unreadable || p->version || !io->check_foreign)
		return 0;
	r = io->check_foreign(io->fd, e);
	if (!r)
		return 0;
	return err_wrap(e, r, "one copy of the header is damaged, and won't be rewritten");
}

/* What can't be written stays as it was found; the other copy is good. */
static void recover(const struct luks_io *io, struct header_pair *p)
{
	struct err why;

	if (luks_pair_rewrite(io->fd, p, &why))
		log_debug("recovery of a header copy failed: %s", err_text(&why));
}

static int finish(struct header_pair *p, uint64_t device_bytes, struct luks_header **ret,
		  struct err *e)
{
	if (p->copy[COPY_PRIMARY].version == 1)
		return luks1_parse(p->copy[COPY_PRIMARY].area, p->copy[COPY_PRIMARY].area_bytes,
				   device_bytes, ret, e);
	if (p->use < 0 || p->version)
		return luks_pair_error(p, e);
	*ret = luks_pair_take(p);
	return 0;
}

/* One try under the lock; *ret_again: it takes the exclusive one. */
static int load_locked(const struct luks_io *io, bool exclusive, struct luks_header **ret,
		       bool *ret_again, struct err *e)
{
	struct header_pair pair;
	uint64_t device_bytes;
	int r;

	*ret_again = false;
	r = luks_pair_read_fresh(io, &device_bytes, &pair, e);
	if (r)
		return r;
	*ret_again = !exclusive && may_recover(io, &pair);
	if (!*ret_again)
		r = check_owner(io, &pair, e);
	if (!r && !*ret_again && may_recover(io, &pair))
		recover(io, &pair);
	if (!r && !*ret_again)
		r = finish(&pair, device_bytes, ret, e);
	luks_pair_free(&pair);
	return r;
}

int luks_load(const struct luks_io *io, struct luks_header **ret, struct err *e)
{
	bool exclusive = false, again;
	int r;

	do {
		struct luks_locks locks;

		r = luks_locks_take(io, exclusive, &locks, e);
		if (r)
			return r;
		r = load_locked(io, exclusive, ret, &again, e);
		luks_locks_release(io, &locks);
		exclusive = true;
	} while (!r && again);
	return r;
}

static bool is_sealed(const struct header_copy *c)
{
	return c->state == COPY_OK || c->state == COPY_OBSOLETE;
}

/* LUKS1 has no checksum: its fields have to be sound. */
static int check_pair(struct header_pair *p, uint64_t device_bytes, unsigned int *ret_version,
		      struct err *e)
{
	_cleanup_luks_ struct luks_header *h = NULL;
	int r;

	if (is_sealed(&p->copy[COPY_PRIMARY]) || is_sealed(&p->copy[COPY_SECONDARY])) {
		*ret_version = 2;
		return 0;
	}
	r = finish(p, device_bytes, &h, e);
	if (!r && h)
		*ret_version = h->version;
	return r;
}

int luks_check_copies(const struct luks_io *io, unsigned int *ret_version, struct err *e)
{
	uint64_t device_bytes = 0;
	struct header_pair pair;
	struct luks_locks locks;
	int r;

	r = luks_locks_take(io, false, &locks, e);
	if (r)
		return r;
	r = luks_pair_read_fresh(io, &device_bytes, &pair, e);
	luks_locks_release(io, &locks);
	if (r)
		return r;
	r = check_owner(io, &pair, e);
	r = r ?: check_pair(&pair, device_bytes, ret_version, e);
	luks_pair_free(&pair);
	return r;
}

int luks_parse(const void *buf, size_t len, uint64_t device_bytes, struct luks_header **ret,
	       struct err *e)
{
	const struct header_source src = {
		.fd = -1, .buf = buf, .len = len, .device_bytes = device_bytes
	};
	struct header_pair pair;
	int r;

	r = luks_pair_read(&src, &pair, e);
	if (r)
		return r;
	r = finish(&pair, device_bytes, ret, e);
	luks_pair_free(&pair);
	return r;
}

static int repair_pair(int fd, struct header_pair *p, bool roll_back, struct err *e)
{
	if (p->copy[COPY_PRIMARY].version == 1)
		return err_set(e, -EOPNOTSUPP, "LUKS1 has no second copy to repair from");
	if (p->use < 0)
		return luks_pair_error(p, e);
	if (p->unreadable)
		return err_set(e, -EIO,
			       "the %s copy can't be read, and so won't be written over: %s",
			       p->rewrite == COPY_PRIMARY ? "primary" : "secondary",
			       err_text(&p->copy[p->rewrite].why));
	if (p->newer && !roll_back)
		return err_set(e, -EUCLEAN, "the %s copy is newer (%llu, not %llu) and whole: %s",
			       p->rewrite == COPY_PRIMARY ? "primary" : "secondary",
			       (unsigned long long)p->copy[p->rewrite].seqid,
			       (unsigned long long)p->copy[p->use].seqid,
			       err_text(&p->copy[p->rewrite].why));
	/* A person asked: of two with one number the primary stays. */
	if (p->conflict)
		p->rewrite = COPY_SECONDARY;
	return p->rewrite < 0 ? 0 : luks_pair_rewrite(fd, p, e);
}

int luks_repair(const struct luks_io *io, bool roll_back, struct err *e)
{
	struct header_pair pair;
	struct luks_locks locks;
	int r;

	if (!io->writable)
		return err_set(e, -EROFS, "the device was opened for reading only");
	r = luks_locks_take(io, true, &locks, e);
	if (r)
		return r;
	r = luks_pair_read_fresh(io, NULL, &pair, e);
	if (!r) {
		r = repair_pair(io->fd, &pair, roll_back, e);
		luks_pair_free(&pair);
	}
	luks_locks_release(io, &locks);
	return r;
}
