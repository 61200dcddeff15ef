# SPDX-License-Identifier: Apache-2.0
"""The server under its calls: what no library would encode, deadlines, kills, concurrency, the socket, signals."""
import os
import random
import re
import signal
import socket
import stat
import subprocess
import sys
import threading
import time

import grpc

from lab import (FULL, MIB, SCRATCH, Driver, Failed, case, expect, in_background, mappings, mount_cap, mounted, pb, run, run_on,
                 secret, text_of, wait_for)

CREATE = "/csi.v1.Controller/CreateVolume"
STAGE = "/csi.v1.Node/NodeStageVolume"


# ---- bytes on the wire ----

def varint(n):
    out = b""
    while n > 0x7f:
        out += bytes([n & 0x7f | 0x80])
        n >>= 7
    return out + bytes([n])


def field(number, data):
    """A length-delimited field, whatever the bytes are."""
    data = data.encode() if isinstance(data, str) else data
    return varint(number << 3 | 2) + varint(len(data)) + data


def entry(number, key, value):
    return field(number, field(1, key) + field(2, value))


CAP = field(3, field(2, b"") + field(3, b"\x08\x01"))


def refused(lab, path, data, *named, code="INVALID_ARGUMENT", never=b""):
    try:
        lab.c.raw(path, data)
    except Failed as e:
        assert e.code == code, f"{e}, not {code}"
        for name in named:
            assert name in e.message, f"no {name} in: {e.message}"
        assert not never or never.decode() not in e.message, e.message
        return e.message
    raise AssertionError(f"{path} answered OK to {data[:60]!r}")


