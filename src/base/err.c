// SPDX-License-Identifier: Apache-2.0
// Error sentences in a fixed buffer, so that reporting an error can't fail itself.
#include <cryptvol/base.h>

#include <stdio.h>

static void err_vset(struct err *e, int code, const char *fmt, va_list ap)
	__attribute__((format(printf, 3, 0)));

/* What a header says may stand in a sentence; it goes to terminals and logs. */
static void err_vset(struct err *e, int code, const char *fmt, va_list ap)
{
	char raw[ERR_TEXT_MAX];

	e->code = code;
	vsnprintf(raw, sizeof(raw), fmt, ap);
	text_shown(raw, e->text, sizeof(e->text));
}

int(err_set)(struct err *e, int code, const char *fmt, ...)
{
	va_list ap;

	if (!e)
		return code;
	va_start(ap, fmt);
	err_vset(e, code, fmt, ap);
	va_end(ap);
	return code;
}

int(err_sys)(struct err *e, int code, const char *fmt, ...)
{
	/* -EPERM is a wrong passphrase here; what the system doesn't permit is another matter. */
	int ours = code == -EPERM ? -EACCES : code;
	size_t n;
	va_list ap;

	if (!e)
		return ours;
	va_start(ap, fmt);
	err_vset(e, ours, fmt, ap);
	va_end(ap);
	n = strlen(e->text);
	snprintf(e->text + n, sizeof(e->text) - n, ": %s",
		 strerrordesc_np(-code) ?: "unknown error");
	return ours;
}

int(err_wrap)(struct err *e, int code, const char *fmt, ...)
{
	char old[ERR_TEXT_MAX], context[ERR_TEXT_MAX];
	va_list ap;
	size_t n;

	if (!e)
		return code;
	text_copy(old, sizeof(old), err_text(e));
	va_start(ap, fmt);
	vsnprintf(context, sizeof(context), fmt, ap);
	va_end(ap);
	text_shown(context, e->text, sizeof(e->text));
	n = strlen(e->text);
	snprintf(e->text + n, sizeof(e->text) - n, ": %s", old);
	if (!e->code)
		e->code = code;
	return e->code;
}

void err_clear(struct err *e)
{
	if (!e)
		return;
	e->code = 0;
	e->text[0] = '\0';
}

const char *err_text(const struct err *e)
{
	if (!e)
		return "unknown error";
	if (e->text[0])
		return e->text;
	if (!e->code)
		return "no error";
	return strerrordesc_np(-e->code) ?: "unknown error";
}
