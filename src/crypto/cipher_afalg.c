// SPDX-License-Identifier: Apache-2.0
// Sector ciphers of the kernel through AF_ALG (the kernel's document "User Space Interface"). The
// key goes in by setsockopt alone.
#include "internal.h"

#include <linux/if_alg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/uio.h>

#ifndef SOL_ALG
#define SOL_ALG 279
#endif
#define BLOCK_IV_BYTES 16
#define ADIANTUM_IV_BYTES 32

/* "xts(serpent)"; ESSIV is a template of the kernel's too, over the sector's number. */
static int afalg_name(const struct crypto_cipher *c, struct sockaddr_alg *sa)
{
	const char *hash = crypto_iv_essiv_hash(c);
	char *name = (char *)sa->salg_name;
	size_t cap = sizeof(sa->salg_name);
	int n;

	if (hash)
		n = snprintf(name, cap, "essiv(%s(%s),%s)", c->mode, c->cipher, hash);
	else
		n = snprintf(name, cap, "%s(%s)", c->mode, c->cipher);
	return n < 0 || (size_t)n >= cap ? -ENAMETOOLONG : 0;
}

/* What this process or the machine has run out of says nothing about the kernel's ciphers. */
static int lacks(int errnum)
{
	switch (errnum) {
	case EMFILE:
	case ENFILE:
	case ENOMEM:
	case ENOBUFS:
		return -errnum;
	default:
		return -EHOSTDOWN;
	}
}

int crypto_afalg_open(const struct crypto_cipher *c, const struct secret *key,
		      struct crypto_afalg *ret, struct err *e)
{
	struct sockaddr_alg sa = { .salg_family = AF_ALG, .salg_type = "skcipher" };
	struct crypto_afalg a = { .tfm_fd = -1, .op_fd = -1 };
	int r;

