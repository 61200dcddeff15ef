# SPDX-License-Identifier: Apache-2.0
"""The calls that torture.py kills the driver in: what each needs before, what has to be there after it, how it is taken back."""
import os

from lab import (CRYPTSETUP, MIB, device_bytes, expect, mounted, run, secret, source_snapshot, source_volume, text_of)

SIZE = 32 * MIB
FIRST = secret("the first passphrase")
SECOND = secret("the second passphrase", CRYPTO_KEY_VALUE_PREVIOUS="the first passphrase")
WORDS = "acknowledged before the kill"


def put_file(path):
    with open(path, "w", encoding="ascii") as f:
        f.write(WORDS)
        f.flush()
        os.fsync(f.fileno())


class Scenario:
    """before() makes what the call needs, call() is the call (or several), check() looks at data once it has converged, after()
    takes everything back. Names are the same each time, so that what is left can be compared."""

    repeatable = True  # does the retry end where an undisturbed call ends?

    def __init__(self, lab):
        self.lab = lab
        self.v = None

    @property
    def c(self):
        return self.lab.c

    def begin(self):
        pass

    def before(self):
        pass

    def call(self):
        raise NotImplementedError

    def between(self):
        """What others do before the call is made again."""

    def check(self):
        pass

    def after(self):
        pass

    def copy(self, name="copy"):
        """A volume with a file system and a file in it, quickly."""
        return self.lab.create(name, size=SIZE, secrets=FIRST, source=source_snapshot(self.lab.snapshots[0]))

    def has_file(self, folder):
        expect("the file", WORDS, text_of(f"{folder}/data"))


class Create(Scenario):
    """CreateVolume"""
    source = None

    def call(self):
        v = self.lab.create("fresh", size=SIZE, secrets=FIRST, source=self.source)
        if self.v in self.lab.volumes:
            self.lab.volumes.remove(self.v)
        self.v = v

    def after(self):
        self.v.delete()


class Restore(Create):
    """CreateVolume from a snapshot"""

    def begin(self):
        self.source = source_snapshot(self.lab.snapshots[0])


class Clone(Create):
    """CreateVolume as a clone of a staged volume"""

    def before(self):
        self.from_volume = self.copy()
        self.from_volume.attach()
        self.from_volume.stage()
        self.source = source_volume(self.from_volume.id)

    def check(self):
        put_file(f"{self.from_volume.staging}/more")  # it isn't left suspended

    def after(self):
        super().after()
        self.from_volume.down()
        self.from_volume.delete()


class Publish(Scenario):
    """ControllerPublishVolume, ControllerUnpublishVolume"""

    def before(self):
        self.v = self.copy()

    def call(self):
        self.v.attach()
        self.v.detach()

    def after(self):
        self.v.delete()


class StageFirst(Scenario):
    """NodeStageVolume of a new volume: format and mkfs"""
    encrypted = True

    def before(self):
        self.v = self.lab.create("new", size=SIZE, secrets=FIRST if self.encrypted else {}, encrypted=self.encrypted)
        self.v.attach()

    def call(self):
        self.v.stage()

    def check(self):
        put_file(f"{self.v.staging}/data")

    def after(self):
        self.v.down()
        if self.encrypted:
            run(CRYPTSETUP, "open", "--test-passphrase", "--key-file", "-", self.v.image, stdin=FIRST["CRYPTO_KEY_VALUE"].encode())
        self.v.delete()
        os.rmdir(self.v.staging)


class StagePlain(StageFirst):
    """NodeStageVolume of a new plain volume: mkfs"""
    encrypted = False


class Stage(Scenario):
    """NodeStageVolume of a volume in use"""

    def begin(self):
        self.v = self.copy()
        self.v.attach()
        self.v.stage()
        self.v.unstage()

    def call(self):
        self.v.stage()

    def check(self):
        self.has_file(self.v.staging)

    def after(self):
        self.v.unstage()


class Unstage(Stage):
    """NodeUnstageVolume"""

    def before(self):
        self.v.stage()
        self.has_file(self.v.staging)
        put_file(f"{self.v.staging}/data")

    def call(self):
        self.v.unstage()

    def check(self):
        assert not mounted(self.v.staging)

    def after(self):
        pass


class NodePublish(Stage):
    """NodePublishVolume, NodeUnpublishVolume"""

    def begin(self):
        super().begin()
        self.v.stage()

    def call(self):
        self.has_file(self.v.publish())
        self.v.unpublish()

    def after(self):
        pass


class Expand(Scenario):
    """ControllerExpandVolume, NodeExpandVolume of a staged volume, with its secret: a killed driver keeps no key"""

    def before(self):
        self.v = self.copy()
        self.v.attach()
        self.v.stage()

    def call(self):
        self.v.expand(2 * SIZE, secrets=self.v.secrets)

    def check(self):
        self.has_file(self.v.staging)
        expect("the device", 2 * SIZE, device_bytes(self.v.mapper))
        s = os.statvfs(self.v.staging)
        assert s.f_blocks * s.f_frsize > SIZE, "the file system has not grown"

    def after(self):
        self.v.down()
        self.v.delete()


