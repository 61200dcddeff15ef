// SPDX-License-Identifier: Apache-2.0
// Waiting for a change among the mappings, whoever makes it: the control device polls as readable
// after one, until DM_DEV_ARM_POLL (since device-mapper 4.37).
#include "internal.h"

#include <poll.h>

int dm_wait_change(struct dm_control *c, int stop_fd, int timeout_ms, struct err *e)
{
	struct pollfd p[] = { { .fd = stop_fd, .events = POLLIN },
			      { .fd = c->deaf ? -1 : c->fd, .events = POLLIN } };
	_cleanup_request_ struct dm_request q;
	int r;

	r = poll(p, ARRAY_SIZE(p), timeout_ms);
	if (r < 0 && errno != EINTR)
		return err_sys(e, -errno, "device-mapper's events can't be waited for");
	if (r > 0 && p[0].revents)
		return err_set(e, -ECANCELED, "told to stop");
	if (r <= 0 || !p[1].revents)
		return 0;
	/* Before the caller looks, so that a change while it looks is not missed. */
	r = dm_request_init(&q, NULL, 0, DM_REQUEST_PLAIN, e);
	if (r)
		return r;
	if (dm_request_run(c, &q, DM_DEV_ARM_POLL))
		c->deaf = true; /* readable for ever: from now on only the time limit */
	return 0;
}
