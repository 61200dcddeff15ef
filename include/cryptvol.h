// SPDX-License-Identifier: Apache-2.0
// libcryptvol: encrypted volumes (LUKS2) on Linux. This header is all that the library promises:
// every name begins with cryptvol_ or CRYPTVOL_, every struct is opaque, and no function of it
// changes its parameters while the library's major number stays.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CRYPTVOL_API __attribute__((visibility("default")))

/*
 * Functions that can fail return 0 or a negative errno; a ret_ parameter is set on success only.
 * The sentence for a person is cryptvol_error() of the context. The errnos that a caller will want
 * to tell apart: -EPERM       no keyslot opens with this passphrase, or the volume key is another
 * one -EMEDIUMTYPE the device carries no LUKS header -EBADMSG     the header is corrupt -EUCLEAN a
 * person has to repair the header (cryptvol_repair) -EOPNOTSUPP  the header is valid, but beyond
 * this library -EBUSY       the device or mapping is in use -ESTALE      somebody else changed the
 * header meanwhile: load it and try again -ENODEV      no such device or mapping -ENOMEM memory, or
 * a keyslot that needs more memory than may be used -EINVAL      a parameter is wrong
 */

/** A context: settings, and the last error. One thread at a time uses a context and all that was
 * made from it. */
struct cryptvol;
/** A passphrase or a key, in pages of its own that are locked, left out of core dumps and wiped
 * when they are freed. */
struct cryptvol_secret;
/** Options of one call, by the names of the command's long options (cryptvol(8)). */
struct cryptvol_options;
/** The names of a device and its header, and, once loaded, what the header says. */
struct cryptvol_volume;
/** What is known of an active mapping. */
struct cryptvol_status;

#define CRYPTVOL_ANY_KEYSLOT (-1)

/* ---- contexts ---- */

/** cryptvol_version - "1.2.3", of the library that runs. */
CRYPTVOL_API const char *cryptvol_version(void);
/** cryptvol_new - a context; free it with cryptvol_free, after all that was made from it. -ENOMEM.
 */
CRYPTVOL_API int cryptvol_new(struct cryptvol **ret);
CRYPTVOL_API void cryptvol_free(struct cryptvol *cv);
/** cryptvol_error - the sentence of the last call that failed, "" before the first. It lives until
 * the next call. */
CRYPTVOL_API const char *cryptvol_error(const struct cryptvol *cv);
/** cryptvol_protect_process - no core dumps of this process, and no debugger but root's. For
 * programs that hold secrets. */
CRYPTVOL_API int cryptvol_protect_process(struct cryptvol *cv);
/** cryptvol_set_memory_limit - key derivations take no more than this at once, all together; 0: as
 * the machine allows. Call it before the first derivation (-EBUSY after it). */
CRYPTVOL_API int cryptvol_set_memory_limit(struct cryptvol *cv, uint64_t bytes);
/** cryptvol_set_warning - whom to tell what a person should know although the call succeeds. NULL:
 * nobody. */
CRYPTVOL_API void cryptvol_set_warning(struct cryptvol *cv,
				       void (*warn)(void *arg, const char *sentence), void *arg);
/** cryptvol_set_progress - told while old data is overwritten. NULL: nobody. */
CRYPTVOL_API void cryptvol_set_progress(struct cryptvol *cv,
					void (*progress)(void *arg, uint64_t done_bytes,
							 uint64_t total_bytes),
					void *arg);

/* ---- secrets ---- */

/** cryptvol_secret_new - takes @len bytes over and wipes @bytes. */
CRYPTVOL_API int cryptvol_secret_new(struct cryptvol *cv, void *bytes, size_t len,
				     struct cryptvol_secret **ret);
/** cryptvol_secret_read - read(2) from @fd to its end; -EFBIG where more than @max_bytes come. */
CRYPTVOL_API int cryptvol_secret_read(struct cryptvol *cv, int fd, size_t max_bytes,
				      struct cryptvol_secret **ret);
/** cryptvol_secret_random - @len bytes of the kernel's random numbers. */
CRYPTVOL_API int cryptvol_secret_random(struct cryptvol *cv, size_t len,
					struct cryptvol_secret **ret);
/** cryptvol_secret_bytes - the bytes themselves, borrowed until cryptvol_secret_free. */
CRYPTVOL_API const void *cryptvol_secret_bytes(const struct cryptvol_secret *s, size_t *ret_len);
/** cryptvol_secret_free - wipes it; NULL is allowed. */
CRYPTVOL_API void cryptvol_secret_free(struct cryptvol_secret *s);

/* ---- options ---- */

