#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Passphrases and questions on a terminal: ours and stock cryptsetup's, side by side, on a pseudo-terminal each."""

import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import termios
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
OURS = os.environ.get("CRYPTVOL") or os.path.join(ROOT, "obj/cryptvol")
STOCK = "/usr/sbin/cryptsetup"
KDF = ["--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"]
LIMIT_SECONDS = 30
failures = 0


class Terminal:
    """A program with a controlling terminal of its own."""

    def __init__(self, words):
        self.shown = b""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execvp(words[0], words)

    def read(self, pattern=None, limit=LIMIT_SECONDS):
        """Read until the text matches, or to the end. Returns whether it did."""
        start, deadline = len(self.shown), time.monotonic() + limit
        while time.monotonic() < deadline:
            if pattern and re.search(pattern, self.shown[start:]):
                return True
            if not select.select([self.fd], [], [], 0.2)[0]:
                continue
            try:
                piece = os.read(self.fd, 4096)
            except OSError:
                piece = b""
            if not piece:
                break
            self.shown += piece
        return bool(pattern and re.search(pattern, self.shown[start:]))

    def echoes(self):
        return bool(termios.tcgetattr(self.fd)[3] & termios.ECHO)

    def type(self, text):
        os.write(self.fd, text)

    def end(self):
        self.read()
        os.close(self.fd)  # which hangs up on a program that is still there
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            pid, raw = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(raw)
            time.sleep(0.02)
        os.kill(self.pid, signal.SIGKILL)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def report(name, why=""):
    global failures
    if why:
        failures += 1
        print("FAIL %s: %s" % (name, why))
    else:
        print("ok %s" % name, flush=True)


def quiet_late(terminal):
    """Is the echo still on when the prompt is seen? Stock cryptsetup turns it off a moment later, and drops what
    was typed before."""
    late = terminal.echoes()
    deadline = time.monotonic() + 5
    while terminal.echoes() and time.monotonic() < deadline:
        time.sleep(0.01)
    return late


def dialogue(program, words, talk):
    """Answer each prompt in turn. Returns what a person sees, and the exit status."""
    terminal = Terminal([program] + words)
    seen, early = [], 0
    for prompt, answer in talk:
        if not terminal.read(prompt.encode()):
            seen.append("no prompt %s" % prompt)
            break
        seen.append(prompt)
        if prompt != SURE:
            early += quiet_late(terminal)
        terminal.type(answer)
    status = terminal.end()
    typed = [a.strip(b"\n").decode() for p, a in talk if p != SURE]
    leaked = [t for t in typed if len(t) > 3 and t.encode() in terminal.shown]
    return seen, status, leaked or early, terminal.shown.decode("utf-8", "replace")


ASK, TWICE, OLD = r"Enter passphrase for \S+: ", "Verify passphrase: ", "Enter any existing passphrase: "
NEW, SURE = "Enter new passphrase for key slot: ", r"Are you sure\? \(Type 'yes' in capital letters\): "
# name, words, what is asked and answered, status. {img} is a copy with keyslots 0 "sesame", 1 "second".
DIALOGUES = [
    ("open", ["luksOpen", "--test-passphrase", "{img}"], [(ASK, b"sesame\n")], 0),
    ("open, wrong thrice", ["luksOpen", "--test-passphrase", "{img}"],
     [(ASK, b"wrong1\n"), (ASK, b"wrong2\n"), (ASK, b"wrong3\n")], 2),
    ("open, right at the second", ["luksOpen", "--test-passphrase", "{img}"],
     [(ASK, b"wrong1\n"), (ASK, b"sesame\n")], 0),
    ("open, one try", ["luksOpen", "-T", "1", "--test-passphrase", "{img}"], [(ASK, b"wrong1\n")], 2),
    ("open, key file -", ["luksOpen", "--test-passphrase", "{img}", "-d", "-"], [(ASK, b"sesame\n")], 0),
    ("open, twice", ["luksOpen", "-y", "--test-passphrase", "{img}"],
     [(ASK, b"sesame\n"), (TWICE, b"sesame\n")], 0),
    ("format", ["luksFormat", "{blank}"] + KDF, [(SURE, b"YES\n"), (ASK, b"sesame\n"), (TWICE, b"sesame\n")], 0),
    ("format, not sure", ["luksFormat", "{blank}"] + KDF, [(SURE, b"yes\n")], None),
    ("format, mistyped", ["luksFormat", "{blank}"] + KDF,
     [(SURE, b"YES\n"), (ASK, b"sesame\n"), (TWICE, b"sesamy\n")], 2),
    ("format, batch", ["-q", "luksFormat", "{blank}"] + KDF, [(ASK, b"sesame\n")], 0),
    ("add", ["luksAddKey", "{img}"] + KDF, [(OLD, b"sesame\n"), (NEW, b"third\n"), (TWICE, b"third\n")], 0),
    ("add, wrong", ["luksAddKey", "-T", "1", "{img}"] + KDF, [(OLD, b"wrong1\n")], 2),
    ("change", ["luksChangeKey", "{img}"] + KDF,
     [("Enter passphrase to be changed: ", b"sesame\n"), ("Enter new passphrase: ", b"other\n"),
      (TWICE, b"other\n")], 0),
    ("remove", ["luksRemoveKey", "{img}"], [("Enter passphrase to be deleted: ", b"sesame\n")], 0),
    ("kill", ["luksKillSlot", "{img}", "0"], [("Enter any remaining passphrase: ", b"second\n")], 0),
    ("kill, batch", ["-q", "luksKillSlot", "{img}", "0"], [], 0),
    ("kill the last, not sure", ["luksKillSlot", "{one}", "0"], [(SURE, b"no\n")], None),
    ("erase", ["erase", "{img}"], [(SURE, b"YES\n")], 0),
    ("erase, not sure", ["erase", "{img}"], [(SURE, b"n\n")], None),
    ("dump the key", ["luksDump", "--dump-volume-key", "{img}"], [(SURE, b"YES\n"), (ASK, b"sesame\n")], 0),
    ("uuid", ["luksUUID", "{img}", "--uuid", "3b883540-49db-4ac5-9bc1-e9cb24d5f41f"], [(SURE, b"YES\n")], 0),
]


