// SPDX-License-Identifier: Apache-2.0
// What there is: records by their state, and what doesn't belong together. Nothing is changed here.
#include "internal.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#define SUFFIX_CHARS 4 /* ".img", ".hdr", ".new" */
#define NAME_CHARS_MAX 255

struct survey {
	struct backend *b;
	backend_report *report;
	void *arg;
};

/* ---- files without a record ---- */

static bool has_suffix(const char *file, const char *suffix)
{
	size_t n = strlen(file), k = strlen(suffix);

	return n > k && !strcmp(file + n - k, suffix);
}

/* "<id>.img", "<id>.<number>.hdr": the id, or "" for a name that none of ours has. */
static void id_of(const char *file, bool header, char ret[NAME_CHARS_MAX + 1])
{
	char *dot;

	ret[0] = '\0';
	if (!has_suffix(file, header ? ".hdr" : ".img"))
		return;
	snprintf(ret, NAME_CHARS_MAX + 1, "%s", file);
	ret[strlen(ret) - SUFFIX_CHARS] = '\0';
	dot = header ? strrchr(ret, '.') : NULL;
	if (dot)
		*dot = '\0';
}

/* 1: there is a row, 0: there is none. */
static int row_exists(struct backend *b, const char *table, const char *id, struct err *e)
{
	char sql[64];
	sqlite3_stmt *s;
	int r;

	snprintf(sql, sizeof(sql), "SELECT 1 FROM %s WHERE id=?", table);
	state_lock(b);
	r = state_query(b, &s, e, sql, "t", id);
	if (!r) {
		r = state_step(b, s, e);
		sqlite3_finalize(s);
	}
	state_unlock(b);
	return r;
}

static bool expected_in_tmp(const char *file)
{
	return has_suffix(file, ".lock") || has_suffix(file, ".new") ||
	       !strncmp(file, "reflink-", 8);
}

/* A record is written before its files and removed after them, so a file that is still there when
 * its record isn't has none. */
static int look_at_file(const struct survey *s, int dir, const char *folder, const char *table,
			enum backend_finding kind, const char *file, struct err *e)
{
	char id[NAME_CHARS_MAX + 1], path[sizeof(s->b->dir) + NAME_CHARS_MAX + 16];
	struct stat st;
	int r;

	if (table) {
		id_of(file, kind == BACKEND_ORPHAN_HEADER, id);
		r = row_exists(s->b, table, id, e);
		if (r)
			return r < 0 ? r : 0;
	} else if (expected_in_tmp(file)) {
		return 0;
	}
	if (fstatat(dir, file, &st, AT_SYMLINK_NOFOLLOW))
		return 0;
	snprintf(path, sizeof(path), "%s/%s/%s", s->b->dir, folder, file);
	s->report(s->arg, kind, path);
	return 0;
}

static int look_through(const struct survey *s, const char *folder, const char *table,
			enum backend_finding kind, struct err *e)
{
	char path[sizeof(s->b->dir) + 16];
	struct dirent *d;
	int r = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/%s", s->b->dir, folder);
	dir = opendir(path);
	if (!dir)
		return err_sys(e, -errno, "%s", path);
	while (!r && (d = readdir(dir)))
		if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0)
			r = look_at_file(s, dirfd(dir), folder, table, kind, d->d_name, e);
	closedir(dir);
	return r;
}

/* ---- records ---- */

/* Rows of one column of ids. @snapshot >= 0: only those whose image is missing are told of. The
 * lock is held: no image goes meanwhile without its record saying so. */
static int look_at_rows(const struct survey *s, const char *sql, int snapshot,
			enum backend_finding kind, struct err *e)
{
	uint64_t bytes, allocated;
	sqlite3_stmt *q;
	int r;

	state_lock(s->b);
	r = state_query(s->b, &q, e, sql, "");
	if (!r) {
		while ((r = state_step(s->b, q, e)) == 1)
			if (snapshot < 0 || image_size(s->b, snapshot, state_text(q, 0), &bytes,
						       &allocated, NULL) == -ENOENT)
				s->report(s->arg, kind, state_text(q, 0));
		sqlite3_finalize(q);
	}
	state_unlock(s->b);
	return r;
}

