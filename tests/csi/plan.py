# SPDX-License-Identifier: Apache-2.0
"""The enhancement document's test plan, row by row, through the driver's socket, in the order of kubelet and the
sidecars. Every row's name is the plan's."""
import errno
import os
import re
import sys

from lab import (CRYPTSETUP, HEADER, MIB, SCRATCH, Driver, block_cap, case, device_bytes, drop_caches, expect, find_bytes, fingerprint, kept_keys,
                 loop_of, make_store, mappings, mount_cap, mounted, pb, read_at, run, run_on, secret, source_snapshot, write_at)

MARKER = b"marker-of-the-plan-0123456789abcdef-"
MAGIC = b"LUKS\xba\xbe"
SECOND_MAGIC = b"SKUL\xba\xbe"


def write_marker(path, times=2000):
    with open(path, "wb") as f:
        f.write(MARKER * times)
        f.flush()
        os.fsync(f.fileno())


def is_luks(image):
    return read_at(image, 6) == MAGIC


def open_by_cryptsetup(lab, volume, passphrase, use):
    """Stock cryptsetup opens the image of a volume that is not staged; use(path of the mapping)."""
    name = "stock-" + volume.name
    run(CRYPTSETUP, "open", "--type", "luks2", "--key-file", "-", volume.image, name, stdin=passphrase.encode())
    try:
        use(f"/dev/mapper/{name}")
    finally:
        run(CRYPTSETUP, "close", name)


def read_by_cryptsetup(lab, volume, passphrase, file, wanted):
    def look(device):
        folder = f"{lab.kubelet}/stock"
        os.makedirs(folder, exist_ok=True)
        run("mount", "-o", "ro", device, folder)
        try:
            expect("the file that stock cryptsetup and mount show", wanted, open(f"{folder}/{file}", "rb").read())
        finally:
            run("umount", folder)
    open_by_cryptsetup(lab, volume, passphrase, look)


def first_data(path):
    """Where a file's first data lies; None where it is all holes and blocks that are allocated and weren't written."""
    with open(path, "rb") as f:
        try:
            return os.lseek(f.fileno(), 0, os.SEEK_DATA)
        except OSError as e:
            assert e.errno == errno.ENXIO, e
            return None


def life_of_a_volume(lab, fs, secrets):
    v = lab.create(cap=mount_cap(fs), size=(320 if fs == "xfs" else 128 if fs == "btrfs" else 64) * MIB, secrets=secrets)
    assert v.message.capacity_bytes >= 64 * MIB
    expect("volume_context.encrypted", "true", v.context["encrypted"])
    expect("the image holds no data before the first stage", None, first_data(v.image))
    v.attach()
    v.stage()
    expect("LUKS2 magic of the first header", MAGIC, read_at(v.image, 6))
    expect("LUKS2 magic of the second header", SECOND_MAGIC, read_at(v.image, 6, 0x4000))
    assert os.path.exists(v.mapper)
    expect("file system at the staging path", (fs, v.mapper),
           (mounted(v.staging)["type"], os.path.realpath(mounted(v.staging)["source"]) and mounted(v.staging)["source"]))
    target = v.publish()
    write_marker(f"{target}/data")
    uuid = v.dump_uuid = run(CRYPTSETUP, "luksUUID", v.image).stdout
    v.attach()
    v.stage()
    v.publish()
    again = lab.c.CreateVolume(name=v.name, capacity_range=pb.CapacityRange(required_bytes=v.message.capacity_bytes),
                               volume_capabilities=[v.cap], parameters={"encrypted": "true"}, secrets=v.secrets).volume
    expect("the same CreateVolume again", v.message, again)
    expect("LUKS UUID after every call was repeated", uuid, run(CRYPTSETUP, "luksUUID", v.image).stdout)
    expect("the file", MARKER * 2000, open(f"{target}/data", "rb").read())
    v.down()
    v.up()
    expect("the file after a re-attach", MARKER * 2000, open(f"{target}/data", "rb").read())
    v.down()
    passphrase = secrets["CRYPTO_KEY_VALUE"] if secrets else v.secrets["CRYPTO_KEY_VALUE"]
    read_by_cryptsetup(lab, v, passphrase, "data", MARKER * 2000)


@case("T1 successful creation, global secret; stock cryptsetup opens the volume")
def t1(lab):
    life_of_a_volume(lab, "ext4", secret("global passphrase, with a newline at its end\n"))


@case("T1 successful creation, xfs")
def t1_xfs(lab):
    life_of_a_volume(lab, "xfs", secret("global passphrase"))


