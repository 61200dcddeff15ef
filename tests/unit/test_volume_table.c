// SPDX-License-Identifier: Apache-2.0
// From a header to its table: bytes and sectors, sizes that don't fit, and what is never mapped.
#include "volume_fakes.h"

static struct volume_table_how how;
static struct dm_table table;

static void ask(void)
{
	fake_reset();
	how = (struct volume_table_how){
		.device_bytes = 64 * MIB,
		.major = 8,
		.minor = 16,
		.key_bytes = KEY_BYTES,
		.supported = ~0u,
	};
}

static int build(struct err *e)
{
	dm_table_free(&table);
	return volume_build_table(&fake.header, &how, &table, e);
}

static struct luks_segment *segment(unsigned int id, enum luks_segment_type type, uint64_t offset,
				    uint64_t size)
{
	struct luks_segment *s = &fake.header.segments[id];

	*s = fake.header.segments[0];
	s->id = id;
	s->type = type;
	s->offset_bytes = offset;
	s->size_bytes = size;
	s->dynamic = !size;
	fake.header.digests[0].segments |= 1u << id;
	if (fake.header.n_segments <= id)
		fake.header.n_segments = id + 1;
	return s;
}

static void one_dynamic(void)
{
	ask();
	CHECK_INT(build(NULL), 0);
	CHECK_INT(table.n_targets, 1);
	CHECK_INT(table.targets[0].start_sectors, 0);
	CHECK_INT(table.targets[0].len_sectors, 48 * 2048);
	CHECK_INT(table.targets[0].dev_major, 8);
	CHECK_INT(table.targets[0].dev_minor, 16);
	how.device_bytes += 511; /* an odd image: whole sectors count */
	CHECK_INT(build(NULL), 0);
	CHECK_INT(table.targets[0].len_sectors, 48 * 2048);
}

static void expect(int code, const char *sentence)
{
	struct err e = { 0 };

	CHECK_INT(build(&e), code);
	CHECK_CONTAINS(e.text, sentence);
}

/* A fixed size is mapped only where it is what every other program would map. */
static void one_fixed(void)
{
	ask();
	segment(0, LUKS_SEGMENT_CRYPT, 16 * MIB, 48 * MIB);
	CHECK_INT(build(NULL), 0);
	CHECK_INT(table.targets[0].len_sectors, 48 * 2048);
	CHECK_INT(table.targets[0].crypt.iv_offset_sectors, 0);
	segment(0, LUKS_SEGMENT_CRYPT, 16 * MIB, 8 * MIB);
	expect(-EOPNOTSUPP, "fixed size");
	segment(0, LUKS_SEGMENT_CRYPT, 16 * MIB, 0)->iv_tweak = 8;
	expect(-EOPNOTSUPP, "iv_tweak isn't 0");
}

static void never_plaintext(void)
{
	ask();
	segment(0, LUKS_SEGMENT_CRYPT, 16 * MIB, 4 * MIB);
	segment(1, LUKS_SEGMENT_LINEAR, 20 * MIB, 0);
	expect(-EOPNOTSUPP, "segment 1: its type is linear");
	ask();
	segment(0, LUKS_SEGMENT_LINEAR, 16 * MIB, 0);
	expect(-EOPNOTSUPP, "segment 0: its type is linear");
	how.allow_null = true;
	CHECK_INT(build(NULL), -EOPNOTSUPP);
}

static void never_what_another_maps_differently(void)
{
	ask();
	segment(0, LUKS_SEGMENT_CRYPT, 16 * MIB, 4 * MIB);
	segment(1, LUKS_SEGMENT_CRYPT, 20 * MIB, 0);
	expect(-EOPNOTSUPP, "segment 1: only a re-encryption");
	ask();
	segment(1, LUKS_SEGMENT_CRYPT, 16 * MIB, 0)->backup = true;
	expect(-EOPNOTSUPP, "segment 1: it has a flag");
	ask();
	fake.header.segments[0].flags = LUKS_SEGMENT_OTHER_FLAG;
	expect(-EOPNOTSUPP, "segment 0: it has a flag");
	ask();
	fake.header.digests[1] = fake.header.digests[0];
	fake.header.digests[1].id = 1;
	fake.header.n_digests = 2;
	expect(-EOPNOTSUPP, "digests 0 and 1");
	ask();
	fake.header.digests[0].segments = 0;
	expect(-EOPNOTSUPP, "no digest");
	ask();
	snprintf(fake.header.digests[0].type_name, 32, "argon2");
	expect(-EOPNOTSUPP, "digest 0: type");
	ask();
	fake.header.keyslots[1].key_bytes = 32;
	expect(-EOPNOTSUPP, "keyslot 1: its key has 32 bytes");
	ask();
	fake.header.keyslots[1].type = LUKS_KEYSLOT_UNKNOWN;
	expect(-EOPNOTSUPP, "keyslot 1, whose type isn't luks2");
	ask();
	fake.header.other_invalid = true;
	expect(-EUCLEAN, "run repair");
	ask();
	fake.header.segments[0].sector_size_bytes = 4096;
	fake.header.segments[0].offset_bytes += 512;
	expect(-EOPNOTSUPP, "multiple of its sector size");
}

