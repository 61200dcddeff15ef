// SPDX-License-Identifier: Apache-2.0
// What is wrong with a volume or with the node's disk, in the words of CSI 1.13's health calls.
#pragma once

#include "common.h"

#define CSI_TROUBLES_MAX 8

struct csi_trouble {
	Csi__V1__VolumeHealthErrorType status;
	const char *reason; /* CamelCase, static; a volume has each at most once */
	char message[512];
};
struct csi_troubles {
	struct csi_trouble list[CSI_TROUBLES_MAX];
	size_t n;
};
/** csi_find_troubles - everything that is known to be wrong with the volume: its image, the node's
 * disk, the mount where the records have it staged, errors of its devices. -ENOENT: no volume. */
int csi_find_troubles(struct csi_driver *d, const char *id, struct csi_troubles *ret,
		      struct err *e);
/** csi_condition - the same as CSI 1.12's VolumeCondition: abnormal with the first one's sentence,
 * or "the volume is fine". @more: what the caller found itself; "" = nothing. NULL: no memory. */
Csi__V1__VolumeCondition *csi_condition(struct csi_call *call, const char *id, const char *more);

/* ---- watch.c ---- */
enum csi_disk_state { CSI_DISK_FINE, CSI_DISK_LOW, CSI_DISK_FULL, CSI_DISK_FAILING };
/** csi_disk_state - of the state directory's file system, with a sentence. */
enum csi_disk_state csi_disk_state(struct csi_driver *d, char *ret, size_t cap);
/** csi_watch_errors - how many I/O errors the kernel told of for this volume's devices since it was
 * staged; *ret: the first of them. */
uint64_t csi_watch_errors(struct csi_driver *d, const char *id, char *ret, size_t cap);
/** csi_watch_forget - the volume was unstaged: its devices are gone, and their errors with them. */
void csi_watch_forget(struct csi_driver *d, const char *id);
