// SPDX-License-Identifier: Apache-2.0
// The loop backend's inside: records in SQLite, images in the state directory.
#pragma once

#include <cryptvol/backend.h>
#include <cryptvol/backup.h>
#include <cryptvol/base.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>

#define NODE_HASH_CHARS 8
#define STATE_SCHEMA_VERSION 1

struct backend {
	char dir[2048]; /* the state directory */
	char node_hash[NODE_HASH_CHARS + 1];
	char backup_dir[2048]; /* "" = none */
	uint64_t overprovision_percent;
	int fd_volumes, fd_snapshots, fd_tmp; /* subdirectories; -1 until the store is open */
	sqlite3 *db;
	bool opened;	/* by backend_open: from then on records are read only while up */
	bool up;	/* the store is open: db and the subdirectories are set, and stay */
	struct err why; /* if not: what is in the way; guarded by lock */
	pthread_mutex_t open_lock; /* one thread at a time tries to open the store */
	char node_id[256];
	char store_id_file[2048]; /* "" = the store's id is remembered nowhere */
	char apart_from[2048];	  /* with require_mountpoint: a folder of another file system */
	bool require_mountpoint;
	char lock_file[2048];	     /* of image_lock */
	bool reserve_spent;	     /* the reserve was given up, and has to be made again */
	backend_use_test *use_holds; /* NULL = uses can't be checked here */
	void *use_arg;
	pthread_mutex_t lock; /* of db: one statement sequence at a time */
	atomic_bool reflinks; /* seen to work: image_can_reflink */
	atomic_uint slow;     /* slow_enter */
	unsigned int slow_max;
	void (*warn)(void *arg, const char *sentence); /* NULL = nobody listens */
	void (*progress)(void *arg, const char *sentence);
	int (*stop)(void *arg, struct err *e);
	void *warn_arg;
};

/* ---- backend.c ---- */
/** slow_enter - copies of data, and whatever waits for a backup store, aren't begun where the most
 * of them that may be are under way: other calls need somebody to serve them. -EINPROGRESS. */
int slow_enter(struct backend *b, struct err *e);
void slow_leave(struct backend *b);

/** look_up_watch - for what only looks into a backup store: it ends with the call. */
struct backup_watch look_up_watch(const struct backend *b);

/* ---- disk.c: which store lies in the state directory ---- */
/** disk_check - is the state directory's disk mounted, and does it hold the store that this node
 * remembers? Nothing is made where it isn't: -ENOTCONN says what is wrong. */
int disk_check(struct backend *b, struct err *e);
/** disk_remember - give a store without an id one, and write the id to the file that remembers
 * it. What can't be written is told as a warning. */
void disk_remember(struct backend *b);
/** disk_same - is the state directory still the one that was opened? -ENOTCONN: it isn't. */
int disk_same(const struct backend *b, struct err *e);
/** disk_reserve - keep room for the records of deletions and unpublications: a file of allocated
 * blocks, made again after it was given up. disk_spend_reserve - give that room to the record that
 * is just being written; false: there is none. */
void disk_reserve(struct backend *b);
bool disk_spend_reserve(struct backend *b);
/** disk_keep_in_place - make the file if it isn't there; changes of it are to need no new blocks,
 * as far as the file system allows. */
void disk_keep_in_place(const char *path, off_t reserved_bytes);

/* ---- progress.c ---- */
struct progress {
	struct backend *b;
	const char *what, *id;
	double told; /* when, by the monotonic clock */
	uint64_t told_bytes;
};
/** progress_begin - of "@what ID"; both stay the caller's. */
void progress_begin(struct progress *p, struct backend *b, const char *what, const char *id);
/** progress_watch - for a backup or a restore: it tells how far it is every few seconds, and goes
 * on after its call's deadline, since the next call of that name has to find it done. */
struct backup_watch progress_watch(struct progress *p);
/** progress_show - a backup_progress; a line every few seconds. */
void progress_show(void *progress, uint64_t done_bytes, uint64_t total_bytes);

/* ---- state.c: the data base ---- */
int state_open(struct backend *b, const char *node_id, struct err *e);
void state_close(struct backend *b);
/** state_adoption_due - were there no records, so that images have to be adopted, and they aren't
 * yet? (within a transaction) 1, 0, else negative errno. state_adoption_done: now they are. */
