# SPDX-License-Identifier: Apache-2.0
"""Backups by the driver: stores that hang, are locked, or hold what isn't ours; who goes on meanwhile. The state has no reflinks."""
import fcntl
import glob
import hashlib
import json
import os
import signal
import sqlite3
import sys
import time

from lab import (HEADER, MIB, SCRATCH, Driver, Lab, block_cap, case, drop_caches, edit_header, expect, in_background, make_store, mount_cap, pb, read_at,
                 run, run_on, source_snapshot, text_of, wait_for)

CRYPTVOL = os.environ.get("CRYPTVOL", "cryptvol")
CRYPTSETUP = os.environ.get("CRYPTSETUP", "cryptsetup")
STORE = os.path.join(SCRATCH, "csi", "store")
KIND = {"type": "bak", "backupDir": STORE}
WORKERS = 4
HUNG = f"backup-{'0' * 32}.00000000"


def manifest(name):
    found = glob.glob(f"{STORE}/manifests/*/{name}.json")
    expect(f"manifests of {name}", 1, len(found))
    return found[0]


def codes(joins):
    return sorted(j() for j in joins)


# ---- who waits ----

class HungFolder:
    """A folder of the store whose disk is suspended: who reads what isn't cached sleeps until it goes on."""

    def __init__(self, lab, name):
        self.path = f"{STORE}/manifests/{name}"
        self.image = f"{SCRATCH}/csi/{name}.img"
        self.name = f"hung-{os.getpid()}"
        run("truncate", "-s", "16M", self.image)
        run("mkfs.ext4", "-q", "-F", self.image)
        self.loop = run("losetup", "-f", "--show", self.image).stdout.decode().strip()
        run("dmsetup", "create", self.name, stdin=f"0 32768 linear {self.loop} 0\n".encode())
        os.makedirs(self.path)
        run("mount", f"/dev/mapper/{self.name}", self.path)
        with open(f"{self.path}/{HUNG}.json", "wb"):
            pass
        run("umount", self.path)
        run("mount", f"/dev/mapper/{self.name}", self.path)
        drop_caches()
        run("dmsetup", "suspend", "--nolockfs", self.name)
        lab.on_clear.append(self.remove)

    def resume(self):
        run("dmsetup", "resume", self.name)

    def remove(self):
        self.resume()
        run("umount", self.path)
        run("dmsetup", "remove", "--retry", self.name)
        run("losetup", "-d", self.loop)
        os.rmdir(self.path)


def asleep(driver):
    """Threads of the driver that nothing can interrupt."""
    states = [text_of(f"/proc/{driver.pid}/task/{t}/stat").rpartition(")")[2].split()[:1] for t in os.listdir(f"/proc/{driver.pid}/task")]
    return states.count(["D"])


@case("a store that hangs: its callers wait, half of the workers at most; all else goes on")
def hung(lab):
    v = lab.create()
    far = HungFolder(lab, "far")
    waiting = [in_background(lab.c.GetSnapshot, snapshot_id=HUNG, timeout=200) for _ in range(2)]
    wait_for("both look-ups sleep", 60, lambda: asleep(lab.driver) >= 2)
    for method, kw in (("GetSnapshot", {"snapshot_id": HUNG}),
                       ("CreateSnapshot", {"source_volume_id": v.id, "name": lab.name("snap"), "parameters": KIND}),
                       ("CreateVolume", {"name": lab.name(), "volume_capabilities": [mount_cap()], "parameters": {"encrypted": "true"},
                                         "secrets": v.secrets, "volume_content_source": source_snapshot(HUNG)})):
        lab.c.fails("ABORTED", method, timeout=60, **kw)
    lab.c.ControllerGetVolume(volume_id=v.id, timeout=60)
    lab.create()
    v.up()
    v.down()
    far.resume()
    expect("the look-ups end", ["FAILED_PRECONDITION"] * 2, codes(waiting))


