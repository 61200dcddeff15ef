// SPDX-License-Identifier: Apache-2.0
// The first use: "formatting" with a nonce is recorded before a byte is written, "formatted" after
// the header opens. The nonce is the header's UUID, so that a format cut short can be told from
// anybody else's data.
#include "node.h"

#include <cryptvol/block.h>
#include <cryptvol/fs.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

/* ---- may it be formatted? ---- */

static int check_device_size(const struct node_stage *s, int fd, struct err *e)
{
	uint64_t want = s->volume.size_bytes + s->volume.header_bytes, have;
	int r = io_size(fd, &have, e);

	if (r)
		return r;
	return have == want
		       ? 0
		       : err_set(e, -EUCLEAN,
				 "the device has %llu bytes, the volume %llu: it is not formatted",
				 (unsigned long long)have, (unsigned long long)want);
}

/* No signature of anybody, and not a byte where only a volume that was in use can have one. */
static int prove_unused(const struct node_stage *s, int fd, bool whole, struct err *e)
{
	uint64_t from = whole ? 0 : s->volume.header_bytes;
	struct fs_signatures found;
	bool blank = false;
	int r;

	r = fs_probe(fd, false, &found, e);
	if (!r && (found.n || found.ambiguous))
		r = err_set(e, -EUCLEAN, "the device holds %s already: it is not formatted",
			    found.n ? found.found[0].type
				    : "signatures that contradict each other");
	r = r
		    ?: block_known_blank(fd, from,
					 s->volume.size_bytes + s->volume.header_bytes - from,
					 &blank, e);
	if (!r && !blank)
		r = err_set(
			e, -EUCLEAN,
			"the device isn't blank, though the volume is new: it is not formatted");
	return r;
}

/* Blankness is read from the image, where holes cost nothing to see. By its own path and inode: the
 * name that the kernel has for it may be one of another mount namespace. */
static int open_for_proof(const struct node_stage *s, struct err *e)
{
	char image[4096], device[4096];
	const char *path = s->backing;
	int fd;

	if (!s->is_static) {
		backend_image(s->call->driver->backend, s->volume.id, image, sizeof(image));
		if (!block_find_loop(image, device, sizeof(device), NULL) &&
		    !strcmp(device, s->backing))
			path = image;
	}
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? err_sys(e, -errno, "%s can't be opened", path) : fd;
}

int node_prove_blank(const struct node_stage *s, struct err *e)
{
	_cleanup_close_ int fd = open_for_proof(s, e);
	bool blank = false;
	int r;

	if (fd < 0)
		return fd;
	r = block_known_blank(fd, s->volume.header_bytes, s->volume.size_bytes, &blank, e);
	return r
		       ?: blank ? 0
				: err_set(e, -EUCLEAN,
					  "the device isn't blank, though the volume is new: no "
					  "file system is made");
}

/* 0: may be formatted; 1: our own finished header stands there already. */
static int judge_content(struct node_stage *s, struct err *e)
{
	struct volume_where w = { .device = s->backing };
	_cleanup_luks_ struct luks_header *h = NULL;
	_cleanup_close_ int fd = -1;
	int r;

	fd = open_for_proof(s, e);
	if (fd < 0)
		return fd;
	r = check_device_size(s, fd, e);
	if (r)
		return r;
	if (s->volume.format == BACKEND_FORMAT_NONE)
		return prove_unused(s, fd, true, e);
	r = volume_load_header(&s->call->driver->env, &w, true, &h, e);
	if (!r)
		return strcmp(h->uuid, s->volume.format_nonce)
			       ? err_set(e, -EUCLEAN,
					 "the device carries a LUKS header that isn't the one "
					 "begun here (UUID %s)",
					 h->uuid)
			       : 1;
	if (r != -EMEDIUMTYPE)
		return r;
	err_clear(e);
	return prove_unused(s, fd, false, e);
}

/* ---- format ---- */

static int record_formatting(struct node_stage *s, struct err *e)
{
	int r;

	if (s->volume.format == BACKEND_FORMATTING)
		return 0;
	r = text_uuid_random(s->volume.format_nonce, e);
	r = r
		    ?: backend_set_format(s->call->driver->backend, s->volume.id,
					  BACKEND_FORMATTING, s->volume.format_nonce, e);
	if (!r)
		s->volume.format = BACKEND_FORMATTING;
	return r;
}

static int write_header(struct node_stage *s, struct err *e)
{
	struct csi_driver *d = s->call->driver;
	struct volume_format f = { .where.device = s->backing,
				   .sector_size_auto = s->class.sector_size_bytes == 0,
				   .luks = { .cipher = s->keys.cipher,
					     .key_bytes = s->keys.key_bytes,
					     .hash = s->keys.hash,
					     .sector_size_bytes = s->class.sector_size_bytes,
					     .label = s->class.label,
					     .uuid = s->volume.format_nonce,
					     .data_offset_bytes = s->volume.header_bytes,
					     .first = { .keyslot = LUKS_ANY,
							.passphrase = s->keys.value } } };
	int r;

	r = crypto_pbkdf_fill(d->env.kdf, &s->keys.pbkdf, &f.luks.first.pbkdf, e);
	return r ?: volume_format(&d->env, &f, e);
}

static enum csi_code prove_opens(struct node_stage *s)
{
	struct volume_open o = { .where.device = s->backing,
				 .key = { .passphrase = s->keys.value, .keyslot = LUKS_ANY },
				 .test_only = true };
	struct err e = { 0 };
	int slot;

	if (volume_open(&s->call->driver->env, &o, &slot, &e))
		return csi_fail_err(s->call, &e, "volume \"%s\"", s->volume.id);
	return CSI_OK;
}

enum csi_code node_format_crypt(struct node_stage *s)
{
	struct err e = { 0 };
	int r;

	if (s->readonly)
		return csi_fail(s->call, CSI_FAILED_PRECONDITION,
				"volume \"%s\" is new and can't be formatted for reading only",
				s->volume.id);
	r = judge_content(s, &e);
	if (r < 0)
		return csi_fail_err(s->call, &e, "volume \"%s\"", s->volume.id);
	if (r == 1) {
		/* The cut came after the header: whose passphrase it has is seen when it opens. */
		if (prove_opens(s))
			return s->call->code;
	} else {
		r = record_formatting(s, &e);
		r = r ?: write_header(s, &e);
		if (r)
			return csi_fail_err(s->call, &e, "volume \"%s\" can't be formatted",
					    s->volume.id);
	}
	if (backend_set_format(s->call->driver->backend, s->volume.id, BACKEND_FORMATTED,
			       s->volume.format_nonce, &e))
		return csi_fail_err(s->call, &e, "volume \"%s\"", s->volume.id);
	s->volume.format = BACKEND_FORMATTED;
	return CSI_OK;
}