/**
 * cryptvol_options_new - none is set. A call refuses an option that it has no use for (-EINVAL).
 *   new keyslots     key-slot pbkdf hash pbkdf-memory pbkdf-parallel pbkdf-force-iterations
 * iter-time cryptvol_format  those, and cipher key-size sector-size label subsystem uuid offset
 * align-payload luks2-metadata-size luks2-keyslots-size cryptvol_open    readonly shared
 * allow-discards perf-same_cpu_crypt perf-submit_from_crypt_cpus perf-no_read_workqueue
 *                    perf-no_write_workqueue perf-high_priority persistent disable-keyring refresh
 */
CRYPTVOL_API int cryptvol_options_new(struct cryptvol *cv, struct cryptvol_options **ret);
/** cryptvol_options_set - units are the command's: key-size in bits, offset and align-payload in
 * sectors of 512 bytes, pbkdf-memory in KiB, iter-time in milliseconds. @value NULL: yes. -EINVAL:
 * no such option, or no such value. */
CRYPTVOL_API int cryptvol_options_set(struct cryptvol_options *o, const char *name,
				      const char *value);
CRYPTVOL_API void cryptvol_options_free(struct cryptvol_options *o);

/* ---- volumes ---- */

/** cryptvol_is_luks - 0 and the version, or -EMEDIUMTYPE. */
CRYPTVOL_API int cryptvol_is_luks(struct cryptvol *cv, const char *device,
				  unsigned int *ret_version);
/** cryptvol_volume_new - only names; nothing is opened yet. @header: a detached header, else NULL.
 */
CRYPTVOL_API int cryptvol_volume_new(struct cryptvol *cv, const char *device, const char *header,
				     struct cryptvol_volume **ret);
CRYPTVOL_API void cryptvol_volume_free(struct cryptvol_volume *v);
/** cryptvol_load - read the header anew, without writing anything. What the functions below give is
 * of the last load, and lives until the next one; before the first they give NULL or 0. */
CRYPTVOL_API int cryptvol_load(struct cryptvol_volume *v);
/** cryptvol_check_usable - may the volume be mapped? -EOPNOTSUPP or -ETXTBSY with the reason. */
CRYPTVOL_API int cryptvol_check_usable(struct cryptvol_volume *v);
CRYPTVOL_API const char *cryptvol_uuid(const struct cryptvol_volume *v);
CRYPTVOL_API const char *cryptvol_label(const struct cryptvol_volume *v);
CRYPTVOL_API const char *cryptvol_subsystem(const struct cryptvol_volume *v);
/** cryptvol_cipher - dm-crypt's specification of what encrypts the data; NULL where nothing does.
 */
CRYPTVOL_API const char *cryptvol_cipher(const struct cryptvol_volume *v);
CRYPTVOL_API unsigned int cryptvol_luks_version(const struct cryptvol_volume *v);
CRYPTVOL_API uint32_t cryptvol_key_bytes(const struct cryptvol_volume *v);
CRYPTVOL_API uint32_t cryptvol_sector_bytes(const struct cryptvol_volume *v);
CRYPTVOL_API uint64_t cryptvol_data_offset_bytes(const struct cryptvol_volume *v);
/** cryptvol_keyslots - bit N: keyslot N is in use. */
CRYPTVOL_API uint32_t cryptvol_keyslots(const struct cryptvol_volume *v);
/** cryptvol_metadata_json - LUKS2's metadata as text; free(3) it. */
CRYPTVOL_API int cryptvol_metadata_json(struct cryptvol_volume *v, char **ret);

/* ---- formatting ---- */

/** cryptvol_format - write a new LUKS2 header whose first keyslot opens with @passphrase. All that
 * the device held is lost. A header file that isn't there is made. @o may be NULL. */
CRYPTVOL_API int cryptvol_format(struct cryptvol_volume *v,
				 const struct cryptvol_secret *passphrase,
				 const struct cryptvol_options *o);

/* ---- keyslots; @keyslot: the only one to try, or CRYPTVOL_ANY_KEYSLOT ---- */

/** cryptvol_test_passphrase - which keyslot does it open? */
CRYPTVOL_API int cryptvol_test_passphrase(struct cryptvol_volume *v,
					  const struct cryptvol_secret *passphrase, int keyslot,
					  int *ret_keyslot);
/** cryptvol_unlock - the volume key. Whoever has it opens the volume for good. */
CRYPTVOL_API int cryptvol_unlock(struct cryptvol_volume *v,
				 const struct cryptvol_secret *passphrase, int keyslot,
				 struct cryptvol_secret **ret_volume_key);