/* Formatting is one thing from the first byte of a header to a whole file system. */
#define IN_FORMAT "(format=1 OR fs_made=1 OR (format=2 AND fs_made=0 AND block=0))"

static const struct {
	enum backend_finding kind;
	int snapshot;
	const char *sql;
} row_findings[] = {
	{ BACKEND_ORPHAN_RECORD, 0, "SELECT id FROM volumes WHERE state=1" },
	{ BACKEND_ORPHAN_SNAPSHOT_RECORD, 1, "SELECT id FROM snapshots WHERE ready=1 AND kind=0" },
	{ BACKEND_UNFINISHED_CREATION, -1, "SELECT id FROM volumes WHERE state=0" },
	{ BACKEND_UNFINISHED_FORMAT, -1, "SELECT id FROM volumes WHERE state=1 AND " IN_FORMAT },
	{ BACKEND_UNFINISHED_GROWTH, -1, "SELECT volume_id FROM growing" },
	{ BACKEND_UNFINISHED_SNAPSHOT, -1, "SELECT id FROM snapshots WHERE ready=0" },
	{ BACKEND_UNFINISHED_DELETION, -1, "SELECT id FROM volumes WHERE state=2" },
};

int backend_survey(struct backend *b, backend_report *report, void *arg, struct err *e)
{
	struct survey s = { b, report, arg };
	int r;

	r = look_through(&s, "volumes", "volumes", BACKEND_ORPHAN_IMAGE, e);
	r = r ?: look_through(&s, "snapshots", "snapshots", BACKEND_ORPHAN_SNAPSHOT_IMAGE, e);
	r = r ?: look_through(&s, "headers", "volumes", BACKEND_ORPHAN_HEADER, e);
	r = r ?: look_through(&s, "tmp", NULL, BACKEND_ORPHAN_TMP, e);
	for (size_t i = 0; !r && i < ARRAY_SIZE(row_findings); i++)
		r = look_at_rows(&s, row_findings[i].sql, row_findings[i].snapshot,
				 row_findings[i].kind, e);
	return r;
}

/* ---- counts ---- */

/* Rows of an index and a count. */
static int count_by(struct backend *b, const char *sql, uint64_t *ret, size_t n, struct err *e)
{
	sqlite3_stmt *s;
	int r;

	state_lock(b);
	r = state_query(b, &s, e, sql, "");
	if (!r) {
		while ((r = state_step(b, s, e)) == 1) {
			int64_t i = sqlite3_column_int64(s, 0);

			if (i >= 0 && (size_t)i < n)
				ret[i] = (uint64_t)sqlite3_column_int64(s, 1);
		}
		sqlite3_finalize(s);
	}
	state_unlock(b);
	return r;
}

int backend_count(struct backend *b, struct backend_counts *ret, struct err *e)
{
	struct backend_counts c = { .snapshots = { 0 } };
	int r;

	/* The order of enum backend_volume_state. */
	r = count_by(b,
		     "SELECT CASE WHEN state=0 THEN 0 WHEN state=2 THEN 4 WHEN " IN_FORMAT
		     " THEN 2 WHEN format=0 AND fs_made=0 THEN 1 ELSE 3 END, COUNT(*) FROM volumes "
		     "GROUP BY 1",
		     c.volumes, ARRAY_SIZE(c.volumes), e);
	r = r
		    ?: count_by(b, "SELECT kind, COUNT(DISTINCT volume_id) FROM uses GROUP BY kind",
				c.uses, ARRAY_SIZE(c.uses), e);
	r = r
		    ?: count_by(b,
				"SELECT kind, COUNT(*) FROM snapshots WHERE ready=1 GROUP BY kind",
				c.snapshots, ARRAY_SIZE(c.snapshots), e);
	if (!r)
		*ret = c;
	return r;
}
