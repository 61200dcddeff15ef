// SPDX-License-Identifier: Apache-2.0
// The calls of the rooms below volume, answered from the world of volume_fakes.h (which includes
// this).
#pragma once

/* The linker calls these by --wrap; nobody declares them. */
#pragma GCC diagnostic ignored "-Wmissing-prototypes"

/* ---- base ---- */

static char fake_disk[512]; /* what stands at the start of a faked device */
int __real_io_pread_full(int fd, void *buf, size_t len, uint64_t offset_bytes, struct err *e);

int __wrap_io_pread_full(int fd, void *buf, size_t len, uint64_t offset_bytes, struct err *e)
{
	if (fd < 1000)
		return __real_io_pread_full(fd, buf, len, offset_bytes, e);
	memset(buf, 0, len);
	memcpy(buf, fake_disk, len < sizeof(fake_disk) ? len : sizeof(fake_disk));
	return 0;
}

/* ---- block ---- */

int __wrap_block_open(const char *path, uint32_t flags, struct block_device *ret, struct err *e)
{
	char what[64];
	int r = step("block_open", e);

	if (r)
		return r;
	snprintf(what, sizeof(what), "device:%.40s", path);
	for (size_t i = 0; i < ARRAY_SIZE(fake.block_flags); i++)
		if (!fake.block_flags[i]) {
			fake.block_flags[i] = flags | 1u << 31;
			break;
		}
	*ret = (struct block_device){ .fd = 1000 + fake.steps,
				      .file_fd = -1,
				      .major = 8,
				      .minor = 16,
				      .size_bytes = fake.device_bytes,
				      .readonly = flags & BLOCK_READONLY || fake.device_readonly,
				      .exclusive = flags & BLOCK_EXCLUSIVE,
				      .regular_file = fake.device_file,
				      .alignment_bytes = fake.alignment_bytes,
				      .alignment_offset_bytes = fake.alignment_offset_bytes,
				      .logical_sector_bytes = 512,
				      .physical_sector_bytes = fake.physical_sector_bytes };
	snprintf(ret->path, sizeof(ret->path), "%s", path);
	snprintf(ret->given, sizeof(ret->given), "%s", path);
	hold(what);
	return 0;
}

void __wrap_block_close(struct block_device *d)
{
	char what[64];

	snprintf(what, sizeof(what), "device:%.40s", d->path);
	note("block_close");
	release(what);
}

int __wrap_block_drop_exclusive(struct block_device *d, struct err *e)
{
	int r = step("block_drop_exclusive", e);

	if (r)
		return r;
	d->exclusive = false;
	fake.closed_fd = d->fd; /* as the real one: another descriptor */
	d->fd += 50;
	return 0;
}

int __wrap_block_refresh_size(struct block_device *d, struct err *e)
{
	(void)d;
	return step("block_refresh_size", e);
}

int __wrap_block_count_holders(uint32_t major, uint32_t minor, unsigned int *ret, struct err *e)
{
	int r = step("block_count_holders", e);

	CHECK(major == 8 && minor == 16);
	if (!r)
		*ret = fake.holders;
	return r;
}

int __wrap_block_path_of(uint32_t major, uint32_t minor, char *ret_path, size_t cap,
			 char *ret_loop_file, size_t loop_cap, struct err *e)
{
	int r = step("block_path_of", e);

	CHECK(major == 8 && minor == 16);
	if (!r && fake.path_gone)
		r = err_set(e, -ENODEV, "gone");
	if (r)
		return r;
	snprintf(ret_path, cap, "/dev/data");
	if (loop_cap)
		ret_loop_file[0] = '\0';
	return 0;
}

int __wrap_block_check_idle(const struct block_device *d, struct err *e)
{
	(void)d, (void)e;
	return 0;
}

int __wrap_block_find_crypt(const struct block_device *d, struct block_number **ret, size_t *ret_n,
			    struct err *e)
{
	(void)d, (void)e;
	*ret = NULL;
	*ret_n = 0;
	return 0;
}

int __wrap_block_known_blank(int fd, uint64_t offset_bytes, uint64_t len_bytes, bool *ret_blank,
			     struct err *e)
{
	int r = step("block_known_blank", e);

	(void)fd;
	CHECK(!offset_bytes && len_bytes && len_bytes % 4096 == 0);
	if (!r)
		*ret_blank = fake.blank;
	return r;
}

/* ---- fs ---- */

int __wrap_fs_probe(int fd, bool skip_luks, struct fs_signatures *ret, struct err *e)
{
	int r = step(skip_luks ? "fs_probe_foreign" : "fs_probe", e);

	(void)fd;
	if (!r)
		*ret = fake.found;
	return r;
}