/** cryptvol_add_passphrase - @existing opens a keyslot; @o may be NULL. */
CRYPTVOL_API int cryptvol_add_passphrase(struct cryptvol_volume *v,
					 const struct cryptvol_secret *existing,
					 const struct cryptvol_secret *added,
					 const struct cryptvol_options *o, int *ret_keyslot);
/** cryptvol_add_passphrase_by_key - the same with the volume key. */
CRYPTVOL_API int cryptvol_add_passphrase_by_key(struct cryptvol_volume *v,
						const struct cryptvol_secret *volume_key,
						const struct cryptvol_secret *added,
						const struct cryptvol_options *o, int *ret_keyslot);
/** cryptvol_change_passphrase - the keyslot that @old opens opens with @changed from then on. */
CRYPTVOL_API int cryptvol_change_passphrase(struct cryptvol_volume *v,
					    const struct cryptvol_secret *old, int keyslot,
					    const struct cryptvol_secret *changed,
					    const struct cryptvol_options *o, int *ret_keyslot);
/** cryptvol_remove_passphrase - erase the keyslot that @passphrase opens. The last one only with
 * @last_too. */
CRYPTVOL_API int cryptvol_remove_passphrase(struct cryptvol_volume *v,
					    const struct cryptvol_secret *passphrase,
					    bool last_too);
/** cryptvol_kill_keyslot - erase a keyslot; @other opens another one, or is NULL. The last one only
 * with @last_too. */
CRYPTVOL_API int cryptvol_kill_keyslot(struct cryptvol_volume *v, int keyslot,
				       const struct cryptvol_secret *other, bool last_too);
/** cryptvol_erase - erase all keyslots: nobody opens the volume again. */
CRYPTVOL_API int cryptvol_erase(struct cryptvol_volume *v);

/* ---- headers ---- */

/** cryptvol_set_label - NULL: as it is. */
CRYPTVOL_API int cryptvol_set_label(struct cryptvol_volume *v, const char *label,
				    const char *subsystem);
CRYPTVOL_API int cryptvol_set_uuid(struct cryptvol_volume *v, const char *uuid);
/** cryptvol_set_priority - 0 ignored unless it is asked for, 1 normal, 2 tried first. */
CRYPTVOL_API int cryptvol_set_priority(struct cryptvol_volume *v, int keyslot, int priority);
CRYPTVOL_API int cryptvol_repair(struct cryptvol_volume *v);
/** cryptvol_backup_header - into a new file (-EEXIST). Keep it: with an old passphrase it opens the
 * volume for good. */
CRYPTVOL_API int cryptvol_backup_header(struct cryptvol_volume *v, const char *file);
CRYPTVOL_API int cryptvol_restore_header(struct cryptvol_volume *v, const char *file);

/* ---- mappings; all need root ---- */

/** cryptvol_open - map the volume at /dev/mapper/@name. @o may be NULL. */
CRYPTVOL_API int cryptvol_open(struct cryptvol_volume *v, const char *name,
			       const struct cryptvol_secret *passphrase, int keyslot,
			       const struct cryptvol_options *o, int *ret_keyslot);
/** cryptvol_open_by_key - the same with the volume key. */
CRYPTVOL_API int cryptvol_open_by_key(struct cryptvol_volume *v, const char *name,
				      const struct cryptvol_secret *volume_key,
				      const struct cryptvol_options *o);
/** cryptvol_close - remove a mapping. @deferred: once nobody uses it any more. */
CRYPTVOL_API int cryptvol_close(struct cryptvol *cv, const char *name, bool deferred);
/** cryptvol_resize - make a mapping @size_bytes big; 0: as big as its device allows. @passphrase
 * NULL: without; -ENOKEY where one is needed. @header: a detached header, else NULL. */
CRYPTVOL_API int cryptvol_resize(struct cryptvol *cv, const char *name, uint64_t size_bytes,
				 const struct cryptvol_secret *passphrase, const char *header);
/** cryptvol_status_new - of an active mapping; -ENODEV. */
CRYPTVOL_API int cryptvol_status_new(struct cryptvol *cv, const char *name,
				     struct cryptvol_status **ret);
CRYPTVOL_API void cryptvol_status_free(struct cryptvol_status *s);
/** cryptvol_status_text - "type", "uuid", "cipher", "device", "loop-file"; NULL: no such text. */
CRYPTVOL_API const char *cryptvol_status_text(const struct cryptvol_status *s, const char *what);
/** cryptvol_status_number - "key-bytes", "sector-bytes", "offset-bytes", "size-bytes"; 1 or 0 for
 * "readonly", "in-use", "key-in-keyring". -EINVAL: no such number. */
CRYPTVOL_API int cryptvol_status_number(const struct cryptvol_status *s, const char *what,
					uint64_t *ret);

#ifdef __cplusplus
}
#endif
