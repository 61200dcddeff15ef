// SPDX-License-Identifier: Apache-2.0
// A passphrase from the terminal, without echo. Signals are taken by descriptor while the echo is
// off, so that the terminal is put right before any of them has its effect.
#include "cli.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <termios.h>

struct terminal {
	int in, out;
	bool own; /* /dev/tty, ours to close */
	struct termios before;
	sigset_t mask_before;
	int signals;
};

static const int taken[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP };

static int terminal_quiet(struct terminal *t, struct err *e)
{
	struct termios quiet;
	sigset_t set;

	if (tcgetattr(t->in, &t->before))
		return err_sys(e, -errno, "Cannot read the terminal's settings");
	sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_SIZE(taken); i++)
		sigaddset(&set, taken[i]);
	t->signals = signalfd(-1, &set, SFD_CLOEXEC);
	if (t->signals < 0)
		return err_sys(e, -errno, "Cannot watch for signals");
	sigprocmask(SIG_BLOCK, &set, &t->mask_before);
	quiet = t->before;
	quiet.c_lflag &= ~(tcflag_t)ECHO;
	quiet.c_lflag |= ECHONL | ICANON | ISIG;
	if (tcsetattr(t->in, TCSAFLUSH, &quiet)) {
		int r = -errno;

		sigprocmask(SIG_SETMASK, &t->mask_before, NULL);
		close(t->signals);
		return err_sys(e, r, "Cannot turn the terminal's echo off");
	}
	return 0;
}

static void terminal_restore(struct terminal *t)
{
	tcsetattr(t->in, TCSAFLUSH, &t->before);
	close(t->signals);
	sigprocmask(SIG_SETMASK, &t->mask_before, NULL);
}

/* The terminal first, then what the signal does: mostly the end of this process. */
static int take_signal(struct terminal *t, struct err *e)
{
	struct signalfd_siginfo info;
	ssize_t n = read(t->signals, &info, sizeof(info));

	terminal_restore(t);
	if (n == (ssize_t)sizeof(info))
		raise((int)info.ssi_signo);
	return terminal_quiet(t, e);
}

/* Wait for a key. *ret_again: a signal came and we live (it was a stop): ask again. */
static int wait_input(struct terminal *t, double deadline, bool *ret_again, struct err *e)
{
	for (;;) {
		struct pollfd fds[2] = { { t->in, POLLIN, 0 }, { t->signals, POLLIN, 0 } };
		double left_ms = deadline < 0 ? -1 : (deadline - base_now()) * 1e3;
		int n;

		if (deadline >= 0 && left_ms <= 0)
			return err_set(e, -ETIMEDOUT, "No passphrase came in time.");
		n = poll(fds, 2, left_ms > INT32_MAX ? INT32_MAX : (int)left_ms);
		if (n < 0 && errno != EINTR)
			return err_sys(e, -errno, "Error reading passphrase from terminal");
		if (n <= 0)
			continue;
		*ret_again = fds[1].revents != 0;
		return *ret_again ? take_signal(t, e) : 0;
	}
}

static void put(const struct terminal *t, const char *text)
{
	ssize_t n;

	do
		n = write(t->out, text, strlen(text));
	while (n < 0 && errno == EINTR);
}

/* One line into @s (a byte at a time: nothing is buffered elsewhere). */
static int read_typed(struct terminal *t, const char *prompt, uint32_t timeout_s, struct secret *s,
		      struct err *e)
{
	double deadline = timeout_s ? base_now() + timeout_s : -1;
	bool again = false;
	int r;

	put(t, prompt);
	while (s->len < CLI_PASSPHRASE_MAX) {
		ssize_t n;

		r = wait_input(t, deadline, &again, e);
		if (r)
			return r;
		if (again) {
			put(t, prompt);
			s->len = 0;
			continue;
		}
		n = read(t->in, s->data + s->len, 1);
		if (n < 0)
			return err_sys(e, -errno, "Error reading passphrase from terminal");
		if (n == 0 && s->len == 0)
			return err_set(e, -ENODATA, "Nothing to read on input.");
		if (n == 0 || s->data[s->len] == '\n')
			break;
		s->len++;
	}
	s->data[s->len] = '\0';
	if (s->len == CLI_PASSPHRASE_MAX) {
		tcflush(t->in, TCIFLUSH);
		put(t, "\n");
		cli_warn("Read stopped at maximal interactive input length, passphrase can be "
			 "trimmed.");
	}
	return 0;
}

int prompt_secret(const char *prompt, uint32_t timeout_s, struct secret **ret, struct err *e)
{
	struct terminal t = { .in = STDIN_FILENO, .out = STDERR_FILENO };
	_cleanup_secret_ struct secret *s = NULL;
	int r, fd;

	r = secret_new(CLI_PASSPHRASE_MAX + 1, &s, e);
	if (r)
		return r;
	fd = open("/dev/tty", O_RDWR | O_CLOEXEC);
	if (fd >= 0) {
		t.in = t.out = fd;
		t.own = true;
	}
	r = terminal_quiet(&t, e);
	if (!r) {
		r = read_typed(&t, prompt, timeout_s, s, e);
		terminal_restore(&t);
	}
	if (t.own)
		close(fd);
	if (r)
		return r;
	*ret = s;
	s = NULL;
	return 0;
}
