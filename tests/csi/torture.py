# SPDX-License-Identifier: Apache-2.0
"""kill -9 of the driver at every system call that changes state, its programs' calls (mkfs...) included: before the call, and
after it (a write is then torn). A driver is started again, the same calls are made again, and what is there has to be what an
undisturbed run left: records, images, mounts, mappings, loop devices, keys, the data. Then all is taken back, and
nothing may be left over. Without FULL a sample of the points, chosen by SEED."""
import contextlib
import faulthandler
import os
import random
import re
import sqlite3
import sys
import time

from killpoints import AFTER, BEFORE, NEVER, SWALLOW, Tracer
from lab import FULL, Failed, case, kept_keys, loops, mappings, raises, results, run_on, text_of
from torture_calls import FIRST, SCENARIOS, SIZE, Delete, put_file

SEED = os.environ.get("SEED", "1")
SAMPLE = 3  # points a call when not FULL


# ---- the world as it is ----

def rows(state, sql):
    with contextlib.closing(sqlite3.connect(f"file:{state}/state.db?mode=ro", uri=True, timeout=20)) as db:
        db.row_factory = sqlite3.Row
        return [dict(r) for r in db.execute(sql)]


CHANCE = {"nonce", "fs_nonce", "pin_uuid", "pin_digest", "pin_mapping", "created", "created_nanos"}


def names(folder):
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def key_name(line):
    """A line of /proc/keys without what differs from one life to the next: serial, UUID, event number, size."""
    kind, name = line.split(None, 8)[7:]
    return kind + " " + re.sub(r"[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}", "UUID", re.sub(r"@\d+|: \S+$", "", name))


def world(lab):
    """Everything that the driver leaves in the kernel and on the disk. What chance or the clock chose counts as there or not."""
    state = lab.driver.state
    w = {"mappings": sorted(mappings()), "loop devices": sorted(loops().values()),
         "keys": sorted(key_name(k) for k in kept_keys()),
         "mounts": sorted(line.split(" ")[1] for line in text_of("/proc/self/mounts").splitlines()),
         "locks": names("/run/cryptsetup"),
         "header backups": sorted({re.sub(r"\.\d+\.hdr$", "", f) for f in names(f"{state}/headers")}),
         "unfinished": [f for f in names(f"{state}/tmp") if not f.endswith(".lock")]}
    for folder in ("volumes", "snapshots"):
        w[folder] = [(f, os.path.getsize(f"{state}/{folder}/{f}")) for f in names(f"{state}/{folder}")]
    for table in ("volumes", "snapshots", "groups", "uses", "growing"):
        w[table + " (records)"] = sorted(
            sorted((k, bool(v) if k in CHANCE else v) for k, v in r.items()) for r in rows(state, f"SELECT * FROM {table}"))
    return w


def difference(wanted, found):
    words = []
    for kind in wanted:
        if wanted[kind] != found[kind]:
            more = [x for x in found[kind] if x not in wanted[kind]]
            less = [x for x in wanted[kind] if x not in found[kind]]
            words.append(f"{kind}: {'there is ' + str(more) if more else ''} {'missing ' + str(less) if less else ''}")
    return "; ".join(words)


def settled(lab, wanted, what, seconds=5):
    """Keys of an ended process and removed loop devices go a moment later."""
    limit = time.monotonic() + seconds
    while True:
        found = difference(wanted, world(lab))
        if not found:
            return
        assert time.monotonic() < limit, f"{what}: {found}"
        time.sleep(0.02)


def rest(lab, seconds=30):
    """What the case before took away is gone: its keys would count as what was there at first."""
    limit, last, now = time.monotonic() + seconds, None, world(lab)
    while now != last:
        assert time.monotonic() < limit, f"no rest: {difference(last, now)}"
        time.sleep(0.5)
        last, now = now, world(lab)


# ---- one call, killed at each of its points ----

class Tally:
    kills = again = calls = 0
    seconds = 0.0


