# SPDX-License-Identifier: Apache-2.0
"""What the driver tells of its state: volumes by state and use, orphans, what was cut short, where metrics are served."""
import contextlib
import os
import re
import socket
import sqlite3
import sys
import time

from lab import (MIB, SCRATCH, Driver, Lab, block_cap, case, device_bytes, expect, in_background, mount_cap, pb, run, run_on, scrape,
                 text_of, wait_for, worked_on)

PORT = 19810


def family(name, **kw):
    """label value -> number, those that aren't zero"""
    found = {re.search(r'="([^"]*)"', k).group(1): int(v) for k, v in scrape(**kw).items() if k.startswith(name + "{")}
    assert found, f"no {name}"
    return {k: v for k, v in found.items() if v}


# ---- volumes by state ----

@case("metrics: volumes by state and use, snapshots by type, as they come and go")
def volumes(lab):
    expect("at first", {}, family("cryptvol_volumes"))
    v = lab.create()
    b = lab.create(cap=block_cap())
    p = lab.create(encrypted=False)
    expect("made", {"none": 3}, family("cryptvol_volumes"))
    expect("not used", {}, family("cryptvol_volumes_in_use"))
    v.attach()
    v.stage()
    expect("one staged", {"none": 2, "formatted": 1}, family("cryptvol_volumes"))
    expect("one staged", {"attached": 1, "staged": 1}, family("cryptvol_volumes_in_use"))
    for x in (v, b, p):
        x.up()
    v.publish("second")
    expect("all in use", {"formatted": 3}, family("cryptvol_volumes"))
    expect("all in use, one twice", {"attached": 3, "staged": 3, "published": 3}, family("cryptvol_volumes_in_use"))
    lab.snapshot(v)
    expect("snapshots", {"snap": 1}, family("cryptvol_snapshots"))
    for x in (v, b, p):
        x.down()
    expect("not used any more", {}, family("cryptvol_volumes_in_use"))
    for x in (b, p):
        x.delete()
    expect("what is left", {"formatted": 1}, family("cryptvol_volumes"))
    expect("orphans", {}, family("cryptvol_orphans"))
    expect("unfinished", {}, family("cryptvol_unfinished"))


# ---- orphans ----

def restart(lab, meanwhile=lambda: None):
    """What the driver says from a start until it serves, by event."""
    lab.driver.stop()
    meanwhile()
    before = len(lab.driver.log_text())
    lab.driver.start()
    said = {}
    for line in lab.driver.log_text()[before:].split('event="serving"')[0].splitlines():
        fields = dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', line))
        said.setdefault(fields.get("event"), []).append(fields)
    return said


@case("orphans: told of at start by path or id and counted, never deleted; gone from both when they are put right")
def orphans(lab):
    v, w = lab.create(), lab.create(encrypted=False)
    v.up()
    v.down()
    s = lab.snapshot(v)
    state = lab.driver.state
    files = {f"{state}/volumes/pvc-lost.00000000.img": "image", f"{state}/volumes/notes": "image",
             f"{state}/snapshots/snap-lost.00000000.img": "snapshot_image", f"{state}/headers/pvc-gone.00000000.3.hdr": "header",
             f"{state}/tmp/something": "tmp"}
    gone = [w.image, lab.driver.snapshot_image(s.snapshot_id)]
    assert "orphan" not in restart(lab)

    def spoil():
        for path in files:
            with open(path, "w", encoding="ascii") as f:
                f.write("keep me")
        for path in gone:
            os.rename(path, path + ".away")
    said = restart(lab, spoil)["orphan"]
    expect("levels", {"warning"}, {f["level"] for f in said})
    want = {**files, **{path + ".away": "snapshot_image" if "snapshots" in path else "image" for path in gone},
            w.id: "record", s.snapshot_id: "snapshot_record"}
    expect("told of", sorted(want.items()), sorted((f.get("path") or f.get("volume") or f.get("snapshot"), f["kind"]) for f in said))
    expect("counted", {"image": 3, "snapshot_image": 2, "header": 1, "tmp": 1, "record": 1, "snapshot_record": 1},
           family("cryptvol_orphans"))
    for path in files:
        expect(path, "keep me", text_of(path))
    expect("volumes", {v.id, w.id}, {e.volume.volume_id for e in lab.c.ListVolumes().entries})
    for path in gone:
        os.rename(path + ".away", path)
    for path in files:
        os.unlink(path)
    expect("put right", {}, family("cryptvol_orphans"))
    assert "orphan" not in restart(lab)


