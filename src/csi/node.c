// SPDX-License-Identifier: Apache-2.0
// The Node service: its table of methods, its capabilities, and where this node is.
#include "node.h"

#define CAP(c) CSI__V1__NODE_SERVICE_CAPABILITY__RPC__TYPE__##c

static const Csi__V1__NodeServiceCapability__RPC__Type capabilities[] = {
	CAP(STAGE_UNSTAGE_VOLUME), CAP(GET_VOLUME_STATS),	  CAP(EXPAND_VOLUME),
	CAP(VOLUME_CONDITION),	   CAP(SINGLE_NODE_MULTI_WRITER), CAP(GET_VOLUME_HEALTH),
	CAP(GET_STORAGE_HEALTH),
};

static Csi__V1__NodeServiceCapability *capability(struct csi_call *call,
						  Csi__V1__NodeServiceCapability__RPC__Type type)
{
	Csi__V1__NodeServiceCapability *c = csi_new(call, Csi__V1__NodeServiceCapability,
						    csi__v1__node_service_capability);

	if (!c)
		return NULL;
	c->type_case = CSI__V1__NODE_SERVICE_CAPABILITY__TYPE_RPC;
	c->rpc = csi_new(call, Csi__V1__NodeServiceCapability__RPC,
			 csi__v1__node_service_capability__rpc);
	if (!c->rpc)
		return NULL;
	c->rpc->type = type;
	return c;
}

static enum csi_code get_capabilities(struct csi_call *call)
{
	Csi__V1__NodeGetCapabilitiesResponse *r = csi_new(call,
							  Csi__V1__NodeGetCapabilitiesResponse,
							  csi__v1__node_get_capabilities_response);

	if (!r)
		return csi_ok(call, NULL);
	r->capabilities = csi_arena_alloc(call->arena,
					  sizeof(*r->capabilities) * ARRAY_SIZE(capabilities));
	if (!r->capabilities)
		return csi_ok(call, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(capabilities); i++) {
		r->capabilities[i] = capability(call, capabilities[i]);
		if (!r->capabilities[i])
			return csi_ok(call, NULL);
		r->n_capabilities++;
	}
	return csi_ok(call, (ProtobufCMessage *)r);
}

static enum csi_code get_info(struct csi_call *call)
{
	Csi__V1__NodeGetInfoResponse *r = csi_new(call, Csi__V1__NodeGetInfoResponse,
						  csi__v1__node_get_info_response);

	if (!r)
		return csi_ok(call, NULL);
	r->node_id = call->driver->config.node_id;
	r->max_volumes_per_node = call->driver->config.max_volumes_per_node;
	r->accessible_topology = csi_topology_message(call);
	return csi_ok(call, r->accessible_topology ? (ProtobufCMessage *)r : NULL);
}

#define METHOD(name, lower, handler, lane)                                      \
	{                                                                       \
		"/csi.v1.Node/" name, &csi__v1__##lower##_request__descriptor,  \
			&csi__v1__##lower##_response__descriptor, handler, lane \
	}

static const struct csi_method methods[] = {
	METHOD("NodeStageVolume", node_stage_volume, node_stage_rpc, CSI_LANE_UP),
	METHOD("NodeUnstageVolume", node_unstage_volume, node_unstage_rpc, CSI_LANE_DOWN),
	METHOD("NodePublishVolume", node_publish_volume, node_publish_rpc, CSI_LANE_UP),
	METHOD("NodeUnpublishVolume", node_unpublish_volume, node_unpublish_rpc, CSI_LANE_DOWN),
	METHOD("NodeGetVolumeStats", node_get_volume_stats, node_stats_rpc, CSI_LANE_STATS),
	METHOD("NodeExpandVolume", node_expand_volume, node_expand_rpc, CSI_LANE_UP),
	METHOD("NodeGetVolumeHealth", node_get_volume_health, node_volume_health_rpc,
	       CSI_LANE_STATS),
	METHOD("NodeGetStorageHealth", node_get_storage_health, node_storage_health_rpc,
	       CSI_LANE_STATS),
	METHOD("NodeGetCapabilities", node_get_capabilities, get_capabilities, CSI_LANE_FAST),
	METHOD("NodeGetInfo", node_get_info, get_info, CSI_LANE_FAST),
};

/* csi-resizer asks the controller whether nodes can expand. */
static const struct csi_method asked_of_controllers[] = {
	METHOD("NodeGetCapabilities", node_get_capabilities, get_capabilities, true),
};

const struct csi_method_list csi_node_methods = { methods, ARRAY_SIZE(methods) };
const struct csi_method_list csi_node_capability_methods = { asked_of_controllers,
							     ARRAY_SIZE(asked_of_controllers) };
