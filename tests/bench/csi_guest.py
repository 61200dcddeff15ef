# SPDX-License-Identifier: Apache-2.0
"""The driver beside the shell pipeline, in turn: one volume at a time, then ten at once; the daemon at rest; its start.
One line "figures {...}": seconds, bytes."""
import contextlib
import json
import os
import re
import resource
import subprocess
import sys
import time
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "csi"))
from lab import HEADER, MIB, SCRATCH, Driver, Lab, expect, in_background, mounted, run, text_of  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
AT_ONCE = 10
VOLUME = 256 * MIB
LIMIT = 1024 * MIB  # of the container, as deploy/ has it
KDF = {"memory": 65536, "time": 4, "cpus": 1}
SECRET = {"CRYPTO_KEY_VALUE": "correct horse", "CRYPTO_PBKDF": "argon2id", "CRYPTO_PBKDF_MEMORY": str(KDF["memory"]),
          "CRYPTO_PBKDF_FORCE_ITERATIONS": str(KDF["time"])}
THEIR_KDF = ["--pbkdf", "argon2id", "--pbkdf-memory", str(KDF["memory"]), "--pbkdf-force-iterations", str(KDF["time"]),
             "--pbkdf-parallel", str(KDF["cpus"])]
METRICS = "127.0.0.1:9809"
TICK = os.sysconf("SC_CLK_TCK")


# ---- theirs ----

class Pipeline:
    """A device that is there already, as an attach step leaves it: only staging is timed."""

    def __init__(self, n):
        self.name = f"pipeline-{n}"
        self.image = f"{SCRATCH}/csi/{self.name}.img"
        self.at = f"{SCRATCH}/{self.name}"
        os.makedirs(self.at)
        with open(self.image, "wb") as f:
            f.truncate(VOLUME + HEADER)
        self.device = run("losetup", "--direct-io=on", "--show", "-f", self.image).stdout.decode().strip()

    def start(self, verb):
        return subprocess.Popen([f"{HERE}/pipeline.sh", verb, self.device, self.name, self.at, f"{SCRATCH}/key", *THEIR_KDF],
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)

    def finish(self, p):
        out = p.communicate()[0]
        assert p.returncode == 0, f"{self.name}: {p.returncode}: {out}"
        return {k: int(v) / 1e6 for k, v in (line.split() for line in out.splitlines())}

    def step(self, verb):
        steps = self.finish(self.start(verb))
        return {"all": sum(steps.values()), **steps}

    def remove(self):
        run("losetup", "-d", self.device)
        os.unlink(self.image)


# ---- ours ----

