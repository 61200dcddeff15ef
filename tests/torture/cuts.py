# SPDX-License-Identifier: Apache-2.0
"""One life of a guest between two power cuts, on a disk with a volatile cache. First what the last cut left is examined: calls that
were under way are made again and have to succeed, all that was acknowledged has to be there (files that were fsynced, volumes, sizes,
keys, snapshots, deletions), and nothing else. Then callers work on, until the next cut.

What was asked and what was acknowledged is in a journal outside of the guest's disk.

    cuts.py work   examine, then work until the cut      cuts.py end   examine, then take all down: nothing may be left
"""
import contextlib
import hashlib
import json
import os
import random
import re
import sqlite3
import sys
import threading
import time
import traceback

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../csi"))
from lab import (MIB, SCRATCH, Driver, Failed, Lab, Volume, device_bytes, expect, kept_keys, loops, mappings, mount_cap, pb,  # noqa: E402
                 secret, source_snapshot)

OUT = os.environ["LAB_OUT"]
CALLERS, VOLUMES_EACH, SNAPSHOTS_EACH = 2, 2, 2
SIZE, SIZE_MAX = 32 * MIB, 48 * MIB


class Journal:
    """What was asked, what was acknowledged: a line each, on the host before the next thing happens."""

    def __init__(self, path):
        self.lock = threading.Lock()
        self.lines = []
        with contextlib.suppress(FileNotFoundError), open(path, encoding="ascii") as f:
            self.lines = [json.loads(line) for line in f if line.endswith("\n")]
        self.serial = len(self.lines)
        self.fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def put(self, record):
        with self.lock:
            self.serial += 1
            record = {"n": self.serial, **record}
            os.write(self.fd, (json.dumps(record) + "\n").encode())
            os.fsync(self.fd)
        return record


class Model:
    """What has to be there, by the journal."""

    def __init__(self, lines):
        self.volumes, self.snapshots, self.open = {}, {}, {}
        for line in lines:
            self.open.pop(line.get("again"), None)
            if "op" in line:
                self.open[line["n"]] = line
            elif "id" in line:
                self.acknowledged(line)

    def acknowledged(self, line):
        a = self.open.pop(line["n"])
        name, v = a["volume"], self.volumes.get(a["volume"])
        if a["op"] == "create":
            s = self.snapshots.get(a["source"])
            self.volumes[name] = {"id": line["id"], "size": a["size"], "key": a["key"], "files": list(s["files"]) if s else []}
        elif a["op"] == "stage":
            v["key"] = a["key"]
        elif a["op"] == "expand":
            v["size"] = a["size"]
        elif a["op"] == "write":
            v["files"].append(a["file"])
        elif a["op"] == "delete":
            del self.volumes[name]
        elif a["op"] == "snapshot":
            self.snapshots[a["snapshot"]] = {"id": line["id"], "volume": name, "key": v["key"], "size": v["size"], "files": a["files"]}
        elif a["op"] == "drop":
            del self.snapshots[a["snapshot"]]


def content(file):
    block = hashlib.sha256(file.encode()).digest()
    return block * (1 + int.from_bytes(block[:2], "little") % 1500)