	if (afalg_name(c, &sa))
		return err_set(e, -EINVAL, "the name of cipher \"%s\" is too long", c->spec);
	a.iv_bytes = strcmp(c->mode, "adiantum") ? BLOCK_IV_BYTES : ADIANTUM_IV_BYTES;
	a.tfm_fd = socket(AF_ALG, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (a.tfm_fd < 0)
		return err_set(e, lacks(errno),
			       "cipher \"%s\" needs AF_ALG sockets (module af_alg), and the kernel "
			       "opens none (%s)",
			       c->spec, strerrordesc_np(errno) ?: "unknown error");
	if (bind(a.tfm_fd, (struct sockaddr *)&sa, sizeof(sa))) {
		r = err_set(e, lacks(errno),
			    "the kernel lacks cipher \"%s\" or AF_ALG's module algif_skcipher (%s)",
			    (const char *)sa.salg_name, strerrordesc_np(errno) ?: "unknown error");
	} else if (setsockopt(a.tfm_fd, SOL_ALG, ALG_SET_KEY, key->data, (socklen_t)key->len)) {
		r = err_sys(e, errno == ENOMEM ? -ENOMEM : -EINVAL,
			    "the kernel refuses a key of %zu bits for %s", key->len * 8,
			    (const char *)sa.salg_name);
	} else {
		a.op_fd = accept4(a.tfm_fd, NULL, NULL, SOCK_CLOEXEC);
		r = a.op_fd < 0 ? err_sys(e, -errno, "AF_ALG's accept failed") : 0;
	}
	if (r) {
		crypto_afalg_close(&a);
		return r;
	}
	*ret = a;
	return 0;
}

/* A kernel that knows no cipher at all has no AF_ALG for ciphers, and says nothing of others. */
static bool kernel_lacks(const struct sockaddr_alg *sa)
{
	_cleanup_close_ int fd = socket(AF_ALG, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	return fd >= 0 && bind(fd, (const struct sockaddr *)sa, sizeof(*sa)) && errno == ENOENT;
}

int crypto_cipher_available(const struct crypto_cipher *c, struct err *e)
{
	const struct sockaddr_alg common = { .salg_family = AF_ALG,
					     .salg_type = "skcipher",
					     .salg_name = "cbc(aes)" };
	struct sockaddr_alg sa = { .salg_family = AF_ALG, .salg_type = "skcipher" };

	if (c->null)
		return 0;
	if (afalg_name(c, &sa))
		return err_set(e, -EINVAL, "the name of cipher \"%s\" is too long", c->spec);
	if (!kernel_lacks(&sa) || kernel_lacks(&common))
		return 0;
	return err_set(e, -EHOSTDOWN, "this host's kernel lacks cipher \"%s\" (%s)", c->spec,
		       (const char *)sa.salg_name);
}

void crypto_afalg_close(struct crypto_afalg *a)
{
	base_closep(&a->op_fd);
	base_closep(&a->tfm_fd);
}

static void put_control(char *at, int type, const void *data, size_t len)
{
	struct cmsghdr head = { .cmsg_len = CMSG_LEN(len),
				.cmsg_level = SOL_ALG,
				.cmsg_type = type };

	memcpy(at, &head, sizeof(head));
	memcpy(at + CMSG_LEN(0), data, len);
}

/* The head of a request: direction and IV, then the data. */
static ssize_t send_request(const struct crypto_afalg *a, bool encrypt, const unsigned char *iv,
			    unsigned char *buf, size_t len)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(uint32_t)) +
			  CMSG_SPACE(sizeof(struct af_alg_iv) + CRYPTO_IV_MAX_BYTES)];
	} control = { 0 };
	struct iovec iov = { buf, len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.room };
	uint32_t op = encrypt ? ALG_OP_ENCRYPT : ALG_OP_DECRYPT, iv_len = a->iv_bytes;
	unsigned char iv_field[sizeof(iv_len) + CRYPTO_IV_MAX_BYTES];
	ssize_t n;

	put_control(control.room, ALG_SET_OP, &op, sizeof(op));
	memcpy(iv_field, &iv_len, sizeof(iv_len));
	memcpy(iv_field + sizeof(iv_len), iv, iv_len);
	put_control(control.room + CMSG_SPACE(sizeof(op)), ALG_SET_IV, iv_field,
		    sizeof(iv_len) + iv_len);
	msg.msg_controllen = CMSG_SPACE(sizeof(op)) + CMSG_SPACE(sizeof(iv_len) + iv_len);
	do
		n = sendmsg(a->op_fd, &msg, 0);
	while (n < 0 && errno == EINTR);
	return n;
}

int crypto_afalg_unit(const struct crypto_afalg *a, bool encrypt, const unsigned char *iv,
		      unsigned char *buf, size_t len, struct err *e)
{
	ssize_t n = send_request(a, encrypt, iv, buf, len);

	if (n < 0)
		return err_sys(e, -errno, "sending data to the kernel's cipher failed");
	if ((size_t)n == len) {
		do
			n = read(a->op_fd, buf, len);
		while (n < 0 && errno == EINTR);
		if (n < 0)
			return err_sys(e, -errno, "the kernel's cipher failed");
	}
	if ((size_t)n != len)
		return err_set(e, -EIO, "the kernel's cipher took or gave %zd of %zu bytes", n,
			       len);
	return 0;
}

int crypto_afalg_run(const struct crypto_cipher_job *j, struct err *e)
{
	unsigned char iv[CRYPTO_IV_MAX_BYTES];
	uint64_t sector = j->first_sector;
	struct crypto_afalg a = { .tfm_fd = -1, .op_fd = -1 };
	int r;

	r = crypto_afalg_open(j->cipher, j->key, &a, e);
	if (r)
		return r;
	for (size_t at = 0; !r && at < j->len; at += j->unit_bytes, sector++) {
		crypto_iv_sector(j->cipher, sector, iv);
		r = crypto_afalg_unit(&a, j->encrypt, iv, j->buf + at, j->unit_bytes, e);
	}
	crypto_afalg_close(&a);
	return r;
}
