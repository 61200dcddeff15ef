// SPDX-License-Identifier: Apache-2.0
// What the files of the public interface share. The structs that cryptvol.h only names are here.
#pragma once

#include <cryptvol.h>

#include <cryptvol/err.h>
#include <cryptvol/secret.h>
#include <cryptvol/volume.h>

struct cryptvol {
	struct err err;
	struct volume_env env;
	struct crypto_kdf_config kdf_config;
	void (*warn)(void *arg, const char *sentence);
	void *warn_arg;
	void (*progress)(void *arg, uint64_t done_bytes, uint64_t total_bytes);
	void *progress_arg;
};

struct cryptvol_secret {
	struct secret *s;
};

/* The options of each call; a set is the union of the kinds that a call takes. */
enum api_kind { API_KEYSLOT = 1u << 0, API_FORMAT = 1u << 1, API_OPEN = 1u << 2 };

struct cryptvol_options {
	struct cryptvol *cv;
	uint32_t kinds; /* enum api_kind of those that are set */
	/* texts are the set's own */
	char *cipher, *hash, *label, *subsystem, *uuid, *pbkdf;
	uint64_t key_bits, sector_bytes, offset_sectors, align_sectors, header_bytes,
		keyslots_bytes;
	uint64_t keyslot, memory_kib, parallel, iterations, iter_time_ms;
	bool keyslot_set;
	bool readonly, shared, persistent, disable_keyring, refresh;
	uint32_t flags; /* enum luks_flag */
};

struct cryptvol_volume {
	struct cryptvol *cv;
	char *device, *header_path;
	struct luks_header *header; /* of the last load; NULL before */
	struct luks_plan plan;	    /* all zeros where nothing may be mapped */
};

/** api_begin - forget the last error; make the context's derivations where there are none yet. */
int api_begin(struct cryptvol *cv);
/** api_check_options - -EINVAL where an option is set that is of none of @kinds. NULL: none is. */
int api_check_options(const struct cryptvol_options *o, uint32_t kinds, struct err *e);
/** api_new_keyslot - what a new keyslot of @passphrase is to be. */
int api_new_keyslot(struct cryptvol *cv, const struct cryptvol_options *o,
		    const struct cryptvol_secret *passphrase, struct luks_new_keyslot *ret);
/** api_where - the names of @v. */
struct volume_where api_where(const struct cryptvol_volume *v);
/** api_passphrase - a key that is a passphrase. */
struct volume_key api_passphrase(const struct cryptvol_secret *passphrase, int keyslot);
/** api_give_secret - *ret takes over @s. */
int api_give_secret(struct cryptvol *cv, struct secret *s, struct cryptvol_secret **ret);
