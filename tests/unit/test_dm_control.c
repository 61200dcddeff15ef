// SPDX-License-Identifier: Apache-2.0
// The control device: handshake, missing and stale nodes, missing driver and targets, and the words
// on what the host lacks. Nodes of mappings, too.
#include "dm_fake.h"

#include <sys/sysmacros.h>

static struct dm_control *c;
static struct err e;
static char spawned[256]; /* the arguments of the last modprobe */
static int spawns;

int __wrap_base_spawn(const char *path, char *const *argv, char *const *envp, const void *actions,
		      const void *attr, pid_t *pid);
int __wrap_base_spawn(const char *path, char *const *argv, char *const *envp, const void *actions,
		      const void *attr, pid_t *pid)
{
	(void)pid, (void)path, (void)actions, (void)attr;
	snprintf(spawned, sizeof(spawned), "%s %s %s %s", argv[0], argv[1] ?: "", argv[2] ?: "",
		 argv[3] ?: "");
	spawns++;
	if (!envp[0] || strncmp(envp[0], "PATH=", 5) || envp[1])
		abort(); /* nothing of our environment goes to modprobe */
	return -EAGAIN;
}

static void control_path(char *buf, size_t cap)
{
	snprintf(buf, cap, "%s/mapper/control", fake_dev);
}

static void handshake(void)
{
	unsigned char want[HEAD_BYTES];

	fake_reset();
	fake_dev_make();
	CHECK_INT(dm_control_open_at(&fake_places, &c, &e), 0);
	CHECK_INT(fake.n_calls, 1);
	fake_expect(want, HEAD_BYTES, 0, 0, 0, "", "");
	CHECK_CALL(0, FAKE_VERSION, want, HEAD_BYTES);
	dm_control_closep(&c);
	CHECK(!c);
	dm_control_close(NULL);
	fake_dev_remove();
}

static void handshake_errors(void)
{
	static const struct {
		int kernel, ours;
		const char *says;
	} cases[] = {
		{ EINVAL, -EHOSTDOWN, "interface version 4" },
		{ EACCES, -EACCES, "CAP_SYS_ADMIN" },
		{ EPERM, -EACCES, "in a container" },
		{ ENOMEM, -ENOMEM, "can't be used" },
		{ EIO, -EHOSTDOWN, "errno 5" },
	};

	fake_reset();
	fake_dev_make();
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		fake.fail_cmd = FAKE_VERSION;
		fake.fail_errno = cases[i].kernel;
		CHECK_INT(dm_control_open_at(&fake_places, &c, &e), cases[i].ours);
		CHECK_CONTAINS(e.text, cases[i].says);
		CHECK(!c);
	}
	fake_dev_remove();
}

static void no_driver(void)
{
	char path[96];

	fake_reset();
	fake_dev_make();
	control_path(path, sizeof(path));
	unlink(path);
	fake_write(fake_misc, "237 loop-control\n2360 device-mapper-not\n");
	spawns = 0;
	CHECK_INT(dm_control_open_at(&fake_places, &c, &e), -EHOSTDOWN);
	CHECK_CONTAINS(e.text, "the kernel has no device-mapper: ");
	CHECK_CONTAINS(e.text, "module dm_mod");
	if (spawns) /* where there is a modprobe at all */
		CHECK_STR(spawned, "modprobe -q -- dm_mod");
	CHECK(access(path, F_OK));
	fake_dev_remove();
}

/* Made from /proc/misc's number. The node works only where the driver is; here the open fails. */
static void node_is_made(void)
{
	char path[96], folder[96];
	struct stat st = { 0 };

	fake_reset();
	fake_dev_make();
	if (!fake_can_mknod()) {
		fake_dev_remove();
		SKIP_TEST("this process can't make device nodes");
	}
	control_path(path, sizeof(path));
	snprintf(folder, sizeof(folder), "%s/mapper", fake_dev);
	unlink(path);
	rmdir(folder);
	fake_write(fake_misc, "237 loop-control\n 12 device-mapper\n");
	CHECK_INT(dm_node_control(&fake_places, 12, &e), 0);
	CHECK(!stat(path, &st) && S_ISCHR(st.st_mode));
	CHECK_INT(st.st_rdev, makedev(10, 12));
	CHECK_INT(st.st_mode & 07777, 0600);
	/* a stale one gives way, the right one stays */
	CHECK_INT(dm_node_control(&fake_places, 13, &e), 0);
	CHECK(!stat(path, &st) && st.st_rdev == makedev(10, 13));
	CHECK_INT(dm_node_control(&fake_places, 13, &e), 0);
	/* what isn't a device is not ours to take away */
	unlink(path);
	fake_write(path, "a file");
	CHECK_INT(dm_node_control(&fake_places, 13, &e), -EEXIST);
	fake_dev_remove();
}

