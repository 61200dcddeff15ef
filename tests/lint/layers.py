#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Holds the arrows of docs/ARCHITECTURE.md: which room may include which face, and who may call the kernel."""
import os
import re
import sys

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BASE = {"base", "err", "secret"}
# room -> faces (include/cryptvol/<name>.h) that its sources may include
MAY = {
    "base": BASE,
    "crypto": BASE | {"crypto"},
    "luks": BASE | {"crypto", "luks"},
    "dm": BASE | {"crypto", "dm"},
    "keyring": BASE | {"keyring"},
    "block": BASE | {"block"},
    "fs": BASE | {"fs", "mount"},
    "backup": BASE | {"backup", "crypto"},
    "backend": BASE | {"backend", "backup", "block", "crypto", "mount"},
    "csi": BASE | {"backend", "backup", "block", "crypto", "dm", "fs", "keyring", "luks", "mount", "volume"},
    "volume": BASE | {"crypto", "luks", "dm", "keyring", "block", "fs", "volume"},
    "api": BASE | {"crypto", "luks", "volume", "dm"},
    "tools": BASE | {"backup", "crypto", "luks", "fs", "volume", "dm"},
}
# faces include faces
FACE_MAY = {
    "base": {"err", "secret"}, "err": set(), "secret": set(), "crypto": set(), "luks": {"crypto"}, "dm": {"crypto"},
    "keyring": set(), "block": set(), "fs": set(), "mount": set(), "backend": set(), "backup": set(), "volume": {"crypto", "dm", "luks"},
}
# call -> rooms that may make it (tools: the terminal's and its own processes' business)
CALLS = {
    "ioctl": {"dm", "block", "fs", "base", "backend"},
    "keyctl": {"keyring"}, "add_key": {"keyring"},
    "mount": {"fs"}, "umount2": {"fs"},
    "mknod": {"dm"}, "mknodat": {"dm"},
    "json_object_": {"luks", "tools", "csi"},
    "sqlite3_": {"backend"},
    "printf": {"tools"}, "fprintf": {"tools", "csi"}, "puts": {"tools"}, "perror": {"tools"}, "exit": {"tools"}, "abort": set(),
    "_exit": {"tools", "dm", "fs", "csi"},
}
BANNED = ("strcpy", "strcat", "sprintf", "gets", "alloca", "system", "popen", "strtok", "atoi", "atol")
# how docs/ARCHITECTURE.md spells a room's faces, where it isn't by the room's name
FACES = {"fs": {"fs", "mount"}}
DOC = "docs/ARCHITECTURE.md"
INCLUDE = re.compile(r'^\s*#\s*include\s+[<"]([^>"]+)[>"]', re.M)
ROOM_PATH = r"(?:src/)?(base|crypto|luks|dm|keyring|block|fs|volume|csi|backend|backup|api)/"
COMMENT = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\])*"', re.S)

errors = []


def bad(path, why):
    errors.append(f"{os.path.relpath(path, TOP)}: {why}")


def check_includes(path, text, room, may):
    for inc in INCLUDE.findall(text):
        if inc.startswith("cryptvol/"):
            face = inc[len("cryptvol/"):-2]
            if face not in may:
                bad(path, f"room {room} may not include <{inc}>")
        elif inc.startswith("../") or (m := re.match(ROOM_PATH, inc)) and m.group(1) != room:
            bad(path, f"includes the inside of another room: {inc}")
        elif inc.startswith("libcryptsetup"):
            bad(path, f"nobody uses {inc}")
        elif inc.startswith("grpc") and os.path.basename(path) not in ("server.c", "planted.c"):
            bad(path, f"only src/csi/server.c knows gRPC: {inc}")
        elif inc == "cryptvol.h" and room != "api":
            bad(path, f"room {room} uses the rooms' faces, not the public header")
        elif re.match(r"(google/|grpc|protobuf-c|.*\.pb-c\.h)", inc) and room != "csi":
            bad(path, f"neither library nor CLI may use {inc}")


