// SPDX-License-Identifier: Apache-2.0
// The keyslots area: sizes, first gap, wiping, whole-block reads.
#include <cryptvol/base.h>
#include <luks/write.h>

#include "check.h"
#include "luks_volume.h"

#define AREA 131072u

static void box_2_5_area_sizes(void)
{
	/* checklist 2.5: area allocated as round_up(key * 4000, 4096) */
	CHECK_INT(luks_area_bytes(64), 258048);
	CHECK_INT(luks_area_bytes(32), 131072);
	CHECK_INT(luks_area_bytes(16), 65536);
	CHECK_INT(luks_area_bytes(1), 4096);
	CHECK_INT(luks_material_bytes(32), 128000);
	CHECK_INT(luks_material_bytes(33), 132096);
}

static void put_slot(struct luks_header *h, uint64_t offset, uint64_t len)
{
	h->keyslots[h->n_keyslots].area_offset_bytes = offset;
	h->keyslots[h->n_keyslots++].area_size_bytes = len;
}

/* checklist 2.5: first gap that fits from 2 * hdr_size. */
static void box_2_5_first_gap_that_fits(void)
{
	struct luks_header *h = calloc(1, sizeof(*h));
	uint64_t at = 0;

	REQUIRE(h);
	h->header_bytes = 16384;
	h->keyslots_bytes = 4 * AREA;
	REQUIRE(!luks_area_find(h, AREA, &at, NULL));
	CHECK_INT(at, 32768);
	/* In JSON order that isn't the order on disk. */
	put_slot(h, 32768 + 2 * AREA, AREA);
	put_slot(h, 32768, AREA);
	REQUIRE(!luks_area_find(h, AREA, &at, NULL));
	CHECK_INT(at, 32768 + AREA);
	/* Too big for the hole, and for what is left behind it. */
	CHECK_INT(luks_area_find(h, 2 * AREA, &at, NULL), -ENOSPC);
	put_slot(h, 32768 + AREA, 4096);
	REQUIRE(!luks_area_find(h, AREA, &at, NULL));
	CHECK_INT(at, 32768 + 3 * AREA);
	/* An odd end by another hand: ours begin at a block all the same. */
	put_slot(h, 32768 + 3 * AREA, 1000);
	REQUIRE(!luks_area_find(h, AREA - 4096, &at, NULL));
	CHECK_INT(at, 32768 + AREA + 4096);
	REQUIRE(!luks_area_find(h, AREA - 4096, &at, NULL));
	put_slot(h, 32768 + AREA + 4096, AREA - 4096);
	REQUIRE(!luks_area_find(h, AREA - 4096, &at, NULL));
	CHECK_INT(at, 32768 + 3 * AREA + 4096);
	CHECK_INT(luks_area_find(h, AREA, &at, NULL), -ENOSPC);
	h->keyslots_bytes = 0;
	CHECK_INT(luks_area_find(h, 4096, &at, NULL), -ENOSPC);
	free(h);
}

static void wipe_hits_its_area_alone(void)
{
	_cleanup_volume_ struct volume_file v;
	static unsigned char was[8 * 4096], now[8 * 4096];

	REQUIRE(volume_file_new(&v, 8 * 4096));
	memset(was, 0x5a, sizeof(was));
	REQUIRE(!io_pwrite_full(v.io.fd, was, sizeof(was), 0, NULL));
	REQUIRE(!luks_area_wipe(&v.io, 2 * 4096, 3 * 4096, NULL));
	REQUIRE(!io_pread_full(v.io.fd, now, sizeof(now), 0, NULL));
	CHECK_MEM(now, was, 2 * 4096);
	CHECK_MEM(now + 5 * 4096, was, 3 * 4096);
	for (size_t at = 2 * 4096; at < 5 * 4096; at += 512)
		CHECK(memcmp(now + at, was, 512) != 0);
}

/* Areas of other hands need not begin at a block; O_DIRECT reads whole ones. */
static void reads_whole_blocks(void)
{
	_cleanup_volume_ struct volume_file v;
	_cleanup_secret_ struct secret *s = NULL;
	unsigned char was[4 * 4096];

	REQUIRE(volume_file_new(&v, sizeof(was)));
	for (size_t i = 0; i < sizeof(was); i++)
		was[i] = (unsigned char)(i * 31 >> 3);
	REQUIRE(!io_pwrite_full(v.io.fd, was, sizeof(was), 0, NULL));
	REQUIRE(!luks_area_read(&v.io, 4096 + 512, 6000, &s, NULL));
	CHECK_INT(s->len, 6000);
	CHECK_MEM(s->data, was + 4096 + 512, 6000);
}

static const struct {
	const char *encryption; /* NULL: no segment */
	bool integrity;
	uint32_t data_bytes;
	const char *want;
	uint32_t want_bytes;
} defaults[] = {
	{ "aes-xts-plain64", false, 64, "aes-xts-plain64", 64 },
	{ "aes-xts-plain64", false, 32, "aes-xts-plain64", 32 },
	{ "aes-cbc-essiv:sha256", false, 32, "aes-cbc-essiv:sha256", 32 },
	{ "capi:cbc(aes)-essiv:sha256", false, 32, "aes-xts-plain64", 64 },
	{ "cipher_null-ecb", false, 32, "aes-xts-plain64", 64 },
	{ "- - -", false, 32, "aes-xts-plain64", 64 },
	{ "aes-cbc-essiv:sha256", true, 32, "aes-xts-plain64", 64 },
	{ "paes-xts-plain64", false, 64, "aes-xts-plain64", 64 },
	{ "nonesuch-xts-plain64", false, 32, "aes-xts-plain64", 64 },
	{ NULL, false, 0, "aes-xts-plain64", 64 },
};

/* The data's cipher, or one that is always there. */
static void box_2_5_default_area_cipher(void)
{
	struct luks_header *h = calloc(1, sizeof(*h));
	const struct luks_io io = { .fd = -1 };
	struct luks_new_keyslot n = { 0 };
	char spec[CRYPTO_CIPHER_SPEC_MAX] = "";
	uint32_t bytes = 0;

	REQUIRE(h);
	for (size_t i = 0; i < ARRAY_SIZE(defaults); i++) {
		h->n_segments = defaults[i].encryption != NULL;
		h->segments[0].type = LUKS_SEGMENT_CRYPT;
		h->segments[0].integrity = defaults[i].integrity;
		snprintf(h->segments[0].encryption, sizeof(h->segments[0].encryption), "%s",
			 defaults[i].encryption ?: "");
		CHECK_INT(luks_area_cipher(&io, h, &n, defaults[i].data_bytes, spec, &bytes, NULL), 0);
		CHECK_STR(spec, defaults[i].want);
		CHECK_INT(bytes, defaults[i].want_bytes);
	}
	n.area_encryption = "aes-cbc-essiv:sha256";
	CHECK_INT(luks_area_cipher(&io, h, &n, 32, spec, &bytes, NULL), 0);
	CHECK_STR(spec, "aes-cbc-essiv:sha256");
	CHECK_INT(bytes, 32);
	n.area_encryption = "cipher_null-ecb";
	CHECK_INT(luks_area_cipher(&io, h, &n, 32, spec, &bytes, NULL), -EOPNOTSUPP);
	free(h);
}

int main(void)
{
	RUN(box_2_5_area_sizes);
	RUN(box_2_5_first_gap_that_fits);
	RUN(box_2_5_default_area_cipher);
	RUN(wipe_hits_its_area_alone);
	RUN(reads_whole_blocks);
	return check_exit();
}
