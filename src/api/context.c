// SPDX-License-Identifier: Apache-2.0
// Contexts and secrets of the public interface.
#include "internal.h"

#include <errno.h>
#include <stdlib.h>

#include <cryptvol/base.h>

const char *cryptvol_version(void)
{
	return CRYPTVOL_VERSION;
}

static void tell(void *arg, const char *sentence)
{
	struct cryptvol *cv = arg;

	if (cv->warn)
		cv->warn(cv->warn_arg, sentence);
}

static void show(void *arg, uint64_t done_bytes, uint64_t total_bytes)
{
	struct cryptvol *cv = arg;

	if (cv->progress)
		cv->progress(cv->progress_arg, done_bytes, total_bytes);
}

int cryptvol_new(struct cryptvol **ret)
{
	struct cryptvol *cv = calloc(1, sizeof(*cv));

	if (!cv)
		return -ENOMEM;
	cv->env = (struct volume_env){
		.udev = DM_UDEV_NO_COOKIE,
		.warn = tell,
		.progress = show,
		.arg = cv,
	};
	cv->kdf_config.lock_dir = "/run/cryptvol";
	*ret = cv;
	return 0;
}

void cryptvol_free(struct cryptvol *cv)
{
	if (!cv)
		return;
	crypto_kdf_free(cv->env.kdf);
	free(cv);
}

const char *cryptvol_error(const struct cryptvol *cv)
{
	return cv->err.code ? err_text(&cv->err) : "";
}

int api_begin(struct cryptvol *cv)
{
	err_clear(&cv->err);
	return cv->env.kdf ? 0 : crypto_kdf_new(&cv->kdf_config, &cv->env.kdf, &cv->err);
}

int cryptvol_protect_process(struct cryptvol *cv)
{
	err_clear(&cv->err);
	return secret_process_init(&cv->err);
}

int cryptvol_set_memory_limit(struct cryptvol *cv, uint64_t bytes)
{
	err_clear(&cv->err);
	if (cv->env.kdf)
		return err_set(&cv->err, -EBUSY,
			       "the memory limit has to be set before the context's first use");
	cv->kdf_config.budget_bytes = bytes;
	return 0;
}

void cryptvol_set_warning(struct cryptvol *cv, void (*warn)(void *arg, const char *sentence),
			  void *arg)
{
	cv->warn = warn;
	cv->warn_arg = arg;
}

void cryptvol_set_progress(struct cryptvol *cv,
			   void (*progress)(void *arg, uint64_t done_bytes, uint64_t total_bytes),
			   void *arg)
{
	cv->progress = progress;
	cv->progress_arg = arg;
}

int api_give_secret(struct cryptvol *cv, struct secret *s, struct cryptvol_secret **ret)
{
	struct cryptvol_secret *made = calloc(1, sizeof(*made));

	if (!made) {
		secret_free(s);
		return err_set(&cv->err, -ENOMEM, "no memory");
	}
	made->s = s;
	*ret = made;
	return 0;
}

int cryptvol_secret_new(struct cryptvol *cv, void *bytes, size_t len, struct cryptvol_secret **ret)
{
	struct secret *s;
	int r;

	err_clear(&cv->err);
	r = secret_from_bytes(bytes, len, &s, &cv->err);
	return r ?: api_give_secret(cv, s, ret);
}

int cryptvol_secret_read(struct cryptvol *cv, int fd, size_t max_bytes,
			 struct cryptvol_secret **ret)
{
	struct secret *s;
	int r;

	err_clear(&cv->err);
	r = secret_read_fd(fd, max_bytes, false, &s, &cv->err);
	return r ?: api_give_secret(cv, s, ret);
}

int cryptvol_secret_random(struct cryptvol *cv, size_t len, struct cryptvol_secret **ret)
{
	struct secret *s;
	int r;

	err_clear(&cv->err);
	r = secret_random(len, &s, &cv->err);
	return r ?: api_give_secret(cv, s, ret);
}

const void *cryptvol_secret_bytes(const struct cryptvol_secret *s, size_t *ret_len)
{
	*ret_len = s->s->len;
	return s->s->data;
}

void cryptvol_secret_free(struct cryptvol_secret *s)
{
	if (!s)
		return;
	secret_free(s->s);
	free(s);
}
