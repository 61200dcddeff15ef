# SPDX-License-Identifier: Apache-2.0
"""No passphrase is left in the driver's memory after any call that carried one, whether it succeeded, failed, was refused on
the wire or given up by the client; none is in the log at any level. The controls find it while it is held."""
import os
import re
import secrets as random_secrets
import sys
import time

from lab import CRYPTSETUP, FAST, MIB, SCRATCH, Driver, Failed, case, expect, in_background, mount_cap, pb, run, run_on, text_of

PIECE = 16
given = []  # every passphrase that a driver was ever told


def fresh(**more):
    """A Secret whose passphrase nobody else has."""
    p = "pass-" + random_secrets.token_urlsafe(30)
    given.append(p)
    return {"CRYPTO_KEY_VALUE": p, **FAST, **more}


def regions(pid):
    """What of the process's memory is there and could ever be written: (start, end, name)."""
    found, current = [], None
    for line in text_of(f"/proc/{pid}/smaps").splitlines():
        head = re.match(r"([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ \S+\s*(.*)", line)
        if head:
            current = (int(head[1], 16), int(head[2], 16), f"{head[3]} {head[4]}")
        elif line.startswith("Rss:") and int(line.split()[1]) and "[v" not in current[2] and (
                "w" in current[2].split()[0] or "/" not in current[2]):
            found.append(current)
    return found


def scan(pid, secret):
    """Where in the memory pieces of it are."""
    secret = secret if isinstance(secret, bytes) else secret.encode()
    pieces = [secret[i:i + PIECE] for i in range(0, len(secret) - PIECE + 1, 4)]
    found = []
    fd = os.open(f"/proc/{pid}/mem", os.O_RDONLY)
    try:
        for start, end, name in regions(pid):
            at = start
            while at < end:
                try:
                    data = os.pread(fd, min(4 * MIB, end - at) + 64, at)
                except OSError:
                    data = b""
                for piece in pieces:
                    i = data.find(piece)
                    if i >= 0:
                        found.append(f"{name.strip()} at {at + i:x}: {secret.find(piece)}+{PIECE} of {len(secret)}")
                        break
                at += 4 * MIB
    finally:
        os.close(fd)
    return found


def clean(lab, what, *secrets):
    """Memory is given back a moment after the answer: a short while is allowed."""
    for s in secrets:
        limit = time.monotonic() + 2
        while True:
            found = scan(lab.driver.pid, s)
            if not found or time.monotonic() > limit:
                break
            time.sleep(0.05)
        assert not found, f"{what}: {len(found)} places: {found[:3]}"


@case("control: the scan finds the passphrase while a derivation is under way, and nothing after it")
def control(lab):
    s = {**fresh(), "CRYPTO_PBKDF_FORCE_ITERATIONS": "4000000"}
    v = lab.create(secrets={})
    v.attach()
    join = in_background(v.stage, s)
    time.sleep(0.5)
    held = scan(lab.driver.pid, s["CRYPTO_KEY_VALUE"])
    expect("the stage", "OK", join())
    assert held, "it isn't found while it is held"
    clean(lab, "afterwards", s["CRYPTO_KEY_VALUE"])
    assert scan(lab.driver.pid, lab.driver.state + "/volumes"), "control: something that stays is found"


