// SPDX-License-Identifier: Apache-2.0
// A header's memory: its beginning and its end.
#include "internal.h"

int luks_header_alloc(struct luks_header **ret, struct err *e)
{
	struct luks_header *h = calloc(1, sizeof(*h));

	if (!h)
		return err_set(e, -ENOMEM, "no memory for a header");
	*ret = h;
	return 0;
}

void luks_free(struct luks_header *h)
{
	if (!h)
		return;
	luks_metadata_drop(h);
	free(h->luks1);
	free(h);
}

void luks_freep(struct luks_header **h)
{
	luks_free(*h);
}
