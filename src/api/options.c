// SPDX-License-Identifier: Apache-2.0
// Options by name: a table says what kind of value each has and where it goes.
#include "internal.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cryptvol/base.h>

enum value_kind { TEXT, NUMBER, SIZE, YES, FLAG };

struct option_row {
	const char *name;
	enum api_kind kind;
	enum value_kind value;
	size_t at;	     /* offset in struct cryptvol_options */
	size_t set_at;	     /* of a bool that says that it was given; 0: none */
	uint64_t number_max; /* NUMBER, SIZE; FLAG: its bit */
};

#define AT(member) offsetof(struct cryptvol_options, member)

static const struct option_row rows[] = {
	{ "key-slot", API_KEYSLOT, NUMBER, AT(keyslot), AT(keyslot_set), LUKS_KEYSLOTS_MAX - 1 },
	{ "pbkdf", API_KEYSLOT, TEXT, AT(pbkdf), 0, 0 },
	{ "hash", API_KEYSLOT, TEXT, AT(hash), 0, 0 },
	{ "pbkdf-memory", API_KEYSLOT, NUMBER, AT(memory_kib), 0, UINT32_MAX },
	{ "pbkdf-parallel", API_KEYSLOT, NUMBER, AT(parallel), 0, UINT32_MAX },
	{ "pbkdf-force-iterations", API_KEYSLOT, NUMBER, AT(iterations), 0, UINT32_MAX },
	{ "iter-time", API_KEYSLOT, NUMBER, AT(iter_time_ms), 0, UINT32_MAX },
	{ "cipher", API_FORMAT, TEXT, AT(cipher), 0, 0 },
	{ "key-size", API_FORMAT, NUMBER, AT(key_bits), 0, CRYPTO_KEY_MAX_BYTES * 8 },
	{ "sector-size", API_FORMAT, NUMBER, AT(sector_bytes), 0, 4096 },
	{ "label", API_FORMAT, TEXT, AT(label), 0, 0 },
	{ "subsystem", API_FORMAT, TEXT, AT(subsystem), 0, 0 },
	{ "uuid", API_FORMAT, TEXT, AT(uuid), 0, 0 },
	{ "offset", API_FORMAT, NUMBER, AT(offset_sectors), 0, UINT64_MAX / 512 },
	{ "align-payload", API_FORMAT, NUMBER, AT(align_sectors), 0, UINT64_MAX / 512 },
	{ "luks2-metadata-size", API_FORMAT, SIZE, AT(header_bytes), 0, LUKS_HEADER_MAX_BYTES },
	{ "luks2-keyslots-size", API_FORMAT, SIZE, AT(keyslots_bytes), 0,
	  LUKS_KEYSLOTS_AREA_MAX_BYTES },
	{ "readonly", API_OPEN, YES, AT(readonly), 0, 0 },
	{ "shared", API_OPEN, YES, AT(shared), 0, 0 },
	{ "persistent", API_OPEN, YES, AT(persistent), 0, 0 },
	{ "disable-keyring", API_OPEN, YES, AT(disable_keyring), 0, 0 },
	{ "refresh", API_OPEN, YES, AT(refresh), 0, 0 },
	{ "allow-discards", API_OPEN, FLAG, AT(flags), 0, LUKS_FLAG_ALLOW_DISCARDS },
	{ "perf-same_cpu_crypt", API_OPEN, FLAG, AT(flags), 0, LUKS_FLAG_SAME_CPU_CRYPT },
	{ "perf-submit_from_crypt_cpus", API_OPEN, FLAG, AT(flags), 0,
	  LUKS_FLAG_SUBMIT_FROM_CRYPT_CPUS },
	{ "perf-no_read_workqueue", API_OPEN, FLAG, AT(flags), 0, LUKS_FLAG_NO_READ_WORKQUEUE },
	{ "perf-no_write_workqueue", API_OPEN, FLAG, AT(flags), 0, LUKS_FLAG_NO_WRITE_WORKQUEUE },
	{ "perf-high_priority", API_OPEN, FLAG, AT(flags), 0, LUKS_FLAG_HIGH_PRIORITY },
};

int cryptvol_options_new(struct cryptvol *cv, struct cryptvol_options **ret)
{
	struct cryptvol_options *o = calloc(1, sizeof(*o));

	err_clear(&cv->err);
	if (!o)
		return err_set(&cv->err, -ENOMEM, "no memory");
	o->cv = cv;
	*ret = o;
	return 0;
}

void cryptvol_options_free(struct cryptvol_options *o)
{
	if (!o)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (rows[i].value == TEXT)
			free(*(char **)((char *)o + rows[i].at));
	free(o);
}

/* The analyzer loses sight of a text whose place comes out of the table. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpragmas"
#pragma GCC diagnostic ignored "-Wunknown-warning-option"
#pragma GCC diagnostic ignored "-Wanalyzer-malloc-leak"
static int set_text(const struct option_row *row, char **at, const char *value, struct err *e)
{
	if (!value)
		return err_set(e, -EINVAL, "option %s needs a value", row->name);
	free(*at);
	*at = strdup(value);
	return *at ? 0 : err_set(e, -ENOMEM, "no memory");
}

#pragma GCC diagnostic pop

static int set_number(const struct option_row *row, uint64_t *at, const char *value, struct err *e)
{
	uint64_t n = 0;
	int r = -EINVAL;

	if (value)
		r = row->value == SIZE ? text_parse_size(value, &n) : text_parse_u64(value, &n);
	if (r || n > row->number_max)
		return err_set(e, -EINVAL, "option %s takes a number of at most %llu", row->name,
			       (unsigned long long)row->number_max);
	*at = n;
	return 0;
}

static int set_flag(const struct option_row *row, void *at, const char *value, struct err *e)
{
	bool yes = !value || !strcmp(value, "yes");
	uint32_t *flags = at;

	if (!yes && strcmp(value, "no") != 0)
		return err_set(e, -EINVAL, "option %s is yes or no", row->name);
	if (row->value == YES)
		*(bool *)at = yes;
	else
		*flags = yes ? *flags | (uint32_t)row->number_max
			     : *flags & ~(uint32_t)row->number_max;
	return 0;
}

static int set_value(struct cryptvol_options *o, const struct option_row *row, const char *value)
{
	void *at = (char *)o + row->at;

	switch (row->value) {
	case TEXT:
		return set_text(row, at, value, &o->cv->err);
	case NUMBER:
	case SIZE:
		return set_number(row, at, value, &o->cv->err);
	case YES:
	case FLAG:
		break;
	}
	return set_flag(row, at, value, &o->cv->err);
}

int cryptvol_options_set(struct cryptvol_options *o, const char *name, const char *value)
{
	int r;

	err_clear(&o->cv->err);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (strcmp(rows[i].name, name) != 0)
			continue;
		r = set_value(o, &rows[i], value);
		if (r)
			return r;
		if (rows[i].set_at)
			*(bool *)((char *)o + rows[i].set_at) = true;
		o->kinds |= rows[i].kind;
		return 0;
	}
	return err_set(&o->cv->err, -EINVAL, "there is no option %s", name);
}

int api_check_options(const struct cryptvol_options *o, uint32_t kinds, struct err *e)
{
	if (!o || !(o->kinds & ~kinds))
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (rows[i].kind & o->kinds & ~kinds)
			return err_set(
				e, -EINVAL,
				"the options hold one, such as %s, that this call has no use for",
				rows[i].name);
	return 0;
}
