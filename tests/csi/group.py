# SPDX-License-Identifier: Apache-2.0
"""Group snapshots: the calls' success path, and consistency: a writer numbers its writes across volumes A and B, first A,
then B; no snapshot may have B(n+1) without A(n+1). Snapshots that are taken one after the other show that it would be seen."""
import os
import subprocess
import sys
import time

from lab import (CRYPTSETUP, FULL, MIB, Driver, Lab, block_cap, case, expect, mount_cap, read_at, records, run, run_on, small_state,
                 source_snapshot, source_volume, wait_for, write_at)

REFUSED = "FAILED_PRECONDITION"


def group(lab, volumes, name, **kw):
    g = lab.c.CreateVolumeGroupSnapshot(name=name, source_volume_ids=[v.id for v in volumes], **kw).group_snapshot
    lab.on_clear.append(lambda: lab.c.DeleteVolumeGroupSnapshot(group_snapshot_id=g.group_snapshot_id,
                                                                snapshot_ids=[s.snapshot_id for s in g.snapshots]))
    return g


@case("group snapshots: create, get, list, restore, delete; the same again; members belong together")
def calls(lab):
    expect("capability", [1], [c.rpc.type for c in lab.c.GroupControllerGetCapabilities().capabilities])
    volumes = [lab.create(), lab.create(encrypted=False), lab.create(cap=block_cap())]
    for v in volumes[:2]:
        with open(f"{v.up()}/data", "w", encoding="ascii") as f:
            f.write(v.name)
    g = group(lab, volumes, "a-group")
    ids = [s.snapshot_id for s in g.snapshots]
    assert g.ready_to_use and g.creation_time.seconds > time.time() - 300
    expect("sources", sorted(v.id for v in volumes), sorted(s.source_volume_id for s in g.snapshots))
    expect("their group", {g.group_snapshot_id}, {s.group_snapshot_id for s in g.snapshots})
    expect("their times", 1, len({(s.creation_time.seconds, s.creation_time.nanos) for s in g.snapshots}))
    again = lab.c.CreateVolumeGroupSnapshot(name="a-group", source_volume_ids=[v.id for v in reversed(volumes)]).group_snapshot
    expect("again, in another order", sorted(ids), sorted(s.snapshot_id for s in again.snapshots))
    lab.c.fails("ALREADY_EXISTS", "CreateVolumeGroupSnapshot", name="a-group", source_volume_ids=[volumes[0].id])
    lab.c.fails("INVALID_ARGUMENT", "CreateVolumeGroupSnapshot", name="twice", source_volume_ids=[volumes[0].id] * 2)
    got = lab.c.GetVolumeGroupSnapshot(group_snapshot_id=g.group_snapshot_id, snapshot_ids=ids).group_snapshot
    expect("get", sorted(ids), sorted(s.snapshot_id for s in got.snapshots))
    for call in ("GetVolumeGroupSnapshot", "DeleteVolumeGroupSnapshot"):
        lab.c.fails("INVALID_ARGUMENT", call, group_snapshot_id=g.group_snapshot_id, snapshot_ids=ids[:2])
        lab.c.fails("INVALID_ARGUMENT", call, group_snapshot_id=g.group_snapshot_id, snapshot_ids=[*ids[:2], "other"])
    lab.c.fails("INVALID_ARGUMENT", "DeleteSnapshot", snapshot_id=ids[0])
    expect("in the list of snapshots", sorted(ids), sorted(e.snapshot.snapshot_id for e in lab.c.ListSnapshots().entries))
    for s in g.snapshots:
        v = next(v for v in volumes if v.id == s.source_volume_id)
        w = lab.create(cap=v.cap, encrypted=v is not volumes[1], secrets=v.secrets, source=source_snapshot(s.snapshot_id))
        w.up()
        if not v.is_block:
            expect("restored", v.name, open(f"{w.target()}/data", encoding="ascii").read())
    lab.c.DeleteVolumeGroupSnapshot(group_snapshot_id=g.group_snapshot_id, snapshot_ids=ids)
    lab.c.DeleteVolumeGroupSnapshot(group_snapshot_id=g.group_snapshot_id, snapshot_ids=ids)
    lab.c.fails("NOT_FOUND", "GetVolumeGroupSnapshot", group_snapshot_id=g.group_snapshot_id, snapshot_ids=ids)
    expect("nothing is left", 0, len(lab.c.ListSnapshots().entries))
    expect("no image", [], os.listdir(f"{lab.driver.state}/snapshots"))


