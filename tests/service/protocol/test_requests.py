"""Each malformed message of the protocol gets 400 and words that say which field."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from service.http.problems import ProblemError
from service.protocol.messages import ControlRequest, IndexRequest, parse
from tests.service.protocol.reading import LIMIT, message, read

IMAGE = {"name": "image", "shape": [1, 2, 3, 1], "datatype": "UINT8", "data": [1, 2, 3, 4, 5, 6]}
FILE = {"name": "image_bytes", "shape": [1, 1], "datatype": "BYTES", "data": ["aGVsbG8="]}
BINARY = {"name": "image", "shape": [1, 2, 3, 1], "datatype": "UINT8", "parameters": {"binary_data_size": 6}}
PIXELS = bytes(6)


def request(tensor: dict[str, Any], **fields: Any) -> bytes:
    return json.dumps({"inputs": [tensor], **fields}).encode()


def test_a_good_request_flat_and_nested() -> None:
    flat = read(request(IMAGE, id="exam 17"), None)
    nested = read(request(IMAGE | {"data": [[[[1], [2], [3]], [[4], [5], [6]]]]}), None)
    for inference in (flat, nested):
        assert inference.pixels is not None
        assert inference.pixels.tolist() == [[[[1], [2], [3]], [[4], [5], [6]]]]
        assert [output.name for output in inference.outputs] == [
            "probabilities",
            "recalibration_weights",
            "class_activation",
        ]
        assert not any(output.binary for output in inference.outputs)
    assert (flat.id, nested.id) == ("exam 17", None)
    assert read(request(FILE), None).files == [b"hello"]


def test_outputs_come_in_the_order_and_form_asked_for() -> None:
    outputs = [
        {"name": "class_activation", "parameters": {"binary_data": False}},
        {"name": "probabilities", "parameters": {"classification": 2}},
    ]
    inference = read(request(IMAGE, outputs=outputs, parameters={"binary_data_output": True, "timeout": 500}), None)
    assert [(o.name, o.binary, o.classification) for o in inference.outputs] == [
        ("class_activation", False, 0),
        ("probabilities", True, 2),
    ]
    assert inference.timeout_s == 0.0005


def test_what_the_protocol_does_not_know_is_passed_over() -> None:
    inference = read(request(IMAGE | {"note": 1}, model_name="x", parameters={"sequence_id": 4, "mine": "yes"}), None)
    assert inference.pixels is not None


MALFORMED = [
    (b"", "not JSON"),
    (b"{", "not JSON"),
    (b"[]", "JSON array: send an object"),
    (b"{}", "inputs is missing"),
    (b'{"inputs": 5}', "inputs must be an array .*number 5"),
    (b'{"inputs": []}', "exactly one of image and image_bytes.*none"),
    (json.dumps({"inputs": [IMAGE, FILE]}).encode(), "exactly one of.*image, image_bytes"),
    (json.dumps({"inputs": [IMAGE, IMAGE]}).encode(), "exactly one of.*image, image"),
    (request(IMAGE | {"name": "pixels"}), "there is no input 'pixels'; send image or image_bytes"),
    (request({"name": "image"}), r"inputs\.0\.shape is missing"),
    (request(IMAGE | {"name": 3}), r"inputs\.0\.name"),
    (request(IMAGE, id=7), "id must be a text .*number 7"),
    (request(IMAGE | {"datatype": "FP32"}), "input image: its datatype is 'FP32'; it must be UINT8"),
    (request(FILE | {"datatype": "UINT8"}), "input image_bytes: its datatype is 'UINT8'; it must be BYTES"),
    (request(IMAGE | {"shape": "1,2,3,1"}), r"inputs\.0\.shape"),
    (request(IMAGE | {"shape": [1, 2.5, 3, 1]}), r"inputs\.0\.shape\.1 must be a whole number .*2\.5"),
    (request(IMAGE | {"shape": [True, 2, 3, 1]}), r"inputs\.0\.shape\.0 must be a whole number .*true"),
    (request(IMAGE | {"shape": [-1, 2, 3, 1]}), r"inputs\.0\.shape\.0 must be at least 0 .*-1"),
    (request(IMAGE | {"shape": [1, 3, 2, 1]}), r"its shape is \[1, 3, 2, 1\]; the model takes \['N', 2, 3, 1\]"),
    (request(IMAGE | {"shape": [2, 3, 1]}), "input image: its shape is"),
    (request(IMAGE | {"shape": []}), "input image: its shape is"),
    (request(IMAGE | {"shape": [10**9, 2, 3, 1]}), f"holds 1000000000 images; a request may hold 1 to {LIMIT}"),
    (request(IMAGE | {"shape": [10**30, 2, 3, 1]}), r"inputs\.0\.shape\.0"),
    (request(IMAGE | {"shape": [0, 2, 3, 1], "data": []}), "holds 0 images"),
    (request({"name": "image", "shape": [1, 2, 3, 1], "datatype": "UINT8"}), "input image: data is missing"),
    (request(IMAGE | {"data": 5}), "input image: data is number 5, not an array"),
    (request(IMAGE | {"data": [1, 2, 3]}), r"data holds 3 values; by its shape \[1, 2, 3, 1\] it has 6"),
    (request(IMAGE | {"data": [[[[1], [2]], [[4], [5]]]]}), "not nested as its shape .* at axis 2"),
    (request(IMAGE | {"data": [1, 2, 3, 4, 5, 256]}), "data holds 256: UINT8 takes whole numbers"),
    (request(IMAGE | {"data": [1, 2, 3, 4, 5, -1]}), "data holds -1"),
    (request(IMAGE | {"data": [1, 2, 3, 4, 5, 1.5]}), r"data holds number 1\.5"),
    (request(IMAGE | {"data": [1, 2, 3, 4, 5, True]}), "data holds true"),
    (request(IMAGE | {"data": [1, 2, 3, 4, 5, None]}), "data holds null"),
    (request(IMAGE | {"data": [1, 2, 3, 4, 5, "6"]}), "data holds string '6'"),
    (request(IMAGE | {"data": [1, 2, 3, 4, 5, float("nan")]}), "not JSON"),
    (request(IMAGE | {"data": [1, 2, 3, 4, 5, [6]]}), "data holds array"),
    (request(FILE | {"shape": [1, 2]}), r"input image_bytes: its shape is \[1, 2\]"),
    (request(FILE | {"shape": [2]}), "data holds 1 elements; by its shape there are 2"),
    (request(FILE | {"data": ["not base64!"]}), "element 0 is not base64"),
    (request(FILE | {"data": ["é"]}), "element 0 is not base64"),
    (request(FILE | {"data": [5]}), "element 0 is number 5, not a base64 string"),
    (request(BINARY | {"data": [1] * 6}), "both data and binary_data_size"),
    (request(BINARY), "binary_data_size is 6, but 0 bytes are left.*Inference-Header-Content-Length"),
    (request(IMAGE, outputs=[{"name": "logits"}]), "there is no output 'logits'; there are: probabilities"),
    (request(IMAGE, outputs=[{"name": "probabilities"}] * 2), "probabilities is asked for 2 times"),
    (request(IMAGE, outputs=[{}]), r"outputs\.0\.name is missing"),
    (
        request(IMAGE, outputs=[{"name": "probabilities", "parameters": {"binary_data": 1}}]),
        "output probabilities: binary_data is 1: it must be true or false",
    ),
    (
        request(IMAGE, outputs=[{"name": "probabilities", "parameters": {"classification": -1}}]),
        "classification is -1",
    ),
    (
        request(IMAGE, outputs=[{"name": "class_activation", "parameters": {"classification": 2}}]),
        "classification is for the output probabilities alone",
    ),
    (request(IMAGE, parameters={"binary_data_output": "yes"}), "binary_data_output is 'yes'"),
    (request(IMAGE, parameters={"timeout": "soon"}), "timeout is 'soon'"),
    (
        request(IMAGE, parameters={"timeout": [1]}),
        r"parameters\.timeout must be true, false, a number or a text \(got array\)\.$",
    ),
    (request(IMAGE, parameters={"int_x": [1]}), r"^parameters\.int_x must be"),
    (json.dumps({"inputs": [7]}).encode(), r"inputs\.0 must be an object \(got number 7\)"),
    (b'{"inputs": ' + b"[" * 3000 + b"]" * 3000 + b"}", "not JSON"),
]


@pytest.mark.parametrize(("body", "words"), MALFORMED, ids=[words[:40] for _, words in MALFORMED])
def test_malformed_messages(body: bytes, words: str) -> None:
    with pytest.raises(ProblemError, match=words) as caught:
        read(body, None)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("tensor", "tail", "header", "words"),
    [
        (BINARY, PIXELS[:5], None, "binary_data_size is 6, but 5 bytes are left"),
        (BINARY, PIXELS + b"x", None, "1 bytes after the JSON belong to no input"),
        (IMAGE, b"x", None, "1 bytes after the JSON belong to no input"),
        (BINARY | {"parameters": {"binary_data_size": 5}}, PIXELS[:5], None, "binary_data_size is 5; by its shape"),
        (BINARY | {"parameters": {"binary_data_size": -6}}, PIXELS, None, "binary_data_size is -6"),
        (BINARY | {"parameters": {"binary_data_size": "6"}}, PIXELS, None, "binary_data_size is '6'"),
        (BINARY | {"parameters": {"binary_data_size": True}}, PIXELS, None, "binary_data_size is True"),
        (BINARY, PIXELS, "-1", "Inference-Header-Content-Length is '-1'"),
        (BINARY, PIXELS, "many", "Inference-Header-Content-Length is 'many'"),
        (BINARY, PIXELS, "9" * 5000, "must be the number of bytes"),
        (BINARY, PIXELS, "99999", "Inference-Header-Content-Length is 99999, but the body has"),
        (BINARY, PIXELS, "10", "not JSON"),
        (FILE | {"data": None, "parameters": {"binary_data_size": 6}}, PIXELS, None, "1 elements"),
        (
            FILE | {"data": None, "parameters": {"binary_data_size": 6}},
            b"\xff\xff\xff\xffxx",
            None,
            "element 0 has 4294967295 bytes by its length, but 2 are left",
        ),
        (FILE | {"data": None, "parameters": {"binary_data_size": 2}}, b"xx", None, "element 0 ends within its length"),
    ],
)
def test_malformed_binary(tensor: dict[str, Any], tail: bytes, header: str | None, words: str) -> None:
    body, right = message({"inputs": [tensor]}, tail)
    with pytest.raises(ProblemError, match=words) as caught:
        read(body, header or right)
    assert caught.value.status == 400


FULL: dict[str, Any] = {
    "id": "mine",
    "parameters": {"binary_data_output": False, "timeout": 5},
    "inputs": [IMAGE | {"parameters": {}}],
    "outputs": [{"name": "probabilities", "parameters": {"binary_data": False, "classification": 1}}],
}
OPTIONAL: list[tuple[str | int, ...]] = [
    ("id",),
    ("parameters",),
    ("parameters", "binary_data_output"),
    ("parameters", "timeout"),
    ("inputs", 0, "parameters"),
    ("inputs", 0, "parameters", "binary_data_size"),
    ("outputs",),
    ("outputs", 0, "parameters"),
    ("outputs", 0, "parameters", "binary_data"),
    ("outputs", 0, "parameters", "classification"),
]


@pytest.mark.parametrize("place", OPTIONAL, ids=lambda place: ".".join(map(str, place)))
def test_null_is_as_absent(place: tuple[str | int, ...]) -> None:
    def edited(edit: Callable[[Any, str | int], object]) -> bytes:
        content = json.loads(json.dumps(FULL))
        part = content
        for step in place[:-1]:
            part = part[step]
        edit(part, place[-1])
        return json.dumps(content).encode()

    without = read(edited(lambda part, key: part.pop(key, None)), None)
    null = read(edited(lambda part, key: part.__setitem__(key, None)), None)
    assert (null.id, null.outputs, null.timeout_s) == (without.id, without.outputs, without.timeout_s)
    assert null.pixels is not None
    assert null.pixels.tolist() == without.pixels.tolist()  # type: ignore[union-attr]


@pytest.mark.parametrize("place", ["name", "shape", "datatype"])
def test_null_in_a_needed_field_is_an_error(place: str) -> None:
    with pytest.raises(ProblemError, match=rf"inputs\.0\.{place} must be .*null"):
        read(request(IMAGE | {place: None}), None)


def test_null_in_the_messages_of_the_repository() -> None:
    assert parse(IndexRequest, b'{"ready": null}').ready is False
    assert parse(ControlRequest, b'{"parameters": null}').parameters == {}
    assert parse(ControlRequest, b'{"parameters": {"config": null}}').parameters == {}
