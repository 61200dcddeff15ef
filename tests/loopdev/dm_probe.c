// SPDX-License-Identifier: Apache-2.0
// The verbs of the dm and keyring rooms as a command, for the shell tests. Keys come on the command
// line here: they are made up by the tests. Kept keys are this process's, so "-" reads one verb
// after the other from its input, words apart by tabs, and answers each with a last line "= 0" or
// "= ERRNO: sentence".
#include <cryptvol/base.h>
#include <cryptvol/dm.h>
#include <cryptvol/keyring.h>

#include <getopt.h>
#include <linux/keyctl.h>
#include <stdio.h>
#include <sys/syscall.h>

#define TARGETS_MAX 8

struct probe {
	struct dm_control *c;
	enum dm_udev_mode udev;
	uint32_t flags;
	bool readonly;
	struct dm_target targets[TARGETS_MAX];
	struct secret *keys[TARGETS_MAX];
	struct keyring_hold held; /* by put, until drop */
	char **args;		  /* of the verb */
	int n_args;
	struct err e;
};

static void print_debug(const char *line)
{
	fprintf(stderr, "debug: %s\n", line);
}

/* What stands behind the number of optional parameters: a parse doesn't give it back. */
static const char *integrity_options(const char *params)
{
	for (int words = 0; words < 5 && *params; params++)
		words += *params == ' ';
	return params;
}

/* Arguments from @first on, each "START LEN TYPE [PARAMS]". */
static int read_table(struct probe *p, int first, struct dm_table *ret)
{
	ret->targets = p->targets;
	ret->readonly = p->readonly;
	for (int i = first; i < p->n_args && ret->n_targets < TARGETS_MAX; i++) {
		struct dm_target *t = &p->targets[ret->n_targets];
		unsigned long long start, len;
		char type[16];
		int n = 0, r;

		if (sscanf(p->args[i], "%llu %llu %15s %n", &start, &len, type, &n) != 3)
			return err_set(&p->e, -EINVAL, "no target: %s", p->args[i]);
		r = dm_parse_params(type, p->args[i] + n, t, &p->keys[ret->n_targets], &p->e);
		if (r)
			return r;
		if (t->type == DM_TARGET_INTEGRITY)
			t->integrity.params = integrity_options(p->args[i] + n);
		t->start_sectors = start;
		t->len_sectors = len;
		ret->n_targets++;
	}
	return 0;
}

static int do_version(struct probe *p)
{
	uint32_t v[3];
	int r = dm_target_version(p->c, p->args[0], v, &p->e);

	if (!r)
		printf("%u.%u.%u\n", v[0], v[1], v[2]);
	return r;
}

static int do_supports(struct probe *p)
{
	uint32_t flags;
	int r = dm_crypt_supports(p->c, &flags, &p->e);

	for (uint32_t bit = 1; !r && bit; bit <<= 1)
		if (flags & bit)
			printf("%s\n", dm_crypt_flag_name((enum dm_crypt_flag)bit) ?: "?");
	return r;
}

static int do_create(struct probe *p)
{
	struct dm_table t = { 0 };

	return read_table(p, 2, &t)
		       ?: dm_create(p->c, p->args[0], p->args[1], &t, p->flags, p->udev, &p->e);
}

static int do_load(struct probe *p)
{
	struct dm_table t = { 0 };

	return read_table(p, 1, &t) ?: dm_load(p->c, p->args[0], &t, &p->e);
}

static int do_reload(struct probe *p)
{
	struct dm_table t = { 0 };

	return read_table(p, 1, &t) ?: dm_reload(p->c, p->args[0], &t, p->flags, p->udev, &p->e);
}

static int do_clear(struct probe *p)
{
	return dm_clear(p->c, p->args[0], &p->e);
}

static int do_suspend(struct probe *p)
{
	return dm_suspend(p->c, p->args[0], false, true, &p->e);
}

static int do_resume(struct probe *p)
{
	return dm_resume(p->c, p->args[0], p->flags, p->udev, &p->e);
}

static int do_rename(struct probe *p)
{
	return dm_rename(p->c, p->args[0], p->args[1], p->udev, &p->e);
}

static int do_remove(struct probe *p)
{
	return dm_remove(p->c, p->args[0], false, p->udev, &p->e);
}