@case("group snapshots: if one member can't be cut none is, and all go on")
def all_or_none(lab):
    v, w = lab.create(), lab.create()
    v.up()
    w.up()
    os.rename(w.image, w.image + ".away")
    try:
        lab.c.fails(("NOT_FOUND", REFUSED, "INTERNAL"), "CreateVolumeGroupSnapshot", name="broken", source_volume_ids=[v.id, w.id])
    finally:
        os.rename(w.image + ".away", w.image)
    expect("snapshots", 0, len(lab.c.ListSnapshots().entries))
    expect("images", [], os.listdir(f"{lab.driver.state}/snapshots"))
    for x in (v, w):
        with open(f"{x.target()}/goes-on", "w", encoding="ascii") as f:
            f.write("x")
            f.flush()
            os.fsync(f.fileno())
        assert "ACTIVE" in run("dmsetup", "info", x.id).stdout.decode()
    group(lab, [v, w], "broken")


@case("a group snapshot that was cut short: cut anew as a whole by the retry; with a member gone it leaves nothing")
def cut_short(lab):
    a, b = (lab.create(cap=block_cap(), encrypted=False, size=16 * MIB) for _ in range(2))
    g = group(lab, [a, b], "cut-short")
    image = {s.source_volume_id: lab.driver.snapshot_image(s.snapshot_id) for s in g.snapshots}
    for v in (a, b):
        write_at(v.image, b"written since")
    os.unlink(image[b.id])

    def forget():  # as a kill between two members leaves it
        records(lab, "UPDATE snapshots SET ready=0")
    forget()
    again = lab.c.CreateVolumeGroupSnapshot(name="cut-short", source_volume_ids=[a.id, b.id]).group_snapshot
    assert again.ready_to_use and all(s.ready_to_use for s in again.snapshots), again
    expect("the same snapshots", {s.snapshot_id for s in g.snapshots}, {s.snapshot_id for s in again.snapshots})
    assert again.creation_time != g.creation_time
    for v in (a, b):
        expect("what is in it", b"written since", read_at(image[v.id], 13))
    forget()
    os.unlink(image[b.id])
    b.delete()
    lab.c.fails("NOT_FOUND", "CreateVolumeGroupSnapshot", name="cut-short", source_volume_ids=[a.id, b.id])
    expect("images", [], os.listdir(f"{lab.driver.state}/snapshots"))
    lab.c.fails("NOT_FOUND", "GetVolumeGroupSnapshot", group_snapshot_id=g.group_snapshot_id)


@case("a plain block volume that is staged can't be stopped: no group has it, no slow copy; alone and by reflink it goes")
def unstoppable(lab):
    v, w = lab.create(cap=block_cap(), encrypted=False, size=16 * MIB), lab.create()
    write_at(v.up(), b"written by a pod")
    w.up()
    pause = {"pauseAllowed": "true"}
    members = dict(name="unstoppable", source_volume_ids=[w.id, v.id])
    assert "plain block volume" in lab.c.fails(REFUSED, "CreateVolumeGroupSnapshot", parameters=pause, **members)
    assert "ACTIVE" in run("dmsetup", "info", w.id).stdout.decode()
    expect("images", [], os.listdir(f"{lab.driver.state}/snapshots"))
    expect("records", [], records(lab, "SELECT id FROM snapshots"))
    s = lab.snapshot(v)
    expect("in its snapshot", b"written by a pod", read_at(lab.driver.snapshot_image(s.snapshot_id), 16))
    clone = lab.create(cap=v.cap, encrypted=False, size=16 * MIB, source=source_volume(v.id))
    expect("in its clone", b"written by a pod", read_at(clone.image, 16))
    v.down()
    group(lab, [w, v], "unstoppable")

    slow = Driver("slow", state=f"{small_state(lab, 'ext4', 300)}/state")
    slow.start()
    lab.on_clear.append(slow.stop)
    inner = Lab(slow)
    v = inner.create(cap=block_cap(), encrypted=False, size=16 * MIB)
    v.up()
    copy = dict(name="copy", volume_capabilities=[v.cap], parameters=pause, volume_content_source=source_volume(v.id))
    for call, fields in (("CreateSnapshot", dict(source_volume_id=v.id, name="copy", parameters=pause)), ("CreateVolume", copy)):
        assert "plain block volume" in slow.client.fails(REFUSED, call, **fields)
    v.down()
    inner.snapshot(v)
    inner.create(cap=v.cap, encrypted=False, size=16 * MIB, source=source_volume(v.id))
    why = inner.clear()
    assert not why, why


# ---- consistency ----

