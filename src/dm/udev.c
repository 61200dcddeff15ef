// SPDX-License-Identifier: Apache-2.0
// udev: flags for its rules, cookies with a time limit of ours, and the wait for its nodes.
// A cookie is a System V semaphore whose key udevd's helper finds in the uevent and counts down. It
// hangs wherever the two don't share an IPC namespace, where udevd is stuck or has no rules for it.
#include "internal.h"

#include <dlfcn.h>
#include <stdio.h>
#include <sys/ipc.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

/* Upper half of event_nr; libdevmapper.h names these. */
#define FLAGS_SHIFT 16
#define FLAG_DISABLE_SUBSYSTEM_RULES 0x0002u
#define FLAG_DISABLE_DISK_RULES 0x0004u
#define FLAG_DISABLE_OTHER_RULES 0x0008u
#define FLAG_DISABLE_LIBRARY_FALLBACK 0x0020u
#define FLAG_PRIMARY_SOURCE 0x0040u
#define COOKIE_MASK 0x0000ffffu

#define LIBRARY "libdevmapper.so.1.02.1"

/* ---- what runs here ---- */

/* Without this rule nobody counts a cookie down, and the rules beside it make the links. */
static bool have_rules(const struct dm_places *p)
{
	char path[256];

	for (size_t i = 0; p->udev_rules[i]; i++) {
		snprintf(path, sizeof(path), "%s/95-dm-notify.rules", p->udev_rules[i]);
		if (!access(path, F_OK))
			return true;
	}
	return false;
}

/* Does somebody listen on udevd's socket? Its file outlives a udevd that was killed. */
static bool udevd_listens(const struct dm_places *p, pid_t *ret_pid)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	_cleanup_close_ int fd = -1;
	struct ucred peer = { 0 };
	socklen_t len = sizeof(peer);

	if (text_copy(a.sun_path, sizeof(a.sun_path), p->udev_control))
		return false;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return false;
	/* EAGAIN: its queue is full, so it is there, and slow. */
	if (connect(fd, (struct sockaddr *)(void *)&a, sizeof(a)) && errno != EAGAIN)
		return false;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len))
		peer.pid = 0;
	*ret_pid = peer.pid;
	return true;
}

static bool same_ipc_namespace(pid_t pid)
{
	char path[64], ours[64], theirs[64];
	ssize_t n, m;

	if (pid <= 0)
		return false; /* of another PID namespace, hence hardly of our IPC namespace */
	snprintf(path, sizeof(path), "/proc/%d/ns/ipc", (int)pid);
	n = readlink("/proc/self/ns/ipc", ours, sizeof(ours));
	m = readlink(path, theirs, sizeof(theirs));
	return n > 0 && n == m && !memcmp(ours, theirs, (size_t)n);
}

static enum dm_udev_state find_state(const struct dm_places *p)
{
	const char *off = secure_getenv("DM_DISABLE_UDEV"); /* libdevmapper's switch */
	pid_t pid;

	if ((off && *off) || !udevd_listens(p, &pid) || !have_rules(p))
		return DM_UDEV_ABSENT;
	return same_ipc_namespace(pid) ? DM_UDEV_COOKIES : DM_UDEV_RUNS;
}

static enum dm_udev_state udev_state(struct dm_control *c)
{
	static const char *const names[] = { "?", "absent", "running, out of reach for cookies",
					     "running" };

	if (c->udev == DM_UDEV_UNKNOWN) {
		c->udev = find_state(c->places);
		log_debug("udev is %s", names[c->udev]);
	}
	return c->udev;
}

/* ---- cookies ---- */

/* libdevmapper writes to stderr unless it is given another place. */
static void library_says(int level, const char *file, int line, int class, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));
static void library_says(int level, const char *file, int line, int class, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	(void)level;
	(void)class;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	log_debug("libdevmapper: %s (%s:%d)", text, file, line);
}

static void *find_library(void)
{
	void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
	void (*set_log)(__typeof__(&library_says)) = NULL;

	if (library)
		*(void **)(void *)&set_log = dlsym(library, "dm_log_with_errno_init");
	if (set_log)
		set_log(library_says);
	return library;
}

