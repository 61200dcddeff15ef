// SPDX-License-Identifier: Apache-2.0
// Where the driver's block devices come from, and what it remembers about them. The ops table keeps
// the place of other engines; the embedded one is "loop": sparse files in a state directory behind
// loop devices, records in SQLite. Linked into the driver only.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

#define BACKEND_ID_MAX 129 /* 128 bytes of CSI and a NUL */
#define BACKEND_HEADER_BYTES                                                                     \
	(16ull * 1024 * 1024) /* LUKS2 metadata in front of an encrypted volume's data; comes on \
				 top of its size */
#define BACKEND_EXTENT_BYTES (1024ull * 1024) /* sizes are rounded up to this */

/** May this volume still be formatted? Recorded before and after, never inferred from content. */
enum backend_format {
	BACKEND_FORMAT_NONE = 0, /* new, nothing was ever written by us */
	BACKEND_FORMATTING = 1,	 /* a format was begun; nonce says which */
	BACKEND_FORMATTED = 2,	 /* open only, whatever the bytes look like (also: restored, cloned,
				    static, adopted after a loss of state) */
};
enum backend_source {
	BACKEND_SOURCE_NONE = 0,
	BACKEND_SOURCE_SNAPSHOT = 1,
	BACKEND_SOURCE_VOLUME = 2
};
enum backend_snapshot_kind { BACKEND_SNAP = 0, BACKEND_BACKUP = 1 };

/** What the header of a volume has to be; "" / 0 = not pinned yet. A header that differs is refused
 * at stage. */
struct backend_pin {
	char uuid[40];
	char cipher[96];
	uint64_t data_offset_bytes;
	uint32_t sector_size_bytes;
	char digest[65];  /* luks_fingerprint's */
	char mapping[65]; /* luks_pin's; "" in a record or backup made before there was one */
};

struct backend_volume {
	char id[BACKEND_ID_MAX];   /* mapping name and image name at the same time: [a-z0-9.-] */
	char name[BACKEND_ID_MAX]; /* the CO's */
	uint64_t size_bytes;	   /* what the user asked for, header not counted */
	uint64_t header_bytes;	   /* 0 for a plain volume */
	bool encrypted, block;
	char fs_type[16]; /* "" for block */
	char *parameters; /* string map as JSON; owned by the record (backend_volume_clear) */
	char *mutable_parameters; /* the same */
	enum backend_source source;
	char source_id[BACKEND_ID_MAX];
	enum backend_format format;
	char format_nonce[37];
	enum backend_format
		fs_format; /* the same rule for mkfs; fs_nonce is the file system's UUID */
	char fs_nonce[37];
	uint64_t fs_bytes; /* device size that the file system was last grown to, 0 = not known */
	struct backend_pin pin;
	uint32_t access_modes; /* bit per CSI access mode of the capabilities at creation */
	int64_t created_seconds;
	bool adopted; /* found as an image after the records were lost, and not staged since:
			 encrypted, header, fs_type, block and parameters aren't known */
};
void backend_volume_clear(struct backend_volume *v);
/** backend_check_known - -EUCLEAN: the volume was adopted, and nobody has said yet what it is. It
 * is neither grown nor copied before. */
int backend_check_known(const struct backend_volume *v, struct err *e);

struct backend_snapshot {
	char id[BACKEND_ID_MAX], name[BACKEND_ID_MAX], volume_id[BACKEND_ID_MAX],
		group_id[BACKEND_ID_MAX];
	enum backend_snapshot_kind kind;
	uint64_t size_bytes, header_bytes; /* of the volume when it was cut */
	bool encrypted, block, ready;
	bool content_unknown; /* a backup that a person made: a file system or not, nobody wrote it
				 down; whoever restores it says what it is */
	char fs_type[16];
	enum backend_format format;
	bool fs_made;
	struct backend_pin pin;
	int64_t created_seconds, created_nanos;
	char location[4096]; /* backups: the directory */
};

/** A publication: where a volume is staged, and each target it is published on. cap is the
 * capability as canonical text. */
struct backend_use {
	char path[4096]; /* staging path, target path or (controller publish) node id */
	char cap[512];
	bool readonly;
};
enum backend_use_kind { BACKEND_USE_NODE = 0, BACKEND_USE_STAGED = 1, BACKEND_USE_TARGET = 2 };

/** Is this use of a volume so, by the kernel? Asked about stages and publications only. One that
 * isn't is about to be forgotten: what is left at @path of a publication is removed. */
typedef bool backend_use_test(void *arg, const char *volume_id, enum backend_use_kind k,
			      const char *path);

