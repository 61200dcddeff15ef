// SPDX-License-Identifier: Apache-2.0
// The LUKS2 format (specification 1.1.4) over a file descriptor; LUKS1 as far as recognising and
// dumping goes.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cryptvol/crypto.h>

struct err;
struct secret;

/* ---- limits; beside each where it comes from ---- */
#define LUKS_KEYSLOTS_MAX 32u /* checklist 2.3 */
#define LUKS_TOKENS_MAX 32u
#define LUKS_SEGMENTS_MAX 32u
#define LUKS_DIGESTS_MAX 8u
#define LUKS_FLAGS_MAX 32u
#define LUKS_LABEL_BYTES 48u /* with NUL; specification 2.1 */
#define LUKS_UUID_BYTES 40u
#define LUKS_BIN_HEADER_BYTES 4096u
#define LUKS_HEADER_MIN_BYTES (16u * 1024) /* binary + JSON, one copy */
#define LUKS_HEADER_MAX_BYTES (4u * 1024 * 1024)
#define LUKS_KEYSLOTS_AREA_MAX_BYTES (128u * 1024 * 1024)
#define LUKS_AF_STRIPES 4000u
#define LUKS_ANY (-1) /* any keyslot, digest, ... */

/* ---- typed metadata: parsed once; past the parser nobody sees JSON ---- */

enum luks_keyslot_type { LUKS_KEYSLOT_LUKS2 = 1, LUKS_KEYSLOT_REENCRYPT, LUKS_KEYSLOT_UNKNOWN };
enum luks_priority { LUKS_PRIORITY_IGNORE = 0, LUKS_PRIORITY_NORMAL = 1, LUKS_PRIORITY_PREFER = 2 };

struct luks_keyslot {
	unsigned int id;
	enum luks_keyslot_type type;
	char type_name[32];
	uint32_t key_bytes; /* "key_size" */
	enum luks_priority priority;
	bool priority_set; /* present in the JSON */
	char area_type[32];
	uint64_t area_offset_bytes, area_size_bytes;
	/* type luks2 only: */
	char area_encryption[CRYPTO_CIPHER_SPEC_MAX];
	uint32_t area_key_bytes;
	char kdf_name[CRYPTO_NAME_MAX]; /* as stored; kdf.type is 0 where it is unknown to us */
	struct crypto_pbkdf kdf;
	uint8_t salt[CRYPTO_SALT_BYTES];
	size_t salt_len; /* 32, else the slot can't be opened */
	char af_hash[CRYPTO_NAME_MAX];
	/* type reencrypt only: */
	char reencrypt_mode[16], reencrypt_direction[16];
	void *raw; /* the object as it stood, unknown members included; owned by the header */
};

struct luks_digest {
	unsigned int id;
	char type_name[32]; /* "pbkdf2" is the only one that we can verify */
	uint32_t keyslots;  /* bit N: keyslot N */
	uint32_t segments;  /* bit N: segment N */
	char hash[CRYPTO_NAME_MAX];
	uint32_t iterations;
	uint8_t salt[CRYPTO_SALT_BYTES];
	size_t salt_len;
	uint8_t digest[CRYPTO_HASH_MAX_BYTES];
	size_t digest_len;
	const char *unread; /* a member that can't be read: nothing opens; NULL: none */
	void *raw;
};

enum luks_segment_type {
	LUKS_SEGMENT_CRYPT = 1,
	LUKS_SEGMENT_LINEAR,
	LUKS_SEGMENT_OPAL,
	LUKS_SEGMENT_OPAL_CRYPT,
	LUKS_SEGMENT_UNKNOWN
};

/* segments.N.flags that mean something; others are carried. */
enum luks_segment_flag {
	LUKS_SEGMENT_BACKUP_PREVIOUS = 1u << 0,
	LUKS_SEGMENT_BACKUP_FINAL = 1u << 1,
	LUKS_SEGMENT_BACKUP_MOVED = 1u << 2,
	LUKS_SEGMENT_IN_REENCRYPTION = 1u << 3,
	LUKS_SEGMENT_OTHER_FLAG = 1u << 31, /* one that we don't know */
};

