#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What we would map of an edited header, and what cryptsetup would: the same, or ours refuses.

usage: mapping.py [--count N] [--seed N] [--kernel N] TEST_LUKS_BROKEN DIR

Edits of the table of broken headers, and edits of what decides a mapping, are combined at random. Ours is asked in one process
(test_luks_broken --judge), cryptsetup by its library in this one. With --kernel both commands open the first N that ours maps and
the first N that only cryptsetup maps, and the kernel's tables are compared, with each other and with what was said before.
"""

import argparse
import collections
import ctypes
import hashlib
import json
import os
import random
import re
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.realpath(__file__))
TABLE = os.path.join(HERE, "../images/broken/cases.tsv")
CRYPTVOL, CRYPTSETUP = os.environ.get("CRYPTVOL", "cryptvol"), os.environ.get("CRYPTSETUP", "cryptsetup")
PASSPHRASE = b"passphrase"
MIB = 1 << 20
DEVICE = 4 * MIB
CRYPT = {"type": "crypt", "offset": str(2 * MIB), "size": "dynamic", "iv_tweak": "0", "encryption": "aes-xts-plain64", "sector_size": 512}


def put(path, value):
    return f"set {path} {json.dumps(value, separators=(',', ':'))}"


def segment(number, **members):
    return put(f"segments/{number}", {**CRYPT, **members})


# What decides a mapping, each alone; pairs of them make most of the ways in which two readers can part.
MAPPING = [
    put("segments/0/size", "1048576"), put("segments/0/size", str(3 * MIB)), put("segments/0/size", "dynamic"), put("segments/0/size", "512"),
    put("segments/0/offset", "2097152"), put("segments/0/offset", "1049088"), put("segments/0/offset", "0"),
    put("segments/0/offset", "4194304"), put("segments/0/offset", "8388608"),
    put("segments/0/iv_tweak", "8"), put("segments/0/iv_tweak", "1"), put("segments/0/iv_tweak", "00"), put("segments/0/iv_tweak", "18446744073709551615"),
    *(put("segments/0/sector_size", n) for n in (512, 1024, 2048, 4096, 1536, 8192)),
    *(put("segments/0/encryption", c) for c in (
        "aes-cbc-essiv:sha256", "aes-cbc-plain64", "serpent-xts-plain64", "aes-xts-plain", "aes-cbc-plain", "aes-ecb", "aes", "cipher_null-ecb",
        "null", "AES-xts-plain64", "capi:xts(aes)-plain64", "aes-xts-plain64-x", "aes-xts-benbi", "aes--plain64", "twofish-xts-plain64")),
    put("segments/0/type", "linear"), put("segments/0/type", "future"), put("segments/0/type", "hw-opal"),
    *(put("segments/0/flags", f) for f in (["in-reencryption"], ["backup-final"], ["backup-previous"], ["future"], [])),
    put("segments/0/integrity", {"type": "hmac(sha256)", "journal_encryption": "none", "journal_integrity": "none"}),
    segment(1), segment(1, offset=str(3 * MIB)), segment(1, encryption="serpent-xts-plain64"), segment(1, offset=str(MIB), size=str(MIB)),
    segment(1, type="linear"), segment(1, type="linear", offset=str(3 * MIB)),
    *(segment(1, flags=[f]) for f in ("backup-final", "backup-previous", "backup-moved-segment", "backup-x", "in-reencryption")),
    segment(1, flags=["backup-final"], encryption="serpent-xts-plain64"), segment(1, flags=["backup-final"], offset=str(3 * MIB)),
    segment(2, flags=["backup-final"]),
    "text \"segments\":{\"0\": => \"segments\":{\"1\":", "text \"segments\":{\"0\": => \"segments\":{\"00\":",
    "text \"offset\":\"1048576\", => \"offset\":\"2097152\",\"offset\":\"1048576\",",
    "text \"offset\":\"1048576\", => \"offset\":\"1048576\",\"offset\":\"2097152\",",
    "text \"size\":\"dynamic\", => \"size\":\"1048576\",\"siz\\u0065\":\"dynamic\",",
    "text \"sector_size\":512 => \"sector_size\":4096,/**/\"sector_size\":512",
    "text \"config\":{ => \"segments\":{},\"config\":{",
    "text \"digests\":{ => \"segments\":{\"0\":" + json.dumps({**CRYPT, "encryption": "serpent-xts-plain64"}, separators=(",", ":")) + "},\"digests\":{",
    *(put("digests/0/segments", s) for s in ([], ["0", "1"], ["1"], ["00"], ["0", "0"], ["1", "0"])),
    put("digests/1", {"type": "pbkdf2", "keyslots": [], "segments": ["0"], "hash": "sha256", "iterations": 1000,
                      "salt": "faez9V2b0TG5iTkoRh+sWqWAWFGf5hXHGRxSSXumemU=", "digest": "y8H8eZROa2zISCwGeCRgQhevKzfbkTm8ug8XejXTE6M="}),
    put("digests/1", {"type": "future", "keyslots": [], "segments": ["0"]}), put("digests/1", {"type": "future", "keyslots": [], "segments": []}),
    put("digests/0/keyslots", ["0", "0"]), put("digests/0/keyslots", []), put("digests/0/type", "future"), put("digests/0/iterations", 999),
    *(put("keyslots/0/key_size", n) for n in (16, 32, 48, 64, 0, 65)),
    put("keyslots/0/priority", 0), put("keyslots/0/priority", 2),
    put("keyslots/1", {"type": "luks2", "key_size": 32, "af": {"type": "luks1", "stripes": 4000, "hash": "sha256"},
                       "area": {"type": "raw", "offset": "290816", "size": "258048", "encryption": "aes-xts-plain64", "key_size": 64},
                       "kdf": {"type": "pbkdf2", "hash": "sha256", "iterations": 1000, "salt": "pzJKZ+3JJSQGzbiPQjtnobY2kLPqgZh33ZrcCWjLCAY="}}),
    put("keyslots/0/area/encryption", "aes-cbc-plain64"), put("keyslots/0/area/encryption", "cipher_null-ecb"),
    *(put("config/flags", f) for f in (["allow-discards"], ["future"], [])),
    *(put("config/requirements", {"mandatory": m}) for m in (
        ["online-reencrypt"], ["online-reencrypt-v2"], ["offline-reencrypt"], ["future"], ["opal"], ["inline-hw-tags"], [])),
    put("config/requirements", {}), put("config/requirements", {"optional": ["future"]}), put("config/future", {"segments": {}}),
    put("tokens/0", {"type": "future", "keyslots": ["0"]}), put("segments/0/future", 1), put("future", {"0": CRYPT}),
]


def of_the_table():
    """Edits of the table that a header of ours can take; those that make no header at all teach nothing here."""
    with open(TABLE, encoding="utf-8") as f:
        for line in f:
            if line.strip() and not line.startswith("#"):
                _, base, edits = line.split("\t")[:3]
                if base == "plain" and not any(w in f" {edits}" for w in (" nosum", " device ", " json ", " be16 ", " be64 ")) and \
                        not re.search(r"(iterations|time|memory|cpus)\S* (-\d|\d{5})", edits):  # cryptsetup would derive for hours
                    yield edits


class Library:
    """cryptsetup in this process."""

    def __init__(self, path):
        self.path = path.encode()
        self.so = ctypes.CDLL("libcryptsetup.so.12")
        self.quiet = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)(lambda *_: None)
        self.so.crypt_set_log_callback(None, self.quiet, None)
        self.so.crypt_metadata_locking(None, 0)
        for name in ("crypt_get_cipher", "crypt_get_cipher_mode"):
            getattr(self.so, name).restype = ctypes.c_char_p
        for name in ("crypt_get_data_offset", "crypt_get_iv_offset"):
            getattr(self.so, name).restype = ctypes.c_uint64

    def mapping(self):
        """(cipher, key bytes, offset, sector size, SHA-256 of the key) as an open would have it; a text where there is none."""
        cd = ctypes.c_void_p()
        if self.so.crypt_init(ctypes.byref(cd), self.path):
            return "init"
        try:
            return self.ask(cd)
        finally:
            self.so.crypt_free(cd)

    def ask(self, cd):
        so, requirements = self.so, ctypes.c_uint32()
        if so.crypt_load(cd, b"LUKS2", None):
            return "load"
        if so.crypt_persistent_flags_get(cd, 1, ctypes.byref(requirements)) or requirements.value:
            return "requirements"
        cipher, mode = so.crypt_get_cipher(cd), so.crypt_get_cipher_mode(cd)
        if not cipher:
            return "cipher"
        key, size = ctypes.create_string_buffer(1024), ctypes.c_size_t(1024)
        if so.crypt_volume_key_get(cd, -1, key, ctypes.byref(size), PASSPHRASE, len(PASSPHRASE)) < 0:
            return "key"
        offset = so.crypt_get_data_offset(cd) * 512
        if not 0 < offset < DEVICE:  # 0: it would be mapped over its own header, which is a detached one
            return "size"
        text = cipher.decode(errors="replace") + (f"-{mode.decode(errors='replace')}" if mode else "")
        return (text, size.value, offset, so.crypt_get_sector_size(cd), hashlib.sha256(key.raw[:size.value]).hexdigest())


class Ours:
    """One process; each line of edits goes into the image."""

    def __init__(self, program, path):
        self.p = subprocess.Popen([program, "--judge", path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def mapping(self, edits):
        print(edits, file=self.p.stdin, flush=True)
        line = self.p.stdout.readline().rstrip("\n")
        word, _, rest = line.partition(" ")
        if word == "map":
            cipher, key, offset, sector, digest = rest.split(" ")
            return (cipher, int(key), int(offset), int(sector), digest)
        if word not in ("no", "edit"):
            sys.exit(f"FAIL mapping: the judge ended at: {edits}")
        return None if word == "edit" else rest


def combinations(seed, count):
    r = random.Random(seed)
    broken = list(of_the_table())
    alone = MAPPING + broken
    yield from [""] + alone[:count]
    while True:
        picked = [r.choice(MAPPING) for _ in range(r.choice((0, 1, 1, 2, 2, 3)))] + [r.choice(broken) for _ in range(r.choice((0, 0, 1, 1, 2)))]
        r.shuffle(picked)
        yield " ;; ".join(p for q in picked for p in ("copy both", q))


def make_base(path):
    with open(path, "wb") as f:
        f.truncate(DEVICE)
    subprocess.run([CRYPTSETUP, "-q", "luksFormat", "--type", "luks2", "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000",
                    "--uuid", "c0ffee00-0000-4000-8000-000000000001", "--luks2-metadata-size", "16k", "--luks2-keyslots-size", "512k",
                    "--offset", "2048", "--sector-size", "512", "--key-file", "-", path],
                   input=PASSPHRASE, check=True, stderr=subprocess.DEVNULL)


def compare(args, image, keep):
    """Prints counts; returns the bad ones. keep(edits, ours, theirs) for what the kernel is to be asked about."""
    ours, theirs = Ours(args.program, image), Library(image)
    counts, why, bad = collections.Counter(), collections.Counter(), []
    for edits in combinations(args.seed, args.count):
        if sum(counts.values()) - counts["no edit"] >= args.count:
            break
        mine = ours.mapping(edits)
        if mine is None:
            counts["no edit"] += 1
            continue
        other = theirs.mapping()
        if isinstance(mine, str):
            kind = "both refuse" if isinstance(other, str) else "ours refuses"
            why[mine.split(":")[0] if kind == "ours refuses" else ""] += 1
        else:
            kind = "the same" if mine == other else "DIFFERENT"
        counts[kind] += 1
        if kind == "DIFFERENT":
            bad.append((edits, mine, other))
        keep(kind, image, mine, other)
    ours.p.stdin.close()
    if ours.p.wait():
        bad.append(("the judge's end", ours.p.returncode, None))
    print("# " + ", ".join(f"{n} {kind}" for kind, n in sorted(counts.items())))
    return counts, bad


def kernel_table(name, program, image):
    """The mapping's table without device and key; None where the open is refused."""
    loop = subprocess.run(["losetup", "-f", "--show", image], check=True, capture_output=True, text=True).stdout.strip()
    try:
        if subprocess.run([program, "open", "--key-file", "-", loop, name], input=PASSPHRASE, capture_output=True, check=False).returncode:
            return None
        words = subprocess.run(["dmsetup", "table", name], check=True, capture_output=True, text=True).stdout.split()
        subprocess.run(["dmsetup", "remove", "--retry", name], check=True, capture_output=True)
        size = int(words[4].split(":")[1]) if words[4].startswith(":") else len(words[4]) // 2
        sector = [int(w.split(":")[1]) for w in words[9:] if w.startswith("sector_size:")]
        return (words[0], words[1], words[2], words[3], size, words[5], int(words[7]) * 512, sector[0] if sector else 512)
    finally:
        subprocess.run(["losetup", "-d", loop], check=True)


