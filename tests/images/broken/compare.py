#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Show each broken header of cases.tsv to cryptsetup, and hold its verdict against the table.

  compare.py TEST_LUKS_BROKEN     (the unit test's binary; run from the top of the tree)

Column 6 is cryptsetup's verdict on luksDump ("ok" or "refused"), column 7 why ours differs. A header
that we load and cryptsetup refuses is a fault; one that cryptsetup loads and we refuse needs a
reason. Exit 0, 1, or 77 without cryptsetup.
"""

import os
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))


def cases():
    with open(os.path.join(HERE, "cases.tsv"), encoding="utf-8") as table:
        for line in table:
            line = line.rstrip("\n")
            if line and not line.startswith("#"):
                yield (line.split("\t") + [""] * 7)[:7]


def verdict(image):
    """On a copy: luksDump recovers a damaged one."""
    run = subprocess.run(["cryptsetup", "luksDump", image], stdin=subprocess.DEVNULL, timeout=60,
                         stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
    return "ok" if run.returncode == 0 else "refused"


def judge(name, ours, theirs, expected, reason):
    """What is wrong with a row, or None."""
    loads = ours.split()[0] == "OK"
    if theirs != expected:
        return f"cryptsetup: {theirs}, the table says {expected or 'nothing'}"
    if loads and theirs == "refused" and not reason:
        return "we load what cryptsetup refuses"
    if not loads and theirs == "ok" and not reason:
        return "we refuse what cryptsetup loads, and the table gives no reason"
    if loads == (theirs == "ok") and reason:
        return "a reason where nothing differs"
    return None


def main():
    if not shutil.which("cryptsetup"):
        print("SKIP broken headers against cryptsetup: it isn't installed")
        return 77
    bad = differ = count = 0
    with tempfile.TemporaryDirectory() as work:
        subprocess.run([sys.argv[1], "--write", work], check=True)
        for name, _, _, ours, _, expected, reason in cases():
            image = os.path.join(work, name + ".img")
            theirs = verdict(image)
            os.unlink(image)
            wrong = judge(name, ours, theirs, expected, reason)
            count += 1
            differ += bool(reason)
            if wrong:
                bad += 1
                print(f"FAIL {name}: {wrong}")
    print(f"{'FAIL' if bad else 'ok'} broken headers against cryptsetup: {count} headers, "
          f"{differ} expected differences, {bad} faults")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
