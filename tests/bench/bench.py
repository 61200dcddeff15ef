#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Ratios to the installed cryptsetup, both measured in turn in one run: a table with goal, figure and verdict; then a
table of the CSI driver beside the shell pipeline.

Processor time and memory come from ratio.c, system calls and bytes written from strace, the kernel's part from a QEMU guest.
"""
import argparse
import collections
import json
import os
import re
import subprocess
import sys
import tempfile

import argon2
import csi
import opens
import pbkdf2
import svg

HERE = os.path.dirname(os.path.abspath(__file__))
LAB = os.path.join(HERE, "..", "lab")
CRYPTSETUP = "/usr/sbin/cryptsetup"
CHEAP = ["--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"]
LOAD_BYTES = 256 << 20
MIB = 1 << 20
BUDGET_MIB = 256
CSI_ROUNDS = 7
G6_ROUNDS = 15
G7_ROUNDS = 5

Cost = collections.namedtuple("Cost", "cpu_us rss_kib wall_us")  # lists, a round each
Row = collections.namedtuple("Row", "goal what wanted measured met")  # met None: not measured


class Bench:
    """Programs, a scratch folder, and the rows so far."""

    def __init__(self, programs, folder):
        self.ours, self.static, self.library, self.ratio, self.argon2, self.bare = map(os.path.abspath, programs)
        self.folder = folder
        self.rows = []
        self.charts = {}  # file name -> SVG
        self.passphrase = self.path("passphrase")
        with open(self.passphrase, "w", encoding="ascii") as f:
            f.write("correct horse")

    def path(self, name):
        return os.path.join(self.folder, name)

    def blank(self, name):
        path = self.path(name)
        with open(path, "wb") as f:
            f.truncate(64 * MIB)
        return path

    def costs(self, rounds, *commands, blank=None, warm_mib=None):
        argv = [self.ratio] + (["-b", blank] if blank else []) + (["-w", str(warm_mib)] if warm_mib else []) + [str(rounds)]
        for command in commands:
            argv += ["--"] + command
        return read_costs(run(argv).splitlines(), len(commands))

    def both(self, arguments, rounds, **more):
        """ours, cryptsetup's"""
        return self.costs(rounds, [self.ours] + arguments, [CRYPTSETUP] + arguments, **more)

    def add(self, goal, what, wanted, measured, met):
        self.rows.append(Row(goal, what, wanted, measured, met))
        verdict = {True: "met", False: "NOT MET", None: "not measured"}[met]
        print(f"{goal:3} {what:58} goal {wanted:22} measured {measured:38} {verdict}", flush=True)

    def add_ratio(self, goal, what, ours, theirs, wanted, unit="x less", more=""):
        """Of the same figure in every round: the middle ratio, and the spread."""
        middle, text = argon2.spread(argon2.ratios_of(theirs, ours), unit)
        self.add(goal, what, f">= {wanted}{unit}", text + more, middle >= wanted)

    def add_times(self, goal, what, ours, theirs, wanted, unit="x less"):
        """Processor time decides: on a shared machine time depends on who else is there."""
        more = ", time " + argon2.spread(argon2.ratios_of(theirs.wall_us, ours.wall_us))[1]
        self.add_ratio(goal, what, ours.cpu_us, theirs.cpu_us, wanted, unit, more)

    def add_most(self, goal, what, ours, theirs, wanted):
        self.add(goal, what, f"<= {wanted}", f"{ours} (cryptsetup {theirs})", ours <= wanted)


def run(argv, **more):
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=False, text=True, **more)
    if done.returncode:
        sys.exit(f"bench: {' '.join(argv)}: status {done.returncode}")
    return done.stdout


def read_costs(lines, commands):
    costs = [Cost([], [], []) for _ in range(commands)]
    for line in lines:
        command, *figures = map(int, line.split())
        for figure, values in zip(figures, costs[command]):
            values.append(figure)
    return costs


