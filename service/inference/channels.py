"""What one channel does in one image: its map, and the answer that the network gives with this gate at another value.

A package has neither among its outputs. So its graph is opened in a second session: there the gates of each block are a
sum of what the network computed and of an input, and the features that they multiply are an output. The session is made
when a channel is first asked for.
"""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from models.package import INPUT, OUTPUTS, digest
from service.inference.errors import ClosedGraphError, UnknownChannelError
from service.inference.execution import Execution, create_session
from service.inference.onnx_file import parse
from service.inference.runtime import Model

FLOAT = 1  # TensorProto.DataType
PROBABILITIES, GATES, _ = OUTPUTS
SHAPING = frozenset({"Reshape", "Unsqueeze"})
"""Operators between a gate and the multiplication that change no value."""


@dataclass(frozen=True)
class Channel:
    """One channel in one image."""

    gate: float
    """What the network computed."""
    gate_if_set: float
    map: NDArray[np.float32]
    """(h, w): the channel's features times its gate, as they are added to the block's input."""
    before: NDArray[np.float32]
    """(K,): the probabilities of the image."""
    after: NDArray[np.float32]
    """(K,): the probabilities with the gate set. The gates of later blocks follow."""


@dataclass(frozen=True)
class Place:
    """Where a block's gates are in the opened graph."""

    change: str
    """The input that is added to them, (1, C)."""
    features: str
    """The output that they multiply, (1, C, h, w)."""


class Channels:
    """The channels of one loaded model. Threads may share it."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.opening = threading.Lock()
        self.opened: tuple[onnxruntime.InferenceSession, list[Place]] | None = None

    def look(self, image: NDArray[np.uint8], block: str, channel: int, gate: float | None) -> Channel:
        """Look at one channel of an image (H, W, C).

        Args:
            gate: The value to set it to. None: its mean over the training images.

        Raises:
            UnknownChannelError: if the model has no such block or channel, or if its mean is not known.
            ClosedGraphError: if the package's graph can't be opened.
        """
        card = self.model.card
        index = self.index(block, channel)
        flat = card.blocks[index].offset + channel
        if gate is None:
            if card.gate_reference is None:
                raise UnknownChannelError(
                    f"The card of {card.name} does not say what is usual for a gate: send the value in `gate`."
                )
            gate = card.gate_reference.mean[flat]
        session, places = self.open()
        changes = {
            place.change: np.zeros((1, block.channels), np.float32)
            for place, block in zip(places, card.blocks, strict=True)
        }
        inputs = {INPUT: image[None], **changes}
        before, gates, features = session.run([PROBABILITIES, GATES, places[index].features], inputs)
        own = float(gates[0, flat])
        changes[places[index].change][0, channel] = gate - own
        [after] = session.run([PROBABILITIES], inputs)
        return Channel(own, gate, features[0, channel] * own, before[0], after[0])

    def index(self, block: str, channel: int) -> int:
        """Where a block stands among the blocks, if it has such a channel."""
        blocks = {each.name: index for index, each in enumerate(self.model.card.blocks)}
        if block not in blocks:
            raise UnknownChannelError(
                f"{self.model.name} has no block {block[:64]!r} with gates; there are: {', '.join(blocks) or 'none'}"
            )
        channels = self.model.card.blocks[blocks[block]].channels
        if channel >= channels:
            raise UnknownChannelError(f"{block} has no channel {channel}: they are counted from 0 to {channels - 1}")
        return blocks[block]

    def open(self) -> tuple[onnxruntime.InferenceSession, list[Place]]:
        with self.opening:
            if self.opened is None:
                content = self.model.path.read_bytes()
                if digest(content) != self.model.digest:
                    raise ClosedGraphError(
                        f"The file of {self.model.name}, version {self.model.version}, has changed since it was "
                        "loaded: load the model again."
                    )
                opened, places = opened_graph(content)
                self.opened = create_session(opened, Execution("cpu", threads=1)), places
            return self.opened


def opened_graph(content: bytes) -> tuple[bytes, list[Place]]:
    """Return a package with its gates and features accessible, and where those of each block are.

    Raises:
        ClosedGraphError: if its graph is not built as exports of SRM, SE and GE networks are.
    """
    model = parse(content)
    graph = model.graph
    producers = {name: node for node in graph.node for name in node.output}
    joined = producers[GATES]
    if joined.op_type != "Concat":
        raise ClosedGraphError(
            f"The gates of this package are not a plain list of its blocks' ({joined.op_type}). In INT8 packages they "
            "are not: ask the package in FP32."
        )
    places = []
    for index, gates in enumerate(joined.input):
        change, changed = f"opened.{index}.change", f"opened.{index}.gates"
        features = multiplied(graph, gates)
        for node in graph.node:
            if node is not joined:
                node.input[:] = [changed if name == gates else name for name in node.input]
        after = list(graph.node).index(producers[gates]) + 1
        graph.node.insert(after, type(joined)(op_type="Add", input=[gates, change], output=[changed]))
        for values, name, shape in ((graph.input, change, 2), (graph.output, features, 4)):
            tensor = values.add(name=name).type.tensor_type
            tensor.elem_type = FLOAT
            for _ in range(shape):
                tensor.shape.dim.add()
        places.append(Place(change, features))
    return model.SerializeToString(), places


def multiplied(graph: Any, gates: str) -> str:
    """The name of the features that a block's gates multiply."""
    for node, name in consumers(graph, gates):
        if node.op_type == "Mul":
            return str(next(other for other in node.input if other != name))
    raise ClosedGraphError("The gates of this package multiply nothing.")


def consumers(graph: Any, name: str) -> Iterator[tuple[Any, str]]:
    """Yield the nodes that take a value, and the name under which they take it, past changes of its shape."""
    for node in graph.node:
        if name in node.input:
            if node.op_type in SHAPING and node.input[0] == name:
                yield from consumers(graph, node.output[0])
            else:
                yield node, name
