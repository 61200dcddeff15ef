# SPDX-License-Identifier: Apache-2.0
"""What a node's own token may change, asked of the API server with such tokens: bound to a pod on the node, as kubelet gets them."""
import copy

from control_plane import Api, Refused, wait_for

NAME = "csi.cryptvol.io"
SELECTED, CLONED = "volume.kubernetes.io/selected-node", "provisioner.storage.kubernetes.io/cloning-protection"
MANAGED = "snapshot.storage.kubernetes.io/managed-by"
SNAP, STORAGE = "snapshot.storage.k8s.io/v1", "storage.k8s.io/v1"


def token_of_pod(api, pod):
    """The token that kubelet mounts into the pod: it names the pod and its node."""
    m = pod["metadata"]
    r = api.call("POST", f"/api/v1/namespaces/{m['namespace']}/serviceaccounts/{pod['spec']['serviceAccountName']}/token",
                 {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {
                     "expirationSeconds": 7200,
                     "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": m["name"], "uid": m["uid"]}}})
    return r["status"]["token"]


def volume(name, node, driver=NAME):
    o = {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name},
         "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": "of-the-policy",
                  "csi": {"driver": driver, "volumeHandle": name}}}
    if node:
        o["spec"]["nodeAffinity"] = {"required": {"nodeSelectorTerms": [{"matchExpressions": [
            {"key": NAME + "/node", "operator": "In", "values": [node]}]}]}}
    return o