@case("a share that isn't mounted: nothing is written, found or forgotten; FAILED_PRECONDITION says so")
def unmounted(lab):
    v = lab.create()
    s = lab.snapshot(v, parameters=KIND)
    os.rename(STORE, f"{STORE}.away")
    os.mkdir(STORE)
    try:
        for method, kw in (("CreateSnapshot", {"source_volume_id": v.id, "name": lab.name("snap"), "parameters": KIND}),
                           ("GetSnapshot", {"snapshot_id": HUNG}),
                           ("DeleteSnapshot", {"snapshot_id": s.snapshot_id})):
            why = lab.c.fails("FAILED_PRECONDITION", method, **kw)
            assert "is no backup store" in str(why), f"{method}: {why}"
        expect("what lies in the folder below", [], os.listdir(STORE))
    finally:
        os.rmdir(STORE)
        os.rename(f"{STORE}.away", STORE)
    expect("snapshots of the records", 1, len([e for e in lab.c.ListSnapshots().entries if e.snapshot.source_volume_id == v.id]))
    w = lab.create(secrets=v.secrets, source=source_snapshot(s.snapshot_id))
    w.up()
    w.down()


def craft(name, device, size=None, blocks=()):
    """A manifest that a hostile share has, under a checksum of its own."""
    head = {"version": 1, "volume": "crafted", "name": name, "size": device if size is None else size, "header": 0, "device": device, "stored": 0,
            "encrypted": 1, "fs_type": "ext4", "uuid": "", "created": 1, "block": MIB, "blocks": list(blocks)}
    text = json.dumps(head, separators=(",", ":")).encode()
    folder = f"{STORE}/manifests/crafted"
    os.makedirs(folder, exist_ok=True)
    with open(f"{folder}/{name}.json", "wb") as f:
        f.write(hashlib.sha256(text).hexdigest().encode() + b"\n" + text)
    return f"{folder}/{name}.json"


@case("crafted manifests hold no worker: sizes beyond the volume's, holes without an end, FIFOs; then all workers are free")
def crafted(lab):
    v = lab.create()
    wrong = [("years", "FAILED_PRECONDITION", dict(device=1 << 62)), ("more", "FAILED_PRECONDITION", dict(device=1 << 50, size=64 * MIB)),
             ("petabyte", "RESOURCE_EXHAUSTED", dict(device=1 << 50))]
    lab.on_clear.append(lambda: run("rm", "-rf", f"{STORE}/manifests/crafted"))
    for name, _, kw in wrong:
        craft(name, **kw)
    with open(craft("long", 64 * MIB), "r+b") as f:
        f.truncate(1 << 40)
    os.mkfifo(f"{STORE}/manifests/crafted/fifo.json")
    wrong += [("long", "FAILED_PRECONDITION", {}), ("fifo", "FAILED_PRECONDITION", {})]
    for _ in range(2):
        for name, code, _ in wrong:
            lab.c.fails(code, "CreateVolume", name=lab.name(), volume_capabilities=[mount_cap()], parameters={"encrypted": "true"}, secrets=v.secrets,
                        volume_content_source=source_snapshot(f"crafted/{name}"), capacity_range=pb.CapacityRange(required_bytes=64 * MIB), timeout=120)
    s = lab.snapshot(v, parameters=KIND)
    joins = [in_background(lab.c.GetSnapshot, snapshot_id=f"crafted/{name}", timeout=120) for name in ("long", "fifo")]
    lab.c.GetSnapshot(snapshot_id=s.snapshot_id, timeout=120)
    expect("look-ups", ["FAILED_PRECONDITION"] * 2, codes(joins))


