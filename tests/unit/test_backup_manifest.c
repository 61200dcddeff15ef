// SPDX-License-Identifier: Apache-2.0
// Manifests: what is written is read, what is broken is refused with its reason, and one of 400 GiB
// takes no more memory than one of nothing.
#include "check.h"

#include <backup/internal.h>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define BLOCKS_400_GIB 409600u
#define SHA "\"0000000000000000000000000000000000000000000000000000000000000001\""
/* As json-c writes it. */
#define HEAD_BUT(device)                                                                      \
	"{\"version\":1,\"volume\":\"v\",\"name\":\"n\",\"size\":1048576,\"header\":2097152," \
	"\"device\":" device                                                                  \
	",\"stored\":5,\"encrypted\":1,\"fs_type\":\"ext4\",\"uuid\":\"a\\/b\","              \
	"\"created\":77,\"block\":1048576,\"blocks\":"
#define HEAD HEAD_BUT("3145728")

static char dir[] = "/tmp/manifest-XXXXXX";
static struct store store;

/* @body under its checksum, as v's n. */
static void write_raw(const char *body)
{
	uint8_t sum[HASH_BYTES];
	char path[256], hex[HASH_HEX];
	FILE *f;

	snprintf(path, sizeof(path), "%s/manifests/v/n.json", dir);
	f = fopen(path, "w");
	if (!f || store_hash(body, strlen(body), sum, NULL))
		abort();
	text_hex(sum, HASH_BYTES, hex);
	fprintf(f, "%s\n%s", hex, body);
	fclose(f);
}

static int open_raw(const char *body, struct manifest *ret, struct err *e)
{
	write_raw(body);
	err_clear(e);
	return manifest_open(&store, "v", "n", ret, e);
}

static void an_old_manifest_is_read(void)
{
	uint8_t hash[HASH_BYTES], one[HASH_BYTES] = { [31] = 1 };
	struct err e = { 0 };
	struct manifest m;
	uint64_t i = 9;

	REQUIRE(!open_raw(HEAD "[[1," SHA "],[2," SHA "]]}", &m, &e));
	CHECK_STR(m.info.uuid, "a/b");
	CHECK_STR(m.info.fs_type, "ext4");
	CHECK_INT(m.info.size_bytes, 1048576);
	CHECK_INT(m.info.header_bytes, 2097152);
	CHECK_INT(m.info.device_bytes, 3145728);
	CHECK_INT(m.info.stored_bytes, 5);
	CHECK_INT(m.info.created_seconds, 77);
	CHECK(m.info.encrypted);
	CHECK_INT(m.n_blocks, 3);
	for (int pass = 0; pass < 2; pass++) {
		CHECK_INT(manifest_next(&m, &i, hash, &e), 1);
		CHECK_INT(i, 1);
		CHECK_MEM(hash, one, HASH_BYTES);
		CHECK_INT(manifest_next(&m, &i, hash, &e), 1);
		CHECK_INT(i, 2);
		CHECK_INT(manifest_next(&m, &i, hash, &e), 0);
	}
	manifest_clear(&m);
}

static void blanks_and_members_of_later_versions(void)
{
	uint8_t hash[HASH_BYTES];
	struct err e = { 0 };
	struct manifest m;
	uint64_t i = 9;

	REQUIRE(!open_raw(
		"\n{ \"later\" : {\"a\":[1,-2.5e+3,{\"b\":\"]}\\\"\"}],\"c\":null} ,\"x\":\"[\","
		"\"version\":1,\"block\":1048576,\"device\":1,\"blocks\": [ [ 0 , " SHA " ] ] ,"
		"\"volume\":\"v\",\"name\":\"\\u006e\",\"size\":1,\"header\":0,\"stored\":0,"
		"\"encrypted\":0,\"fs_type\":\"\",\"uuid\":\"\",\"created\":0 } \n",
		&m, &e));
	CHECK_INT(manifest_next(&m, &i, hash, &e), 1);
	CHECK_INT(i, 0);
	CHECK_INT(manifest_next(&m, &i, hash, &e), 0);
	CHECK(!m.info.encrypted);
	manifest_clear(&m);
}

