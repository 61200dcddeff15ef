// SPDX-License-Identifier: Apache-2.0
// Which options go with which actions and with each other, and which values they may have: as data.
#include "cli.h"

struct pair {
	const char *verb; /* NULL = any */
	enum option_id option, other;
};

static const struct pair conflicts[] = {
	{ NULL, OPT_ALIGN_PAYLOAD, OPT_OFFSET },
	{ NULL, OPT_PBKDF_FORCE_ITERATIONS, OPT_ITER_TIME },
	{ NULL, OPT_HIGH_ENTROPY, OPT_ITER_TIME },
	{ NULL, OPT_USE_RANDOM, OPT_USE_URANDOM },
	{ NULL, OPT_PERSISTENT, OPT_TEST_PASSPHRASE },
	{ NULL, OPT_REFRESH, OPT_TEST_PASSPHRASE },
	{ NULL, OPT_KEEP_KEY, OPT_TEST_PASSPHRASE },
	{ NULL, OPT_SIZE, OPT_DEVICE_SIZE },
	{ NULL, OPT_DEFERRED, OPT_CANCEL_DEFERRED },
	{ NULL, OPT_DUMP_JSON_METADATA, OPT_DUMP_VOLUME_KEY },
	{ NULL, OPT_DUMP_JSON_METADATA, OPT_UNBOUND },
	{ NULL, OPT_DUMP_VOLUME_KEY, OPT_UNBOUND },
	{ NULL, OPT_INIT, OPT_LIST },
	{ NULL, OPT_INIT, OPT_VERIFY },
	{ NULL, OPT_INIT, OPT_DELETE },
	{ NULL, OPT_INIT, OPT_VOLUME },
	{ NULL, OPT_INIT, OPT_NAME },
	{ NULL, OPT_INIT, OPT_LIVE },
	{ NULL, OPT_LIST, OPT_VERIFY },
	{ NULL, OPT_LIST, OPT_DELETE },
	{ NULL, OPT_VERIFY, OPT_DELETE },
	{ NULL, OPT_LIST, OPT_NAME },
	{ NULL, OPT_VERIFY, OPT_VOLUME },
	{ NULL, OPT_VERIFY, OPT_NAME },
	{ NULL, OPT_DELETE, OPT_VOLUME },
	{ NULL, OPT_DELETE, OPT_NAME },
	{ NULL, OPT_LIVE, OPT_LIST },
	{ NULL, OPT_LIVE, OPT_VERIFY },
	{ NULL, OPT_LIVE, OPT_DELETE },
	{ "open", OPT_VOLUME_KEY_FILE, OPT_KEY_FILE },
	{ "open", OPT_VOLUME_KEY_FILE, OPT_UNBOUND },
};

/* @option is of no use without @other. */
static const struct pair needs[] = {
	{ NULL, OPT_KEYSLOT_CIPHER, OPT_KEYSLOT_KEY_SIZE },
	{ NULL, OPT_KEYSLOT_KEY_SIZE, OPT_KEYSLOT_CIPHER },
	{ "open", OPT_UNBOUND, OPT_TEST_PASSPHRASE },
	{ "backup", OPT_JSON, OPT_LIST },
	{ "luksDump", OPT_UNBOUND, OPT_KEY_SLOT },
	{ "config", OPT_PRIORITY, OPT_KEY_SLOT },
	{ "config", OPT_KEY_SLOT, OPT_PRIORITY },
};

static bool good_bits(const struct option_value *v)
{
	return v->number > 0 && v->number % 8 == 0 && v->number <= CRYPTO_KEY_MAX_BYTES * 8;
}

/* 0: the default. */
static bool good_key_size(const struct option_value *v)
{
	return v->number == 0 || good_bits(v);
}

static bool good_sector_size(const struct option_value *v)
{
	return v->number == 512 || v->number == 1024 || v->number == 2048 || v->number == 4096;
}

static bool good_device_size(const struct option_value *v)
{
	return v->number % SECTOR_SIZE_BYTES == 0;
}

static bool good_pbkdf(const struct option_value *v)
{
	enum crypto_pbkdf_type t;

	return !crypto_pbkdf_type(v->text, &t);
}