static void cut_to_size(void)
{
	ask();
	how.size_sectors = 4 * 2048;
	CHECK_INT(build(NULL), 0);
	CHECK_INT(table.targets[0].len_sectors, 4 * 2048);
	how.size_sectors = 1;
	CHECK_INT(build(NULL), 0);
	CHECK_INT(table.targets[0].len_sectors, 1);
	how.size_sectors = 48 * 2048 + 1;
	CHECK_INT(build(NULL), -EINVAL);
}

static void big_sectors(void)
{
	ask();
	fake.header.segments[0].sector_size_bytes = 4096;
	CHECK_INT(build(NULL), 0);
	CHECK_INT(table.targets[0].crypt.sector_size_bytes, 4096);
	how.size_sectors = 12;
	CHECK_INT(build(NULL), -EINVAL);
	how.size_sectors = 16;
	CHECK_INT(build(NULL), 0);
	how.size_sectors = 0;
	how.device_bytes += 512;
	CHECK_INT(build(NULL), -EINVAL);
	how.device_bytes -= 512;
	how.supported &= ~(uint32_t)DM_CRYPT_SECTOR_SIZE;
	CHECK_INT(build(NULL), -EHOSTDOWN);
}

static void does_not_fit(void)
{
	struct err e = { 0 };

	ask();
	how.device_bytes = 16 * MIB;
	CHECK_INT(build(&e), -EINVAL);
	CHECK_CONTAINS(e.text, "too small");
	how.device_bytes = 16 * MIB + 511; /* not one whole sector */
	CHECK_INT(build(&e), -EINVAL);
	how.device_bytes = 64 * MIB;
	segment(0, LUKS_SEGMENT_CRYPT, 16 * MIB, 49 * MIB);
	CHECK_INT(build(&e), -EINVAL);
	segment(0, LUKS_SEGMENT_CRYPT, 16 * MIB, UINT64_MAX - 511);
	CHECK_INT(build(&e), -EINVAL);
	segment(0, LUKS_SEGMENT_CRYPT, 16 * MIB + 1, 0);
	CHECK_INT(build(&e), -EBADMSG);
}

static void ciphers(void)
{
	ask();
	snprintf(fake.header.segments[0].encryption, 32, "cipher_null-ecb");
	CHECK_INT(build(NULL), -EOPNOTSUPP);
	how.allow_null = true;
	CHECK_INT(build(NULL), 0);
	CHECK_INT(table.targets[0].crypt.key_bytes, 0);
	snprintf(fake.header.segments[0].encryption, 32, "des-ecb");
	CHECK(build(NULL) < 0);
	snprintf(fake.header.segments[0].encryption, 32, "aes-xts-plain64");
	CHECK_INT(build(NULL), 0);
	CHECK_INT(table.targets[0].crypt.key_bytes, KEY_BYTES);
}

static void no_segment(void)
{
	ask();
	fake.header.n_segments = 0;
	CHECK_INT(build(NULL), -EBADMSG);
	ask();
	fake.header.segments[0].type = LUKS_SEGMENT_OPAL;
	CHECK_INT(build(NULL), -EOPNOTSUPP);
}

static void flags_both_ways(void)
{
	uint32_t all = LUKS_FLAG_ALLOW_DISCARDS | LUKS_FLAG_SAME_CPU_CRYPT |
		       LUKS_FLAG_SUBMIT_FROM_CRYPT_CPUS | LUKS_FLAG_NO_READ_WORKQUEUE |
		       LUKS_FLAG_NO_WRITE_WORKQUEUE | LUKS_FLAG_HIGH_PRIORITY;

	CHECK_INT(volume_flags_from_dm(volume_flags_to_dm(all)), all);
	CHECK_INT(volume_flags_to_dm(LUKS_FLAG_NO_JOURNAL), 0);
	for (unsigned int bit = 0; bit < 7; bit++)
		CHECK(__builtin_popcount(volume_flags_to_dm(1u << bit)) <= 1);
	CHECK_INT(volume_flags_to_dm(LUKS_FLAG_NO_WRITE_WORKQUEUE), DM_CRYPT_NO_WRITE_WORKQUEUE);
}

int main(void)
{
	RUN(one_dynamic);
	RUN(one_fixed);
	RUN(never_plaintext);
	RUN(never_what_another_maps_differently);
	RUN(cut_to_size);
	RUN(big_sectors);
	RUN(does_not_fit);
	RUN(ciphers);
	RUN(no_segment);
	RUN(flags_both_ways);
	dm_table_free(&table);
	return check_exit();
}
