#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Manifests, chart, dashboard and documents against the driver's own tables: options (src/csi/config.c), class parameters
(class.c), secret keys (secrets.c), metrics; the chart renders to what the plain manifests say."""
import copy
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
try:
    import yaml
except ImportError:
    print("SKIP deploy: python3-yaml isn't installed (tests/lab/setup.sh check)")
    sys.exit(77)
import gotemplate  # noqa: E402  (beside this file, needs yaml)

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PLAIN, CHART = "deploy/kubernetes", "deploy/chart/cryptvol"
SECRET_REFS = {f"csi.storage.k8s.io/{kind}-secret-{part}" for part in ("name", "namespace")
               for kind in ("provisioner", "node-stage", "node-publish", "node-expand", "controller-expand", "controller-publish",
                            "snapshotter", "snapshotter-list")}


class Loader(yaml.SafeLoader):
    """YAML in which a key twice is an error: the second would win without a word."""


def _mapping(loader, node):
    keys = [loader.construct_object(k) for k, _ in node.value]
    twice = {k for k in keys if keys.count(k) > 1}
    if twice:
        raise yaml.constructor.ConstructorError(None, None, f"keys twice: {sorted(twice)}", node.start_mark)
    return loader.construct_mapping(node, deep=True)


Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def read(path):
    with open(os.path.join(TOP, path), encoding="utf-8") as f:
        return f.read()


def load(text):
    return [d for d in yaml.load_all(text, Loader) if d]


def files(folder, suffix):
    found = []
    for base, _, names in os.walk(os.path.join(TOP, folder)):
        found += [os.path.relpath(os.path.join(base, n), TOP) for n in names if n.endswith(suffix)]
    return sorted(found)


# ---- the driver's tables ----

def options():
    return set(re.findall(r'\{ "([a-z-]+)", FIELD\(', read("src/csi/config.c"))) | {"config", "version", "help"}


def parameters():
    """name -> uses (VOLUME, CONTEXT, SNAPSHOT, MUTABLE)"""
    text, out = read("src/csi/class.c"), {}
    for name, uses in re.findall(r'\{ "([A-Za-z0-9./]+)",\s+([^}]*?),\s*set_\w+ \}', text):
        out[name] = set(re.findall(r"CSI_CLASS_(\w+)", uses))
        if "VOLUME_AND_CONTEXT" in uses or "MUTABLE_TOO" in uses:
            out[name] |= {"VOLUME", "CONTEXT"}
        if "MUTABLE_TOO" in uses:
            out[name].add("MUTABLE")
    return out


def secret_keys():
    table = re.search(r"known_keys\[\] = \{(.*?)\};", read("src/csi/secrets.c"), re.S).group(1)
    return set(re.findall(r'"(CRYPTO_\w+)"', table))


def metrics():
    return {m for f in files("src/csi", ".c") for m in re.findall(r"\bcryptvol_[a-z_]+", read(f))}


# ---- checks: each returns a list of complaints ----

def check_names(objects, name):
    """The driver's name wherever it may stand."""
    bad = []
    for where, o in objects:
        spec, kind = o.get("spec") or {}, o["kind"]
        found = {"StorageClass": o.get("provisioner"), "VolumeSnapshotClass": o.get("driver"),
                 "CSIDriver": o["metadata"]["name"] if kind == "CSIDriver" else None,
                     "VolumeAttributesClass": o.get("driverName"),
                 "PersistentVolume": (spec.get("csi") or {}).get("driver")}.get(kind)
        if found is not None and found != name:
            bad.append(f"{where}: {kind} names {found}")
        for word in re.findall(r"[\w.-]*\bcryptvol\.io(?:/node)?", json.dumps(o)):
            if word not in (name, name + "/node"):
                bad.append(f"{where}: {word}")
    return bad


