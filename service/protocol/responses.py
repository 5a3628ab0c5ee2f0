"""An inference answer in the form of the protocol: JSON, then binary tensors."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from models.card import Card
from service.inference.runtime import Model, Outputs
from service.protocol.binary import HEADER, write_elements
from service.protocol.requests import Wanted


class Answer(NamedTuple):
    """A body and the headers that describe it."""

    body: bytes
    headers: dict[str, str]


class Tensor(NamedTuple):
    """An output with the values of all images of a request, flat."""

    name: str
    datatype: Literal["FP32", "BYTES"]
    shape: tuple[int, ...]
    values: NDArray[np.float32] | list[str]

    def binary(self) -> bytes | memoryview:
        """The values in the binary form of the protocol. Those of FP32 are not copied."""
        if isinstance(self.values, list):
            return write_elements(label.encode() for label in self.values)
        return self.values.view(np.uint8).data


def tensor_of(card: Card, output: Wanted, rows: Sequence[Outputs]) -> Tensor:
    """Put an output of each image together, as it was asked for."""
    values = [getattr(row, output.name) for row in rows]
    stacked = values[0][None] if len(values) == 1 else np.stack(values)
    if not output.classification:
        return Tensor(output.name, "FP32", stacked.shape, np.ascontiguousarray(stacked, "<f4").reshape(-1))
    labels = [line for row in stacked for line in most_probable(card, row, output.classification)]
    return Tensor(output.name, "BYTES", (len(stacked), len(labels) // len(stacked)), labels)


def write_response(
    model: Model,
    request_id: str,
    outputs: Sequence[Wanted],
    rows: Sequence[Outputs],
    parameters: Mapping[str, str] = MappingProxyType({}),
) -> Answer:
    """Write the outputs that were asked for, for all images of a request in order."""
    entries: list[dict[str, Any]] = []
    tail: list[bytes | memoryview] = []
    for output in outputs:
        tensor = tensor_of(model.card, output, rows)
        entry: dict[str, Any] = {"name": tensor.name, "datatype": tensor.datatype, "shape": tensor.shape}
        if output.binary:
            data = tensor.binary()
            entry["parameters"] = {"binary_data_size": len(data)}
            tail.append(data)
        else:
            entry["data"] = tensor.values
        entries.append(entry)
    message: dict[str, Any] = {
        "model_name": model.name,
        "model_version": model.version,
        "id": request_id,
        "outputs": entries,
    }
    if parameters:
        message["parameters"] = dict(parameters)
    text = orjson.dumps(message, option=orjson.OPT_SERIALIZE_NUMPY)
    if not tail:
        return Answer(text, {"Content-Type": "application/json"})
    return Answer(b"".join([text, *tail]), {"Content-Type": "application/octet-stream", HEADER: str(len(text))})


def most_probable(card: Card, probabilities: NDArray[np.float32], count: int) -> list[str]:
    """Name the most probable classes, best first, as ``value:index:label``."""
    order = np.argsort(-probabilities, kind="stable")[:count]
    return [f"{probabilities[index]:f}:{index}:{card.labels[index]}" for index in order]