static int do_defer(struct probe *p)
{
	return dm_remove(p->c, p->args[0], true, p->udev, &p->e);
}

static int do_cancel(struct probe *p)
{
	return dm_remove_cancel(p->c, p->args[0], &p->e);
}

static int do_info(struct probe *p)
{
	struct dm_mapping m;
	int r = dm_query_info(p->c, p->args[0], &m, &p->e);

	if (!r)
		printf("%s %s %u:%u event=%u open=%d targets=%u%s%s%s%s%s\n", m.name, m.uuid,
		       m.major, m.minor, m.event_nr, m.open_count, m.target_count,
		       m.suspended ? " suspended" : "", m.readonly ? " readonly" : "",
		       m.live_table ? " live" : "", m.inactive_table ? " inactive" : "",
		       m.deferred_remove ? " deferred" : "");
	return r;
}

static int do_instance(struct probe *p)
{
	char text[DM_INSTANCE_MAX];
	int r = dm_query_instance(p->c, p->args[0], text, &p->e);

	if (!r)
		printf("%s\n", text);
	return r;
}

/* As it would be written again. */
static int do_table(struct probe *p)
{
	_cleanup_secret_ struct secret *key = NULL;
	struct dm_table t;
	int r = dm_query_table(p->c, p->args[0], &t, &key, &p->e);

	if (r)
		return r;
	for (size_t i = 0; !r && i < t.n_targets; i++) {
		_cleanup_secret_ struct secret *text = NULL;

		r = dm_format_params(&t.targets[i], &text, &p->e);
		if (!r)
			printf("%llu %llu %s%s%s\n", (unsigned long long)t.targets[i].start_sectors,
			       (unsigned long long)t.targets[i].len_sectors, t.targets[i].type_name,
			       text->len ? " " : "", (char *)text->data);
	}
	if (t.readonly)
		printf("readonly\n");
	dm_table_free(&t);
	return r;
}

static int do_status(struct probe *p)
{
	_cleanup_free_ char *text = NULL;
	int r = dm_query_status(p->c, p->args[0], 0, &text, &p->e);

	if (!r)
		printf("%s\n", text);
	return r;
}

static int do_deps(struct probe *p)
{
	struct dm_dev devs[8];
	size_t n;
	int r = dm_query_deps(p->c, p->args[0], devs, 8, &n, &p->e);

	for (size_t i = 0; !r && i < n && i < 8; i++)
		printf("%u:%u\n", devs[i].major, devs[i].minor);
	return r;
}

static int do_wait(struct probe *p)
{
	uint32_t event_nr;

	if (text_parse_u32(p->args[1], &event_nr))
		return -EINVAL;
	return dm_wait(p->c, p->args[0], event_nr, &p->e);
}

static int do_list(struct probe *p)
{
	_cleanup_free_ struct dm_list_entry *list = NULL;
	size_t n;
	int r = dm_list(p->c, &list, &n, &p->e);

	for (size_t i = 0; !r && i < n; i++)
		printf("%s %u:%u\n", list[i].name, list[i].major, list[i].minor);
	return r;
}

/* NAME UUID DESCRIPTION HEXKEY TARGET... */
static int create_with_key(struct probe *p, bool kept)
{
	const char *name = p->args[0], *uuid = p->args[1], *description = p->args[2];
	struct dm_table t = { 0 };
	struct keyring_hold hold;
	struct secret *key;
	int r;

	r = read_table(p, 4, &t) ?: secret_new(strlen(p->args[3]) / 2, &key, &p->e);
	if (r)
		return r;
	r = text_unhex(p->args[3], key->data, key->cap, &key->len);
	if (!r)
		r = kept ? keyring_put_kept(name, uuid, description, key, &hold, &p->e)
			 : keyring_put(description, key, &hold, &p->e);
	secret_free(key);
	if (r)
		return r;
	r = dm_create(p->c, name, uuid, &t, p->flags, p->udev, &p->e);
	keyring_drop(&hold);
	if (r && kept)
		(void)keyring_revoke_kept(name, NULL);
	return r;
}

static int do_put_create(struct probe *p)
{
	return create_with_key(p, false);
}

static int do_keep_create(struct probe *p)
{
	return create_with_key(p, true);
}

