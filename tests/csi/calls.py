# SPDX-License-Identifier: Apache-2.0
"""What each call answers to what it should refuse, and what it owes: codes, the field's name in the sentence, sizes,
names, pages. What no library would encode is in wire.py."""
import os
import sys

from lab import (GIB, HEADER, MIB, SCRATCH, Driver, Failed, Mode, block_cap, case, expect, lose_records, make_store, mount_cap, pb, run, run_on,
                 secret, source_snapshot, source_volume)

RANGE = pb.CapacityRange


def requests(v, s=None):
    """A good request of every call on one volume, and its required fields."""
    cap = dict(volume_capability=v.cap)
    stage = dict(staging_target_path=v.staging)
    return {
        "CreateVolume": (dict(name="x", volume_capabilities=[v.cap]), ["name", "volume_capabilities"]),
        "DeleteVolume": (dict(volume_id=v.id), ["volume_id"]),
        "ControllerPublishVolume": (dict(volume_id=v.id, node_id="n1", **cap), ["volume_id", "node_id", "volume_capability"]),
        "ControllerUnpublishVolume": (dict(volume_id=v.id), ["volume_id"]),
        "ValidateVolumeCapabilities": (dict(volume_id=v.id, volume_capabilities=[v.cap]), ["volume_id", "volume_capabilities"]),
        "ControllerGetVolume": (dict(volume_id=v.id), ["volume_id"]),
        "ControllerModifyVolume": (dict(volume_id=v.id, mutable_parameters={"discard": "true"}),
                                   ["volume_id", "mutable_parameters"]),
        "CreateSnapshot": (dict(source_volume_id=v.id, name="s"), ["source_volume_id", "name"]),
        "DeleteSnapshot": (dict(snapshot_id="s"), ["snapshot_id"]),
        "GetSnapshot": (dict(snapshot_id="s"), ["snapshot_id"]),
        "ControllerExpandVolume": (dict(volume_id=v.id, capacity_range=RANGE(required_bytes=1)), ["volume_id", "capacity_range"]),
        "NodeStageVolume": (dict(volume_id=v.id, **stage, **cap), ["volume_id", "staging_target_path", "volume_capability"]),
        "NodeUnstageVolume": (dict(volume_id=v.id, **stage), ["volume_id", "staging_target_path"]),
        "NodePublishVolume": (dict(volume_id=v.id, target_path=v.target(), **stage, **cap),
                              ["volume_id", "target_path", "volume_capability"]),
        "NodeUnpublishVolume": (dict(volume_id=v.id, target_path=v.target()), ["volume_id", "target_path"]),
        "NodeGetVolumeStats": (dict(volume_id=v.id, volume_path=v.target()), ["volume_id", "volume_path"]),
        "NodeExpandVolume": (dict(volume_id=v.id, volume_path=v.target()), ["volume_id", "volume_path"]),
        "CreateVolumeGroupSnapshot": (dict(name="g", source_volume_ids=[v.id]), ["name", "source_volume_ids"]),
        "DeleteVolumeGroupSnapshot": (dict(group_snapshot_id="g", snapshot_ids=["s"]), ["group_snapshot_id"]),
        "GetVolumeGroupSnapshot": (dict(group_snapshot_id="g", snapshot_ids=["s"]), ["group_snapshot_id"]),
    }


@case("missing required fields: INVALID_ARGUMENT that names the field, in every call")
def missing_fields(lab):
    v = lab.create(encrypted=False)
    for call, (fields, required) in requests(v).items():
        for name in required:
            message = lab.c.fails("INVALID_ARGUMENT", call, **{k: f for k, f in fields.items() if k != name})
            assert name in message, f"{call} without {name}: {message}"
    lab.c.fails("FAILED_PRECONDITION", "NodePublishVolume", volume_id=v.id, target_path=v.target(), volume_capability=v.cap)
    for call in ("NodeStageVolume", "NodePublishVolume", "NodeUnpublishVolume", "NodeUnstageVolume"):
        fields = dict(requests(v)[call][0])
        path = "staging_target_path" if "Stage" in call or "Unstage" in call else "target_path"
        fields[path] = "relative/path"
        assert path in lab.c.fails("INVALID_ARGUMENT", call, **fields), call


