# SPDX-License-Identifier: Apache-2.0
"""Volume mode conversion, as backup products use it: a file system's snapshot is restored as a block claim, its device read or written, and
the volume becomes a file system's again by another PersistentVolume of the same id."""
import os
import sys

from lab import (MIB, Driver, block_cap, case, device_bytes, expect, fingerprint, mount_cap, run, run_on, source_snapshot, source_volume,
                 used, write_at)

KINDS = (True, False)  # encrypted, plain
DATA = b"no file system, but a user's data" * 31


def type_of(device):
    return run("blkid", "-p", "-o", "value", "-s", "TYPE", device, check=False).stdout.decode().strip()


def content(folder):
    with open(f"{folder}/data", encoding="ascii") as f:
        return f.read()


def as_device(v):
    v.cap = block_cap()
    return v.up()


def as_mount(v, fs="ext4"):
    v.cap = mount_cap(fs)
    return v.up()


def must_not_mount(v, code="FAILED_PRECONDITION", fs="ext4"):
    """Refused, twice, and not a byte is written."""
    before = fingerprint(v.image)
    v.cap = mount_cap(fs)
    for _ in range(2):
        assert "file system" in v.stage_fails(code) or code != "FAILED_PRECONDITION"
    expect("the image", before, fingerprint(v.image))


@case("mount to block: a snapshot and a clone show the file system's bytes; the same volumes are mounted again, grown and copied")
def to_block(lab):
    for encrypted in KINDS:
        v = used(lab, encrypted=encrypted)
        s = lab.snapshot(v)
        for source in (source_snapshot(s.snapshot_id), source_volume(v.id)):
            w = lab.create(cap=block_cap(), encrypted=encrypted, source=source, secrets=v.secrets)
            expect("on the device", "ext4", type_of(w.up()))
            w.down()
            expect("mounted", "data that must survive", content(as_mount(w)))
            w.node_expand(96 * MIB)
            size = os.statvfs(w.staging)
            assert size.f_blocks * size.f_frsize > 80 * MIB, size
            w.down()
            expect("bytes of the device", 96 * MIB, device_bytes(as_device(w)))
            w.node_expand(112 * MIB)
            expect("bytes of the device", 112 * MIB, device_bytes(w.target()))
            w.down()
            x = lab.create(encrypted=encrypted, size=112 * MIB, source=source_volume(w.id), secrets=v.secrets)
            expect("a mounted copy of it", "data that must survive", content(x.up()))
            x.down()


@case("block to mount: what a data mover wrote to a device is mounted, by the same id, and from a snapshot or clone of it")
def to_mount(lab):
    for encrypted in KINDS:
        for fs, size in (("ext4", 64), ("xfs", 320)):
            v = lab.create(cap=block_cap(), encrypted=encrypted, size=size * MIB)
            run(f"mkfs.{fs}", "-q", v.up())
            v.down()
            with open(f"{as_mount(v, fs)}/data", "w", encoding="ascii") as f:
                f.write("restored")
            v.down()
            s = lab.snapshot(v)
            for source in (source_snapshot(s.snapshot_id), source_volume(v.id)):
                w = lab.create(cap=mount_cap(fs), encrypted=encrypted, size=size * MIB, source=source, secrets=v.secrets)
                expect(f"a copy, {fs}", "restored", content(w.up()))
                w.down()
            if fs == "xfs":
                must_not_mount(v, ("INVALID_ARGUMENT", "FAILED_PRECONDITION"))
            expect("as a device again", fs, type_of(as_device(v)))
            v.down()


@case("never formatted: a device without a file system, a new one, a copy of it, and a new file system's volume that was a device first")
def never_formatted(lab):
    for encrypted in KINDS:
        v = lab.create(cap=block_cap(), encrypted=encrypted)
        must_not_mount(v)
        write_at(as_device(v), DATA, 8 * MIB)
        v.down()
        must_not_mount(v)
        s = lab.snapshot(v)
        for source in (source_snapshot(s.snapshot_id), source_volume(v.id)):
            w = lab.create(encrypted=encrypted, source=source, secrets=v.secrets)
            must_not_mount(w)
        v.cap = block_cap()
        with open(v.up(), "rb") as f:
            f.seek(8 * MIB)
            expect("the user's data", DATA, f.read(len(DATA)))
        v.down()
        w = lab.create(encrypted=encrypted)
        write_at(as_device(w), DATA, 8 * MIB)
        w.down()
        must_not_mount(w)
        x = lab.create(encrypted=encrypted)  # the control: a volume that was never a device is made as ever
        x.up()
        x.down()


if __name__ == "__main__":
    sys.exit(run_on(Driver()))
