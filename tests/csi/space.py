# SPDX-License-Identifier: Apache-2.0
"""What the driver promises on a small disk is held: with --overprovision=100 whatever was created can be written, whatever
else was created, cut, cloned, restored, expanded and deleted; random sequences on ext4, xfs and btrfs try to break it.
FULL=1 runs 1,000 of them, else a sample; SEED chooses others, SEQUENCES how many, KINDS the file systems."""
import os
import random
import sys

from disks import NOISE, Apart, discard, disk, fill, hog
from lab import FULL, MIB, Driver, Failed, block_cap, case, expect, in_background, pb, run_cases, secret, source_snapshot, source_volume

SEED = int(os.environ.get("SEED", "1"))
SEQUENCES = int(os.environ.get("SEQUENCES", "0")) or (1000 if FULL else 6)
THICK = float(os.environ.get("THICK", "0.4"))  # their part
KINDS = os.environ.get("KINDS", "xfs ext4 btrfs").split()
SIZES = {"xfs": 320, "ext4": 256, "btrfs": 400}
ROOM = 144 * MIB  # of it, the rest is foreign
REFUSALS = {"RESOURCE_EXHAUSTED", "OUT_OF_RANGE"}


# ---- one by one ----

@case("a snapshot of a full volume is owed its size: no new volume takes it, and the pod writes all of its volume anew")
def owed(lab):
    del lab
    with disk("xfs", 512, 400 * MIB) as (inner, _):
        c = inner.driver.client
        v = inner.create(size=160 * MIB, cap=block_cap(), encrypted=False)
        fill(v.up(), 0, 160 * MIB)
        before = c.GetCapacity().available_capacity
        inner.snapshot(v)
        after = c.GetCapacity().available_capacity
        assert 158 * MIB <= before - after <= 170 * MIB, f"{before} bytes before the snapshot, {after} after it"
        c.fails("RESOURCE_EXHAUSTED", "CreateVolume", name="too-big", volume_capabilities=[block_cap()],
                capacity_range=pb.CapacityRange(required_bytes=after + MIB))
        w = inner.create(size=after, cap=block_cap(), encrypted=False)
        fill(w.up(), 0, after)
        message = c.fails("RESOURCE_EXHAUSTED", "CreateSnapshot", source_volume_id=w.id, name="no-room")
        assert "the node's disk is full" in message, message
        c.fails("RESOURCE_EXHAUSTED", "CreateVolume", name="no-room", volume_capabilities=[block_cap()],
                volume_content_source=source_volume(w.id))
        fill(v.target(), 0, 160 * MIB)
        expect("what it still owes", True, c.GetCapacity().available_capacity < 8 * MIB)
        why = inner.clear()
        assert not why, why


@case("the last room is given once: two processes that create, expand and cut at the same time")
def last_room(lab):
    del lab
    with disk("xfs", 400, 300 * MIB) as (inner, _):
        other = Driver("other", state=inner.driver.state, **{"node-id": inner.driver.name})
        other.start()
        try:
            v = inner.create(size=64 * MIB, cap=block_cap(), encrypted=False)
            fill(v.up(), 0, 64 * MIB)
            left = inner.c.GetCapacity().available_capacity
            ask = dict(volume_capabilities=[block_cap()], capacity_range=pb.CapacityRange(required_bytes=left - 16 * MIB))
            calls = [lambda d=d, n=n: d.client.CreateVolume(name=f"last-{n}", **ask) for n, d in enumerate((inner.driver, other) * 2)]
            calls.append(lambda: inner.c.CreateSnapshot(source_volume_id=v.id, name="last"))
            calls.append(lambda: other.client.ControllerExpandVolume(volume_id=v.id, capacity_range=pb.CapacityRange(required_bytes=left)))
            outcomes = sorted(j() for j in [in_background(f) for f in calls])
            assert outcomes.count("OK") == 1 and set(outcomes) <= {"OK", "ABORTED", *REFUSALS}, outcomes
            for e in inner.c.ListVolumes().entries:
                if e.volume.volume_id != v.id:
                    inner.c.DeleteVolume(volume_id=e.volume.volume_id)
            for e in inner.c.ListSnapshots().entries:
                inner.c.DeleteSnapshot(snapshot_id=e.snapshot.snapshot_id)
        finally:
            other.stop()
        why = inner.clear()
        assert not why, why


