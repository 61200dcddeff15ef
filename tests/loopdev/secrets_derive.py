#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Work out, with nothing of ours, what a program that unlocks a keyslot has had in its memory.

usage: secrets_derive.py IMAGE KEYFILE SLOT FOLDER [DERIVE-ONLY]

Reads the header's JSON, derives the keyslot's key (hashlib's PBKDF2, libargon2) into FOLDER/derived,
and decrypts the keyslot's area through dm-crypt into FOLDER/material. IMAGE is a block device.
"""

import ctypes
import hashlib
import json
import os
import subprocess
import sys
from base64 import b64decode

ARGON2_TYPES = {"argon2i": 1, "argon2id": 2}
ARGON2_VERSION = 0x13


def derive(kdf, passphrase, n_bytes):
    salt = b64decode(kdf["salt"])
    if kdf["type"] == "pbkdf2":
        return hashlib.pbkdf2_hmac(kdf["hash"], passphrase, salt, kdf["iterations"], n_bytes)
    out = ctypes.create_string_buffer(n_bytes)
    lib = ctypes.CDLL("libargon2.so.1")
    status = lib.argon2_hash(kdf["time"], kdf["memory"], kdf["cpus"], passphrase, len(passphrase),
                             salt, len(salt), out, n_bytes, None, 0, ARGON2_TYPES[kdf["type"]],
                             ARGON2_VERSION)
    if status:
        raise SystemExit("argon2: error %d" % status)
    return out.raw


def decrypt(device, area, key, n_bytes):
    sectors = -(-n_bytes // 512)
    name = "secrets-material"
    table = "0 %d crypt %s %s 0 %s %d" % (sectors, area["encryption"], key.hex(), device,
                                         int(area["offset"]) // 512)
    subprocess.run(["dmsetup", "create", "--readonly", name, "--table", table], check=True)
    try:
        with open("/dev/mapper/" + name, "rb") as f:
            return f.read(n_bytes)
    finally:
        subprocess.run(["dmsetup", "remove", name], check=True)


def put(folder, name, data):
    with open(os.path.join(folder, name), "wb") as f:
        f.write(data)


def main():
    device, keyfile, number, folder = sys.argv[1:5]
    with open(device, "rb") as f:
        header = f.read(16384)
    root = json.loads(header[4096:].rstrip(b"\0"))
    slot = root["keyslots"][number]
    with open(keyfile, "rb") as f:
        key = derive(slot["kdf"], f.read(), slot["area"]["key_size"])
    put(folder, "derived", key)
    if len(sys.argv) == 5:
        put(folder, "material", decrypt(device, slot["area"], key, slot["key_size"] * 4000))


if __name__ == "__main__":
    main()
