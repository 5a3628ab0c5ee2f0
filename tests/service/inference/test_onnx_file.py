"""What an ONNX file asks for, read without running it."""

from operator import attrgetter
from pathlib import Path

import onnx
import pytest

from service.inference.onnx_file import FIELDS, OnnxFileError, read_needs
from tests.service.packages import edited


def test_field_numbers_are_onnx_own() -> None:
    for message, fields in FIELDS.items():
        descriptor = attrgetter(message)(onnx).DESCRIPTOR
        for name, (number, kind) in fields.items():
            field = descriptor.fields_by_name[name]
            assert field.number == number, (message, name)
            assert field.is_repeated == kind.endswith("*"), (message, name)


def test_needs_of_a_good_package(repository: Path) -> None:
    content = (repository / "grey" / "1" / "model.onnx").read_bytes()
    needs = read_needs(content)
    assert needs.opset == next(o.version for o in onnx.load_model_from_string(content).opset_import if not o.domain)
    assert (needs.custom_operators, needs.external_tensors) == ([], [])


def test_a_local_function_is_no_custom_operator(repository: Path) -> None:
    def with_function(model: onnx.ModelProto) -> None:
        node = onnx.helper.make_node("Relu", ["x"], ["y"])
        function = onnx.helper.make_function("local", "Mine", ["x"], ["y"], [node], [onnx.helper.make_opsetid("", 20)])
        model.functions.append(function)
        model.opset_import.append(onnx.helper.make_opsetid("local", 1))
        relu = next(node for node in model.graph.node if node.op_type == "Relu")
        relu.op_type, relu.domain = "Mine", "local"

    assert read_needs(edited(repository / "grey" / "1" / "model.onnx", with_function)).custom_operators == []


def test_bytes_that_are_no_onnx_file() -> None:
    for content in (b"", b"garbage", bytes(100), b"\xff" * 50):
        with pytest.raises(OnnxFileError, match="not a whole ONNX file"):
            read_needs(content)