int __wrap_fs_wipe_signatures(int fd, bool skip_luks, size_t *ret_wiped, struct err *e)
{
	int r = step("fs_wipe", e);

	(void)fd;
	CHECK(skip_luks);
	if (!r)
		*ret_wiped = 1;
	return r;
}

/* ---- dm ---- */

int __wrap_dm_control_open(struct dm_control **ret, struct err *e)
{
	int r = step("dm_control_open", e);

	if (r)
		return r;
	*ret = (struct dm_control *)&fake;
	hold("dm");
	return 0;
}

void __wrap_dm_control_close(struct dm_control *c)
{
	CHECK(c == (struct dm_control *)&fake);
	note("dm_control_close");
	release("dm");
}

void __wrap_dm_control_closep(struct dm_control **c)
{
	if (*c)
		__wrap_dm_control_close(*c);
}

int __wrap_dm_crypt_supports(struct dm_control *c, uint32_t *ret_flags, struct err *e)
{
	int r = step("dm_crypt_supports", e);

	(void)c;
	if (!r)
		*ret_flags = fake.supported;
	return r;
}

static bool is_held(const char *what)
{
	for (size_t i = 0; i < fake.n_held; i++)
		if (!strcmp(fake.held[i], what))
			return true;
	return false;
}

static void take_table(const struct dm_table *t)
{
	bool reachable = is_held("key");

	CHECK(t->n_targets && t->n_targets <= ARRAY_SIZE(fake.loaded_targets));
	fake.loaded = *t;
	memcpy(fake.loaded_targets, t->targets, t->n_targets * sizeof(*t->targets));
	fake.loaded.targets = fake.loaded_targets;
	fake.loaded_hex = false;
	for (size_t i = 0; i < t->n_targets; i++) {
		const struct dm_crypt *c = &t->targets[i].crypt;

		if (t->targets[i].type != DM_TARGET_CRYPT || !c->key_bytes)
			continue;
		fake.loaded_hex = c->key;
		CHECK_MSG(!c->key != !c->key_description[0], "either hex or a description");
		CHECK_MSG(c->key || reachable, "the key named by the table is not reachable");
	}
}

int __wrap_dm_create(struct dm_control *c, const char *name, const char *uuid,
		     const struct dm_table *t, uint32_t device_flags, enum dm_udev_mode udev,
		     struct err *e)
{
	int r = step("dm_create", e);

	(void)c, (void)udev;
	if (r)
		return r;
	CHECK_STR(name, "vol");
	take_table(t);
	snprintf(fake.loaded_uuid, sizeof(fake.loaded_uuid), "%s", uuid);
	fake.device_flags = device_flags;
	hold("mapping");
	return 0;
}

int __wrap_dm_reload(struct dm_control *c, const char *name, const struct dm_table *t,
		     uint32_t device_flags, enum dm_udev_mode udev, struct err *e)
{
	int r = step("dm_reload", e);

	(void)c, (void)udev;
	if (r)
		return r;
	CHECK_STR(name, "vol");
	take_table(t);
	fake.device_flags = device_flags;
	return 0;
}

int __wrap_dm_remove(struct dm_control *c, const char *name, bool deferred, enum dm_udev_mode udev,
		     struct err *e)
{
	char what[160];
	int r;

	(void)c, (void)udev;
	snprintf(what, sizeof(what), "dm_remove%s(%s)", deferred ? "_deferred" : "", name);
	r = step(what, e);
	if (!r && is_held("mapping"))
		release("mapping");
	return r;
}

int __wrap_dm_remove_cancel(struct dm_control *c, const char *name, struct err *e)
{
	(void)c, (void)name;
	return step("dm_remove_cancel", e);
}

int __wrap_dm_query_info(struct dm_control *c, const char *name, struct dm_mapping *ret,
			 struct err *e)
{
	int r = step("dm_query_info", e);

	(void)c;
	if (r)
		return r;
	if (strcmp(name, fake.live.name))
		return err_set(e, -ENODEV, "no mapping %s", name);
	*ret = fake.live;
	return 0;
}

int __wrap_dm_query_instance(struct dm_control *c, const char *name, char ret[DM_INSTANCE_MAX],
			     struct err *e)
{
	int r = step("dm_query_instance", e);

	(void)c;
	if (r)
		return r;
	CHECK_STR(name, "vol");
	snprintf(ret, DM_INSTANCE_MAX, "%s", INSTANCE);
	return 0;
}

