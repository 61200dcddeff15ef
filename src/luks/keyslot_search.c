// SPDX-License-Identifier: Apache-2.0
// Which keyslot opens with this passphrase: the cheapest of the highest priority first, and where
// processors are idle several at once, with the result that one after another would have had.
#include "write.h"

#include <pthread.h>

struct attempt {
	const struct luks_keyslot *keyslot;
	struct search *search;
	double cost;
	_Atomic bool stop;
	bool admitted, ended;
	int r;
	struct secret *key;
	struct err e;
};

struct search {
	const struct luks_io *io;
	const struct luks_header *h;
	struct crypto_kdf *kdf;
	const struct luks_unlock *u;
	int segment;
	struct attempt *a; /* in the order in which they count */
	size_t n;

	pthread_mutex_t lock; /* over all that follows, and the results */
	pthread_cond_t changed;
	size_t next;
	size_t last; /* the first attempt that ends the search, as far as is known; n: none */
};

static bool before(const struct attempt *a, const struct attempt *b)
{
	if (a->keyslot->priority != b->keyslot->priority)
		return a->keyslot->priority > b->keyslot->priority;
	return a->cost < b->cost;
}

/* Sorted in; keyslots that are equal keep the order that they have in JSON. */
static void collect(struct search *s)
{
	for (size_t i = 0; i < s->h->n_keyslots; i++) {
		const struct luks_keyslot *k = &s->h->keyslots[i];
		struct attempt a = { .keyslot = k, .search = s };
		size_t at = s->n;

		if ((int)k->priority < LUKS_PRIORITY_NORMAL ||
		    !luks_wanted_digest(s->h, k, s->u, s->segment))
			continue;
		a.cost = crypto_pbkdf_cost(&k->kdf, k->area_key_bytes);
		for (; at && before(&a, &s->a[at - 1]); at--)
			memcpy(&s->a[at], &s->a[at - 1], sizeof(a));
		memcpy(&s->a[at], &a, sizeof(a));
		s->n++;
	}
}

/* The search goes on where the passphrase is wrong, or the host lacks what this keyslot needs: of
 * another one it may have it. */
static bool ends_search(int r)
{
	return r != -EPERM && r != -ENOENT && r != -EHOSTDOWN;
}

static void note_result(struct search *s, size_t i, int r)
{
	s->a[i].r = r;
	s->a[i].ended = true;
	if (ends_search(r) && i < s->last) {
		s->last = i;
		for (size_t later = i + 1; later < s->n; later++)
			s->a[later].stop = true;
	}
	pthread_cond_broadcast(&s->changed);
}

static void note_admitted(void *arg)
{
	struct attempt *a = arg;

	pthread_mutex_lock(&a->search->lock);
	a->admitted = true;
	pthread_cond_broadcast(&a->search->changed);
	pthread_mutex_unlock(&a->search->lock);
}

static bool needs_memory(const struct attempt *a)
{
	return a->keyslot->kdf.type != CRYPTO_PBKDF2;
}

static bool all_before_ended(const struct search *s, size_t i)
{
	while (i && s->a[i - 1].ended)
		i--;
	return i == 0;
}

/* Those before need nothing any more that @i could take from them. */
static bool all_before_admitted(const struct search *s, size_t i)
{
	for (; i; i--) {
		const struct attempt *a = &s->a[i - 1];

		if (needs_memory(a) && !a->admitted && !a->ended)
			return false;
	}
	return true;
}

/* With the lock held. false: the search has ended before @i. */
static bool wait_until(struct search *s, size_t i, bool (*ready)(const struct search *s, size_t i))
{
	while (!ready(s, i) && s->last > i)
		pthread_cond_wait(&s->changed, &s->lock);
	return s->last >= i;
}

/* With the lock held: the next attempt to make, or n. One that can't be stopped waits for its turn,
 * so that nobody waits for it in vain, nor holds memory for it. */
