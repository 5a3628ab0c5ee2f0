"""What a caller reads when something is refused: what is wrong, where, and what to do, in no library's words."""

import base64
import json
import re
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.conftest import ImageMaker
from tests.models.preprocessing.dicom_files import dicom
from tests.models.preprocessing.image_files import noise

PREDICT, INFER = "/v1/models/colour/predict", "/v2/models/colour/infer"
LIBRARIES = re.compile(
    r"Input should|instance of|valid (dictionary|list|string|integer|boolean)|Field required|Extra inputs|parse string|"
    r"Maximum number of fields|Content-Disposition|\b[A-Z]\w+(Error|Exception)\b|Request(Input|Output)|\de-\d|Errno|"
    r"\b(None|dict|str|NoneType)\b"
)
TENSOR = {"name": "image", "shape": [1], "datatype": "UINT8"}


def read(response: Any) -> str:
    content = response.json()
    assert 400 <= response.status_code < 500 or response.status_code == 503, response.text
    return str(content.get("detail", content.get("error")))


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("weights=x", "query parameter weights must be 'full', 'summary' or 'none' (got 'x')"),
        ("frame=0", "query parameter frame must be at least 1 (got '0')"),
        ("frame=70000", "query parameter frame must be at most 65536"),
        ("frame=x", "query parameter frame must be a whole number (got 'x')"),
        ("activation_map=perhaps", "query parameter activation_map must be true or false"),
        ("nope=1", "query parameter nope is not known: leave it out"),
    ],
)
def test_parameters(client: TestClient, query: str, words: str) -> None:
    text = read(client.post(f"{PREDICT}?{query}", content=b"x"))
    assert text.startswith(words)
    assert text.endswith("see /docs for the parameters.")
    assert not LIBRARIES.search(text)


def test_an_id_in_the_path(client: TestClient) -> None:
    assert read(client.get("/v1/predictions/nope")).startswith("path parameter id must be a UUID, such as ")


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ({}, "inputs is missing."),
        ({"inputs": 3}, "inputs must be an array (got number 3)."),
        ({"inputs": [3]}, "inputs.0 must be an object (got number 3)."),
        ({"inputs": [TENSOR | {"name": 1}]}, "inputs.0.name must be a text (got number 1)."),
        ({"inputs": [TENSOR | {"shape": [1.5]}]}, "inputs.0.shape.0 must be a whole number (got number 1.5)."),
        ({"inputs": [TENSOR | {"shape": [1] * 9}]}, "inputs.0.shape is too long: at most 8 elements (got array)."),
        ({"inputs": [TENSOR], "parameters": []}, "parameters must be an object (got array)."),
        (
            {"inputs": [TENSOR], "parameters": {"x": {}}},
            "parameters.x must be true, false, a number or a text (got object).",
        ),
    ],
)
def test_messages_of_the_protocol(client: TestClient, message: dict[str, Any], words: str) -> None:
    text = read(client.post(INFER, content=json.dumps(message)))
    assert text == words
    assert not LIBRARIES.search(text)


def test_forms(client: TestClient, make_image: ImageMaker) -> None:
    text = read(client.post(PREDICT, data={"note": "x"}, files={"file": make_image()}))
    assert "it holds a field that is not a file" in text
    assert "curl -F file=@eye.jpg" in text
    assert not LIBRARIES.search(text)
    nameless = b"--a\r\nfoo: bar\r\n\r\nx\r\n--a--"
    headers = {"Content-Type": "multipart/form-data; boundary=a"}
    assert "a part has no name" in read(client.post(PREDICT, content=nameless, headers=headers))


def test_a_short_timeout(client: TestClient, make_image: ImageMaker) -> None:
    data = [base64.b64encode(make_image("PNG")).decode()]
    tensor = {"name": "image_bytes", "shape": [1], "datatype": "BYTES", "data": data}
    text = read(client.post(INFER, json={"inputs": [tensor], "parameters": {"timeout": 1}}))
    assert "within its timeout of 0.000001 s: try again" in text


def test_files_that_break_their_standard(client: TestClient) -> None:
    data = dicom(noise(40, 50))
    for length in range(200, len(data) - 100, 97):
        text = read(client.post(PREDICT, content=data[:length]))
        assert not LIBRARIES.search(text), text
