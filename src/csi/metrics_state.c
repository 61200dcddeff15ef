// SPDX-License-Identifier: Apache-2.0
// What the backend has and what is wrong with it: as metrics, and in the log at start.
#include "metrics.h"

#include <cryptvol/backend.h>

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
	print_head(f, "cryptvol_unfinished", "What was begun and is under way, or was cut short.");
	print_findings(f, found, false, "cryptvol_unfinished");
}
