// SPDX-License-Identifier: Apache-2.0
// What the files of the fs room share.
#pragma once

#include <blkid/blkid.h>

#include <cryptvol/base.h>
#include <cryptvol/fs.h>

/**
 * fs_read_places - read the places where signatures stand. *ret_blank: all of them are zero, so
 * there is nothing that libblkid could find.
 */
int fs_read_places(int fd, bool *ret_blank, struct err *e);

/** fs_new_probe - a libblkid prober over @fd, both chains on; LUKS left out where @skip_luks. */
int fs_new_probe(int fd, bool skip_luks, blkid_probe *ret, struct err *e);
void fs_free_probe(blkid_probe *p);
#define _cleanup_probe_ __attribute__((cleanup(fs_free_probe)))

/** fs_read_result - what the last blkid_do_probe found; false where it has no magic to point at. */
bool fs_read_result(blkid_probe p, struct fs_signature *ret);

/* Far more than one device can carry: a wipe that doesn't take would go round for ever. */
#define FS_ROUNDS_MAX 128

#include <cryptvol/base.h>
#include <cryptvol/mount.h>

/** fs_run_program - run @argv (found by PATH), wait; its exit status and the end of what it said.
 * -EHOSTDOWN: no such program. */
int fs_run_program(const char *const *argv, int *ret_status, char *ret_tail, size_t cap,
		   struct err *e);
