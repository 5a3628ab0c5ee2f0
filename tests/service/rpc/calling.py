"""The service as a process with gRPC, and what a client sends."""

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import numpy as np
import tritonclient.grpc as triton
from grpc import RpcError
from numpy.typing import NDArray
from tritonclient.utils import InferenceServerException

from tests.service.process import Log, running

SERVICE = "inference.GRPCInferenceService"
NAMES = ("probabilities", "recalibration_weights", "class_activation")


class Site(NamedTuple):
    """A running service."""

    process: subprocess.Popen[str]
    http: str
    grpc: str
    log: Log


@contextmanager
def serving(repository: Path, **environment: str) -> Iterator[Site]:
    with running(repository, RETINA_GRPC_PORT="0", RETINA_THREADS="1", **environment) as (process, http, log):
        found = re.search(r"gRPC( with TLS)? at 127\.0\.0\.1:(\d+)", str(log))
        assert found, str(log)
        yield Site(process, http, f"127.0.0.1:{found[2]}", log)


def image(pixels: NDArray[np.uint8]) -> Any:
    return triton.InferInput("image", list(pixels.shape), "UINT8").set_data_from_numpy(pixels)


def files(*contents: bytes) -> Any:
    tensor = triton.InferInput("image_bytes", [len(contents), 1], "BYTES")
    return tensor.set_data_from_numpy(np.array([[content] for content in contents], dtype=object))


def status(error: InferenceServerException | RpcError) -> str:
    """The name of a status, such as NOT_FOUND."""
    found = error.status() if isinstance(error, InferenceServerException) else error.code().name
    return str(found).removeprefix("StatusCode.")


def pixels(count: int = 3, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)


def in_flight(site: Site) -> str:
    """The number of requests in flight, as ``/metrics`` has it."""
    found = re.search(r"^retina_in_flight_requests (\S+)$", httpx.get(f"{site.http}/metrics").text, re.MULTILINE)
    assert found
    return found[1]
