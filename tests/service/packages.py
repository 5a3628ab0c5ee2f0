"""Variants of a package, good and broken, made with the ``onnx`` package; and a package run by hand."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import numpy_helper

Edit = Callable[[onnx.ModelProto], object]


def edited(package: Path, edit: Edit) -> bytes:
    """The content of a package after an edit."""
    model = onnx.load(package)
    edit(model)
    return model.SerializeToString()


def put(folder: Path, version: str, content: bytes) -> Path:
    """Let a version appear in a model's folder whole, by a rename."""
    draft, target = folder / f".{version}", folder / version
    draft.mkdir(parents=True)
    (draft / "model.onnx").write_bytes(content)
    draft.rename(target)
    return target / "model.onnx"


def copy_model(repository: Path, name: str, version: str, folder: Path) -> Path:
    """Copy one version of a model into another repository."""
    target = folder / name / version
    shutil.copytree(repository / name / version, target)
    return target / "model.onnx"


def by_hand(package: Path | bytes, images: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
    """The outputs of images (N, H, W, C), run one by one without any code of the service."""
    source = package if isinstance(package, bytes) else package.read_bytes()
    session = onnxruntime.InferenceSession(source, providers=["CPUExecutionProvider"])
    rows = [session.run(None, {"image": image[None]}) for image in images]
    return [np.concatenate([row[output] for row in rows]) for output in range(3)]


def biased(shift: list[float]) -> Edit:
    """Prefer some classes, so that the package's answers are recognisable."""

    def edit(model: onnx.ModelProto) -> None:
        bias = initializer(model, "network.fc.bias")
        bias.CopyFrom(numpy_helper.from_array(np.asarray(shift, np.float32), bias.name))

    return edit


def old_opset(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 19


def custom_operator(model: onnx.ModelProto) -> None:
    model.opset_import.append(onnx.helper.make_opsetid("com.example", 1))
    next(node for node in model.graph.node if node.op_type == "Relu").domain = "com.example"


def external_data(model: onnx.ModelProto) -> None:
    onnx.external_data_helper.set_external_data(initializer(model, "network.fc.bias"), "../../secret.bin")


def external_data_in_a_subgraph(model: onnx.ModelProto) -> None:
    tensor = numpy_helper.from_array(np.zeros(4, np.float32), "hidden")
    onnx.external_data_helper.set_external_data(tensor, "weights.bin")
    branch = onnx.helper.make_graph([onnx.helper.make_node("Constant", [], ["x"], value=tensor)], "branch", [], [])
    node = next(node for node in model.graph.node if node.op_type == "Relu")
    node.attribute.append(onnx.helper.make_attribute("body", branch))


def not_finite(model: onnx.ModelProto) -> None:
    biased([float("nan")] * 3)(model)


def no_probabilities(model: onnx.ModelProto) -> None:
    softmax = next(node for node in model.graph.node if node.op_type == "Softmax")
    softmax.op_type = "Sigmoid"
    del softmax.attribute[:]


def over_the_batch(model: onnx.ModelProto) -> None:
    softmax = next(node for node in model.graph.node if node.op_type == "Softmax")
    del softmax.attribute[:]
    softmax.attribute.append(onnx.helper.make_attribute("axis", 0))


def without_card(model: onnx.ModelProto) -> None:
    del model.metadata_props[:]


def bad_card(model: onnx.ModelProto) -> None:
    onnx.helper.set_model_props(model, {"card": '{"schema_version": 1, "name": "colour"}'})


def initializer(model: onnx.ModelProto, name: str) -> onnx.TensorProto:
    return next(tensor for tensor in model.graph.initializer if tensor.name == name)
