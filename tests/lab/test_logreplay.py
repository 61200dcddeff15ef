#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The crash-state enumerator against a brute force of its own, and the C reader against Python."""

import hashlib
import io
import itertools
import os
import struct
import subprocess
import sys
import tempfile

LAB = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, LAB)
import logreplay as L  # noqa: E402  (found by the line above)

FAILED = 0


def check(name, condition, why="it does not hold"):
    global FAILED
    print("ok " + name if condition else "FAIL %s: %s" % (name, why))
    FAILED += not condition


def check_equal(name, want, got):
    check(name, want == got, "wanted %r, got %r" % (want, got))


def unit(char, count=1):
    return char.encode() * (512 * count)


def write(offset_units, text, flags=0):
    """A write of one unit for each character."""
    return L.Entry(flags, offset_units * 512, b"".join(unit(c) for c in text))


def flush():
    return L.Entry(L.FLUSH, 0, b"")


def short(image):
    """An image as one character a unit, '.' for zeros."""
    return "".join(chr(b) if b else "." for b in image[::512])


def torn_units_agree(image):
    return all(len(set(image[at:at + 512])) == 1 for at in range(0, len(image), 512))


def states(entries, size_units, base=None, samples=0, seed=1):
    """(counts, [images in short form])"""
    durable = bytearray(base or size_units * 512)
    seen = []

    def take(label, patches):
        image = bytearray(durable)
        for offset, data in patches:
            image[offset:offset + len(data)] = data
        assert torn_units_agree(image), label
        seen.append(short(image))

    counts = L.crash_states(durable, entries, take, samples, seed)
    return counts, seen


def brute_force(epochs, size_units):
    """The set of states from lists of (unit, char): any subset of an epoch over the ones before."""
    found, durable = set(), ["."] * size_units
    for epoch in epochs:
        for mask in itertools.product((0, 1), repeat=len(epoch)):
            image = list(durable)
            for bit, (at, char) in zip(mask, epoch):
                if bit:
                    image[at] = char
            found.add("".join(image))
        for at, char in epoch:
            durable[at] = char
    return found