int __wrap_dm_query_table(struct dm_control *c, const char *name, struct dm_table *ret,
			  struct secret **ret_key, struct err *e)
{
	int r = step("dm_query_table", e);

	(void)c;
	if (r)
		return r;
	CHECK_STR(name, fake.live.name);
	*ret = (struct dm_table){ .targets = calloc(4, sizeof(struct dm_target)),
				  .n_targets = fake.live_n };
	memcpy(ret->targets, fake.live_targets, sizeof(fake.live_targets));
	if (ret_key) {
		*ret_key = fake.live_hex;
		fake.live_hex = NULL;
	}
	return 0;
}

int __wrap_dm_query_deps(struct dm_control *c, const char *name, struct dm_dev *ret, size_t cap,
			 size_t *ret_n, struct err *e)
{
	int r = step("dm_query_deps", e);

	(void)c, (void)name, (void)cap;
	if (!r) {
		*ret = (struct dm_dev){ 8, 16 };
		*ret_n = 1;
	}
	return r;
}

/* ---- keyring ---- */

int __wrap_keyring_put(const char *description, const struct secret *key, struct keyring_hold *ret,
		       struct err *e)
{
	int r = step("keyring_put", e);

	if (r)
		return r;
	CHECK_STR(description, "cryptsetup:" UUID "-d0");
	CHECK_INT(key->len, KEY_BYTES);
	*ret = (struct keyring_hold){ .ring = 1, .key = 2, .linked = true };
	hold("key");
	return 0;
}

int __wrap_keyring_put_kept(const char *dm_name, const char *dm_uuid, const char *description,
			    const struct secret *key, struct keyring_hold *ret, struct err *e)
{
	int r = step("keyring_put_kept", e);

	if (r)
		return r;
	CHECK_STR(dm_name, "vol");
	CHECK_STR(description, "cryptsetup:" UUID "-d0");
	CHECK_INT(key->len, KEY_BYTES);
	snprintf(fake.kept_for, sizeof(fake.kept_for), "%s", dm_uuid);
	*ret = (struct keyring_hold){ .ring = 1, .key = 2, .kept = true, .linked = true };
	fake.kept_ring = true;
	hold("ring");
	hold("key");
	return 0;
}

int __wrap_keyring_find_kept(const char *dm_name, const char *dm_uuid, struct keyring_hold *ret,
			     struct err *e)
{
	int r = step("keyring_find_kept", e);

	if (r)
		return r;
	CHECK_STR(dm_name, "vol");
	CHECK_STR(dm_uuid, INSTANCE);
	if (!fake.kept_ring)
		return err_set(e, -ENOKEY, "none kept");
	*ret = (struct keyring_hold){ .ring = 1, .kept = true, .linked = true };
	hold("key");
	return 0;
}

int __wrap_keyring_check_kept(const char *dm_name, const char *dm_uuid, struct err *e)
{
	int r = step("keyring_check_kept", e);

	if (r)
		return r;
	CHECK_STR(dm_name, "vol");
	CHECK_STR(dm_uuid, INSTANCE);
	return fake.kept_ring ? 0 : err_set(e, -ENOKEY, "none kept");
}

void __wrap_keyring_drop(struct keyring_hold *h)
{
	if (!h->linked)
		return;
	note("keyring_drop");
	release("key");
	memset(h, 0, sizeof(*h));
}

int __wrap_keyring_revoke_kept(const char *dm_name, struct err *e)
{
	int r = step("keyring_revoke_kept", e);

	if (r)
		return r;
	CHECK_STR(dm_name, "vol");
	if (is_held("ring"))
		release("ring");
	fake.kept_ring = false;
	return 0;
}

bool __wrap_keyring_available(void)
{
	return fake.keyring;
}

/* ---- luks ---- */

static struct luks_header *give_header(void)
{
	struct luks_header *h = malloc(sizeof(*h));

	*h = fake.header;
	if (fake.changed_when_mapped && strstr(fake.trace, "dm_create"))
		h->keyslots_bytes += 4096;
	hold("header");
	return h;
}

int __wrap_luks_load(const struct luks_io *io, struct luks_header **ret, struct err *e)
{
	int r = step("luks_load", e);

	CHECK(io->check_foreign);
	if (!r)
		*ret = give_header();
	return r;
}

void __wrap_luks_free(struct luks_header *h)
{
	if (!h)
		return;
	note("luks_free");
	release("header");
	free(h);
}

int __wrap_luks_repair(const struct luks_io *io, bool roll_back, struct err *e)
{
	CHECK(!roll_back);
	CHECK(io->writable);
	return step("luks_repair", e);
}

