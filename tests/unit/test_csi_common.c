// SPDX-License-Identifier: Apache-2.0
// Sizes, names and capabilities by CSI 1.12: CapacityRange, "CO-generated names", VolumeCapability.
#include "csi_request.h"

#include "csi/common.h"

#define MIB (1ull << 20)
#define GIB (1ull << 30)

/* ---- sizes ---- */

/* "required_bytes: Volume MUST be at least this big"; "limit_bytes: Volume MUST not be bigger than
 * this"; 0 is unspecified. */
static const struct {
	int64_t required, limit;
	uint64_t minimum;
	int r;
	uint64_t size;
} sizes[] = {
	{ 0, 0, 16 * MIB, 0, GIB }, /* what nobody asks for is the fallback */
	{ 1, 0, 16 * MIB, 0, 16 * MIB },
	{ 64 * MIB, 0, 16 * MIB, 0, 64 * MIB },
	{ 64 * MIB + 1, 0, 16 * MIB, 0, 65 * MIB }, /* up, never down */
	{ 64 * MIB - 1, 0, 16 * MIB, 0, 64 * MIB },
	{ 64 * MIB, 64 * MIB, 16 * MIB, 0, 64 * MIB },
	{ 64 * MIB + 1, 65 * MIB, 16 * MIB, 0, 65 * MIB },
	{ 64 * MIB + 1, 65 * MIB - 1, 16 * MIB, -ERANGE, 0 }, /* nothing fits between */
	{ 0, 512 * MIB, 16 * MIB, 0, 512 * MIB },
	{ 0, 2 * GIB, 16 * MIB, 0, GIB },
	{ 0, 16 * MIB, 16 * MIB, 0, 16 * MIB },
	{ 0, 16 * MIB - 1, 16 * MIB, -ERANGE, 0 },
	{ 0, 1, 16 * MIB, -ERANGE, 0 },
	{ 2, 1, 16 * MIB, -ERANGE, 0 },
	{ 1, 299 * MIB, 300 * MIB, -ERANGE, 0 },
	{ 1, 300 * MIB, 300 * MIB, 0, 300 * MIB },
	{ -1, 0, 16 * MIB, -EINVAL, 0 },
	{ 0, -1, 16 * MIB, -EINVAL, 0 },
	{ INT64_MIN, INT64_MIN, 16 * MIB, -EINVAL, 0 },
	{ INT64_MAX, 0, 16 * MIB, -ERANGE, 0 },
	{ INT64_MAX, INT64_MAX, 16 * MIB, -ERANGE, 0 },
	{ INT64_MAX - 4096, 0, 16 * MIB, -ERANGE, 0 },
	{ 1ll << 60, 0, 16 * MIB, 0, 1ull << 60 },
};

static void sizes_keep_to_the_range(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		Csi__V1__CapacityRange range = CSI__V1__CAPACITY_RANGE__INIT;
		uint64_t size = 77;
		struct err e = { 0 };
		int r;

		range.required_bytes = sizes[i].required;
		range.limit_bytes = sizes[i].limit;
		r = csi_size_pick(&range, GIB, sizes[i].minimum, &size, &e);
		CHECK_MSG(r == sizes[i].r, "%lld..%lld: %d %s", (long long)sizes[i].required,
			  (long long)sizes[i].limit, r, r ? err_text(&e) : "");
		CHECK_MSG(size == (r ? 77 : sizes[i].size), "%lld..%lld: %llu",
			  (long long)sizes[i].required, (long long)sizes[i].limit,
			  (unsigned long long)size);
		if (r)
			CHECK_CONTAINS(err_text(&e), "capacity_range");
	}
}

static void no_range_is_the_fallback(void)
{
	uint64_t size = 0;
	struct err e = { 0 };

	CHECK_INT(csi_size_pick(NULL, GIB, 16 * MIB, &size, &e), 0);
	CHECK(size == GIB);
	CHECK_INT(csi_size_pick(NULL, MIB, 16 * MIB, &size, &e), 0);
	CHECK(size == 16 * MIB);
}

/* ---- names ---- */

/* "any Unicode string that conforms to the size limits, except those containing: U+0000-U+0008,
 * U+000B, U+000C, U+000E-U+001F, U+007F-U+009F" */