@case("a half-made image of a dead driver is removed with a word; one that is being made isn't")
def half_made(lab):
    tmp = f"{lab.driver.state}/tmp"
    names = ["pvc-dead.00000000", "pvc-alive.00000000"]
    for name in names:
        with open(f"{tmp}/{name}.new", "w", encoding="ascii"):
            pass
    with worked_on(lab.driver.state, names[1]):
        said = restart(lab)["repair"]
    expect("told of", [True], [f"{tmp}/{names[0]}.new" in f["message"] and f["level"] == "warning" for f in said])
    expect("left", [False, True], [os.path.exists(f"{tmp}/{name}.new") for name in names])
    expect("told of then", 1, len(restart(lab)["repair"]))
    assert not os.path.exists(f"{tmp}/{names[1]}.new")


@case("what was cut short is told of at start, counted, and finished by the call's retry")
def unfinished(lab):
    v, g = lab.create(secrets={"CRYPTO_KEY_VALUE": "x", "CRYPTO_PBKDF": "pbkdf2", "CRYPTO_PBKDF_FORCE_ITERATIONS": "6000000"}), lab.create()
    g.up()
    s = lab.snapshot(g, "cut")
    v.attach()
    join = in_background(v.stage)
    wait_for("a format under way", 20, lambda: family("cryptvol_unfinished").get("format"))
    expect("by state", {"formatting": 1, "formatted": 1}, family("cryptvol_volumes"))
    lab.driver.kill()
    join()

    def change():  # as a kill between two steps leaves it
        with contextlib.closing(sqlite3.connect(f"{lab.driver.state}/state.db")) as db:
            db.execute("UPDATE snapshots SET ready=0 WHERE id=?", (s.snapshot_id,))
            db.execute("UPDATE volumes SET size=? WHERE id=?", (96 * MIB, g.id))
            db.execute("INSERT INTO growing VALUES(?)", (g.id,))
            db.commit()
        os.unlink(lab.driver.snapshot_image(s.snapshot_id))
    said = restart(lab, change)["unfinished"]
    expect("told of", sorted([("format", v.id), ("growth", g.id), ("snapshot", s.snapshot_id)]),
           sorted((f["kind"], f.get("volume") or f.get("snapshot")) for f in said))
    expect("counted", {"format": 1, "growth": 1, "snapshot": 1}, family("cryptvol_unfinished"))
    expect("no snapshot that isn't cut", 0, len(lab.c.ListSnapshots().entries))
    v.stage()
    g.expand(96 * MIB, secrets=g.secrets)  # the restarted driver has kept no key
    expect("the mapping", 96 * MIB, device_bytes(g.mapper))
    expect("the same snapshot", s.snapshot_id, lab.c.CreateSnapshot(source_volume_id=g.id, name="cut").snapshot.snapshot_id)
    expect("unfinished", {}, family("cryptvol_unfinished"))
    assert os.path.exists(lab.driver.snapshot_image(s.snapshot_id))


# ---- quotas ----

def with_quota(lab, mib, **options):
    """A driver whose state directory has a project quota on an xfs of 2 GiB; set() changes the quota."""
    folder, image = f"{SCRATCH}/quota", f"{SCRATCH}/csi/quota.img"
    os.makedirs(folder, exist_ok=True)
    run("truncate", "-s", "2G", image)
    run("mkfs.xfs", "-q", "-m", "reflink=1", image)
    run("mount", "-o", "loop,prjquota", image, folder)
    lab.on_clear.append(lambda: (run("umount", folder), os.unlink(image), os.rmdir(folder)))
    os.makedirs(f"{folder}/state", 0o700)
    run("xfs_quota", "-x", "-c", f"project -s -p {folder}/state 42", folder)

    def set_quota(n):
        run("xfs_quota", "-x", "-c", f"limit -p bhard={n}m 42", folder)
    set_quota(mib)
    d = Driver("quota", state=f"{folder}/state", **options)
    d.start()
    lab.on_clear.append(d.stop)
    inner = Lab(d)
    lab.on_clear.append(lambda: expect("taken down", "", inner.clear()))
    return inner, set_quota