static void broken_ones(void)
{
	static const struct {
		const char *body, *why;
		int r;
	} rows[] = {
		{ "", "no JSON object", -EBADMSG },
		{ "[]", "no JSON object", -EBADMSG },
		{ "{}", "no JSON object", -EBADMSG },
		{ HEAD "[]", "no JSON object", -EBADMSG },
		{ HEAD "[]}x", "no JSON object", -EBADMSG },
		{ HEAD "[],}", "no JSON object", -EBADMSG },
		{ HEAD "{}}", "blocks: no list", -EBADMSG },
		{ HEAD "[[1," SHA "]", "blocks: no list", -EBADMSG },
		{ HEAD "[[1," SHA "],]}", "blocks: no pair", -EBADMSG },
		{ HEAD "[[1]]}", "blocks: no pair", -EBADMSG },
		{ HEAD "[[-1," SHA "]]}", "blocks: no pair", -EBADMSG },
		{ HEAD "[[01," SHA "]]}", "blocks: no pair", -EBADMSG },
		{ HEAD "[[1.0," SHA "]]}", "blocks: no pair", -EBADMSG },
		{ HEAD "[[9223372036854775808," SHA "]]}", "blocks: no pair", -EBADMSG },
		{ HEAD "[[3," SHA "]]}", "out of the device", -EBADMSG },
		{ HEAD "[[2," SHA "],[1," SHA "]]}", "out of order", -EBADMSG },
		{ HEAD "[[1," SHA "],[1," SHA "]]}", "out of order", -EBADMSG },
		{ HEAD "[[1,\"00\"]]}", "no SHA-256", -EBADMSG },
		{ HEAD "[[1,\""
		       "00000000000000000000000000000000" SHA "]]}",
		  "no pair", -EBADMSG },
		{ HEAD "[],\"blocks\":[]}", "there twice", -EBADMSG },
		{ HEAD "[],\"name\":\"n\"}", "name: there twice", -EBADMSG },
		{ HEAD_BUT("\"3\"") "[]}", "device: no number", -EBADMSG },
		{ HEAD_BUT("4611686018427387904") "[]}", "device: larger than a backup", -EBADMSG },
		{ HEAD_BUT("1125899906842625") "[]}", "device: larger than a backup", -EBADMSG },
		{ HEAD_BUT("1125899906842624") "[]}", "device: larger than size and", -EBADMSG },
		{ HEAD_BUT("3145729") "[]}", "device: larger than size and", -EBADMSG },
		{ "{\"version\":1,\"device\":1,\"block\":1048576,\"blocks\":[],\"volume\":\"v\","
		  "\"name\":\"n\",\"size\":4611686018427387904,\"header\":4611686018427387904,"
		  "\"stored\":0,\"encrypted\":0,\"fs_type\":\"\",\"uuid\":\"\",\"created\":0}",
		  "device: larger than size and", -EBADMSG },
		{ "{\"version\":2,\"device\":1,\"block\":1,\"blocks\":7}", "version: 2",
		  -EOPNOTSUPP },
		{ "{\"version\":1,\"device\":1,\"block\":4096,\"blocks\":[]}", "block: 4096",
		  -EOPNOTSUPP },
		{ "{\"version\":1,\"blocks\":[]}", "blocks: before", -EBADMSG },
		{ "{\"version\":1,\"device\":1,\"block\":1048576,\"blocks\":[]}", "volume: missing",
		  -EBADMSG },
		{ "{\"version\":1,\"device\":1,\"block\":1048576}", "blocks: missing", -EBADMSG },
		{ "{\"x\":]}", "no JSON object", -EBADMSG },
		{ "{\"x\":[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]}", "no JSON object",
		  -EBADMSG },
		{ "{\"fs_type\":\"0123456789abcdef\"}", "fs_type: no text, or too long", -EBADMSG },
		{ "{\"fs_type\":\"\\u0000\"}", "fs_type: no text", -EBADMSG },
		{ "{\"fs_type\":\"\\x\"}", "fs_type: no text", -EBADMSG },
		{ "{\"fs_type\":\"\n\"}", "fs_type: no text", -EBADMSG },
	};
	struct manifest m;
	struct err e;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		int r = open_raw(rows[i].body, &m, &e);

		CHECK_MSG(r == rows[i].r && strstr(err_text(&e), rows[i].why), "%s: %d, \"%s\"",
			  rows[i].body, r, err_text(&e));
		if (!r)
			manifest_clear(&m);
	}
}

static void a_changed_byte_is_the_checksum(void)
{
	static const char body[] = HEAD "[[1," SHA "]]}";
	char path[256];
	struct manifest m;
	struct err e = { 0 };

	snprintf(path, sizeof(path), "%s/manifests/v/n.json", dir);
	for (size_t at = 0; at < sizeof(body) - 1; at += 7) {
		int fd;

		write_raw(body);
		fd = open(path, O_WRONLY | O_CLOEXEC);
		REQUIRE(fd >= 0 && pwrite(fd, "\x7f", 1, (off_t)(HASH_HEX + at)) == 1);
		close(fd);
		err_clear(&e);
		CHECK_INT(manifest_open(&store, "v", "n", &m, &e), -EBADMSG);
		CHECK_CONTAINS(err_text(&e), "the checksum is wrong");
	}
}