struct luks_segment {
	unsigned int id;
	enum luks_segment_type type;
	uint32_t flags; /* enum luks_segment_flag */
	char type_name[32];
	uint64_t offset_bytes, size_bytes;
	bool dynamic;	   /* size is "dynamic": up to the device's end */
	bool backup;	   /* flagged backup-*: not part of the data */
	uint64_t iv_tweak; /* 512-byte units */
	char encryption[CRYPTO_CIPHER_SPEC_MAX];
	uint32_t sector_size_bytes;
	bool integrity; /* an integrity object is there */
	char integrity_type[CRYPTO_CIPHER_SPEC_MAX], integrity_journal_encryption[64],
		integrity_journal_integrity[64];
	uint32_t integrity_key_bytes;
	void *raw;
};

struct luks_token {
	unsigned int id;
	char type_name[64];
	uint32_t keyslots;
	void *raw;
};

/* Persistent activation flags, config.flags (checklist "Persistent flags"). */
enum luks_flag {
	LUKS_FLAG_ALLOW_DISCARDS = 1u << 0,
	LUKS_FLAG_SAME_CPU_CRYPT = 1u << 1,
	LUKS_FLAG_SUBMIT_FROM_CRYPT_CPUS = 1u << 2,
	LUKS_FLAG_NO_JOURNAL = 1u << 3,
	LUKS_FLAG_NO_READ_WORKQUEUE = 1u << 4,
	LUKS_FLAG_NO_WRITE_WORKQUEUE = 1u << 5,
	LUKS_FLAG_HIGH_PRIORITY = 1u << 6,
};
/** luks_flag_name - the JSON spelling ("allow-discards", ..., "high_priority") of one bit; NULL for
 * none. */
const char *luks_flag_name(unsigned int bit);

/* Mandatory requirements (config.requirements.mandatory). */
enum luks_requirement {
	LUKS_REQ_OFFLINE_REENCRYPT = 1u << 0,
	LUKS_REQ_ONLINE_REENCRYPT = 1u << 1, /* any version */
	LUKS_REQ_INLINE_HW_TAGS = 1u << 2,
	LUKS_REQ_OPAL = 1u << 3,
	LUKS_REQ_UNKNOWN = 1u << 31,
};

struct luks_header {
	unsigned int version; /* 1 or 2 */
	/* binary header */
	uint64_t header_bytes; /* one copy: binary + JSON */
	uint64_t seqid;
	char label[LUKS_LABEL_BYTES], subsystem[LUKS_LABEL_BYTES];
	char uuid[LUKS_UUID_BYTES];
	char checksum_alg[CRYPTO_NAME_MAX];
	/* JSON */
	uint64_t json_bytes, keyslots_bytes; /* config.json_size, keyslots_size */
	uint32_t flags;			     /* enum luks_flag */
	uint32_t requirements;		     /* enum luks_requirement */
	char unknown_requirement[64];	     /* the first one that we don't know */
	char unusable[256]; /* the first thing for which the header is only shown: it is neither
			       opened nor changed; "" = none */
	struct luks_keyslot keyslots[LUKS_KEYSLOTS_MAX];
	struct luks_digest digests[LUKS_DIGESTS_MAX];
	struct luks_segment segments[LUKS_SEGMENTS_MAX];
	struct luks_token tokens[LUKS_TOKENS_MAX];
	size_t n_keyslots, n_digests, n_segments,
		n_tokens; /* arrays are dense, in JSON order; look ids up by luks_find_* */
	void *raw;	  /* the root object */
	struct luks1_header *luks1; /* version 1 only */
	/* what the two copies on disk hold; for luks_header_write alone */
	struct luks_copy_state {
		bool valid; /* checksum and JSON were good: the salt stays */
		uint8_t salt[64];
		uint64_t json_used_bytes; /* to be covered by the next write */
	} copies[2];
	/* how it was found */
	bool from_secondary;  /* the primary copy was not usable (or older) */
	bool needs_recovery;  /* one copy should be rewritten and was not */
	bool other_invalid;   /* the copy that isn't used has a good checksum and bad metadata */
	uint64_t newer_seqid; /* 0, or the number of a copy that is newer than this one and whole,
				 but holds what we can't use */
	bool seqid_conflict;  /* equal sequence numbers, different content: the primary was used,
				 nothing overwritten */
};

