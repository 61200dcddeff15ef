// SPDX-License-Identifier: Apache-2.0
// One operation a volume (or name, or snapshot) at a time: keyed try-locks. A second caller is told
// ABORTED and comes back.
#include "locks.h"

#include <cryptvol/base.h>
#include <pthread.h>

struct held {
	struct held *next;
	int fd; /* -1 = none */
	char key[];
};

struct csi_locks {
	pthread_mutex_t lock;
	struct held *first;
};

static void give_back(struct held *h)
{
	base_closep(&h->fd);
	free(h);
}

struct csi_locks *csi_locks_new(void)
{
	struct csi_locks *l = calloc(1, sizeof(*l));

	if (l)
		pthread_mutex_init(&l->lock, NULL);
	return l;
}

void csi_locks_free(struct csi_locks *l)
{
	struct held *h, *next;

	if (!l)
		return;
	for (h = l->first; h; h = next) {
		next = h->next;
		give_back(h);
	}
	pthread_mutex_destroy(&l->lock);
	free(l);
}

int csi_locks_try(struct csi_locks *l, const char *key)
{
	struct held *h = malloc(sizeof(*h) + strlen(key) + 1);
	int r = 0;

	if (!h)
		return -ENOMEM;
	h->fd = -1;
	memcpy(h->key, key, strlen(key) + 1);
	pthread_mutex_lock(&l->lock);
	for (const struct held *o = l->first; o; o = o->next)
		if (!strcmp(o->key, key))
			r = -EINPROGRESS;
	if (!r) {
		h->next = l->first;
		l->first = h;
	}
	pthread_mutex_unlock(&l->lock);
	if (r)
		free(h);
	return r;
}

void csi_locks_keep(struct csi_locks *l, const char *key, int fd)
{
	pthread_mutex_lock(&l->lock);
	for (struct held *h = l->first; h; h = h->next)
		if (!strcmp(h->key, key))
			h->fd = fd;
	pthread_mutex_unlock(&l->lock);
}

void csi_locks_release(struct csi_locks *l, const char *key)
{
	struct held *gone = NULL;

	pthread_mutex_lock(&l->lock);
	for (struct held **p = &l->first; *p; p = &(*p)->next)
		if (!strcmp((*p)->key, key)) {
			gone = *p;
			*p = gone->next;
			break;
		}
	pthread_mutex_unlock(&l->lock);
	if (gone)
		give_back(gone);
}
