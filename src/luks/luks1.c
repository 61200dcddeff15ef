// SPDX-License-Identifier: Apache-2.0
// LUKS1's header: recognised, checked, dumped; never opened here (checklist 2.10).
#include "header.h"

#define LUKS1_SLOTS 8u
#define LUKS1_ACTIVE 0x00ac71f3u
#define LUKS1_DISABLED 0x0000deadu

struct bin_luks1_keyslot {
	be32 active;
	be32 iterations;
	uint8_t salt[32];
	be32 material_offset_sectors;
	be32 stripes;
} __attribute__((packed));

struct bin_luks1 {
	uint8_t magic[6];
	be16 version;
	char cipher[32];
	char mode[32];
	char hash[32];
	be32 payload_offset_sectors;
	be32 key_bytes;
	uint8_t digest[20];
	uint8_t digest_salt[32];
	be32 digest_iterations;
	char uuid[LUKS_UUID_BYTES];
	struct bin_luks1_keyslot keyslots[LUKS1_SLOTS];
} __attribute__((packed));

static_assert(offsetof(struct bin_luks1, version) == 6, "LUKS1 specification, figure 1");
static_assert(offsetof(struct bin_luks1, cipher) == 8, "LUKS1 specification, figure 1");
static_assert(offsetof(struct bin_luks1, mode) == 40, "LUKS1 specification, figure 1");
static_assert(offsetof(struct bin_luks1, hash) == 72, "LUKS1 specification, figure 1");
static_assert(offsetof(struct bin_luks1, payload_offset_sectors) == 104, "LUKS1 specification");
static_assert(offsetof(struct bin_luks1, key_bytes) == 108, "LUKS1 specification, figure 1");
static_assert(offsetof(struct bin_luks1, digest) == 112, "LUKS1 specification, figure 1");
static_assert(offsetof(struct bin_luks1, digest_salt) == 132, "LUKS1 specification, figure 1");
static_assert(offsetof(struct bin_luks1, digest_iterations) == 164, "LUKS1 specification");
static_assert(offsetof(struct bin_luks1, uuid) == 168, "LUKS1 specification, figure 1");
static_assert(offsetof(struct bin_luks1, keyslots) == 208, "LUKS1 specification, figure 1");
static_assert(sizeof(struct bin_luks1_keyslot) == 48, "LUKS1 specification, figure 2");
static_assert(sizeof(struct bin_luks1) == 592, "LUKS1 specification, figure 1");

/* A fixed field of text: must be printable; it may fill the field without a NUL. */
static int read_text(const char *field, const char *name, char ret[33], struct err *e)
{
	size_t n = strnlen(field, 32);

	for (size_t i = 0; i < n; i++)
		if (field[i] < 0x20 || field[i] > 0x7e)
			return err_set(e, -EBADMSG,
				       "LUKS1 header: %s: has a byte that isn't printable ASCII",
				       name);
	if (n == 0)
		return err_set(e, -EBADMSG, "LUKS1 header: %s: is empty", name);
	memcpy(ret, field, n);
	ret[n] = '\0';
	return 0;
}

static int read_keyslot(const struct bin_luks1_keyslot *b, unsigned int id,
			struct luks1_keyslot *ret, struct err *e)
{
	uint32_t active = be32_get(b->active);

	if (active != LUKS1_ACTIVE && active != LUKS1_DISABLED)
		return err_set(e, -EBADMSG, "keyslot %u: active: 0x%08x is neither state", id,
			       active);
	ret->active = active == LUKS1_ACTIVE;
	ret->iterations = be32_get(b->iterations);
	ret->key_material_offset_sectors = be32_get(b->material_offset_sectors);
	ret->stripes = be32_get(b->stripes);
	memcpy(ret->salt, b->salt, sizeof(ret->salt));
	if (ret->stripes != LUKS_AF_STRIPES)
		return err_set(e, -EBADMSG, "keyslot %u: stripes: %u is not %u", id, ret->stripes,
			       LUKS_AF_STRIPES);
	return 0;
}