int state_adoption_due(struct backend *b, struct err *e);
int state_adoption_done(struct backend *b, struct err *e);
/**
 * state_run - a statement without rows. @types: one letter a parameter: t text (NULL allowed), i
 * int64_t. Outside a transaction it is durable when it returns. *ret_changes may be NULL.
 */
int state_run(struct backend *b, int *ret_changes, struct err *e, const char *sql,
	      const char *types, ...);
/** state_release - as state_run, for a record that something went or is going: it may use the room
 * that is reserved for these. */
int state_release(struct backend *b, int *ret_changes, struct err *e, const char *sql,
		  const char *types, ...);
/** state_query - prepare and bind; step with state_step, then sqlite3_finalize. */
int state_query(struct backend *b, sqlite3_stmt **ret, struct err *e, const char *sql,
		const char *types, ...);
/** state_step - 1: a row, 0: no more, else negative errno. */
int state_step(struct backend *b, sqlite3_stmt *s, struct err *e);
/** state_begin / state_end - an immediate transaction; takes and gives back b->lock. */
int state_begin(struct backend *b, struct err *e);
int state_end(struct backend *b, bool commit, struct err *e);
void state_lock(struct backend *b);
void state_unlock(struct backend *b);
const char *state_text(sqlite3_stmt *s, int column); /* never NULL */

/* ---- state_volume.c, state_snapshot.c; the caller holds b->lock (state_lock or a transaction)
 * ---- */
enum record_state { RECORD_CREATING = 0, RECORD_READY = 1, RECORD_DELETING = 2 };
int volume_row_by(struct backend *b, const char *column, const char *value,
		  struct backend_volume *ret, enum record_state *ret_state, struct err *e);
int volume_row_insert(struct backend *b, const struct backend_volume *v, enum record_state s,
		      struct err *e);
int volume_row_state(struct backend *b, const char *id, enum record_state s, struct err *e);
int volume_row_delete(struct backend *b, const char *id, struct err *e);
/** volume_row_thick - 1: its space is allocated ahead, 0: it isn't, else negative errno. */
int volume_row_thick(struct backend *b, const char *id, struct err *e);
int volume_row_set_thick(struct backend *b, const char *id, struct err *e);
int snapshot_row_by(struct backend *b, const char *column, const char *value,
		    struct backend_snapshot *ret, struct err *e);
/** snapshot_lookup - the row, or, for a backup that another node (or lost records, or a person)
 * made, its manifest in the backup directory. Takes b->lock for the row only: a store may hang. The
 * caller has slow_enter'ed. */
int snapshot_lookup(struct backend *b, const char *id, struct backend_snapshot *ret, struct err *e);
/** snapshot_backup_name - the name that a backup has in its store. */
const char *snapshot_backup_name(const struct backend_snapshot *s);
int snapshot_row_insert(struct backend *b, const struct backend_snapshot *s, struct err *e);
int snapshot_row_ready(struct backend *b, const char *id, struct err *e);
int snapshot_row_delete(struct backend *b, const char *id, struct err *e);
int snapshot_rows_of_group(struct backend *b, const char *group_id, struct backend_snapshot **ret,
			   size_t *ret_n, struct err *e);

/* ---- image.c ---- */
struct image_extents;
/** image_path - absolute path of a volume's (or snapshot's) image. */
void image_path(const struct backend *b, bool snapshot, const char *id, char *ret, size_t cap);
/** image_lock - one at a time works on a volume or snapshot, or, @shared, any number that only read
 * it: -EINPROGRESS. *fd is opened if it is -1; it may hold several; closing it gives them back. */
int image_lock(struct backend *b, const char *id, bool shared, int *fd, struct err *e);
/** What is allocated of an image for good: all of it, or only its first bytes, where the header
 * lies. */
struct image_space {
	uint64_t header_bytes;
	bool thick;
};
/** image_make - a blank image of @bytes under its final name, atomically; holes but for @space.
 * This and the next two: -EEXIST where there is an image already. */
int image_make(struct backend *b, const char *id, uint64_t bytes, const struct image_space *space,
	       struct err *e);
/**
 * image_copy - image @from (volume or snapshot) to @to, at least @how->bytes long, atomically. Reflink
 * where the file system can; else, if
 * @how->copy_allowed, the allocated parts are copied (-EOPNOTSUPP if not). *ret_reflink says which it
 * was.
 */