@case("wire: NUL bytes and bad UTF-8 in any text: INVALID_ARGUMENT that names the field")
def wire_text(lab):
    for bad in (b"a\0b", b"\0", b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\xe2\x98", b"\x80"):
        refused(lab, CREATE, field(1, bad) + CAP, "name")
        refused(lab, CREATE, field(1, "x") + field(3, field(2, field(1, bad))), "volume_capabilities", "fs_type")
        refused(lab, CREATE, field(1, "x") + field(3, field(2, field(2, bad))), "mount_flags")
        refused(lab, CREATE, field(1, "x") + CAP + entry(4, bad, "v"), "parameters")
        refused(lab, CREATE, field(1, "x") + CAP + entry(4, "label", bad), "parameters", "label")
        refused(lab, CREATE, field(1, "x") + CAP + entry(5, "CRYPTO_KEY_VALUE", b"leak-me" + bad), "secrets",
                "CRYPTO_KEY_VALUE", never=b"leak-me")
        refused(lab, STAGE, field(1, bad), "volume_id")
        refused(lab, STAGE, field(1, "x") + field(3, bad), "staging_target_path")
        refused(lab, STAGE, field(1, "x") + entry(6, "device", bad), "volume_context")
    for good in ("Grüße", "☃", "\U0010ffff", "\uffff"):
        refused(lab, STAGE, field(1, good), "staging_target_path")


@case("wire: a key twice in a map is INVALID_ARGUMENT, whatever the order")
def wire_duplicates(lab):
    twice = entry(4, "encrypted", "true") + CAP + entry(4, "encrypted", "false")
    refused(lab, CREATE, field(1, "x") + twice, "parameters", "encrypted")
    refused(lab, CREATE, field(1, "x") + CAP + entry(5, "CRYPTO_KEY_VALUE", "leak-me") * 2, "secrets", "CRYPTO_KEY_VALUE", never=b"leak-me")
    refused(lab, STAGE, field(1, "x") + entry(6, "a", "1") + entry(6, "b", "1") + entry(6, "a", "1"), "volume_context")
    refused(lab, CREATE, field(1, "x") + CAP + entry(4, "", "") * 2, "parameters")


@case("wire: sizes over CSI's limits are INVALID_ARGUMENT and named; at the limit they pass")
def wire_sizes(lab):
    refused(lab, CREATE, field(1, "n" * 129) + CAP, "name")
    refused(lab, STAGE, field(1, "v" * 129), "volume_id")
    refused(lab, STAGE, field(1, "x") + field(3, "/" * 4097), "staging_target_path")
    refused(lab, "/csi.v1.Controller/ControllerPublishVolume", field(1, "x") + field(2, "n" * 257), "node_id")
    refused(lab, CREATE, field(1, "x") + field(3, field(2, field(2, "f" * 2049) + field(2, "f" * 2049))), "mount_flags")
    refused(lab, CREATE, field(1, "x") + CAP + entry(4, "k", "v" * 4096), "parameters")
    refused(lab, CREATE, field(1, "x") + CAP + b"".join(entry(5, f"k{i}", "v" * 1000) for i in range(70)), "secrets")
    refused(lab, CREATE, field(1, "x") + b"".join(entry(4, f"k{i}", "") for i in range(1025)), "parameters")
    refused(lab, "/csi.v1.GroupController/CreateVolumeGroupSnapshot", field(1, "g") + field(2, "x") * 1025, "source_volume_ids")
    long = "k" * 2000
    message = refused(lab, CREATE, field(1, "n" * 128) + CAP + entry(4, long, "v" * 2096))
    assert "not known" in message or "parameter" in message, message


@case("wire: broken framing is INVALID_ARGUMENT, unknown fields are passed over, the last of two values counts")
def wire_framing(lab):
    good = field(1, "framing") + CAP
    for bad in (b"\x0a", b"\x0a\x05abc", b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01x", b"\x00\x01", b"\x0b\x0c",
                b"\x07", good + b"\x1a\x7f\x0a", b"\x08\x01" + good, good + field(2, b"\x0a\x01"), b"\xff" * 12):
        refused(lab, CREATE, bad)
    unknown = field(99, b"\0\xff not ours") + varint(100 << 3) + b"\x05"
    data = field(1, "not this one") + unknown + good
    v = pb.CreateVolumeResponse.FromString(lab.c.raw(CREATE, data)).volume
    assert v.volume_id.startswith("framing."), v.volume_id
    lab.c.DeleteVolume(volume_id=v.volume_id)
    both = field(3, field(1, b"") + field(2, field(1, "ext4")) + field(3, b"\x08\x01"))
    v = pb.CreateVolumeResponse.FromString(lab.c.raw(CREATE, field(1, "both") + both)).volume
    assert lab.c.ValidateVolumeCapabilities(volume_id=v.volume_id, volume_capabilities=[mount_cap()]).HasField("confirmed")
    lab.c.DeleteVolume(volume_id=v.volume_id)


@case("wire: messages up to 1 MiB are taken, longer ones refused, and the driver goes on")
def wire_megabyte(lab):
    cap = field(3, field(2, b"".join(field(2, "o" * 1000) for _ in range(4))) + field(3, b"\x08\x01"))
    many = field(1, "big") + cap * ((MIB - 100) // len(cap))
    assert MIB - 5000 < len(many) <= MIB
    v = pb.CreateVolumeResponse.FromString(lab.c.raw(CREATE, many)).volume
    lab.c.DeleteVolume(volume_id=v.volume_id)
    refused(lab, CREATE, many + cap * 2, code="RESOURCE_EXHAUSTED")
    lab.c.Probe()


@case("wire: thousands of mutated requests: each is answered, the driver goes on, nothing is left")
def wire_mutants(lab):
    rng = random.Random(int(os.environ.get("SEED", "1")))
    v = lab.create(encrypted=False)
    seeds = [(CREATE, pb.CreateVolumeRequest(name="m", volume_capabilities=[v.cap], parameters={"encrypted": "true"},
                                             secrets=secret("x")).SerializeToString()),
             (STAGE, pb.NodeStageVolumeRequest(**{**v.stage_fields(), "volume_id": "unknown"}).SerializeToString()),
             ("/csi.v1.Node/NodePublishVolume", pb.NodePublishVolumeRequest(
                 volume_id=v.id, target_path="/relative", volume_capability=v.cap).SerializeToString()),
             ("/csi.v1.Controller/ListVolumes", pb.ListVolumesRequest(max_entries=3).SerializeToString())]
    codes = {}
    for _ in range(10000 if FULL else 800):
        path, data = rng.choice(seeds)
        data = bytearray(data)
        for _ in range(rng.randrange(1, 5)):
            at = rng.randrange(len(data) + 1)
            kind = rng.randrange(4)
            if kind == 0 and at < len(data):
                data[at] ^= 1 << rng.randrange(8)
            elif kind == 1:
                data[at:at] = bytes(rng.randrange(256) for _ in range(rng.randrange(1, 9)))
            elif kind == 2:
                del data[at:at + rng.randrange(1, 9)]
            else:
                data += data[at:]
        try:
            lab.c.raw(path, bytes(data))
            codes["OK"] = codes.get("OK", 0) + 1
        except Failed as e:
            codes[e.code] = codes.get(e.code, 0) + 1
            assert e.code not in ("UNAVAILABLE", "UNKNOWN", "INTERNAL"), f"{e} to {bytes(data)!r}"
    assert codes.get("INVALID_ARGUMENT", 0) > 300 and codes.get("OK", 0) > 30, codes
    lab.c.Probe()
    for e in lab.c.ListVolumes().entries:
        if e.volume.volume_id != v.id:
            lab.c.DeleteVolume(volume_id=e.volume.volume_id)


# ---- time ----

def costly(name, iterations=6000000):
    """A Secret whose derivation takes a while."""
    return {"CRYPTO_KEY_VALUE": "passphrase of " + name, "CRYPTO_PBKDF": "pbkdf2",
            "CRYPTO_PBKDF_FORCE_ITERATIONS": str(iterations)}


def stages_begun(lab):
    return len([line for line in lab.driver.log_text().splitlines() if 'event="request"' in line and "NodeStageVolume" in line])


@case("while all workers of the stages derive keys: probes, capabilities, figures, lists and other volumes' ends are answered")
def fast_lane(lab):
    other = lab.create(encrypted=False, size=16 * MIB)
    path = other.up()
    volumes = [lab.create(secrets=costly(f"busy-{i}"), size=16 * MIB) for i in range(9)]
    for v in volumes:
        v.attach()
    begun = stages_begun(lab)
    joins = [in_background(v.stage, timeout=280) for v in volumes]
    done = []
    for join in joins:
        threading.Thread(target=lambda join=join: done.append(join())).start()
    wait_for("all workers have one", 60, lambda: stages_begun(lab) >= begun + 8)
    for call, kw in (("Probe", {}), ("NodeGetInfo", {}), ("ControllerGetCapabilities", {}), ("ListVolumes", {}),
                     ("NodeGetVolumeStats", dict(volume_id=other.id, volume_path=path)),
                     ("NodeUnpublishVolume", dict(volume_id=other.id, target_path=path)),
                     ("NodeUnstageVolume", dict(volume_id=other.id, staging_target_path=other.staging))):
        getattr(lab.c, call)(**kw, timeout=200)
    # The order of events, not a time: nine derivations, eight at once, weren't done by then.
    assert len(done) < len(joins), "all stages had ended before these calls were answered"
    other.targets.clear()
    wait_for("the stages", 280, lambda: len(done) == len(joins))
    expect("the stages", ["OK"] * len(joins), done)


@case("a compressed request is refused before it is unpacked: a gigabyte in a megabyte costs nothing")
def gzip_bombs(lab):
    def peak():
        return int(re.search(r"VmHWM:\s+(\d+)", text_of(f"/proc/{lab.driver.pid}/status"))[1]) // 1024
    bomb = field(1, "x" * 200) + bytes(15 * MIB)
    before, codes = peak(), []
    call = lab.c.channel.unary_unary(CREATE, request_serializer=lambda b: b, response_deserializer=lambda b: b)
    waiting = [call.future(bomb, timeout=120, compression=grpc.Compression.Gzip) for _ in range(24)]
    for w in waiting:
        codes.append(w.code().name)
    expect("codes", {"UNIMPLEMENTED"}, set(codes))
    assert peak() < before + 48, f"{peak() - before} MiB for 24 requests"
    lab.c.Probe()


@case("a deadline that passes doesn't end the work: the retry is told ABORTED, then succeeds; one format")
def deadline(lab):
    v = lab.create(secrets=costly("deadline"))
    v.attach()
    started = time.monotonic()
    expect("the first call", "DEADLINE_EXCEEDED", in_background(v.stage, timeout=0.5)())
    expect("the second", "ABORTED", in_background(v.stage)())
    other = lab.create(encrypted=False)
    other.up()
    codes = []
    while not codes or codes[-1] == "ABORTED":
        assert time.monotonic() - started < 60
        codes.append(in_background(v.stage)())
        time.sleep(0.2)
    expect("the last", "OK", codes[-1])
    assert mounted(v.staging)
    uuid = run("blkid", "-p", "-o", "value", "-s", "UUID", v.image).stdout
    v.stage()
    expect("UUID", uuid, run("blkid", "-p", "-o", "value", "-s", "UUID", v.image).stdout)


@case("concurrent calls on one volume: one goes, the others are ABORTED or find it done; other volumes go on")
def concurrent(lab):
    v, w = lab.create(secrets=costly("concurrent")), lab.create(encrypted=False)
    v.attach()
    joins = [in_background(v.stage) for _ in range(6)]
    time.sleep(0.3)
    w.up()
    for call in (lambda: lab.c.DeleteVolume(volume_id=v.id), v.unstage, lambda: lab.snapshot(v),
                 lambda: v.node_expand(128 * MIB), lambda: lab.c.ControllerExpandVolume(
                     volume_id=v.id, capacity_range=pb.CapacityRange(required_bytes=128 * MIB))):
        expect("another call meanwhile", "ABORTED", in_background(call)())
    outcomes = [j() for j in joins]
    assert outcomes.count("OK") >= 1 and set(outcomes) <= {"OK", "ABORTED"}, outcomes
    creates = [in_background(lab.c.CreateVolume, name="one-name", volume_capabilities=[mount_cap()]) for _ in range(8)]
    assert {j() for j in creates} <= {"OK", "ABORTED"}
    made = lab.c.CreateVolume(name="one-name", volume_capabilities=[mount_cap()]).volume
    expect("volumes", 3, len(lab.c.ListVolumes().entries))
    lab.c.DeleteVolume(volume_id=made.volume_id)


@case("kill -9 at any moment of a first stage: the retry converges, one volume key, data stays")
def kill_in_stage(lab):
    moments = [i / 20 for i in range(24)] if FULL else [0.02, 0.1, 0.2, 0.35, 0.6]
    for moment in moments:
        v = lab.create(secrets=costly("a kill", 300000))
        v.attach()
        join = in_background(v.stage)
        time.sleep(moment)
        lab.driver.process.kill()
        lab.driver.process.wait()
        assert join() in ("OK", "UNAVAILABLE", "CANCELLED", "INTERNAL")
        lab.driver.restart()
        v.stage()
        with open(f"{v.publish()}/data", "w", encoding="ascii") as f:
            f.write("data")
        lab.driver.restart(signal.SIGKILL)
        v.stage()
        expect(f"killed after {moment} s", "data", open(f"{v.target()}/data", encoding="ascii").read())
        expect("keyslots", ["0"], list(v.dump()["keyslots"]))
        v.down()
        assert v.id not in mappings()


# ---- the socket and the process ----

def folder_of(d):
    return sorted(f for f in os.listdir(d.folder) if f != "driver.log")


@case("a dead socket is replaced, a live one never, a file that is none neither; no other file beside it")
def sockets(lab):
    d = Driver("socket", state=os.path.join(SCRATCH, "csi", "socket"))
    d.start()
    expect("files", ["csi.sock"], folder_of(d))
    d.process.kill()
    d.process.wait()
    assert stat.S_ISSOCK(os.stat(d.socket).st_mode), "control: the dead socket is there"
    d.start()
    second = Driver("socket", state=os.path.join(SCRATCH, "csi", "socket2"))
    second.start(wait=False)
    assert second.process.wait(20) != 0
    assert "csi.sock" in d.last_words(), d.last_words()
    assert not os.path.exists(second.state), "it opened its records before it looked"
    d.client.Probe()
    d.stop()
    with open(d.socket, "w", encoding="ascii") as f:
        f.write("somebody's file")
    second.start(wait=False)
    assert second.process.wait(20) != 0
    expect("the file", "somebody's file", open(d.socket, encoding="ascii").read())
    os.unlink(d.socket)


@case("mode and group of the socket; no core dumps; readiness and stopping are told to systemd")
def process(lab):
    path = os.path.join(SCRATCH, "notify.sock")
    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notify.bind(path)
    notify.settimeout(20)
    os.environ["NOTIFY_SOCKET"] = path
    d = Driver("mode", state=os.path.join(SCRATCH, "csi", "mode"), **{"socket-mode": "0660", "socket-group": "daemon"})
    try:
        d.start()
    finally:
        del os.environ["NOTIFY_SOCKET"]
    expect("first word", b"READY=1", notify.recv(100))
    st = os.stat(d.socket)
    expect("mode and group", (0o660, 1), (stat.S_IMODE(st.st_mode), st.st_gid))
    limits = open(f"/proc/{d.pid}/limits", encoding="ascii").read()
    assert [line.split()[4] for line in limits.splitlines() if line.startswith("Max core")] == ["0"], limits
    expect("state directory", 0o700, stat.S_IMODE(os.stat(d.state).st_mode))
    expect("exit status", 0, d.stop())
    expect("last word", b"STOPPING=1", notify.recv(100))
    assert stat.S_IMODE(os.stat(os.path.join(d.state, "state.db")).st_mode) == 0o600
    notify.close()
    os.unlink(path)


@case("SIGTERM: a call under way is answered within the grace; a derivation is not waited for beyond it")
def sigterm(lab):
    v = lab.create(secrets=costly("a kill", 300000))
    v.attach()
    join = in_background(v.stage)
    time.sleep(0.15)
    lab.driver.process.send_signal(signal.SIGTERM)
    expect("the call under way", "OK", join())
    expect("exit status", 0, lab.driver.process.wait(20))
    lab.driver.stop()
    lab.driver.start(grace=1)
    assert mounted(v.staging), "the mount outlives the driver"
    w = lab.create(secrets=costly("w", 60000000))
    w.attach()
    join = in_background(w.stage)
    time.sleep(0.5)
    lab.driver.process.send_signal(signal.SIGTERM)
    expect("exit status", 0, lab.driver.process.wait(200))
    assert join() != "OK", "the driver waited for the derivation"
    lab.driver.restart()
    w.secrets = secret("x")
    w.stage()


@case("options: flags over environment over file; what is wrong is named with its place, status 1")
def options(lab):
    path = os.path.join(SCRATCH, "csi.conf")
    with open(path, "w", encoding="ascii") as f:
        f.write("# a comment\nnode-id = from-file\ndriver-name = file.example\nlog-level = info\n")
    d = Driver("options", state=os.path.join(SCRATCH, "csi", "options"), config=path)
    del d.options["node-id"]
    os.environ["CRYPTVOL_NODE_ID"] = "from-environment"
    try:
        c = d.start(**{"log-level": "debug"})
    finally:
        del os.environ["CRYPTVOL_NODE_ID"]
    expect("node from the environment, name from the file", ("from-environment", "file.example"),
           (c.NodeGetInfo().node_id, c.GetPluginInfo().name))
    d.stop()
    for line, named in (("no-such = 1", "no-such"), ("workers = many", "workers"), ("mode = both", "mode")):
        with open(path, "w", encoding="ascii") as f:
            f.write(line + "\n")
        d.start(wait=False)
        expect("status", 1, d.process.wait(20))
        assert named in d.last_words(), d.last_words()


if __name__ == "__main__":
    sys.exit(run_on(Driver()))
