// SPDX-License-Identifier: Apache-2.0
// File systems of staged volumes: made once, by the same rule as headers; then only checked,
// mounted and grown.
#include "node.h"

#include <cryptvol/fs.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

const char *node_fs_type(const struct node_stage *s)
{
	if (*s->volume.fs_type)
		return s->volume.fs_type;
	if (*s->cap.fs_type)
		return s->cap.fs_type;
	return *s->class.fs_type ? s->class.fs_type : "ext4";
}

static int open_device(const struct node_stage *s, struct err *e)
{
	int fd = open(s->device, O_RDONLY | O_CLOEXEC);

	return fd < 0 ? err_sys(e, -errno, "%s can't be opened", s->device) : fd;
}

/* A file system begun here and not finished: nothing there, or one with our UUID. */
static int clear_unfinished(struct node_stage *s, struct err *e)
{
	/* The mkfs of a killed driver may be running still; it holds the device like this. */
	_cleanup_close_ int fd = open(s->device, O_RDWR | O_EXCL | O_CLOEXEC);
	char uuid[40];
	size_t wiped;
	int r;

	if (fd < 0)
		return errno == EBUSY ? err_set(e, -EINPROGRESS,
						"another process works on %s, which has no whole "
						"file system yet",
						s->device)
				      : err_sys(e, -errno, "%s can't be opened", s->device);
	r = fs_uuid_of(fd, uuid, e);
	if (r)
		return r;
	if (*uuid && strcasecmp(uuid, s->volume.fs_nonce) != 0)
		return err_set(e, -EUCLEAN,
			       "the device holds a file system that wasn't begun here (UUID %s): "
			       "it is not formatted",
			       uuid);
	return fs_wipe_signatures(fd, true, &wiped, e);
}

static int make(struct node_stage *s, struct err *e)
{
	struct backend *b = s->call->driver->backend;
	double t;
	int r = 0;

	if (s->volume.fs_format == BACKEND_FORMATTING) {
		r = clear_unfinished(s, e);
	} else {
		r = node_prove_blank(s, e);
		r = r ?: text_uuid_random(s->volume.fs_nonce, e);
		r = r
			    ?: backend_set_fs(b, s->volume.id, BACKEND_FORMATTING,
					      s->volume.fs_nonce, 0, e);
	}
	if (!r)
		s->volume.fs_format = BACKEND_FORMATTING;
	t = base_now();
	r = r ?: fs_make(s->device, node_fs_type(s), s->volume.fs_nonce, s->class.mkfs_params, e);
	if (!r)
		csi_metrics_phase(s->call->driver->metrics, "mkfs", base_now() - t);
	r = r
		    ?: backend_set_fs(b, s->volume.id, BACKEND_FORMATTED, s->volume.fs_nonce,
				      s->volume.size_bytes, e);
	if (r)
		return r;
	s->volume.fs_format = BACKEND_FORMATTED;
	s->volume.fs_bytes = s->volume.size_bytes;
	return 0;
}

static int check_type(struct node_stage *s, struct err *e)
{
	_cleanup_close_ int fd = open_device(s, e);
	char type[FS_TYPE_MAX];
	int r;

	if (fd < 0)
		return fd;
	r = fs_type_of(fd, type, e);
	if (r)
		return r;
	if (!*type)
		return err_set(e, -EUCLEAN,
			       "the device holds no file system, though the volume had one, or was a "
			       "device; "
			       "nothing was written");
	if (strcmp(type, node_fs_type(s)) != 0 && (*s->volume.fs_type || *s->cap.fs_type))
		return err_set(e, -EINVAL, "the device holds %s, not %s", type, node_fs_type(s));
	return text_copy(s->volume.fs_type, sizeof(s->volume.fs_type), type);
}

static int mount_it(struct node_stage *s, struct err *e)
{
	const char *flags[CSI_MOUNT_FLAGS_MAX + 1]; /* and nouuid */
	struct fs_mount m = { .source = s->device,
			      .target = s->staging,
			      .type = node_fs_type(s),
			      .readonly = s->readonly,
			      .flags = flags };

	for (size_t i = 0; i < s->cap.n_mount_flags; i++)
		flags[m.n_flags++] = s->cap.mount_flags[i];
	/* Copies of one xfs carry one UUID, and two of them may be mounted on one node. */
	if (!strcmp(m.type, "xfs"))
		flags[m.n_flags++] = "nouuid";
	return fs_mount_on(&m, e);
}

static int grow_if_needed(struct node_stage *s, struct err *e)
{
	int r;

	if (s->readonly || s->is_static || s->volume.fs_bytes == s->volume.size_bytes)
		return 0;
	r = fs_grow(s->device, s->staging, node_fs_type(s), e);
	return r
		       ?: backend_set_fs(s->call->driver->backend, s->volume.id, BACKEND_FORMATTED,
					 s->volume.fs_nonce, s->volume.size_bytes, e);
}

/* Mounted already: by the device that we would mount? */
static int mounted_right(struct node_stage *s, bool *ret, struct err *e)
{
	struct fs_mounted m;
	struct stat st;
	int r;

	*ret = false;
	r = fs_query_mount(s->staging, &m, e);
	if (r == -ENOENT) {
		err_clear(e);
		return 0;
	}
	if (r)
		return r;
	if (stat(s->device, &st))
		return err_sys(e, -errno, "%s", s->device);
	/* btrfs mounts under an anonymous device number: its source says what it is. */
	*ret = (m.major == major(st.st_rdev) && m.minor == minor(st.st_rdev)) ||
	       !strcmp(m.source, s->device);
	return *ret ? 0 : node_clear_mount(s->volume.id, s->staging, s->known, e);
}

static int mount_volume(struct node_stage *s, struct err *e)
{
	enum fs_check_policy policy = s->class.fsck == CSI_FSCK_NONE || s->readonly
					      ? FS_CHECK_NONE
					      : FS_CHECK_PREEN;
	bool there;
	int r;

	r = mounted_right(s, &there, e);
	if (r)
		return r;
	if (!there) {
		if (!s->is_static && !s->volume.block &&
		    s->volume.fs_format != BACKEND_FORMATTED)
			r = s->readonly ? err_set(e, -EUCLEAN,
						  "the volume is new and can't be formatted for "
						  "reading only")
					: make(s, e);
		r = r ?: check_type(s, e);
		r = r ?: fs_check(s->device, node_fs_type(s), policy, e);
		r = r ?: mount_it(s, e);
		s->mounted = !r;
	}
	r = r ?: grow_if_needed(s, e);
	return r;
}

enum csi_code node_mount(struct node_stage *s)
{
	struct err e = { 0 };

	if (mkdir(s->staging, 0750) && errno != EEXIST)
		return csi_fail(s->call,
				errno == ENOENT || errno == ENOTDIR ? CSI_FAILED_PRECONDITION
								    : CSI_INTERNAL,
				"staging_target_path: %s can't be made: %s", s->staging,
				strerrordesc_np(errno));
	if (mount_volume(s, &e))
		return csi_fail_err(s->call, &e, "volume \"%s\"", s->volume.id);
	return CSI_OK;
}