struct backend_config {
	const char *state_dir, *node_id;
	const char *lock_dir; /* where locks of volumes lie, best on a tmpfs that all processes over
				 the state directory see; NULL, or one that can't be used = in the
				 state directory */
	const char *store_id_file; /* on another disk than the state directory: remembers which
				      store is this node's; "" or NULL = nothing does */
	bool require_mountpoint;   /* the state directory has to be a file system of its own ... */
	const char *apart_from;	   /* ... other than that of /, and of this folder; NULL = none */
	/* called with the records locked; NULL = uses can't be checked in this process */
	backend_use_test *use_holds;
	void *use_arg;
	const char
		*backup_dir; /* where backups of other nodes are looked up; "" or NULL = nowhere */
	uint64_t overprovision_percent;
	unsigned int slow_calls_max; /* copies of data, and calls that wait for a backup store, at
					once: one more is -EINPROGRESS; 0 = no limit */
	/* what backend_open put right or took in that a person should hear of, a sentence each;
	 * NULL = nobody listens */
	void (*warn)(void *arg, const char *sentence);
	/* told every few seconds how far a copy is; NULL = nobody listens */
	void (*progress)(void *arg, const char *sentence);
	/* Asked by what only looks something up in a backup store, from the thread of its call: an
	 * errno ends the call with it; NULL = never. */
	int (*stop)(void *arg, struct err *e);
	void *warn_arg;
};
struct backend;
/**
 * backend_open - open (or make) the state directory and its records, repair what a crash left.
 * -EINVAL: no backend @name. A state directory that can't be opened (its disk isn't mounted, is
 * another one, or fails) is no error, since what is mounted has to be taken down all the same: it
 * is told as a warning, and until backend_try opens it, what needs the records fails.
 */
int backend_open(const char *name, const struct backend_config *c, struct backend **ret,
		 struct err *e);
/** backend_try - if the state directory isn't open, try again. true: this call has opened it. */
bool backend_try(struct backend *b);
/** backend_check - 0, or why the records can't be read: -ENOTCONN (no disk, or another one), or
 * as the disk said. */
int backend_check(struct backend *b, struct err *e);
void backend_close(struct backend *b);

/** backend_lock - one operation a volume at a time, whatever thread or process of this node it is:
 * -EINPROGRESS. Close *ret_fd to give it back. Whoever changes, stages or copies a volume holds it,
 * and so a volume that is found suspended under it was left so by a process that is dead. The
 * backend's own functions don't take it but for what they make or delete under a name. */
int backend_lock(struct backend *b, const char *id, int *ret_fd, struct err *e);
/** backend_cut_lock - held while a volume may be suspended: -EINPROGRESS. Whoever gets it may
 * resume the volume, though somebody holds backend_lock: an unmount, say, that waits for the
 * resume. *fd is -1, or has others already. */
int backend_cut_lock(struct backend *b, const char *volume_id, int *fd, struct err *e);

/* ---- ids ---- */
/** backend_volume_id - the id that a CO's volume name gets on this node; the same name gives the
 * same id. ret[BACKEND_ID_MAX] */
int backend_volume_id(struct backend *b, const char *name, char *ret, struct err *e);
/** backend_id_is_ours - does this id belong to this node (ids carry a hash of the node id)? */
bool backend_id_is_ours(struct backend *b, const char *id);

/** What stands between a live volume and its image while a snapshot is cut: called around the copy
 * of all sources together. */
struct backend_quiesce {
	/* -EOPNOTSUPP: it is in use, and nothing can stop it */
	int (*suspend)(void *arg, const char *volume_id, struct err *e);
	int (*resume)(void *arg, const char *volume_id, struct err *e);
	void *arg;
	/* the sources are copied, and may be used again while a backup is written; NULL = nobody
	 * waits */
	void (*release)(void *arg);
	void *release_arg;
};
/* ---- volumes; -ENOENT: no such volume ---- */
struct backend_create {
	const char *name;
	uint64_t size_bytes; /* already rounded */
	bool encrypted, block;
	const char *fs_type, *parameters, *mutable_parameters;
	uint32_t access_modes;
	enum backend_source source;
	const char *source_id;
	bool thick;	    /* its space is allocated at once, and when it grows */
	bool pause_allowed; /* a copy that can't be a reflink may suspend a live source for as long
			       as it takes */
};
/**
 * backend_create - make the volume, or find the one that an earlier call began under that name and
 * finish it. Space is accounted in one transaction: concurrent calls can't oversubscribe (-ENOSPC).
 * The caller compares *ret with its request for ALREADY_EXISTS. -EEXIST: there is an image of that
 * name without a record.
 */