struct image_copying {
	uint64_t bytes;
	struct image_space space; /* of a snapshot, the header only: it is never written */
	bool copy_allowed;
};
int image_copy(struct backend *b, bool from_snapshot, const char *from, bool to_snapshot,
	       const char *to, const struct image_copying *how, bool *ret_reflink, struct err *e);
/** image_restore - image @to from the backup that @s names, at least @bytes long, atomically. */
int image_restore(struct backend *b, const struct backend_snapshot *s, const char *to,
		  uint64_t bytes, const struct image_space *space, struct err *e);
/** image_can_reflink - can this state directory's file system? */
bool image_can_reflink(struct backend *b);
/** image_grow - to @bytes; never smaller. */
int image_grow(struct backend *b, const char *id, uint64_t bytes, struct err *e);
/** image_finish_growing - an expansion whose record is written: the image to @bytes. -EBADMSG: it
 * is shorter, and no expansion is the reason. */
int image_finish_growing(struct backend *b, const char *id, uint64_t bytes, struct err *e);
/** image_erase - overwrite what is allocated of the first @header_bytes, flushed. */
int image_erase(int fd, uint64_t header_bytes, struct err *e);
/** image_delete - overwrite an encrypted volume's metadata (its key slots), then remove. Gone
 * already: success. */
int image_delete(struct backend *b, bool snapshot, const char *id, uint64_t header_bytes,
		 struct err *e);
int image_size(struct backend *b, bool snapshot, const char *id, uint64_t *ret_bytes,
	       uint64_t *ret_allocated, struct err *e);
/** image_extents - of a volume's image, or of what there is of it while it is made. */
int image_extents(struct backend *b, const char *id, struct image_extents *ret, struct err *e);
/** image_allocate - blocks for the image's holes from byte @from to @end, which may lie behind its
 * end; those that are shared stay so. -EOPNOTSUPP: this file system doesn't allocate ahead. */
int image_allocate(struct backend *b, const char *id, uint64_t from, uint64_t end, struct err *e);

/* ---- extents.c ---- */
/** Bytes of an image by what a write to them needs. */
struct image_extents {
	uint64_t allocated, written; /* written: allocated, and not blank */
	uint64_t own;		     /* a write to them needs no new block */
	uint64_t shareable;	     /* of these, what a reflink of the image would share */
};
int image_read_extents(int fd, struct image_extents *ret, struct err *e);
/** image_holes_free - does a hole that is punched into an image give its blocks back? */
bool image_holes_free(const struct backend *b);
/** image_set_nocow - for a file that is still empty: btrfs writes it in place (elsewhere nothing is
 * done). image_set_nocow_like: if @other has it, too, since one is a reflink of the other. */
void image_set_nocow(int fd);
void image_set_nocow_like(int fd, int other);

/* ---- cut.c ---- */
/** cut_resume - let a suspended volume go on; a failure is tried again for a while. */
int cut_resume(const struct backend_quiesce *q, const char *volume_id, struct err *e);

/* ---- capacity.c ---- */
/** capacity_check - may @bytes more be promised, and the blocks of volume @shared_from (NULL = none)
 * be shared besides (within a transaction)? -ENOSPC. @thick: to a thick volume. */
int capacity_check(struct backend *b, uint64_t bytes, bool thick, const char *shared_from,
		   struct err *e);
/** What a copy has yet to write, kept free for it by a file without a name: it goes with the
 * process. */
struct room {
	int fd; /* -1 = none is kept */
	uint64_t bytes;
};
/** room_take - room for a copy of @bytes, in one step with the check that it isn't promised to
 * others: -ENOSPC. @promised: to this copy, by its volume's record. */
int room_take(struct backend *b, uint64_t bytes, bool promised, struct room *ret, struct err *e);
/** room_use - so many bytes in all are written, or are just going to be. */
void room_use(struct room *r, uint64_t done_bytes);
void room_give_back(struct room *r);

/* ---- uses.c ---- */
/** uses_sweep - at the first opening after a boot of the node: drop the records of staging and
 * publication that aren't so any more. *ret_dropped: how many. */
int uses_sweep(struct backend *b, size_t *ret_dropped, struct err *e);

/* ---- repair.c ---- */
/** backend_warn - tell whoever listens. */
void backend_warn(struct backend *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int repair_at_start(struct backend *b, struct err *e);
