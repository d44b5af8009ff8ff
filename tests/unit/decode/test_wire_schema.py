"""The wire view stays what it claims to be: generated from the schema, and compatible with OTLP."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from grpc_tools import protoc
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from retraind.decode import otlp_pb2

SCHEMAS = Path(__file__).parents[3] / "proto"
WIRE_TYPE = {
    FieldDescriptor.TYPE_DOUBLE: 1, FieldDescriptor.TYPE_FIXED64: 1,
    FieldDescriptor.TYPE_FIXED32: 5,
    FieldDescriptor.TYPE_BYTES: 2, FieldDescriptor.TYPE_STRING: 2, FieldDescriptor.TYPE_MESSAGE: 2,
}  # fmt: skip


def test_committed_module_matches_the_schema() -> None:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "set")
        arguments = ["", f"-I{SCHEMAS}", f"--descriptor_set_out={out}", "retraind/wire/otlp.proto"]
        assert protoc.main(arguments) == 0
        compiled = FileDescriptorSet.FromString(out.read_bytes()).file[0]
    committed = FileDescriptorProto()
    otlp_pb2.DESCRIPTOR.CopyToProto(committed)
    for message in (compiled, committed):
        for kind in message.message_type:
            for field in kind.field:
                field.ClearField("json_name")
    assert committed == compiled


def wire(field: Any) -> tuple[int, bool]:
    return WIRE_TYPE.get(field.type, 0), field.is_repeated


def compare(ours: Descriptor, official: Descriptor, seen: set[str]) -> None:
    if ours.name in seen:
        return
    seen.add(ours.name)
    for field in ours.fields:
        twin = official.fields_by_number[field.number]
        assert twin.name == field.name
        assert wire(twin) == wire(field), field.full_name
        if field.message_type is not None:
            compare(field.message_type, twin.message_type, seen)


def test_fields_have_the_numbers_and_wire_types_of_opentelemetry_proto() -> None:
    seen: set[str] = set()
    messages = otlp_pb2.DESCRIPTOR.message_types_by_name
    compare(messages["TraceRequest"], ExportTraceServiceRequest.DESCRIPTOR, seen)
    compare(messages["LogRequest"], ExportLogsServiceRequest.DESCRIPTOR, seen)
    assert seen == set(messages)
