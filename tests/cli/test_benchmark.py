#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 300
"""benchmark: lines of cryptsetup's shape, JSON with the same figures and the policy's costs, and an end as soon as a signal asks for it."""
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CRYPTVOL = os.environ.get("CRYPTVOL", os.path.join(TOP, "obj/cryptvol"))
CRYPTSETUP = "/usr/sbin/cryptsetup"
QUICK = ["--iter-time", "50", "--pbkdf-memory", "1024"]
FAILED = []


def check(name, fine, text=""):
    print(f"ok {name}" if fine else f"FAIL {name}: {text}", flush=True)
    if not fine:
        FAILED.append(name)


def run(argv, **more):
    return subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False, **more)


def shape(text):
    """Without figures, and without the room that they take."""
    return re.sub(r" +", " ", re.sub(r"\d+(\.\d+)?", "N", text)).strip()


def same_lines():
    """What cryptsetup prints of the same algorithms; its ciphers need AF_ALG, which a host may lack."""
    for arguments in (["--hash", "sha256"], ["--hash", "whirlpool"], ["--pbkdf", "argon2id"] + QUICK, ["--pbkdf", "argon2i"] + QUICK):
        ours, theirs = (run([program, "benchmark"] + arguments) for program in (CRYPTVOL, CRYPTSETUP))
        lines = [[shape(line) for line in out.splitlines() if line[:1] != "#"] for out in (ours.stdout, theirs.stdout)]
        # 2.6.1 adds the other lines of its PBKDFs where only a hash is named
        check(f"lines of {' '.join(arguments)}", ours.returncode == 0 and len(lines[0]) == 1 and lines[0][0] in lines[1], lines)
    for arguments in (["--hash", "nonsense"], ["-c", "nonsense-cbc"]):
        ours, theirs = (run([program, "benchmark"] + arguments) for program in (CRYPTVOL, CRYPTSETUP))
        check(f"status of {' '.join(arguments)}", ours.returncode == theirs.returncode == 1 and "N/A" in ours.stdout, (ours, theirs))
    ours = run([CRYPTVOL, "benchmark", "--pbkdf", "argon2id", "--pbkdf-parallel", "8"] + QUICK)
    check("more threads than are used", ours.returncode == 0 and "4 parallel" in ours.stdout and "4 threads" in ours.stderr, ours)
    ours = run([CRYPTVOL, "benchmark", "-c", "aes-xts-plain64", "-s", "256"])
    check("a cipher's line", re.fullmatch(r"#.*\n# +Algorithm \| +Key \| +Encryption \| +Decryption\n +aes-xts +256b +\d+\.\d MiB/s +\d+\.\d MiB/s\n",
                                          ours.stdout), ours.stdout)


def stored_cost(folder):
    image, key = os.path.join(folder, "image"), os.path.join(folder, "key")
    with open(image, "wb") as f:
        f.truncate(20 << 20)
    with open(key, "w", encoding="ascii") as f:
        f.write("benchmark")
    run([CRYPTVOL, "luksFormat", "-q", image, key])
    kdf = json.loads(run([CRYPTVOL, "luksDump", "--dump-json-metadata", image]).stdout)["keyslots"]["0"]["kdf"]
    return {"type": kdf["type"], "iterations": kdf["time"], "memory_kib": kdf["memory"], "parallel": kdf["cpus"]}


def as_json(folder):
    done = run([CRYPTVOL, "benchmark", "--json"] + QUICK)
    try:
        figures = json.loads(done.stdout)
    except ValueError:
        check("JSON", False, done.stdout + done.stderr)
        return
    hashes = {p["hash"]: p["iterations_per_second"] for p in figures["pbkdf2"]}
    check("JSON: PBKDF2", set(hashes) == {"sha1", "sha256", "sha512", "ripemd160", "whirlpool"} and min(hashes.values()) > 1000, hashes)
    argon2 = figures["argon2"]
    check("JSON: argon2", [a["type"] for a in argon2] == ["argon2i", "argon2id"] and
          all(a["target_ms"] == 50 and a["memory_kib"] == 1024 and a["iterations"] >= 4 for a in argon2), argon2)
    ciphers = {(c["cipher"], c["key_bits"]): c for c in figures["ciphers"]}
    check("JSON: ciphers", len(ciphers) == 13 and ciphers[("aes-xts-plain64", 512)]["encryption_mib_per_second"] > 1 and
          all(set(c) == {"cipher", "key_bits", "encryption_mib_per_second", "decryption_mib_per_second"} for c in ciphers.values()), ciphers)
    policy = figures["policy"]
    unlock_ms = policy.pop("unlock_ms")
    check("JSON: the policy is what luksFormat stores", policy == stored_cost(folder), policy)
    check("JSON: time of an unlock", 1 < unlock_ms < 120000, unlock_ms)
    only = json.loads(run([CRYPTVOL, "benchmark", "--json", "--hash", "nonsense"]).stdout)
    check("JSON: null for what isn't there", only == {"pbkdf2": [{"hash": "nonsense", "iterations_per_second": None}]}, only)


def interrupted():
    for number in (signal.SIGINT, signal.SIGTERM):  # in the background of a script SIGINT is ignored, and stays so in what is started
        signal.signal(number, signal.SIG_DFL)
    for number in (signal.SIGINT, signal.SIGTERM):
        for arguments in (["--pbkdf", "argon2id", "--iter-time", "20000"], []):
            with subprocess.Popen([CRYPTVOL, "benchmark"] + arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as p:
                time.sleep(0.5)
                early = p.poll()
                p.send_signal(number)
                p.wait()
            check(f"{number.name} ends benchmark {' '.join(arguments)}", early is None and p.returncode != 0, (early, p.returncode))


def main():
    if not os.access(CRYPTSETUP, os.X_OK):
        print("SKIP benchmark: no cryptsetup")
        return 77
    with tempfile.TemporaryDirectory(prefix="cryptvol-benchmark-") as folder:
        same_lines()
        as_json(folder)
        interrupted()
    return 1 if FAILED else 0


if __name__ == "__main__":
    sys.exit(main())
