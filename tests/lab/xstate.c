// SPDX-License-Identifier: Apache-2.0
// Preloaded into linux.uml: User Mode Linux 6.1 keeps a process's floating-point state in a buffer of fixed size (2.7 KiB). The host's
// kernel takes a state through PTRACE_SETREGSET only if it is whole, and with AMX the whole has 11 KiB: without help every guest ends
// at its first process. This library fills up what User Mode Linux passes with what the traced process holds.
#include <dlfcn.h>
#include <elf.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/types.h>
#include <sys/uio.h>

// 11 KiB today; the state has grown with each generation of processors.
#define WHOLE_MAX (256 * 1024)

typedef long (*ptrace_fn)(int request, ...);

static ptrace_fn real_ptrace;

__attribute__((constructor)) static void find_real(void)
{
	*(void **)&real_ptrace = dlsym(RTLD_NEXT, "ptrace");
	if (!real_ptrace)
		abort();
}

// Set the state of process PID: GIVEN's bytes, then those that the process itself has behind them.
static long set_whole(int request, pid_t pid, void *set, struct iovec *given)
{
	static __thread char bytes[WHOLE_MAX];
	struct iovec whole = { bytes, sizeof(bytes) };

	if (real_ptrace(PTRACE_GETREGSET, pid, set, &whole) || whole.iov_len <= given->iov_len)
		return real_ptrace(request, pid, set, given);
	memcpy(bytes, given->iov_base, given->iov_len);
	return real_ptrace(request, pid, set, &whole);
}

long ptrace(enum __ptrace_request request, ...)
{
	va_list ap;
	pid_t pid;
	void *addr, *data;

	va_start(ap, request);
	pid = va_arg(ap, pid_t);
	addr = va_arg(ap, void *);
	data = va_arg(ap, void *);
	va_end(ap);
	if (request == PTRACE_SETREGSET && (long)addr == NT_X86_XSTATE)
		return set_whole(request, pid, addr, data);
	return real_ptrace(request, pid, addr, data);
}
