// SPDX-License-Identifier: Apache-2.0
// Cookies with a time limit and the wait for udev's nodes, against a udevd that is a socket and a
// thread. The semaphores are real.
#include "dm_fake.h"

#include <pthread.h>
#include <sys/ipc.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/un.h>

#define LIMIT_MS 300

static struct dm_control *c;
static struct err e;
static int listener = -1;
static uint32_t last_cookie;
static int cookies_made;
static dev_t dev;

static struct dm_target linear = { .type = DM_TARGET_LINEAR, .len_sectors = 8, .dev_major = 7 };
static const struct dm_table table = { .targets = &linear, .n_targets = 1 };

/* As libdevmapper: magic in the upper half, the semaphore at 1. */
static int make_cookie(uint32_t *cookie)
{
	for (uint32_t base = (uint32_t)getpid() & 0xffff;; base = (base + 1) & 0xffff) {
		int id = semget((key_t)(0x0d4d0000u | base), 1, 0600 | IPC_CREAT | IPC_EXCL);

		if (id < 0 && errno == EEXIST)
			continue;
		if (id < 0 || semctl(id, 0, SETVAL, 1))
			return 0;
		last_cookie = *cookie = 0x0d4d0000u | base;
		cookies_made++;
		return 1;
	}
}

static int no_cookie(uint32_t *cookie)
{
	(void)cookie;
	return 0;
}

static bool semaphore_exists(void)
{
	return semget((key_t)last_cookie, 1, 0) >= 0;
}

static void listen_as_udevd(void)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	strcpy(a.sun_path, fake_control);
	if (bind(listener, (struct sockaddr *)(void *)&a, sizeof(a)) || listen(listener, 16))
		abort();
}

static void begin(bool with_udevd, bool with_rules)
{
	char path[112];

	fake_reset();
	fake_dev_make();
	fake.uevents = true;
	cookies_made = 0;
	dev = makedev(FAKE_MAJOR, 1);
	if (with_udevd)
		listen_as_udevd();
	mkdir(fake_rules, 0755);
	snprintf(path, sizeof(path), "%s/95-dm-notify.rules", fake_rules);
	if (with_rules)
		fake_write(path, "");
	if (dm_control_open_at(&fake_places, &c, &e))
		abort();
	dm_control_set_wait(c, LIMIT_MS);
	c->create_cookie = make_cookie;
	fake_forget();
}

static void end(void)
{
	dm_control_closep(&c);
	base_closep(&listener);
	listener = -1;
	fake_dev_remove();
	fake_reset();
}

/* udevd at work: after a moment the link is there, and the cookie counted down. */
static void *udevd(void *arg)
{
	struct sembuf down = { .sem_op = -1, .sem_flg = IPC_NOWAIT };
	char path[96];

	usleep(50 * 1000);
	snprintf(path, sizeof(path), "%s/mapper/vol", fake_dev);
	if (mknod(path, S_IFBLK | 0600, dev))
		return NULL;
	if (arg)
		(void)!semop(semget((key_t)last_cookie, 1, 0), &down, 1);
	return NULL;
}

static uint32_t resume_event(void)
{
	for (int i = 0; i < fake.n_calls; i++)
		if (fake.calls[i].cmd == FAKE_SUSPEND)
			return fake_get(fake.calls[i].bytes, AT_EVENT);
	return 0;
}

static void cookie_comes_back(void)
{
	pthread_t t;
	uint64_t start;

	begin(true, true);
	if (!fake_can_mknod()) {
		end();
		SKIP_TEST("this process can't make device nodes");
	}
	dm_control_set_wait(c, 20000);
	{
		struct dm_uevent u;
		struct dm_ioctl io = { .flags = 0x2000 };

		dm_uevent_begin(c, DM_DEVICE_PRIVATE, DM_UDEV_AUTO, &u);
		CHECK_INT(cookies_made, 1);
		CHECK(u.semaphore >= 0);
		CHECK_INT(u.event_nr, 0x6e0000u | (last_cookie & 0xffff));
		start = dm_clock_ms();
		pthread_create(&t, NULL, udevd, fake_dev);
		dm_uevent_end(c, &u, &io);
		CHECK(dm_clock_ms() - start < 10000);
		CHECK(dm_clock_ms() - start >= 40);
		CHECK(!semaphore_exists());
		CHECK_INT(dm_uevent_node(c, "vol", dev, &e), 0);
		CHECK_INT(c->udev, DM_UDEV_COOKIES);
		pthread_join(t, NULL);
	}
	end();
}

/* udevd takes the event and never answers: the limit, a node of ours, and no semaphore. */
static void cookie_never_comes_back(void)
{
	uint64_t start;

	begin(true, true);
	if (!fake_can_mknod()) {
		end();
		SKIP_TEST("this process can't make device nodes");
	}
	start = dm_clock_ms();
	CHECK_INT(dm_create(c, "vol", "", &table, 0, DM_UDEV_AUTO, &e), 0);
	CHECK(dm_clock_ms() - start >= LIMIT_MS);
	CHECK(dm_clock_ms() - start < 5000);
	CHECK_INT(cookies_made, 1);
	CHECK_INT(resume_event(), 0x600000u | (last_cookie & 0xffff));
	CHECK(!semaphore_exists());
	CHECK(dm_node_right(c, "vol", dev));
	/* it isn't asked again */
	start = dm_clock_ms();
	CHECK_INT(dm_remove(c, "vol", false, DM_UDEV_AUTO, &e), 0);
	CHECK(dm_clock_ms() - start < LIMIT_MS);
	CHECK_INT(cookies_made, 1);
	CHECK_INT(fake_nodes(), 0);
	end();
}