def of_node(v):
    """The id of a volume that this node could have and hasn't."""
    return "never-made" + v.id[v.id.rindex("."):]


@case("unknown volumes, snapshots, nodes: NOT_FOUND, or success where the call undoes something")
def unknown_ids(lab):
    v = lab.create(encrypted=False)
    for unknown in (of_node(v), "never-made", "../../etc/passwd", "x" * 128, "Ünknown"):
        w = type("Unknown", (), dict(id=unknown, cap=v.cap, staging=v.staging, target=v.target))
        table = requests(w)
        for call in ("ControllerPublishVolume", "ValidateVolumeCapabilities", "ControllerGetVolume", "ControllerModifyVolume",
                     "CreateSnapshot", "ControllerExpandVolume", "NodeStageVolume", "NodePublishVolume", "NodeGetVolumeStats",
                     "NodeExpandVolume", "CreateVolumeGroupSnapshot"):
            lab.c.fails("NOT_FOUND", call, **table[call][0])
        for call in ("DeleteVolume", "ControllerUnpublishVolume", "NodeUnstageVolume", "NodeUnpublishVolume"):
            getattr(lab.c, call)(**table[call][0])
        lab.c.DeleteSnapshot(snapshot_id=unknown)
        lab.c.DeleteVolumeGroupSnapshot(group_snapshot_id=unknown, snapshot_ids=["x"])
        lab.c.fails("NOT_FOUND", "GetSnapshot", snapshot_id=unknown)
        lab.c.fails("NOT_FOUND", "GetVolumeGroupSnapshot", group_snapshot_id=unknown, snapshot_ids=["x"])
        expect("snapshots of an unknown volume", 0, len(lab.c.ListSnapshots(source_volume_id=unknown).entries))
        expect("an unknown snapshot in the list", 0, len(lab.c.ListSnapshots(snapshot_id=unknown).entries))
        for source in (source_snapshot(unknown), source_volume(unknown)):
            lab.c.fails("NOT_FOUND", "CreateVolume", name="from-nothing", volume_capabilities=[v.cap], volume_content_source=source)
    lab.c.fails("NOT_FOUND", "ControllerPublishVolume", volume_id=v.id, node_id="another", volume_capability=v.cap)


@case("access modes of several nodes are refused with the reason, at every call that takes one")
def access_modes(lab):
    v = lab.create(encrypted=False)
    for mode in ("MULTI_NODE_READER_ONLY", "MULTI_NODE_SINGLE_WRITER", "MULTI_NODE_MULTI_WRITER", "UNKNOWN"):
        for cap in (mount_cap(mode=getattr(Mode, mode)), block_cap(mode=getattr(Mode, mode))):
            w = type("Other", (), dict(id=v.id, cap=cap, staging=v.staging, target=v.target))
            for call in ("CreateVolume", "ControllerPublishVolume", "NodeStageVolume", "NodePublishVolume"):
                code = ("INVALID_ARGUMENT", "FAILED_PRECONDITION") if call.startswith("Node") else "INVALID_ARGUMENT"
                message = lab.c.fails(code, call, **requests(w)[call][0])
                assert "access_mode" in message, message
            r = lab.c.ValidateVolumeCapabilities(volume_id=v.id, volume_capabilities=[v.cap, cap])
            assert not r.HasField("confirmed") and r.message, r
    for mode in ("SINGLE_NODE_WRITER", "SINGLE_NODE_READER_ONLY", "SINGLE_NODE_SINGLE_WRITER", "SINGLE_NODE_MULTI_WRITER"):
        r = lab.c.ValidateVolumeCapabilities(volume_id=v.id, volume_capabilities=[mount_cap(mode=getattr(Mode, mode))])
        assert r.HasField("confirmed"), r.message
    lab.c.fails("INVALID_ARGUMENT", "CreateVolume", name="both", volume_capabilities=[mount_cap(), block_cap()])
    assert not lab.c.ValidateVolumeCapabilities(volume_id=v.id, volume_capabilities=[block_cap()]).HasField("confirmed")


