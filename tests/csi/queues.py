# SPDX-License-Identifier: Apache-2.0
"""Devices that hang, and everybody else: each kind of call has workers of its own, a hung call is replaced, and what nobody waits for isn't begun."""
import os
import re
import sys
import urllib.request

from lab import SCRATCH, Driver, case, expect, in_background, mount_cap, run, run_on, text_of, wait_for

WORKERS = 2
PORT = 9811


class HangingDevice:
    """A static volume on a device that can be suspended: whoever waits for it can't even be killed."""

    def __init__(self, lab, name):
        self.lab, self.id = lab, name
        self.image = f"{SCRATCH}/csi/{name}.img"
        self.staging = f"{lab.kubelet}/{name}/stage"
        os.makedirs(self.staging, exist_ok=True)
        run("truncate", "-s", "16M", self.image)
        run("mkfs.ext4", "-q", "-F", self.image)
        self.loop = run("losetup", "-f", "--show", self.image).stdout.decode().strip()
        run("dmsetup", "create", f"below-{name}", stdin=f"0 32768 linear {self.loop} 0\n".encode())
        self.device = f"/dev/mapper/below-{name}"
        self.fields = dict(volume_id=name, staging_target_path=self.staging, volume_capability=mount_cap(),
                           volume_context={"encrypted": "false", "device": self.device})
        lab.on_clear.append(self.remove)

    def stage(self, **kw):
        self.lab.c.NodeStageVolume(**self.fields, **kw)

    def unstage(self, **kw):
        self.lab.c.NodeUnstageVolume(volume_id=self.id, staging_target_path=self.staging, **kw)

    def suspend(self):
        run("dmsetup", "suspend", "--nolockfs", f"below-{self.id}")

    def resume(self):
        run("dmsetup", "resume", f"below-{self.id}")

    def remove(self):
        self.resume()
        self.unstage()
        run("dmsetup", "remove", "--retry", f"below-{self.id}")
        run("losetup", "-d", self.loop)


def asleep(driver):
    """Threads of the driver that nothing can interrupt."""
    folder = f"/proc/{driver.pid}/task"
    return [text_of(f"{folder}/{t}/stat").rpartition(")")[2].split()[:1] for t in os.listdir(folder)].count(["D"])


def metric(name, **labels):
    with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/metrics", timeout=60) as f:
        text = f.read().decode()
    wanted = ",".join(f'{k}="{v}"' for k, v in labels.items())
    return int(re.search(rf"^{name}{{{re.escape(wanted)}}} (\d+)$", text, re.M)[1])


@case("unstages that hang, more than there are workers: others' unstages, stages, figures, creations and deletions go on")
def hung_unstages(lab):
    hung = [HangingDevice(lab, f"hung-{i}") for i in range(WORKERS + 1)]
    for h in hung:
        h.stage()
        with open(f"{h.staging}/data", "wb") as f:
            f.write(os.urandom(65536))
        h.suspend()
    good = lab.create(encrypted=False)
    path = good.up()
    waiting = [in_background(h.unstage, timeout=280) for h in hung]
    wait_for("all of them hang, each in a worker", 120, lambda: asleep(lab.driver) >= len(hung))
    lab.c.fails("ABORTED", "NodeUnstageVolume", volume_id=hung[0].id, staging_target_path=hung[0].staging)
    lab.c.Probe()
    lab.c.NodeGetVolumeStats(volume_id=good.id, volume_path=path)
    good.down()
    lab.create(encrypted=False).delete()
    lab.c.ListVolumes()
    expect("workers that are stuck", True, wait_for("they count as stuck", 60, lambda: metric("cryptvol_csi_workers", queue="node_down", state="stuck") == len(hung)))
    expect("others that are stuck", 0, sum(metric("cryptvol_csi_workers", queue=q, state="stuck") for q in ("node_up", "controller", "stats")))
    for h in hung:
        h.resume()
    expect("the unstages", ["OK"] * len(hung), [w() for w in waiting])
    expect("stuck afterwards", 0, metric("cryptvol_csi_workers", queue="node_down", state="stuck"))


@case("figures of a device that hangs: one worker a path, however often they are asked for; others' figures come")
def hung_stats(lab):
    hung = HangingDevice(lab, "hung-stats")
    hung.stage()
    good = lab.create(encrypted=False)
    path = good.up()
    ask = dict(volume_id=hung.id, volume_path=hung.staging, timeout=280)
    # Held by its own queue: a look at a device that hangs may or may not come back.
    hung.suspend()
    waiting = [in_background(lab.c.NodeGetVolumeStats, **ask) for _ in range(2 * WORKERS)]
    lab.c.NodeGetVolumeStats(volume_id=good.id, volume_path=path)
    hung.resume()
    got = [w() for w in waiting]
    assert set(got) <= {"OK", "ABORTED"} and "OK" in got, got
    good.down()


@case("a stage whose caller leaves while it waits for a worker is never begun")
def given_up(lab):
    hung = [HangingDevice(lab, f"slow-{i}") for i in range(WORKERS)]
    for h in hung:
        h.suspend()
    late = lab.create(encrypted=False)
    late.attach()
    before = metric("cryptvol_csi_given_up_total", queue="node_up")
    waiting = [in_background(h.stage, timeout=280) for h in hung]
    wait_for("they hang", 60, lambda: metric("cryptvol_csi_workers", queue="node_up", state="busy") == WORKERS)
    expect("one whose caller doesn't wait", "DEADLINE_EXCEEDED", in_background(late.stage, timeout=0.5)())
    wait_for("it is taken out of the queue", 60, lambda: metric("cryptvol_csi_given_up_total", queue="node_up") == before + 1)
    for h in hung:
        h.resume()
    expect("the others", ["OK"] * WORKERS, [w() for w in waiting])
    assert not os.path.ismount(late.staging), "it was begun all the same"
    late.stage()


if __name__ == "__main__":
    sys.exit(run_on(Driver(workers=WORKERS, **{"metrics-address": f"127.0.0.1:{PORT}"})))
