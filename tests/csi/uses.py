# SPDX-License-Identifier: Apache-2.0
"""How volumes are used: second publications, expansion with and without secrets, rotation, copies, two nodes."""
import errno
import os
import re
import sys
import time

from lab import (CRYPTSETUP, FULL, MIB, SCRATCH, Driver, Failed, Lab, Mode, block_cap, case, data_of, device_bytes, expect, fingerprint,
                 in_background, lab_loop, loop_of, mappings, mount_cap, mounted, pb, run, run_on, secret, source_snapshot, source_volume)

REFUSED = "FAILED_PRECONDITION"


# ---- second publications (CSI 1.12, NodePublishVolume) ----

TABLE = {  # mode: other target with the same fields, other target with other fields
    "SINGLE_NODE_WRITER": ("OK", "OK"),
    "SINGLE_NODE_READER_ONLY": ("OK", "OK"),
    "SINGLE_NODE_SINGLE_WRITER": (REFUSED, REFUSED),
    "SINGLE_NODE_MULTI_WRITER": ("OK", "OK"),
}


def outcome(f):
    try:
        f()
        return "OK"
    except Failed as e:
        return e.code


@case("second publish: same target again OK, with other fields ALREADY_EXISTS; other targets by the mode's table")
def second_publish(lab):
    for make in (mount_cap, block_cap):
        for mode, (same, other) in TABLE.items():
            cap = make(mode=getattr(Mode, mode))
            v = lab.create(cap=make(), encrypted=False)
            readonly = mode == "SINGLE_NODE_READER_ONLY"
            if readonly:  # filled by somebody before
                v.attach()
                v.stage()
                v.down()
            v.cap = cap
            v.attach()
            v.stage()
            what = f"{mode} {'block' if v.is_block else 'mount'}"
            v.publish()
            v.publish()
            expect(f"{what}: same target, same fields", "OK", outcome(v.publish))
            if not readonly:
                expect(f"{what}: same target, readonly", "ALREADY_EXISTS", outcome(lambda: v.publish(readonly=True)))
            expect(f"{what}: same target, other mode", "ALREADY_EXISTS",
                   outcome(lambda: v.publish(cap=make(mode=Mode.SINGLE_NODE_WRITER if mode != "SINGLE_NODE_WRITER"
                                                      else Mode.SINGLE_NODE_MULTI_WRITER))))
            expect(f"{what}: other target, same fields", same, outcome(lambda: v.publish("second")))
            # A device's node can be written through whatever its mount says.
            promised = REFUSED if other == "OK" and v.is_block and not readonly else other
            expect(f"{what}: other target, readonly", promised, outcome(lambda: v.publish("third", readonly=True)))
            expect(f"{what}: the other kind", REFUSED, outcome(
                lambda: v.publish("fourth", cap=block_cap() if make is mount_cap else mount_cap())))
            if same == "OK" and make is mount_cap and not readonly:
                with open(f"{v.target()}/x", "w", encoding="ascii") as f:
                    f.write("one volume")
                expect("the second target", "one volume", open(f"{v.target('second')}/x", encoding="ascii").read())
                assert "ro" in mounted(v.target("third"))["options"] and "rw" in mounted(v.target("second"))["options"]
            v.down()
            v.delete()


@case("stage again: the same is OK, another capability ALREADY_EXISTS, another path FAILED_PRECONDITION")
def second_stage(lab):
    v = lab.create()
    v.attach()
    v.stage()
    v.stage()
    base = v.stage_fields()
    for cap in (mount_cap(mode=Mode.SINGLE_NODE_MULTI_WRITER), mount_cap(flags=["noatime"]), block_cap()):
        lab.c.fails("ALREADY_EXISTS", "NodeStageVolume", **{**base, "volume_capability": cap})
    lab.c.fails(REFUSED, "NodeStageVolume", **{**base, "volume_capability": mount_cap("xfs")})
    lab.c.fails(REFUSED, "NodeStageVolume", **{**base, "staging_target_path": v.staging + "-2"})
    lab.c.fails(REFUSED, "NodePublishVolume", volume_id=v.id, target_path=v.target(), volume_capability=v.cap,
                staging_target_path=v.staging + "-2")
    lab.c.fails(REFUSED, "DeleteVolume", volume_id=v.id)
    expect("condition", False, lab.c.NodeGetVolumeStats(volume_id=v.id, volume_path=v.staging).volume_condition.abnormal)


