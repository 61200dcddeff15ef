#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""edit_header.py IMAGE STATEMENTS: change the JSON metadata (as `j`) of both copies, checksums made right again."""

import hashlib
import json
import sys

COPY_BYTES, BINARY_BYTES, CHECKSUM = 16384, 4096, 448

with open(sys.argv[1], "r+b") as image:
    copies = image.read(2 * COPY_BYTES)
    j = json.loads(copies[BINARY_BYTES:COPY_BYTES].split(b"\0")[0])
    exec(sys.argv[2])  # pylint: disable=exec-used
    text = json.dumps(j, separators=(",", ":")).encode()
    area = text.ljust(COPY_BYTES - BINARY_BYTES, b"\0")
    for offset in (0, COPY_BYTES):
        header = bytearray(copies[offset:offset + BINARY_BYTES])
        header[CHECKSUM:CHECKSUM + 64] = bytes(64)
        header[CHECKSUM:CHECKSUM + 32] = hashlib.sha256(bytes(header) + area).digest()
        image.seek(offset)
        image.write(header + area)