def check_flags(objects, known):
    bad, seen = [], 0
    for where, o in objects:
        if o["kind"] not in ("DaemonSet", "Deployment"):
            continue
        for c in o["spec"]["template"]["spec"]["containers"]:
            if not c["image"].split(":")[0].endswith("cryptvol-csi"):
                continue
            for arg in c["args"]:
                seen += 1
                if not arg.startswith("--") or arg[2:].split("=")[0] not in known:
                    bad.append(f"{where}: {c['name']}: {arg}")
    return bad if seen > 10 else bad + ["no container of the driver was found"]


def check_mounts(objects):
    """Each mount has its volume, each volume a mount."""
    bad = []
    for where, o in objects:
        if o["kind"] not in ("DaemonSet", "Deployment"):
            continue
        spec = o["spec"]["template"]["spec"]
        volumes = {v["name"] for v in spec["volumes"]}
        mounts = {m["name"] for c in spec["containers"] for m in c["volumeMounts"]}
        if volumes != mounts:
            bad.append(f"{where}: {o['kind']}: volumes and mounts differ in {sorted(volumes ^ mounts)}")
    return bad


def check_state(objects):
    """The state directory isn't made where its disk isn't mounted, one that is mounted later arrives, and the store is remembered."""
    bad, seen = [], 0
    for where, o in objects:
        if o["kind"] != "DaemonSet":
            continue
        spec = o["spec"]["template"]["spec"]
        driver = next(c for c in spec["containers"] if c["name"] == "cryptvol")
        volume = next(v for v in spec["volumes"] if v["name"] == "state")
        mount = next(m for m in driver["volumeMounts"] if m["name"] == "state")
        seen += 1
        if volume["hostPath"].get("type") != "Directory":
            bad.append(f"{where}: kubelet makes the state directory")
        if mount.get("mountPropagation") != "HostToContainer":
            bad.append(f"{where}: a disk that is mounted later doesn't arrive")
        if "--store-id-file=/csi/store-id" not in driver["args"]:
            bad.append(f"{where}: nothing remembers the store")
    return bad if seen else ["no DaemonSet"]


def check_parameters(objects, table):
    bad = []
    for where, o in objects:
        kind = o["kind"]
        use, given = {"StorageClass": ("VOLUME", o.get("parameters")), "VolumeSnapshotClass": ("SNAPSHOT", o.get("parameters")),
                      "VolumeAttributesClass": ("MUTABLE", o.get("parameters")),
                      "PersistentVolume": ("CONTEXT", (o.get("spec") or {}).get("csi", {}).get("volumeAttributes")),
                      }.get(kind, (None, None))
        for key, value in (given or {}).items():
            if key not in SECRET_REFS and use not in table.get(key, ()):
                bad.append(f"{where}: {kind} {o['metadata']['name']}: {key} isn't a parameter here")
            if not isinstance(value, str):
                bad.append(f"{where}: {key}: {value!r} is no string")
    return bad


def check_secrets(objects, known):
    bad = []
    for where, o in objects:
        if o["kind"] == "Secret":
            bad += [f"{where}: {k} isn't a key of the driver" for k in o["stringData"] if k not in known]
            if "CRYPTO_KEY_VALUE" not in o["stringData"]:
                bad.append(f"{where}: no CRYPTO_KEY_VALUE")
    return bad


def check_dashboard(d, known):
    bad, seen = [], 0
    for panel in d["panels"]:
        for target in panel.get("targets", []):
            for name in re.findall(r"\bcryptvol_\w+", target["expr"]):
                seen += 1
                if name not in known and re.sub(r"_(bucket|sum|count)$", "", name) not in known:
                    bad.append(f"{panel['title']}: {name}")
    return bad if seen > 5 else bad + ["the dashboard shows next to nothing"]


