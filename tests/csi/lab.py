# SPDX-License-Identifier: Apache-2.0
"""The lab of the CSI tests: drivers that are started and killed, volumes taken the way that kubelet and the sidecars
take them, the kernel's view of them, and result lines."""
import contextlib
import errno
import fcntl
import hashlib
import http.client
import json
import os
import re
import signal
import socket
import sqlite3
import struct
import subprocess
import sys
import threading
import time
import traceback

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from csiclient import Client, Failed, Mode, block_cap, mount_cap, pb  # noqa: E402,F401

SCRATCH = os.environ["SCRATCH"]
DRIVER = os.environ["CRYPTVOL_CSI"]
CLI = os.environ.get("CRYPTVOL", "cryptvol")
CRYPTSETUP = os.environ.get("CRYPTSETUP", "cryptsetup")
FULL = os.environ.get("FULL", "") not in ("", "0")
MIB = 1 << 20
GIB = 1 << 30
HEADER = 16 * MIB
METRICS_PORT = 19810
FAST = {"CRYPTO_PBKDF": "pbkdf2", "CRYPTO_PBKDF_FORCE_ITERATIONS": "1000"}


def secret(passphrase, **more):
    """A Secret with a cheap keyslot, for tests whose subject isn't the cost."""
    return {"CRYPTO_KEY_VALUE": passphrase, **FAST, **more}


# ---- results ----

CASES = []
results = {"ok": 0, "FAIL": 0, "SKIP": 0}


class Skip(Exception):
    pass


def say(word, name, why=""):
    results[word] += 1
    print(f"{word} {name}" + (f": {why}" if why else ""), flush=True)


def case(name):
    """A test: its name stands in the results."""
    def add(f):
        CASES.append((name, f))
        return f
    return add


def run_cases(make_lab, prefix=""):
    """Every case on a lab of its own volumes; TEST_ONLY is a pattern of names."""
    only = os.environ.get("TEST_ONLY", "")
    for name, f in CASES:
        if only and not re.search(only, name):
            continue
        started = time.monotonic()
        lab = make_lab()
        try:
            f(lab)
            why = lab.clear()
            say("FAIL" if why else "ok", prefix + name, why)
        except Skip as e:
            lab.clear()
            say("SKIP", prefix + name, str(e))
        except Exception as e:
            say("FAIL", prefix + name, " ".join(f"{type(e).__name__}: {e}".split())[:600])
            where = [f"{os.path.basename(x.filename)}:{x.lineno}" for x in traceback.extract_tb(e.__traceback__)]
            print("    at " + " ".join(where), flush=True)
            lab.clear()
        if os.environ.get("TEST_TIMES"):
            print(f"    {time.monotonic() - started:.2f} s", flush=True)
    if not any(results.values()):
        say("FAIL", "cases", "none ran")
    return 1 if results["FAIL"] else 0


def expect(what, wanted, found):
    assert wanted == found, f"{what}: wanted {wanted!r}, found {found!r}"


# ---- programs and the kernel ----

def run(*command, stdin=b"", check=True):
    """A program's output; its failure is one of the test unless check is off."""
    p = subprocess.run([str(c) for c in command], input=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                       check=False)
    if check:
        assert p.returncode == 0, f"{' '.join(map(str, command))}: {p.returncode}: {p.stdout.decode(errors='replace')}"
    return p


