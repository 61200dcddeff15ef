// SPDX-License-Identifier: Apache-2.0
// Keys from files, pipes and the terminal, straight into struct secret: read(2) only, no stdio.
#include "cli.h"

#include <fcntl.h>
#include <sys/stat.h>

#define DISCARD_CHUNK_BYTES 4096u

static bool is_stdin(const struct key_source *s)
{
	return !s->file || !strcmp(s->file, "-");
}

bool key_is_typed(const struct key_source *s)
{
	return is_stdin(s) && isatty(STDIN_FILENO);
}

/* What is skipped may be key material too: it goes through a secret. */
static int discard(int fd, uint64_t bytes, struct err *e)
{
	_cleanup_secret_ struct secret *s = NULL;
	int r;

	r = secret_new(DISCARD_CHUNK_BYTES, &s, e);
	if (r)
		return r;
	while (bytes) {
		ssize_t n = read(fd, s->data, bytes < s->cap ? (size_t)bytes : s->cap);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return err_set(e, -EINVAL, "Cannot seek to requested keyfile offset.");
		bytes -= (uint64_t)n;
	}
	return 0;
}

static int skip(int fd, uint64_t bytes, struct err *e)
{
	struct stat st;
	off_t at;

	if (!bytes)
		return 0;
	if (fstat(fd, &st))
		return err_sys(e, -errno, "Failed to stat key file");
	at = lseek(fd, 0, SEEK_CUR);
	if (at < 0 || bytes > INT64_MAX - (uint64_t)at)
		return discard(fd, bytes, e);
	if (S_ISREG(st.st_mode) && (uint64_t)at + bytes > (uint64_t)st.st_size)
		return err_set(e, -EINVAL, "Cannot seek to requested keyfile offset.");
	if (lseek(fd, (off_t)bytes, SEEK_CUR) < 0)
		return discard(fd, bytes, e);
	return 0;
}

/* A line of a pipe: just up to its newline, the rest stays for who reads next. */
static int read_line(int fd, uint64_t size_bytes, struct secret **ret, struct err *e)
{
	_cleanup_secret_ struct secret *s = NULL;
	uint64_t max = size_bytes ?: CLI_KEYFILE_MAX_BYTES + 1;
	int r;

	r = secret_read_line(fd, max, &s, e);
	if (r == -ENODATA)
		return err_set(e, r, "Nothing to read on input.");
	if (r)
		return r;
	if (size_bytes && s->len < size_bytes)
		return err_set(e, -EINVAL, "Cannot read requested amount of data.");
	if (s->len > CLI_KEYFILE_MAX_BYTES && !size_bytes)
		return err_set(e, -EINVAL, "Maximum keyfile size exceeded.");
	*ret = s;
	s = NULL;
	return 0;
}

/* An empty key file is an empty key, where it is a file indeed. */
static int read_whole(int fd, uint64_t size_bytes, bool may_be_empty, struct secret **ret,
		      struct err *e)
{
	_cleanup_secret_ struct secret *s = NULL;
	int r;

	r = secret_read_fd(fd, size_bytes ?: CLI_KEYFILE_MAX_BYTES, size_bytes != 0, &s, e);
	if (r == -EFBIG)
		return err_set(e, -EINVAL, "Maximum keyfile size exceeded.");
	if (r == -EINVAL)
		return err_set(e, r, "Cannot read requested amount of data.");
	if (r)
		return r;
	if (!s->len && !may_be_empty)
		return err_set(e, -ENODATA, "Nothing to read on input.");
	*ret = s;
	s = NULL;
	return 0;
}