int backend_create(struct backend *b, const struct backend_create *c,
		   const struct backend_quiesce *q, struct backend_volume *ret, struct err *e);
/** backend_finish_create - the volume of that name, for a retry whose source is gone by now. One
 * whose making was cut short is finished if its image is whole; else what it left goes (-ENOENT).
 */
int backend_finish_create(struct backend *b, const char *name, struct backend_volume *ret,
			  struct err *e);
int backend_delete(struct backend *b, const char *id,
		   struct err *e); /* unknown: success; -EBUSY: in use */
int backend_get(struct backend *b, const char *id, struct backend_volume *ret, struct err *e);
/** backend_list - up to @max (0 = all) records with id > @after in id order; *ret_more: there are
 * more. Free each, then the array. */
int backend_list(struct backend *b, const char *after, size_t max, struct backend_volume **ret,
		 size_t *ret_n, bool *ret_more, struct err *e);
/** backend_set_* - one durable change of the record each. */
int backend_set_format(struct backend *b, const char *id, enum backend_format f, const char *nonce,
		       struct err *e);
int backend_set_fs(struct backend *b, const char *id, enum backend_format f, const char *nonce,
		   uint64_t fs_bytes, struct err *e);
int backend_set_pin(struct backend *b, const char *id, const struct backend_pin *pin,
		    struct err *e);
int backend_set_mutable(struct backend *b, const char *id, const char *json, struct err *e);
/** backend_set_known - an adopted volume was staged: encrypted, block, fs_type, parameters, size
 * and header of @v are its. It stays one that is opened only. */
int backend_set_known(struct backend *b, const struct backend_volume *v, struct err *e);
/** backend_grow - record and image to the new size (space accounted); success where it is that big.
 */
int backend_grow(struct backend *b, const char *id, uint64_t size_bytes, struct err *e);
/** backend_capacity - what can still be created, thick or thin, in one volume or in several. */
int backend_capacity(struct backend *b, bool thick, uint64_t *ret_available, struct err *e);

/** The state directory's file system, and what is promised of it. */
struct backend_space {
	uint64_t total_bytes, free_bytes;
	uint64_t reserve_bytes;	  /* never promised: metadata of the file system, records */
	uint64_t promised_bytes;  /* sizes of all volumes, headers included */
	uint64_t owed_bytes;	  /* what they may still write into holes and shared blocks */
	uint64_t available_bytes; /* what a new thin volume may have at most */
};
int backend_read_space(struct backend *b, struct backend_space *ret, struct err *e);
/** A volume's own part of it. */
struct backend_usage {
	uint64_t size_bytes, allocated_bytes, shared_bytes, owed_bytes;
};
int backend_read_usage(struct backend *b, const char *id, struct backend_usage *ret,
		       struct err *e);
enum backend_trouble {
	BACKEND_TROUBLE_NONE = 0,
	BACKEND_TROUBLE_UNREADABLE,
	BACKEND_TROUBLE_IMAGE_GONE,
	BACKEND_TROUBLE_IMAGE_SHORT,
	BACKEND_TROUBLE_DISK_FULL, /* and the volume has blocks to write that aren't there yet */
};
/** backend_condition - what is wrong with the volume, and a sentence of it, or NONE and "". */
int backend_condition(struct backend *b, const char *id, enum backend_trouble *ret_kind, char *ret,
		      size_t cap, struct err *e);

/* ---- what there is ---- */
/** What doesn't belong together, and what was begun and isn't finished (under way, or cut short).
 */
enum backend_finding {
	/* told of by their path */
	BACKEND_ORPHAN_IMAGE,	       /* a file in volumes/ without a record */
	BACKEND_ORPHAN_SNAPSHOT_IMAGE, /* the same in snapshots/ */
	BACKEND_ORPHAN_HEADER,	       /* a header backup of no volume */
	BACKEND_ORPHAN_TMP,	       /* in tmp/, and nothing that the driver makes there */
	/* told of by the id */
	BACKEND_ORPHAN_RECORD,		/* a volume whose image is gone */
	BACKEND_ORPHAN_SNAPSHOT_RECORD, /* a snapshot whose image is gone */
	BACKEND_UNFINISHED_CREATION,
	BACKEND_UNFINISHED_FORMAT, /* header or file system */
	BACKEND_UNFINISHED_GROWTH,
	BACKEND_UNFINISHED_SNAPSHOT,
	BACKEND_UNFINISHED_DELETION,
	BACKEND_FINDINGS
};
typedef void backend_report(void *arg, enum backend_finding kind, const char *what);
/** backend_survey - look through records and state directory and report each finding; nothing is
 * changed. @report may be called with the records locked. */
