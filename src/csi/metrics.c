// SPDX-License-Identifier: Apache-2.0
// Prometheus metrics in its text form: calls by method and code with latencies, phases of a stage,
// the KDF queue and its memory, volumes by state.
#include "metrics.h"
#include "pool.h"

#include <pthread.h>
#include <stdio.h>

#define SERIES_MAX 512
#define LABEL_MAX 64

/* Upper bounds of the histogram in seconds; the last bucket is +Inf. */
static const double bounds[] = { 0.005, 0.02, 0.1, 0.5, 2, 10, 60 };
#define BUCKETS (ARRAY_SIZE(bounds) + 1)

struct series {
	char family[16]; /* "call" or "phase" */
	char name[LABEL_MAX], code[24];
	uint64_t count, buckets[BUCKETS];
	double sum;
};

struct csi_metrics {
	pthread_mutex_t lock;
	struct series series[SERIES_MAX];
	size_t n;
};

struct csi_metrics *csi_metrics_new(struct err *e)
{
	struct csi_metrics *m = calloc(1, sizeof(*m));

	if (!m) {
		err_set(e, -ENOMEM, "no memory for metrics");
		return NULL;
	}
	pthread_mutex_init(&m->lock, NULL);
	return m;
}

void csi_metrics_free(struct csi_metrics *m)
{
	if (!m)
		return;
	pthread_mutex_destroy(&m->lock);
	free(m);
}

static struct series *find(struct csi_metrics *m, const char *family, const char *name,
			   const char *code)
{
	struct series *s;

	for (size_t i = 0; i < m->n; i++) {
		s = &m->series[i];
		if (!strcmp(s->family, family) && !strcmp(s->name, name) && !strcmp(s->code, code))
			return s;
	}
	if (m->n == SERIES_MAX)
		return NULL;
	s = &m->series[m->n];
	if (text_copy(s->family, sizeof(s->family), family) ||
	    text_copy(s->name, sizeof(s->name), name) || text_copy(s->code, sizeof(s->code), code))
		return NULL;
	m->n++;
	return s;
}

static void observe(struct csi_metrics *m, const char *family, const char *name, const char *code,
		    double seconds)
{
	struct series *s;
	size_t b = 0;

	pthread_mutex_lock(&m->lock);
	s = find(m, family, name, code);
	if (s) {
		while (b < ARRAY_SIZE(bounds) && seconds > bounds[b])
			b++;
		s->buckets[b]++;
		s->count++;
		s->sum += seconds;
	}
	pthread_mutex_unlock(&m->lock);
}

void csi_metrics_call(struct csi_metrics *m, const char *path, enum csi_code code, double seconds)
{
	const char *name = strrchr(path, '/');

	observe(m, "call", name ? name + 1 : path, csi_code_name(code), seconds);
}

void csi_metrics_phase(struct csi_metrics *m, const char *phase, double seconds)
{
	observe(m, "phase", phase, "", seconds);
}

/* ---- text ---- */

static void print_histogram(FILE *f, const struct series *s, const char *metric, const char *labels)
{
	uint64_t sum = 0;

	for (size_t b = 0; b < BUCKETS; b++) {
		sum += s->buckets[b];
		if (b < ARRAY_SIZE(bounds))
			fprintf(f, "%s_bucket{%s,le=\"%g\"} %llu\n", metric, labels, bounds[b],
				(unsigned long long)sum);
		else
			fprintf(f, "%s_bucket{%s,le=\"+Inf\"} %llu\n", metric, labels,
				(unsigned long long)sum);
	}
	fprintf(f, "%s_sum{%s} %.6f\n%s_count{%s} %llu\n", metric, labels, s->sum, metric, labels,
		(unsigned long long)s->count);
}

static void print_family(FILE *f, const struct csi_metrics *m, const char *family,
			 const char *metric, const char *help)
{
	char labels[160];

	fprintf(f, "# HELP %s %s\n# TYPE %s histogram\n", metric, help, metric);
	for (size_t i = 0; i < m->n; i++) {
		const struct series *s = &m->series[i];

		if (strcmp(s->family, family))
			continue;
		if (s->code[0])
			snprintf(labels, sizeof(labels), "method=\"%s\",code=\"%s\"", s->name,
				 s->code);
		else
			snprintf(labels, sizeof(labels), "phase=\"%s\"", s->name);
		print_histogram(f, s, metric, labels);
	}
}

