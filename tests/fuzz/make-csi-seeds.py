#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Make the seeds of tests/fuzz/corpus/csi and the fuzzer's dictionary again, with Python's protobuf (run from the top).

The first byte names the method: its place in the driver's tables. accept-*: must get past the validators.
"""
import os
import sys

sys.path.insert(0, "tests/csi")
from csiclient import Mode, pb  # noqa: E402

CORPUS = "tests/fuzz/corpus/csi"
# In the order of the driver's tables.
METHODS = """GetPluginInfo GetPluginCapabilities Probe
CreateVolume DeleteVolume ControllerPublishVolume ControllerUnpublishVolume ValidateVolumeCapabilities ListVolumes
ControllerGetVolume ControllerModifyVolume GetCapacity ControllerGetCapabilities CreateSnapshot DeleteSnapshot
ListSnapshots GetSnapshot ControllerExpandVolume ControllerListVolumeHealth ControllerGetVolumeHealth
GroupControllerGetCapabilities CreateVolumeGroupSnapshot DeleteVolumeGroupSnapshot GetVolumeGroupSnapshot
NodeStageVolume NodeUnstageVolume NodePublishVolume NodeUnpublishVolume NodeGetVolumeStats NodeExpandVolume
NodeGetVolumeHealth NodeGetStorageHealth NodeGetCapabilities NodeGetInfo""".split()
# What tests/fuzz/csi_fakes.h knows.
ENCRYPTED, PLAIN, ADOPTED = (f"pvc-{i}.0f3a9c11" for i in (1, 2, 3))
SNAPSHOT, MEMBER, GROUP, STAGING, NODE = "snap-1.0f3a9c11", "snap-2.0f3a9c11", "group-1.0f3a9c11", "/staging", "node-1"
MIB = 1 << 20
# Longhorn's keys; the word "geheim" is what the target looks for.
SECRETS = {"CRYPTO_KEY_VALUE": "geheim", "CRYPTO_KEY_PROVIDER": "secret", "CRYPTO_KEY_CIPHER": "aes-xts-plain64",
           "CRYPTO_KEY_HASH": "sha256", "CRYPTO_KEY_SIZE": "256", "CRYPTO_PBKDF": "argon2i",
           "CRYPTO_PBKDF_FORCE_ITERATIONS": "4", "CRYPTO_PBKDF_MEMORY": "65536", "CRYPTO_KEY_VALUE_PREVIOUS": "geheim alt",
           "other": "geheim user"}
ONLY_VALUE = {"CRYPTO_KEY_VALUE": "geheim"}
CLASS = {"encrypted": "true", "csi.storage.k8s.io/fstype": "ext4", "mkfsParams": "-O ^64bit", "fsck": "preen",
         "sectorSize": "4096", "discard": "T", "noReadWorkqueue": "1", "noWriteWorkqueue": "t", "sameCpuCrypt": "TRUE",
         "submitFromCryptCpus": "false", "label": "läbel", "pbkdfPolicy": "random-key", "pauseAllowed": "True",
         "csi.storage.k8s.io/pvc/name": "claim"}
MUTABLE = {"discard": "false", "fsck": "none", "noReadWorkqueue": "0"}
CONTEXT = {"encrypted": "true", "csi.storage.k8s.io/pod.name": "pod",
           "csi.storage.k8s.io/serviceAccount.tokens": "{\"\":{\"token\":\"geheim\"}}"}


def mount(fs_type="ext4", mode=Mode.SINGLE_NODE_WRITER, flags=("noatime",)):
    return pb.VolumeCapability(mount=pb.VolumeCapability.MountVolume(fs_type=fs_type, mount_flags=flags),
                               access_mode=Mode(mode=mode))


def block(mode=Mode.SINGLE_NODE_SINGLE_WRITER):
    return pb.VolumeCapability(block=pb.VolumeCapability.BlockVolume(), access_mode=Mode(mode=mode))


def size(required, limit=0):
    return pb.CapacityRange(required_bytes=required, limit_bytes=limit)


def from_snapshot(id):
    return pb.VolumeContentSource(snapshot=pb.VolumeContentSource.SnapshotSource(snapshot_id=id))


def from_volume(id):
    return pb.VolumeContentSource(volume=pb.VolumeContentSource.VolumeSource(volume_id=id))


def topology(node):
    return pb.TopologyRequirement(requisite=[pb.Topology(segments={"csi.cryptvol.io/node": node})],
                                  preferred=[pb.Topology(segments={"csi.cryptvol.io/node": node})])


# (file, method, fields)
SEEDS = [
    ("create", "CreateVolume", dict(
        name="pvc-new", capacity_range=size(100 * MIB, 200 * MIB), parameters=CLASS, secrets=SECRETS,
        volume_capabilities=[mount(), mount(mode=Mode.SINGLE_NODE_MULTI_WRITER)], mutable_parameters=MUTABLE,
        accessibility_requirements=topology(NODE))),
    ("create-least", "CreateVolume", dict(name="pvc-new", volume_capabilities=[mount("")])),
    ("create-xfs", "CreateVolume", dict(name="pvc-new", volume_capabilities=[mount("xfs")])),
    ("create-block", "CreateVolume", dict(name="pvc-new", volume_capabilities=[block()])),
    ("create-restored", "CreateVolume", dict(
        name="pvc-new", volume_capabilities=[mount()], parameters={"encrypted": "true"}, secrets=ONLY_VALUE,
        volume_content_source=from_snapshot(SNAPSHOT), capacity_range=size(128 * MIB))),
    ("create-cloned", "CreateVolume", dict(
        name="pvc-new", volume_capabilities=[block()], volume_content_source=from_volume(PLAIN))),
    ("delete", "DeleteVolume", dict(volume_id=ENCRYPTED, secrets=ONLY_VALUE)),
    ("publish", "ControllerPublishVolume", dict(volume_id=ENCRYPTED, node_id=NODE, volume_capability=mount(), readonly=True,
                                                secrets=ONLY_VALUE, volume_context=CONTEXT)),
    ("unpublish", "ControllerUnpublishVolume", dict(volume_id=ENCRYPTED, node_id=NODE, secrets=ONLY_VALUE)),
    ("unpublish-all", "ControllerUnpublishVolume", dict(volume_id=PLAIN)),
    ("validate", "ValidateVolumeCapabilities", dict(
        volume_id=ENCRYPTED, volume_capabilities=[mount()], volume_context=CONTEXT, parameters={"encrypted": "true"},
        mutable_parameters=MUTABLE, secrets=ONLY_VALUE)),
    ("validate-refused", "ValidateVolumeCapabilities", dict(volume_id=PLAIN, volume_capabilities=[mount()])),
    ("list", "ListVolumes", dict(max_entries=1, starting_token=PLAIN)),
    ("list-all", "ListVolumes", {}),
    ("get", "ControllerGetVolume", dict(volume_id=ADOPTED)),
    ("modify", "ControllerModifyVolume", dict(volume_id=ENCRYPTED, mutable_parameters=MUTABLE, secrets=ONLY_VALUE)),
    ("capacity", "GetCapacity", dict(volume_capabilities=[mount("btrfs")], parameters=CLASS,
                                     accessible_topology=topology(NODE).requisite[0])),
    ("snapshot", "CreateSnapshot", dict(source_volume_id=ENCRYPTED, name="snap-new", secrets=ONLY_VALUE,
                                        parameters={"type": "snap", "pauseAllowed": "true"})),
    ("snapshot-backup", "CreateSnapshot", dict(source_volume_id=PLAIN, name="snap-new",
                                               parameters={"type": "bak", "backupDir": "/backups"})),
    ("snapshot-again", "CreateSnapshot", dict(source_volume_id=ENCRYPTED, name="snap-1")),
    ("snapshot-delete", "DeleteSnapshot", dict(snapshot_id=SNAPSHOT, secrets=ONLY_VALUE)),
    ("snapshots", "ListSnapshots", dict(max_entries=1, starting_token=SNAPSHOT, source_volume_id=ENCRYPTED,
                                        secrets=ONLY_VALUE)),
    ("snapshots-one", "ListSnapshots", dict(snapshot_id=SNAPSHOT)),
    ("snapshot-get", "GetSnapshot", dict(snapshot_id=SNAPSHOT, secrets=ONLY_VALUE)),
    ("expand", "ControllerExpandVolume", dict(volume_id=ENCRYPTED, capacity_range=size(128 * MIB), secrets=ONLY_VALUE,
                                              volume_capability=mount())),
    ("group", "CreateVolumeGroupSnapshot", dict(name="group-new", source_volume_ids=[ENCRYPTED, PLAIN], secrets=ONLY_VALUE,
                                                parameters={"type": "snap"})),
    ("group-again", "CreateVolumeGroupSnapshot", dict(name="group-1", source_volume_ids=[ENCRYPTED])),
    ("group-delete", "DeleteVolumeGroupSnapshot", dict(group_snapshot_id=GROUP, snapshot_ids=[MEMBER], secrets=ONLY_VALUE)),
    ("group-get", "GetVolumeGroupSnapshot", dict(group_snapshot_id=GROUP, snapshot_ids=[MEMBER], secrets=ONLY_VALUE)),
    ("stage", "NodeStageVolume", dict(
        volume_id=ADOPTED, publish_context={"a": "b"}, staging_target_path="/var/lib/kubelet/stage",
        volume_capability=mount(flags=["noatime", "context=geheim"]), secrets=SECRETS, volume_context=CONTEXT)),
    ("stage-block", "NodeStageVolume", dict(volume_id=PLAIN, staging_target_path="/var/lib/kubelet/stage",
                                            volume_capability=block())),
    ("unstage", "NodeUnstageVolume", dict(volume_id=ENCRYPTED, staging_target_path=STAGING)),
    ("node-publish", "NodePublishVolume", dict(
        volume_id=ENCRYPTED, publish_context={"a": "b"}, staging_target_path=STAGING, target_path="/var/lib/kubelet/pod",
        volume_capability=mount(), readonly=True, secrets=ONLY_VALUE, volume_context=CONTEXT)),
    ("node-unpublish", "NodeUnpublishVolume", dict(volume_id=ENCRYPTED, target_path="/var/lib/kubelet/pod")),
    ("stats", "NodeGetVolumeStats", dict(volume_id=ENCRYPTED, volume_path=STAGING, staging_target_path=STAGING)),
    ("node-expand", "NodeExpandVolume", dict(volume_id=ENCRYPTED, volume_path=STAGING, capacity_range=size(128 * MIB),
                                             staging_target_path=STAGING, volume_capability=mount(), secrets=SECRETS)),
] + [(m, m, {}) for m in METHODS if m.endswith(("Capabilities", "Info")) and not m.startswith("Validate")]


# What the target has found: (file, method, bytes).
FOUND = [
    ("merged-map", "GetCapacity", 2 * pb.GetCapacityRequest(accessible_topology=pb.Topology(segments={"k": "v"}))
     .SerializeToString()),
    ("cut-character", "CreateVolume", pb.CreateVolumeRequest(
        name="n", volume_capabilities=[mount()], parameters={"encrypted": 39 * "x" + "ä"}).SerializeToString()),
]


def request(method):
    for service in pb.DESCRIPTOR.services_by_name.values():
        if method in service.methods_by_name:
            return getattr(pb, service.methods_by_name[method].input_type.name)
    raise KeyError(method)


def main():
    os.makedirs(CORPUS, exist_ok=True)
    words = {method: None for method in ("geheim", STAGING, NODE, SNAPSHOT, MEMBER, GROUP, ENCRYPTED, PLAIN, ADOPTED)}
    for name, method, fields in SEEDS:
        data = request(method)(**fields).SerializeToString(deterministic=True)
        with open(f"{CORPUS}/accept-{name}", "wb") as f:
            f.write(bytes([METHODS.index(method)]) + data)
        for value in fields.values():
            if isinstance(value, dict):
                words.update({k: None for pair in value.items() for k in pair})
    words.update({w: None for w in ("device", "/dev/null", "pbkdf2", "xfs", "btrfs", "ext3", "passphrase", "2048", "512",
                                    "aes-cbc-essiv:sha256", "serpent-xts-plain64", "\xff\xfe", "\u0080")})
    for name, method, data in FOUND:
        with open(f"{CORPUS}/refuse-{name}", "wb") as f:
            f.write(bytes([METHODS.index(method)]) + data)
    with open("tests/fuzz/csi.dict", "w", encoding="ascii") as f:
        f.write("# by make-csi-seeds.py\n")
        for word in words:
            f.write('"' + "".join(chr(b) if 32 <= b < 127 and b not in (34, 92) else f"\\x{b:02x}"
                                  for b in word.encode()) + '"\n')


if __name__ == "__main__":
    main()
