# SPDX-License-Identifier: Apache-2.0
"""What must never happen to data: formats over something, stale mappings, headers that aren't the volume's, wrong sizes.
Each case has its control: with the right device the same volume opens and holds its data."""
import contextlib
import os
import re
import shutil
import stat
import subprocess
import sys
import time

from lab import (CLI, CRYPTSETUP, HEADER, MIB, SCRATCH, Driver, Lab, block_cap, case, device_bytes, drop_caches, edit_header, expect, fingerprint,
                 lab_loop, loop_of, lose_records, mappings, mount_cap, mounted, read_at, records, run, run_on, secret, source_snapshot,
                 source_volume, still_there, text_of, used, wait_for, write_at)

REFUSED = "FAILED_PRECONDITION"


def untouched(lab, v, code, says, secrets=None):
    """Stage is refused with words that match, nothing is mapped or mounted, not a byte of the image changes."""
    before = fingerprint(v.image)
    message = v.stage_fails(code, secrets)
    assert re.search(says, message), f"no {says!r} in: {message}"
    assert v.id not in mappings() and not mounted(v.staging), "something is left mapped or mounted"
    assert before == fingerprint(v.image), "the image changed"


@contextlib.contextmanager
def changed(path, at, data):
    """Other bytes in a file for a while."""
    old = read_at(path, len(data), at)
    write_at(path, data, at)
    drop_caches()
    try:
        yield
    finally:
        write_at(path, old, at)
        drop_caches()


# ---- never format what may hold data ----

@case("never format: zeros where the header was, zeros everywhere; the header put back opens it")
def zeros(lab):
    v = used(lab)
    with changed(v.image, 0, bytes(HEADER)):
        untouched(lab, v, REFUSED, "no LUKS header")
    still_there(v)
    whole = f"{lab.kubelet}/whole"
    shutil.copyfile(v.image, whole)
    size = os.path.getsize(v.image)
    os.truncate(v.image, 0)
    os.truncate(v.image, size)
    untouched(lab, v, REFUSED, "no LUKS header")
    for junk in (b"\xff" * 4096, os.urandom(4096)):
        write_at(v.image, junk)
        untouched(lab, v, REFUSED, "header")
    shutil.copyfile(whole, v.image)
    os.unlink(whole)
    still_there(v)


@case("never format: a new volume that isn't blank, anywhere")
def not_blank(lab):
    for at in (0, 5000, HEADER - 1, HEADER + 12345, 64 * MIB + HEADER - 1):
        v = lab.create()
        v.attach()
        write_at(v.image, b"x", at)
        untouched(lab, v, REFUSED, "blank")
    v = lab.create(encrypted=False)
    write_at(v.image, b"x", 33 * MIB)
    v.attach()
    untouched(lab, v, REFUSED, "blank")


@case("never format: an image of the wrong size")
def wrong_size(lab):
    v, w = used(lab), lab.create()
    w.attach()
    for x in (v, w):
        size = os.path.getsize(x.image)
        tail = read_at(x.image, MIB, size - MIB)
        os.truncate(x.image, size - MIB)
        untouched(lab, x, REFUSED, "its end is lost")
        os.truncate(x.image, size)
        if tail.strip(b"\0"):
            write_at(x.image, tail, size - MIB)
    os.truncate(w.image, size + MIB)
    untouched(lab, w, REFUSED, "bytes")
    os.truncate(w.image, size)
    still_there(v)
    w.stage()


