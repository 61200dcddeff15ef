#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Judge a folder of images by cryptvol and by the cryptsetup that is installed.

usage: run.py [-v] [--all] [--alone] [--only CHECK]... [IMAGES]

Prints a line for each image and a table of what differs; README.md beside this file has the format
of the folder. Exit status 1 where a difference is not an expected one, 77 where nothing was judged.
CRYPTVOL and CRYPTSETUP name the two programs, LAB_KERNEL is set where dm-crypt can be used.
"""

import argparse
import fnmatch
import gzip
import hashlib
import json
import lzma
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
OPENERS = {".xz": lzma.open, ".gz": gzip.open}
SECONDS_MAX = 60  # no command on an image takes longer, or it is a finding
MAPPING = "conformance"
CHUNK = 1 << 20


class Tool:
    """One of the two programs, and how it answers."""

    def __init__(self, name, program):
        self.name, self.program = name, program

    def run(self, *argv):
        """Returns (status, standard output, standard error); a time-out is status 'hangs'."""
        try:
            done = subprocess.run([self.program, *argv], stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                  timeout=SECONDS_MAX, check=False)
        except subprocess.TimeoutExpired:
            return "hangs", b"", b""
        return done.returncode, done.stdout, done.stderr


class Volume:
    """An image laid out for one tool: fresh files, since a tool may repair what it reads."""

    def __init__(self, case, folder):
        self.case, self.folder = case, folder
        self.header = self.expand(case.image)
        self.data = self.expand(case.data) if case.data else None

    def expand(self, source):
        stem, suffix = os.path.splitext(source)
        if suffix not in OPENERS:
            stem, suffix = source, ""
        target = os.path.join(self.folder, os.path.basename(stem))
        if suffix == "":  # cp knows holes, and reads none of them
            subprocess.run(["cp", "--sparse=always", source, target], check=True)
            return target
        with OPENERS[suffix](source, "rb") as src, open(target, "wb") as dst:
            while chunk := src.read(CHUNK):
                if chunk.count(0) == len(chunk):
                    dst.seek(len(chunk), os.SEEK_CUR)
                else:
                    dst.write(chunk)
            dst.truncate()
        return target

    def device(self):
        """The arguments that name device and header to a verb that opens."""
        return ["--header", self.header, self.data] if self.data else [self.header]

    def key_args(self, key):
        path = os.path.join(self.folder, "key")
        with open(path, "wb") as f:
            f.write(bytes.fromhex(key["hex"]) if "hex" in key else key["text"].encode())
        args = ["--key-file", path]
        if "offset" in key:
            args += ["--keyfile-offset", str(key["offset"])]
        if "size" in key:
            args += ["--keyfile-size", str(key["size"])]
        return args


class Case:
    """An image and its sidecar."""

    def __init__(self, sidecar):
        self.name = os.path.basename(sidecar)[:-len(".json")]
        with open(sidecar, encoding="utf-8") as f:
            self.side = json.load(f)
        folder = os.path.dirname(sidecar)
        self.image = self.find(folder, self.side.get("image"), self.name)
        self.data = os.path.join(folder, self.side["data"]) if "data" in self.side else None
        self.keys = self.side.get("keys", [])
        self.expect = self.side["expect"]

    @staticmethod
    def find(folder, named, name):
        if named:
            return os.path.join(folder, named)
        for suffix in (".img.xz", ".img.gz", ".img"):
            if os.path.exists(os.path.join(folder, name + suffix)):
                return os.path.join(folder, name + suffix)
        raise SystemExit("%s: there is no image beside %s.json" % (folder, name))

    def missing(self):
        """What this kernel lacks for the image; None where it can be judged."""
        for cipher in self.side.get("needs_ciphers", []):
            try:
                with socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET) as s:
                    s.bind(("skcipher", cipher))
            except OSError:
                return "this kernel has no %s" % cipher
        return None


# ---- checks: each a function of tool, volume; the answer is text that two tools can agree on ----

def answer(result, value=lambda out, err: "ok"):
    status, out, err = result
    return value(out.decode("utf-8", "replace"), err) if status == 0 else "status %s" % status


def check_is_luks(tool, volume):
    return answer(tool.run("isLuks", volume.header))


def check_uuid(tool, volume):
    return answer(tool.run("luksUUID", volume.header), lambda out, _: out.strip())


def check_dump(tool, volume):
    return answer(tool.run("luksDump", volume.header))


def check_metadata(tool, volume):
    """Equal as JSON, order of members included: a reader has nothing to add and nothing to sort."""
    return answer(tool.run("luksDump", "--dump-json-metadata", volume.header),
                  lambda out, _: "JSON " + digest(json.dumps(json.loads(out)).encode()))


def check_wrong(tool, volume):
    key = volume.case.side.get("wrong", {"text": "certainly not the passphrase"})
    return answer(tool.run("open", "--test-passphrase", *volume.key_args(key), *volume.device()))


def key_check(index, by_number):
    def check(tool, volume):
        key = volume.case.keys[index]
        slot = ["-S", str(key["keyslot"])] if by_number else []
        return answer(tool.run("open", "--test-passphrase", *slot, *volume.key_args(key),
                               *volume.device()))
    return check


def check_volume_key(tool, volume):
    path = os.path.join(volume.folder, "volume-key")
    result = tool.run("luksDump", "-q", "--dump-volume-key", "--volume-key-file", path,
                      *volume.key_args(first_key(volume.case)), volume.header)

    def read(*_):
        with open(path, "rb") as f:
            return f.read().hex()
    return answer(result, read)


def check_plaintext(tool, volume):
    key = first_key(volume.case)
    status, _, _ = tool.run("open", "--readonly", *volume.key_args(key), *volume.device(), MAPPING)
    if status != 0:
        return "status %s" % status
    total = hashlib.sha256()
    with open("/dev/mapper/" + MAPPING, "rb") as f:
        while chunk := f.read(CHUNK):
            total.update(chunk)
    return answer(tool.run("close", MAPPING), lambda out, err: "sha256 " + total.hexdigest())


def check_refusal(tool, volume):
    """The open that has to be refused. The mapping is taken down if it was not."""
    keys = volume.case.keys or [{"text": "any"}]
    verb = ["open", *volume.key_args(keys[0]), *volume.device()]
    verb += [MAPPING] if os.environ.get("LAB_KERNEL") else ["--test-passphrase"]
    status, _, err = tool.run(*verb)
    if status == 0 and os.environ.get("LAB_KERNEL"):
        tool.run("close", MAPPING)
    tool.said = err.decode("utf-8", "replace").strip()
    return "ok" if status == 0 else "status %s" % status


def digest(data):
    return hashlib.sha256(data).hexdigest()[:16]


def first_key(case):
    return next(k for k in case.keys if not k.get("unbound") and not k.get("only_by_number"))


def plan(case):
    """The checks that an image gets: (name, function, the answer that its sidecar wants or None)."""
    expect = case.expect
    wanted = {True: "ok", False: "status 1", None: None}
    uuid = case.side.get("uuid") or (None if expect["is_luks"] is not False else "status 1")
    checks = [("isLuks", check_is_luks, wanted[expect["is_luks"]]),
              ("luksUUID", check_uuid, uuid),
              ("luksDump", check_dump, wanted[expect["dump"]]),
              ("metadata", check_metadata, None)]
    if expect["open"] is None:
        return checks
    if not expect["open"]:
        return checks + [("refusal", check_refusal, None)]
    for i, key in enumerate(case.keys):
        name = "key %d" % key["keyslot"] if "keyslot" in key else "key #%d" % i
        by_number = key.get("only_by_number")
        opens = not key.get("unbound") and not by_number
        checks.append((name, key_check(i, False), "ok" if opens else "status 2"))
        if "keyslot" in key and not key.get("unbound"):
            checks.append((name + " by number", key_check(i, True), "ok"))
    checks.append(("wrong passphrase", check_wrong, "status 2"))
    if "volume_key_hex" in case.side:
        checks.append(("volume key", check_volume_key, case.side["volume_key_hex"]))
    if "plaintext_sha256" in case.side and os.environ.get("LAB_KERNEL"):
        checks.append(("plaintext", check_plaintext, "sha256 " + case.side["plaintext_sha256"]))
    return checks


class Differences:
    """expected-differences.tsv of the folder: image, check (both globs), ours, theirs, why."""

    def __init__(self, path):
        self.rows = []
        if os.path.exists(path):
            with open(path, encoding="utf-8") as f:
                for line in f:
                    if line.strip() and not line.startswith("#"):
                        self.rows.append(line.rstrip("\n").split("\t"))

    def why(self, image, check, ours, theirs):
        for row in self.rows:
            if all(fnmatch.fnmatchcase(x, p) for x, p in
                   zip((image, check, ours, theirs), row[:4])):
                return row[4]
        return None


def judge(case, tools, differences, only):
    """Returns (number of checks, rows of the table, the first unexpected row's words)."""
    rows, bad, count = [], None, 0
    with tempfile.TemporaryDirectory(prefix="conformance.", dir=scratch()) as folder:
        volumes = []
        for tool in tools:
            os.mkdir(os.path.join(folder, tool.name))
            volumes.append(Volume(case, os.path.join(folder, tool.name)))
        for name, check, wanted in plan(case):
            if only and name not in only:
                continue
            answers = [check(t, v) for t, v in zip(tools, volumes)]
            ours, theirs = answers[0], answers[-1]
            count += 1
            problem = verdict(case, name, ours, wanted, tools[0])
            if ours != theirs and problem is None:
                why = differences.why(case.name, name, ours, theirs)
                problem = None if why else "they differ"
                rows.append((case.name, name, ours, theirs, why or "UNEXPECTED"))
            elif problem:
                rows.append((case.name, name, ours, theirs, "UNEXPECTED: " + problem))
            bad = bad or (problem and "%s: %s (ours %s, theirs %s)" % (name, problem, ours, theirs))
    return count, rows, bad


def verdict(case, name, ours, wanted, tool):
    """What is wrong with our answer by the sidecar alone; None if nothing."""
    if wanted is not None and ours != wanted:
        return "wanted %s" % wanted
    if name != "refusal":
        return None
    if ours == "ok" or ours == "status hangs":
        return "it is not refused"
    if not re.search(case.expect.get("says", "."), tool.said):
        return "the refusal says '%s'" % tool.said
    return None


def scratch():
    return "/dev/shm" if os.path.isdir("/dev/shm") else None


def print_table(rows):
    if not rows:
        print("no differences")
        return
    head = ("image", "check", "ours", "theirs", "why")
    width = [max(len(r[i]) for r in rows + [head]) for i in range(4)]
    for row in [head] + rows:
        print("  ".join(cell.ljust(width[i]) if i < 4 else cell for i, cell in enumerate(row)))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", nargs="?", default=os.path.join(ROOT, "tests/images"))
    parser.add_argument("--only", action="append", metavar="CHECK", help="just this check")
    parser.add_argument("-v", action="store_true", help="count the checks of each image")
    parser.add_argument("--all", action="store_true",
                        help="pass over no image, whatever AF_ALG says of the kernel's ciphers")
    parser.add_argument("--alone", action="store_true",
                        help="only ours, judged by the sidecars")
    args = parser.parse_args()
    tools = [Tool("ours", os.environ.get("CRYPTVOL") or os.path.join(ROOT, "obj/cryptvol")),
             Tool("theirs", os.environ.get("CRYPTSETUP") or "cryptsetup")]
    tools = tools[:1] if args.alone else tools
    for tool in tools:
        if not shutil.which(tool.program):
            raise SystemExit("there is no %s" % tool.program)
    differences = Differences(os.path.join(args.images, "expected-differences.tsv"))
    names = sorted(n for n in os.listdir(args.images) if n.endswith(".json"))
    table, checks, failed, skipped = [], 0, 0, 0
    for name in names:
        case = Case(os.path.join(args.images, name))
        lack = None if args.all else case.missing()
        if lack:
            print("SKIP %s: %s" % (case.name, lack), flush=True)
            skipped += 1
            continue
        count, rows, bad = judge(case, tools, differences, args.only)
        checks, table, failed = checks + count, table + rows, failed + bool(bad)
        print("FAIL %s: %s" % (case.name, bad) if bad else
              "ok %s%s" % (case.name, " (%d checks)" % count if args.v else ""), flush=True)
    print_table(table)
    print("%d images, %d checks, %d differences, %d images failed, %d skipped" %
          (len(names), checks, len(table), failed, skipped))
    if not names or skipped == len(names):
        return 77
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
