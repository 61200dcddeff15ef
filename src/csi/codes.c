// SPDX-License-Identifier: Apache-2.0
// From the library's errno table to gRPC codes, and the two ways a handler ends.
#include "csi.h"

#include <stdio.h>

static const struct {
	enum csi_code code;
	const char *name;
} code_names[] = {
	{ CSI_OK, "OK" },
	{ CSI_CANCELLED, "CANCELLED" },
	{ CSI_UNKNOWN, "UNKNOWN" },
	{ CSI_INVALID_ARGUMENT, "INVALID_ARGUMENT" },
	{ CSI_DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED" },
	{ CSI_NOT_FOUND, "NOT_FOUND" },
	{ CSI_ALREADY_EXISTS, "ALREADY_EXISTS" },
	{ CSI_PERMISSION_DENIED, "PERMISSION_DENIED" },
	{ CSI_RESOURCE_EXHAUSTED, "RESOURCE_EXHAUSTED" },
	{ CSI_FAILED_PRECONDITION, "FAILED_PRECONDITION" },
	{ CSI_ABORTED, "ABORTED" },
	{ CSI_OUT_OF_RANGE, "OUT_OF_RANGE" },
	{ CSI_UNIMPLEMENTED, "UNIMPLEMENTED" },
	{ CSI_INTERNAL, "INTERNAL" },
	{ CSI_UNAVAILABLE, "UNAVAILABLE" },
	{ CSI_UNAUTHENTICATED, "UNAUTHENTICATED" },
};

const char *csi_code_name(enum csi_code code)
{
	for (size_t i = 0; i < ARRAY_SIZE(code_names); i++)
		if (code_names[i].code == code)
			return code_names[i].name;
	return "UNKNOWN";
}

/* err.h's table; what isn't listed is INTERNAL. */
static const struct {
	int err;
	enum csi_code code;
} errno_codes[] = {
	{ EPERM, CSI_UNAUTHENTICATED }, /* no keyslot opens with this passphrase */
	{ EINVAL, CSI_INVALID_ARGUMENT },
	{ ERANGE, CSI_OUT_OF_RANGE },
	{ EFBIG, CSI_OUT_OF_RANGE },
	{ ENAMETOOLONG, CSI_INVALID_ARGUMENT },
	{ EMEDIUMTYPE, CSI_FAILED_PRECONDITION },
	{ ENOMEDIUM, CSI_FAILED_PRECONDITION },
	{ EBADMSG, CSI_FAILED_PRECONDITION },
	{ EUCLEAN, CSI_FAILED_PRECONDITION },
	{ EOPNOTSUPP, CSI_FAILED_PRECONDITION },
	{ ETXTBSY, CSI_FAILED_PRECONDITION },
	{ EBUSY, CSI_FAILED_PRECONDITION },
	{ EINPROGRESS, CSI_ABORTED },
	{ ESTALE, CSI_ABORTED },
	{ EEXIST, CSI_ALREADY_EXISTS },
	{ ENOENT, CSI_NOT_FOUND },
	{ ENOSPC, CSI_RESOURCE_EXHAUSTED },
	{ EDQUOT, CSI_RESOURCE_EXHAUSTED },
	{ ENOMEM, CSI_RESOURCE_EXHAUSTED },
	{ ENOKEY, CSI_FAILED_PRECONDITION },
	{ EHOSTDOWN, CSI_FAILED_PRECONDITION },
	{ ENOTCONN, CSI_UNAVAILABLE },
	{ ETIMEDOUT, CSI_UNAVAILABLE },
	{ ECANCELED, CSI_CANCELLED },
};

enum csi_code csi_code_of_errno(int code)
{
	if (!code)
		return CSI_OK;
	for (size_t i = 0; i < ARRAY_SIZE(errno_codes); i++)
		if (errno_codes[i].err == -code)
			return errno_codes[i].code;
	return CSI_INTERNAL;
}

/* A value that was cut short may end within a character, and clients refuse a message that isn't
 * UTF-8. */
static void mend_message(char *s)
{
	size_t n = strlen(s);

	for (size_t i = 0, len; i < n; i += len) {
		len = csi_utf8_sequence((const uint8_t *)s + i, n - i);
		if (!len) {
			s[i] = '?';
			len = 1;
		}
	}
}

enum csi_code csi_fail(struct csi_call *call, enum csi_code code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(call->message, sizeof(call->message), fmt, ap);
	va_end(ap);
	mend_message(call->message);
	call->code = code;
	call->response = NULL;
	return code;
}

enum csi_code csi_fail_err(struct csi_call *call, const struct err *e, const char *fmt, ...)
{
	va_list ap;
	size_t n;

	va_start(ap, fmt);
	vsnprintf(call->message, sizeof(call->message), fmt, ap);
	va_end(ap);
	n = strlen(call->message);
	snprintf(call->message + n, sizeof(call->message) - n, ": %s", err_text(e));
	mend_message(call->message);
	call->code = e->code ? csi_code_of_errno(e->code) : CSI_INTERNAL;
	call->response = NULL;
	return call->code;
}

enum csi_code csi_ok(struct csi_call *call, ProtobufCMessage *response)
{
	if (!response)
		return csi_fail(call, CSI_RESOURCE_EXHAUSTED, "no memory for the answer");
	call->response = response;
	call->code = CSI_OK;
	call->message[0] = '\0';
	return CSI_OK;
}
