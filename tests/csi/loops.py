# SPDX-License-Identifier: Apache-2.0
"""Lifecycle loops over many volumes, sixteen at a time: descriptors, threads, memory, keys, loop devices, mappings and mounts
of the driver are at the end as at the start. FULL: 500 loops over 50 volumes."""
import os
import queue
import re
import sys
import threading
import time

from lab import FULL, MIB, Driver, Failed, block_cap, case, expect, kept_keys, loops, mappings, mount_cap, run_on, text_of

LOOPS, VOLUMES = (500, 50) if FULL else (48, 16)
AT_ONCE = 16


def patient(f, *args, **kw):
    """As the sidecars do: what is told ABORTED comes back."""
    for _ in range(200):
        try:
            return f(*args, **kw)
        except Failed as e:
            if e.code != "ABORTED":
                raise
            time.sleep(0.05)
    raise AssertionError("ABORTED two hundred times")


def one_loop(lab, v, n):
    patient(v.attach)
    patient(v.stage)
    target = patient(v.publish)
    file = target if v.is_block else f"{target}/count"
    if n:
        with open(file, "rb") as f:
            expect("what the last loop wrote", n, int.from_bytes(f.read(8), "little"))
    with open(file, "r+b" if v.is_block or n else "wb") as f:
        f.write((n + 1).to_bytes(8, "little"))
        f.flush()
        os.fsync(f.fileno())
    lab.c.NodeGetVolumeStats(volume_id=v.id, volume_path=target)
    if n % 3 == 1:
        s = patient(lab.c.CreateSnapshot, source_volume_id=v.id, name=f"loop-{v.name}-{n}").snapshot
        patient(lab.c.DeleteSnapshot, snapshot_id=s.snapshot_id)
    if n % 4 == 2:
        patient(v.expand, (32 + n) * MIB)
    for call in (v.unpublish, v.unstage, v.detach):
        patient(call)


def run_loops(lab, volumes, total, done):
    """total loops, AT_ONCE at a time, each volume by one at a time; done[v]: how many it had."""
    todo, errors, left = queue.Queue(), [], [total]
    lock = threading.Lock()
    for v in volumes:
        todo.put(v)

    def work():
        while True:
            with lock:
                if not left[0] or errors:
                    return
                left[0] -= 1
            v = todo.get()
            try:
                one_loop(lab, v, done[v])
                done[v] += 1
            except Exception as e:
                errors.append(f"{v.name}, loop {done[v]}: {e}")
            todo.put(v)
    threads = [threading.Thread(target=work) for _ in range(AT_ONCE)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not errors, errors[0]


def state(lab):
    """What must not grow. Descriptors of the client's connection included, which stays."""
    pid = lab.driver.pid
    status = text_of(f"/proc/{pid}/status")
    folder = lab.driver.state
    return {
        "descriptors": len(os.listdir(f"/proc/{pid}/fd")),
        "threads": int(re.search(r"Threads:\s+(\d+)", status)[1]),
        "mappings": len(mappings()),
        "loop devices": len(loops()),
        "keys": len(kept_keys()),
        "mounts": len(text_of("/proc/self/mounts").splitlines()),
        "files": sorted(f"{d}/{f}" for d in ("snapshots", "headers") for f in os.listdir(f"{folder}/{d}")),
    }, int(re.search(r"VmRSS:\s+(\d+)", status)[1])


def settled(lab, wanted):
    """The library's threads and the kernel's keys go a moment later."""
    limit = time.monotonic() + 10
    while True:
        found = state(lab)
        if {**found[0], "threads": wanted["threads"]} == wanted or time.monotonic() > limit:
            return found
        time.sleep(0.2)


@case(f"{LOOPS} lifecycle loops over {VOLUMES} volumes, {AT_ONCE} at a time: nothing has grown")
def lifecycle(lab):
    volumes = [lab.create(size=32 * MIB, cap=block_cap() if i % 5 == 4 else mount_cap(), encrypted=i % 7 != 6) for i in range(VOLUMES)]
    done = {v: 0 for v in volumes}
    run_loops(lab, volumes, VOLUMES, done)  # the first use of each, and the library's caches
    for v in volumes:
        assert done[v] <= 3
    before, rss = state(lab)
    started = time.monotonic()
    run_loops(lab, volumes, LOOPS, done)
    took = time.monotonic() - started
    after, rss_after = settled(lab, before)
    print(f"    {LOOPS} loops in {took:.0f} s, {LOOPS / took:.1f} a second; resident memory {rss} KiB before, {rss_after} KiB after; "
          f"{before['descriptors']} descriptors, {before['threads']} threads")
    expect("loops", LOOPS + VOLUMES, sum(done.values()))
    # Workers are started as calls come in at once, four queues of them at most.
    assert after["threads"] <= before.pop("threads") + 4 * AT_ONCE, f"{after['threads']} threads"
    after.pop("threads")
    expect("at the end as at the start", before, after)
    assert rss_after < rss + 4096, f"{rss_after - rss} KiB more"
    for v in list(volumes):
        v.delete()
    expect("locks and half-made files", [], [f for f in os.listdir(f"{lab.driver.state}/tmp") if f != "ids.lock"])
    expect("images", [], os.listdir(f"{lab.driver.state}/volumes"))


if __name__ == "__main__":
    sys.exit(run_on(Driver(workers=AT_ONCE)))