@case("after every call that carries a Secret: success")
def successes(lab):
    c = lab.c

    def call(what, f, *args, s=None, **kw):
        s = s or fresh()
        r = f(*args, secrets=s, **kw)
        clean(lab, what, s["CRYPTO_KEY_VALUE"], *([s["CRYPTO_KEY_VALUE_PREVIOUS"]] if "CRYPTO_KEY_VALUE_PREVIOUS" in s else []))
        return r
    key = fresh()
    v = lab.create(secrets={})
    call("CreateVolume", c.CreateVolume, name=v.name, volume_capabilities=[v.cap], parameters={"encrypted": "true"},
         capacity_range=pb.CapacityRange(required_bytes=64 * MIB))
    call("ControllerPublishVolume", c.ControllerPublishVolume, volume_id=v.id, node_id="n1", volume_capability=v.cap)
    call("ValidateVolumeCapabilities", c.ValidateVolumeCapabilities, volume_id=v.id, volume_capabilities=[v.cap])
    call("ControllerModifyVolume", c.ControllerModifyVolume, volume_id=v.id, mutable_parameters={"discard": "true"})
    stage = dict(volume_id=v.id, staging_target_path=v.staging, volume_capability=v.cap, volume_context=v.context)
    call("NodeStageVolume, format", c.NodeStageVolume, s=key, **stage)
    call("NodeStageVolume, again", c.NodeStageVolume, s=key, **stage)
    run(CRYPTSETUP, "luksDump", "--dump-volume-key", "--batch-mode", "--volume-key-file", f"{lab.kubelet}/vk", "--key-file", "-", v.image,
        stdin=key["CRYPTO_KEY_VALUE"].encode())
    with open(f"{lab.kubelet}/vk", "rb") as f:
        volume_key = f.read()
    os.unlink(f"{lab.kubelet}/vk")
    clean(lab, "the volume key", volume_key)
    os.makedirs(os.path.dirname(v.target()), exist_ok=True)
    v.targets.append(v.target())
    call("NodePublishVolume", c.NodePublishVolume, volume_id=v.id, staging_target_path=v.staging, target_path=v.target(),
         volume_capability=v.cap, volume_context=v.context)
    call("ControllerExpandVolume", c.ControllerExpandVolume, volume_id=v.id, capacity_range=pb.CapacityRange(required_bytes=80 * MIB))
    call("NodeExpandVolume", c.NodeExpandVolume, s=key, volume_id=v.id, volume_path=v.target(),
         capacity_range=pb.CapacityRange(required_bytes=80 * MIB))
    clean(lab, "the volume key after expansion", volume_key)
    s = call("CreateSnapshot", c.CreateSnapshot, source_volume_id=v.id, name="of-a-secret").snapshot
    call("ListSnapshots", c.ListSnapshots)
    call("GetSnapshot", c.GetSnapshot, snapshot_id=s.snapshot_id)
    call("DeleteSnapshot", c.DeleteSnapshot, snapshot_id=s.snapshot_id)
    g = call("CreateVolumeGroupSnapshot", c.CreateVolumeGroupSnapshot, name="of-secrets", source_volume_ids=[v.id]).group_snapshot
    ids = dict(group_snapshot_id=g.group_snapshot_id, snapshot_ids=[x.snapshot_id for x in g.snapshots])
    call("GetVolumeGroupSnapshot", c.GetVolumeGroupSnapshot, **ids)
    call("DeleteVolumeGroupSnapshot", c.DeleteVolumeGroupSnapshot, **ids)
    call("NodeStageVolume, rotation", c.NodeStageVolume, s=fresh(CRYPTO_KEY_VALUE_PREVIOUS=key["CRYPTO_KEY_VALUE"]), **stage)
    clean(lab, "the volume key after rotation", volume_key)
    v.down()
    call("ControllerUnpublishVolume", c.ControllerUnpublishVolume, volume_id=v.id, node_id="n1")
    w = lab.create(secrets={})
    call("DeleteVolume", c.DeleteVolume, volume_id=w.id)
    lab.volumes.remove(w)


