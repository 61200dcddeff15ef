// SPDX-License-Identifier: Apache-2.0
// Class parameters: Go's ParseBool (pkg.go.dev/strconv), the values that
// docs/csi/secrets-and-classes.md lists, messages that name the parameter.
#include "csi_request.h"

/* One parameter alone; the class in *ret. */
static int parse_one(enum csi_class_use use, const char *name, const char *value,
		     struct csi_class *ret, struct err *e)
{
	static struct map m; /* the class borrows from it */
	int r;

	map_clear(&m);
	map_add(&m, name, value);
	*e = (struct err){ 0 };
	*ret = (struct csi_class){ 0 };
	r = csi_class_parse(map_of(&m), use, ret, e);
	if (r) {
		CHECK_INT(r, -EINVAL);
		CHECK_CONTAINS(err_text(e), name);
	}
	return r;
}

/* ---- booleans ---- */

/* "It accepts 1, t, T, TRUE, true, True, 0, f, F, FALSE, false, False. Any other value returns an
 * error." */
static const char *const yes[] = { "1", "t", "T", "TRUE", "true", "True" };
static const char *const no[] = { "0", "f", "F", "FALSE", "false", "False" };
static const char *const neither[] = { "",     "yes",  "no",	"on",	 "off",	  "2",
				       "tRUE", "TrUe", "fALSE", "true ", " true", "true\n",
				       "y",    "n",    "01",	"00",	 "-1",	  "tr" };

static bool is_encrypted(const struct csi_class *c)
{
	return c->encrypted;
}

static bool is_discard(const struct csi_class *c)
{
	return c->flags == LUKS_FLAG_ALLOW_DISCARDS;
}

static bool is_no_read(const struct csi_class *c)
{
	return c->flags == LUKS_FLAG_NO_READ_WORKQUEUE;
}

static bool is_no_write(const struct csi_class *c)
{
	return c->flags == LUKS_FLAG_NO_WRITE_WORKQUEUE;
}

static bool is_same_cpu(const struct csi_class *c)
{
	return c->flags == LUKS_FLAG_SAME_CPU_CRYPT;
}

static bool is_submit(const struct csi_class *c)
{
	return c->flags == LUKS_FLAG_SUBMIT_FROM_CRYPT_CPUS;
}

static bool is_pause(const struct csi_class *c)
{
	return c->pause_allowed;
}

static const struct {
	const char *name;
	bool (*is)(const struct csi_class *c);
} booleans[] = {
	{ "encrypted", is_encrypted },	   { "discard", is_discard },
	{ "noReadWorkqueue", is_no_read }, { "noWriteWorkqueue", is_no_write },
	{ "sameCpuCrypt", is_same_cpu },   { "submitFromCryptCpus", is_submit },
	{ "pauseAllowed", is_pause },
};

static void booleans_are_those_of_go(void)
{
	struct csi_class c;
	struct err e;

	for (size_t b = 0; b < ARRAY_SIZE(booleans); b++) {
		const char *name = booleans[b].name;

		for (size_t i = 0; i < ARRAY_SIZE(yes); i++) {
			CHECK_INT(parse_one(CSI_CLASS_VOLUME, name, yes[i], &c, &e), 0);
			CHECK_MSG(booleans[b].is(&c), "%s=%s", name, yes[i]);
			CHECK_INT(parse_one(CSI_CLASS_VOLUME, name, no[i], &c, &e), 0);
			CHECK_MSG(!booleans[b].is(&c) && !c.flags, "%s=%s", name, no[i]);
		}
		for (size_t i = 0; i < ARRAY_SIZE(neither); i++)
			CHECK_MSG(parse_one(CSI_CLASS_VOLUME, name, neither[i], &c, &e),
				  "%s=\"%s\" is taken", name, neither[i]);
	}
}

/* ---- the others ---- */

