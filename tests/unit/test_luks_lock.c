// SPDX-License-Identifier: Apache-2.0
// The metadata lock: its files, who waits for whom, and that cryptsetup takes part.
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "luks/internal.h"
#include "luks_expect.h"

#define NAME "L_1:2"

static char dir[] = "/tmp/luks_lock.XXXXXX", lock_dir[64], lock_path[80];

static bool make_dir(void)
{
	strcpy(dir, "/tmp/luks_lock.XXXXXX");
	if (!mkdtemp(dir))
		return false;
	snprintf(lock_dir, sizeof(lock_dir), "%s/cs", dir);
	snprintf(lock_path, sizeof(lock_path), "%s/%s", lock_dir, NAME);
	return true;
}

static void remove_dir(void)
{
	unlink(lock_path);
	rmdir(lock_dir);
	rmdir(dir);
}

static bool exists(const char *path)
{
	struct stat st;

	return !lstat(path, &st);
}

static void directory_is_made_and_file_removed(void)
{
	struct luks_lock l;
	struct err e = { 0 };
	struct stat st;

	REQUIRE(make_dir());
	CHECK_INT(luks_lock_take_name(lock_dir, NAME, true, &l, &e), 0);
	REQUIRE(!stat(lock_dir, &st));
	CHECK_INT(st.st_mode & 07777, 0700);
	REQUIRE(!stat(lock_path, &st));
	CHECK_INT(st.st_mode & 0077, 0);
	luks_lock_release(&l);
	CHECK(!exists(lock_path));
	CHECK_INT(l.fd, -1);
	remove_dir();
}

static void last_of_two_readers_removes_the_file(void)
{
	struct luks_lock a, b;

	REQUIRE(make_dir());
	REQUIRE(!luks_lock_take_name(lock_dir, NAME, false, &a, NULL));
	REQUIRE(!luks_lock_take_name(lock_dir, NAME, false, &b, NULL));
	luks_lock_release(&a);
	CHECK(exists(lock_path));
	luks_lock_release(&b);
	CHECK(!exists(lock_path));
	remove_dir();
}

/* A child that takes the lock, and says so; its pid. */
static pid_t taker(bool exclusive, int *ret_fd)
{
	int gate[2];
	pid_t pid;

	if (pipe(gate))
		return -1;
	pid = fork();
	if (pid == 0) {
		struct luks_lock l;
		int r = luks_lock_take_name(lock_dir, NAME, exclusive, &l, NULL);
		struct stat a, b;

		/* the lock that it got is the one that stands there */
		if (!r && (fstat(l.fd, &a) || stat(lock_path, &b) || a.st_ino != b.st_ino))
			r = 1;
		(void)!write(gate[1], r ? "n" : "y", 1);
		luks_lock_release(&l);
		_exit(r ? 1 : 0);
	}
	close(gate[1]);
	*ret_fd = gate[0];
	return pid;
}

/* 'y' or 'n' once it has the lock; 0 if not within a moment. */
static char answer(int fd, bool soon)
{
	struct timespec moment = { 0, 200000000 };
	char c = 0;

	if (soon) {
		nanosleep(&moment, NULL);
		fcntl(fd, F_SETFL, O_NONBLOCK);
	} else {
		fcntl(fd, F_SETFL, 0);
	}
	return read(fd, &c, 1) == 1 ? c : 0;
}

static void writer_waits_and_takes_the_new_file(void)
{
	struct luks_lock l;
	int fd = -1, status = -1;
	pid_t pid;

	REQUIRE(make_dir());
	REQUIRE(!luks_lock_take_name(lock_dir, NAME, false, &l, NULL));
	pid = taker(true, &fd);
	REQUIRE(pid > 0);
	CHECK_INT(answer(fd, true), 0);
	/* The file goes while it waits for it: it must not be content with the old one. */
	CHECK(!unlink(lock_path));
	luks_lock_release(&l);
	CHECK_INT(answer(fd, false), 'y');
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
	CHECK(!exists(lock_path));
	close(fd);
	remove_dir();
}

