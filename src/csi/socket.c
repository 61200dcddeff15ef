// SPDX-License-Identifier: Apache-2.0
// The path of the endpoint, and what to do with a socket that is there already.
#include "csi.h"

#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

const char *csi_socket_path(const char *endpoint)
{
	if (!strncmp(endpoint, "unix://", 7))
		return endpoint + 7;
	if (!strncmp(endpoint, "unix:", 5))
		return endpoint + 5;
	return endpoint;
}

int csi_socket_clear(const char *path, struct err *e)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	_cleanup_close_ int fd = -1;
	struct stat st;

	if (text_copy(sa.sun_path, sizeof(sa.sun_path), path))
		return err_set(e, -ENAMETOOLONG,
			       "endpoint: \"%s\" is longer than a socket's path may be", path);
	if (lstat(path, &st))
		return errno == ENOENT ? 0 : err_sys(e, -errno, "endpoint: %s", path);
	if (!S_ISSOCK(st.st_mode))
		return err_set(e, -EEXIST, "endpoint: %s is there and is no socket", path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_sys(e, -errno, "endpoint: no socket");
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0 || errno == EAGAIN)
		return err_set(e, -EADDRINUSE, "endpoint: another process answers on %s", path);
	if (errno != ECONNREFUSED)
		return err_sys(e, -errno, "endpoint: %s can't be tried", path);
	if (unlink(path) && errno != ENOENT)
		return err_sys(e, -errno, "endpoint: the dead socket %s can't be removed", path);
	return 0;
}