@case("class parameters: bad values and unknown names are INVALID_ARGUMENT and named; nothing is made")
def parameters(lab):
    bad = {"encrypted": "maybe", "fsType": "ntfs", "sectorSize": "777", "fsck": "often", "discard": "2", "noReadWorkqueue": "x",
           "pbkdfPolicy": "none", "label": "l" * 48, "noSuchParameter": "1", "mkfsParams": "-f /dev/loop0"}
    for key, value in bad.items():
        message = lab.c.fails("INVALID_ARGUMENT", "CreateVolume", name="bad", volume_capabilities=[mount_cap("")],
                              parameters={key: value})
        assert key in message, message
    expect("volumes", 0, len(lab.c.ListVolumes().entries))
    for value, yes in [(x, True) for x in "1 t T TRUE true True".split()] + [(x, False) for x in "0 f F FALSE false False".split()]:
        v = lab.create(parameters={"encrypted": value}, secrets={}, size=16 * MIB)
        expect(f"encrypted={value}: size of the image", 16 * MIB + (HEADER if yes else 0), os.path.getsize(v.image))
    for value in ("yes", "TRue", "on", "", " true"):
        lab.c.fails("INVALID_ARGUMENT", "CreateVolume", name="bad", volume_capabilities=[mount_cap()], parameters={"encrypted": value})
    lab.create(parameters={"csi.storage.k8s.io/pvc/name": "the CO's own"}, secrets={})


@case("secrets are validated at the first call that sees them; a message names the key and never its value")
def secrets(lab):
    bad = {"CRYPTO_KEY_PROVIDER": "leak-me", "CRYPTO_KEY_CIPHER": "leak-me", "CRYPTO_KEY_SIZE": "leak-me",
           "CRYPTO_KEY_HASH": "leak-me", "CRYPTO_PBKDF": "leak-me", "CRYPTO_PBKDF_FORCE_ITERATIONS": "leak-me",
           "CRYPTO_PBKDF_MEMORY": "leak-me", "CRYPTO_KEY_VALU": "leak-me"}
    v = lab.create(secrets={})
    for key, value in bad.items():
        s = {"CRYPTO_KEY_VALUE": "leak-me", key: value}
        for call, extra in (("CreateVolume", dict(parameters={"encrypted": "true"})), ("NodeStageVolume", {}),
                            ("ControllerExpandVolume", {}), ("CreateSnapshot", {})):
            message = lab.c.fails("INVALID_ARGUMENT", call, **requests(v)[call][0], secrets=s, **extra)
            assert key in message and "leak-me" not in message, message
    for s, key in (({"username": "of another user"}, "CRYPTO_KEY_VALUE"), ({"CRYPTO_KEY_VALUE": ""}, "CRYPTO_KEY_VALUE")):
        assert key in lab.c.fails("INVALID_ARGUMENT", "CreateVolume", **requests(v)["CreateVolume"][0], secrets=s,
                                  parameters={"encrypted": "true"})
    expect("volumes", 1, len(lab.c.ListVolumes().entries))
    lab.create(encrypted=False, secrets={"username": "of another user"})
    lab.create(secrets={**secret("x"), "username": "of another user of the Secret"})


