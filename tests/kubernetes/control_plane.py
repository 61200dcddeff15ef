# SPDX-License-Identifier: Apache-2.0
"""A control plane of a cluster's own programs (etcd, API server, controllers) on this host's loopback, and a client of its REST API.
There is no kubelet and no scheduler: what they do, the test does."""
import base64
import json
import os
import ssl
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

ADMIN = "a-token-of-the-test"
PORT = 6443
URL = f"https://127.0.0.1:{PORT}"
CONTROLLERS = ("persistentvolume-binder-controller", "persistentvolumeclaim-protection-controller",
               "persistentvolume-protection-controller", "daemonset-controller", "deployment-controller", "replicaset-controller",
               "serviceaccount-controller", "root-ca-certificate-publisher-controller", "disruption-controller")


class Refused(Exception):
    def __init__(self, code, message):
        super().__init__(f"{code}: {message}")
        self.code = code


class Api:
    def __init__(self, token=ADMIN):
        self.token = token
        self.context = ssl._create_unverified_context()  # a certificate that the server made for itself, on loopback
        self.plurals = {}

    def call(self, method, path, body=None, kind="application/json", **query):
        url = URL + path + ("?" + urllib.parse.urlencode(query) if query else "")
        q = urllib.request.Request(url, method=method, data=None if body is None else json.dumps(body).encode(),
                                   headers={"Authorization": f"Bearer {self.token}", "Content-Type": kind})
        try:
            with urllib.request.urlopen(q, context=self.context, timeout=60) as r:
                text = r.read()
        except urllib.error.HTTPError as e:
            text = e.read().decode(errors="replace")
            try:
                text = json.loads(text)["message"]
            except (ValueError, KeyError):
                pass
            raise Refused(e.code, text) from None
        return json.loads(text) if text[:1] == b"{" else text.decode()

    def path(self, kind, version, namespace=None, name=None):
        group = f"/api/{version}" if "/" not in version else f"/apis/{version}"
        if kind not in self.plurals.get(group, {}):  # or it is served since the last look
            self.plurals[group] = {r["kind"]: r for r in self.call("GET", group)["resources"] if "/" not in r["name"]}
        if kind not in self.plurals[group]:
            raise Refused(404, f"the server knows no {kind} of {version}")
        r = self.plurals[group][kind]
        where = f"/namespaces/{namespace or 'default'}" if r["namespaced"] else ""
        return group + where + "/" + r["name"] + (f"/{name}" if name else "")

    def create(self, o, **query):
        """Strict: an unknown or a doubled field is an error."""
        m = o["metadata"]
        return self.call("POST", self.path(o["kind"], o["apiVersion"], m.get("namespace")), o, fieldValidation="Strict", **query)

    def get(self, kind, version, name, namespace=None):
        return self.call("GET", self.path(kind, version, namespace, name))

    def find(self, kind, version, name, namespace=None):
        try:
            return self.get(kind, version, name, namespace)
        except Refused as e:
            if e.code == 404:
                return None
            raise

    def list(self, kind, version, namespace=None):
        return self.call("GET", self.path(kind, version, namespace))["items"]

    def patch(self, kind, version, name, change, namespace=None, sub=""):
        return self.call("PATCH", self.path(kind, version, namespace, name) + sub, change, "application/merge-patch+json")

    def delete(self, kind, version, name, namespace=None):
        return self.call("DELETE", self.path(kind, version, namespace, name))

    def token_of(self, namespace, account):
        r = self.call("POST", f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token",
                      {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 7200}})
        return r["status"]["token"]


def wait_for(what, f, seconds=120):
    limit, last = time.monotonic() + seconds, None
    while time.monotonic() < limit:
        last = f()
        if last:
            return last
        time.sleep(0.2)
    raise AssertionError(f"{what}: not within {seconds} s")


class ControlPlane:
    def __init__(self, tools, folder):
        self.tools, self.folder = tools, folder
        self.processes = []
        os.makedirs(folder, exist_ok=True)

    def run(self, program, *args, name=None, env=None):
        """A program in the background; its log is NAME.log."""
        log = open(f"{self.folder}/{name or program}.log", "ab")
        p = subprocess.Popen([f"{self.tools}/{program}", *args], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                             env={**os.environ, **(env or {})})
        log.close()
        self.processes.append((name or program, p))
        return p

    def config(self, name, token):
        path = f"{self.folder}/{name}.kubeconfig"
        with open(path, "w", encoding="ascii") as f:
            json.dump({"apiVersion": "v1", "kind": "Config", "current-context": "c",
                       "clusters": [{"name": "c", "cluster": {"server": URL, "insecure-skip-tls-verify": True}}],
                       "users": [{"name": "u", "user": {"token": token}}],
                       "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}]}, f)
        return path

    def start(self):
        d = self.folder
        subprocess.run(["openssl", "genrsa", "-out", f"{d}/sa.key", "2048"], check=True, capture_output=True)
        subprocess.run(["openssl", "rsa", "-in", f"{d}/sa.key", "-pubout", "-out", f"{d}/sa.pub"], check=True, capture_output=True)
        with open(f"{d}/tokens.csv", "w", encoding="ascii") as f:
            f.write(f"{ADMIN},admin,1,system:masters\n")
        self.run("server", f"--data-dir={d}/etcd", "--listen-client-urls=http://127.0.0.1:2379",
                 "--advertise-client-urls=http://127.0.0.1:2379", "--listen-peer-urls=http://127.0.0.1:2380", "--unsafe-no-fsync")
        self.run("kube-apiserver", "--etcd-servers=http://127.0.0.1:2379", f"--secure-port={PORT}", "--bind-address=127.0.0.1", "--advertise-address=192.0.2.1",
                 "--endpoint-reconciler-type=none",
                 f"--cert-dir={d}/certs", "--service-account-issuer=https://kubernetes.default.svc",
                 f"--service-account-key-file={d}/sa.pub", f"--service-account-signing-key-file={d}/sa.key",
                 f"--token-auth-file={d}/tokens.csv", "--authorization-mode=RBAC", "--service-cluster-ip-range=10.0.0.0/24",
                 "--allow-privileged=true", "--enable-priority-and-fairness=false")
        api = Api()

        def ready():
            self.check()
            try:
                return api.call("GET", "/readyz") == "ok"
            except (OSError, Refused):
                return False
        wait_for("the API server", ready, 300)
        self.run("kube-controller-manager", f"--kubeconfig={self.config('admin', ADMIN)}", "--leader-elect=false",
                 f"--service-account-private-key-file={d}/sa.key", f"--controllers={','.join(CONTROLLERS)}",
                 f"--cert-dir={d}/certs-cm", "--secure-port=0", "--pv-recycler-timeout-increment-hostpath=30")
        wait_for("the default account", lambda: api.find("ServiceAccount", "v1", "default", "default"), 120)
        return api

    def log(self, name):
        with open(f"{self.folder}/{name}.log", encoding="utf-8", errors="replace") as f:
            return f.read()

    def check(self):
        """None of the programs has ended."""
        for name, p in self.processes:
            assert p.poll() is None, f"{name} ended with {p.returncode}: {' | '.join(self.log(name).splitlines()[-4:])[-900:]}"

    def stop(self):
        for _, p in reversed(self.processes):
            p.terminate()
        for _, p in reversed(self.processes):
            try:
                p.wait(10)
            except subprocess.TimeoutExpired:
                p.kill()
                p.wait()


def decoded(secret):
    return {k: base64.b64decode(v).decode() for k, v in (secret.get("data") or {}).items()}
