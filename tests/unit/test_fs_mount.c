// SPDX-License-Identifier: Apache-2.0
// What of a CO's mount options reaches mount(2): flags by number, the rest as data, byte for byte;
// SELinux' context among it (selinux_add_opt in the kernel takes the quotes off).
#include <cryptvol/base.h>
#include <cryptvol/mount.h>

#include "check.h"

#include <sys/mount.h>

static struct {
	char source[64], target[64], type[16], data[256];
	unsigned long flags;
	bool has_type, has_data;
} calls[4];
static int n_calls, n_unmounts, fail_at;

int __wrap_mount(const char *source, const char *target, const char *type, unsigned long flags,
		 const void *data);
int __wrap_umount2(const char *target, int flags);

int __wrap_mount(const char *source, const char *target, const char *type, unsigned long flags,
		 const void *data)
{
	int i = n_calls++;

	snprintf(calls[i].source, sizeof(calls[i].source), "%s", source ?: "");
	snprintf(calls[i].target, sizeof(calls[i].target), "%s", target);
	snprintf(calls[i].type, sizeof(calls[i].type), "%s", type ?: "");
	snprintf(calls[i].data, sizeof(calls[i].data), "%s", data ? (const char *)data : "");
	calls[i].flags = flags;
	if (n_calls != fail_at)
		return 0;
	errno = EINVAL;
	return -1;
}

int __wrap_umount2(const char *target, int flags)
{
	(void)flags;
	CHECK_STR(target, "/no/such/target");
	n_unmounts++;
	return 0;
}

static int try(const char *type, bool readonly, const char *const *flags, size_t n, struct err *e)
{
	struct fs_mount m = { .source = "/no/such/source",
			      .target = "/no/such/target",
			      .type = type,
			      .readonly = readonly,
			      .flags = flags,
			      .n_flags = n };

	memset(calls, 0, sizeof(calls));
	n_calls = n_unmounts = 0;
	return fs_mount_on(&m, e);
}

static void words_become_flags(void)
{
	static const char *const words[] = { "noatime", "nodev", "nosuid", "exec", "suid" };
	struct err e = { 0 };

	CHECK_INT(try("ext4", false, words, ARRAY_SIZE(words), &e), 0);
	CHECK_INT(n_calls, 1);
	CHECK_STR(calls[0].type, "ext4");
	CHECK_INT(calls[0].flags, MS_NOATIME | MS_NODEV);
	CHECK_STR(calls[0].data, "");
}

static void context_is_passed_whole(void)
{
	/* As kubelet writes it: quoted, since categories hold a comma. */
	static const char *const words[] = {
		"discard", "context=\"system_u:object_r:container_file_t:s0:c1,c2\"", "ro",
		"data=ordered"
	};
	struct err e = { 0 };

	CHECK_INT(try("ext4", false, words, ARRAY_SIZE(words), &e), 0);
	CHECK_STR(calls[0].data,
		  "discard,context=\"system_u:object_r:container_file_t:s0:c1,c2\",data=ordered");
	CHECK_INT(calls[0].flags, MS_RDONLY);
}

static void readonly_wins(void)
{
	static const char *const words[] = { "rw" };
	struct err e = { 0 };

	CHECK_INT(try("xfs", true, words, 1, &e), 0);
	CHECK_INT(calls[0].flags, MS_RDONLY);
}

/* The target of a pod: the staged mount has the context and the file system's options. */
static void bind_takes_only_flags(void)
{
	static const char *const words[] = { "context=\"a:b:c:s0\"", "noatime", "discard" };
	struct err e = { 0 };

	CHECK_INT(try(NULL, true, words, ARRAY_SIZE(words), &e), 0);
	CHECK_INT(n_calls, 2);
	CHECK_INT(calls[0].flags, MS_BIND);
	/* What the target's own mount has can't be asked for here, where there is none: it stays
	 * on the safe side. */
	CHECK_INT(calls[1].flags, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOATIME | MS_NOSUID |
					  MS_NODEV | MS_NOEXEC);
	CHECK_STR(calls[0].data, "");
	CHECK_STR(calls[1].data, "");
}

static void bind_is_undone(void)
{
	struct err e = { 0 };

	fail_at = 2;
	CHECK_INT(try(NULL, true, NULL, 0, &e), -EINVAL);
	fail_at = 0;
	CHECK_INT(n_unmounts, 1);
}

static void errors_dont_repeat_options(void)
{
	static const char *const words[] = { "password=hunter2" };
	struct err e = { 0 };

	fail_at = 1;
	CHECK_INT(try("ext4", false, words, 1, &e), -EINVAL);
	fail_at = 0;
	CHECK(!strstr(e.text, "hunter2"));
	CHECK_CONTAINS(e.text, "/no/such/target");
}

static void too_long(void)
{
	static char word[4200];
	const char *words[] = { word };
	struct err e = { 0 };

	memset(word, 'x', sizeof(word) - 1);
	CHECK_INT(try("ext4", false, words, 1, &e), -EINVAL);
	CHECK_INT(n_calls, 0);
}

int main(void)
{
	RUN(words_become_flags);
	RUN(context_is_passed_whole);
	RUN(readonly_wins);
	RUN(bind_takes_only_flags);
	RUN(bind_is_undone);
	RUN(errors_dont_repeat_options);
	RUN(too_long);
	return check_exit();
}