def converge(s, tally):
    """The orchestrator's part: the same call until it succeeds; nothing but "come back" is accepted on the way."""
    limit = time.monotonic() + 30
    while True:
        try:
            return s.call()
        except Failed as e:
            tally.again += 1
            if e.code not in ("ABORTED", "UNAVAILABLE", "INTERNAL") or time.monotonic() > limit:
                raise
            time.sleep(0.05)


def one_point(s, at, mode, children, wanted, tally):
    """One life and death. Returns at which call it ended, "" where all was through before the point came."""
    driver, said = s.lab.driver, None
    clean = world(s.lab)
    s.before()
    driver.control.arm(at, mode, children)
    try:
        s.call()
    except Failed as e:
        said = e
    calls, done, what = driver.control.outcome()
    if not done and said:
        raise said
    try:
        if done and mode != SWALLOW:
            tally.kills += 1
            driver.start_after_kill()
            s.between()
        converge(s, tally)
        s.check()
        if not done:
            wanted.setdefault("world", world(s.lab))
            tally.calls = max(tally.calls, calls)
        if s.repeatable:
            settled(s.lab, wanted["world"], "after the same call again")
        s.after()
        settled(s.lab, clean, "left over")
    except (AssertionError, Failed, OSError) as e:
        word = ("killed before", "killed after", "swallowed")[mode]
        raise AssertionError(f"{word} call {at} ({what}): {' '.join(str(e).split())}") from e
    return what


def points(s, wanted, tally, rnd):
    """Before every call and in the middle of every write, until the whole is through before its point comes; or a sample of them.
    What comes after a call is what comes before the next one."""
    if not FULL:
        every = [(at, mode) for at in range(1, tally.calls + 1) for mode in (BEFORE, AFTER)]
        for at, mode in sorted(rnd.sample(every, min(SAMPLE, len(every)))):
            one_point(s, at, mode, rnd.random() < 0.5, wanted, tally)
        return
    at, more = 0, True
    while more:
        at += 1
        more = one_point(s, at, BEFORE, rnd.random() < 0.5, wanted, tally)
        if re.search(" p?write(64)? ", more) or at == tally.calls:
            one_point(s, at, AFTER, rnd.random() < 0.5, wanted, tally)


def kill_at_points(lab, kind):
    s, tally, wanted = kind(lab), Tally(), {}
    started = time.monotonic()
    s.begin()
    rest(lab)
    one_point(s, NEVER, BEFORE, False, wanted, tally)
    points(s, wanted, tally, random.Random(f"{SEED} {kind.__name__}"))
    tally.seconds = time.monotonic() - started
    return tally


def make_case(kind):
    @case(f"kill -9 in {kind.__doc__}")
    def kills(lab):
        seed_snapshot(lab)
        t = kill_at_points(lab, kind)
        totals.append(t)
        print(f"    {t.kills} kills at {t.calls} calls, the call again {t.again} times, 0 bad, {t.seconds:.0f} s")


def seed_snapshot(lab):
    """What the copies are made from."""
    v = lab.create("seed", size=SIZE, secrets=FIRST)
    v.attach()
    v.stage()
    put_file(f"{v.staging}/data")
    v.down()
    lab.snapshot(v, "seed")
    v.delete()


totals = []


for scenario in SCENARIOS:
    make_case(scenario)


@case("control: a removal that isn't made is noticed")
def control(lab):
    seed_snapshot(lab)
    s, wanted, swallowed = Delete(lab), {}, 0
    one_point(s, NEVER, BEFORE, False, wanted, Tally())
    with raises(AssertionError):
        while True:
            swallowed += 1
            one_point(s, swallowed, SWALLOW, False, wanted, Tally())
    _, _, what = lab.driver.control.state()
    assert re.search(r"unlinkat .*\.img$", what), f"noticed was {what}"
    os.unlink(s.v.image)


def main():
    faulthandler.dump_traceback_later(3500 if FULL else 420, exit=True)  # says where it hangs, before the guest is ended
    status = run_on(Tracer())
    print(f"    {sum(t.kills for t in totals)} kills at {sum(t.calls for t in totals)} calls of {len(totals)} kinds, "
          f"{results['FAIL']} bad, {sum(t.seconds for t in totals):.0f} s")
    return status


if __name__ == "__main__":
    sys.exit(main())
