// SPDX-License-Identifier: Apache-2.0
// The Controller service: its table of methods and its capabilities.
#include "controller.h"

#define CAP(c) CSI__V1__CONTROLLER_SERVICE_CAPABILITY__RPC__TYPE__##c

static const Csi__V1__ControllerServiceCapability__RPC__Type capabilities[] = {
	CAP(CREATE_DELETE_VOLUME),
	CAP(PUBLISH_UNPUBLISH_VOLUME),
	CAP(LIST_VOLUMES),
	CAP(GET_CAPACITY),
	CAP(CREATE_DELETE_SNAPSHOT),
	CAP(LIST_SNAPSHOTS),
	CAP(CLONE_VOLUME),
	CAP(PUBLISH_READONLY),
	CAP(EXPAND_VOLUME),
	CAP(LIST_VOLUMES_PUBLISHED_NODES),
	CAP(VOLUME_CONDITION),
	CAP(GET_VOLUME),
	CAP(SINGLE_NODE_MULTI_WRITER),
	CAP(MODIFY_VOLUME),
	CAP(GET_SNAPSHOT),
	CAP(GET_VOLUME_HEALTH),
	CAP(LIST_VOLUME_HEALTH),
};

static Csi__V1__ControllerServiceCapability *
capability(struct csi_call *call, Csi__V1__ControllerServiceCapability__RPC__Type type)
{
	Csi__V1__ControllerServiceCapability *c = csi_new(
		call, Csi__V1__ControllerServiceCapability, csi__v1__controller_service_capability);

	if (!c)
		return NULL;
	c->type_case = CSI__V1__CONTROLLER_SERVICE_CAPABILITY__TYPE_RPC;
	c->rpc = csi_new(call, Csi__V1__ControllerServiceCapability__RPC,
			 csi__v1__controller_service_capability__rpc);
	if (!c->rpc)
		return NULL;
	c->rpc->type = type;
	return c;
}

/* A controller without nodes knows neither their volumes nor their room. It offers no expansion, so
 * that csi-resizer leaves it to the node: only then may a user take back what didn't fit. It offers
 * no modification, since nothing carries one on to the node. */
static bool is_offered(const struct csi_call *call,
		       Csi__V1__ControllerServiceCapability__RPC__Type type)
{
	return call->driver->config.mode != CSI_MODE_CONTROLLER ||
	       (type != CAP(EXPAND_VOLUME) && type != CAP(MODIFY_VOLUME));
}

static enum csi_code get_capabilities(struct csi_call *call)
{
	Csi__V1__ControllerGetCapabilitiesResponse *r =
		csi_new(call, Csi__V1__ControllerGetCapabilitiesResponse,
			csi__v1__controller_get_capabilities_response);

	if (!r)
		return csi_ok(call, NULL);
	r->capabilities = csi_arena_alloc(call->arena,
					  sizeof(*r->capabilities) * ARRAY_SIZE(capabilities));
	if (!r->capabilities)
		return csi_ok(call, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(capabilities); i++) {
		if (!is_offered(call, capabilities[i]))
			continue;
		r->capabilities[r->n_capabilities] = capability(call, capabilities[i]);
		if (!r->capabilities[r->n_capabilities])
			return csi_ok(call, NULL);
		r->n_capabilities++;
	}
	return csi_ok(call, (ProtobufCMessage *)r);
}

#define METHOD(name, lower, handler, lane)                                           \
	{                                                                            \
		"/csi.v1.Controller/" name, &csi__v1__##lower##_request__descriptor, \
			&csi__v1__##lower##_response__descriptor, handler, lane      \
	}

static const struct csi_method methods[] = {
	METHOD("CreateVolume", create_volume, csi_create_volume, CSI_LANE_CONTROLLER),
	METHOD("DeleteVolume", delete_volume, csi_delete_volume, CSI_LANE_CONTROLLER),
	METHOD("ControllerPublishVolume", controller_publish_volume, csi_controller_publish,
	       CSI_LANE_CONTROLLER),
	METHOD("ControllerUnpublishVolume", controller_unpublish_volume, csi_controller_unpublish,
	       CSI_LANE_CONTROLLER),
	METHOD("ValidateVolumeCapabilities", validate_volume_capabilities,
	       csi_validate_capabilities, CSI_LANE_CONTROLLER),
	METHOD("ListVolumes", list_volumes, csi_list_volumes, CSI_LANE_CONTROLLER),
	METHOD("ControllerGetVolume", controller_get_volume, csi_get_volume_rpc,
	       CSI_LANE_CONTROLLER),
	METHOD("ControllerModifyVolume", controller_modify_volume, csi_modify_volume,
	       CSI_LANE_CONTROLLER),
	METHOD("GetCapacity", get_capacity, csi_get_capacity, CSI_LANE_CONTROLLER),
	METHOD("ControllerGetCapabilities", controller_get_capabilities, get_capabilities,
	       CSI_LANE_FAST),
	METHOD("CreateSnapshot", create_snapshot, csi_create_snapshot, CSI_LANE_CONTROLLER),
	METHOD("DeleteSnapshot", delete_snapshot, csi_delete_snapshot, CSI_LANE_CONTROLLER),
	METHOD("ListSnapshots", list_snapshots, csi_list_snapshots, CSI_LANE_CONTROLLER),
	METHOD("GetSnapshot", get_snapshot, csi_get_snapshot, CSI_LANE_CONTROLLER),
	METHOD("ControllerExpandVolume", controller_expand_volume, csi_controller_expand,
	       CSI_LANE_CONTROLLER),
	METHOD("ControllerListVolumeHealth", controller_list_volume_health, csi_list_volume_health,
	       CSI_LANE_CONTROLLER),
	METHOD("ControllerGetVolumeHealth", controller_get_volume_health, csi_get_volume_health,
	       CSI_LANE_CONTROLLER),
};

const struct csi_method_list csi_controller_methods = { methods, ARRAY_SIZE(methods) };