static void names_are_the_specifications(void)
{
	for (unsigned int c = 1; c < 0x200; c++) {
		char name[8] = "a";
		size_t n = 1;
		struct err e = { 0 };
		bool bad = c <= 0x08 || c == 0x0b || c == 0x0c || (c >= 0x0e && c <= 0x1f) ||
			   (c >= 0x7f && c <= 0x9f);
		int r;

		if (c < 0x80) {
			name[n++] = (char)c;
		} else {
			name[n++] = (char)(0xc0 | c >> 6);
			name[n++] = (char)(0x80 | (c & 0x3f));
		}
		name[n++] = 'b';
		r = csi_name_check("name", name, &e);
		CHECK_MSG(r == (bad ? -EINVAL : 0), "U+%04X: %d", c, r);
		if (r)
			CHECK_CONTAINS(err_text(&e), "name");
	}
}

static void a_name_is_needed(void)
{
	struct err e = { 0 };

	CHECK_INT(csi_name_check("name", "", &e), -EINVAL);
	CHECK_CONTAINS(err_text(&e), "name: missing");
}

/* An id becomes a file and a mapping: nothing that could leave its folder or be another name there.
 */
static void ids_are_names_of_files(void)
{
	static const char *const good[] = { "pvc-1.0f3a9c11", "a.0f3a9c11" };
	static const char *const bad[] = { "",
					   "a",
					   "../a.0f3a9c11",
					   "/dev/sda.0f3a9c11",
					   "..............",
					   ".a.0f3a9c11",
					   "PVC-1.0f3a9c11",
					   "pvc 1.0f3a9c11",
					   "pvc\n1.0f3a9c11",
					   "pvc_1.0f3a9c11",
					   "pv\xc3\xa4.0f3a9c11" };
	char text[130];

	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		CHECK_MSG(csi_id_plausible(good[i]), "%s", good[i]);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		CHECK_MSG(!csi_id_plausible(bad[i]), "%s", bad[i]);
	/* device-mapper's names have 127 bytes */
	memset(text, 'a', sizeof(text));
	text[128] = '\0';
	CHECK(!csi_id_plausible(text));
	text[127] = '\0';
	CHECK(csi_id_plausible(text));
}

/* ---- capabilities ---- */

static Csi__V1__VolumeCapability__AccessMode access_mode;
static Csi__V1__VolumeCapability__MountVolume mount_volume;
static Csi__V1__VolumeCapability__BlockVolume block_volume;
static char fs_type[16];

static Csi__V1__VolumeCapability capability(const char *fs, int mode)
{
	Csi__V1__VolumeCapability c = CSI__V1__VOLUME_CAPABILITY__INIT;

	csi__v1__volume_capability__access_mode__init(&access_mode);
	csi__v1__volume_capability__mount_volume__init(&mount_volume);
	csi__v1__volume_capability__block_volume__init(&block_volume);
	access_mode.mode = (Csi__V1__VolumeCapability__AccessMode__Mode)mode;
	c.access_mode = &access_mode;
	if (fs) {
		text_copy(fs_type, sizeof(fs_type), fs);
		mount_volume.fs_type = fs_type;
		c.access_type_case = CSI__V1__VOLUME_CAPABILITY__ACCESS_TYPE_MOUNT;
		c.mount = &mount_volume;
	} else {
		c.access_type_case = CSI__V1__VOLUME_CAPABILITY__ACCESS_TYPE_BLOCK;
		c.block = &block_volume;
	}
	return c;
}

/* By the numbers of csi.proto: a volume on one node offers modes 1, 2, 6 and 7. */
static void modes_of_one_node_are_offered(void)
{
	static const int want[] = {
		[0] = -EINVAL,	   [1] = 0, [2] = 0, [3] = -EOPNOTSUPP, [4] = -EOPNOTSUPP,
		[5] = -EOPNOTSUPP, [6] = 0, [7] = 0, [8] = -EINVAL
	};

	for (int mode = 0; mode < (int)ARRAY_SIZE(want); mode++) {
		Csi__V1__VolumeCapability c = capability("ext4", mode);
		struct csi_cap cap;
		struct err e = { 0 };
		int r = csi_cap_parse(&c, &cap, &e);

		CHECK_MSG(r == want[mode], "mode %d: %d", mode, r);
		if (r)
			CHECK_CONTAINS(err_text(&e), "access_mode");
		else
			CHECK(csi_cap_readonly_mode(&cap) == (mode == 2));
	}
}

static void what_is_missing_is_named(void)
{
	Csi__V1__VolumeCapability c = CSI__V1__VOLUME_CAPABILITY__INIT;
	struct csi_cap cap;
	struct err e = { 0 };

	CHECK_INT(csi_cap_parse(NULL, &cap, &e), -EINVAL);
	CHECK_CONTAINS(err_text(&e), "volume_capability: missing");
	CHECK_INT(csi_cap_parse(&c, &cap, &e), -EINVAL);
	CHECK_CONTAINS(err_text(&e), "access_mode: missing");
	c = capability("ext4", 1);
	c.access_type_case = CSI__V1__VOLUME_CAPABILITY__ACCESS_TYPE__NOT_SET;
	CHECK_INT(csi_cap_parse(&c, &cap, &e), -EINVAL);
	CHECK_CONTAINS(err_text(&e), "neither block nor mount");
	c = capability("ntfs", 1);
	CHECK_INT(csi_cap_parse(&c, &cap, &e), -EINVAL);
	CHECK_CONTAINS(err_text(&e), "fs_type");
}

