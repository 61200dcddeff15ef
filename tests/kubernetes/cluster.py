# SPDX-License-Identifier: Apache-2.0
"""The manifests and examples of deploy/ on a real control plane, with the sidecars that they name, run with the arguments and the accounts
that they give them. The test is the scheduler (it chooses the node) and kubelet (it stages, publishes, grows)."""
import copy
import os
import re
import sys

import yaml

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [HERE, os.path.join(TOP, "tests", "csi")]
from control_plane import Api, ControlPlane, Refused, decoded, wait_for  # noqa: E402
from expand import Expansion  # noqa: E402
from lost import Lost  # noqa: E402
from policy import Nodes, token_of_pod  # noqa: E402
from lab import (CRYPTSETUP, SCRATCH, Driver, Mode, device_bytes, drop_caches, expect, find_bytes, make_store, mappings, mounted, pb,  # noqa: E402
                 results, run, say)

TOOLS = os.environ["KUBE_TOOLS"]
KUBE = os.path.join(TOP, "deploy", "kubernetes")
CHART = os.path.join(TOP, "deploy", "chart", "cryptvol")
NS = "cryptvol-system"
NAME = "csi.cryptvol.io"
GIB = 1 << 30
SNAP, STORAGE, APPS = "snapshot.storage.k8s.io/v1", "storage.k8s.io/v1", "apps/v1"
MODES = {"ReadWriteOncePod": "SINGLE_NODE_SINGLE_WRITER", "ReadWriteOnce": "SINGLE_NODE_MULTI_WRITER"}


def load(path):
    with open(path, encoding="utf-8") as f:
        return [o for o in yaml.safe_load_all(f) if o]


def example(name):
    return load(f"{KUBE}/examples/{name}.yaml")


def kustomized(*components):
    """What kustomize makes of the folder, with these components switched on."""
    folder = f"{SCRATCH}/kustomize"
    run("rm", "-rf", folder)
    run("cp", "-r", KUBE, folder)
    if components:
        with open(f"{folder}/kustomization.yaml", "a", encoding="utf-8") as f:
            f.write("components:\n" + "".join(f"  - components/{c}\n" for c in components))
    return list(yaml.safe_load_all(run(f"{TOOLS}/kubectl", "kustomize", folder).stdout))


def of_chart(*options):
    out = run(f"{TOOLS}/helm", "template", "cryptvol", CHART, "--namespace", NS, "--kube-version", "1.34.0", *options).stdout
    return [o for o in yaml.safe_load_all(out) if o]