def check_schema(value, schema, path="values"):
    """The part of JSON schema that values.schema.json uses."""
    types = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int}
    unknown = set(schema) - {"$schema", "title", "type", "additionalProperties", "properties", "items", "enum", "pattern", "minimum",
                             "maximum", "required"}
    if unknown:
        return [f"{path}: this check doesn't know {sorted(unknown)}"]
    if "enum" in schema:
        return [] if value in schema["enum"] else [f"{path}: {value!r} isn't one of {schema['enum']}"]
    kind = types[schema["type"]]
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        return [f"{path}: {value!r} is no {schema['type']}"]
    bad = []
    if kind is dict:
        known, more = schema.get("properties", {}), schema.get("additionalProperties", True)
        bad += [f"{path}: {k} is missing" for k in schema.get("required", []) if k not in value]
        for k, v in value.items():
            if k in known:
                bad += check_schema(v, known[k], f"{path}.{k}")
            elif more is False:
                bad.append(f"{path}: {k} isn't in the schema")
            elif isinstance(more, dict):
                bad += check_schema(v, more, f"{path}.{k}")
    elif kind is list:
        for i, v in enumerate(value):
            bad += check_schema(v, schema["items"], f"{path}[{i}]")
    elif kind is str and not re.search(schema.get("pattern", ""), value):
        bad.append(f"{path}: {value!r} doesn't match {schema['pattern']}")
    elif kind is int and not schema.get("minimum", value) <= value <= schema.get("maximum", value):
        bad.append(f"{path}: {value} is out of range")
    return bad


def leaves(values, schema, path=""):
    """Paths of all values that a template has to use; an object that is handed on whole is one."""
    for k, v in values.items():
        below = schema["properties"][k]
        if isinstance(v, dict) and "properties" in below:
            yield from leaves(v, below, f"{path}.{k}")
        else:
            yield f"{path}.{k}"


def check_values_used(values, schema, templates):
    used = set(re.findall(r"\.Values((?:\.\w+)+)", templates))
    have = set(leaves(values, schema))
    return [f"values{v} is used nowhere" for v in sorted(have - used)] + \
        [f".Values{v} has no default" for v in sorted(used - have)
         if not any(h.startswith(v + ".") for h in have)]


def render(values):
    chart = gotemplate.Chart({p: read(p) for p in files(CHART + "/templates", "") if not p.endswith(".txt")})
    meta = load(read(CHART + "/Chart.yaml"))[0]
    root = {"Values": values, "Release": {"Name": "cryptvol", "Namespace": "cryptvol-system", "Service": "Helm"},
            "Chart": {"Name": meta["name"], "Version": meta["version"], "AppVersion": meta["appVersion"]}}
    return [(p, o) for p in files(CHART + "/templates", ".yaml") for o in load(chart.render(p, root))]


def merged(values, over):
    out = copy.deepcopy(values)
    for k, v in over.items():
        out[k] = merged(out[k], v) if isinstance(v, dict) and isinstance(out.get(k), dict) else v
    return out


def without_labels(o):
    """What both ways of deployment must agree on: everything but labels, namespace, defaults that only the chart writes."""
    if isinstance(o, list):
        return [without_labels(x) for x in o
                if not (isinstance(x, str) and x in ("--kdf-memory=0", "--overprovision=100", "--max-volumes=0"))]
    if not isinstance(o, dict):
        return o.replace("cryptvol-csi:0.1.0", "cryptvol-csi") if isinstance(o, str) else o
    return {k: without_labels(v) for k, v in o.items() if k not in ("labels", "matchLabels", "namespace")}


def check_extras(values):
    """What a chart's user adds reaches the pods."""
    mine = {"image": {"digest": "sha256:" + "ab" * 32}, "node": {"podLabels": {"mine": "n"}}, "controller": {"podLabels": {"mine": "c"}},
            "driver": {"extraEnv": [{"name": "A", "value": "b"}], "extraVolumes": [{"name": "x", "emptyDir": {}}],
                       "extraVolumeMounts": [{"name": "x", "mountPath": "/x"}]}}
    bad = []
    for _, o in render(merged(values, mine)):
        if o["kind"] not in ("DaemonSet", "Deployment"):
            continue
        node, pod = o["kind"] == "DaemonSet", o["spec"]["template"]
        driver = pod["spec"]["containers"][0]
        wanted = {"image": driver["image"] == values["image"]["repository"] + "@" + mine["image"]["digest"],
                  "podLabels": pod["metadata"]["labels"].get("mine") == ("n" if node else "c"),
                  "extraEnv": mine["driver"]["extraEnv"][0] in driver["env"],
                  "extraVolumeMounts": not node or mine["driver"]["extraVolumeMounts"][0] in driver["volumeMounts"],
                  "extraVolumes": not node or mine["driver"]["extraVolumes"][0] in pod["spec"]["volumes"]}
        bad += [f"{o['kind']}: {k} doesn't reach the pod" for k, there in wanted.items() if not there]
    return bad


