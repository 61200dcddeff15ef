// SPDX-License-Identifier: Apache-2.0
// backup: a volume's ciphertext into a store of blocks; init, list, verify, delete.
#include "cli.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include <cryptvol/backup.h>

#define TIME_TEXT_BYTES 24

static int want_arguments(struct cli *c, unsigned int n, const char *which)
{
	if (c->n_args == n)
		return 0;
	return err_set(&c->err, -EINVAL, "%s: requires %s as arguments", c->verb->name, which);
}

/* For people, or as a backup's name. */
static void utc_text(int64_t seconds, bool as_name, char ret[TIME_TEXT_BYTES])
{
	time_t t = (time_t)seconds;
	size_t n = 0;
	struct tm tm;

	if (gmtime_r(&t, &tm))
		n = as_name ? strftime(ret, TIME_TEXT_BYTES, "%Y%m%dt%H%M%Sz", &tm)
			    : strftime(ret, TIME_TEXT_BYTES, "%Y-%m-%dT%H:%M:%SZ", &tm);
	if (!n)
		text_copy(ret, TIME_TEXT_BYTES, "0");
}

/* ---- write ---- */

struct plan {
	struct backup_source source;
	char volume[BACKUP_NAME_MAX], name[BACKUP_NAME_MAX], uuid[LUKS_UUID_BYTES];
};

/* LUKS1 has nothing to be told by but its UUID. */
static void fill_pin(const struct luks_header *h, struct backup_pin *p)
{
	const struct luks_segment *s = luks_default_segment(h);

	if (!s || luks_fingerprint(h, p->digest, NULL))
		return;
	text_copy(p->cipher, sizeof(p->cipher), s->encryption);
	p->data_offset_bytes = luks_data_offset(h);
	p->sector_size_bytes = s->sector_size_bytes;
	(void)!luks_pin(h, p->mapping, NULL); /* a volume that can't be mapped may be backed up, too */
}

/* What the header says, where there is one. */
static int read_header(struct cli *c, struct plan *p)
{
	struct volume_where w = { .device = c->arg[0] };
	_cleanup_luks_ struct luks_header *h = NULL;
	int r;

	r = volume_load_header(&c->env, &w, true, &h, &c->err);
	if (r == -EMEDIUMTYPE) {
		err_clear(&c->err);
		cli_warn("%s has no LUKS header: whoever reads the backup reads what is on it.",
			 c->arg[0]);
		return 0;
	}
	if (r)
		return cli_device_error(c, r);
	text_copy(p->uuid, sizeof(p->uuid), h->uuid);
	p->source.encrypted = true;
	p->source.header_bytes = luks_data_offset(h);
	fill_pin(h, &p->source.pin);
	return 0;
}

static int choose_volume(struct cli *c, struct plan *p)
{
	if (cli_set(c, OPT_VOLUME)) {
		p->source.volume = cli_text(c, OPT_VOLUME);
		return 0;
	}
	if (!p->uuid[0])
		return err_set(&c->err, -EINVAL,
			       "%s has no UUID to be named by, please use --volume option.",
			       c->arg[0]);
	text_copy(p->volume, sizeof(p->volume), p->uuid);
	for (char *s = p->volume; *s; s++)
		*s = (char)tolower((unsigned char)*s);
	p->source.volume = p->volume;
	return 0;
}

/* A name that was given has to be a new one; the time of day gets a number where it has to. */
static int choose_name(struct cli *c, struct plan *p)
{
	const char *dir = c->arg[1], *given = cli_text(c, OPT_NAME);
	char stamp[TIME_TEXT_BYTES];
	struct backup_info old;
	int r;

	utc_text(p->source.created_seconds, true, stamp);
	p->source.name = given ?: p->name;
	for (unsigned int i = 1;; i++) {
		if (i == 1)
			snprintf(p->name, sizeof(p->name), "%s", stamp);
		else
			snprintf(p->name, sizeof(p->name), "%s-%u", stamp, i);
		r = backup_read(dir, p->source.volume, p->source.name, NULL, &old, &c->err);
		if (r == -ENOENT) {
			err_clear(&c->err);
			return 0;
		}
		if (!r && given)
			return err_set(&c->err, -EEXIST, "Backup %s of volume %s already exists.",
				       given, p->source.volume);
		if (r)
			return r;
	}
}

static int write_backup(struct cli *c, struct plan *p)
{
	struct cli_progress progress = { 0 };
	struct backup_watch watch = { .progress = cli_progress_show, .arg = &progress };
	struct backup_stats stats;
	int r;

	r = backup_write(c->arg[1], &p->source, &watch, &stats, &c->err);
	cli_progress_end(&progress);
	if (r)
		return r;
	printf("Backup %s of volume %s: %" PRIu64 " blocks, %" PRIu64 " of them empty, %" PRIu64
	       " new ones stored (%" PRIu64 " bytes).\n",
	       p->source.name, p->source.volume, stats.blocks, stats.holes, stats.stored_blocks,
	       stats.stored_bytes);
	return 0;
}