@case("mount options of the capability reach the kernel; a bad one is an error and leaves nothing")
def mount_options(lab):
    v = lab.create(cap=mount_cap(flags=["noatime", "nodev", "nosuid"]))
    v.up()
    assert {"noatime", "nodev", "nosuid"} <= set(mounted(v.staging)["options"]), mounted(v.staging)
    w = lab.create()
    w.attach()
    w.cap = mount_cap(flags=["no-such-option"])
    message = w.c.fails(("INVALID_ARGUMENT", "INTERNAL", REFUSED), "NodeStageVolume", **w.stage_fields())
    assert w.id not in mappings() and not mounted(w.staging) and not loop_of(w.image), message
    w.cap = mount_cap()
    w.stage()


@case("reader-only: nothing is written to the device, the mapping is read-only")
def reader_only(lab):
    v = lab.create()
    v.up()
    v.down()
    before = fingerprint(v.image)
    v.cap = mount_cap(mode=Mode.SINGLE_NODE_READER_ONLY)
    v.attach()
    v.stage()
    try:
        open(f"{v.publish()}/x", "w", encoding="ascii").close()
        raise AssertionError("written")
    except OSError:
        pass
    v.down()
    expect("the image", before, fingerprint(v.image))
    new = lab.create(cap=mount_cap(mode=Mode.SINGLE_NODE_READER_ONLY))
    new.attach()
    new.stage_fails(REFUSED)
    expect("written", [], list(data_of(new.image)))


@case("a read-only target keeps nosuid, nodev and noexec of the stage")
def readonly_keeps_flags(lab):
    v = lab.create(cap=mount_cap(flags=["nosuid", "nodev", "noexec"]))
    v.attach()
    v.stage()
    wanted = {"nosuid", "nodev", "noexec"}
    assert wanted <= set(mounted(v.staging)["options"]), "control: the stage has them"
    target = v.publish(cap=mount_cap(), readonly=True)
    assert wanted | {"ro"} <= set(mounted(target)["options"]), mounted(target)["options"]


@case("a target that is a symbolic link or a file is refused, and nothing is mounted behind it")
def target_is_link(lab):
    v, raw = lab.create(encrypted=False), lab.create(encrypted=False, cap=block_cap())
    elsewhere = f"{lab.kubelet}/elsewhere"
    os.makedirs(elsewhere)
    for w, behind in ((v, elsewhere), (raw, f"{elsewhere}/file")):
        w.attach()
        w.stage()
        os.makedirs(os.path.dirname(w.target()), exist_ok=True)
        if w is raw:
            open(behind, "wb").close()
        os.symlink(behind, w.target())
        expect("a link", "INVALID_ARGUMENT", outcome(w.publish))
        assert not mounted(behind), "it is mounted behind the link"
        assert os.path.islink(w.target()), "the link isn't ours to remove"
        os.unlink(w.target())
    open(v.target(), "wb").close()
    expect("a file", "INVALID_ARGUMENT", outcome(v.publish))
    os.unlink(v.target())
    os.mkdir(raw.target())
    expect("a folder", "INVALID_ARGUMENT", outcome(raw.publish))
    os.rmdir(raw.target())
    v.publish()
    raw.publish()


@case("a target folder with files of somebody: they are hidden, stay, and hold up no end")
def target_with_files(lab):
    v = lab.create(encrypted=False)
    v.attach()
    v.stage()
    os.makedirs(v.target())
    with open(f"{v.target()}/theirs", "wb") as f:
        f.write(b"kept")
    v.publish()
    expect("what the pod sees", ["lost+found"], os.listdir(v.target()))
    v.down()
    expect("what lay there", b"kept", open(f"{v.target()}/theirs", "rb").read())
    v.delete()
    os.unlink(f"{v.target()}/theirs")
    os.rmdir(v.target())


