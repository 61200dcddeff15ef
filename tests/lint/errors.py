#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The table of error codes in err.h is complete and true: each errno that a sentence is set with stands in it, none stands there
that nobody returns, and the exit statuses are those of cli_exit_code."""
import glob
import os
import re
import sys

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FACE, EXITS = "include/cryptvol/err.h", "tools/say.c"
ROW = re.compile(r"^ \*   (E[A-Z0-9]+) +(\d)  \S", re.M)
# err_set(e, -EX, "...") and err_set(e, a ? -EX : -EY, "..."): what stands before the sentence
CALL = re.compile(r'\berr_set\(([^;"]*)"')
CODE = re.compile(r"-(E[A-Z0-9]{2,})\b")


def read(path):
    with open(os.path.join(TOP, path), encoding="utf-8") as f:
        return f.read()


def sources():
    for pattern in ("src/**/*.c", "src/**/*.h", "tools/*.c"):
        for path in sorted(glob.glob(os.path.join(TOP, pattern), recursive=True)):
            yield os.path.relpath(path, TOP)


def statuses(text):
    """{errno: exit status} and the default of cli_exit_code's switch."""
    body = re.search(r"int cli_exit_code\(int r\)\n{(.*?)\n}", text, re.S).group(1)
    out, labels, default = {}, [], None
    for word, value in re.findall(r"case (-?\w+):|return (\d);|default:", body):
        if word:
            labels.append(word.lstrip("-"))
        elif value:
            out.update((label, int(value)) for label in labels)
            default = int(value)
            labels = []
    return out, default


def find_errors(table, texts, exits):
    found = []
    rows = ROW.findall(table)
    names = [name for name, _ in rows]
    if len(names) < 20:
        found.append(f"{FACE}: only {len(names)} rows were found")
    found += [f"{FACE}: {name} stands there twice" for name in set(names) if names.count(name) > 1]
    used = set()
    for path, text in texts.items():
        used |= set(CODE.findall(text))
        for call in CALL.findall(text):
            found += [f"{path}: {code} is not in the table of {FACE}" for code in CODE.findall(call) if code not in names]
    found += [f"{FACE}: nobody returns {name}" for name in names if name not in used]
    codes, default = statuses(exits)
    for name, status in rows:
        if codes.get(name, default) != int(status):
            found.append(f"{FACE}: {name}: the command exits with {codes.get(name, default)}, not {status}")
    found += [f"{FACE}: {name} has an exit status of its own and is not in the table" for name in codes
              if name not in names and name != "0"]
    return found


def selftest(table, texts, exits):
    """Each kind of fault is seen."""
    spoilt = {
        "a row is missing": (re.sub(r" \*   EROFS .*\n", "", table), texts, exits),
        "a row too many": (table.replace(" *   EROFS ", " *   EXDEV         1  x\n *   EROFS ", 1), texts, exits),
        "a wrong status": (table.replace("EPERM         2", "EPERM         1", 1), texts, exits),
        "a new exit status": (table, texts, exits.replace("case -ENOMEM:", "case -EXDEV:\n\tcase -ENOMEM:", 1)),
        "a new code": (table, {"x.c": 'return err_set(e, a ? -EXDEV : -EIO,\n"no");'} | texts, exits),
    }
    return [f"selftest: {name} is not seen" for name, args in spoilt.items() if not find_errors(*args)]


def main():
    table, exits = read(FACE), read(EXITS)
    texts = {path: read(path) for path in sources()}
    errors = find_errors(table, texts, exits) + selftest(table, texts, exits)
    for line in errors:
        print(f"FAIL error_codes: {line}")
    if not errors:
        print("ok error_codes")
    return 1 if errors else 0


sys.exit(main())
