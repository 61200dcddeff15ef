// SPDX-License-Identifier: Apache-2.0
// What leaves the driver as text: the log's lines, read back by json-c, and the messages of
// failures.
#include <json-c/json.h>
#include <sys/mman.h>

#include "csi_request.h"

/* ---- a line, as a collector gets it ---- */

static char line[65536];

/* One event on stderr, into line[]. */
static void log_to_line(bool json, const struct csi_log_field *fields)
{
	int keep = dup(STDERR_FILENO), fd = memfd_create("log", MFD_CLOEXEC);
	ssize_t n;

	if (keep < 0 || fd < 0)
		abort();
	dup2(fd, STDERR_FILENO);
	csi_log_init(CSI_LOG_INFO, json);
	csi_log(CSI_LOG_INFO, "event", fields);
	dup2(keep, STDERR_FILENO);
	n = pread(fd, line, sizeof(line) - 1, 0);
	line[n > 0 ? n : 0] = '\0';
	close(fd);
	close(keep);
}

/* @value comes out as @want, whatever stands behind it comes out too. */
static void check_value(const char *value, const char *want)
{
	struct json_tokener *tok = json_tokener_new();
	struct json_object *o, *got;

	log_to_line(true, (struct csi_log_field[]){ { "a", value }, { NULL, NULL } });
	json_tokener_set_flags(tok, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	o = json_tokener_parse_ex(tok, line, (int)strlen(line));
	CHECK_MSG(o, "no JSON: %s: %.200s", json_tokener_error_desc(json_tokener_get_error(tok)),
		  line);
	CHECK(strchr(line, '\n') == line + strlen(line) - 1);
	if (o && json_object_object_get_ex(o, "a", &got)) {
		if (want)
			CHECK_STR(json_object_get_string(got), want);
		CHECK(json_object_object_length(o) == 4);
	} else {
		CHECK_MSG(false, "the value is lost: %.200s", line);
	}
	json_object_put(o);
	json_tokener_free(tok);
}

static void values_come_out_as_they_were(void)
{
	static const char *const values[] = {
		"",
		"plain",
		"\"quoted\" \\ back",
		"two\nlines\r\t",
		"\x01\x1f\x7f",
		"p\xc3\xa4ss",
		"\xf0\x9f\x94\x91",
		"level=error event=forged",
		"\",\"level\":\"error",
	};

	for (size_t i = 0; i < ARRAY_SIZE(values); i++)
		check_value(values[i], values[i]);
}

static void what_is_no_text_is_marked(void)
{
	check_value("a\xff"
		    "b",
		    "a\xef\xbf\xbd"
		    "b");
	check_value("cut \xe2\x82", "cut \xef\xbf\xbd\xef\xbf\xbd");
	check_value("\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
}

/* Longer than a line may be, whatever an escape takes: cut short, and JSON all the same. */
static void long_values_are_cut_within_the_quotes(void)
{
	static char value[20000];

	for (size_t n = 8000; n < 8300; n++) {
		memset(value, 'x', n);
		value[n] = '\0';
		check_value(value, NULL);
		memset(value, '\x01', n);
		check_value(value, NULL);
	}
}

static void fields_behind_a_long_one_are_left_out(void)
{
	static char value[20000];
	struct json_object *o;

	memset(value, 'x', sizeof(value) - 1);
	log_to_line(true, (struct csi_log_field[]){ { "a", value }, { "b", "c" }, { NULL, NULL } });
	o = json_tokener_parse(line);
	CHECK_MSG(o, "no JSON: %.100s", line + strlen(line) - 50);
	json_object_put(o);
}

static void no_value_makes_a_line_of_its_own(void)
{
	log_to_line(false, (struct csi_log_field[]){ { "a", "x\ntime=\"now\" level=\"error\"" },
						     { NULL, NULL } });
	CHECK_CONTAINS(line, "a=\"x\\ntime=\\\"now\\\" level=\\\"error\\\"\"\n");
	CHECK(strchr(line, '\n') == line + strlen(line) - 1);
}

/* ---- messages ---- */

/* gRPC's clients want UTF-8; a value may be cut anywhere. */
static void messages_stay_utf8(void)
{
	struct csi_call c = { .code = CSI_OK };
	struct err e = { 0 };

	csi_fail(&c, CSI_INVALID_ARGUMENT, "\"%.3s\"", "ab\xc3\xa4");
	CHECK_STR(c.message, "\"ab?\"");
	csi_fail(&c, CSI_INVALID_ARGUMENT, "%s", "p\xc3\xa4ss");
	CHECK_STR(c.message, "p\xc3\xa4ss");
	err_set(&e, -EINVAL, "%.2s", "\xe2\x82\xac");
	csi_fail_err(&c, &e, "x");
	CHECK_STR(c.message, "x: \\xe2\\x82"); /* what isn't UTF-8 is spelled out */
	CHECK_STR(csi_code_name(c.code), "INVALID_ARGUMENT");
}

int main(void)
{
	RUN(values_come_out_as_they_were);
	RUN(what_is_no_text_is_marked);
	RUN(long_values_are_cut_within_the_quotes);
	RUN(fields_behind_a_long_one_are_left_out);
	RUN(no_value_makes_a_line_of_its_own);
	RUN(messages_stay_utf8);
	return check_exit();
}