WRITER = """
import mmap, os, sys, time
a, b = (os.open(p, os.O_RDWR | os.O_DIRECT | os.O_SYNC | (os.O_CREAT if sys.argv[3] == "file" else 0), 0o600) for p in sys.argv[1:3])
page = mmap.mmap(-1, 4096)
n, slowest, last = 0, 0.0, time.monotonic()
while os.getppid() == int(sys.argv[4]) and not os.path.exists(sys.argv[5]):
    n += 1
    page[:8] = n.to_bytes(8, "little")
    os.pwrite(a, page, 0)
    os.pwrite(b, page, 0)
    if n == 1:
        open(sys.argv[6], "w").close()
    now = time.monotonic()
    slowest, last = max(slowest, now - last), now
print(n, slowest)
"""


class Writer:
    def __init__(self, lab, a, b, kind):
        self.stop_file = f"{lab.kubelet}/stop-writer"
        begun = f"{lab.kubelet}/writer-began"
        self.process = subprocess.Popen([sys.executable, "-c", WRITER, a, b, kind, str(os.getpid()), self.stop_file, begun],
                                        stdout=subprocess.PIPE)
        lab.on_clear.append(self.stop)
        self.n = self.slowest = None
        wait_for("the writer's first numbers", 30, lambda: os.path.exists(begun))
        os.unlink(begun)

    def stop(self):
        if self.n is None:
            open(self.stop_file, "w", encoding="ascii").close()
            words = self.process.communicate(timeout=60)[0].split()
            os.unlink(self.stop_file)
            self.n, self.slowest = int(words[0]), float(words[1])


def numbers(lab, snapshots, volumes, kind):
    """What A and B hold in a snapshot, read by stock cryptsetup."""
    found = []
    for v in volumes:
        image = lab.driver.snapshot_image(next(s.snapshot_id for s in snapshots if s.source_volume_id == v.id))
        run(CRYPTSETUP, "open", "--readonly", "--key-file", "-", image, "cut", stdin=v.secrets["CRYPTO_KEY_VALUE"].encode())
        try:
            path = "/dev/mapper/cut"
            if kind == "file":
                folder = f"{lab.kubelet}/cut"
                os.makedirs(folder, exist_ok=True)
                run("mount", "-o", "ro,noload", path, folder)
                path = f"{folder}/numbers"
            with open(path, "rb") as f:
                found.append(int.from_bytes(f.read(8), "little"))
        finally:
            if kind == "file":
                run("umount", folder)
            run(CRYPTSETUP, "close", "cut")
    return found


def consistency(lab, kind):
    cap = block_cap() if kind == "block" else mount_cap()
    a, b = lab.create(cap=cap, size=32 * MIB), lab.create(cap=cap, size=32 * MIB)
    targets = [v.up() + ("" if kind == "block" else "/numbers") for v in (a, b)]
    w = Writer(lab, *targets, kind)
    rounds = 50 if FULL else 6
    cuts = []
    for i in range(rounds):
        cuts.append(group(lab, [a, b] if i % 2 else [b, a], f"cut-{kind}-{i}").snapshots)
        time.sleep(0.02)
    torn = 0
    apart = []
    for i in range(rounds // 2):  # the control: A alone, then B alone
        apart.append([lab.snapshot(a, f"apart-{kind}-{i}-a"), lab.snapshot(b, f"apart-{kind}-{i}-b")])
    w.stop()
    for snapshots in cuts:
        x, y = numbers(lab, snapshots, (a, b), kind)
        assert y <= x <= y + 1, f"a snapshot has B({y}) and A({x})"
        assert x, "nothing was written before the cut"
    for snapshots in apart:
        x, y = numbers(lab, snapshots, (a, b), kind)
        torn += y > x
    print(f"    {rounds} cuts of {w.n} writes, none torn; {torn} of {len(apart)} torn where taken apart; "
          f"the longest stop of the writer: {w.slowest * 1000:.0f} ms")
    assert torn, "control: snapshots one after the other aren't torn, so the test sees nothing"


@case("group snapshots: no cut has B(n+1) without A(n+1), block volumes")
def consistency_block(lab):
    consistency(lab, "block")


@case("group snapshots: no cut has B(n+1) without A(n+1), files in mounted volumes")
def consistency_files(lab):
    consistency(lab, "file")


@case("a driver that is killed in the middle of a cut: suspended volumes go on with its next start")
def killed_in_cut(lab):
    v = lab.create()
    v.up()
    lab.driver.kill()
    run("dmsetup", "suspend", v.id)
    assert "SUSPENDED" in run("dmsetup", "info", v.id).stdout.decode()
    lab.driver.start()
    assert "ACTIVE" in run("dmsetup", "info", v.id).stdout.decode()
    plain = lab.create(encrypted=False)
    plain.up()
    lab.driver.kill()
    run("fsfreeze", "-f", plain.staging)
    lab.driver.start()
    with open(f"{plain.target()}/x", "w", encoding="ascii") as f:
        f.write("x")


if __name__ == "__main__":
    sys.exit(run_on(Driver()))