static bool good_priority(const struct option_value *v)
{
	return !strcmp(v->text, "ignore") || !strcmp(v->text, "normal") ||
	       !strcmp(v->text, "prefer");
}

static bool good_uuid(const struct option_value *v)
{
	return text_uuid_valid(v->text);
}

static bool good_iterations(const struct option_value *v)
{
	return v->number > 0;
}

static bool good_slot(const struct option_value *v)
{
	return v->number <= INT32_MAX;
}

static bool good_sectors(const struct option_value *v)
{
	return v->number <= UINT64_MAX / SECTOR_SIZE_BYTES;
}

static const struct {
	enum option_id option;
	bool (*good)(const struct option_value *v);
	const char *sentence;
} values[] = {
	{ OPT_KEY_SIZE, good_key_size, "Key size must be a multiple of 8 bits, 4096 at most." },
	{ OPT_KEYSLOT_KEY_SIZE, good_bits, "Key size must be a multiple of 8 bits, 4096 at most." },
	{ OPT_SECTOR_SIZE, good_sector_size,
	  "Unsupported encryption sector size: it is 512, 1024, 2048 or 4096." },
	{ OPT_DEVICE_SIZE, good_device_size, "Device size must be multiple of 512 bytes sector." },
	{ OPT_SIZE, good_sectors, "The size is too big." },
	{ OPT_OFFSET, good_sectors, "The offset is too big." },
	{ OPT_PBKDF, good_pbkdf, "The PBKDF can be argon2id, argon2i or pbkdf2." },
	{ OPT_PBKDF_FORCE_ITERATIONS, good_iterations, "Forced iteration count is too low." },
	{ OPT_PRIORITY, good_priority, "Option --priority can be only ignore/normal/prefer." },
	{ OPT_UUID, good_uuid, "Wrong LUKS UUID format provided." },
	{ OPT_KEY_SLOT, good_slot, "There is no such keyslot number." },
	{ OPT_NEW_KEY_SLOT, good_slot, "There is no such keyslot number." },
};

static bool for_verb(const struct cli *c, const struct pair *p)
{
	return !p->verb || !strcmp(p->verb, c->verb->name);
}

static int check_pairs(struct cli *c)
{
	for (size_t i = 0; i < ARRAY_SIZE(conflicts); i++) {
		const struct pair *p = &conflicts[i];

		if (for_verb(c, p) && cli_set(c, p->option) && cli_set(c, p->other))
			return err_set(
				&c->err, -EINVAL, "Options --%s and --%s cannot be combined.",
				cli_option_rows[p->option].name, cli_option_rows[p->other].name);
	}
	for (size_t i = 0; i < ARRAY_SIZE(needs); i++) {
		const struct pair *p = &needs[i];

		if (for_verb(c, p) && cli_set(c, p->option) && !cli_set(c, p->other))
			return err_set(&c->err, -EINVAL, "Option --%s needs option --%s.",
				       cli_option_rows[p->option].name,
				       cli_option_rows[p->other].name);
	}
	return 0;
}

static int check_arguments(struct cli *c)
{
	const struct verb *v = c->verb;

	if (c->n_args < v->min_args)
		return err_set(&c->err, -EINVAL, "%s: requires %s as arguments", v->name,
			       v->arguments);
	if (c->n_args > v->max_args)
		return err_set(&c->err, -EINVAL, "%s: too many arguments: %s", v->name,
			       c->arg[v->max_args]);
	return 0;
}

int cli_check(struct cli *c)
{
	int r;

	if (!c->verb)
		return err_set(&c->err, -EINVAL, "Argument <action> missing.");
	for (int i = 0; i < OPT_COUNT; i++)
		if (c->opt[i].set && !cli_verb_bears(c->verb, (enum option_id)i))
			return err_set(&c->err, -EINVAL,
				       "Option --%s is not allowed with %s action.",
				       cli_option_rows[i].name, c->verb->name);
	r = check_arguments(c);
	if (r)
		return r;
	for (size_t i = 0; i < ARRAY_SIZE(values); i++)
		if (cli_set(c, values[i].option) && !values[i].good(&c->opt[values[i].option]))
			return err_set(&c->err, -EINVAL, "%s", values[i].sentence);
	return check_pairs(c);
}