@case("sizes: rounded up to MiB, limits kept, negative and contradictory ranges refused")
def sizes(lab):
    def create_fails(code, **kw):
        return lab.c.fails(code, "CreateVolume", name="size", volume_capabilities=[mount_cap()], capacity_range=RANGE(**kw))
    for r in (dict(required_bytes=-1), dict(limit_bytes=-1), dict(required_bytes=-5, limit_bytes=-5)):
        assert "capacity_range" in create_fails("INVALID_ARGUMENT", **r)
        v = lab.create(encrypted=False)
        for call in (lambda: lab.c.fails("INVALID_ARGUMENT", "ControllerExpandVolume", volume_id=v.id, capacity_range=RANGE(**r)),):
            assert "capacity_range" in call()
    create_fails("OUT_OF_RANGE", required_bytes=64 * MIB, limit_bytes=32 * MIB)
    create_fails("OUT_OF_RANGE", required_bytes=64 * MIB + 1, limit_bytes=64 * MIB + 2)
    create_fails("OUT_OF_RANGE", limit_bytes=MIB)
    create_fails("OUT_OF_RANGE", required_bytes=(1 << 63) - 1)
    create_fails("RESOURCE_EXHAUSTED", required_bytes=1 << 50)
    for wanted, got in ((64 * MIB + 1, 65 * MIB), (64 * MIB, 64 * MIB), (1, 16 * MIB)):
        v = lab.create(size=wanted)
        expect(f"{wanted} bytes", got, v.message.capacity_bytes)
        expect("the image", got + HEADER, os.path.getsize(v.image))
    m = lab.c.CreateVolume(name="default", volume_capabilities=[mount_cap()]).volume
    expect("without a range", GIB, m.capacity_bytes)
    lab.c.DeleteVolume(volume_id=m.volume_id)
    m = lab.c.CreateVolume(name="limit", volume_capabilities=[mount_cap()], capacity_range=RANGE(limit_bytes=100 * MIB)).volume
    assert 0 < m.capacity_bytes <= 100 * MIB
    lab.c.DeleteVolume(volume_id=m.volume_id)
    lab.c.fails("OUT_OF_RANGE", "CreateVolume", name="xfs", volume_capabilities=[mount_cap("xfs")],
                capacity_range=RANGE(required_bytes=64 * MIB, limit_bytes=128 * MIB))
    v = lab.create(size=64 * MIB)
    expect("shrinking changes nothing", 64 * MIB, lab.c.ControllerExpandVolume(
        volume_id=v.id, capacity_range=RANGE(required_bytes=32 * MIB)).capacity_bytes)
    lab.c.fails("OUT_OF_RANGE", "ControllerExpandVolume", volume_id=v.id, capacity_range=RANGE(limit_bytes=32 * MIB))


@case("names: control characters refused, any other Unicode taken; 128 bytes and not more; two names never share a volume")
def names(lab):
    v = lab.create(encrypted=False)
    for bad in ("a\x01b", "\x0b", "a\x1f", "a\x7f", "a\u0080", "a\u009f"):
        for call, fields in (("CreateVolume", dict(volume_capabilities=[v.cap])), ("CreateSnapshot", dict(source_volume_id=v.id)),
                             ("CreateVolumeGroupSnapshot", dict(source_volume_ids=[v.id]))):
            assert "name" in lab.c.fails("INVALID_ARGUMENT", call, name=bad, **fields)
    ids = set()
    good = ["a\tb\nc\r", "Grüße ☃ \U0001f512", "A", "a", "a ", "a-", "a.", "-a", "..", "/", "n" * 128, "n" * 127 + "m", "ü" * 64]
    for name in good:
        w = lab.create(name=name, encrypted=False, size=16 * MIB)
        ids.add(w.id)
        assert set(w.id) <= set("abcdefghijklmnopqrstuvwxyz0123456789.-") and len(w.id) <= 127, w.id
        assert os.path.exists(w.image)
    expect("different ids", len(good), len(ids))
    assert "name" in lab.c.fails("INVALID_ARGUMENT", "CreateVolume", name="n" * 129, volume_capabilities=[v.cap])
    assert "name" in lab.c.fails("INVALID_ARGUMENT", "CreateVolume", name="ü" * 65, volume_capabilities=[v.cap])


@case("the same name again: the same volume, or ALREADY_EXISTS where anything differs")
def same_name(lab):
    v = lab.create(name="same", parameters={"sectorSize": "4096"})
    base = dict(name="same", volume_capabilities=[v.cap], capacity_range=RANGE(required_bytes=64 * MIB),
                parameters={"encrypted": "true", "sectorSize": "4096"})
    expect("again", v.message, lab.c.CreateVolume(**base).volume)
    for change in (dict(capacity_range=RANGE(required_bytes=65 * MIB)), dict(capacity_range=RANGE(limit_bytes=63 * MIB)),
                   dict(parameters={"encrypted": "true"}), dict(parameters={"encrypted": "false", "sectorSize": "4096"}),
                   dict(volume_capabilities=[mount_cap("xfs")]), dict(volume_capabilities=[block_cap()])):
        lab.c.fails(("ALREADY_EXISTS", "OUT_OF_RANGE"), "CreateVolume", **{**base, **change})
    other = lab.create(encrypted=False)
    s = lab.snapshot(v, "same-snap")
    expect("again", s.snapshot_id, lab.c.CreateSnapshot(source_volume_id=v.id, name="same-snap").snapshot.snapshot_id)
    lab.c.fails("ALREADY_EXISTS", "CreateSnapshot", source_volume_id=other.id, name="same-snap")
    w = lab.create(name="copy", parameters={"sectorSize": "4096"}, source=source_snapshot(s.snapshot_id))
    expect("content source", s.snapshot_id, w.message.content_source.snapshot.snapshot_id)
    lab.c.fails("ALREADY_EXISTS", "CreateVolume", **{**base, "name": "copy"})


