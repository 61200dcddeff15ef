// SPDX-License-Identifier: Apache-2.0
// Looking things up in a typed header.
#include "internal.h"

const struct luks_keyslot *luks_find_keyslot(const struct luks_header *h, int id)
{
	for (size_t i = 0; i < h->n_keyslots; i++)
		if ((int)h->keyslots[i].id == id)
			return &h->keyslots[i];
	return NULL;
}

const struct luks_digest *luks_find_digest(const struct luks_header *h, int id)
{
	for (size_t i = 0; i < h->n_digests; i++)
		if ((int)h->digests[i].id == id)
			return &h->digests[i];
	return NULL;
}

const struct luks_segment *luks_find_segment(const struct luks_header *h, int id)
{
	for (size_t i = 0; i < h->n_segments; i++)
		if ((int)h->segments[i].id == id)
			return &h->segments[i];
	return NULL;
}

const struct luks_token *luks_find_token(const struct luks_header *h, int id)
{
	for (size_t i = 0; i < h->n_tokens; i++)
		if ((int)h->tokens[i].id == id)
			return &h->tokens[i];
	return NULL;
}

const struct luks_segment *luks_default_segment(const struct luks_header *h)
{
	for (size_t i = 0; i < h->n_segments; i++)
		if (h->segments[i].flags & LUKS_SEGMENT_BACKUP_FINAL)
			return &h->segments[i];
	return luks_find_segment(h, 0);
}

const struct luks_digest *luks_segment_digest(const struct luks_header *h, int id)
{
	if (id < 0 || id >= (int)LUKS_SEGMENTS_MAX)
		return NULL;
	for (size_t i = 0; i < h->n_digests; i++)
		if (h->digests[i].segments & 1u << id)
			return &h->digests[i];
	return NULL;
}

uint64_t luks_data_offset(const struct luks_header *h)
{
	uint64_t lowest = UINT64_MAX;

	if (h->luks1)
		return h->luks1->payload_offset_sectors * SECTOR_SIZE_BYTES;
	for (size_t i = 0; i < h->n_segments; i++)
		if (!h->segments[i].backup && h->segments[i].offset_bytes < lowest)
			lowest = h->segments[i].offset_bytes;
	return lowest == UINT64_MAX ? 0 : lowest;
}

uint32_t luks_volume_key_bytes(const struct luks_header *h)
{
	const struct luks_segment *s;
	const struct luks_digest *d;

	if (h->luks1)
		return h->luks1->key_bytes;
	s = luks_default_segment(h);
	d = s ? luks_segment_digest(h, (int)s->id) : NULL;
	for (size_t i = 0; d && i < h->n_keyslots; i++)
		if (d->keyslots & 1u << h->keyslots[i].id)
			return h->keyslots[i].key_bytes;
	return 0;
}
