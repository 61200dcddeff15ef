// SPDX-License-Identifier: Apache-2.0
// Admission of memory-hard derivations by a budget of memory: first come first served in a process,
// then at the host's turnstile. In a process by processors too: more at once than there are would
// each have memory of its own, whose pages the kernel makes, instead of that of one before.
#include "kdf.h"

#include <limits.h>
#include <stdio.h>

/* Kept for later use unless the owner says otherwise: at most this, and half of what may be used.
 */
#define IDLE_MAX_BYTES (256 * MIB)
/* Left to others: a sixteenth, but 2 to 32 MiB. */
#define MARGIN_SHARE 16
#define MARGIN_MIN_BYTES (2 * MIB)
#define MARGIN_MAX_BYTES (32 * MIB)

static uint64_t without_margin(uint64_t bytes)
{
	uint64_t margin = bytes / MARGIN_SHARE;

	if (margin < MARGIN_MIN_BYTES)
		margin = MARGIN_MIN_BYTES;
	if (margin > MARGIN_MAX_BYTES)
		margin = MARGIN_MAX_BYTES;
	return bytes > margin ? bytes - margin : 0;
}

static void lower_hard(struct crypto_limits *l, uint64_t bytes, const char *name)
{
	if (bytes >= l->hard_bytes)
		return;
	l->hard_bytes = bytes;
	snprintf(l->hard_name, sizeof(l->hard_name), "%s", name);
}

int crypto_limits_read(const struct crypto_kdf *kdf, struct crypto_limits *ret, struct err *e)
{
	struct crypto_limits l = { .hard_bytes = UINT64_MAX, .cpus = crypto_cpus_read(kdf->root) };
	struct crypto_memory m;
	uint64_t available;
	int r;

	r = crypto_memory_read(kdf->root, &m, e);
	if (r)
		return r;
	if (kdf->policy_bytes)
		lower_hard(&l, kdf->policy_bytes, "the configured budget");
	if (kdf->exceed_available && m.swap_bytes)
		lower_hard(&l, without_margin(m.total_bytes + m.swap_bytes),
			   "the machine's memory and swap");
	else
		lower_hard(&l, without_margin(m.total_bytes), "the machine's memory");
	if (m.cgroup_max_bytes != UINT64_MAX)
		lower_hard(&l, without_margin(m.cgroup_max_bytes), m.cgroup_file);
	available = m.available_bytes < m.cgroup_available_bytes ? m.available_bytes
								 : m.cgroup_available_bytes;
	l.spare_bytes = without_margin(available);
	*ret = l;
	return 0;
}

#define TOO_BIG \
	"the key derivation needs %zu KiB of memory, but only %llu KiB may be used (limit: %s)"
#define LOOK_AGAIN 1

/* What enters the queue. */
struct request {
	struct crypto_waiter w;
	size_t bytes;
	bool if_free;
};

static int busy(struct err *e)
{
	return err_set(e, -EBUSY, "other key derivations come first");
}

/* One that nobody asked for yet leaves as much as it takes. */
static uint64_t share(const struct request *q, uint64_t bytes)
{
	return q->if_free ? bytes / 2 : bytes;
}

/* ---- arenas ---- */

/* The smallest idle arena that is big enough. Where there is none, all idle ones are unmapped, so
 * that what is mapped is never more than what is in use. */
static struct crypto_arena *reuse_arena(struct crypto_kdf *kdf, size_t bytes)
{
	struct crypto_arena **best = NULL, *a;

	pthread_mutex_lock(&kdf->lock);
	for (struct crypto_arena **p = &kdf->idle; *p; p = &(*p)->next)
		if ((*p)->bytes >= bytes && (!best || (*p)->bytes < (*best)->bytes))
			best = p;
	if (best) {
		a = *best;
		*best = a->next;
		kdf->idle_bytes -= a->bytes;
		kdf->idle_count--;
		pthread_mutex_unlock(&kdf->lock);
		crypto_arena_trim(a, bytes);
		return a;
	}
	a = kdf->idle;
	kdf->idle = NULL;
	kdf->idle_bytes = kdf->idle_count = 0;
	pthread_mutex_unlock(&kdf->lock);
	while (a) {
		struct crypto_arena *next = a->next;

		crypto_arena_free(a);
		a = next;
	}
	return NULL;
}

/* With kdf->lock held: for whoever waits, or for later. Returns what the caller has to free
 * instead. */
static struct crypto_arena *keep_arena(struct crypto_kdf *kdf, struct crypto_arena *a)
{
	uint64_t keep = kdf->idle_max_bytes;

