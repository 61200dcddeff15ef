#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Make the seeds of tests/fuzz/corpus again, from the headers in tests/images (run from the top).

accept-*: must reach the end of its target; refuse-*: a start from which the fuzzer finds refusals.
"""

import base64
import glob
import json
import lzma
import os

CORPUS = "tests/fuzz/corpus"
BASES = sorted(glob.glob("tests/images/broken/*.hdr.xz"))


def save(target, name, data):
    os.makedirs(f"{CORPUS}/{target}", exist_ok=True)
    with open(f"{CORPUS}/{target}/{name}", "wb") as f:
        f.write(data)


def json_text(image):
    return image[4096:16384].rstrip(b"\0")


def keyslot(kdf, **members):
    slot = {"type": "luks2", "key_size": 16,
            "af": {"type": "luks1", "stripes": 4000, "hash": "sha256"},
            "area": {"type": "raw", "offset": "32768", "size": "65536",
                     "encryption": "aes-xts-plain64", "key_size": 32},
            "kdf": kdf}
    slot.update(members)
    return slot


def compact(value):
    return json.dumps(value, separators=(",", ":")).encode()


def main():
    salt = base64.b64encode(bytes(32)).decode()
    pbkdf2 = {"type": "pbkdf2", "hash": "sha256", "iterations": 1000, "salt": salt}
    argon2 = {"type": "argon2id", "time": 4, "memory": 32, "cpus": 1, "salt": salt}
    for path in BASES:
        name = os.path.basename(path).split(".")[0]
        with lzma.open(path) as f:
            image = f.read()
        if name == "luks1":
            save("luks1", "accept-cryptsetup", image[:592])
            save("luks1", "refuse-no-uuid", image[:168] + bytes(40) + image[208:592])
            continue
        save("json", f"accept-{name}", json_text(image))
        # Without the checksum: the harness seals what its control byte says.
        bins = b"".join(image[at:at + 448] + bytes(64) for at in (0, 16384))
        save("header", f"accept-{name}", b"\x03" + bins + json_text(image))
        save("header", f"accept-primary-unsealed-{name}", b"\x02" + bins + json_text(image))
        save("header", f"refuse-unsealed-{name}", b"\0" + bins + json_text(image))
        save("keyslots", f"refuse-{name}", compact(json.loads(json_text(image))["keyslots"]))
    save("json", "refuse-duplicate", b'{"keyslots":{},"keyslots":{}}')
    save("keyslots", "accept-pbkdf2", compact({"0": keyslot(pbkdf2)}))
    second = keyslot(argon2, priority=2)
    second["area"] = dict(second["area"], offset="98304")
    save("keyslots", "accept-second-is-argon2id", compact({"3": keyslot(pbkdf2), "0": second}))
    unknown = {"type": "future", "key_size": 1, "priority": 0,
               "area": {"type": "x", "offset": "98304", "size": "4096"}}
    save("keyslots", "accept-beside-unknown", compact({"31": unknown, "7": keyslot(pbkdf2)}))


if __name__ == "__main__":
    main()
