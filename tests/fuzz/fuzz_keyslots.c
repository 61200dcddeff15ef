// SPDX-License-Identifier: Apache-2.0
// Fuzz target: keyslot descriptors. An input is the text of the keyslots object; the rest of the
// metadata is made here, with one digest that lists each keyslot of type luks2. What loads, and is
// cheap, is opened: the material at 32768 (see make_volume) belongs to the accept-* seeds.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cryptvol/base.h>
#include <json-c/json.h>

#include "fuzz.h"
#include "luks/internal.h"

#define KEY_BYTES 16u
#define AREA_OFFSET 32768u
#define KEYSLOTS_BYTES (1u << 20)
#define PASSPHRASE "passphrase"

/* A slot that is opened costs at most this much. */
#define CHEAP_ITERATIONS 2000u
#define CHEAP_PASSES 4u
#define CHEAP_MEMORY_KIB 1024u

static struct {
	struct luks_io io;
	struct crypto_kdf *kdf;
	struct secret *passphrase, *key;
	struct luks_digest digest;
} volume;

static void need(int r, const struct err *e)
{
	if (r)
		fuzz_fail(err_text(e));
}

/* The material of the seeds: pbkdf2-sha256, 1000 iterations, a salt of zeros, aes-xts-plain64 with
 * 256 bits, AF with sha256, a key of 16 bytes 'k'. */
static struct secret *make_material(struct err *e)
{
	struct crypto_pbkdf costs = { .type = CRYPTO_PBKDF2, .hash = "sha256", .iterations = 1000 };
	uint8_t salt[CRYPTO_SALT_BYTES] = { 0 };
	struct secret *area_key, *area;
	struct crypto_cipher c;

	need(secret_new(32, &area_key, e), e);
	need(secret_new(KEY_BYTES * LUKS_AF_STRIPES, &area, e), e);
	need(crypto_kdf_derive(volume.kdf, &costs, volume.passphrase, salt, sizeof(salt), area_key,
			       e),
	     e);
	need(luks_af_split("sha256", volume.key, area, e), e);
	need(crypto_cipher_parse("aes-xts-plain64", &c, e), e);
	need(crypto_cipher_run(&c, area_key, true, area->data, area->len, 0, e), e);
	secret_free(area_key);
	return area;
}

static void make_volume(void)
{
	struct crypto_kdf_config config = { .budget_bytes = 64u << 20 };
	char key[KEY_BYTES], passphrase[] = PASSPHRASE;
	struct secret *area;
	struct err e = { 0 };
	int fd = memfd_create("volume", MFD_CLOEXEC);

	memset(key, 'k', sizeof(key));
	if (fd < 0 || ftruncate(fd, AREA_OFFSET + KEYSLOTS_BYTES))
		fuzz_fail("no memory file");
	need(crypto_kdf_new(&config, &volume.kdf, &e), &e);
	need(secret_from_bytes(passphrase, strlen(PASSPHRASE), &volume.passphrase, &e), &e);
	need(secret_from_bytes(key, sizeof(key), &volume.key, &e), &e);
	area = make_material(&e);
	need(io_pwrite_full(fd, area->data, area->len, AREA_OFFSET, &e), &e);
	secret_free(area);
	need(luks_digest_make("sha256", 1000, volume.key, &volume.digest, &e), &e);
	volume.io = (struct luks_io){ .fd = fd, .no_locks = true };
}

/* "0","3": each keyslot of type luks2, so that the one digest lists it. */
static void list_slots(const char *keyslots, char *ret, size_t cap)
{
	struct json_object *root = json_tokener_parse(keyslots), *type;
	size_t n = 0;

	ret[0] = '\0';
	if (json_object_is_type(root, json_type_object)) {
		json_object_object_foreach(root, name, slot)
		{
			if (strlen(name) < 3 && strspn(name, "0123456789") == strlen(name) &&
			    json_object_object_get_ex(slot, "type", &type) && n + 16 < cap &&
			    !strcmp(json_object_get_string(type) ?: "", "luks2"))
				n += (size_t)snprintf(ret + n, cap - n, "%s\"%s\"", n ? "," : "",
						      name);
		}
	}
	json_object_put(root);
}

static char *make_json(const uint8_t *data, size_t len)
{
	const struct luks_digest *d = &volume.digest;
	char *salt = text_base64_encode(d->salt, d->salt_len);
	char *digest = text_base64_encode(d->digest, d->digest_len);
	char list[512], *keyslots = strndup((const char *)data, len), *json = NULL;

	if (!salt || !digest || !keyslots)
		fuzz_fail("no memory");
	list_slots(keyslots, list, sizeof(list));
	if (asprintf(&json,
		     "{\"keyslots\":%s,\"tokens\":{},\"segments\":{\"0\":{\"type\":\"crypt\","
		     "\"offset\":\"2097152\",\"size\":\"dynamic\",\"iv_tweak\":\"0\","
		     "\"encryption\":\"aes-cbc-essiv:sha256\",\"sector_size\":512}},\"digests\":{\"0\":"
		     "{\"type\":\"pbkdf2\",\"keyslots\":[%s],\"segments\":[\"0\"],"
		     "\"hash\":\"sha256\",\"iterations\":1000,\"salt\":\"%s\",\"digest\":\"%s\"}},"
		     "\"config\":{\"json_size\":\"%u\",\"keyslots_size\":\"%u\"}}",
		     keyslots, list, salt, digest, len < 8192 ? 12288 : 61440, KEYSLOTS_BYTES) < 0)
		fuzz_fail("no memory");
	free(salt);
	free(digest);
	free(keyslots);
	return json;
}

static bool is_cheap(const struct luks_keyslot *k)
{
	if (k->kdf.type == CRYPTO_PBKDF2)
		return k->kdf.iterations <= CHEAP_ITERATIONS;
	return k->kdf.iterations <= CHEAP_PASSES && k->kdf.memory_kib <= CHEAP_MEMORY_KIB;
}

static void open_slots(const struct luks_header *h)
{
	for (size_t i = 0; i < h->n_keyslots; i++) {
		struct luks_unlock u = { .passphrase = volume.passphrase,
					 .keyslot = (int)h->keyslots[i].id,
					 .segment = LUKS_ANY };
		struct secret *key = NULL;
		struct err e = { 0 };
		int slot;

		if (!is_cheap(&h->keyslots[i]) ||
		    luks_unlock_keyslot(&volume.io, h, volume.kdf, &u, &key, &slot, &e))
			continue;
		if (!secret_equal(key, volume.key))
			fuzz_fail("a keyslot opened with another key than the digest's");
		secret_free(key);
		fuzz_accepted++;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct luks_header *h = NULL;
	struct err e = { 0 };
	uint8_t *image = NULL;
	char *json;
	size_t n;

	if (!volume.kdf)
		make_volume();
	json = make_json(data, len);
	n = fuzz_image(json, strlen(json), &image);
	fuzz_begin();
	if (n && !luks_parse(image, n, 64u << 20, &h, &e))
		open_slots(h);
	else if (n && !e.text[0])
		fuzz_fail("an error without a sentence");
	fuzz_end();
	luks_free(h);
	free(image);
	free(json);
	return 0;
}