static const struct {
	const char *name, *value;
	enum csi_class_use use;
	bool good;
} values[] = {
	{ "csi.storage.k8s.io/fstype", "ext4", CSI_CLASS_VOLUME, true },
	{ "csi.storage.k8s.io/fstype", "ext3", CSI_CLASS_VOLUME, true },
	{ "csi.storage.k8s.io/fstype", "xfs", CSI_CLASS_VOLUME, true },
	{ "csi.storage.k8s.io/fstype", "btrfs", CSI_CLASS_CONTEXT, true },
	{ "csi.storage.k8s.io/fstype", "", CSI_CLASS_VOLUME, true },
	{ "csi.storage.k8s.io/fstype", "ntfs", CSI_CLASS_VOLUME, false },
	{ "csi.storage.k8s.io/fstype", "EXT4", CSI_CLASS_VOLUME, false },
	{ "fsType", "xfs", CSI_CLASS_VOLUME, true },
	{ "fsType", "ext4 ", CSI_CLASS_VOLUME, false },
	{ "fsType", "../ext4", CSI_CLASS_VOLUME, false },
	{ "fsck", "preen", CSI_CLASS_VOLUME, true },
	{ "fsck", "none", CSI_CLASS_MUTABLE, true },
	{ "fsck", "", CSI_CLASS_VOLUME, false },
	{ "fsck", "force", CSI_CLASS_VOLUME, false },
	{ "sectorSize", "512", CSI_CLASS_VOLUME, true },
	{ "sectorSize", "1024", CSI_CLASS_VOLUME, true },
	{ "sectorSize", "2048", CSI_CLASS_VOLUME, true },
	{ "sectorSize", "4096", CSI_CLASS_CONTEXT, true },
	{ "sectorSize", "", CSI_CLASS_VOLUME, false },
	{ "sectorSize", "0", CSI_CLASS_VOLUME, false },
	{ "sectorSize", "8192", CSI_CLASS_VOLUME, false },
	{ "sectorSize", "4K", CSI_CLASS_VOLUME, false },
	{ "sectorSize", "-512", CSI_CLASS_VOLUME, false },
	{ "sectorSize", "512 ", CSI_CLASS_VOLUME, false },
	{ "sectorSize", "4294967808", CSI_CLASS_VOLUME, false }, /* 2^32 + 512 */
	{ "mkfsParams", "", CSI_CLASS_VOLUME, true },
	{ "mkfsParams", "-O ^64bit -E nodiscard", CSI_CLASS_VOLUME, true },
	/* another device than the volume's */
	{ "mkfsParams", "/dev/sda", CSI_CLASS_VOLUME, false },
	{ "mkfsParams", "-J device=/dev/sda", CSI_CLASS_VOLUME, false },
	{ "mkfsParams", "sda", CSI_CLASS_VOLUME, false },
	{ "label", "a label", CSI_CLASS_VOLUME, true },
	{ "label", "", CSI_CLASS_VOLUME, true },
	{ "pbkdfPolicy", "passphrase", CSI_CLASS_VOLUME, true },
	{ "pbkdfPolicy", "random-key", CSI_CLASS_VOLUME, true },
	{ "pbkdfPolicy", "random", CSI_CLASS_VOLUME, false },
	{ "pauseAllowed", "true", CSI_CLASS_SNAPSHOT, true },
	{ "device", "/dev/vdb", CSI_CLASS_CONTEXT, true },
	{ "device", "vdb", CSI_CLASS_CONTEXT, false },
	{ "device", "", CSI_CLASS_CONTEXT, false },
	{ "type", "snap", CSI_CLASS_SNAPSHOT, true },
	{ "type", "bak", CSI_CLASS_SNAPSHOT, true },
	{ "type", "bi", CSI_CLASS_SNAPSHOT, false }, /* Longhorn's backing image */
	{ "type", "", CSI_CLASS_SNAPSHOT, false },
	{ "backupDir", "/backups", CSI_CLASS_SNAPSHOT, true },
	{ "backupDir", "backups", CSI_CLASS_SNAPSHOT, false },
	/* not where they don't belong, and not where they may not change */
	{ "device", "/dev/vdb", CSI_CLASS_VOLUME, false },
	{ "type", "snap", CSI_CLASS_VOLUME, false },
	{ "encrypted", "true", CSI_CLASS_SNAPSHOT, false },
	{ "encrypted", "true", CSI_CLASS_MUTABLE, false },
	{ "sectorSize", "512", CSI_CLASS_MUTABLE, false },
	{ "label", "x", CSI_CLASS_MUTABLE, false },
	{ "fsType", "xfs", CSI_CLASS_MUTABLE, false },
	{ "mkfsParams", "x", CSI_CLASS_MUTABLE, false },
	{ "pbkdfPolicy", "passphrase", CSI_CLASS_MUTABLE, false },
	{ "pauseAllowed", "true", CSI_CLASS_MUTABLE, false },
	{ "discard", "true", CSI_CLASS_MUTABLE, true },
	{ "noReadWorkqueue", "true", CSI_CLASS_MUTABLE, true },
	{ "submitFromCryptCpus", "true", CSI_CLASS_MUTABLE, true },
	/* the CO's own, by its prefixes */
	{ "csi.storage.k8s.io/node-stage-secret-name", "s", CSI_CLASS_VOLUME, true },
	{ "csi.storage.k8s.io/pvc/name", "p", CSI_CLASS_VOLUME, true },
	{ "csi.storage.k8s.io/ephemeral", "false", CSI_CLASS_CONTEXT, true },
	{ "storage.kubernetes.io/csiProvisionerIdentity", "i", CSI_CLASS_CONTEXT, true },
	/* misspelt, or somebody else's */
	{ "Encrypted", "true", CSI_CLASS_VOLUME, false },
	{ "encrypted ", "true", CSI_CLASS_VOLUME, false },
	{ "encryption", "true", CSI_CLASS_VOLUME, false },
	{ "secure", "true", CSI_CLASS_VOLUME, false },
	{ "", "true", CSI_CLASS_VOLUME, false },
	{ "csi.storage.k8s.io", "x", CSI_CLASS_VOLUME, false },
};

