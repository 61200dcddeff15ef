# SPDX-License-Identifier: Apache-2.0
"""The key that a staged volume keeps to grow without its secret: where it is, who can't get at it, when it ends."""
import os
import signal
import sys

from lab import (CRYPTSETUP, MIB, Driver, Failed, block_cap, case, device_bytes, expect, kept_keys, mount_cap, pb, run, run_on,
                 secret, wait_for)

REFUSED = "FAILED_PRECONDITION"
KEYATTACK = os.path.join(os.environ["BUILD"], "loopdev/keyattack")


def outcome(f):
    try:
        f()
        return "OK"
    except Failed as e:
        return e.code


def grow_by(v, mib, **kw):
    size = device_bytes(v.mapper) + mib * MIB
    expect("capacity", size, v.expand(size, **kw).capacity_bytes)
    expect("mapping", size, device_bytes(v.mapper))


def is_refused(v, mib):
    """Without a secret, where none is kept: said, and nothing changes."""
    size = device_bytes(v.mapper)
    wanted = pb.CapacityRange(required_bytes=size + mib * MIB)
    v.c.ControllerExpandVolume(volume_id=v.id, capacity_range=wanted)
    for _ in range(2):
        message = v.c.fails(REFUSED, "NodeExpandVolume", volume_id=v.id, volume_path=v.targets[0], capacity_range=wanted)
        assert "csi.storage.k8s.io/node-expand-secret-name" in message, message
        expect("the mapping", size, device_bytes(v.mapper))


@case("expansion without the secret, mount and block: by the key that the driver keeps, which nobody else sees")
def expand_kept(lab):
    for cap in (mount_cap(), block_cap(), mount_cap("xfs"), mount_cap("btrfs")):
        fs = cap.mount.fs_type
        size = {"xfs": 320, "btrfs": 256}.get(fs, 64) * MIB
        v = lab.create(cap=cap, size=size)
        target = v.up()
        was = 0 if v.is_block else os.statvfs(target).f_blocks
        grow_by(v, 32)
        expect("keys that anybody may list", [], kept_keys())
        expect("again", size + 32 * MIB, v.expand(size + 32 * MIB).capacity_bytes)
        if not v.is_block:
            assert os.statvfs(target).f_blocks > was * 1.1, f"{fs}: {was} blocks, then {os.statvfs(target).f_blocks}"
        v.down()
        v.delete()


@case("expansion after a restart of the driver: without a secret FAILED_PRECONDITION, never OK; with it OK; a wrong one refused")
def expand_lost(lab):
    for cap, how in ((mount_cap(), signal.SIGTERM), (block_cap(), signal.SIGKILL)):
        v = lab.create(cap=cap)
        v.up()
        lab.driver.restart(how, session=True)
        is_refused(v, 32)
        expect("a wrong secret", "UNAUTHENTICATED", outcome(lambda: v.node_expand(96 * MIB, secrets=secret("wrong"))))
        expect("the mapping", 64 * MIB, device_bytes(v.mapper))
        v.node_expand(96 * MIB, secrets=v.secrets)
        expect("the mapping", 96 * MIB, device_bytes(v.mapper))
        is_refused(v, 16)
        v.stage()  # again, as it is: the key is kept from now on, and the record's size caught up with
        expect("the mapping", 112 * MIB, device_bytes(v.mapper))
        grow_by(v, 16)
        v.down()
        # offline: grown at the next stage
        lab.c.ControllerExpandVolume(volume_id=v.id, capacity_range=pb.CapacityRange(required_bytes=144 * MIB))
        v.up()
        expect("the mapping", 144 * MIB, device_bytes(v.mapper))


@case("--keep-key=table: expansion without the secret also after a restart and a kill of the driver; none: never")
def keep_elsewhere(lab):
    lab.on_clear.append(lab.driver.restart)
    lab.driver.restart(**{"keep-key": "table"})
    volumes = [lab.create(cap=cap) for cap in (mount_cap(), block_cap())]
    for how in (signal.SIGTERM, signal.SIGKILL):
        for v in volumes:
            if not v.targets:
                v.up()
            grow_by(v, 16)
        expect("keys that anybody may list", [], kept_keys())
        lab.driver.restart(how, session=True, **{"keep-key": "table"})
    for v in volumes:
        grow_by(v, 16)
        v.down()
    lab.driver.restart(**{"keep-key": "none"})
    for v in volumes:
        v.up()
        is_refused(v, 16)
        v.stage()
        is_refused(v, 16)
        v.node_expand(0, secrets=v.secrets)


@case("a mapping that somebody else closed: the key that was kept for it goes")
def closed_by_others(lab):
    v, w = (lab.create(cap=block_cap()) for _ in range(2))
    for x in (v, w):
        x.attach()
        x.stage()
    for close in (["dmsetup", "remove", v.id], [CRYPTSETUP, "close", w.id]):
        seen = lab.driver.log_text().count("kept keys revoked")
        run(*close)
        wait_for("the key is revoked", 30, lambda n=seen: lab.driver.log_text().count("kept keys revoked") > n)
    for x in (v, w):
        x.stage()
        x.publish()
        grow_by(x, 16)


@case("a root process of a container finds, takes, uses and revokes no key, whichever way it is kept, open or closed")
def root_pod(lab):
    lab.on_clear.append(lab.driver.restart)
    for keep in ("process", "table"):
        lab.driver.restart(session=True, **{"keep-key": keep})
        v = lab.create(cap=block_cap())
        v.up()
        for when in ("open", "closed"):
            for flags in ("-d", "-nd", "-nsd"):
                p = run(KEYATTACK, flags, f"cryptvol:,cryptsetup:,{v.id}", f"cryptvol:{v.id}", check=False)
                assert p.returncode == 0 and b"took" not in p.stdout and b"tried" in p.stdout, f"{keep}, {when}: {p.stdout} {p.stderr}"
            if when == "open":
                grow_by(v, 16)
                v.unpublish()
                run("dmsetup", "remove", v.id)


if __name__ == "__main__":
    sys.exit(run_on(Driver()))
