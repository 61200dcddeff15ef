// SPDX-License-Identifier: Apache-2.0
// What the backend has and what is wrong with it: as metrics, and in the log at start.
#include "metrics.h"

#include <cryptvol/backend.h>
#include <stddef.h>

#include "trouble.h"
#include "watch.h"

#define SPACE_AGE_SECONDS 10

static const char *const state_names[BACKEND_STATES] = {
	[BACKEND_STATE_CREATING] = "creating",	   [BACKEND_STATE_NONE] = "none",
	[BACKEND_STATE_FORMATTING] = "formatting", [BACKEND_STATE_FORMATTED] = "formatted",
	[BACKEND_STATE_DELETING] = "deleting",
};
static const char *const use_names[] = {
	[BACKEND_USE_NODE] = "attached",
	[BACKEND_USE_STAGED] = "staged",
	[BACKEND_USE_TARGET] = "published",
};
static const char *const snapshot_names[] = { [BACKEND_SNAP] = "snap", [BACKEND_BACKUP] = "bak" };

static const struct {
	const char *kind;  /* label of the metric */
	const char *field; /* in the log: what the finding is told by */
	const char *sentence;
	bool orphan;
} findings[BACKEND_FINDINGS] = {
	[BACKEND_ORPHAN_IMAGE] = { "image", "path", "a file without a record; left alone", true },
	[BACKEND_ORPHAN_SNAPSHOT_IMAGE] = { "snapshot_image", "path",
					    "a file without a record; left alone", true },
	[BACKEND_ORPHAN_HEADER] = { "header", "path",
				    "a header backup, with key slots, of no volume; left alone",
				    true },
	[BACKEND_ORPHAN_TMP] = { "tmp", "path", "not the driver's; left alone", true },
	[BACKEND_ORPHAN_RECORD] = { "record", "volume", "the image of this volume is gone", true },
	[BACKEND_ORPHAN_SNAPSHOT_RECORD] = { "snapshot_record", "snapshot",
					     "the image of this snapshot is gone", true },
	[BACKEND_UNFINISHED_CREATION] = { "creation", "volume",
					  "not wholly made; its CreateVolume goes on", false },
	[BACKEND_UNFINISHED_FORMAT] = { "format", "volume",
					"not wholly formatted; its next stage goes on", false },
	[BACKEND_UNFINISHED_GROWTH] = { "growth", "volume",
					"not wholly grown; its next stage or expansion goes on",
					false },
	[BACKEND_UNFINISHED_SNAPSHOT] = { "snapshot", "snapshot",
					  "not wholly cut; its CreateSnapshot goes on", false },
	[BACKEND_UNFINISHED_DELETION] = { "deletion", "volume",
					  "not wholly deleted; its DeleteVolume goes on", false },
};

/* ---- at start ---- */

static void log_finding(void *arg, enum backend_finding kind, const char *what)
{
	(void)arg;
	csi_log(findings[kind].orphan ? CSI_LOG_WARNING : CSI_LOG_INFO,
		findings[kind].orphan ? "orphan" : "unfinished",
		(struct csi_log_field[]){ { "kind", findings[kind].kind },
					  { findings[kind].field, what },
					  { "message", findings[kind].sentence },
					  { NULL, NULL } });
}

void csi_log_findings(struct csi_driver *d)
{
	struct err e = { 0 };

	if (backend_survey(d->backend, log_finding, NULL, &e))
		csi_logf(CSI_LOG_WARNING, "orphan", "the state directory can't be examined: %s",
			 err_text(&e));
}

/* ---- metrics ---- */

static void count_finding(void *arg, enum backend_finding kind, const char *what)
{
	uint64_t *n = arg;

	(void)what;
	n[kind]++;
}

static void print_head(FILE *f, const char *metric, const char *help)
{
	fprintf(f, "# HELP %s %s\n# TYPE %s gauge\n", metric, help, metric);
}

static void print_values(FILE *f, const char *metric, const char *label, const char *const *names,
			 const uint64_t *values, size_t n)
{
	for (size_t i = 0; i < n; i++)
		fprintf(f, "%s{%s=\"%s\"} %llu\n", metric, label, names[i],
			(unsigned long long)values[i]);
}

static void print_findings(FILE *f, const uint64_t *n, bool orphans, const char *metric)
{
	for (size_t i = 0; i < BACKEND_FINDINGS; i++)
		if (findings[i].orphan == orphans)
			fprintf(f, "%s{kind=\"%s\"} %llu\n", metric, findings[i].kind,
				(unsigned long long)n[i]);
}

/* Are the records readable? Asked at each scrape, so a disk that came back is noticed. */
static bool print_store(FILE *f, struct csi_driver *d)
{
	bool up;

	csi_try_store(d);
	up = !backend_check(d->backend, NULL);
	print_head(f, "cryptvol_state_up",
		   "Is the state directory open (1), or its disk absent, another one or failing?");
	fprintf(f, "cryptvol_state_up %d\n", up);
	return up;
}

