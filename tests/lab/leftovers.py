# SPDX-License-Identifier: Apache-2.0
"""What a test leaves behind in the kernel, and what the kernel said meanwhile.

Read from /proc and /sys with no program started: in a guest each fork is dear.
"""

import os
import re
import subprocess
import time

COMPLAINT = re.compile(r"Kernel panic|BUG:|Oops|WARNING: |general protection|blocked for more than"
                       r"|rcu: INFO: .* stall|UBSAN:")
OUR_KEY = re.compile(r"cryptsetup:|cryptvol")
SETTLE_SECONDS = 3  # keys of an ended process and lazily removed devices go a little later


def read(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as f:
            return f.read()
    except OSError:
        return ""


def names(folder):
    try:
        return os.listdir(folder)
    except OSError:
        return []


def mapped_devices():
    return {read("/sys/block/%s/dm/name" % d).strip() for d in names("/sys/block")
            if d.startswith("dm-")}


def loop_devices():
    return {"/dev/" + d for d in names("/sys/block")
            if d.startswith("loop") and os.path.exists("/sys/block/%s/loop/backing_file" % d)}


def keys():
    return {line.split()[0] + " " + line.split(None, 8)[-1] for line in read("/proc/keys").splitlines()
            if OUR_KEY.search(line)}


def mounts():
    return {line.split()[1] for line in read("/proc/self/mounts").splitlines()}


def locks():
    return set(names("/run/cryptsetup"))


KINDS = (("mount", mounts), ("mapped device", mapped_devices), ("loop device", loop_devices),
         ("key", keys), ("lock", locks))


class Snapshot:
    """The state before a test, to be compared with the state after it."""

    def __init__(self):
        self.before = {kind: look() for kind, look in KINDS}

    def _new(self):
        return {kind: sorted(look() - self.before[kind]) for kind, look in KINDS}

    def left_behind(self):
        """Sentences on what is there now and was not before. It is also cleared away."""
        limit = time.monotonic() + SETTLE_SECONDS
        new = self._new()
        while any(new.values()) and time.monotonic() < limit:
            time.sleep(0.1)
            new = self._new()
        if any(new.values()):
            self._clear(new)
        return ["it left a %s behind: %s" % (kind, item) for kind, items in new.items()
                for item in items]

    @staticmethod
    def _clear(new):
        commands = [["umount", "-l", m] for m in reversed(new["mount"])]
        commands += [["dmsetup", "remove", "--force", "--noudevsync", m]
                     for _ in range(2) for m in new["mapped device"]]  # twice: they may be stacked
        commands += [["losetup", "-d", d] for d in new["loop device"]]
        for command in commands:
            subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL, timeout=20, check=False)


class KernelLog:
    """The kernel's log from now on."""

    def __init__(self):
        try:
            self.fd = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
            os.lseek(self.fd, 0, os.SEEK_END)
        except OSError:
            self.fd = -1

    def complaints(self):
        """Sentences on what the kernel complained of since the last call."""
        found = []
        while self.fd >= 0:
            try:
                record = os.read(self.fd, 8192).decode("utf-8", "replace")
            except BlockingIOError:
                break
            except OSError:  # records were overwritten before they were read
                continue
            text = record.partition(";")[2].partition("\n")[0]
            if COMPLAINT.search(text):
                found.append("the kernel complained: " + text)
        return found