static int hold_device(struct cli *c, int *ret_fd)
{
	int r;

	if (cli_set(c, OPT_LIVE))
		return 0;
	r = volume_hold_idle(c->arg[0], ret_fd, &c->err);
	if (r == -EBUSY)
		return err_set(&c->err, r,
			       "Device %s is in use (mapped or mounted): what is written "
			       "meanwhile would be half in the backup. Close it, back up a "
			       "snapshot, or use --live option.",
			       c->arg[0]);
	return r ? cli_device_error(c, r) : 0;
}

static int write_new(struct cli *c)
{
	struct plan p = { .source = { .path = c->arg[0], .fs_type = "" } };
	_cleanup_close_ int held = -1;
	int r;

	r = want_arguments(c, 2, c->verb->arguments);
	r = r ?: hold_device(c, &held);
	if (r)
		return r;
	p.source.created_seconds = (int64_t)time(NULL);
	p.source.uuid = p.uuid;
	r = read_header(c, &p);
	r = r ?: choose_volume(c, &p);
	r = r ?: choose_name(c, &p);
	return r ?: write_backup(c, &p);
}

/* ---- init ---- */

static int init_store(struct cli *c)
{
	char id[BACKUP_STORE_ID_BYTES];
	bool made = false;
	int r;

	r = want_arguments(c, 1, "<directory>");
	r = r ?: backup_init(c->arg[0], id, &made, &c->err);
	if (!r)
		printf("%s %s store %s.\n", c->arg[0], made ? "is now the" : "is already the", id);
	return r;
}

/* ---- list, verify, delete ---- */

static void print_text(const struct backup_info *list, size_t n)
{
	char when[TIME_TEXT_BYTES];

	for (size_t i = 0; i < n; i++) {
		utc_text(list[i].created_seconds, false, when);
		printf("%s %s %s %" PRIu64 " bytes, %" PRIu64 " stored%s\n", list[i].volume,
		       list[i].name, when, list[i].device_bytes, list[i].stored_bytes,
		       list[i].encrypted ? "" : ", not encrypted");
	}
}

static void print_json(const struct backup_info *list, size_t n)
{
	printf("[");
	for (size_t i = 0; i < n; i++) {
		const struct backup_info *b = &list[i];

		printf("%s\n  {\"volume\": ", i ? "," : "");
		cli_json_text(b->volume);
		printf(", \"name\": ");
		cli_json_text(b->name);
		printf(", \"uuid\": ");
		cli_json_text(b->uuid);
		printf(", \"fs_type\": ");
		cli_json_text(b->fs_type);
		printf(", \"encrypted\": %s, \"created_seconds\": %" PRId64
		       ", \"device_bytes\": %" PRIu64 ", \"size_bytes\": %" PRIu64
		       ", \"header_bytes\": %" PRIu64 ", \"stored_bytes\": %" PRIu64 "}",
		       b->encrypted ? "true" : "false", b->created_seconds, b->device_bytes,
		       b->size_bytes, b->header_bytes, b->stored_bytes);
	}
	printf("%s]\n", n ? "\n" : "");
}

static void warn_bad(void *arg, const char *why)
{
	size_t *bad = arg;

	++*bad;
	cli_warn("%s", why);
}

static int list_all(struct cli *c)
{
	_cleanup_free_ struct backup_info *list = NULL;
	size_t n = 0, bad = 0;
	int r;

	r = want_arguments(c, 1, "<directory>");
	r = r
		    ?: backup_list(c->arg[0], cli_text(c, OPT_VOLUME), warn_bad, &bad, &list, &n,
				   &c->err);
	if (r)
		return r;
	if (cli_set(c, OPT_JSON))
		print_json(list, n);
	else
		print_text(list, n);
	return bad ? err_set(&c->err, -EBADMSG, "%zu of the manifests can't be read.", bad) : 0;
}

static int verify_one(struct cli *c)
{
	struct cli_progress progress = { 0 };
	struct backup_watch watch = { .progress = cli_progress_show, .arg = &progress };
	int r;

	r = want_arguments(c, 3, "<directory> <volume> <name>");
	if (r)
		return r;
	r = backup_verify(c->arg[0], c->arg[1], c->arg[2], &watch, &c->err);
	cli_progress_end(&progress);
	if (!r)
		cli_verbose(c, "Backup %s of volume %s is whole.", c->arg[2], c->arg[1]);
	return r;
}

static int delete_one(struct cli *c)
{
	struct err left = { 0 };
	int r;

	r = want_arguments(c, 3, "<directory> <volume> <name>");
	if (!r)
		r = cli_confirm(c, "Backup %s of volume %s will be removed for good.", c->arg[2],
				c->arg[1]);
	r = r ?: backup_delete(c->arg[0], c->arg[1], c->arg[2], &left, &c->err);
	if (!r && left.code)
		cli_warn("The backup is gone, its blocks are left to the next deletion: %s",
			 err_text(&left));
	return r;
}

int cmd_backup(struct cli *c)
{
	if (cli_set(c, OPT_INIT))
		return init_store(c);
	if (cli_set(c, OPT_LIST))
		return list_all(c);
	if (cli_set(c, OPT_VERIFY))
		return verify_one(c);
	if (cli_set(c, OPT_DELETE))
		return delete_one(c);
	return write_new(c);
}