static int read_file(const struct key_source *src, struct secret **ret, struct err *e)
{
	_cleanup_close_ int fd = -1;
	struct stat st;
	int r;

	fd = open(src->file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return err_set(e, -EINVAL, "Failed to open key file %s: %s.", src->file,
			       strerrordesc_np(errno));
	if (fstat(fd, &st))
		return err_sys(e, -errno, "Failed to stat key file %s", src->file);
	if (S_ISCHR(st.st_mode) && isatty(fd))
		return err_set(e, -EINVAL, "Failed to open key file %s: it is a terminal.",
			       src->file);
	r = skip(fd, src->offset_bytes, e);
	if (r)
		return r;
	return read_whole(fd, src->size_bytes, S_ISREG(st.st_mode), ret, e);
}

static int read_typed(const struct cli *c, const struct key_source *src, struct secret **ret,
		      struct err *e)
{
	_cleanup_secret_ struct secret *first = NULL, *second = NULL;
	uint32_t timeout_s = cli_u32(c, OPT_TIMEOUT);
	int r;

	if (src->offset_bytes)
		return err_set(e, -EINVAL, "Cannot use offset with terminal input.");
	r = prompt_secret(src->prompt, timeout_s, &first, e);
	if (r)
		return r;
	if (src->verify) {
		r = prompt_secret("Verify passphrase: ", timeout_s, &second, e);
		if (r)
			return r;
		if (!secret_equal(first, second))
			return err_set(e, -EPERM, "Passphrases do not match.");
	}
	*ret = first;
	first = NULL;
	return 0;
}

int key_read(const struct cli *c, const struct key_source *s, struct secret **ret, struct err *e)
{
	int r;

	if (!is_stdin(s))
		return read_file(s, ret, e);
	if (isatty(STDIN_FILENO))
		return read_typed(c, s, ret, e);
	r = skip(STDIN_FILENO, s->offset_bytes, e);
	if (r)
		return r;
	return s->file ? read_whole(STDIN_FILENO, s->size_bytes, false, ret, e)
		       : read_line(STDIN_FILENO, s->size_bytes, ret, e);
}

struct key_source key_source_old(const struct cli *c, const char *prompt)
{
	return (struct key_source){
		.file = cli_text(c, OPT_KEY_FILE),
		.offset_bytes = c->opt[OPT_KEYFILE_OFFSET].number,
		.size_bytes = c->opt[OPT_KEYFILE_SIZE].number,
		.prompt = prompt,
		.verify = cli_set(c, OPT_VERIFY_PASSPHRASE),
	};
}

struct key_source key_source_new(const struct cli *c, const char *file, const char *prompt)
{
	return (struct key_source){
		.file = file,
		.offset_bytes = c->opt[OPT_NEW_KEYFILE_OFFSET].number,
		.size_bytes = c->opt[OPT_NEW_KEYFILE_SIZE].number,
		.prompt = prompt,
		.verify = !cli_set(c, OPT_BATCH_MODE) || cli_set(c, OPT_VERIFY_PASSPHRASE),
	};
}

int key_read_volume_key(struct cli *c, size_t bytes, struct secret **ret)
{
	const char *path = cli_text(c, OPT_VOLUME_KEY_FILE);
	_cleanup_close_ int fd = -1;
	int r;

	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return err_set(&c->err, -EINVAL, "Cannot read keyfile %s: %s.", path,
			       strerrordesc_np(errno));
	r = secret_read_fd(fd, bytes, true, ret, &c->err);
	if (r == -EINVAL)
		return err_set(&c->err, r, "Cannot read %zu bytes from keyfile %s.", bytes, path);
	return r;
}

int key_write_file(const char *path, const struct secret *key, struct err *e)
{
	_cleanup_close_ int fd = -1;
	size_t done = 0;

	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0400);
	if (fd < 0)
		return err_set(e, -EINVAL, "Cannot open keyfile %s for write: %s.", path,
			       strerrordesc_np(errno));
	while (done < key->len) {
		ssize_t n = write(fd, key->data + done, key->len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			int r = -errno;

			unlink(path);
			return err_sys(e, r, "Cannot write to keyfile %s", path);
		}
		done += (size_t)n;
	}
	return io_fsync(fd, e);
}

int key_try(struct cli *c, const struct key_source *s,
	    int (*use)(struct cli *c, const struct volume_key *k, void *arg), void *arg)
{
	uint32_t tries = cli_set(c, OPT_TRIES) ? cli_u32(c, OPT_TRIES) : 3;
	int r;

	if (cli_set(c, OPT_TOKEN_ONLY))
		return err_set(&c->err, -EINVAL,
			       "No token can be used: there are no token plugins here, only "
			       "passphrases and keys.");
	if (!key_is_typed(s) || !tries)
		tries = 1;
	for (;;) {
		_cleanup_secret_ struct secret *pass = NULL;
		struct volume_key key = { .keyslot = cli_keyslot(c, OPT_KEY_SLOT) };

		r = key_read(c, s, &pass, &c->err);
		if (!r) {
			key.passphrase = pass;
			r = use(c, &key, arg);
		}
		if (r != -EPERM || !--tries)
			return r;
		cli_report(c, r);
	}
}
