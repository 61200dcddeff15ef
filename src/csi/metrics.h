// SPDX-License-Identifier: Apache-2.0
// What the files of the metrics share.
#pragma once

#include <stdio.h>

#include "driver.h"

/** csi_metrics_print_state - volumes by state and use, snapshots, orphans, what isn't finished. */
void csi_metrics_print_state(FILE *f, struct csi_driver *d);
