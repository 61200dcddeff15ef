// SPDX-License-Identifier: Apache-2.0
// Cipher specifications of dm-crypt, in both spellings: "cipher-mode-iv[:options]" and
// "capi:mode(cipher)-iv[:options]" (the kernel's dm-crypt document).
#include "internal.h"

#include <ctype.h>
#include <stdio.h>

static int no_spec(const char *spec, struct err *e)
{
	return err_set(e, -EBADMSG, "\"%.*s\" is no cipher specification", CRYPTO_CIPHER_SPEC_MAX,
		       spec);
}

/* The specification ends up in a table whose fields are separated by blanks. */
static bool plain_characters(const char *spec)
{
	for (; *spec; spec++)
		if (!isalnum((unsigned char)*spec) && !strchr("_,:()-", *spec))
			return false;
	return true;
}

/* @len bytes of @from, at least one. */
static bool take(char dst[CRYPTO_NAME_MAX], const char *from, size_t len)
{
	if (!len || len >= CRYPTO_NAME_MAX)
		return false;
	memcpy(dst, from, len);
	dst[len] = '\0';
	return true;
}

/* "mode(cipher)", the whole of @text. */
static bool parse_template(const char *text, size_t len, struct crypto_cipher *c)
{
	const char *open = memchr(text, '(', len);

	if (!open || text[len - 1] != ')')
		return false;
	return take(c->mode, text, (size_t)(open - text)) &&
	       take(c->cipher, open + 1, len - 1 - (size_t)(open + 1 - text)) &&
	       !strpbrk(c->cipher, "()");
}

/* "essiv(cbc(aes),sha256)" with plain64 in front is what the kernel makes of cbc-essiv:sha256. */
static bool parse_essiv_template(const char *text, size_t len, struct crypto_cipher *c)
{
	static const char head[] = "essiv(";
	size_t skip = sizeof(head) - 1;
	const char *comma;
	int n;

	if (len <= skip + 1 || strncmp(text, head, skip) != 0 || text[len - 1] != ')' ||
	    strcmp(c->iv, "plain64") != 0)
		return false;
	text += skip;
	len -= skip + 1;
	comma = memrchr(text, ',', len);
	if (!comma || comma + 1 == text + len || !parse_template(text, (size_t)(comma - text), c))
		return false;
	n = snprintf(c->iv, sizeof(c->iv), "essiv:%.*s", (int)(text + len - comma - 1), comma + 1);
	return n > 0 && (size_t)n < sizeof(c->iv);
}

/* As dm-crypt does: options behind the last ':', then the IV behind the last '-'. */
static bool parse_capi(const char *text, struct crypto_cipher *c)
{
	const char *end = strrchr(text, ':'), *dash;

	dash = memrchr(text, '-', end ? (size_t)(end - text) : strlen(text));
	if (!dash || !take(c->iv, dash + 1, strlen(dash + 1)))
		return false;
	c->capi = true;
	return parse_template(text, (size_t)(dash - text), c) ||
	       parse_essiv_template(text, (size_t)(dash - text), c);
}

static bool is_null(const char *cipher)
{
	return !strcmp(cipher, "null") || !strcmp(cipher, "cipher_null");
}

static bool parse_dashes(const char *text, struct crypto_cipher *c)
{
	const char *mode = strchr(text, '-'), *iv;

	if (!mode || !take(c->cipher, text, (size_t)(mode - text)) ||
	    strpbrk(text + strlen(c->cipher), "()"))
		return false;
	mode++;
	iv = strchr(mode, '-');
	if (!iv) /* only a null cipher goes without an IV */
		return is_null(c->cipher) && take(c->mode, mode, strlen(mode));
	return take(c->mode, mode, (size_t)(iv - mode)) && take(c->iv, iv + 1, strlen(iv + 1));
}

int crypto_cipher_parse(const char *spec, struct crypto_cipher *ret, struct err *e)
{
	static const char capi[] = "capi:";
	struct crypto_cipher c = { 0 };
	bool ok;

	if (text_copy(c.spec, sizeof(c.spec), spec) || !plain_characters(spec))
		return no_spec(spec, e);
	if (is_null(spec)) {
		c.null = true;
		text_copy(c.cipher, sizeof(c.cipher), "cipher_null");
		text_copy(c.mode, sizeof(c.mode), "ecb");
		*ret = c;
		return 0;
	}
	ok = strncmp(spec, capi, sizeof(capi) - 1) ? parse_dashes(spec, &c)
						   : parse_capi(spec + sizeof(capi) - 1, &c);
	if (!ok)
		return no_spec(spec, e);
	c.null = is_null(c.cipher);
	*ret = c;
	return 0;
}
