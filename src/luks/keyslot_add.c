// SPDX-License-Identifier: Apache-2.0
// Add and change a keyslot. Order of writes: docs/FORMAT.md, "Add" and "Change".
#include "write.h"

/* A digest of its own for an unbound key. */
static int add_digest(struct luks_header *h, const struct luks_digest *d, unsigned int *ret_id,
		      struct err *e)
{
	for (unsigned int id = 0; id < LUKS_DIGESTS_MAX; id++) {
		if (luks_find_digest(h, (int)id))
			continue;
		h->digests[h->n_digests] = *d;
		h->digests[h->n_digests++].id = id;
		*ret_id = id;
		return 0;
	}
	return err_set(e, -ENOSPC, "no digest is free for an unbound key");
}

/* The digest for @key: one that is there, or a new one (*ret_id = LUKS_ANY) for an unbound key. */
static int find_digest(const struct luks_header *h, const struct luks_new_keyslot *n,
		       const struct secret *key, struct luks_digest *ret_new, int *ret_id,
		       struct err *e)
{
	int r;

	if (!n->unbound)
		return luks_verify_key(h, key, LUKS_ANY, ret_id, e);
	r = luks_digest_make(n->af_hash ?: "sha256", LUKS_DIGEST_ITERATIONS_GIVEN, key, ret_new, e);
	if (!r)
		*ret_id = LUKS_ANY;
	return r;
}

/* Under the lock: area, flush, metadata. */
static int write_added(const struct luks_io *io, struct luks_change *c,
		       const struct luks_material *m, int keyslot, int digest,
		       const struct luks_digest *new_digest, unsigned int *ret_id, struct err *e)
{
	unsigned int digest_id = (unsigned int)digest;
	uint64_t offset = 0;
	int r;

	r = luks_slot_free_number(c->next, keyslot, ret_id, e);
	if (!r)
		r = luks_area_find(c->next, m->slot.area_size_bytes, &offset, e);
	if (!r && digest == LUKS_ANY)
		r = add_digest(c->next, new_digest, &digest_id, e);
	if (!r)
		r = luks_slot_add(c->next, m, *ret_id, offset, digest_id, e);
	if (!r)
		r = luks_area_write(io, m->area, offset, e);
	if (!r)
		r = luks_change_write(io, c, e);
	if (!r)
		r = luks_change_wipe_gaps(io, c, e);
	return r;
}

int luks_add_keyslot(const struct luks_io *io, struct luks_header *h, struct crypto_kdf *kdf,
		     const struct luks_new_keyslot *n, const struct secret *key, int *ret_keyslot,
		     struct err *e)
{
	_cleanup_material_ struct luks_material m = { 0 };
	struct luks_digest new_digest = { 0 };
	struct luks_change c = { .locked = false };
	unsigned int id = 0;
	uint64_t offset = 0;
	int digest = LUKS_ANY, r;

	r = luks_check_usable(h, e);
	/* What is bound to fail fails before the KDF is paid for. */
	if (!r)
		r = luks_slot_free_number(h, n->keyslot, &id, e);
	if (!r)
		r = luks_area_find(h, luks_area_bytes((uint32_t)key->len), &offset, e);
	if (!r)
		r = find_digest(h, n, key, &new_digest, &digest, e);
	if (!r)
		r = luks_material_make(io, h, kdf, n, key, &m, e);
	if (!r)
		r = luks_change_begin(io, h, &c, e);
	if (r)
		return r;
	/* Digests may have come and gone meanwhile: an unbound key's that had this number. */
	if (!n->unbound)
		r = luks_verify_key(c.next, key, LUKS_ANY, &digest, e);
	if (!r)
		r = write_added(io, &c, &m, n->keyslot, digest, &new_digest, &id, e);
	luks_change_end(&c, h);
	if (!r)
		*ret_keyslot = (int)id;
	return r;
}

static uint32_t move_bit(uint32_t bits, unsigned int from, unsigned int to)
{
	return bits >> from & 1 ? (bits & ~(1u << from)) | 1u << to : bits;
}

