"""The bodies that clients send to this service and to the servers that it is compared with.

Three kinds: ``JPEG`` asks for probabilities and gates, ``JPEG, no gates`` for probabilities alone, and ``tensor`` sends
raw uint8 values in the way of each server.
"""

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.package import INPUT
from tests.benchmarks._load import Request

KINDS = ("JPEG", "JPEG, no gates", "tensor")
PHOTOGRAPH = Path(__file__).resolve().parents[2] / "service" / "page" / "demo" / "dr.jpeg"
OCTETS = (("Content-Type", "application/octet-stream"),)
JSON = (("Content-Type", "application/json"),)
PROBABILITIES, GATES = "probabilities", "recalibration_weights"


def images(count: int, size: int) -> NDArray[np.uint8]:
    """Noise, (count, size, size, 3)."""
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def photograph(size: int) -> bytes:
    """A fundus photograph of the model's size as a JPEG file of quality 90."""
    stream = io.BytesIO()
    with Image.open(PHOTOGRAPH) as image:
        image.convert("RGB").resize((size, size), Image.Resampling.BICUBIC).save(stream, "JPEG", quality=90)
    return stream.getvalue()


def service_requests(address: str, name: str, size: int) -> dict[str, Request]:
    """This service's own addresses for pictures, and the Open Inference Protocol's for tensors."""
    predict = f"{address}/v1/models/{name}/predict"
    return {
        "JPEG": Request(predict, photograph(size), OCTETS),
        "JPEG, no gates": Request(f"{predict}?weights=none", photograph(size), OCTETS),
        "tensor": tensor_request(f"{address}/v2/models/{name}/infer", size),
    }


def plain_requests(address: str, size: int) -> dict[str, Request]:
    """A path for each kind, and the file or the values as the body."""
    return {
        "JPEG": Request(f"{address}/predict", photograph(size), OCTETS),
        "JPEG, no gates": Request(f"{address}/probabilities", photograph(size), OCTETS),
        "tensor": Request(f"{address}/tensor", images(1, size).tobytes(), OCTETS),
    }


def pytriton_requests(address: str, size: int) -> dict[str, Request]:
    """The Open Inference Protocol: a file is one BYTES element, and the answer to it JSON."""
    files = f"{address}/v2/models/srm/infer"
    picture = photograph(size)
    element = len(picture).to_bytes(4, "little") + picture
    return {
        "JPEG": binary_request(files, "picture", "BYTES", [1, 1], element),
        "JPEG, no gates": binary_request(files, "picture", "BYTES", [1, 1], element, outputs=(PROBABILITIES,)),
        "tensor": tensor_request(f"{address}/v2/models/srm_tensor/infer", size),
    }


def kserve_requests(address: str, size: int) -> dict[str, Request]:
    """Base64 in JSON, with the kind beside it."""

    def request(kind: str, content: bytes) -> Request:
        body = {"instances": [{"b64": base64.b64encode(content).decode()}], "kind": kind}
        return Request(f"{address}/v1/models/srm:predict", json.dumps(body).encode(), JSON)

    return {
        "JPEG": request("gates", photograph(size)),
        "JPEG, no gates": request("probabilities", photograph(size)),
        "tensor": request("tensor", images(1, size).tobytes()),
    }


def mlserver_requests(address: str, size: int) -> dict[str, Request]:
    """The Open Inference Protocol with base64 in JSON: MLServer has no binary tensors over HTTP."""

    def request(model: str, content: bytes) -> Request:
        data = [base64.b64encode(content).decode()]
        tensor = {"name": "content", "shape": [1, 1], "datatype": "BYTES", "data": data}
        body = {"inputs": [tensor | {"parameters": {"content_type": "base64"}}]}
        return Request(f"{address}/v2/models/{model}/infer", json.dumps(body).encode(), JSON)

    return {
        "JPEG": request("gates", photograph(size)),
        "JPEG, no gates": request("probabilities", photograph(size)),
        "tensor": request("tensor", images(1, size).tobytes()),
    }


def litserve_requests(address: str, size: int) -> dict[str, Request]:
    """One path with the kind in the query."""
    return {
        kind: Request(f"{address}/predict?kind={value}", content, OCTETS)
        for kind, value, content in (
            ("JPEG", "gates", photograph(size)),
            ("JPEG, no gates", "probabilities", photograph(size)),
            ("tensor", "tensor", images(1, size).tobytes()),
        )
    }


def tensor_request(address: str, size: int) -> Request:
    """One image as a uint8 tensor; all outputs come back as binary tensors too."""
    return binary_request(address, INPUT, "UINT8", [1, size, size, 3], images(1, size).tobytes(), as_bytes=True)


def binary_request(
    address: str,
    name: str,
    datatype: str,
    shape: list[int],
    content: bytes,
    outputs: tuple[str, ...] = (PROBABILITIES, GATES),
    as_bytes: bool = False,
) -> Request:
    """One tensor with the protocol's binary extension. ``as_bytes``: outputs come back as binary tensors too."""
    tensor: dict[str, Any] = {"name": name, "shape": shape, "datatype": datatype}
    head = json.dumps({
        "inputs": [tensor | {"parameters": {"binary_data_size": len(content)}}],
        "outputs": [{"name": each, "parameters": {"binary_data": as_bytes}} for each in outputs],
    }).encode()  # fmt: skip
    length = ("Inference-Header-Content-Length", str(len(head)))
    return Request(address, head + content, (*OCTETS, length))
