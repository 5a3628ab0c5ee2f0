"""BentoML around ONNX Runtime."""

import os
from typing import Any

import bentoml
from network import CPUS, WORKERS, Network, encoded, media_type
from starlette.responses import Response

THREADS = int(os.environ.get("PEER_THREADS", "0")) or CPUS


@bentoml.service(workers=WORKERS, threads=THREADS, traffic={"timeout": 60}, logging={"access": {"enabled": False}})
class Classifier:
    def __init__(self) -> None:
        self.model = Network(threads=1)

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
        probabilities, gates = self.model.run(self.model.image(content, kind)[None])
        return Response(encoded(probabilities[0], gates[0], kind), media_type=media_type(kind))
