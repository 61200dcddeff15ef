// SPDX-License-Identifier: Apache-2.0
// status: the fields that scripts read from cryptsetup (2.8's spelling of units), or JSON.
#include "cli.h"

#include <inttypes.h>
#include <stdio.h>

/* How status spells a flag; the JSON of the header has its own spelling. */
static const struct {
	uint32_t flag;
	const char *name;
} flag_names[] = {
	{ LUKS_FLAG_ALLOW_DISCARDS, "discards" },
	{ LUKS_FLAG_SAME_CPU_CRYPT, "same_cpu_crypt" },
	{ LUKS_FLAG_SUBMIT_FROM_CRYPT_CPUS, "submit_from_crypt_cpus" },
	{ LUKS_FLAG_NO_READ_WORKQUEUE, "no_read_workqueue" },
	{ LUKS_FLAG_NO_WRITE_WORKQUEUE, "no_write_workqueue" },
	{ LUKS_FLAG_HIGH_PRIORITY, "high_priority" },
};

static void print_units(const char *title, uint64_t sectors)
{
	printf("  %-8s %" PRIu64 " [512-byte units] (%" PRIu64 " [bytes])\n", title, sectors,
	       sectors << SECTOR_SHIFT);
}

/* cryptsetup prints a blank behind each flag, but not behind no_write_workqueue at the end. */
static void print_flags(uint32_t flags)
{
	const char *behind = " ";

	if (!flags)
		return;
	printf("  flags:   ");
	for (size_t i = 0; i < ARRAY_SIZE(flag_names); i++) {
		if (!(flags & flag_names[i].flag))
			continue;
		if (flag_names[i].flag == LUKS_FLAG_HIGH_PRIORITY ||
		    (flag_names[i].flag == LUKS_FLAG_NO_WRITE_WORKQUEUE &&
		     !(flags & LUKS_FLAG_HIGH_PRIORITY)))
			behind = "";
		printf("%s%s", flag_names[i].name, behind);
	}
	printf("\n");
}

static void print_text(const char *name, const struct volume_status *s)
{
	printf("/dev/mapper/%s is active%s.\n", name, s->in_use ? " and is in use" : "");
	printf("  type:    %s\n", CLI_SHOWN(s->type));
	if (s->cipher[0]) {
		printf("  cipher:  %s\n", CLI_SHOWN(s->cipher));
		printf("  keysize: %u [bits]\n", s->key_bytes * 8);
		printf("  key location: %s\n", s->key_in_keyring ? "keyring" : "dm-crypt");
	}
	printf("  device:  %s\n", CLI_SHOWN(s->device));
	if (s->loop_file[0])
		printf("  loop:    %s\n", CLI_SHOWN(s->loop_file));
	if (s->cipher[0])
		printf("  sector size:  %u [bytes]\n", s->sector_size_bytes);
	print_units("offset:", s->offset_sectors);
	print_units("size:", s->size_sectors);
	if (s->iv_offset_sectors)
		printf("  skipped: %" PRIu64 " [512-byte units]\n", s->iv_offset_sectors);
	printf("  mode:    %s%s\n", s->dm.readonly ? "readonly" : "read/write",
	       s->dm.suspended ? " (suspended)" : "");
	print_flags(s->flags);
}

static void json_field(const char *name, const char *text)
{
	printf(",\n  \"%s\": ", name);
	cli_json_text(text);
}

static void json_number(const char *name, uint64_t value)
{
	printf(",\n  \"%s\": %" PRIu64, name, value);
}

static void json_bool(const char *name, bool value)
{
	printf(",\n  \"%s\": %s", name, value ? "true" : "false");
}

static void print_json(const char *name, const struct volume_status *s)
{
	const char *comma = "";

	printf("{\n  \"name\": ");
	cli_json_text(name);
	json_bool("active", true);
	json_bool("in_use", s->in_use);
	json_field("type", s->type);
	json_field("uuid", s->uuid);
	json_field("dm_uuid", s->dm.uuid);
	json_field("cipher", s->cipher);
	json_number("key_size_bits", (uint64_t)s->key_bytes * 8);
	json_field("key_location", s->key_in_keyring ? "keyring" : "dm-crypt");
	json_bool("key_kept", s->key_kept);
	json_field("device", s->device);
	json_field("loop_file", s->loop_file);
	json_number("sector_size_bytes", s->sector_size_bytes);
	json_number("offset_bytes", s->offset_sectors << SECTOR_SHIFT);
	json_number("size_bytes", s->size_sectors << SECTOR_SHIFT);
	json_number("iv_offset_sectors", s->iv_offset_sectors);
	json_number("targets", s->n_targets);
	json_bool("readonly", s->dm.readonly);
	json_bool("suspended", s->dm.suspended);
	json_bool("deferred_remove", s->dm.deferred_remove);
	printf(",\n  \"flags\": [");
	for (size_t i = 0; i < ARRAY_SIZE(flag_names); i++)
		if (s->flags & flag_names[i].flag) {
			printf("%s\"%s\"", comma, flag_names[i].name);
			comma = ", ";
		}
	printf("]\n}\n");
}

static void print_inactive(const struct cli *c, const char *name)
{
	if (cli_set(c, OPT_JSON)) {
		printf("{\n  \"name\": ");
		cli_json_text(name);
		printf(",\n  \"active\": false\n}\n");
		return;
	}
	printf("/dev/mapper/%s is inactive.\n", name);
}

int cmd_status(struct cli *c)
{
	const char *name = cli_mapping_name(c->arg[0]);
	_cleanup_free_ struct volume_status *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return err_set(&c->err, -ENOMEM, "no memory");
	r = volume_query_status(&c->env, name, s, &c->err);
	if (r == -ENODEV) {
		err_clear(&c->err);
		print_inactive(c, name);
	}
	if (r)
		return r;
	if (cli_set(c, OPT_JSON))
		print_json(name, s);
	else
		print_text(name, s);
	return 0;
}
