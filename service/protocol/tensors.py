"""The two inputs: ``image`` (pixels in the size of the network input) and ``image_bytes`` (image files)."""

import base64
import binascii
import math
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.card import InputSpec
from models.package import INPUT as IMAGE
from service.protocol import invalid
from service.protocol.binary import BINARY, Source, read_elements
from service.protocol.messages import RequestInput, json_type

IMAGE_BYTES = "image_bytes"


def read_pixels(tensor: RequestInput, source: Source, spec: InputSpec, limit: int) -> NDArray[np.uint8]:
    """Return the ``image`` tensor (N, H, W, C). If it came as binary, it is a view of the body.

    Raises:
        ProblemError: 400, if its type, shape or values do not fit the model.
    """
    expect_type(tensor, "UINT8")
    row = [spec.height, spec.width, spec.channels]
    if tensor.shape[1:] != row or len(tensor.shape) != 4:
        raise invalid(f"input {IMAGE}: its shape is {tensor.shape}; the model takes {['N', *row]}.")
    expect_images(tensor, limit)
    size = math.prod(tensor.shape)
    if (binary := source.of(tensor)) is not None:
        if len(binary) != size:
            raise invalid(
                f"input {IMAGE}: {source.binary} is {len(binary)}; by its shape {tensor.shape} it has {size} bytes."
            )
        return np.frombuffer(binary, np.uint8).reshape(tensor.shape)
    values = flatten(tensor)
    if len(values) != size:
        raise invalid(
            f"input {IMAGE}: {source.values} holds {len(values)} values; by its shape {tensor.shape} it has {size}."
        )
    for kind in set(map(type, values)) - {int}:
        odd = next(value for value in values if type(value) is kind)
        raise invalid(
            f"input {IMAGE}: {source.values} holds {json_type(odd)}: UINT8 takes whole numbers from 0 to 255."
        )
    try:
        return np.frombuffer(bytes(values), np.uint8).reshape(tensor.shape)
    except ValueError:
        odd = next(value for value in values if not 0 <= value <= 255)
        raise invalid(f"input {IMAGE}: {source.values} holds {odd}: UINT8 takes whole numbers from 0 to 255.") from None


def read_files(tensor: RequestInput, source: Source, limit: int) -> list[bytes]:
    """Return the image files of ``image_bytes``, of shape (N) or (N, 1). In JSON they are base64.

    Raises:
        ProblemError: 400, if its type, shape or elements are invalid.
    """
    expect_type(tensor, "BYTES")
    if len(tensor.shape) not in (1, 2) or tensor.shape[1:] not in ([], [1]):
        raise invalid(f"input {IMAGE_BYTES}: its shape is {tensor.shape}; it takes ['N', 1] or ['N'], one file each.")
    expect_images(tensor, limit)
    count = tensor.shape[0]
    if (binary := source.of(tensor)) is not None:
        return read_elements(IMAGE_BYTES, binary, count)
    values = flatten(tensor)
    if len(values) != count:
        raise invalid(
            f"input {IMAGE_BYTES}: {source.values} holds {len(values)} elements; by its shape there are {count}."
        )
    return [from_base64(index, value) for index, value in enumerate(values)]


def from_base64(index: int, value: object) -> bytes:
    if isinstance(value, bytes):  # of a protocol buffer
        return value
    if not isinstance(value, str):
        raise invalid(f"input {IMAGE_BYTES}: element {index} is {json_type(value)}, not a base64 string.")
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):  # ValueError: characters beyond ASCII
        raise invalid(
            f"input {IMAGE_BYTES}: element {index} is not base64: encode the file, or send it as binary with {BINARY}."
        ) from None


def expect_type(tensor: RequestInput, datatype: str) -> None:
    if tensor.datatype != datatype:
        raise invalid(f"input {tensor.name}: its datatype is {tensor.datatype[:20]!r}; it must be {datatype}.")


def expect_images(tensor: RequestInput, limit: int) -> None:
    if not 1 <= tensor.shape[0] <= limit:
        raise invalid(f"input {tensor.name}: it holds {tensor.shape[0]} images; a request may hold 1 to {limit}.")


def flatten(tensor: RequestInput) -> list[Any]:
    """Return the JSON values of a tensor row by row. If they are nested, the nesting must match the shape."""
    data = tensor.data
    if not isinstance(data, list):
        raise invalid(f"input {tensor.name}: data is {json_type(data)}, not an array.")
    if not (data and isinstance(data[0], list)):
        return data
    level: list[Any] = [data]
    for axis, length in enumerate(tensor.shape):
        if any(not isinstance(part, list) or len(part) != length for part in level):
            raise invalid(f"input {tensor.name}: data is not nested as its shape {tensor.shape} says, at axis {axis}.")
        level = list(chain.from_iterable(level))
    return level
