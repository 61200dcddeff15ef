# SPDX-License-Identifier: Apache-2.0
"""Expansions that don't fit, with the real API server and csi-resizer. The test is kubelet: it calls the driver and writes the claim's
status as kubelet 1.34 does (pkg/volume/util/operationexecutor/node_expander.go)."""
from control_plane import Refused, wait_for
from lab import Failed, device_bytes, expect, pb

CLAIM, PV = ("PersistentVolumeClaim", "v1"), ("PersistentVolume", "v1")
MIB = 1 << 20
INFEASIBLE = ("OUT_OF_RANGE", "INVALID_ARGUMENT", "NOT_FOUND")  # what kubelet and csi-resizer take for it
UNITS = {"Mi": MIB, "Gi": 1 << 30, "Pi": 1 << 50}


def bytes_of(quantity):
    return int(quantity[:-2]) * UNITS[quantity[-2:]]


class Expansion:
    def __init__(self, cluster, name="notes"):
        self.c, self.api, self.name = cluster, cluster.api, name

    def claim(self):
        self.c.plane.check()
        return self.api.get(*CLAIM, self.name)

    def state(self):
        s = self.claim()["status"]
        return s.get("allocatedResourceStatuses", {}).get("storage"), s.get("allocatedResources", {}).get("storage")

    def ask(self, size):
        self.api.patch(*CLAIM, self.name, {"spec": {"resources": {"requests": {"storage": size}}}})

    def asked(self, size):
        """The user asks, csi-resizer leaves it to the node."""
        self.ask(size)
        wait_for(f"{size} is the node's to do", lambda: self.state() == ("NodeResizePending", size))
        expect("the volume's size", size, self.api.get(*PV, self.claim()["spec"]["volumeName"])["spec"]["capacity"]["storage"])

    def mark(self, **status):
        self.api.patch(*CLAIM, self.name, {"status": status}, sub="/status")

    def kubelet(self):
        """One turn: what the driver answered; None where kubelet doesn't call it."""
        status, size = self.state()
        if status not in ("NodeResizePending", "NodeResizeInProgress"):
            return None
        self.mark(allocatedResourceStatuses={"storage": "NodeResizeInProgress"})
        handle, staging, target, cap = self.c.staged[self.claim()["spec"]["volumeName"]]
        try:
            self.c.driver.client.NodeExpandVolume(volume_id=handle, volume_path=target or staging, staging_target_path=staging, volume_capability=cap,
                                                  capacity_range=pb.CapacityRange(required_bytes=bytes_of(size)))
        except Failed as e:
            if e.code in INFEASIBLE:
                self.mark(allocatedResourceStatuses={"storage": "NodeResizeInfeasible"}, conditions=[
                    {"type": "NodeResizeError", "status": "True", "message": e.message, "lastTransitionTime": "2026-01-01T00:00:00Z"}])
            return e.code
        self.mark(capacity={"storage": size}, allocatedResourceStatuses=None, conditions=[])
        return "OK"

    def done(self, size):
        """kubelet's turns until the claim has the size. Every status that it had on the way is among Kubernetes' own steps."""
        answers = []

        def turn():
            answers.append(self.kubelet())
            return self.claim()["status"]["capacity"]["storage"] == size
        wait_for(f"the claim has {size}, after {answers}", turn)
        expect("nothing is left to do", None, self.state()[0])
        expect("the last answer", "OK", [a for a in answers if a][-1])
        pv = self.claim()["spec"]["volumeName"]
        expect("bytes of the mapped device", bytes_of(size), device_bytes(f"/dev/mapper/{self.c.staged[pv][0]}"))
        expect("the volume's size", size, self.api.get(*PV, pv)["spec"]["capacity"]["storage"])

    def refused_by_node(self):
        pv = self.claim()["spec"]["volumeName"]
        before = device_bytes(f"/dev/mapper/{self.c.staged[pv][0]}")
        expect("the node's answer to 1 PiB", "OUT_OF_RANGE", self.kubelet())
        expect("bytes of the mapped device", before, device_bytes(f"/dev/mapper/{self.c.staged[pv][0]}"))

    # ---- the steps ----

    def grow(self, size):
        self.asked(size)
        self.done(size)

    def taken_back(self):
        self.asked("1Pi")
        self.refused_by_node()
        self.ask("2100Mi")
        self.done("2100Mi")

    def before_a_pod(self):
        pv = self.c.notes
        self.c.down(pv)
        self.asked("1Pi")
        self.c.stage(pv)  # kubelet stages, grows, and only then publishes
        self.refused_by_node()
        self.ask("2200Mi")
        self.done("2200Mi")
        with open(f"{self.c.up(pv)}/note", encoding="ascii") as f:
            expect("the file", "marker of the cluster's test", f.read())

    def class_kept(self):
        try:
            self.api.patch(*CLAIM, self.name, {"spec": {"volumeAttributesClassName": "cryptvol-fast"}})
        except Refused as e:
            assert "VolumeAttributesClass when it makes the volume" in str(e), e
            return
        raise AssertionError("a class that nothing applies was taken")
