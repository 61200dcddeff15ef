# SPDX-License-Identifier: Apache-2.0
"""Calls that were cut short, records that are lost, two calls at one volume: what is left is finished or goes, and nothing is
taken for what it isn't. A record is changed by hand where a kill between two steps would leave it so."""
import contextlib
import os
import shutil
import signal
import sys

from killpoints import Tracer
from lab import (CRYPTSETUP, FULL, HEADER, MIB, SCRATCH, Driver, Lab, block_cap, case, device_bytes, expect, fingerprint, in_background,
                 lab_loop, lose_records, make_store, mount_cap, pb, read_at, records, remove_records, run, run_on, small_state, source_snapshot,
                 source_volume, still_there, used, wait_for, write_at)

REFUSED = "FAILED_PRECONDITION"


# ---- what a call left that was cut short ----

@case("an image whose record is lost: no creation, copy or snapshot of that name takes it over or removes it")
def lost_record(lab):
    v, other = used(lab), used(lab)
    s, t = lab.snapshot(other, "lost"), lab.snapshot(other)
    image = lab.driver.snapshot_image(s.snapshot_id)
    before = fingerprint(v.image), fingerprint(image)
    records(lab, "DELETE FROM volumes WHERE id=?", v.id)
    records(lab, "DELETE FROM snapshots WHERE id=?", s.snapshot_id)
    lab.volumes.remove(v)
    try:
        for more in (*({"capacity_range": pb.CapacityRange(required_bytes=n * MIB)} for n in (64, 96)),
                     *({"volume_content_source": x} for x in (source_snapshot(t.snapshot_id), source_volume(other.id)))):
            message = lab.c.fails("ALREADY_EXISTS", "CreateVolume", name=v.name, volume_capabilities=[v.cap], parameters={"encrypted": "true"}, **more)
            assert "record is lost" in message, message
        message = lab.c.fails("ALREADY_EXISTS", "CreateSnapshot", source_volume_id=other.id, name="lost")
        assert "record is lost" in message, message
        expect("both images", before, (fingerprint(v.image), fingerprint(image)))
    finally:
        os.unlink(v.image)
        os.unlink(image)


@case("copies and snapshots that were cut short: their retry takes what is there now; with the source gone it leaves nothing")
def cut_short(lab):
    v = lab.create()
    name = "cut-short"
    s = lab.snapshot(v, name)
    clone = lab.create(source=source_volume(v.id), secrets=v.secrets)
    records(lab, "UPDATE snapshots SET ready=0 WHERE id=?", s.snapshot_id)
    records(lab, "UPDATE volumes SET state=0 WHERE id=?", clone.id)
    os.unlink(clone.image)
    with open(f"{v.up()}/data", "w", encoding="ascii") as f:
        f.write("data that must survive")
    v.expand(96 * MIB)
    v.down()
    again = lab.snapshot(v, name)
    expect("the snapshot", (s.snapshot_id, True, 96 * MIB), (again.snapshot_id, again.ready_to_use, again.size_bytes))
    lab.volumes.remove(clone)
    clone = lab.create(name=clone.name, size=96 * MIB, source=source_volume(v.id), secrets=v.secrets)
    restored = lab.create(size=96 * MIB, source=source_snapshot(s.snapshot_id), secrets=v.secrets)
    for w in (clone, restored):
        still_there(w)
    # the source goes: a whole image only lacks its last step, half a one goes with its promise of space
    v.delete()
    records(lab, "UPDATE volumes SET state=0 WHERE id=?", clone.id)
    fields = dict(name=clone.name, volume_capabilities=[clone.cap], parameters={"encrypted": "true"},
                  volume_content_source=source_volume(v.id), capacity_range=pb.CapacityRange(required_bytes=96 * MIB))
    expect("the whole one", clone.id, lab.c.CreateVolume(**fields).volume.volume_id)
    still_there(clone)
    os.unlink(clone.image)
    records(lab, "UPDATE volumes SET state=0 WHERE id=?", clone.id)
    lab.c.fails("NOT_FOUND", "CreateVolume", **fields)
    expect("its record", [], records(lab, "SELECT id FROM volumes WHERE id=?", clone.id))
    lab.volumes.remove(clone)
    records(lab, "UPDATE snapshots SET ready=0 WHERE id=?", s.snapshot_id)
    lab.c.fails("NOT_FOUND", "CreateSnapshot", source_volume_id=v.id, name=name)
    expect("the snapshot's record", [], records(lab, "SELECT id FROM snapshots"))
    expect("its image", [], os.listdir(f"{lab.driver.state}/snapshots"))


