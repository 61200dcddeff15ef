# SPDX-License-Identifier: Apache-2.0
"""The CSI driver beside the shell pipeline that other drivers run, in one guest: a table from csi_guest.py's figures."""
import json
import os
import statistics
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
MIB = 1 << 20
NONE = "–"


def run_guest(rounds):
    """The figures, or None where the guest didn't come to them."""
    done = subprocess.run(
        [os.path.join(HERE, "..", "lab", "kernel-run"), "-m", "2048M", "-t", "1500", "-M", "loop xfs", "--",
         os.path.join(HERE, "csi_guest.sh"), str(rounds)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    for line in done.stdout.splitlines():
        if line.startswith("figures "):
            return json.loads(line.removeprefix("figures "))
    print(done.stdout[-2000:], file=sys.stderr)
    return None


def middle(runs, *steps):
    """Median of a step's seconds, or of the sum of several."""
    return statistics.median(sum(r.get(s, 0) for s in steps) for r in runs)


def ms(seconds):
    return f"{seconds * 1000:.0f} ms" if seconds >= 0.01 else f"{seconds * 1000:.1f} ms"


def mib(n):
    return f"{n / MIB:.0f} MiB"


def compared(what, ours, theirs, text=ms):
    return what, text(ours), text(theirs), f"{theirs / ours:.1f}x"


def stage_rows(what, ours, theirs, steps):
    yield compared(f"**{what}**", middle(ours, "all"), middle(theirs, "all"))
    for name, mine, others in steps:
        yield name, ms(middle(ours, mine)), ms(middle(theirs, *others)) if others else NONE, ""


def rows(f):
    ours, theirs = f["single"]["ours"], f["single"]["theirs"]
    yield from stage_rows("NodeStageVolume, new volume", ours["new"], theirs["new"], [
        ("two key derivations (luksFormat and open have one each)", "kdf", ()),
        ("header and key (luksFormat, open: with theirs, and the mapping)", "open", ("luksFormat", "open")),
        ("kernel: the mapping", "kernel", ()),
        ("mkfs.ext4", "mkfs", ("mkfs",)),
        ("mount (ours: the proof of blankness first)", "mount", ("mount",)),
        ("loop device, records, the call itself", "rest", ())])
    yield from stage_rows("NodeStageVolume, volume with data", ours["again"], theirs["again"], [
        ("key derivation", "kdf", ()),
        ("header and key (open: with the derivation and the mapping)", "open", ("open",)),
        ("kernel: the mapping", "kernel", ()),
        ("mount", "mount", ("mount",)),
        ("loop device, records, the call itself", "rest", ())])
    yield from stage_rows("NodeUnstageVolume", ours["unstage"], theirs["unstage"], [
        ("kernel: the mapping (close: as a program)", "kernel", ("close",))])
    for verb, what in (("new", "new ones"), ("again", "with data")):
        a, b = f["at_once"]["ours"][verb], f["at_once"]["theirs"][verb]
        yield compared(f"**ten volumes at once, {what}**: until all are staged", a["all"], b["all"])
        yield compared("processor time, mkfs and the like included", a["cpu"], b["cpu"])
        if verb == "again":
            yield compared("peak of memory", a["peak"], b["peak"], mib)
    for key, what in (("fresh", "after its start"), ("rest", "after all of this")):
        yield f"**daemon at rest**, {what}: RSS / PSS", f"{mib(f[key]['rss'])} / {mib(f[key]['pss'])}", NONE, ""
    yield "**daemon's start**, until its socket answers", ms(statistics.median(f["start"])), NONE, ""


def table(figures):
    lines = ["| figure | driver | pipeline | ratio |", "|---|---|---|---|"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows(figures)]) + "\n"
