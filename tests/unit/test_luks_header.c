// SPDX-License-Identifier: Apache-2.0
// The binary header when reading: sizes, places, checksum, order of checks (checklist 2.1).
#include <fcntl.h>
#include <sys/mman.h>

#include "luks/internal.h"
#include "luks_expect.h"

#define SIZES 9
#define BIG_BYTES (8u << 20)

/* One made by cryptsetup with --luks2-metadata-size of each allowed value. */
static const struct {
	const char *image;
	size_t header_bytes;
} sizes[SIZES] = {
	{ "adiantum20", 0x4000 },
	{ "aes-xts-256-sha512-sector-4096", 0x8000 },
	{ "aes-cbc-essiv-argon2i", 0x10000 },
	{ "adiantum12-sector-4096", 0x20000 },
	{ "serpent-xts", 0x40000 },
	{ "hash-sha1", 0x80000 },
	{ "hash-sha3-256-sector-2048", 0x100000 },
	{ "hash-blake2b-512-sector-1024", 0x200000 },
	{ "hash-ripemd160", 0x400000 },
};

static bool load_size(size_t i, struct image *img)
{
	char path[256];

	snprintf(path, sizeof(path), "tests/images/%s.img.xz", sizes[i].image);
	return image_load(img, path, BIG_BYTES);
}

static struct luks_header *parse(const struct image *img)
{
	struct luks_header *h = NULL;
	struct err e = { 0 };
	int r = luks_parse(img->data, img->len, img->device_bytes, &h, &e);

	CHECK_MSG(!r, "%s", err_text(&e));
	return h;
}

static void box_2_1_both_copies_at_every_offset_and_size(void)
{
	for (size_t i = 0; i < SIZES; i++) {
		struct luks_header *first, *second;
		struct image img = { 0 };

		REQUIRE(load_size(i, &img));
		first = parse(&img);
		REQUIRE(first);
		CHECK_INT(first->header_bytes, (long long)sizes[i].header_bytes);
		CHECK_INT(first->json_bytes, (long long)sizes[i].header_bytes - 4096);
		CHECK(!first->from_secondary && !first->needs_recovery);
		CHECK_STR(first->checksum_alg, "sha256");
		/* Without the primary, the secondary is found at one of nine places. */
		memset(img.data, 0, sizes[i].header_bytes);
		second = parse(&img);
		REQUIRE(second);
		CHECK(second->from_secondary && second->needs_recovery);
		CHECK_STR(second->uuid, first->uuid);
		luks_free(first);
		luks_free(second);
		image_free(&img);
	}
}

/* What is left of an older header at another offset counts only where nothing else is found. */
static void box_2_1_secondary_is_looked_for_where_the_primary_says(void)
{
	struct image img = { 0 }, stale = { 0 };
	struct luks_header *h;

	REQUIRE(load_size(0, &img) && load_size(1, &stale)); /* 16 KiB and 32 KiB */
	image_put(&stale, 0x8000 + 16, 99, 8);		     /* a newer one at that */
	image_seal(&stale, 0x8000, 1);
	memcpy(img.data + 0x8000, stale.data + 0x8000, 0x8000);
	h = parse(&img);
	CHECK(h && h->header_bytes == 0x4000 && !h->needs_recovery && h->seqid == 3);
	luks_free(h);
	memset(img.data, 0, 0x4000);
	h = parse(&img);
	CHECK(h && h->header_bytes == 0x4000 && h->from_secondary);
	luks_free(h);
	memset(img.data, 0, 0x8000);
	h = parse(&img);
	CHECK(h && h->header_bytes == 0x8000 && h->from_secondary && h->seqid == 99);
	luks_free(h);
	image_free(&img);
	image_free(&stale);
}

static void box_2_1_checksum_covers_header_and_whole_area(void)
{
	static const size_t places[] = { 16,  24,  103,	 104,  167,  168,  208,	 264,
					 447, 512, 4095, 4096, 5000, 9000, 16383 };

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		struct image img = { 0 };
		struct luks_header *h = NULL;
		struct err e = { 0 };

		REQUIRE(edited_image(&img, "plain", ""));
		for (size_t copy = 0; copy < 2; copy++)
			img.data[copy * 16384 + places[i]] ^= 1;
		CHECK_MSG(luks_parse(img.data, img.len, img.device_bytes, &h, &e) == -EBADMSG &&
				  strstr(err_text(&e), "the checksum is wrong"),
			  "byte %zu: %s", places[i], err_text(&e));
		luks_free(h);
		image_free(&img);
	}
}

static void box_2_1_only_as_many_bytes_as_the_hash_has_are_compared(void)
{
	expect_loads("plain", "hex 480 ffff ;; hex 511 ff");
	expect_refused("plain", "hex 479 00 ;; hex 478 00 ;; hex 477 00 ;; nosum", "checksum");
}

static void box_2_1_any_hash_of_the_backend(void)
{
	static const struct {
		const char *name, *hex;
	} hashes[] = {
		{ "sha1", "7368613100" },
		{ "sha512", "73686135313200" },
		{ "sha3-256", "736861332d32353600" },
	};

	for (size_t i = 0; i < sizeof(hashes) / sizeof(hashes[0]); i++) {
		struct luks_header *h;
		char edit[64];

		snprintf(edit, sizeof(edit), "hex 72 %s", hashes[i].hex);
		h = load_edited("plain", edit);
		REQUIRE(h);
		CHECK_STR(h->checksum_alg, hashes[i].name);
		luks_free(h);
	}
	expect_refused("plain", "hex 72 73686139393900", "header: csum_alg");
	expect_refused("plain", "zero 72 32", "header: csum_alg");
}

