// SPDX-License-Identifier: Apache-2.0
// Structured logs on stderr, a line an event: text for people, JSON for collectors. Values are
// escaped, so that no request can forge a line.
#include "csi.h"

#include <stdio.h>
#include <time.h>

#define LINE_MAX_BYTES 8192
#define LINE_TAIL_BYTES 16 /* for an escape, the quote, the brace and the line's end */

static struct {
	enum csi_log_level level;
	bool json;
} log_config = { CSI_LOG_INFO, false };

/* 0 = none */
static _Thread_local uint64_t serving;

static const char *const level_names[] = { "error", "warning", "info", "debug" };

void csi_log_init(enum csi_log_level level, bool json)
{
	log_config.level = level;
	log_config.json = json;
}

bool csi_log_enabled(enum csi_log_level level)
{
	return level <= log_config.level;
}

void csi_log_serving(uint64_t id)
{
	serving = id;
}

struct line {
	char text[LINE_MAX_BYTES];
	size_t len;
};

static void put(struct line *l, const char *s, size_t n)
{
	size_t room = sizeof(l->text) - l->len;

	if (n > room)
		n = room;
	memcpy(l->text + l->len, s, n);
	l->len += n;
}

static void put_text(struct line *l, const char *s)
{
	put(l, s, strlen(s));
}

/* The text to put for what stands at @s; returns how much of it that is. */
static size_t escape(const char *s, char ret[8])
{
	unsigned char c = (unsigned char)*s;
	size_t n = csi_utf8_sequence((const uint8_t *)s, strnlen(s, 4));

	if (!n)
		snprintf(ret, 8, "\\ufffd");
	else if (c == '"' || c == '\\')
		snprintf(ret, 8, "\\%c", c);
	else if (c == '\n')
		snprintf(ret, 8, "\\n");
	else if (c < 0x20 || c == 0x7f)
		snprintf(ret, 8, "\\u%04x", c);
	else
		snprintf(ret, 8, "%.*s", (int)n, s);
	return n ? n : 1;
}

/* A quoted string that both JSON and the text form read, also where it is cut short. */
static void put_quoted(struct line *l, const char *s)
{
	char esc[8];

	put(l, "\"", 1);
	while (*s && sizeof(l->text) - l->len > LINE_TAIL_BYTES) {
		s += escape(s, esc);
		put_text(l, esc);
	}
	put(l, "\"", 1);
}

static void put_pair(struct line *l, const char *key, const char *value)
{
	if (sizeof(l->text) - l->len < strlen(key) + 2 * LINE_TAIL_BYTES)
		return;
	if (log_config.json) {
		put_text(l, l->len > 1 ? "," : "");
		put_quoted(l, key);
		put_text(l, ":");
	} else {
		put_text(l, l->len ? " " : "");
		put_text(l, key);
		put_text(l, "=");
	}
	put_quoted(l, value);
}

static void put_head(struct line *l, enum csi_log_level level, const char *event)
{
	struct timespec now;
	struct tm tm;
	char when[64], whole[96];

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(whole, sizeof(whole), "%s.%03ldZ", when, now.tv_nsec / 1000000);
	put_text(l, log_config.json ? "{" : "");
	put_pair(l, "time", whole);
	put_pair(l, "level", level_names[level]);
	put_pair(l, "event", event);
}

/* What the library, the backend or a step of a stage has to say belongs to a call, too. */
static void put_call(struct line *l, const struct csi_log_field *fields)
{
	char id[24];

	for (; fields && fields->key; fields++)
		if (!strcmp(fields->key, "request_id"))
			return;
	if (!serving)
		return;
	snprintf(id, sizeof(id), "%llu", (unsigned long long)serving);
	put_pair(l, "request_id", id);
}

void csi_log(enum csi_log_level level, const char *event, const struct csi_log_field *fields)
{
	struct line l = { .len = 0 };
	ssize_t n;

	if (!csi_log_enabled(level))
		return;
	put_head(&l, level, event);
	put_call(&l, fields);
	for (; fields && fields->key; fields++)
		put_pair(&l, fields->key, fields->value ? fields->value : "");
	if (log_config.json)
		put_text(&l, "}");
	l.text[l.len++] = '\n';
	do
		n = write(STDERR_FILENO, l.text,
			  l.len); /* one write a line, so that threads don't mix */
	while (n < 0 && errno == EINTR);
}

void csi_logf(enum csi_log_level level, const char *event, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	if (!csi_log_enabled(level))
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	csi_log(level, event, (struct csi_log_field[]){ { "message", text }, { NULL, NULL } });
}
