#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The life of an encrypted volume, each step a result line. usage: lifecycle.py SCRATCH STATE"""
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from csiclient import Client, block_cap, mount_cap, pb  # noqa: E402

SCRATCH, STATE = sys.argv[1:3]
CHEAP = {"CRYPTO_PBKDF": "pbkdf2", "CRYPTO_PBKDF_FORCE_ITERATIONS": "1000"}
SECRET = dict(CHEAP, CRYPTO_KEY_VALUE="correct horse battery staple")
WRONG = dict(CHEAP, CRYPTO_KEY_VALUE="correct horse battery stable")
NEW = dict(CHEAP, CRYPTO_KEY_VALUE="correct horse, another", CRYPTO_KEY_VALUE_PREVIOUS=SECRET["CRYPTO_KEY_VALUE"])
MARKER = b"found-me-if-you-can-" * 512
MIB = 1 << 20
c = Client(f"{SCRATCH}/csi.sock")
c.ready()
failed = 0


def check(name, good, why=""):
    global failed
    print(f"ok {name}" if good else f"FAIL {name} {why}", flush=True)
    failed += not good


def path(name):
    return f"{SCRATCH}/kubelet/{name}"


def stage(v, name, secrets=SECRET, cap=None, **more):
    os.makedirs(path(name), exist_ok=True)
    return c.NodeStageVolume(volume_id=v.volume_id, staging_target_path=path(name), volume_capability=cap or mount_cap(),
                             secrets=secrets, volume_context=v.volume_context, **more)


def publish(v, name, target, cap=None):
    c.NodePublishVolume(volume_id=v.volume_id, staging_target_path=path(name), target_path=path(target),
                        volume_capability=cap or mount_cap(), volume_context=v.volume_context)


def unstage(v, name):
    c.NodeUnstageVolume(volume_id=v.volume_id, staging_target_path=path(name))


def create(name, mib=64, parameters=None, cap=None, **more):
    return c.CreateVolume(name=name, capacity_range=pb.CapacityRange(required_bytes=mib * MIB), volume_capabilities=[cap or mount_cap()],
                          parameters={"encrypted": "true"} if parameters is None else parameters, **more).volume


def image(v):
    return f"{STATE}/volumes/{v.volume_id}.img"


def contains(file, what):
    with open(file, "rb") as f:
        tail = b""
        while True:
            chunk = f.read(4 * MIB)
            if not chunk:
                return False
            if what in tail + chunk:
                return True
            tail = chunk[-len(what):]


def header(v):
    with open(image(v), "rb") as f:
        return f.read(16 * MIB)


def size_of(device):
    return int(subprocess.run(["blockdev", "--getsize64", device], capture_output=True, text=True, check=True).stdout)


def opens(file, passphrase):
    return subprocess.run(["cryptsetup", "open", "--test-passphrase", "-d", "-", file], input=passphrase.encode(),
                          capture_output=True).returncode == 0


# ---- one volume, from its class and Secret ----
v = create("pvc-life", secrets=SECRET)
check("create: the size is what was asked for", v.capacity_bytes == 64 * MIB)
check("create: the same name again gives the same volume", create("pvc-life", secrets=SECRET).volume_id == v.volume_id)
check("create: nothing is formatted yet", not any(header(v)))
message = c.fails("INVALID_ARGUMENT", "NodeStageVolume", volume_id=v.volume_id, staging_target_path=path("s1"), volume_capability=mount_cap())
check("stage: a missing Secret is named", "CRYPTO_KEY_VALUE" in message, message)
check("stage: a missing Secret leaves the device blank", not any(header(v)))
stage(v, "s1")
stage(v, "s1")
check("stage: both header copies are there", header(v)[:6] == b"LUKS\xba\xbe" and header(v)[0x4000:0x4006] == b"SKUL\xba\xbe")
check("stage: the mapping has the exact size", size_of(f"/dev/mapper/{v.volume_id}") == 64 * MIB)
publish(v, "s1", "p1")
with open(path("p1/file"), "wb") as f:
    f.write(MARKER)
    f.flush()
    os.fsync(f.fileno())
subprocess.run(["sync"], check=True)
check("the plaintext is found through the mapping", contains(f"/dev/mapper/{v.volume_id}", MARKER[:200]))
check("the plaintext is found nowhere in the image", not contains(image(v), MARKER[:200]))
usage = c.NodeGetVolumeStats(volume_id=v.volume_id, volume_path=path("p1"))
check("stats: bytes and inodes", [u.unit for u in usage.usage] == [1, 2] and usage.usage[0].used > 0)

# ---- wrong key ----
before = header(v)
c.fails("UNAUTHENTICATED", "NodeStageVolume", volume_id=v.volume_id, staging_target_path=path("s1"), volume_capability=mount_cap(),
        secrets=WRONG)
check("wrong key: refused though the volume is open", True)
c.NodeUnpublishVolume(volume_id=v.volume_id, target_path=path("p1"))
unstage(v, "s1")
unstage(v, "s1")
check("unstage: the mapping is gone", not os.path.exists(f"/dev/mapper/{v.volume_id}"))
c.fails("UNAUTHENTICATED", "NodeStageVolume", volume_id=v.volume_id, staging_target_path=path("s1"), volume_capability=mount_cap(),
        secrets=WRONG)
check("wrong key: nothing mapped, nothing mounted",
      not os.path.exists(f"/dev/mapper/{v.volume_id}") and not os.path.ismount(path("s1")))
