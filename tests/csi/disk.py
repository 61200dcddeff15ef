# SPDX-License-Identifier: Apache-2.0
"""The disk that the state directory lies on: full, failing, absent, another one. Volumes are always taken down, the driver
always starts, what was acknowledged stays, and what the records can't tell isn't answered with OK."""
import contextlib
import errno
import os
import re
import sqlite3
import subprocess
import sys

from lab import (METRICS_PORT, MIB, SCRATCH, Driver, Lab, block_cap, case, expect, loops, mappings, mounted, records, records_in, run, run_cases,
                 scrape, text_of, used)

KINDS = ("ext4", "xfs", "btrfs")
DATA = "data that must survive"


class Disk:
    """A device-mapper device with a file system, mounted for a state directory. It can be made to fail."""

    def __init__(self, lab, kind, mib=420, name="disk"):
        self.kind, self.name, self.sectors = kind, f"csi-{name}", mib * MIB // 512
        self.image, self.folder = f"{SCRATCH}/csi/{name}.img", f"{SCRATCH}/{name}"
        run("truncate", "-s", f"{mib}M", self.image)
        self.loop = run("losetup", "-f", "--show", self.image).stdout.decode().strip()
        run("dmsetup", "create", self.name, "--table", self.table("linear"))
        os.makedirs(self.folder, exist_ok=True)
        run(f"mkfs.{kind}", "-q", f"/dev/mapper/{self.name}")
        self.mount()
        with open(f"{self.folder}/filler", "w", encoding="ascii"):
            pass
        lab.on_clear.append(self.clear)

    def table(self, target):
        return f"0 {self.sectors} {target}" + (f" {self.loop} 0" if target == "linear" else "")

    def turn(self, target):
        run("dmsetup", "suspend", "--noflush", "--nolockfs", self.name)
        run("dmsetup", "load", self.name, "--table", self.table(target))
        run("dmsetup", "resume", self.name)

    def mount(self, folder=None):
        run("mount", "-t", self.kind, f"/dev/mapper/{self.name}", folder or self.folder)

    def umount(self, *options):
        run("umount", *options, self.folder)

    def fill(self):
        """Until not a byte more can be written, and flushed."""
        try:
            fd = os.open(f"{self.folder}/filler-{len(os.listdir(self.folder))}", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        except OSError:  # no room for one more
            fd = os.open(f"{self.folder}/filler", os.O_WRONLY | os.O_APPEND)
        try:
            for size in (MIB, 65536, 4096, 512, 1):
                with contextlib.suppress(OSError):
                    while True:
                        os.write(fd, b"x" * size)
                        if size == MIB:
                            os.fsync(fd)
            with contextlib.suppress(OSError):
                os.fsync(fd)
        finally:
            os.close(fd)
        os.sync()
        try:
            with open(f"{self.folder}/one-more", "wb") as f:
                f.write(b"x" * 65536)
                f.flush()
                os.fsync(f.fileno())
            raise AssertionError("control: the disk isn't full")
        except OSError as e:
            expect("control: the disk is full", errno.ENOSPC, e.errno)
        finally:
            with contextlib.suppress(FileNotFoundError):  # there may not even be room for a name
                os.unlink(f"{self.folder}/one-more")

    def clear(self):
        with contextlib.suppress(AssertionError):
            self.turn("linear")
        while mounted(self.folder):
            self.umount()
        run("dmsetup", "remove", "--retry", self.name)
        run("losetup", "-d", self.loop)
        os.unlink(self.image)
        os.rmdir(self.folder)


def driver_on(lab, disk, name="n1", **options):
    d = Driver(name, state=f"{disk.folder}/state", overprovision=1000, **{"metrics-address": f"127.0.0.1:{METRICS_PORT}", **options})
    d.start()
    lab.on_clear.append(d.stop)
    inner = Lab(d)
    lab.on_clear.append(lambda: expect("taken down", "", inner.clear()))
    return d, inner


def nothing_mapped(d):
    """No file of the state directory's disk in the process's memory: a store into it could kill the process."""
    found = [line for line in text_of(f"/proc/{d.pid}/maps").splitlines() if os.path.dirname(d.state) in line]
    expect("mapped files of the state's disk", [], found)


def alive(d):
    assert d.process.poll() is None, f"the driver ended with {d.process.returncode}: {d.last_words()}"
    nothing_mapped(d)


def all_kinds(inner):
    """Encrypted and plain, file system and device, each in use with something in it."""
    volumes = [inner.create(), inner.create(cap=block_cap()), inner.create(encrypted=False), inner.create(encrypted=False, cap=block_cap())]
    for v in volumes:
        target = v.up()
        if not v.is_block:
            with open(f"{target}/data", "w", encoding="ascii") as f:
                f.write(DATA)
                f.flush()
                os.fsync(f.fileno())
    return volumes


def taken_down(v, image=True):
    assert not mounted(v.staging) and not mounted(v.target()), "something is mounted"
    assert not os.path.exists(v.target()), "the target is left"
    assert v.id not in mappings(), "the mapping is left"
    expect("loop devices", [], [f for f in loops().values() if os.path.basename(f).startswith(v.id)])
    expect("the image", image, os.path.exists(v.image))


def full(lab, kind, snapshots):
    disk = Disk(lab, kind)
    d, inner = driver_on(lab, disk)
    volumes = all_kinds(inner)
    made = []
    if snapshots:
        volumes[0].down()  # ext4 has no reflinks
        made = [inner.snapshot(volumes[0])]
        volumes[0].up()
    nothing_mapped(d)
    disk.fill()
    d.kill()
    d.start()
    alive(d)
    expect("volumes", sorted(v.id for v in volumes), sorted(e.volume.volume_id for e in d.client.ListVolumes().entries))
    for v in volumes:
        disk.fill()
        v.down()
        alive(d)
        taken_down(v)
        disk.fill()
        v.delete()
        alive(d)
        taken_down(v, image=False)
    for s in made:
        disk.fill()
        d.client.DeleteSnapshot(snapshot_id=s.snapshot_id)
        inner.snapshots.remove(s.snapshot_id)
        alive(d)
    for f in os.listdir(disk.folder):
        if f.startswith("filler"):
            os.unlink(f"{disk.folder}/{f}")
    d.restart()
    expect("records", [], records(inner, "SELECT id FROM volumes UNION SELECT id FROM snapshots UNION SELECT volume_id FROM uses"))
    assert not [x for x in scrape() if x.startswith("cryptvol_orphans") and scrape()[x]], "orphans"
    v = used(inner)
    v.delete()


def failed(lab, kind):
    disk = Disk(lab, kind)
    d, inner = driver_on(lab, disk)
    volumes = all_kinds(inner)
    spare = used(inner)
    disk.turn("error")
    with contextlib.suppress(OSError):
        with open(f"{disk.folder}/notice", "w", encoding="ascii") as f:
            f.write("x")
            f.flush()
            os.fsync(f.fileno())
    os.sync()
    first, second = volumes[:2], volumes[2:]
    for group in (first, second):
        for v in group:
            for target in list(v.targets):
                d.client.NodeUnpublishVolume(volume_id=v.id, target_path=target)
                v.targets.remove(target)
            v.unstage()
            alive(d)
            assert not mounted(v.staging) and not os.path.exists(v.target()) and v.id not in mappings(), v.id
            expect("loop devices", [], [f for f in loops().values() if os.path.basename(f).startswith(v.id)])
        d.client.fails(("INTERNAL", "UNAVAILABLE", "FAILED_PRECONDITION", "NOT_FOUND"), "DeleteVolume", volume_id=spare.id)
        d.client.fails(("INTERNAL", "UNAVAILABLE", "RESOURCE_EXHAUSTED", "ALREADY_EXISTS"), "CreateVolume", name="new", volume_capabilities=[spare.cap])
        d.kill()
        d.start()  # the other half after a start on the failed disk
        alive(d)
    d.stop()
    disk.umount()
    disk.turn("linear")
    disk.mount()
    d.start()
    for v in (*volumes, spare):
        v.stage()
        if not v.is_block:
            expect("the file", DATA, text_of(f"{v.staging}/data"))
        v.down()
        v.delete()
    expect("records", [], records(inner, "SELECT id FROM volumes UNION SELECT volume_id FROM uses"))


for k in KINDS:
    for snap in (False, True):
        case(f"a full {k}, with{'' if snap else 'out'} snapshots: the driver starts, every volume is taken down and deleted, no file "
             "is mapped")(lambda lab, k=k, s=snap: full(lab, k, s))
    case(f"a failing {k}: the driver starts, every volume is taken down, no deletion answers OK; repaired, all data is there")(
        lambda lab, k=k: failed(lab, k))


@case("records with a write-ahead log, of an older driver, on a full btrfs: the driver starts, has all of them, and maps nothing")
def older(lab):
    disk = Disk(lab, "btrfs")
    d, inner = driver_on(lab, disk)
    v, w = used(inner), used(inner)
    d.stop()
    program = ("import os, sqlite3, sys; db = sqlite3.connect(sys.argv[1]); db.execute('PRAGMA journal_mode=WAL');"
               "db.execute('UPDATE volumes SET created=12345'); db.commit(); os._exit(0)")
    subprocess.run(["/usr/bin/python3", "-c", program, f"{d.state}/state.db"], check=True)
    assert os.path.getsize(f"{d.state}/state.db-wal"), "control: there is a log"
    disk.fill()
    d.start()
    alive(d)
    v.delete()
    alive(d)
    d.restart()
    alive(d)
    expect("changes that stood in the log", [(w.id, 12345)], records_in(d.state, "SELECT id, created FROM volumes"))
    expect("a log", False, os.path.exists(f"{d.state}/state.db-wal"))
    w.delete()


# ---- which store it is ----

def refuses(d, v, says):
    """Nothing is answered for volumes that the records don't know; what there may be on the node goes all the same."""
    for call, fields in (("DeleteVolume", dict(volume_id=v.id)), ("NodeStageVolume", v.stage_fields()),
                         ("CreateVolume", dict(name="new", volume_capabilities=[v.cap])), ("ListVolumes", {})):
        message = d.client.fails("UNAVAILABLE", call, **fields)
        assert re.search(says, message), message
    expect("the capacity", 0, d.client.GetCapacity().available_capacity)
    d.client.Probe()
    d.client.NodeUnpublishVolume(volume_id=v.id, target_path=v.target())
    d.client.NodeUnstageVolume(volume_id=v.id, staging_target_path=v.staging)
    d.client.NodeGetInfo()
    expect("the metric", 0, scrape()["cryptvol_state_up"])
    assert re.search('level="warning" event="repair".*' + says, d.log_text()), "nothing in the log"


@case("the state's disk isn't mounted at the start: nothing is made, no deletion answers OK; mounted later, all goes on")
def absent(lab):
    disk = Disk(lab, "ext4")
    memory = f"{SCRATCH}/store-id"
    lab.on_clear.append(lambda: os.unlink(memory))
    d, inner = driver_on(lab, disk, **{"store-id-file": memory})
    v = used(inner)
    expect("the store's id", text_of(f"{d.state}/store-id"), text_of(memory))
    d.stop()
    disk.umount()
    d.start()
    refuses(d, v, "isn't the store of this node")
    expect("what is made on the root disk", [], os.listdir(disk.folder))
    disk.mount()
    expect("the metric", 1, scrape()["cryptvol_state_up"])
    v.stage()
    expect("the file", DATA, text_of(f"{v.staging}/data"))
    v.unstage()
    v.delete()


@case("require-mountpoint: without its disk the state directory isn't used")
def mountpoint(lab):
    disk = Disk(lab, "ext4")
    d = Driver("n1", state=disk.folder, **{"metrics-address": f"127.0.0.1:{METRICS_PORT}", "require-mountpoint": "yes"})
    d.start()
    lab.on_clear.append(d.stop)
    v = used(Lab(d))
    d.stop()
    disk.umount()
    d.start()
    refuses(d, v, "is no file system of its own")
    expect("what is made on the root disk", [], os.listdir(disk.folder))
    disk.mount()
    d.client.DeleteVolume(volume_id=v.id)


@case("another disk is mounted, at the start and beneath a running driver: it isn't touched, and no deletion answers OK")
def swapped(lab):
    disk, other = Disk(lab, "ext4"), Disk(lab, "xfs", name="other")
    memory = f"{SCRATCH}/store-id"
    lab.on_clear.append(lambda: os.unlink(memory))
    d, inner = driver_on(lab, disk, **{"store-id-file": memory})
    v = used(inner)
    d.stop()
    e = Driver("n1", state=f"{other.folder}/state")  # makes a store there, as another node of this name has it
    e.start()
    e.stop()
    other.umount()
    disk.umount()
    other.mount(disk.folder)
    d.start()
    refuses(d, v, "another disk")
    d.stop()
    disk.umount()
    disk.mount()
    d.start()
    disk.umount("-l")
    other.mount(disk.folder)
    for call in ("DeleteVolume", "ControllerGetVolume"):
        d.client.fails("UNAVAILABLE", call, volume_id=v.id)
    expect("what the other store has", [], os.listdir(f"{disk.folder}/state/volumes"))
    d.stop()
    disk.umount()
    disk.mount()
    d.start()
    expect("volumes", [v.id], [x.volume.volume_id for x in d.client.ListVolumes().entries])
    d.stop()
    d.start(**{"node-id": "renamed"})
    d.client.fails("INVALID_ARGUMENT", "CreateVolume", name="new", volume_capabilities=[v.cap])
    expect("the metric", 0, scrape()["cryptvol_state_up"])
    d.stop()
    d.start()
    v.delete()


# ---- kubelet's ways ----

@case("statistics of a block volume at the bind that kubelet makes of its device")
def stats(lab):
    d = Driver("n1")
    d.start()
    lab.on_clear.append(d.stop)
    inner = Lab(d)
    for v in (inner.create(cap=block_cap()), inner.create(cap=block_cap(), encrypted=False)):
        v.up()
        bind = f"{inner.kubelet}/volumeDevices/{v.id}/dev/pod"
        os.makedirs(os.path.dirname(bind), exist_ok=True)
        with open(bind, "w", encoding="ascii"):
            pass
        d.client.fails("NOT_FOUND", "NodeGetVolumeStats", volume_id=v.id, volume_path=bind)
        run("mount", "--bind", v.target(), bind)
        r = d.client.NodeGetVolumeStats(volume_id=v.id, volume_path=bind)
        expect("bytes", 64 * MIB, r.usage[0].total)
        run("umount", bind)
        v.down()
        v.delete()


@case("after a reboot the targets are gone with their records; what isn't ours at such a path stays")
def reboot(lab):
    d = Driver("n1")
    d.start()
    lab.on_clear.append(d.stop)
    inner = Lab(d)
    volumes = [inner.create(cap=block_cap()), inner.create(), inner.create(cap=block_cap())]
    for v in volumes:
        v.up()
    d.stop()
    for v in volumes:  # what a reboot does
        run("umount", v.target())
        if not v.is_block:
            run("umount", v.staging)
        run("dmsetup", "remove", "--retry", v.id)
    for dev, image in loops().items():
        if image.startswith(d.state):
            run("losetup", "-d", f"/dev/{dev}")
    with open(volumes[2].target(), "w", encoding="ascii") as f:
        f.write("somebody's")
    with contextlib.closing(sqlite3.connect(f"{d.state}/state.db")) as db, db:
        db.execute("UPDATE meta SET value='before' WHERE key='boot_id'")
    d.start()
    expect("uses", [], records_in(d.state, "SELECT path FROM uses WHERE kind<>0"))
    expect("targets", [False, False, True], [os.path.exists(v.target()) for v in volumes])
    os.unlink(volumes[2].target())
    why = inner.clear()
    assert not why, why


class Nobody:
    """Each case starts its own drivers."""
    on_clear = ()

    def __init__(self):
        self.on_clear = []

    def clear(self):
        problems = []
        for f in reversed(self.on_clear):
            try:
                f()
            except Exception as e:
                problems.append(" ".join(str(e).split()))
        return "; ".join(problems)[:400]


if __name__ == "__main__":
    sys.exit(run_cases(Nobody))