static void values_are_taken_and_refused(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		struct csi_class c;
		struct err e;
		int r = parse_one(values[i].use, values[i].name, values[i].value, &c, &e);

		CHECK_MSG(!r == values[i].good, "%s=\"%s\" (use %d): %s", values[i].name,
			  values[i].value, values[i].use, r ? err_text(&e) : "taken");
	}
}

static void values_arrive(void)
{
	struct csi_class c;
	struct err e;

	CHECK_INT(parse_one(CSI_CLASS_VOLUME, "csi.storage.k8s.io/fstype", "xfs", &c, &e), 0);
	CHECK_STR(c.fs_type, "xfs");
	CHECK_INT(parse_one(CSI_CLASS_VOLUME, "sectorSize", "4096", &c, &e), 0);
	CHECK_INT(c.sector_size_bytes, 4096);
	CHECK_INT(parse_one(CSI_CLASS_VOLUME, "fsck", "none", &c, &e), 0);
	CHECK_INT(c.fsck, CSI_FSCK_NONE);
	CHECK_INT(parse_one(CSI_CLASS_VOLUME, "mkfsParams", "-O ^64bit", &c, &e), 0);
	CHECK_STR(c.mkfs_params, "-O ^64bit");
	CHECK_INT(parse_one(CSI_CLASS_VOLUME, "label", "l", &c, &e), 0);
	CHECK_STR(c.label, "l");
	CHECK_INT(parse_one(CSI_CLASS_VOLUME, "pbkdfPolicy", "random-key", &c, &e), 0);
	CHECK(c.high_entropy);
	CHECK_INT(parse_one(CSI_CLASS_CONTEXT, "device", "/dev/vdb", &c, &e), 0);
	CHECK_STR(c.device, "/dev/vdb");
	CHECK_INT(parse_one(CSI_CLASS_SNAPSHOT, "type", "bak", &c, &e), 0);
	CHECK(c.backup);
	CHECK_INT(parse_one(CSI_CLASS_SNAPSHOT, "type", "snap", &c, &e), 0);
	CHECK(!c.backup);
	CHECK_INT(parse_one(CSI_CLASS_SNAPSHOT, "backupDir", "/b", &c, &e), 0);
	CHECK_STR(c.backup_dir, "/b");
}