/* Keyslot @old becomes @m at @offset under number @id; digests and tokens follow. */
static void replace_slot(struct luks_header *h, unsigned int old, const struct luks_material *m,
			 unsigned int id, uint64_t offset)
{
	for (size_t i = 0; i < h->n_keyslots; i++) {
		struct luks_keyslot *k = &h->keyslots[i];
		struct luks_keyslot was = *k;

		if (k->id != old)
			continue;
		*k = m->slot;
		k->id = id;
		k->area_offset_bytes = offset;
		k->raw = was.raw; /* unknown members stay */
		if (!m->slot.priority_set) {
			k->priority = was.priority;
			k->priority_set = was.priority_set;
		}
	}
	for (size_t i = 0; i < h->n_digests; i++)
		h->digests[i].keyslots = move_bit(h->digests[i].keyslots, old, id);
	for (size_t i = 0; i < h->n_tokens; i++)
		h->tokens[i].keyslots = move_bit(h->tokens[i].keyslots, old, id);
}

/* The number that the changed keyslot will have. */
static int changed_number(const struct luks_header *h, int old, int wanted, unsigned int *ret,
			  struct err *e)
{
	const struct luks_keyslot *k = luks_find_keyslot(h, old);

	if (!k)
		return err_set(e, -ENOENT, "Keyslot %d is not active.", old);
	if (k->type != LUKS_KEYSLOT_LUKS2)
		return err_set(e, -EOPNOTSUPP, "keyslot %d is of type \"%s\"", old, k->type_name);
	if (wanted == LUKS_ANY || wanted == old) {
		*ret = (unsigned int)old;
		return 0;
	}
	return luks_slot_free_number(h, wanted, ret, e);
}

/* Where the new material goes: a gap, else, forced, the old place if it is large enough. */
static int changed_place(const struct luks_header *h, const struct luks_keyslot *k, uint64_t bytes,
			 bool force, uint64_t *ret_offset, struct err *e)
{
	int r = luks_area_find(h, bytes, ret_offset, e);

	if (r != -ENOSPC || !force || k->area_size_bytes < bytes)
		return r;
	err_clear(e);
	*ret_offset = k->area_offset_bytes;
	return 0;
}

/* Under the lock: new area, flush, metadata in both copies, and only then the old area. */
static int write_changed(const struct luks_io *io, struct luks_change *c, int old,
			 const struct luks_material *m, unsigned int id, bool force, struct err *e)
{
	const struct luks_keyslot was = *luks_find_keyslot(c->next, old);
	uint64_t offset = 0;
	int r;

	r = changed_place(c->next, &was, m->slot.area_size_bytes, force, &offset, e);
	if (r)
		return r;
	replace_slot(c->next, (unsigned int)old, m, id, offset);
	r = luks_area_write(io, m->area, offset, e);
	if (!r)
		r = luks_change_write(io, c, e);
	if (r)
		return r;
	/* To the byte, whoever placed it; the gaps are whole blocks. */
	if (offset != was.area_offset_bytes)
		r = luks_area_wipe(io, was.area_offset_bytes, was.area_size_bytes, e);
	if (r)
		return err_wrap(e, r, "the change is made, but old key material is left");
	return luks_change_wipe_gaps(io, c, e);
}

int luks_change_keyslot(const struct luks_io *io, struct luks_header *h, struct crypto_kdf *kdf,
			int old, const struct luks_new_keyslot *n, const struct secret *key,
			bool force, int *ret_keyslot, struct err *e)
{
	_cleanup_material_ struct luks_material m = { 0 };
	const struct luks_keyslot *was;
	struct luks_change c = { .locked = false };
	unsigned int id = 0;
	uint64_t offset = 0;
	int digest = LUKS_ANY, r;

	r = luks_check_usable(h, e);
	if (!r)
		r = changed_number(h, old, n->keyslot, &id, e);
	if (r)
		return r;
	was = luks_find_keyslot(h, old);
	r = changed_place(h, was, luks_area_bytes((uint32_t)key->len), force, &offset, e);
	if (!r)
		r = luks_verify_key(h, key, LUKS_ANY, &digest, e);
	if (!r && luks_find_digest(h, digest) != luks_slot_digest(h, was->id))
		r = err_set(e, -EPERM, "keyslot %d holds another key", old);
	if (!r)
		r = luks_material_make(io, h, kdf, n, key, &m, e);
	if (!r)
		r = luks_change_begin(io, h, &c, e);
	if (r)
		return r;
	r = luks_change_keeps(&c, h, old, e);
	if (!r) /* the number and the place may be another's by now */
		r = changed_number(c.next, old, n->keyslot, &id, e);
	if (!r)
		r = write_changed(io, &c, old, &m, id, force, e);
	luks_change_end(&c, h);
	if (!r)
		*ret_keyslot = (int)id;
	return r;
}
