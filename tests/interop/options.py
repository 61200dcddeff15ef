#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Each option with each action: does cryptsetup take it, and do we? Then exit statuses of what depends on more than the arguments.

What may differ is data: expected-differences.tsv, kinds arguments and exit. A difference that is listed and isn't there fails, too.
"""
import collections
import fnmatch
import os
import shutil
import subprocess
import sys
import tempfile

import compare

CRYPTSETUP = os.environ.get("CRYPTSETUP", "cryptsetup")
OURS = os.environ["CRYPTVOL"]
FAST = ["--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"]

ACTIONS = ("luksFormat img", "open img n", "open --test-passphrase img", "refresh n", "close n", "status n", "resize n", "isLuks img",
           "luksUUID img", "luksDump img", "luksAddKey img", "luksChangeKey img", "luksConvertKey img", "luksRemoveKey img",
           "luksKillSlot img 1", "erase img", "config --label x img", "repair img", "luksHeaderBackup --header-backup-file x img",
           "luksHeaderRestore --header-backup-file x img", "benchmark")
OPTIONS = ("--disable-keyring", "--token-only", "--token-id 1", "--token-type x", "--progress-frequency 1", "--progress-json",
           "--debug-json", "--force-password", "--size 100", "--device-size 1M", "--disable-external-tokens", "--disable-locks",
           "--serialize-memory-hard-pbkdf", "-l +2", "-l 2k", "-l 0x2", "-l -2", "--key-slot +1", "--keyfile-offset 1", "--timeout 5",
           "--tries 3", "--verify-passphrase", "--key-file key", "--pbkdf-memory 32", "--pbkdf-parallel 1", "--type luks2", "--debug",
           "--volume-key-file key", "--hash sha256", "--key-size 256", "--shared", "--unbound", "--sector-size 512")

ok = failed = 0


def verdict(name, problem=None):
    global ok, failed
    ok, failed = ok + (not problem), failed + bool(problem)
    print("FAIL %s: %s" % (name, problem) if problem else "ok " + name)


def status(program, argv, stdin=b"", cwd=None):
    return subprocess.run([program] + argv, input=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=cwd, check=False).returncode


def expected(kind, path, both, seen):
    """Is the difference listed?"""
    for pattern, rule in compare.load_rules(kind, "*"):
        if fnmatch.fnmatchcase(path, pattern) and rule == "%d %d" % both:
            seen[pattern] += 1
            return True
    return False


def stale(kind, seen):
    missing = [pattern for pattern, _ in compare.load_rules(kind, "*") if not seen[pattern]]
    verdict("every expected difference of kind %s is there" % kind, "not seen: %s" % missing if missing else None)


def arguments():
    seen = collections.Counter()
    for option in OPTIONS:
        bad = []
        for action in ACTIONS:
            words = action.split()
            path = "%s %s" % (" ".join(w for w in words if w not in ("img", "n", "1")), option)
            argv = ["--test-args"] + words + option.split()
            both = status(CRYPTSETUP, argv), status(OURS, argv)
            if both[0] != both[1] and not expected("arguments", path, both, seen):
                bad.append("%s: %d, ours %d" % (action, *both))
        verdict("%s with %d actions" % (option, len(ACTIONS)), "; ".join(bad))
    stale("arguments", seen)


class Images:
    """Volumes with the passphrase "secret" in keyslot 0, made by cryptsetup; each case gets a copy."""

    def __init__(self, folder):
        self.folder = folder
        for name, text in (("key", b"secret"), ("wrong", b"wrong"), ("volume-key", b"k" * 32), ("other", b"other")):
            with open(os.path.join(folder, name), "wb") as f:
                f.write(text)
        self.make("plain")
        shutil.copy(self.path("plain"), self.path("two"))
        self.need(["-q", "luksAddKey", *FAST, "--key-file", "key", "two", "other"])
        shutil.copy(self.path("plain"), self.path("unbound"))
        self.need(["-q", "luksAddKey", *FAST, "--unbound", "-s", "256", "--volume-key-file", "volume-key", "--key-file", "key", "-S", "5",
                   "unbound", "key"])
        shutil.copy(self.path("plain"), self.path("token"))
        self.need(["token", "add", "--key-description", "cryptvol-no-such-key", "token"])
        self.make("blank", False)

    def path(self, name):
        return os.path.join(self.folder, name)

    def need(self, argv):
        subprocess.run([CRYPTSETUP] + argv, cwd=self.folder, check=True, stdout=subprocess.DEVNULL)

    def make(self, name, formatted=True):
        with open(self.path(name), "wb") as f:
            f.truncate(20 << 20)
        if formatted:
            self.need(["-q", "luksFormat", "--type", "luks2", *FAST, "--key-file", "key", name])

    def status(self, program, image, argv, stdin):
        shutil.copy(self.path(image), self.path("img"))
        return status(program, argv, stdin, self.folder)

    def text(self, program, argv):
        return subprocess.run([program] + argv, cwd=self.folder, check=False, stdout=subprocess.PIPE, text=True).stdout.strip()


# name, image, arguments, standard input
EXITS = (
    ("label of 47 bytes", "blank", ["-q", "luksFormat", *FAST, "--key-file", "key", "--label", "l" * 47, "img"], b""),
    ("label of 48 bytes", "blank", ["-q", "luksFormat", *FAST, "--key-file", "key", "--label", "l" * 48, "img"], b""),
    ("iterations of 0", "blank", ["-q", "luksFormat", "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "0", "--key-file", "key", "img"], b""),
    ("key file size +6", "plain", ["open", "--test-passphrase", "--key-file", "key", "-l", "+6", "img"], b""),
    ("key file size +2", "plain", ["open", "--test-passphrase", "--key-file", "key", "-l", "+2", "img"], b""),
    ("open, wrong passphrase", "plain", ["open", "--test-passphrase", "--key-file", "wrong", "img"], b""),
    ("open, wrong passphrase, an unbound keyslot behind", "unbound", ["open", "--test-passphrase", "--key-file", "wrong", "img"], b""),
    ("open, wrong passphrase for an unbound keyslot", "unbound", ["open", "--test-passphrase", "-S", "5", "--key-file", "wrong", "img"], b""),
    ("luksAddKey, wrong passphrase, an unbound keyslot behind", "unbound", ["-q", "luksAddKey", *FAST, "--key-file", "wrong", "img", "key"], b""),
    ("luksRemoveKey, wrong passphrase, an unbound keyslot behind", "unbound", ["luksRemoveKey", "--key-file", "wrong", "img"], b""),
    ("open, --token-only", "plain", ["open", "--test-passphrase", "--token-only", "img"], b"secret"),
    ("open, --token-only with a key file", "plain", ["open", "--test-passphrase", "--token-only", "--key-file", "key", "img"], b""),
    ("open, --token-id", "plain", ["open", "--test-passphrase", "--token-id", "1", "img"], b"secret"),
    ("open, --token-type", "plain", ["open", "--test-passphrase", "--token-type", "foo", "img"], b"secret"),
    ("open, --token-id, a keyring token whose key isn't there", "token", ["open", "--test-passphrase", "--token-id", "0", "img"], b"secret"),
    ("open, --token-only, a keyring token whose key isn't there", "token", ["open", "--test-passphrase", "--token-only", "img"], b"secret"),
    ("luksDump, --token-only", "token", ["luksDump", "--token-only", "img"], b""),
    ("luksKillSlot, nothing on standard input", "two", ["luksKillSlot", "img", "1"], b""),
    ("luksKillSlot, nothing on standard input, -q", "two", ["-q", "luksKillSlot", "img", "1"], b""),
    ("luksKillSlot, an empty key file", "two", ["luksKillSlot", "--key-file", "/dev/null", "img", "1"], b""),
    ("luksKillSlot, an empty key file, -q", "two", ["-q", "luksKillSlot", "--key-file", "/dev/null", "img", "1"], b""),
    ("luksKillSlot, an empty key file -", "two", ["luksKillSlot", "--key-file", "-", "img", "1"], b""),
    ("luksKillSlot, the last one, nothing on standard input", "plain", ["-q", "luksKillSlot", "img", "0"], b""),
    ("luksRemoveKey, nothing on standard input", "two", ["luksRemoveKey", "img"], b""),
    ("luksAddKey, nothing on standard input", "two", ["luksAddKey", *FAST, "img"], b""),
    ("luksChangeKey, nothing on standard input", "two", ["luksChangeKey", *FAST, "img"], b""),
)


def exits(images):
    seen = collections.Counter()
    for name, image, argv, stdin in EXITS:
        both = images.status(CRYPTSETUP, image, argv, stdin), images.status(OURS, image, argv, stdin)
        same = both[0] == both[1] or expected("exit", name, both, seen)
        verdict("%s: status %d" % (name, both[1]), None if same else "cryptsetup's is %d" % both[0])
    stale("exit", seen)


def uuids(images):
    """In upper case on the command line, in lower case in the header."""
    for n, argv in enumerate((["-q", "luksFormat", *FAST, "--key-file", "key", "--uuid"], ["-q", "luksUUID", "--uuid"])):
        uuid = "ABCDEF01-2345-4678-8ABC-DEF01234567%d" % n
        found = []
        for program in (CRYPTSETUP, OURS):
            images.status(program, "plain", argv + [uuid, "img"], b"")
            found.append(images.text(CRYPTSETUP, ["luksUUID", "img"]))
        verdict("%s in upper case: %s" % (" ".join(argv[-1:]), found[1]), None if found[0] == found[1] else "cryptsetup has %s" % found[0])


def main():
    arguments()
    with tempfile.TemporaryDirectory() as folder:
        images = Images(folder)
        exits(images)
        uuids(images)
    return 1 if failed or not ok else 0


if __name__ == "__main__":
    sys.exit(main())
