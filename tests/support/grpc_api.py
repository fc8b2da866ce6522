"""Calls the daemon's gRPC API without generated stubs.

The messages are made at run time from what protoc says of the .proto files, the methods from their
services, so nothing has to be generated, installed or kept in step.
"""

import os
import subprocess
import tempfile

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.dirname(os.path.dirname(HERE))
CONTROL = "om.control.v1."


def load_pool():
    proto = os.path.join(SOURCE, "proto")
    own = os.path.join(HERE, "proto")
    control = os.path.join("om", "control", "v1")
    files = [os.path.join(control, name)
             for name in sorted(os.listdir(os.path.join(proto, control)))
             if name.endswith(".proto")]
    files.append("om/internal/v1/originator.proto")
    files += ["google/rpc/status.proto", "google/rpc/error_details.proto",
              "grpc/health/v1/health.proto", "grpc/reflection/v1alpha/reflection.proto"]
    with tempfile.TemporaryDirectory(prefix="omd-proto-") as folder:
        output = os.path.join(folder, "api.binpb")
        subprocess.run([os.environ.get("OM_PROTOC", "protoc"), "-I", proto, "-I",
                        os.path.join(proto, "third_party"), "-I", own, "--include_imports",
                        "--descriptor_set_out=" + output, *files], check=True)
        with open(output, "rb") as stream:
            described = descriptor_pb2.FileDescriptorSet.FromString(stream.read())
    pool = descriptor_pool.DescriptorPool()
    for file in described.file:
        pool.Add(file)
    return pool, described


POOL, DESCRIBED = load_pool()
FACTORY = message_factory.MessageFactory(POOL)


def message(name):
    """Class of a message, by full name or by its name in om.control.v1."""
    if not name.startswith(("grpc.", "google.", "om.")):
        name = CONTROL + name
    return FACTORY.GetPrototype(POOL.FindMessageTypeByName(name))


def control_services():
    """{full name: [method names]} of om.control.v1."""
    return {file.package + "." + service.name: [method.name for method in service.method]
            for file in DESCRIBED.file if file.package == "om.control.v1"
            for service in file.service}


def enum_name(value_message, field):
    """Name of the value of an enum field, without the common prefix of its type."""
    enum = value_message.DESCRIPTOR.fields_by_name[field].enum_type
    name = enum.values_by_number[getattr(value_message, field)].name
    prefix = "".join("_" + letter if letter.isupper() else letter for letter in enum.name)
    prefix = prefix.lstrip("_").upper() + "_"
    return name[len(prefix):] if name.startswith(prefix) else name


def originator(kind=None, **fields):
    """The metadata by which a node says for whom it calls."""
    from_whom = message("om.internal.v1.Originator")(**fields)
    if kind is not None:
        from_whom.kind = from_whom.DESCRIPTOR.enum_types_by_name["Kind"].values_by_name["KIND_" + kind].number
    return from_whom.SerializeToString()


class Error:
    """A failed call: code, text, and the details that machines read."""

    def __init__(self, error):
        self.code = error.code()
        self.text = error.details()
        self.details = []
        self.reason = None
        self.metadata = {}
        self.raw_bytes = 0
        for key, value in error.trailing_metadata() or ():
            if key != "grpc-status-details-bin":
                continue
            self.raw_bytes = len(value)
            status = message("google.rpc.Status").FromString(value)
            for packed in status.details:
                detail = message(packed.type_url.rpartition("/")[2]).FromString(packed.value)
                self.details.append(detail)
                if detail.DESCRIPTOR.full_name == "google.rpc.ErrorInfo":
                    self.reason = detail.reason
                    self.metadata = dict(detail.metadata)

    def __repr__(self):
        return "%s %r reason=%s details=%s" % (self.code, self.text, self.reason, self.details)


class Api:
    """A channel; with credentials one over TLS, with a token every call carries it."""

    def __init__(self, target, credentials=None, token=None, **options):
        arguments = {"grpc.initial_reconnect_backoff_ms": 100, "grpc.min_reconnect_backoff_ms": 100,
                     "grpc.max_reconnect_backoff_ms": 1000, "grpc.use_local_subchannel_pool": 1,
                     "grpc.max_receive_message_length": 64 << 20, "grpc.enable_http_proxy": 0}
        arguments.update({name.replace("__", "."): value for name, value in options.items()})
        self.metadata = [("authorization", "Bearer " + token)] if token is not None else None
        if credentials is None:
            self.channel = grpc.insecure_channel(target, list(arguments.items()))
        else:
            self.channel = grpc.secure_channel(target, credentials, list(arguments.items()))

    def close(self):
        self.channel.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def method(self, name):
        """Callable, input class and whether replies stream, of `DaemonService.GetStatus` or a full name."""
        if not name.startswith("grpc."):
            name = CONTROL + name
        service_name, _, method_name = name.rpartition(".")
        method = POOL.FindServiceByName(service_name).methods_by_name[method_name]
        described = descriptor_pb2.MethodDescriptorProto()
        method.CopyToProto(described)
        request = message(method.input_type.full_name)
        reply = message(method.output_type.full_name)
        make = {(False, False): self.channel.unary_unary, (False, True): self.channel.unary_stream,
                (True, True): self.channel.stream_stream}[
                    described.client_streaming, described.server_streaming]
        return make("/%s/%s" % (service_name, method_name),
                    request_serializer=lambda value: value.SerializeToString(),
                    response_deserializer=reply.FromString), request

    def call(self, name, timeout=30, wait_for_ready=True, **fields):
        """Calls a unary method."""
        function, request = self.method(name)
        return function(request(**fields), timeout=timeout, wait_for_ready=wait_for_ready,
                        metadata=self.metadata)

    def stream(self, name, timeout=120, **fields):
        """Opens a server stream: an iterator with cancel()."""
        function, request = self.method(name)
        return function(request(**fields), timeout=timeout, wait_for_ready=True,
                        metadata=self.metadata)

    def requests(self, name, values, timeout=30):
        """Sends a list of requests on a two-way stream."""
        function, request = self.method(name)
        return function(iter([request(**fields) for fields in values]), timeout=timeout,
                        wait_for_ready=True)
