// SPDX-License-Identifier: Apache-2.0
// Holding a device that is read as a whole, so that nobody writes to it meanwhile.
#include "internal.h"

int volume_hold_idle(const char *device, int *ret_fd, struct err *e)
{
	struct block_device d;
	int r;

	r = block_open(device, BLOCK_READONLY | BLOCK_EXCLUSIVE, &d, e);
	if (r)
		return r;
	*ret_fd = d.fd;
	d.fd = -1;
	block_close(&d);
	return 0;
}
