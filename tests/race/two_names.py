#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Two writers of one header, each by a name of its own. Every pair of verbs, of names and of programs; a run is right where the
commands that ended with 0, one after the other in some order, make just the keyslots that are there afterwards, by cryptsetup.

    two_names.py SCRATCH SEED COUNT NAMES...    COUNT 0: all pairs

Both are let read the header and derive; then both wait for a lock, which this program holds for reading by all names. It lets go
when both wait. A third of the runs is not held up at all: derivations of many lengths are the window there."""
import fcntl
import itertools
import json
import os
import random
import subprocess
import sys
import time

OURS, THEIRS = os.environ["CRYPTVOL"], os.environ.get("CRYPTSETUP", "cryptsetup")
SIZE = 4 << 20
FAST = ["--pbkdf", "pbkdf2", "--pbkdf-force-iterations"]
LIMIT = 120  # seconds that anything may take before the run counts as hung
BLKFLSBUF = 0x1261
KEYS = ("k0", "k1", "a", "b", "new")


def run(*argv, **how):
    return subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, **how)


def must(*argv):
    r = run(*argv)
    if r.returncode:
        raise RuntimeError(f"{' '.join(argv)}: {r.returncode}: {r.stdout}")
    return r.stdout.strip()


class State:
    """What the model knows of a header: keyslots with their keys, label, priorities."""

    def __init__(self, slots, label="", prefer=frozenset()):
        self.slots, self.label, self.prefer = dict(slots), label, frozenset(prefer)

    def key(self):
        return (tuple(sorted(self.slots.items())), self.label, tuple(sorted(self.prefer)))


START = State({0: "k0", 1: "k1"}, "start")


# Each verb: its arguments, and what it makes of a state (None: it can't be done there). @who: "a" or "b".
def add(who):
    slot = 2 if who == "a" else 3
    return (["luksAddKey", "-S", str(slot), "--key-file", "k0", "DEV", who],
            lambda s: State({**s.slots, slot: who}, s.label, s.prefer) if "k0" in s.slots.values() and slot not in s.slots else None)


def change(slot):
    def verb(who):
        old = f"k{slot}"
        # Without -S: cryptsetup's wipes the old area first with it, and loses the key where it finds out later that it was overtaken.
        return (["luksChangeKey", "--key-file", old, "DEV", who],
                lambda s: State({**s.slots, slot: who}, s.label, s.prefer) if s.slots.get(slot) == old else None)
    return verb


def without(s, slot):
    return State({k: v for k, v in s.slots.items() if k != slot}, s.label, s.prefer - {slot})


def remove(slot):
    return lambda who: (["luksRemoveKey", "DEV", f"k{slot}"],
                        lambda s: without(s, slot) if s.slots.get(slot) == f"k{slot}" else None)


def kill(slot):
    other = f"k{1 - slot}"
    return lambda who: (["luksKillSlot", "--key-file", other, "DEV", str(slot)],
                        lambda s: without(s, slot) if slot in s.slots and s.slots.get(1 - slot) == other else None)


def label(who):
    return ["config", "--label", who, "DEV"], lambda s: State(s.slots, who, s.prefer)


def prefer(slot):
    return lambda who: (["config", "--priority", "prefer", "-S", str(slot), "DEV"],
                        lambda s: State(s.slots, s.label, s.prefer | {slot}) if slot in s.slots else None)


def restore(who):
    return ["-q", "luksHeaderRestore", "--header-backup-file", "backup", "DEV"], lambda s: State({0: "k0"}, "backup")


def new_format(who):
    return (["-q", "luksFormat", "--type", "luks2", "--luks2-metadata-size", "16k", "--luks2-keyslots-size", "1m", "--key-file", "new",
             "--label", who, "DEV"], lambda s: State({0: "new"}, who))


VERBS = {"add": add, "change0": change(0), "change1": change(1), "remove0": remove(0), "remove1": remove(1), "kill0": kill(0),
         "kill1": kill(1), "label": label, "prefer1": prefer(1), "restore": restore, "format": new_format}
COSTLY = {"luksAddKey", "luksChangeKey", "luksFormat"}
# What cryptsetup does not lock, and so isn't tried with it: its format and restore hold no lock from their look to their last write,
# and its other verbs compare the sequence number only where the UUID is still the same.
REPLACING = {"restore", "format"}
TAKING = {"remove0", "remove1", "kill0", "kill1"}


class Header:
    """One header under two names, in a file of its own."""

    def __init__(self, kind, scratch):
        self.undo = []
        self.file = os.path.join(scratch, f"{kind}.img")
        with open(self.file, "wb") as f:
            f.truncate(SIZE)
        self.names = getattr(self, kind.replace("-", "_"))()
        self.locks = [self.file] + sorted({f"/run/cryptsetup/L_{os.major(d)}:{os.minor(d)}" for d in self.devices})

    devices = ()

    def loop(self, *options):
        path = must("losetup", "-f", "--show", *options, self.file)
        self.undo.append(["losetup", "-d", path])
        self.devices += (os.stat(path).st_rdev,)
        return path

    def linear(self, below, name):
        name = f"two{os.getpid()}{name}"
        must("dmsetup", "create", name, "--table", f"0 {SIZE >> 9} linear {below} 0")
        self.undo.append(["dmsetup", "remove", "--retry", name])
        path = f"/dev/mapper/{name}"
        self.devices += (os.stat(path).st_rdev,)
        return path

    def image(self):
        return self.file, self.file

    def image_link(self):
        link = self.file + ".link"
        os.link(self.file, link)
        return self.file, link

    def image_bind(self):
        folder = self.file + ".mnt"
        os.mkdir(folder)
        must("mount", "--bind", os.path.dirname(self.file), folder)
        self.undo.append(["umount", folder])
        return self.file, os.path.join(folder, os.path.basename(self.file))

    def image_loop(self):
        return self.file, self.loop()

    def image_loop_direct(self):
        return self.file, self.loop("--direct-io=on")

    def loop_loop(self):
        return self.loop(), self.loop()

    def disk_partition(self):
        disk = self.loop("-P")
        must("addpart", disk, "1", "0", str(SIZE >> 9))
        part = f"{disk}p1"
        self.undo.insert(len(self.undo), ["delpart", disk, "1"])
        if not os.path.exists(part):
            major, minor = open(f"/sys/block/{disk[5:]}/{disk[5:]}p1/dev").read().strip().split(":")
            os.mknod(part, 0o600 | 0o060000, os.makedev(int(major), int(minor)))
        self.devices += (os.stat(part).st_rdev,)
        return disk, part

    def linear_leg(self):
        leg = self.loop()
        return self.linear(leg, "a"), leg

    def linear_image(self):
        return self.linear(self.loop(), "a"), self.file

    def linear_linear(self):
        leg = self.loop()
        return self.linear(leg, "a"), self.linear(leg, "b")

    def close(self):
        for argv in reversed(self.undo):
            run(*argv)
        for name in (self.file, self.file + ".link"):
            if os.path.lexists(name):
                os.unlink(name)

    def fill(self, content):
        with open(self.file, "r+b", buffering=0) as f:
            f.write(content)
            os.fsync(f.fileno())
        for path in set(self.names):
            if path.startswith("/dev/"):
                with open(path, "rb", buffering=0) as f:
                    fcntl.ioctl(f, BLKFLSBUF)


def start_content(scratch):
    """A header of cryptsetup's with two keyslots, and a backup of it with one."""
    for key in KEYS:
        with open(os.path.join(scratch, key), "w") as f:
            f.write(f"the key {key}")
    path, k0, k1 = (os.path.join(scratch, name) for name in ("start", "k0", "k1"))
    with open(path, "wb") as f:
        f.truncate(SIZE)
    must(THEIRS, "-q", "luksFormat", "--type", "luks2", *FAST, "1000", "--luks2-metadata-size", "16k", "--luks2-keyslots-size", "1m",
         "-c", "aes-cbc-essiv:sha256", "-s", "128", "--label", "backup", "--key-file", k0, path)
    must(THEIRS, "luksHeaderBackup", "--header-backup-file", os.path.join(scratch, "backup"), path)
    must(THEIRS, "luksAddKey", *FAST, "1000", "-S", "1", "--key-file", k0, path, k1)
    for i in range(6):  # a sequence number that no other header here has
        must(THEIRS, "config", "--label", "start" if i % 2 else "odd", path)
    with open(path, "rb") as f:
        return f.read(2 << 20)