static size_t take(struct search *s)
{
	size_t i = s->next;

	if (i >= s->n)
		return s->n;
	s->next++;
	if (!crypto_kdf_can_stop(&s->a[i].keyslot->kdf))
		wait_until(s, i, all_before_ended);
	else if (needs_memory(&s->a[i]))
		wait_until(s, i, all_before_admitted);
	return s->last >= i ? i : s->n;
}

static int try_unlocked(struct search *s, size_t i, bool if_free)
{
	struct attempt *a = &s->a[i];
	const struct crypto_wish wish = {
		.stop = &a->stop, .if_free = if_free, .admitted = note_admitted, .arg = a
	};
	int r;

	pthread_mutex_unlock(&s->lock);
	r = luks_try_keyslot(s->io, s->h, s->kdf, a->keyslot, s->u, s->segment, &wish, &a->key,
			     &a->e);
	pthread_mutex_lock(&s->lock);
	return r;
}

/* Before its turn it takes only what is free; where that isn't enough it waits for its turn. */
static void *work(void *arg)
{
	struct search *s = arg;
	size_t i;

	pthread_mutex_lock(&s->lock);
	while ((i = take(s)) < s->n) {
		bool early = !all_before_ended(s, i);
		int r = try_unlocked(s, i, early);

		if (early && r == -EBUSY)
			r = wait_until(s, i, all_before_ended) ? try_unlocked(s, i, false)
							       : -ECANCELED;
		note_result(s, i, r);
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

static size_t helpers_wanted(const struct search *s)
{
	size_t can_stop = 0, idle;

	for (size_t i = 1; i < s->n; i++)
		can_stop += crypto_kdf_can_stop(&s->a[i].keyslot->kdf);
	if (!can_stop)
		return 0;
	idle = crypto_machine_free_cpus() - 1;
	return idle < can_stop ? idle : can_stop;
}

/* The caller's thread works too: where no thread can be started, it does all. */
static void run(struct search *s)
{
	pthread_t helpers[LUKS_KEYSLOTS_MAX];
	size_t wanted = helpers_wanted(s), n = 0;

	while (n < wanted && n < LUKS_KEYSLOTS_MAX &&
	       pthread_create(&helpers[n], NULL, work, s) == 0)
		n++;
	work(s);
	while (n)
		pthread_join(helpers[--n], NULL);
}

/* No keyslot opened. Of one that couldn't be tried nobody knows whether the passphrase is its. */
static int nothing_opened(const struct search *s, struct err *e)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->a[i].r == -EHOSTDOWN)
			return err_set(e, s->a[i].r, "%s", s->a[i].e.text);
	return err_set(e, -EPERM, "No key available with this passphrase.");
}

static int result(struct search *s, struct secret **ret_key, int *ret_keyslot, struct err *e)
{
	struct attempt *a = &s->a[s->last];

	if (!s->n)
		return err_set(e, -ENOENT, "No usable keyslot is available.");
	if (s->last == s->n)
		return nothing_opened(s, e);
	if (a->r)
		return err_set(e, a->r, "%s", a->e.text);
	*ret_key = a->key;
	a->key = NULL;
	*ret_keyslot = (int)a->keyslot->id;
	return 0;
}

int luks_search_keyslots(const struct luks_io *io, const struct luks_header *h,
			 struct crypto_kdf *kdf, const struct luks_unlock *u, int segment,
			 struct secret **ret_key, int *ret_keyslot, struct err *e)
{
	struct search s = { .io = io, .h = h, .kdf = kdf, .u = u, .segment = segment };
	int r;

	s.a = calloc(h->n_keyslots + 1, sizeof(*s.a));
	if (!s.a)
		return err_set(e, -ENOMEM, "no memory for a search of keyslots");
	pthread_mutex_init(&s.lock, NULL);
	pthread_cond_init(&s.changed, NULL);
	collect(&s);
	s.last = s.n;
	run(&s);
	r = result(&s, ret_key, ret_keyslot, e);
	for (size_t i = 0; i < s.n; i++)
		secret_free(s.a[i].key);
	free(s.a);
	pthread_cond_destroy(&s.changed);
	pthread_mutex_destroy(&s.lock);
	return r;
}
