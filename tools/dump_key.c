// SPDX-License-Identifier: Apache-2.0
// luksDump --dump-volume-key and --unbound: the key goes to the person who asked for it, by
// write(2) from a secret.
#include "cli.h"

#include <inttypes.h>
#include <stdio.h>

static void put(struct secret *text, const char *s)
{
	while (*s && text->len < text->cap)
		text->data[text->len++] = (unsigned char)*s++;
}

/* "<title>xx xx ...\n", 16 bytes a line. */
static int format_key(const char *title, const struct secret *key, struct secret **ret,
		      struct err *e)
{
	static const char digits[] = "0123456789abcdef";
	struct secret *text;
	int r;

	r = secret_new(strlen(title) + key->len * 3 + key->len / 16 * 3 + 1, &text, e);
	if (r)
		return r;
	put(text, title);
	for (size_t i = 0; i < key->len; i++) {
		if (i && i % 16 == 0)
			put(text, "\n\t\t");
		text->data[text->len++] = (unsigned char)digits[key->data[i] >> 4];
		text->data[text->len++] = (unsigned char)digits[key->data[i] & 15];
		put(text, " ");
	}
	put(text, "\n");
	*ret = text;
	return 0;
}

static int write_key(const char *title, const struct secret *key, struct err *e)
{
	_cleanup_secret_ struct secret *text = NULL;
	size_t done = 0;
	int r;

	r = format_key(title, key, &text, e);
	if (r)
		return r;
	fflush(stdout);
	while (done < text->len) {
		ssize_t n = write(STDOUT_FILENO, text->data + done, text->len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, -errno, "Cannot write the key");
		done += (size_t)n;
	}
	return 0;
}

/* Into --volume-key-file, or shown. */
static int put_key(struct cli *c, const char *title, const struct secret *key)
{
	const char *path = cli_text(c, OPT_VOLUME_KEY_FILE);
	int r;

	if (!path)
		return write_key(title, key, &c->err);
	r = key_write_file(path, key, &c->err);
	if (!r)
		printf("Key stored to file %s.\n", path);
	return r;
}

/* "aes-xts-plain64" in the two parts that a LUKS1 header has. */
static void print_cipher(const char *spec)
{
	int n = (int)strcspn(spec, "-");

	printf("Cipher name:   \t%.*s\n", n, spec);
	printf("Cipher mode:   \t%s\n", spec[n] ? spec + n + 1 : "");
}

struct dump_job {
	struct secret *key;
	int keyslot;
	bool any_digest;
};

static int unlock(struct cli *c, const struct volume_key *k, void *arg)
{
	struct volume_where w = cli_where(c);
	struct dump_job *job = arg;

	return volume_unlock_key(&c->env, &w, k, job->any_digest, &job->key, &job->keyslot,
				 &c->err);
}

static int unlock_key(struct cli *c, bool any_digest, struct secret **ret)
{
	struct key_source src = key_source_old(c, NULL);
	struct dump_job job = { .any_digest = any_digest };
	char prompt[256];
	int r;

	snprintf(prompt, sizeof(prompt), "Enter passphrase for %s: ", c->arg[0]);
	src.prompt = prompt;
	r = cli_kdf(c);
	if (!r)
		r = key_try(c, &src, unlock, &job);
	if (r)
		return r;
	cli_verbose(c, "Key slot %d unlocked.", job.keyslot);
	*ret = job.key;
	return 0;
}

int dump_volume_key(struct cli *c)
{
	_cleanup_luks_ struct luks_header *h = NULL;
	_cleanup_secret_ struct secret *key = NULL;
	const struct luks_segment *s;
	int r;

	r = cli_load(c, &h);
	if (r)
		return r;
	s = h->version == 2 ? luks_default_segment(h) : NULL;
	if (!s)
		return err_set(&c->err, -EOPNOTSUPP,
			       "Only the volume key of a LUKS2 data segment can be dumped.");
	r = cli_confirm(c, "The volume key opens this volume without a passphrase, for ever.\n"
			   "Whoever sees or keeps this dump can read the data.");
	if (!r)
		r = unlock_key(c, false, &key);
	if (r)
		return r;
	printf("LUKS header information for %s\n", c->arg[0]);
	print_cipher(s->encryption);
	printf("Payload offset:\t%" PRIu64 "\n", s->offset_bytes >> SECTOR_SHIFT);
	printf("UUID:          \t%s\n", h->uuid);
	printf("MK bits:       \t%zu\n", key->len * 8);
	return put_key(c, "MK dump:\t", key);
}

int dump_unbound_key(struct cli *c)
{
	_cleanup_luks_ struct luks_header *h = NULL;
	_cleanup_secret_ struct secret *key = NULL;
	int slot = cli_keyslot(c, OPT_KEY_SLOT), r;

	r = cli_load(c, &h);
	if (r)
		return r;
	if (h->version != 2 || !luks_find_keyslot(h, slot))
		return err_set(&c->err, -ENOENT, "Keyslot %d is not active.", slot);
	for (size_t i = 0; i < h->n_digests; i++)
		if (h->digests[i].keyslots & 1u << slot && h->digests[i].segments)
			return err_set(&c->err, -EINVAL, "Keyslot %d does not contain unbound key.",
				       slot);
	r = cli_confirm(c, "The key of this keyslot is about to be shown.\n"
			   "Whoever sees or keeps this dump knows the key.");
	if (!r)
		r = unlock_key(c, true, &key);
	if (r)
		return r;
	printf("LUKS header information for %s\n", c->arg[0]);
	printf("UUID:    \t%s\n", h->uuid);
	printf("Keyslot: \t%d\n", slot);
	printf("Key bits:\t%zu\n", key->len * 8);
	return put_key(c, "Unbound Key:\t", key);
}
