# SPDX-License-Identifier: Apache-2.0
"""The driver's main job, step by step, with the class and the Secret of deploy/kubernetes/examples."""
import os
import sys

import yaml

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "csi"))
from lab import (CLI, CRYPTSETUP, DRIVER, MIB, Driver, Failed, Lab, device_bytes, drop_caches, expect, find_bytes,  # noqa: E402
                 fingerprint, loop_of, mappings, mount_cap, mounted, run, source_snapshot)

EXAMPLES = os.path.join(HERE, "..", "..", "deploy", "kubernetes", "examples")
MARKER = "cryptvol-demo-marker-" + os.urandom(8).hex()
steps = 0


class Step:
    """A numbered line with its result; what went wrong ends the demonstration."""

    def __init__(self, what):
        self.what = what

    def __enter__(self):
        global steps
        steps += 1
        print(f"{steps:3}. {self.what:<78} ", end="", flush=True)
        return self

    def __exit__(self, kind, error, trace):
        print("FAILED" if error else "ok", flush=True)
        if error:
            print(f"       | {error}\nFAIL {self.what}")
            sys.exit(1)


def told(text):
    print("".join(f"       {line}\n" for line in text.splitlines()), end="")


def example(file):
    with open(os.path.join(EXAMPLES, file), encoding="utf-8") as f:
        return yaml.safe_load(f)


def the_class():
    """What the provisioner hands on of the class: its parameters without its own."""
    c = example("storageclass-global-secret.yaml")
    told(f"StorageClass {c['metadata']['name']}: encrypted: \"{c['parameters']['encrypted']}\", "
         f"{c['parameters']['csi.storage.k8s.io/fstype']}, Secret {c['parameters']['csi.storage.k8s.io/node-stage-secret-name']}")
    return {k: v for k, v in c["parameters"].items() if not k.startswith("csi.storage.k8s.io/")}


def the_secret():
    """The example's, with less memory for argon2id than the default: this guest is small."""
    s = {**example("secret-global.yaml")["stringData"], "CRYPTO_PBKDF_MEMORY": "65536"}
    told("Secret:\n" + "".join(f"  {k}: {'(not shown)' if k == 'CRYPTO_KEY_VALUE' else v}\n" for k, v in s.items()))
    return s


def picture(v, loop):
    print(f"""
    {v.target()}/note.txt
        |                        "{MARKER}"
        |  bind mount (NodePublishVolume)
    {v.staging}
        |  ext4 (NodeStageVolume)
    /dev/mapper/{v.id}
        |  dm-crypt, volume key in the kernel's keyring          plaintext above this line
    ----+----------------------------------------------------------------------------
        |  LUKS2 header + aes-xts ciphertext                     ciphertext below it
    {loop}
        |  direct I/O
    {v.image}
""")


def read_note(folder):
    with open(f"{folder}/note.txt", encoding="ascii") as f:
        return f.read()


def first_use(lab):
    parameters, secret = the_class(), the_secret()
    with Step("CreateVolume: a claim of 64 MiB"):
        v = lab.create(size=64 * MIB, cap=mount_cap(), parameters=parameters, secrets=secret, encrypted=False)
    told(f"volume_id {v.id}, {v.message.capacity_bytes} bytes, {os.stat(v.image).st_blocks * 512} of them used so far")
    with Step("ControllerPublishVolume"):
        v.attach()
    with Step("NodeStageVolume: formats (first use only), opens, makes ext4, mounts"):
        v.stage()
        expect("what is mounted", "ext4", mounted(v.staging)["type"])
    told(run(CLI, "status", v.id).stdout.decode())
    with Step("the mapped device is exactly as big as what was asked for"):
        expect("bytes", 64 * MIB, device_bytes(v.mapper))
    with Step("NodePublishVolume: the pod sees the file system"):
        v.publish()
    with Step("the pod writes a file with a marker"):
        with open(f"{v.target()}/note.txt", "w", encoding="ascii") as f:
            f.write(MARKER)
            f.flush()
            os.fsync(f.fileno())
    return v


def where_it_lies(lab, v):
    loop = loop_of(v.image)
    picture(v, loop)
    drop_caches()
    with Step("the marker is found in the mapped device (positive control)"):
        assert find_bytes(v.mapper, MARKER.encode()), "not found"
    with Step(f"the marker is NOT found on the backing device {loop}"):
        expect("hits", 0, find_bytes(loop, MARKER.encode()))
    with Step("the marker is NOT found in any file of the driver's state directory"):
        for folder, _, files in os.walk(lab.driver.state):
            for file in files:
                expect(f"hits in {file}", 0, find_bytes(os.path.join(folder, file), MARKER.encode()))


