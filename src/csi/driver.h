// SPDX-License-Identifier: Apache-2.0
// The driver itself: what every handler sees.
#pragma once

#include <cryptvol/volume.h>

#include "config.h"
#include "csi.h"
#include "locks.h"

struct backend;
struct csi_metrics;
struct csi_metrics_server;
struct csi_reaper;
struct csi_watch;

struct csi_driver {
	struct csi_config config;
	struct volume_env env;
	struct backend
		*backend; /* NULL in no mode: the controller keeps the records, the node attaches */
	struct csi_locks *locks;
	struct csi_pool *pool;
	struct csi_metrics *metrics;
	struct csi_watch *watch;		   /* NULL before it is started */
	struct csi_metrics_server *metrics_server; /* NULL = not asked for */
	struct csi_reaper *reaper;		   /* NULL = nothing is kept */
};

/** csi_methods - the methods that a mode serves, as a malloc'ed table. */
int csi_methods(enum csi_mode mode, struct csi_method **ret, size_t *ret_n, struct err *e);

/* The tables of the services, one file a group of them. */
struct csi_method_list {
	const struct csi_method *methods;
	size_t n;
};
extern const struct csi_method_list csi_identity_methods, csi_controller_methods, csi_group_methods,
	csi_node_methods, csi_node_capability_methods;

/** csi_reaper_start - a thread that revokes what the driver keeps for mappings that others closed.
 */
int csi_reaper_start(struct csi_reaper **ret, struct err *e);
/** csi_reaper_stop - end it; NULL is fine. */
void csi_reaper_stop(struct csi_reaper *r);

/* ---- metrics: counters in Prometheus' text form, served on a thread of their own ---- */
struct csi_metrics *csi_metrics_new(struct err *e);
void csi_metrics_free(struct csi_metrics *m);
/** csi_metrics_call - count an answered call. */
void csi_metrics_call(struct csi_metrics *m, const char *path, enum csi_code code, double seconds);
/** csi_metrics_serve - listen on "address:port" and answer GET /metrics and /healthz. -EINVAL names
 * the option. */
int csi_metrics_serve(const char *address, struct csi_driver *d, struct csi_metrics_server **ret,
		      struct err *e);
/** csi_metrics_stop - end the server and its thread; NULL is fine. */
void csi_metrics_stop(struct csi_metrics_server *s);
/** csi_metrics_phase - time of one phase: "open" (header and mapping; each "kdf" and the "kernel"'s
 * part of it included), "mount" (its "mkfs" included), "unstage" (the "kernel"'s part included). */
void csi_metrics_phase(struct csi_metrics *m, const char *phase, double seconds);
/** csi_metrics_text - everything, malloc'ed. */
char *csi_metrics_text(struct csi_metrics *m, struct csi_driver *d);
/** csi_log_findings - at start: tell of orphans (warning) and of what was cut short. */
void csi_log_findings(struct csi_driver *d);

/* ---- live.c ---- */
/** csi_take_up - once the records can be read: tell of what is wrong with them, and resume what an
 * earlier driver left suspended. */
void csi_take_up(struct csi_driver *d);
/** csi_try_store - where the state directory couldn't be opened, try again. */
void csi_try_store(struct csi_driver *d);
