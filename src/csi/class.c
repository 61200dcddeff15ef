// SPDX-License-Identifier: Apache-2.0
// StorageClass and VolumeSnapshotClass parameters: one table row a parameter.
#include "params.h"

static int parse_bool(const char *name, const char *value, bool *ret, struct err *e)
{
	/* What Go's ParseBool takes, since Longhorn's users write it. */
	static const char *const yes[] = { "1", "t", "T", "TRUE", "true", "True" };
	static const char *const no[] = { "0", "f", "F", "FALSE", "false", "False" };

	for (size_t i = 0; i < ARRAY_SIZE(yes); i++) {
		if (!strcmp(value, yes[i])) {
			*ret = true;
			return 0;
		}
		if (!strcmp(value, no[i])) {
			*ret = false;
			return 0;
		}
	}
	return err_set(e, -EINVAL, "parameter %s: \"%.40s\" is neither true nor false", name,
		       value);
}

static int set_encrypted(const char *name, const char *value, struct csi_class *c, struct err *e)
{
	return parse_bool(name, value, &c->encrypted, e);
}

static int set_fs_type(const char *name, const char *value, struct csi_class *c, struct err *e)
{
	int r = *value ? fs_type_supported(value, e) : 0;

	if (r)
		return err_wrap(e, r, "parameter %s", name);
	return text_copy(c->fs_type, sizeof(c->fs_type), value);
}

static int set_mkfs_params(const char *name, const char *value, struct csi_class *c, struct err *e)
{
	if (strlen(value) >= FS_OPTIONS_MAX)
		return err_set(e, -EINVAL, "parameter %s: longer than %d bytes", name,
			       FS_OPTIONS_MAX - 1);
	/* The device is ours to name: another one would be formatted, or a journal put on it. */
	if (strchr(value, '/') || (*value && *value != '-'))
		return err_set(e, -EINVAL, "parameter %s: options only, without a path", name);
	c->mkfs_params = value;
	return 0;
}

static int set_fsck(const char *name, const char *value, struct csi_class *c, struct err *e)
{
	if (strcmp(value, "preen") && strcmp(value, "none"))
		return err_set(e, -EINVAL, "parameter %s: \"%.40s\" is neither preen nor none",
			       name, value);
	c->fsck = strcmp(value, "none") ? CSI_FSCK_PREEN : CSI_FSCK_NONE;
	return 0;
}

static int set_sector_size(const char *name, const char *value, struct csi_class *c, struct err *e)
{
	uint32_t v;

	if (text_parse_u32(value, &v) || (v != 512 && v != 1024 && v != 2048 && v != 4096))
		return err_set(e, -EINVAL,
			       "parameter %s: \"%.40s\" is none of 512, 1024, 2048, 4096", name,
			       value);
	c->sector_size_bytes = v;
	return 0;
}

static int set_flag(const char *name, const char *value, uint32_t flag, struct csi_class *c,
		    struct err *e)
{
	bool on;
	int r = parse_bool(name, value, &on, e);

	if (!r)
		c->flags = on ? c->flags | flag : c->flags & ~flag;
	return r;
}

static int set_discard(const char *name, const char *value, struct csi_class *c, struct err *e)
{
	return set_flag(name, value, LUKS_FLAG_ALLOW_DISCARDS, c, e);
}

static int set_no_read_workqueue(const char *name, const char *value, struct csi_class *c,
				 struct err *e)
{
	return set_flag(name, value, LUKS_FLAG_NO_READ_WORKQUEUE, c, e);
}

static int set_no_write_workqueue(const char *name, const char *value, struct csi_class *c,
				  struct err *e)
{
	return set_flag(name, value, LUKS_FLAG_NO_WRITE_WORKQUEUE, c, e);
}

static int set_same_cpu_crypt(const char *name, const char *value, struct csi_class *c,
			      struct err *e)
{
	return set_flag(name, value, LUKS_FLAG_SAME_CPU_CRYPT, c, e);
}

static int set_submit_from_crypt_cpus(const char *name, const char *value, struct csi_class *c,
				      struct err *e)
{
	return set_flag(name, value, LUKS_FLAG_SUBMIT_FROM_CRYPT_CPUS, c, e);
}

static int set_label(const char *name, const char *value, struct csi_class *c, struct err *e)
{
	if (strlen(value) >= LUKS_LABEL_BYTES)
		return err_set(e, -EINVAL, "parameter %s: longer than %u bytes", name,
			       LUKS_LABEL_BYTES - 1);
	c->label = value;
	return 0;
}

static int set_pbkdf_policy(const char *name, const char *value, struct csi_class *c, struct err *e)
{
	if (strcmp(value, "passphrase") && strcmp(value, "random-key"))
		return err_set(e, -EINVAL,
			       "parameter %s: \"%.40s\" is neither passphrase nor random-key", name,
			       value);
	c->high_entropy = !strcmp(value, "random-key");
	return 0;
}

static int set_pause_allowed(const char *name, const char *value, struct csi_class *c,
			     struct err *e)
{
	return parse_bool(name, value, &c->pause_allowed, e);
}

static int set_provisioning(const char *name, const char *value, struct csi_class *c, struct err *e)
{
	if (strcmp(value, "thick") && strcmp(value, "thin"))
		return err_set(e, -EINVAL, "parameter %s: \"%.40s\" is neither thick nor thin",
			       name, value);
	c->thick = !strcmp(value, "thick");
	return 0;
}

