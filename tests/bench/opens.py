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


ADMITTED = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class Wish(ctypes.Structure):
    _fields_ = [("stop", ctypes.c_void_p), ("if_free", ctypes.c_bool), ("admitted", ADMITTED), ("arg", ctypes.c_void_p)]


class Stats(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("budget_bytes", "in_use_bytes", "peak_bytes", "waiting", "derivations")]


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
    ends, admitted, stats, start = [], [], Stats(), time.monotonic()

    def derive(number):
        secrets = [ctypes.c_void_p(), ctypes.c_void_p()]
        for s in secrets:
            lib.secret_new(ctypes.c_size_t(64), ctypes.byref(s), None)
        wish = Wish(None, False, ADMITTED(lambda _: admitted.append(number)), None)
        if lib.crypto_kdf_derive_wish(kdf, ctypes.byref(cost), secrets[0], salt, ctypes.c_size_t(32), ctypes.byref(wish), secrets[1], None):
            os._exit(1)
        ends.append(time.monotonic() - start)

    def queued():
        lib.crypto_kdf_get_stats(kdf, ctypes.byref(stats))
        return stats.waiting

    before = resource.getrusage(resource.RUSAGE_SELF)
    workers = [threading.Thread(target=derive, args=(i,)) for i in range(threads)]
    for i, w in enumerate(workers):
        w.start()
        while queued() + len(admitted) <= i:  # until it has its place in the queue
            time.sleep(0.0001)
    for w in workers:
        w.join()
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    overtaken = max(admitted.index(i) - i for i in range(threads))
    return {"cpu_s": cpu, "wall_s": max(ends), "overtaken": overtaken, "peak_mib": (after.ru_maxrss - before.ru_maxrss) / 1024}


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
