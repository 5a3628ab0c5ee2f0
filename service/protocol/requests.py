"""An inference request in the form that the service needs: images, and the outputs with their form."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from models.card import Card
from models.package import INPUT as IMAGE
from service.protocol import invalid
from service.protocol.binary import Source, Tail, split
from service.protocol.messages import InferRequest, Parameters, RequestOutput, parse
from service.protocol.tensors import IMAGE_BYTES, read_files, read_pixels

CLASSIFIED = "probabilities"


@dataclass(frozen=True)
class Wanted:
    """An output that is asked for."""

    name: str
    binary: bool
    classification: int = 0
    """Number of most probable classes to name instead of the values. 0: the values."""


@dataclass(frozen=True)
class Inference:
    """A parsed request. Its images are in either ``pixels`` or ``files``."""

    id: str | None
    outputs: list[Wanted]
    pixels: NDArray[np.uint8] | None = None
    """(N, H, W, C)"""
    files: list[bytes] = field(default_factory=list)
    timeout_s: float | None = None


def read_request(body: bytes, header_length: str | None, card: Card, limit: int) -> Inference:
    """Read a request of at most ``limit`` images.

    With a header length of 0 the whole body is one image file, and every output is binary. This is the raw binary
    request of Triton.

    Raises:
        ProblemError: 400, if the request is invalid. The text names the field.
    """
    text, rest = split(body, header_length)
    if header_length is not None and not text:
        return Inference(None, [Wanted(name, binary=True) for name in card.outputs], files=[body])
    return read_inference(parse(InferRequest, text), Tail(rest), card, limit)


def read_inference(request: InferRequest, source: Source, card: Card, limit: int) -> Inference:
    """Read the message of a request, and the values of its tensors.

    Raises:
        ProblemError: 400, if the request is invalid. The text names the field.
    """
    pixels, files = None, []
    names = [tensor.name for tensor in request.inputs]
    for name in names:
        if name not in (IMAGE, IMAGE_BYTES):
            raise invalid(f"inputs: there is no input {name[:64]!r}; send {IMAGE} or {IMAGE_BYTES}.")
    if len(names) != 1:
        found = ", ".join(names) or "none"
        raise invalid(f"inputs: send exactly one of {IMAGE} and {IMAGE_BYTES}, once; this request has {found}.")
    [tensor] = request.inputs
    if tensor.name == IMAGE:
        pixels = read_pixels(tensor, source, card.input, limit)
    else:
        files = read_files(tensor, source, limit)
    source.finish()
    return Inference(
        id=request.id,
        outputs=wanted(request, card.outputs),
        pixels=pixels,
        files=files,
        timeout_s=timeout(request.parameters),
    )


def wanted(request: InferRequest, known: Sequence[str]) -> list[Wanted]:
    """Return the outputs that a request asks for, in its order, or all outputs if it names none."""
    binary = flag("parameters", request.parameters, "binary_data_output", default=False)
    asked = request.outputs or [RequestOutput(name=name) for name in known]
    names = [output.name for output in asked]
    for name in names:
        if name not in known:
            raise invalid(f"outputs: there is no output {name[:64]!r}; there are: {', '.join(known)}.")
        if names.count(name) > 1:
            raise invalid(f"outputs: {name} is asked for {names.count(name)} times: ask once.")
    return [
        Wanted(
            output.name,
            flag(f"output {output.name}", output.parameters, "binary_data", default=binary),
            classes(output),
        )
        for output in asked
    ]


def flag(where: str, parameters: Parameters, name: str, *, default: bool) -> bool:
    value = parameters.get(name, default)
    if not isinstance(value, bool):
        raise invalid(f"{where}: {name} is {value!r}: it must be true or false.")
    return value


def classes(output: RequestOutput) -> int:
    value = output.parameters.get("classification", 0)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise invalid(f"output {output.name}: classification is {value!r}: it must be a number of classes.")
    if value and output.name != CLASSIFIED:
        raise invalid(f"output {output.name}: classification is for the output {CLASSIFIED} alone.")
    return value


def timeout(parameters: Parameters) -> float | None:
    """Return the timeout of a request in seconds. The protocol has microseconds, and 0 means no limit."""
    value = parameters.get("timeout", 0)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise invalid(f"parameters: timeout is {value!r}: it must be a number of microseconds.")
    return value / 1e6 or None
