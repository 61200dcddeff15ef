// SPDX-License-Identifier: Apache-2.0
// The pool of workers: jobs that hang hold up no other queue, and of their own only what
// workers_max allows; what is taken back never runs.
#include "check.h"

#include <csi/pool.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#define WAIT_SECONDS 60 /* for what has to come; nothing here takes long */
#define JOBS 32u

struct test_job {
	struct csi_job job;
	struct csi_pool *pool;
	bool hangs;
	unsigned int number;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static bool open_gate;
static unsigned int begun, ended, order[JOBS];

static void run(struct csi_job *job)
{
	struct test_job *t = (struct test_job *)job;

	pthread_mutex_lock(&lock);
	order[begun++] = t->number;
	pthread_cond_broadcast(&changed);
	while (t->hangs && !open_gate)
		pthread_cond_wait(&changed, &lock);
	pthread_mutex_unlock(&lock);
	csi_pool_done(t->pool, job);
	pthread_mutex_lock(&lock);
	ended++;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
}

static bool wait_until(const unsigned int *count, unsigned int n)
{
	struct timespec until;
	int r = 0;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += WAIT_SECONDS;
	pthread_mutex_lock(&lock);
	while (*count < n && !r)
		r = pthread_cond_timedwait(&changed, &lock, &until);
	pthread_mutex_unlock(&lock);
	return !r;
}

static struct csi_pool *new_pool(unsigned int workers, unsigned int max, double stuck)
{
	struct csi_pool_config c = { .workers = workers,
				     .workers_max = max,
				     .stuck_seconds = stuck };
	struct csi_pool *p = NULL;
	struct err e = { 0 };

	open_gate = false;
	begun = ended = 0;
	CHECK_MSG(!csi_pool_new(&c, &p, &e), "%s", err_text(&e));
	return p;
}

static void add(struct csi_pool *p, struct test_job *t, unsigned int n, enum csi_lane lane,
		bool hangs)
{
	for (unsigned int i = 0; i < n; i++) {
		t[i] = (struct test_job){ .job.run = run, .pool = p, .hangs = hangs, .number = i };
		csi_pool_add(p, &t[i].job, lane);
	}
}

static void finish(struct csi_pool *p, unsigned int n)
{
	pthread_mutex_lock(&lock);
	open_gate = true;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
	CHECK(wait_until(&ended, n));
	csi_pool_free(p);
}

static void a_lane_that_hangs_holds_up_no_other(void)
{
	struct csi_pool *p = new_pool(2, 2, 1e9);
	struct test_job hung[5], good[3];
	struct csi_lane_stats st;

	REQUIRE(p);
	add(p, hung, 5, CSI_LANE_DOWN, true);
	CHECK(wait_until(&begun, 2));
	add(p, &good[0], 1, CSI_LANE_UP, false);
	add(p, &good[1], 1, CSI_LANE_STATS, false);
	add(p, &good[2], 1, CSI_LANE_CONTROLLER, false);
	CHECK(wait_until(&ended, 3));
	csi_pool_stats(p, CSI_LANE_DOWN, &st);
	CHECK_INT(st.busy, 2);
	CHECK_INT(st.queued, 3);
	CHECK_INT(st.stuck, 0);
	finish(p, 8);
}

static void those_that_are_stuck_count_no_more(void)
{
	struct csi_pool *p = new_pool(2, 5, 0.001);
	struct test_job t[7];
	struct csi_lane_stats st;

	REQUIRE(p);
	add(p, t, 7, CSI_LANE_DOWN, true);
	CHECK(wait_until(&begun, 5)); /* two at a time, until there are as many as may be */
	csi_pool_stats(p, CSI_LANE_DOWN, &st);
	CHECK_INT(st.queued, 2);
	CHECK_INT(st.busy + st.stuck, 5);
	CHECK_INT(st.threads, 5);
	CHECK_INT(begun, 5);
	finish(p, 7);
}

static void first_come_first_served(void)
{
	struct csi_pool *p = new_pool(1, 1, 1e9);
	struct test_job first[1], t[20];

	REQUIRE(p);
	add(p, first, 1, CSI_LANE_UP, true);
	CHECK(wait_until(&begun, 1));
	add(p, t, 20, CSI_LANE_UP, false);
	finish(p, 21);
	for (unsigned int i = 0; i < 20; i++)
		CHECK_INT(order[i + 1], i);
}

static void what_is_taken_back_never_runs(void)
{
	struct csi_pool *p = new_pool(1, 1, 1e9);
	struct csi_lane_stats st;
	struct test_job t[6];

	REQUIRE(p);
	add(p, t, 6, CSI_LANE_UP, true);
	CHECK(wait_until(&begun, 1));
	CHECK(!csi_pool_take_back(p, &t[0].job));
	CHECK(csi_pool_take_back(p, &t[5].job));
	CHECK(csi_pool_take_back(p, &t[1].job));
	CHECK(csi_pool_take_back(p, &t[3].job));
	CHECK(!csi_pool_take_back(p, &t[3].job));
	csi_pool_stats(p, CSI_LANE_UP, &st);
	CHECK_INT(st.queued, 2);
	CHECK_INT(st.taken_back, 3);
	finish(p, 3);
	CHECK_INT(begun, 3);
	CHECK_INT(order[1], 2);
	CHECK_INT(order[2], 4);
}

int main(void)
{
	RUN(a_lane_that_hangs_holds_up_no_other);
	RUN(those_that_are_stuck_count_no_more);
	RUN(first_come_first_served);
	RUN(what_is_taken_back_never_runs);
	return check_exit();
}
