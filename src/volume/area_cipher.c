// SPDX-License-Identifier: Apache-2.0
// A keyslot area's cipher where the kernel gives it to dm-crypt alone (no AF_ALG sockets): through
// a mapping that this process has for itself. Below it lies a loop device over memory, which only
// ever holds ciphertext; the caller's device is not touched.
#include "internal.h"

#include <stdio.h>
#include <sys/mman.h>

#define MEMORY_NAME "memory for a keyslot area"

struct area_cipher {
	int memory_fd;
	struct block_device loop;
	struct dm_control *dm;
	struct keyring_hold hold;
	struct dm_target target;
	struct dm_private mapping;
};

static int make_memory(struct area_cipher *a, const void *content, size_t len, struct err *e)
{
	a->memory_fd = memfd_create("cryptvol-keyslot", MFD_CLOEXEC);
	if (a->memory_fd < 0 || ftruncate(a->memory_fd, (off_t)len))
		return err_sys(e, -errno, "no " MEMORY_NAME);
	return content ? io_pwrite_full(a->memory_fd, content, len, 0, e) : 0;
}

/* As for a volume: the keyring, or hex in the table where the host can't do better. */
static int put_key(struct area_cipher *a, const struct secret *key, struct err *e)
{
	struct dm_crypt *c = &a->target.crypt;
	char random[64], description[80];
	uint32_t supported;
	int r;

	c->key_bytes = (uint32_t)key->len;
	r = dm_crypt_supports(a->dm, &supported, e);
	if (r)
		return r;
	if (!(supported & DM_CRYPT_KEYRING) || !keyring_available()) {
		c->key = key;
		return 0;
	}
	r = text_uuid_random(random, e);
	if (r)
		return r;
	snprintf(description, sizeof(description), "cryptvol:area:%s", random);
	snprintf(c->key_description, sizeof(c->key_description), "logon:%s", description);
	return keyring_put(description, key, &a->hold, e);
}

static int map(struct area_cipher *a, const struct crypto_cipher *c, const struct secret *key,
	       size_t len, bool readonly, struct err *e)
{
	struct dm_table table = { .targets = &a->target, .n_targets = 1, .readonly = readonly };
	int r;

	a->target.type = DM_TARGET_CRYPT;
	a->target.len_sectors = len / SECTOR_SIZE_BYTES;
	a->target.dev_major = a->loop.major;
	a->target.dev_minor = a->loop.minor;
	text_copy(a->target.crypt.cipher, sizeof(a->target.crypt.cipher), c->spec);
	r = put_key(a, key, e);
	return r ?: dm_private_open(a->dm, &table, &a->mapping, e);
}

/* What is in the clear goes by O_DIRECT between the secret's pages and dm-crypt: no page cache has
 * it. */
static int decrypt(struct area_cipher *a, const struct crypto_cipher *c, const struct secret *key,
		   struct secret *data, size_t len, struct err *e)
{
	int r;

	r = make_memory(a, data->data, len, e);
	if (!r)
		r = block_attach_file(a->memory_fd, MEMORY_NAME, true, &a->loop, e);
	if (!r)
		r = map(a, c, key, len, true, e);
	return r ?: io_pread_full(a->mapping.fd, data->data, len, 0, e);
}

static int encrypt(struct area_cipher *a, const struct crypto_cipher *c, const struct secret *key,
		   struct secret *data, size_t len, struct err *e)
{
	int r;

	r = make_memory(a, NULL, len, e);
	if (!r)
		r = block_attach_file(a->memory_fd, MEMORY_NAME, false, &a->loop, e);
	if (!r)
		r = map(a, c, key, len, false, e);
	if (!r)
		r = io_pwrite_full(a->mapping.fd, data->data, len, 0, e);
	if (!r)
		r = io_fsync(a->mapping.fd, e);
	return r ?: io_pread_full(a->memory_fd, data->data, len, 0, e);
}

int volume_run_cipher(const struct crypto_cipher *c, const struct secret *key, bool to_cipher,
		      struct secret *data, size_t len, struct err *e)
{
	_cleanup_free_ struct area_cipher *a = calloc(1, sizeof(*a));
	int r;

	if (!a)
		return err_set(e, -ENOMEM, "no memory for a mapping");
	a->memory_fd = a->loop.fd = a->loop.file_fd = a->loop.claim_fd = a->mapping.fd = -1;
	r = dm_control_open(&a->dm, e);
	if (r)
		return r;
	r = to_cipher ? encrypt(a, c, key, data, len, e) : decrypt(a, c, key, data, len, e);
	dm_private_close(a->dm, &a->mapping);
	keyring_drop(&a->hold);
	block_close(&a->loop);
	if (a->memory_fd >= 0)
		close(a->memory_fd);
	dm_control_close(a->dm);
	return r;
}
