// SPDX-License-Identifier: Apache-2.0
// The metadata at hand: its device opened, its header read once.
#include "internal.h"

#include <cryptvol/fs.h>

/* Does something else than LUKS stand here? Recovery must not write over it. */
static int check_foreign(int fd, struct err *e)
{
	struct fs_signatures found;
	int r;

	r = fs_probe(fd, true, &found, e);
	if (r)
		return r;
	if (found.n)
		return err_set(e, -EUCLEAN, "the device carries %s data beside the LUKS header",
			       found.found[0].type);
	return found.ambiguous ? err_set(e, -EUCLEAN, "the device's content is ambiguous") : 0;
}

/* What block finds, for luks: neither room knows the other. */
static int find_others(int fd, bool all, struct luks_others *ret, struct err *e)
{
	struct block_others found;
	int r;

	r = block_find_others(fd, all, &found, e);
	if (r)
		return r;
	*ret = (struct luks_others){
		.devices = calloc(found.n_devices, sizeof(*ret->devices)),
		.n_devices = found.n_devices,
		.files = found.files, /* with what it points to */
		.n_files = found.n_files,
	};
	found.files = NULL;
	found.n_files = 0;
	for (size_t i = 0; ret->devices && i < found.n_devices; i++)
		ret->devices[i] = (struct luks_device){ found.devices[i].major,
							found.devices[i].minor };
	if (!ret->devices && found.n_devices) {
		r = err_set(e, -ENOMEM, "no memory for the metadata locks");
		luks_others_free(ret);
	}
	block_others_free(&found);
	return r;
}

struct luks_io volume_io_of(const struct volume_env *env, const struct block_device *d)
{
	return (struct luks_io){
		.fd = block_metadata_fd(d),
		.writable = !d->readonly,
		.no_locks = env->no_locks,
		.size_bytes = d->file_fd < 0 ? d->size_bytes : 0,
		.check_foreign = env->despite_foreign ? NULL : check_foreign,
		.run_cipher = volume_run_cipher,
		.find_others = find_others,
	};
}

int volume_read_header(const struct volume_env *env, const struct luks_io *io,
		       const struct block_device *d, struct luks_header **ret, struct err *e)
{
	struct luks_header *h;
	int r;

	if (io->writable && io->no_locks)
		volume_warn(env,
			    "metadata locks are off: no other program may use %s, and a damaged "
			    "header copy is not repaired",
			    d->given);
	r = luks_load(io, &h, e);
	if (r)
		return err_wrap(e, r, "%s", d->given);
	volume_warn_header(env, d->given, h);
	*ret = h;
	return 0;
}

int volume_open_metadata(const struct volume_env *env, const struct volume_where *w,
			 enum volume_access access, struct volume_metadata *ret, struct err *e)
{
	const char *path = w->header ?: w->device;
	struct volume_metadata m = { 0 };
	int r;

	if (!path)
		return err_set(e, -EINVAL, "neither a device nor a header is named");
	r = block_open(path, access == VOLUME_READ ? BLOCK_READONLY : 0, &m.dev, e);
	if (r)
		return r;
	m.io = volume_io_of(env, &m.dev);
	if (access == VOLUME_WRITE && m.dev.readonly)
		r = err_set(e, -EROFS, "%s is read-only", path);
	else
		r = volume_read_header(env, &m.io, &m.dev, &m.header, e);
	if (!r && access == VOLUME_WRITE) {
		r = luks_check_usable(m.header, e);
		if (r)
			err_wrap(e, r, "%s", path);
	}
	if (r)
		volume_close_metadata(&m);
	else
		*ret = m;
	return r;
}

int volume_ask(const struct volume_check *c, const struct luks_header *h, struct err *e)
{
	return c && c->check ? c->check(c->arg, h, e) : 0;
}

void volume_close_metadata(struct volume_metadata *m)
{
	luks_free(m->header);
	m->header = NULL;
	block_close(&m->dev);
}

int volume_load_header(const struct volume_env *env, const struct volume_where *w, bool readonly,
		       struct luks_header **ret, struct err *e)
{
	struct volume_metadata m = { 0 };
	int r;

	r = volume_open_metadata(env, w, readonly ? VOLUME_READ : VOLUME_RECOVER, &m, e);
	if (r)
		return r;
	*ret = m.header;
	m.header = NULL;
	volume_close_metadata(&m);
	return 0;
}

int volume_check_luks(const struct volume_env *env, const struct volume_where *w,
		      unsigned int *ret_version, struct err *e)
{
	const char *path = w->header ?: w->device;
	struct block_device d;
	struct luks_io io;
	int r;

	if (!path)
		return err_set(e, -EINVAL, "neither a device nor a header is named");
	r = block_open(path, BLOCK_READONLY, &d, e);
	if (r)
		return r;
	io = volume_io_of(env, &d);
	r = luks_check_copies(&io, ret_version, e);
	block_close(&d);
	return r;
}

int volume_repair(const struct volume_env *env, const struct volume_where *w, bool roll_back,
		  struct err *e)
{
	const char *path = w->header ?: w->device;
	struct block_device d;
	struct luks_io io;
	int r;

	if (!path)
		return err_set(e, -EINVAL, "neither a device nor a header is named");
	r = block_open(path, 0, &d, e);
	if (r)
		return r;
	io = volume_io_of(env, &d);
	if (d.readonly)
		r = err_set(e, -EROFS, "%s is read-only", path);
	else
		r = luks_repair(&io, roll_back, e);
	block_close(&d);
	return r;
}
