"""Static quantisation of a package's graph by ONNX Runtime: its convolutions in 8 bits, all else in float32."""

import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QDQQuantizer, QuantType, create_calibrator

from models.package import INPUT

OPERATORS = ["Conv", "MaxPool"]
"""Max-pooling only hands 8-bit values on. Style pooling, gates, the classifier and the style shift stay in float32: in
8 bits they moved gates by up to .41 (EXPERIMENTS.md, "INT8 packages")."""
METHOD = (
    "onnxruntime.quantization, static, QDQ: activations U8, weights S8 of 7 bits, scaled for each output channel; "
    "ranges from the least to the largest value; residual sums, style pooling, gates, classifier and style shift in "
    "float32"
)
BATCH = 16
NETWORK = "network."


class Images(CalibrationDataReader):
    """Images (N, H, W, C) in batches, as the calibrator of ONNX Runtime reads them."""

    def __init__(self, images: NDArray[np.uint8]) -> None:
        self.batches: Iterator[NDArray[np.uint8]] = iter(batches(images))

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        batch = next(self.batches, None)
        return None if batch is None else {INPUT: batch}


class Quantiser:
    """A float32 graph with the range of each tensor that may become 8-bit, ready to be written many times.

    Args:
        graph: the ONNX file.
        images: (N, H, W, C), from which the ranges are taken.
    """

    def __init__(self, graph: Path, images: NDArray[np.uint8]) -> None:
        self.graph = graph
        model = onnx.load(graph)
        self.nodes = convolutions(model)
        self.pooling = [node.name for node in model.graph.node if node.op_type == "MaxPool"]
        with tempfile.TemporaryDirectory() as folder:
            calibrator = create_calibrator(graph, OPERATORS, augmented_model_path=str(Path(folder) / "ranges.onnx"))
            calibrator.collect_data(Images(images))
            self.ranges = calibrator.compute_data()

    def write(self, path: Path, names: Collection[str]) -> None:
        """Write the graph with these convolutions in 8 bits.

        Weights have 7 of the 8 bits: a CPU without VNNI adds pairs of 8-bit products in 16 bits, which may overflow.
        """
        quantizer = QDQQuantizer(
            onnx.load(self.graph),
            per_channel=True,
            reduce_range=True,
            weight_qType=QuantType.QInt8,
            activation_qType=QuantType.QUInt8,
            tensors_range=self.ranges,
            nodes_to_quantize=[*(self.nodes[name] for name in names), *self.pooling],
            nodes_to_exclude=[],
            op_types_to_quantize=OPERATORS,
            extra_options={},
        )
        quantizer.quantize_model()
        read_in_float(quantizer.model.graph())
        quantizer.model.topological_sort()
        onnx.save(quantizer.model.model, path)


def convolutions(model: onnx.ModelProto) -> dict[str, str]:
    """The network's convolutions by name, such as ``layer1.0.conv1``, to the names of their nodes.

    The style shift has convolutions too, which measure the image's detail. They have no place here.
    """
    return {
        node.input[1].removeprefix(NETWORK).removesuffix(".weight"): node.name
        for node in model.graph.node
        if node.op_type == "Conv" and node.input[1].startswith(NETWORK)
    }


def read_in_float(graph: onnx.GraphProto) -> None:
    """Let all but convolutions read a sum or a pooled map as it is, and not its 8-bit copy.

    So the residual stream is not rounded at every block. And ONNX Runtime keeps the max-pooling behind a convolution in
    float32 in its fast layout, rather than rounding first and pooling slowly. What a convolution in 8 bits puts out has
    no float32 form, so its readers get the 8-bit copy.
    """
    maker = {output: node for node in graph.node for output in node.output}

    def source(name: str) -> str:
        """The tensor of which this one is an 8-bit copy; itself where it is none."""
        dequantise = maker.get(name)
        quantise = None
        if dequantise is not None and dequantise.op_type == "DequantizeLinear":
            quantise = maker.get(dequantise.input[0])
        if quantise is None or quantise.op_type != "QuantizeLinear":
            return name
        origin = maker[quantise.input[0]]
        if origin.op_type == "Relu":
            origin = maker[origin.input[0]]
        return name if origin.op_type == "Conv" else quantise.input[0]

    for node in graph.node:
        if node.op_type != "Conv":
            node.input[:] = [source(name) for name in node.input]


def batches(images: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    return [images[start : start + BATCH] for start in range(0, len(images), BATCH)]
