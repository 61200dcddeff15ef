// SPDX-License-Identifier: Apache-2.0
// Kept keys end with their mappings: a thread that looks after each change that device-mapper tells
// of, and once a minute.
#include "driver.h"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>

#define LOOK_MS 60000

struct csi_reaper {
	pthread_t thread;
	int stop;
};

static void reap(struct dm_control *dm)
{
	struct err e = { 0 };
	int n = volume_reap_kept(dm, &e);

	if (n < 0)
		csi_logf(CSI_LOG_WARNING, "kept_key", "%s", err_text(&e));
	else if (n > 0)
		csi_logf(CSI_LOG_INFO, "kept_key",
			 "%d kept keys revoked: somebody else closed their mappings", n);
}

/* Device-mapper may come later than the driver: its module is loaded with the first volume. */
static int wait_change(struct csi_reaper *w, struct dm_control **dm)
{
	struct pollfd p = { .fd = w->stop, .events = POLLIN };

	if (*dm || !dm_control_open(dm, NULL))
		return dm_wait_change(*dm, w->stop, LOOK_MS, NULL);
	return poll(&p, 1, LOOK_MS) > 0 ? -ECANCELED : 0;
}

static void *watch(void *arg)
{
	_cleanup_dm_ struct dm_control *dm = NULL;
	struct csi_reaper *w = arg;

	while (!wait_change(w, &dm))
		if (dm)
			reap(dm);
	return NULL;
}

int csi_reaper_start(struct csi_reaper **ret, struct err *e)
{
	_cleanup_free_ struct csi_reaper *w = calloc(1, sizeof(*w));
	int r;

	if (!w)
		return err_set(e, -ENOMEM, "no memory to look after kept keys");
	w->stop = eventfd(0, EFD_CLOEXEC);
	if (w->stop < 0)
		return err_sys(e, -errno, "kept keys can't be looked after");
	r = pthread_create(&w->thread, NULL, watch, w);
	if (r) {
		close(w->stop);
		return err_sys(e, -r, "kept keys can't be looked after");
	}
	*ret = w;
	w = NULL;
	return 0;
}

void csi_reaper_stop(struct csi_reaper *r)
{
	if (!r)
		return;
	(void)!eventfd_write(r->stop, 1);
	pthread_join(r->thread, NULL);
	close(r->stop);
	free(r);
}
