# SPDX-License-Identifier: Apache-2.0
"""A full disk, a failing one and a file system with errors are told of by everything that has a say: CSI 1.13's health
calls, 1.12's condition, metrics, and one line in the log when something turns, not one a look."""
import os
import re
import sys
import urllib.request

from disks import Apart, disk, fill, hog
from lab import MIB, block_cap, case, expect, lab_loop, mount_cap, mounted, run, run_cases, wait_for

PORT = 19812
ON = {"metrics-address": f"127.0.0.1:{PORT}"}


def metrics():
    with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/metrics", timeout=20) as r:
        lines = r.read().decode().splitlines()
    return {k: float(v) for k, v in (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))}


def reasons(c, v):
    """By all three calls, which agree."""
    by_id = [e.reason for e in c.ControllerGetVolumeHealth(volume_id=v.id).volume_health.health_statuses]
    node = [e.reason for e in c.NodeGetVolumeHealth(volume_id=v.id, staging_target_path=v.staging).volume_health.health_statuses]
    listed = [[e.reason for e in h.health_statuses] for h in c.ControllerListVolumeHealth().entries if h.volume_id == v.id]
    expect("controller and node", by_id, node)
    expect("the list", [by_id] if by_id else [], listed)
    expect("the condition", bool(by_id), c.NodeGetVolumeStats(volume_id=v.id, volume_path=v.targets[0]).volume_condition.abnormal)
    return by_id


def storage(c):
    return [h.reason for h in c.NodeGetStorageHealth().backend_health]


def log_lines(driver, event, **fields):
    """Lines of an event with these fields."""
    found = [dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', line)) for line in driver.log_text().splitlines()]
    return [f for f in found if f.get("event") == event and all(f.get(k) == w for k, w in fields.items())]


@case("a full disk: told of by health, condition, metrics and one line of the log; and that there is room again")
def full(lab):
    del lab
    with disk("xfs", 400, 200 * MIB, overprovision=300, **ON) as (inner, folder):
        c, driver = inner.c, inner.driver
        v, fine = (inner.create(size=64 * MIB, cap=block_cap(), encrypted=False) for _ in range(2))
        fill(v.up(), 0, 4 * MIB)
        fill(fine.up(), 0, 64 * MIB)
        expect("at first", [[], [], []], [reasons(c, v), reasons(c, fine), storage(c)])
        m = wait_for("the figures", 30, lambda: (now := metrics())["cryptvol_disk_promised_bytes"] and now)
        expect("state", 0, m["cryptvol_disk_state"])
        expect("size", 64 * MIB, m[f'cryptvol_volume_size_bytes{{volume="{v.id}"}}'])
        expect("allocated", 4 * MIB, m[f'cryptvol_volume_allocated_bytes{{volume="{v.id}"}}'])
        expect("owed", 60 * MIB, m[f'cryptvol_volume_owed_bytes{{volume="{v.id}"}}'])
        st = os.statvfs(folder)
        expect("the disk", [st.f_blocks * st.f_frsize, 128 * MIB],
               [m["cryptvol_disk_bytes"], m["cryptvol_disk_promised_bytes"]])
        room = hog(folder)
        failed = False
        try:
            fill(v.target(), 4 * MIB, 60 * MIB)
        except OSError:
            failed = True
        assert failed, "written on a full disk"
        expect("full", [["NodeDiskFull", "IoErrors"], ["NodeDiskFull"]], [reasons(c, v), storage(c)])
        expect("a volume that is written already", [], reasons(c, fine))
        wait_for("the log", 60, lambda: log_lines(driver, "disk", state="full"))
        wait_for("the log", 60, lambda: log_lines(driver, "health", volume=v.id, reason="IoErrors"))
        m = metrics()
        expect("state", 2, m["cryptvol_disk_state"])
        expect("abnormal", 1, m[f'cryptvol_volume_abnormal{{volume="{v.id}",reason="NodeDiskFull"}}'])
        room()
        wait_for("the log", 60, lambda: log_lines(driver, "disk", state="fine"))
        wait_for("the log", 60, lambda: log_lines(driver, "health", volume=v.id, reason="NodeDiskFull", message="over"))
        expect("what was lost isn't forgotten", ["IoErrors"], reasons(c, v))
        v.down()
        v.up()
        expect("staged anew", [[], []], [reasons(c, v), storage(c)])
        expect("lines, one a turn", [1, 1, 2, 1], [len(log_lines(driver, "disk", state="full")), len(log_lines(driver, "disk", state="fine")),
                                                   len(log_lines(driver, "health", volume=v.id, reason="NodeDiskFull")),
                                                   len([x for x in log_lines(driver, "health", volume=v.id, reason="IoErrors")
                                                        if x["message"] != "over"])])
        why = inner.clear()
        assert not why, why


@case("a file system with errors, one that became read-only, one that isn't mounted any more: health says which")
def broken(lab):
    del lab
    with disk("ext4", 256, 160 * MIB) as (inner, _):
        c = inner.c
        v = inner.create(size=48 * MIB, cap=mount_cap(), encrypted=False)
        v.up()
        expect("at first", [], reasons(c, v))
        device = os.path.basename(lab_loop(v))
        with open(f"/sys/fs/ext4/{device}/trigger_fs_error", "w", encoding="ascii") as f:
            f.write("a test")
        expect("an error", "FileSystemErrors", reasons(c, v)[-1])
        run("mount", "-o", "remount,ro", v.staging)
        assert "ro" in mounted(v.staging)["super"]
        expect("read-only", ["FileSystemReadOnly", "FileSystemErrors"], reasons(c, v))
        run("umount", v.staging)
        expect("gone", ["NotMounted"], reasons(c, v))
        v.down()
        os.rename(v.image, v.image + ".away")
        expect("no image", ["ImageGone"], [e.reason for e in c.ControllerGetVolumeHealth(volume_id=v.id).volume_health.health_statuses])
        os.rename(v.image + ".away", v.image)
        c.fails("NOT_FOUND", "ControllerGetVolumeHealth", volume_id="no-such")
        c.fails("INVALID_ARGUMENT", "NodeGetVolumeHealth")
        c.fails("INVALID_ARGUMENT", "ControllerListVolumeHealth", max_entries=-1)
        why = inner.clear()
        assert not why, why


if __name__ == "__main__":
    sys.exit(run_cases(lambda: Apart(None)))