@case("a static volume that names another volume's mapping or image is refused")
def static_names_another(lab):
    v = lab.create()
    v.up()
    for device in (v.mapper, lab_loop(v)):
        for encrypted in ("true", "false"):
            lab.c.fails("PERMISSION_DENIED", "NodeStageVolume", volume_id="static-thief", staging_target_path=f"{lab.kubelet}/thief",
                        volume_capability=mount_cap(), volume_context={"encrypted": encrypted, "device": device},
                        secrets=v.secrets if encrypted == "true" else {})
    v.down()


@case("read-only publish cut between its two steps: the retry makes it read-only")
def half_published(lab):
    v = lab.create()
    v.attach()
    v.stage()
    target = v.publish(readonly=True)
    run("mount", "-o", "remount,bind,rw", target)
    v.publish(readonly=True)
    assert "ro" in mounted(target)["options"], mounted(target)


@case("mkfs options of the class; an fsck that repairs before the mount, one that can't is refused")
def file_system_policies(lab):
    v = lab.create(parameters={"mkfsParams": "-m 0 -L a-label -I 256"})
    v.up()
    shown = run("dumpe2fs", "-h", v.mapper).stdout.decode()
    assert re.search(r"volume name:\s+a-label", shown) and re.search(r"Reserved block count:\s+0\b", shown), shown
    w = lab.create(encrypted=False, parameters={"mkfsParams": "--no-such-option"})
    w.attach()
    message = w.stage_fails(("INVALID_ARGUMENT", REFUSED, "INTERNAL"))
    assert "mkfs" in message and not mounted(w.staging) and not loop_of(w.image), message
    p = lab.create(encrypted=False)
    with open(f"{p.up()}/data", "w", encoding="ascii") as f:
        f.write("data")
    p.down()
    run("debugfs", "-w", "-R", "set_super_value free_blocks_count 1", p.image)
    run("debugfs", "-w", "-R", "set_super_value state 2", p.image)  # "has errors"
    p.up()
    expect("the file", "data", open(f"{p.target()}/data", encoding="ascii").read())
    p.down()
    assert "clean" in run("dumpe2fs", "-h", p.image).stdout.decode()
    run("debugfs", "-w", "-R", "clri <2>", p.image)  # the root directory: not for preen
    run("debugfs", "-w", "-R", "set_super_value state 2", p.image)
    p.attach()
    p.stage_fails((REFUSED, "INTERNAL"))
    assert not mounted(p.staging)


@case("trouble is a condition of the volume: a full state directory, an image that is gone or short; no condition otherwise")
def conditions(lab):
    image = f"{SCRATCH}/csi/small.img"
    run("truncate", "-s", "400M", image)
    run("mkfs.ext4", "-q", "-F", "-m", "0", image)
    folder = f"{SCRATCH}/small"
    os.makedirs(folder, exist_ok=True)
    run("mount", "-o", "loop", image, folder)
    lab.on_clear.append(lambda: (run("umount", folder), os.unlink(image)))
    d = Driver("small", state=f"{folder}/state", overprovision=300)
    d.start()
    lab.on_clear.append(d.stop)
    inner = Lab(d)
    lab.on_clear.append(inner.clear)
    v = inner.create(size=300 * MIB)
    target = v.up()

    def condition():
        listed = {e.volume.volume_id: e.status.volume_condition for e in d.client.ListVolumes().entries}[v.id]
        got = d.client.ControllerGetVolume(volume_id=v.id).status.volume_condition
        node = d.client.NodeGetVolumeStats(volume_id=v.id, volume_path=target).volume_condition
        expect("one condition", (listed.abnormal, listed.abnormal), (got.abnormal, node.abnormal))
        assert listed.message and node.message
        return node.abnormal, node.message
    expect("at first", False, condition()[0])
    with open(f"{folder}/foreign", "wb") as f:
        st = os.statvfs(folder)
        os.posix_fallocate(f.fileno(), 0, st.f_bavail * st.f_frsize - 20 * MIB)
    abnormal, message = condition()
    assert abnormal and "full" in message, message
    os.unlink(f"{folder}/foreign")
    expect("with room again", False, condition()[0])
    os.rename(v.image, v.image + ".away")
    try:
        abnormal, message = condition()
    finally:
        os.rename(v.image + ".away", v.image)
    assert abnormal and "gone" in message, message
    run("umount", target)
    stats = d.client.NodeGetVolumeStats(volume_id=v.id, volume_path=target)
    assert stats.volume_condition.abnormal and "mounted" in stats.volume_condition.message, stats
    why = inner.clear()
    assert not why, why