@case("T1 successful creation, btrfs")
def t1_btrfs(lab):
    life_of_a_volume(lab, "btrfs", secret("global passphrase"))


@case("T1b per-volume secrets: volume keys differ, neither opens with the other's passphrase")
def t1b(lab):
    a, b = lab.create(), lab.create()
    a.up()
    b.up()
    table = {v: run("dmsetup", "table", "--showkeys", v.id).stdout.split()[4] for v in (a, b)}
    assert table[a] != table[b]
    a.down()
    b.down()
    keys = {}
    for v, other in ((a, b), (b, a)):
        v.stage_fails("UNAUTHENTICATED", other.secrets)
        run(CRYPTSETUP, "luksDump", "--dump-volume-key", "--batch-mode", "--volume-key-file", f"{lab.kubelet}/vk", "--key-file",
            "-", v.image, stdin=v.secrets["CRYPTO_KEY_VALUE"].encode())
        keys[v] = read_at(f"{lab.kubelet}/vk", 64)
        os.unlink(f"{lab.kubelet}/vk")
    assert keys[a] != keys[b], "one volume key for two volumes"


CIPHERS = [
    ("aes-xts-plain64", 256, "sha512", {"CRYPTO_PBKDF": "pbkdf2", "CRYPTO_PBKDF_FORCE_ITERATIONS": "2000"}),
    ("aes-cbc-essiv:sha256", 256, "sha256", {"CRYPTO_PBKDF": "argon2i", "CRYPTO_PBKDF_MEMORY": "1024",
                                             "CRYPTO_PBKDF_FORCE_ITERATIONS": "4"}),
    ("aes-xts-plain64", 512, "sha256", {"CRYPTO_PBKDF": "argon2id", "CRYPTO_PBKDF_MEMORY": "2048",
                                        "CRYPTO_PBKDF_FORCE_ITERATIONS": "5"}),
]