def claim(name, node):
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "metadata": {"name": name, "annotations": {SELECTED: node}},
            "spec": {"storageClassName": "of-the-policy", "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}


def capacity(name, node, namespace):
    return {"apiVersion": STORAGE, "kind": "CSIStorageCapacity", "metadata": {"name": name, "namespace": namespace},
            "storageClassName": "of-the-policy", "capacity": "1Gi", "nodeTopology": {"matchLabels": {NAME + "/node": node}}}


def content(name, node):
    return {"apiVersion": SNAP, "kind": "VolumeSnapshotContent", "metadata": {"name": name, "labels": {MANAGED: node}},
            "spec": {"driver": NAME, "deletionPolicy": "Retain", "source": {"snapshotHandle": name},
                     "volumeSnapshotRef": {"name": name, "namespace": "default"}}}


def refused(what, f, *args, **kw):
    """By the policy, not for want of a right: its sentence says so."""
    try:
        f(*args, **kw)
    except Refused as e:
        assert "ValidatingAdmissionPolicy" in str(e), f"{what}: {e}"
        return True
    raise AssertionError(f"{what}: it passed")


def is_refused(f, *args):
    try:
        f(*args)
    except Refused:
        return True
    return False


class Nodes:
    def __init__(self, api, namespace):
        self.api, self.namespace = api, namespace
        api.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n2"}})
        self.n1 = Api(token_of_pod(api, self.pod("n1")))
        self.n2 = Api(token_of_pod(api, self.pod("n2")))
        self.nodeless = Api(api.token_of(namespace, "cryptvol-node"))

    def pod(self, node):
        return self.api.create({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"token-of-{node}", "namespace": self.namespace},
                                "spec": {"serviceAccountName": "cryptvol-node", "nodeName": node,
                                         "containers": [{"name": "c", "image": "none"}]}})

    def control(self):
        """Without the binding RBAC alone lets a node change another's volume. Both take effect a moment after they were made."""
        kind, version, name = "ValidatingAdmissionPolicyBinding", "admissionregistration.k8s.io/v1", "cryptvol-node"
        binding = self.api.get(kind, version, name)
        self.api.create(volume("probe", "n2"))

        def tried():
            return is_refused(self.n1.patch, "PersistentVolume", "v1", "probe", {"metadata": {"labels": {"a": "b"}}})
        wait_for("the policy", tried, 60)
        self.api.delete(kind, version, name)
        wait_for("no policy", lambda: not tried(), 60)
        self.api.create({**binding, "metadata": {"name": name}})
        wait_for("the policy again", tried, 60)

    def volumes(self):
        a = self.api
        self.n1.create(volume("of-n1", "n1"))
        a.create(volume("of-n2", "n2"))
        two = volume("of-both", "n1")
        two["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"] += \
            copy.deepcopy(volume("x", "n2"))["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"]
        for o in (volume("other-node", "n2"), volume("no-node", None), volume("other-driver", "n1", "csi.example.com"), two):
            refused(o["metadata"]["name"], self.n1.create, o)
        label = {"metadata": {"labels": {"a": "b"}}}
        self.n1.patch("PersistentVolume", "v1", "of-n1", label)
        refused("patch", self.n1.patch, "PersistentVolume", "v1", "of-n2", label)
        refused("finalizers", self.n1.patch, "PersistentVolume", "v1", "of-n2", {"metadata": {"finalizers": []}})
        refused("delete", self.n1.delete, "PersistentVolume", "v1", "of-n2")
        for name in ("of-n1", "of-n2"):
            refused("a token without a node", self.nodeless.delete, "PersistentVolume", "v1", name)
        self.n1.delete("PersistentVolume", "v1", "of-n1")
        self.n2.delete("PersistentVolume", "v1", "of-n2")
        a.delete("PersistentVolume", "v1", "probe")  # others aren't bound by it

    def update_claim(self, client, name, change):
        o = self.api.get("PersistentVolumeClaim", "v1", name, "default")
        change(o)
        return client.call("PUT", client.path("PersistentVolumeClaim", "v1", "default", name), o)

    def claims(self):
        def give_back(o):
            del o["metadata"]["annotations"][SELECTED]

        def protect(o):
            o["metadata"]["finalizers"] = [*o["metadata"].get("finalizers", []), CLONED]

        def unprotect(o):
            o["metadata"]["finalizers"] = []

        def take(o):
            o["metadata"]["annotations"][SELECTED] = "n1"
        for node in ("n1", "n2"):
            self.api.create(claim(f"claim-{node}", node))
        wait_for("its protection", lambda: self.api.get("PersistentVolumeClaim", "v1", "claim-n2")["metadata"].get("finalizers"))
        for what in (give_back, unprotect, take):
            refused(what.__name__, self.update_claim, self.n1, "claim-n2", what)
        self.update_claim(self.n1, "claim-n2", protect)  # the source of a clone that the scheduler put on another node
        self.update_claim(self.n1, "claim-n1", give_back)
        refused("a token without a node", self.update_claim, self.nodeless, "claim-n1", protect)
        for name in ("claim-n1", "claim-n2"):
            self.api.patch("PersistentVolumeClaim", "v1", name, {"metadata": {"finalizers": None}})
            self.api.delete("PersistentVolumeClaim", "v1", name)

    def rest(self):
        self.n1.create(capacity("of-n1", "n1", self.namespace))
        self.api.create(capacity("of-n2", "n2", self.namespace))
        refused("another's capacity", self.n1.create, capacity("lie", "n2", self.namespace))
        refused("another's capacity", self.n1.delete, "CSIStorageCapacity", STORAGE, "of-n2", self.namespace)
        change = {"metadata": {"annotations": {"a": "b"}}}
        for node in ("n1", "n2"):
            self.api.create(content(f"content-{node}", node))
        self.n1.patch("VolumeSnapshotContent", SNAP, "content-n1", change)
        self.n1.patch("VolumeSnapshotContent", SNAP, "content-n1", {"status": {"readyToUse": True}}, sub="/status")
        refused("another's content", self.n1.patch, "VolumeSnapshotContent", SNAP, "content-n2", change)
        refused("another's status", self.n1.patch, "VolumeSnapshotContent", SNAP, "content-n2", {"status": {"readyToUse": True}},
                sub="/status")
        refused("given away", self.n1.patch, "VolumeSnapshotContent", SNAP, "content-n1", {"metadata": {"labels": {MANAGED: "n2"}}})
        for node in ("n1", "n2"):
            self.api.delete("VolumeSnapshotContent", SNAP, f"content-{node}")
            self.api.delete("CSIStorageCapacity", STORAGE, f"of-{node}", self.namespace)
            self.api.delete("Pod", "v1", f"token-of-{node}", self.namespace)
        self.api.delete("Node", "v1", "n2")
