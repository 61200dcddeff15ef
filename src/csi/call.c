// SPDX-License-Identifier: Apache-2.0
// A call between its bytes and its answer: everything that needs no gRPC.
#include "common.h"

void csi_call_decode(struct csi_call *c, uint8_t *wire, size_t len)
{
	const ProtobufCMessageDescriptor *d = c->method->request;
	struct err e = { 0 };

	if (csi_wire_check(d, wire, len, &e))
		csi_fail(c, CSI_INVALID_ARGUMENT, "%s", err_text(&e));
	else
		c->request = protobuf_c_message_unpack(d, csi_arena_allocator(c->arena), len, wire);
	explicit_bzero(wire, len);
	if (!c->request && !c->code)
		csi_fail(c, CSI_INVALID_ARGUMENT, "the request is no %s", d->short_name);
}

/* ---- who waits for it ---- */

static _Thread_local const struct csi_call *serving;

int csi_call_stopped(const struct csi_call *c, struct err *e)
{
	if (c->deadline > 0 && base_now() >= c->deadline)
		return err_set(e, -ETIMEDOUT, "the call's deadline has passed");
	return c->cancelled ? err_set(e, -ECANCELED, "the caller has gone") : 0;
}

int csi_serving_stopped(void *arg, struct err *e)
{
	(void)arg;
	return serving ? csi_call_stopped(serving, e) : 0;
}

/* A queue may hold calls that nobody waits for any more: they aren't begun. What was begun is gone
 * on with, since the next call of that kind has to find it done, but for look-ups (the backend's
 * stop). */
static bool may_begin(struct csi_call *c)
{
	struct err e = { 0 };

	if (!csi_call_stopped(c, &e))
		return true;
	csi_fail(c, e.code == -ETIMEDOUT ? CSI_DEADLINE_EXCEEDED : CSI_CANCELLED,
		 "%s before the call was begun", err_text(&e));
	return false;
}

/* A request's text field; "" where there is none of that name. */
static const char *text_field(const ProtobufCMessage *m, const char *name)
{
	const ProtobufCFieldDescriptor *f =
		protobuf_c_message_descriptor_get_field_by_name(m->descriptor, name);

	if (!f || f->type != PROTOBUF_C_TYPE_STRING || f->label == PROTOBUF_C_LABEL_REPEATED)
		return "";
	return *(const char *const *)((const char *)m + f->offset);
}

/* Calls that change a volume exclude each other by its name. Those that only look at one don't, and
 * their callers come again every minute: one of them at a time for each path, so that a device that
 * hangs has one worker. */
static void handle_stats(struct csi_call *c)
{
	const char *path = text_field(c->request, "volume_path");
	const char *key = *path ? path : text_field(c->request, "volume_id");
	const char *kind = *path ? "path" : "health";

	if (*key && csi_enter(c, kind, key))
		return;
	c->method->handle(c);
	if (*key)
		csi_leave(c, kind, key);
}

void csi_call_handle(struct csi_call *c)
{
	csi_log_request(c);
	if (c->request && may_begin(c)) {
		serving = c;
		if (c->method->lane == CSI_LANE_STATS)
			handle_stats(c);
		else
			c->method->handle(c);
		serving = NULL;
	}
	if (c->code != CSI_OK && !c->message[0])
		csi_fail(c, c->code, "%s", csi_code_name(c->code));
}
