// SPDX-License-Identifier: Apache-2.0
// mount(2) and umount(2) with the options that a CO gives, and what is mounted where by
// /proc/self/mountinfo.
#include "internal.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/statvfs.h>

#define MOUNTINFO_MAX_BYTES (16u * 1024 * 1024)
#define STACKED_MAX 64

static const struct {
	const char *name;
	unsigned long set, clear;
} mount_options[] = {
	{ "defaults", 0, 0 },
	{ "ro", MS_RDONLY, 0 },
	{ "rw", 0, MS_RDONLY },
	{ "nosuid", MS_NOSUID, 0 },
	{ "suid", 0, MS_NOSUID },
	{ "nodev", MS_NODEV, 0 },
	{ "dev", 0, MS_NODEV },
	{ "noexec", MS_NOEXEC, 0 },
	{ "exec", 0, MS_NOEXEC },
	{ "sync", MS_SYNCHRONOUS, 0 },
	{ "async", 0, MS_SYNCHRONOUS },
	{ "dirsync", MS_DIRSYNC, 0 },
	{ "noatime", MS_NOATIME, 0 },
	{ "atime", 0, MS_NOATIME },
	{ "nodiratime", MS_NODIRATIME, 0 },
	{ "diratime", 0, MS_NODIRATIME },
	{ "relatime", MS_RELATIME, 0 },
	{ "norelatime", 0, MS_RELATIME },
	{ "strictatime", MS_STRICTATIME, 0 },
	{ "lazytime", MS_LAZYTIME, 0 },
};

/* Flags, and what is left as data for the file system. */
static int parse_flags(const struct fs_mount *m, unsigned long *flags, char *data, size_t cap,
		       struct err *e)
{
	size_t len = 0;

	*flags = m->readonly ? MS_RDONLY : 0;
	data[0] = '\0';
	for (size_t i = 0; i < m->n_flags; i++) {
		bool known = false;
		int n;

		for (size_t k = 0; !known && k < ARRAY_SIZE(mount_options); k++) {
			known = !strcmp(m->flags[i], mount_options[k].name);
			if (known)
				*flags = (*flags & ~mount_options[k].clear) | mount_options[k].set;
		}
		if (known || !*m->flags[i])
			continue;
		n = snprintf(data + len, cap - len, "%s%s", len ? "," : "", m->flags[i]);
		if (n < 0 || (size_t)n >= cap - len)
			return err_set(e, -EINVAL, "the mount options are too long");
		len += (size_t)n;
	}
	if (m->readonly)
		*flags |= MS_RDONLY;
	return 0;
}

/* mount(2)'s errno as ours: a missing folder isn't a missing volume, nor is a file system that is
 * mounted elsewhere under the same UUID a volume that exists already. */
static int mount_errno(int code)
{
	switch (code) {
	case ENOENT:
	case ENOTDIR:
		return -EINVAL;
	case EEXIST:
		return -EBUSY;
	default:
		return -code;
	}
}

/* What a bind mount has from the mount that it is of. A remount names all flags anew, but for those
 * of atime, which it keeps where it names none. */
static unsigned long inherited_flags(const char *target)
{
	struct statvfs st;

	if (statvfs(target, &st))
		return MS_NOSUID | MS_NODEV | MS_NOEXEC;
	return (st.f_flag & ST_RDONLY ? MS_RDONLY : 0) | (st.f_flag & ST_NOSUID ? MS_NOSUID : 0) |
	       (st.f_flag & ST_NODEV ? MS_NODEV : 0) | (st.f_flag & ST_NOEXEC ? MS_NOEXEC : 0);
}

static int set_bind_options(const char *target, unsigned long flags, struct err *e)
{
	const unsigned long per_mount = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME |
					MS_NODIRATIME | MS_RELATIME;

	if (flags & per_mount)
		flags |= inherited_flags(target);
	if (!(flags & per_mount) ||
	    !mount(NULL, target, NULL, MS_BIND | MS_REMOUNT | (flags & per_mount), NULL))
		return 0;
	return err_sys(e, -errno, "the options of %s can't be set", target);
}