def run_dialogues():
    for name, words, talk, wanted in DIALOGUES:
        results = []
        for program in (STOCK, OURS):
            real = []
            for word in words:
                if word.startswith("{"):
                    shutil.copy(word[1:-1], "copy")
                    word = "copy"
                real.append(word)
            results.append(dialogue(program, real, talk))
        stock, ours = results
        why = ""
        if stock[0] != ours[0]:
            why = "asked %s, not %s; %r" % (ours[0], stock[0], ours[3][-200:])
        elif stock[1] != ours[1] or wanted not in (None, ours[1]):
            why = "status %d, not %d: %r" % (ours[1], stock[1], ours[3][-200:])
        elif ours[2]:
            why = "a passphrase can be seen: %s" % ours[2]
        report(name, why)


def signal_restores(number):
    """A signal at the prompt ends the program, and the terminal echoes again."""
    terminal = Terminal([OURS, "luksOpen", "--test-passphrase", "img"])
    terminal.read(ASK.encode())
    quiet = not terminal.echoes()
    if number == signal.SIGINT:
        terminal.type(b"\x03")
    else:
        os.kill(terminal.pid, number)
    deadline = time.monotonic() + LIMIT_SECONDS
    status = None
    echoes = False
    while status is None and time.monotonic() < deadline:
        pid, raw = os.waitpid(terminal.pid, os.WNOHANG)
        if pid:
            status = os.waitstatus_to_exitcode(raw)
            echoes = terminal.echoes()
        else:
            time.sleep(0.02)
    os.close(terminal.fd)
    report("%s at the prompt" % number.name,
           "" if quiet and status == -number and echoes else
           "quiet %s, status %s, echo afterwards %s" % (quiet, status, echoes))


def stop_and_go_on():
    """Control-Z gives the terminal back as it was; after `fg` the question is put again."""
    script = '"$@"; echo "left $?"; read -r x; fg; echo "ended $?"'
    terminal = Terminal(["bash", "-m", "-c", script, "bash", OURS, "luksOpen", "--test-passphrase", "img"])
    terminal.read(ASK.encode())
    terminal.type(b"\x1a")
    stopped = terminal.read(rb"left 1\d\d", 10)
    echoes = terminal.echoes()
    terminal.type(b"\n")
    asked = terminal.read(ASK.encode(), 10)
    quiet = not terminal.echoes()
    terminal.type(b"sesame\n")
    ended = terminal.read(rb"ended 0", 10)
    terminal.end()
    report("stopped and continued", "" if stopped and echoes and asked and quiet and ended else
           "stopped %s, echo %s, asked again %s, quiet %s, ended %s: %r" % (
               stopped, echoes, asked, quiet, ended, terminal.shown))


def signal_in_kdf(number):
    """During a derivation a signal ends the program at once, and nothing was written."""
    shutil.copy("img", "copy")
    before = open("copy", "rb").read()
    child = subprocess.Popen([OURS, "luksAddKey", "-d", "pass", "copy", "pass", "--pbkdf", "pbkdf2",
                              "--pbkdf-force-iterations", "900000000"], stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL)
    time.sleep(1)
    running = child.poll() is None
    child.send_signal(number)
    status = child.wait(LIMIT_SECONDS)
    same = before == open("copy", "rb").read()
    report("%s in a derivation" % number.name,
           "" if running and status == -number and same else
           "running %s, status %s, header as before: %s" % (running, status, same))


def too_long():
    terminal = Terminal([OURS, "luksOpen", "-T", "1", "--test-passphrase", "img"])
    terminal.read(ASK.encode())
    terminal.type(b"x" * 600 + b"\n")
    status = terminal.end()
    report("more than 512 characters", "" if status == 2 and b"can be trimmed" in terminal.shown else
           "status %d: %r" % (status, terminal.shown))


def timeout():
    terminal = Terminal([OURS, "luksOpen", "-t", "1", "--test-passphrase", "img"])
    status = terminal.end()
    report("time limit", "" if status == 1 else "status %d" % status)


def make_images():
    with open("pass", "wb") as f:
        f.write(b"sesame")
    with open("second", "wb") as f:
        f.write(b"second")
    small = ["--luks2-keyslots-size", "1M", "--offset", "4096"]
    for name, size in (("one", 4 << 20), ("blank", 20 << 20)):
        with open(name, "wb") as f:
            f.truncate(size)
    subprocess.run([STOCK, "-q", "luksFormat", "one", "pass"] + KDF + small, check=True,
                   stderr=subprocess.DEVNULL)
    shutil.copy("one", "img")
    subprocess.run([STOCK, "-q", "luksAddKey", "-d", "pass", "img", "second"] + KDF, check=True)


def main():
    if not os.path.exists(STOCK):
        print("SKIP terminal: there is no cryptsetup here")
        return 77
    for number in (signal.SIGHUP, signal.SIGINT):  # ignored below nohup or in a script's background, they stay so in what is started
        signal.signal(number, signal.SIG_DFL)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        make_images()
        run_dialogues()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal_restores(number)
        stop_and_go_on()
        signal_in_kdf(signal.SIGINT)
        signal_in_kdf(signal.SIGTERM)
        too_long()
        timeout()
        os.chdir("/")
    return 1 if failures else 0


sys.exit(main())