@case("a state directory without a free byte: volumes are taken down and deleted all the same")
def brimful(lab):
    for kind, mkfs in (("ext4", ("mkfs.ext4", "-q", "-F", "-m", "0")), ("xfs", ("mkfs.xfs", "-q", "-f"))):
        image, folder = f"{SCRATCH}/csi/{kind}.img", f"{SCRATCH}/{kind}"
        run("truncate", "-s", "500M", image)
        run(*mkfs, image)
        os.makedirs(folder, exist_ok=True)
        run("mount", "-o", "loop", image, folder)
        lab.on_clear.append(lambda folder=folder, image=image: (run("umount", folder), os.unlink(image)))
        d = Driver(f"brimful-{kind}", state=f"{folder}/state")
        d.start()
        lab.on_clear.append(d.stop)
        inner = Lab(d)
        v = inner.create(size=32 * MIB)
        v.up()
        v.unpublish()  # the log of changes in use
        v.publish()
        fill(f"{folder}/foreign")
        try:
            open(f"{folder}/more", "wb", buffering=0).write(bytes(4096))
            raise AssertionError("there is room")
        except OSError as e:
            expect("errno", errno.ENOSPC, e.errno)
        v.down()
        v.delete()
        assert not os.path.exists(v.image)
        why = inner.clear()
        assert not why, why


def fill(path):
    """To the last block that is given."""
    st = os.statvfs(os.path.dirname(path))
    with open(path, "wb", buffering=0) as f:
        try:
            os.posix_fallocate(f.fileno(), 0, max(st.f_bavail * st.f_frsize - 8 * MIB, 1))
            f.seek(0, os.SEEK_END)
            for size in (MIB, 4096):
                try:
                    while f.write(bytes(size)) == size:
                        pass
                except OSError as e:
                    expect("errno", errno.ENOSPC, e.errno)
        finally:
            os.fsync(f.fileno())


# ---- expansion ----

@case("expansion: wrong paths NOT_FOUND, no range grows to the record, limits kept, shrinking refused or no change")
def expand_codes(lab):
    v = lab.create()
    v.up()
    lab.c.fails("NOT_FOUND", "NodeExpandVolume", volume_id=v.id, volume_path="/elsewhere")
    lab.c.fails("NOT_FOUND", "NodeGetVolumeStats", volume_id=v.id, volume_path="/elsewhere")
    lab.c.fails("OUT_OF_RANGE", "NodeExpandVolume", volume_id=v.id, volume_path=v.staging, capacity_range=pb.CapacityRange(limit_bytes=MIB))
    lab.c.ControllerExpandVolume(volume_id=v.id, capacity_range=pb.CapacityRange(required_bytes=80 * MIB))
    expect("without a range", 80 * MIB, lab.c.NodeExpandVolume(volume_id=v.id, volume_path=v.staging).capacity_bytes)
    expect("the mapping", 80 * MIB, device_bytes(v.mapper))
    expect("a smaller size", 80 * MIB, v.node_expand(64 * MIB).capacity_bytes)
    # Only OUT_OF_RANGE is final for kubelet and csi-resizer: what doesn't fit can be taken back.
    huge = pb.CapacityRange(required_bytes=1 << 50)
    lab.c.fails("OUT_OF_RANGE", "ControllerExpandVolume", volume_id=v.id, capacity_range=huge)
    lab.c.fails("OUT_OF_RANGE", "NodeExpandVolume", volume_id=v.id, volume_path=v.targets[0], capacity_range=huge)
    expect("taken back", 80 * MIB, v.node_expand(80 * MIB).capacity_bytes)


