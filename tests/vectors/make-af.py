#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Vectors for the AF splitter, from the LUKS1 specification's description by hashlib alone.

    make-af.py >af.txt

Stripes come from SHA-256 in counter mode over big-endian 32-bit counters, so that a line is short:
hash, key bytes, the key that 4000 such stripes merge to.
"""
import hashlib
import struct

STRIPES = 4000


def stream(size):
    out = b""
    counter = 0
    while len(out) < size:
        out += hashlib.sha256(struct.pack(">I", counter)).digest()
        counter += 1
    return out[:size]


def diffuse(name, block):
    size = hashlib.new(name).digest_size
    out = b""
    for index in range(0, -(-len(block) // size)):
        piece = block[index * size:(index + 1) * size]
        out += hashlib.new(name, struct.pack(">I", index) + piece).digest()[:len(piece)]
    return out


def xor(a, b):
    return bytes(x ^ y for x, y in zip(a, b))


def merge(name, stripes, size):
    acc = bytes(size)
    for i in range(STRIPES - 1):
        acc = diffuse(name, xor(acc, stripes[i * size:(i + 1) * size]))
    return xor(acc, stripes[(STRIPES - 1) * size:])


# hashlib's name, and ours.
for name, spelled in (("sha1", "sha1"), ("sha256", "sha256"), ("sha384", "sha384"),
                      ("sha512", "sha512"), ("blake2b", "blake2b-512")):
    for size in (1, 16, 20, 32, 33, 64, 100):
        print(spelled, size, merge(name, stream(size * STRIPES), size).hex())