@case("the records are lost: adopted volumes grow and are copied from their first stage on, and their key slots are erased")
def adopted(lab):
    def create(**kw):
        return lab.create(parameters={"discard": "true", **kw.pop("parameters", {})}, **kw)
    xfs = {"cap": mount_cap("xfs"), "size": 320 * MIB}
    volumes = [create(), create(**xfs), create(encrypted=False, parameters={"discard": "false"}), create(cap=block_cap())]
    for v in volumes:
        v.up()
        if v.is_block:
            write_at(v.target(), b"data that must survive")
        else:
            with open(f"{v.target()}/data", "w", encoding="ascii") as f:
                f.write("data that must survive")
        v.down()
    lose_records(lab)
    sizes = {v.id: os.path.getsize(v.image) - (HEADER if v.secrets else 0) for v in volumes}
    for v in volumes:
        copy = dict(name="too-early", volume_capabilities=[v.cap], parameters={"encrypted": "true"} if v.secrets else {},
                    volume_content_source=source_volume(v.id))
        more = pb.CapacityRange(required_bytes=2 * sizes[v.id])
        early = [("ControllerExpandVolume", dict(volume_id=v.id, capacity_range=more)),
                 ("ControllerExpandVolume", dict(volume_id=v.id, capacity_range=more, volume_capability=v.cap)),
                 ("NodeExpandVolume", dict(volume_id=v.id, volume_path=v.target(), capacity_range=more)),
                 ("NodePublishVolume", dict(volume_id=v.id, staging_target_path=v.staging, target_path=v.target(), volume_capability=v.cap)),
                 ("CreateSnapshot", dict(source_volume_id=v.id, name="too-early")), ("CreateVolume", copy),
                 ("CreateVolumeGroupSnapshot", dict(name="too-early", source_volume_ids=[v.id]))]
        for call, fields in early:
            assert "stage it once" in lab.c.fails(REFUSED, call, **fields), call
        assert lab.c.ValidateVolumeCapabilities(volume_id=v.id, volume_capabilities=[v.cap]).HasField("confirmed")
    expect("copies", [[], sorted(v.id + ".img" for v in volumes)],
           [sorted(os.listdir(f"{lab.driver.state}/{d}")) for d in ("snapshots", "volumes")])
    for v in volumes:
        v.up()
        expect("its size", sizes[v.id], {e.volume.volume_id: e.volume.capacity_bytes for e in lab.c.ListVolumes().entries}[v.id])
        s = lab.snapshot(v)
        expect("the snapshot's size", sizes[v.id], s.size_bytes)
        for source in (source_snapshot(s.snapshot_id), source_volume(v.id)):
            w = lab.create(cap=v.cap, size=sizes[v.id], encrypted=bool(v.secrets), secrets=v.secrets, source=source)
            w.up()
            if v.is_block:
                expect("in the copy", b"data that must survive", read_at(w.target(), 22))
            else:
                expect("in the copy", "data that must survive", open(f"{w.target()}/data", encoding="ascii").read())
            w.down()
            w.delete()
        other = dict(name="other", volume_capabilities=[v.cap], parameters={} if v.secrets else {"encrypted": "true"},
                     volume_content_source=source_snapshot(s.snapshot_id))
        assert "the source is" in lab.c.fails("INVALID_ARGUMENT", "CreateVolume", **other)
        bigger, blocks = sizes[v.id] + 64 * MIB, os.statvfs(v.target()).f_blocks
        v.expand(bigger)
        expect("its device", bigger, device_bytes(v.mapper if v.secrets else lab_loop(v)))
        if not v.is_block:
            now = os.statvfs(v.target())
            assert (now.f_blocks - blocks) * now.f_frsize > 32 * MIB, "its file system didn't grow"
        v.down()
        v.up()  # by its record from now on
        assert not v.secrets or b"allow_discards" in run("dmsetup", "table", v.id).stdout
        v.down()
    # opened only, as before
    head = read_at(volumes[0].image, HEADER)
    write_at(volumes[0].image, bytes(HEADER))
    assert "no LUKS header" in volumes[0].stage_fails(REFUSED)
    expect("the header", b"", volumes[0].header().strip(b"\0"))
    write_at(volumes[0].image, head)
    # nothing opens what was deleted, though it wasn't staged since
    lose_records(lab)
    v, kept = volumes[0], f"{lab.driver.state}/kept.img"
    os.link(v.image, kept)
    v.delete()
    assert run(CRYPTSETUP, "luksOpen", "--test-passphrase", "--key-file", "-", kept, check=False,
               stdin=v.secrets["CRYPTO_KEY_VALUE"].encode()).returncode
    assert len(read_at(kept, HEADER).strip(b"\0")) > MIB // 2
    os.unlink(kept)