/* kubelet then gives the files to a pod's fsGroup by itself. */
static void groups_are_left_to_the_co(void)
{
	Csi__V1__VolumeCapability c = capability("ext4", 1);
	char group[] = "2000", old[512], now[512];
	struct csi_cap cap;
	struct err e = { 0 };

	CHECK_INT(csi_cap_parse(&c, &cap, &e), 0);
	csi_cap_text(&cap, now);
	mount_volume.volume_mount_group = group;
	CHECK_INT(csi_cap_parse(&c, &cap, &e), -EINVAL);
	CHECK_CONTAINS(err_text(&e), "volume_mount_group");
	/* What an older driver recorded of a pod that runs on. */
	text_copy(old, sizeof(old), "mount fs=ext4 mode=1 group=2000 flags=");
	CHECK(strcmp(old, now) != 0);
	CHECK(csi_cap_text_same(old, now));
	CHECK(csi_cap_text_same(now, now));
	CHECK(!csi_cap_text_same("mount fs=ext4 mode=1 group=2000 flags=aa", now));
	CHECK(!csi_cap_text_same("mount fs=xfs mode=1 group=2000 flags=", now));
	CHECK(!csi_cap_text_same("block", now));
}

/* All of them are in the text that two calls are compared by. */
static void mount_flags_are_counted(void)
{
	Csi__V1__VolumeCapability c = capability("ext4", 1);
	char flag[] = "noatime", other[] = "ro", *flags[CSI_MOUNT_FLAGS_MAX + 1];
	char one[512], two[512];
	struct csi_cap cap;
	struct err e = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
		flags[i] = flag;
	mount_volume.mount_flags = flags;
	mount_volume.n_mount_flags = CSI_MOUNT_FLAGS_MAX;
	CHECK_INT(csi_cap_parse(&c, &cap, &e), 0);
	csi_cap_text(&cap, one);
	flags[CSI_MOUNT_FLAGS_MAX - 1] = other;
	csi_cap_text(&cap, two);
	CHECK(strcmp(one, two) != 0);
	mount_volume.n_mount_flags++;
	CHECK_INT(csi_cap_parse(&c, &cap, &e), -EINVAL);
	CHECK_CONTAINS(err_text(&e), "mount_flags: more than 126");
}

/* The text tells capabilities apart, and shows no mount flag. */
static void texts_of_capabilities_differ_where_they_do(void)
{
	char flag[] = "password=geheim", other[] = "password=anders", *flags[] = { flag };
	char text[6][512];
	struct csi_cap cap;
	size_t n = 0;
	Csi__V1__VolumeCapability c = capability("ext4", 1);

	CHECK_INT(csi_cap_parse(&c, &cap, NULL), 0);
	csi_cap_text(&cap, text[n++]);
	cap.mount_flags = flags;
	cap.n_mount_flags = 1;
	csi_cap_text(&cap, text[n++]);
	flags[0] = other;
	csi_cap_text(&cap, text[n++]);
	c = capability("xfs", 1);
	CHECK_INT(csi_cap_parse(&c, &cap, NULL), 0);
	csi_cap_text(&cap, text[n++]);
	c = capability("ext4", 2);
	CHECK_INT(csi_cap_parse(&c, &cap, NULL), 0);
	csi_cap_text(&cap, text[n++]);
	c = capability(NULL, 1);
	CHECK_INT(csi_cap_parse(&c, &cap, NULL), 0);
	csi_cap_text(&cap, text[n++]);
	for (size_t i = 0; i < n; i++) {
		CHECK(!strstr(text[i], "geheim"));
		for (size_t j = 0; j < i; j++)
			CHECK_MSG(strcmp(text[i], text[j]) != 0, "%.200s", text[i]);
	}
}

int main(void)
{
	RUN(sizes_keep_to_the_range);
	RUN(no_range_is_the_fallback);
	RUN(names_are_the_specifications);
	RUN(a_name_is_needed);
	RUN(ids_are_names_of_files);
	RUN(modes_of_one_node_are_offered);
	RUN(what_is_missing_is_named);
	RUN(groups_are_left_to_the_co);
	RUN(mount_flags_are_counted);
	RUN(texts_of_capabilities_differ_where_they_do);
	return check_exit();
}
