// SPDX-License-Identifier: Apache-2.0
// Two copies: which one counts, and what becomes of the other (checklist 2.2 and 2.11).
#include "header.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

/* The first secondary copy that passes its checksum; else the first that looked like one. */
static int scan_secondary(const struct header_source *src, struct header_copy *ret, struct err *e)
{
	struct header_copy best = { .state = COPY_ABSENT };

	best.code = err_set(&best.why, -EMEDIUMTYPE, "no LUKS header");
	for (size_t i = 0; i < HEADER_SIZES; i++) {
		struct header_copy c;
		int r;

		r = luks_copy_read(src, COPY_SECONDARY, luks_header_sizes[i], NULL, &c, e);
		if (r) {
			luks_copy_free(&best);
			return r;
		}
		if (c.state == COPY_OK || c.state == COPY_OBSOLETE) {
			luks_copy_free(&best);
			*ret = c;
			return 0;
		}
		if (best.state == COPY_ABSENT) {
			luks_copy_free(&best);
			best = c;
		} else {
			luks_copy_free(&c);
		}
	}
	*ret = best;
	return 0;
}

static void choose(struct header_pair *p)
{
	const struct header_copy *a = &p->copy[COPY_PRIMARY], *b = &p->copy[COPY_SECONDARY];
	const struct header_copy *other;

	p->use = p->rewrite = -1;
	p->version = a->version && a->version != 2;
	if (a->state == COPY_OK && b->state == COPY_OK) {
		p->use = b->seqid > a->seqid ? COPY_SECONDARY : COPY_PRIMARY;
		if (a->seqid != b->seqid)
			p->rewrite = !p->use;
		else
			p->conflict = !luks_copy_same(a, b);
		return;
	}
	if (a->state != COPY_OK && b->state != COPY_OK)
		return;
	p->use = a->state == COPY_OK ? COPY_PRIMARY : COPY_SECONDARY;
	p->rewrite = !p->use;
	other = &p->copy[p->rewrite];
	p->unreadable = other->state == COPY_UNREADABLE;
	p->newer = other->state == COPY_OBSOLETE && other->seqid > p->copy[p->use].seqid;
}

int luks_pair_read(const struct header_source *src, struct header_pair *ret, struct err *e)
{
	struct header_pair p = { .use = -1, .rewrite = -1 };
	struct header_copy *a = &p.copy[COPY_PRIMARY];
	int r;

	r = luks_copy_read(src, COPY_PRIMARY, 0, NULL, a, e);
	if (r)
		return r;
	if (a->state == COPY_BAD && a->version == 1) {
		*ret = p;
		return 0;
	}
	if (a->state == COPY_OK || a->state == COPY_OBSOLETE)
		r = luks_copy_read(src, COPY_SECONDARY, a->area_bytes, a, &p.copy[COPY_SECONDARY],
				   e);
	else
		r = scan_secondary(src, &p.copy[COPY_SECONDARY], e);
	if (r) {
		luks_copy_free(a);
		return r;
	}
	choose(&p);
	*ret = p;
	return 0;
}

/*
 * A block device that is in use keeps its page cache, which knows nothing of writes that went by
 * another name of the same bytes: the image file below a loop device, a dm-linear's leg, another
 * host. Pages that somebody works with stay even where the rest of the cache is dropped, so that it
 * is read around. The pages of a file are those of all names in the kernel.
 */
static int open_direct(int fd)
{
	struct stat st;
	char path[64];

	if (fstat(fd, &st) || !S_ISBLK(st.st_mode))
		return -1;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, O_RDONLY | O_DIRECT | O_CLOEXEC | O_NONBLOCK);
}

/* Neither copy was refused for the way in which it was read. */
static bool direct_worked(const struct header_pair *p)
{
	for (int i = COPY_PRIMARY; i <= COPY_SECONDARY; i++)
		if (p->copy[i].state == COPY_UNREADABLE && p->copy[i].code == -EINVAL)
			return false;
	return true;
}

