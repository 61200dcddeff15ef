// SPDX-License-Identifier: Apache-2.0
// Does the kernel take a floating-point state of 576 bytes, the least that every x86-64 processor has, for a stopped child? Alone it
// doesn't where the processor has AVX; with xstate.c preloaded it does, and the rest of the state stays as it was.
// exit status: 0 taken, 1 refused, 2 taken, but the rest of the state changed, 3 the probe itself failed
#include <elf.h>
#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static char before[256 * 1024], after[256 * 1024];

static int probe(pid_t child)
{
	struct iovec whole = { before, sizeof(before) }, part = { before, 576 }, again = { after, sizeof(after) };

	if (ptrace(PTRACE_GETREGSET, child, (void *)NT_X86_XSTATE, &whole))
		return 3;
	if (ptrace(PTRACE_SETREGSET, child, (void *)NT_X86_XSTATE, &part))
		return 1;
	if (ptrace(PTRACE_GETREGSET, child, (void *)NT_X86_XSTATE, &again))
		return 3;
	return again.iov_len == whole.iov_len && !memcmp(before, after, whole.iov_len) ? 0 : 2;
}

int main(void)
{
	pid_t child = fork();
	int status;

	if (!child) {
		ptrace(PTRACE_TRACEME, 0, (void *)0, (void *)0);
		raise(SIGSTOP);
		_exit(0);
	}
	if (child < 0 || waitpid(child, &status, 0) != child || !WIFSTOPPED(status))
		return 3;
	status = probe(child);
	kill(child, SIGKILL);
	return status;
}
