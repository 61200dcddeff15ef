// SPDX-License-Identifier: Apache-2.0
// Keyed try-locks: who works on a volume, a name or a snapshot right now.
#pragma once

struct csi_locks;
struct csi_locks *csi_locks_new(void);
void csi_locks_free(struct csi_locks *l);
/** csi_locks_try - 0, or -EINPROGRESS where somebody holds @key. */
int csi_locks_try(struct csi_locks *l, const char *key);
/** csi_locks_keep - @fd is closed when @key, which the caller holds, is given back. */
void csi_locks_keep(struct csi_locks *l, const char *key, int fd);
void csi_locks_release(struct csi_locks *l, const char *key);
