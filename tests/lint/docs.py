#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The documents by themselves: links and anchors lead somewhere, and the program that operations.md gives for a restore with nothing but
Python restores what `cryptvol backup` wrote."""
import glob
import os
import re
import subprocess
import sys
import tempfile

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CRYPTVOL = os.environ.get("CRYPTVOL", os.path.join(TOP, "obj/cryptvol"))


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def anchors(text):
    """As they are made of headings."""
    heads = [re.sub(r"[^\w\- ]", "", h.strip().lower()).replace(" ", "-") for h in re.findall(r"^#+ (.*)$", text, re.M)]
    return set(heads)


def check_links(pages):
    """pages: path -> text"""
    bad, seen = [], 0
    for path, text in pages.items():
        for target, anchor in re.findall(r"\]\(([^)#\s]*)(?:#([^)\s]+))?\)", text):
            if "://" in target:
                continue
            seen += 1
            other = os.path.normpath(os.path.join(os.path.dirname(path), target)) if target else path
            if not os.path.exists(os.path.join(TOP, other)):
                bad.append(f"{path}: {target} isn't there")
            elif anchor and anchor not in anchors(pages.get(other, "")):
                bad.append(f"{path}: {target}#{anchor}: there is no such heading")
    return bad if seen > 20 else bad + ["hardly a link was found"]


def restore_program(text):
    """The indented block that begins with its usage."""
    lines = text[text.index("    import hashlib, json, sys"):].split("\n")
    end = next(i for i, line in enumerate(lines) if not line.startswith("    "))
    return "\n".join(line[4:] for line in lines[:end]) + "\n"


def check_restore(program):
    with tempfile.TemporaryDirectory() as folder:
        def at(name):
            return os.path.join(folder, name)
        with open(at("volume.img"), "wb") as f:
            f.truncate(5 << 20)
            for offset in (0, 2 << 20, (5 << 20) - 4096):
                f.seek(offset)
                f.write(os.urandom(4096))
        with open(at("restore.py"), "w", encoding="utf-8") as f:
            f.write(program)
        for command in ([CRYPTVOL, "backup", "--init", at("store")],
                        [CRYPTVOL, "backup", at("volume.img"), at("store"), "--volume=v", "--name=one"],
                        [sys.executable, at("restore.py"), at("store"), "v", "one", at("out.img")]):
            p = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
            if p.returncode:
                return [f"{' '.join(command)}: {p.stdout.decode(errors='replace').splitlines()[-1:]}"]
        with open(at("volume.img"), "rb") as a, open(at("out.img"), "rb") as b:
            return [] if a.read() == b.read() else ["the restored image differs"]


failed = False


def report(name, bad):
    global failed
    failed = failed or bool(bad)
    print(f"{'FAIL' if bad else 'ok'} {name}" + (": " + "; ".join(bad) if bad else ""))


def main():
    os.chdir(TOP)
    pages = {p: read(p) for p in [*glob.glob("*.md"), *glob.glob("docs/**/*.md", recursive=True)]}
    report("links and anchors of the documents", check_links(pages))
    for what, text in (("a file that isn't there", "[x](docs/none.md)"), ("a heading that isn't there", "[x](README.md#none)")):
        report(f"refused: {what}", [] if len(check_links({**pages, "x.md": text})) == 1 else ["it passed"])
    if not os.access(CRYPTVOL, os.X_OK):
        print(f"SKIP the restore by hand: {CRYPTVOL} isn't built")
        return 1 if failed else 0
    program = restore_program(read("docs/csi/operations.md"))
    report("the restore by hand restores a backup", check_restore(program))
    broken = program.replace('number * manifest["block"]', 'number * 4096')
    report("refused: a restore to the wrong places", [] if broken != program and check_restore(broken) else ["it passed"])
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
