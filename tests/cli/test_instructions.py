#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 200
"""Instructions of the small commands, loader included, against tests/cli/instructions.tsv: more than 15 % over fails. With --write the
table is made anew (make instructions)."""
import os
import re
import shutil
import subprocess
import sys
import tempfile

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CRYPTVOL = os.environ.get("CRYPTVOL", os.path.join(TOP, "obj/cryptvol"))
TABLE = os.path.join(TOP, "tests/cli/instructions.tsv")
OVER = 1.15  # what compilers and versions of libc make of the same source stays below
UNDER = 0.80  # then the table no longer guards anything
CHEAP = ["--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"]
COMMANDS = {
    "--version": ["--version"],
    "isLuks": ["isLuks", "IMAGE"],
    "luksUUID": ["luksUUID", "IMAGE"],
    "luksDump": ["luksDump", "IMAGE"],
    "status": ["status", "no-such-volume"],
    "open --test-passphrase": ["open", "--test-passphrase", "-d", "KEY", "IMAGE"],
}


def count(arguments, folder):
    """None where callgrind came to no figure."""
    paths = {"IMAGE": os.path.join(folder, "image"), "KEY": os.path.join(folder, "key")}
    done = subprocess.run(
        ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", os.path.join(folder, "cryptvol")] + [paths.get(a, a) for a in arguments],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        env={"PATH": os.environ["PATH"], "LC_ALL": "C"})
    found = re.search(r"Collected : (\d+)", done.stdout)
    return int(found[1]) if found else None


def measure(folder):
    # stripped, since valgrind can't read all that compilers write for debuggers
    subprocess.run(["strip", "-o", os.path.join(folder, "cryptvol"), CRYPTVOL], check=True)
    with open(os.path.join(folder, "image"), "wb") as f:
        f.truncate(20 << 20)
    with open(os.path.join(folder, "key"), "w", encoding="ascii") as f:
        f.write("count")
    subprocess.run([CRYPTVOL, "luksFormat", "-q"] + CHEAP + [f.name.replace("key", "image"), f.name], check=True)
    return {name: count(arguments, folder) for name, arguments in COMMANDS.items()}


def read_table():
    with open(TABLE, encoding="ascii") as f:
        return {name: int(n) for name, n in (line.rstrip("\n").split("\t") for line in f if line[0] != "#")}


def write_table(counts):
    with open(TABLE, "w", encoding="ascii") as f:
        f.write("# Instructions of a command, the dynamic loader's among them, under valgrind (with AVX2, as it shows it to the program).\n"
                "# Written by `make instructions`, held by tests/cli/test_instructions.py.\n")
        f.writelines(f"{name}\t{n}\n" for name, n in counts.items())


def verdict(n, before):
    """A sentence, or None where all is well."""
    if n is None or before is None:
        return "no figure" if n is None else "no row in the table"
    if n > before * OVER:
        return f"{n} instructions, {n / before - 1:.0%} more than {before}"
    if n < before * UNDER:
        return f"{n} instructions, {1 - n / before:.0%} less than {before}: make instructions"
    return None


def judge(counts, table):
    bad = {name: verdict(n, table.get(name)) for name, n in counts.items()}
    for name, why in bad.items():
        print(f"FAIL instructions of {name}: {why}" if why else f"ok instructions of {name} ({counts[name]}, {counts[name] / table[name] - 1:+.1%})")
    return not any(bad.values())


def judges_itself():
    fine = (verdict(114, 100) is None and verdict(116, 100) and verdict(79, 100) and verdict(None, 100) and verdict(1, None))
    print("ok instructions_selftest" if fine else "FAIL instructions_selftest: a count too high passes")
    return bool(fine)


def main():
    if not shutil.which("valgrind"):
        print("SKIP instructions: no valgrind")
        return 77
    with tempfile.TemporaryDirectory(prefix="cryptvol-count-") as folder:
        counts = measure(folder)
    if sys.argv[1:] == ["--write"]:
        write_table(counts)
        return 0
    own = judges_itself()
    return 0 if judge(counts, read_table()) and own else 1


if __name__ == "__main__":
    sys.exit(main())
