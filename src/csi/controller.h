// SPDX-License-Identifier: Apache-2.0
// The handlers of the Controller service, one file a group of them, and what they share.
#pragma once

#include "common.h"

enum csi_code csi_create_volume(struct csi_call *call);
enum csi_code csi_delete_volume(struct csi_call *call);
enum csi_code csi_controller_publish(struct csi_call *call);
enum csi_code csi_controller_unpublish(struct csi_call *call);
enum csi_code csi_validate_capabilities(struct csi_call *call);
enum csi_code csi_list_volumes(struct csi_call *call);
enum csi_code csi_get_volume_rpc(struct csi_call *call);
enum csi_code csi_modify_volume(struct csi_call *call);
enum csi_code csi_get_capacity(struct csi_call *call);
enum csi_code csi_controller_expand(struct csi_call *call);
enum csi_code csi_create_snapshot(struct csi_call *call);
enum csi_code csi_delete_snapshot(struct csi_call *call);
enum csi_code csi_list_snapshots(struct csi_call *call);
enum csi_code csi_get_snapshot(struct csi_call *call);
enum csi_code csi_list_volume_health(struct csi_call *call); /* health.c, as the next */
enum csi_code csi_get_volume_health(struct csi_call *call);

/** csi_backend_create - backend_create, with a live source suspended for the copy. */
int csi_backend_create(struct csi_call *call, const struct backend_create *c,
		       struct backend_volume *ret, struct err *e);
/** csi_quiesce - suspend and resume for backend_cut_snapshots: the mapping, or the mounted file
 * system of a plain volume. */
struct backend_quiesce csi_quiesce(struct csi_driver *d);
/** csi_token_check - is a paging token one that we could have given ("" is)? Else ABORTED. */
enum csi_code csi_token_check(struct csi_call *call, const char *token, int32_t max_entries);
/** csi_cut - take snapshots through the backend; *ret array is malloc'ed. @release: see struct
 * backend_quiesce; NULL = none. */
int csi_cut(struct csi_call *call, const struct backend_cut *c, void (*release)(void *arg),
	    void *release_arg, struct backend_snapshot **ret, size_t *ret_n,
	    char ret_group_id[BACKEND_ID_MAX], struct err *e);
