// SPDX-License-Identifier: Apache-2.0
// LUKS1: recognised, checked, dumped, refused by name (checklist 2.10).
#include "luks_expect.h"

static void box_2_10_fields_of_a_header_by_cryptsetup(void)
{
	struct luks_header *h = load_edited("luks1", "copy 1");
	const struct luks1_header *l;

	REQUIRE(h && h->luks1);
	l = h->luks1;
	CHECK_INT(h->version, 1);
	CHECK_STR(h->uuid, "c0ffee00-0000-4000-8000-000000000004");
	CHECK_STR(l->cipher, "aes");
	CHECK_STR(l->mode, "xts-plain64");
	CHECK_STR(l->hash, "sha256");
	CHECK_INT(l->payload_offset_sectors, 4096);
	CHECK_INT(l->key_bytes, 64);
	CHECK_INT(l->digest_iterations, 1000);
	CHECK(l->keyslots[0].active);
	CHECK_INT(l->keyslots[0].iterations, 1000);
	CHECK_INT(l->keyslots[0].key_material_offset_sectors, 8);
	CHECK_INT(l->keyslots[0].stripes, 4000);
	for (size_t i = 1; i < 8; i++) {
		CHECK(!l->keyslots[i].active);
		/* specification 4.7, table 2, 512-bit key */
		CHECK_INT(l->keyslots[i].key_material_offset_sectors, 8 + 504 * (long long)i);
	}
	CHECK_INT(luks_volume_key_bytes(h), 64);
	CHECK_INT(luks_data_offset(h), 4096 * 512);
	luks_free(h);
}

static void box_2_10_refused_by_name(void)
{
	struct luks_header *h = load_edited("luks1", "copy 1");
	struct err e = { 0 };
	char *text = NULL;

	REQUIRE(h);
	CHECK_INT(luks_check_usable(h, &e), -EOPNOTSUPP);
	CHECK_CONTAINS(err_text(&e), "LUKS1");
	CHECK_INT(luks_json_text(h, &text, &e), -EOPNOTSUPP);
	CHECK(!luks_default_segment(h));
	luks_free(h);
}

static void box_2_10_key_material_stays_in_bounds(void)
{
	expect_refused("luks1", "be32 248 1", "keyslot 0: keyMaterialOffset: 1 is inside");
	expect_refused("luks1", "be32 296 507", "keyslot 1: keyMaterialOffset: overlaps keyslot 0");
	expect_refused("luks1", "be32 584 3597",
		       "keyslot 7: keyMaterialOffset: the key material ends at sector 4097");
	expect_refused("luks1", "be32 248 4294967295", "beyond the payload");
	expect_refused("luks1", "be32 104 100", "beyond the payload's begin at 100");
	expect_refused("luks1", "be32 104 0 ;; be32 584 131000", "ends beyond the device");
}

static void box_2_10_stripes_state_key_size(void)
{
	expect_refused("luks1", "be32 252 4001", "keyslot 0: stripes: 4001 is not 4000");
	expect_refused("luks1", "be32 208 1", "keyslot 0: active:");
	expect_refused("luks1", "be32 108 0", "keyBytes: 0 is outside");
	expect_refused("luks1", "be32 108 513", "keyBytes: 513 is outside");
}

static void box_2_10_texts(void)
{
	struct luks_header *h = load_edited("luks1", "fill 8 32"); /* no NUL in the field */

	REQUIRE(h);
	CHECK_INT(strlen(h->luks1->cipher), 32);
	luks_free(h);
	expect_refused("luks1", "zero 8 32", "cipherName: is empty");
	expect_refused("luks1", "hex 40 1b", "cipherMode:");
	expect_refused("luks1", "zero 72 32", "hashSpec: is empty");
	expect_refused("luks1", "zero 168 40", "uuid:");
}

/* The image of a whole volume says the same. */
static void header_of_a_volume(void)
{
	struct luks_header *h = NULL;
	struct image img = { 0 };
	struct err e = { 0 };

	REQUIRE(image_load(&img, "tests/images/luks1.img.xz", 4 << 20));
	CHECK_MSG(!luks_parse(img.data, img.len, img.len, &h, &e), "%s", err_text(&e));
	CHECK(h && h->version == 1);
	luks_free(h);
	image_free(&img);
}

int main(void)
{
	RUN(box_2_10_fields_of_a_header_by_cryptsetup);
	RUN(box_2_10_refused_by_name);
	RUN(box_2_10_key_material_stays_in_bounds);
	RUN(box_2_10_stripes_state_key_size);
	RUN(box_2_10_texts);
	RUN(header_of_a_volume);
	return check_exit();
}
