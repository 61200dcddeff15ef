// SPDX-License-Identifier: Apache-2.0
// An application of libcryptvol: formats an image, opens it with its passphrase, adds another one, reads what the header says.
// usage: use IMAGE          (the image exists and has at least 20 MiB)
#include <cryptvol.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct cryptvol *cv;

static void must(int r, const char *what)
{
	if (!r)
		return;
	printf("FAIL %s: %d %s\n", what, r, cryptvol_error(cv));
	exit(1);
}

static struct cryptvol_secret *secret(const char *text)
{
	struct cryptvol_secret *s;
	char bytes[64];
	size_t len = strlen(text);

	memcpy(bytes, text, len);
	must(cryptvol_secret_new(cv, bytes, len, &s), "a secret");
	return s;
}

int main(int argc, char **argv)
{
	struct cryptvol_secret *first, *second;
	struct cryptvol_options *o;
	struct cryptvol_volume *v;
	int keyslot, r;

	if (argc != 2 || cryptvol_new(&cv))
		return 1;
	first = secret("first passphrase");
	second = secret("second passphrase");
	must(cryptvol_options_new(cv, &o), "options");
	must(cryptvol_options_set(o, "pbkdf", "pbkdf2"), "pbkdf");
	must(cryptvol_options_set(o, "pbkdf-force-iterations", "1000"), "iterations");
	must(cryptvol_volume_new(cv, argv[1], NULL, &v), "a volume");
	must(cryptvol_format(v, first, o), "format");
	must(cryptvol_test_passphrase(v, first, CRYPTVOL_ANY_KEYSLOT, &keyslot), "the first passphrase");
	must(cryptvol_add_passphrase(v, first, second, o, &keyslot), "another passphrase");
	must(cryptvol_test_passphrase(v, second, keyslot, &keyslot), "the second passphrase");
	must(cryptvol_load(v), "load");
	r = strcmp(cryptvol_cipher(v), "aes-xts-plain64") || cryptvol_keyslots(v) != 3;
	printf("%s %s\n", cryptvol_cipher(v), cryptvol_uuid(v));
	cryptvol_volume_free(v);
	cryptvol_options_free(o);
	cryptvol_secret_free(first);
	cryptvol_secret_free(second);
	cryptvol_free(cv);
	return r;
}
