// SPDX-License-Identifier: Apache-2.0
// The system calls of the keyring room and what their errors mean. Source: add_key(2), keyctl(2).
#include "internal.h"

#include <linux/keyctl.h>
#include <sys/syscall.h>

static int32_t result(long r)
{
	return r < 0 ? -errno : (int32_t)r;
}

int32_t keyring_sys_add(const char *type, const char *description, const void *payload, size_t len,
			int32_t ring)
{
	return result(syscall(SYS_add_key, type, description, payload, len, (long)ring));
}

int32_t keyring_sys_search(int32_t ring, const char *type, const char *description)
{
	return result(syscall(SYS_keyctl, (long)KEYCTL_SEARCH, (long)ring, type, description, 0L));
}

int keyring_sys_link(int32_t key, int32_t ring)
{
	return result(syscall(SYS_keyctl, (long)KEYCTL_LINK, (long)key, (long)ring, 0L, 0L));
}

int keyring_sys_unlink(int32_t key, int32_t ring)
{
	return result(syscall(SYS_keyctl, (long)KEYCTL_UNLINK, (long)key, (long)ring, 0L, 0L));
}

int keyring_sys_revoke(int32_t key)
{
	return result(syscall(SYS_keyctl, (long)KEYCTL_REVOKE, (long)key, 0L, 0L, 0L));
}

int keyring_sys_read(int32_t ring, int32_t *ret, size_t cap)
{
	int32_t n = result(
		syscall(SYS_keyctl, (long)KEYCTL_READ, (long)ring, ret, cap * sizeof(*ret), 0L));

	if (n < 0)
		return n;
	n /= (int32_t)sizeof(*ret);
	return (size_t)n < cap ? n : (int)cap;
}

int keyring_sys_describe(int32_t key, struct keyring_description *ret)
{
	char text[512] = ""; /* "type;uid;gid;perm;description" */
	int32_t n = result(
		syscall(SYS_keyctl, (long)KEYCTL_DESCRIBE, (long)key, text, sizeof(text), 0L));
	char *rest = text;

	if (n < 0)
		return n;
	if ((size_t)n > sizeof(text)) /* then nothing was written */
		return -ENAMETOOLONG;
	for (int i = 0; i < 4 && rest; i++) {
		rest = strchr(rest, ';');
		if (rest)
			*rest++ = '\0';
	}
	if (!rest)
		return -EIO;
	return text_copy(ret->type, sizeof(ret->type), text)
		       ?: text_copy(ret->text, sizeof(ret->text), rest);
}

int32_t keyring_sys_process(void)
{
	return result(syscall(SYS_keyctl, (long)KEYCTL_GET_KEYRING_ID,
			      (long)KEY_SPEC_PROCESS_KEYRING, 1L, 0L, 0L));
}

int keyring_sys_setperm(int32_t key, uint32_t perm)
{
	return result(syscall(SYS_keyctl, (long)KEYCTL_SETPERM, (long)key, (long)perm, 0L, 0L));
}

int32_t keyring_add_private(const char *type, const char *description, const void *payload,
			    size_t len, int32_t ring)
{
	int32_t id = keyring_sys_add(type, description, payload, len, ring);
	int r = id < 0 ? id : keyring_sys_setperm(id, KEYRING_PERM_POSSESSOR);

	if (id >= 0 && r < 0)
		(void)keyring_sys_unlink(id, ring);
	return r < 0 ? r : id;
}

int keyring_sys_probe(void)
{
	int32_t r = result(syscall(SYS_keyctl, (long)KEYCTL_GET_KEYRING_ID,
				   (long)KEY_SPEC_THREAD_KEYRING, 0L, 0L, 0L));

	return r == -ENOKEY || r > 0 ? 0 : r;
}

int keyring_fail(struct err *e, int r, const char *what)
{
	switch (r) {
	case -EDQUOT:
		return err_set(e, r,
			       "%s: the key quota of user %u is used up (see /proc/key-users and "
			       "/proc/sys/kernel/keys/)",
			       what, getuid());
	case -EACCES:
		return err_set(e, r, "%s: the kernel's keyring gives no permission", what);
	case -EPERM:
		return err_set(e, -EHOSTDOWN,
			       "%s: calls to the kernel's keyring are forbidden here (by a "
			       "container's seccomp filter?)",
			       what);
	case -ENOSYS:
		return err_set(e, -EHOSTDOWN, "%s: the kernel has no keyring (CONFIG_KEYS)", what);
	case -ENODEV:
		return err_set(e, -EHOSTDOWN, "%s: the kernel has no keys of this type", what);
	default:
		return err_sys(e, r, "%s", what);
	}
}