class Rotate(Scenario):
    """NodeStageVolume with CRYPTO_KEY_VALUE_PREVIOUS"""

    def before(self):
        self.v = self.copy()
        self.v.attach()

    def call(self):
        self.v.stage(SECOND)

    def check(self):
        self.has_file(self.v.staging)
        expect("keyslots", 1, len(self.v.dump()["keyslots"]))
        for status, key in ((0, SECOND), (2, FIRST)):
            p = run(CRYPTSETUP, "open", "--test-passphrase", "--key-file", "-", self.v.image,
                    stdin=key["CRYPTO_KEY_VALUE"].encode(), check=False)
            expect(f"cryptsetup with {key['CRYPTO_KEY_VALUE']}", status, p.returncode)

    def after(self):
        self.v.down()
        self.v.delete()


class Snapshot(Scenario):
    """CreateSnapshot of a staged volume"""

    def begin(self):
        self.v = self.copy()
        self.v.attach()
        self.v.stage()

    def call(self):
        self.snapshot = self.c.CreateSnapshot(source_volume_id=self.v.id, name="cut").snapshot
        assert self.snapshot.ready_to_use, "the snapshot isn't ready"

    def check(self):
        put_file(f"{self.v.staging}/more")  # it isn't left suspended
        w = self.lab.create("restored", size=SIZE, secrets=FIRST, source=source_snapshot(self.snapshot.snapshot_id))
        w.attach()
        w.stage()
        self.has_file(w.staging)
        w.down()
        w.delete()

    def after(self):
        self.c.DeleteSnapshot(snapshot_id=self.snapshot.snapshot_id)


class SnapshotFresh(Scenario):
    """CreateSnapshot of a volume that is first used between kill and retry"""
    repeatable = False

    def before(self):
        self.v = self.lab.create("new", size=SIZE, secrets=FIRST)
        self.v.attach()

    def between(self):
        self.v.stage()

    def call(self):
        self.snapshot = self.c.CreateSnapshot(source_volume_id=self.v.id, name="cut").snapshot

    def check(self):
        if not mounted(self.v.staging):
            self.between()  # nobody was killed
        w = self.lab.create("restored", size=SIZE, secrets=FIRST, source=source_snapshot(self.snapshot.snapshot_id))
        w.attach()
        w.stage()
        w.down()
        w.delete()

    def after(self):
        self.c.DeleteSnapshot(snapshot_id=self.snapshot.snapshot_id)
        self.v.down()
        self.v.delete()


class SnapshotDelete(Scenario):
    """DeleteSnapshot"""

    def begin(self):
        self.v = self.copy()

    def before(self):
        self.snapshot = self.c.CreateSnapshot(source_volume_id=self.v.id, name="cut").snapshot

    def call(self):
        self.c.DeleteSnapshot(snapshot_id=self.snapshot.snapshot_id)


class Delete(Scenario):
    """DeleteVolume"""

    def before(self):
        self.v = self.copy()
        self.lab.volumes.remove(self.v)

    def call(self):
        self.c.DeleteVolume(volume_id=self.v.id)


class CloneFresh(Create):
    """CreateVolume as a clone of a volume that is first used between kill and retry"""
    repeatable = False

    def before(self):
        self.from_volume = self.lab.create("new", size=SIZE, secrets=FIRST)
        self.from_volume.attach()
        self.source = source_volume(self.from_volume.id)

    def between(self):
        self.from_volume.stage()
        put_file(f"{self.from_volume.staging}/data")

    def check(self):
        if not mounted(self.from_volume.staging):
            self.between()  # nobody was killed
            return
        self.v.attach()
        self.v.stage()
        self.v.down()

    def after(self):
        super().after()
        self.from_volume.down()
        self.from_volume.delete()


class Group(Scenario):
    """CreateVolumeGroupSnapshot of two volumes that are written to between kill and retry, the second after the first"""

    def begin(self):
        self.volumes = [self.copy("one"), self.copy("two")]
        for v in self.volumes:
            v.attach()
            v.stage()

    def between(self, count=2):
        for v in self.volumes:
            with open(f"{v.staging}/count", "w", encoding="ascii") as f:
                f.write(str(count))
                f.flush()
                os.fsync(f.fileno())

    def before(self):
        self.between(1)

    def call(self):
        self.group = self.c.CreateVolumeGroupSnapshot(name="group", source_volume_ids=[v.id for v in self.volumes]).group_snapshot
        assert self.group.ready_to_use, "the group isn't ready"

    def check(self):
        counts = []
        for v in self.volumes:
            s = next(s for s in self.group.snapshots if s.source_volume_id == v.id)
            w = self.lab.create("restored", size=SIZE, secrets=FIRST, source=source_snapshot(s.snapshot_id))
            w.attach()
            w.stage()
            counts.append(int(text_of(f"{w.staging}/count")))
            w.down()
            w.delete()
        assert counts[0] >= counts[1], f"the second volume has write {counts[1]}, the first only {counts[0]}"

    def after(self):
        self.c.DeleteVolumeGroupSnapshot(group_snapshot_id=self.group.group_snapshot_id,
                                         snapshot_ids=[s.snapshot_id for s in self.group.snapshots])


SCENARIOS = (Create, Restore, Clone, CloneFresh, Publish, StageFirst, StagePlain, Stage, Unstage, NodePublish, Expand, Rotate, Snapshot,
             SnapshotFresh, SnapshotDelete, Group, Delete)
