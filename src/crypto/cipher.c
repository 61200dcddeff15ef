// SPDX-License-Identifier: Apache-2.0
// Sector by sector encryption of keyslot areas, by whichever backend has the cipher.
#include "internal.h"

void crypto_iv_sector(const struct crypto_cipher *c, uint64_t sector,
		      unsigned char iv[CRYPTO_IV_MAX_BYTES])
{
	uint64_t le = htole64(strcmp(c->iv, "plain") ? sector : sector & UINT32_MAX);

	memset(iv, 0, CRYPTO_IV_MAX_BYTES);
	memcpy(iv, &le, sizeof(le));
}

static int run(const struct crypto_cipher_job *j, struct err *e)
{
	int r;

	if (crypto_aesni_has(j)) {
		crypto_aesni_run(j);
		return 0;
	}
	if (!crypto_evp_has(j->cipher, j->key->len))
		return crypto_afalg_run(j, e);
	r = crypto_evp_run(j, e);
	if (r == -EHOSTDOWN && !crypto_afalg_run(j, NULL)) {
		err_clear(e);
		r = 0;
	}
	return r;
}

int crypto_cipher_run(const struct crypto_cipher *c, const struct secret *key, bool encrypt,
		      void *buf, size_t len, uint64_t first_sector, struct err *e)
{
	struct crypto_cipher_job job = {
		.cipher = c,
		.key = key,
		.encrypt = encrypt,
		.buf = buf,
		.len = len,
		.unit_bytes = SECTOR_SIZE_BYTES,
		.first_sector = first_sector,
	};
	int r;

	if (len % SECTOR_SIZE_BYTES)
		return err_set(e, -EINVAL, "%zu bytes aren't whole sectors", len);
	r = crypto_cipher_check(c->spec, key->len, true, e);
	if (r || c->null || !len)
		return r;
	r = run(&job, e);
	crypto_stack_wipe();
	return r;
}