	if (!keep)
		keep = kdf->limit_bytes / 2 < IDLE_MAX_BYTES ? kdf->limit_bytes / 2
							     : IDLE_MAX_BYTES;
	if (!a->data || (kdf->idle_count >= kdf->waiting && kdf->idle_bytes + a->bytes > keep))
		return a;
	a->next = kdf->idle;
	kdf->idle = a;
	kdf->idle_count++;
	kdf->idle_bytes += a->bytes;
	return NULL;
}

/* ---- the queue of the process ---- */

static int queue_enter(struct crypto_kdf *kdf, struct request *q, struct err *e)
{
	pthread_mutex_lock(&kdf->lock);
	if (q->if_free && kdf->head) {
		pthread_mutex_unlock(&kdf->lock);
		return busy(e);
	}
	pthread_cond_init(&q->w.turn, NULL);
	kdf->waiting++;
	*kdf->tail = &q->w;
	kdf->tail = &q->w.next;
	while (kdf->head != &q->w)
		pthread_cond_wait(&q->w.turn, &kdf->lock);
	pthread_mutex_unlock(&kdf->lock);
	return 0;
}

static void queue_leave(struct crypto_kdf *kdf, struct request *q, const struct crypto_grant *g)
{
	pthread_mutex_lock(&kdf->lock);
	kdf->in_use_bytes += g->bytes;
	kdf->in_use_cpus += g->threads;
	if (kdf->in_use_bytes > kdf->peak_bytes)
		kdf->peak_bytes = kdf->in_use_bytes;
	kdf->waiting--;
	kdf->head = q->w.next;
	if (!kdf->head)
		kdf->tail = &kdf->head;
	else
		pthread_cond_signal(&kdf->head->turn);
	pthread_mutex_unlock(&kdf->lock);
	pthread_cond_destroy(&q->w.turn);
}

/* Wait, at the head, until what the process uses is below @below, and a processor is free. Returns
 * what it uses then. */
static uint64_t queue_wait_below(struct crypto_kdf *kdf, struct request *q, uint64_t below,
				 unsigned int cpus)
{
	uint64_t used;

	pthread_mutex_lock(&kdf->lock);
	while ((kdf->in_use_bytes && kdf->in_use_bytes >= below) || kdf->in_use_cpus >= cpus)
		pthread_cond_wait(&q->w.turn, &kdf->lock);
	used = kdf->in_use_bytes;
	pthread_mutex_unlock(&kdf->lock);
	return used;
}

/* In place of queue_wait_below: only the head adds, so that what there is stays. */
static bool has_room(struct crypto_kdf *kdf, const struct request *q, const struct crypto_limits *l)
{
	bool room;

	pthread_mutex_lock(&kdf->lock);
	room = kdf->in_use_bytes + q->bytes <= share(q, l->hard_bytes) &&
	       kdf->in_use_cpus < l->cpus;
	pthread_mutex_unlock(&kdf->lock);
	return room;
}

/* ---- the host ---- */

/* Without the lock file this process counts for itself. */
static void host_lost(const struct crypto_kdf *kdf, int *fd, int r)
{
	log_debug("no use of a lock file in %s (%s): derivations are admitted in this process only",
		  kdf->lock_dir, strerrordesc_np(-r) ?: "unknown error");
	crypto_host_close(*fd);
	*fd = -1;
}

/* To the turnstile, and through to its head. */
static int host_enter(const struct crypto_kdf *kdf, const struct request *q, int *ret_fd)
{
	int fd, r;

	*ret_fd = -1;
	if (!kdf->lock_dir)
		return 0;
	fd = crypto_host_open(kdf->lock_dir);
	r = fd < 0 ? fd : crypto_host_queue(fd, q->if_free);
	if (r == -EBUSY) {
		crypto_host_close(fd);
		return r;
	}
	if (r < 0)
		host_lost(kdf, &fd, r);
	*ret_fd = fd;
	return 0;
}

/* What the host uses, this process included. */
static void host_look(const struct crypto_kdf *kdf, int *fd, struct crypto_host *ret)
{
	int r = 0;

	memset(ret, 0, sizeof(*ret));
	if (*fd >= 0)
		r = crypto_host_look(*fd, ret);
	if (r)
		host_lost(kdf, fd, r);
}

static int check_hard(struct crypto_kdf *kdf, size_t bytes, struct crypto_limits *ret,
		      struct err *e)
{
	int r = crypto_limits_read(kdf, ret, e);

	if (r)
		return r;
	if (bytes > ret->hard_bytes)
		return err_set(e, -ENOMEM, TOO_BIG, bytes / 1024,
			       (unsigned long long)(ret->hard_bytes / 1024), ret->hard_name);
	pthread_mutex_lock(&kdf->lock);
	kdf->limit_bytes = ret->hard_bytes;
	pthread_mutex_unlock(&kdf->lock);
	return 0;
}

