#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Calls to a driver, sixteen at a time, by names that collide: those that need no device of the kernel.

calls.py SOCKET SECONDS [METRICS-ADDRESS]: prints how many were answered with which code; exit 1 where a code may not be.
"""
import collections
import os
import random
import sys
import threading
import time
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../csi"))
from csiclient import Client, Failed, Mode, pb  # noqa: E402

THREADS = 16
NAMES = 6
# Never: INTERNAL, UNKNOWN, UNAVAILABLE.
CODES = {"INVALID_ARGUMENT", "NOT_FOUND", "ALREADY_EXISTS", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE",
         "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED"}
answers = collections.Counter()
bad = []


def cap(block=False):
    kind = {"block": pb.VolumeCapability.BlockVolume()} if block else {
        "mount": pb.VolumeCapability.MountVolume(fs_type="ext4", mount_flags=["noatime"])}
    return pb.VolumeCapability(access_mode=Mode(mode=Mode.SINGLE_NODE_WRITER), **kind)


def size(mib):
    return pb.CapacityRange(required_bytes=mib << 20)


class Worker(threading.Thread):
    def __init__(self, socket, until, number):
        super().__init__()
        self.client, self.until, self.random = Client(socket), until, random.Random(number)
        self.volumes, self.snapshots, self.groups = [""], [""], [""]

    def pick(self, ids):
        return self.random.choice(ids)

    def call(self, method, timeout=60, **fields):
        try:
            r = getattr(self.client, method)(timeout=timeout, **fields)
        except Failed as e:
            answers[e.code] += 1
            if e.code not in CODES or not e.message:
                bad.append(str(e))
            return None
        answers["OK"] += 1
        return r

    def create(self):
        n = self.random.randrange(NAMES)
        r = self.call("CreateVolume", name=f"vol-{n}", volume_capabilities=[cap(n % 3 == 0)], capacity_range=size(16),
                      parameters={"encrypted": "true"} if n % 2 else {}, secrets={"CRYPTO_KEY_VALUE": "geheim"})
        if r:
            self.volumes = sorted(set(self.volumes) | {r.volume.volume_id})

    def list(self):
        r = self.call("ListVolumes", max_entries=self.random.randrange(3))
        if r and r.next_token:
            self.call("ListVolumes", starting_token=r.next_token)

    def snapshot(self):
        volume = self.pick(self.volumes)
        r = self.call("CreateSnapshot", source_volume_id=volume, name=f"snap-{volume[:6]}-{self.random.randrange(2)}")
        if r:
            self.snapshots = sorted(set(self.snapshots) | {r.snapshot.snapshot_id})
        self.call("ListSnapshots", source_volume_id=volume)

    def group(self):
        members = self.random.sample(self.volumes, min(2, len(self.volumes)))
        r = self.call("CreateVolumeGroupSnapshot", name=f"group-{self.random.randrange(2)}", source_volume_ids=members)
        if r:
            self.groups = sorted(set(self.groups) | {r.group_snapshot.group_snapshot_id})
        self.call("GetVolumeGroupSnapshot", group_snapshot_id=self.pick(self.groups))

    def delete(self):
        kind = self.random.randrange(4)
        if kind == 0:
            self.call("DeleteVolume", volume_id=self.pick(self.volumes))
        elif kind == 1:
            self.call("DeleteSnapshot", snapshot_id=self.pick(self.snapshots))
        elif kind == 2:
            self.call("DeleteVolumeGroupSnapshot", group_snapshot_id=self.pick(self.groups))

    def copy(self):
        source = pb.VolumeContentSource(volume=pb.VolumeContentSource.VolumeSource(volume_id=self.pick(self.volumes)))
        self.call("CreateVolume", name=f"copy-{self.random.randrange(2)}", volume_capabilities=[cap()],
                  volume_content_source=source, parameters={"encrypted": "true"})

    def change(self):
        volume = self.pick(self.volumes)
        self.call("ControllerModifyVolume", volume_id=volume, mutable_parameters={"discard": self.pick(["true", "false"])})
        self.call("ControllerExpandVolume", volume_id=volume, capacity_range=size(self.pick([16, 17, 18])))
        self.call("ControllerGetVolume", volume_id=volume)

    def publish(self):
        volume = self.pick(self.volumes)
        self.call("ControllerPublishVolume", volume_id=volume, node_id="node-1", volume_capability=cap())
        self.call("ControllerUnpublishVolume", volume_id=volume, node_id="node-1")
        self.call("ValidateVolumeCapabilities", volume_id=volume, volume_capabilities=[cap()])

    def ask(self):
        for method in ("GetPluginInfo", "GetPluginCapabilities", "Probe", "ControllerGetCapabilities",
                       "GroupControllerGetCapabilities", "NodeGetCapabilities", "NodeGetInfo", "GetCapacity"):
            self.call(method)

    def node(self):
        """As far as goes without a device: the validators refuse, or nothing is staged."""
        volume = self.pick(self.volumes)
        self.call("NodeStageVolume", volume_id=volume, staging_target_path="/nowhere", volume_capability=cap(),
                  secrets={"CRYPTO_KEY_PROVIDER": "none"})
        self.call("NodePublishVolume", volume_id=volume, staging_target_path="/nowhere", target_path="/nowhere/else",
                  volume_capability=cap())
        self.call("NodeGetVolumeStats", volume_id=volume, volume_path="/nowhere")
        self.call("NodeUnpublishVolume", volume_id=volume, target_path="/nowhere/else")

    def give_up(self):
        """The client is gone before the answer."""
        self.call("CreateVolume", timeout=0.002, name="vol-0", volume_capabilities=[cap(True)])

    def run(self):
        steps = [self.create] * 3 + [self.list, self.snapshot, self.group, self.delete, self.copy, self.change,
                                     self.publish, self.ask, self.node, self.give_up]
        while time.monotonic() < self.until:
            self.pick(steps)()


def scrape(address, until):
    while time.monotonic() < until:
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as r:
            if b"cryptvol_csi_call_seconds" not in r.read():
                bad.append("no metrics")
        time.sleep(0.2)


def main():
    socket, until = sys.argv[1], time.monotonic() + float(sys.argv[2])
    threads = [Worker(socket, until, i) for i in range(THREADS)]
    if len(sys.argv) > 3:
        threads.append(threading.Thread(target=scrape, args=(sys.argv[3], until)))
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    print(" ".join(f"{code} {n}" for code, n in sorted(answers.items())), flush=True)
    for why in bad[:5]:
        print("bad:", why)
    # OK, and each way in which the calls get into each other's way.
    return 1 if bad or not all(answers[c] for c in ("OK", "ABORTED", "NOT_FOUND")) else 0


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    os._exit(status)  # grpcio's threads may take their time
