// SPDX-License-Identifier: Apache-2.0
// What the writing files of the luks room share among themselves: a keyslot made in memory, areas,
// and where a header's magic may stand.
#pragma once

#include "internal.h"

#define LUKS_BLOCK_BYTES 4096u /* all our writes are whole, aligned blocks: O_DIRECT works */
#define LUKS_SALT_BYTES 32u

/* Digest iterations (docs/FORMAT.md "What a format writes"). */
#define LUKS_DIGEST_ITERATIONS_RANDOM 1000u
#define LUKS_DIGEST_ITERATIONS_GIVEN 100000u

/** What key material takes before it is rounded up to whole sectors: key * 4000 stripes. */
static inline uint64_t luks_material_bytes(uint32_t key_bytes)
{
	uint64_t n = (uint64_t)key_bytes * LUKS_AF_STRIPES;

	return (n + SECTOR_SIZE_BYTES - 1) / SECTOR_SIZE_BYTES * SECTOR_SIZE_BYTES;
}

/** luks_wanted_digest - the digest that must verify keyslot @k's key; NULL where the keyslot isn't
 * meant. */
const struct luks_digest *luks_wanted_digest(const struct luks_header *h,
					     const struct luks_keyslot *k,
					     const struct luks_unlock *u, int segment);
/** luks_try_keyslot - open this keyslot. -EPERM: not by this passphrase. -ECANCELED,
 * -EBUSY: by @wish. */
int luks_try_keyslot(const struct luks_io *io, const struct luks_header *h, struct crypto_kdf *kdf,
		     const struct luks_keyslot *k, const struct luks_unlock *u, int segment,
		     const struct crypto_wish *wish, struct secret **ret_key, struct err *e);
/** luks_search_keyslots - try all that are meant; luks_unlock_keyslot says how. */
int luks_search_keyslots(const struct luks_io *io, const struct luks_header *h,
			 struct crypto_kdf *kdf, const struct luks_unlock *u, int segment,
			 struct secret **ret_key, int *ret_keyslot, struct err *e);

/** A keyslot that only lacks its number and place. */
struct luks_material {
	struct luks_keyslot slot;
	struct secret *area; /* encrypted, as long as slot.area_size_bytes */
};

/**
 * luks_material_make - derive, split and encrypt @key under @n->passphrase; nothing is written.
 * @io: for its run_cipher; @h: for the default area cipher. Free with luks_material_free.
 */
int luks_material_make(const struct luks_io *io, const struct luks_header *h,
		       struct crypto_kdf *kdf, const struct luks_new_keyslot *n,
		       const struct secret *key, struct luks_material *ret, struct err *e);
void luks_material_free(struct luks_material *m);
#define _cleanup_material_ __attribute__((cleanup(luks_material_free)))

/**
 * luks_area_cipher - the cipher of a new keyslot area: @n's wish or the default (checklist 2.5).
 * @data_bytes: key size of the data segment. @ret_spec[CRYPTO_CIPHER_SPEC_MAX].
 */
int luks_area_cipher(const struct luks_io *io, const struct luks_header *h,
		     const struct luks_new_keyslot *n, uint32_t data_bytes, char *ret_spec,
		     uint32_t *ret_key_bytes, struct err *e);

/** luks_area_crypt - crypto_cipher_run over the first @len bytes of @area, else @io's own way.
 * -EHOSTDOWN: this host has the cipher nowhere; the sentence says what each way lacks. */
int luks_area_crypt(const struct luks_io *io, const struct crypto_cipher *c,
		    const struct secret *key, bool encrypt, struct secret *area, size_t len,
		    struct err *e);
/** luks_area_write - the whole area at @offset, then a flush. */
int luks_area_write(const struct luks_io *io, const struct secret *area, uint64_t offset,
		    struct err *e);
/** luks_area_read - @len bytes at @offset into a new secret, read in whole blocks. */
int luks_area_read(const struct luks_io *io, uint64_t offset, uint64_t len, struct secret **ret,
		   struct err *e);

enum luks_filling { LUKS_FILL_RANDOM, LUKS_FILL_ZEROS };
/** luks_overwrite_chunk - the blocks of @chunk (what the device has at @at) that aren't zero are
 * overwritten in runs. *wrote becomes true if there were any. No flush. */
int luks_overwrite_chunk(const struct luks_io *io, unsigned char *chunk, size_t len, uint64_t at,
			 enum luks_filling with, bool *wrote, struct err *e);
/** luks_gaps_zero - whatever isn't zero in the keyslots area outside of @h's areas, in whole
 * blocks, then a flush if there was any. */
int luks_gaps_zero(const struct luks_io *io, const struct luks_header *h, struct err *e);
/** luks_change_wipe_gaps - luks_gaps_zero behind a change of keyslots that is durable. */
int luks_change_wipe_gaps(const struct luks_io *io, const struct luks_change *c, struct err *e);

/** luks_block_alloc - @len zeroed bytes at a block boundary; free() them. NULL: no memory. */
void *luks_block_alloc(size_t len);

/** luks_slot_digest - the digest that lists keyslot @id; NULL if none. */
const struct luks_digest *luks_slot_digest(const struct luks_header *h, unsigned int id);
/** luks_slot_free_number - @wanted if it is free, the first free one for LUKS_ANY. -EEXIST,
 * -ENOSPC, -EINVAL. */
int luks_slot_free_number(const struct luks_header *h, int wanted, unsigned int *ret,
			  struct err *e);
/** luks_slot_add - take @m in as keyslot @id at @offset, verified by digest @digest_id. */
int luks_slot_add(struct luks_header *h, const struct luks_material *m, unsigned int id,
		  uint64_t offset, unsigned int digest_id, struct err *e);
/** luks_slot_remove - take keyslot @id out, its assignments, and digests that are left with
 * nothing. */
void luks_slot_remove(struct luks_header *h, unsigned int id);

/* ---- where a format finds and removes old magics ---- */

#define LUKS_PROBES 10 /* the primary's place and nine for secondaries (specification table 1) */

struct luks_old {
	bool magic[LUKS_PROBES]; /* a magic stands at luks_probe_offset(i) */
	bool live[LUKS_PROBES];	 /* ... of the header that opens now */
	uint64_t end_bytes;	 /* where its keyslots area ends; 0 = no header known */
};
uint64_t luks_probe_offset(unsigned int i);
/** luks_old_find - look at all places. */
int luks_old_find(const struct luks_io *io, struct luks_old *ret, struct err *e);
/** luks_old_forget - zero the sectors with magics, strays first, each step flushed. */
int luks_old_forget(const struct luks_io *io, const struct luks_old *old, struct err *e);
/** luks_old_overwrite - random bytes over every block of [@from, @to) that isn't zero. No flush. */
int luks_old_overwrite(const struct luks_io *io, uint64_t from, uint64_t to,
		       const struct luks_format *f, struct err *e);

/** Sizes of a format, all decided. */
struct luks_geometry {
	uint64_t header_bytes, keyslots_bytes, data_offset_bytes;
};
/** luks_geometry_make - defaults and rules of sizes (docs/FORMAT.md). @device_bytes: of the
 * metadata device. */
int luks_geometry_make(const struct luks_format *f, uint64_t device_bytes, bool may_grow,
		       struct luks_geometry *ret, struct err *e);