/*
 * One look at the head of both queues. 0: there is room, and *ret_host says where the claim goes.
 * LOOK_AGAIN: something was released.
 */
static int look_for_room(struct crypto_kdf *kdf, struct request *q, struct crypto_grant *g,
			 struct crypto_host *ret_host, struct err *e)
{
	struct crypto_limits l;
	uint64_t used;
	int r;

	r = check_hard(kdf, q->bytes, &l, e);
	if (r)
		return r;
	host_look(kdf, &g->host_fd, ret_host);
	used = queue_wait_below(kdf, q, UINT64_MAX, UINT_MAX);
	if (ret_host->units * KIB > used)
		used = ret_host->units * KIB;
	g->cpus = l.cpus;
	if (used + q->bytes <= share(q, l.hard_bytes) &&
	    (g->arena || q->bytes <= share(q, l.spare_bytes)))
		return 0;
	if (q->if_free)
		return busy(e);
	/* Nobody of ours will release any. */
	if (!used && kdf->exceed_available)
		return 0;
	if (!used)
		return err_set(e, -ENOMEM, TOO_BIG, q->bytes / 1024,
			       (unsigned long long)(l.spare_bytes / 1024),
			       "what is available just now");
	if (!ret_host->units) {
		queue_wait_below(kdf, q, used, UINT_MAX);
		return LOOK_AGAIN;
	}
	r = crypto_host_wait(g->host_fd, ret_host->shortest);
	if (r)
		host_lost(kdf, &g->host_fd, r);
	return LOOK_AGAIN;
}

/* At the head of the process's queue: room in the process first, so that nobody waits at the host's
 * turnstile for what only this process can release. */
static int admit(struct crypto_kdf *kdf, struct request *q, struct crypto_grant *g, struct err *e)
{
	struct crypto_limits l;
	struct crypto_host h;
	int r, lock_r = 0;

	r = check_hard(kdf, q->bytes, &l, e);
	if (r)
		return r;
	if (!q->if_free)
		queue_wait_below(kdf, q, l.hard_bytes - q->bytes + 1, l.cpus);
	else if (!has_room(kdf, q, &l))
		return busy(e);
	if (host_enter(kdf, q, &g->host_fd))
		return busy(e);
	do {
		if (!g->arena)
			g->arena = reuse_arena(kdf, q->bytes);
		r = look_for_room(kdf, q, g, &h, e);
	} while (r == LOOK_AGAIN);
	if (!r && g->host_fd >= 0)
		lock_r = crypto_host_claim(g->host_fd, &h, q->bytes / KIB);
	if (lock_r)
		host_lost(kdf, &g->host_fd, lock_r);
	if (!r && !g->arena)
		r = crypto_arena_new(q->bytes, &g->arena, e);
	if (r) {
		crypto_host_close(g->host_fd);
		crypto_arena_free(g->arena);
	} else if (g->host_fd >= 0) {
		crypto_host_pass(g->host_fd);
	}
	return r;
}

int crypto_admission_enter(struct crypto_kdf *kdf, const struct crypto_pbkdf *p, bool if_free,
			   struct crypto_grant *ret, struct err *e)
{
	struct request q = { .bytes = crypto_arena_bytes((size_t)p->memory_kib * KIB),
			     .if_free = if_free };
	struct crypto_grant g = { .host_fd = -1 };
	int r;

	if (q.bytes < CRYPTO_ADMISSION_FROM_BYTES) {
		g.cpus = crypto_cpus_read(kdf->root);
		r = crypto_arena_new(q.bytes, &g.arena, e);
		if (!r)
			*ret = g;
		return r;
	}
	r = queue_enter(kdf, &q, e);
	if (r)
		return r;
	r = admit(kdf, &q, &g, e);
	if (!r) {
		g.bytes = q.bytes;
		g.threads = crypto_argon2_threads(p, g.cpus);
		*ret = g;
	}
	queue_leave(kdf, &q, &g);
	return r;
}

void crypto_admission_leave(struct crypto_kdf *kdf, struct crypto_grant *g)
{
	struct crypto_arena *unwanted = g->arena;

	if (g->bytes) {
		pthread_mutex_lock(&kdf->lock);
		unwanted = keep_arena(kdf, g->arena);
		pthread_mutex_unlock(&kdf->lock);
	}
	/* Unmapped before anybody hears that there is room. */
	crypto_arena_free(unwanted);
	crypto_host_close(g->host_fd);
	pthread_mutex_lock(&kdf->lock);
	kdf->in_use_bytes -= g->bytes;
	kdf->in_use_cpus -= g->threads;
	kdf->derivations++;
	if (kdf->head)
		pthread_cond_signal(&kdf->head->turn);
	pthread_mutex_unlock(&kdf->lock);
}