def check_same(plain, chart):
    a = {(o["kind"], o["metadata"]["name"]): without_labels(o) for _, o in plain}
    b = {(o["kind"], o["metadata"]["name"]): without_labels(o) for _, o in chart}
    bad = [f"{k}: only in the {'manifests' if k in a else 'chart'}" for k in sorted(a.keys() ^ b.keys())]
    for k in sorted(a.keys() & b.keys()):
        if a[k] != b[k]:
            bad.append(f"{k}: {first_difference(a[k], b[k])}")
    return bad


def first_difference(a, b, path=""):
    if isinstance(a, dict) and isinstance(b, dict):
        for k in sorted(a.keys() | b.keys()):
            if a.get(k) != b.get(k):
                return first_difference(a.get(k), b.get(k), f"{path}.{k}")
    if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        for i, (x, y) in enumerate(zip(a, b)):
            if x != y:
                return first_difference(x, y, f"{path}[{i}]")
    return f"{path}: {a!r} in the manifests, {b!r} in the chart"


def check_kustomization():
    """Every file is taken by the kustomization beside it, and every one that it takes is there."""
    bad = []
    for k in [p for p in files(PLAIN, ".yaml") if p.endswith("kustomization.yaml")]:
        folder = os.path.dirname(k)
        listed = set(load(read(k))[0].get("resources", []))
        there = {n for n in os.listdir(os.path.join(TOP, folder)) if n.endswith(".yaml") and n != "kustomization.yaml"}
        if listed != there:
            bad.append(f"{k}: {sorted(listed ^ there)}")
    return bad


def check_documents(params, keys, opts):
    classes, page = read("docs/csi/secrets-and-classes.md"), read("man/cryptvol-csi.8")
    bad = [f"secrets-and-classes.md: no row for {p}" for p in sorted(params) if f"| `{p}` |" not in classes]
    bad += [f"secrets-and-classes.md: no row for {k}" for k in sorted(keys) if f"| `{k}` |" not in classes]
    bad += [f"secrets-and-classes.md: {k} isn't known" for k in sorted(set(re.findall(r"CRYPTO_\w+", classes)) - keys - {"CRYPTO_"})]
    listed = {o.replace("\\-", "-") for o in re.findall(r"^\.It Fl -([a-z\\-]+)", page, re.M)}
    bad += [f"cryptvol-csi.8: {o}" for o in sorted(listed ^ opts)]
    rows = re.findall(r"^\| (`--.*?) \|", read("docs/csi/operations.md"), re.M)
    bad += [f"operations.md: {o}" for o in sorted(set(re.findall(r"--([a-z-]+)", " ".join(rows))) ^ opts)]
    if re.findall(r"cryptvol_[a-z_]+", page):
        bad += [f"cryptvol-csi.8: no metric {m}" for m in set(re.findall(r"cryptvol_[a-z_]+", page)) - metrics()]
    return bad


def literals(folder):
    """All string literals of the C sources, neighbours joined as the compiler does, conversions as blanks in the middle."""
    text = "".join(re.sub(r'"\s*\n\s*"', "", read(p)) for p in files(folder, ".c"))
    return text.replace('\\"', '"').replace("%%", "%")


def check_messages(page, sources):
    """The messages in the tables of troubleshooting.md are the driver's own: each piece between dots stands in a source."""
    bad, seen = [], 0
    for cell in re.findall(r"^\| (`.*?) \|", page, re.M):
        for message in re.findall(r"`([^`]*)`", cell):
            for piece in filter(lambda p: len(p) > 8, re.split(r"…", message)):
                seen += 1
                if piece.strip() not in sources:
                    bad.append(f"no source says: {piece}")
    return bad if seen > 30 else bad + ["hardly a message was found"]


