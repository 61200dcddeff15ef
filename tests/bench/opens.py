# SPDX-License-Identifier: Apache-2.0
"""Many derivations at once: threads of one process with a budget (this file run as a program), and cryptsetup's processes."""
import ctypes
import json
import os
import resource
import subprocess
import sys
import threading
import time

MIB = 1 << 20
CRYPTSETUP = "/usr/sbin/cryptsetup"
ARGON2ID = 3


class Pbkdf(ctypes.Structure):
    _fields_ = [("type", ctypes.c_int), ("hash", ctypes.c_char * 32), ("iterations", ctypes.c_uint32),
                ("memory_kib", ctypes.c_uint32), ("parallel", ctypes.c_uint32)]


def rss_bytes(pid="self"):
    try:
        with open(f"/proc/{pid}/statm", encoding="ascii") as f:
            return int(f.read().split()[1]) * resource.getpagesize()
    except (FileNotFoundError, ProcessLookupError):
        return 0


def in_one_process(library, threads, budget_mib, memory_mib):
    """Figures of @threads derivations at once; memory is what they took on top of the interpreter's."""
    lib = ctypes.CDLL(library)
    config = (ctypes.c_uint64 * 16)(budget_mib * MIB)  # budget_bytes is the first member, the others keep their defaults
    kdf, salt = ctypes.c_void_p(), bytes(32)
    cost = Pbkdf(ARGON2ID, b"", 4, memory_mib * 1024, 1)
    if lib.crypto_kdf_new(config, ctypes.byref(kdf), None):
        raise MemoryError("crypto_kdf_new")
    ends, start = [], time.monotonic()

    def derive():
        secrets = [ctypes.c_void_p(), ctypes.c_void_p()]
        for s in secrets:
            lib.secret_new(ctypes.c_size_t(64), ctypes.byref(s), None)
        if lib.crypto_kdf_derive(kdf, ctypes.byref(cost), secrets[0], salt, ctypes.c_size_t(32), secrets[1], None):
            os._exit(1)
        ends.append(time.monotonic() - start)

    before = resource.getrusage(resource.RUSAGE_SELF)
    workers = [threading.Thread(target=derive) for _ in range(threads)]
    for w in workers:
        w.start()
    for w in workers:
        w.join()
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"cpu_s": cpu, "wall_s": max(ends), "first_s": min(ends), "peak_mib": (after.ru_maxrss - before.ru_maxrss) / 1024}


def ours(library, threads, budget_mib, memory_mib):
    done = subprocess.run([sys.executable, os.path.abspath(__file__), library, str(threads), str(budget_mib), str(memory_mib)],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True, text=True)
    return json.loads(done.stdout)


def theirs(image, key, processes):
    """cryptsetup's processes, the sum of their memory looked at every 5 ms."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start, peak = time.monotonic(), 0
    running = [subprocess.Popen([CRYPTSETUP, "open", "--test-passphrase", "-d", key, image], stdin=subprocess.DEVNULL)
               for _ in range(processes)]
    while any(p.poll() is None for p in running):
        peak = max(peak, sum(rss_bytes(p.pid) for p in running))
        time.sleep(0.005)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if any(p.returncode for p in running):
        raise RuntimeError("cryptsetup failed")
    return {"cpu_s": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, "wall_s": time.monotonic() - start,
            "peak_mib": peak / MIB}


if __name__ == "__main__":
    print(json.dumps(in_one_process(sys.argv[1], *map(int, sys.argv[2:]))))
