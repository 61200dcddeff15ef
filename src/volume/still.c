// SPDX-License-Identifier: Apache-2.0
// What has to hold for a mapping besides the key: it doesn't lie over its own header, and the
// header that was read is the one that stands there once it is mapped.
#include "internal.h"

#define UUID_OFFSET 168 /* in a binary header, specification 2.1 */
#define HEAD_BYTES 512

/* Does @h, or a copy of it, stand at the start of @fd? */
static int starts_with(int fd, const struct luks_header *h, bool *ret, struct err *e)
{
	static const unsigned char magic[] = { 'L', 'U', 'K', 'S', 0xba, 0xbe };
	unsigned char head[HEAD_BYTES];
	int r = io_pread_full(fd, head, sizeof(head), 0, e);

	if (r)
		return r;
	*ret = !memcmp(head, magic, sizeof(magic)) &&
	       !memcmp(head + UUID_OFFSET, h->uuid, strlen(h->uuid) + 1);
	return 0;
}

int volume_check_apart(const struct luks_header *h, const struct block_device *data, struct err *e)
{
	bool there;
	int r;

	if (luks_data_offset(h) >= 2 * h->header_bytes + h->keyslots_bytes)
		return 0;
	/* By its content, since one device has many names. Data is ciphertext, and never looks so.
	 */
	r = starts_with(data->fd, h, &there, e);
	if (r || !there)
		return r;
	return err_set(e, -EINVAL,
		       "this header belongs to data on another device: mapped over %s, which holds "
		       "the header itself, the first write would destroy it",
		       data->given);
}

int volume_check_still(const struct luks_io *io, const struct luks_header *h, int keyslot,
		       struct err *e)
{
	struct luks_header *now = NULL;
	struct luks_io reader = *io;
	int r;

	reader.writable = false;
	r = luks_load(&reader, &now, e);
	if (r == -EMEDIUMTYPE || r == -EBADMSG)
		r = err_set(e, -ESTALE, "the header was destroyed by someone else meanwhile");
	if (!r)
		r = luks_check_same(h, now, e);
	if (!r && keyslot != LUKS_ANY)
		r = luks_check_same_keyslot(h, now, keyslot, e);
	if (!r && h->n_keyslots && !now->n_keyslots)
		r = err_set(e, -ESTALE, "all keyslots were erased by someone else meanwhile");
	luks_free(now);
	return r ? err_wrap(e, r, "it isn't mapped") : 0;
}
