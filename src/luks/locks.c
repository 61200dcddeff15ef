// SPDX-License-Identifier: Apache-2.0
// The metadata locks of all names of one header: collected, put in order, taken, looked at again.
#include "internal.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#define TRIES 8 /* a name that comes while we wait for the others' locks is rare */
/* Both header copies and the keyslots area at their largest. */
#define METADATA_MAX_BYTES (2ll * LUKS_HEADER_MAX_BYTES + LUKS_KEYSLOTS_AREA_MAX_BYTES)

/** One name: a block device, or an open file. */
struct name {
	bool file, own; /* own: io->fd itself */
	uint64_t a, b;	/* major and minor, or device and inode */
	int fd;		/* of a file */
};

struct names {
	struct name *name;
	size_t n;
};

void luks_others_free(struct luks_others *o)
{
	free(o->devices);
	for (size_t i = 0; i < o->n_files; i++)
		close(o->files[i]);
	free(o->files);
	*o = (struct luks_others){ 0 };
}

/* Devices first, by number; then files, by device and inode. */
static int compare(const void *x, const void *y)
{
	const struct name *p = x, *q = y;

	if (p->file != q->file)
		return p->file ? 1 : -1;
	if (p->a != q->a)
		return p->a < q->a ? -1 : 1;
	if (p->b != q->b)
		return p->b < q->b ? -1 : 1;
	return q->own - p->own; /* ours before the same by another descriptor */
}

static int name_of(int fd, bool own, struct name *ret, struct err *e)
{
	struct stat st;

	if (fstat(fd, &st))
		return err_sys(e, -errno, "the device can't be examined");
	*ret = (struct name){ .own = own, .fd = fd, .file = !S_ISBLK(st.st_mode) };
	ret->a = ret->file ? st.st_dev : major(st.st_rdev);
	ret->b = ret->file ? st.st_ino : minor(st.st_rdev);
	return 0;
}

/* In order, each once. @o lends its files. */
static int make_names(int fd, const struct luks_others *o, struct names *ret, struct err *e)
{
	struct names l = { .n = 1 };
	size_t kept = 0;
	int r;

	l.name = calloc(1 + o->n_devices + o->n_files, sizeof(*l.name));
	if (!l.name)
		return err_set(e, -ENOMEM, "no memory for the metadata locks");
	r = name_of(fd, true, &l.name[0], e);
	for (size_t i = 0; i < o->n_devices; i++)
		l.name[l.n++] = (struct name){ .a = o->devices[i].major, .b = o->devices[i].minor };
	for (size_t i = 0; i < o->n_files && !r; i++)
		r = name_of(o->files[i], false, &l.name[l.n++], e);
	if (r) {
		free(l.name);
		return r;
	}
	qsort(l.name, l.n, sizeof(*l.name), compare);
	for (size_t i = 0; i < l.n; i++)
		if (!kept || l.name[kept - 1].file != l.name[i].file ||
		    l.name[kept - 1].a != l.name[i].a || l.name[kept - 1].b != l.name[i].b)
			l.name[kept++] = l.name[i];
	l.n = kept;
	*ret = l;
	return 0;
}

/* Whoever may not lock another name may well own the image: its file is what we all lock then. */
static bool may_go_without(const struct name *n, int r)
{
	return !n->own && !n->file && (r == -EACCES || r == -EPERM || r == -EROFS || r == -ENOENT);
}

static int take_one(const struct name *n, bool exclusive, struct luks_lock *ret, struct err *e)
{
	int r;

	if (!n->file)
		return luks_lock_take_device((uint32_t)n->a, (uint32_t)n->b, exclusive, ret, e);
	r = luks_lock_take_file(n->fd, exclusive, ret, e);
	if (r || n->own)
		return r;
	ret->fd = fcntl(n->fd, F_DUPFD_CLOEXEC, 3); /* the same description, and so the same lock */
	if (ret->fd < 0) {
		r = err_sys(e, -errno, "the metadata lock can't be kept");
		(void)flock(n->fd, LOCK_UN);
		return r;
	}
	ret->close = true;
	return 0;
}

