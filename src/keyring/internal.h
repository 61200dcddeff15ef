// SPDX-License-Identifier: Apache-2.0
// What the files of the keyring room share: the system calls, as they are (keyctl(2), add_key(2)).
#pragma once

#include <cryptvol/base.h>
#include <cryptvol/keyring.h>

/** keyring_sys_add - add_key(2); the key's number or negative errno. */
int32_t keyring_sys_add(const char *type, const char *description, const void *payload, size_t len,
			int32_t ring);
/** keyring_sys_search - KEYCTL_SEARCH below @ring; the key's number or negative errno. */
int32_t keyring_sys_search(int32_t ring, const char *type, const char *description);
int keyring_sys_link(int32_t key, int32_t ring);
int keyring_sys_unlink(int32_t key, int32_t ring);
int keyring_sys_revoke(int32_t key);
/** keyring_sys_read - KEYCTL_READ of a keyring: numbers of its keys; the count or negative errno.
 */
int keyring_sys_read(int32_t ring, int32_t *ret, size_t cap);
/** keyring_sys_describe - type and description; 0 or negative errno. */
struct keyring_description {
	char type[32], text[320];
};
int keyring_sys_describe(int32_t key, struct keyring_description *ret);
/** keyring_sys_process - the number of the process keyring, which is made where there is none yet;
 * or negative errno. */
int32_t keyring_sys_process(void);
/** keyring_sys_setperm - KEYCTL_SETPERM; masks as in keyctl_setperm(3). */
int keyring_sys_setperm(int32_t key, uint32_t perm);
/** keyring_sys_probe - does the kernel know keyrings? 0 or negative errno. */
int keyring_sys_probe(void);

/** keyring_fail - the sentence for an errno of these calls. */
int keyring_fail(struct err *e, int r, const char *what);

/** keyring_link_open - a new keyring in the thread keyring, with nothing in it. */
int keyring_link_open(int32_t *ret, struct err *e);
/** keyring_link_close - it is no more. */
void keyring_link_close(int32_t link);

/** keyring_add_private - keyring_sys_add, then KEYRING_PERM_POSSESSOR; after a failure it is gone.
 * Between the two calls others of the uid may list it, and nothing else. */
int32_t keyring_add_private(const char *type, const char *description, const void *payload,
			    size_t len, int32_t ring);
/* All rights for who possesses the key; none for its owner, its group and others. */
#define KEYRING_PERM_POSSESSOR 0x3f000000u