@case("two nodes: n2 promises nothing for n1's volume, n1's node grows it; other calls say whose it is")
def two_nodes(lab):
    other = Driver("n2")
    c2 = other.start()
    lab.on_clear.append(other.stop)
    v = lab.create()
    v.up()
    for unknown in (v.id, "never-made" + v.id[v.id.rindex("."):]):
        message = c2.fails(REFUSED, "ControllerExpandVolume", volume_id=unknown, volume_capability=v.cap,
                           capacity_range=pb.CapacityRange(required_bytes=96 * MIB))
        assert "another node" in message, message
    expect("n1's node", 96 * MIB, v.node_expand(96 * MIB).capacity_bytes)
    expect("the mapping", 96 * MIB, device_bytes(v.mapper))
    expect("the record", 96 * MIB, lab.c.ControllerGetVolume(volume_id=v.id).volume.capacity_bytes)
    assert "another node" in c2.fails(REFUSED, "DeleteVolume", volume_id=v.id)
    s = lab.snapshot(v)
    c2.fails(REFUSED, "DeleteSnapshot", snapshot_id=s.snapshot_id)
    for source in (source_snapshot(s.snapshot_id), source_volume(v.id)):
        message = c2.fails("RESOURCE_EXHAUSTED", "CreateVolume", name="restored-elsewhere", volume_capabilities=[v.cap],
                           parameters={"encrypted": "true"}, volume_content_source=source)
        assert "another node" in message and "n2" in message, message
    for call, fields in (("ControllerModifyVolume", dict(volume_id=v.id, mutable_parameters={"discard": "true"})),
                         ("CreateSnapshot", dict(source_volume_id=v.id, name="cut-elsewhere")),
                         ("CreateVolumeGroupSnapshot", dict(name="cut-elsewhere", source_volume_ids=[v.id]))):
        message = c2.fails(REFUSED, call, **fields)
        assert "another node" in message, message
    c2.fails("INVALID_ARGUMENT", "ControllerModifyVolume", volume_id=v.id, mutable_parameters={"encrypted": "false"})
    for call in ("ControllerGetVolume", "ValidateVolumeCapabilities", "NodeStageVolume"):
        fields = {"NodeStageVolume": v.stage_fields(), "ValidateVolumeCapabilities": dict(volume_id=v.id, volume_capabilities=[v.cap])}
        message = c2.fails("NOT_FOUND", call, **fields.get(call, dict(volume_id=v.id)))
        assert "another node" in message and "n2" in message, message
    # the same name on both nodes: two volumes, two ids
    w = c2.CreateVolume(name=v.name, volume_capabilities=[v.cap], parameters={"encrypted": "true"},
                        capacity_range=pb.CapacityRange(required_bytes=64 * MIB)).volume
    assert w.volume_id != v.id
    expect("topology", "n2", next(iter(w.accessible_topology[0].segments.values())))
    c2.DeleteVolume(volume_id=w.volume_id)


