"""LitServe around ONNX Runtime.

At 28 px on 2 CPUs, 8 connections: 122 images/s with one worker, 152 with two, 149 with two and the fast queue. With
one connection a single worker is the faster one, 101 against 69. Batches are left out: their loop asks the queue
without a pause, and takes a core for each worker with nothing to do.
"""

import os
from typing import Annotated

import litserve
import numpy as np
from fastapi import Depends, Request, Response
from network import CPUS, PORT, Network, encoded, media_type

WORKERS = int(os.environ.get("PEER_WORKERS", CPUS))


async def content_and_kind(request: Request) -> tuple[bytes, str]:
    return await request.body(), request.query_params["kind"]


class Classifier(litserve.LitAPI):
    def setup(self, device: str) -> None:
        self.network = Network(threads=max(1, CPUS // WORKERS))

    def decode_request(self, request: Annotated[tuple, Depends(content_and_kind)], context: dict) -> np.ndarray:
        content, context["kind"] = request
        return self.network.image(content, context["kind"])

    def predict(self, image: np.ndarray) -> list[np.ndarray]:
        return self.network.run(image[None])

    def encode_response(self, output: list[np.ndarray], context: dict) -> Response:
        probabilities, gates = output
        kind = context["kind"]
        return Response(encoded(probabilities[0], gates[0], kind), media_type=media_type(kind))


if __name__ == "__main__":
    server = litserve.LitServer(Classifier(), accelerator="cpu", workers_per_device=WORKERS)
    server.run(host="127.0.0.1", port=PORT, num_api_servers=1, log_level="warning", generate_client_file=False)