def thick_holds(kind):
    def f(lab):
        del lab
        with disk(kind, SIZES[kind], 220 * MIB, overprovision=1000) as (inner, folder):
            thick = {"provisioning": "thick"}
            v = inner.create(size=48 * MIB, cap=block_cap(), encrypted=False, parameters=thick)
            w = inner.create(size=32 * MIB, parameters=thick)
            for x in (v, w):
                blocks = os.stat(x.image).st_blocks * 512
                assert blocks >= os.path.getsize(x.image), f"{blocks} bytes are allocated of {os.path.getsize(x.image)}"
            v.up()
            discard(v.target(), 0, 48 * MIB)
            with open(f"{w.up()}/file", "wb") as file:
                file.write(NOISE[:MIB])
            v.expand(64 * MIB)
            inner.c.fails("RESOURCE_EXHAUSTED", "CreateVolume", name="thick", volume_capabilities=[block_cap()], parameters=thick,
                          capacity_range=pb.CapacityRange(required_bytes=SIZES[kind] * MIB))
            room = hog(folder)
            fill(v.target(), 0, 64 * MIB)
            fill(v.target(), 0, 64 * MIB)
            with open(f"{w.target()}/file", "r+b") as file:
                for _ in range(16):
                    file.write(NOISE[:MIB])
                file.flush()
                os.fsync(file.fileno())
            room()
            why = inner.clear()
            assert not why, why
    return f


for fs in SIZES:
    case(f"a thick volume on {fs} has its blocks: it is written, twice, on a disk that others filled")(thick_holds(fs))


@case("the header's blocks are there from the start: a thin volume is formatted, its key changed, on a disk that is full")
def header_blocks(lab):
    del lab
    with disk("xfs", 400, 300 * MIB, overprovision=1000) as (inner, folder):
        v = inner.create(size=64 * MIB, cap=block_cap())
        s = inner.create(size=64 * MIB, cap=block_cap())
        s.up()
        s.down()
        inner.snapshot(s)
        blocks = os.stat(v.image).st_blocks * 512
        assert 16 * MIB <= blocks <= 17 * MIB, f"{blocks} bytes are allocated of a new image"
        room = hog(folder, 6 * MIB)  # header backups
        v.stage()
        v.unstage()
        s.stage({**secret("another passphrase"), "CRYPTO_KEY_VALUE_PREVIOUS": s.secrets["CRYPTO_KEY_VALUE"]})
        s.unstage()
        room()
        why = inner.clear()
        assert not why, why


# ---- random sequences ----