static int mount_bind(const struct fs_mount *m, unsigned long flags, struct err *e)
{
	int r;

	if (mount(m->source, m->target, NULL, MS_BIND, NULL))
		return err_sys(e, mount_errno(errno), "%s can't be bound to %s", m->source,
			       m->target);
	r = set_bind_options(m->target, flags, e);
	if (r)
		(void)!umount2(m->target, UMOUNT_NOFOLLOW);
	return r;
}

int fs_finish_bind(const struct fs_mount *m, struct err *e)
{
	char data[4096];
	unsigned long flags;
	int r;

	r = parse_flags(m, &flags, data, sizeof(data), e);
	return r ?: set_bind_options(m->target, flags, e);
}

/* btrfs tells file systems apart by their UUID, and has no "nouuid". To give the copy another one
 * isn't ours to do: btrfstune makes one whose log has yet to be replayed unmountable. */
static int twin_mounted(const struct fs_mount *m, struct err *e)
{
	return err_set(
		e, -EBUSY,
		"%s can't be mounted on %s: a btrfs file system of the same UUID, its source "
		"or a copy of it, is mounted on this node, and the kernel takes one of them "
		"at a time (both from Linux 6.7 on)",
		m->source, m->target);
}

int fs_mount_on(const struct fs_mount *m, struct err *e)
{
	struct fs_mounted old;
	char data[4096];
	unsigned long flags;
	int r;

	r = parse_flags(m, &flags, data, sizeof(data), e);
	if (r)
		return r;
	r = fs_query_mount(m->target, &old, e);
	if (!r)
		return err_set(e, -EBUSY, "%s is a mount point already", m->target);
	if (r != -ENOENT)
		return r;
	err_clear(e);
	if (!m->type)
		return mount_bind(m, flags, e);
	if (mount(m->source, m->target, m->type, flags,
		  data)) /* options may be sensitive: they aren't repeated in the error */
		return !strcmp(m->type, "btrfs") && errno == EEXIST
			       ? twin_mounted(m, e)
			       : err_sys(e, mount_errno(errno), "%s (%s) can't be mounted on %s",
					 m->source, m->type, m->target);
	return 0;
}

int fs_unmount(const char *target, bool lazy, struct err *e)
{
	for (int i = 0; i < STACKED_MAX; i++) {
		struct fs_mounted m;
		int r = fs_query_mount(target, &m, e);

		if (r == -ENOENT) {
			err_clear(e);
			return 0;
		}
		if (r)
			return r;
		if (umount2(target, UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH : 0)) && errno != EINVAL &&
		    errno != ENOENT)
			return err_sys(e, -errno, "%s can't be unmounted", target);
	}
	return err_set(e, -EBUSY, "%s has too many mounts on top of each other", target);
}

/* ---- mountinfo ---- */

/* Octal escapes of blanks and the like. */
static void unescape(char *s)
{
	char *out = s;

	for (; *s; s++) {
		if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' && s[2] <= '7' &&
		    s[3] >= '0' && s[3] <= '7') {
			*out++ = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
			s += 3;
		} else {
			*out++ = *s;
		}
	}
	*out = '\0';
}

struct line {
	uint32_t major, minor;
	char *root, *target, *options, *type, *source;
};

/* "id parent major:minor root target options [optional ...] - type source super" (proc(5)) */
static bool parse_line(char *text, struct line *l)
{
	char *save = NULL, *field[6], *dash, *rest, *device, *colon;

	dash = strstr(text, " - ");
	if (!dash)
		return false;
	*dash = '\0';
	rest = dash + 3;
	for (size_t i = 0; i < ARRAY_SIZE(field); i++) {
		field[i] = strtok_r(i ? NULL : text, " ", &save);
		if (!field[i])
			return false;
	}
	device = field[2];
	colon = strchr(device, ':');
	if (!colon)
		return false;
	*colon = '\0';
	if (text_parse_u32(device, &l->major) || text_parse_u32(colon + 1, &l->minor))
		return false;
	l->root = field[3];
	l->target = field[4];
	l->options = field[5];
	save = NULL;
	l->type = strtok_r(rest, " ", &save);
	l->source = strtok_r(NULL, " ", &save);
	if (!l->type || !l->source)
		return false;
	unescape(l->root);
	unescape(l->target);
	unescape(l->source);
	return true;
}