/** LUKS1: everything that luksDump prints. */
struct luks1_keyslot {
	bool active;
	uint32_t iterations, key_material_offset_sectors, stripes;
	uint8_t salt[32];
};
struct luks1_header {
	char cipher[33], mode[33], hash[33];
	uint32_t payload_offset_sectors, key_bytes, digest_iterations;
	uint8_t digest[20], digest_salt[32];
	struct luks1_keyslot keyslots[8];
};

const struct luks_keyslot *luks_find_keyslot(const struct luks_header *h, int id);
const struct luks_digest *luks_find_digest(const struct luks_header *h, int id);
const struct luks_segment *luks_find_segment(const struct luks_header *h, int id);
const struct luks_token *luks_find_token(const struct luks_header *h, int id);
/** luks_default_segment - the first data segment (backup-final if there is one); NULL if none. */
const struct luks_segment *luks_default_segment(const struct luks_header *h);
/** luks_segment_digest - the digest that verifies segment @id's key; NULL if none. */
const struct luks_digest *luks_segment_digest(const struct luks_header *h, int id);
/** luks_fingerprint - hex SHA-256 of what verifies the default segment's key (hash, salt, digest):
 * the same as long as the volume key is. -EBADMSG: there is none. */
int luks_fingerprint(const struct luks_header *h, char ret[65], struct err *e);
/** luks_data_offset - lowest offset of a data segment in bytes (0: detached). */
uint64_t luks_data_offset(const struct luks_header *h);
/** luks_volume_key_bytes - key size for the default segment: from a keyslot of its digest, else 0
 * (no keyslot left). */
uint32_t luks_volume_key_bytes(const struct luks_header *h);

/* ---- reading ---- */

/** luks_probe - is there a LUKS magic (version 1 or 2, primary or a secondary at an allowed
 * offset)? -EMEDIUMTYPE if not. */
int luks_probe(int fd, unsigned int *ret_version, struct err *e);

/** Other names of a header: devices and files with the same bytes. Both arrays are malloc'ed. */
struct luks_others {
	struct luks_device {
		uint32_t major, minor;
	} * devices;
	size_t n_devices;
	int *files; /* open, to be closed */
	size_t n_files;
};
void luks_others_free(struct luks_others *o);

/** What a load may do, and whom it asks. Zeroed = read only, locked as usual. */
struct luks_io {
	int fd;	       /* of the metadata device or file; O_RDWR if anything is to be written */
	bool writable; /* fd is O_RDWR */
	bool no_locks; /* --disable-locks: no metadata lock, and so no automatic recovery */
	uint64_t size_bytes; /* of the device as luks_load shall take it; 0: it asks */
	/* The other names of what @fd is, to be locked with it; those below it only where @all is
	 * false. NULL: @fd's own name is the only one that is locked. */
	int (*find_others)(int fd, bool all, struct luks_others *ret, struct err *e);
	/* Is a foreign signature on this device (LUKS itself left out)? 0 = none, -EUCLEAN = yes or
	 * ambiguous, else an error. */
	int (*check_foreign)(int fd, struct err *e);
	/* Encrypt or decrypt the first @len bytes of @data as crypto_cipher_run does from sector 0,
	 * where that says -EHOSTDOWN: by a mapping of the kernel's. May be called by several
	 * threads at once. NULL: there is no other way here. */
	int (*run_cipher)(const struct crypto_cipher *c, const struct secret *key, bool encrypt,
			  struct secret *data, size_t len, struct err *e);
};

/**
 * luks_load - read, check and parse a header; take the shared lock for it. Where one copy needs
 * rewriting and @io->writable, retake the lock exclusively and recover (checklist 2.2). *ret is
 * freed with luks_free. Errors: -EMEDIUMTYPE no LUKS here, -EBADMSG no usable copy (the sentence
 * names object and field), -EIO.
 */
