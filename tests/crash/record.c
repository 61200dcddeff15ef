// SPDX-License-Identifier: Apache-2.0
// record [-p PLANT] [-H BYTES] VERB IMAGE LOG: run one writer of the luks room on an image and
// leave the log of its writes. The passphrases are those of crash.sh: "old", "keep", "revoked",
// "new".
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include <cryptvol/base.h>
#include <cryptvol/luks.h>

#include "recorder.h"

#define KEYSLOTS_BYTES (3u * 131072)

struct job {
	struct luks_io io;
	struct crypto_kdf *kdf;
	struct luks_header *h;
	uint64_t header_bytes;
	bool known_blank;
	struct err e;
};

static void die(struct job *j, const char *what)
{
	fprintf(stderr, "record: %s: %s\n", what, err_text(&j->e));
	exit(2);
}

static struct secret *text_secret(struct job *j, const char *text)
{
	char copy[32];
	struct secret *s;

	snprintf(copy, sizeof(copy), "%s", text);
	if (secret_from_bytes(copy, strlen(text), &s, &j->e))
		die(j, "secret");
	return s;
}

static struct luks_new_keyslot cheap_slot(const struct secret *passphrase)
{
	struct luks_new_keyslot n = { .keyslot = LUKS_ANY, .passphrase = passphrase };

	n.pbkdf.type = CRYPTO_PBKDF2;
	n.pbkdf.iterations = CRYPTO_PBKDF2_MIN_ITERATIONS;
	text_copy(n.pbkdf.hash, sizeof(n.pbkdf.hash), "sha256");
	return n;
}

static void load(struct job *j)
{
	if (luks_load(&j->io, &j->h, &j->e))
		die(j, "load");
}

static int unlock(struct job *j, const char *text, struct secret **ret_key)
{
	struct secret *pass = text_secret(j, text);
	struct luks_unlock u = { .passphrase = pass, .keyslot = LUKS_ANY, .segment = LUKS_ANY };
	int slot;

	if (luks_unlock_keyslot(&j->io, j->h, j->kdf, &u, ret_key, &slot, &j->e))
		die(j, text);
	secret_free(pass);
	return slot;
}

static int run_format(struct job *j)
{
	struct secret *pass = text_secret(j, "new");
	struct luks_format f = { .key_bytes = 32,
				 .header_bytes = j->header_bytes,
				 .keyslots_bytes = KEYSLOTS_BYTES,
				 .alignment_bytes = 4096,
				 .known_blank = j->known_blank,
				 .first = cheap_slot(pass) };
	int r;

	recorder_start(j->io.fd);
	r = luks_format(&j->io, j->kdf, &f, &j->h, &j->e);
	recorder_stop();
	secret_free(pass);
	return r;
}

static int run_format_blank(struct job *j)
{
	j->known_blank = true;
	return run_format(j);
}

static int run_add(struct job *j)
{
	struct secret *pass = text_secret(j, "new"), *key;
	struct luks_new_keyslot n = cheap_slot(pass);
	int slot, r;

	load(j);
	unlock(j, "keep", &key);
	recorder_start(j->io.fd);
	r = luks_add_keyslot(&j->io, j->h, j->kdf, &n, key, &slot, &j->e);
	recorder_stop();
	secret_free(key);
	secret_free(pass);
	return r;
}

static int change(struct job *j, bool force)
{
	struct secret *pass = text_secret(j, "new"), *key;
	struct luks_new_keyslot n = cheap_slot(pass);
	int old, slot, r;

	load(j);
	old = unlock(j, "old", &key);
	recorder_start(j->io.fd);
	r = luks_change_keyslot(&j->io, j->h, j->kdf, old, &n, key, force, &slot, &j->e);
	recorder_stop();
	secret_free(key);
	secret_free(pass);
	return r;
}

static int run_change(struct job *j)
{
	return change(j, false);
}