@case("lists: stable pages, tokens that outlive their volume, published nodes, bad tokens ABORTED")
def lists(lab):
    volumes = [lab.create(encrypted=False, size=16 * MIB) for _ in range(7)]
    volumes[3].attach()
    everything = [e.volume.volume_id for e in lab.c.ListVolumes().entries]
    expect("all", sorted(v.id for v in volumes), sorted(everything))
    seen, token = [], ""
    while True:
        page = lab.c.ListVolumes(max_entries=2, starting_token=token)
        seen += [e.volume.volume_id for e in page.entries]
        token = page.next_token
        if not token:
            break
        if len(seen) == 2:
            next(v for v in lab.volumes if v.id == seen[1]).delete()
    expect("pages", everything, seen)
    published = {e.volume.volume_id: list(e.status.published_node_ids) for e in lab.c.ListVolumes().entries}
    expect("published nodes", {v.id: ["n1"] if v is volumes[3] else [] for v in lab.volumes}, published)
    for call in ("ListVolumes", "ListSnapshots"):
        lab.c.fails("ABORTED", call, starting_token="rubbish")
        assert "max_entries" in lab.c.fails("INVALID_ARGUMENT", call, max_entries=-1)
    for i in range(3):
        lab.snapshot(lab.volumes[0], f"listed-{i}")
    one = lab.c.ListSnapshots(max_entries=1)
    rest = lab.c.ListSnapshots(starting_token=one.next_token)
    expect("snapshots in two pages", 3, len({e.snapshot.snapshot_id for e in [*one.entries, *rest.entries]}))
    expect("of one volume", 3, len(lab.c.ListSnapshots(source_volume_id=lab.volumes[0].id).entries))
    expect("of another", 0, len(lab.c.ListSnapshots(source_volume_id=lab.volumes[1].id).entries))


@case("capacity follows what is promised; another node's topology has none; creates can't oversubscribe")
def capacity(lab):
    before = lab.c.GetCapacity()
    v = lab.create(size=128 * MIB)
    after = lab.c.GetCapacity()
    gone = before.available_capacity - after.available_capacity
    copies = 4 * MIB  # of the header
    assert abs(gone - 128 * MIB - HEADER - copies) <= 2 * MIB, f"148 MiB were promised, {gone} bytes are gone"
    expect("the header counts", HEADER, after.available_capacity - lab.c.GetCapacity(parameters={"encrypted": "true"}).available_capacity)
    key = next(iter(v.message.accessible_topology[0].segments))
    expect("elsewhere", 0, lab.c.GetCapacity(accessible_topology=pb.Topology(segments={key: "n2"})).available_capacity)
    expect("here", after.available_capacity,
           lab.c.GetCapacity(accessible_topology=pb.Topology(segments={key: "n1"})).available_capacity)
    share = after.available_capacity // 3 + MIB
    calls = [lab.c.channel.unary_unary(f"/csi.v1.Controller/CreateVolume", request_serializer=lambda q: q.SerializeToString(),
                                       response_deserializer=pb.CreateVolumeResponse.FromString)
             .future(pb.CreateVolumeRequest(name=f"share-{i}", volume_capabilities=[mount_cap()],
                                            capacity_range=RANGE(required_bytes=share)), timeout=60) for i in range(6)]
    made = [c.result().volume.volume_id for c in calls if not c.exception()]
    expect("of six thirds that are asked for at once", 2, len(made))
    expect("the others", {"RESOURCE_EXHAUSTED"}, {c.exception().code().name for c in calls if c.exception()})
    for m in made:
        lab.c.DeleteVolume(volume_id=m)