/* NAME SECTORS: the live table's last target made longer, its key found in the mapping's ring. */
static int do_grow(struct probe *p)
{
	struct keyring_hold hold;
	struct dm_target *last;
	struct dm_mapping m;
	struct dm_table t;
	uint64_t sectors;
	int r;

	r = text_parse_u64(p->args[1], &sectors) ?: dm_query_info(p->c, p->args[0], &m, &p->e);
	if (r)
		return r;
	r = dm_query_table(p->c, p->args[0], &t, NULL, &p->e);
	if (r)
		return r;
	last = &t.targets[t.n_targets - 1];
	last->len_sectors = sectors - last->start_sectors;
	r = keyring_find_kept(m.name, m.uuid, &hold, &p->e);
	if (!r) {
		r = dm_reload(p->c, m.name, &t, p->flags, p->udev, &p->e);
		keyring_drop(&hold);
	}
	dm_table_free(&t);
	return r;
}

static int do_find(struct probe *p)
{
	struct keyring_hold hold;
	int r = keyring_find_kept(p->args[0], p->args[1], &hold, &p->e);

	if (!r)
		keyring_drop(&hold);
	return r;
}

static int do_kept(struct probe *p)
{
	return keyring_check_kept(p->args[0], p->args[1], &p->e);
}

static int do_revoke(struct probe *p)
{
	return keyring_revoke_kept(p->args[0], &p->e);
}

/* DESCRIPTION HEXKEY: how many links are in the thread keyring during a put and after the drop? */
static int do_residue(struct probe *p)
{
	unsigned char bytes[64];
	struct keyring_hold hold;
	struct secret *key;
	int32_t ids[16];
	long during, after;
	size_t len;
	int r;

	r = text_unhex(p->args[1], bytes, sizeof(bytes), &len)
		    ?: secret_from_bytes(bytes, len, &key, &p->e);
	if (r)
		return r;
	r = keyring_put(p->args[0], key, &hold, &p->e);
	secret_free(key);
	if (r)
		return r;
	during = syscall(SYS_keyctl, KEYCTL_READ, KEY_SPEC_THREAD_KEYRING, ids, sizeof(ids));
	keyring_drop(&hold);
	after = syscall(SYS_keyctl, KEYCTL_READ, KEY_SPEC_THREAD_KEYRING, ids, sizeof(ids));
	printf("during %ld after %ld\n", during, after);
	return 0;
}

/* DESCRIPTION HEXKEY: a key for a call, which lasts until drop */
static int do_put(struct probe *p)
{
	struct secret *key;
	int r;

	r = secret_new(strlen(p->args[1]) / 2, &key, &p->e);
	if (r)
		return r;
	r = text_unhex(p->args[1], key->data, key->cap, &key->len)
		    ?: keyring_put(p->args[0], key, &p->held, &p->e);
	secret_free(key);
	return r;
}

static int do_drop(struct probe *p)
{
	keyring_drop(&p->held);
	return 0;
}

/* The serials of what this process may list and an attacker would like to: in decimal. */
static int do_serials(struct probe *p)
{
	FILE *f = fopen("/proc/keys", "re");
	char line[1024];
	unsigned int serial;

	while (f && fgets(line, sizeof(line), f))
		if ((strstr(line, "cryptvol:") || strstr(line, "cryptsetup:") ||
		     strstr(line, "_pid")) &&
		    sscanf(line, "%x", &serial) == 1)
			printf("%d\n", (int)serial);
	if (f)
		fclose(f);
	return f ? 0 : err_set(&p->e, -ENOENT, "no /proc/keys");
}

static bool lives(void *arg, const char *dm_name, const char *dm_uuid)
{
	struct dm_mapping m;
	int r = dm_query_info(arg, dm_name, &m, NULL);

	return r ? r != -ENODEV : !strcmp(m.uuid, dm_uuid);
}

/* How many kept keys lost their mapping. */
static int do_reap(struct probe *p)
{
	int n = keyring_reap_kept(lives, p->c, &p->e);

	if (n >= 0)
		printf("%d\n", n);
	return n < 0 ? n : 0;
}

/* How many rings an earlier version left in the user keyring. */
static int do_clear_user(struct probe *p)
{
	int n = keyring_clear_user(&p->e);

	if (n >= 0)
		printf("%d\n", n);
	return n < 0 ? n : 0;
}

