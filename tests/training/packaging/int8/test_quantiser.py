"""The 8-bit graph of a run's package: which tensors are in 8 bits, and how near their weights stay."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from training.packaging.int8.quantise import ranked
from training.packaging.int8.quantiser import Quantiser


@pytest.fixture(scope="module")
def images(tiny_npz: Path) -> np.ndarray:
    return np.load(tiny_npz)["train_images"][:24]


@pytest.fixture(scope="module")
def quantiser(package: Path, images: np.ndarray) -> Quantiser:
    return Quantiser(package, images)


@pytest.fixture(scope="module")
def graph(quantiser: Quantiser, tmp_path_factory: pytest.TempPathFactory) -> onnx.GraphProto:
    path = tmp_path_factory.mktemp("int8") / "model.onnx"
    quantiser.write(path, [name for name in quantiser.nodes if name != "conv1"])
    model = onnx.load(path)
    onnx.checker.check_model(model)
    assert {opset.domain for opset in model.opset_import} <= {"", "ai.onnx"}
    return model.graph


def makers(graph: onnx.GraphProto) -> dict[str, onnx.NodeProto]:
    return {output: node for node in graph.node for output in node.output}


def test_knows_every_convolution_of_the_network_and_none_of_the_style_shift(quantiser: Quantiser) -> None:
    # ResNet-18: the stem, two a block in eight blocks, and a shortcut in three of the four stages.
    assert len(quantiser.nodes) == 1 + 16 + 3
    assert {"conv1", "layer1.0.conv1", "layer4.0.downsample.0"} <= quantiser.nodes.keys()


def test_only_the_chosen_convolutions_have_8_bit_weights(graph: onnx.GraphProto) -> None:
    maker = makers(graph)
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    in_8_bits = [node for node in convolutions if node.input[1] in maker]
    assert len(in_8_bits) == 19
    for node in in_8_bits:
        assert [maker[name].op_type for name in node.input[:2]] == ["DequantizeLinear"] * 2
    assert any(node.input[1] == "network.conv1.weight" for node in convolutions)


def test_weights_stay_within_half_a_step_of_7_bits_in_each_channel(graph: onnx.GraphProto, package: Path) -> None:
    weights = {each.name: numpy_helper.to_array(each) for each in onnx.load(package).graph.initializer}
    values = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
    name = "network.layer2.0.conv1.weight"
    whole, scale = values[f"{name}_quantized"], values[f"{name}_scale"]
    assert whole.dtype == np.int8
    assert np.abs(whole.astype(int)).max() <= 64  # pairs of products with U8 fit into 16 bits: 2 * 255 * 64 < 2 ** 15
    assert scale.shape == (len(weights[name]),)
    restored = whole * scale[:, None, None, None]
    assert (np.abs(restored - weights[name]) <= 0.5001 * scale[:, None, None, None]).all()


def test_sums_and_pooling_read_float32_where_there_is_one(graph: onnx.GraphProto) -> None:
    maker = makers(graph)
    for node in graph.node:
        for name in node.input:
            dequantise = maker.get(name)
            if node.op_type == "Conv" or dequantise is None or dequantise.op_type != "DequantizeLinear":
                continue
            copied = maker[maker[dequantise.input[0]].input[0]]
            while copied.op_type == "Relu":
                copied = maker[copied.input[0]]
            assert copied.op_type == "Conv", f"{node.op_type} {node.name} reads an 8-bit copy of {copied.op_type}"


def test_ranks_the_convolution_first_whose_input_does_not_suit_8_bits(tmp_path: Path) -> None:
    """``bad`` also reads a copy of the image a thousand times as large, and one scale has to do for both."""

    def constant(name: str, values: object, kind: type = np.float32) -> onnx.TensorProto:
        return numpy_helper.from_array(np.array(values, kind), name)

    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["pixels"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Mul", ["planes", "thousand"], ["large"]),
        helper.make_node("Concat", ["planes", "large"], ["both"], axis=1),
        helper.make_node("Conv", ["planes", "network.good.weight"], ["good"], name="first"),
        helper.make_node("Conv", ["both", "network.bad.weight"], ["bad"], name="second"),
        helper.make_node("Concat", ["good", "bad"], ["maps"], axis=1),
        helper.make_node("ReduceMean", ["maps", "axes"], ["recalibration_weights"], keepdims=0),
        helper.make_node("Softmax", ["recalibration_weights"], ["probabilities"], axis=1),
    ]
    values = [
        constant("thousand", 1000),
        constant("axes", [2, 3], np.int64),
        constant("network.good.weight", [[[[0.01]]]]),
        constant("network.bad.weight", [[[[0.01]], [[0.00001]]]]),
    ]
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 2])
        for name in ("probabilities", "recalibration_weights")
    ]
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["n", 4, 4, 1])
    model = helper.make_model(
        helper.make_graph(nodes, "two", [image], outputs, values), opset_imports=[helper.make_opsetid("", 20)]
    )
    model.ir_version = 10
    onnx.save(model, tmp_path / "two.onnx")
    seen = np.random.default_rng(0).integers(0, 256, (16, 4, 4, 1), dtype=np.uint8)
    assert ranked(Quantiser(tmp_path / "two.onnx", seen), tmp_path / "draft.onnx", seen) == ["bad", "good"]