class Cluster:
    """The steps share their objects: each is a case of its own in the results, and the first that fails ends the run."""

    def __init__(self):
        self.plane = ControlPlane(TOOLS, f"{SCRATCH}/plane")
        self.driver = self.controller = self.tokens = None
        self.staged = {}

    def step(self, name, f):
        try:
            f()
            say("ok", name)
        except Exception as e:
            say("FAIL", name, " ".join(f"{type(e).__name__}: {e}".split())[:900])
            raise SystemExit(self.end(1)) from None

    def end(self, status):
        self.plane.stop()
        for name in list(self.staged) if status else ():
            self.down({"metadata": {"name": name}})
        for d in (self.driver, self.controller):
            if d:
                d.stop()
        return status

    # ---- what an admin does ----

    def boot(self):
        self.api = self.plane.start()
        for f in sorted(os.listdir(TOOLS)):
            if f.endswith(".yaml"):
                for o in load(f"{TOOLS}/{f}"):
                    self.api.create(o)
        for kind, version in (("VolumeSnapshotClass", SNAP), ("ServiceMonitor", "monitoring.coreos.com/v1")):
            def served(kind=kind, version=version):
                try:
                    return self.api.path(kind, version)
                except Refused:
                    return None
            wait_for(kind, served, 60)

    def apply(self):
        for o in kustomized("monitoring", "early-secret-check", "backup"):
            self.api.create(o)

    def chart(self):
        """Nothing is left of a dry run, but everything of the server's checks is done. The namespace is there already."""
        for options in ((), ("--set", "earlySecretCheck=true", "--set", "metrics.serviceMonitor.enabled=true", "--set",
                             "backup.hostPath=/var/backups/cryptvol", "--set", "snapshotter.groupSnapshots=true")):
            objects = of_chart(*options)
            assert len(objects) > 12
            for o in objects:
                o = copy.deepcopy(o)
                o["metadata"]["name"] += "-chart"
                if o["kind"] == "CSIDriver":
                    o["metadata"]["name"] = "chart." + NAME
                if o["kind"] not in ("ClusterRole", "ClusterRoleBinding", "CSIDriver", "StorageClass"):
                    o["metadata"].setdefault("namespace", NS)
                self.api.create(o, dryRun="All")

    def refused(self):
        """The control: the server does find what is wrong."""
        bad = copy.deepcopy(example("storageclass-global-secret")[0])
        bad["reclaimPolice"] = "Delete"
        try:
            self.api.create(bad, dryRun="All")
        except Refused as e:
            expect("code", 400, e.code)
            return
        raise AssertionError("an unknown field passes")

    # ---- what the node's side does ----

    def join(self):
        """The node's kubelet and the registrar: the driver's own word of its topology."""
        self.api.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1", "labels": {"kubernetes.io/os": "linux"}}})
        pods = wait_for("the DaemonSet's pod", lambda: [p for p in self.api.list("Pod", "v1", NS) if p["metadata"]["name"].startswith("cryptvol-node")])
        self.pod = self.schedule(pods[0], "n1")
        wait_for("the Deployment's pods",
                 lambda: len([p for p in self.api.list("Pod", "v1", NS) if p["metadata"]["name"].startswith("cryptvol-controller")]) == 2)
        make_store(f"{SCRATCH}/backups")
        self.driver = self.start_driver("n1", self.pod, {"NODE_NAME": "n1"})
        info = self.driver.client.NodeGetInfo()
        segments = dict(info.accessible_topology.segments)
        self.api.patch("Node", "v1", "n1", {"metadata": {"labels": segments}})
        self.api.create({"apiVersion": STORAGE, "kind": "CSINode", "metadata": {
            "name": "n1", "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": self.api.get("Node", "v1", "n1")["metadata"]["uid"]}]},
            "spec": {"drivers": [{"name": self.driver.client.GetPluginInfo().name, "nodeID": info.node_id, "topologyKeys": list(segments)}]}})
        controller = self.schedule([p for p in self.api.list("Pod", "v1", NS) if p["metadata"]["name"].startswith("cryptvol-controller")][0], "n1")
        self.controller = self.start_driver(controller["metadata"]["name"], controller, {})
        self.sidecar("csi-provisioner", self.pod, self.driver)
        self.sidecar("csi-snapshotter", self.pod, self.driver)
        self.sidecar("csi-resizer", controller, self.controller)
        self.plane.run("snapshot-controller", f"--kubeconfig={self.plane.config('snapshot-controller', Api().token)}",
                       "--enable-distributed-snapshotting=true")

    def args_of(self, pod, container, more):
        """The container's arguments, as kubelet hands them over."""
        c = [c for c in pod["spec"]["containers"] if c["name"] == container][0]
        env = {"NAMESPACE": NS, "POD_NAME": pod["metadata"]["name"], **more}
        return [re.sub(r"\$\((\w+)\)", lambda m: env[m[1]], a) for a in c["args"]], env

    def start_driver(self, name, pod, more):
        """Its container's arguments; only folders and addresses are this test's."""
        args, _ = self.args_of(pod, "cryptvol", more)
        given = dict(a[2:].split("=", 1) for a in args)
        given.pop("endpoint"), given.pop("state-dir"), given.pop("metrics-address", None), given.pop("store-id-file", None)
        if given.pop("backup-dir", None):
            given["backup-dir"] = f"{SCRATCH}/backups"
        d = Driver(name=name, **given)
        d.options["log-level"] = "info"
        d.start()
        return d

    def schedule(self, pod, node):
        """The scheduler: from then on the pod's token names the node."""
        name = pod["metadata"]["name"]
        self.api.call("POST", f"/api/v1/namespaces/{NS}/pods/{name}/binding",
                      {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name}, "target": {"apiVersion": "v1", "kind": "Node", "name": node}})
        return self.api.get("Pod", "v1", name, NS)

    def sidecar(self, program, pod, driver):
        args, env = self.args_of(pod, program, {"NODE_NAME": "n1"})
        args = [a if not a.startswith("--csi-address=") else f"--csi-address={driver.socket}" for a in args]
        if program == "csi-resizer":  # it ends where it can't renew its lease in time, as on a loaded machine
            args += ["--leader-election-lease-duration=30m", "--leader-election-renew-deadline=25m"]
        self.plane.run(program, *args, f"--kubeconfig={self.plane.config(program, token_of_pod(self.api, pod))}", env=env)

    # ---- a claim's life ----

    def claim(self, o):
        """Created, and put on the node by the scheduler."""
        self.api.create(o)
        name = o["metadata"]["name"]
        self.api.patch("PersistentVolumeClaim", "v1", name, {"metadata": {"annotations": {"volume.kubernetes.io/selected-node": "n1"}}})
        return self.bound(name)

    def bound(self, name):
        def phase():
            self.plane.check()
            c = self.api.get("PersistentVolumeClaim", "v1", name)
            return c if c["status"].get("phase") == "Bound" else None
        try:
            c = wait_for(f"claim {name} bound", phase)
        except AssertionError as e:
            events = [x["message"] for x in self.api.list("Event", "v1") if x["involvedObject"]["name"] == name]
            raise AssertionError(f"{e}: {events[-3:]}") from None
        return self.api.get("PersistentVolume", "v1", c["spec"]["volumeName"])

    def secret(self, ref):
        return decoded(self.api.get("Secret", "v1", ref["name"], ref["namespace"])) if ref else {}

    def stage(self, pv):
        """kubelet: stage with the PersistentVolume's fields."""
        csi, client = pv["spec"]["csi"], self.driver.client
        block = pv["spec"].get("volumeMode") == "Block"
        cap = pb.VolumeCapability(access_mode=pb.VolumeCapability.AccessMode(
            mode=getattr(Mode, MODES[pv["spec"]["accessModes"][0]])))
        if block:
            cap.block.SetInParent()
        else:
            cap.mount.fs_type = csi["fsType"]
            cap.mount.mount_flags.extend(pv["spec"].get("mountOptions") or [])
        staging = f"{SCRATCH}/kubelet/{pv['metadata']['name']}"
        os.makedirs(staging, exist_ok=True)
        context = csi["volumeAttributes"]
        client.NodeStageVolume(volume_id=csi["volumeHandle"], staging_target_path=staging, volume_capability=cap,
                               secrets=self.secret(csi.get("nodeStageSecretRef")), volume_context=context)
        self.staged[pv["metadata"]["name"]] = (csi["volumeHandle"], staging, "", cap)

    def up(self, pv):
        """Stage, and publish to a pod."""
        self.stage(pv)
        handle, staging, _, cap = self.staged[pv["metadata"]["name"]]
        target = f"{SCRATCH}/pods/{pv['metadata']['name']}"
        os.makedirs(os.path.dirname(target), exist_ok=True)
        context = {**pv["spec"]["csi"]["volumeAttributes"], "csi.storage.k8s.io/pod.name": "notes", "csi.storage.k8s.io/pod.namespace": "default"}
        self.driver.client.NodePublishVolume(volume_id=handle, staging_target_path=staging, target_path=target, volume_capability=cap,
                                             volume_context=context)
        self.staged[pv["metadata"]["name"]] = (handle, staging, target, cap)
        return target

    def down(self, pv):
        handle, staging, target, _ = self.staged.pop(pv["metadata"]["name"])
        if target:
            self.driver.client.NodeUnpublishVolume(volume_id=handle, target_path=target)
        self.driver.client.NodeUnstageVolume(volume_id=handle, staging_target_path=staging)

    def first_claim(self):
        for o in example("secret-global") + example("storageclass-global-secret"):
            if o["kind"] == "Secret":
                o["stringData"]["CRYPTO_PBKDF_MEMORY"] = "65536"
            self.api.create(o)
        wait_for("the node's capacity", lambda: self.api.list("CSIStorageCapacity", STORAGE, NS) or self.plane.check(), 300)
        self.notes = self.claim(example("pvc")[0])
        spec = self.notes["spec"]
        expect("its Secret", {"name": "cryptvol-passphrase", "namespace": NS}, spec["csi"]["nodeStageSecretRef"])
        expect("its size", "1Gi", spec["capacity"]["storage"])
        terms = spec["nodeAffinity"]["required"]["nodeSelectorTerms"]
        expect("its node", [{"key": NAME + "/node", "operator": "In", "values": ["n1"]}], terms[0]["matchExpressions"])
        target = self.up(self.notes)
        with open(f"{target}/note", "w", encoding="ascii") as f:
            f.write("marker of the cluster's test")
            os.fsync(f.fileno())
        drop_caches()
        handle = spec["csi"]["volumeHandle"]
        assert find_bytes(f"/dev/mapper/{handle}", b"marker of the cluster's test")
        expect("hits in the image", 0, find_bytes(self.driver.image(handle), b"marker of the cluster's test"))

    def nodes(self):
        self.tokens = self.tokens or Nodes(self.api, NS)
        return self.tokens

    def snapshot(self, name):
        for o in example(name):
            if o.get("parameters", {}).get("backupDir"):
                o["parameters"]["backupDir"] = f"{SCRATCH}/backups"
            self.api.create(o)
        made = example(name)[-1]["metadata"]["name"]

        def ready():
            self.plane.check()
            return (self.api.get("VolumeSnapshot", SNAP, made).get("status") or {}).get("readyToUse")
        try:
            wait_for(f"snapshot {made}", ready)
        except AssertionError as e:
            raise AssertionError(f"{e}: {self.api.get('VolumeSnapshot', SNAP, made).get('status')}, "
                                 f"{[c.get('status') for c in self.api.list('VolumeSnapshotContent', SNAP)]}") from None

    def copies(self):
        for name in ("restore", "clone"):
            o = example(name)[0]
            o["spec"]["resources"]["requests"]["storage"] = "2200Mi"
            pv = self.claim(o)
            with open(f"{self.up(pv)}/note", encoding="ascii") as f:
                expect(f"the file in the {name}", "marker of the cluster's test", f.read())
            self.down(pv)

    def from_backup(self):
        o = example("restore")[0]
        o["metadata"]["name"] = "from-backup"
        o["spec"]["resources"]["requests"]["storage"] = "2200Mi"
        o["spec"]["dataSource"]["name"] = "notes-backup-1"
        pv = self.claim(o)
        with open(f"{self.up(pv)}/note", encoding="ascii") as f:
            expect("the file", "marker of the cluster's test", f.read())
        self.down(pv)

    def per_volume(self):
        for o in example("storageclass-per-volume-secret"):
            self.api.create(o)
        secret, claim = example("pvc-per-volume")
        secret["stringData"].update(CRYPTO_PBKDF="pbkdf2", CRYPTO_PBKDF_FORCE_ITERATIONS="1000")
        self.api.create(secret)
        pv = self.claim(claim)
        expect("its Secret", {"name": "ledger", "namespace": "default"}, pv["spec"]["csi"]["nodeStageSecretRef"])
        self.up(pv)
        run(CRYPTSETUP, "open", "--test-passphrase", "--key-file", "-", self.driver.image(pv["spec"]["csi"]["volumeHandle"]),
            stdin=secret["stringData"]["CRYPTO_KEY_VALUE"].encode())
        self.down(pv)

    def block(self):
        objects = example("pvc-block")
        pv = self.claim([o for o in objects if o["kind"] == "PersistentVolumeClaim"][0])
        expect("bytes of the pod's device", 1 * GIB, device_bytes(self.up(pv)))
        self.down(pv)

    def rest(self):
        """Whatever else the examples hold is taken by the server."""
        for f in sorted(os.listdir(f"{KUBE}/examples")):
            for o in load(f"{KUBE}/examples/{f}"):
                o = copy.deepcopy(o)
                o["metadata"]["name"] += "-again"
                self.api.create(o, dryRun="All")

    def gone(self):
        self.down(self.notes)
        expect("mappings", set(), mappings())
        for s in self.api.list("VolumeSnapshot", SNAP):
            self.api.delete("VolumeSnapshot", SNAP, s["metadata"]["name"], "default")
        for c in self.api.list("PersistentVolumeClaim", "v1"):
            self.api.delete("PersistentVolumeClaim", "v1", c["metadata"]["name"])

        def empty():
            self.plane.check()
            return not self.api.list("PersistentVolume", "v1") and \
                not any(os.listdir(f"{self.driver.state}/{d}") for d in ("volumes", "snapshots", "headers"))
        try:
            wait_for("the volumes deleted", empty)
        except AssertionError as e:
            raise AssertionError(f"{e}: {[p['status'] for p in self.api.list('PersistentVolume', 'v1')]}, "
                                 f"{[os.listdir(f'{self.driver.state}/{d}') for d in ('volumes', 'snapshots')]}") from None

    def no_denials(self):
        """An account that lacks a right shows in its program's log only."""
        for name, _ in self.plane.processes:
            if name.startswith("csi-"):
                lines = [x for x in self.plane.log(name).splitlines() if "forbidden" in x.lower()]
                assert not lines, f"{name}: {lines[0][:400]}"
        words = decoded(self.api.get("Secret", "v1", "cryptvol-passphrase", NS))["CRYPTO_KEY_VALUE"]
        for log in [self.driver.log_text(), self.controller.log_text(), *(self.plane.log(n) for n, _ in self.plane.processes)]:
            assert words not in log, "the passphrase is in a log"


