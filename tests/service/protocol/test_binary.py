"""The binary tensors against tritonclient's own codec; and no bytes give anything but a 4xx."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tritonclient.utils import deserialize_bytes_tensor, serialize_byte_tensor

from service.http.problems import ProblemError
from service.protocol.binary import read_elements, split, write_elements
from tests.service.protocol.reading import message, read

ELEMENTS = st.lists(st.binary(max_size=40), min_size=1, max_size=6)


def attempt(function: Callable[..., Any], *arguments: Any) -> Any:
    """What a function returns, or the 400 that it raises."""
    try:
        return function(*arguments)
    except ProblemError as problem:
        return problem


@given(ELEMENTS)
def test_what_tritonclient_writes_is_read(elements: list[bytes]) -> None:
    written = serialize_byte_tensor(np.array(elements, dtype=np.object_)).item()
    assert read_elements("x", memoryview(written), len(elements)) == elements


@given(ELEMENTS)
def test_tritonclient_reads_what_is_written(elements: list[bytes]) -> None:
    assert list(deserialize_bytes_tensor(write_elements(elements))) == elements


@given(st.binary(max_size=60), st.integers(0, 8))
def test_elements_of_any_bytes_are_whole_or_refused(data: bytes, count: int) -> None:
    elements = attempt(read_elements, "x", memoryview(data), count)
    if isinstance(elements, ProblemError):
        assert elements.status == 400
        assert "input x" in elements.detail
    else:
        assert len(elements) == count
        assert write_elements(elements) == data


@given(st.binary(max_size=40), st.one_of(st.none(), st.text(max_size=15), st.integers().map(str)))
def test_a_body_is_divided_at_the_header_s_length_or_refused(body: bytes, header: str | None) -> None:
    parts = attempt(split, body, header)
    if isinstance(parts, ProblemError):
        assert parts.status == 400
        assert "Inference-Header-Content-Length" in parts.detail
    else:
        text, rest = parts
        assert bytes(text) + bytes(rest) == body
        assert len(text) == (len(body) if header is None else int(header))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)
TENSOR = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["image", "image_bytes", "other"]) | JSON,
        "shape": st.lists(st.sampled_from([-1, 0, 1, 2, 3, 2**31, 2**70]), max_size=5) | JSON,
        "datatype": st.sampled_from(["UINT8", "BYTES", "FP32"]) | JSON,
        "data": st.lists(st.integers(-1, 256), max_size=12) | JSON,
        "parameters": st.dictionaries(st.just("binary_data_size"), st.integers(-1, 20) | JSON, max_size=1) | JSON,
    },
)
REQUEST = st.fixed_dictionaries(
    {},
    optional={
        "id": JSON,
        "inputs": st.lists(TENSOR, max_size=2) | JSON,
        "outputs": st.lists(st.fixed_dictionaries({}, optional={"name": JSON, "parameters": JSON}), max_size=2) | JSON,
        "parameters": st.dictionaries(st.sampled_from(["timeout", "binary_data_output"]), JSON) | JSON,
    },
)


@settings(max_examples=100, deadline=None)
@given(REQUEST, st.binary(max_size=30), st.integers(-3, 3) | st.none())
def test_any_message_is_read_or_refused_with_400(content: dict[str, Any], tail: bytes, slip: int | None) -> None:
    body, header = message(content, tail)
    inference = attempt(read, body, None if slip is None else str(int(header) + slip))
    if isinstance(inference, ProblemError):
        assert inference.status == 400
        assert inference.detail.endswith(".")
    else:
        assert (inference.pixels is None) == bool(inference.files)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200), st.none() | st.integers(0, 250).map(str))
def test_any_bytes_are_read_or_refused_with_400(body: bytes, header: str | None) -> None:
    inference = attempt(read, body, header)
    if isinstance(inference, ProblemError):
        assert inference.status == 400
    else:
        assert (header, inference.files) == ("0", [body])


def test_binary_pixels_are_a_view_of_the_body() -> None:
    pixels = bytes(range(12))
    tensor = {"name": "image", "shape": [2, 2, 3, 1], "datatype": "UINT8", "parameters": {"binary_data_size": 12}}
    body, header = message({"inputs": [tensor]}, pixels)
    inference = read(body, header)
    assert inference.pixels is not None
    assert inference.pixels.tobytes() == pixels
    assert np.shares_memory(inference.pixels, np.frombuffer(body, np.uint8))


@pytest.mark.parametrize("shape", [[2, 1], [2]])
def test_files_as_binary(shape: list[int]) -> None:
    data = write_elements([b"one", b""])
    tensor = {
        "name": "image_bytes",
        "shape": shape,
        "datatype": "BYTES",
        "parameters": {"binary_data_size": len(data)},
    }
    assert read(*message({"inputs": [tensor]}, data)).files == [b"one", b""]
