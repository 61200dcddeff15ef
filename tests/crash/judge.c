// SPDX-License-Identifier: Apache-2.0
// The judge. Verdicts are kept by the hash of what they rest on: the header copies (every place
// with a magic, with the JSON area behind it), and for a keyslot those and its key material.
#include "judge.h"

#include <blkid/blkid.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cryptvol/base.h>
#include <cryptvol/luks.h>

#define HASH_BYTES 32
#define CACHE_SLOTS (1u << 20)
#define PROBES 10

const char *const pass_text[PASSES] = { "keep", "old", "revoked", "new" };

struct verdict {
	uint8_t key[HASH_BYTES];
	bool used, opens;
};

struct judge {
	uint64_t bytes;
	int fd; /* a memfd with the state */
	struct crypto_kdf *kdf;
	struct secret *pass[PASSES];
	struct judge_header **headers; /* open addressing by key */
	struct verdict *verdicts;
	size_t n_headers, n_verdicts;
	struct luks_header *loaded; /* of loaded_key */
	uint8_t loaded_key[HASH_BYTES];
	uint8_t oracle_key[HASH_BYTES]; /* the header state that was asked about last */
	unsigned int oracle_left, oracle_asked;
	struct err e;
};

static void die(struct judge *j, const char *what)
{
	fprintf(stderr, "crashcheck: %s: %s\n", what, err_text(&j->e));
	exit(2);
}

struct judge *judge_new(uint64_t image_bytes, unsigned int oracle_states)
{
	const struct crypto_kdf_config config = { 0 };
	struct judge *j = calloc(1, sizeof(*j));

	if (!j)
		exit(2);
	j->bytes = image_bytes;
	j->oracle_left = oracle_states;
	j->fd = memfd_create("state", MFD_CLOEXEC);
	j->headers = calloc(CACHE_SLOTS, sizeof(struct judge_header *));
	j->verdicts = calloc(CACHE_SLOTS, sizeof(*j->verdicts));
	if (j->fd < 0 || !j->headers || !j->verdicts || crypto_kdf_new(&config, &j->kdf, &j->e))
		die(j, "start");
	for (int p = 0; p < PASSES; p++) {
		char text[16];

		snprintf(text, sizeof(text), "%s", pass_text[p]);
		if (secret_from_bytes(text, strlen(pass_text[p]), &j->pass[p], &j->e))
			die(j, "start");
	}
	return j;
}

void judge_free(struct judge *j)
{
	for (size_t i = 0; i < CACHE_SLOTS; i++)
		free(j->headers[i]);
	for (int p = 0; p < PASSES; p++)
		secret_free(j->pass[p]);
	luks_free(j->loaded);
	crypto_kdf_free(j->kdf);
	free(j->headers);
	free(j->verdicts);
	close(j->fd);
	free(j);
}

/* ---- keys of what verdicts rest on ---- */

static void hash_pieces(struct judge *j, const struct crypto_iov *iov, size_t n, uint8_t *ret)
{
	if (crypto_hash("sha256", iov, n, ret, &j->e))
		die(j, "sha256");
}

static uint64_t probe_offset(unsigned int i)
{
	return i == 0 ? 0 : 0x4000ull << (i - 1);
}

/* All that a reader of headers may look at. */
static void header_key(struct judge *j, const uint8_t *image, uint8_t *ret)
{
	struct crypto_iov iov[PROBES];
	size_t n = 0;

	for (unsigned int i = 0; i < PROBES; i++) {
		uint64_t at = probe_offset(i), len = LUKS_BIN_HEADER_BYTES;
		be64 size;

		if (at + len > j->bytes)
			break;
		memcpy(&size, image + at + 8, sizeof(size));
		if (!memcmp(image + at, i == 0 ? "LUKS\xba\xbe" : "SKUL\xba\xbe", 6) &&
		    be64_get(size) > len && be64_get(size) <= j->bytes - at)
			len = be64_get(size);
		iov[n++] = (struct crypto_iov){ image + at, len };
	}
	hash_pieces(j, iov, n, ret);
}

static size_t cache_index(const uint8_t *key)
{
	uint32_t n;

	memcpy(&n, key, sizeof(n));
	return n % CACHE_SLOTS;
}

static void put_state(struct judge *j, const uint8_t *image)
{
	if (io_pwrite_full(j->fd, image, j->bytes, 0, &j->e))
		die(j, "memfd");
}

/* ---- headers ---- */

/* What libblkid says; *ret_luks: that it is LUKS. */
static bool blkid_finds(struct judge *j, bool *ret_luks)
{
	blkid_probe pr = blkid_new_probe();
	const char *type = NULL;
	int r;

	if (!pr || blkid_probe_set_device(pr, j->fd, 0, 0))
		die(j, "libblkid");
	blkid_probe_enable_superblocks(pr, 1);
	blkid_probe_set_superblocks_flags(pr, BLKID_SUBLKS_TYPE);
	r = blkid_do_safeprobe(pr);
	*ret_luks = blkid_probe_lookup_value(pr, "TYPE", &type, NULL) == 0 &&
		    !strcmp(type, "crypto_LUKS");
	blkid_free_probe(pr);
	return r != 1;
}

