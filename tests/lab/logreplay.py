#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Every state that a power cut can leave, from a dm-log-writes log.

    logreplay.py dump LOG
    logreplay.py states LOG --size BYTES [--base IMAGE] [--start MARK] [--end MARK]
                            [--samples N] [--seed N] >STREAM

The log (little endian, as the kernel's drivers/md/dm-log-writes.c writes it; a "sector" is the
logged device's own, its size stands in the super block):
    super   u64 magic, u64 version 1, u64 entries, u32 sector size       in one sector
    entry   u64 sector, u64 sectors, u64 flags, u64 data length          in one sector,
            a mark's text behind it in the same one; then the data (not of a discard)
Writes enter the log when a flush makes them durable, a FUA write and a mark at once: so sync the
device before each mark, else writes that came before the mark stand behind it.

The model. Writes since the last flush are pending. A cut leaves any subset of them, each whole or
torn into 512-byte units; a sector written twice holds one of its states in the order of the writes.
A flush makes all that is pending durable, then its own data is pending; a FUA write is durable from
its end on. Units that hold already what a write would put there are left out: they make no state.
For each epoch: with at most 12 units, every subset of units; with at most 12 writes, every subset
of whole writes, and each write torn at each place (a long one at 256 of them), its head or its tail
there, the others there, absent, or there up to it. The rest is sampled with a seed, evenly over the
epochs that have more states than these, no state twice in an epoch.

The stream (little endian; states.h reads it): "CVSTATE1", u64 image size, then records, one byte of
type first:
    B  u64 offset, u32 length, bytes           a change of the durable base
    W  u32 id, u64 offset, u32 length, bytes   a pending write
    D  u32 id, u32 first, u32 count            these units of it are durable now
    E                                          the pending writes are forgotten
    S  u32 length, label, u32 pieces, pieces   a state: the base, then these pieces over it in order;
                                               a piece is u32 id, u32 first unit, u32 count of units
    Z  u64 exhaustive, u64 sampled             the end, with the counts of states
"""

import argparse
import random
import struct
import sys

MAGIC = 0x6A736677736872
FLUSH, FUA, DISCARD, MARK, METADATA = 1, 2, 4, 8, 16
UNIT = 512
EXHAUSTIVE = 12
CUTS_MAX = 256
BLOCK = 1 << 16


class Entry:
    """One line of the log. `data` is None for a mark and a discard; a discard has its `length`."""

    def __init__(self, flags, offset=0, data=None, length=0, mark=None):
        self.flags = flags
        self.offset = offset
        self.data = data
        self.length = len(data) if data is not None else length
        self.mark = mark

    def __str__(self):
        names = [n for n, bit in (("flush", FLUSH), ("fua", FUA), ("discard", DISCARD),
                                  ("mark", MARK), ("metadata", METADATA)) if self.flags & bit]
        if self.mark is not None:
            return "mark %s" % self.mark
        return "%s offset=%d length=%d" % ("|".join(names) or "write", self.offset, self.length)


def exactly(f, size, what):
    data = f.read(size)
    if len(data) != size:
        raise ValueError("the log ends within %s" % what)
    return data


def read_log(path):
    """All entries of a log, in its order."""
    entries = []
    with open(path, "rb") as f:
        magic, version, count, size = struct.unpack("<QQQI", exactly(f, 28, "its super block"))
        if magic != MAGIC or version != 1:
            raise ValueError("%s is not a dm-log-writes log of version 1" % path)
        f.seek(size)
        for number in range(count):
            what = "entry %d" % number
            head = exactly(f, size, what)
            sector, sectors, flags, length = struct.unpack_from("<QQQQ", head)
            if flags & MARK:
                text = head[32:32 + length].rstrip(b"\0").decode()
                entries.append(Entry(flags, mark=text))
            elif flags & DISCARD:
                entries.append(Entry(flags, sector * size, length=sectors * size))
            else:
                entries.append(Entry(flags, sector * size, exactly(f, sectors * size, what)))
    return entries


def split(entries, start=None, end=None):
    """(entries before the mark `start`, those between it and the mark `end`)."""
    def find(mark):
        for index, entry in enumerate(entries):
            if entry.mark == mark:
                return index
        raise ValueError("the log has no mark '%s'" % mark)

    first = find(start) + 1 if start else 0
    last = find(end) if end else len(entries)
    return entries[:first], entries[first:last]


def clip(entry, size):
    """(offset, bytes) of what an entry writes below `size`; None if nothing. A discard gives zeros."""
    length = min(entry.length, max(0, size - entry.offset))
    if entry.mark is not None or not length:
        return None
    return entry.offset, bytes(length) if entry.data is None else entry.data[:length]


def apply_all(base, entries):
    """Bring a bytearray to the state after these entries."""
    for entry in entries:
        part = clip(entry, len(base))
        if part:
            base[part[0]:part[0] + len(part[1])] = part[1]


class Write:
    """A pending write and its live units: those that would change something, or may yet."""

    def __init__(self, offset, data):
        self.offset = offset
        self.data = data
        self.live = list(range(-(-len(data) // UNIT)))
        self.whole = runs(self.live)

    def covers(self):
        return self.offset // UNIT, (self.offset + len(self.data) - 1) // UNIT

    def unit(self, index):
        return self.data[index * UNIT:(index + 1) * UNIT]

    def keep(self, units):
        self.live = units
        self.whole = runs(units)


def runs(units):
    """[(first, count)] of an ascending list of numbers."""
    out = []
    for u in units:
        if out and out[-1][0] + out[-1][1] == u:
            out[-1][1] += 1
        else:
            out.append([u, 1])
    return [tuple(r) for r in out]


def drop_idle_units(base, writes):
    """Take the units away that hold in the base what they would hold anyway, and no other touches."""
    touched = {}
    for w in writes:
        first, last = w.covers()
        for u in range(first, last + 1):
            touched[u] = touched.get(u, 0) + 1
    for w in writes:
        first = w.offset // UNIT
        live = []
        for i in w.live:
            at = w.offset + i * UNIT
            data = w.unit(i)
            if touched[first + i] > 1 or base[at:at + len(data)] != data:
                live.append(i)
        w.keep(live)


def places_to_cut(units):
    """Where to cut a write of so many units: everywhere, or its ends and evenly between."""
    if units <= CUTS_MAX:
        return range(1, units)
    edge = CUTS_MAX // 4
    step = (units - 2 * edge) / (CUTS_MAX - 2 * edge)
    middle = [edge + int(step * k) for k in range(CUTS_MAX - 2 * edge)]
    return sorted(set(range(1, edge)) | set(middle) | set(range(units - edge, units)))


class Epoch:
    """The states that the pending writes of one epoch can leave. A state is a list of pieces."""

    def __init__(self, number, writes):
        self.number = number
        self.all = writes
        self.writes = [(i, w) for i, w in enumerate(writes) if w.live]
        self.units = sum(len(w.live) for _, w in self.writes)
        self.seen = set()  # of the pieces of each state so far

    def is_exhausted(self):
        return self.units <= EXHAUSTIVE

    def piece(self, chosen):
        """chosen: [(id, write, live units or None for all)] -> pieces."""
        return [(i, f, n) for i, w, units in chosen
                for f, n in (w.whole if units is None else runs(units))]

    def exhaustive(self):
        """(label, pieces) of the states that are enumerated, none of them twice."""
        if self.is_exhausted():
            places = [(i, w, u) for i, w in self.writes for u in w.live]
            for mask in range(1 << len(places)):
                yield "units %x" % mask, [(i, u, 1) for k, (i, _, u) in enumerate(places)
                                          if mask >> k & 1]
        elif len(self.writes) <= EXHAUSTIVE:
            for mask in range(1 << len(self.writes)):
                yield "writes %x" % mask, self.piece([(i, w, None) for k, (i, w)
                                                      in enumerate(self.writes) if mask >> k & 1])
            yield from self.torn()

    def torn(self):
        """Each write cut at each place, its head or its tail there, among three kinds of company."""
        for k, (i, w) in enumerate(self.writes):
            before = [(j, x, None) for j, x in self.writes[:k]]
            after = [(j, x, None) for j, x in self.writes[k + 1:]]
            company = {"alone": ([], [])}
            if before:
                company["in order"] = (before, [])
            if after:
                company["last"] = (before, after)
            for cut in places_to_cut(len(w.live)):
                for part, units in (("head", w.live[:cut]), ("tail", w.live[cut:])):
                    for name, (left, right) in company.items():
                        yield ("write %d %s at %d, %s" % (i, part, cut, name),
                               self.piece(left + [(i, w, units)] + right))

    def sample(self, rnd):
        """One state at random: cut in order, subsets dense or sparse, each write maybe torn."""
        kind = rnd.randrange(4)
        if kind == 0:
            k = rnd.randrange(len(self.writes))
            i, w = self.writes[k]
            chosen = [(j, x, None) for j, x in self.writes[:k]]
            chosen.append((i, w, w.live[:rnd.randrange(len(w.live) + 1)]))
            return "sample in order", self.piece(chosen)
        chance = rnd.choice((0.05, 0.5, 0.95))
        tear = (0.0, 0.1, 0.5, 1.0)[rnd.randrange(4)]
        chosen = []
        for i, w in self.writes:
            if rnd.random() >= chance:
                continue
            chosen.append((i, w, self.tear(w, rnd) if rnd.random() < tear else None))
        return "sample of %g, torn %g" % (chance, tear), self.piece(chosen)

    @staticmethod
    def tear(w, rnd):
        cut = rnd.randrange(len(w.live) + 1)
        kind = rnd.randrange(3)
        if kind == 0:
            return w.live[:cut]
        if kind == 1:
            return w.live[cut:]
        if len(w.live) <= 64:
            bits = rnd.getrandbits(len(w.live))
            return [u for k, u in enumerate(w.live) if bits >> k & 1]
        cuts = sorted(rnd.randrange(len(w.live)) for _ in range(2 * rnd.randrange(1, 9)))
        return [u for low, high in zip(cuts[::2], cuts[1::2]) for u in w.live[low:high]]


class Replay:
    """Walks a log and tells a listener (one method for each record of the stream) what it finds."""

    def __init__(self, base, entries, listener, samples=10000, seed=1):
        self.base = base
        self.entries = entries
        self.listener = listener
        self.samples = samples
        self.rnd = random.Random(seed)
        self.counts = {"exhaustive": 0, "sampled": 0, "epochs": 0, "sampled epochs": 0}

    def run(self):
        left = self.count_sampled_epochs()
        for writes in self.walk():
            epoch = Epoch(self.counts["epochs"], writes)
            self.emit(epoch)
            if not epoch.is_exhausted():
                self.sample(epoch, -(-(self.samples - self.counts["sampled"]) // left))
                left -= 1
        self.listener.end(self.counts["exhaustive"], self.counts["sampled"])
        return self.counts

    def count_sampled_epochs(self):
        """Known beforehand by a first walk, over a copy of the base."""
        scout = Replay(bytearray(self.base), self.entries, Silent())
        return sum(1 for writes in scout.walk() if not Epoch(0, writes).is_exhausted())

    def emit(self, epoch):
        self.counts["epochs"] += 1
        for number, w in enumerate(epoch.all):
            self.listener.write(number, w.offset, w.data)
        for label, pieces in epoch.exhaustive():
            self.counts["exhaustive"] += 1
            epoch.seen.add(hash(tuple(pieces)))
            self.listener.state("epoch %d: %s" % (epoch.number, label), pieces)

    def sample(self, epoch, quota):
        """As many new states as the quota says; fewer where chance finds no more."""
        self.counts["sampled epochs"] += 1
        number = misses = 0
        while number < quota and misses < 20 * quota:
            label, pieces = epoch.sample(self.rnd)
            key = hash(tuple(pieces))
            if key in epoch.seen:
                misses += 1
                continue
            epoch.seen.add(key)
            number += 1
            self.counts["sampled"] += 1
            self.listener.state("epoch %d: %s #%d" % (epoch.number, label, number), pieces)

    def walk(self):
        """Yield the pending writes wherever states are due; keep the base durable."""
        pending = []
        for entry in self.entries:
            if entry.mark is not None:
                continue
            if entry.flags & FLUSH:
                if pending:
                    yield self.epoch(pending)
                    self.settle(pending, pending)
                pending = []
            part = clip(entry, len(self.base))
            if not part:
                continue
            pending.append(Write(*part))
            if entry.flags & FUA:
                yield self.epoch(pending)
                fua = pending.pop()
                self.settle([fua], pending + [fua])
                self.supersede(pending, fua)
        if pending:
            yield self.epoch(pending)
            self.settle(pending, pending)

    def epoch(self, pending):
        drop_idle_units(self.base, pending)
        return pending

    def settle(self, durable, told):
        """`durable` of the writes `told` to the listener become part of the base."""
        chosen = {id(w) for w in durable}
        for number, w in enumerate(told):
            if id(w) in chosen:
                for first, count in w.whole:
                    at = w.offset + first * UNIT
                    data = w.data[first * UNIT:(first + count) * UNIT]
                    self.base[at:at + len(data)] = data
                    self.listener.durable(number, first, count)
        self.listener.forget()

    @staticmethod
    def supersede(pending, fua):
        """What an older pending write had to say of the same units can't come any more."""
        low, high = fua.covers()
        for w in pending:
            first = w.offset // UNIT
            w.keep([u for u in w.live if not low <= first + u <= high])


class Silent:
    """A listener that does nothing: the face of the others."""

    def write(self, number, offset, data):
        pass

    def durable(self, number, first, count):
        pass

    def forget(self):
        pass

    def state(self, label, pieces):
        pass

    def end(self, exhaustive, sampled):
        pass


class Stream(Silent):
    """Writes the stream that states.h reads."""

    def __init__(self, out, base):
        self.out = out
        out.write(b"CVSTATE1" + struct.pack("<Q", len(base)))
        for at in range(0, len(base), BLOCK):
            block = bytes(base[at:at + BLOCK])
            if block.count(0) != len(block):
                out.write(b"B" + struct.pack("<QI", at, len(block)) + block)

    def write(self, number, offset, data):
        self.out.write(b"W" + struct.pack("<IQI", number, offset, len(data)) + data)

    def durable(self, number, first, count):
        self.out.write(b"D" + struct.pack("<III", number, first, count))

    def forget(self):
        self.out.write(b"E")

    def state(self, label, pieces):
        text = label.encode()
        flat = [number for piece in pieces for number in piece]
        self.out.write(struct.pack("<cI", b"S", len(text)) + text +
                       struct.pack("<I%dI" % len(flat), len(pieces), *flat))

    def end(self, exhaustive, sampled):
        self.out.write(b"Z" + struct.pack("<QQ", exhaustive, sampled))
        self.out.flush()


class Patches(Silent):
    """For a checker in Python: calls check(label, [(offset, bytes)]) with the base as it stands."""

    def __init__(self, check):
        self.check = check
        self.writes = {}

    def write(self, number, offset, data):
        self.writes[number] = (offset, data)

    def forget(self):
        self.writes = {}

    def state(self, label, pieces):
        patches = []
        for number, first, count in pieces:
            offset, data = self.writes[number]
            patches.append((offset + first * UNIT, data[first * UNIT:(first + count) * UNIT]))
        self.check(label, patches)


def crash_states(base, entries, check, samples=10000, seed=1):
    """check(label, patches) for each state over the bytearray `base`, which follows the durable
    state. Returns the counts."""
    return Replay(base, entries, Patches(check), samples, seed).run()


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=("dump", "states"))
    parser.add_argument("log")
    parser.add_argument("--size", type=int, help="bytes of the device that matter, from its start")
    parser.add_argument("--base", help="the device before the log began (else zeros)")
    parser.add_argument("--start", help="states from this mark on; what is before is durable")
    parser.add_argument("--end", help="states up to this mark")
    parser.add_argument("--samples", type=int, default=10000)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    entries = read_log(args.log)
    if args.verb == "dump":
        for number, entry in enumerate(entries):
            print(number, entry)
        return
    if not args.size or args.size % UNIT:
        parser.error("states needs --size, a multiple of %d" % UNIT)
    base = bytearray(args.size)
    if args.base:
        with open(args.base, "rb") as f:
            content = f.read(args.size)
        base[:len(content)] = content
    before, inside = split(entries, args.start, args.end)
    apply_all(base, before)
    stream = Stream(sys.stdout.buffer, base)
    counts = Replay(base, inside, stream, args.samples, args.seed).run()
    print("logreplay: %(exhaustive)d states enumerated, %(sampled)d sampled, %(epochs)d epochs, "
          "%(sampled epochs)d of them with samples" % counts, file=sys.stderr)


if __name__ == "__main__":
    main()
