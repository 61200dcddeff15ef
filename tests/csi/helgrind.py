# SPDX-License-Identifier: Apache-2.0
"""Whole lives of volumes in threads, on a driver that helgrind watches. FULL: five rounds of it."""
import os
import re
import signal
import sys
import threading
import time

from lab import (FULL, MIB, SCRATCH, Driver, Failed, Lab, block_cap, expect, mount_cap, say, secret, text_of)
from loops import patient

ROUNDS = 5 if FULL else 1
LOG = os.path.join(SCRATCH, "helgrind.log")
RACE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../race")
# Bound at once: the dynamic linker's own late work on stacks that were used before would be taken for a race.
WRAP = ["env", "LD_BIND_NOW=1", f"LD_PRELOAD={os.environ['BUILD']}/race/preload.so", "valgrind", "--tool=helgrind",
        f"--suppressions={RACE}/helgrind.supp", "--history-level=approx", f"--log-file={LOG}"]
ARGON2 = {"CRYPTO_PBKDF": "argon2id", "CRYPTO_PBKDF_FORCE_ITERATIONS": "4", "CRYPTO_PBKDF_MEMORY": "64"}


def start(driver):
    driver.start(wait=False, wrap=WRAP)
    limit = time.monotonic() + 120
    while not driver.listens():
        assert driver.process.poll() is None and time.monotonic() < limit, driver.last_words()
        time.sleep(0.1)
    driver.wait_ready()


def life(lab, n, problems):
    """A volume's, with a wrong passphrase and a rotation in it."""
    try:
        encrypted, block = n % 4 != 3, n % 3 == 2
        old = secret("old", **(ARGON2 if n % 2 else {})) if encrypted else {}
        new = {**old, "CRYPTO_KEY_VALUE": "new", "CRYPTO_KEY_VALUE_PREVIOUS": "old"} if encrypted else {}
        v = patient(lab.create, name=f"h-{n}", encrypted=encrypted, cap=block_cap() if block else mount_cap("ext4"),
                    size=32 * MIB, secrets=old)
        patient(v.attach)
        patient(v.stage)
        target = patient(v.publish)
        patient(lab.c.NodeGetVolumeStats, volume_id=v.id, volume_path=target, staging_target_path=v.staging)
        if not block:
            with open(f"{target}/file", "wb") as f:
                f.write(os.urandom(MIB))
        patient(v.expand, 48 * MIB)
        patient(lab.snapshot, v, name=f"s-{n}")
        patient(v.unpublish)
        patient(v.unstage)
        if encrypted:
            try:
                patient(v.stage, secrets=secret("wrong"))
                raise AssertionError("a wrong passphrase opens the volume")
            except Failed as e:
                expect("a wrong passphrase", "UNAUTHENTICATED", e.code)
        patient(v.stage, secrets=new)
        patient(v.unstage)
        patient(v.detach)
    except Exception as e:
        problems.append(f"volume {n}: {type(e).__name__}: {e}")


def beside(lab, done, problems):
    try:
        while not done.is_set():
            lab.c.ListVolumes()
            lab.c.GetCapacity()
            lab.c.ListSnapshots()
            lab.c.NodeGetInfo()
            time.sleep(0.2)
    except Exception as e:
        problems.append(f"beside: {e}")


def main():
    driver = Driver(workers=8)
    problems = []
    try:
        start(driver)
        lab = Lab(driver)
        for _ in range(ROUNDS):
            done = threading.Event()
            lives = [threading.Thread(target=life, args=(lab, n, problems)) for n in range(4)]
            watch = threading.Thread(target=beside, args=(lab, done, problems))
            for t in [*lives, watch]:
                t.start()
            for t in lives:
                t.join()
            done.set()
            watch.join()
            why = lab.clear()
            if why:
                problems.append(why)
        status = driver.stop(signal.SIGTERM, 120)
        expect("the driver's exit status", 0, status)
    except Exception as e:
        problems.append(f"{type(e).__name__}: {e}")
    finally:
        driver.kill()
    log = text_of(LOG)
    say("FAIL" if problems else "ok", "volumes live under helgrind", " | ".join(problems)[:600])
    # The children (mkfs, fsck) leave copies of the head only.
    sums = re.findall(r"ERROR SUMMARY: (\d+) errors from \d+ contexts \(suppressed: (\d+)", log)
    errors, suppressed = (int(n) for n in sums[-1]) if sums else (-1, 0)
    say("ok" if errors == 0 else "FAIL", "helgrind finds nothing", "" if errors == 0 else f"{errors} errors")
    say("ok" if suppressed else "FAIL", "helgrind was at work", "" if suppressed else "it suppressed nothing of the library's")
    if errors:
        print("\n".join("# " + line for line in log.splitlines()[:200]))
    return 1 if problems or errors or not suppressed else 0


if __name__ == "__main__":
    sys.exit(main())