static void load_for_reading(struct judge *j, const uint8_t *key)
{
	const struct luks_io io = { .fd = j->fd, .no_locks = true };

	if (j->loaded && !memcmp(j->loaded_key, key, HASH_BYTES))
		return;
	luks_free(j->loaded);
	j->loaded = NULL;
	memcpy(j->loaded_key, key, HASH_BYTES);
	(void)!luks_load(&io, &j->loaded, NULL);
}

static int nothing_foreign(int fd, struct err *e)
{
	(void)fd;
	(void)e;
	return 0;
}

/* Loading for writing, as every writer begins: same header, and both copies good afterwards. */
static bool recovers(struct judge *j)
{
	const struct luks_io io = { .fd = j->fd,
				    .writable = true,
				    .check_foreign = nothing_foreign };
	const struct luks_io again = { .fd = j->fd, .no_locks = true };
	struct luks_header *h = NULL, *h2 = NULL;
	bool good;

	if (luks_load(&io, &h, NULL))
		return j->loaded == NULL;
	good = j->loaded && h->version == j->loaded->version && h->seqid == j->loaded->seqid &&
	       !strcmp(h->uuid, j->loaded->uuid) && !luks_load(&again, &h2, NULL) &&
	       h2->seqid == h->seqid && !h2->needs_recovery && !h2->from_secondary;
	luks_free(h);
	luks_free(h2);
	return good;
}

static void describe_header(struct judge *j, struct judge_header *v)
{
	const struct luks_header *h = j->loaded;

	v->loads = h != NULL;
	if (!h || h->version != 2)
		return;
	v->header_bytes = h->header_bytes;
	for (size_t i = 0; i < h->n_keyslots; i++) {
		const struct luks_keyslot *k = &h->keyslots[i];

		v->slots[v->n_slots++] = (struct judge_slot){
			k->id, k->area_offset_bytes, (uint64_t)k->key_bytes * LUKS_AF_STRIPES
		};
	}
}

static struct judge_header *examine(struct judge *j, const uint8_t *image, const uint8_t *key)
{
	struct judge_header *v = calloc(1, sizeof(*v));
	unsigned int version;
	bool luks;

	if (!v)
		exit(2);
	memcpy(v->key, key, HASH_BYTES);
	put_state(j, image);
	v->any = blkid_finds(j, &luks);
	v->recognised = luks || luks_probe(j->fd, &version, NULL) == 0;
	load_for_reading(j, key);
	describe_header(j, v);
	v->recovers = recovers(j);
	return v;
}

const struct judge_header *judge_header(struct judge *j, const uint8_t *image)
{
	uint8_t key[HASH_BYTES];
	size_t i;

	header_key(j, image, key);
	for (i = cache_index(key); j->headers[i]; i = (i + 1) % CACHE_SLOTS)
		if (!memcmp(j->headers[i]->key, key, HASH_BYTES))
			return j->headers[i];
	if (++j->n_headers > CACHE_SLOTS / 2)
		die(j, "too many different headers");
	j->headers[i] = examine(j, image, key);
	return j->headers[i];
}

/* ---- keyslots ---- */

static bool try_slot(struct judge *j, const struct judge_header *h, const uint8_t *image,
		     const struct judge_slot *s, enum pass p)
{
	const struct luks_io io = { .fd = j->fd, .no_locks = true };
	struct luks_unlock u = { .passphrase = j->pass[p],
				 .keyslot = (int)s->id,
				 .segment = LUKS_ANY };
	struct secret *key;
	int slot;

	put_state(j, image);
	load_for_reading(j, h->key);
	if (!j->loaded || luks_unlock_keyslot(&io, j->loaded, j->kdf, &u, &key, &slot, NULL))
		return false;
	secret_free(key);
	return true;
}

static bool slot_opens(struct judge *j, const struct judge_header *h, const uint8_t *image,
		       const struct judge_slot *s, enum pass p)
{
	const uint32_t which[2] = { s->id, (uint32_t)p };
	struct crypto_iov iov[3] = { { h->key, HASH_BYTES }, { which, sizeof(which) } };
	uint8_t key[HASH_BYTES];
	size_t i;

	if (s->offset > j->bytes || s->len > j->bytes - s->offset)
		return false;
	iov[2] = (struct crypto_iov){ image + s->offset, s->len };
	hash_pieces(j, iov, 3, key);
	for (i = cache_index(key); j->verdicts[i].used; i = (i + 1) % CACHE_SLOTS)
		if (!memcmp(j->verdicts[i].key, key, HASH_BYTES))
			return j->verdicts[i].opens;
	if (++j->n_verdicts > CACHE_SLOTS / 2)
		die(j, "too many different keyslots");
	memcpy(j->verdicts[i].key, key, HASH_BYTES);
	j->verdicts[i].used = true;
	j->verdicts[i].opens = try_slot(j, h, image, s, p);
	return j->verdicts[i].opens;
}