@case("controller and node as two processes over one state directory")
def split(lab):
    state = os.path.join(SCRATCH, "csi", "split")
    controller = Driver("split-controller", state=state, mode="controller", **{"node-id": "n1"})
    node = Driver("split-node", state=state, mode="node", **{"node-id": "n1"})
    for d in (controller, node):
        d.start()
        lab.on_clear.append(d.stop)
    cap, s = mount_cap(), secret("split")
    staging, target = f"{lab.kubelet}/split/stage", f"{lab.kubelet}/split/pod/mount"
    os.makedirs(os.path.dirname(target), exist_ok=True)
    m = controller.client.CreateVolume(name="split", volume_capabilities=[cap], parameters={"encrypted": "true"},
                                       capacity_range=pb.CapacityRange(required_bytes=64 * MIB)).volume
    stage = dict(volume_id=m.volume_id, staging_target_path=staging, volume_capability=cap, secrets=s, volume_context=m.volume_context)
    node.client.NodeStageVolume(**stage)
    node.client.NodePublishVolume(volume_id=m.volume_id, staging_target_path=staging, target_path=target, volume_capability=cap,
                                  volume_context=m.volume_context)
    with open(f"{target}/data", "w", encoding="ascii") as f:
        f.write("of the split")
    snap = controller.client.CreateSnapshot(source_volume_id=m.volume_id, name="split-snap").snapshot
    controller.client.ControllerExpandVolume(volume_id=m.volume_id, capacity_range=pb.CapacityRange(required_bytes=96 * MIB))
    expect("expanded", 96 * MIB, node.client.NodeExpandVolume(volume_id=m.volume_id, volume_path=target).capacity_bytes)
    controller.client.fails(REFUSED, "DeleteVolume", volume_id=m.volume_id)
    node.client.NodeUnpublishVolume(volume_id=m.volume_id, target_path=target)
    node.client.NodeUnstageVolume(volume_id=m.volume_id, staging_target_path=staging)
    w = controller.client.CreateVolume(name="split-copy", volume_capabilities=[cap], parameters={"encrypted": "true"},
                                       volume_content_source=source_snapshot(snap.snapshot_id)).volume
    node.client.NodeStageVolume(**{**stage, "volume_id": w.volume_id})
    expect("the snapshot of a live volume", "of the split", open(f"{staging}/data", encoding="ascii").read())
    node.client.NodeUnstageVolume(volume_id=w.volume_id, staging_target_path=staging)
    controller.client.DeleteSnapshot(snapshot_id=snap.snapshot_id)
    for x in (m, w):
        controller.client.DeleteVolume(volume_id=x.volume_id)


# ---- rotation ----

def slots(v):
    return sorted(v.dump()["keyslots"])


@case("rotation: the new passphrase opens, the old one doesn't any more, one keyslot, the volume key stays; again is fine")
def rotation(lab):
    v = lab.create(secrets=secret("old"))
    with open(f"{v.up()}/data", "w", encoding="ascii") as f:
        f.write("data")
    v.down()
    digest = v.dump()["digests"]
    v.secrets = secret("new", CRYPTO_KEY_VALUE_PREVIOUS="old")
    for _ in range(3):
        v.up()
        v.stage()
        expect("the file", "data", open(f"{v.target()}/data", encoding="ascii").read())
        expect("keyslots", 1, len(slots(v)))
        expect("digest", {k: {**d, "keyslots": None} for k, d in digest.items()},
               {k: {**d, "keyslots": None} for k, d in v.dump()["digests"].items()})
        v.down()
    v.stage_fails("UNAUTHENTICATED", secret("old"))
    v.stage_fails("UNAUTHENTICATED", secret("wrong", CRYPTO_KEY_VALUE_PREVIOUS="wrong too"))
    v.stage_fails("UNAUTHENTICATED", secret("newer", CRYPTO_KEY_VALUE_PREVIOUS="old"))
    expect("keyslots after refusals", 1, len(slots(v)))
    v.secrets = secret("new", CRYPTO_KEY_VALUE_PREVIOUS="new")
    v.stage()
    run(CRYPTSETUP, "open", "--test-passphrase", "--key-file", "-", v.image, stdin=b"new")
    expect("stock cryptsetup and the old one", 2, run(CRYPTSETUP, "open", "--test-passphrase", "--key-file", "-", v.image, stdin=b"old",
                                                      check=False).returncode)


