#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Say which system calls of an strace log (-f -v -xx -s large) carried a secret.

usage: secrets_trace.py LOG ALLOWED NAME=FILE...

ALLOWED is a comma-separated list of calls that may carry one. Prints each call that did, and exits 1
if one was not allowed, 3 if none carried any (a log that shows nothing proves nothing).
Looked for: pieces of 16 bytes, as they are, in hexadecimal digits and in base64.
"""

import base64
import collections
import re
import sys

PIECE = 16
CALL = re.compile(rb"^(?:\[?(?:pid +)?\d+\]? +)?(?:<\.\.\. )?(\w+)(?:\(| resumed>)")
ESCAPED = re.compile(rb"(?:\\x[0-9a-f]{2})+")


def pieces(name, path):
    with open(path, "rb") as f:
        data = f.read()
    found = {}
    for at in range(0, len(data) - PIECE + 1, PIECE):
        piece = data[at:at + PIECE]
        if len(set(piece)) > 1:
            for form in (piece, piece.hex().encode(), piece.hex().upper().encode()):
                found[form] = name
    for shift in range(3):  # base64 of the whole at each alignment, less its ragged ends
        text = base64.b64encode(data[shift:])[:-4]
        if len(text) >= 20:
            found[text[:20]] = name
    return found


def decode(line):
    """All bytes that the line's strings stand for, strings kept apart."""
    return b"\0|\0".join(bytes.fromhex(m.group().replace(b"\\x", b"").decode())
                         for m in ESCAPED.finditer(line))


def kind(line):
    """The call's name; setsockopt that sets a cipher's key is its own."""
    match = CALL.match(line)
    if not match:
        return "?"
    name = match.group(1).decode()
    if name == "setsockopt" and (b"ALG_SET_KEY" in line or b"SOL_ALG" in line):
        return "setkey"
    return name


def main():
    log, allowed = sys.argv[1], set(sys.argv[2].split(","))
    needles = {}
    for arg in sys.argv[3:]:
        needles.update(pieces(*arg.split("=", 1)))
    carried = collections.Counter()
    with open(log, "rb") as f:
        for line in f:
            data = decode(line)
            for name in {n for piece, n in needles.items() if piece in data or piece in line}:
                carried[kind(line), name] += 1
    for (call, name), count in sorted(carried.items()):
        print("%s carried %s %d times%s" % (call, name, count,
                                           "" if call in allowed else ": NOT ALLOWED"))
    if not carried:
        return 3
    return 1 if any(call not in allowed for call, _ in carried) else 0


if __name__ == "__main__":
    sys.exit(main())
