"""The network in a package's graph, as a torch module again."""

from pathlib import Path

import onnx
import onnxruntime
import torch
from onnx import numpy_helper
from torch import Tensor

from models.card import Card
from models.fold import fold
from models.package import read_card
from models.resnet import ResNet
from training.data.pipeline import Normalisation
from training.errors import TrainingError


def read_network(package: Path) -> tuple[ResNet, Normalisation, Card]:
    """The folded network and the normalisation that a package's graph holds, and its card.

    Raises:
        TrainingError: if it is an INT8 package, or its weights do not have the names that the export gives them.
    """
    card = read_card(onnxruntime.InferenceSession(package, providers=["CPUExecutionProvider"]))
    if card.precision != "float32":
        raise TrainingError(
            f"{package} is an {card.precision.upper()} package: name the float32 one it was made beside"
        )
    graph = onnx.load(package).graph
    weights = {entry.name: torch.from_numpy(numpy_helper.to_array(entry).copy()) for entry in graph.initializer}
    network = fold(ResNet(card.architecture).eval())
    try:
        name_gates(graph, weights)
        network.load_state_dict({name: weights[f"network.{name}"] for name in network.state_dict()})
        scale, offset = weights["scale"].flatten(), weights["offset"].flatten()
    except (KeyError, ValueError, RuntimeError) as error:
        raise TrainingError(
            f"{package} was not exported by this project, or by another version of it: {error}"
        ) from None
    std = 1 / (255 * scale)
    return network.eval(), Normalisation((-offset * std).tolist(), std.tolist()), card


def name_gates(graph: onnx.GraphProto, weights: dict[str, Tensor]) -> None:
    """Name SRM's ``a`` and ``b``, whose names the exporter's constant folding loses.

    A gate is sigmoid(d + a * mean + b * deviation): ``a`` is a factor of what is added to ``d``, and ``b`` of what is
    added to that.
    """
    maker = {output: node for node in graph.node for output in node.output}
    additions = {name: node for node in graph.node if node.op_type == "Add" for name in node.input}
    for summed in [name for name in weights if name.endswith(".recalibration.d")]:
        place = summed
        for factor in ("a", "b"):
            addition = additions[place]
            [product] = [maker[name] for name in addition.input if name != place]
            [known] = [weights[name] for name in product.input if name in weights]
            weights[summed.removesuffix("d") + factor] = known.flatten()
            [place] = addition.output
