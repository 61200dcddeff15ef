# SPDX-License-Identifier: Apache-2.0
"""argon2id beside libargon2's: what argon2.c measured, as ratios."""
import subprocess

# goal, by core: without SIMD it is the plain C's, and NEON has none of its own
GOALS = {"avx512": 3.0, "avx2": 2.5, "neon": 1.4, "portable": 1.4}
MEMORY_ROUNDS = {64: 9, 256: 5, 1024: 3}
LANES = (1, 2, 4)
HUGE_PAGES = "/sys/kernel/mm/transparent_hugepage/enabled"


def huge_pages():
    """The machine's setting: always, madvise or never."""
    try:
        with open(HUGE_PAGES, encoding="ascii") as f:
            return f.read().split("[")[1].split("]")[0]
    except (OSError, IndexError):
        return "unknown"


def spread(ratios, unit="x"):
    """The middle one, and text: with what a tenth of the rounds is below and above."""
    ratios = sorted(ratios)
    tenth = len(ratios) // 10
    middle = ratios[len(ratios) // 2]
    return middle, f"{middle:.2f}{unit} ({ratios[tenth]:.2f} to {ratios[-1 - tenth]:.2f})"


def ratios_of(theirs, ours):
    """Of neighbours in time."""
    return [t / o for t, o in zip(theirs, ours)]


def best_goal(program):
    """Of the fastest core that this processor runs."""
    out = subprocess.run([program, "1", "1", "1"], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True).stdout
    return max(GOALS.get(line.split()[1], 0) for line in out.splitlines())


def measure(program, memory_mib, lanes):
    """{core or library: [(processor time ratio, time ratio) of each round]}"""
    out = subprocess.run([program, str(memory_mib), str(lanes), str(MEMORY_ROUNDS[memory_mib])], check=True,
                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True).stdout
    ratios, theirs = {}, None
    for line in out.splitlines():
        _, name, *cost = line.split()
        cost = [int(c) for c in cost]
        if name == "libargon2":
            theirs = cost
        else:
            ratios.setdefault(name, []).append(tuple(t / o for t, o in zip(theirs, cost)))
    return ratios


def rows(program):
    """(what, goal, measured, met) for each core, memory and number of lanes."""
    for memory_mib in MEMORY_ROUNDS:
        for lanes in LANES:
            measured = measure(program, memory_mib, lanes)
            others = [f"{name.replace('-', ' ')} {spread([r[0] for r in measured[name]])[0]:.2f}x" for name in measured if name not in GOALS]
            for core in (name for name in measured if name in GOALS):
                cpu, cpu_text = spread([r[0] for r in measured[core]])
                _, wall_text = spread([r[1] for r in measured[core]])
                yield (f"argon2id, {memory_mib} MiB, p={lanes}, {core}", GOALS[core],
                       ", ".join([cpu_text, f"time {wall_text}"] + others), cpu >= GOALS[core])