def found(path, scratch):
    """The state by cryptsetup: each keyslot opens with exactly the key that is named."""
    r = run(THEIRS, "luksDump", "--dump-json-metadata", path)
    if r.returncode:
        return None
    meta = json.loads(r.stdout)
    slots = {}
    for slot in map(int, meta["keyslots"]):
        for key in KEYS:
            if not run(THEIRS, "open", "--test-passphrase", "-S", str(slot), "--key-file", os.path.join(scratch, key), path).returncode:
                slots[slot] = key
                break
        else:
            slots[slot] = "opens with nothing"
    text = must(THEIRS, "luksDump", path)
    lab = next((line.split(None, 1)[1] for line in text.splitlines() if line.startswith("Label:")), "")
    return State(slots, "" if lab == "(no label)" else lab, {int(k) for k, v in meta["keyslots"].items() if v.get("priority") == 2})


def argv_of(program, argv, path, scratch, cost):
    out = [program]
    for word in argv:
        out.append(path if word == "DEV" else os.path.join(scratch, word) if word in KEYS + ("backup",) and out[-1] != "--label" else word)
    verb = next(w for w in argv if w[0] != "-")
    return out + FAST + [str(cost)] if verb in COSTLY else out


def waiting(pids):
    with open("/proc/locks") as f:
        lines = [line.split() for line in f if "-> FLOCK" in line]
    return pids & {int(words[5]) for words in lines}