# ---- each check is shown to fail on what it is there for ----

def self_test(examples, plain, params, keys, opts, values, schema):
    def broken(objects, kind, change):
        out = copy.deepcopy(objects)
        change(next(o for _, o in out if o["kind"] == kind))
        return out

    cases = {
        "a foreign driver name": check_names(broken(examples, "StorageClass", lambda o: o.update(provisioner="csi.example")),
                                             "csi.cryptvol.io"),
        "a flag that isn't there": check_flags(
            broken(plain, "DaemonSet", lambda o: o["spec"]["template"]["spec"]["containers"][0]["args"].append("--no-such=1")), opts),
        "a mount without a volume": check_mounts(
            broken(plain, "Deployment", lambda o: o["spec"]["template"]["spec"]["volumes"].pop())),
        "a state directory that kubelet makes": check_state(
            broken(plain, "DaemonSet", lambda o: next(v for v in o["spec"]["template"]["spec"]["volumes"] if v["name"] == "state")[
                "hostPath"].update(type="DirectoryOrCreate"))),
        "a parameter that isn't there": check_parameters(
            broken(examples, "StorageClass", lambda o: o["parameters"].update(secure="true")), params),
        "a snapshot's parameter in a class": check_parameters(
            broken(examples, "StorageClass", lambda o: o["parameters"].update(backupDir="/b")), params),
        "a parameter that can't change": check_parameters(
            broken(examples, "VolumeAttributesClass", lambda o: o["parameters"].update(sectorSize="4096")), params),
        "a secret key that isn't there": check_secrets(
            broken(examples, "Secret", lambda o: o["stringData"].update(CRYPTO_KEY="x")), keys),
        "a metric that isn't there": check_dashboard(
            {"panels": [{"title": "t", "targets": [{"expr": "cryptvol_nothing" + "+cryptvol_kdf_waiting" * 9}]}]}, metrics()),
        "a value of another type": check_schema(merged(values, {"metrics": {"port": "x"}}), schema),
        "an IPv6 address that lost its brackets": check_schema(merged(values, {"metrics": {"address": "::"}}), schema),
        "a value that the schema lacks": check_schema(merged(values, {"nothing": 1}), schema),
        "a chart that says something else": check_same(plain, render(merged(values, {"kubeletDir": "/elsewhere"}))),
        "a message that nobody says": check_messages("| `the moon isn't blank` | x |\n" + read("docs/csi/troubleshooting.md"),
                                                     literals("src")),
        "a value without a use": check_values_used(values, schema, ".Values.name"),
    }
    for what, complaints in cases.items():
        report(f"refused: {what}", [] if complaints else ["the check lets it pass"])
    try:
        load("a: 1\na: 2\n")
        report("refused: a key twice", ["the loader lets it pass"])
    except yaml.YAMLError:
        report("refused: a key twice", [])


def build_with_kubectl(components, want):
    """The manifests as a cluster gets them, from a copy that takes these components."""
    with tempfile.TemporaryDirectory() as folder:
        top = shutil.copytree(os.path.join(TOP, PLAIN), os.path.join(folder, "k"))
        with open(os.path.join(top, "kustomization.yaml"), "a", encoding="utf-8") as f:
            f.write("components: [" + ", ".join("components/" + c for c in components) + "]\n")
        r = subprocess.run(["kubectl", "kustomize", top], capture_output=True, text=True, check=False)
    if r.returncode:
        return [r.stderr.strip()]
    built = load(r.stdout)
    bad = [] if len(built) == want else [f"{len(built)} objects, not {want}"]
    return bad + check_flags([("kustomize", o) for o in built], options()) + check_mounts([("kustomize", o) for o in built])


failed = False


def report(name, complaints):
    global failed
    if complaints:
        failed = True
    print(f"FAIL {name}: {'; '.join(complaints)}" if complaints else f"ok {name}")


