"""Tensors as bytes after the JSON: little-endian, row-major, in the order of the tensors, without padding."""

import struct
from collections.abc import Iterable
from typing import Protocol

from service.protocol import invalid
from service.protocol.messages import RequestInput

HEADER = "Inference-Header-Content-Length"
BINARY = "binary_data_size"
LENGTH = struct.Struct("<I")
LONGEST_NUMBER = 12


def split(body: bytes, header_length: str | None) -> tuple[memoryview, memoryview]:
    """Split a body into its JSON and the data after it, without a copy.

    Raises:
        ProblemError: 400, if ``header_length`` is not a length within the body.
    """
    view = memoryview(body)
    if header_length is None:
        return view, view[len(view) :]
    text = header_length.strip()
    if not (text.isascii() and text.isdecimal() and len(text) <= LONGEST_NUMBER):
        raise invalid(f"{HEADER} is {header_length[:40]!r}: it must be the number of bytes of the JSON.")
    length = int(text)
    if length > len(view):
        raise invalid(f"{HEADER} is {length}, but the body has {len(view)} bytes.")
    return view[:length], view[length:]


class Source(Protocol):
    """Where the values of the tensors of a request come from, taken tensor after tensor."""

    binary: str
    """What the messages call the size of binary values."""
    values: str
    """What they call values that are not binary."""

    def of(self, tensor: RequestInput) -> memoryview | None:
        """Return the binary values of the next tensor, or None if its values are in the message itself.

        Raises:
            ProblemError: 400, if it has both or neither, or if bytes are missing.
        """

    def finish(self) -> None:
        """Check that nothing is left.

        Raises:
            ProblemError: 400, if something belongs to no tensor.
        """


class Tail:
    """The binary data of a request over REST: the bytes after its JSON."""

    binary, values = BINARY, "data"

    def __init__(self, view: memoryview) -> None:
        self.view = view
        self.taken = 0

    def of(self, tensor: RequestInput) -> memoryview | None:
        """As :meth:`Source.of`."""
        if BINARY not in tensor.parameters:
            if tensor.data is None:
                raise invalid(f"input {tensor.name}: data is missing: send it, or {BINARY} with the header {HEADER}.")
            return None
        if tensor.data is not None:
            raise invalid(f"input {tensor.name}: it has both data and {BINARY}: send one of them.")
        return self.take(tensor.name, tensor.parameters[BINARY])

    def take(self, tensor: str, size: object) -> memoryview:
        """Return the next ``size`` bytes, which belong to a tensor, without a copy.

        Raises:
            ProblemError: 400, if the size is not a number, or if fewer bytes are left.
        """
        if isinstance(size, bool) or not isinstance(size, int) or size < 0:
            raise invalid(f"input {tensor}: binary_data_size is {size!r}: it must be a number of bytes.")
        left = len(self.view) - self.taken
        if size > left:
            raise invalid(
                f"input {tensor}: binary_data_size is {size}, but {left} bytes are left after the JSON: check "
                f"{HEADER} and binary_data_size."
            )
        self.taken += size
        return self.view[self.taken - size : self.taken]

    def finish(self) -> None:
        """Check that no bytes are left.

        Raises:
            ProblemError: 400, if bytes belong to no tensor.
        """
        left = len(self.view) - self.taken
        if left:
            raise invalid(f"{left} bytes after the JSON belong to no input: check {HEADER} and binary_data_size.")


def read_elements(tensor: str, data: memoryview, count: int) -> list[bytes]:
    """Read ``count`` elements of a BYTES tensor: each a length of four bytes and its content.

    Raises:
        ProblemError: 400, if the data hold fewer or more, or an element reaches beyond them.
    """
    elements: list[bytes] = []
    position = 0
    while position < len(data):
        if len(elements) == count:
            raise invalid(f"input {tensor}: {len(data) - position} bytes follow its {count} elements.")
        start = position + LENGTH.size
        if start > len(data):
            raise invalid(f"input {tensor}: element {len(elements)} ends within its length.")
        (length,) = LENGTH.unpack_from(data, position)
        position = start + length
        if position > len(data):
            raise invalid(
                f"input {tensor}: element {len(elements)} has {length} bytes by its length, but {len(data) - start} "
                "are left."
            )
        elements.append(bytes(data[start:position]))
    if len(elements) != count:
        raise invalid(f"input {tensor}: the data hold {len(elements)} elements; by its shape there are {count}.")
    return elements


def write_elements(elements: Iterable[bytes]) -> bytes:
    """Write the elements of a BYTES tensor."""
    return b"".join(LENGTH.pack(len(element)) + element for element in elements)
