#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""After a power cut under volcache.so: lose what was written to FILE and not flushed.

    volundo.py FILE all       every write since the last flush is undone
    volundo.py FILE SEED      some 512-byte units keep the new content, as chance has it
    volundo.py FILE SEED UNIT the same in units of so many bytes: what the disk writes whole or not at all
"""

import random
import struct
import sys

UNIT = 512


def records(path):
    """[(offset, old bytes)] in the order of the writes."""
    with open(path + ".undo", "rb") as f:
        data = f.read()
    found, at = [], 0
    while at + 16 <= len(data):
        offset, length = struct.unpack_from("<QQ", data, at)
        old = data[at + 16:at + 16 + length]
        if len(old) == length:
            found.append((offset, old))
        at += 16 + length
    return found


def main():
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    path, how = sys.argv[1:3]
    unit = int(sys.argv[3]) if len(sys.argv) == 4 else UNIT
    rnd = random.Random(how)
    writes = records(path)
    lost = kept = 0
    with open(path, "r+b") as f:
        for offset, old in reversed(writes):
            for at in range(0, len(old), unit):
                if how != "all" and rnd.random() < 0.5:
                    kept += 1
                    continue
                f.seek(offset + at)
                f.write(old[at:at + unit])
                lost += 1
    print("volundo: %d writes were not flushed; %d units lost, %d kept" % (len(writes), lost, kept))


if __name__ == "__main__":
    main()