static void cut(char *dst, size_t cap, const char *src)
{
	snprintf(dst, cap, "%s", src);
}

static void fill(const struct line *l, struct fs_mounted *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->major = l->major;
	ret->minor = l->minor;
	cut(ret->type, sizeof(ret->type), l->type);
	cut(ret->root, sizeof(ret->root), l->root);
	cut(ret->source, sizeof(ret->source), l->source);
	ret->readonly = !strncmp(l->options, "ro", 2) && (l->options[2] == ',' || !l->options[2]);
}

int fs_query_mount(const char *target, struct fs_mounted *ret, struct err *e)
{
	_cleanup_free_ char *text = NULL, *real = realpath(target, NULL);
	const char *path = real ?: target;
	bool found = false;
	char *next;
	int r;

	r = io_read_file("/proc/self/mountinfo", MOUNTINFO_MAX_BYTES, &text, NULL);
	if (r)
		return err_sys(e, r, "/proc/self/mountinfo");
	for (char *p = text; p && *p; p = next) {
		struct line l;

		next = strchr(p, '\n');
		if (next)
			*next++ = '\0';
		if (!parse_line(p, &l) || strcmp(l.target, path) != 0)
			continue;
		fill(&l, ret); /* the last one is on top */
		found = true;
	}
	return found ? 0 : err_set(e, -ENOENT, "nothing is mounted on %s", target);
}

int fs_device_mounted(uint32_t major, uint32_t minor, char **ret_target, struct err *e)
{
	_cleanup_free_ char *text = NULL;
	char *next;
	int r;

	*ret_target = NULL;
	r = io_read_file("/proc/self/mountinfo", MOUNTINFO_MAX_BYTES, &text, NULL);
	if (r)
		return err_sys(e, r, "/proc/self/mountinfo");
	for (char *p = text; p && *p; p = next) {
		struct line l;

		next = strchr(p, '\n');
		if (next)
			*next++ = '\0';
		if (!parse_line(p, &l) || l.major != major || l.minor != minor)
			continue;
		*ret_target = strdup(l.target);
		return *ret_target ? 0 : err_set(e, -ENOMEM, "no memory for a path");
	}
	return 0;
}

/* ---- freeze, usage ---- */

static int freeze_call(const char *path, unsigned long request, const char *what, struct err *e)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_DIRECTORY);

	if (fd < 0)
		return err_sys(e, -errno, "%s can't be opened", path);
	/* EBUSY: frozen already; EINVAL: not frozen. Both are what was asked for. */
	if (ioctl(fd, request, 0) && !(request == FIFREEZE && errno == EBUSY) &&
	    !(request == FITHAW && errno == EINVAL))
		return err_sys(e, -errno, "%s can't be %s", path, what);
	return 0;
}

int fs_freeze(const char *mounted_on, struct err *e)
{
	return freeze_call(mounted_on, FIFREEZE, "frozen", e);
}

int fs_thaw(const char *mounted_on, struct err *e)
{
	return freeze_call(mounted_on, FITHAW, "thawed", e);
}

int fs_query_usage(const char *path, struct fs_usage *ret, struct err *e)
{
	struct statvfs st;

	if (statvfs(path, &st))
		return err_sys(e, -errno, "%s", path);
	ret->total_bytes = (uint64_t)st.f_blocks * st.f_frsize;
	ret->available_bytes = (uint64_t)st.f_bavail * st.f_frsize;
	ret->used_bytes = (uint64_t)(st.f_blocks - st.f_bfree) * st.f_frsize;
	ret->total_inodes = st.f_files;
	ret->available_inodes = st.f_favail;
	ret->used_inodes = st.f_files - st.f_ffree;
	return 0;
}
