"""Messages of the Open Inference Protocol, and the check of their answers against the package run by hand."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from httpx import Response
from numpy.typing import NDArray

from tests.service.packages import by_hand

INFER = "/v2/models/colour/infer"
HEADER = "Inference-Header-Content-Length"
NAMES = ("probabilities", "recalibration_weights", "class_activation")


def tensor(pixels: NDArray[np.uint8], **fields: Any) -> dict[str, Any]:
    return {"name": "image", "shape": list(pixels.shape), "datatype": "UINT8", **fields}


def binary(pixels: NDArray[np.uint8], **fields: Any) -> tuple[bytes, dict[str, str]]:
    """A request with a binary tensor, written by hand."""
    content = {"inputs": [tensor(pixels, parameters={"binary_data_size": pixels.nbytes})], **fields}
    text = json.dumps(content).encode()
    return text + pixels.tobytes(), {HEADER: str(len(text))}


def values(response: Response) -> dict[str, NDArray[np.float32]]:
    """The outputs of an answer, in either form, read by hand."""
    assert response.status_code == 200, response.text
    length = int(response.headers.get(HEADER, len(response.content)))
    found, position = {}, length
    for output in json.loads(response.content[:length])["outputs"]:
        assert output["datatype"] == "FP32"
        if "data" in output:
            flat = np.asarray(output["data"], np.float32)
        else:
            size = output["parameters"]["binary_data_size"]
            flat = np.frombuffer(response.content[position : position + size], "<f4")
            position += size
        found[output["name"]] = flat.reshape(output["shape"])
    assert position == len(response.content)
    return found


def check(response: Response, package: Path, pixels: NDArray[np.uint8]) -> None:
    found = values(response)
    assert list(found) == list(NAMES)
    for name, expected in zip(NAMES, by_hand(package, pixels), strict=True):
        assert found[name].shape == expected.shape
        np.testing.assert_allclose(found[name], expected, atol=1e-4)


def refused(response: Response, status: int, words: str) -> None:
    assert response.status_code == status, response.text
    assert response.headers["Content-Type"] == "application/json"
    assert list(response.json()) == ["error"]
    assert words in response.json()["error"]