@case("topology: bound to this node; another node's requisite is RESOURCE_EXHAUSTED")
def topology(lab):
    info = lab.c.NodeGetInfo()
    segments = dict(info.accessible_topology.segments)
    expect("node", ("n1", ["n1"]), (info.node_id, list(segments.values())))
    v = lab.create(accessibility_requirements=pb.TopologyRequirement(requisite=[pb.Topology(segments=segments)]))
    expect("the volume's", segments, dict(v.message.accessible_topology[0].segments))
    other = {k: "n2" for k in segments}
    lab.c.fails("RESOURCE_EXHAUSTED", "CreateVolume", name="elsewhere", volume_capabilities=[mount_cap()],
                accessibility_requirements=pb.TopologyRequirement(requisite=[pb.Topology(segments=other)]))
    lab.c.fails("ALREADY_EXISTS", "CreateVolume", name=v.name, volume_capabilities=[mount_cap()], parameters={"encrypted": "true"},
                accessibility_requirements=pb.TopologyRequirement(requisite=[pb.Topology(segments=other)]))
    lab.create(accessibility_requirements=pb.TopologyRequirement(
        requisite=[pb.Topology(segments=other), pb.Topology(segments=segments)]))


@case("topology of snapshots (CSI 1.13): usable on this node; a backup wherever its store is; another node's requisite is refused")
def snapshot_topology(lab):
    segments = dict(lab.c.NodeGetInfo().accessible_topology.segments)
    there = pb.TopologyRequirement(requisite=[pb.Topology(segments={k: "n2" for k in segments})])
    here = pb.TopologyRequirement(requisite=[*there.requisite, pb.Topology(segments=segments)])
    backup = {"type": "bak", "backupDir": make_store(f"{lab.driver.state}/store")}
    v = lab.create(encrypted=False)
    assert "requisite" in lab.c.fails("RESOURCE_EXHAUSTED", "CreateSnapshot", source_volume_id=v.id, name="elsewhere",
                                      accessibility_requirements=there)
    s = lab.snapshot(v, accessibility_requirements=here)
    listed = lab.c.ListSnapshots(snapshot_id=s.snapshot_id).entries[0].snapshot
    for found in (s, listed, lab.c.GetSnapshot(snapshot_id=s.snapshot_id).snapshot):
        expect("the snapshot's", [segments], [dict(t.segments) for t in found.accessible_topology])
    b = lab.snapshot(v, accessibility_requirements=there, parameters=backup)
    expect("the backup's", 0, len(b.accessible_topology))


@case("fsGroup is kubelet's: volume_mount_group isn't offered and is refused; owners of files are nobody's business here")
def no_mount_group(lab):
    offered = {x.rpc.type for x in lab.c.NodeGetCapabilities().capabilities}
    assert pb.NodeServiceCapability.RPC.VOLUME_MOUNT_GROUP not in offered, offered
    v = lab.create(encrypted=False)
    grouped = mount_cap()
    grouped.mount.volume_mount_group = "2000"
    fields = {**v.stage_fields(), "volume_capability": grouped}
    assert "volume_mount_group" in lab.c.fails("INVALID_ARGUMENT", "NodeStageVolume", **fields)
    target = v.up()
    with open(f"{target}/file", "w", encoding="ascii") as f:
        f.write("x")
    for path, group in ((target, 2000), (f"{target}/file", 1000)):  # as kubelet does, and a pod after it
        os.chown(path, -1, group)
    v.down()
    v.up()
    expect("groups", [2000, 1000], [os.stat(p).st_gid for p in (target, f"{target}/file")])


