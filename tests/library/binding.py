#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""libcryptvol from another language, by its symbols alone: format, dump, keyslots, header backup; cryptsetup is the oracle.

With the argument `kernel`, which needs dm-crypt and root: open, status, resize, close, too.
"""
import ctypes as c
import json
import os
import subprocess
import sys
import tempfile

BUILD = os.environ.get("BUILD", "obj")
CRYPTSETUP = os.environ.get("CRYPTSETUP", "cryptsetup")
lib = c.CDLL(os.path.join(BUILD, "libcryptvol.so"))
ANY, EPERM, EINVAL, EMEDIUMTYPE, ENODEV, EEXIST = -1, 1, 22, 124, 19, 17
for name in "version error uuid label subsystem cipher status_text".split():
    getattr(lib, f"cryptvol_{name}").restype = c.c_char_p
lib.cryptvol_secret_bytes.restype = c.c_void_p
lib.cryptvol_data_offset_bytes.restype = c.c_uint64
for name in "free secret_free options_free volume_free status_free".split():
    getattr(lib, f"cryptvol_{name}").restype = None
fails = 0


def check(name, held, why=""):
    global fails
    fails += not held
    print(f"ok {name}" if held else f"FAIL {name}: {why or 'it does not hold'}", flush=True)


class Handle(c.c_void_p):
    pass


def made(function, *args):
    """The handle that a constructor gives in its last parameter."""
    h = Handle()
    r = function(*args, c.byref(h))
    assert r == 0, f"{function.__name__}: {r} {lib.cryptvol_error(cv)}"
    return h


def secret(text):
    return made(lib.cryptvol_secret_new, cv, c.create_string_buffer(text, len(text)), c.c_size_t(len(text)))


def options(**values):
    o = made(lib.cryptvol_options_new, cv)
    for name, value in values.items():
        r = lib.cryptvol_options_set(o, name.replace("_", "-").encode(), value and value.encode())
        assert r == 0, lib.cryptvol_error(cv)
    return o


def cryptsetup_opens(image, text):
    return subprocess.run([CRYPTSETUP, "open", "--test-passphrase", "-d", "-", image], input=text, capture_output=True,
                          check=False).returncode == 0


def dump(image):
    return json.loads(subprocess.run([CRYPTSETUP, "luksDump", "--dump-json-metadata", image], capture_output=True,
                                     check=True).stdout)


cv = made(lib.cryptvol_new)
ONE, TWO, THREE = b"one", b"two\0with NUL", b"three"
one, two, three = secret(ONE), secret(TWO), secret(THREE)
FAST = {"pbkdf": "pbkdf2", "pbkdf_force_iterations": "1000"}


def format_and_dump(v, image):
    version = c.c_uint()
    check("a blank image is no LUKS", lib.cryptvol_is_luks(cv, image.encode(), c.byref(version)) == -EMEDIUMTYPE)
    o = options(label="bound", key_size="256", sector_size="4096", **FAST)
    check("format", lib.cryptvol_format(v, one, o) == 0, lib.cryptvol_error(cv))
    check("it is LUKS2", lib.cryptvol_is_luks(cv, image.encode(), c.byref(version)) == 0 and version.value == 2)
    check("cryptsetup opens it", cryptsetup_opens(image, ONE) and not cryptsetup_opens(image, TWO))
    check("load", lib.cryptvol_load(v) == 0)
    text = c.c_char_p()
    check("metadata as JSON", lib.cryptvol_metadata_json(v, c.byref(text)) == 0)
    check("cryptsetup's dump is the same", json.loads(text.value) == dump(image))
    found = (lib.cryptvol_label(v), lib.cryptvol_cipher(v), lib.cryptvol_key_bytes(v), lib.cryptvol_sector_bytes(v),
             lib.cryptvol_data_offset_bytes(v), lib.cryptvol_keyslots(v), lib.cryptvol_luks_version(v))
    check("label, cipher, sizes, keyslots", found == (b"bound", b"aes-xts-plain64", 32, 4096, 16 << 20, 1, 2), found)


def keyslots(v, image):
    slot, o = c.c_int(), options(key_slot="5", **FAST)
    check("add a passphrase in keyslot 5", lib.cryptvol_add_passphrase(v, one, two, o, c.byref(slot)) == 0 and slot.value == 5)
    check("cryptsetup opens it with that", cryptsetup_opens(image, TWO))
    key, size = made(lib.cryptvol_unlock, v, one, ANY), c.c_size_t()
    lib.cryptvol_secret_bytes(key, c.byref(size))
    check("the volume key has its length", size.value == 32)
    check("add a passphrase by the volume key", lib.cryptvol_add_passphrase_by_key(v, key, three, options(**FAST), c.byref(slot)) == 0)
    check("a wrong volume key adds nothing", lib.cryptvol_add_passphrase_by_key(
        v, made(lib.cryptvol_secret_random, cv, c.c_size_t(32)), three, options(**FAST), c.byref(slot)) == -EPERM)
    check("kill keyslot 5", lib.cryptvol_kill_keyslot(v, 5, one, False) == 0 and not cryptsetup_opens(image, TWO))
    check("change a passphrase", lib.cryptvol_change_passphrase(v, one, ANY, two, options(**FAST), c.byref(slot)) == 0)
    check("the old one opens nothing, the new one does", cryptsetup_opens(image, TWO) and not cryptsetup_opens(image, ONE))
    check("remove a passphrase", lib.cryptvol_remove_passphrase(v, three, False) == 0 and not cryptsetup_opens(image, THREE))
    check("the last one stays", lib.cryptvol_remove_passphrase(v, two, False) < 0 and cryptsetup_opens(image, TWO))
    check("a wrong passphrase: -EPERM and a sentence", lib.cryptvol_test_passphrase(v, one, ANY, c.byref(slot)) == -EPERM
          and lib.cryptvol_error(cv) != b"")


def headers(v, image, folder):
    backup = os.path.join(folder, "header").encode()
    check("set labels", lib.cryptvol_set_label(v, b"other", None) == 0)
    check("set a keyslot's priority", lib.cryptvol_set_priority(v, 0, 2) == 0)
    check("cryptsetup sees it", dump(image)["keyslots"]["0"].get("priority") == 2, dump(image)["keyslots"])
    check("back the header up", lib.cryptvol_backup_header(v, backup) == 0)
    check("never over a file", lib.cryptvol_backup_header(v, backup) == -EEXIST)
    check("erase", lib.cryptvol_erase(v) == 0 and not cryptsetup_opens(image, TWO))
    check("restore", lib.cryptvol_restore_header(v, backup) == 0 and cryptsetup_opens(image, TWO))


def refused(v):
    o = made(lib.cryptvol_options_new, cv)
    for name, value in (("no-such", "1"), ("key-size", "many"), ("readonly", "perhaps"), ("label", None), ("key-slot", "32")):
        r = lib.cryptvol_options_set(o, name.encode(), value and value.encode())
        check(f"option {name} as {value} is refused by its name", r == -EINVAL and name.encode() in lib.cryptvol_error(cv))
    slot = c.c_int()
    check("an option that a call has no use for is refused",
          lib.cryptvol_add_passphrase(v, two, one, options(cipher="aes-xts-plain64"), c.byref(slot)) == -EINVAL)
    check("a device that is not there", lib.cryptvol_load(made(lib.cryptvol_volume_new, cv, b"/nonexistent", None)) < 0)


def mapping(v, image):
    slot, n, name = c.c_int(), c.c_uint64(), b"cryptvol-binding"
    check("open", lib.cryptvol_open(v, name, two, ANY, options(allow_discards=None), c.byref(slot)) == 0, lib.cryptvol_error(cv))
    s = made(lib.cryptvol_status_new, cv, name)
    check("status: the cipher", lib.cryptvol_status_text(s, b"cipher") == b"aes-xts-plain64")
    check("status: the size", lib.cryptvol_status_number(s, b"size-bytes", c.byref(n)) == 0
          and n.value == os.path.getsize(image) - (16 << 20), n.value)
    table = subprocess.run(["dmsetup", "table", name.decode()], capture_output=True, text=True, check=True).stdout
    check("the kernel has the flag", "allow_discards" in table, table)
    os.truncate(image, os.path.getsize(image) + (1 << 20))
    check("resize", lib.cryptvol_resize(cv, name, c.c_uint64(0), two, None) == 0, lib.cryptvol_error(cv))
    size = subprocess.run(["blockdev", "--getsize64", f"/dev/mapper/{name.decode()}"], capture_output=True, check=True).stdout
    check("it has grown", int(size) == os.path.getsize(image) - (16 << 20), size)
    check("close", lib.cryptvol_close(cv, name, False) == 0)
    check("it is gone", lib.cryptvol_status_new(cv, name, c.byref(Handle())) == -ENODEV)


def main():
    with tempfile.TemporaryDirectory(prefix="cryptvol-test.") as folder:
        image = os.path.join(folder, "image")
        with open(image, "wb") as f:
            f.truncate(24 << 20)
        v = made(lib.cryptvol_volume_new, cv, image.encode(), None)
        check("nothing is known before a load", lib.cryptvol_uuid(v) is None and lib.cryptvol_keyslots(v) == 0)
        format_and_dump(v, image)
        keyslots(v, image)
        headers(v, image, folder)
        refused(v)
        if sys.argv[1:] == ["kernel"]:
            mapping(v, image)
        lib.cryptvol_volume_free(v)
    sys.exit(1 if fails else 0)


if __name__ == "__main__":
    main()
