// SPDX-License-Identifier: Apache-2.0
// Worker threads by kind of call. A monitor thread sleeps until the oldest busy job of a queue that
// has others waiting counts as stuck, and starts another worker then.
#include "pool.h"

#include <math.h>
#include <pthread.h>
#include <sys/resource.h>
#include <time.h>

#define WORKER_NICE 10

struct lane {
	struct csi_pool *pool;
	enum csi_lane id;
	struct csi_job *head, *last; /* those that wait */
	struct csi_job *busy;	     /* those that run */
	unsigned int queued, running, threads, idle;
	uint64_t taken_back;
	pthread_cond_t work;
};

struct csi_pool {
	struct csi_pool_config config;
	pthread_mutex_t lock;
	pthread_cond_t tick; /* for the monitor; of CLOCK_MONOTONIC, as base_now */
	pthread_cond_t gone; /* a thread has ended */
	struct lane lanes[CSI_LANES];
	unsigned int threads; /* of all lanes */
	pthread_t monitor;    /* ends after all workers, and is joined */
	bool monitored;
	bool stop;
};

const char *csi_lane_name(enum csi_lane lane)
{
	static const char *const names[CSI_LANES] = {
		[CSI_LANE_CONTROLLER] = "controller",
		[CSI_LANE_FAST] = "fast",
		[CSI_LANE_UP] = "node_up",
		[CSI_LANE_DOWN] = "node_down",
		[CSI_LANE_STATS] = "stats",
	};

	return names[lane];
}

/* Derivations and copies are all computing: what answers probes and stops volumes goes first. */
static bool lane_is_nice(enum csi_lane lane)
{
	return lane == CSI_LANE_UP || lane == CSI_LANE_CONTROLLER;
}

static unsigned int stuck_jobs(const struct lane *l, double now)
{
	unsigned int n = 0;

	for (const struct csi_job *j = l->busy; j; j = j->next)
		n += now - j->begun >= l->pool->config.stuck_seconds;
	return n;
}

/* ---- lists; the caller holds the lock ---- */

static void push_waiting(struct lane *l, struct csi_job *j)
{
	j->next = NULL;
	j->prev = l->last;
	if (l->last)
		l->last->next = j;
	else
		l->head = j;
	l->last = j;
	l->queued++;
}

static void remove_waiting(struct lane *l, struct csi_job *j)
{
	if (j->next)
		j->next->prev = j->prev;
	else
		l->last = j->prev;
	if (j->prev)
		j->prev->next = j->next;
	else
		l->head = j->next;
	l->queued--;
}

static void push_busy(struct lane *l, struct csi_job *j)
{
	j->begun = base_now();
	j->prev = NULL;
	j->next = l->busy;
	if (l->busy)
		l->busy->prev = j;
	l->busy = j;
	l->running++;
}

static void remove_busy(struct lane *l, struct csi_job *j)
{
	if (j->next)
		j->next->prev = j->prev;
	if (j->prev)
		j->prev->next = j->next;
	else
		l->busy = j->next;
	l->running--;
}

/* ---- threads ---- */

/* A worker that counts may begin a job: as many as there may be, the stuck ones apart. */
static bool may_begin(const struct lane *l)
{
	return l->running - stuck_jobs(l, base_now()) < l->pool->config.workers;
}

static void serve_waiting(struct lane *l);

