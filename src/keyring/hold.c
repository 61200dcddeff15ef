// SPDX-License-Identifier: Apache-2.0
// A key for the length of a call, in a keyring of its own below the thread keyring. The kernel
// searches the thread keyring, and what is linked below it, before all others.
#include "internal.h"

#include <linux/keyctl.h>
#include <stdio.h>

int keyring_volume_key_description(const char *uuid, unsigned int digest, char *buf, int cap,
				   struct err *e)
{
	int n = cap > 0 ? snprintf(buf, (size_t)cap, "cryptsetup:%s-d%u", uuid, digest) : 0;

	if (n <= 0 || n >= cap)
		return err_set(e, -ENAMETOOLONG, "a volume key's description doesn't fit");
	return 0;
}

bool keyring_available(void)
{
	return !keyring_sys_probe();
}

int keyring_link_open(int32_t *ret, struct err *e)
{
	char name[64] = "cryptvol:hold:";
	int32_t link;
	int r;

	/* A name of its own: a keyring with the same name would take the place of an earlier one.
	 */
	r = text_uuid_random(name + strlen(name), e);
	if (r)
		return r;
	link = keyring_add_private("keyring", name, NULL, 0, KEY_SPEC_THREAD_KEYRING);
	if (link < 0)
		return keyring_fail(e, link, "a keyring can't be made");
	*ret = link;
	return 0;
}

void keyring_link_close(int32_t link)
{
	(void)keyring_sys_revoke(link); /* lets go of all that is linked in it */
	(void)keyring_sys_unlink(link, KEY_SPEC_THREAD_KEYRING);
}

int keyring_put(const char *description, const struct secret *key, struct keyring_hold *ret,
		struct err *e)
{
	int32_t link = 0, id;
	int r;

	r = keyring_link_open(&link, e);
	if (r)
		return r;
	id = keyring_add_private("logon", description, key->data, key->len, link);
	if (id < 0) {
		keyring_link_close(link);
		return keyring_fail(e, id, "the volume key can't be put into the kernel's keyring");
	}
	*ret = (struct keyring_hold){ .ring = link, .key = id, .link = link, .linked = true };
	return 0;
}

void keyring_drop(struct keyring_hold *h)
{
	if (h->linked) {
		if (!h->kept)
			(void)keyring_sys_revoke(h->key);
		keyring_link_close(h->link);
	}
	memset(h, 0, sizeof(*h));
}