def write_log(path, entries, sector=512):
    """A log as the kernel writes it."""
    out = io.BytesIO()
    out.write(struct.pack("<QQQI", L.MAGIC, 1, len(entries), sector).ljust(sector, b"\0"))
    for e in entries:
        text = e.mark.encode() if e.mark is not None else b""
        head = struct.pack("<QQQQ", e.offset // sector, e.length // sector, e.flags, len(text))
        out.write((head + text).ljust(sector, b"\0"))
        if e.data and e.mark is None:
            out.write(e.data)
    with open(path, "wb") as f:
        f.write(out.getvalue())


def test_reading(folder):
    for sector in (512, 4096):
        path = os.path.join(folder, "log")
        size = sector // 512
        log = [write(8 * size, "a" * size), L.Entry(L.MARK, mark="start"), write(0, "b" * size, L.FUA),
               L.Entry(L.DISCARD, 16 * sector, length=4 * sector), flush(),
               L.Entry(L.MARK, mark="end"), write(0, "c" * size)]
        write_log(path, log, sector)
        check_equal("a log comes back, sectors of %d" % sector, [str(e) for e in log],
                    [str(e) for e in L.read_log(path)])
        before, inside = L.split(L.read_log(path), "start", "end")
        check_equal("split at marks, sectors of %d" % sector, (1, 3),
                    (len([e for e in before if e.mark is None]), len(inside)))
        with open(path, "r+b") as f:
            f.truncate(os.path.getsize(path) - 1)
        try:
            L.read_log(path)
            check("a log cut short is refused, sectors of %d" % sector, False)
        except ValueError:
            check("a log cut short is refused, sectors of %d" % sector, True)


def test_exhaustive():
    _, seen = states([write(0, "ab"), write(4, "c"), flush(), write(1, "d"), write(0, "e")], 6)
    want = brute_force([[(0, "a"), (1, "b"), (4, "c")], [(1, "d"), (0, "e")]], 6)
    check_equal("every subset of units, two epochs", want, set(seen))
    check_equal("no state twice in an epoch", 8 + 4, len(seen))

    _, seen = states([write(0, "a"), write(0, "b"), write(0, "c")], 1)
    check_equal("one unit written thrice", {".", "a", "b", "c"}, set(seen))

    big = "".join(chr(ord("A") + i) for i in range(14))
    counts, seen = states([write(0, big), write(20, "x"), flush()], 21)
    want = {big[:k].ljust(14, ".") + "......" + x for k in range(15) for x in ".x"}
    want |= {big[k:].rjust(14, ".") + "......" + x for k in range(15) for x in ".x"}
    check_equal("a write of 14 units torn at each place", want, set(seen))
    check_equal("counts: enumerated", len(seen), counts["exhaustive"])

    entries = [write(2 * i, "ab") for i in range(12)]
    _, seen = states(entries, 24)
    whole = {"".join(("ab" if m else "..") for m in mask)
             for mask in itertools.product((0, 1), repeat=12)}
    check("all 4096 subsets of 12 whole writes", whole <= set(seen))
    counts, _ = states(entries + [write(30, "ab")], 32)
    check_equal("13 writes are not enumerated", 0, counts["exhaustive"])


def test_flags():
    _, seen = states([write(0, "a"), write(1, "b", L.FUA), write(2, "c")], 3)
    want = {"...", "a..", ".b.", "ab.", ".bc", "abc"}
    check_equal("a FUA write is durable for what follows", want, set(seen))
    _, seen = states([write(0, "a"), write(0, "b", L.FUA), write(1, "c")], 2)
    check_equal("a FUA write supersedes what was pending there", {"..", "a.", "b.", "bc"}, set(seen))
    _, seen = states([write(0, "a"), write(1, "b", L.FLUSH)], 2)
    check_equal("a flush comes before its own data", {"..", "a.", "ab"}, set(seen))
    _, seen = states([L.Entry(L.DISCARD, 0, length=1024)], 3, base=unit("a", 3))
    check_equal("a discard gives zeros, or not yet", {"aaa", ".aa", "a.a", "..a"}, set(seen))
    counts, seen = states([write(0, "aaz")], 3, base=unit("a", 3))
    check_equal("units that change nothing make no state", ["aaa", "aaz"], seen)
    _, seen = states([write(1, "abc")], 2)
    check_equal("what lies beyond the size is cut off", {"..", ".a"}, set(seen))


def test_samples():
    entries = [write(3 * i, "abc") for i in range(20)]
    counts, one = states(entries, 60, samples=2000, seed=7)
    check_equal("as many samples as asked for", 2000, counts["sampled"])
    check_equal("the same seed gives the same states", one, states(entries, 60, samples=2000, seed=7)[1])
    check("another seed gives others", one != states(entries, 60, samples=2000, seed=8)[1])
    check_equal("no sample twice", 2000, len(set(one)))
    torn = sum(1 for s in one if any(s[i:i + 3] not in ("abc", "...") for i in range(0, 60, 3)))
    check("many samples are torn", torn > 500, "%d of them" % torn)
    counts, _ = states(entries[:8] + [flush()] + entries, 60, samples=1000)
    check_equal("samples are spread over the epochs", (1000, 2),
                (counts["sampled"], counts["sampled epochs"]))
    counts, _ = states([write(0, "abc"), flush(), write(5, "z")], 9, samples=1000)
    check_equal("no samples where all was enumerated", 0, counts["sampled"])
    long = [L.Entry(0, 0, os.urandom(512) * 4000), write(5000, "z")]
    counts, _ = states_raw(long, 5001, 50)
    check("a long write is cut at a bounded number of places", counts["exhaustive"] < 4 + 4 * 256 + 4)


def states_raw(entries, size_units, samples):
    taken = []
    counts = L.crash_states(bytearray(size_units * 512), entries,
                            lambda label, patches: taken.append(label), samples)
    return counts, taken


def test_order():
    """A two-copy header: the right order has no bad state, the planted wrong one has."""
    def header(number):
        body = (b"HDR%08d" % number).ljust(2016, b"p")
        return body + hashlib.sha256(body).digest()

    def bad_states(entries):
        base = bytearray(header(1).ljust(8192, b"\0") * 2)
        bad = []

        def look(label, patches):
            image = bytearray(base)
            for offset, data in patches:
                image[offset:offset + len(data)] = data
            copies = (image[:2048], image[8192:8192 + 2048])
            if not any(hashlib.sha256(c[:2016]).digest() == c[2016:] for c in copies):
                bad.append(label)

        L.crash_states(base, entries, look, 100)
        return bad

    first, second = L.Entry(0, 8192, header(2)), L.Entry(0, 0, header(2))
    check_equal("one copy after the other has no bad state", [],
                bad_states([first, flush(), second, flush()]))
    check("both copies at once have bad states", bad_states([first, second, flush()]))


READER = r"""
#include "states.h"
int main(void)
{
	struct states s;
	unsigned long long n = 0;
	states_start(&s, stdin);
	while (states_next(&s)) {
		printf("%s|", s.label);
		for (uint64_t at = 0; at < s.size; at += 512)
			putchar(s.image[at] ? s.image[at] : '.');
		putchar('\n');
		n++;
	}
	printf("%llu %llu %d\n", s.exhaustive, s.sampled, n == s.exhaustive + s.sampled);
	states_free(&s);
	return 0;
}
"""


def test_stream(folder):
    log = [write(3, "k"), L.Entry(L.MARK, mark="go"), write(0, "ab"), write(1, "c", L.FUA), flush()]
    log += [write(4 * i, "defg") for i in range(14)] + [flush(), write(3, "z")]
    path = os.path.join(folder, "log")
    write_log(path, log)
    source, program = os.path.join(folder, "reader.c"), os.path.join(folder, "reader")
    with open(source, "w", encoding="utf-8") as f:
        f.write(READER)
    subprocess.run(["gcc", "-std=gnu17", "-Wall", "-Wextra", "-Wshadow", "-Werror", "-g",
                    "-fsanitize=address,undefined", "-I", LAB, "-D_GNU_SOURCE", "-o", program, source],
                   check=True)
    base = os.path.join(folder, "base")
    with open(base, "wb") as f:
        f.write(unit("q", 2))
    stream = subprocess.run([os.path.join(LAB, "logreplay.py"), "states", path, "--size", str(60 * 512),
                             "--base", base, "--start", "go", "--samples", "300"],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=True)
    got = subprocess.run([program], input=stream.stdout, stdout=subprocess.PIPE, check=True)
    lines = got.stdout.decode().splitlines()
    start = bytearray(60 * 512)
    start[:1024] = unit("q", 2)
    start[3 * 512:4 * 512] = unit("k")
    counts, want = states(log[2:], 60, base=start, samples=300)
    check_equal("the C reader sees the same states", want, [l.split("|")[1] for l in lines[:-1]])
    check_equal("the C reader gets the counts", "%d 300 1" % counts["exhaustive"], lines[-1])
    check("the counts are printed", b"300 sampled" in stream.stderr)
    cut = subprocess.run([program], input=stream.stdout[:-20], stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, check=False)
    check_equal("a stream cut short is refused", 2, cut.returncode)


def main():
    with tempfile.TemporaryDirectory() as folder:
        test_reading(folder)
        test_exhaustive()
        test_flags()
        test_samples()
        test_order()
        test_stream(folder)
    return 1 if FAILED else 0


if __name__ == "__main__":
    sys.exit(main())