int luks_pair_read_fresh(const struct luks_io *io, uint64_t *ret_bytes, struct header_pair *ret,
			 struct err *e)
{
	struct header_source src = { .fd = io->fd, .device_bytes = io->size_bytes };
	_cleanup_close_ int direct = open_direct(io->fd);
	int r = 0;

	if (!src.device_bytes)
		r = io_size(io->fd, &src.device_bytes, e);
	if (r)
		return r;
	if (ret_bytes)
		*ret_bytes = src.device_bytes;
	if (direct >= 0) {
		src.fd = direct;
		r = luks_pair_read(&src, ret, e);
		if (r || direct_worked(ret))
			return r;
		luks_pair_free(ret);
	}
	src.fd = io->fd;
	return luks_pair_read(&src, ret, e);
}

void luks_pair_free(struct header_pair *p)
{
	luks_copy_free(&p->copy[COPY_PRIMARY]);
	luks_copy_free(&p->copy[COPY_SECONDARY]);
}

/* The copy that came furthest says it best; the primary where both came as far. */
int luks_pair_error(const struct header_pair *p, struct err *e)
{
	static const enum copy_state order[] = { COPY_OBSOLETE, COPY_BAD, COPY_UNREADABLE };

	for (size_t i = 0; i < ARRAY_SIZE(order); i++)
		for (int copy = COPY_PRIMARY; copy <= COPY_SECONDARY; copy++)
			if (p->copy[copy].state == order[i])
				return err_set(e, p->copy[copy].code, "%s",
					       err_text(&p->copy[copy].why));
	return err_set(e, -EMEDIUMTYPE, "this is no LUKS device: no header was found");
}

struct luks_header *luks_pair_take(struct header_pair *p)
{
	struct luks_header *h = p->copy[p->use].h;

	p->copy[p->use].h = NULL;
	for (int i = COPY_PRIMARY; i <= COPY_SECONDARY; i++) {
		const struct header_copy *c = &p->copy[i];

		if (c->state != COPY_OK || c->area_bytes != h->header_bytes)
			continue;
		h->copies[i].valid = true;
		h->copies[i].json_used_bytes = c->json_len + 1;
		memcpy(h->copies[i].salt, ((const struct bin_header *)c->area)->salt,
		       BIN_SALT_BYTES);
	}
	h->from_secondary = p->use == COPY_SECONDARY;
	h->needs_recovery = p->rewrite >= 0;
	h->newer_seqid = p->newer ? p->copy[p->rewrite].seqid : 0;
	h->other_invalid = p->copy[!p->use].state == COPY_OBSOLETE;
	h->seqid_conflict = p->conflict;
	return h;
}

int luks_pair_rewrite(int fd, struct header_pair *p, struct err *e)
{
	struct header_copy *good = &p->copy[p->use], *bad = &p->copy[p->rewrite];
	struct bin_header *bin;
	uint8_t *area;
	int r;

	area = aligned_alloc(HEADER_ALIGN_BYTES, good->area_bytes);
	if (!area)
		return err_set(e, -ENOMEM, "no memory for a header");
	memcpy(area, good->area, good->area_bytes);
	bin = (struct bin_header *)area;
	memcpy(bin->magic, luks_bin_magic(p->rewrite), sizeof(bin->magic));
	bad->offset_bytes = p->rewrite == COPY_PRIMARY ? 0 : good->area_bytes;
	bin->offset_bytes = be64_make(bad->offset_bytes);
	r = crypto_random(bin->salt, sizeof(bin->salt), e);
	if (!r)
		r = luks_copy_write(fd, bad->offset_bytes, area, good->area_bytes,
				    good->area_bytes - sizeof(*bin), e);
	if (r) {
		free(area);
		return r;
	}
	free(bad->area);
	bad->area = area;
	bad->area_bytes = good->area_bytes;
	bad->json_len = good->json_len;
	bad->seqid = good->seqid;
	bad->state = COPY_OK;
	p->rewrite = -1;
	return 0;
}
