// SPDX-License-Identifier: Apache-2.0
// What Controller and Node share: capabilities, sizes, ids, one operation a volume at a time.
#pragma once

#include <cryptvol/backend.h>

#include "driver.h"
#include "params.h"

#define CSI_MOUNT_FLAGS_MAX 126u
#define CSI_KEY_MAX 4224 /* a path, and what it is the key of */

/** A volume capability, checked: exactly one access type, an access mode that a node-local volume
 * can honestly offer. */
struct csi_cap {
	bool block;
	char fs_type[FS_TYPE_MAX]; /* "" = not named */
	Csi__V1__VolumeCapability__AccessMode__Mode mode;
	char **mount_flags; /* borrowed from the request */
	size_t n_mount_flags;
};
/** csi_cap_parse - -EINVAL: missing or contradictory; -EOPNOTSUPP: a mode that can't be offered,
 * with the reason. */
int csi_cap_parse(const Csi__V1__VolumeCapability *c, struct csi_cap *ret, struct err *e);
/** csi_cap_text - canonical text for comparing two calls (mount flags sorted by position, hashed:
 * they may be sensitive). */
void csi_cap_text(const struct csi_cap *c, char ret[512]);
/** csi_cap_text_same - are two such texts of one capability? Texts of older drivers may name the
 * group that they gave the files to. */
bool csi_cap_text_same(const char *a, const char *b);
/** csi_cap_mode_bit - 1 << mode. */
uint32_t csi_cap_mode_bit(const struct csi_cap *c);
/** csi_caps_parse - all of a list; every one has to be offered and they have to agree on the access
 * type. */
int csi_caps_parse(Csi__V1__VolumeCapability **caps, size_t n, struct csi_cap *ret_first,
		   uint32_t *ret_modes, struct err *e);
/** csi_cap_readonly_mode - SINGLE_NODE_READER_ONLY. */
bool csi_cap_readonly_mode(const struct csi_cap *c);

/**
 * csi_size_pick - the size that satisfies the range, a multiple of BACKEND_EXTENT_BYTES where the
 * range allows one; @fallback where nothing is required. -EINVAL negative, -ERANGE limit below what
 * is required or possible.
 */
int csi_size_pick(const Csi__V1__CapacityRange *range, uint64_t fallback, uint64_t minimum,
		  uint64_t *ret, struct err *e);

/** csi_name_check - 1..128 bytes, none of the control characters that CSI forbids. */
int csi_name_check(const char *field, const char *name, struct err *e);
/** csi_id_check - not empty; what an id of ours could be (else the caller answers as for an unknown
 * volume). */
bool csi_id_plausible(const char *id);
/** csi_snapshot_plausible - the same for snapshots; backups that a person made have shorter names,
 * and may be "VOLUME/NAME". */
bool csi_snapshot_plausible(const char *id);
/** csi_id_has_node - does the id end in ".<8 hex>", the mark of the node that it lives on? */
bool csi_id_has_node(const char *id);
/** csi_id_elsewhere - is it the id of a volume or snapshot of another node? */
bool csi_id_elsewhere(struct csi_call *call, const char *id);

/** csi_enter - take "<kind>:<key>" for this call, else answer ABORTED. csi_leave gives it back. */
enum csi_code csi_enter(struct csi_call *call, const char *kind, const char *key);
void csi_leave(struct csi_call *call, const char *kind, const char *key);

/** csi_get_volume - the record, or NOT_FOUND in the call, which says so where the id is another
 * node's. */
enum csi_code csi_get_volume(struct csi_call *call, const char *id, struct backend_volume *ret);
/** csi_volume_message - Volume as the wire wants it: size, id, context, source, topology. NULL: no
 * memory. */
Csi__V1__Volume *csi_volume_message(struct csi_call *call, const struct backend_volume *v);
/** csi_topology_message - this node's segment. */
Csi__V1__Topology *csi_topology_message(struct csi_call *call);
/**
 * csi_grow - backend_grow, but -ERANGE where there is no room. COs repeat what answers
 * RESOURCE_EXHAUSTED at the same size for ever; OUT_OF_RANGE is final for them, so that the user may
 * ask for less.
 */
int csi_grow(struct csi_call *call, const char *id, uint64_t size_bytes, struct err *e);
/** csi_topology_check - RESOURCE_EXHAUSTED unless @what may be on this node. */
enum csi_code csi_topology_check(struct csi_call *call, const Csi__V1__TopologyRequirement *t,
				 const char *what);
/** csi_snapshot_message - a snapshot can be used on this node; a backup wherever its store is, so it
 * names no topology. */
Csi__V1__Snapshot *csi_snapshot_message(struct csi_call *call, const struct backend_snapshot *s);
/** csi_copy_map - a map into another map type's array, in the arena; keys and values are shared. */
void *csi_copy_map(struct csi_call *call, struct csi_map m);

/* ---- live volumes (live.c) ---- */
/** csi_suspend_volume / csi_resume_volume - stop and restart writes to a staged volume: its
 * mapping, or the file system of a plain one. Not staged: success. */
int csi_suspend_volume(void *driver, const char *volume_id, struct err *e);
int csi_resume_volume(void *driver, const char *volume_id, struct err *e);
/** csi_resume_leftovers - at start: resume what a driver that died in the middle of a cut left
 * suspended. */
int csi_resume_leftovers(struct csi_driver *d, struct err *e);
/** csi_use_holds - a backend_use_test: is the volume mounted there, or mapped at all? */
bool csi_use_holds(void *arg, const char *id, enum backend_use_kind kind, const char *path);