@case("never format: a read error of the device below is an error, not a blank device")
def read_error(lab):
    below = f"{SCRATCH}/csi/below.img"
    run("truncate", "-s", "512M", below)
    loop = run("losetup", "-f", "--show", below).stdout.decode().strip()
    lab.on_clear.append(lambda: (run("losetup", "-d", loop), os.unlink(below)))
    sectors = 512 * MIB // 512
    run("dmsetup", "create", "csi-below", "--table", f"0 {sectors} linear {loop} 0")
    lab.on_clear.append(lambda: run("dmsetup", "remove", "--retry", "csi-below"))
    folder = f"{SCRATCH}/below"
    os.makedirs(folder, exist_ok=True)
    run("mkfs.xfs", "-q", "/dev/mapper/csi-below")
    run("mount", "/dev/mapper/csi-below", folder)
    lab.on_clear.append(lambda: run("umount", folder))
    d = Driver("bad", state=f"{folder}/state")
    d.start()
    lab.on_clear.append(d.stop)
    inner = Lab(d)
    v = used(inner)
    extent = re.search(r"^\s*0:\s+0\.\.\s*\d+:\s+(\d+)\.\.", run("filefrag", "-v", v.image).stdout.decode(), re.M)
    start = int(extent[1]) * 8

    def table(kind):
        parts = [f"0 {start} linear {loop} 0", f"{start} 64 {kind}" + (f" {loop} {start}" if kind == "linear" else ""),
                 f"{start + 64} {sectors - start - 64} linear {loop} {start + 64}"]
        os.sync()
        run("dmsetup", "suspend", "csi-below")
        run("dmsetup", "load", "csi-below", stdin="\n".join(parts).encode())
        run("dmsetup", "resume", "csi-below")
        drop_caches()
    table("error")
    message = v.stage_fails(("INTERNAL", REFUSED))
    assert v.id not in mappings() and not mounted(v.staging), message
    table("linear")
    still_there(v)
    why = inner.clear()
    assert not why, why


@case("never format: the records are lost: images are adopted, opened only; what was blank stays blank")
def records_lost(lab):
    v, plain = used(lab), used(lab, encrypted=False)
    blank, blank_plain = lab.create(), lab.create(encrypted=False)
    lose_records(lab)
    expect("volumes", sorted(x.id for x in (v, plain, blank, blank_plain)),
           sorted(e.volume.volume_id for e in lab.c.ListVolumes().entries))
    untouched(lab, blank, REFUSED, "no LUKS header")
    untouched(lab, blank_plain, REFUSED, "no file system")
    untouched(lab, v, "UNAUTHENTICATED", ".", secret("another"))
    untouched(lab, v, "INVALID_ARGUMENT", "CRYPTO_KEY_VALUE", {})
    still_there(v)
    still_there(plain)


@case("never format: restored and cloned volumes are opened only, whatever their bytes look like")
def copies_open_only(lab):
    v = used(lab)
    s = lab.snapshot(v)
    for source in (source_snapshot(s.snapshot_id), source_volume(v.id)):
        w = lab.create(secrets=v.secrets, source=source)
        w.attach()
        with changed(w.image, 0, bytes(HEADER)):
            untouched(lab, w, REFUSED, "no LUKS header")
        still_there(w)
    # a source that was never staged is blank, and so is its copy
    b = lab.create(source=source_volume(lab.create().id))
    b.up()


@case("never format: the file system by the same rule: gone from a mapping that had one, there on one that is new")
def file_systems(lab):
    v = used(lab)

    def open_by_hand(f):
        run(CRYPTSETUP, "open", "--key-file", "-", v.image, "by-hand", stdin=v.secrets["CRYPTO_KEY_VALUE"].encode())
        try:
            return f("/dev/mapper/by-hand")
        finally:
            run(CRYPTSETUP, "close", "by-hand")
    old = open_by_hand(lambda d: read_at(d, MIB))
    open_by_hand(lambda d: write_at(d, bytes(MIB)))
    untouched(lab, v, REFUSED, "no file system")
    open_by_hand(lambda d: run("mkfs.xfs", "-q", "-f", d, check=False) and write_at(d, old))
    still_there(v)
    # another type than the recorded one
    plain = used(lab, encrypted=False, size=320 * MIB)
    run("mkfs.xfs", "-q", "-f", plain.image)
    untouched(lab, plain, ("INVALID_ARGUMENT", REFUSED), "xfs")
    # a plain volume that is new and not empty
    for make in (["mkfs.ext4", "-q", "-F"], ["mkfs.btrfs", "-q"]):
        w = lab.create(encrypted=False, size=128 * MIB)
        run(*make, w.image)
        w.attach()
        untouched(lab, w, REFUSED, "ext4|btrfs|isn.t blank")