static int do_nothing(struct probe *p)
{
	(void)p;
	return 0;
}

/* MILLISECONDS: until a mapping changed */
static int do_watch(struct probe *p)
{
	uint32_t ms;

	return text_parse_u32(p->args[0], &ms) ?: dm_wait_change(p->c, -1, (int)ms, &p->e);
}

static const struct {
	const char *name;
	int min_args;
	int (*run)(struct probe *p);
} verbs[] = {
	{ "version", 1, do_version },
	{ "supports", 0, do_supports },
	{ "create", 3, do_create },
	{ "load", 2, do_load },
	{ "reload", 2, do_reload },
	{ "clear", 1, do_clear },
	{ "suspend", 1, do_suspend },
	{ "resume", 1, do_resume },
	{ "rename", 2, do_rename },
	{ "remove", 1, do_remove },
	{ "defer", 1, do_defer },
	{ "cancel", 1, do_cancel },
	{ "info", 1, do_info },
	{ "table", 1, do_table },
	{ "status", 1, do_status },
	{ "deps", 1, do_deps },
	{ "wait", 2, do_wait },
	{ "list", 0, do_list },
	{ "instance", 1, do_instance },
	{ "put-create", 5, do_put_create },
	{ "keep-create", 5, do_keep_create },
	{ "grow", 2, do_grow },
	{ "find", 2, do_find },
	{ "kept", 2, do_kept },
	{ "revoke", 1, do_revoke },
	{ "residue", 2, do_residue },
	{ "put", 2, do_put },
	{ "drop", 0, do_drop },
	{ "serials", 0, do_serials },
	{ "reap", 0, do_reap },
	{ "clear-user", 0, do_clear_user },
	{ "watch", 1, do_watch },
	{ "nothing", 0, do_nothing },
};

static int run_verb(struct probe *p, const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
		if (!strcmp(verbs[i].name, name) && p->n_args >= verbs[i].min_args)
			return verbs[i].run(p);
	return err_set(&p->e, -EINVAL, "no verb %s, or too few arguments", name);
}

static void free_keys(struct probe *p)
{
	for (int i = 0; i < TARGETS_MAX; i++) {
		secret_free(p->keys[i]);
		p->keys[i] = NULL;
	}
}

/* Verbs from the input, till its end. */
static int run_all(struct probe *p)
{
	static char line[65536];
	int r = keyring_process_init(&p->e);

	while (!r && fgets(line, sizeof(line), stdin)) {
		char *words[32], *save = NULL;
		int n = 0, one;

		for (char *w = strtok_r(line, "\t\n", &save); w && n < 32;
		     w = strtok_r(NULL, "\t\n", &save))
			words[n++] = w;
		if (!n)
			continue;
		p->args = words + 1;
		p->n_args = n - 1;
		err_clear(&p->e);
		one = run_verb(p, words[0]);
		free_keys(p);
		if (one)
			printf("= %s: %s\n", strerrorname_np(-one) ?: "?", err_text(&p->e));
		else
			printf("= 0\n");
		fflush(stdout);
	}
	return r;
}

int main(int argc, char **argv)
{
	struct probe p = { .udev = DM_UDEV_AUTO };
	uint32_t wait_ms = 0;
	int r, o;

	while ((o = getopt(argc, argv, "+nprvw:")) != -1) {
		if (o == 'n')
			p.udev = DM_UDEV_NO_COOKIE;
		else if (o == 'p')
			p.flags |= DM_DEVICE_PRIVATE;
		else if (o == 'r')
			p.readonly = true;
		else if (o == 'v')
			log_set_debug(print_debug);
		else if (o != 'w' || text_parse_u32(optarg, &wait_ms))
			return 2;
	}
	if (optind == argc)
		return 2;
	p.args = argv + optind + 1;
	p.n_args = argc - optind - 1;
	r = dm_control_open(&p.c, &p.e);
	if (!r && wait_ms)
		dm_control_set_wait(p.c, wait_ms);
	if (!r)
		r = strcmp(argv[optind], "-") ? run_verb(&p, argv[optind]) : run_all(&p);
	free_keys(&p);
	dm_control_close(p.c);
	if (r)
		fprintf(stderr, "%s: %s\n", strerrorname_np(-r) ?: "?", err_text(&p.e));
	return r ? 1 : 0;
}