class World:
    """Calls to the driver, each by what stands in the journal of it."""

    def __init__(self, driver):
        self.lab = Lab(driver)
        self.journal = Journal(f"{OUT}/journal")
        self.model = Model(self.journal.lines)
        self.lock = threading.Lock()

    def do(self, op, volume, **more):
        """Asked, done, acknowledged. Only what is told to come back comes back."""
        a = self.journal.put({"op": op, "volume": volume, **more})
        with self.lock:
            self.model.open[a["n"]] = a
        limit = time.monotonic() + 60
        while True:
            try:
                result = getattr(self, op)(a)
                break
            except Failed as e:
                if e.code not in ("ABORTED", "UNAVAILABLE") or time.monotonic() > limit:
                    raise
                time.sleep(0.05)
        ack = {"n": a["n"], "id": result}
        self.journal.put(ack)
        with self.lock:
            self.model.acknowledged(ack)

    def handle(self, name):
        v = self.model.volumes[name]
        return Volume(self.lab, name, pb.Volume(volume_id=v["id"], volume_context={"encrypted": "true"}), mount_cap(), secret(v["key"]))

    def create(self, a):
        kw = {"volume_content_source": source_snapshot(self.model.snapshots[a["source"]]["id"])} if a["source"] else {}
        v = self.lab.c.CreateVolume(name=a["volume"], capacity_range=pb.CapacityRange(required_bytes=a["size"]), secrets=secret(a["key"]),
                                    volume_capabilities=[mount_cap()], parameters={"encrypted": "true"}, **kw).volume
        expect("the size", a["size"], v.capacity_bytes)
        return v.volume_id

    def stage(self, a):
        v = self.handle(a["volume"])
        v.attach()
        v.stage(secret(a["key"], CRYPTO_KEY_VALUE_PREVIOUS=a["previous"]) if a["previous"] else secret(a["key"]))

    def unstage(self, a):
        v = self.handle(a["volume"])
        v.unstage()
        v.detach()

    def publish(self, a):
        self.handle(a["volume"]).publish()

    def unpublish(self, a):
        self.handle(a["volume"]).unpublish()

    def expand(self, a):
        self.handle(a["volume"]).expand(a["size"])

    def write(self, a):
        folder = self.handle(a["volume"]).staging
        with open(f"{folder}/{a['file']}", "wb") as f:
            f.write(content(a["file"]))
            f.flush()
            os.fsync(f.fileno())
        fd = os.open(folder, os.O_RDONLY)
        os.fsync(fd)
        os.close(fd)

    def snapshot(self, a):
        s = self.lab.c.CreateSnapshot(source_volume_id=self.model.volumes[a["volume"]]["id"], name=a["snapshot"]).snapshot
        assert s.ready_to_use, "a snapshot that isn't ready"
        return s.snapshot_id

    def drop(self, a):
        self.lab.c.DeleteSnapshot(snapshot_id=self.model.snapshots[a["snapshot"]]["id"])

    def delete(self, a):
        self.lab.c.DeleteVolume(volume_id=self.model.volumes[a["volume"]]["id"])

    def do_stage(self, name, new_key=None):
        key = self.model.volumes[name]["key"]
        self.do("stage", name, key=new_key or key, previous=key if new_key else "")

    # ---- what the cut left ----

    def finish(self, rnd):
        """The calls that were under way are made again. A publish or an expansion needs its volume staged first, as after any reboot."""
        for a in sorted(self.model.open.values(), key=lambda a: a["n"]):
            del self.model.open[a["n"]]
            if a["op"] in ("publish", "expand"):
                self.do_stage(a["volume"])
            if a["op"] == "write":
                self.journal.put({"again": a["n"]})  # an application that isn't there any more
            else:
                self.do(**{**{k: v for k, v in a.items() if k != "n"}, "again": a["n"]})
            print(f"    under way at the cut: {a['op']} {a['volume']}", flush=True)
        if self.model.snapshots:
            name, s = rnd.choice(sorted(self.model.snapshots.items()))
            if "check" not in self.model.volumes and rnd.random() < 0.5:
                self.do("create", "check", key=s["key"], size=s["size"], source=name)

    def examine(self, name, rnd):
        v, handle = self.model.volumes[name], self.handle(name)
        if rnd.random() < 0.3:
            self.do("unpublish", name)
            self.do("unstage", name)  # the pod went to another life: kubelet clears up before
        self.do_stage(name)
        expect(f"the size of {name}", v["size"], device_bytes(handle.mapper))
        for file in v["files"]:
            try:
                with open(f"{handle.staging}/{file}", "rb") as f:
                    assert f.read() == content(file), f"{name}: {file} was acknowledged and is another"
            except FileNotFoundError:
                raise AssertionError(f"{name}: {file} was acknowledged and is gone") from None
        self.do("unpublish", name)
        self.do("unstage", name)
        if rnd.random() < 0.3:
            expect(f"{name}: keyslots", 1, len(handle.dump()["keyslots"]))

    def nothing_else(self):
        """With everything unstaged: what is recorded, on the disk and in the kernel is what was acknowledged."""
        state, volumes = self.lab.driver.state, {v["id"] for v in self.model.volumes.values()}
        snapshots = {s["id"] for s in self.model.snapshots.values()}
        expect("volumes listed", volumes, {e.volume.volume_id for e in self.lab.c.ListVolumes().entries})
        expect("snapshots listed", snapshots, {e.snapshot.snapshot_id for e in self.lab.c.ListSnapshots().entries})
        for folder, ids in (("volumes", volumes), ("snapshots", snapshots)):
            expect(f"images in {folder}", {f"{i}.img" for i in ids}, set(os.listdir(f"{state}/{folder}")))
        backups = {re.sub(r"\.\d+\.hdr$", "", f) for f in os.listdir(f"{state}/headers")}
        expect("header backups without a volume", set(), backups - volumes)
        expect("half-made files", [], [f for f in os.listdir(f"{state}/tmp") if not f.endswith(".lock")])
        with contextlib.closing(sqlite3.connect(f"{state}/state.db", timeout=20)) as db:
            expect("the records' own check", [("ok",)], db.execute("PRAGMA integrity_check").fetchall())
            expect("uses", [], db.execute("SELECT * FROM uses").fetchall())
            expect("growing", [], db.execute("SELECT * FROM growing").fetchall())
        expect("mappings", set(), mappings())
        expect("loop devices", [f"{OUT}/disk.img"], list(loops().values()))
        limit = time.monotonic() + 5
        while kept_keys() and time.monotonic() < limit:
            time.sleep(0.1)  # they go a moment after their mapping
        expect("kept keys", [], kept_keys())

    def examine_all(self, rnd):
        self.finish(rnd)
        for name in sorted(self.model.volumes):
            self.examine(name, rnd)
        if "check" in self.model.volumes:
            self.do("delete", "check")
        self.nothing_else()

    # ---- work ----

    def work_once(self, prefix, rnd):
        mine = sorted(n for n in self.model.volumes if n.startswith(prefix))
        snapshots = sorted(n for n, s in self.model.snapshots.items() if s["volume"].startswith(prefix))
        if len(mine) < VOLUMES_EACH:
            source = rnd.choice(snapshots) if snapshots and rnd.random() < 0.5 else ""
            s = self.model.snapshots.get(source, {"key": f"key {self.journal.serial}", "size": SIZE})
            self.do("create", f"{prefix}{self.journal.serial}", key=s["key"], size=s["size"], source=source)
            return
        name = rnd.choice(mine)
        self.do_stage(name, f"key {self.journal.serial}" if rnd.random() < 0.4 else None)
        self.do("publish", name)
        for _ in range(rnd.randint(1, 4)):
            self.do("write", name, file=f"{name}-{self.journal.serial}")
        if rnd.random() < 0.4 and self.model.volumes[name]["size"] < SIZE_MAX:
            self.do("expand", name, size=self.model.volumes[name]["size"] + 4 * MIB)
        if rnd.random() < 0.5:
            if len(snapshots) >= SNAPSHOTS_EACH:
                self.do("drop", self.model.snapshots[snapshots[0]]["volume"], snapshot=snapshots[0])
            self.do("snapshot", name, snapshot=f"{name}-cut-{self.journal.serial}", files=list(self.model.volumes[name]["files"]))
            self.do("write", name, file=f"{name}-{self.journal.serial}")
        self.do("unpublish", name)
        self.do("unstage", name)
        if rnd.random() < 0.3:
            self.do("delete", name)

    def work(self, seed):
        def caller(prefix):
            rnd = random.Random(f"{seed} {prefix}")
            try:
                while True:
                    self.work_once(prefix, rnd)
            except BaseException as e:
                bad(e)
        for i in range(CALLERS):
            threading.Thread(target=caller, args=(f"c{i}-",)).start()


def bad(e):
    where = [f"{os.path.basename(x.filename)}:{x.lineno}" for x in traceback.extract_tb(e.__traceback__)]
    print(f"bad: {' '.join(f'{type(e).__name__}: {e}'.split())} at {' '.join(where)}", flush=True)
    os._exit(1)


def main():
    seed = os.environ["SEED"]
    rnd = random.Random(seed)
    driver = Driver()
    driver.log = f"{OUT}/driver.log"  # the guest's own files are lost with it
    try:
        driver.start(wrap=("env", f"LD_PRELOAD={os.environ['PRELOAD']}") if "PRELOAD" in os.environ else ())
        world = World(driver)
        world.examine_all(rnd)
        if sys.argv[1] == "work":
            print("    examined", flush=True)
            with open(f"{OUT}/armed", "w", encoding="ascii"):
                pass
            world.work(seed)
            return
        for s in sorted(world.model.snapshots):
            world.do("drop", world.model.snapshots[s]["volume"], snapshot=s)
        for v in sorted(world.model.volumes):
            world.do("delete", v)
        world.nothing_else()
        driver.stop()
    except (AssertionError, Failed, OSError) as e:
        bad(e)
    print("    all taken down")


if __name__ == "__main__":
    main()