int luks_load(const struct luks_io *io, struct luks_header **ret, struct err *e);
/** luks_parse - the same from memory, for tests, backups and fuzzing: @buf holds the device's first
 * @len bytes. */
int luks_parse(const void *buf, size_t len, uint64_t device_bytes, struct luks_header **ret,
	       struct err *e);
/** luks_check_copies - does a copy stand there whose magic and checksum are right, whatever its
 * metadata say? Nothing is written. -EMEDIUMTYPE, -EBADMSG: none. */
int luks_check_copies(const struct luks_io *io, unsigned int *ret_version, struct err *e);
void luks_free(struct luks_header *h);
void luks_freep(struct luks_header **h);
#define _cleanup_luks_ __attribute__((cleanup(luks_freep)))

/** luks_repair - `cryptvol repair`: recover even where luks_load refused because of a foreign
 * signature. -EUCLEAN: the other copy is whole and newer, and @roll_back is false. */
int luks_repair(const struct luks_io *io, bool roll_back, struct err *e);

/** luks_check_usable - may this header be activated or changed? Names re-encryption, integrity,
 * OPAL, LUKS1, unknown requirements. */
int luks_check_usable(const struct luks_header *h, struct err *e);

/** luks_check_same - is @now of the same volume as @old: metadata of the same size, the same key?
 * -ESTALE says what it is. */
int luks_check_same(const struct luks_header *old, const struct luks_header *now, struct err *e);
/** luks_check_same_keyslot - is keyslot @id of both the same one? -ESTALE says what became of it.
 */
int luks_check_same_keyslot(const struct luks_header *old, const struct luks_header *now, int id,
			    struct err *e);

/**
 * The only thing that may be mapped of a volume: one run of ciphertext, under one key, to the
 * device's end. docs/FORMAT.md "What may be mapped".
 */
struct luks_plan {
	unsigned int segment, digest;
	uint64_t offset_bytes, size_bytes;
	bool dynamic; /* size_bytes is 0; a fixed size has to be what the device leaves */
	char encryption[CRYPTO_CIPHER_SPEC_MAX];
	uint32_t sector_size_bytes;
	uint32_t key_bytes; /* of the volume key; 0: no keyslot is left to say */
};
/**
 * luks_make_plan - what of @h may be mapped. Whatever two readers of one header might map
 * differently is refused with its name: -EOPNOTSUPP, or what luks_check_usable says. The cipher is
 * the caller's to check.
 */
int luks_make_plan(const struct luks_header *h, struct luks_plan *ret, struct err *e);

#define LUKS_PIN_CHARS 65
/**
 * luks_pin - hex SHA-256 of the canonical form of all that decides how the volume is mapped:
 * segments, their digests, requirements, flags (docs/FORMAT.md "The pin"). Keyslots may change
 * without changing it.
 */
int luks_pin(const struct luks_header *h, char ret[LUKS_PIN_CHARS], struct err *e);

/** luks_json_text - the metadata as pretty JSON (--dump-json-metadata), malloc'ed. */
int luks_json_text(const struct luks_header *h, char **ret, struct err *e);
/**
 * luks_member_text - for dumps: a member of a raw object (h->raw, a token's raw, ...) as text;
 * @path as in "config/flags"; of an array the string @index (0 for what is none). NULL: no such
 * member. The text lives as long as the header.
 */
const char *luks_member_text(const void *raw, const char *path, size_t index);

/* ---- keyslots ---- */

struct luks_unlock {
	const struct secret *passphrase;
	int keyslot;	 /* LUKS_ANY: by priority, the cheapest first, "ignore" left out */
	int segment;	 /* LUKS_ANY = the default segment; its digest has to match */
	bool any_digest; /* unbound keys too (luksDump --unbound, luksAddKey with the key of an
			    unbound slot) */
	bool allow_null; /* null ciphers asked for by name */
};
/**
 * luks_unlock_keyslot - try the passphrase. *ret_key is the volume key (secret_free); *ret_keyslot
 * the slot. -EPERM: opens no keyslot. Other errors stop the search (a slot too big for memory:
 * -ENOMEM). Where several would do: by priority; inside one the cheapest derivation first
 * (crypto_pbkdf_cost), then JSON order. Several may be tried at once on processors that are idle;
 * the result is the one of that order all the same, and what is behind it is stopped.
 */
