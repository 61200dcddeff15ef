# SPDX-License-Identifier: Apache-2.0
"""Thirty volumes with keyslots of 64 MiB, staged at once in a control group of 256 MiB that holds the driver, its mkfs and
its page cache. The client is outside."""
import os
import re
import sys
import time

from lab import MIB, SCRATCH, Driver, case, expect, in_background, mounted, run, run_on, text_of

VOLUMES = 30
LIMIT = 256 * MIB


class Group:
    """A control group of its own, with a memory limit."""

    def __init__(self):
        self.root = os.path.join(SCRATCH, "cgroup")
        os.makedirs(self.root, exist_ok=True)
        run("mount", "-t", "cgroup2", "none", self.root)
        self.write("cgroup.subtree_control", "+memory", self.root)
        self.path = os.path.join(self.root, "cryptvol-test")
        os.makedirs(self.path, exist_ok=True)
        self.write("memory.max", str(LIMIT))

    def write(self, name, text, folder=None):
        with open(os.path.join(folder or self.path, name), "w", encoding="ascii") as f:
            f.write(text)

    def number(self, name):
        return int(text_of(f"{self.path}/{name}") or -1)

    def events(self):
        return {k: int(v) for k, v in re.findall(r"(\w+) (\d+)", text_of(f"{self.path}/memory.events"))}

    def remove(self):
        os.rmdir(self.path)
        run("umount", self.root)


def all_at_once(what, volumes, group):
    started = time.monotonic()
    joins = [in_background(v.stage, timeout=280) for v in volumes]
    expect(what, ["OK"] * len(volumes), [j() for j in joins])
    e = group.events()
    print(f"    {what}: {len(volumes)} volumes in {time.monotonic() - started:.1f} s; peak {group.number('memory.peak') / MIB:.0f} MiB of "
          f"{LIMIT // MIB}; limit reached {e['max']} times, {e['oom_kill']} kills")
    expect(f"{what}: OOM kills", (0, 0), (e["oom"], e["oom_kill"]))


@case("256 MiB for driver, mkfs and page cache: thirty keyslots of argon2id at 64 MiB, formatted, then opened, at once")
def thirty(lab):
    group = lab.driver.group
    secrets = {"CRYPTO_KEY_VALUE": "x", "CRYPTO_PBKDF": "argon2id", "CRYPTO_PBKDF_MEMORY": "65536", "CRYPTO_PBKDF_FORCE_ITERATIONS": "4"}
    volumes = [lab.create(size=32 * MIB, secrets=secrets) for _ in range(VOLUMES)]
    all_at_once("formatted", volumes, group)
    kdf = volumes[-1].dump()["keyslots"]["0"]["kdf"]
    expect("the keyslots", ("argon2id", 65536, 4), (kdf["type"], kdf["memory"], kdf["time"]))
    assert all(mounted(v.staging) for v in volumes)
    for v in volumes:
        v.unstage()
    all_at_once("opened", volumes, group)
    assert str(lab.driver.pid) in text_of(f"{group.path}/cgroup.procs").split(), "control: the driver isn't in the group"
    assert group.number("memory.peak") > 64 * MIB, "control: no derivation was charged to the group"


def main():
    group = Group()
    driver = Driver()
    driver.group = group
    status = run_on(driver, wrap=["/bin/sh", "-c", f'echo $$ >{group.path}/cgroup.procs && exec "$@"', "sh"])
    group.remove()
    return status


if __name__ == "__main__":
    sys.exit(main())
