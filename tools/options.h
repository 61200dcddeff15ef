// SPDX-License-Identifier: Apache-2.0
// The options of the CLI as data: one line an option. Names and short letters are cryptsetup's.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum option_kind {
	OPTION_FLAG,
	OPTION_U32,
	OPTION_U64,
	OPTION_SIZE, /* bytes with a unit, text_parse_size */
	OPTION_TEXT,
};

/* id, long name, older name, letter, kind, argument, help */
#define CLI_OPTIONS(X)                                                                             \
	X(HELP, "help", NULL, '?', FLAG, NULL, "this help; after an action, help for that action") \
	X(USAGE, "usage", NULL, 0, FLAG, NULL, "the usage line alone")                             \
	X(VERSION, "version", NULL, 'V', FLAG, NULL, "print the version")                          \
	X(VERBOSE, "verbose", NULL, 'v', FLAG, NULL, "say what was done and how it ended")         \
	X(DEBUG, "debug", NULL, 0, FLAG, NULL, "trace the work on standard error")                 \
	X(BATCH_MODE, "batch-mode", NULL, 'q', FLAG, NULL, "ask nothing, confirm everything")      \
	X(DEBUG_JSON, "debug-json", NULL, 0, FLAG, NULL, "the same as --debug")                    \
	X(TEST_ARGS, "test-args", NULL, 0, FLAG, NULL, "check the command line and stop")          \
	X(TYPE, "type", NULL, 'M', TEXT, "TYPE", "metadata type: luks or luks2")                   \
	X(HEADER, "header", NULL, 0, TEXT, "DEVICE", "device or file with a detached header")      \
	X(DISABLE_LOCKS, "disable-locks", NULL, 0, FLAG, NULL, "take no metadata lock")            \
	X(KEY_FILE, "key-file", NULL, 'd', TEXT, "FILE", "read the key from FILE, - for stdin")    \
	X(KEYFILE_OFFSET, "keyfile-offset", NULL, 0, SIZE, "BYTES",                                \
	  "bytes to skip in the key file")                                                         \
	X(KEYFILE_SIZE, "keyfile-size", NULL, 'l', SIZE, "BYTES",                                  \
	  "bytes to read from the key file")                                                       \
	X(KEY_SLOT, "key-slot", NULL, 'S', U32, "N", "this keyslot only (new keys: its number)")   \
	X(VOLUME_KEY_FILE, "volume-key-file", "master-key-file", 0, TEXT, "FILE",                  \
	  "the volume key itself, in FILE")                                                        \
	X(TRIES, "tries", NULL, 'T', U32, "N", "how often a passphrase may be typed (3)")          \
	X(TIMEOUT, "timeout", NULL, 't', U32, "SECONDS", "time limit for typing a passphrase")     \
	X(VERIFY_PASSPHRASE, "verify-passphrase", NULL, 'y', FLAG, NULL,                           \
	  "ask for the passphrase twice")                                                          \
	X(FORCE_PASSWORD, "force-password", NULL, 0, FLAG, NULL,                                   \
	  "accepted: no passphrase is judged here")                                                \
	X(NEW_KEYFILE, "new-keyfile", NULL, 0, TEXT, "FILE", "read the new key from FILE")         \
	X(NEW_KEYFILE_OFFSET, "new-keyfile-offset", NULL, 0, SIZE, "BYTES",                        \
	  "bytes to skip in the new key file")                                                     \
	X(NEW_KEYFILE_SIZE, "new-keyfile-size", NULL, 0, SIZE, "BYTES",                            \
	  "bytes to read from the new key file")                                                   \
	X(NEW_KEY_SLOT, "new-key-slot", NULL, 0, U32, "N", "number of the new keyslot")            \
	X(UNBOUND, "unbound", NULL, 0, FLAG, NULL, "a keyslot whose key is for no data segment")   \
	X(KEYSLOT_CIPHER, "keyslot-cipher", NULL, 0, TEXT, "SPEC", "cipher of the keyslot area")   \
	X(KEYSLOT_KEY_SIZE, "keyslot-key-size", NULL, 0, U32, "BITS",                              \
	  "key size of the keyslot area")                                                          \
	X(HIGH_ENTROPY, "high-entropy", NULL, 0, FLAG, NULL,                                       \
	  "the new key is random: use the cheapest sound PBKDF cost")                              \
	X(FORCE_IN_PLACE, "force-in-place", NULL, 0, FLAG, NULL,                                   \
	  "overwrite the old keyslot's area where no other is free")                               \
	X(PBKDF, "pbkdf", NULL, 0, TEXT, "NAME", "argon2id, argon2i or pbkdf2")                    \
	X(PBKDF_FORCE_ITERATIONS, "pbkdf-force-iterations", NULL, 0, U32, "N",                     \
	  "PBKDF iterations, not measured")                                                        \
	X(PBKDF_MEMORY, "pbkdf-memory", NULL, 0, U32, "KIB", "PBKDF memory cost in KiB")           \
	X(PBKDF_PARALLEL, "pbkdf-parallel", NULL, 0, U32, "N", "PBKDF threads")                    \
	X(ITER_TIME, "iter-time", NULL, 'i', U32, "MS",                                            \
	  "measure a PBKDF cost that takes this long")                                             \
	X(HASH, "hash", NULL, 'h', TEXT, "NAME", "hash of digest, AF and pbkdf2 (sha256)")         \
	X(CIPHER, "cipher", NULL, 'c', TEXT, "SPEC", "cipher of the data (aes-xts-plain64)")       \
	X(KEY_SIZE, "key-size", NULL, 's', U32, "BITS", "size of the volume key")                  \
	X(SECTOR_SIZE, "sector-size", NULL, 0, U32, "BYTES", "encryption sector size")             \
	X(OFFSET, "offset", NULL, 'o', U64, "SECTORS", "where the data begins (512-byte sectors)") \
	X(ALIGN_PAYLOAD, "align-payload", NULL, 0, U32, "SECTORS",                                 \
	  "align the data to this many 512-byte sectors")                                          \
	X(LABEL, "label", NULL, 0, TEXT, "TEXT", "label of the volume")                            \
	X(SUBSYSTEM, "subsystem", NULL, 0, TEXT, "TEXT", "subsystem label of the volume")          \
	X(UUID, "uuid", NULL, 0, TEXT, "UUID", "UUID of the volume")                               \
	X(LUKS2_METADATA_SIZE, "luks2-metadata-size", NULL, 0, SIZE, "BYTES",                      \
	  "size of one metadata copy")                                                             \
	X(LUKS2_KEYSLOTS_SIZE, "luks2-keyslots-size", NULL, 0, SIZE, "BYTES",                      \
	  "size of the keyslots area")                                                             \
	X(USE_RANDOM, "use-random", NULL, 0, FLAG, NULL, "accepted: getrandom(2) is always used")  \
	X(USE_URANDOM, "use-urandom", NULL, 0, FLAG, NULL,                                         \
	  "accepted: getrandom(2) is always used")                                                 \
	X(ALLOW_NULL_CIPHER, "allow-null-cipher", NULL, 0, FLAG, NULL,                             \
	  "permit a cipher that does not encrypt")                                                 \
	X(TEST_PASSPHRASE, "test-passphrase", NULL, 0, FLAG, NULL, "only check the key")           \
	X(READONLY, "readonly", NULL, 'r', FLAG, NULL, "map for reading only")                     \
	X(ALLOW_DISCARDS, "allow-discards", NULL, 0, FLAG, NULL, "pass discards (TRIM) through")   \
	X(PERF_SAME_CPU_CRYPT, "perf-same_cpu_crypt", NULL, 0, FLAG, NULL,                         \
	  "encrypt on the CPU that submitted")                                                     \
	X(PERF_SUBMIT_FROM_CRYPT_CPUS, "perf-submit_from_crypt_cpus", NULL, 0, FLAG, NULL,         \
	  "submit writes from the encrypting CPUs")                                                \
	X(PERF_NO_READ_WORKQUEUE, "perf-no_read_workqueue", NULL, 0, FLAG, NULL,                   \
	  "decrypt without a workqueue")                                                           \
	X(PERF_NO_WRITE_WORKQUEUE, "perf-no_write_workqueue", NULL, 0, FLAG, NULL,                 \
	  "encrypt without a workqueue")                                                           \
	X(PERF_HIGH_PRIORITY, "perf-high_priority", NULL, 0, FLAG, NULL,                           \
	  "run the workqueues at high priority")                                                   \
	X(PERSISTENT, "persistent", NULL, 0, FLAG, NULL, "write the flags into the header")        \
	X(REFRESH, "refresh", NULL, 0, FLAG, NULL, "reload a live mapping with new flags")         \
	X(SHARED, "shared", NULL, 0, FLAG, NULL, "don't insist on having the device alone")        \
	X(DISABLE_KEYRING, "disable-keyring", NULL, 0, FLAG, NULL,                                 \
	  "volume key in the table, not in the keyring")                                           \
	X(KEEP_KEY, "keep-key", NULL, 0, FLAG, NULL,                                               \
	  "keep the volume key in the mapping's table, to grow it without a passphrase")           \
	X(SERIALIZE_MEMORY_HARD_PBKDF, "serialize-memory-hard-pbkdf", NULL, 0, FLAG, NULL,         \
	  "accepted: memory is always shared out by a budget")                                     \
	X(EXCEED_AVAILABLE_MEMORY, "exceed-available-memory", NULL, 0, FLAG, NULL,                 \
	  "derive the key though less memory is available than that takes")                        \
	X(DISABLE_EXTERNAL_TOKENS, "disable-external-tokens", NULL, 0, FLAG, NULL,                 \
	  "accepted: no token plugins are loaded")                                                 \
	X(TOKEN_ID, "token-id", NULL, 0, U32, "N", "accepted: there are no token plugins here")    \
	X(TOKEN_TYPE, "token-type", NULL, 0, TEXT, "TYPE",                                         \
	  "accepted: there are no token plugins here")                                             \
	X(TOKEN_ONLY, "token-only", NULL, 0, FLAG, NULL,                                           \
	  "ask for no passphrase: fails, since no token can be used")                              \
	X(PROGRESS_FREQUENCY, "progress-frequency", NULL, 0, U32, "SECONDS",                       \
	  "accepted: progress is shown on a terminal alone")                                       \
	X(PROGRESS_JSON, "progress-json", NULL, 0, FLAG, NULL,                                     \
	  "accepted: progress is shown on a terminal alone")                                       \
	X(SIZE, "size", NULL, 'b', U64, "SECTORS", "size of the mapping in 512-byte sectors")      \
	X(DEVICE_SIZE, "device-size", NULL, 0, SIZE, "BYTES", "size of the mapping with a unit")   \
	X(DEFERRED, "deferred", NULL, 0, FLAG, NULL, "remove when the last user closes it")        \
	X(CANCEL_DEFERRED, "cancel-deferred", NULL, 0, FLAG, NULL, "take a deferred removal back") \
	X(JSON, "json", NULL, 0, FLAG, NULL, "print JSON")                                         \
	X(DUMP_JSON_METADATA, "dump-json-metadata", NULL, 0, FLAG, NULL,                           \
	  "print the JSON metadata")                                                               \
	X(DUMP_VOLUME_KEY, "dump-volume-key", "dump-master-key", 0, FLAG, NULL,                    \
	  "print the volume key, or write it to --volume-key-file")                                \
	X(INIT, "init", NULL, 0, FLAG, NULL, "make a directory a store of backups")                \
	X(LIST, "list", NULL, 0, FLAG, NULL, "list the backups in a directory")                    \
	X(VERIFY, "verify", NULL, 0, FLAG, NULL, "read a backup and compare its checksums")        \
	X(DELETE, "delete", NULL, 0, FLAG, NULL, "remove a backup, and the blocks of no other")    \
	X(VOLUME, "volume", NULL, 0, TEXT, "NAME", "the volume's name in backups (its UUID)")      \
	X(NAME, "name", NULL, 0, TEXT, "NAME", "the backup's name (the time in UTC)")              \
	X(LIVE, "live", NULL, 0, FLAG, NULL, "back up a device though it is in use")               \
	X(OVERWRITE, "overwrite", NULL, 0, FLAG, NULL,                                             \
	  "restore over a device or file that is there")                                           \
	X(HEADER_BACKUP_FILE, "header-backup-file", NULL, 0, TEXT, "FILE",                         \
	  "file with a copy of the header and its keyslots")                                       \
	X(PRIORITY, "priority", NULL, 0, TEXT, "NAME", "keyslot priority: ignore, normal, prefer")

enum option_id {
#define X(id, ...) OPT_##id,
	CLI_OPTIONS(X)
#undef X
		OPT_COUNT
};

struct option_row {
	const char *name;
	const char *old_name; /* still accepted; NULL = none */
	char letter;
	enum option_kind kind;
	const char *argument;
	const char *help;
};

extern const struct option_row cli_option_rows[OPT_COUNT];

struct option_value {
	bool set;
	uint64_t number;
	const char *text;
};