static void *work(void *arg)
{
	struct lane *l = arg;
	struct csi_pool *p = l->pool;

	if (lane_is_nice(l->id))
		(void)!setpriority(PRIO_PROCESS, (id_t)gettid(), WORKER_NICE);
	pthread_mutex_lock(&p->lock);
	while (!p->stop) {
		struct csi_job *j = l->head;

		if (j && may_begin(l)) {
			remove_waiting(l, j);
			push_busy(l, j);
			serve_waiting(l);
			pthread_mutex_unlock(&p->lock);
			j->run(j); /* after that, there is no job any more */
			pthread_mutex_lock(&p->lock);
			continue;
		}
		/* What a hung device held up is over: no more threads than are needed. */
		if (l->threads > p->config.workers)
			break;
		l->idle++;
		pthread_cond_wait(&l->work, &p->lock);
		l->idle--;
	}
	l->threads--;
	p->threads--;
	pthread_cond_broadcast(&p->gone);
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

static int add_worker(struct lane *l)
{
	pthread_attr_t attr;
	pthread_t t;
	int r;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	r = pthread_create(&t, &attr, work, l);
	pthread_attr_destroy(&attr);
	if (r)
		return -r;
	l->pool->threads++;
	l->threads++;
	return 0;
}

/* Somebody for the first that waits: one who has nothing to do, or a new one. Where there is no
 * room for a thread, it waits for those that are there. */
static void serve_waiting(struct lane *l)
{
	if (!l->head || l->pool->stop)
		return;
	if (l->idle)
		pthread_cond_signal(&l->work);
	else if (l->threads < l->pool->config.workers_max && may_begin(l))
		(void)!add_worker(l);
	pthread_cond_signal(&l->pool->tick);
}

/* When the next busy job of a lane with others waiting counts as stuck; HUGE_VAL: none will. */
static double next_stuck(const struct csi_pool *p, double now)
{
	double first = HUGE_VAL;

	for (size_t i = 0; i < CSI_LANES; i++)
		for (const struct csi_job *j = p->lanes[i].head ? p->lanes[i].busy : NULL; j;
		     j = j->next) {
			double at = j->begun + p->config.stuck_seconds;

			if (at > now && at < first)
				first = at;
		}
	return first;
}

static void *monitor(void *arg)
{
	struct csi_pool *p = arg;

	pthread_mutex_lock(&p->lock);
	while (!p->stop) {
		double at = next_stuck(p, base_now());
		struct timespec until = { .tv_sec = 0 };

		if (isinf(at)) {
			pthread_cond_wait(&p->tick, &p->lock);
			continue;
		}
		until.tv_sec = (time_t)at;
		until.tv_nsec = (long)((at - (double)until.tv_sec) * 1e9);
		(void)!pthread_cond_timedwait(&p->tick, &p->lock, &until);
		for (size_t i = 0; i < CSI_LANES; i++)
			serve_waiting(&p->lanes[i]);
	}
	while (p->threads)
		pthread_cond_wait(&p->gone, &p->lock);
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

/* ---- the face ---- */

int csi_pool_new(const struct csi_pool_config *c, struct csi_pool **ret, struct err *e)
{
	struct csi_pool *p = calloc(1, sizeof(*p));
	pthread_condattr_t clock;
	int r;

	if (!p)
		return err_set(e, -ENOMEM, "no memory for workers");
	p->config = *c;
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->gone, NULL);
	pthread_condattr_init(&clock);
	pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
	pthread_cond_init(&p->tick, &clock);
	pthread_condattr_destroy(&clock);
	pthread_mutex_lock(&p->lock);
	r = -pthread_create(&p->monitor, NULL, monitor, p);
	p->monitored = !r;
	for (size_t i = 0; i < CSI_LANES; i++) {
		p->lanes[i].pool = p;
		p->lanes[i].id = (enum csi_lane)i;
		pthread_cond_init(&p->lanes[i].work, NULL);
		if (!r && i != CSI_LANE_FAST)
			r = add_worker(&p->lanes[i]);
	}
	pthread_mutex_unlock(&p->lock);
	if (r) {
		csi_pool_free(p);
		return err_sys(e, r, "no worker thread");
	}
	*ret = p;
	return 0;
}

void csi_pool_free(struct csi_pool *p)
{
	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	p->stop = true;
	pthread_cond_broadcast(&p->tick);
	for (size_t i = 0; i < CSI_LANES; i++)
		pthread_cond_broadcast(&p->lanes[i].work);
	while (p->threads)
		pthread_cond_wait(&p->gone, &p->lock);
	pthread_mutex_unlock(&p->lock);
	if (p->monitored)
		pthread_join(p->monitor, NULL);
	for (size_t i = 0; i < CSI_LANES; i++)
		pthread_cond_destroy(&p->lanes[i].work);
	pthread_cond_destroy(&p->tick);
	pthread_cond_destroy(&p->gone);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

void csi_pool_add(struct csi_pool *p, struct csi_job *job, enum csi_lane lane)
{
	struct lane *l = &p->lanes[lane];

	pthread_mutex_lock(&p->lock);
	job->begun = 0;
	job->lane = lane;
	push_waiting(l, job);
	serve_waiting(l);
	pthread_mutex_unlock(&p->lock);
}

bool csi_pool_take_back(struct csi_pool *p, struct csi_job *job)
{
	struct lane *l = &p->lanes[job->lane];
	bool waits;

	pthread_mutex_lock(&p->lock);
	waits = !job->begun;
	if (waits) {
		remove_waiting(l, job);
		l->taken_back++;
		job->begun = base_now();
	}
	pthread_mutex_unlock(&p->lock);
	return waits;
}

void csi_pool_done(struct csi_pool *p, struct csi_job *job)
{
	struct lane *l = &p->lanes[job->lane];

	pthread_mutex_lock(&p->lock);
	remove_busy(l, job);
	serve_waiting(l);
	pthread_mutex_unlock(&p->lock);
}

void csi_pool_stats(struct csi_pool *p, enum csi_lane lane, struct csi_lane_stats *ret)
{
	const struct lane *l = &p->lanes[lane];

	pthread_mutex_lock(&p->lock);
	ret->queued = l->queued;
	ret->stuck = stuck_jobs(l, base_now());
	ret->busy = l->running - ret->stuck;
	ret->threads = l->threads;
	ret->taken_back = l->taken_back;
	pthread_mutex_unlock(&p->lock);
}
