// SPDX-License-Identifier: Apache-2.0
// A call in the log: its request, redacted, and its answer.
#include "csi.h"

#include <stdio.h>

void csi_log_answer(const struct csi_call *c, double seconds)
{
	enum csi_log_level level =
		c->code == CSI_OK ? (c->method && c->method->lane == CSI_LANE_FAST ? CSI_LOG_DEBUG
										   : CSI_LOG_INFO)
				  : CSI_LOG_WARNING;
	char id[32], took[32];

	if (!csi_log_enabled(level))
		return;
	snprintf(id, sizeof(id), "%llu", (unsigned long long)c->id);
	snprintf(took, sizeof(took), "%.3f", seconds);
	csi_log(level, "answer",
		(struct csi_log_field[]){ { "request_id", id },
					  { "method", c->method ? c->method->path : "?" },
					  { "code", csi_code_name(c->code) },
					  { "seconds", took },
					  { c->message[0] ? "message" : NULL, c->message },
					  { NULL, NULL } });
}

void csi_log_request(struct csi_call *c)
{
	char id[32];

	if (!c->request || !csi_log_enabled(CSI_LOG_DEBUG))
		return;
	snprintf(id, sizeof(id), "%llu", (unsigned long long)c->id);
	csi_log(CSI_LOG_DEBUG, "request",
		(struct csi_log_field[]){ { "request_id", id },
					  { "method", c->method->path },
					  { "request", csi_describe(c->arena, c->request) },
					  { NULL, NULL } });
}