check("wrong key: the header is byte-identical", header(v) == before)
check("stock cryptsetup opens the volume", opens(image(v), SECRET["CRYPTO_KEY_VALUE"]))

# ---- snapshot, restore, expansion ----
stage(v, "s1")
publish(v, "s1", "p1")
snap = c.CreateSnapshot(source_volume_id=v.volume_id, name="snap-life").snapshot
check("snapshot of a staged volume", snap.ready_to_use and snap.size_bytes == 64 * MIB)
source = pb.VolumeContentSource(snapshot=pb.VolumeContentSource.SnapshotSource(snapshot_id=snap.snapshot_id))
c.fails("INVALID_ARGUMENT", "CreateVolume", name="pvc-plain", volume_capabilities=[mount_cap()], volume_content_source=source)
check("restore into a plain volume is refused", True)
r = create("pvc-restored", 128, volume_content_source=source)
stage(r, "s2")
with open(path("s2/file"), "rb") as f:
    check("restore: the data is there", f.read() == MARKER)
check("restore into a bigger volume: the file system has grown", os.statvfs(path("s2")).f_blocks * os.statvfs(path("s2")).f_frsize > 100 * MIB)
unstage(r, "s2")
c.ControllerExpandVolume(volume_id=v.volume_id, capacity_range=pb.CapacityRange(required_bytes=96 * MIB))
c.NodeExpandVolume(volume_id=v.volume_id, volume_path=path("p1"), capacity_range=pb.CapacityRange(required_bytes=96 * MIB))
check("expansion without a secret: the mapping has grown", size_of(f"/dev/mapper/{v.volume_id}") == 96 * MIB)
with open(path("p1/file"), "rb") as f:
    check("expansion: the data is there", f.read() == MARKER)
c.NodeExpandVolume(volume_id=v.volume_id, volume_path=path("p1"), capacity_range=pb.CapacityRange(required_bytes=112 * MIB), secrets=SECRET)
check("expansion with the secret works, too", size_of(f"/dev/mapper/{v.volume_id}") == 112 * MIB)

# ---- backup and restore ----
subprocess.run([os.environ.get("CRYPTVOL", "cryptvol"), "backup", "--init", f"{STATE}/store"], check=True)
bak = c.CreateSnapshot(source_volume_id=v.volume_id, name="bak-life", parameters={"type": "bak", "backupDir": f"{STATE}/store"}).snapshot
found = subprocess.run(["grep", "-rqF", MARKER[:200].decode(), f"{STATE}/store"]).returncode
check("backup: nothing readable in it", found == 1)
b = create("pvc-from-backup", 112,
           volume_content_source=pb.VolumeContentSource(snapshot=pb.VolumeContentSource.SnapshotSource(snapshot_id=bak.snapshot_id)))
stage(b, "s3")
with open(path("s3/file"), "rb") as f:
    check("backup: restored as a new encrypted volume", f.read() == MARKER)
unstage(b, "s3")

# ---- rotation ----
c.NodeUnpublishVolume(volume_id=v.volume_id, target_path=path("p1"))
unstage(v, "s1")
stage(v, "s1", NEW)
unstage(v, "s1")
stage(v, "s1", NEW)
unstage(v, "s1")
check("rotation: the new passphrase opens, the old one doesn't",
      opens(image(v), NEW["CRYPTO_KEY_VALUE"]) and not opens(image(v), SECRET["CRYPTO_KEY_VALUE"]))
check("rotation: the header before it is backed up, for root alone",
      all(os.stat(f"{STATE}/headers/{f}").st_mode & 0o777 == 0o600 for f in os.listdir(f"{STATE}/headers")) and os.listdir(f"{STATE}/headers"))

# ---- what may hold data is never formatted ----
with open(image(v), "r+b") as f:
    f.write(bytes(16 * MIB))
c.fails("FAILED_PRECONDITION", "NodeStageVolume", volume_id=v.volume_id, staging_target_path=path("s1"), volume_capability=mount_cap(),
        secrets=NEW)
check("zeros where a header was: an error, device untouched", not any(header(v)))
n = create("pvc-foreign")
subprocess.run(["mkfs.ext4", "-q", "-F", image(n)], check=True)
before = header(n)
c.fails("FAILED_PRECONDITION", "NodeStageVolume", volume_id=n.volume_id, staging_target_path=path("s1"), volume_capability=mount_cap(),
        secrets=SECRET)
check("a file system on a new volume: an error, device untouched", header(n) == before)

# ---- block mode ----
k = create("pvc-block", cap=block_cap())
stage(k, "s4", cap=block_cap())
publish(k, "s4", "p4", cap=block_cap())
check("block: the target is the device, of the exact size", size_of(path("p4")) == 64 * MIB)
c.NodeUnpublishVolume(volume_id=k.volume_id, target_path=path("p4"))
unstage(k, "s4")

for volume in (v, r, b, n, k):
    c.DeleteVolume(volume_id=volume.volume_id)
c.DeleteSnapshot(snapshot_id=snap.snapshot_id)
c.DeleteSnapshot(snapshot_id=bak.snapshot_id)
left = [f for d in ("volumes", "snapshots", "headers") for f in os.listdir(f"{STATE}/{d}")]
check("delete: nothing is left in the state directory", not left, str(left))
sys.exit(1 if failed else 0)
