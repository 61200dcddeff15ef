// SPDX-License-Identifier: Apache-2.0
// How many processors may be used, admission by them, and derivations that leave rather than wait.
#include "crypto_admission.h"

#define ARGON2(mib, lanes)                                            \
	((struct crypto_pbkdf){ .type = CRYPTO_ARGON2ID,              \
				.iterations = 4,                      \
				.memory_kib = (uint32_t)((mib)*1024), \
				.parallel = (lanes) })

/* What the files of control groups say, and how many of 8 processors that leaves. */
static void processors_by_control_group(void)
{
	static const struct {
		const char *group, *file, *text, *file_2, *text_2;
		unsigned int cpus;
	} cases[] = {
		{ "0::/a/b\n", "sys/fs/cgroup/a/cpu.max", "max 100000\n", NULL, NULL, 8 },
		{ "0::/a/b\n", "sys/fs/cgroup/a/cpu.max", "200000 100000\n", NULL, NULL, 2 },
		{ "0::/a/b\n", "sys/fs/cgroup/a/b/cpu.max", "250000 100000\n",
		  "sys/fs/cgroup/a/cpu.max", "400000 100000\n", 3 },
		{ "0::/a/b\n", "sys/fs/cgroup/a/b/cpu.max", "50000 100000\n", NULL, NULL, 1 },
		{ "0::/a/b\n", "sys/fs/cgroup/a/b/cpu.max", "0 100000\n", NULL, NULL, 1 },
		{ "0::/a/b\n", "sys/fs/cgroup/a/b/cpu.max", "100000 0\n", NULL, NULL, 8 },
		{ "0::/a/b\n", "sys/fs/cgroup/a/b/cpu.max", "100000", NULL, NULL, 8 },
		{ "0::/a/b\n", "sys/fs/cgroup/a/b/cpu.max", "9000000 100000\n", NULL, NULL, 8 },
		{ "4:cpu,cpuacct:/a\n", "sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "150000\n",
		  "sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us", "50000\n", 3 },
		{ "4:cpu,cpuacct:/a\n", "sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "-1\n",
		  "sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us", "50000\n", 8 },
		{ "4:memory:/a\n", "sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", "50000\n",
		  "sys/fs/cgroup/cpu/a/cpu.cfs_period_us", "50000\n", 8 },
	};

	processors = 8;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		begin();
		tree_write(&t, "proc/self/cgroup", cases[i].group);
		tree_write(&t, cases[i].file, cases[i].text);
		if (cases[i].file_2)
			tree_write(&t, cases[i].file_2, cases[i].text_2);
		CHECK_MSG(crypto_cpus_read(t.root) == cases[i].cpus, "%s %s: %u", cases[i].file,
			  cases[i].text, crypto_cpus_read(t.root));
		tree_remove(&t);
	}
	processors = 64;
}

static void threads_of_a_derivation(void)
{
	const struct crypto_pbkdf four = ARGON2(64, 4), one = ARGON2(64, 1);
	const struct crypto_pbkdf tiny = { CRYPTO_ARGON2ID, "", 4, 64, 4 };

	CHECK_INT(crypto_argon2_threads(&one, 8), 1);
	CHECK_INT(crypto_argon2_threads(&four, 8), 4);
	CHECK_INT(crypto_argon2_threads(&four, 3), 2); /* two lanes each */
	CHECK_INT(crypto_argon2_threads(&four, 1), 1);
	CHECK_INT(crypto_argon2_threads(&tiny, 8), 1);
}

/* Two processors: the third waits for the memory of one before, though there is memory enough. */
static void no_more_than_processors(void)
{
	struct waiter_thread w = { .bytes = UNIT_BYTES };
	struct crypto_grant a, b;
	unsigned char *first;

	begin();
	processors = 2;
	w.kdf = new_kdf(64 * MIB, lock_dir);
	REQUIRE(!enter(w.kdf, UNIT_BYTES, &a, NULL));
	REQUIRE(!enter(w.kdf, UNIT_BYTES, &b, NULL));
	first = a.arena->data;
	REQUIRE(!pthread_create(&w.id, NULL, enter_and_leave, &w));
	CHECK(wait_for_waiting(w.kdf, 1));
	pause_ms(20);
	CHECK(!w.admitted);
	CHECK_INT(blocked_on_lock_file(), 0); /* other processes go on meanwhile */
	crypto_admission_leave(w.kdf, &a);
	pthread_join(w.id, NULL);
	CHECK(w.admitted);
	crypto_admission_leave(w.kdf, &b);
	REQUIRE(!enter(w.kdf, UNIT_BYTES, &a, NULL));
	REQUIRE(!enter(w.kdf, UNIT_BYTES, &b, NULL));
	CHECK(a.arena->data == first || b.arena->data == first);
	crypto_admission_leave(w.kdf, &a);
	crypto_admission_leave(w.kdf, &b);
	crypto_kdf_free(w.kdf);
	tree_remove(&t);
	processors = 64;
}