static void print_one(FILE *f, const char *metric, const char *help, uint64_t value)
{
	print_head(f, metric, help);
	fprintf(f, "%s %llu\n", metric, (unsigned long long)value);
}

static void print_space(FILE *f, struct csi_driver *d)
{
	struct backend_space s;
	char why[512];

	print_one(f, "cryptvol_disk_state",
		  "The state directory's disk: 0 fine, 1 low, 2 full, 3 failing.",
		  csi_disk_state(d, why, sizeof(why)));
	if (csi_watch_space(d, SPACE_AGE_SECONDS, &s, NULL))
		return;
	print_one(f, "cryptvol_disk_bytes", "Size of the state directory's file system.",
		  s.total_bytes);
	print_one(f, "cryptvol_disk_free_bytes", "Free there.", s.free_bytes);
	print_one(f, "cryptvol_disk_reserve_bytes", "Free, and never promised to volumes.",
		  s.reserve_bytes);
	print_one(f, "cryptvol_disk_promised_bytes", "Sizes of all volumes, headers included.",
		  s.promised_bytes);
	print_one(f, "cryptvol_disk_owed_bytes",
		  "What volumes may still write into holes and shared blocks.", s.owed_bytes);
	print_one(f, "cryptvol_disk_available_bytes",
		  "What a new volume may have, header included.", s.available_bytes);
}

struct volume_line {
	const char *metric, *help;
	size_t at; /* in struct backend_usage */
};

static void print_volumes(FILE *f, struct csi_driver *d)
{
	static const struct volume_line lines[] = {
		{ "cryptvol_volume_size_bytes", "Size of a volume.",
		  offsetof(struct backend_usage, size_bytes) },
		{ "cryptvol_volume_allocated_bytes", "Blocks of its image, shared ones too.",
		  offsetof(struct backend_usage, allocated_bytes) },
		{ "cryptvol_volume_shared_bytes", "Of these, what snapshots and clones share.",
		  offsetof(struct backend_usage, shared_bytes) },
		{ "cryptvol_volume_owed_bytes", "What it may still need new blocks for.",
		  offsetof(struct backend_usage, owed_bytes) },
	};
	struct backend_volume *list = NULL;
	struct backend_usage *usage;
	struct csi_troubles t;
	size_t n = 0;
	bool more;

	if (backend_list(d->backend, "", 0, &list, &n, &more, NULL))
		return;
	usage = calloc(n + 1, sizeof(*usage));
	for (size_t i = 0; usage && i < n; i++)
		(void)!backend_read_usage(d->backend, list[i].id, &usage[i], NULL);
	for (size_t l = 0; usage && l < ARRAY_SIZE(lines); l++) {
		print_head(f, lines[l].metric, lines[l].help);
		for (size_t i = 0; i < n; i++)
			if (usage[i].size_bytes)
				fprintf(f, "%s{volume=\"%s\"} %llu\n", lines[l].metric, list[i].id,
					(unsigned long long)*(
						const uint64_t *)((const char *)&usage[i] +
								  lines[l].at));
	}
	print_head(f, "cryptvol_volume_abnormal", "What is wrong with a volume, by reason.");
	for (size_t i = 0; i < n; i++) {
		t.n = 0;
		(void)!csi_find_troubles(d, list[i].id, &t, NULL);
		for (size_t k = 0; k < t.n; k++)
			fprintf(f, "cryptvol_volume_abnormal{volume=\"%s\",reason=\"%s\"} 1\n",
				list[i].id, t.list[k].reason);
		backend_volume_clear(&list[i]);
	}
	free(usage);
	free(list);
}

/* Families whose numbers can't be read are left out: a gap in a graph, not a zero. */
void csi_metrics_print_state(FILE *f, struct csi_driver *d)
{
	uint64_t found[BACKEND_FINDINGS] = { 0 };
	struct backend_counts c;
	struct err e = { 0 };

	if (!print_store(f, d))
		return;
	if (backend_count(d->backend, &c, &e) ||
	    backend_survey(d->backend, count_finding, found, &e)) {
		csi_logf(CSI_LOG_WARNING, "metrics", "%s", err_text(&e));
		return;
	}
	print_head(f, "cryptvol_volumes", "Volumes by what may still be done to their bytes.");
	print_values(f, "cryptvol_volumes", "state", state_names, c.volumes, BACKEND_STATES);
	print_head(f, "cryptvol_volumes_in_use", "Volumes that are attached, staged, published.");
	print_values(f, "cryptvol_volumes_in_use", "use", use_names, c.uses, ARRAY_SIZE(use_names));
	print_head(f, "cryptvol_snapshots", "Finished snapshots by type.");
	print_values(f, "cryptvol_snapshots", "type", snapshot_names, c.snapshots,
		     ARRAY_SIZE(snapshot_names));
	print_head(f, "cryptvol_orphans",
		   "Files without a record, records without their image; never deleted.");
	print_findings(f, found, true, "cryptvol_orphans");
	print_space(f, d);
	print_volumes(f, d);
	print_head(f, "cryptvol_unfinished", "What was begun and is under way, or was cut short.");
	print_findings(f, found, false, "cryptvol_unfinished");
}
