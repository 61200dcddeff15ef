// SPDX-License-Identifier: Apache-2.0
// The Identity service: who we are, what we can do, and whether the host has what we need.
#include "driver.h"

#include "csi.pb-c.h"

static enum csi_code get_plugin_info(struct csi_call *call)
{
	Csi__V1__GetPluginInfoResponse *r = csi_new(call, Csi__V1__GetPluginInfoResponse,
						    csi__v1__get_plugin_info_response);

	if (r) {
		r->name = call->driver->config.driver_name;
		r->vendor_version = (char *)(uintptr_t)CRYPTVOL_VERSION;
	}
	return csi_ok(call, (ProtobufCMessage *)r);
}

/* One capability: a service, or (service UNKNOWN) online expansion. */
static Csi__V1__PluginCapability *capability(struct csi_call *call,
					     Csi__V1__PluginCapability__Service__Type service)
{
	Csi__V1__PluginCapability *c = csi_new(call, Csi__V1__PluginCapability,
					       csi__v1__plugin_capability);

	if (!c)
		return NULL;
	if (service != CSI__V1__PLUGIN_CAPABILITY__SERVICE__TYPE__UNKNOWN) {
		c->type_case = CSI__V1__PLUGIN_CAPABILITY__TYPE_SERVICE;
		c->service = csi_new(call, Csi__V1__PluginCapability__Service,
				     csi__v1__plugin_capability__service);
		if (!c->service)
			return NULL;
		c->service->type = service;
		return c;
	}
	c->type_case = CSI__V1__PLUGIN_CAPABILITY__TYPE_VOLUME_EXPANSION;
	c->volume_expansion = csi_new(call, Csi__V1__PluginCapability__VolumeExpansion,
				      csi__v1__plugin_capability__volume_expansion);
	if (!c->volume_expansion)
		return NULL;
	c->volume_expansion->type = CSI__V1__PLUGIN_CAPABILITY__VOLUME_EXPANSION__TYPE__ONLINE;
	return c;
}

/* The same for every instance whatever its mode (CSI, GetPluginCapabilities). */
static enum csi_code get_plugin_capabilities(struct csi_call *call)
{
	static const Csi__V1__PluginCapability__Service__Type list[] = {
		CSI__V1__PLUGIN_CAPABILITY__SERVICE__TYPE__CONTROLLER_SERVICE,
		CSI__V1__PLUGIN_CAPABILITY__SERVICE__TYPE__VOLUME_ACCESSIBILITY_CONSTRAINTS,
		CSI__V1__PLUGIN_CAPABILITY__SERVICE__TYPE__GROUP_CONTROLLER_SERVICE,
		CSI__V1__PLUGIN_CAPABILITY__SERVICE__TYPE__SNAPSHOT_ACCESSIBILITY_CONSTRAINTS,
		CSI__V1__PLUGIN_CAPABILITY__SERVICE__TYPE__UNKNOWN, /* the expansion */
	};
	Csi__V1__GetPluginCapabilitiesResponse *r =
		csi_new(call, Csi__V1__GetPluginCapabilitiesResponse,
			csi__v1__get_plugin_capabilities_response);

	if (!r)
		return csi_ok(call, NULL);
	r->capabilities = csi_arena_alloc(call->arena, sizeof(*r->capabilities) * ARRAY_SIZE(list));
	if (!r->capabilities)
		return csi_ok(call, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(list); i++) {
		r->capabilities[i] = capability(call, list[i]);
		if (!r->capabilities[i])
			return csi_ok(call, NULL);
		r->n_capabilities++;
	}
	return csi_ok(call, (ProtobufCMessage *)r);
}

/* Healthy means that a volume could be opened: device-mapper with a crypt target. Opening the
 * control node is cheap and never blocks. A state directory that isn't there doesn't make us
 * unhealthy: a restart wouldn't help, and volumes have to be taken down meanwhile. */
static enum csi_code probe(struct csi_call *call)
{
	_cleanup_dm_ struct dm_control *dm = NULL;
	Csi__V1__ProbeResponse *r = csi_new(call, Csi__V1__ProbeResponse, csi__v1__probe_response);
	Google__Protobuf__BoolValue *ready = csi_new(call, Google__Protobuf__BoolValue,
						     google__protobuf__bool_value);
	struct err e = { 0 };

	if (call->driver->config.mode != CSI_MODE_CONTROLLER && dm_control_open(&dm, &e))
		return csi_fail(call, CSI_FAILED_PRECONDITION, "%s", err_text(&e));
	if (r && ready) {
		ready->value = 1;
		r->ready = ready;
	}
	return csi_ok(call, (ProtobufCMessage *)r);
}

static const struct csi_method methods[] = {
	{ "/csi.v1.Identity/GetPluginInfo", &csi__v1__get_plugin_info_request__descriptor,
	  &csi__v1__get_plugin_info_response__descriptor, get_plugin_info, CSI_LANE_FAST },
	{ "/csi.v1.Identity/GetPluginCapabilities",
	  &csi__v1__get_plugin_capabilities_request__descriptor,
	  &csi__v1__get_plugin_capabilities_response__descriptor, get_plugin_capabilities,
	  CSI_LANE_FAST },
	{ "/csi.v1.Identity/Probe", &csi__v1__probe_request__descriptor,
	  &csi__v1__probe_response__descriptor, probe, CSI_LANE_FAST },
};

const struct csi_method_list csi_identity_methods = { methods, ARRAY_SIZE(methods) };
