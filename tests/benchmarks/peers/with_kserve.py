"""The server of KServe's Python SDK around ONNX Runtime.

At 28 px on 2 CPUs, 8 connections: 173 images/s with one worker, 165 with two, which take three times the memory.
Pictures and tensors are base64 in JSON, by the first version of its protocol. Binary tensors of the second become
Python lists, which takes 85 ms for one image of 224 px, and its binary strings must be UTF-8.
"""

import asyncio
import base64

import numpy as np
from kserve import Model, ModelServer
from network import CPUS, GATES, PORT, PROBABILITIES, WORKERS, Network

network = Network(threads=1)  # called from the thread pool


class Classifier(Model):
    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.ready = True

    async def predict(self, payload: dict, headers: dict | None = None) -> dict:
        return await asyncio.to_thread(self.answer, payload)

    def answer(self, payload: dict) -> dict:
        kind = payload["kind"]
        contents = [base64.b64decode(instance["b64"]) for instance in payload["instances"]]
        found = network.run(np.stack([network.image(content, kind) for content in contents]))
        names = (PROBABILITIES,) if kind == "probabilities" else (PROBABILITIES, GATES)
        return {"predictions": {name: values.tolist() for name, values in zip(names, found, strict=False)}}


if __name__ == "__main__":
    server = ModelServer(
        http_port=PORT,
        workers=WORKERS,
        max_asyncio_workers=CPUS,
        enable_grpc=False,
        enable_latency_logging=False,
        access_log_format=None,
    )
    server.start([Classifier("srm")])