def phases():
    """Seconds that the driver has spent in each phase so far."""
    with urllib.request.urlopen(f"http://{METRICS}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    return {k: float(v) for k, v in re.findall(r'^cryptvol_phase_seconds_sum\{phase="(\w+)"\} (\S+)$', text, re.M)}


def timed(f):
    """The call as its client sees it, and where the driver spent it."""
    before, start = phases(), time.monotonic()
    f()
    took, after = time.monotonic() - start, phases()
    spent = {k: after[k] - before.get(k, 0) for k in after}
    in_open, in_mount = spent.get("open", 0), spent.get("mount", 0)
    in_kernel = spent.get("kernel", 0)
    return {"all": took, "kdf": spent.get("kdf", 0), "kernel": in_kernel, "open": in_open and in_open - spent.get("kdf", 0) - in_kernel, "mkfs": spent.get("mkfs", 0),
            "mount": in_mount - spent.get("mkfs", 0), "rest": took - in_open - in_mount}


def processor_seconds(pid):
    """Of the process and of the children that it has waited for."""
    fields = text_of(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / TICK


def peak_bytes(pid):
    return 1024 * int(re.search(r"VmHWM:\s+(\d+)", text_of(f"/proc/{pid}/status")).group(1))


def at_rest(pid):
    text = text_of(f"/proc/{pid}/smaps_rollup")
    return {k.lower(): 1024 * int(re.search(rf"^{k}:\s+(\d+)", text, re.M).group(1)) for k in ("Rss", "Pss")}


# ---- what is measured ----

def one_at_a_time(lab, rounds):
    """In turn, on new volumes each time."""
    ours = {"new": [], "again": [], "unstage": []}
    theirs = {k: [] for k in ours}
    for n in range(rounds + 1):  # the first one fills the page cache with programs
        volume, pipeline = lab.create(size=VOLUME, secrets=SECRET), Pipeline(n)
        got = {k: [] for k in ours}, {k: [] for k in ours}
        for verb, call in (("new", volume.stage), ("unstage", volume.unstage), ("again", volume.stage), ("unstage", volume.unstage)):
            got[0][verb].append(timed(call))
            got[1][verb].append(pipeline.step(verb))
            expect(verb, (verb != "unstage",) * 2, (bool(mounted(volume.staging)), bool(mounted(pipeline.at))))
        if n == 0:
            kdf = volume.dump()["keyslots"]["0"]["kdf"]
            expect("our keyslot", KDF, {k: kdf[k] for k in KDF})
        for side, all_of in zip(got, (ours, theirs)):
            for k in side if n else ():
                all_of[k] += side[k]
        volume.delete()
        pipeline.remove()
    return {"ours": ours, "theirs": theirs}


def ours_at_once(lab, volumes):
    pid = lab.driver.pid
    write(f"/proc/{pid}/clear_refs", "5\n")  # the peak from here on
    cpu, start = processor_seconds(pid), time.monotonic()
    joins = [in_background(v.stage, timeout=280) for v in volumes]
    expect("staged", ["OK"] * len(volumes), [j() for j in joins])
    return {"all": time.monotonic() - start, "cpu": processor_seconds(pid) - cpu, "peak": peak_bytes(pid)}


@contextlib.contextmanager
def group_of(name):
    """A control group of its own, whose peak is that of what runs in it."""
    folder = f"{SCRATCH}/cgroup/{name}"
    os.makedirs(folder)
    yield folder
    os.rmdir(folder)


def write(path, text):
    with open(path, "w", encoding="ascii") as f:
        f.write(text)


def theirs_at_once(verb, pipelines):
    def children():
        u = resource.getrusage(resource.RUSAGE_CHILDREN)
        return u.ru_utime + u.ru_stime

    cpu, start = children(), time.monotonic()
    with group_of(f"pipelines-{verb}") as folder:
        def enter(p):
            write(f"{folder}/cgroup.procs", f"{p.pid}\n")
            return p
        running = [enter(p.start(verb)) for p in pipelines]
        for pipeline, process in zip(pipelines, running):
            pipeline.finish(process)
        took = time.monotonic() - start
        peak = int(text_of(f"{folder}/memory.peak"))
    return {"all": took, "cpu": children() - cpu, "peak": peak}


def ten_at_once(lab):
    volumes = [lab.create(size=VOLUME, secrets=SECRET) for _ in range(AT_ONCE)]
    pipelines = [Pipeline(f"at-once-{n}") for n in range(AT_ONCE)]
    found = {"ours": {}, "theirs": {}}
    for verb in ("new", "again"):
        found["ours"][verb] = ours_at_once(lab, volumes)
        found["theirs"][verb] = theirs_at_once(verb, pipelines)
        for v, p in zip(volumes, pipelines):
            v.unstage()
            p.step("unstage")
    for p in pipelines:
        p.remove()
    return found


def start_seconds(driver):
    """From the call that starts it until its socket answers."""
    driver.stop()
    start = time.monotonic()
    driver.start(wait=False)
    while not driver.listens():
        assert driver.process.poll() is None and time.monotonic() < start + 30, driver.last_words()
        time.sleep(0.001)
    took = time.monotonic() - start
    driver.wait_ready()
    return took


def measure(rounds):
    driver = Driver(**{"metrics-address": METRICS, "log-level": "info"})
    driver.start()
    lab = Lab(driver)
    figures = {"start": [start_seconds(driver) for _ in range(rounds)]}
    with group_of("driver") as folder:
        write(f"{folder}/memory.max", str(LIMIT))
        driver.restart(wrap=["/bin/sh", "-c", f'echo $$ >{folder}/cgroup.procs && exec "$@"', "sh"])
        figures["fresh"] = at_rest(driver.pid)
        figures["single"] = one_at_a_time(lab, rounds)
        figures["at_once"] = ten_at_once(lab)
        figures["rest"] = at_rest(driver.pid)
        why = lab.clear()
        assert not why, why
        driver.stop()
    return figures


def main():
    run("ip", "link", "set", "lo", "up")
    write(f"{SCRATCH}/key", SECRET["CRYPTO_KEY_VALUE"])
    os.makedirs(f"{SCRATCH}/cgroup")
    run("mount", "-t", "cgroup2", "none", f"{SCRATCH}/cgroup")
    write(f"{SCRATCH}/cgroup/cgroup.subtree_control", "+memory")
    figures = measure(int(sys.argv[1]))
    run("umount", f"{SCRATCH}/cgroup")
    print("figures " + json.dumps(figures), flush=True)


main()