static int run_change_forced(struct job *j)
{
	return change(j, true);
}

static int run_kill(struct job *j)
{
	struct secret *key;
	int slot, r;

	load(j);
	slot = unlock(j, "revoked", &key);
	secret_free(key);
	recorder_start(j->io.fd);
	r = luks_kill_keyslot(&j->io, j->h, slot, false, &j->e);
	recorder_stop();
	return r;
}

static int run_erase(struct job *j)
{
	int r;

	load(j);
	recorder_start(j->io.fd);
	r = luks_erase_keyslots(&j->io, j->h, &j->e);
	recorder_stop();
	return r;
}

static int run_labels(struct job *j)
{
	int r;

	load(j);
	recorder_start(j->io.fd);
	r = luks_set_labels(&j->io, j->h, "label", "subsystem", &j->e);
	recorder_stop();
	return r;
}

static int run_uuid(struct job *j)
{
	int r;

	load(j);
	recorder_start(j->io.fd);
	r = luks_set_uuid(&j->io, j->h, "01234567-89ab-4cde-8f01-23456789abcd", &j->e);
	recorder_stop();
	return r;
}

static int run_flags(struct job *j)
{
	int r;

	load(j);
	recorder_start(j->io.fd);
	r = luks_set_flags(&j->io, j->h, LUKS_FLAG_ALLOW_DISCARDS | LUKS_FLAG_NO_READ_WORKQUEUE,
			   &j->e);
	recorder_stop();
	return r;
}

static int run_priority(struct job *j)
{
	int r;

	load(j);
	recorder_start(j->io.fd);
	r = luks_set_priority(&j->io, j->h, 0, LUKS_PRIORITY_PREFER, &j->e);
	recorder_stop();
	return r;
}

static int nothing_foreign(int fd, struct err *e)
{
	(void)fd;
	(void)e;
	return 0;
}

/* Loading for writing recovers a torn or stale copy. */
static int run_recover(struct job *j)
{
	int r;

	j->io.check_foreign = nothing_foreign;
	recorder_start(j->io.fd);
	r = luks_load(&j->io, &j->h, &j->e);
	recorder_stop();
	return r;
}

static const struct {
	const char *name;
	int (*run)(struct job *j);
} verbs[] = {
	{ "format", run_format },
	{ "format-blank", run_format_blank },
	{ "add", run_add },
	{ "change", run_change },
	{ "change-forced", run_change_forced },
	{ "kill", run_kill },
	{ "erase", run_erase },
	{ "labels", run_labels },
	{ "uuid", run_uuid },
	{ "flags", run_flags },
	{ "priority", run_priority },
	{ "recover", run_recover },
};

static int run_verb(struct job *j, const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
		if (!strcmp(verbs[i].name, name))
			return verbs[i].run(j);
	return err_set(&j->e, -EINVAL, "no such verb");
}

int main(int argc, char **argv)
{
	const struct crypto_kdf_config config = { 0 };
	struct job j = { 0 };
	const char *plant = NULL;
	int opt;

	while ((opt = getopt(argc, argv, "p:H:")) != -1) {
		if (opt == 'p')
			plant = optarg;
		else if (opt != 'H' || text_parse_u64(optarg, &j.header_bytes))
			return 2;
	}
	if (argc - optind != 3)
		return 2;
	j.io.fd = open(argv[optind + 1], O_RDWR | O_CLOEXEC);
	j.io.writable = true;
	if (j.io.fd < 0 || crypto_kdf_new(&config, &j.kdf, &j.e))
		die(&j, argv[optind + 1]);
	if (run_verb(&j, argv[optind]))
		die(&j, argv[optind]);
	if (recorder_flushes() == 0)
		die(&j, "nothing was recorded");
	if (plant)
		recorder_plant(plant);
	recorder_save(argv[optind + 2]);
	luks_free(j.h);
	crypto_kdf_free(j.kdf);
	close(j.io.fd);
	return 0;
}