@case("rotation while the volume is staged; rotation before the first stage")
def rotation_live(lab):
    v = lab.create(secrets=secret("old"))
    v.up()
    v.secrets = secret("new", CRYPTO_KEY_VALUE_PREVIOUS="old")
    v.stage()
    expect("keyslots", 1, len(slots(v)))
    v.stage_fails("UNAUTHENTICATED", secret("old"))
    w = lab.create(secrets=secret("new", CRYPTO_KEY_VALUE_PREVIOUS="old"))
    w.up()
    run(CRYPTSETUP, "open", "--test-passphrase", "--key-file", "-", w.image, stdin=b"new")


@case("rotation killed half-way, at any moment: one of the two opens, the retry completes it")
def rotation_killed(lab):
    cost = {"CRYPTO_PBKDF": "pbkdf2", "CRYPTO_PBKDF_FORCE_ITERATIONS": "150000"}
    seen = set()
    for moment in ([i / 25 for i in range(40)] if FULL else [0.1, 0.25, 0.4, 0.55, 0.7, 0.9]):
        v = lab.create(secrets={"CRYPTO_KEY_VALUE": "old", **cost})
        v.up()
        v.down()
        v.secrets = {"CRYPTO_KEY_VALUE": "new", "CRYPTO_KEY_VALUE_PREVIOUS": "old", **cost}
        v.attach()
        join = in_background(v.stage)
        time.sleep(moment)
        lab.driver.process.kill()
        lab.driver.process.wait()
        join()
        opens = [p for p in ("old", "new") if run(CRYPTSETUP, "open", "--test-passphrase", "--key-file", "-", v.image,
                                                  stdin=p.encode(), check=False).returncode == 0]
        assert opens, f"killed after {moment} s: neither opens"
        seen.add(tuple(opens))
        lab.driver.restart()
        v.stage()
        expect(f"killed after {moment} s, then", 1, len(slots(v)))
        v.stage_fails("UNAUTHENTICATED", secret("old"))
        v.down()
        v.delete()
    print(f"    what opened after a kill: {sorted(seen)}")


@case("rotation cut between its steps: both keyslots there, and the new one only")
def rotation_steps(lab):
    v = lab.create(secrets=secret("old"))
    v.up()
    v.down()
    run(CRYPTSETUP, "luksAddKey", "-q", "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000", "--key-file", "-", v.image, "/dev/stdin",
        "--keyfile-size", "3", stdin=b"oldnew")
    expect("both", 2, len(slots(v)))
    v.secrets = secret("new", CRYPTO_KEY_VALUE_PREVIOUS="old")
    v.stage()
    expect("keyslots", 1, len(slots(v)))
    v.stage_fails("UNAUTHENTICATED", secret("old"))


# ---- copies ----

@case("restore and clone between plain and encrypted are refused before anything is made")
def plain_and_encrypted(lab):
    e, p = lab.create(), lab.create(encrypted=False)
    for v, want in ((e, "false"), (p, "true")):
        v.up()
        s = lab.snapshot(v)
        before = sorted(os.listdir(f"{lab.driver.state}/volumes"))
        for source in (source_snapshot(s.snapshot_id), source_volume(v.id)):
            message = lab.c.fails("INVALID_ARGUMENT", "CreateVolume", name="crossed", volume_capabilities=[v.cap],
                                  parameters={"encrypted": want}, volume_content_source=source)
            assert "encrypted" in message, message
            lab.c.fails("OUT_OF_RANGE", "CreateVolume", name="crossed", volume_capabilities=[v.cap],
                        parameters={"encrypted": "true" if want == "false" else "false"}, volume_content_source=source,
                        capacity_range=pb.CapacityRange(limit_bytes=32 * MIB))
        expect("images", before, sorted(os.listdir(f"{lab.driver.state}/volumes")))
        assert "crossed" not in str(lab.c.ListVolumes())


def kernel():
    return tuple(int(n) for n in os.uname().release.split("-")[0].split(".")[:2])


