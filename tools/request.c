// SPDX-License-Identifier: Apache-2.0
// From options to the structs of volume.h, and the sentences that verbs share.
#include "cli.h"

#include <stdio.h>

#define LOCK_DIR "/run/cryptvol"

int cli_kdf(struct cli *c)
{
	const struct crypto_kdf_config config = {
		.lock_dir = LOCK_DIR,
		.idle_bytes = UINT64_MAX,
		.exceed_available = cli_set(c, OPT_EXCEED_AVAILABLE_MEMORY),
	};

	if (c->env.kdf)
		return 0;
	return crypto_kdf_new(&config, &c->env.kdf, &c->err);
}

struct volume_where cli_where(const struct cli *c)
{
	return (struct volume_where){ .device = c->arg[0], .header = cli_text(c, OPT_HEADER) };
}

int cli_resolve_device(struct cli *c)
{
	/* udev's links, under the names of util-linux's tags */
	static const struct {
		const char *tag, *dir;
	} tags[] = {
		{ "UUID=", "by-uuid" },
		{ "LABEL=", "by-label" },
		{ "PARTUUID=", "by-partuuid" },
		{ "PARTLABEL=", "by-partlabel" },
	};
	const char *given = c->arg[0];

	if (strncmp(c->verb->arguments, "<device>", 8) != 0)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(tags); i++) {
		size_t n = strlen(tags[i].tag);

		if (strncmp(given, tags[i].tag, n) != 0)
			continue;
		if (strchr(given + n, '/') ||
		    snprintf(c->device_link, sizeof(c->device_link), "/dev/disk/%s/%s", tags[i].dir,
			     given + n) >= (int)sizeof(c->device_link))
			return err_set(&c->err, -EINVAL, "%s names no device.", given);
		c->arg[0] = c->device_link;
	}
	return 0;
}

const char *cli_mapping_name(const char *arg)
{
	static const char dir[] = "/dev/mapper/";

	return strncmp(arg, dir, sizeof(dir) - 1) ? arg : arg + sizeof(dir) - 1;
}

int cli_keyslot(const struct cli *c, enum option_id id)
{
	return cli_set(c, id) ? (int)c->opt[id].number : LUKS_ANY;
}

int cli_device_error(struct cli *c, int r)
{
	const char *header = cli_text(c, OPT_HEADER), *device = header ?: c->arg[0];

	if (r == -EMEDIUMTYPE)
		return err_set(&c->err, r, "Device %s is not a valid LUKS device.", device);
	if ((r == -ENODEV || r == -EACCES) && access(device, R_OK))
		return err_set(&c->err, r, "Device %s does not exist or access denied.", device);
	return r;
}

int cli_load(struct cli *c, struct luks_header **ret)
{
	struct volume_where w = cli_where(c);
	_cleanup_luks_ struct luks_header *h = NULL;
	int r;

	r = volume_load_header(&c->env, &w, true, &h, &c->err);
	if (!r && c->type && h->version != (!strcmp(c->type, "luks1") ? 1u : 2u) &&
	    strcmp(c->type, "luks") != 0)
		r = -EMEDIUMTYPE;
	if (r)
		return cli_device_error(c, r);
	*ret = h;
	h = NULL;
	return 0;
}

int cli_need_luks2(struct cli *c)
{
	if (!c->type || !strcmp(c->type, "luks") || !strcmp(c->type, "luks2"))
		return 0;
	return err_set(&c->err, -EOPNOTSUPP,
		       "Type %s is not supported for this action: only luks2 is.", c->type);
}

uint32_t cli_flags(const struct cli *c)
{
	static const struct {
		enum option_id option;
		uint32_t flag;
	} map[] = {
		{ OPT_ALLOW_DISCARDS, LUKS_FLAG_ALLOW_DISCARDS },
		{ OPT_PERF_SAME_CPU_CRYPT, LUKS_FLAG_SAME_CPU_CRYPT },
		{ OPT_PERF_SUBMIT_FROM_CRYPT_CPUS, LUKS_FLAG_SUBMIT_FROM_CRYPT_CPUS },
		{ OPT_PERF_NO_READ_WORKQUEUE, LUKS_FLAG_NO_READ_WORKQUEUE },
		{ OPT_PERF_NO_WRITE_WORKQUEUE, LUKS_FLAG_NO_WRITE_WORKQUEUE },
		{ OPT_PERF_HIGH_PRIORITY, LUKS_FLAG_HIGH_PRIORITY },
	};
	uint32_t flags = 0;

	for (size_t i = 0; i < ARRAY_SIZE(map); i++)
		if (cli_set(c, map[i].option))
			flags |= map[i].flag;
	return flags;
}

int cli_volume_key_bytes(struct cli *c, const struct luks_header *h, size_t *ret)
{
	uint32_t bytes = luks_volume_key_bytes(h);

	if (cli_u32(c, OPT_KEY_SIZE))
		bytes = cli_u32(c, OPT_KEY_SIZE) / 8;
	if (!bytes)
		return err_set(&c->err, -EINVAL,
			       "Cannot determine the volume key's size without keyslots, please "
			       "use --key-size option.");
	*ret = bytes;
	return 0;
}

void cli_drop_useless(struct crypto_pbkdf_request *req)
{
	if (req->type == CRYPTO_PBKDF2 && (req->memory_kib || req->parallel)) {
		cli_warn("WARNING: pbkdf2 uses neither memory nor threads: --pbkdf-%s is ignored.",
			 req->memory_kib ? "memory" : "parallel");
		req->memory_kib = req->parallel = 0;
	}
	if (req->parallel > CRYPTO_ARGON2_MAX_PARALLEL) {
		cli_warn("WARNING: no more than %u threads are used.", CRYPTO_ARGON2_MAX_PARALLEL);
		req->parallel = CRYPTO_ARGON2_MAX_PARALLEL;
	}
}

static int fill_costs(struct cli *c, struct crypto_pbkdf *ret)
{
	struct crypto_pbkdf_request req = {
		.hash = cli_text(c, OPT_HASH),
		.force_iterations = cli_u32(c, OPT_PBKDF_FORCE_ITERATIONS),
		.iter_time_ms = cli_u32(c, OPT_ITER_TIME),
		.memory_kib = cli_u32(c, OPT_PBKDF_MEMORY),
		.parallel = cli_u32(c, OPT_PBKDF_PARALLEL),
		.high_entropy = cli_set(c, OPT_HIGH_ENTROPY),
	};
	int r;

	if (cli_set(c, OPT_PBKDF)) {
		r = crypto_pbkdf_type(cli_text(c, OPT_PBKDF), &req.type);
		if (r)
			return err_set(&c->err, r, "There is no PBKDF %s.", cli_text(c, OPT_PBKDF));
	}
	r = cli_kdf(c);
	if (r)
		return r;
	cli_drop_useless(&req);
	return crypto_pbkdf_fill(c->env.kdf, &req, ret, &c->err);
}

int cli_new_keyslot(struct cli *c, int keyslot, struct luks_new_keyslot *ret)
{
	struct luks_new_keyslot n = {
		.keyslot = keyslot,
		.area_encryption = cli_text(c, OPT_KEYSLOT_CIPHER),
		.area_key_bytes = cli_u32(c, OPT_KEYSLOT_KEY_SIZE) / 8,
		.af_hash = cli_text(c, OPT_HASH),
		.unbound = cli_set(c, OPT_UNBOUND),
	};
	int r;

	r = fill_costs(c, &n.pbkdf);
	if (r)
		return r;
	*ret = n;
	return 0;
}