@case("the records are lost, and the start after that is killed, wherever: the next one adopts all images")
def killed_in_adoption(lab):
    volumes = [lab.create(encrypted=False, size=16 * MIB, cap=block_cap()) for _ in range(2)]
    tracer, kills, step = Tracer(), [], 1 if FULL else 5  # from the schema to the adoption it is 8
    while True:
        lab.driver.stop()
        remove_records(lab.driver)
        tracer.start(at=step * len(kills) + 1, wait=False)
        wait_for("the kill", 20, lambda: tracer.control.state()[1] or tracer.listens())
        if not tracer.control.state()[1]:
            break
        kills.append(tracer.control.state()[2])
        tracer.process.wait(20)
        lab.driver.start()
        expect(f"adopted after {len(kills)}, {kills[-1]}", sorted(v.id for v in volumes), sorted(e.volume.volume_id for e in lab.c.ListVolumes().entries))
    tracer.stop()
    lab.driver.start()
    print(f"    {len(kills)} kills")
    assert sum("state.db" in k for k in kills) > 4, kills


# ---- two operations at one volume ----

@contextlib.contextmanager
def stopped_in_copy(driver, call, **fields):
    """A call of a driver's, its process stopped where an image is half-made; it goes on afterwards and has to succeed."""
    half_made = f"{driver.state}/tmp"
    join = in_background(getattr(driver.client, call), **fields)
    try:
        wait_for("a half-made image", 20, lambda: [f for f in os.listdir(half_made) if f.endswith(".new") and os.stat(f"{half_made}/{f}").st_blocks])
        driver.process.send_signal(signal.SIGSTOP)
        expect("half-made images", 1, len([f for f in os.listdir(half_made) if f.endswith(".new")]))
        yield
    finally:
        driver.process.send_signal(signal.SIGCONT)
        outcome = join()
    expect(f"{call} in the end", "OK", outcome)


