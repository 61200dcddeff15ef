// SPDX-License-Identifier: Apache-2.0
// The least that opening and closing a mapping can cost: device-mapper's ioctls and the node, with
// no header, no passphrase, no check. What the kernel itself takes, for docs/PERFORMANCE.md.
//
// usage: bare open DEVICE NAME | bare close NAME
#include <fcntl.h>
#include <linux/dm-ioctl.h>
#include <linux/fs.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define DATA_OFFSET_SECTORS 32768u

static struct {
	struct dm_ioctl io;
	struct dm_target_spec spec;
	char params[512];
} request;

static _Noreturn void die(const char *what)
{
	perror(what);
	exit(1);
}

static void prepare(const char *name, uint32_t flags)
{
	memset(&request, 0, sizeof(request));
	request.io.version[0] = DM_VERSION_MAJOR;
	request.io.data_size = sizeof(request);
	request.io.data_start = sizeof(request.io);
	request.io.flags = flags;
	snprintf(request.io.name, sizeof(request.io.name), "%s", name);
}

static void run(int control, unsigned long command, const char *what)
{
	if (ioctl(control, command, &request))
		die(what);
}

/* Any key does: nobody reads the data. */
static void fill_table(const char *device)
{
	uint64_t bytes;
	char key[129] = "";
	int fd = open(device, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || ioctl(fd, BLKGETSIZE64, &bytes))
		die(device);
	close(fd);
	memset(key, '1', 64);
	memset(key + 64, '2', 64);
	request.io.target_count = 1;
	request.spec.length = bytes / 512 - DATA_OFFSET_SECTORS;
	strcpy(request.spec.target_type, "crypt");
	snprintf(request.params, sizeof(request.params), "aes-xts-plain64 %s 0 %s %u", key, device,
		 DATA_OFFSET_SECTORS);
}

static void open_mapping(int control, const char *device, const char *name, const char *node)
{
	prepare(name, 0);
	run(control, DM_DEV_CREATE, "DM_DEV_CREATE");
	prepare(name, DM_SECURE_DATA_FLAG);
	fill_table(device);
	run(control, DM_TABLE_LOAD, "DM_TABLE_LOAD");
	prepare(name, 0);
	run(control, DM_DEV_SUSPEND, "DM_DEV_SUSPEND");
	if (mknod(node, S_IFBLK | 0600, request.io.dev))
		die(node);
}

static void close_mapping(int control, const char *name, const char *node)
{
	prepare(name, 0);
	run(control, DM_DEV_REMOVE, "DM_DEV_REMOVE");
	if (unlink(node))
		die(node);
}

int main(int argc, char **argv)
{
	int control = open("/dev/mapper/control", O_RDWR | O_CLOEXEC);
	char node[256];

	if (control < 0)
		die("/dev/mapper/control");
	snprintf(node, sizeof(node), "/dev/mapper/%s", argc > 2 ? argv[argc - 1] : "");
	if (argc == 4 && !strcmp(argv[1], "open"))
		open_mapping(control, argv[2], argv[3], node);
	else if (argc == 3 && !strcmp(argv[1], "close"))
		close_mapping(control, argv[2], node);
	else
		return 2;
	return 0;
}