static int set_device(const char *name, const char *value, struct csi_class *c, struct err *e)
{
	if (value[0] != '/')
		return err_set(e, -EINVAL, "parameter %s: \"%.80s\" is no absolute path", name,
			       value);
	c->device = value;
	return 0;
}

static int set_type(const char *name, const char *value, struct csi_class *c, struct err *e)
{
	/* Longhorn's words: snap is a snapshot in place, bak a backup. */
	if (strcmp(value, "snap") && strcmp(value, "bak"))
		return err_set(e, -EINVAL, "parameter %s: \"%.40s\" is neither snap nor bak", name,
			       value);
	c->backup = !strcmp(value, "bak");
	return 0;
}

static int set_backup_dir(const char *name, const char *value, struct csi_class *c, struct err *e)
{
	if (value[0] != '/')
		return err_set(e, -EINVAL, "parameter %s: \"%.80s\" is no absolute path", name,
			       value);
	c->backup_dir = value;
	return 0;
}

#define IN(use) (1u << (use))
#define VOLUME_AND_CONTEXT (IN(CSI_CLASS_VOLUME) | IN(CSI_CLASS_CONTEXT))
#define MUTABLE_TOO (VOLUME_AND_CONTEXT | IN(CSI_CLASS_MUTABLE))

static const struct {
	const char *name;
	unsigned int uses;
	int (*set)(const char *name, const char *value, struct csi_class *c, struct err *e);
} rows[] = {
	{ "encrypted", VOLUME_AND_CONTEXT, set_encrypted },
	{ "csi.storage.k8s.io/fstype", VOLUME_AND_CONTEXT, set_fs_type },
	{ "fsType", VOLUME_AND_CONTEXT, set_fs_type },
	{ "mkfsParams", VOLUME_AND_CONTEXT, set_mkfs_params },
	{ "fsck", MUTABLE_TOO, set_fsck },
	{ "sectorSize", VOLUME_AND_CONTEXT, set_sector_size },
	{ "discard", MUTABLE_TOO, set_discard },
	{ "noReadWorkqueue", MUTABLE_TOO, set_no_read_workqueue },
	{ "noWriteWorkqueue", MUTABLE_TOO, set_no_write_workqueue },
	{ "sameCpuCrypt", MUTABLE_TOO, set_same_cpu_crypt },
	{ "submitFromCryptCpus", MUTABLE_TOO, set_submit_from_crypt_cpus },
	{ "label", VOLUME_AND_CONTEXT, set_label },
	{ "pbkdfPolicy", VOLUME_AND_CONTEXT, set_pbkdf_policy },
	{ "pauseAllowed", VOLUME_AND_CONTEXT | IN(CSI_CLASS_SNAPSHOT), set_pause_allowed },
	{ "provisioning", VOLUME_AND_CONTEXT, set_provisioning },
	{ "device", IN(CSI_CLASS_CONTEXT), set_device },
	{ "type", IN(CSI_CLASS_SNAPSHOT), set_type },
	{ "backupDir", IN(CSI_CLASS_SNAPSHOT), set_backup_dir },
};

/* The row of a parameter; ARRAY_SIZE(rows): there is none. */
static size_t row_of(const char *key, enum csi_class_use use)
{
	size_t i = 0;

	while (i < ARRAY_SIZE(rows) && !(!strcmp(rows[i].name, key) && (rows[i].uses & IN(use))))
		i++;
	return i;
}

static int set_one(const struct csi_map_entry *en, enum csi_class_use use, struct csi_class *c,
		   struct err *e)
{
	size_t i = row_of(en->key, use);

	if (i < ARRAY_SIZE(rows))
		return rows[i].set(en->key, en->value, c, e);
	/* The CO's own: names and namespaces of Secrets, metadata of the claim, identity of the
	 * provisioner. */
	if (!strncmp(en->key, "csi.storage.k8s.io/", 19) ||
	    !strncmp(en->key, "storage.kubernetes.io/", 22))
		return 0;
	return err_set(e, -EINVAL, "parameter %.128s: not known%s", en->key,
		       use == CSI_CLASS_MUTABLE ? ", or can't be changed" : "");
}

int csi_class_change(struct csi_map m, enum csi_class_use use, struct csi_class *c, struct err *e)
{
	struct csi_class changed = *c;

	for (size_t i = 0; i < m.n; i++) {
		int r = set_one(m.entries[i], use, &changed, e);

		if (r)
			return r;
	}
	*c = changed;
	return 0;
}

int csi_class_keep(struct csi_arena *a, struct csi_map m, enum csi_class_use use,
		   struct csi_map *ret, struct err *e)
{
	struct csi_map kept = { csi_arena_alloc(a, (m.n + 1) * sizeof(*kept.entries)), 0 };

	if (!kept.entries)
		return err_set(e, -ENOMEM, "no memory for the parameters");
	for (size_t i = 0; i < m.n; i++)
		if (row_of(m.entries[i]->key, use) < ARRAY_SIZE(rows))
			kept.entries[kept.n++] = m.entries[i];
	*ret = kept;
	return 0;
}

int csi_class_parse(struct csi_map m, enum csi_class_use use, struct csi_class *ret, struct err *e)
{
	struct csi_class c = { .encrypted = false };
	int r = csi_class_change(m, use, &c, e);

	if (!r)
		*ret = c;
	return r;
}
