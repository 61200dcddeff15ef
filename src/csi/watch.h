// SPDX-License-Identifier: Apache-2.0
// The watch over the node's disk and the volumes: its life, and what it read last.
#pragma once

#include "common.h"

/** csi_watch_new - into the driver, before anybody asks. csi_watch_start: its thread, when what a
 * reboot made untrue is forgotten. */
int csi_watch_new(struct csi_driver *d, struct err *e);
int csi_watch_start(struct csi_driver *d, struct err *e);
/** csi_watch_stop - false: its thread hangs with the disk, and uses the driver still. */
bool csi_watch_stop(struct csi_driver *d);
/** csi_watch_space - the state directory's space, read again where it is older than that: reading it
 * looks at every extent of every image. */
int csi_watch_space(struct csi_driver *d, double max_age_seconds, struct backend_space *ret,
		    struct err *e);
