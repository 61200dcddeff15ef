// SPDX-License-Identifier: Apache-2.0
// The threads that serve calls: a queue and workers of its own for each kind of call, so that calls
// of one kind, however long they take, never hold up another kind.
#pragma once

#include "csi.h"

/** A job lies in its caller's memory until it has run or was taken back. */
struct csi_job {
	void (*run)(struct csi_job *job); /* calls csi_pool_done before the job may go */
	struct csi_job *next, *prev;
	double begun; /* base_now; 0 = it waits */
	enum csi_lane lane;
};

struct csi_pool_config {
	unsigned int workers;	  /* of each queue */
	unsigned int workers_max; /* of each queue, those that are stuck included */
	double stuck_seconds; /* a job that takes longer no longer counts as one of the workers */
};
struct csi_pool;
/**
 * csi_pool_new - each queue has one thread from the start. More are started as jobs wait, until
 * @workers of them are busy; one whose job takes longer than @stuck_seconds (on a device that
 * hangs, say) counts no more, and another takes its place, up to @workers_max.
 */
int csi_pool_new(const struct csi_pool_config *c, struct csi_pool **ret, struct err *e);
/** csi_pool_free - once all jobs have ended. NULL is fine. */
void csi_pool_free(struct csi_pool *p);
/** csi_pool_add - run it on a thread of its lane, in the order in which jobs came. */
void csi_pool_add(struct csi_pool *p, struct csi_job *job, enum csi_lane lane);
void csi_pool_done(struct csi_pool *p, struct csi_job *job);
/** csi_pool_take_back - true: it waited, and will not run. */
bool csi_pool_take_back(struct csi_pool *p, struct csi_job *job);

struct csi_lane_stats {
	unsigned int queued, busy, stuck, threads; /* busy: without those that are stuck */
	uint64_t taken_back;
};
void csi_pool_stats(struct csi_pool *p, enum csi_lane lane, struct csi_lane_stats *ret);
