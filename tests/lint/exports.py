#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Names: a face's functions have their room's prefix; the library exports just what include/cryptvol.h declares, and keeps it.

exports.py [--write]: src/libcryptvol.abi has the promise as it was last written down: prototypes, constants and the major number
that they belong to. A prototype that went or changed under the same major number is an error; --write takes down what is new.
Structs are opaque, so prototypes and constants are all that a program's binary depends on.
"""
import glob
import os
import re
import subprocess
import sys

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
HEADER = "include/cryptvol.h"
ABI = "src/libcryptvol.abi"
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
ABI_HEAD = """# SPDX-License-Identifier: Apache-2.0
# What a program that links libcryptvol depends on, by tests/lint/exports.py --write.
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


def declared_in(header):
    with open(os.path.join(TOP, header), encoding="utf-8") as f:
        text = re.sub(r"#ifdef __cplusplus.*?#endif", "", f.read(), flags=re.S)
    return declared(text.replace("CRYPTVOL_API ", ""))


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


def promise():
    """The prototypes and constants of the public header, one a line, without names of parameters that wrap differently."""
    with open(os.path.join(TOP, HEADER), encoding="utf-8") as f:
        text = COMMENT.sub(" ", f.read())
    lines = [" ".join(m.split()) for m in re.findall(r"^#define (CRYPTVOL_\w+ [^\n]+)$", text, re.M) if "CRYPTVOL_API" not in m]
    lines += [" ".join(m.split()) for m in re.findall(r"^CRYPTVOL_API\s+([^;{]+);", text, re.M)]
    return lines


def soversion():
    with open(os.path.join(TOP, "Makefile"), encoding="utf-8") as f:
        return re.search(r"^SOVERSION := (\d+)$", f.read(), re.M).group(1)


def check_abi(lines, write):
    path, mark = os.path.join(TOP, ABI), "soversion "
    with open(path, encoding="utf-8") as f:
        old = [line for line in f.read().splitlines() if line and not line.startswith("#")]
    if old and old[0] == mark + soversion():
        errors.extend(f"{HEADER}: '{line}' went or changed: that takes another SOVERSION" for line in old[1:] if line not in lines)
    if write and not errors:
        with open(path, "w", encoding="utf-8") as f:
            f.write(ABI_HEAD + "\n".join([mark + soversion()] + lines) + "\n")
    elif not write and (old[:1] != [mark + soversion()] or set(lines) - set(old)):
        errors.append(f"{ABI}: not up to date; run tests/lint/exports.py --write")


def names_of(lines):
    return [re.search(r"(\w+)\s*\(", line).group(1) for line in lines if "(" in line and not line.startswith("CRYPTVOL_")]


def symbols(path, *flags):
    out = subprocess.run(["nm", "-g", "--defined-only", *flags, path], capture_output=True, text=True, check=True).stdout
    return {line.split()[2].split("@")[0] for line in out.splitlines() if len(line.split()) == 3} - {"CRYPTVOL_0"}


def check_library(path, want, *flags):
    if not os.path.exists(path):
        errors.append(f"{path} isn't there; run make")
        return
    found = symbols(path, *flags)
    errors.extend(f"{path}: exports {n}, which {HEADER} doesn't declare" for n in sorted(found - want))
    errors.extend(f"{path}: {n} is declared but not exported" for n in sorted(want - found))


def main():
    selftest()
    functions = read_faces()
    lines = promise()
    names = names_of(lines)
    errors.extend(f"{HEADER}: {n} doesn't begin with cryptvol_" for n in names if not n.startswith("cryptvol_"))
    errors.extend(f"{HEADER}: {n} has no CRYPTVOL_API" for n in set(declared_in(HEADER)) - set(names))
    check_abi(lines, "--write" in sys.argv[1:])
    build = os.environ.get("BUILD", os.path.join(TOP, "obj"))
    check_library(f"{build}/libcryptvol.so", set(names), "-D")
    check_library(f"{build}/libcryptvol.a", set(names))
    for e in errors:
        print(f"    {e}")
    n = sum(map(len, functions.values()))
    print(f"ok names_match ({len(names)} public functions, {n} of the rooms)" if not errors
          else f"FAIL names_match: {len(errors)} differences")
    sys.exit(1 if errors else 0)


if __name__ == "__main__":
    main()
