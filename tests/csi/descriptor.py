# SPDX-License-Identifier: Apache-2.0
"""descriptor.py DESCRIBE.C OURS UPSTREAM...: our FileDescriptorSet compared with each version's of the specification, and the
driver's table of secret fields with the markers. Prints result lines."""
import re
import sys

from google.protobuf import descriptor_pb2

CSI_SECRET = 1059  # the extension of FieldOptions that marks secrets


def load(path):
    s = descriptor_pb2.FileDescriptorSet()
    with open(path, "rb") as f:
        s.ParseFromString(f.read())
    return next(f for f in s.file if f.package == "csi.v1")


def varint(data, at):
    value = shift = 0
    while True:
        value |= (data[at] & 0x7f) << shift
        shift += 7
        at += 1
        if not data[at - 1] & 0x80:
            return value, at


def is_secret(field):
    """The marker's raw bytes: neither side's extension is known to this program."""
    data, at = field.options.SerializeToString(), 0
    while at < len(data):
        tag, at = varint(data, at)
        assert tag & 7 in (0, 2), tag
        value, at = varint(data, at)
        if tag & 7 == 2:
            at += value
        elif tag >> 3 == CSI_SECRET and value:
            return True
    return False


def messages(container, prefix=""):
    for m in container:
        yield prefix + m.name, m
        yield from messages(m.nested_type, prefix + m.name + ".")


def enums(file):
    for e in file.enum_type:
        yield e.name, e
    for name, m in messages(file.message_type):
        for e in m.enum_type:
            yield f"{name}.{e.name}", e


def facts(file):
    """Everything that the wire, a client in another language, or a log could notice."""
    kinds = {"fields": set(), "oneofs": set(), "enums": set(), "services": set(), "secrets": set(), "messages": set()}
    for name, m in messages(file.message_type):
        kinds["messages"].add((name, m.options.map_entry))
        for f in m.field:
            oneof = m.oneof_decl[f.oneof_index].name if f.HasField("oneof_index") else ""
            kinds["fields"].add((name, f.name, f.number, f.type, f.label, f.type_name))
            kinds["oneofs"].add((name, f.name, oneof, f.proto3_optional))
            if is_secret(f):
                kinds["secrets"].add((name, f.name))
    for name, e in enums(file):
        kinds["enums"] |= {(name, v.name, v.number) for v in e.value}
    for s in file.service:
        kinds["services"] |= {(s.name, m.name, m.input_type, m.output_type, m.client_streaming, m.server_streaming)
                              for m in s.method}
    return kinds


def say(name, good, why=""):
    print(f"ok {name}" if good else f"FAIL {name}: {why}")
    return good


def compare(ours, versions):
    """All that each version has is in ours, and ours has nothing that no version has."""
    good = True
    for path, theirs in versions.items():
        for kind in ours:
            missing = sorted(theirs[kind] - ours[kind])
            good &= say(f"descriptor: all {kind} of {path} ({len(theirs[kind])}) are in ours", bool(theirs[kind]) and not missing,
                        f"missing {missing[:5]}")
    for kind in ours:
        extra = sorted(ours[kind].difference(*(v[kind] for v in versions.values())))
        good &= say(f"descriptor: {kind} ({len(ours[kind])}) are all upstream's", not extra, f"extra {extra[:5]}")
    return good


def compare_table(ours, path):
    with open(path, encoding="utf-8") as f:
        table = re.search(r"secret_fields\[\] = \{([^}]*)\}", f.read())
    names = set(re.findall(r'"([^"]+)"', table[1])) if table else set()
    marked = {field for _, field in ours["secrets"]}
    good = say("redaction: the table names every marked field, and mount_flags", names == marked | {"mount_flags"},
               f"{sorted(names)} against {sorted(marked)}")
    unmarked = {(m, f) for m, f, *_ in ours["fields"] if f in marked} - ours["secrets"]
    return good & say("redaction: a field's name tells whether it is marked", not unmarked, f"{sorted(unmarked)}")


def main():
    table, own, *upstream = sys.argv[1:]
    ours, versions = facts(load(own)), {path: facts(load(path)) for path in upstream}
    good = say("control: the comparison sees one changed number", control(own, ours))
    good &= say("control: the versions differ", len({len(v["fields"]) for v in versions.values()}) == len(upstream))
    good &= compare(ours, versions)
    good &= compare_table(ours, table)
    return 0 if good else 1


def control(path, ours):
    changed = load(path)
    changed.message_type[1].field[0].number += 100
    return facts(changed)["fields"] != ours["fields"]


if __name__ == "__main__":
    sys.exit(main())
