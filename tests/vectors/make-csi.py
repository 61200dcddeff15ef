#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Make tests/vectors/csi.txt: CSI requests as Python's protobuf encodes them, and broken ones by hand (run from the top).

NAME MESSAGE BYTES OUTCOME: "ok", or "field:word", both of which the refusal has to hold ('_' for a blank). Whatever no parser
may take is shown to Python's own first.
"""
import sys

sys.path.insert(0, "tests/csi")
from csiclient import Mode, pb  # noqa: E402
from google.protobuf.message import DecodeError  # noqa: E402


def varint(n):
    out = b""
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


def tag(number, kind):
    return varint(number << 3 | kind)


def text(number, data):
    return tag(number, 2) + varint(len(data)) + data


def entry(number, key, value):
    return text(number, text(1, key) + text(2, value))


def mount(fs_type, flags=()):
    return pb.VolumeCapability(mount=pb.VolumeCapability.MountVolume(fs_type=fs_type, mount_flags=flags),
                               access_mode=Mode(mode=Mode.SINGLE_NODE_WRITER))


GOOD = {
    "empty": pb.ProbeRequest(),
    "create": pb.CreateVolumeRequest(
        name="pvc-1", capacity_range=pb.CapacityRange(required_bytes=1 << 30, limit_bytes=-1),
        volume_capabilities=[mount("ext4", ["noatime", "a=b"]), pb.VolumeCapability(
            block=pb.VolumeCapability.BlockVolume(), access_mode=Mode(mode=Mode.SINGLE_NODE_SINGLE_WRITER))],
        parameters={"encrypted": "true"}, secrets={"CRYPTO_KEY_VALUE": "geheim\n"},
        volume_content_source=pb.VolumeContentSource(snapshot=pb.VolumeContentSource.SnapshotSource(snapshot_id="s")),
        accessibility_requirements=pb.TopologyRequirement(requisite=[pb.Topology(segments={"k": "v"})]),
        mutable_parameters={"fsck": "none"}),
    "utf8": pb.CreateVolumeRequest(name="\u007f \u0080 \u07ff \u0800 \ud7ff \ue000 \uffff \U00010000 \U0010ffff"),
    "stage": pb.NodeStageVolumeRequest(volume_id="v", publish_context={"a": "b"}, staging_target_path="/p",
                                       volume_capability=mount("xfs"), secrets={"k": "v"}, volume_context={"c": "x"}),
    "list": pb.ListVolumesRequest(max_entries=-1, starting_token="t"),
    "publish": pb.ControllerPublishVolumeRequest(volume_id="v", node_id="n", readonly=True),
    "group": pb.CreateVolumeGroupSnapshotRequest(name="g", source_volume_ids=["a", "b", ""]),
}
# name: (message, bytes, outcome, is it one that Python refuses too?)
BAD = {
    "nul": ("CreateVolumeRequest", text(1, b"pvc\0-1"), "name:NUL", False),
    "nul-first": ("CreateVolumeRequest", text(1, b"\0"), "name:NUL", False),
    "nul-in-value": ("CreateVolumeRequest", entry(4, b"a", b"b\0c"), 'parameters["a"]:NUL', False),
    "nul-in-key": ("CreateVolumeRequest", entry(4, b"a\0b", b"c"), "parameters:_key", False),
    "nul-in-secret": ("NodeStageVolumeRequest", entry(5, b"CRYPTO_KEY_VALUE", b"a\0b"), "CRYPTO_KEY_VALUE:NUL", False),
    "nul-deep": ("NodeStageVolumeRequest", text(4, text(2, text(2, b"a\0"))), "mount_flags:NUL", False),
    "utf8-lone": ("CreateVolumeRequest", text(1, b"\x80"), "name:UTF-8", True),
    "utf8-overlong": ("CreateVolumeRequest", text(1, b"\xc0\xaf"), "name:UTF-8", True),
    "utf8-overlong-3": ("CreateVolumeRequest", text(1, b"\xe0\x80\xaf"), "name:UTF-8", True),
    "utf8-overlong-4": ("CreateVolumeRequest", text(1, b"\xf0\x80\x80\xaf"), "name:UTF-8", True),
    "utf8-surrogate": ("CreateVolumeRequest", text(1, b"\xed\xa0\x80"), "name:UTF-8", True),
    "utf8-beyond": ("CreateVolumeRequest", text(1, b"\xf4\x90\x80\x80"), "name:UTF-8", True),
    "utf8-cut": ("CreateVolumeRequest", text(1, b"a\xe2\x82"), "name:UTF-8", True),
    "utf8-value": ("CreateVolumeRequest", entry(5, b"k", b"\xff"), 'secrets["k"]:UTF-8', True),
    "utf8-key": ("CreateVolumeRequest", entry(5, b"\xff", b"v"), "secrets:key", True),
    "twice": ("CreateVolumeRequest", entry(4, b"encrypted", b"true") + entry(4, b"encrypted", b"false"),
              'parameters:"encrypted"', False),
    "twice-apart": ("CreateVolumeRequest", entry(4, b"k", b"1") + text(1, b"n") + entry(4, b"k", b"2"), "parameters:twice", False),
    "twice-empty": ("CreateVolumeRequest", text(4, b"") + text(4, text(2, b"x")), "parameters:twice", False),
    "twice-merged": ("GetCapacityRequest", text(3, entry(1, b"k", b"1")) + text(3, entry(1, b"k", b"2")),
                     "accessible_topology:twice", False),
    "range-twice": ("CreateVolumeRequest", text(2, tag(1, 0) + varint(1)) + text(2, tag(2, 0) + varint(2)),
                    "capacity_range:twice", False),
    "cut-tag": ("CreateVolumeRequest", text(1, b"n") + b"\x80", "broken:byte_4", True),
    "cut-length": ("CreateVolumeRequest", b"\x0a", "broken:byte", True),
    "cut-text": ("CreateVolumeRequest", b"\x0a\x05abcd", "broken:byte", True),
    "cut-varint": ("ListVolumesRequest", b"\x08\xff", "broken:byte", True),
    "cut-deep": ("CreateVolumeRequest", text(2, b"\x08"), "capacity_range:broken", True),
    "cut-entry": ("CreateVolumeRequest", text(4, b"\x0a\x05a"), "parameters:broken", True),
    "cut-fixed64": ("ProbeRequest", tag(9, 1) + b"1234567", "broken:byte", True),
    "cut-fixed32": ("ProbeRequest", tag(9, 5) + b"123", "broken:byte", True),
    "long-varint": ("ListVolumesRequest", b"\x08" + b"\xff" * 10 + b"\x01", "broken:byte", True),
    "number-0": ("ProbeRequest", tag(0, 0) + b"\0", "broken:byte", False),
    "number-big": ("ProbeRequest", tag(1 << 29, 0) + b"\0", "broken:byte", False),
    "huge-length": ("CreateVolumeRequest", b"\x0a" + varint((1 << 63) - 1), "broken:byte", True),
    "group-kind": ("ProbeRequest", tag(9, 3) + tag(9, 4), "broken:byte", False),
    "kind-6": ("ProbeRequest", tag(9, 6), "broken:byte", True),
    "text-as-varint": ("CreateVolumeRequest", tag(1, 0) + b"\x01", "name:type", False),
    "number-as-text": ("ListVolumesRequest", text(1, b"x"), "max_entries:type", False),
    "message-as-fixed": ("CreateVolumeRequest", tag(2, 5) + b"1234", "capacity_range:type", False),
    "entry-of-numbers": ("CreateVolumeRequest", text(4, tag(1, 0) + b"\1"), "parameters:text", False),
}
# What other encoders may send and has to be taken: unknown fields of every kind, an entry's parts in any order or absent.
ODD = {
    "unknown": ("ProbeRequest", tag(9, 0) + b"\x01" + tag(10, 1) + bytes(8) + text(11, b"\xff\0") + tag(12, 5) + bytes(4)),
    "unknown-deep": ("NodeStageVolumeRequest", text(1, b"v") + text(4, text(99, b"\0"))),
    "entry-turned": ("CreateVolumeRequest", text(4, text(2, b"v") + text(1, b"k"))),
    "entry-of-blanks": ("NodeStageVolumeRequest", pb.NodeStageVolumeRequest(publish_context={"a": "", "": "x"}).SerializeToString()),
    "entry-empty": ("CreateVolumeRequest", text(4, b"")),
    "scalar-twice": ("CreateVolumeRequest", text(1, b"a") + text(1, b"b")),
}


def main():
    lines = ["# SPDX-License-Identifier: Apache-2.0", "# by make-csi.py: NAME MESSAGE BYTES OUTCOME"]
    for name, m in GOOD.items():
        lines.append(f"{name} {m.DESCRIPTOR.name} {m.SerializeToString(deterministic=True).hex() or '-'} same")
    for name, (message, data) in ODD.items():
        getattr(pb, message).FromString(data)
        lines.append(f"{name} {message} {data.hex()} ok")
    for name, (message, data, outcome, refused) in BAD.items():
        try:
            getattr(pb, message).FromString(data)
            taken = True
        except DecodeError:
            taken = False
        assert taken != refused, f"{name}: Python has another opinion"
        lines.append(f"{name} {message} {data.hex()} {outcome.replace(' ', '_')}")
    with open("tests/vectors/csi.txt", "w", encoding="ascii") as f:
        f.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