def objects_of(paths):
    return [(p, o) for p in paths for o in load(read(p)) if "kind" in o]


def main():
    params, keys, opts = parameters(), secret_keys(), options()
    report("the driver's tables are read",
           [] if len(params) > 14 and len(keys) >= 9 and len(opts) > 15 and len(metrics()) > 6 else [f"{params} {keys} {opts}"])
    everything = files(PLAIN, ".yaml") + [CHART + "/values.yaml", CHART + "/Chart.yaml"]
    try:
        for p in everything:
            load(read(p))
        report("all YAML is read", [])
    except yaml.YAMLError as e:
        report("all YAML is read", [f"{p}: {e}"])
        sys.exit(1)
    examples = objects_of(files(PLAIN + "/examples", ".yaml"))
    base = [PLAIN + "/" + p for p in load(read(PLAIN + "/kustomization.yaml"))[0]["resources"]]
    plain = [(p, o) for p, o in objects_of(base) if o["kind"] != "Namespace"]
    values, schema = load(read(CHART + "/values.yaml"))[0], json.loads(read(CHART + "/values.schema.json"))
    full = merged(values, {"earlySecretCheck": True, "metrics": {"serviceMonitor": {"enabled": True, "labels": {"a": "b"}},
                                                                  "prometheusRule": {"enabled": True, "labels": {"a": "b"}}},
                           "backup": {"hostPath": "/b"}, "snapshotter": {"groupSnapshots": True}, "imagePullSecrets": [{"name": "s"}],
                           "driver": {"extraArgs": ["--workers=4"]}, "node": {"affinity": {"nodeAffinity": {}}},
                           "storageClasses": [{"name": "c", "mountOptions": ["noatime"], "parameters": {"encrypted": "true"}}]})
    chart, chart_full = render(values), render(full)
    name = re.search(r'"driver-name", FIELD\(driver_name\), "([^"]+)"', read("src/csi/config.c")).group(1)
    manifests = plain + objects_of([p for p in files(PLAIN + "/components", ".yaml") if not p.endswith("kustomization.yaml")])
    report("the driver's name is the same everywhere", check_names(examples + manifests + chart_full, name))
    report("flags in manifests and chart exist", check_flags(plain, opts) + check_flags(chart, opts) + check_flags(chart_full, opts))
    report("mounts and volumes fit", check_mounts(plain + chart + chart_full))
    report("the state directory is its disk's", check_state(plain + chart + chart_full))
    report("parameters of classes and volumes exist", check_parameters(examples + chart_full, params))
    report("secret keys exist", check_secrets(examples, keys))
    report("metrics of the dashboard exist", check_dashboard(json.loads(read("deploy/grafana/cryptvol.json")), metrics()))
    report("a digest, labels, variables and volumes of the chart's user reach the pods", check_extras(values))
    report("the chart's values fit the schema", check_schema(values, schema) + check_schema(full, schema))
    report("each value is used and has a default", check_values_used(
        values, schema, "".join(read(p) for p in files(CHART + "/templates", ""))))
    report("manifests and chart say the same", check_same(plain, chart))
    report("kustomizations list what is there", check_kustomization())
    report("documents list every parameter, key and option", check_documents(params, keys, opts))
    report("messages in troubleshooting.md are the driver's", check_messages(read("docs/csi/troubleshooting.md"), literals("src")))
    self_test(examples, plain, params, keys, opts, values, schema)
    if shutil.which("kubectl"):
        report("kubectl kustomize builds it", build_with_kubectl([], len(plain) + 1))
        names = sorted(os.listdir(os.path.join(TOP, PLAIN, "components")))
        more = len(objects_of([p for p in files(PLAIN + "/components", ".yaml") if not p.endswith("kustomization.yaml")]))
        report("kubectl kustomize builds it with all components", build_with_kubectl(names, len(plain) + 1 + more))
    else:
        print("SKIP kubectl kustomize: there is no kubectl here")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