@case("two processes at one volume: while one copies it the other neither stages, grows, copies nor deletes it, nor resumes it")
def two_processes(lab):
    folder = small_state(lab, "ext4", 2500)  # no reflinks: a copy takes its time
    one, other = (Driver(name, state=f"{folder}/state", overprovision=200, **{"node-id": "n1"}) for name in ("one", "other"))
    for d in (one, other):
        d.start()
        lab.on_clear.append(d.stop)
    one.name = "n1"
    inner = Lab(one)
    v = inner.create(size=192 * MIB, parameters={"pauseAllowed": "true"})
    with open(f"{v.up()}/data", "wb") as f:
        for _ in range(160):
            f.write(os.urandom(MIB))

    def nothing_goes(c):
        grown = pb.CapacityRange(required_bytes=256 * MIB)
        for call, fields in (("NodeStageVolume", v.stage_fields()), ("NodeUnstageVolume", dict(volume_id=v.id, staging_target_path=v.staging)),
                             ("NodeExpandVolume", dict(volume_id=v.id, volume_path=v.staging, capacity_range=grown)),
                             ("ControllerExpandVolume", dict(volume_id=v.id, capacity_range=grown)), ("DeleteVolume", dict(volume_id=v.id)),
                             ("ControllerPublishVolume", dict(volume_id=v.id, node_id="n1", volume_capability=v.cap)),
                             ("CreateSnapshot", dict(source_volume_id=v.id, name="meanwhile")),
                             ("CreateVolume", dict(name="meanwhile", volume_capabilities=[v.cap], parameters=clone["parameters"],
                                                   volume_content_source=source_volume(v.id)))):
            c.fails("ABORTED", call, **fields)
    clone = dict(name="clone", volume_capabilities=[v.cap], parameters={"encrypted": "true", "pauseAllowed": "true"}, volume_content_source=source_volume(v.id))
    cut = dict(source_volume_id=v.id, name="cut", parameters={"pauseAllowed": "true"})
    for call, fields in (("CreateVolume", clone), ("CreateSnapshot", cut)):  # of a live volume
        with stopped_in_copy(one, call, **fields):
            nothing_goes(other.client)
            other.restart()
            assert "SUSPENDED" in run("dmsetup", "info", v.id).stdout.decode(), f"{call}: resumed by another process"
        assert "ACTIVE" in run("dmsetup", "info", v.id).stdout.decode()
    v.down()
    for call, fields in (("CreateVolume", {**clone, "name": "clone-2"}), ("CreateSnapshot", {**cut, "name": "cut-2"})):
        with stopped_in_copy(one, call, **fields):
            nothing_goes(other.client)
    # a source that is being restored isn't deleted; a second restore of it goes on beside the first
    s = {e.snapshot.snapshot_id: e.snapshot for e in one.client.ListSnapshots().entries}
    restore = dict(name="restored", volume_capabilities=[v.cap], parameters={"encrypted": "true"}, volume_content_source=source_snapshot(next(iter(s))))
    with stopped_in_copy(one, "CreateVolume", **restore):
        other.client.fails("ABORTED", "DeleteSnapshot", snapshot_id=next(iter(s)))
        w = other.client.CreateVolume(**{**restore, "name": "restored-2"}).volume
    for e in one.client.ListVolumes().entries:
        if e.volume.volume_id != v.id:
            one.client.DeleteVolume(volume_id=e.volume.volume_id)
    assert w.volume_id not in str(one.client.ListVolumes())
    # while a backup is written its volume is free
    store = make_store(f"{folder}/store")
    join = in_background(one.client.CreateSnapshot, source_volume_id=v.id, name="backup", parameters={"type": "bak", "backupDir": store})
    wait_for("blocks in the store", 30, lambda: [f for _, _, files in os.walk(store) for f in files if len(f) > 32])
    one.process.send_signal(signal.SIGSTOP)
    try:
        other.client.NodeStageVolume(**v.stage_fields())
        other.client.NodeUnstageVolume(volume_id=v.id, staging_target_path=v.staging)
    finally:
        one.process.send_signal(signal.SIGCONT)
    expect("the backup", "OK", join())
    for e in one.client.ListSnapshots().entries:
        one.client.DeleteSnapshot(snapshot_id=e.snapshot.snapshot_id)
    why = inner.clear()
    assert not why, why


def written(path):
    """Bytes of a file that are neither holes nor allocated and blank."""
    total = at = 0
    with open(path, "rb") as f, contextlib.suppress(OSError):
        while True:
            at = os.lseek(f.fileno(), at, os.SEEK_DATA)
            end = os.lseek(f.fileno(), at, os.SEEK_HOLE)
            total, at = total + end - at, end
    return total


