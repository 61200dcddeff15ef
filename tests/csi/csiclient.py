# SPDX-License-Identifier: Apache-2.0
"""A CSI client in another language: messages by protoc from our description, calls by grpcio, in the order that kubelet and the sidecars use."""
import os
import subprocess
import sys
import tempfile

import grpc

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def load_messages():
    """Compile csi.proto into a private folder and import it."""
    out = tempfile.mkdtemp(prefix="csi-pb2-")
    subprocess.run(["protoc", f"--python_out={out}", f"-I{TOP}/src/csi/proto", "-I/usr/include", "csi.proto"], check=True)
    sys.path.insert(0, out)
    import csi_pb2
    return csi_pb2


pb = load_messages()
Mode = pb.VolumeCapability.AccessMode


class Failed(Exception):
    """A call that answered with a code other than OK."""

    def __init__(self, method, error):
        self.code = error.code().name
        self.message = error.details() or ""
        super().__init__(f"{method}: {self.code}: {self.message}")


class Client:
    def __init__(self, socket, timeout=120):
        self.timeout = timeout
        self.channel = grpc.insecure_channel(f"unix:{socket}", options=[("grpc.default_authority", "localhost")])
        services = pb.DESCRIPTOR.services_by_name
        self.methods = {}
        for service in services.values():
            for m in service.methods:
                if not m.server_streaming:
                    self.methods[m.name] = (f"/csi.v1.{service.name}/{m.name}", getattr(pb, m.input_type.name),
                                            getattr(pb, m.output_type.name))

    def ready(self, seconds=20):
        grpc.channel_ready_future(self.channel).result(timeout=seconds)

    def raw(self, path, data, timeout=None):
        """Bytes in, bytes out: for requests that no library would encode."""
        call = self.channel.unary_unary(path, request_serializer=lambda b: b, response_deserializer=lambda b: b)
        try:
            return call(data, timeout=timeout or self.timeout)
        except grpc.RpcError as e:
            raise Failed(path, e) from None

    def __getattr__(self, name):
        if name not in self.__dict__.get("methods", {}):
            raise AttributeError(name)
        path, request, response = self.methods[name]
        call = self.channel.unary_unary(path, request_serializer=request.SerializeToString, response_deserializer=response.FromString)

        def invoke(timeout=None, **fields):
            try:
                return call(request(**fields), timeout=timeout or self.timeout)
            except grpc.RpcError as e:
                raise Failed(name, e) from None
        return invoke

    def fails(self, code, method, /, **fields):
        """Call and expect this code (or one of several); the message is returned."""
        codes = (code,) if isinstance(code, str) else code
        try:
            getattr(self, method)(**fields)
        except Failed as e:
            assert e.code in codes, f"{method}: {e.code} ({e.message}), not {code}"
            assert e.message, f"{method}: no message"
            return e.message
        raise AssertionError(f"{method} answered OK, not {code}")


def mount_cap(fs="ext4", mode=Mode.SINGLE_NODE_WRITER, flags=()):
    return pb.VolumeCapability(mount=pb.VolumeCapability.MountVolume(fs_type=fs, mount_flags=list(flags)), access_mode=Mode(mode=mode))


def block_cap(mode=Mode.SINGLE_NODE_WRITER):
    return pb.VolumeCapability(block=pb.VolumeCapability.BlockVolume(), access_mode=Mode(mode=mode))
