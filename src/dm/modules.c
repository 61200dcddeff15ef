// SPDX-License-Identifier: Apache-2.0
// Kernel modules: load one that is missing, or say just what the host lacks.
#include "internal.h"

#include <spawn.h>
#include <stdio.h>
#include <sys/utsname.h>
#include <sys/wait.h>

#define SETTING "/proc/sys/kernel/modprobe"
#define DISABLED "/proc/sys/kernel/modules_disabled"

/* The kernel's own choice, else where distributions have it. */
static void find_modprobe(char *buf, size_t cap)
{
	static const char *const usual[] = { "/sbin/modprobe", "/usr/sbin/modprobe",
					     "/usr/bin/modprobe" };
	_cleanup_free_ char *text = NULL;

	*buf = '\0';
	if (!io_read_file(SETTING, 4096, &text, NULL)) {
		text[strcspn(text, "\n")] = '\0';
		if (*text == '/' && !access(text, X_OK) && !text_copy(buf, cap, text))
			return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(usual); i++)
		if (!access(usual[i], X_OK) && !text_copy(buf, cap, usual[i]))
			return;
}

int dm_module_load(const char *name)
{
	char path[256], quiet[] = "-q", end[] = "--", module[64], base[] = "modprobe";
	char *argv[] = { base, quiet, end, module, NULL };
	char where[] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin", *envp[] = { where, NULL };
	int status, r;
	pid_t pid;

	find_modprobe(path, sizeof(path));
	if (!*path)
		return -ENOENT;
	r = text_copy(module, sizeof(module), name);
	if (r)
		return r;
	r = base_spawn(path, argv, envp, NULL, NULL, &pid);
	if (r)
		return r;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	log_debug("%s %s: %s", path, name, status ? "failed" : "loaded");
	return status ? -ENOENT : 0;
}

static bool modules_disabled(void)
{
	_cleanup_free_ char *text = NULL;

	return !io_read_file(DISABLED, 64, &text, NULL) && *text == '1';
}

int dm_module_lacking(const char *what, const char *name, struct err *e)
{
	char folder[256], modprobe[256];
	struct utsname u;

	if (uname(&u))
		return err_set(e, -EHOSTDOWN, "%s: module %s is missing", what, name);
	snprintf(folder, sizeof(folder), "/lib/modules/%s", u.release);
	find_modprobe(modprobe, sizeof(modprobe));
	if (modules_disabled())
		return err_set(e, -EHOSTDOWN,
			       "%s: module %s isn't loaded, and loading is disabled "
			       "(kernel.modules_disabled)",
			       what, name);
	if (access(folder, F_OK))
		return err_set(e, -EHOSTDOWN,
			       "%s: module %s is missing for kernel %s; there is no "
			       "folder %s here",
			       what, name, u.release, folder);
	if (!*modprobe)
		return err_set(e, -EHOSTDOWN,
			       "%s: module %s isn't loaded for kernel %s, and there is "
			       "no modprobe here",
			       what, name, u.release);
	return err_set(e, -EHOSTDOWN, "%s: modprobe finds or loads no module %s for kernel %s",
		       what, name, u.release);
}
