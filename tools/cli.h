// SPDX-License-Identifier: Apache-2.0
// What the files of the CLI share: the parsed command line, the verb table, prompts and messages.
#pragma once

#include <stdint.h>

#include <cryptvol/base.h>
#include <cryptvol/volume.h>

#include "options.h"

#define CLI_ARGS_MAX 4

struct cli;

/** One action. A new one is a file cmd_*.c and a row in verbs.c. */
struct verb {
	const char *name;
	int (*run)(struct cli *c); /* 0 or negative errno, the sentence in c->err */
	const char *arguments;	   /* for the usage line */
	unsigned int min_args, max_args;
	const uint8_t *options; /* enum option_id; the general ones are allowed everywhere */
	size_t n_options;
	const char *help;
};

/** Older names of actions. type: what --type is then, where it isn't given. */
struct verb_alias {
	const char *name;
	const char *verb;
	const char *type;
};

extern const struct verb cli_verbs[];
extern const size_t cli_n_verbs;
extern const struct verb_alias cli_aliases[];
extern const size_t cli_n_aliases;

struct cli {
	const char *program;
	const struct verb *verb;
	const char *type; /* --type, or the alias's, or NULL */
	struct option_value opt[OPT_COUNT];
	const char *arg[CLI_ARGS_MAX];
	unsigned int n_args;
	char device_link[512]; /* arg[0] may point here */
	struct volume_env env;
	struct err err;
};

static inline bool cli_set(const struct cli *c, enum option_id id)
{
	return c->opt[id].set;
}
static inline const char *cli_text(const struct cli *c, enum option_id id)
{
	return c->opt[id].text; /* NULL where it isn't set */
}
static inline uint32_t cli_u32(const struct cli *c, enum option_id id)
{
	return (uint32_t)c->opt[id].number;
}

/* ---- parse.c, check.c, help.c ---- */

/** cli_parse - argv into @c: verb, options (anywhere, until "--"), arguments. -EINVAL. */
int cli_parse(struct cli *c, int argc, char **argv);
/** cli_check - is every option allowed with the verb, do they go together, are the values sound? */
int cli_check(struct cli *c);
const struct verb *cli_find_verb(const char *name, const char **ret_type);
/** cli_verb_takes - does the option mean something to the action (or to all)? cli_verb_bears: or is
 * it let pass, at least? */
bool cli_verb_takes(const struct verb *v, enum option_id id);
bool cli_verb_bears(const struct verb *v, enum option_id id);
void cli_print_help(const struct cli *c);
void cli_print_usage(const struct cli *c);

/* ---- say.c: what a person reads ---- */