int luks_unlock_keyslot(const struct luks_io *io, const struct luks_header *h,
			struct crypto_kdf *kdf, const struct luks_unlock *u,
			struct secret **ret_key, int *ret_keyslot, struct err *e);
/** luks_verify_key - which digest verifies this key (segment's, or any for LUKS_ANY)? -EPERM: none.
 */
int luks_verify_key(const struct luks_header *h, const struct secret *key, int segment,
		    int *ret_digest, struct err *e);

/*
 * ---- writing. Each verb takes the exclusive lock, reads the header again, and makes its change in
 * what it finds there, which may be newer than *h: a change by someone else meanwhile isn't lost.
 * -ESTALE where the two can't both be: another volume stands there, or the keyslot that is meant is
 * another one by now. Writes follow docs/FORMAT.md "Order of writes".
 *
 * On success *h is the new state. On failure *h is what counts on disk as far as that is known:
 * - as it was, and its sequence number with it: nothing of the change counts. Areas of no keyslot
 *   may have been written to, and of a keyslot that was to be killed its area may be wiped.
 * - h->seqid has grown: the change is made, and something behind it failed (the second copy, or old
 *   key material could not be wiped); the sentence says what. luks_made tells the two apart.
 * - Where the first copy failed and could not be made anew either, it isn't known; the sentence
 * says so, and *h is as it was.
 * ---- */

/** luks_made - did a verb that failed make its change all the same? @before: h->seqid before the
 * call. */
static inline bool luks_made(const struct luks_header *h, uint64_t before)
{
	return h->seqid != before;
}

struct luks_new_keyslot {
	int keyslot; /* LUKS_ANY = first free */
	const struct secret *passphrase;
	struct crypto_pbkdf pbkdf;   /* filled by crypto_pbkdf_fill */
	const char *area_encryption; /* NULL = like the data segment, checklist 2.5 */
	uint32_t area_key_bytes;     /* 0 = like the data segment */
	const char *af_hash;	     /* NULL = "sha256" */
	enum luks_priority priority; /* used if priority_set */
	bool priority_set;
	bool unbound; /* a key for no segment: gets a digest of its own */
};

struct luks_format {
	const char *cipher;	       /* NULL = aes-xts-plain64 */
	uint32_t key_bytes;	       /* 0 = 64 for xts, 32 else */
	const char *hash;	       /* digest and AF; NULL = sha256 */
	uint32_t sector_size_bytes;    /* 512 ... 4096; 0 = 512 */
	const char *label, *subsystem; /* NULL = "" */
	const char *uuid;	       /* NULL = random */
	uint64_t header_bytes;	       /* one copy, 0 = 16 KiB */
	uint64_t keyslots_bytes;       /* 0 = what fits below data offset, at most 16 MiB in all by
					  default */
	uint64_t data_offset_bytes;    /* 0 = 16 MiB rounded to the alignment, unless detached */
	uint64_t alignment_bytes;      /* from the data device's topology, 0 = 1 MiB */
	uint64_t alignment_offset_bytes;
	bool detached;			 /* header on a device of its own: data offset 0 allowed */
	uint64_t data_device_bytes;	 /* to check that data fits; 0 = unknown */
	uint32_t digest_iterations;	 /* 0 = policy */
	const struct secret *volume_key; /* borrowed; NULL = random */
	struct luks_new_keyslot
		first;	  /* first keyslot; passphrase NULL = none (only with volume_key) */
	bool known_blank; /* the caller has proven that the metadata region reads as zeros: nothing
			     need be wiped */
	bool allow_null;
	void (*progress)(void *arg, uint64_t done_bytes, uint64_t total_bytes);
	void *progress_arg;
	/* Do away with what else stands on the device; called under the lock, when all else is
	 * ready to be written. NULL = there is nothing. */
	int (*clear)(void *arg, struct err *e);
	void *clear_arg;
	/* Under the lock, before anything is written: may it be, still? Given clear_arg; NULL =
	 * yes. */
	int (*still_idle)(void *arg, struct err *e);
};
/**
 * luks_format - write a new header with its first keyslot. Whatever can be refused is refused, and
 * the first keyslot's KDF runs, before anything is written. Then f->clear; the metadata region is
 * made unrecognisable where it held something (old magics at every probe offset), then keyslot
 * area, then headers.
 */
