// SPDX-License-Identifier: Apache-2.0
// What is wrong with a volume: asked of the backend, of the kernel's mounts and of the errors that
// the kernel told of.
#include "trouble.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#define DEGRADED CSI__V1__VOLUME_HEALTH_ERROR_TYPE__DEGRADED
#define INACCESSIBLE CSI__V1__VOLUME_HEALTH_ERROR_TYPE__INACCESSIBLE
#define DATA_LOSS CSI__V1__VOLUME_HEALTH_ERROR_TYPE__DATA_LOSS

static void add(struct csi_troubles *t, Csi__V1__VolumeHealthErrorType status, const char *reason,
		const char *fmt, ...) __attribute__((format(printf, 4, 5)));
static void add(struct csi_troubles *t, Csi__V1__VolumeHealthErrorType status, const char *reason,
		const char *fmt, ...)
{
	struct csi_trouble *one = &t->list[t->n];
	va_list ap;

	if (t->n == CSI_TROUBLES_MAX)
		return;
	one->status = status;
	one->reason = reason;
	va_start(ap, fmt);
	vsnprintf(one->message, sizeof(one->message), fmt, ap);
	va_end(ap);
	t->n++;
}

static int add_backend(struct csi_driver *d, const char *id, struct csi_troubles *t, struct err *e)
{
	static const struct {
		Csi__V1__VolumeHealthErrorType status;
		const char *reason;
	} rows[] = {
		[BACKEND_TROUBLE_UNREADABLE] = { INACCESSIBLE, "ImageUnreadable" },
		[BACKEND_TROUBLE_IMAGE_GONE] = { DATA_LOSS, "ImageGone" },
		[BACKEND_TROUBLE_IMAGE_SHORT] = { DATA_LOSS, "ImageTruncated" },
		[BACKEND_TROUBLE_DISK_FULL] = { DEGRADED, "NodeDiskFull" },
	};
	enum backend_trouble kind;
	char why[512];
	int r;

	r = backend_condition(d->backend, id, &kind, why, sizeof(why), e);
	if (!r && kind)
		add(t, rows[kind].status, rows[kind].reason, "%s", why);
	return r;
}

/* ext4 counts the errors that it met in its metadata, and keeps the count over mounts until a
 * check. */
static void add_ext4_errors(const struct fs_mounted *m, struct csi_troubles *t)
{
	_cleanup_free_ char *text = NULL;
	char link[64], target[PATH_MAX], path[PATH_MAX + 64];
	const char *name;
	uint64_t count;
	ssize_t n;

	snprintf(link, sizeof(link), "/sys/dev/block/%u:%u", m->major, m->minor);
	n = readlink(link, target, sizeof(target) - 1);
	if (n <= 0)
		return;
	target[n] = '\0';
	name = strrchr(target, '/');
	snprintf(path, sizeof(path), "/sys/fs/ext4%s/errors_count", name ? name : "");
	if (io_read_file(path, 64, &text, NULL))
		return;
	text[strcspn(text, "\n")] = '\0';
	if (!text_parse_u64(text, &count) && count)
		add(t, DEGRADED, "FileSystemErrors",
		    "the volume's %s has met %llu errors since its last check; unstage it and run "
		    "fsck",
		    m->type, (unsigned long long)count);
}

static void add_mount(const struct backend_use *use, struct csi_troubles *t)
{
	struct fs_mounted m;
	struct statvfs st;
	struct stat sb;

	if (fs_query_mount(use->path, &m, NULL)) {
		add(t, INACCESSIBLE, "NotMounted", "nothing is mounted on %s any more", use->path);
		return;
	}
	/* A file system that was shut down answers no look-up. */
	if (stat(use->path, &sb) || statvfs(use->path, &st)) {
		add(t, INACCESSIBLE, "FileSystemStopped",
		    "the volume's %s has stopped after an error: %s", m.type,
		    strerrordesc_np(errno));
		return;
	}
	if (!use->readonly && (st.f_flag & ST_RDONLY))
		add(t, INACCESSIBLE, "FileSystemReadOnly",
		    "the volume's %s takes no writes any more: it became read-only after an error",
		    m.type);
	if (!strncmp(m.type, "ext", 3))
		add_ext4_errors(&m, t);
}

/* A volume may be staged as a block device though its record has a file system. */
static void add_mounts(struct csi_driver *d, const char *id, struct csi_troubles *t)
{
	struct backend_use *uses = NULL;
	size_t n = 0;

	if (!backend_use_list(d->backend, id, BACKEND_USE_STAGED, &uses, &n, NULL) && n &&
	    strncmp(uses[0].cap, "block ", 6) != 0)
		add_mount(&uses[0], t);
	free(uses);
}

int csi_find_troubles(struct csi_driver *d, const char *id, struct csi_troubles *ret, struct err *e)
{
	char first[256];
	uint64_t errors;
	int r;

	ret->n = 0;
	r = add_backend(d, id, ret, e);
	if (r)
		return r;
	errors = csi_watch_errors(d, id, first, sizeof(first));
	if (errors)
		add(ret, DEGRADED, "IoErrors",
		    "the kernel told of %llu I/O errors of this volume since it was staged; the "
		    "first "
		    "was \"%s\"",
		    (unsigned long long)errors, first);
	if (d->config.mode != CSI_MODE_CONTROLLER)
		add_mounts(d, id, ret);
	return 0;
}

Csi__V1__VolumeCondition *csi_condition(struct csi_call *call, const char *id, const char *more)
{
	Csi__V1__VolumeCondition *c = csi_new(call, Csi__V1__VolumeCondition,
					      csi__v1__volume_condition);
	struct csi_troubles t = { .n = 0 };
	const char *why = "the volume is fine";

	if (!c)
		return NULL;
	c->abnormal = true;
	if (id && csi_find_troubles(call->driver, id, &t, NULL))
		why = "the state of the volume can't be read";
	else if (t.n)
		why = t.list[0].message;
	else if (*more)
		why = more;
	else
		c->abnormal = false;
	c->message = csi_arena_strdup(call->arena, why);
	return c->message ? c : NULL;
}
