// SPDX-License-Identifier: Apache-2.0
// The speed of a cipher, for `benchmark`: in the kernel, where volumes are encrypted; in libcrypto
// where there is no AF_ALG.
#include "internal.h"

/* What one AF_ALG request takes: 16 pages. */
#define CHUNK_BYTES (64u * 1024)

static int through_kernel(const struct crypto_afalg *a, struct crypto_cipher_job *j, size_t chunks,
			  struct err *e)
{
	unsigned char iv[CRYPTO_IV_MAX_BYTES] = { 0 };
	int r = 0;

	for (size_t i = 0; !r && i < chunks; i++)
		r = crypto_afalg_unit(a, j->encrypt, iv, j->buf, CHUNK_BYTES, e);
	return r;
}

static int through_libcrypto(struct crypto_cipher_job *j, size_t chunks, struct err *e)
{
	int r = 0;

	for (size_t i = 0; !r && i < chunks; i++)
		r = crypto_evp_run(j, e);
	return r;
}

static int measure(struct crypto_cipher_job *j, size_t chunks, double *ret_enc, double *ret_dec,
		   struct err *e)
{
	struct crypto_afalg a = { -1, -1, 0 };
	double took[2];
	int r;

	r = crypto_afalg_open(j->cipher, j->key, &a, e);
	if (r && !(r == -EHOSTDOWN && crypto_evp_has(j->cipher, j->key->len)))
		return r;
	err_clear(e);
	for (unsigned int i = 0; i < 2; i++) {
		double start = base_now();

		j->encrypt = i == 0;
		r = a.op_fd >= 0 ? through_kernel(&a, j, chunks, e)
				 : through_libcrypto(j, chunks, e);
		if (r)
			break;
		took[i] = base_now() - start;
		if (took[i] < 1e-9)
			took[i] = 1e-9;
	}
	crypto_afalg_close(&a);
	if (r)
		return r;
	*ret_enc = (double)(chunks * CHUNK_BYTES) / took[0];
	*ret_dec = (double)(chunks * CHUNK_BYTES) / took[1];
	return 0;
}

int crypto_cipher_measure(const char *spec, size_t key_bytes, size_t bytes, double *ret_enc,
			  double *ret_dec, struct err *e)
{
	size_t chunks = bytes < CHUNK_BYTES ? 1 : bytes / CHUNK_BYTES;
	_cleanup_secret_ struct secret *key = NULL;
	_cleanup_free_ unsigned char *buf = NULL;
	struct crypto_cipher c;
	struct crypto_cipher_job job = { .cipher = &c,
					 .len = CHUNK_BYTES,
					 .unit_bytes = CHUNK_BYTES };
	int r;

	r = crypto_cipher_check(spec, key_bytes, false, e);
	if (!r)
		r = crypto_cipher_parse(spec, &c, e);
	if (!r)
		r = secret_random(key_bytes, &key, e);
	if (r)
		return r;
	buf = aligned_alloc(4096, CHUNK_BYTES);
	if (!buf)
		return err_set(e, -ENOMEM, "no memory to measure a cipher");
	memset(buf, 0, CHUNK_BYTES);
	job.key = key;
	job.buf = buf;
	return measure(&job, chunks, ret_enc, ret_dec, e);
}
