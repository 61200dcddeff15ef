#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Make the images of this folder again with the cryptsetup that is installed.

It needs a kernel with dm-crypt:  tests/lab/kernel-run -t 300 -w DIR -- tests/images/make-images.py [KIND...]
and leaves them in DIR/out/images. It binds a file over /dev/urandom: a guest is the place for it.
Random bytes come from a fixed stream (bound over /dev/urandom in the guest), so that the same
cryptsetup makes the same images; volume keys and passphrases are public test values.
"""

import hashlib
import json
import lzma
import os
import subprocess
import sys

CS = os.environ.get("CRYPTSETUP", "/usr/sbin/cryptsetup")
FAST = "--pbkdf pbkdf2 --pbkdf-force-iterations 1000"
ARGON = "--pbkdf %s --pbkdf-force-iterations %d --pbkdf-memory %d --pbkdf-parallel %d"
CBC128 = "-c aes-cbc-essiv:sha256 -s 128"
DATA_BYTES = 1 << 20
UUID = "c0ffee00-0000-4000-8000-%012d"
TEXT = {"text": "correct horse battery staple"}
WRONG = {"text": "correct horse battery stapler"}
BINARY = b"junk\0\n..first\nsecond\0third\xff\xfe\n\n\0tail\r\n and what is not read"

# name, metadata size, keyslot areas' size, luksFormat's options, what it shows
PLAIN = [
    ("aes-xts-512-argon2id", "16k", 256000, "-s 512 " + ARGON % ("argon2id", 4, 32, 1),
     "the default cipher and key size, argon2id at its least cost"),
    ("aes-xts-256-sha512-sector-4096", "32k", 128000,
     "-s 256 --hash sha512 --sector-size 4096 " + FAST, "4096-byte sectors, IV in 512-byte units"),
    ("aes-cbc-essiv-argon2i", "64k", 64000, CBC128 + " " + ARGON % ("argon2i", 5, 1024, 4),
     "argon2i with four lanes"),
    ("adiantum12-sector-4096", "128k", 128000,
     "-c xchacha12,aes-adiantum-plain64 -s 256 --sector-size 4096 " + FAST,
     "adiantum in segment and keyslot area, 12 rounds"),
    ("adiantum20", "16k", 128000, "-c xchacha20,aes-adiantum-plain64 -s 256 " + FAST,
     "adiantum in segment and keyslot area, 20 rounds"),
    ("serpent-xts", "256k", 128000, "-c serpent-xts-plain64 -s 256 " + FAST,
     "a cipher that is not AES"),
    ("twofish-cbc", "16k", 64000, "-c twofish-cbc-essiv:sha256 -s 128 " + FAST,
     "a cipher that is not AES, in CBC"),
    ("hash-sha1", "512k", 64000, CBC128 + " --hash sha1 " + FAST, "sha1 in KDF, AF and digest"),
    ("hash-sha3-256-sector-2048", "1m", 64000,
     CBC128 + " --hash sha3-256 --sector-size 2048 " + ARGON % ("argon2id", 7, 64, 2),
     "sha3-256 in AF and digest, 2048-byte sectors"),
    ("hash-blake2b-512-sector-1024", "2m", 64000,
     CBC128 + " --hash blake2b-512 --sector-size 1024 " + FAST,
     "blake2b-512 everywhere, 1024-byte sectors"),
    ("hash-ripemd160", "4m", 64000, CBC128 + " --hash ripemd160 " + FAST, "ripemd160 everywhere"),
    ("hash-whirlpool", "16k", 64000, CBC128 + " --hash whirlpool " + FAST,
     "whirlpool everywhere"),
]

# Ciphers that a kernel may lack, by its own names for them.
KERNEL_CIPHERS = [("xchacha12", "adiantum(xchacha12,aes)"), ("xchacha20", "adiantum(xchacha20,aes)"),
                  ("serpent-xts", "xts(serpent)"), ("twofish-cbc", "cbc(twofish)")]


def run(*argv, **more):
    """Run cryptsetup; returns the command line as a reader would type it."""
    argv = [a for part in argv for a in (part.split() if isinstance(part, str) else part)]
    subprocess.run([CS] + argv, check=True, stdout=subprocess.DEVNULL, **more)
    return "cryptsetup " + " ".join(argv)


def put(path, data):
    with open(path, "wb") as f:
        f.write(data)
    return path


def key_bytes(key):
    return bytes.fromhex(key["hex"]) if "hex" in key else key["text"].encode()


def volume_key(n_bytes, name):
    return hashlib.shake_128(b"volume key of " + name.encode()).digest(n_bytes)


def round_up(n, to):
    return -(-n // to) * to


def size_bytes(text):
    return int(text[:-1]) * {"k": 1 << 10, "m": 1 << 20}[text[-1]]


class Image:
    """One image under way: its file, key files, sidecar."""

    def __init__(self, name, about, out):
        self.name, self.out = name, out
        self.file = name + ".img"
        self.number = int(hashlib.sha256(name.encode()).hexdigest()[:9], 16)
        self.side = {"about": about, "made_by": version(), "made": [], "keys": [], "wrong": WRONG,
                     "uuid": UUID % self.number,
                     "expect": {"is_luks": True, "dump": True, "open": True}}

    def step(self, *argv, **more):
        self.side["made"].append(run(*argv, **more))

    def key(self, key, name="key", **more):
        self.side["keys"].append(dict(key, **more))
        return put(name, key_bytes(key))

    def format(self, metadata, area_bytes, options, key=None, slots=1, detached=False, **more):
        """luksFormat with a volume key of ours, headers as small as can be."""
        bits = int(options.split("-s ")[1].split()[0])
        vk = volume_key(bits // 8, self.name)
        put("vk", vk)
        self.side["volume_key_hex"] = vk.hex()
        keyslots = slots * round_up(area_bytes, 4096)
        offset = 2 * size_bytes(metadata) + keyslots
        file = self.key(key or TEXT, **more)
        where = ["--offset", str(offset // 512)]
        data = self.file
        if detached:
            data, where = self.name + ".data", ["--offset", "0", "--header", self.file]
            truncate(self.file, offset)
            truncate(data, DATA_BYTES)
            self.side["data"] = data + ".xz"
        else:
            truncate(self.file, offset + DATA_BYTES)
        self.step("-q luksFormat --type luks2", options, ["--uuid", UUID % self.number],
                  "--luks2-metadata-size", metadata, "--luks2-keyslots-size", "%dk" % (keyslots >> 10),
                  where, "--volume-key-file vk --key-file", file, data)
        return keyslots

    def fill(self, key_args="--key-file key"):
        """Write known text through the mapped device; record what the whole of it reads as."""
        data = self.name + ".data" if "data" in self.side else self.file
        header = ["--header", self.file] if "data" in self.side else []
        self.step("open", key_args, header, data, "filled")
        with open("/dev/mapper/filled", "r+b", buffering=0) as f:
            for at in (0, DATA_BYTES - 4096):
                f.seek(at)
                f.write(b"".join(b"%-15s block %08d\n" % (self.name.encode()[:15], at // 32 + i)
                                 for i in range(128))[:4096])
            os.fsync(f.fileno())
            f.seek(0)
            plain = f.read()
        if len(plain) != DATA_BYTES:
            raise SystemExit("%s: the mapped device has %d bytes" % (self.name, len(plain)))
        self.side["plaintext_sha256"] = hashlib.sha256(plain).hexdigest()
        run("close filled")

    def refused(self, says):
        self.side["expect"]["open"] = False
        self.side["expect"]["says"] = says

    def blank(self, start, end):
        """Zeros over bytes that this image is not about."""
        with open(self.file, "r+b") as f:
            f.seek(start)
            f.write(bytes(end - start))
        self.side["made"].append("bytes %d to %d set to zero" % (start, end))

    def finish(self):
        for name in (self.file, self.side.get("data", "")[:-3]):
            if name:
                put(os.path.join(self.out, name + ".xz"), compress(open(name, "rb").read()))
                os.unlink(name)
        with open(os.path.join(self.out, self.name + ".json"), "w", encoding="utf-8") as f:
            json.dump(self.side, f, indent=1)
            f.write("\n")
        print("made", self.name, flush=True)


def compress(data):
    return lzma.compress(data, format=lzma.FORMAT_XZ, check=lzma.CHECK_CRC32, preset=6)


def truncate(path, size, mode="wb"):
    with open(path, mode) as f:
        f.truncate(size)


def version():
    text = subprocess.run([CS, "--version"], check=True, stdout=subprocess.PIPE, text=True).stdout
    return " ".join(text.split()[:2])


def plain(out):
    for name, metadata, area, options, about in PLAIN:
        image = Image(name, about, out)
        image.side.update({"needs_ciphers": [c] for n, c in KERNEL_CIPHERS if n in options})
        image.format(metadata, area, options)
        image.fill()
        image.finish()


def detached(out):
    image = Image("detached-header", "the header is a file of its own, data at offset 0", out)
    image.format("16k", 64000, CBC128 + " " + FAST, detached=True)
    image.fill()
    image.finish()


def keyfile(out):
    image = Image("keyfile-binary", "key file with NULs and newlines, read at an offset, so many "
                  "bytes; label, subsystem, persistent flags, two tokens", out)
    put("key", BINARY)
    part = "--keyfile-offset 8 --keyfile-size 31"
    image.format("16k", 64000, CBC128 + " " + FAST + " --label a.label --subsystem a.subsystem " + part,
                 key={"hex": BINARY.hex()}, offset=8, size=31, keyslot=0)
    put("token.json", b'{"type":"example.org-note","keyslots":["0"],"note":{"deep":[1,"two",null]}}')
    image.step("token import --json-file token.json --token-id 3", image.file)
    image.step("token add --key-description a.description --token-id 0", image.file)
    image.step("open --persistent --allow-discards --perf-no_read_workqueue",
               part, "--key-file key", image.file, "flagged")
    run("close flagged")
    image.fill("--disable-external-tokens --key-file key " + part)
    image.finish()


def keyslots(out):
    image = Image("keyslots-priorities", "keyslot 1 preferred, 5 ignored but when named, 31 unbound", out)
    image.format("16k", 64000, CBC128 + " " + FAST + " -S 1", slots=3, keyslot=1)
    image.key({"text": "the ignored one"}, "new", keyslot=5, only_by_number=True)
    image.step("-q luksAddKey -S 5", FAST, "--key-file key", image.file, "new")
    image.key({"text": "the unbound one"}, "new", keyslot=31, unbound=True)
    image.step("-q luksAddKey -S 31 --unbound -s 128", FAST, image.file, "new")
    image.step("config -S 1 --priority prefer", image.file)
    image.step("config -S 5 --priority ignore", image.file)
    image.fill()
    image.finish()


def luks1(out):
    image = Image("luks1", "LUKS1: recognised, dumped, refused by name", out)
    put("vk", volume_key(16, image.name))
    image.side["volume_key_hex"] = volume_key(16, image.name).hex()
    truncate(image.file, (2048 << 9) + DATA_BYTES)
    image.step("-q luksFormat --type luks1 -c aes-cbc-essiv:sha256 -s 128 --hash sha256 "
               "--pbkdf-force-iterations 1000 --offset 2048", ["--uuid", UUID % image.number],
               "--volume-key-file vk --key-file", image.key(TEXT), image.file)
    image.blank(4096 + 64000, 2048 << 9)  # the seven keyslots that are not used
    image.fill()
    image.refused("LUKS1")
    image.finish()


def in_flight(out):
    image = Image("reencryption", "re-encryption under way", out)
    end = 32768 + image.format("16k", 64000, CBC128 + " " + FAST, slots=3)
    image.step("-q reencrypt --init-only --resilience checksum", CBC128, FAST,
               "--key-file", "key", image.file)
    image.blank(32768, end)
    header_only(image, "[Rr]e-?encrypt")

    image = Image("encryption", "encryption in place under way: a crypt and a linear segment", out)
    truncate(image.file, 4 << 20)
    image.step("-q reencrypt --encrypt --init-only --type luks2 --reduce-device-size 1m "
               "--luks2-metadata-size 16k --luks2-keyslots-size 128k", CBC128, FAST,
               ["--uuid", UUID % image.number], "--key-file", image.key(TEXT), image.file)
    image.blank(32768, 32768 + (128 << 10))
    header_only(image, "[Rr]e-?encrypt")


def header_only(image, says):
    """Keyslot areas are gone: no passphrase opens it any more, by anybody."""
    image.side["keys"] = []
    image.side.pop("volume_key_hex", None)
    image.refused(says)
    image.finish()


def integrity(out):
    image = Image("integrity", "authenticated encryption by dm-integrity", out)
    truncate(image.file, 8 << 20)
    image.step("-q luksFormat --type luks2 -c aes-xts-plain64 -s 256 --integrity hmac-sha256 "
               "--integrity-no-wipe", FAST, ["--uuid", UUID % image.number],
               "--luks2-metadata-size 16k --luks2-keyslots-size 512k --offset 2048",
               "--key-file", image.key(TEXT), image.file)
    truncate(image.file, 2 << 20, "r+b")
    image.blank(32768, 32768 + (512 << 10))
    header_only(image, "[Ii]ntegrity")


def null_cipher(out):
    image = Image("null-cipher", "a null cipher is no encryption", out)
    truncate(image.file, 1 << 20)
    image.step("-q luksFormat --type luks2 -c cipher_null-ecb -s 256", FAST,
               ["--uuid", UUID % image.number],
               "--luks2-metadata-size 16k --luks2-keyslots-size 128k --offset 512",
               "--key-file", image.key(TEXT), image.file)
    image.blank(32768, 32768 + (128 << 10))
    header_only(image, "null")


def edited(out):
    """What no cryptsetup of today writes: a requirement from the future, a copy that is missing."""
    image = Image("requirement", "a mandatory requirement that nobody knows", out)
    end = 32768 + image.format("16k", 64000, CBC128 + " " + FAST)
    edit_json(image.file, lambda o: o["config"].update(requirements={"mandatory": ["example-v9"]}))
    image.side["made"].append("config.requirements.mandatory set to [\"example-v9\"] in both copies")
    image.blank(32768, end)
    header_only(image, "example-v9|requirement")

    for name, about, start, stop in (
            ("primary-lost", "the primary copy is gone, the secondary one is good", 0, 16384),
            ("secondary-lost", "the secondary copy is gone, the primary one is good", 16384, 32768)):
        image = Image(name, about, out)
        end = 32768 + image.format("16k", 64000, CBC128 + " " + FAST)
        image.blank(start, stop)
        image.blank(32768, end)
        header_only(image, "passphrase|key")


def edit_json(path, change):
    """Change the metadata of both copies (16 KiB each) and put the checksums right."""
    with open(path, "r+b") as f:
        for at in (0, 16384):
            f.seek(at)
            copy = bytearray(f.read(16384))
            root = json.loads(bytes(copy[4096:]).rstrip(b"\0"))
            change(root)
            copy[4096:] = json.dumps(root, separators=(",", ":")).encode().ljust(12288, b"\0")
            copy[448:512] = bytes(64)
            copy[448:480] = hashlib.sha256(copy).digest()
            f.seek(at)
            f.write(copy)


def not_luks(out):
    image = Image("not-luks", "text that is no LUKS device", out)
    put(image.file, b"no header here\n" * 4096)
    del image.side["uuid"]
    image.side["expect"] = {"is_luks": False, "dump": False, "open": False, "says": "LUKS"}
    image.side["made"] = ["text, 15 bytes 4096 times"]
    image.side["made_by"] = "make-images.py"
    image.finish()


def main():
    out = os.path.join(os.environ["LAB_OUT"], "images")
    only = sys.argv[1:]
    os.makedirs(out, exist_ok=True)
    os.makedirs("/dev/shm/images", exist_ok=True)
    os.chdir("/dev/shm/images")
    put("stream", hashlib.shake_128(b"not random at all").digest(64 << 20))
    subprocess.run(["mount", "--bind", "stream", "/dev/urandom"], check=True)
    makers = [plain, detached, keyfile, keyslots, luks1, in_flight, integrity, null_cipher, edited, not_luks]
    for maker in makers:
        if not only or maker.__name__ in only:
            maker(out)


if __name__ == "__main__":
    main()