def calls(bench, argv):
    """Number of system calls, threads and children included."""
    log = bench.path("strace")
    run(["strace", "-f", "-qq", "-o", log] + argv)
    with open(log, encoding="utf-8", errors="replace") as f:
        # A call that another thread's interrupted has a second line, which says "resumed".
        return sum(1 for line in f if re.match(r"\d+ +[a-z_0-9]+\(", line))


def written(bench, argv, path):
    """Bytes that the command's calls put into @path."""
    log = bench.path("strace")
    run(["strace", "-f", "-qq", "-y", "-e", "trace=write,pwrite64,writev,pwritev,pwritev2,sendfile,copy_file_range",
         "-o", log] + argv)
    total = 0
    with open(log, encoding="utf-8", errors="replace") as f:
        for line in f:
            m = re.match(r"\d+ +\w+\(\d+<([^>]*)>.* = (\d+)$", line)
            if m and m.group(1) == path:
                total += int(m.group(2))
    return total


def g1(bench):
    """The derivation alone."""
    print(f"huge pages: {argon2.huge_pages()}", flush=True)
    for what, wanted, measured, met in argon2.rows(bench.argon2):
        bench.add("G1", what, f">= {wanted}x", measured, met)


def unlock(bench):
    """Whole processes at the same keyslot; the goal is that of the fastest core that the processor runs."""
    wanted = argon2.best_goal(bench.argon2)
    for memory_mib, rounds in argon2.MEMORY_ROUNDS.items():
        for lanes in argon2.LANES:
            arguments = ["open", "--test-passphrase", "-d", bench.passphrase, argon2_image(bench, memory_mib, lanes)]
            bench.add_times("G1 unlock", f"argon2id, {memory_mib} MiB, p={lanes}",
                            *bench.both(arguments, rounds, warm_mib=memory_mib), wanted, "x")