/* Faults are added from the last check to the first; the error is always the first one's. */
static void box_2_1_order_of_checks(void)
{
	static const struct {
		const char *edits, *sentence;
	} steps[] = {
		{ "set keyslots/0/key_size 0", "keyslot 0: key_size" },
		{ "hex 4096 5b", "begin with '{'" },
		{ "hex 24 41 ;; nosum", "the checksum is wrong" },
		{ "be64 8 20480", "hdr_size: 20480" },
		{ "be64 256 512", "hdr_offset: 512" },
		{ "be16 6 3", "version: 3" },
	};
	char edits[1024] = "";

	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		size_t n = strlen(edits);

		snprintf(edits + n, sizeof(edits) - n, "%s%s", n ? " ;; " : "", steps[i].edits);
		expect_refused("plain", edits, steps[i].sentence);
	}
}

static void box_2_1_secondary_offset_must_be_its_size(void)
{
	struct luks_header *h = load_edited("plain", "copy 2 ;; be64 8 32768");

	CHECK(h && h->needs_recovery && !h->from_secondary);
	luks_free(h);
	h = load_edited("plain", "copy 2 ;; be64 256 32768");
	CHECK(h && h->needs_recovery && !h->from_secondary);
	luks_free(h);
}

static void box_2_1_device_must_hold_headers_and_keyslots(void)
{
	expect_refused("plain", "device 557055",
		       "the device is too small: header and keyslots take 557056 bytes");
	expect_loads("plain", "device 557056");
}

static void box_2_1_texts_end_with_nul(void)
{
	struct luks_header *h = load_edited("rich", "");

	REQUIRE(h);
	CHECK_STR(h->label, "a label");
	CHECK_STR(h->subsystem, "a subsystem");
	CHECK_STR(h->uuid, "c0ffee00-0000-4000-8000-000000000002");
	CHECK_INT(h->seqid, 9);
	luks_free(h);
	h = load_edited("plain", "fill 24 48 ;; fill 208 48");
	REQUIRE(h);
	CHECK_INT(strlen(h->label), 47);
	CHECK_INT(strlen(h->subsystem), 47);
	luks_free(h);
}

/* Every prefix of an image, and a device that ends there: an answer, never a read beyond. */
static void truncated_images_are_answered(void)
{
	struct image img = { 0 };

	REQUIRE(edited_image(&img, "plain", ""));
	for (size_t len = 0; len <= 40000; len += len < 600 ? 7 : 509) {
		uint8_t *cut = malloc(len ? len : 1); /* so that ASan sees a read beyond */
		struct luks_header *h = NULL;
		struct err e = { 0 };
		int r;

		REQUIRE(cut);
		memcpy(cut, img.data, len);
		r = luks_parse(cut, len, 64u << 20, &h, &e);
		CHECK_MSG(r == (len < 4096    ? -EMEDIUMTYPE
				: len < 16384 ? -EBADMSG
					      : 0),
			  "%zu bytes: %d (%s)", len, r, err_text(&e));
		luks_free(h);
		free(cut);
	}
	image_free(&img);
}

static int probe(const char *base, const char *edits, unsigned int *ret_version)
{
	int fd = memfd_create("disk", MFD_CLOEXEC), r;
	struct image img = { 0 };

	*ret_version = 0;
	if (!edited_image(&img, base, edits) || fd < 0 || ftruncate(fd, 8 << 20) ||
	    pwrite(fd, img.data, img.len, 0) != (ssize_t)img.len)
		return 1;
	r = luks_probe(fd, ret_version, NULL);
	close(fd);
	image_free(&img);
	return r;
}

static void probe_finds_either_copy_and_luks1(void)
{
	unsigned int version;

	CHECK_INT(probe("plain", "", &version), 0);
	CHECK_INT(version, 2);
	CHECK_INT(probe("plain", "copy 1 ;; zero 0 4096 ;; nosum", &version), 0);
	CHECK_INT(version, 2);
	CHECK_INT(probe("luks1", "copy 1", &version), 0);
	CHECK_INT(version, 1);
	CHECK_INT(probe("plain", "zero 0 4096 ;; nosum", &version), -EMEDIUMTYPE);
	CHECK_INT(probe("plain", "copy 1 ;; zero 0 4096 ;; copy 2 ;; be64 256 512", &version),
		  -EMEDIUMTYPE);
	CHECK_INT(probe("plain", "be16 6 3", &version), -EMEDIUMTYPE);
}

int main(void)
{
	RUN(box_2_1_both_copies_at_every_offset_and_size);
	RUN(box_2_1_secondary_is_looked_for_where_the_primary_says);
	RUN(box_2_1_checksum_covers_header_and_whole_area);
	RUN(box_2_1_only_as_many_bytes_as_the_hash_has_are_compared);
	RUN(box_2_1_any_hash_of_the_backend);
	RUN(box_2_1_order_of_checks);
	RUN(box_2_1_secondary_offset_must_be_its_size);
	RUN(box_2_1_device_must_hold_headers_and_keyslots);
	RUN(box_2_1_texts_end_with_nul);
	RUN(truncated_images_are_answered);
	RUN(probe_finds_either_copy_and_luks1);
	return check_exit();
}