/** cli_verbose - a line on stdout with --verbose. */
void cli_verbose(const struct cli *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/** cli_warn - a line on stderr. */
void cli_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/** cli_report - print the sentence of @r (if there is one) and forget it, so that main doesn't. */
void cli_report(struct cli *c, int r);
/** cli_exit_code - cryptsetup's exit codes: 1 parameters and all else, 2 permission or passphrase,
 * 3 memory, 4 device, 5 busy or exists. */
int cli_exit_code(int r);
const char *cli_exit_text(int code);
/** cli_confirm - on a terminal, unless --batch-mode: show the warning, "YES" or -EPERM. */
int cli_confirm(struct cli *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void cli_debug_line(const char *line);
/** cli_json_text - a JSON string with its quotes on stdout. */
void cli_json_text(const char *s);

/* ---- progress.c ---- */
struct cli_progress;
/** cli_progress_show - volume_env.progress: a line with rate and ETA, from the third second on.
 * @arg is a struct cli_progress. */
void cli_progress_show(void *arg, uint64_t done_bytes, uint64_t total_bytes);
struct cli_progress {
	double start, shown_at; /* base_now; 0 = not yet */
	bool shown;
};
void cli_progress_end(struct cli_progress *p);

/* ---- prompt.c, key.c: secrets come in ---- */

#define CLI_PASSPHRASE_MAX 512u
#define CLI_KEYFILE_MAX_BYTES (8192u * 1024)

/** prompt_secret - ask on /dev/tty without echo; -ETIMEDOUT after @timeout_s (0 = none). The
 * terminal is as before, whatever ends it. */
int prompt_secret(const char *prompt, uint32_t timeout_s, struct secret **ret, struct err *e);

struct key_source {
	const char *file; /* NULL: a line of stdin or the terminal; "-": all of stdin */
	uint64_t offset_bytes, size_bytes; /* size 0 = all */
	const char *prompt;		   /* on a terminal */
	bool verify;			   /* twice, on a terminal */
};
/** key_is_typed - does this source ask a person? */
bool key_is_typed(const struct key_source *s);
/** key_read - the bytes of a key, by cryptsetup's rules for newlines and sizes. */
int key_read(const struct cli *c, const struct key_source *s, struct secret **ret, struct err *e);
/** key_source_old, key_source_new - from --key-file and its like, from --new-keyfile and its like.
 */
struct key_source key_source_old(const struct cli *c, const char *prompt);
struct key_source key_source_new(const struct cli *c, const char *file, const char *prompt);
/** key_read_volume_key - just @bytes bytes from --volume-key-file. */
int key_read_volume_key(struct cli *c, size_t bytes, struct secret **ret);
/** key_write_file - a new file of mode 0400. */
int key_write_file(const char *path, const struct secret *key, struct err *e);

/**
 * key_try - read the passphrase and call @use with it; where a person types, up to --tries times.
 * @use returns -EPERM for "wrong".
 */
int key_try(struct cli *c, const struct key_source *s,
	    int (*use)(struct cli *c, const struct volume_key *k, void *arg), void *arg);

/* ---- request.c: options into the structs of volume.h ---- */

/** cli_kdf - make c->env.kdf, for verbs that derive keys. */
int cli_kdf(struct cli *c);
/** cli_drop_useless - with a warning: costs that cryptsetup takes and makes nothing of. */
void cli_drop_useless(struct crypto_pbkdf_request *req);
/** cli_where - where the metadata lies, for a verb whose first argument is the device. */
struct volume_where cli_where(const struct cli *c);
/** cli_resolve_device - the device argument "UUID=..." (LABEL=, PARTUUID=, PARTLABEL=) becomes
 * udev's link. */
int cli_resolve_device(struct cli *c);
/** cli_mapping_name - the argument without "/dev/mapper/". */
const char *cli_mapping_name(const char *arg);
int cli_keyslot(const struct cli *c, enum option_id id);
/** cli_new_keyslot - keyslot number, PBKDF costs, area cipher; the passphrase is the caller's. */
int cli_new_keyslot(struct cli *c, int keyslot, struct luks_new_keyslot *ret);
/* Text of a header, or of another's making, as a terminal may get it. */
#define CLI_SHOWN_MAX 4096
#define CLI_SHOWN(text) text_shown((text), (char[CLI_SHOWN_MAX]){ 0 }, CLI_SHOWN_MAX)

/** cli_load - the header, read only, of the --type that is asked for. Sentences as cryptsetup has
 * them for "no LUKS", "no device".
 */
int cli_load(struct cli *c, struct luks_header **ret);
/** cli_device_error - the same sentences for the failure of another call. Returns @r. */
int cli_device_error(struct cli *c, int r);
/** cli_need_luks2 - refuse other metadata types by name. */
int cli_need_luks2(struct cli *c);
uint32_t cli_flags(const struct cli *c);
/** cli_volume_key_bytes - the size of the volume key: the header's, else --key-size. -EINVAL:
 * neither.
 */
int cli_volume_key_bytes(struct cli *c, const struct luks_header *h, size_t *ret);

/* ---- the verbs ---- */
int cmd_format(struct cli *c);
int cmd_open(struct cli *c);
int cmd_refresh(struct cli *c);
int cmd_close(struct cli *c);
int cmd_status(struct cli *c);
int cmd_resize(struct cli *c);
int cmd_isluks(struct cli *c);
int cmd_uuid(struct cli *c);
int cmd_dump(struct cli *c);
int cmd_addkey(struct cli *c);
int cmd_changekey(struct cli *c);
int cmd_convertkey(struct cli *c);
int cmd_removekey(struct cli *c);
int cmd_killslot(struct cli *c);
int cmd_erase(struct cli *c);
int cmd_config(struct cli *c);
int cmd_repair(struct cli *c);
int cmd_headerbackup(struct cli *c);
int cmd_headerrestore(struct cli *c);
int cmd_backup(struct cli *c);
int cmd_restore(struct cli *c);
int cmd_benchmark(struct cli *c);

void dump_luks2(const struct luks_header *h);
void dump_luks1(const char *device, const struct luks_header *h);
int dump_volume_key(struct cli *c);
int dump_unbound_key(struct cli *c);