static bool load_library(struct dm_control *c)
{
	if (c->create_cookie)
		return true;
	if (!c->library)
		c->library = find_library();
	if (c->library)
		*(void **)(void *)&c->create_cookie = dlsym(c->library, "dm_udev_create_cookie");
	if (!c->create_cookie)
		log_debug("no %s: no udev cookies", LIBRARY);
	return c->create_cookie;
}

/* A new cookie's semaphore stands at 1: udev's helper, counting down, makes it 0. */
static uint32_t make_cookie(struct dm_control *c, int *ret_semaphore)
{
	uint32_t cookie = 0;
	int id;

	if (!load_library(c) || !c->create_cookie(&cookie) || !cookie)
		return 0;
	id = semget((key_t)cookie, 1, 0);
	if (id < 0) {
		log_debug("the semaphore of udev cookie %#x is gone", cookie);
		return 0;
	}
	*ret_semaphore = id;
	return cookie;
}

/* 0: udev is done. */
static int wait_for_zero(int semaphore, uint32_t limit_ms)
{
	uint64_t end = dm_clock_ms() + limit_ms, now;
	struct sembuf zero = { .sem_num = 0, .sem_op = 0 };
	struct timespec t;

	for (;;) {
		now = dm_clock_ms();
		if (now >= end)
			return -ETIMEDOUT;
		t.tv_sec = (time_t)((end - now) / 1000);
		t.tv_nsec = (long)((end - now) % 1000) * 1000000;
		if (!semtimedop(semaphore, &zero, 1, &t))
			return 0;
		if (errno == EIDRM || errno == EINVAL)
			return 0; /* somebody cleared the cookies away */
		if (errno != EINTR && errno != EAGAIN)
			return -errno;
	}
}

void dm_uevent_begin(struct dm_control *c, uint32_t device_flags, enum dm_udev_mode mode,
		     struct dm_uevent *u)
{
	uint32_t flags = FLAG_PRIMARY_SOURCE | FLAG_DISABLE_LIBRARY_FALLBACK;

	if (device_flags & DM_DEVICE_PRIVATE)
		flags |= FLAG_DISABLE_SUBSYSTEM_RULES | FLAG_DISABLE_DISK_RULES |
			 FLAG_DISABLE_OTHER_RULES;
	u->event_nr = flags << FLAGS_SHIFT;
	u->semaphore = -1;
	if (mode == DM_UDEV_AUTO && udev_state(c) == DM_UDEV_COOKIES)
		u->event_nr |= make_cookie(c, &u->semaphore) & COOKIE_MASK;
}

void dm_uevent_end(struct dm_control *c, struct dm_uevent *u, const struct dm_ioctl *io)
{
	if (u->semaphore < 0)
		return;
	if (io && io->flags & DM_UEVENT_GENERATED_FLAG && wait_for_zero(u->semaphore, c->wait_ms)) {
		log_debug("udev didn't answer within %u ms", c->wait_ms);
		c->udev = DM_UDEV_ABSENT; /* and won't be asked again */
	}
	(void)semctl(u->semaphore, 0, IPC_RMID);
	u->semaphore = -1;
}

/* ---- nodes ---- */

int dm_uevent_node(struct dm_control *c, const char *name, dev_t dev, struct err *e)
{
	if (udev_state(c) != DM_UDEV_ABSENT && dm_node_wait(c, name, dev, true)) {
		log_debug("udev made no node for %s", name);
		c->udev = DM_UDEV_ABSENT;
	}
	return dm_node_make(c, name, dev, e);
}

void dm_uevent_gone(struct dm_control *c, const char *name, dev_t dev)
{
	if (udev_state(c) != DM_UDEV_ABSENT && dm_node_wait(c, name, dev, false)) {
		log_debug("udev left the node of %s", name);
		c->udev = DM_UDEV_ABSENT;
	}
	dm_node_drop(c, name, dev);
}
