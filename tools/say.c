// SPDX-License-Identifier: Apache-2.0
// Messages, exit codes and questions.
#include "cli.h"

#include <stdio.h>

void cli_verbose(const struct cli *c, const char *fmt, ...)
{
	va_list ap;

	if (!cli_set(c, OPT_VERBOSE) && !cli_set(c, OPT_DEBUG))
		return;
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
}

void cli_warn(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

void cli_report(struct cli *c, int r)
{
	if (r && c->err.text[0])
		cli_warn("%s", c->err.text);
	err_clear(&c->err);
}

void cli_debug_line(const char *line)
{
	fprintf(stderr, "# %s\n", line);
}

int cli_exit_code(int r)
{
	switch (r) {
	case 0:
		return 0;
	case -EPERM:
	case -ENOKEY:
		return 2;
	case -ENOMEM:
		return 3;
	case -ENODEV:
	case -ENOTBLK:
	case -EACCES:
		return 4;
	case -EEXIST:
	case -EBUSY:
	case -EINPROGRESS:
		return 5;
	default:
		return 1;
	}
}

const char *cli_exit_text(int code)
{
	static const char *const texts[] = {
		"",
		"wrong or missing parameters",
		"no permission or bad passphrase",
		"out of memory",
		"wrong device or file specified",
		"device already exists or device is busy",
	};

	return texts[code];
}

/* A line of standard input; what doesn't fit is read and dropped. */
static bool read_answer(char *buf, size_t cap)
{
	size_t n = 0;
	char ch;

	for (;;) {
		ssize_t got = read(STDIN_FILENO, &ch, 1);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0 || ch == '\n')
			break;
		if (n < cap - 1)
			buf[n] = ch;
		n++;
	}
	buf[n < cap ? n : cap - 1] = '\0';
	return n < cap;
}

int cli_confirm(struct cli *c, const char *fmt, ...)
{
	char answer[8];
	va_list ap;

	if (cli_set(c, OPT_BATCH_MODE) || !isatty(STDIN_FILENO))
		return 0;
	printf("\nWARNING!\n========\n");
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n\nAre you sure? (Type 'yes' in capital letters): ");
	fflush(stdout);
	if (read_answer(answer, sizeof(answer)) && !strcmp(answer, "YES"))
		return 0;
	return err_set(&c->err, -EPERM, "Operation aborted.");
}

void cli_json_text(const char *s)
{
	putchar('"');
	for (; *s; s++) {
		unsigned char ch = (unsigned char)*s;

		if (ch == '"' || ch == '\\')
			printf("\\%c", ch);
		else if (ch < 0x20 || ch == 0x7f)
			printf("\\u%04x", ch);
		else
			putchar(ch);
	}
	putchar('"');
}
