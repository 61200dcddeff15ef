#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""docs/csi/troubleshooting.md and the driver's messages: each message in its tables is one of the driver's, and each of the driver's that
a person has to do something about has a row. A row stands for a message if its words are in it, in their order, with anything for "…"."""
import glob
import os
import re
import sys

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PAGE = "docs/csi/troubleshooting.md"
LITERALS = r'((?:"(?:[^"\\]|\\.)*"\s*|PRI\w+\s*)+)'
CALL = re.compile(r"\b(?:csi_fail|err_set)\(\s*[\w>.&-]+\s*,\s*(-?\w+)\s*,\s*" + LITERALS)
# what is wrong is in the request, or there is no memory: the sentence says it all
PLAIN = {"CSI_INVALID_ARGUMENT", "-EINVAL", "-ENOMEM", "-ERANGE", "-ENAMETOOLONG", "CSI_UNIMPLEMENTED"}
# beginnings of others that need no row, and why
NO_ROW = {
    "no memory": "says it all",
    "starting_token:": "the orchestrator's list starts again",
    "the request ": "no request of an orchestrator is like that",
    'group snapshot "…"': "for orchestrators: an answer, not a trouble",
    'snapshot "…" exists, of': "the same",
    "volume_capabilit": "no claim can ask for it",
    "staging_target_path:": "no kubelet leaves it out",
    "this file system has no reflinks": "inside of another that has a row",
    'volume "…" is … …': "what it is is a sentence of its own",
    "the recorded parameters": "inside of another",
    "the header's UUID or cipher": "no header that we write",
    "source_volume_id: …": "the same",
    "records: …: …": "the same",
}


def read(path):
    with open(os.path.join(TOP, path), encoding="utf-8") as f:
        return f.read()


def plain(literals):
    text = "".join(p or "%u" for p in re.findall(r'"((?:[^"\\]|\\.)*)"|PRI\w+', literals)).replace('\\"', '"').replace("%%", "%")
    return re.sub(r"%[-+ 0]*(?:\d+|\*)?(?:\.(?:\d+|\*))?(?:hh|h|ll|l|z)?[a-zA-Z]", "…", text)


def sources():
    return {path: read(path) for path in sorted(glob.glob("src/*/*.c", root_dir=TOP) + glob.glob("src/*/*.h", root_dir=TOP))}


def told(texts):
    """What the driver says with a code that isn't plain: (path, sentence)"""
    for path, text in texts.items():
        if path.split("/")[1] in ("csi", "backend", "backup"):
            for code, literals in CALL.findall(text):
                if code not in PLAIN and plain(literals) != "…":
                    yield path, plain(literals)


def rows(page):
    """The messages of the tables' first columns."""
    for line in page.splitlines():
        if line.startswith("| `"):
            yield from re.findall(r"`([^`]+)`", line.split(" | ")[0])


def stands_for(row, message):
    words = [w.strip() for w in row.split("…") if w.strip()]
    return re.search(".*?".join(map(re.escape, words)), message, re.S) is not None


def check(page, texts):
    of_page = list(rows(page))
    everything = {plain(m) for text in texts.values() for m in re.findall(LITERALS, text)}
    bad = [f"no message of the driver: {row}" for row in of_page if not any(stands_for(row, m) for m in everything)]
    messages = list(told(texts))
    for path, message in messages:
        if not any(stands_for(row, message) for row in of_page) and not message.startswith(tuple(NO_ROW)):
            bad.append(f"{path}: no row for: {message}")
    if len(of_page) < 40 or len(messages) < 80:
        bad.append(f"{len(of_page)} rows, {len(messages)} messages: hardly any was found")
    return bad


def selftest():
    page = read(PAGE)
    texts = sources()
    assert any("no message of the driver: zzz" in b for b in check(page + "\n| `zzz` | x |\n", texts))
    assert any("no row for: all is lost" in b for b in check(page, texts | {"src/csi/x.c": 'err_set(e, -EIO, "all "\n"is lost")'}))
    print("ok messages_selftest")


def main():
    selftest()
    bad = check(read(PAGE), sources())
    for line in bad:
        print(f"    {PAGE}: {line}")
    print(f"FAIL messages_have_rows: {len(bad)} problems" if bad else "ok messages_have_rows")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