int luks_format(const struct luks_io *io, struct crypto_kdf *kdf, const struct luks_format *f,
		struct luks_header **ret, struct err *e);

/** luks_add_keyslot - volume key @key (verified against the digests unless unbound) under a new
 * passphrase. */
int luks_add_keyslot(const struct luks_io *io, struct luks_header *h, struct crypto_kdf *kdf,
		     const struct luks_new_keyslot *n, const struct secret *key, int *ret_keyslot,
		     struct err *e);
/**
 * luks_change_keyslot - replace keyslot @old's passphrase. New material goes to a free area, the
 * metadata switches over, then the old area is wiped. @force: where no free area exists, overwrite
 * in place (a cut may lose this keyslot); else -ENOSPC. n->keyslot LUKS_ANY keeps the number.
 */
int luks_change_keyslot(const struct luks_io *io, struct luks_header *h, struct crypto_kdf *kdf,
			int old, const struct luks_new_keyslot *n, const struct secret *key,
			bool force, int *ret_keyslot, struct err *e);
/** luks_kill_keyslot - wipe the area, then the metadata. @allow_last: the last keyslot of the
 * volume key too (else -EBUSY). -ESTALE: it has become the last one since *h was read, or is
 * another keyslot by now. */
int luks_kill_keyslot(const struct luks_io *io, struct luks_header *h, int keyslot, bool allow_last,
		      struct err *e);
/** luks_kill_other - the same, where keyslot @proof was opened and has to stay (-ESTALE: it is
 * gone, or another one by now). */
int luks_kill_other(const struct luks_io *io, struct luks_header *h, int keyslot, int proof,
		    bool allow_last, struct err *e);
/** luks_finish_kills - kill the keyslots that are listed but wiped, as a kill that was cut short
 * leaves them; never the last one of the volume key. *ret_n: how many (0: nothing was written). */
int luks_finish_kills(const struct luks_io *io, struct luks_header *h, size_t *ret_n,
		      struct err *e);
/** luks_erase_keyslots - all of them; the data is gone for good (without a saved volume key). */
int luks_erase_keyslots(const struct luks_io *io, struct luks_header *h, struct err *e);

/** luks_set_labels - NULL leaves one as it is. */
int luks_set_labels(const struct luks_io *io, struct luks_header *h, const char *label,
		    const char *subsystem, struct err *e);
int luks_set_uuid(const struct luks_io *io, struct luks_header *h, const char *uuid, struct err *e);
int luks_set_priority(const struct luks_io *io, struct luks_header *h, int keyslot,
		      enum luks_priority p, struct err *e);
int luks_set_flags(const struct luks_io *io, struct luks_header *h, uint32_t flags, struct err *e);

/* ---- the metadata lock (checklist; cryptsetup's own, so both may run at once) ---- */

/** One lock: a file below /run/cryptsetup, or the image itself. */
struct luks_lock {
	int fd;
	bool file;  /* the image itself is locked */
	bool close; /* fd is ours */
	char path[64];
};
/** The locks of all names of one header. */
struct luks_locks {
	struct luks_lock *lock;
	size_t n;
};
/**
 * luks_locks_take - flock on /run/cryptsetup/L_<major>:<minor> of a block device, or on the image
 * file. @exclusive, for writers, takes those of all other names too (io->find_others), a reader
 * those of the devices below. In one order (devices by number, then files by device and inode), so
 * that two can't wait for each other. Waits. What a device of this name had in the page cache is
 * dropped, since another name may have been written through. -EBUSY: the names keep changing.
 */
int luks_locks_take(const struct luks_io *io, bool exclusive, struct luks_locks *ret,
		    struct err *e);
void luks_locks_release(const struct luks_io *io, struct luks_locks *l);