static void readers_share_and_writers_exclude(void)
{
	struct luks_lock l;
	int fd = -1, status;
	pid_t pid;

	REQUIRE(make_dir());
	REQUIRE(!luks_lock_take_name(lock_dir, NAME, false, &l, NULL));
	pid = taker(false, &fd);
	CHECK_INT(answer(fd, false), 'y');
	CHECK(waitpid(pid, &status, 0) == pid);
	close(fd);
	luks_lock_release(&l);
	REQUIRE(!luks_lock_take_name(lock_dir, NAME, true, &l, NULL));
	pid = taker(false, &fd);
	CHECK_INT(answer(fd, true), 0);
	luks_lock_release(&l);
	CHECK_INT(answer(fd, false), 'y');
	CHECK(waitpid(pid, &status, 0) == pid);
	close(fd);
	remove_dir();
}

static void links_are_not_followed(void)
{
	char target[80];
	struct luks_lock l;
	struct err e = { 0 };

	REQUIRE(make_dir());
	snprintf(target, sizeof(target), "%s/target", dir);
	REQUIRE(!mkdir(lock_dir, 0700) && !symlink(target, lock_path));
	CHECK_INT(luks_lock_take_name(lock_dir, NAME, true, &l, &e), -ELOOP);
	CHECK(!exists(target));
	unlink(lock_path);
	rmdir(lock_dir);
	REQUIRE(!mkdir(target, 0700) && !symlink(target, lock_dir));
	CHECK(luks_lock_take_name(lock_dir, NAME, true, &l, &e) < 0);
	unlink(lock_dir);
	rmdir(target);
	rmdir(dir);
}

static void missing_parent_is_an_error(void)
{
	struct luks_lock l;
	struct err e = { 0 };

	CHECK_INT(luks_lock_take_name("/nonexistent/cs", NAME, true, &l, &e), -ENOENT);
	CHECK_CONTAINS(err_text(&e), "/nonexistent/cs");
}

/* ---- image files ---- */

static int make_image(char *path)
{
	struct image img = { 0 };
	int fd = mkstemp(path);

	if (fd < 0 || !edited_image(&img, "plain", "") ||
	    write(fd, img.data, img.len) != (ssize_t)img.len || ftruncate(fd, 64 << 20))
		return -1;
	image_free(&img);
	return fd;
}

static void image_file_is_locked_itself(void)
{
	char path[] = "/tmp/test_luks_lock.XXXXXX";
	int fd = make_image(path), other;
	struct luks_lock l;

	REQUIRE(fd >= 0);
	other = open(path, O_RDONLY | O_CLOEXEC);
	REQUIRE(!luks_lock_take_file(fd, true, &l, NULL));
	CHECK(l.file);
	CHECK(flock(other, LOCK_SH | LOCK_NB) != 0);
	luks_lock_release(&l);
	CHECK_INT(flock(other, LOCK_EX | LOCK_NB), 0);
	flock(other, LOCK_UN);
	close(other);
	close(fd);
	unlink(path);
}

static int timed_cryptsetup(const char *path)
{
	char cmd[256];
	int status;

	snprintf(cmd, sizeof(cmd), "timeout 0.5 cryptsetup luksDump %s >/dev/null 2>&1", path);
	status = system(cmd);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* 124: cryptsetup was still waiting when its time was over. */
static void cryptsetup_waits_for_our_lock(void)
{
	char path[] = "/tmp/test_luks_lock.XXXXXX";
	struct luks_lock l;
	int fd;

	if (system("command -v cryptsetup >/dev/null"))
		SKIP_TEST("no cryptsetup");
	fd = make_image(path);
	REQUIRE(fd >= 0);
	REQUIRE(!luks_lock_take_file(fd, true, &l, NULL));
	CHECK_INT(timed_cryptsetup(path), 124);
	luks_lock_release(&l);
	REQUIRE(!luks_lock_take_file(fd, false, &l, NULL));
	CHECK_INT(timed_cryptsetup(path), 0);
	luks_lock_release(&l);
	close(fd);
	unlink(path);
}

int main(void)
{
	RUN(directory_is_made_and_file_removed);
	RUN(last_of_two_readers_removes_the_file);
	RUN(writer_waits_and_takes_the_new_file);
	RUN(readers_share_and_writers_exclude);
	RUN(links_are_not_followed);
	RUN(missing_parent_is_an_error);
	RUN(image_file_is_locked_itself);
	RUN(cryptsetup_waits_for_our_lock);
	return check_exit();
}
