"""BentoML around ONNX Runtime.

At 28 px on 2 CPUs, 8 connections: 123 images/s with one worker and two threads, 141 with two workers of one thread.
Its batches take JSON lists and no files, so they need a second service behind the first.
"""

import os
from typing import Any

import bentoml
from network import CPUS, Network, encoded, media_type
from starlette.responses import Response

WORKERS = int(os.environ.get("PEER_WORKERS", CPUS))
THREADS = int(os.environ.get("PEER_THREADS", "1"))


@bentoml.service(workers=WORKERS, threads=THREADS, traffic={"timeout": 60}, logging={"access": {"enabled": False}})
class Classifier:
    def __init__(self) -> None:
        self.network = Network(threads=1)

    @bentoml.api
    def predict(self, content: bytes, /) -> Any:
        return self.answer(content, "gates")

    @bentoml.api
    def probabilities(self, content: bytes, /) -> Any:
        return self.answer(content, "probabilities")

    @bentoml.api
    def tensor(self, content: bytes, /) -> Any:
        return self.answer(content, "tensor")

    def answer(self, content: bytes, kind: str) -> Response:
        probabilities, gates = self.network.run(self.network.image(content, kind)[None])
        return Response(encoded(probabilities[0], gates[0], kind), media_type=media_type(kind))
