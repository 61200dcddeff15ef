#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Make a folder for run.py of the table of broken headers (tests/images/broken/cases.tsv).

usage: broken.py TEST_LUKS_BROKEN DIR

The unit test's binary applies the edits; the table's verdicts become sidecars, its reasons the
expected differences. What cryptsetup loads is LUKS to isLuks; what the table does not say (luksUUID) is only compared.
"""

import json
import os
import subprocess
import sys

TABLE = os.path.join(os.path.dirname(os.path.realpath(__file__)), "../images/broken/cases.tsv")
# Differences beyond the table's verdicts, in run.py's format.
MORE = os.path.join(os.path.dirname(os.path.realpath(__file__)), "broken-differences.tsv")


def main():
    program, folder = sys.argv[1:]
    os.makedirs(folder, exist_ok=True)
    subprocess.run([program, "--write", folder], check=True)
    rules = []
    with open(TABLE, encoding="utf-8") as table:
        for line in table:
            if not line.strip() or line.startswith(("#", "name\t")):
                continue
            name, _, _, ours, _, theirs, reason = (line.rstrip("\n").split("\t") + [""] * 7)[:7]
            loads = ours.split()[0] == "OK"
            side = {"about": "case of the table of broken headers",
                    "expect": {"is_luks": True if loads or theirs == "ok" and not reason else None, "dump": loads, "open": None}}
            with open(os.path.join(folder, name + ".json"), "w", encoding="utf-8") as f:
                json.dump(side, f)
            if reason:
                rules += ["%s\t%s\tstatus *\t*\t%s\n" % (name, check, reason)
                          for check in ("isLuks", "luksUUID", "luksDump", "metadata")]
    with open(os.path.join(folder, "expected-differences.tsv"), "w", encoding="utf-8") as f:
        f.writelines(rules)
        with open(MORE, encoding="utf-8") as more:
            f.write(more.read())


if __name__ == "__main__":
    main()
