// SPDX-License-Identifier: Apache-2.0
// The keyslots area: sizes, first gap, wiping, whole-block reads.
#include <cryptvol/base.h>
#include <luks/write.h>

#include "check.h"
#include "luks_volume.h"

#define AREA 131072u

static void sizes(void)
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
static void first_gap(void)
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

int main(void)
{
	RUN(sizes);
	RUN(first_gap);
	RUN(wipe_hits_its_area_alone);
	RUN(reads_whole_blocks);
	return check_exit();
}
