// SPDX-License-Identifier: Apache-2.0
// The tables: options, actions and the options that each action takes, older names of actions.
#include "cli.h"

const struct option_row cli_option_rows[OPT_COUNT] = {
#define X(id, name, old, letter, kind, argument, help) \
	[OPT_##id] = { name, old, letter, OPTION_##kind, argument, help },
	CLI_OPTIONS(X)
#undef X
};

/* Groups that go together. */
#define WHERE OPT_TYPE, OPT_HEADER
#define KEY_IN                                                                          \
	OPT_KEY_FILE, OPT_KEYFILE_OFFSET, OPT_KEYFILE_SIZE, OPT_TRIES, OPT_TIMEOUT,     \
		OPT_VERIFY_PASSPHRASE, OPT_SERIALIZE_MEMORY_HARD_PBKDF,                 \
		OPT_EXCEED_AVAILABLE_MEMORY, OPT_DISABLE_EXTERNAL_TOKENS, OPT_TOKEN_ID, \
		OPT_TOKEN_TYPE, OPT_TOKEN_ONLY
#define KEY_NEW OPT_NEW_KEYFILE, OPT_NEW_KEYFILE_OFFSET, OPT_NEW_KEYFILE_SIZE, OPT_FORCE_PASSWORD
#define COSTS                                                                        \
	OPT_PBKDF, OPT_PBKDF_FORCE_ITERATIONS, OPT_PBKDF_MEMORY, OPT_PBKDF_PARALLEL, \
		OPT_ITER_TIME, OPT_HASH, OPT_HIGH_ENTROPY
#define KEYSLOT_AREA OPT_KEYSLOT_CIPHER, OPT_KEYSLOT_KEY_SIZE
#define TABLE_FLAGS                                                                              \
	OPT_ALLOW_DISCARDS, OPT_PERF_SAME_CPU_CRYPT, OPT_PERF_SUBMIT_FROM_CRYPT_CPUS,            \
		OPT_PERF_NO_READ_WORKQUEUE, OPT_PERF_NO_WRITE_WORKQUEUE, OPT_PERF_HIGH_PRIORITY, \
		OPT_PERSISTENT, OPT_READONLY, OPT_DISABLE_KEYRING, OPT_KEEP_KEY, OPT_KEY_SLOT,   \
		OPT_VOLUME_KEY_FILE, OPT_KEY_SIZE, OPT_ALLOW_NULL_CIPHER

static const uint8_t format_options[] = {
	WHERE,
	KEY_IN,
	COSTS,
	KEYSLOT_AREA,
	OPT_FORCE_PASSWORD,
	OPT_KEY_SLOT,
	OPT_VOLUME_KEY_FILE,
	OPT_CIPHER,
	OPT_KEY_SIZE,
	OPT_SECTOR_SIZE,
	OPT_OFFSET,
	OPT_ALIGN_PAYLOAD,
	OPT_LABEL,
	OPT_SUBSYSTEM,
	OPT_UUID,
	OPT_LUKS2_METADATA_SIZE,
	OPT_LUKS2_KEYSLOTS_SIZE,
	OPT_USE_RANDOM,
	OPT_USE_URANDOM,
	OPT_ALLOW_NULL_CIPHER,
	OPT_PROGRESS_JSON,
};
static const uint8_t open_options[] = {
	WHERE,	    KEY_IN,	 TABLE_FLAGS, OPT_TEST_PASSPHRASE, OPT_UNBOUND,
	OPT_SHARED, OPT_REFRESH, OPT_SIZE,    OPT_DEVICE_SIZE,
};
static const uint8_t refresh_options[] = { WHERE, KEY_IN, TABLE_FLAGS, OPT_SIZE, OPT_DEVICE_SIZE };
static const uint8_t close_options[] = { WHERE, OPT_DEFERRED, OPT_CANCEL_DEFERRED };
static const uint8_t status_options[] = { WHERE, OPT_JSON };
static const uint8_t resize_options[] = {
	WHERE,	  KEY_IN,	   OPT_KEY_SLOT,	OPT_VOLUME_KEY_FILE,
	OPT_SIZE, OPT_DEVICE_SIZE, OPT_DISABLE_KEYRING, OPT_KEY_SIZE,
};
static const uint8_t where_options[] = { WHERE };
static const uint8_t uuid_options[] = { WHERE, OPT_UUID };
static const uint8_t dump_options[] = {
	WHERE,
	KEY_IN,
	OPT_DUMP_JSON_METADATA,
	OPT_DUMP_VOLUME_KEY,
	OPT_VOLUME_KEY_FILE,
	OPT_KEY_SLOT,
	OPT_KEY_SIZE,
	OPT_UNBOUND,
};
static const uint8_t addkey_options[] = {
	WHERE,
	KEY_IN,
	KEY_NEW,
	COSTS,
	KEYSLOT_AREA,
	OPT_KEY_SLOT,
	OPT_NEW_KEY_SLOT,
	OPT_UNBOUND,
	OPT_VOLUME_KEY_FILE,
	OPT_KEY_SIZE,
};
static const uint8_t changekey_options[] = {
	WHERE, KEY_IN, KEY_NEW, COSTS, KEYSLOT_AREA, OPT_KEY_SLOT, OPT_FORCE_IN_PLACE,
};
static const uint8_t convertkey_options[] = {
	WHERE, KEY_IN, COSTS, KEYSLOT_AREA, OPT_KEY_SLOT, OPT_FORCE_IN_PLACE,
};
static const uint8_t removekey_options[] = { WHERE, KEY_IN };
static const uint8_t config_options[] = {
	WHERE, OPT_PRIORITY, OPT_KEY_SLOT, OPT_LABEL, OPT_SUBSYSTEM,
};
static const uint8_t header_copy_options[] = { WHERE, OPT_HEADER_BACKUP_FILE };
static const uint8_t backup_options[] = {
	OPT_INIT, OPT_LIST, OPT_VERIFY, OPT_DELETE, OPT_VOLUME, OPT_NAME, OPT_LIVE, OPT_JSON,
};
static const uint8_t restore_options[] = { OPT_OVERWRITE };
static const uint8_t benchmark_options[] = {
	OPT_CIPHER,	  OPT_KEY_SIZE,	      OPT_HASH,	     OPT_PBKDF, OPT_PBKDF_FORCE_ITERATIONS,
	OPT_PBKDF_MEMORY, OPT_PBKDF_PARALLEL, OPT_ITER_TIME, OPT_JSON,
};

#define OPTIONS(a) a##_options, ARRAY_SIZE(a##_options)

const struct verb cli_verbs[] = {
	{ "luksFormat", cmd_format, "<device> [<key file>]", 1, 2, OPTIONS(format),
	  "write a new LUKS2 header: what is on the device is lost" },
	{ "open", cmd_open, "<device> [<name>]", 1, 2, OPTIONS(open),
	  "unlock a volume and map it as /dev/mapper/<name>" },
	{ "refresh", cmd_refresh, "<name>", 1, 1, OPTIONS(refresh),
	  "reload a live mapping with new flags" },
	{ "close", cmd_close, "<name>", 1, 1, OPTIONS(close), "remove a mapping" },
	{ "status", cmd_status, "<name>", 1, 1, OPTIONS(status), "what a mapping is made of" },
	{ "resize", cmd_resize, "<name>", 1, 1, OPTIONS(resize), "grow or shrink a live mapping" },
	{ "isLuks", cmd_isluks, "<device>", 1, 1, OPTIONS(where),
	  "exit with 0 if the device has a LUKS header" },
	{ "luksUUID", cmd_uuid, "<device>", 1, 1, OPTIONS(uuid), "print the UUID, or set it" },
	{ "luksDump", cmd_dump, "<device>", 1, 1, OPTIONS(dump),
	  "print the header, or a volume key" },
	{ "luksAddKey", cmd_addkey, "<device> [<new key file>]", 1, 2, OPTIONS(addkey),
	  "add a passphrase or key file" },
	{ "luksChangeKey", cmd_changekey, "<device> [<new key file>]", 1, 2, OPTIONS(changekey),
	  "replace a passphrase or key file" },
	{ "luksConvertKey", cmd_convertkey, "<device>", 1, 1, OPTIONS(convertkey),
	  "new PBKDF costs for a passphrase that stays" },
	{ "luksRemoveKey", cmd_removekey, "<device> [<key file>]", 1, 2, OPTIONS(removekey),
	  "remove the keyslot that this passphrase opens" },
	{ "luksKillSlot", cmd_killslot, "<device> <keyslot>", 2, 2, OPTIONS(removekey),
	  "wipe a keyslot by its number" },
	{ "erase", cmd_erase, "<device>", 1, 1, OPTIONS(where),
	  "wipe all keyslots: the data is lost" },
	{ "config", cmd_config, "<device>", 1, 1, OPTIONS(config),
	  "set a keyslot's priority, or the labels" },
	{ "repair", cmd_repair, "<device>", 1, 1, OPTIONS(where),
	  "restore a damaged header copy from the other" },
	{ "luksHeaderBackup", cmd_headerbackup, "<device>", 1, 1, OPTIONS(header_copy),
	  "copy the header with its keyslots to a new file" },
	{ "luksHeaderRestore", cmd_headerrestore, "<device>", 1, 1, OPTIONS(header_copy),
	  "write a copied header back: the keyslots of today are lost" },
	{ "backup", cmd_backup, "<device> <directory>", 1, 3, OPTIONS(backup),
	  "ciphertext into a store: what changed; init, list, verify, delete" },
	{ "restore", cmd_restore, "<directory> <volume> <name> <target>", 4, 4, OPTIONS(restore),
	  "a backup into an image file or a device" },
	{ "benchmark", cmd_benchmark, "", 0, 0, OPTIONS(benchmark),
	  "speed of ciphers and PBKDFs on this host" },
};
const size_t cli_n_verbs = ARRAY_SIZE(cli_verbs);

const struct verb_alias cli_aliases[] = {
	{ "format", "luksFormat", NULL },     { "luksOpen", "open", "luks" },
	{ "plainOpen", "open", "plain" },     { "create", "open", "plain" },
	{ "loopaesOpen", "open", "loopaes" }, { "tcryptOpen", "open", "tcrypt" },
	{ "bitlkOpen", "open", "bitlk" },     { "fvault2Open", "open", "fvault2" },
	{ "luksClose", "close", NULL },	      { "remove", "close", NULL },
	{ "luksErase", "erase", NULL },
};
const size_t cli_n_aliases = ARRAY_SIZE(cli_aliases);

/* Allowed with every action. */
static const uint8_t general_options[] = {
	OPT_HELP,	OPT_USAGE,	OPT_VERSION,   OPT_VERBOSE,	  OPT_DEBUG,
	OPT_DEBUG_JSON, OPT_BATCH_MODE, OPT_TEST_ARGS, OPT_DISABLE_LOCKS,
};

/* As with cryptsetup, taken by actions that have no use for them, so that a script may have one set
 * of options for all its calls. */
static const uint8_t idle_options[] = {
	OPT_KEY_FILE,	  OPT_KEYFILE_OFFSET,	 OPT_KEYFILE_SIZE,    OPT_TRIES,
	OPT_TIMEOUT,	  OPT_VERIFY_PASSPHRASE, OPT_FORCE_PASSWORD,  OPT_HASH,
	OPT_PBKDF_MEMORY, OPT_PBKDF_PARALLEL,	 OPT_DISABLE_KEYRING, OPT_DISABLE_EXTERNAL_TOKENS,
	OPT_TOKEN_ID,	  OPT_TOKEN_TYPE,	 OPT_TOKEN_ONLY,      OPT_PROGRESS_FREQUENCY,
};

static bool is_among(const uint8_t *options, size_t n, enum option_id id)
{
	for (size_t i = 0; i < n; i++)
		if (options[i] == id)
			return true;
	return false;
}

bool cli_verb_takes(const struct verb *v, enum option_id id)
{
	return is_among(general_options, ARRAY_SIZE(general_options), id) ||
	       is_among(v->options, v->n_options, id);
}

bool cli_verb_bears(const struct verb *v, enum option_id id)
{
	return cli_verb_takes(v, id) || is_among(idle_options, ARRAY_SIZE(idle_options), id);
}

const struct verb *cli_find_verb(const char *name, const char **ret_type)
{
	*ret_type = NULL;
	for (size_t i = 0; i < cli_n_aliases; i++)
		if (!strcmp(cli_aliases[i].name, name)) {
			*ret_type = cli_aliases[i].type;
			name = cli_aliases[i].verb;
			break;
		}
	for (size_t i = 0; i < cli_n_verbs; i++)
		if (!strcmp(cli_verbs[i].name, name))
			return &cli_verbs[i];
	return NULL;
}
