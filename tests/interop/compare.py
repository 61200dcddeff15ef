#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Compare what two programs say of the same volume, or of two volumes made alike.

usage: compare.py json|status|dump SITUATION FILE FILE
       compare.py LIST
LIST has a comparison a line, tab-separated: kind, situation, file, file, name; a line "ok NAME" or
"FAIL NAME: what differs" comes out for each.

SITUATION is "same" (two readings of one volume: equal but for rules of situation "same" or "*") or
"alike" (two volumes from the same options). What may differ is data: expected-differences.tsv, columns
kind, situation, path (shell pattern), rule, why. Rule "ignore" takes the value out; PATTERN => TEXT
replaces what the regular expression matches in the value, on both sides.
"""

import fnmatch
import json
import os
import re
import sys

RULES = os.path.join(os.path.dirname(os.path.realpath(__file__)), "expected-differences.tsv")


def flatten(value, path, out):
    """Leaves of a JSON value by their path; the order of members counts."""
    if isinstance(value, dict):
        out[path + "{}"] = " ".join(value)
        for name, child in value.items():
            flatten(child, (path + "." + name).lstrip("."), out)
    elif isinstance(value, list):
        out[path + "[]"] = str(len(value))
        for i, child in enumerate(value):
            flatten(child, "%s.%d" % (path, i), out)
    else:
        out[path] = json.dumps(value)


def read_json(text):
    out = {}
    flatten(json.loads(text), "", out)
    return out


def read_status(text):
    """`  field:   value` lines; the first line (is active ...) is field "state"."""
    out = {}
    for line in text.splitlines():
        field, colon, value = line.strip().partition(":")
        if colon:
            out[field] = " ".join(value.split())
        elif line.strip():
            out["state"] = " ".join(line.split())
    return out


def read_dump(text):
    """luksDump's lines, each at its place, blanks made one."""
    lines = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
    return {"%d %s" % (i, line.split(":")[0]): line for i, line in enumerate(lines)}


READERS = {"json": read_json, "status": read_status, "dump": read_dump}


def load_rules(kind, situation):
    rules = []
    with open(RULES, encoding="utf-8") as f:
        for line in f:
            if not line.strip() or line.startswith("#"):
                continue
            of_kind, when, path, rule, _ = line.rstrip("\n").split("\t")
            if of_kind == kind and when in (situation, "*"):
                rules.append((path, rule))
    return rules


def apply(rules, values):
    out = {}
    for path, value in values.items():
        for pattern, rule in rules:
            if not fnmatch.fnmatchcase(path, pattern):
                continue
            if rule == "ignore":
                value = None
                break
            old, new = rule.split(" => ") if " => " in rule else (rule.removesuffix(" =>"), "")
            value = re.sub(old, new, value)
        if value is not None:
            out[path] = value
    return out


def compare(kind, situation, files):
    """Returns what differs, a line each; empty if nothing."""
    rules = load_rules(kind, situation)
    sides = []
    for path in files:
        try:
            with open(path, encoding="utf-8") as f:
                sides.append(apply(rules, READERS[kind](f.read())))
        except (OSError, ValueError) as e:
            return ["%s: %s" % (path, e)]
    if not sides[0]:
        return ["%s: nothing to compare" % files[0]]
    paths = list(sides[0]) + [p for p in sides[1] if p not in sides[0]]
    return ["%s: %s / %s" % (p, sides[0].get(p, "(absent)"), sides[1].get(p, "(absent)"))
            for p in paths if sides[0].get(p) != sides[1].get(p)]


def main():
    if len(sys.argv) > 2:
        different = compare(sys.argv[1], sys.argv[2], sys.argv[3:])
        print("\n".join(different), end="\n" if different else "")
        return 1 if different else 0
    failed = False
    with open(sys.argv[1], encoding="utf-8") as f:
        for line in f:
            kind, situation, one, two, name = line.rstrip("\n").split("\t")
            different = compare(kind, situation, (one, two))
            failed |= bool(different)
            print("FAIL %s: %s" % (name, "; ".join(different)) if different else "ok " + name)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
