// SPDX-License-Identifier: Apache-2.0
// A volume's names, what its header says, and what is done to the header as a whole.
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cryptvol/base.h>

int cryptvol_is_luks(struct cryptvol *cv, const char *device, unsigned int *ret_version)
{
	_cleanup_close_ int fd = -1;

	err_clear(&cv->err);
	fd = open(device, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return err_sys(&cv->err, -errno, "%s can't be opened", device);
	return luks_probe(fd, ret_version, &cv->err);
}

int cryptvol_volume_new(struct cryptvol *cv, const char *device, const char *header,
			struct cryptvol_volume **ret)
{
	struct cryptvol_volume *v = calloc(1, sizeof(*v));

	err_clear(&cv->err);
	if (v) {
		v->cv = cv;
		v->device = strdup(device);
		v->header_path = header ? strdup(header) : NULL;
	}
	if (!v || !v->device || (header && !v->header_path)) {
		cryptvol_volume_free(v);
		return err_set(&cv->err, -ENOMEM, "no memory");
	}
	*ret = v;
	return 0;
}

void cryptvol_volume_free(struct cryptvol_volume *v)
{
	if (!v)
		return;
	luks_free(v->header);
	free(v->device);
	free(v->header_path);
	free(v);
}

struct volume_where api_where(const struct cryptvol_volume *v)
{
	return (struct volume_where){ .device = v->device, .header = v->header_path };
}

int cryptvol_load(struct cryptvol_volume *v)
{
	struct volume_where w = api_where(v);
	struct luks_header *h;
	int r;

	r = api_begin(v->cv);
	if (!r)
		r = volume_load_header(&v->cv->env, &w, true, &h, &v->cv->err);
	if (r)
		return r;
	luks_free(v->header);
	v->header = h;
	if (luks_make_plan(h, &v->plan, NULL))
		v->plan = (struct luks_plan){ 0 };
	return 0;
}

static int need_load(struct cryptvol_volume *v)
{
	err_clear(&v->cv->err);
	return v->header ? 0 : cryptvol_load(v);
}

int cryptvol_check_usable(struct cryptvol_volume *v)
{
	struct luks_plan plan;
	int r;

	r = need_load(v);
	return r ?: luks_make_plan(v->header, &plan, &v->cv->err);
}

const char *cryptvol_uuid(const struct cryptvol_volume *v)
{
	return v->header ? v->header->uuid : NULL;
}

const char *cryptvol_label(const struct cryptvol_volume *v)
{
	return v->header ? v->header->label : NULL;
}

const char *cryptvol_subsystem(const struct cryptvol_volume *v)
{
	return v->header ? v->header->subsystem : NULL;
}

const char *cryptvol_cipher(const struct cryptvol_volume *v)
{
	return v->plan.encryption[0] ? v->plan.encryption : NULL;
}

unsigned int cryptvol_luks_version(const struct cryptvol_volume *v)
{
	return v->header ? v->header->version : 0;
}

uint32_t cryptvol_key_bytes(const struct cryptvol_volume *v)
{
	return v->plan.key_bytes;
}

uint32_t cryptvol_sector_bytes(const struct cryptvol_volume *v)
{
	return v->plan.sector_size_bytes;
}

uint64_t cryptvol_data_offset_bytes(const struct cryptvol_volume *v)
{
	return v->plan.offset_bytes;
}

uint32_t cryptvol_keyslots(const struct cryptvol_volume *v)
{
	uint32_t set = 0;

	for (size_t i = 0; v->header && i < v->header->n_keyslots; i++)
		set |= 1u << v->header->keyslots[i].id;
	for (unsigned int i = 0;
	     v->header && v->header->luks1 && i < ARRAY_SIZE(v->header->luks1->keyslots); i++)
		set |= (uint32_t)v->header->luks1->keyslots[i].active << i;
	return set;
}

int cryptvol_metadata_json(struct cryptvol_volume *v, char **ret)
{
	int r = need_load(v);

	if (!r && v->header->version != 2)
		r = err_set(&v->cv->err, -EOPNOTSUPP, "LUKS1 has no JSON metadata");
	return r ?: luks_json_text(v->header, ret, &v->cv->err);
}

static int set_config(struct cryptvol_volume *v, const struct volume_config *c)
{
	struct volume_where w = api_where(v);
	int r = api_begin(v->cv);

	return r ?: volume_set_config(&v->cv->env, &w, c, &v->cv->err);
}

int cryptvol_set_label(struct cryptvol_volume *v, const char *label, const char *subsystem)
{
	return set_config(v, &(struct volume_config){ .label = label, .subsystem = subsystem });
}

int cryptvol_set_uuid(struct cryptvol_volume *v, const char *uuid)
{
	return set_config(v, &(struct volume_config){ .uuid = uuid });
}

int cryptvol_set_priority(struct cryptvol_volume *v, int keyslot, int priority)
{
	if (priority < LUKS_PRIORITY_IGNORE || priority > LUKS_PRIORITY_PREFER)
		return err_set(&v->cv->err, -EINVAL, "a keyslot's priority is 0, 1 or 2, not %d",
			       priority);
	return set_config(v, &(struct volume_config){
				     .keyslot = keyslot,
				     .set_priority = true,
				     .priority = (enum luks_priority)priority,
			     });
}

int cryptvol_repair(struct cryptvol_volume *v)
{
	struct volume_where w = api_where(v);
	int r = api_begin(v->cv);

	return r ?: volume_repair(&v->cv->env, &w, false, &v->cv->err);
}

int cryptvol_backup_header(struct cryptvol_volume *v, const char *file)
{
	struct volume_where w = api_where(v);
	int r = api_begin(v->cv);

	return r ?: volume_backup_header(&v->cv->env, &w, file, NULL, &v->cv->err);
}

int cryptvol_restore_header(struct cryptvol_volume *v, const char *file)
{
	struct volume_where w = api_where(v);
	int r = api_begin(v->cv);

	return r ?: volume_restore_header(&v->cv->env, &w, file, &v->cv->err);
}