@case("a format that was cut: redone where blank, gone on with by its own nonce, else refused")
def cut_format(lab):
    blank = lab.create()
    records(lab, "UPDATE volumes SET format=1, nonce=? WHERE id=?", "11111111-2222-4333-8444-555555555555", blank.id)
    blank.up()
    expect("the header's UUID is the nonce", b"11111111-2222-4333-8444-555555555555\n", run(CRYPTSETUP, "luksUUID", blank.image).stdout)
    for uuid, good in (("99999999-2222-4333-8444-555555555555", False), ("11111111-2222-4333-8444-555555555555", True)):
        v = lab.create()
        v.attach()
        run(CRYPTSETUP, "-q", "luksFormat", "--type", "luks2", "--uuid", uuid, "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000",
            "--offset", str(HEADER // 512), "--key-file", "-", v.image, stdin=v.secrets["CRYPTO_KEY_VALUE"].encode())
        untouched(lab, v, REFUSED, "already")
        records(lab, "UPDATE volumes SET format=1, nonce=? WHERE id=?", "11111111-2222-4333-8444-555555555555", v.id)
        if good:
            untouched(lab, v, "UNAUTHENTICATED", ".", secret("another"))
            v.stage()
        else:
            untouched(lab, v, REFUSED, "isn't the one begun here")
    v = lab.create()
    v.attach()
    records(lab, "UPDATE volumes SET format=1, nonce=? WHERE id=?", "11111111-2222-4333-8444-555555555555", v.id)
    write_at(v.image, b"used", HEADER + 4096)
    untouched(lab, v, REFUSED, "blank")


# ---- mappings that are left from before ----

def map_by_hand(v, table):
    run("dmsetup", "create", v.id, "--table", table)


@case("stale mappings: dead, of another device, another UUID, too big: replaced; data there")
def stale(lab):
    v, other = used(lab), used(lab)
    sectors = 64 * MIB // 512

    def another_device():
        copy = f"{SCRATCH}/csi/copy.img"
        shutil.copyfile(v.image, copy)
        run(CRYPTSETUP, "open", "--key-file", "-", copy, v.id, stdin=v.secrets["CRYPTO_KEY_VALUE"].encode())

    def another_uuid():
        run(CRYPTSETUP, "open", "--key-file", "-", other.image, v.id, stdin=other.secrets["CRYPTO_KEY_VALUE"].encode())

    def right_but_bigger():
        loop = run("losetup", "-f", "--show", v.image).stdout.decode().strip()
        run(CRYPTSETUP, "open", "--key-file", "-", loop, v.id, stdin=v.secrets["CRYPTO_KEY_VALUE"].encode())
        run("dmsetup", "suspend", v.id)
        run("dmsetup", "load", v.id, "--table", f"0 {sectors * 2} error")
        run("dmsetup", "resume", v.id)
    for name, make in (("error target", lambda: map_by_hand(v, f"0 {sectors} error")),
                       ("no table", lambda: run("dmsetup", "create", v.id, "--notable")),
                       ("another device", another_device), ("another UUID", another_uuid), ("bigger", right_but_bigger)):
        make()
        try:
            still_there(v)
        except Exception as e:
            raise AssertionError(f"{name}: {e}") from None
        assert v.id not in mappings(), name
    for f, image in [(d, i) for d, i in loops_left(v)]:
        run("losetup", "-d", f)


def loops_left(v):
    from lab import loops
    return [(f"/dev/{d}", f) for d, f in loops().items() if f in (v.image, f"{SCRATCH}/csi/copy.img")]


@case("stale and busy: moved out of the way, goes when its last user lets go; the volume is staged meanwhile")
def stale_busy(lab):
    v, other = used(lab), used(lab)
    folder = f"{lab.kubelet}/busy"
    os.makedirs(folder, exist_ok=True)
    run(CRYPTSETUP, "open", "--key-file", "-", other.image, v.id, stdin=other.secrets["CRYPTO_KEY_VALUE"].encode())
    run("mount", v.mapper, folder)
    still_there(v)
    parked = [m for m in mappings() if m.startswith("stale-")]
    expect("mappings that wait for their end", 1, len(parked))
    run("umount", folder)
    wait_for("the parked mapping's end", 10, lambda: not [m for m in mappings() if m.startswith("stale-")])


@case("a crash between the steps of a stage: open and not mounted, suspended, loop device left: healed")
def crash_leftovers(lab):
    v = used(lab)
    v.stage()
    lab.driver.kill()
    run("umount", v.staging)
    run("dmsetup", "suspend", v.id)
    lab.driver.start()
    v.stage()
    assert "ACTIVE" in run("dmsetup", "info", v.id).stdout.decode()
    expect("the file", "data that must survive", open(f"{v.staging}/data", encoding="ascii").read())
    lab.driver.kill()
    run("umount", v.staging)
    run("dmsetup", "remove", v.id)
    assert loop_of(v.image)
    lab.driver.start()
    still_there(v)
    assert not loop_of(v.image)


@case("a node that was set up anew: records that the reboot made untrue don't hold a volume, true ones stay")
def past_boot(lab):
    v, w = used(lab), used(lab)
    for x in (v, w):
        x.up()
    lab.driver.kill()
    for path in (v.target(), v.staging):
        run("umount", path)
        os.rmdir(path)
    run(CLI, "close", v.id)  # the kept key goes too, as with the kernel
    run("losetup", "-d", loop_of(v.image))
    lab.driver.start()
    lab.c.fails(REFUSED, "DeleteVolume", volume_id=v.id)  # the same boot: not ours to forget
    lab.driver.kill()
    records(lab, "UPDATE meta SET value='another' WHERE key='boot_id'")
    lab.driver.start()
    v.targets = []
    v.detach()
    v.delete()
    assert not os.path.exists(v.image)
    lab.c.fails(REFUSED, "DeleteVolume", volume_id=w.id)
    expect("the file", "data that must survive", open(f"{w.target()}/data", encoding="ascii").read())


@case("another mount namespace: a loop device that it named, a mount that leaked into it")
def namespaces(lab):
    v = lab.create()
    other = f"{lab.kubelet}/elsewhere"
    os.makedirs(other, exist_ok=True)
    run("unshare", "-m", "sh", "-c", f"mount --bind {lab.driver.state} {other} && losetup --direct-io=on -f {other}/volumes/{v.id}.img")
    names = text_of(f"/sys/block/{os.path.basename(lab_loop(v))}/loop/backing_file").strip()
    assert not os.path.exists(names), f"{names} is a path here too"
    v.stage()
    with open(f"{v.staging}/data", "w", encoding="ascii") as f:
        f.write("data that must survive")
    with open(f"{SCRATCH}/leak", "w", encoding="ascii") as out:
        holder = subprocess.Popen(["unshare", "-m", "--propagation", "private", "sh", "-c", "echo in; exec sleep 60"], stdout=out)
    wait_for("the namespace", 10, lambda: text_of(f"{SCRATCH}/leak"))
    run("umount", v.staging)
    v.stage()
    expect("the file", "data that must survive", open(f"{v.staging}/data", encoding="ascii").read())
    holder.kill()
    holder.wait()


# ---- exact size ----

@case("exact size: the mapping is what was asked for, with every sector size, in copies and after expansion")
def exact(lab):
    for sector in ("512", "1024", "2048", "4096"):
        for size in (16 * MIB, 17 * MIB):
            v = lab.create(cap=block_cap(), size=size, parameters={"sectorSize": sector})
            v.up()
            expect(f"sector size {sector}", size, device_bytes(v.mapper))
            assert (f"sector_size:{sector}" in run("dmsetup", "table", v.id).stdout.decode()) == (sector != "512")
            v.expand(size + MIB)
            expect("expanded", size + MIB, device_bytes(v.mapper))
    w = lab.create(cap=block_cap(), size=40 * MIB, parameters={"sectorSize": "4096"}, secrets=v.secrets, source=source_volume(v.id))
    w.up()
    expect("a bigger clone", 40 * MIB, device_bytes(w.mapper))
    expect("stats", 40 * MIB, lab.c.NodeGetVolumeStats(volume_id=w.id, volume_path=w.target()).usage[0].total)


@case("class parameters reach the mapping: dm-crypt flags, label, PBKDF policy")
def class_flags(lab):
    v = lab.create(secrets={"CRYPTO_KEY_VALUE": "x"}, parameters={
        "discard": "true", "noReadWorkqueue": "1", "noWriteWorkqueue": "t", "sameCpuCrypt": "TRUE", "submitFromCryptCpus": "True",
        "label": "a-label", "pbkdfPolicy": "random-key"})
    v.up()
    table = run("dmsetup", "table", v.id).stdout.decode()
    for flag in ("allow_discards", "no_read_workqueue", "no_write_workqueue", "same_cpu_crypt", "submit_from_crypt_cpus"):
        assert flag in table, table
    assert b"a-label" in run(CRYPTSETUP, "luksDump", v.image).stdout
    expect("the cheapest cost", 32, v.dump()["keyslots"]["0"]["kdf"]["memory"])


# ---- the header ----

@case("pins: a header that differs is refused with what differs; the old one put back opens it")
def pins(lab):
    v = used(lab)
    good = v.header()
    uuid = run(CRYPTSETUP, "luksUUID", v.image).stdout.decode().strip()

    def format_by_hand(*options, offset=HEADER):
        run(CRYPTSETUP, "-q", "luksFormat", "--type", "luks2", "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000", "--offset",
            str(offset // 512), *(options if "--sector-size" in options else ("--sector-size", "512", *options)), "--key-file", "-", v.image, stdin=v.secrets["CRYPTO_KEY_VALUE"].encode())
    for says, how in (("UUID", lambda: format_by_hand()), ("volume key", lambda: format_by_hand("--uuid", uuid)),
                      ("cipher", lambda: format_by_hand("--uuid", uuid, "-c", "aes-cbc-essiv:sha256", "-s", "256")),
                      ("data offset", lambda: format_by_hand("--uuid", uuid, offset=8 * MIB)),
                      ("sector size", lambda: format_by_hand("--uuid", uuid, "--sector-size", "4096"))):
        data = read_at(v.image, 64 * MIB, HEADER)
        how()
        untouched(lab, v, REFUSED, f"isn't the recorded one.*{says}")
        write_at(v.image, good)
        write_at(v.image, data, HEADER)
        drop_caches()
    still_there(v)


def half_linear(tree):
    tree["segments"]["0"]["size"] = str(8 * MIB)
    tree["segments"]["1"] = {"type": "linear", "offset": str(HEADER + 8 * MIB), "size": "dynamic"}


EDITS = (("is linear", half_linear),
         ("iv_tweak", lambda t: t["segments"]["0"].update(iv_tweak="8")),
         ("were changed", lambda t: t["segments"]["0"].update(future=1)),
         ("were changed", lambda t: t["config"].update(flags=["allow-discards"])),
         ("requirement", lambda t: t["config"].update(requirements={"mandatory": ["future"]})))


@case("pins: a header edited by hand with good checksums is refused, and nothing is mapped; the old one put back opens it")
def edited(lab):
    v = used(lab)
    good = v.header()
    for says, change in EDITS:
        edit_header(v.image, change)
        drop_caches()
        untouched(lab, v, REFUSED, says)
        write_at(v.image, good)
    drop_caches()
    still_there(v)


@case("pins: a record from before the hash gets it at the next good open, by its fields; from then on edits are refused")
def old_pin(lab):
    v = used(lab)
    good = v.header()
    pinned = records(lab, "SELECT pin_mapping FROM volumes WHERE id=?", v.id)[0][0]
    expect("the pin's characters", 64, len(pinned))
    lab.driver.stop()
    for table in ("volumes", "snapshots"):
        records(lab, f"ALTER TABLE {table} DROP COLUMN pin_mapping")
    lab.driver.start()
    edit_header(v.image, half_linear)
    drop_caches()
    untouched(lab, v, REFUSED, "is linear")
    write_at(v.image, good)
    drop_caches()
    expect("not by a refused one", "", records(lab, "SELECT pin_mapping FROM volumes WHERE id=?", v.id)[0][0])
    v.stage()
    v.unstage()
    expect("taken over", pinned, records(lab, "SELECT pin_mapping FROM volumes WHERE id=?", v.id)[0][0])
    edit_header(v.image, lambda t: t["config"].update(flags=["allow-discards"]))
    drop_caches()
    untouched(lab, v, REFUSED, "were changed")
    write_at(v.image, good)
    drop_caches()
    still_there(v)


@case("pins: a kept header that was edited is refused where it is put back")
def edited_kept_header(lab):
    v = used(lab)
    kept = lab.driver.header_backups(v.id)[0]
    for change, works in ((lambda t: t["config"].update(flags=["allow-discards"]), False), (lambda t: t["config"].pop("flags"), True)):
        edit_header(kept, change)
        run(CRYPTSETUP, "-q", "luksHeaderRestore", v.image, "--header-backup-file", kept)
        drop_caches()
        if works:
            still_there(v)
        else:
            untouched(lab, v, REFUSED, "were changed")


@case("header backups: the first good one, and before every change, 0600, the last three; stock cryptsetup opens them; erased with the volume")
def header_backups(lab):
    v = used(lab)
    was = v.header()
    kept = lab.driver.header_backups(v.id)
    expect("from the first stage on", 1, len(kept))
    assert read_at(kept[0], HEADER) == was, "the first backup isn't the header"
    gone = {}

    def link(path):  # what the file holds after it is gone is looked at through another name
        name = f"{lab.driver.state}/gone.{len(gone)}"
        os.link(path, name)
        gone[name] = read_at(path, 512 * 1024)

    link(kept[0])
    v.stage()
    v.unstage()
    expect("and no other without a change", kept, lab.driver.header_backups(v.id))
    first = v.secrets["CRYPTO_KEY_VALUE"]
    for i in range(3):
        v.secrets = secret(f"rotated {i}", CRYPTO_KEY_VALUE_PREVIOUS=v.secrets["CRYPTO_KEY_VALUE"])
        v.stage()
        v.unstage()
        if i == 0:
            oldest = lab.driver.header_backups(v.id)[0]
            assert read_at(oldest, 0x8000) == was[:0x8000], "the first backup isn't the header as it was"
            run(CRYPTSETUP, "open", "--test-passphrase", "--header", oldest, "--key-file", "-", v.image, stdin=first.encode())
    backups = lab.driver.header_backups(v.id)
    expect("how many", 3, len(backups))
    expect("the first one's place among them", False, kept[0] in backups)
    for b in backups:
        link(b)
    for b in backups:
        expect("mode", 0o600, stat.S_IMODE(os.stat(b).st_mode))
    expect("mode of their folder", 0o700, stat.S_IMODE(os.stat(os.path.dirname(backups[0])).st_mode))
    still_there(v)
    v.down()
    v.delete()
    expect("after the volume's end", [], lab.driver.header_backups(v.id))
    for name, held in gone.items():
        left = read_at(name, len(held))
        os.unlink(name)
        for at in range(0, len(held), 4096):
            assert not any(held[at:at + 4096]) or held[at:at + 4096] != left[at:at + 4096], f"{name}: its bytes at {at} are still there"


@case("only our own mounts: unstage and unpublish of a volume leave other mounts alone, a staged volume open")
def foreign_mounts(lab):
    v = lab.create()
    folder = f"{lab.kubelet}/foreign"
    os.makedirs(folder, exist_ok=True)
    run("mount", "-t", "tmpfs", "tmpfs", folder)
    lab.on_clear.append(lambda: run("umount", folder))
    w = lab.create()
    w.attach()
    fields = {**w.stage_fields(), "staging_target_path": folder}
    assert "mounted" in lab.c.fails(REFUSED, "NodeStageVolume", **fields)
    assert mounted(folder)["type"] == "tmpfs" and w.id not in mappings() and not loop_of(w.image)
    v.up()
    lab.c.fails(REFUSED, "NodePublishVolume", volume_id=v.id, staging_target_path=v.staging, target_path=folder, volume_capability=v.cap)
    assert mounted(folder)["type"] == "tmpfs"
    for call in (lambda: lab.c.NodeUnstageVolume(volume_id=v.id, staging_target_path=folder),
                 lambda: lab.c.NodeUnpublishVolume(volume_id=v.id, target_path=folder),
                 lambda: lab.c.NodeUnstageVolume(volume_id="never-made.00000000", staging_target_path=v.staging)):
        call()
    assert mounted(folder) and mounted(v.staging) and v.id in mappings()
    # the records lost while it is staged: what is mounted is known by its device
    lab.driver.stop()
    for f in os.listdir(lab.driver.state):
        if f.startswith("state.db"):
            os.unlink(f"{lab.driver.state}/{f}")
    lab.driver.start()
    v.unpublish()
    v.unstage()
    assert not mounted(v.target()) and not mounted(v.staging) and v.id not in mappings() and mounted(folder)


@case("a loop device that somebody looks at while it is detached: not called detached, kept by the next stage")
def looked_at(lab):
    v = used(lab, encrypted=False)
    v.stage()
    device = loop_of(v.image)
    looker = os.open(device, os.O_RDONLY)
    try:
        lab.c.fails(REFUSED, "NodeUnstageVolume", volume_id=v.id, staging_target_path=v.staging)
        v.stage()
    finally:
        os.close(looker)
    time.sleep(0.2)
    drop_caches()
    expect("its device", device, loop_of(v.image))
    still_there(v)
    v.stage()
    device = loop_of(v.image)
    looker = os.open(device, os.O_RDONLY)
    lab.c.fails(REFUSED, "NodeUnstageVolume", volume_id=v.id, staging_target_path=v.staging)
    os.close(looker)
    v.unstage()
    expect("its device", None, loop_of(v.image))


@case("a publish on a staging path where nothing is mounted any more is refused: an empty folder is no volume")
def reboot(lab):
    v = lab.create(encrypted=False)
    v.up()
    v.unpublish()
    run("umount", v.staging)
    os.makedirs(os.path.dirname(v.target()), exist_ok=True)
    lab.c.fails(REFUSED, "NodePublishVolume", volume_id=v.id, staging_target_path=v.staging, target_path=v.target(),
                volume_capability=v.cap)
    v.stage()
    v.publish()


@case("static volumes: opened only, by their device; never formatted, even if blank; stats without records")
def static_volumes(lab):
    image = f"{SCRATCH}/csi/static.img"
    run("truncate", "-s", "40M", image)
    loop = run("losetup", "-f", "--show", image).stdout.decode().strip()
    staging, target = f"{lab.kubelet}/static/stage", f"{lab.kubelet}/static/pod/mount"
    os.makedirs(os.path.dirname(target), exist_ok=True)
    lab.on_clear.append(lambda: (lab.c.NodeUnpublishVolume(volume_id="static-pv", target_path=target),
                                 lab.c.NodeUnstageVolume(volume_id="static-pv", staging_target_path=staging),
                                 run("losetup", "-d", loop), os.unlink(image)))
    context = {"encrypted": "true", "device": loop}
    fields = dict(volume_id="static-pv", staging_target_path=staging, volume_capability=mount_cap(), volume_context=context)
    before = fingerprint(image)
    lab.c.fails(REFUSED, "NodeStageVolume", **fields, secrets=secret("static"))
    expect("the blank device", before, fingerprint(image))
    run(CRYPTSETUP, "-q", "luksFormat", "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000", "--key-file", "-", loop, stdin=b"static")
    lab.c.fails(REFUSED, "NodeStageVolume", **fields, secrets=secret("static"))
    run(CRYPTSETUP, "open", "--key-file", "-", loop, "by-hand", stdin=b"static")
    run("mkfs.ext4", "-q", "/dev/mapper/by-hand")
    run(CRYPTSETUP, "close", "by-hand")
    lab.c.fails("UNAUTHENTICATED", "NodeStageVolume", **fields, secrets=secret("another"))
    lab.c.NodeStageVolume(**fields, secrets=secret("static"))
    lab.c.NodePublishVolume(volume_id="static-pv", staging_target_path=staging, target_path=target, volume_capability=mount_cap(),
                            volume_context=context)
    expect("size", 24 * MIB, device_bytes("/dev/mapper/static-pv"))
    stats = lab.c.NodeGetVolumeStats(volume_id="static-pv", volume_path=target)
    assert stats.usage[0].total > 8 * MIB and not stats.volume_condition.abnormal, stats
    lab.c.NodeUnpublishVolume(volume_id="static-pv", target_path=target)
    lab.c.NodeUnstageVolume(volume_id="static-pv", staging_target_path=staging)
    # somebody's live mapping that has the volume's name: never moved out of the way
    run("dmsetup", "create", "static-pv", "--table", f"0 2048 linear {loop} 0")
    try:
        assert "static-pv" in lab.c.fails(REFUSED, "NodeStageVolume", **fields, secrets=secret("static"))
        assert "linear" in run("dmsetup", "table", "static-pv").stdout.decode()
    finally:
        run("dmsetup", "remove", "--retry", "static-pv")
    assert "static-pv" not in mappings() and not mounted(staging)


if __name__ == "__main__":
    sys.exit(run_on(Driver()))