def growth(lab, v):
    with Step("the claim grows to 96 MiB while it is in use: no secret is asked for"):
        v.expand(96 * MIB)
        expect("bytes of the mapped device", 96 * MIB, device_bytes(v.mapper))
    told(run("df", "-h", "--output=source,size,used", v.target()).stdout.decode())


def copies(lab, v):
    with Step("CreateSnapshot, and a new volume from it"):
        s = lab.snapshot(v)
        w = lab.create(size=96 * MIB, parameters={"encrypted": "true"}, secrets=v.secrets, encrypted=False,
                       source=source_snapshot(s.snapshot_id))
    with Step("the marker is NOT found in the snapshot nor in the copy"):
        for file in (lab.driver.snapshot_image(s.snapshot_id), w.image):
            expect("hits", 0, find_bytes(file, MARKER.encode()))
    with Step("the copy opens with the same secret and has the file"):
        expect("the file", MARKER, read_note(w.up()))
    w.down()


def wrong_secret(lab, v):
    with Step("the pod ends: NodeUnpublishVolume, NodeUnstageVolume: the mapping is gone"):
        v.unpublish()
        v.unstage()
        assert v.id not in mappings() and not loop_of(v.image), "still there"
    before = fingerprint(v.image)
    with Step("NodeStageVolume with a wrong secret is refused: UNAUTHENTICATED"):
        message = v.stage_fails("UNAUTHENTICATED", {**v.secrets, "CRYPTO_KEY_VALUE": "not the passphrase"})
    told(message)
    with Step("... and with none: INVALID_ARGUMENT"):
        message = v.stage_fails("INVALID_ARGUMENT", {})
    told(message)
    with Step("nothing is mapped or mounted, not a byte of the image has changed"):
        assert v.id not in mappings() and not mounted(v.staging) and not loop_of(v.image), "something is left"
        expect("sha256", before, fingerprint(v.image))
    with Step("the right secret opens it; the file reads back"):
        expect("the file", MARKER, read_note(v.up()))
    v.down()


def by_cryptsetup(lab, v):
    folder = f"{lab.kubelet}/by-hand"
    os.makedirs(folder, exist_ok=True)
    with Step("stock cryptsetup opens the same volume, without the driver"):
        run(CRYPTSETUP, "open", "--key-file", "-", v.image, "by-hand", stdin=v.secrets["CRYPTO_KEY_VALUE"].encode())
        lab.on_clear.append(lambda: run(CRYPTSETUP, "close", "by-hand"))
        run("mount", "-o", "ro", "/dev/mapper/by-hand", folder)
        lab.on_clear.append(lambda: run("umount", folder))
    with Step("the file reads back as it was written"):
        expect("the file", MARKER, read_note(folder))


def main():
    driver = Driver(**{"log-level": "info"})
    version = run(DRIVER, "--version").stdout.decode().strip()
    print(f"== {version} on kernel {os.uname().release} ({os.environ.get('LAB_KERNEL', 'host')}), "
          f"beside {run(CRYPTSETUP, '--version').stdout.decode().strip()}\n")
    with Step("cryptvol-csi starts and listens on its socket"):
        driver.start()
    lab = Lab(driver)
    with Step("a CSI client calls it: GetPluginInfo, Probe"):
        name = lab.c.GetPluginInfo().name
        assert lab.c.Probe().ready.value
    told(name)
    v = first_use(lab)
    where_it_lies(lab, v)
    for part in (growth, copies, wrong_secret, by_cryptsetup):
        part(lab, v)
    with Step("DeleteVolume, DeleteSnapshot: nothing is left in the state directory"):
        why = lab.clear()
        assert not why, why
        for folder in ("volumes", "snapshots", "headers"):
            expect(folder, [], os.listdir(f"{driver.state}/{folder}"))
    with Step("the passphrase is nowhere in the driver's log"):
        assert v.secrets["CRYPTO_KEY_VALUE"] not in driver.log_text(), "found"
    with Step("SIGTERM: the driver ends in order"):
        expect("status", 0, driver.stop())


if __name__ == "__main__":
    try:
        main()
    except Failed as e:
        print(f"FAIL {e}")
        sys.exit(1)