static long peak_kib(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return u.ru_maxrss;
}

static void a_backup_of_400_gib_in_2_mib(void)
{
	struct backup_info info = { .device_bytes = BLOCKS_400_GIB * 1048576ull,
				    .size_bytes = BLOCKS_400_GIB * 1048576ull,
				    .volume = "big",
				    .name = "one",
				    .uuid = "\"\\\n/",
				    .encrypted = true };
	uint8_t hash[HASH_BYTES] = { 0 }, found[HASH_BYTES];
	struct manifest_writer *w = NULL;
	struct err e = { 0 };
	struct manifest m;
	uint64_t at = 0, n = 0;
	long before = peak_kib(), grown;

	REQUIRE(!manifest_create(&store, &info, &w, &e));
	for (uint64_t i = 0; i < BLOCKS_400_GIB; i++) {
		memcpy(hash, &i, sizeof(i));
		hash[31] = 1;
		REQUIRE(!manifest_add(w, i, hash, &e));
	}
	REQUIRE(!manifest_finish(w, 12345, &m, &e));
	CHECK_INT(manifest_next(&m, &at, found, &e), 1);
	manifest_clear(&m);
	REQUIRE(!manifest_publish(w, &e));
	manifest_drop(w);
	REQUIRE(!manifest_open(&store, "big", "one", &m, &e));
	CHECK_STR(m.info.uuid, info.uuid);
	CHECK_INT(m.info.stored_bytes, 12345);
	while (manifest_next(&m, &at, found, &e) > 0) {
		memcpy(hash, &n, sizeof(n));
		CHECK_INT(at, n);
		CHECK_MEM(found, hash, HASH_BYTES);
		n++;
	}
	CHECK_INT(n, BLOCKS_400_GIB);
	manifest_clear(&m);
	grown = peak_kib() - before;
	printf("# %ld KiB more, written and read\n", grown);
	CHECK_MSG(grown < 2048, "%ld KiB", grown);
}

/* ---- what a hostile share has in a backup's place ---- */

static void path_of(const char *file, char ret[256])
{
	snprintf(ret, 256, "%s/manifests/v/%s.json", dir, file);
}

static void a_hole_of_years_is_not_read(void)
{
	static const char *const bodies[] = { HEAD "[[1," SHA "]]}", "{", "" };
	struct err e = { 0 };
	struct manifest m;
	char path[256];

	path_of("n", path);
	for (size_t i = 0; i < ARRAY_SIZE(bodies); i++) {
		write_raw(bodies[i]);
		REQUIRE(!truncate(path, 1ll << 43)); /* a day at 100 MB/s; the most that ext4 has */
		err_clear(&e);
		CHECK_INT(manifest_open(&store, "v", "n", &m, &e), -EBADMSG);
		CHECK_MSG(!strstr(err_text(&e), "checksum is wrong"), "%s", err_text(&e));
	}
	unlink(path);
}

static int asked(void *arg, struct err *e)
{
	unsigned int *left = arg;

	return *left && (*left)-- > 1 ? 0 : err_set(e, -ETIMEDOUT, "the call has ended");
}

/* Between any two reads of the file, whatever the caller is in the middle of. */
static void a_stop_ends_a_look_up(void)
{
	unsigned int left = 0;
	struct backup_watch watch = { .stop = asked, .arg = &left };
	struct backup_info info;
	struct err e = { 0 };
	struct manifest m;
	int r;

	write_raw(HEAD "[[1," SHA "],[2," SHA "]]}");
	store.watch = &watch;
	for (unsigned int n = 1; n < 9; n++) {
		left = n;
		err_clear(&e);
		r = manifest_open(&store, "v", "n", &m, &e);
		if (!r) {
			manifest_clear(&m);
			CHECK_MSG(n > 2, "asked %u times only", n);
			break;
		}
		CHECK_INT(r, -ETIMEDOUT);
		CHECK_CONTAINS(err_text(&e), "the call has ended");
	}
	CHECK_INT(r, 0);
	store.watch = NULL;
	left = 1;
	CHECK_INT(backup_find(dir, "n", &watch, &info, &e), -ETIMEDOUT);
}

