// SPDX-License-Identifier: Apache-2.0
// The health calls of CSI 1.13. Nothing advertises them until they can tell something.
#include "controller.h"
#include "node.h"

static enum csi_code not_yet(struct csi_call *call)
{
	return csi_fail(call, CSI_UNIMPLEMENTED, "this driver doesn't report health by this call");
}

enum csi_code csi_list_volume_health(struct csi_call *call)
{
	return not_yet(call);
}

enum csi_code csi_get_volume_health(struct csi_call *call)
{
	return not_yet(call);
}

enum csi_code node_volume_health_rpc(struct csi_call *call)
{
	return not_yet(call);
}

enum csi_code node_storage_health_rpc(struct csi_call *call)
{
	return not_yet(call);
}
