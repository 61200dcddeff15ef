# SPDX-License-Identifier: Apache-2.0
"""forget-node.sh on the real API server: a node is gone for good, and what nobody would delete any more goes; nothing else does."""
import os
import subprocess

from control_plane import Api, wait_for
from policy import SNAP, content, volume

SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "deploy", "kubernetes", "forget-node.sh")
PROVISIONED = "external-provisioner.volume.kubernetes.io/finalizer"


class Lost:
    def __init__(self, api, plane, tools):
        self.api = api
        self.env = {**os.environ, "KUBECTL": f"{tools}/kubectl --kubeconfig={plane.config('forget', Api().token)}"}

    def script(self, *args):
        p = subprocess.run([SCRIPT, *args], env=self.env, capture_output=True, text=True, check=False)
        return p.returncode, p.stdout + p.stderr

    def make(self, name, node, claimed=True, policy="Delete", driver="csi.cryptvol.io"):
        """A volume of a claim that is gone: Released, and held by the finalizer of a provisioner that is gone, too."""
        o = volume(name, node, driver)
        o["metadata"]["finalizers"] = [PROVISIONED] if policy == "Delete" else []
        o["spec"]["persistentVolumeReclaimPolicy"] = policy
        if claimed:
            o["spec"]["claimRef"] = {"namespace": "default", "name": "gone-" + name, "uid": "00000000-0000-0000-0000-00000000000" + str(len(name) % 10)}
        self.api.create(o)
        wait_for(name, lambda: self.api.get("PersistentVolume", "v1", name)["status"].get("phase") in
                 (("Released", "Failed") if claimed else ("Available",)))

    def there(self):
        return {v["metadata"]["name"] for v in self.api.list("PersistentVolume", "v1") if v["metadata"]["name"].startswith("lost-")} | \
            {c["metadata"]["name"] for c in self.api.list("VolumeSnapshotContent", SNAP) if c["metadata"]["name"].startswith("lost-")}

    def run(self):
        self.api.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n9"}})
        self.make("lost-a", "n9")
        self.make("lost-free", "n9", claimed=False)
        self.make("lost-kept", "n9", policy="Retain")
        self.make("lost-other-node", "n1")
        self.make("lost-other-driver", "n9", driver="csi.example.com")
        for name in ("lost-deleted", "lost-snapshot"):
            o = content(name, "n9")
            o["metadata"]["finalizers"] = ["snapshot.storage.kubernetes.io/volumesnapshotcontent-bound-protection"]
            self.api.create(o)
        self.api.delete("VolumeSnapshotContent", SNAP, "lost-deleted")
        everything = self.there()
        status, said = self.script("--yes", "n9")
        assert status == 1 and "node n9 is there" in said, (status, said)
        self.api.delete("Node", "v1", "n9")
        status, said = self.script("n9")
        assert status == 0 and "lost-a: to be forgotten" in said and "lost-kept: Released, reclaim policy Retain: kept" in said, said
        assert self.there() == everything, "listing changed something"
        status, said = self.script("--yes", "n9")
        assert status == 0, said
        gone = {"lost-a", "lost-free", "lost-deleted"}
        wait_for(f"{gone} to go, and nothing else (left: {self.there()})", lambda: self.there() == everything - gone, 30)
        for name in everything - gone:
            kind, version = ("VolumeSnapshotContent", SNAP) if name == "lost-snapshot" else ("PersistentVolume", "v1")
            self.api.patch(kind, version, name, {"metadata": {"finalizers": None}})
            self.api.delete(kind, version, name)