def main():
    c = Cluster()
    for name, f in (("a control plane starts, the custom resources are known", c.boot),
                    ("kustomize: everything is created, every field is known to the server", c.apply),
                    ("helm: everything is accepted, with the defaults and with all switched on", c.chart),
                    ("control: an unknown field is refused", c.refused),
                    ("the pods are made; the drivers and sidecars start with their arguments and accounts", c.join),
                    ("a claim with the global Secret: provisioned on its node, staged, ciphertext below", c.first_claim),
                    ("the claim grows: csi-resizer leaves it to the node", lambda: Expansion(c).grow("2Gi")),
                    ("an expansion to 1 PiB: infeasible on the node, lowered, done; nothing is promised for what isn't there",
                     lambda: Expansion(c).taken_back()),
                    ("an expansion that doesn't fit and is lowered before a pod starts: it starts", lambda: Expansion(c).before_a_pod()),
                    ("a claim that has its volume keeps its VolumeAttributesClass", lambda: Expansion(c).class_kept()),
                    ("a snapshot of it", lambda: c.snapshot("snapshot")),
                    ("a restore and a clone have the data", c.copies),
                    ("a backup of it", lambda: c.snapshot("backup")),
                    ("a restore from the backup has the data", c.from_backup),
                    ("a claim with a Secret of its own", c.per_volume),
                    ("a block claim", c.block),
                    ("control: without the policy a node's token changes another's volume", lambda: c.nodes().control()),
                    ("the node's own token: PersistentVolumes of its own node only", lambda: c.nodes().volumes()),
                    ("the node's own token: claims that it was selected for only", lambda: c.nodes().claims()),
                    ("the node's own token: capacity and snapshots of its own node only", lambda: c.nodes().rest()),
                    ("a node is gone for good: what it left is forgotten, nothing else", lambda: Lost(c.api, c.plane, TOOLS).run()),
                    ("the other examples are accepted", c.rest),
                    ("claims and snapshots deleted: nothing is left on the node", c.gone),
                    ("no sidecar was denied a right, no log has the passphrase", c.no_denials)):
        c.step(name, f)
    return c.end(1 if results["FAIL"] else 0)


if __name__ == "__main__":
    sys.exit(main())
