#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The library exports just the functions that the faces declare, and each has its room's prefix.

exports.py [--write] [LIBRARY.so]: --write makes src/libcryptvol.map anew; with a library its dynamic
symbols are held against the list too.
"""
import glob
import os
import re
import subprocess
import sys

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MAP = "src/libcryptvol.map"
# face -> prefixes of its functions; a face that isn't here belongs to a program, not to the library
PREFIXES = {
    "base": ("base_", "io_", "log_", "text_"), "err": ("err_",), "secret": ("secret_",), "crypto": ("crypto_",),
    "luks": ("luks_",), "dm": ("dm_",), "keyring": ("keyring_",), "block": ("block_",), "fs": ("fs_",), "mount": ("fs_",),
    "volume": ("volume_",), "backup": ("backup_",),
}
PROGRAM_FACES = {"backend"}
COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.S)
# ... name(parameters) [attributes];   at the outermost level
DECLARATION = re.compile(r"(?:^|[\s*])([a-z_][a-z0-9_]*)\s*\((?!\*)")
HEAD = """# SPDX-License-Identifier: Apache-2.0
# What libcryptvol exports: the functions of include/cryptvol/, by tests/lint/exports.py --write.
"""

errors = []


def outermost(text):
    """The text without bodies: of structs, enums and inline functions."""
    out, depth = [], 0
    for c in text:
        if c == "{":
            depth += 1
        elif c == "}":
            depth -= 1
            if depth == 0:
                out.append(";" if not re.search(r"\b(struct|enum|union)\b[^;]*$", "".join(out)) else " ")
        elif depth == 0:
            out.append(c)
    return "".join(out)


def declared(text):
    """Names of the functions that a header declares and doesn't define."""
    text = COMMENT.sub(" ", text)
    text = re.sub(r"\\\n", " ", text)
    text = re.sub(r"(?m)^\s*#.*$", "", text)
    text = re.sub(r"__attribute__\s*\(\((?:[^()]|\([^()]*\))*\)\)", " ", text)
    names = []
    for statement in outermost(text).split(";"):
        statement = " ".join(statement.split())
        if not statement or re.match(r"(static|typedef|extern \")", statement):
            continue
        found = DECLARATION.search(statement)
        if found:
            names.append(found.group(1))
    return names


def selftest():
    sample = """
#define A(x) \\
	wrong(x)
struct s { int (*call)(int); };
enum e { ONE };
/** doc - text (more); */
int one(int a, void (*f)(int), struct err *e) __attribute__((format(printf, 1, 2)));
static inline int no(void)
{
	return call();
}
const char *two(enum e x);
void three(struct s *p); // no(four)
typedef int t;
unsigned int five(void);
"""
    want = ["one", "two", "three", "five"]
    got = declared(sample)
    if got != want:
        print(f"FAIL exports_selftest: {got}, not {want}")
        sys.exit(1)
    print("ok exports_selftest")


def read_faces():
    functions = {}
    for path in sorted(glob.glob(os.path.join(TOP, "include/cryptvol/*.h"))):
        face = os.path.basename(path)[:-2]
        if face in PROGRAM_FACES:
            continue
        if face not in PREFIXES:
            errors.append(f"include/cryptvol/{face}.h: a face that {os.path.basename(__file__)} doesn't know")
            continue
        with open(path, encoding="utf-8") as f:
            for name in declared(f.read()):
                if not name.startswith(PREFIXES[face]):
                    errors.append(f"include/cryptvol/{face}.h: {name} has not the prefix {' or '.join(PREFIXES[face])}")
                functions.setdefault(face, []).append(name)
    return functions


def map_text(functions):
    lines = [HEAD, "CRYPTVOL_0 {\nglobal:\n"]
    for face in PREFIXES:
        if face in functions:
            lines += [f"\t# {face}.h\n"] + [f"\t{name};\n" for name in functions[face]]
    return "".join(lines) + "local:\n\t*;\n};\n"


def check_map(functions):
    with open(os.path.join(TOP, MAP), encoding="utf-8") as f:
        text = re.sub(r"#[^\n]*", "", f.read())
    part = re.search(r"global:(.*?)local:\s*\*;", text, re.S)
    if not part:
        errors.append(f"{MAP}: has no 'global: ... local: *;'")
        return
    listed = [n.strip() for n in part.group(1).split(";") if n.strip()]
    want = {n for names in functions.values() for n in names}
    errors.extend(f"{MAP}: {n} is declared but not exported" for n in sorted(want - set(listed)))
    errors.extend(f"{MAP}: {n} is exported but not declared" for n in sorted(set(listed) - want))
    errors.extend(f"{MAP}: {n} is listed twice" for n in sorted({n for n in listed if listed.count(n) > 1}))


def check_library(path, functions):
    out = subprocess.run(["nm", "-D", "--defined-only", path], capture_output=True, text=True, check=True).stdout
    found = {line.split()[2].split("@")[0] for line in out.splitlines() if len(line.split()) == 3} - {"CRYPTVOL_0"}
    want = {n for names in functions.values() for n in names}
    errors.extend(f"{path}: exports {n}, which no face declares" for n in sorted(found - want))
    errors.extend(f"{path}: {n} is declared but not defined" for n in sorted(want - found))


def main():
    selftest()
    functions = read_faces()
    args = sys.argv[1:]
    if args and args[0] == "--write":
        args = args[1:]
        with open(os.path.join(TOP, MAP), "w", encoding="utf-8") as f:
            f.write(map_text(functions))
    check_map(functions)
    for path in args:
        check_library(path, functions)
    for e in errors:
        print(f"    {e}")
    n = sum(map(len, functions.values()))
    print(f"ok exports_match ({n} functions)" if not errors else f"FAIL exports_match: {len(errors)} differences")
    sys.exit(1 if errors else 0)


if __name__ == "__main__":
    main()