@case("a project quota on the state directory: capacity is the quota's, more than it is RESOURCE_EXHAUSTED, a raise counts at once")
def quota(lab):
    inner, set_quota = with_quota(lab, 200)
    c = inner.driver.client
    available = c.GetCapacity().available_capacity
    assert 170 * MIB <= available <= 185 * MIB, f"{available} bytes under a quota of 200 MiB"
    expect("the largest volume", available, c.GetCapacity().maximum_volume_size.value)
    message = c.fails("RESOURCE_EXHAUSTED", "CreateVolume", name="too-big", volume_capabilities=[mount_cap()],
                      capacity_range=pb.CapacityRange(required_bytes=201 * MIB))
    assert str(201 * MIB) in message, message
    v = inner.create(size=128 * MIB)
    left = c.GetCapacity().available_capacity
    assert abs(available - left - 148 * MIB) <= 2 * MIB, f"{available - left} bytes gone for 144 MiB and header backups"
    c.fails("RESOURCE_EXHAUSTED", "CreateVolume", name="too-big", volume_capabilities=[mount_cap()],
            capacity_range=pb.CapacityRange(required_bytes=64 * MIB))
    c.fails("OUT_OF_RANGE", "ControllerExpandVolume", volume_id=v.id, capacity_range=pb.CapacityRange(required_bytes=256 * MIB))
    expect("the size", 128 * MIB, c.ControllerGetVolume(volume_id=v.id).volume.capacity_bytes)
    set_quota(400)
    v.up()
    v.expand(256 * MIB)
    expect("images", [v.id + ".img"], os.listdir(f"{inner.driver.state}/volumes"))


@case("the quota is used up under a live volume: writes fail, the condition says why; with room again the volume and its data are back")
def quota_full(lab):
    inner, set_quota = with_quota(lab, 100, overprovision=500)
    c = inner.driver.client
    v = inner.create(size=256 * MIB)
    target = v.up()
    with open(f"{target}/before", "wb") as f:
        f.write(b"written before" * 1000)
        f.flush()
        os.fsync(f.fileno())
    expect("at first", False, c.NodeGetVolumeStats(volume_id=v.id, volume_path=target).volume_condition.abnormal)
    failed = None
    try:
        with open(f"{target}/filler", "wb") as f:
            for _ in range(200):
                f.write(os.urandom(MIB))
                f.flush()
                os.fsync(f.fileno())
    except OSError as e:
        failed = e
    assert failed, "200 MiB were written under a quota of 100 MiB"
    for condition in (c.NodeGetVolumeStats(volume_id=v.id, volume_path=target).volume_condition,
                      c.ControllerGetVolume(volume_id=v.id).status.volume_condition,
                      c.ListVolumes().entries[0].status.volume_condition):
        assert condition.abnormal and "is full" in condition.message, condition
    c.Probe()
    set_quota(1000)
    v.down()
    v.up()
    expect("the data", b"written before" * 1000, open(f"{target}/before", "rb").read())
    expect("with room", False, c.NodeGetVolumeStats(volume_id=v.id, volume_path=target).volume_condition.abnormal)


@case("metrics: the phases of a stage and an unstage, each with its time")
def phases(lab):
    def counts():
        return {re.search(r'phase="(\w+)"', k).group(1): int(n) for k, n in scrape().items() if k.startswith("cryptvol_phase_seconds_count")}

    def spent(f):
        before, sums = counts(), scrape()
        f()
        after = scrape()
        took = {k: after[s] - sums.get(s, 0) for k in counts() for s in (f'cryptvol_phase_seconds_sum{{phase="{k}"}}',)}
        return {k: n - before.get(k, 0) for k, n in counts().items() if n != before.get(k, 0)}, took
    v = lab.create()
    v.attach()
    made, took = spent(v.stage)
    expect("a new volume", {"kdf": 2, "kernel": 1, "open": 1, "mkfs": 1, "mount": 1}, made)
    assert took["kdf"] + took["kernel"] < took["open"] and took["mkfs"] < took["mount"], took
    gone, took = spent(v.unstage)
    expect("unstaged", {"kernel": 1, "unstage": 1}, gone)
    assert 0 < took["kernel"] < took["unstage"], took
    again, took = spent(v.stage)
    expect("with data", {"kdf": 1, "kernel": 1, "open": 1, "mount": 1}, again)
    expect("once more, mapped already", {"kdf": 1, "open": 1, "mount": 1}, spent(v.stage)[0])