/* LUKS2's label field has 48 bytes with its NUL (specification, section 2.1); mkfs' words 4095. */
static void lengths_are_limited(void)
{
	static char text[5000];
	struct csi_class c;
	struct err e;

	memset(text, 'x', 47);
	CHECK_INT(parse_one(CSI_CLASS_VOLUME, "label", text, &c, &e), 0);
	text[47] = 'x';
	CHECK_INT(parse_one(CSI_CLASS_VOLUME, "label", text, &c, &e), -EINVAL);
	memset(text, '-', 4095);
	CHECK_INT(parse_one(CSI_CLASS_VOLUME, "mkfsParams", text, &c, &e), 0);
	text[4095] = '-';
	CHECK_INT(parse_one(CSI_CLASS_VOLUME, "mkfsParams", text, &c, &e), -EINVAL);
}

static void nothing_named_is_a_plain_volume(void)
{
	struct csi_class c;
	struct err e = { 0 };

	memset(&c, 0xff, sizeof(c));
	CHECK_INT(csi_class_parse((struct csi_map){ NULL, 0 }, CSI_CLASS_VOLUME, &c, &e), 0);
	CHECK(!c.encrypted && !*c.fs_type && !c.mkfs_params && c.fsck == CSI_FSCK_PREEN &&
	      !c.sector_size_bytes && !c.flags && !c.label && !c.high_entropy && !c.pause_allowed &&
	      !c.device && !c.backup && !c.backup_dir);
}

static void a_refusal_leaves_the_result_alone(void)
{
	struct csi_class c = { .sector_size_bytes = 77 };
	struct map m = { .n = 0 };
	struct err e = { 0 };

	map_add(&m, "encrypted", "true");
	map_add(&m, "sectorSize", "3");
	CHECK_INT(csi_class_parse(map_of(&m), CSI_CLASS_VOLUME, &c, &e), -EINVAL);
	CHECK(!c.encrypted && c.sector_size_bytes == 77);
	map_clear(&m);
}

/* A modification: what it names changes, to off as well; all or nothing. */
static void changes_are_laid_over(void)
{
	struct csi_class c;
	struct map m = { .n = 0 };
	struct err e = { 0 };

	map_add(&m, "encrypted", "true");
	map_add(&m, "discard", "true");
	map_add(&m, "sameCpuCrypt", "true");
	CHECK_INT(csi_class_parse(map_of(&m), CSI_CLASS_VOLUME, &c, &e), 0);
	map_clear(&m);
	map_add(&m, "discard", "false");
	map_add(&m, "noReadWorkqueue", "true");
	map_add(&m, "fsck", "none");
	CHECK_INT(csi_class_change(map_of(&m), CSI_CLASS_MUTABLE, &c, &e), 0);
	CHECK(c.encrypted && c.fsck == CSI_FSCK_NONE);
	CHECK_INT(c.flags, LUKS_FLAG_SAME_CPU_CRYPT | LUKS_FLAG_NO_READ_WORKQUEUE);
	map_clear(&m);
	map_add(&m, "fsck", "preen");
	map_add(&m, "encrypted", "false");
	CHECK_INT(csi_class_change(map_of(&m), CSI_CLASS_MUTABLE, &c, &e), -EINVAL);
	CHECK_CONTAINS(err_text(&e), "encrypted");
	CHECK(c.encrypted && c.fsck == CSI_FSCK_NONE);
	map_clear(&m);
}

int main(void)
{
	RUN(booleans_are_those_of_go);
	RUN(values_are_taken_and_refused);
	RUN(values_arrive);
	RUN(lengths_are_limited);
	RUN(nothing_named_is_a_plain_volume);
	RUN(a_refusal_leaves_the_result_alone);
	RUN(changes_are_laid_over);
	return check_exit();
}
