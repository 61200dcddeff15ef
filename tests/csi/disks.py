# SPDX-License-Identifier: Apache-2.0
"""Small disks of their own for the tests of space and health, and writers on them."""
import contextlib
import fcntl
import mmap
import os
import random
import struct

from lab import MIB, SCRATCH, Driver, Lab, run

BLKDISCARD = 0x1277
# bytes that never repeat at a block's start, aligned for direct I/O
NOISE = mmap.mmap(-1, 8 * MIB)
NOISE.write(random.Random(1).randbytes(8 * MIB))


@contextlib.contextmanager
def disk(kind, mib, room, **options):
    """A driver whose state directory is a file system of its own, with nothing else on it."""
    image, folder = f"{SCRATCH}/csi/space-{kind}.img", f"{SCRATCH}/space-{kind}"
    os.makedirs(folder, exist_ok=True)
    run("truncate", "-s", f"{mib}M", image)
    run(f"mkfs.{kind}", "-q", *(["-m", "reflink=1"] if kind == "xfs" else []), image)
    run("mount", "-o", "loop", image, folder)
    with open(f"{folder}/foreign", "wb") as f:
        free = os.statvfs(folder)
        os.posix_fallocate(f.fileno(), 0, max(MIB, free.f_bavail * free.f_frsize - room))
    d = Driver(f"space-{kind}", state=f"{folder}/state", **options)
    try:
        d.start()
        yield Lab(d), folder
    finally:
        d.stop()
        run("umount", folder, check=False)
        os.unlink(image)


def fill(path, at, n):
    """Direct and flushed: an error of the disk is the writer's, as it is a pod's. Whole blocks."""
    fd = os.open(path, os.O_WRONLY | os.O_DIRECT)
    try:
        view = memoryview(NOISE)
        while n:
            piece = min(n, MIB)
            shift = random.randrange(7 * MIB // 4096) * 4096
            done = os.pwrite(fd, view[shift:shift + piece], at)
            assert done == piece, f"{done} of {piece} bytes written"
            at, n = at + piece, n - piece
        os.fsync(fd)
    finally:
        os.close(fd)


def discard(path, at, n):
    fd = os.open(path, os.O_WRONLY)
    try:
        fcntl.ioctl(fd, BLKDISCARD, struct.pack("QQ", at, n))
    except OSError:
        pass  # this device has none
    finally:
        os.close(fd)


def hog(folder, keep=0):
    """Somebody else's file takes what is free, to the last block or but for a little."""
    piece, at = 16 * MIB, 0
    with open(f"{folder}/hog", "wb") as f:
        while piece >= 4096:
            free = os.statvfs(folder)
            try:
                assert free.f_bavail * free.f_frsize - piece >= keep, "enough"
                os.posix_fallocate(f.fileno(), at, piece)
                at += piece
            except (OSError, AssertionError):
                piece //= 2
    return lambda: os.unlink(f"{folder}/hog")


class Apart(Lab):
    """Each case has drivers of its own: there is nothing to take down."""

    def clear(self):
        return ""