int backend_survey(struct backend *b, backend_report *report, void *arg, struct err *e);

enum backend_volume_state {
	BACKEND_STATE_CREATING,
	BACKEND_STATE_NONE, /* nothing was ever written by us */
	BACKEND_STATE_FORMATTING,
	BACKEND_STATE_FORMATTED,
	BACKEND_STATE_DELETING,
	BACKEND_STATES
};
struct backend_counts {
	uint64_t volumes[BACKEND_STATES];
	uint64_t uses[BACKEND_USE_TARGET + 1];	/* volumes, static ones too, by backend_use_kind */
	uint64_t snapshots[BACKEND_BACKUP + 1]; /* finished ones, by backend_snapshot_kind */
};
int backend_count(struct backend *b, struct backend_counts *ret, struct err *e);

/* ---- devices ---- */
/** backend_image - the path of the volume's image. */
void backend_image(const struct backend *b, const char *id, char *ret, size_t cap);
/** backend_attach - the block device of the volume: an attached loop device is found again, a fresh
 * one is made (direct I/O). ret_path[4096] */
int backend_attach(struct backend *b, const char *id, bool readonly, char *ret_path, struct err *e);
/** backend_refresh - tell an attached device its image's new size. */
int backend_refresh(struct backend *b, const char *id, struct err *e);
/** backend_detach - not attached: success. -EBUSY: in use. */
int backend_detach(struct backend *b, const char *id, struct err *e);

/* ---- header backups: 0600, on this node, the last good ones ---- */
/** backend_header_path - where the next backup of this volume's header goes
 * ("headers/<id>.<n>.hdr"); older ones but the last few are overwritten and removed. */
int backend_header_path(struct backend *b, const char *id, char *ret, size_t cap, struct err *e);
/** backend_header_kept - is there any? */
int backend_header_kept(struct backend *b, const char *id, bool *ret, struct err *e);
/** backend_header_forget - overwrite and remove them all: the volume is deleted, and they hold its
 * key slots. */
int backend_header_forget(struct backend *b, const char *id, struct err *e);

/* ---- snapshots ---- */
struct backend_cut {
	const char *name; /* of the snapshot; of the group where n_volumes > 1 or group is set */
	const char *const *volume_ids;
	size_t n_volumes;
	bool group;
	enum backend_snapshot_kind kind;
	const char *location; /* backups */
	bool pause_allowed;
};
/** backend_cut_snapshots - all volumes suspended together, cut, resumed; reflink, else sparse copy.
 * Finds what an earlier call made. */
int backend_cut_snapshots(struct backend *b, const struct backend_cut *c,
			  const struct backend_quiesce *q, struct backend_snapshot **ret,
			  size_t *ret_n, char ret_group_id[BACKEND_ID_MAX], struct err *e);
int backend_snapshot_delete(struct backend *b, const char *id,
			    struct err *e); /* unknown: success */
int backend_snapshot_get(struct backend *b, const char *id, struct backend_snapshot *ret,
			 struct err *e);
int backend_snapshot_find(struct backend *b, const char *name, struct backend_snapshot *ret,
			  struct err *e);
/** backend_snapshot_list - by id, optionally only of one volume; as backend_list. */
int backend_snapshot_list(struct backend *b, const char *volume_id, const char *after, size_t max,
			  struct backend_snapshot **ret, size_t *ret_n, bool *ret_more,
			  struct err *e);
int backend_group_find(struct backend *b, const char *id, const char *name,
		       char ret_id[BACKEND_ID_MAX], char ret_name[BACKEND_ID_MAX],
		       struct backend_snapshot **ret, size_t *ret_n, struct err *e);
int backend_group_delete(struct backend *b, const char *id, struct err *e);

/* ---- uses ---- */
int backend_use_put(struct backend *b, const char *volume_id, enum backend_use_kind k,
		    const struct backend_use *u, struct err *e);
int backend_use_drop(struct backend *b, const char *volume_id, enum backend_use_kind k,
		     const char *path, struct err *e);
int backend_use_list(struct backend *b, const char *volume_id, enum backend_use_kind k,
		     struct backend_use **ret, size_t *ret_n, struct err *e);
/** backend_use_holds - is a recorded use so, as far as the kernel shows it to this process? A
 * record that couldn't be dropped, on a full disk, isn't. */
bool backend_use_holds(struct backend *b, const char *volume_id, enum backend_use_kind k,
		       const char *path);
/** backend_use_count - how many volumes have this use of @kind (all that are published to a node).
 */
int backend_use_count(struct backend *b, enum backend_use_kind k, const char *path, uint64_t *ret,
		      struct err *e);