@case("copies without reflinks: refused at once where their room is promised or gone; kept free of others while they are made")
def room_of_copies(lab):
    folder, foreign = small_state(lab, "ext4", 900), f"{SCRATCH}/small/foreign"
    one, other = (Driver(name, state=f"{folder}/state", **{"node-id": "n1"}) for name in ("one", "other"))
    for d in (one, other):
        d.start()
        lab.on_clear.append(d.stop)
    one.name = "n1"
    inner = Lab(one)
    v = inner.create(size=192 * MIB)
    with open(f"{v.up()}/data", "wb") as f:
        for _ in range(160):
            f.write(os.urandom(MIB))
    v.down()
    data = written(v.image)
    snapshot = dict(source_volume_id=v.id, name="copy")
    clone = dict(name="clone", volume_capabilities=[v.cap], parameters={"encrypted": "true"}, volume_content_source=source_volume(v.id))
    store = make_store(f"{SCRATCH}/csi/room-store")
    lab.on_clear.append(lambda: shutil.rmtree(store))
    backup = one.client.CreateSnapshot(source_volume_id=v.id, name="backup", parameters={"type": "bak", "backupDir": store}).snapshot.snapshot_id
    restore = {**clone, "name": "restored", "volume_content_source": source_snapshot(backup)}

    def left(driver=one):
        return driver.client.GetCapacity().available_capacity

    def refused(call, why, **fields):
        message = one.client.fails("RESOURCE_EXHAUSTED", call, **fields)
        assert why in message, message
        expect("images", [[v.id + ".img"], []],
               [[x for x in os.listdir(f"{one.state}/{d}") if os.stat(f"{one.state}/{d}/{x}").st_blocks] for d in ("volumes", "snapshots")])
        expect("half-made ones", [], [x for x in os.listdir(f"{one.state}/tmp") if x.endswith(".new")])

    def close(what, wanted, found):
        assert abs(wanted - found) < 12 * MIB, f"{what}: wanted about {wanted // MIB} MiB, found {found // MIB} MiB"
    # free, but promised
    filler = inner.create(size=left() - data // 2, cap=block_cap(), encrypted=False)
    refused("CreateSnapshot", "promised to volumes", **snapshot)
    filler.delete()
    # while it is made: the rest of its room is nobody else's, and counted once
    before = left()
    with stopped_in_copy(one, "CreateSnapshot", **snapshot):
        during = left(other)
        close("what a snapshot takes", data, before - during)
        other.client.fails("RESOURCE_EXHAUSTED", "CreateVolume", name="more", volume_capabilities=[block_cap()],
                           capacity_range=pb.CapacityRange(required_bytes=during + 24 * MIB))
    close("what a snapshot took", data, before - left())
    one.client.DeleteSnapshot(snapshot_id=one.client.CreateSnapshot(**snapshot).snapshot.snapshot_id)
    before = left()
    with stopped_in_copy(one, "CreateVolume", **clone):
        close("what a clone takes", 192 * MIB + HEADER, before - left(other))
    close("what a clone took", 192 * MIB + HEADER, before - left())
    one.client.DeleteVolume(volume_id=one.client.CreateVolume(**clone).volume.volume_id)
    # more is promised than there is: by what is free
    other.stop()
    one.restart(overprovision=1000)
    free = os.statvfs(folder)
    with open(foreign, "wb") as f:
        os.posix_fallocate(f.fileno(), 0, free.f_bavail * free.f_frsize - data // 2)
    refused("CreateSnapshot", "are to be written", **snapshot)
    refused("CreateVolume", "are to be written", **clone)
    refused("CreateVolume", "no room for the restored image", **restore)
    os.unlink(foreign)
    for fields in (clone, restore):
        one.client.DeleteVolume(volume_id=one.client.CreateVolume(**fields).volume.volume_id)
    one.client.DeleteSnapshot(snapshot_id=backup)
    why = inner.clear()
    assert not why, why


if __name__ == "__main__":
    sys.exit(run_on(Driver()))