@case("T1c customised cipher, key size, hash and PBKDF, as luksDump and dmsetup show them")
def t1c(lab):
    for cipher, bits, digest, pbkdf in CIPHERS:
        v = lab.create(secrets={"CRYPTO_KEY_VALUE": "x", "CRYPTO_KEY_PROVIDER": "secret", "CRYPTO_KEY_CIPHER": cipher,
                                "CRYPTO_KEY_SIZE": str(bits), "CRYPTO_KEY_HASH": digest, **pbkdf})
        v.up()
        meta = v.dump()
        slot = meta["keyslots"]["0"]
        expect("cipher", cipher, meta["segments"]["0"]["encryption"])
        expect("key size", bits // 8, slot["key_size"])
        expect("hash of the anti-forensic splitter", digest, slot["af"]["hash"])
        expect("PBKDF", pbkdf["CRYPTO_PBKDF"], slot["kdf"]["type"])
        if slot["kdf"]["type"] == "pbkdf2":
            expect("hash of the PBKDF", digest, slot["kdf"]["hash"])
            expect("iterations", int(pbkdf["CRYPTO_PBKDF_FORCE_ITERATIONS"]), slot["kdf"]["iterations"])
        else:
            expect("memory", int(pbkdf["CRYPTO_PBKDF_MEMORY"]), slot["kdf"]["memory"])
            expect("iterations", int(pbkdf["CRYPTO_PBKDF_FORCE_ITERATIONS"]), slot["kdf"]["time"])
        table = run("dmsetup", "table", v.id).stdout.decode()
        assert f" crypt {cipher} :{bits // 8}:logon:" in table, table
        v.down()
        open_by_cryptsetup(lab, v, "x", lambda device: expect("size", 64 * MIB, device_bytes(device)))


@case("T1c defaults are at least as strong as cryptsetup's: AES-256-XTS, argon2id")
def t1c_defaults(lab):
    v = lab.create(secrets={"CRYPTO_KEY_VALUE": "x"})
    v.up()
    meta = v.dump()
    expect("cipher", "aes-xts-plain64", meta["segments"]["0"]["encryption"])
    expect("key size", 64, meta["keyslots"]["0"]["key_size"])
    expect("PBKDF", "argon2id", meta["keyslots"]["0"]["kdf"]["type"])
    expect("iterations", 4, meta["keyslots"]["0"]["kdf"]["time"])
    expect("memory: what any node's container has, not half of this machine's", 65536, meta["keyslots"]["0"]["kdf"]["memory"])


@case("T2 missing secret: INVALID_ARGUMENT at stage, the device untouched")
def t2(lab):
    v = lab.create(secrets={})
    v.attach()
    for bad, named in (({}, "CRYPTO_KEY_VALUE"), ({"CRYPTO_KEY_VALUE": ""}, "CRYPTO_KEY_VALUE"),
                       ({"CRYPTO_KEY_VALUE": "x", "CRYPTO_KEY_PROVIDER": "vault"}, "CRYPTO_KEY_PROVIDER"),
                       ({"CRYPTO_KEY_VALUE": "x", "CRYPTO_KEY_CIPHER": "rot13"}, "CRYPTO_KEY_CIPHER"),
                       ({"CRYPTO_KEY_VALUE": "x", "CRYPTO_KEY_SIZE": "many"}, "CRYPTO_KEY_SIZE"),
                       ({"CRYPTO_KEY_VALUE": "x", "CRYPTO_PBKDF": "rot13"}, "CRYPTO_PBKDF")):
        message = v.stage_fails("INVALID_ARGUMENT", bad)
        assert named in message, message
        assert "rot13" not in message and "vault" not in message, message
        expect("the image holds no data", None, first_data(v.image))
        assert v.id not in mappings() and not mounted(v.staging) and not loop_of(v.image)


@case("T2b secret created later")
def t2b(lab):
    v = lab.create(secrets={})
    v.attach()
    v.stage_fails("INVALID_ARGUMENT", {})
    v.secrets = secret("created later")
    v.stage()
    write_marker(f"{v.publish()}/data")
    assert is_luks(v.image)


@case("T3 verify encryption: the marker is in the mapping and nowhere in the image; stock cryptsetup opens it")
def t3(lab):
    v = lab.create()
    write_marker(f"{v.up()}/data")
    drop_caches()
    found = find_bytes(v.mapper, MARKER)
    assert found >= 1900, f"positive control: the marker is {found} times in the mapping"
    expect("the marker in the image", 0, find_bytes(v.image, MARKER))
    expect("the marker on the loop device", 0, find_bytes(loop_of(v.image), MARKER))
    plain = lab.create(encrypted=False)
    write_marker(f"{plain.up()}/data")
    drop_caches()
    assert find_bytes(plain.image, MARKER) >= 1900, "the same scan finds it in a plain volume's image"
    v.down()
    read_by_cryptsetup(lab, v, v.secrets["CRYPTO_KEY_VALUE"], "data", MARKER * 2000)


@case("T4 wrong key: UNAUTHENTICATED, nothing mapped or mounted, the header byte-identical; the right key afterwards")
def t4(lab):
    v = lab.create()
    write_marker(f"{v.up()}/data")
    v.down()
    before = v.header()
    v.attach()
    message = v.stage_fails("UNAUTHENTICATED", secret("another passphrase"))
    assert "another passphrase" not in message
    assert v.id not in mappings() and not mounted(v.staging) and not loop_of(v.image)
    assert before == v.header(), "the header changed"
    v.stage()
    expect("the file", MARKER * 2000, open(f"{v.publish()}/data", "rb").read())
    assert before == v.header(), "the header changed by opening it"


@case("T4b wrong key while the volume is open on this node: refused all the same")
def t4b(lab):
    v = lab.create()
    target = v.up()
    write_marker(f"{target}/data")
    before = v.header()
    v.stage_fails("UNAUTHENTICATED", secret("another passphrase"))
    v.stage_fails("INVALID_ARGUMENT", {})
    assert before == v.header()
    expect("the file", MARKER * 2000, open(f"{target}/data", "rb").read())
    assert v.id in mappings() and mounted(v.staging)
    # open, but not recorded as staged: unmounted behind our back
    v.unpublish()
    run("umount", v.staging)
    v.stage_fails("UNAUTHENTICATED", secret("another passphrase"))
    assert not mounted(v.staging)
    v.stage()
    assert mounted(v.staging)


@case("T5 existing data under an encrypted class: refused, byte-identical")
def t5(lab):
    def ext4(image):
        run("mkfs.ext4", "-q", "-F", image)

    def xfs(image):
        run("mkfs.xfs", "-q", "-f", image)

    def partitions(image):
        entry = bytes([0x80, 0, 2, 0, 0x83, 0, 2, 1]) + (2048).to_bytes(4, "little") + (16384).to_bytes(4, "little")
        write_at(image, entry + bytes(48) + b"\x55\xaa", 446)
    for make, what, size in ((ext4, "ext4", 32), (xfs, "xfs", 320), (partitions, "dos", 32)):
        v = lab.create(size=size * MIB)
        make(v.image)
        before = fingerprint(v.image)
        v.attach()
        message = v.stage_fails("FAILED_PRECONDITION")
        assert re.search(what, message), message
        expect("the image", before, fingerprint(v.image))
        assert v.id not in mappings() and not mounted(v.staging)
        # a static volume over a copy of it: the same
        copy = f"{SCRATCH}/existing.img"
        run("cp", "--sparse=always", v.image, copy)
        loop = run("losetup", "-f", "--show", copy).stdout.decode().strip()
        try:
            lab.c.fails("FAILED_PRECONDITION", "NodeStageVolume", volume_id="static-volume", staging_target_path=v.staging,
                        volume_capability=mount_cap(), secrets=v.secrets,
                        volume_context={"encrypted": "true", "device": loop})
            expect("the copy", before, fingerprint(copy))
        finally:
            run("losetup", "-d", loop)
            os.unlink(copy)


@case("T6 unstage: mapping, key, loop device and mount are gone; again is fine")
def t6(lab):
    keys = kept_keys()
    v = lab.create()
    v.up()
    expect("keys that anybody may list while it is staged", keys, kept_keys())
    v.unpublish()
    v.unstage()
    assert v.id not in mappings() and not mounted(v.staging) and not loop_of(v.image)
    expect("keys", keys, kept_keys())
    assert not os.path.exists(v.target())
    v.unstage()
    v.unpublish()
    v.detach()
    v.detach()


@case("T7 backup and restore: the old passphrase opens it, another doesn't, the backup holds no plaintext")
def t7(lab):
    folder = make_store(f"{lab.driver.folder}/backups")
    v = lab.create()
    write_marker(f"{v.up()}/data")
    kind = {"type": "bak", "backupDir": folder}
    first = lab.snapshot(v, parameters=kind)
    stored = sum(len(files) for _, _, files in os.walk(folder))
    with open(f"{v.target()}/more", "wb") as f:
        f.write(os.urandom(MIB))
    second = lab.snapshot(v, parameters=kind)
    grown = sum(len(files) for _, _, files in os.walk(folder)) - stored
    assert 1 < grown < stored, f"incremental: {stored} files, then {grown} more"
    v.down()
    for root, _, files in os.walk(folder):
        for f in files:
            assert not find_bytes(os.path.join(root, f), MARKER), f"plaintext in {f}"
    # The snapshots outlive their volume.
    v.delete()
    w = lab.create(secrets=v.secrets, source=source_snapshot(first.snapshot_id))
    w.attach()
    w.stage_fails("UNAUTHENTICATED", secret("another passphrase"))
    w.stage()
    expect("the file", MARKER * 2000, open(f"{w.publish()}/data", "rb").read())
    assert not os.path.exists(f"{w.target()}/more")
    x = lab.create(secrets=v.secrets, source=source_snapshot(second.snapshot_id))
    assert os.path.getsize(f"{x.up()}/more") == MIB


@case("T8 expansion, online and offline: exact size, the file system grown, data equal")
def t8(lab):
    v = lab.create(size=64 * MIB)
    target = v.up()
    write_marker(f"{target}/data")
    before = os.statvfs(target).f_blocks
    r = v.expand(96 * MIB)
    expect("capacity", 96 * MIB, r.capacity_bytes)
    expect("size of the mapping", 96 * MIB, device_bytes(v.mapper))
    expect("size of the image", 96 * MIB + HEADER, os.path.getsize(v.image))
    assert os.statvfs(target).f_blocks > before * 1.3
    v.down()
    lab.c.ControllerExpandVolume(volume_id=v.id, capacity_range=pb.CapacityRange(required_bytes=128 * MIB))
    before = 96 * MIB
    v.up()
    expect("size of the mapping, grown offline", 128 * MIB, device_bytes(v.mapper))
    size = os.statvfs(target)
    assert size.f_blocks * size.f_frsize > before, "the file system isn't grown at stage"
    expect("the file", MARKER * 2000, open(f"{target}/data", "rb").read())


@case("T9 block volume: the target is the mapping, of the exact size; no plaintext below")
def t9(lab):
    v = lab.create(cap=block_cap(), size=48 * MIB)
    target = v.up()
    expect("the node", os.stat(v.mapper).st_rdev, os.stat(target).st_rdev)
    expect("size", 48 * MIB, device_bytes(target))
    write_at(target, MARKER * 1000, 5 * MIB)
    drop_caches()
    expect("control: the marker in the device", 1000, find_bytes(v.mapper, MARKER))
    expect("the marker in the image", 0, find_bytes(v.image, MARKER))
    v.down()
    assert not os.path.exists(target)
    open_by_cryptsetup(lab, v, v.secrets["CRYPTO_KEY_VALUE"],
                       lambda device: expect("stock cryptsetup's view", MARKER, read_at(device, len(MARKER), 5 * MIB)))


if __name__ == "__main__":
    sys.exit(run_on(Driver()))