@case("copies: content of the moment, bigger ones grown, xfs twins on one node, snapshots outlive their volume")
def copies(lab):
    for fs, size in (("ext4", 64), ("xfs", 320), ("btrfs", 256)):
        v = lab.create(cap=mount_cap(fs), size=size * MIB)
        target = v.up()
        with open(f"{target}/data", "w", encoding="ascii") as f:
            f.write("first")
        s = lab.snapshot(v)
        assert s.ready_to_use and s.size_bytes == size * MIB
        with open(f"{target}/data", "w", encoding="ascii") as f:
            f.write("second")
            f.flush()
            os.fsync(f.fileno())
        restored = lab.create(cap=v.cap, size=(size + 64) * MIB, secrets=v.secrets, source=source_snapshot(s.snapshot_id))
        clone = lab.create(cap=v.cap, size=size * MIB, secrets=v.secrets, source=source_volume(v.id))
        if fs == "btrfs" and kernel() < (6, 7):  # two file systems of one UUID
            for x in (restored, clone):
                x.attach()
                assert "the kernel takes one of them at a time" in x.stage_fails("FAILED_PRECONDITION")
                assert x.id not in mappings() and not mounted(x.staging)
        else:
            expect(f"{fs}: restored", "first", open(f"{restored.up()}/data", encoding="ascii").read())
            expect(f"{fs}: clone", "second", open(f"{clone.up()}/data", encoding="ascii").read())
            st, was = os.statvfs(restored.target()), os.statvfs(target)
            assert st.f_blocks * st.f_frsize > was.f_blocks * was.f_frsize * 1.1, f"{fs}: not grown"
        expect("the mapping", size * MIB, device_bytes(v.mapper))
        v.down()
        v.delete()
        if not restored.targets:
            expect(f"{fs}: restored", "first", open(f"{restored.up()}/data", encoding="ascii").read())
            restored.down()
            expect(f"{fs}: clone", "second", open(f"{clone.up()}/data", encoding="ascii").read())
        for x in (restored, clone):
            x.down()
            x.delete()


@case("a file system without reflinks: a staged volume isn't copied unless the class accepts the pause")
def no_reflinks(lab):
    image = f"{SCRATCH}/csi/ext4.img"
    run("truncate", "-s", "1G", image)
    run("mkfs.ext4", "-q", "-F", image)
    folder = f"{SCRATCH}/ext4"
    os.makedirs(folder, exist_ok=True)
    run("mount", "-o", "loop", image, folder)
    lab.on_clear.append(lambda: (run("umount", folder), os.unlink(image)))
    d = Driver("ext4", state=f"{folder}/state")
    d.start()
    lab.on_clear.append(d.stop)
    inner = Lab(d)
    v = inner.create()
    with open(f"{v.up()}/data", "w", encoding="ascii") as f:
        f.write("data")
    message = d.client.fails(REFUSED, "CreateSnapshot", source_volume_id=v.id, name="paused")
    assert "pauseAllowed" in message, message
    message = d.client.fails(REFUSED, "CreateVolume", name="paused", volume_capabilities=[v.cap], parameters={"encrypted": "true"},
                             volume_content_source=source_volume(v.id))
    assert "pauseAllowed" in message, message
    expect("snapshots", [], os.listdir(f"{d.state}/snapshots"))
    expect("records", 0, len(d.client.ListSnapshots().entries))
    s = inner.snapshot(v, parameters={"pauseAllowed": "true"})
    with open(f"{v.target()}/data", "a", encoding="ascii") as f:
        f.write(" goes on")
    w = inner.create(secrets=v.secrets, source=source_snapshot(s.snapshot_id))
    expect("the copy", "data", open(f"{w.up()}/data", encoding="ascii").read())
    v.down()
    t = inner.snapshot(v)
    x = inner.create(secrets=v.secrets, source=source_snapshot(t.snapshot_id))
    expect("unstaged", "data goes on", open(f"{x.up()}/data", encoding="ascii").read())
    why = inner.clear()
    assert not why, why


if __name__ == "__main__":
    sys.exit(run_on(Driver()))