@case("a store that is locked: uploads wait, one too many is ABORTED, deletions and look-ups don't wait; later all is made")
def locked(lab):
    v = lab.create(size=32 * MIB)
    w = [lab.create(size=32 * MIB) for _ in range(WORKERS)]
    old = lab.snapshot(v, parameters=KIND)
    names = [lab.name("snap") for _ in w]
    with open(f"{STORE}/lock", "rb+") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        cuts = [in_background(lab.snapshot, x, name=n, parameters=KIND, timeout=60) for x, n in zip(w, names)]
        done = []
        wait_for("those that are one too many come back", 30,
                 lambda: lab.driver.log_text().count("as many as may be") >= WORKERS // 2 or time.sleep(0.1))
        v.up()
        v.down()
        fcntl.flock(f, fcntl.LOCK_UN)
        done = codes(cuts)
    expect("the uploads", ["ABORTED"] * (WORKERS // 2) + ["OK"] * (WORKERS // 2), done)
    for x, n in zip(w, names):
        lab.snapshot(x, name=n, parameters=KIND)
    with open(f"{STORE}/lock", "rb+") as f:
        fcntl.flock(f, fcntl.LOCK_SH)
        lab.c.GetSnapshot(snapshot_id=old.snapshot_id, timeout=20)
        lab.c.DeleteSnapshot(snapshot_id=old.snapshot_id, timeout=20)
    assert not glob.glob(f"{STORE}/manifests/*/{old.snapshot_id}.json")
    assert "left to the next deletion" in lab.driver.log_text(), "no warning"


# ---- what isn't ours, or isn't known any more ----

@case("a manifest that can't be read stands in no other backup's way")
def junk(lab):
    v = lab.create()
    with open(f"{v.up()}/data", "wb") as f:
        f.write(b"kept")
    v.down()
    s = lab.snapshot(v, parameters=KIND)
    bad = os.path.join(os.path.dirname(manifest(s.snapshot_id)), "x.json")
    with open(bad, "wb") as f:
        f.write(b"junk")
    lab.on_clear.append(lambda: os.path.exists(bad) and os.unlink(bad))
    other = Driver("n2", **{"backup-dir": STORE})
    try:
        there = Lab(other)
        other.start()
        w = there.create(secrets=v.secrets, source=source_snapshot(s.snapshot_id))
        expect("the file", b"kept", open(f"{w.up()}/data", "rb").read())
        expect("elsewhere", "", there.clear())
    finally:
        other.stop()
    lab.c.DeleteSnapshot(snapshot_id=s.snapshot_id)
    lab.c.DeleteSnapshot(snapshot_id=s.snapshot_id)
    assert not glob.glob(f"{STORE}/manifests/*/{s.snapshot_id}.json")


@case("a backup whose record is lost: the same name is that backup, with its own time and bytes")
def retried(lab):
    v = lab.create()
    with open(f"{v.up()}/data", "wb") as f:
        f.write(b"then")
    v.down()
    name = lab.name("snap")
    first = lab.snapshot(v, name=name, parameters=KIND)
    with open(f"{v.up()}/data", "wb") as f:
        f.write(b"now")
    v.down()
    lab.driver.stop()
    db = sqlite3.connect(f"{lab.driver.state}/state.db")
    db.execute("DELETE FROM snapshots WHERE id=?", (first.snapshot_id,))
    db.commit()
    db.close()
    time.sleep(1.1)
    lab.driver.start()
    again = lab.c.CreateSnapshot(source_volume_id=v.id, name=name, parameters=KIND).snapshot
    expect("id", first.snapshot_id, again.snapshot_id)
    expect("its time", first.creation_time.seconds, again.creation_time.seconds)
    w = lab.create(secrets=v.secrets, source=source_snapshot(first.snapshot_id))
    expect("the file", b"then", open(f"{w.up()}/data", "rb").read())


@case("a backup pins the header: another one with its UUID is refused where it is restored")
def pinned(lab):
    v = lab.create()
    v.up()
    v.down()
    uuid = run(CRYPTSETUP, "luksUUID", v.image).stdout.decode().strip()
    driver = lab.snapshot(v, parameters=KIND).snapshot_id
    run(CRYPTVOL, "backup", v.image, STORE, "--name", "pinned")
    other = Driver("n3", **{"backup-dir": STORE})
    try:
        there = Lab(other)
        other.start()
        for handle in (driver, "pinned"):
            w = there.create(secrets=v.secrets, source=source_snapshot(handle))
            good = read_at(w.image, HEADER)
            run(CRYPTSETUP, "-q", "luksFormat", "--type", "luks2", "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000", "--uuid", uuid,
                "--sector-size", "512", "--offset", str(HEADER // 512), "--key-file", "-", w.image, stdin=v.secrets["CRYPTO_KEY_VALUE"].encode())
            w.attach()
            why = w.stage_fails("FAILED_PRECONDITION")
            assert "for another volume key" in str(why), f"{handle}: {why}"
            with open(w.image, "r+b") as f:
                f.write(good)
            edit_header(w.image, lambda t: t["config"].update(flags=["allow-discards"]))
            why = w.stage_fails("FAILED_PRECONDITION")
            assert "were changed" in str(why), f"{handle}: {why}"
            with open(w.image, "r+b") as f:
                f.write(good)
            w.up()
            w.down()
        expect("elsewhere", "", there.clear())
    finally:
        other.stop()
    run(CRYPTVOL, "backup", "-q", "--delete", STORE, uuid, "pinned")


@case("backups of the command line: restored by their names, a file system or a block volume as the claim says")
def by_hand(lab):
    v = lab.create()
    with open(f"{v.up()}/data", "wb") as f:
        f.write(b"by hand")
    v.down()
    raw = lab.create(cap=block_cap())
    with open(raw.up(), "r+b") as f:
        f.write(b"raw")
    raw.down()
    run(CRYPTVOL, "backup", v.image, STORE)
    run(CRYPTVOL, "backup", v.image, STORE, "--name", "one")
    run(CRYPTVOL, "backup", raw.image, STORE, "--name", "twice")
    run(CRYPTVOL, "backup", v.image, STORE, "--name", "twice")
    listed = [b for b in json.loads(run(CRYPTVOL, "backup", "--list", STORE, "--json").stdout) if not b["name"].startswith("backup-")]
    by_time = [b["name"] for b in listed if b["name"] not in ("one", "twice")]
    expect("size without the header", {64 * MIB}, {b["size_bytes"] for b in listed})
    for handle in (by_time[0], "one"):
        expect("size", 64 * MIB, lab.c.GetSnapshot(snapshot_id=handle).snapshot.size_bytes)
        w = lab.create(secrets=v.secrets, source=source_snapshot(handle))
        expect("capacity", 64 * MIB, w.message.capacity_bytes)
        expect("image", 64 * MIB + HEADER, os.path.getsize(w.image))
        expect("the file", b"by hand", open(f"{w.up()}/data", "rb").read())
        w.down()
    lab.c.fails("FAILED_PRECONDITION", "GetSnapshot", snapshot_id="twice")
    volumes = {b["volume"]: b for b in listed if b["name"] == "twice"}
    expect("two of a name", 2, len(volumes))
    uuid = run(CRYPTSETUP, "luksUUID", raw.image).stdout.decode().strip().lower()
    handle = f"{uuid}/twice"
    expect("its id", handle, lab.c.GetSnapshot(snapshot_id=handle).snapshot.snapshot_id)
    w = lab.create(secrets=raw.secrets, cap=block_cap(), source=source_snapshot(handle))
    expect("the bytes", b"raw", read_at(w.up(), 3))
    w.down()
    # A claim for a file system where there is none: nothing is formatted over it.
    w = lab.create(secrets=raw.secrets, source=source_snapshot(handle))
    w.attach()
    before = w.header()
    w.stage_fails("FAILED_PRECONDITION")
    w.detach()
    expect("the header", before, w.header())
    lab.c.DeleteSnapshot(snapshot_id=handle)
    lab.c.fails("NOT_FOUND", "GetSnapshot", snapshot_id=handle)
    lab.c.GetSnapshot(snapshot_id="twice")
    for wrong in ("../one", "far/", "/one", "a/b/c"):
        lab.c.fails("NOT_FOUND", "GetSnapshot", snapshot_id=wrong)


@case("a long copy tells how far it is, with its call's id")
def progress(lab):
    v = lab.create(size=256 * MIB, encrypted=False, cap=block_cap())
    with open(v.up(), "r+b") as f:
        for _ in range(200):
            f.write(os.urandom(MIB))
    v.down()
    tmp = f"{lab.driver.state}/tmp"
    cut = in_background(lab.snapshot, v, timeout=120)
    wait_for("the copy is under way", 20,
             lambda: any(f.endswith(".new") and os.path.getsize(f"{tmp}/{f}") > 4 * MIB for f in os.listdir(tmp)))
    os.kill(lab.driver.pid, signal.SIGSTOP)
    time.sleep(4)
    os.kill(lab.driver.pid, signal.SIGCONT)
    expect("the snapshot", "OK", cut())
    lines = [line for line in lab.driver.log_text().splitlines() if 'event="progress"' in line]
    assert lines and v.id in lines[0] and "MiB/s" in lines[0] and "of 200 MiB" in lines[0], f"progress: {lines}"
    assert "request_id=" in lines[0], lines[0]


if __name__ == "__main__":
    make_store(STORE)
    sys.exit(run_on(Driver(workers=WORKERS, **{"backup-dir": STORE})))
