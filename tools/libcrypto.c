// SPDX-License-Identifier: Apache-2.0
// libcrypto for the CLI: loaded when an algorithm asks for it, instead of linked in. Its tables,
// 370 KB that a position-independent program has to relocate at every start, cost more than all
// else that `isLuks` or `close` does. SHA-1, SHA-256 and SHA-512 don't come through here: they are
// linked in.
#include <cryptvol/base.h>

#include <dlfcn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/provider.h>
#include <pthread.h>

#define TEXT(x) TEXT_OF(x)
#define TEXT_OF(x) #x
#define LIBRARY "libcrypto.so." TEXT(OPENSSL_SHLIB_VERSION)

/* What src/crypto/ calls: X(type, name, parameters, arguments, what to answer without the library).
 */
#define FUNCTIONS(X)                                                                               \
	X(int, OPENSSL_init_crypto, (uint64_t o, const OPENSSL_INIT_SETTINGS *s), (o, s), 0)       \
	X(OSSL_LIB_CTX *, OSSL_LIB_CTX_new, (void), (), NULL)                                      \
	X(OSSL_PROVIDER *, OSSL_PROVIDER_load, (OSSL_LIB_CTX * l, const char *n), (l, n), NULL)    \
	X(int, OSSL_PROVIDER_unload, (OSSL_PROVIDER * p), (p), 0)                                  \
	X(EVP_MD *, EVP_MD_fetch, (OSSL_LIB_CTX * l, const char *n, const char *p), (l, n, p),     \
	  NULL)                                                                                    \
	X(int, EVP_MD_get_size, (const EVP_MD *m), (m), 0)                                         \
	X(unsigned long, EVP_MD_get_flags, (const EVP_MD *m), (m), 0)                              \
	X(EVP_MD_CTX *, EVP_MD_CTX_new, (void), (), NULL)                                          \
	X(int, EVP_DigestInit_ex2, (EVP_MD_CTX * c, const EVP_MD *m, const OSSL_PARAM *p),         \
	  (c, m, p), 0)                                                                            \
	X(int, EVP_DigestUpdate, (EVP_MD_CTX * c, const void *d, size_t n), (c, d, n), 0)          \
	X(int, EVP_DigestFinal_ex, (EVP_MD_CTX * c, unsigned char *o, unsigned int *n), (c, o, n), \
	  0)                                                                                       \
	X(EVP_KDF *, EVP_KDF_fetch, (OSSL_LIB_CTX * l, const char *n, const char *p), (l, n, p),   \
	  NULL)                                                                                    \
	X(EVP_KDF_CTX *, EVP_KDF_CTX_new, (EVP_KDF * k), (k), NULL)                                \
	X(int, EVP_KDF_derive, (EVP_KDF_CTX * c, unsigned char *o, size_t n, const OSSL_PARAM *p), \
	  (c, o, n, p), 0)                                                                         \
	X(EVP_CIPHER *, EVP_CIPHER_fetch, (OSSL_LIB_CTX * l, const char *n, const char *p),        \
	  (l, n, p), NULL)                                                                         \
	X(EVP_CIPHER_CTX *, EVP_CIPHER_CTX_new, (void), (), NULL)                                  \
	X(int, EVP_CIPHER_CTX_set_padding, (EVP_CIPHER_CTX * c, int p), (c, p), 0)                 \
	X(int, EVP_CipherInit_ex2,                                                                 \
	  (EVP_CIPHER_CTX * c, const EVP_CIPHER *e, const unsigned char *k,                        \
	   const unsigned char *i, int n, const OSSL_PARAM *p),                                    \
	  (c, e, k, i, n, p), 0)                                                                   \
	X(int, EVP_CipherUpdate,                                                                   \
	  (EVP_CIPHER_CTX * c, unsigned char *o, int *l, const unsigned char *i, int n),           \
	  (c, o, l, i, n), 0)                                                                      \
	X(OSSL_PARAM, OSSL_PARAM_construct_utf8_string, (const char *k, char *s, size_t n),        \
	  (k, s, n), NONE)                                                                         \
	X(OSSL_PARAM, OSSL_PARAM_construct_octet_string, (const char *k, void *s, size_t n),       \
	  (k, s, n), NONE)                                                                         \
	X(OSSL_PARAM, OSSL_PARAM_construct_uint32, (const char *k, uint32_t *v), (k, v), NONE)     \
	X(OSSL_PARAM, OSSL_PARAM_construct_int, (const char *k, int *v), (k, v), NONE)             \
	X(OSSL_PARAM, OSSL_PARAM_construct_end, (void), (), NONE)
/* The same without a result. */
#define PROCEDURES(X)                                 \
	X(ERR_clear_error, (void), ())                \
	X(OSSL_LIB_CTX_free, (OSSL_LIB_CTX * l), (l)) \
	X(EVP_MD_free, (EVP_MD * m), (m))             \
	X(EVP_MD_CTX_free, (EVP_MD_CTX * c), (c))     \
	X(EVP_KDF_free, (EVP_KDF * k), (k))           \
	X(EVP_KDF_CTX_free, (EVP_KDF_CTX * c), (c))   \
	X(EVP_CIPHER_free, (EVP_CIPHER * c), (c))     \
	X(EVP_CIPHER_CTX_free, (EVP_CIPHER_CTX * c), (c))
#define NONE ((OSSL_PARAM){ 0 })

/* Lists of parameters have parentheses of their own. NOLINTBEGIN(bugprone-macro-parentheses) */
#define POINTER(type, name, parameters, arguments, absent) type(*name) parameters;
#define POINTER_VOID(name, parameters, arguments) void(*name) parameters;
/* Written once, by the first call. */
static struct {
	FUNCTIONS(POINTER)
	PROCEDURES(POINTER_VOID)
} library;
static bool loaded;
static pthread_once_t once = PTHREAD_ONCE_INIT;

#define FIND(name) (*(void **)(void *)&library.name = dlsym(handle, #name))
#define AND_FIND(type, name, parameters, arguments, absent) &&FIND(name)
#define AND_FIND_VOID(name, parameters, arguments) &&FIND(name)
static void load(void)
{
	void *handle = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);

	if (!handle) {
		log_debug("%s", dlerror());
		return;
	}
	loaded = true FUNCTIONS(AND_FIND) PROCEDURES(AND_FIND_VOID);
	if (!loaded)
		log_debug("%s lacks a function", LIBRARY);
}

static bool ready(void)
{
	pthread_once(&once, load);
	return loaded;
}

#define DEFINE(type, name, parameters, arguments, absent)         \
	type name parameters                                      \
	{                                                         \
		return ready() ? library.name arguments : absent; \
	}
#define DEFINE_VOID(name, parameters, arguments) \
	void name parameters                     \
	{                                        \
		if (ready())                     \
			library.name arguments;  \
	}
FUNCTIONS(DEFINE)
PROCEDURES(DEFINE_VOID)
/* NOLINTEND(bugprone-macro-parentheses) */