static void release_all(struct luks_locks *l)
{
	while (l->n)
		luks_lock_release(&l->lock[--l->n]);
	free(l->lock);
	l->lock = NULL;
}

static int take_all(const struct names *names, bool exclusive, struct luks_locks *ret,
		    struct err *e)
{
	struct luks_locks l = { .lock = calloc(names->n, sizeof(*l.lock)) };

	if (!l.lock)
		return err_set(e, -ENOMEM, "no memory for the metadata locks");
	for (size_t i = 0; i < names->n; i++) {
		int r = take_one(&names->name[i], exclusive, &l.lock[l.n], e);

		if (!r) {
			l.n++;
		} else if (may_go_without(&names->name[i], r)) {
			log_debug("no lock of device %u:%u: %s", (unsigned int)names->name[i].a,
				  (unsigned int)names->name[i].b, err_text(e));
			err_clear(e);
		} else {
			release_all(&l);
			return r;
		}
	}
	*ret = l;
	return 0;
}

static int find_names(const struct luks_io *io, bool all, struct luks_others *ret_others,
		      struct names *ret, struct err *e)
{
	int r = 0;

	*ret_others = (struct luks_others){ 0 };
	if (io->find_others)
		r = io->find_others(io->fd, all, ret_others, e);
	if (r)
		return r;
	r = make_names(io->fd, ret_others, ret, e);
	if (r)
		luks_others_free(ret_others);
	return r;
}

static bool has_name(const struct names *l, const struct name *n)
{
	for (size_t i = 0; i < l->n; i++)
		if (l->name[i].file == n->file && l->name[i].a == n->a && l->name[i].b == n->b)
			return true;
	return false;
}

/* Nobody else came to have the bytes while we waited. */
static int check_names(const struct luks_io *io, const struct names *held, struct err *e)
{
	struct luks_others others;
	struct names now;
	int r;

	if (!io->find_others)
		return 0;
	r = find_names(io, true, &others, &now, e);
	if (r)
		return r;
	for (size_t i = 0; i < now.n && !r; i++)
		r = has_name(held, &now.name[i]) ? 0 : -EAGAIN;
	free(now.name);
	luks_others_free(&others);
	return r;
}

static int take_once(const struct luks_io *io, bool exclusive, struct luks_locks *ret,
		     struct err *e)
{
	struct luks_others others;
	struct luks_locks l = { 0 };
	struct names names;
	int r;

	r = find_names(io, exclusive, &others, &names, e);
	if (r)
		return r;
	r = take_all(&names, exclusive, &l, e);
	if (!r && exclusive) {
		r = check_names(io, &names, e);
		if (r)
			release_all(&l);
	}
	free(names.name);
	luks_others_free(&others);
	if (!r)
		*ret = l;
	return r;
}

static void drop_cache(const struct luks_io *io)
{
	struct stat st;

	if (!fstat(io->fd, &st) && S_ISBLK(st.st_mode))
		(void)posix_fadvise(io->fd, 0, METADATA_MAX_BYTES, POSIX_FADV_DONTNEED);
}

int luks_locks_take(const struct luks_io *io, bool exclusive, struct luks_locks *ret, struct err *e)
{
	struct luks_locks l = { 0 };
	struct err why = { 0 };
	int r = io->no_locks ? 0 : -EAGAIN;

	for (int i = 0; i < TRIES && r == -EAGAIN; i++)
		r = take_once(io, exclusive, &l, &why);
	if (r == -EAGAIN)
		return err_set(e, -EBUSY,
			       "devices over or below this header come and go: it can't be locked");
	if (r)
		return err_set(e, r, "%s", err_text(&why));
	drop_cache(io);
	*ret = l;
	return 0;
}

void luks_locks_release(const struct luks_io *io, struct luks_locks *l)
{
	/* What was written here is on the medium: the next reader by this name looks there. */
	drop_cache(io);
	release_all(l);
}