/* Key material lies behind the header, before the payload, on the device. */
static int check_keyslot(const struct luks1_header *l, unsigned int id, uint64_t material_sectors,
			 uint64_t device_bytes, struct err *e)
{
	uint64_t begin = l->keyslots[id].key_material_offset_sectors,
		 end = begin + material_sectors;

	if (begin * SECTOR_SIZE_BYTES < sizeof(struct bin_luks1))
		return err_set(e, -EBADMSG,
			       "keyslot %u: keyMaterialOffset: %llu is inside the header", id,
			       (unsigned long long)begin);
	if (l->payload_offset_sectors && end > l->payload_offset_sectors)
		return err_set(e, -EBADMSG,
			       "keyslot %u: keyMaterialOffset: the key material ends at sector "
			       "%llu, beyond the payload's begin at %u",
			       id, (unsigned long long)end, l->payload_offset_sectors);
	if (end * SECTOR_SIZE_BYTES > device_bytes)
		return err_set(e, -EBADMSG,
			       "keyslot %u: keyMaterialOffset: the key material ends beyond the "
			       "device",
			       id);
	for (unsigned int j = 0; j < id; j++) {
		uint64_t other = l->keyslots[j].key_material_offset_sectors;

		if (begin < other + material_sectors && other < end)
			return err_set(e, -EBADMSG,
				       "keyslot %u: keyMaterialOffset: overlaps keyslot %u", id, j);
	}
	return 0;
}

static int read_keyslots(const struct bin_luks1 *b, uint64_t device_bytes, struct luks1_header *l,
			 struct err *e)
{
	uint64_t material_sectors =
		((uint64_t)l->key_bytes * LUKS_AF_STRIPES + SECTOR_SIZE_BYTES - 1) /
		SECTOR_SIZE_BYTES;
	int r = 0;

	for (unsigned int i = 0; i < LUKS1_SLOTS && !r; i++) {
		r = read_keyslot(&b->keyslots[i], i, &l->keyslots[i], e);
		if (!r)
			r = check_keyslot(l, i, material_sectors, device_bytes, e);
	}
	return r;
}

static int read_header(const struct bin_luks1 *b, uint64_t device_bytes, struct luks1_header *l,
		       struct err *e)
{
	int r;

	l->payload_offset_sectors = be32_get(b->payload_offset_sectors);
	l->key_bytes = be32_get(b->key_bytes);
	l->digest_iterations = be32_get(b->digest_iterations);
	memcpy(l->digest, b->digest, sizeof(l->digest));
	memcpy(l->digest_salt, b->digest_salt, sizeof(l->digest_salt));
	r = read_text(b->cipher, "cipherName", l->cipher, e);
	if (!r)
		r = read_text(b->mode, "cipherMode", l->mode, e);
	if (!r)
		r = read_text(b->hash, "hashSpec", l->hash, e);
	if (r)
		return r;
	if (l->key_bytes == 0 || l->key_bytes > CRYPTO_KEY_MAX_BYTES)
		return err_set(e, -EBADMSG, "LUKS1 header: keyBytes: %u is outside 1 ... %u",
			       l->key_bytes, CRYPTO_KEY_MAX_BYTES);
	return read_keyslots(b, device_bytes, l, e);
}

int luks1_parse(const void *buf, size_t len, uint64_t device_bytes, struct luks_header **ret,
		struct err *e)
{
	_cleanup_luks_ struct luks_header *h = NULL;
	const struct bin_luks1 *b = buf;
	int r;

	r = luks_header_alloc(&h, e);
	if (r)
		return r;
	h->luks1 = calloc(1, sizeof(*h->luks1));
	if (!h->luks1)
		return err_set(e, -ENOMEM, "no memory for a header");
	if (len < sizeof(*b) ||
	    memcmp(b->magic, luks_bin_magic(COPY_PRIMARY), sizeof(b->magic)) != 0 ||
	    be16_get(b->version) != 1)
		return err_set(e, -EMEDIUMTYPE, "no LUKS1 header");
	r = read_header(b, device_bytes, h->luks1, e);
	if (r)
		return r;
	h->version = 1;
	h->header_bytes = sizeof(*b);
	memcpy(h->uuid, b->uuid, sizeof(h->uuid) - 1);
	if (!text_uuid_valid(h->uuid))
		return err_set(e, -EBADMSG, "LUKS1 header: uuid: is no UUID");
	*ret = h;
	h = NULL;
	return 0;
}
