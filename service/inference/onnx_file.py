"""An ONNX file without a runtime: what it needs from one, and the parts of its graph that the service extends.

ONNX Runtime has no call for these. The few fields that they take are declared here with their numbers in
``onnx.proto`` (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto); protobuf carries the rest
along, and also what later versions add. The ``onnx`` package itself is not a dependency of the service.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

STANDARD_DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml"})
EXTERNAL = 1  # TensorProto.DataLocation
FIELDS: dict[str, dict[str, tuple[int, str]]] = {
    "ModelProto": {
        "graph": (7, "GraphProto"),
        "opset_import": (8, "OperatorSetIdProto*"),
        "functions": (25, "FunctionProto*"),
    },
    "OperatorSetIdProto": {"domain": (1, "string"), "version": (2, "int64")},
    "FunctionProto": {"node": (7, "NodeProto*"), "domain": (10, "string")},
    "GraphProto": {
        "node": (1, "NodeProto*"),
        "initializer": (5, "TensorProto*"),
        "input": (11, "ValueInfoProto*"),
        "output": (12, "ValueInfoProto*"),
        "sparse_initializer": (15, "SparseTensorProto*"),
    },
    "NodeProto": {
        "input": (1, "string*"),
        "output": (2, "string*"),
        "op_type": (4, "string"),
        "attribute": (5, "AttributeProto*"),
        "domain": (7, "string"),
    },
    "ValueInfoProto": {"name": (1, "string"), "type": (2, "TypeProto")},
    "TypeProto": {"tensor_type": (1, "TypeProto.Tensor")},
    "TypeProto.Tensor": {"elem_type": (1, "int32"), "shape": (2, "TensorShapeProto")},
    "TensorShapeProto": {"dim": (1, "TensorShapeProto.Dimension*")},
    "TensorShapeProto.Dimension": {"dim_value": (1, "int64"), "dim_param": (2, "string")},
    "AttributeProto": {
        "t": (5, "TensorProto"),
        "g": (6, "GraphProto"),
        "tensors": (10, "TensorProto*"),
        "graphs": (11, "GraphProto*"),
        "sparse_tensor": (22, "SparseTensorProto"),
        "sparse_tensors": (23, "SparseTensorProto*"),
    },
    "SparseTensorProto": {"values": (1, "TensorProto"), "indices": (2, "TensorProto")},
    "TensorProto": {"name": (8, "string"), "data_location": (14, "int32")},
}
"""For each message its fields, with number and type. ``*`` marks a repeated field, a dot a message in another."""


class OnnxFileError(ValueError):
    """The bytes are not a complete ONNX file."""


@dataclass(frozen=True)
class Needs:
    """What a file needs."""

    opset: int | None
    """Opset of the standard operators; None if the file names none."""
    custom_operators: list[str]
    """``domain::type`` of each operator that neither the standard nor the file itself defines."""
    external_tensors: list[str]
    """Names of the tensors whose values are in another file."""


def read_needs(content: bytes) -> Needs:
    """Read what an ONNX file needs.

    Raises:
        OnnxFileError: if the bytes are truncated or are not an ONNX file.
    """
    model = parse(content)
    opsets = [entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")]
    known = STANDARD_DOMAINS | {function.domain for function in model.functions}
    parts = [part for root in (model.graph, *model.functions) for part in walk(root)]
    return Needs(
        opset=max(opsets, default=None),
        custom_operators=sorted(
            {f"{part.domain}::{part.op_type}" for part in parts if is_a(part, "NodeProto") and part.domain not in known}
        ),
        external_tensors=[
            part.name or "(no name)" for part in parts if is_a(part, "TensorProto") and part.data_location == EXTERNAL
        ],
    )


def parse(content: bytes) -> Any:
    """The ``ModelProto`` in these bytes.

    Raises:
        OnnxFileError: as of :func:`read_needs`.
    """
    model = MODEL()
    try:
        model.ParseFromString(content)
    except DecodeError as error:
        raise OnnxFileError(f"not a whole ONNX file ({error})") from None
    if not model.HasField("graph"):
        raise OnnxFileError("not a whole ONNX file (it holds no graph)")
    return model


def walk(message: Any) -> Iterator[Any]:
    """Yield a message and every message inside it, subgraphs of nodes included."""
    pending = [message]
    while pending:
        part = pending.pop()
        yield part
        for field, value in part.ListFields():
            if field.message_type is not None:
                pending.extend(value if field.is_repeated else [value])


def is_a(part: Any, name: str) -> bool:
    return bool(part.DESCRIPTOR.name == name)


def message_class() -> Any:
    """Build the class of ``ModelProto`` from :data:`FIELDS`."""
    kinds = descriptor_pb2.FieldDescriptorProto
    scalars = {"string": kinds.TYPE_STRING, "int32": kinds.TYPE_INT32, "int64": kinds.TYPE_INT64}
    file = descriptor_pb2.FileDescriptorProto(
        name="service/inference/onnx_file.proto", package="service.onnx", syntax="proto2"
    )
    for message, fields in FIELDS.items():
        entry = file.message_type.add(name=message.replace(".", ""))
        for name, (number, kind) in fields.items():
            field = entry.field.add(name=name, number=number)
            field.label = kinds.LABEL_REPEATED if kind.endswith("*") else kinds.LABEL_OPTIONAL
            field.type = scalars.get(kind.rstrip("*"), kinds.TYPE_MESSAGE)
            if field.type == kinds.TYPE_MESSAGE:
                field.type_name = f".service.onnx.{kind.rstrip('*').replace('.', '')}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("service.onnx.ModelProto"))


MODEL = message_class()
