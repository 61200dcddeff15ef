// SPDX-License-Identifier: Apache-2.0
// Admission between processes: the budget is never exceeded, first come first served, and whoever
// dies gives its share back.
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#include "crypto_admission.h"

static void budget_holds_for_processes(void)
{
	pid_t pid[4];

	begin();
	meter->now = meter->most = 0;
	for (int i = 0; i < 4; i++) {
		pid[i] = fork();
		if (!pid[i]) {
			struct crypto_kdf *kdf = new_kdf(10 * MIB, lock_dir);

			for (unsigned int k = 0; k < 8; k++)
				use_for_a_while(kdf, (1 + k % 3) * 2 * MIB);
			crypto_kdf_free(kdf);
			_exit(0);
		}
		REQUIRE(pid[i] > 0);
	}
	for (int i = 0; i < 4; i++) {
		int status = -1;

		waitpid(pid[i], &status, 0);
		CHECK_INT(status, 0);
	}
	CHECK_MSG(meter->most <= 10 * MIB, "%llu", (unsigned long long)meter->most);
	CHECK(meter->most >= 6 * MIB);
	tree_remove(&t);
}

/* A child that holds the whole budget, or waits for it, until it is killed. */
static pid_t start_holder(int *ret_ready_fd)
{
	int fds[2];
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC))
		abort();
	pid = fork();
	if (!pid) {
		struct crypto_kdf *kdf = new_kdf(2 * UNIT_BYTES, lock_dir);
		struct crypto_grant g;

		if (enter(kdf, 2 * UNIT_BYTES, &g, NULL) ||
		    write(fds[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(fds[1]);
	*ret_ready_fd = fds[0];
	return pid;
}

static void killed_process_frees(void)
{
	struct waiter_thread w = { .bytes = UNIT_BYTES };
	int holder_fd, waiter_fd, status;
	pid_t holder, waiter;
	struct crypto_kdf *kdf;
	char x;

	begin();
	if (access("/proc/locks", R_OK))
		SKIP_TEST("no /proc/locks");
	holder = start_holder(&holder_fd);
	REQUIRE(read(holder_fd, &x, 1) == 1);
	/* one that dies at the turnstile's head must not block those behind it */
	waiter = start_holder(&waiter_fd);
	CHECK(wait_for_blocked(1));
	kdf = new_kdf(2 * UNIT_BYTES, lock_dir);
	w.kdf = kdf;
	REQUIRE(!pthread_create(&w.id, NULL, enter_and_leave, &w));
	CHECK(wait_for_blocked(2));
	kill(waiter, SIGKILL);
	waitpid(waiter, &status, 0);
	CHECK(wait_for_blocked(1));
	CHECK(!w.admitted);
	CHECK(read(waiter_fd, &x, 1) == 0);
	kill(holder, SIGKILL);
	waitpid(holder, &status, 0);
	pthread_join(w.id, NULL);
	CHECK(w.admitted);
	close(holder_fd);
	close(waiter_fd);
	crypto_kdf_free(kdf);
	tree_remove(&t);
}

/* Each with a queue of its own, as processes have: the turnstile keeps their order. */
static void first_come_first_served_on_the_host(void)
{
	struct waiter_thread w[6] = { 0 };
	struct crypto_kdf *holder;
	struct crypto_grant all;

	begin();
	if (access("/proc/locks", R_OK))
		SKIP_TEST("no /proc/locks");
	order_n = 0;
	holder = new_kdf(UNIT_BYTES, lock_dir);
	REQUIRE(!enter(holder, UNIT_BYTES, &all, NULL));
	for (int i = 0; i < 6; i++) {
		w[i].kdf = new_kdf(UNIT_BYTES, lock_dir);
		w[i].number = i;
		w[i].bytes = UNIT_BYTES;
		REQUIRE(!pthread_create(&w[i].id, NULL, enter_and_leave, &w[i]));
		CHECK(wait_for_blocked(i + 1));
	}
	CHECK_INT(order_n, 0);
	crypto_admission_leave(holder, &all);
	for (int i = 0; i < 6; i++) {
		pthread_join(w[i].id, NULL);
		crypto_kdf_free(w[i].kdf);
	}
	for (int i = 0; i < 6; i++)
		CHECK_MSG(order[i] == i, "%d came at place %d", order[i], i);
	crypto_kdf_free(holder);
	tree_remove(&t);
}

static void host_counts_ranges(void)
{
	struct crypto_host h;
	int fd[20], me;

	begin();
	me = crypto_host_open(lock_dir);
	REQUIRE(me >= 0);
	CHECK_INT(crypto_host_look(me, &h), 0);
	CHECK_INT(h.units, 0);
	for (uint64_t i = 0; i < 20; i++) {
		fd[i] = crypto_host_open(lock_dir);
		REQUIRE(fd[i] >= 0);
		CHECK_INT(crypto_host_look(fd[i], &h), 0);
		CHECK_INT(crypto_host_claim(fd[i], &h, 100 + i), 0);
	}
	CHECK_INT(crypto_host_look(me, &h), 0);
	CHECK_INT(h.units, 20 * 100 + 190);
	CHECK_INT(h.shortest_units, 100);
	for (int i = 0; i < 20; i += 2)
		crypto_host_close(fd[i]);
	CHECK_INT(crypto_host_look(me, &h), 0);
	CHECK_INT(h.units, 10 * 100 + 100);
	CHECK_INT(h.shortest_units, 101);
	CHECK_INT(crypto_host_claim(me, &h, 7), 0);
	for (int i = 1; i < 20; i += 2)
		crypto_host_close(fd[i]);
	crypto_host_close(me);
	me = crypto_host_open(lock_dir);
	CHECK_INT(crypto_host_look(me, &h), 0);
	CHECK_INT(h.units, 0);
	crypto_host_close(me);
	crypto_host_close(-1);
	tree_remove(&t);
}

static char debug_line[512];
static void keep_line(const char *line)
{
	snprintf(debug_line, sizeof(debug_line), "%s", line);
}

static void without_a_lock_file(void)
{
	struct crypto_grant g;
	struct crypto_kdf *kdf;
	struct stat st;

	begin();
	log_set_debug(keep_line);
	kdf = new_kdf(UNIT_BYTES, "/proc/no-folder-can-be-made-here");
	CHECK_INT(enter(kdf, UNIT_BYTES, &g, NULL), 0);
	CHECK_INT(g.host_fd, -1);
	crypto_admission_leave(kdf, &g);
	CHECK_CONTAINS(debug_line, "this process only");
	log_set_debug(NULL);
	crypto_kdf_free(kdf);
	kdf = new_kdf(UNIT_BYTES, lock_dir);
	CHECK_INT(enter(kdf, UNIT_BYTES, &g, NULL), 0);
	CHECK(g.host_fd >= 0);
	crypto_admission_leave(kdf, &g);
	CHECK(!stat(lock_dir, &st) && (st.st_mode & 0777) == 0700);
	crypto_kdf_free(kdf);
	tree_remove(&t);
}

int main(void)
{
	meter_make();
	/* processes first: a child of a process with threads may do little */
	RUN(budget_holds_for_processes);
	RUN(killed_process_frees);
	RUN(first_come_first_served_on_the_host);
	RUN(host_counts_ranges);
	RUN(without_a_lock_file);
	return check_exit();
}