static void missing_target(void)
{
	uint32_t v[3] = { 9, 9, 9 };

	fake_reset();
	fake_dev_make();
	REQUIRE(!dm_control_open_at(&fake_places, &c, &e));
	CHECK_INT(dm_target_version(c, "crypt", v, &e), 0);
	CHECK_INT(v[1], 28);
	spawns = 0;
	v[0] = 9;
	CHECK_INT(dm_target_version(c, "integrity", v, &e), -EHOSTDOWN);
	CHECK_INT(v[0], 9);
	CHECK_CONTAINS(e.text, "the kernel has no integrity target: ");
	CHECK_CONTAINS(e.text, "dm_integrity");
	if (spawns)
		CHECK_STR(spawned, "modprobe -q -- dm_integrity");
	dm_control_closep(&c);
	fake_dev_remove();
}

/* ---- nodes ---- */

static void node_path(char *buf, size_t cap, const char *name)
{
	snprintf(buf, cap, "%s/mapper/%s", fake_dev, name);
}

static void nodes_of_our_own(void)
{
	char path[96], kernels[96], target[64] = "";
	dev_t dev = makedev(253, 5), other = makedev(253, 6);
	struct stat st = { 0 };

	fake_reset();
	fake_dev_make();
	if (!fake_can_mknod()) {
		fake_dev_remove();
		SKIP_TEST("this process can't make device nodes");
	}
	REQUIRE(!dm_control_open_at(&fake_places, &c, &e));
	node_path(path, sizeof(path), "vol");
	/* no /dev/dm-5 in sight: a node of our own */
	CHECK_INT(dm_node_make(c, "vol", dev, &e), 0);
	CHECK(!lstat(path, &st) && S_ISBLK(st.st_mode) && st.st_rdev == dev);
	CHECK_INT(st.st_mode & 07777, 0600);
	dm_node_drop(c, "vol", other); /* not this one's */
	CHECK(!access(path, F_OK));
	/* stale: replaced, by a link now */
	snprintf(kernels, sizeof(kernels), "%s/dm-6", fake_dev);
	REQUIRE(!mknod(kernels, S_IFBLK | 0600, other));
	CHECK_INT(dm_node_make(c, "vol", other, &e), 0);
	CHECK(readlink(path, target, sizeof(target) - 1) == 7);
	CHECK_STR(target, "../dm-6");
	CHECK_INT(fake_nodes(), 1);
	/* the link belongs to it even when the device is gone */
	unlink(kernels);
	CHECK(!dm_node_right(c, "vol", other));
	dm_node_drop(c, "vol", dev);
	CHECK(!lstat(path, &st));
	dm_node_drop(c, "vol", other);
	CHECK(lstat(path, &st));
	/* a dangling link gives way */
	REQUIRE(!symlink("../dm-77", path));
	CHECK_INT(dm_node_make(c, "vol", dev, &e), 0);
	CHECK(dm_node_right(c, "vol", dev));
	CHECK_INT(dm_node_make(c, "vol", dev, &e), 0);
	dm_node_drop(c, "vol", dev);
	/* a folder does not */
	REQUIRE(!mkdir(path, 0700));
	CHECK_INT(dm_node_make(c, "vol", dev, &e), -EEXIST);
	CHECK(!lstat(path, &st) && S_ISDIR(st.st_mode));
	dm_control_closep(&c);
	fake_dev_remove();
}

int main(void)
{
	RUN(handshake);
	RUN(handshake_errors);
	RUN(no_driver);
	RUN(node_is_made);
	RUN(missing_target);
	RUN(nodes_of_our_own);
	fake_reset();
	return check_exit();
}
