"""LitServe around ONNX Runtime."""

import os
from typing import Annotated

import litserve
import numpy as np
from fastapi import Depends, Request, Response
from network import CPUS, PORT, WORKERS, Network, encoded, media_type

BATCH = int(os.environ.get("PEER_BATCH", "1"))


async def content_and_kind(request: Request) -> tuple[bytes, str]:
    return await request.body(), request.query_params["kind"]


class Classifier(litserve.LitAPI):
    def setup(self, device: str) -> None:
        self.model = Network(threads=max(1, CPUS // WORKERS))

    def decode_request(self, request: Annotated[tuple, Depends(content_and_kind)], context: dict) -> np.ndarray:
        content, context["kind"] = request
        return self.model.image(content, context["kind"])

    def batch(self, inputs: list) -> np.ndarray:
        return np.stack(inputs)

    def predict(self, image: np.ndarray) -> list | tuple:
        probabilities, gates = self.model.run(image if BATCH > 1 else image[None])
        found = list(zip(probabilities, gates, strict=True))
        return found if BATCH > 1 else found[0]

    def unbatch(self, output: list) -> list:
        return output

    def encode_response(self, output: tuple, context: dict) -> Response:
        kind = context["kind"]
        return Response(encoded(*output, kind), media_type=media_type(kind))


if __name__ == "__main__":
    fast_queue = os.environ.get("PEER_FAST_QUEUE") == "1"
    api = Classifier(max_batch_size=BATCH)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=WORKERS, fast_queue=fast_queue)
    server.run(host="127.0.0.1", port=PORT, num_api_servers=1, log_level="warning", generate_client_file=False)