# ---- where metrics are served ----

@case("a request for metrics in pieces is answered as a whole one; one that is cut off, too long or too slow is refused")
def in_pieces(lab):
    def ask(*pieces, whole=True):
        with socket.create_connection(("127.0.0.1", PORT), timeout=20) as s:
            for piece in pieces:
                s.sendall(piece)
                time.sleep(0.1)
            if not whole:
                s.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: s.recv(65536), b"")).split(b"\r\n")[0]
    ok, rest = b"HTTP/1.1 200 OK", b" HTTP/1.1\r\nHost: x\r\n\r\n"
    expect("in one", ok, ask(b"GET /metrics" + rest))
    expect("in pieces", ok, ask(b"GET /met", b"rics", rest[:12], rest[12:-1], rest[-1:]))
    expect("another path", b"HTTP/1.1 404 Not Found", ask(b"GET /metrics", b"2" + rest))
    expect("cut off", b"", ask(b"GET /metrics HTTP/1.1\r\n", whole=False))
    expect("too long", b"HTTP/1.1 431 Request Header Fields Too Large", ask(b"GET /metrics HTTP/1.1\r\nx: ".ljust(8191, b"x")))
    expect("too slow", b"HTTP/1.1 408 Request Timeout", ask(*[bytes([c]) for c in b"GET /metrics HTTP/1.1\r\n"], b""))
    with contextlib.ExitStack() as silent:  # each may say nothing for as long as it likes
        for _ in range(8):
            silent.enter_context(socket.create_connection(("127.0.0.1", PORT), timeout=60))
        with socket.create_connection(("127.0.0.1", PORT), timeout=60) as first:
            expect("beside those that say nothing", ok, ask(b"GET /metrics" + rest))
            first.setblocking(False)
            try:
                said = first.recv(100)
            except BlockingIOError:
                said = None
            expect("what one that came before and says nothing was told by then", None, said)
    expect("afterwards", ok, ask(b"GET /metrics" + rest))


@case("--metrics-address: IPv4, IPv6 in brackets, any address; what is none is refused by name; a stop waits for nobody")
def addresses(lab):
    d = Driver("metrics", state=os.path.join(SCRATCH, "csi", "metrics"))
    for address, host in (("127.0.0.1:19811", "127.0.0.1"), (":19811", "127.0.0.1"), ("[::1]:19811", "::1"), ("[::]:19811", "::1"),
                          ("[::]:19811", "127.0.0.1"), ("0.0.0.0:19811", "127.0.0.1")):
        d.start(**{"metrics-address": address})
        assert scrape(19811, host)["cryptvol_kdf_budget_bytes"] > 0
        idle = socket.create_connection((host, 19811))  # says nothing
        time.sleep(0.1)
        expect(f"{address}: exit status", 0, d.stop())
        idle.settimeout(20)
        expect(f"{address}: what the one that says nothing was told", b"", idle.recv(100))  # no 408: its time wasn't over
        idle.close()
    for address in ("9810", "::1:9810", "[::1]", "[::1:9810", "::1]:9810", "[127.0.0.1]:9810", "[]:9810", "localhost:9810", "127.0.0.1:",
                    "127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:http", "127.0.0.1:-1", "[[::1]]:9810", "[::1%nowhere]:9810", "256.0.0.1:9810"):
        d.start(wait=False, **{"metrics-address": address})
        expect(f"{address}: exit status", 1, d.process.wait(20))
        assert "metrics-address: " in d.last_words() and address in d.last_words(), d.last_words()


if __name__ == "__main__":
    sys.exit(run_on(Driver(**{"metrics-address": f"127.0.0.1:{PORT}"})))