/* No event was sent, or the ioctl failed: nothing to wait for, no semaphore left. */
static void nothing_to_wait_for(void)
{
	uint64_t start;

	begin(true, true);
	fake.uevents = false;
	fake.fail_cmd = FAKE_SUSPEND;
	fake.fail_errno = ENOMEM;
	start = dm_clock_ms();
	CHECK_INT(dm_create(c, "vol", "", &table, 0, DM_UDEV_AUTO, &e), -ENOMEM);
	/* one for the resume, one for the removal, which sent none either */
	CHECK_INT(cookies_made, 2);
	CHECK(!semaphore_exists());
	CHECK_INT(fake_count(), 0);
	CHECK_INT(fake_nodes(), 0);
	CHECK(dm_clock_ms() - start < LIMIT_MS);
	end();
}

/* Somebody cleared all cookies away (dmsetup udevcomplete_all). */
static void cookie_is_cleared(void)
{
	struct dm_ioctl io = { .flags = 0x2000 };
	struct dm_uevent u;
	uint64_t start = dm_clock_ms();

	begin(true, true);
	dm_uevent_begin(c, 0, DM_UDEV_AUTO, &u);
	REQUIRE(u.semaphore >= 0);
	semctl(u.semaphore, 0, IPC_RMID);
	dm_uevent_end(c, &u, &io);
	CHECK(dm_clock_ms() - start < LIMIT_MS);
	end();
}

static void without_cookies(void)
{
	pthread_t t;
	uint64_t start;

	begin(true, true);
	if (!fake_can_mknod()) {
		end();
		SKIP_TEST("this process can't make device nodes");
	}
	dm_control_set_wait(c, 20000);
	pthread_create(&t, NULL, udevd, NULL);
	start = dm_clock_ms();
	CHECK_INT(dm_create(c, "vol", "", &table, 0, DM_UDEV_NO_COOKIE, &e), 0);
	CHECK(dm_clock_ms() - start < 10000);
	pthread_join(t, NULL);
	CHECK_INT(cookies_made, 0);
	CHECK_INT(resume_event(), 0x600000u);
	CHECK(dm_node_right(c, "vol", dev));
	/* udevd doesn't take the node away: the limit, then we do */
	dm_control_set_wait(c, LIMIT_MS);
	start = dm_clock_ms();
	CHECK_INT(dm_remove(c, "vol", false, DM_UDEV_NO_COOKIE, &e), 0);
	CHECK(dm_clock_ms() - start >= LIMIT_MS);
	CHECK_INT(fake_nodes(), 0);
	end();
}

/* The library fails to make one: it goes on without. */
static void no_cookie_to_be_had(void)
{
	struct dm_uevent u;

	begin(true, true);
	c->create_cookie = no_cookie;
	dm_uevent_begin(c, 0, DM_UDEV_AUTO, &u);
	CHECK_INT(u.semaphore, -1);
	CHECK_INT(u.event_nr, 0x600000);
	end();
}

static enum dm_udev_state state_of(bool with_udevd, bool with_rules, bool disabled)
{
	enum dm_udev_state state;
	struct dm_uevent u;

	begin(with_udevd, with_rules);
	if (disabled)
		setenv("DM_DISABLE_UDEV", "1", 1);
	dm_uevent_begin(c, 0, DM_UDEV_AUTO, &u);
	unsetenv("DM_DISABLE_UDEV");
	dm_uevent_end(c, &u, NULL);
	CHECK(!cookies_made || !semaphore_exists());
	state = c->udev;
	end();
	return state;
}

static void who_is_there(void)
{
	CHECK_INT(state_of(true, true, false), DM_UDEV_COOKIES);
	CHECK_INT(state_of(true, false, false), DM_UDEV_ABSENT);
	CHECK_INT(state_of(false, true, false), DM_UDEV_ABSENT);
	CHECK_INT(state_of(true, true, true), DM_UDEV_ABSENT);
	/* a socket that outlived its udevd */
	begin(true, true);
	base_closep(&listener);
	listener = -1;
	CHECK(!access(fake_control, F_OK));
	{
		struct dm_uevent u;

		dm_uevent_begin(c, 0, DM_UDEV_AUTO, &u);
		CHECK_INT(u.semaphore, -1);
	}
	CHECK_INT(c->udev, DM_UDEV_ABSENT);
	end();
}

/* Debian's own library, where it is installed: what it makes is what we count on. It needs a kernel
 * with device-mapper to make one; without, it has to keep quiet. */
static void the_real_library(void)
{
	struct dm_uevent u;
	union {
		int value;
	} none;

	begin(true, true);
	c->create_cookie = NULL;
	dm_uevent_begin(c, 0, DM_UDEV_AUTO, &u);
	if (!c->library) {
		end();
		SKIP_TEST("libdevmapper isn't installed");
	}
	none.value = 0;
	if (u.semaphore >= 0) {
		CHECK_INT(semctl(u.semaphore, 0, GETVAL, none), 1);
		CHECK(u.event_nr & 0xffff);
		dm_uevent_end(c, &u, NULL);
		CHECK_INT(u.semaphore, -1);
	}
	end();
}

int main(void)
{
	RUN(cookie_comes_back);
	RUN(cookie_never_comes_back);
	RUN(nothing_to_wait_for);
	RUN(cookie_is_cleared);
	RUN(without_cookies);
	RUN(no_cookie_to_be_had);
	RUN(who_is_there);
	RUN(the_real_library);
	return check_exit();
}
