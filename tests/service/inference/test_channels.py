"""What one channel does, against the package's graph edited with the ``onnx`` package."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper

from service.inference.channels import Channels
from service.inference.errors import ClosedGraphError, UnknownChannelError
from service.inference.execution import Execution
from service.inference.runtime import Model, load_model
from tests.service.packages import by_hand, edited

Image = NDArray[np.uint8]


def load(path: Path) -> Model:
    return load_model(path, version=path.parent.name, execution=Execution("cpu", threads=1))


@pytest.fixture
def package(repository: Path) -> Path:
    return repository / "colour" / "1" / "model.onnx"


@pytest.fixture
def image(pixels: NDArray[np.uint8]) -> Image:
    return pixels[0]


def with_constant_gates(gates: str, values: NDArray[np.float32]) -> Callable[[onnx.ModelProto], None]:
    """Put constants in the place of one block's gates."""

    def edit(model: onnx.ModelProto) -> None:
        for node in model.graph.node:
            node.output[:] = ["unused" if name == gates else name for name in node.output]
        model.graph.initializer.append(numpy_helper.from_array(values, gates))

    return edit


def gate_names(package: Path) -> list[str]:
    [joined] = [node for node in onnx.load(package).graph.node if "recalibration_weights" in node.output]
    return list(joined.input)


@pytest.mark.parametrize("block", [0, 3, -1])
def test_the_answer_with_another_gate_is_that_of_a_package_with_constant_gates(
    package: Path, image: Image, block: int
) -> None:
    model = load(package)
    place = model.card.blocks[block]
    probabilities, gates, _ = by_hand(package, image[None])
    part = gates[:, place.offset : place.offset + place.channels].copy()
    found = Channels(model).look(image, place.name, 2, 0.125)
    assert found.gate == pytest.approx(float(part[0, 2]))
    np.testing.assert_allclose(found.before, probabilities[0], rtol=1e-5)
    part[0, 2] = 0.125
    expected, _, _ = by_hand(edited(package, with_constant_gates(gate_names(package)[block], part)), image[None])
    assert np.abs(expected - probabilities).max() > 1e-5
    np.testing.assert_allclose(found.after, expected[0], rtol=1e-4, atol=1e-7)


def test_without_a_value_the_gate_is_set_to_its_mean_in_training(package: Path, image: Image) -> None:
    model = load(package)
    reference = model.card.gate_reference
    assert reference is not None
    block = model.card.blocks[1]
    usual = reference.mean[block.offset + 3]
    channels = Channels(model)
    found, wanted = (channels.look(image, block.name, 3, gate) for gate in (None, usual))
    assert found.gate_if_set == usual
    np.testing.assert_array_equal(found.after, wanted.after)


def test_the_map_is_what_the_multiplication_gives(package: Path, image: Image) -> None:
    model = load(package)
    places = model.card.blocks

    def with_products(proto: onnx.ModelProto) -> None:
        shaped = {
            node.input[0]: node.output[0] for node in proto.graph.node if node.op_type in ("Reshape", "Unsqueeze")
        }
        for index, gates in enumerate(gate_names(package)):
            [product] = [n for n in proto.graph.node if n.op_type == "Mul" and shaped.get(gates, gates) in n.input]
            proto.graph.node.append(onnx.helper.make_node("Identity", [product.output[0]], [f"product_{index}"]))
            info = onnx.helper.make_tensor_value_info(f"product_{index}", onnx.TensorProto.FLOAT, [None] * 4)
            proto.graph.output.append(info)

    session = onnxruntime.InferenceSession(edited(package, with_products), providers=["CPUExecutionProvider"])
    products = session.run([f"product_{index}" for index in range(len(places))], {"image": image[None]})
    channels = Channels(model)
    for place, product in zip(places, products, strict=True):
        found = channels.look(image, place.name, 1, None)
        np.testing.assert_allclose(found.map, product[0, 1], rtol=1e-5, atol=1e-7)


def test_unknown_blocks_and_channels_name_those_that_exist(package: Path, image: Image) -> None:
    model = load(package)
    last = model.card.blocks[-1]
    with pytest.raises(UnknownChannelError, match=f"no block 'layer9' with gates; there are: .*{last.name}"):
        Channels(model).look(image, "layer9", 0, None)
    with pytest.raises(UnknownChannelError, match=f"counted from 0 to {last.channels - 1}"):
        Channels(model).look(image, last.name, last.channels, None)


def test_a_file_that_was_replaced_is_not_opened(package: Path, image: Image, tmp_path: Path) -> None:
    path = tmp_path / "colour" / "1" / "model.onnx"
    path.parent.mkdir(parents=True)
    path.write_bytes(package.read_bytes())
    model = load(path)
    path.write_bytes(path.read_bytes() + b"\x1a\x00")
    with pytest.raises(ClosedGraphError, match="load the model again"):
        Channels(model).look(image, model.card.blocks[0].name, 0, None)


def test_gates_that_are_no_plain_list_are_not_opened(package: Path, image: Image, tmp_path: Path) -> None:
    def indirect(proto: onnx.ModelProto) -> None:
        [joined] = [node for node in proto.graph.node if "recalibration_weights" in node.output]
        joined.output[:] = ["joined"]
        proto.graph.node.append(onnx.helper.make_node("Identity", ["joined"], ["recalibration_weights"]))

    path = tmp_path / "1" / "model.onnx"
    path.parent.mkdir()
    path.write_bytes(edited(package, indirect))
    model = load(path)
    with pytest.raises(ClosedGraphError, match="Identity"):
        Channels(model).look(image, model.card.blocks[0].name, 0, None)