def check_calls(path, text, room):
    code = COMMENT.sub(" ", text)
    for name, rooms in CALLS.items():
        pattern = rf"(?<![\w>.]){name}" + ("" if name.endswith("_") else r"\s*\(")
        if room not in rooms and re.search(pattern, code):
            bad(path, f"room {room} may not call {name}")
    for name in BANNED:
        if re.search(rf"(?<![\w>.]){name}\s*\(", code):
            bad(path, f"{name}() is banned")


def sources(folder):
    for dirpath, _, names in os.walk(os.path.join(TOP, folder)):
        for name in sorted(names):
            if name.endswith((".c", ".h")):
                yield os.path.join(dirpath, name)


def check_head(path, text):
    if "SPDX-License-Identifier: Apache-2.0" not in text.split("\n", 1)[0]:
        bad(path, "no SPDX line at the top")
    lines = text.count("\n")
    if lines > 600:
        bad(path, f"{lines} lines: split it (600 at most)")


def documented(text):
    """{room: what it may include} by the page's table."""
    out = {}
    rows = re.findall(r"^\| ([a-z, ]+) \| (.*) \|$", text.split("| may include", 1)[-1].split("\n\n", 1)[0], re.M)
    for rooms, cell in rows:
        names = re.sub(r"\([^)]*\)", "", cell)
        for room in rooms.split(", "):
            may = BASE | FACES.get(room, {room})
            if cell == "all of them":
                may = BASE | set(FACE_MAY)
            else:
                may = may | {face for face in FACE_MAY if re.search(rf"(?<![\w`']){face}(?![\w'.])", names)}
                may |= {"mount"} if "`mount.h`" in names else set()
            out[room] = may
    return out


def check_document(text):
    rooms = documented(text)
    for room, may in MAY.items():
        if rooms.get(room, set()) - {room} != may - {room}:
            bad(os.path.join(TOP, DOC), f"room {room} may include {sorted(may)}, the page says {sorted(rooms.get(room, set()))}")


def main():
    n = 0
    with open(os.path.join(TOP, DOC), encoding="utf-8") as f:
        check_document(f.read())
    for room, may in MAY.items():
        folder = "tools" if room == "tools" else f"src/{room}"
        for path in sources(folder):
            text = open(path, encoding="utf-8").read()
            n += 1
            check_head(path, text)
            check_includes(path, text, room, may)
            check_calls(path, text, room)
    for path in sources("include/cryptvol"):
        face = os.path.basename(path)[:-2]
        text = open(path, encoding="utf-8").read()
        n += 1
        check_head(path, text)
        if "#pragma once" not in text:
            bad(path, "no #pragma once")
        if face in FACE_MAY:
            check_includes(path, text, face, FACE_MAY[face])
        else:
            bad(path, "a face that the table doesn't know")
    if n < 10:
        bad(TOP, "found hardly any source: the check would be empty")
    for e in errors:
        print("FAIL layers:", e)
    if not errors:
        print(f"ok layers_hold ({n} files)")
    return 1 if errors else 0


# The check itself is checked: a planted violation of each kind has to be found.
def selftest():
    global errors
    cases = (
        ("luks", "#include <cryptvol/dm.h>\n", check_includes),
        ("dm", '#include "../luks/internal.h"\n', check_includes),
        ("tools", "#include <grpc/grpc.h>\n", check_includes),
        ("luks", "int f(void) { return ioctl(1, 2); }\n", check_calls),
        ("volume", 'void f(void) { printf("x"); }\n', check_calls),
        ("block", "void f(char *a) { strcpy(a, a); }\n", check_calls),
    )
    for room, text, check in cases:
        errors = []
        if check is check_includes:
            check(os.path.join(TOP, "planted.c"), text, room, MAY[room])
        else:
            check(os.path.join(TOP, "planted.c"), text, room)
        if not errors:
            print(f"FAIL layers_selftest: {text.strip()!r} in room {room} wasn't found")
            sys.exit(1)
    errors = []
    print("ok layers_selftest")


if __name__ == "__main__":
    selftest()
    sys.exit(main())