def g2(bench):
    """The goals are for one block of output; a key of aes-xts-plain64 is two of SHA-256."""
    for name, key_bytes, wanted in (("sha256", 32, 2.0), ("sha256", 64, 2.0), ("sha512", 64, 1.7)):
        f = pbkdf2.measure(bench.library, name, key_bytes)
        ratios = f.ratios("OpenSSL")
        middle = ratios[len(ratios) // 2]
        text = f"{middle:.2f}x ({ratios[len(ratios) // 10]:.2f} to {ratios[-1 - len(ratios) // 10]:.2f})"
        if "libgcrypt" in f.seconds:
            text += f", libgcrypt's {f.speed('ours') / f.speed('libgcrypt'):.1f}x"
        bench.add("G2", f"PBKDF2-{name}, {key_bytes} bytes, against OpenSSL's call", f">= {wanted}x", text, middle >= wanted)


def g3(bench):
    image = bench.blank("open")
    run([bench.ours, "luksFormat", "-q"] + CHEAP + [image, bench.passphrase])
    arguments = ["open", "--test-passphrase", "-d", bench.passphrase, image]
    ours, theirs = bench.both(arguments, 60)
    bench.add_times("G3", "open --test-passphrase: processor time", ours, theirs, 3)
    bench.add_most("G3", "open --test-passphrase: system calls", calls(bench, [bench.ours] + arguments),
                   calls(bench, [CRYPTSETUP] + arguments), 60)
    share = max(ours.rss_kib) / max(theirs.rss_kib)
    bench.add("G3", "open --test-passphrase: peak of memory", "<= 0.50 of cryptsetup's", f"{share:.2f}", share <= 0.5)


def g4(bench):
    image = bench.blank("isluks")
    run([bench.ours, "luksFormat", "-q"] + CHEAP + [image, bench.passphrase])
    ours, theirs = bench.both(["isLuks", image], 100)
    bench.add_times("G4", "isLuks: processor time", ours, theirs, 4)


def g5(bench):
    image = bench.blank("format")
    arguments = ["luksFormat", "--type", "luks2", "-q"] + CHEAP + [image, bench.passphrase]
    ours, theirs = bench.both(arguments, 30, blank=image)
    count = []
    for program in (bench.ours, CRYPTSETUP):
        bench.blank("format")
        count.append(calls(bench, [program] + arguments))
    size = []
    for program in (bench.ours, CRYPTSETUP):
        bench.blank("format")
        size.append(written(bench, [program] + arguments, image))
    bench.add("G5", "luksFormat on a blank image: bytes written", "<= 1 MiB",
              f"{size[0] / MIB:.2f} MiB (cryptsetup {size[1] / MIB:.1f})", 0 < size[0] <= MIB)
    bench.add_most("G5", "luksFormat on a blank image: system calls", count[0], count[1], 150)
    bench.add_times("G5", "luksFormat on a blank image: processor time", ours, theirs, 5)


G6_ROWS = (("open in QEMU on 6.12, cheap KDF", 4), ("close in QEMU on 6.12", 6))


def g6_guest(bench):
    """Output and status of the guest: a line for open and one for close of ours, the static command, the ioctls alone, cryptsetup."""
    guest = os.path.join(HERE, "guest.sh")
    programs = [bench.ratio, bench.static, bench.bare]
    argv = [os.path.join(LAB, "qemu-run"), "-t", "400", "-M", "loop dm-crypt", "-d", bench.blank("disk")]
    for path in programs + [guest, CRYPTSETUP]:
        argv += ["-i", path]
    return subprocess.run(argv + ["--", guest] + programs + [str(G6_ROUNDS)], env=dict(os.environ, CRYPTVOL=bench.ours), stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)


def g6(bench):
    done = g6_guest(bench)
    lines = [line.removeprefix("cost ") for line in done.stdout.splitlines() if line.startswith("cost ")]
    if done.returncode or len(lines) != 8 * G6_ROUNDS:
        print(done.stdout[-2000:], file=sys.stderr)
        for what, wanted in G6_ROWS:
            bench.add("G6", f"{what}: time", f">= {wanted}x faster", f"the guest ended with {done.returncode}", None)
        return
    costs = [cost.wall_us for cost in read_costs(lines, 8)]
    for i, (what, wanted) in enumerate(G6_ROWS):
        dynamic, static, bare, theirs = costs[i::2]
        floor, _ = argon2.spread(argon2.ratios_of(theirs, bare))
        for ours, which in ((dynamic, "time"), (static, "time, static command")):
            bench.add_ratio("G6", f"{what}: {which}", ours, theirs, wanted, "x faster", f" (its ioctls alone: {floor:.1f}x)")


def argon2_image(bench, memory_mib, lanes=1):
    """By our command: cryptsetup stores no more lanes than processors. The digest of it costs next to nothing."""
    image = bench.blank(f"argon2-{memory_mib}-{lanes}")
    run([bench.ours, "luksFormat", "-q", "--pbkdf-force-iterations", "4", "--pbkdf-memory", str(memory_mib * 1024),
         "--pbkdf-parallel", str(lanes), image, bench.passphrase])
    return image


def g7(bench):
    """Threads of one process beside cryptsetup's processes; then a hundred at once beside fixed numbers of them."""
    image, memory = argon2_image(bench, 64), {"cryptvol, one process": [], "cryptsetup": []}
    for n in (1, 2, 4, 8, 16):
        for points, side in zip(memory.values(), (opens.ours(bench.library, n, BUDGET_MIB, 64), opens.theirs(image, bench.passphrase, n))):
            points.append((n, side["peak_mib"]))
    bench.charts["open-memory.svg"] = svg.chart(f"Memory of opens at once, 64 MiB each, budget {BUDGET_MIB} MiB", "opens at once",
                                                "MiB", memory)
    ours, alone, theirs = [], [], []
    for _ in range(G7_ROUNDS):
        ours.append(opens.ours(bench.library, 10, BUDGET_MIB, 64))
        alone.append(opens.ours(bench.library, 10, 64, 64))
        theirs.append(opens.theirs(image, bench.passphrase, 10))
    cpu, wall = ({name: [f[key] for f in side] for name, side in (("ours", ours), ("alone", alone), ("theirs", theirs))}
                 for key in ("cpu_s", "wall_s"))
    bench.add_ratio("G7", "ten 64 MiB opens at once: processor time", cpu["ours"], cpu["theirs"], 4, more=", time "
                    f"{argon2.spread(argon2.ratios_of(wall['theirs'], wall['ours']))[1]}; one after the other "
                    f"{argon2.spread(argon2.ratios_of(cpu['theirs'], cpu['alone']))[0]:.2f}x, time "
                    f"{argon2.spread(argon2.ratios_of(wall['theirs'], wall['alone']))[0]:.2f}x")
    most, peak = BUDGET_MIB + 20, max(f["peak_mib"] for f in ours)
    bench.add("G7", "ten 64 MiB opens at once: peak of memory", f"<= {most} MiB", f"{peak:.0f} MiB (cryptsetup "
              f"{max(f['peak_mib'] for f in theirs):.0f})", peak <= most)
    many = {k: [] for k in (1, 2, 4, 8)}
    for _ in range(G7_ROUNDS):
        for k, runs in many.items():
            runs.append(opens.ours(bench.library, 100, 32 * k, 32))
    walls = {k: sorted(f["wall_s"] for f in runs)[G7_ROUNDS // 2] for k, runs in many.items()}
    share = min(walls[k] for k in walls if k != 8) / walls[8]
    bench.add("G7", f"100 opens of 32 MiB at once in {BUDGET_MIB} MiB: throughput", ">= 0.90 of the best fixed concurrency",
              f"{share:.2f}", share >= 0.9)
    overtaken, beside = max(f["overtaken"] for f in many[8]), len(os.sched_getaffinity(0)) - 1
    bench.add("G7", "100 opens at once: the most that overtook one", f"<= {beside}, those beside it", str(overtaken), overtaken <= beside)


def chart_time(bench):
    """Processor time, which is what the clock shows on an idle machine: one lane."""
    sides = {"cryptvol": [], "cryptsetup": []}
    for memory_mib in (32, 64, 128, 256, 512, 1024):
        arguments = ["open", "--test-passphrase", "-d", bench.passphrase, argon2_image(bench, memory_mib)]
        for points, cost in zip(sides.values(), bench.both(arguments, 3 if memory_mib < 512 else 1, warm_mib=memory_mib)):
            points.append((memory_mib, sorted(cost.cpu_us)[len(cost.cpu_us) // 2] / 1e6))
    bench.charts["open-time.svg"] = svg.chart("Unlock with argon2id, 4 passes, one lane", "MiB of memory", "seconds", sides)


def closure(program):
    """The program's file and those that the loader maps for it."""
    found = re.findall(r"(?:=> )?(/\S+) \(0x", run(["ldd", program]))
    return {os.path.realpath(path) for path in found + [program]}


def g8(bench):
    """What it must do as well: a header whose hash the dynamic command would load libcrypto for."""
    image = bench.blank("static")
    run([CRYPTSETUP, "luksFormat", "-q", "--hash", "ripemd160"] + CHEAP + [image, bench.passphrase])
    run([bench.static, "open", "--test-passphrase", "-d", bench.passphrase, image])
    ours, theirs = os.stat(bench.static).st_size, sum(os.stat(path).st_size for path in closure(CRYPTSETUP))
    bench.add("G8", "the command on disk, static, everything in", "<= 0.50 of cryptsetup's closure",
              f"{ours / theirs:.3f} ({ours / 1e6:.2f} of {theirs / 1e6:.2f} MB)", 2 * ours <= theirs)


def stored_cost(bench, program):
    image = bench.blank("cost")
    run([program, "luksFormat", "--type", "luks2", "-q", image, bench.passphrase])
    kdf = json.loads(run([bench.ours, "luksDump", "--dump-json-metadata", image]))["keyslots"]["0"]["kdf"]
    return tuple(kdf[name] for name in ("type", "time", "memory", "cpus"))


class Load:
    """Two busy processes a processor that also go through memory: what a neighbour does to a benchmark."""

    BUSY = f"b = bytearray({LOAD_BYTES})\nprint(flush=True)\nwhile True: b[:] = b[::-1]"

    def __enter__(self):
        self.processes = [subprocess.Popen([sys.executable, "-c", self.BUSY], stdout=subprocess.PIPE)
                          for _ in range(2 * os.cpu_count())]
        for p in self.processes:
            p.stdout.readline()

    def __exit__(self, *_):
        for p in self.processes:
            p.kill()
            p.wait()
            p.stdout.close()


def g9(bench):
    programs = (bench.ours, CRYPTSETUP)
    idle = [stored_cost(bench, p) for p in programs]
    with Load():
        loaded = [stored_cost(bench, p) for p in programs]

    def text(i):
        return "t={1} m={2}".format(*idle[i]) + " -> t={1} m={2}".format(*loaded[i])
    bench.add("G9", "default luksFormat's stored cost, idle -> loaded", "the same",
              f"{text(0)} (cryptsetup {text(1)})", idle[0] == loaded[0])


MEASURES = {"G1": g1, "unlock": unlock, "G2": g2, "G3": g3, "G4": g4, "G5": g5, "G6": g6, "G7": g7, "G8": g8, "G9": g9, "chart": chart_time}


HEAD = ["| # | figure | goal | measured | verdict |", "|---|---|---|---|---|"]


def table(rows, before=""):
    """Goals that weren't measured keep the rows that they had @before."""
    verdicts = {True: "met", False: "**not met**", None: "not measured"}
    lines = [f"| {r.goal} | {r.what} | {r.wanted} | {r.measured} | {verdicts[r.met]} |" for r in rows]
    measured = {r.goal for r in rows}
    lines += [line for line in before.splitlines()[len(HEAD):] if line.split("|")[1].strip() not in measured]
    return "\n".join(HEAD + sorted(lines, key=lambda line: line.split("|")[1])) + "\n"


def marked(text, name):
    """What is before, between and behind the markers of that name."""
    head, rest = text.split(f"<!-- {name} begin -->\n", 1)
    middle, tail = rest.split(f"<!-- {name} end -->", 1)
    return head, middle, tail


def write_marked(path, name, new):
    with open(path, encoding="utf-8") as f:
        head, _, tail = marked(f.read(), name)
    with open(path, "w", encoding="utf-8") as f:
        f.write(f"{head}<!-- {name} begin -->\n{new}<!-- {name} end -->{tail}")


def write_rows(path, rows):
    with open(path, encoding="utf-8") as f:
        before = marked(f.read(), "bench")[1]
    write_marked(path, "bench", table(rows, before))


def measure_driver():
    """The driver's table; None: not measured."""
    figures = csi.run_guest(CSI_ROUNDS)
    text = csi.table(figures) if figures else None
    print(text or "CSI: the guest came to no figures", flush=True)
    return text


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--ours", required=True, help="the command cryptvol")
    p.add_argument("--static", required=True, help="the command with all libraries in it")
    p.add_argument("--library", required=True, help="libcryptvol.so")
    p.add_argument("--ratio", required=True, help="the measuring program")
    p.add_argument("--bare", required=True, help="the program that only does device-mapper's ioctls")
    p.add_argument("--argon2", required=True, help="the program that measures argon2")
    p.add_argument("--write", help="put what was measured between this file's markers; other goals keep their rows")
    p.add_argument("only", nargs="*", choices=[[], *MEASURES, "CSI"], help="the goals to measure (all)")
    a = p.parse_args()
    with tempfile.TemporaryDirectory(prefix="cryptvol-bench-") as folder:
        bench = Bench((a.ours, a.static, a.library, a.ratio, a.argon2, a.bare), folder)
        for name, measure in MEASURES.items():
            if not a.only or name in a.only:
                measure(bench)
    print(f"{sum(r.met is True for r in bench.rows)} of {len(bench.rows)} figures reach their goal")
    driver = measure_driver() if not a.only or "CSI" in a.only else ""
    if a.write:
        write_rows(a.write, bench.rows)
        for name, text in bench.charts.items():
            with open(os.path.join(os.path.dirname(a.write), name), "w", encoding="utf-8") as f:
                f.write(text)
        if driver:
            write_marked(a.write, "csi", driver)
    return 0 if driver is not None and all(r.met is not None for r in bench.rows) else 1


if __name__ == "__main__":
    sys.exit(main())