/* FIFOs would be waited for, links lead out of the store. */
static void only_regular_files_and_folders(void)
{
	char path[256], away[256], blobs[64];
	uint8_t hash[HASH_BYTES] = { 0xab };
	struct err e = { 0 };
	struct manifest m;
	char block[16];

	path_of("fifo", path);
	REQUIRE(!mkfifo(path, 0600));
	CHECK_INT(manifest_open(&store, "v", "fifo", &m, &e), -EBADMSG);
	CHECK_CONTAINS(err_text(&e), "is no regular file");
	path_of("folder", path);
	REQUIRE(!mkdir(path, 0700));
	CHECK_INT(manifest_open(&store, "v", "folder", &m, &e), -EBADMSG);
	rmdir(path);
	write_raw(HEAD "[[1," SHA "]]}");
	path_of("link", path);
	path_of("n", away);
	REQUIRE(!symlink(away, path));
	CHECK_INT(manifest_open(&store, "v", "link", &m, &e), -EBADMSG);
	CHECK_CONTAINS(err_text(&e), "is no regular file");
	unlink(path);
	path_of("fifo", path);
	unlink(path);

	snprintf(blobs, sizeof(blobs), "%s/blobs/ab", dir);
	REQUIRE(!mkdir(blobs, 0700));
	snprintf(path, sizeof(path), "%s/%062d", blobs, 0);
	REQUIRE(!mkfifo(path, 0600));
	CHECK_INT(store_get(&store, hash, block, sizeof(block), &e), -EBADMSG);
	CHECK_CONTAINS(err_text(&e), "is no regular file");
	unlink(path);
	CHECK_INT(store_get(&store, hash, block, sizeof(block), &e), -EBADMSG);
	CHECK_CONTAINS(err_text(&e), "is missing");
	rmdir(blobs);
	REQUIRE(!symlink("/etc", blobs));
	CHECK_INT(store_get(&store, hash, block, sizeof(block), &e), -EBADMSG);
	CHECK_CONTAINS(err_text(&e), "is no folder");
	unlink(blobs);
}

static void init_once(void)
{
	char id[BACKUP_STORE_ID_BYTES], again[BACKUP_STORE_ID_BYTES], path[256];
	struct err e = { 0 };
	struct store s;
	bool made = false;
	FILE *f;

	CHECK_INT(store_open("/nonexistent", STORE_UNLOCKED, NULL, &s, &e), -ENOMEDIUM);
	CHECK_INT(store_open("/tmp", STORE_UNLOCKED, NULL, &s, &e), -ENOMEDIUM);
	CHECK_CONTAINS(err_text(&e), "backup --init");
	REQUIRE(!backup_init(dir, id, &made, &e));
	CHECK(made);
	CHECK_INT(strlen(id), 2 * STORE_ID_BYTES);
	REQUIRE(!backup_init(dir, again, &made, &e));
	CHECK(!made);
	CHECK_STR(again, id);
	snprintf(path, sizeof(path), "%s/cryptvol-store", dir);
	f = fopen(path, "w");
	REQUIRE(f && fprintf(f, "cryptvol backup store 2 %s\n", id) > 0 && !fclose(f));
	CHECK_INT(store_open(dir, STORE_UNLOCKED, NULL, &s, &e), -EOPNOTSUPP);
	f = fopen(path, "w");
	REQUIRE(f && fprintf(f, "cryptvol backup store 1 00\n") > 0 && !fclose(f));
	CHECK_INT(store_open(dir, STORE_UNLOCKED, NULL, &s, &e), -EBADMSG);
	f = fopen(path, "w");
	REQUIRE(f && fprintf(f, "cryptvol backup store 1 %s\n", id) > 0 && !fclose(f));
	REQUIRE(!store_open(dir, STORE_UNLOCKED, NULL, &store, &e));
	CHECK_STR(store.id, id);
}

int main(void)
{
	char path[256];

	if (!mkdtemp(dir))
		return 1;
	RUN(init_once);
	snprintf(path, sizeof(path), "%s/manifests/v", dir);
	mkdir(path, 0700);
	RUN(an_old_manifest_is_read);
	RUN(blanks_and_members_of_later_versions);
	RUN(broken_ones);
	RUN(a_changed_byte_is_the_checksum);
	RUN(a_backup_of_400_gib_in_2_mib);
	RUN(a_hole_of_years_is_not_read);
	RUN(a_stop_ends_a_look_up);
	RUN(only_regular_files_and_folders);
	store_close(&store);
	snprintf(path, sizeof(path), "rm -rf %s", dir);
	return system(path) ? 1 : check_exit();
}
