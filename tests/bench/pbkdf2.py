# SPDX-License-Identifier: Apache-2.0
"""PBKDF2 of the library beside OpenSSL's call and libgcrypt's, in turn in one thread, by the thread's processor time."""
import ctypes
import ctypes.util
import statistics
import time

ITERATIONS = 40000
ROUNDS = 31
PASSPHRASE, SALT = b"correct horse", bytes(range(32))
GCRY_KDF_PBKDF2, GCRY_MD = 34, {"sha1": 2, "sha256": 8, "sha512": 10}


class Secret(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("len", ctypes.c_size_t), ("cap", ctypes.c_size_t)]


def ours(path):
    lib = ctypes.CDLL(path)
    secret = ctypes.POINTER(Secret)()
    if lib.secret_new(ctypes.c_size_t(len(PASSPHRASE)), ctypes.byref(secret), None):
        raise MemoryError("secret_new")
    ctypes.memmove(secret.contents.data, PASSPHRASE, len(PASSPHRASE))
    secret.contents.len = len(PASSPHRASE)

    def derive(name, key):
        return lib.crypto_pbkdf2(name.encode(), secret, SALT, ctypes.c_size_t(len(SALT)), ITERATIONS, key,
                                 ctypes.c_size_t(len(key)), None) == 0
    return derive


def openssl():
    lib = ctypes.CDLL("libcrypto.so.3")
    lib.EVP_get_digestbyname.restype = ctypes.c_void_p

    def derive(name, key):
        return lib.PKCS5_PBKDF2_HMAC(PASSPHRASE, len(PASSPHRASE), SALT, len(SALT), ITERATIONS,
                                     ctypes.c_void_p(lib.EVP_get_digestbyname(name.encode())), len(key), key) == 1
    return derive


def libgcrypt():
    """None where it isn't there."""
    path = ctypes.util.find_library("gcrypt")
    if not path:
        return None
    lib = ctypes.CDLL(path)
    lib.gcry_check_version(None)

    def derive(name, key):
        return lib.gcry_kdf_derive(PASSPHRASE, ctypes.c_size_t(len(PASSPHRASE)), GCRY_KDF_PBKDF2, GCRY_MD[name], SALT,
                                   ctypes.c_size_t(len(SALT)), ctypes.c_ulong(ITERATIONS), ctypes.c_size_t(len(key)),
                                   key) == 0
    return derive


class Figures:
    """Seconds of each side, a list a side; the ratios are of neighbours in time."""

    def __init__(self, sides):
        self.seconds = {name: [] for name in sides}

    def speed(self, name):
        return ITERATIONS / statistics.median(self.seconds[name])

    def ratios(self, other):
        return sorted(b / a for a, b in zip(self.seconds["ours"], self.seconds[other]))


def measure(library, name, key_bytes):
    sides = {"ours": ours(library), "OpenSSL": openssl(), "libgcrypt": libgcrypt()}
    sides = {side: derive for side, derive in sides.items() if derive}
    figures = Figures(sides)
    for turn in range(ROUNDS + 1):
        keys = set()
        for side, derive in sides.items():
            key = ctypes.create_string_buffer(key_bytes)
            start = time.thread_time()
            ok = derive(name, key)
            took = time.thread_time() - start
            if not ok:
                raise RuntimeError(f"{side} can't derive with {name}")
            keys.add(key.raw)
            if turn:  # once beforehand
                figures.seconds[side].append(took)
        if len(keys) != 1:
            raise RuntimeError(f"PBKDF2-{name}: the keys differ")
    return figures