/* One with more threads than processors are left begins as soon as one is. */
static void no_processor_idles(void)
{
	const struct crypto_pbkdf four = ARGON2(4, 4);
	struct waiter_thread w = { .bytes = UNIT_BYTES };
	struct crypto_grant a, b;

	begin();
	processors = 4;
	w.kdf = new_kdf(64 * MIB, NULL);
	REQUIRE(!enter(w.kdf, UNIT_BYTES, &a, NULL));
	REQUIRE(!crypto_admission_enter(w.kdf, &four, false, &b, NULL));
	CHECK_INT(b.threads, 4);
	REQUIRE(!pthread_create(&w.id, NULL, enter_and_leave, &w));
	CHECK(wait_for_waiting(w.kdf, 1));
	crypto_admission_leave(w.kdf, &a);
	pause_ms(20);
	CHECK(!w.admitted);
	crypto_admission_leave(w.kdf, &b);
	pthread_join(w.id, NULL);
	CHECK(w.admitted);
	crypto_kdf_free(w.kdf);
	tree_remove(&t);
	processors = 64;
}

static int enter_if_free(struct crypto_kdf *kdf, size_t mib)
{
	const struct crypto_pbkdf p = ARGON2(mib, 1);
	struct crypto_grant g;
	struct err e = { 0 };
	int r = crypto_admission_enter(kdf, &p, true, &g, &e);

	if (!r)
		crypto_admission_leave(kdf, &g);
	else if (r == -EBUSY)
		CHECK_CONTAINS(e.text, "come first");
	return r;
}

static void only_what_is_free(void)
{
	struct crypto_kdf *kdf, *other;
	struct waiter_thread w = { .bytes = 30 * MIB };
	struct crypto_grant a, b;
	struct crypto_kdf_stats s;
	int fd;

	begin();
	processors = 2;
	kdf = new_kdf(32 * MIB, lock_dir);
	other = new_kdf(32 * MIB, lock_dir);
	CHECK_INT(enter_if_free(kdf, 16), 0);
	CHECK_INT(enter_if_free(kdf, 18), -EBUSY); /* less than as much again would be left */
	tree_meminfo(&t, 8192, 24);
	CHECK_INT(enter_if_free(other, 12), -EBUSY); /* nor of what is available */
	tree_meminfo(&t, 8192, 4096);
	REQUIRE(!enter(kdf, UNIT_BYTES, &a, NULL));
	CHECK_INT(enter_if_free(kdf, 12), 0);
	CHECK_INT(enter_if_free(kdf, 14), -EBUSY);
	CHECK_INT(enter_if_free(other, 14), -EBUSY); /* the other process's count, too */
	CHECK_INT(enter_if_free(other, 12), 0);
	REQUIRE(!enter(kdf, UNIT_BYTES, &b, NULL));
	CHECK_INT(enter_if_free(kdf, 2), -EBUSY); /* no processor */
	crypto_admission_leave(kdf, &b);
	w.kdf = kdf;
	REQUIRE(!pthread_create(&w.id, NULL, enter_and_leave, &w));
	CHECK(wait_for_waiting(kdf, 1));
	CHECK_INT(enter_if_free(kdf, 2), -EBUSY); /* behind nobody */
	crypto_admission_leave(kdf, &a);
	pthread_join(w.id, NULL);
	CHECK(w.admitted);
	fd = crypto_host_open(lock_dir);
	REQUIRE(fd >= 0 && !crypto_host_queue(fd, false));
	CHECK_INT(enter_if_free(kdf, 2), -EBUSY); /* somebody waits at the turnstile */
	crypto_host_close(fd);
	CHECK_INT(enter_if_free(kdf, 2), 0);
	crypto_kdf_get_stats(kdf, &s);
	CHECK_INT(s.in_use_bytes, 0);
	CHECK_INT(s.waiting, 0);
	crypto_kdf_free(kdf);
	crypto_kdf_free(other);
	tree_remove(&t);
	processors = 64;
}

int main(void)
{
	RUN(processors_by_control_group);
	RUN(threads_of_a_derivation);
	RUN(no_more_than_processors);
	RUN(no_processor_idles);
	RUN(only_what_is_free);
	return check_exit();
}