def settle(children):
    """Until each has ended or waits for a lock."""
    end = time.monotonic() + LIMIT
    while time.monotonic() < end:
        pids = {c.pid for c in children if c.poll() is None}
        if waiting(pids) == pids:
            return
        time.sleep(0.002)


def storm(header, scratch, commands, held):
    """Start both; returns their exit statuses and what they said."""
    fds = []
    if held:
        os.makedirs("/run/cryptsetup", 0o700, exist_ok=True)
        for path in header.locks:
            fds.append(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            fcntl.flock(fds[-1], fcntl.LOCK_SH)
    children = [subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
                for argv in commands]
    if held:
        settle(children)
        for path, fd in zip(header.locks, fds):
            if path != header.file and not waiting({c.pid for c in children}):
                try:
                    os.unlink(path)
                except FileNotFoundError:
                    pass
            os.close(fd)
    out = []
    for c in children:
        try:
            said = c.communicate(timeout=LIMIT)[0]
        except subprocess.TimeoutExpired:
            c.kill()
            said = "it hung " + (c.communicate()[0] or "")
        out.append((c.returncode, said.strip()))
    return out


def orders(makes, results):
    """All states that the commands which ended with 0 can make, one after the other."""
    done = [m for m, (status, _) in zip(makes, results) if status == 0]
    for order in itertools.permutations(done):
        state = START
        for make in order:
            state = state and make(state)
        if state:
            yield state


def judge(header, scratch, names, makes, results, held, half_done):
    state, other = (found(path, scratch) for path in names)
    if state is None or other is None or state.key() != other.key():
        return f"the names differ: {state and state.key()} {other and other.key()}"
    for who in half_done:
        state.slots = {slot: key for slot, key in state.slots.items() if key != who}
    wanted = list(orders(makes, results))
    if state.key() not in [w.key() for w in wanted]:
        return f"found {state.key()}, possible {[w.key() for w in wanted]}"
    if held and not state.slots:
        return "the last key is lost"
    return None


def cases(kinds):
    for kind in kinds:
        for a, b in itertools.product(VERBS, repeat=2):
            for programs in ((OURS, OURS), (OURS, THEIRS), (THEIRS, OURS)):
                theirs = {v for v, p in zip((a, b), programs) if p == THEIRS}
                if theirs & REPLACING or (theirs and "format" in (a, b)):
                    continue
                yield kind, a, b, programs


def main():
    scratch, seed, count, kinds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:]
    rng = random.Random(seed)
    content = start_content(scratch)
    todo = list(cases(kinds))
    if count and count < len(todo):
        todo = rng.sample(todo, count)
    todo.sort(key=lambda c: kinds.index(c[0]))
    bad = free = both = 0
    runs = {kind: 0 for kind in kinds}
    header, missing = None, set()
    for kind, a, b, programs in todo:
        if kind in missing:
            continue
        if header is None or header.kind != kind:
            if header:
                header.close()
            try:
                header = Header(kind, scratch)
            except (RuntimeError, OSError) as e:
                print(f"SKIP {kind}: {e}")
                header = None
                missing.add(kind)
                continue
            header.kind = kind
        held = bool({a, b} <= TAKING) or rng.random() < 0.67
        names = header.names if rng.random() < 0.5 else header.names[::-1]
        verbs = [VERBS[v](who) for v, who in ((a, "a"), (b, "b"))]
        commands = [argv_of(p, v[0], n, scratch, 1000 if held else rng.randint(1000, 300000))
                    for p, v, n in zip(programs, verbs, names)]
        header.fill(content)
        results = storm(header, scratch, commands, held)
        # cryptsetup changes a key in two steps: overtaken after the first, it fails, and its new keyslot stays beside the old one.
        half_done = [who for who, v, p, r in zip("ab", (a, b), programs, results) if v.startswith("change") and p == THEIRS and r[0]]
        why = judge(header, scratch, names, [v[1] for v in verbs], results, held, half_done)
        runs[kind] += 1
        free += not held
        both += all(not status for status, _ in results)
        if why:
            bad += 1
            print(f"FAIL {kind}: {a} and {b} ({'held' if held else 'free'}): {why}")
            for argv, (status, said) in zip(commands, results):
                print(f"    {status}: {' '.join(argv)}: {said}")
    if header:
        header.close()
    print(f"# {sum(runs.values())} runs, {free} of them not held up, {both} in which both ended with 0, {bad} bad: "
          + ", ".join(f"{k} {n}" for k, n in runs.items()))
    return 1 if bad else 0


sys.exit(main())
