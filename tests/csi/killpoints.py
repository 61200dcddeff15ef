# SPDX-License-Identifier: Apache-2.0
"""A driver that is killed at the n-th system call that changes state (killat.c), counted from its start or from when it is armed."""
import os
import struct

from lab import SCRATCH, Driver, wait_for

KILLAT = os.environ["KILLAT"]
BEFORE, AFTER, SWALLOW = 0, 1, 2
NEVER = 1 << 30
PROGRAMS = 6  # of the calls of mkfs and the like one in so many is a point


class Control:
    """What killat shares with us: arm it, see what it did."""
    FORMAT = struct.Struct("8I")
    SIZE = 4096

    def __init__(self, path):
        self.path, self.at = path, 0
        with open(path, "wb") as f:
            f.truncate(self.SIZE)

    def arm(self, at, mode=BEFORE, children=False):
        self.at = at
        with open(self.path, "r+b", buffering=0) as f:
            f.seek(4)
            f.write(struct.pack("4I", mode, 0, 0, int(children)))
            f.seek(24)
            f.write(struct.pack("2I", PROGRAMS, 0))
            f.seek(0)
            f.write(struct.pack("I", at))

    def state(self):
        """(calls counted, is it done, which call it was)"""
        with open(self.path, "rb") as f:
            data = f.read()
        _, _, count, done, *_ = self.FORMAT.unpack_from(data)
        return count, bool(done), data[self.FORMAT.size:].split(b"\0")[0].decode(errors="replace")

    def pid(self):
        with open(self.path, "rb") as f:
            return self.FORMAT.unpack(f.read(self.FORMAT.size))[5]

    def outcome(self):
        """The state at the end. A point that came is waited for: the call may be through before the driver is dead."""
        if self.state()[0] >= self.at:
            wait_for("the kill", 10, lambda: self.state()[1])
        self.disarm()
        return self.state()

    def disarm(self):
        with open(self.path, "r+b", buffering=0) as f:
            f.write(bytes(4))


class Tracer(Driver):
    """A driver under killat; a new control file for each of its lives, since the old tracer may outlive it (mkfs goes on)."""
    lives = 0
    control = None

    def start(self, at=0, **kw):
        Tracer.lives += 1
        if self.control:
            os.unlink(self.control.path)
        self.control = Control(f"{SCRATCH}/control-{Tracer.lives}")
        if at:
            self.control.arm(at)
        return super().start(wrap=(KILLAT, self.control.path), **kw)

    def start_after_kill(self):
        """Its tracer waits for the programs that outlive it, we don't."""
        pid = self.control.pid()
        wait_for("the driver's end", 10, lambda: not os.path.exists(f"/proc/{pid}"))
        self.client.channel.close()
        self.client = None
        self.start()