/* "secret" opens keyslot 0, "other" opens keyslot 1. */
int __wrap_luks_unlock_keyslot(const struct luks_io *io, const struct luks_header *h,
			       struct crypto_kdf *kdf, const struct luks_unlock *u,
			       struct secret **ret_key, int *ret_keyslot, struct err *e)
{
	int r = step("luks_unlock", e), slot = -1;

	(void)io, (void)h, (void)kdf;
	if (r)
		return r;
	if (u->passphrase->len == 6 && !memcmp(u->passphrase->data, "secret", 6))
		slot = 0;
	if (u->passphrase->len == 5 && !memcmp(u->passphrase->data, "other", 5))
		slot = 1;
	if (slot < 0 || (u->keyslot != LUKS_ANY && u->keyslot != slot))
		return err_set(e, -EPERM, "no keyslot opens");
	fake.unlocked_slots |= 1 << slot;
	*ret_keyslot = slot;
	return secret_random(KEY_BYTES, ret_key, e);
}

int __wrap_luks_verify_key(const struct luks_header *h, const struct secret *key, int segment,
			   int *ret_digest, struct err *e)
{
	int r = step("luks_verify_key", e);

	(void)h, (void)segment;
	if (!r && key->len != KEY_BYTES)
		r = err_set(e, -EPERM, "not the volume key");
	if (!r)
		*ret_digest = 0;
	return r;
}

int __wrap_luks_format(const struct luks_io *io, struct crypto_kdf *kdf,
		       const struct luks_format *f, struct luks_header **ret, struct err *e)
{
	int r = step("luks_format", e);

	(void)kdf;
	CHECK(io->writable);
	fake.format = *f;
	if (!r && f->clear)
		r = f->clear(f->clear_arg, e);
	if (!r)
		*ret = give_header();
	return r;
}

int __wrap_luks_add_keyslot(const struct luks_io *io, struct luks_header *h, struct crypto_kdf *kdf,
			    const struct luks_new_keyslot *n, const struct secret *key,
			    int *ret_keyslot, struct err *e)
{
	int r = step("luks_add", e);

	(void)h, (void)kdf, (void)n;
	CHECK(io->writable && key);
	if (!r)
		*ret_keyslot = 2;
	return r;
}

int __wrap_luks_change_keyslot(const struct luks_io *io, struct luks_header *h,
			       struct crypto_kdf *kdf, int old, const struct luks_new_keyslot *n,
			       const struct secret *key, bool force, int *ret_keyslot,
			       struct err *e)
{
	int r = step("luks_change", e);

	(void)h, (void)kdf, (void)n, (void)force;
	CHECK(io->writable && key);
	fake.killed = old;
	if (!r)
		*ret_keyslot = old;
	return r;
}

int __wrap_luks_kill_keyslot(const struct luks_io *io, struct luks_header *h, int keyslot,
			     bool allow_last, struct err *e)
{
	int r = step("luks_kill", e);

	(void)h, (void)allow_last;
	CHECK(io->writable);
	if (!r)
		fake.killed = keyslot;
	return r;
}

int __wrap_luks_kill_other(const struct luks_io *io, struct luks_header *h, int keyslot, int proof,
			   bool allow_last, struct err *e)
{
	CHECK(proof != keyslot);
	return __wrap_luks_kill_keyslot(io, h, keyslot, allow_last, e);
}

int __wrap_luks_erase_keyslots(const struct luks_io *io, struct luks_header *h, struct err *e)
{
	(void)io, (void)h;
	return step("luks_erase", e);
}

int __wrap_luks_set_flags(const struct luks_io *io, struct luks_header *h, uint32_t flags,
			  struct err *e)
{
	int r = step("luks_set_flags", e);

	(void)h;
	CHECK(io->writable);
	CHECK_MSG(io->fd != fake.closed_fd, "the descriptor is closed");
	if (!r)
		fake.flags_set = flags;
	return r;
}

int __wrap_luks_set_labels(const struct luks_io *io, struct luks_header *h, const char *label,
			   const char *subsystem, struct err *e)
{
	(void)io, (void)h, (void)label, (void)subsystem;
	return step("luks_set_labels", e);
}

int __wrap_luks_set_uuid(const struct luks_io *io, struct luks_header *h, const char *uuid,
			 struct err *e)
{
	(void)io, (void)h, (void)uuid;
	return step("luks_set_uuid", e);
}

int __wrap_luks_set_priority(const struct luks_io *io, struct luks_header *h, int keyslot,
			     enum luks_priority p, struct err *e)
{
	(void)io, (void)h, (void)keyslot, (void)p;
	return step("luks_set_priority", e);
}
