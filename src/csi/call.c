// SPDX-License-Identifier: Apache-2.0
// A call between its bytes and its answer: everything that needs no gRPC.
#include "csi.h"

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

void csi_call_handle(struct csi_call *c)
{
	csi_log_request(c);
	if (c->request)
		c->method->handle(c);
	if (c->code != CSI_OK && !c->message[0])
		csi_fail(c, c->code, "%s", csi_code_name(c->code));
}