class Sequence:
    """One run of random calls; every write in it has to succeed."""

    def __init__(self, lab, kind, seed, steps=14):
        self.lab, self.kind, self.random, self.steps = lab, kind, random.Random(seed), steps
        self.c = lab.driver.client
        self.done = []
        self.snapshots = []
        self.bytes = {}

    def pick(self, of=None):
        return self.random.choice(of if of is not None else self.lab.volumes)

    def size(self):
        left = self.c.GetCapacity().available_capacity // MIB
        return max(16, self.pick([16, 24, 48, left // 3, left // 2, left - 16, left])) * MIB

    def new(self, **kw):
        encrypted = kw.pop("encrypted", self.random.random() < 0.2)
        # a cipher in software: small is enough
        size = kw.pop("size", 16 * MIB if encrypted else self.size())
        thick = self.random.random() < THICK
        v = self.lab.create(size=size, cap=block_cap(), encrypted=encrypted, **kw,
                            parameters={**({"provisioning": "thick"} if thick else {}), "pauseAllowed": "true"})
        v.thick = thick
        v.up()
        self.bytes[v.id] = v.message.capacity_bytes
        return v

    def write(self, v=None):
        v = v or self.pick()
        total = self.bytes[v.id]
        how = self.random.random()
        if how < 0.3:
            fill(v.target(), 0, total)
        elif how < 0.6:
            n = self.random.randrange(1, total // 4096 + 1) * 4096
            fill(v.target(), self.random.randrange((total - n) // 4096 + 1) * 4096, n)
        else:  # scattered blocks: extents without end
            for _ in range(200):
                fill(v.target(), self.random.randrange(total // 4096) * 4096, 4096)

    def aside(self, v, f):
        """A plain block volume can't be stopped for a copy: without reflinks it has to be unstaged."""
        away = self.kind == "ext4" and not v.secrets
        if away:
            v.down()
        try:
            return f()
        finally:
            if away:
                v.up()

    def cut(self):
        v = self.pick()
        s = self.aside(v, lambda: self.c.CreateSnapshot(source_volume_id=v.id, name=self.lab.name("snap"),
                                                        parameters={"pauseAllowed": "true"}).snapshot)
        self.snapshots.append((s.snapshot_id, bool(v.secrets), s.size_bytes, v.secrets))

    def clone(self):
        v = self.pick()
        self.aside(v, lambda: self.new(encrypted=bool(v.secrets), size=self.bytes[v.id], source=source_volume(v.id),
                                       secrets=v.secrets))

    def restore(self):
        s, encrypted, size, secrets = self.pick(self.snapshots)
        self.new(encrypted=encrypted, size=size, source=source_snapshot(s), secrets=secrets)

    def expand(self):
        v = self.pick()
        size = self.bytes[v.id] + (8 * MIB if v.secrets else self.size())
        v.expand(size)
        self.bytes[v.id] = size

    def delete(self):
        v = self.pick()
        v.down()
        v.delete()

    def delete_snapshot(self):
        s = self.pick(self.snapshots)
        self.c.DeleteSnapshot(snapshot_id=s[0])
        self.snapshots.remove(s)

    def again(self):
        v = self.pick()
        v.down()
        v.up()

    def trim(self):
        v = self.pick()
        discard(v.target(), 0, self.bytes[v.id] // 2)

    def step(self):
        steps = [self.new]
        if self.lab.volumes:
            steps += [self.write] * 5 + [self.cut] * 3 + [self.clone, self.expand, self.delete, self.again, self.trim, self.new]
        if self.snapshots:
            steps += [self.restore, self.delete_snapshot]
        f = self.pick(steps)
        self.done.append(f.__name__)
        try:
            f()
        except Failed as e:
            assert e.code in REFUSALS, f"{f.__name__}: {e}"
            self.done[-1] += "(no)"

    def run(self):
        for _ in range(self.steps):
            self.step()
        # all of what was promised, at once
        self.done.append("fill")
        for v in self.lab.volumes:
            fill(v.target(), 0, self.bytes[v.id])

    def clear(self):
        self.lab.snapshots = [s[0] for s in self.snapshots]
        return self.lab.clear()


def one_sequence(lab, kind, seed):
    random.seed(seed)
    s = Sequence(lab, kind, seed)
    why = ""
    try:
        s.run()
    except (OSError, AssertionError) as e:
        free = os.statvfs(lab.driver.state)
        why = f"{e}; {free.f_bavail * free.f_frsize // 1024} KiB free, after: {' '.join(s.done)}; "
    why += s.clear()
    assert not why, f"SEED={seed} KINDS={kind}: {why}"
    return len(s.done), sum("(no)" in d for d in s.done)


def sequences(kind):
    def f(lab):
        del lab
        steps = refused = 0
        n = (SEQUENCES + len(KINDS) - 1) // len(KINDS)
        with disk(kind, SIZES[kind], ROOM) as (inner, _):
            for seed in range(SEED, SEED + n):
                more = one_sequence(inner, kind, seed)
                steps, refused = steps + more[0], refused + more[1]
        print(f"    {kind}: {n} sequences, {steps} steps, {refused} of them refused for want of room, every write went through", flush=True)
    return f


for fs in KINDS:
    case(f"random sequences on a small {fs}: what was promised can be written, always")(sequences(fs))


if __name__ == "__main__":
    sys.exit(run_cases(lambda: Apart(None)))