@case("after every call that carries a Secret: failure, in the handler, on the wire, by the client")
def failures(lab):
    c = lab.c
    v = lab.create(secrets=fresh())
    v.up()
    stage = dict(volume_id=v.id, staging_target_path=v.staging, volume_capability=v.cap, volume_context=v.context)

    def fail(what, call, s=None, **kw):
        s = s or fresh()
        try:
            getattr(c, call)(secrets=s, **kw)
        except Failed as e:
            assert s["CRYPTO_KEY_VALUE"] not in e.message, e.message
            clean(lab, what, s["CRYPTO_KEY_VALUE"])
            return
        raise AssertionError(f"{what} answered OK")
    fail("a wrong passphrase", "NodeStageVolume", **stage)
    fail("a bad key in the Secret", "NodeStageVolume", s=fresh(CRYPTO_PBKDF="none"), **stage)
    fail("a missing field", "NodeStageVolume", volume_id=v.id)
    fail("an unknown volume", "NodeExpandVolume", volume_id="never-made.00000000", volume_path="/x")
    fail("a bad parameter", "CreateVolume", name="x", volume_capabilities=[v.cap], parameters={"no": "such"})
    for call, kw in (("ControllerPublishVolume", dict(volume_id="u", node_id="n1", volume_capability=v.cap)),
                     ("ValidateVolumeCapabilities", dict(volume_id="u", volume_capabilities=[v.cap])),
                     ("ControllerModifyVolume", dict(volume_id="u", mutable_parameters={"discard": "true"})),
                     ("CreateSnapshot", dict(source_volume_id="u", name="n")), ("GetSnapshot", dict(snapshot_id="u")),
                     ("ListSnapshots", dict(max_entries=-1)), ("DeleteSnapshot", {}), ("DeleteVolume", {}),
                     ("ControllerUnpublishVolume", {}), ("NodePublishVolume", dict(volume_id="u")),
                     ("ControllerExpandVolume", dict(volume_id="u", capacity_range=pb.CapacityRange())),
                     ("CreateVolumeGroupSnapshot", dict(name="n", source_volume_ids=["u"])),
                     ("DeleteVolumeGroupSnapshot", {}), ("GetVolumeGroupSnapshot", dict(group_snapshot_id="u"))):
        fail(call, call, **kw)

    def raw(name, path, message):
        s = fresh()
        data = message(s).SerializeToString()
        try:
            c.raw(path, data if name != "twice" else data + data)
            raise AssertionError(f"{name} answered OK")
        except Failed:
            pass
        clean(lab, name, s["CRYPTO_KEY_VALUE"])
    raw("twice", "/csi.v1.Node/NodeStageVolume", lambda s: pb.NodeStageVolumeRequest(secrets=s, **stage))
    raw("a method that isn't there", "/csi.v1.Node/NoSuchCall", lambda s: pb.NodeStageVolumeRequest(secrets=s, **stage))
    raw("too much for a map", "/csi.v1.Node/NodeStageVolume",
        lambda s: pb.NodeStageVolumeRequest(secrets={**s, **{f"k{i}": "v" * 1000 for i in range(80)}}, **stage))
    raw("more than 1 MiB", "/csi.v1.Node/NodeStageVolume",
        lambda s: pb.NodeStageVolumeRequest(secrets={**s, **{f"k{i}": "v" * 1000 for i in range(1100)}}, **stage))
    # in many pieces on the wire, and given up by the client while it is being worked on
    big = fresh(**{f"k{i}": "v" * 900 for i in range(60)})
    expect("many pieces", "UNAUTHENTICATED", in_background(c.NodeStageVolume, secrets=big, **stage)())
    clean(lab, "many pieces", big["CRYPTO_KEY_VALUE"])
    # given up while it is being sent: the driver never sees those messages
    half = pb.NodeStageVolumeRequest(secrets=fresh(), volume_context={f"k{i}": "v" * 1000 for i in range(900)}).SerializeToString()
    outcomes = {}
    for i in range(60):
        try:
            c.raw("/csi.v1.Node/NodeStageVolume", half, timeout=0.001 + i * 0.0002)
        except Failed as e:
            outcomes[e.code] = outcomes.get(e.code, 0) + 1
    print(f"    given up while sending: {outcomes}")
    assert outcomes.get("DEADLINE_EXCEEDED", 0) > 5, outcomes
    clean(lab, "given up while sending", given[-1])
    slow = {**fresh(), "CRYPTO_PBKDF_FORCE_ITERATIONS": "3000000"}
    w = lab.create(secrets=slow)
    expect("given up", "DEADLINE_EXCEEDED", in_background(w.stage, timeout=0.3)())
    while in_background(w.stage)() == "ABORTED":
        time.sleep(0.2)
    clean(lab, "given up", slow["CRYPTO_KEY_VALUE"])


@case("two hundred calls at once with Secrets: none is left")
def many(lab):
    sent = [fresh() for _ in range(200)]
    joins = [in_background(lab.c.NodeStageVolume, volume_id=f"never-made-{i}.00000000", staging_target_path="/x",
                           volume_capability=mount_cap(), secrets=s) for i, s in enumerate(sent)]
    expect("answers", {"NOT_FOUND"}, {j() for j in joins})
    clean(lab, "two hundred", *(s["CRYPTO_KEY_VALUE"] for s in sent[::20]))


@case("no secret in the log at any level and in any format; tokens of service accounts neither")
def logs(lab):
    token = "token-" + random_secrets.token_urlsafe(30)
    given.append(token)
    lab.c.fails("NOT_FOUND", "NodePublishVolume", volume_id="never-made.00000000", staging_target_path="/x", target_path="/y",
                volume_capability=mount_cap(flags=["context=" + token]), secrets=fresh(),
                volume_context={"csi.storage.k8s.io/serviceAccount.tokens": token})
    text = lab.driver.log_text()
    for form in ("text", "json"):
        for level in ("error", "warning", "info", "debug"):
            d = Driver(f"log-{form}-{level}", state=os.path.join(SCRATCH, "csi", "logs"), **{"log-level": level, "log-format": form, "node-id": "n1"})
            c = d.start()
            c.fails("NOT_FOUND", "NodeStageVolume", volume_id="never-made.00000000", staging_target_path="/x",
                    volume_capability=mount_cap(flags=["context=" + token]), secrets=fresh(CRYPTO_KEY_VALUE_PREVIOUS=token),
                    volume_context={"csi.storage.k8s.io/serviceAccount.tokens": token, "label": "shown"})
            d.stop()
            if level == "debug":
                assert "NodeStageVolume" in d.log_text() and "***" in d.log_text() and "shown" in d.log_text(), "control: the request isn't logged"
            text += d.log_text()
    assert len(given) > 200
    leaked = [g for g in given if g in text]
    expect("leaked", [], leaked)


if __name__ == "__main__":
    sys.exit(run_on(Driver()))