static void print_gauge(FILE *f, const char *metric, const char *help, uint64_t value)
{
	fprintf(f, "# HELP %s %s\n# TYPE %s gauge\n%s %llu\n", metric, help, metric, metric,
		(unsigned long long)value);
}

static void print_kdf(FILE *f, struct csi_driver *d)
{
	struct crypto_kdf_stats st;

	if (!d->env.kdf)
		return;
	crypto_kdf_get_stats(d->env.kdf, &st);
	print_gauge(f, "cryptvol_kdf_budget_bytes", "Memory that key derivations may use together.",
		    st.budget_bytes);
	print_gauge(f, "cryptvol_kdf_in_use_bytes", "Memory that key derivations use now.",
		    st.in_use_bytes);
	print_gauge(f, "cryptvol_kdf_peak_bytes", "The most that they used at once.",
		    st.peak_bytes);
	print_gauge(f, "cryptvol_kdf_waiting", "Derivations that wait for memory.", st.waiting);
	fprintf(f,
		"# HELP cryptvol_kdf_derivations_total Derivations done.\n# TYPE "
		"cryptvol_kdf_derivations_total counter\n"
		"cryptvol_kdf_derivations_total %llu\n",
		(unsigned long long)st.derivations);
}

static void print_lanes(FILE *f, struct csi_pool *pool)
{
	struct csi_lane_stats st[CSI_LANES];
	unsigned int i;

	for (i = 0; i < CSI_LANES; i++)
		csi_pool_stats(pool, (enum csi_lane)i, &st[i]);
	fprintf(f, "# HELP cryptvol_csi_queued Calls that wait for a worker, by queue.\n"
		   "# TYPE cryptvol_csi_queued gauge\n");
	for (i = 0; i < CSI_LANES; i++)
		if (i != CSI_LANE_FAST)
			fprintf(f, "cryptvol_csi_queued{queue=\"%s\"} %u\n",
				csi_lane_name((enum csi_lane)i), st[i].queued);
	fprintf(f, "# HELP cryptvol_csi_workers Workers by queue: busy, or stuck in a call for too "
		   "long.\n"
		   "# TYPE cryptvol_csi_workers gauge\n");
	for (i = 0; i < CSI_LANES; i++)
		if (i != CSI_LANE_FAST)
			fprintf(f,
				"cryptvol_csi_workers{queue=\"%1$s\",state=\"busy\"} %2$u\n"
				"cryptvol_csi_workers{queue=\"%1$s\",state=\"stuck\"} %3$u\n",
				csi_lane_name((enum csi_lane)i), st[i].busy, st[i].stuck);
	fprintf(f, "# HELP cryptvol_csi_given_up_total Calls whose client left before they were "
		   "begun.\n"
		   "# TYPE cryptvol_csi_given_up_total counter\n");
	for (i = 0; i < CSI_LANES; i++)
		if (i != CSI_LANE_FAST)
			fprintf(f, "cryptvol_csi_given_up_total{queue=\"%s\"} %llu\n",
				csi_lane_name((enum csi_lane)i),
				(unsigned long long)st[i].taken_back);
}

char *csi_metrics_text(struct csi_metrics *m, struct csi_driver *d)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		return NULL;
	fprintf(f,
		"# HELP cryptvol_build_info The driver that answers.\n# TYPE cryptvol_build_info "
		"gauge\n"
		"cryptvol_build_info{version=\"%s\",driver=\"%s\",node=\"%s\"} 1\n",
		CRYPTVOL_VERSION, d->config.driver_name, d->config.node_id);
	pthread_mutex_lock(&m->lock);
	print_family(f, m, "call", "cryptvol_csi_call_seconds",
		     "Answered calls by method and code, with their time.");
	print_family(f, m, "phase", "cryptvol_phase_seconds",
		     "Phases of staging and unstaging a volume, with their time.");
	pthread_mutex_unlock(&m->lock);
	print_kdf(f, d);
	if (d->pool)
		print_lanes(f, d->pool);
	csi_metrics_print_state(f, d);
	if (fclose(f)) {
		free(text);
		return NULL;
	}
	return text;
}