bool judge_opens(struct judge *j, const struct judge_header *h, const uint8_t *image, enum pass p)
{
	for (size_t i = 0; i < h->n_slots; i++)
		if (slot_opens(j, h, image, &h->slots[i], p))
			return true;
	return false;
}

/* ---- what comes next ---- */

static int follow(struct judge *j, const struct luks_io *io, struct luks_header *h,
		  unsigned int verb)
{
	struct luks_unlock u = { .passphrase = j->pass[verb == 1 ? PASS_NEW : PASS_KEEP],
				 .keyslot = LUKS_ANY,
				 .segment = LUKS_ANY };
	struct luks_new_keyslot n = { .keyslot = LUKS_ANY, .passphrase = j->pass[PASS_REVOKED] };
	struct secret *key = NULL;
	int slot, r;

	n.pbkdf.type = CRYPTO_PBKDF2;
	n.pbkdf.iterations = CRYPTO_PBKDF2_MIN_ITERATIONS;
	text_copy(n.pbkdf.hash, sizeof(n.pbkdf.hash), "sha256");
	r = luks_unlock_keyslot(io, h, j->kdf, &u, &key, &slot, &j->e);
	if (r)
		return r;
	if (verb == 0)
		r = luks_add_keyslot(io, h, j->kdf, &n, key, &slot, &j->e);
	else if (verb == 1)
		r = luks_kill_keyslot(io, h, slot, false, &j->e);
	else
		r = luks_change_keyslot(io, h, j->kdf, slot, &n, key, false, &slot, &j->e);
	secret_free(key);
	return r;
}

void judge_follow(struct judge *j, const uint8_t *image, unsigned int verb, uint8_t *ret_image)
{
	const struct luks_io io = { .fd = j->fd,
				    .writable = true,
				    .check_foreign = nothing_foreign };
	struct luks_header *h = NULL;

	put_state(j, image);
	if (luks_load(&io, &h, &j->e) || follow(j, &io, h, verb) ||
	    io_pread_full(j->fd, ret_image, j->bytes, 0, &j->e))
		die(j, "what comes next");
	luks_free(h);
}

/* ---- cryptsetup ---- */

static bool cryptsetup_opens(struct judge *j, const char *path, enum pass p)
{
	int in[2], status;
	pid_t pid;

	if (pipe(in))
		die(j, "pipe");
	pid = fork();
	if (pid == 0) {
		int null = open("/dev/null", O_WRONLY);

		dup2(in[0], 0);
		dup2(null, 1);
		dup2(null, 2);
		close(in[1]);
		execlp("cryptsetup", "cryptsetup", "open", "--test-passphrase", "--key-file", "-",
		       path, NULL);
		_exit(127);
	}
	close(in[0]);
	if (pid < 0 || write(in[1], pass_text[p], strlen(pass_text[p])) < 0)
		die(j, "cryptsetup");
	close(in[1]);
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status) == 127)
		die(j, "cryptsetup");
	return WEXITSTATUS(status) == 0;
}

/* A file with the state; cryptsetup may recover it, so each question gets a new one. */
static void save_state(struct judge *j, const char *path, const uint8_t *image)
{
	int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);

	if (fd < 0 || io_pwrite_full(fd, image, j->bytes, 0, &j->e))
		die(j, "temporary file");
	close(fd);
}

bool judge_oracle(struct judge *j, const struct judge_header *h, const uint8_t *image)
{
	const char *dir = getenv("TMPDIR");
	char path[256];
	bool same = true;
	int fd;

	if (j->oracle_left == 0 || !memcmp(j->oracle_key, h->key, HASH_BYTES))
		return true;
	memcpy(j->oracle_key, h->key, HASH_BYTES);
	j->oracle_left--;
	j->oracle_asked++;
	snprintf(path, sizeof(path), "%s/crashcheck-XXXXXX", dir ? dir : "/tmp");
	fd = mkstemp(path);
	if (fd < 0)
		die(j, "temporary file");
	close(fd);
	for (int p = 0; p < PASSES; p++) {
		save_state(j, path, image);
		same &= cryptsetup_opens(j, path, (enum pass)p) ==
			judge_opens(j, h, image, (enum pass)p);
	}
	unlink(path);
	return same;
}

unsigned int judge_oracle_asked(const struct judge *j)
{
	return j->oracle_asked;
}