def on_the_kernel(kept):
    """Each kept header opened by both commands."""
    bad, same, refused = [], 0, 0
    for kind, image, mine, other in kept:
        ours, theirs = kernel_table("mapping-o", CRYPTVOL, image), kernel_table("mapping-t", CRYPTSETUP, image)
        if kind == "the same":
            cipher, key, offset, sector, _ = mine
            said = ("0", str((DEVICE - offset) // 512), "crypt", cipher, key, "0", offset, sector)
            same += ours == theirs == said
            if not ours == theirs == said:
                bad.append((image, said, ours, theirs))
            continue
        refused += ours is None
        cipher, key, offset, sector, _ = other
        said = (cipher, 0 if "null" in cipher else key, "0", offset, sector)
        if ours is not None or (theirs and theirs[3:] != said):
            bad.append((image, said, ours, theirs))
    print(f"# on the kernel: {same} the same tables, {refused} that only cryptsetup maps")
    return bad, same, refused


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--count", type=int, default=3000)
    p.add_argument("--seed", type=int, default=8)
    p.add_argument("--kernel", type=int, default=0)
    p.add_argument("program")
    p.add_argument("folder")
    args = p.parse_args()
    os.makedirs(args.folder, exist_ok=True)
    image, kept, seen = f"{args.folder}/mapping.img", [], set()
    make_base(image)

    def keep(kind, image, mine, other):
        # A sample of each kind, no two of the same answers.
        if kind in ("the same", "ours refuses") and sum(k[0] == kind for k in kept) < args.kernel and (str(mine), other) not in seen:
            seen.add((str(mine), other))
            name = f"{args.folder}/{len(kept)}.img"
            shutil.copyfile(image, name)
            kept.append((kind, name, mine, other))
    counts, bad = compare(args, image, keep)
    if args.kernel:
        more, same, refused = on_the_kernel(kept)
        bad += more
        if not same or not refused:
            bad.append(("the kernel was asked nothing", same, refused))
    for b in bad[:20]:
        print("FAIL mapping:", *b, sep="\n    ")
    if bad:
        sys.exit(1)
    # Random edits that nobody can map would show nothing.
    for kind in ("the same", "ours refuses", "both refuse"):
        enough = counts[kind] >= args.count // 50
        print(f"{'ok' if enough else 'FAIL'} headers: {kind}{'' if enough else f': only {counts[kind]}'}")
    print(f"ok no header of {sum(counts.values()) - counts['no edit']} is mapped in two ways")


if __name__ == "__main__":
    main()
