#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Each box of the format's checklist has a test that names it: boxes.tsv lists them, and each function that it names is there, is
run, and carries its section in its name; and each test that carries one is listed.

boxes.py [CHECKLIST]: with the checklist itself, its boxes are counted too."""
import glob
import os
import re
import sys

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TABLE = "tests/lint/boxes.tsv"
BOXES = {"2.1": 5, "2.2": 6, "2.3": 6, "2.4": 6, "2.5": 9, "2.7": 9, "2.11": 6}  # sections 2.6 and 2.8 are prose
NOT_OURS = "box_2_10_"  # LUKS1


def read(path):
    with open(os.path.join(TOP, path), encoding="utf-8") as f:
        return f.read()


def rows():
    for line in read(TABLE).splitlines():
        if line and not line.startswith("#"):
            box, words, tests = line.split("\t")
            yield box.rpartition(".")[0], box, words, tests.split()


def check_test(test):
    """What is wrong with one test of the table."""
    name, _, function = test.partition(":")
    if name.endswith(".py"):
        text = read("tests/" + name)
        return "" if len(re.findall(rf"\b{function}\(", text)) > 1 else "is not defined and called there"
    if not function.startswith("box_2_"):
        return "doesn't carry a section in its name"
    path = f"tests/unit/test_{name}.c"
    if not os.path.exists(os.path.join(TOP, path)):
        return f"there is no {path}"
    text = read(path)
    if not re.search(rf"^static void {function}\(", text, re.M):
        return "is not defined there"
    return "" if re.search(rf"\bRUN(_CASE)?\([^;]*\b{function}\b", text) else "is not run there"


def errors_of(table):
    errors, counts, named = [], {}, set()
    for section, box, words, tests in table:
        if not words.startswith("(no box)"):
            counts[section] = counts.get(section, 0) + 1
        if not tests:
            errors.append(f"{box}: no test")
        for test in tests:
            named.add(test.partition(":")[2])
            why = check_test(test)
            if why:
                errors.append(f"{box}: {test} {why}")
    if counts != BOXES:
        errors.append(f"boxes are {counts}, not {BOXES}")
    for path in sorted(glob.glob(os.path.join(TOP, "tests/unit/test_*.c"))):
        for function in re.findall(r"^static void (box_\w+)\(", read(path), re.M):
            if function not in named and not function.startswith(NOT_OURS):
                errors.append(f"{os.path.basename(path)}: {function} is not in {TABLE}")
    return errors


def checklist_errors(path):
    counts, section = {}, None
    with open(path, encoding="utf-8") as f:
        for line in f:
            title = re.match(r"#+ (2\.\d+)\b", line)
            section = title[1] if title else section
            if line.startswith("- [ ]"):
                counts[section] = counts.get(section, 0) + 1
    return [] if counts == BOXES else [f"{path} has {counts}"]


def main():
    table = list(rows())
    errors = errors_of(table)
    if len(sys.argv) > 1:
        errors += checklist_errors(sys.argv[1])
    # The check can fail: a row less, a test that isn't run, one that isn't there.
    for spoilt in (table[1:], [(s, b, w, ["luks_area:put_slot"]) for s, b, w, _ in table[:1]] + table[1:],
                   [(s, b, w, ["luks_area:box_2_1_nonesuch"]) for s, b, w, _ in table[:1]] + table[1:]):
        if not errors_of(spoilt):
            errors.append("selftest: a spoilt table passes")
    for line in errors:
        print(f"FAIL checklist_boxes: {line}")
    if not errors:
        print(f"ok checklist_boxes ({sum(BOXES.values())} boxes)")
    return 1 if errors else 0


sys.exit(main())