@case("modify: only the named keys, all or nothing, unknown keys refused and nothing applied")
def modify(lab):
    v = lab.create()
    for bad in ({"encrypted": "false"}, {"discard": "true", "noSuch": "1"}, {"discard": "perhaps"}):
        lab.c.fails("INVALID_ARGUMENT", "ControllerModifyVolume", volume_id=v.id, mutable_parameters=bad)
    v.up()
    assert b"allow_discards" not in run("dmsetup", "table", v.id).stdout
    v.down()
    lab.c.ControllerModifyVolume(volume_id=v.id, mutable_parameters={"discard": "true"})
    lab.c.ControllerModifyVolume(volume_id=v.id, mutable_parameters={"noReadWorkqueue": "true"})
    v.up()
    table = run("dmsetup", "table", v.id).stdout
    assert b"allow_discards" in table and b"no_read_workqueue" in table, table
    v.down()
    lab.c.ControllerModifyVolume(volume_id=v.id, mutable_parameters={"discard": "false"})
    v.up()
    table = run("dmsetup", "table", v.id).stdout
    assert b"allow_discards" not in table and b"no_read_workqueue" in table, table


@case("modify: what the class turned on can be turned off, at creation too, and of adopted volumes")
def modify_off(lab):
    def flags(v):
        v.up()
        table = run("dmsetup", "table", v.id).stdout
        v.down()
        return b"allow_discards" in table, b"same_cpu_crypt" in table
    v = lab.create(parameters={"discard": "true", "sameCpuCrypt": "true"})
    w = lab.create(parameters={"discard": "true", "sameCpuCrypt": "true"}, mutable_parameters={"sameCpuCrypt": "f"})
    expect("by the class", (True, True), flags(v))
    expect("less what the request turns off", (True, False), flags(w))
    lab.c.ControllerModifyVolume(volume_id=v.id, mutable_parameters={"discard": "false"})
    expect("less what was modified", (False, True), flags(v))
    lab.c.ControllerModifyVolume(volume_id=v.id, mutable_parameters={"discard": "true"})
    expect("on again", (True, True), flags(v))
    lose_records(lab)
    expect("adopted, by its context", (True, True), flags(v))
    lab.c.ControllerModifyVolume(volume_id=v.id, mutable_parameters={"discard": "false"})
    expect("adopted, modified", (False, True), flags(v))


@case("publish at the controller: readonly and capability differ: ALREADY_EXISTS; a use keeps the volume")
def controller_publish(lab):
    v = lab.create(encrypted=False)
    v.attach()
    v.attach()
    base = dict(volume_id=v.id, node_id="n1")
    lab.c.fails("ALREADY_EXISTS", "ControllerPublishVolume", **base, volume_capability=v.cap, readonly=True)
    lab.c.fails("ALREADY_EXISTS", "ControllerPublishVolume", **base,
                volume_capability=mount_cap(mode=Mode.SINGLE_NODE_READER_ONLY))
    lab.c.fails("FAILED_PRECONDITION", "DeleteVolume", volume_id=v.id)
    assert os.path.exists(v.image)
    lab.c.ControllerUnpublishVolume(volume_id=v.id)


@case("identity: the same capabilities in every mode; a mode serves its services only; unknown methods UNIMPLEMENTED")
def modes(lab):
    want = lab.c.GetPluginCapabilities()
    for mode, served, refused in (("controller", "ControllerGetCapabilities", "NodeGetInfo"),
                                  ("node", "NodeGetInfo", "ControllerGetCapabilities")):
        d = Driver("mode-" + mode, state=os.path.join(SCRATCH, "csi", "modes"), mode=mode, **{"node-id": "n1"})
        c = d.start()
        expect(f"capabilities in mode {mode}", want, c.GetPluginCapabilities())
        getattr(c, served)()
        c.fails("UNIMPLEMENTED", refused)
        if mode == "controller":  # csi-resizer leaves expansion to the nodes, once it has asked whether they can
            offered, rpc = {x.rpc.type for x in c.ControllerGetCapabilities().capabilities}, pb.ControllerServiceCapability.RPC
            expect("what only a node's driver can do", set(), offered & {rpc.EXPAND_VOLUME, rpc.MODIFY_VOLUME})
            expect("the nodes' capabilities", lab.c.NodeGetCapabilities(), c.NodeGetCapabilities())
        expect("exit status", 0, d.stop())
    try:
        lab.c.raw("/csi.v1.Node/NoSuchMethod", b"")
        raise AssertionError("an unknown method was answered")
    except Failed as e:
        expect("code", "UNIMPLEMENTED", e.code)


if __name__ == "__main__":
    sys.exit(run_on(Driver()))