def text_of(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as f:
            return f.read()
    except OSError:
        return ""


def mappings():
    return {text_of(f"/sys/block/{d}/dm/name").strip() for d in os.listdir("/sys/block") if d.startswith("dm-")}


def loops():
    """Loop devices and what they stand on."""
    return {d: text_of(f"/sys/block/{d}/loop/backing_file").strip() for d in os.listdir("/sys/block")
            if d.startswith("loop") and os.path.exists(f"/sys/block/{d}/loop/backing_file")}


def loop_of(image):
    found = [d for d, f in loops().items() if f == image]
    return f"/dev/{found[0]}" if found else None


def mounted(path):
    """The mount on exactly this path (topmost), as its fields; None."""
    found = None
    for line in text_of("/proc/self/mountinfo").splitlines():
        parts = line.split(" ")
        if parts[4] == path:
            rest = parts[parts.index("-") + 1:]
            found = {"id": parts[2], "root": parts[3], "options": parts[5].split(","), "type": rest[0], "source": rest[1],
                     "super": rest[2].split(",")}
    return found


def kept_keys():
    return [line for line in text_of("/proc/keys").splitlines() if re.search("cryptsetup:|cryptvol", line)]


def device_bytes(path):
    fd = os.open(path, os.O_RDONLY)
    try:
        return os.lseek(fd, 0, os.SEEK_END)
    finally:
        os.close(fd)


def read_at(path, n, at=0):
    with open(path, "rb") as f:
        f.seek(at)
        return f.read(n)


def write_at(path, data, at=0):
    fd = os.open(path, os.O_WRONLY)
    try:
        os.pwrite(fd, data, at)
        os.fsync(fd)
    finally:
        os.close(fd)


def drop_caches():
    os.sync()
    with open("/proc/sys/vm/drop_caches", "w", encoding="ascii") as f:
        f.write("3\n")


def data_of(path):
    """What is allocated of a file, or all of a device, in pieces: (offset, bytes)."""
    fd = os.open(path, os.O_RDONLY)
    try:
        at, end = 0, os.lseek(fd, 0, os.SEEK_END)
        while at < end:
            try:
                at = os.lseek(fd, at, os.SEEK_DATA)
            except OSError as e:
                if e.errno == errno.ENXIO:
                    return
                if e.errno != errno.EINVAL:  # a device: all of it is data
                    raise
            piece = os.pread(fd, 4 * MIB, at)
            yield at, piece
            at += len(piece)
    finally:
        os.close(fd)


def find_bytes(path, needle):
    """How often the bytes are in a file or device."""
    count, expected, tail = 0, 0, b""
    for at, piece in data_of(path):
        if at != expected:
            tail = b""
        count += (tail + piece).count(needle)
        tail = piece[-(len(needle) - 1):]
        expected = at + len(piece)
    return count


def fingerprint(path):
    """Of a file's bytes, zeros left out so that holes don't matter."""
    h = hashlib.sha256(str(os.path.getsize(path)).encode())
    for at, piece in data_of(path):
        for i in range(0, len(piece), 4096):
            page = piece[i:i + 4096]
            if page.count(0) != len(page):
                h.update((at + i).to_bytes(8, "little") + page)
    return h.hexdigest()


def make_store(path):
    """A store of backups that a driver may write to."""
    os.makedirs(path, exist_ok=True)
    run(CLI, "backup", "--init", path)
    return path


def wait_for(what, seconds, f):
    limit = time.monotonic() + seconds
    while True:
        r = f()
        if r:
            return r
        assert time.monotonic() < limit, f"{what}: not within {seconds} s"
        time.sleep(0.02)


def in_background(f, *args, **kw):
    """Run it in a thread; join() gives its outcome: "OK" or the code."""
    box = []

    def work():
        try:
            f(*args, **kw)
            box.append("OK")
        except Failed as e:
            if e.code not in ("ABORTED", "DEADLINE_EXCEEDED", "UNAVAILABLE", "NOT_FOUND", "UNAUTHENTICATED"):
                print(f"    {e}", flush=True)
            box.append(e.code)
    t = threading.Thread(target=work)
    t.start()

    def join():
        t.join()
        return box[0]
    return join


# ---- a driver ----

class Driver:
    """A process of the driver. start(session=True) gives it a session keyring of its own, as a new container has."""

    def __init__(self, name="n1", state=None, **options):
        self.name = name
        self.folder = os.path.join(SCRATCH, "run-" + name)
        self.state = state or os.path.join(SCRATCH, "csi", name)
        self.socket = os.path.join(self.folder, "csi.sock")
        self.log = os.path.join(self.folder, "driver.log")
        self.options = {"endpoint": f"unix://{self.socket}", "state-dir": self.state, "node-id": name,
                        "log-level": "debug", **options}
        self.process = None
        self.client = None
        os.makedirs(self.folder, exist_ok=True)

    def start(self, session=False, wait=True, wrap=(), **options):
        command = ["keyctl", "session", "-"] if session else []
        command += [*wrap, DRIVER]
        command += [f"--{k}={v}" for k, v in {**self.options, **options}.items()]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        with open(os.path.join(SCRATCH, "pids"), "a", encoding="ascii") as f:
            f.write(f"{self.process.pid}\n")
        if wait:
            self.wait_ready()
        return self.client

    def wait_ready(self, seconds=30):
        """The library's own waiting for a server is in steps of seconds: the socket is tried first."""
        limit = time.monotonic() + seconds
        while not self.listens():
            assert self.process.poll() is None, f"the driver ended: {self.last_words()}"
            assert time.monotonic() < limit, f"no driver: {self.last_words()}"
            time.sleep(0.01)
        self.client = Client(self.socket)
        self.client.Probe(timeout=10)

    def listens(self):
        with socket.socket(socket.AF_UNIX) as s:
            try:
                s.connect(self.socket)
            except OSError:
                return False
            return True

    def last_words(self):
        return " | ".join(text_of(self.log).splitlines()[-3:])

    def log_text(self):
        return text_of(self.log)

    @property
    def pid(self):
        return self.process.pid

    def stop(self, how=signal.SIGTERM, seconds=30):
        if self.client:
            self.client.channel.close()
            self.client = None
        if not self.process or self.process.poll() is not None:
            return self.process.returncode if self.process else None
        self.process.send_signal(how)
        return self.process.wait(seconds)

    def kill(self):
        self.stop(signal.SIGKILL)

    def restart(self, how=signal.SIGTERM, **options):
        self.stop(how)
        return self.start(**options)

    def image(self, volume_id):
        return f"{self.state}/volumes/{volume_id}.img"

    def snapshot_image(self, snapshot_id):
        return f"{self.state}/snapshots/{snapshot_id}.img"

    def header_backups(self, volume_id):
        folder = f"{self.state}/headers"
        return sorted(f"{folder}/{f}" for f in os.listdir(folder) if f.startswith(volume_id + "."))


# ---- a volume, as the orchestrator has it ----

class Volume:
    """Create, publish, stage, publish; and back. The fields that kubelet keeps are kept here."""

    def __init__(self, lab, name, message, cap, secrets):
        self.lab, self.name, self.message, self.cap = lab, name, message, cap
        self.secrets = secrets
        self.id = message.volume_id
        self.context = dict(message.volume_context)
        self.staging = f"{lab.kubelet}/plugins/{self.id}/globalmount"
        self.targets = []
        os.makedirs(self.staging, exist_ok=True)

    @property
    def c(self):
        return self.lab.driver.client

    @property
    def image(self):
        return self.lab.driver.image(self.id)

    @property
    def mapper(self):
        return f"/dev/mapper/{self.id}"

    @property
    def is_block(self):
        return self.cap.HasField("block")

    def target(self, pod="pod"):
        return f"{self.lab.kubelet}/pods/{pod}-{self.id}/{'dev' if self.is_block else 'mount'}"

    def attach(self, node=None):
        self.c.ControllerPublishVolume(volume_id=self.id, node_id=node or self.lab.driver.name, volume_capability=self.cap,
                                       volume_context=self.context, secrets=self.secrets)

    def detach(self, node=None):
        self.c.ControllerUnpublishVolume(volume_id=self.id, node_id=node or self.lab.driver.name)

    def stage_fields(self, secrets=None):
        return dict(volume_id=self.id, staging_target_path=self.staging, volume_capability=self.cap,
                    secrets=self.secrets if secrets is None else secrets, volume_context=self.context)

    def stage(self, secrets=None, **kw):
        self.c.NodeStageVolume(**self.stage_fields(secrets), **kw)

    def stage_fails(self, code, secrets=None):
        return self.c.fails(code, "NodeStageVolume", **self.stage_fields(secrets))

    def unstage(self):
        self.c.NodeUnstageVolume(volume_id=self.id, staging_target_path=self.staging)

    def publish(self, pod="pod", readonly=False, **kw):
        target = self.target(pod)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        self.c.NodePublishVolume(volume_id=self.id, staging_target_path=self.staging, target_path=target,
                                 volume_capability=kw.pop("cap", self.cap), readonly=readonly,
                                 volume_context=self.context, **kw)
        if target not in self.targets:
            self.targets.append(target)
        return target

    def unpublish(self, pod="pod"):
        target = self.target(pod)
        self.c.NodeUnpublishVolume(volume_id=self.id, target_path=target)
        if target in self.targets:
            self.targets.remove(target)

    def up(self, pod="pod"):
        self.attach()
        self.stage()
        return self.publish(pod)

    def down(self):
        for target in list(self.targets):
            self.c.NodeUnpublishVolume(volume_id=self.id, target_path=target)
            self.targets.remove(target)
        self.unstage()
        self.detach()

    def delete(self):
        self.c.DeleteVolume(volume_id=self.id)
        self.lab.volumes.remove(self)

    def header(self):
        return read_at(self.image, HEADER)

    def dump(self):
        """What stock cryptsetup reads in the header."""
        return json.loads(run(CRYPTSETUP, "luksDump", "--dump-json-metadata", self.image).stdout)

    def expand(self, size, path=None, secrets=None):
        """The resizer, then kubelet."""
        r = self.c.ControllerExpandVolume(volume_id=self.id, capacity_range=pb.CapacityRange(required_bytes=size),
                                          volume_capability=self.cap)
        assert r.node_expansion_required
        return self.node_expand(size, path, secrets)

    def node_expand(self, size, path=None, secrets=None):
        return self.c.NodeExpandVolume(volume_id=self.id, volume_path=path or (self.targets or [self.staging])[0],
                                       staging_target_path=self.staging, volume_capability=self.cap,
                                       capacity_range=pb.CapacityRange(required_bytes=size), secrets=secrets or {})


class Lab:
    """One case's volumes on one driver; clear() takes all of them down and says what would not go."""
    serial = 0

    def __init__(self, driver):
        self.driver = driver
        self.volumes = []
        self.snapshots = []
        self.on_clear = []
        self.kubelet = os.path.join(SCRATCH, "kubelet")
        os.makedirs(self.kubelet, exist_ok=True)

    @property
    def c(self):
        return self.driver.client

    def name(self, stem="pvc"):
        Lab.serial += 1
        return f"{stem}-{Lab.serial}"

    def create(self, name=None, size=64 * MIB, cap=None, secrets=None, parameters=None, encrypted=True, source=None,
               **kw):
        cap = cap or mount_cap()
        name = name or self.name()
        parameters = {**({"encrypted": "true"} if encrypted else {}), **(parameters or {})}
        if secrets is None:
            secrets = secret("passphrase of " + name) if encrypted else {}
        if source is not None:
            kw["volume_content_source"] = source
        message = self.c.CreateVolume(name=name, capacity_range=pb.CapacityRange(required_bytes=size),
                                      volume_capabilities=[cap], parameters=parameters, secrets=secrets, **kw).volume
        v = Volume(self, name, message, cap, secrets)
        self.volumes.append(v)
        return v

    def snapshot(self, volume, name=None, **kw):
        s = self.c.CreateSnapshot(source_volume_id=volume.id, name=name or self.name("snap"), **kw).snapshot
        self.snapshots.append(s.snapshot_id)
        return s

    def clear(self):
        problems = []

        def attempt(f, *args, **kw):
            try:
                f(*args, **kw)
            except Exception as e:
                problems.append(" ".join(str(e).split()))
        for f in reversed(self.on_clear):
            attempt(f)
        self.on_clear = []
        if not self.driver.process or self.driver.process.poll() is not None or not self.driver.client:
            attempt(self.driver.start)
        for v in list(self.volumes):
            attempt(v.down)
        for s in self.snapshots:
            attempt(self.c.DeleteSnapshot, snapshot_id=s)
        for v in list(self.volumes):
            attempt(v.delete)
        self.volumes, self.snapshots = [], []
        return "; ".join(problems)[:400]


def run_on(driver, **start):
    """All cases on one driver; the exit status."""
    driver.start(**start)
    status = run_cases(lambda: Lab(driver))
    driver.stop()
    return status


def source_snapshot(snapshot_id):
    return pb.VolumeContentSource(snapshot=pb.VolumeContentSource.SnapshotSource(snapshot_id=snapshot_id))


def source_volume(volume_id):
    return pb.VolumeContentSource(volume=pb.VolumeContentSource.VolumeSource(volume_id=volume_id))


def used(lab, **kw):
    """A volume with a file in it, unstaged."""
    v = lab.create(**kw)
    with open(f"{v.up()}/data", "w", encoding="ascii") as f:
        f.write("data that must survive")
    v.down()
    return v


def still_there(v):
    v.stage()
    expect("the file", "data that must survive", open(f"{v.staging}/data", encoding="ascii").read())
    v.unstage()


def lab_loop(v):
    """The loop device over the volume's image, whatever its name for the image is."""
    want = os.stat(v.image)
    for line in run("losetup", "-n", "-l", "-O", "NAME,BACK-INO").stdout.decode().splitlines():
        name, inode = line.split()
        if int(inode) == want.st_ino:
            return name
    raise AssertionError("no loop device")


def records_in(state, sql, *args):
    with contextlib.closing(sqlite3.connect(f"{state}/state.db", timeout=20)) as db, db:
        return db.execute(sql, args).fetchall()


def records(lab, sql, *args):
    return records_in(lab.driver.state, sql, *args)


def edit_header(path, change):
    """Change the metadata of both copies of a LUKS2 header in place, with good checksums: change(the JSON tree)."""
    size = 0x4000
    with open(path, "r+b") as f:
        for offset in (0, size):
            f.seek(offset)
            copy = bytearray(f.read(size))
            tree = json.loads(copy[4096:].split(b"\0")[0])
            change(tree)
            text = json.dumps(tree, separators=(",", ":")).encode()
            copy[4096:] = text + bytes(size - 4096 - len(text))
            copy[448:512] = bytes(64)
            copy[448:480] = hashlib.sha256(copy).digest()
            f.seek(offset)
            f.write(copy)
        f.flush()
        os.fsync(f.fileno())


def scrape(port=METRICS_PORT, host="127.0.0.1"):
    """Each series of the metrics with its value."""
    c = http.client.HTTPConnection(host, port, timeout=10)
    c.request("GET", "/metrics")
    answer = c.getresponse()
    expect("status", 200, answer.status)
    text = answer.read().decode()
    c.close()
    series = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            assert name not in series, f"{name} twice"
            series[name] = float(value)
    for name in {re.sub(r"(_bucket|_sum|_count)?\{.*", "", s) for s in series}:
        assert re.search(rf"^# TYPE {name}(_total)? ", text, re.M), f"{name} has no type"
    return series


def small_state(lab, kind, mib):
    """A folder of its own file system, for a state directory."""
    image, folder = f"{SCRATCH}/csi/small.img", f"{SCRATCH}/small"
    os.makedirs(folder, exist_ok=True)
    run("truncate", "-s", f"{mib}M", image)
    run(f"mkfs.{kind}", "-q", image)
    run("mount", "-o", "loop", image, folder)
    lab.on_clear.append(lambda: (run("umount", folder), os.unlink(image)))
    return folder


def remove_records(driver):
    for f in os.listdir(driver.state):
        if f.startswith("state.db"):
            os.unlink(f"{driver.state}/{f}")


def lose_records(lab):
    lab.driver.stop()
    remove_records(lab.driver)
    lab.driver.start()


@contextlib.contextmanager
def worked_on(state, key):
    """As if another process of the node worked on this volume or snapshot."""
    h = 0xcbf29ce484222325
    for c in key.encode():
        h = ((h ^ c) * 0x100000001b3) % (1 << 64)
    node = records_in(state, "SELECT value FROM meta WHERE key='node_id'")[0][0]
    with open(f"/run/cryptvol/ids-{hashlib.sha256(node.encode()).hexdigest()[:8]}.lock", "a+b") as f:
        fcntl.fcntl(f, fcntl.F_OFD_SETLK, struct.pack("hhqqi0q", fcntl.F_WRLCK, os.SEEK_SET, h >> 2, 1, 0))
        yield


@contextlib.contextmanager
def raises(kind):
    try:
        yield
    except kind:
        return
    raise AssertionError(f"no {kind.__name__}")
