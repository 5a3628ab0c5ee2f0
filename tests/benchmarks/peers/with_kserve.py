"""The server of KServe's Python SDK around ONNX Runtime.

At 28 px on 2 CPUs, 8 connections: 173 images/s with one worker, 165 with two, which take three times the memory.
"""

import asyncio
import base64

import numpy as np
from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer
from network import CPUS, GATES, PORT, PROBABILITIES, WORKERS, Network

network = Network(threads=1)  # called from the thread pool


class Pictures(Model):
    """The first version of the protocol: base64 in JSON, since binary strings of the second must be UTF-8."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.ready = True

    async def predict(self, payload: dict, headers: dict | None = None) -> dict:
        return await asyncio.to_thread(self.answer, payload)

    def answer(self, payload: dict) -> dict:
        contents = [base64.b64decode(instance["b64"]) for instance in payload["instances"]]
        found = network.run(np.stack([network.decode(content) for content in contents]))
        names = (PROBABILITIES, GATES) if payload["gates"] else (PROBABILITIES,)
        return {"predictions": {name: values.tolist() for name, values in zip(names, found, strict=False)}}


class Tensors(Model):
    """The second version, with binary tensors."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.ready = True

    async def predict(self, payload: InferRequest, headers: dict | None = None) -> InferResponse:
        return await asyncio.to_thread(self.answer, payload)

    def answer(self, payload: InferRequest) -> InferResponse:
        outputs = []
        for name, found in zip((PROBABILITIES, GATES), network.run(payload.inputs[0].as_numpy()), strict=True):
            output = InferOutput(name, list(found.shape), "FP32")
            output.set_data_from_numpy(found, binary_data=True)
            outputs.append(output)
        return InferResponse(payload.id or "1", self.name, outputs, requested_outputs=payload.request_outputs)


if __name__ == "__main__":
    server = ModelServer(
        http_port=PORT,
        workers=WORKERS,
        max_asyncio_workers=CPUS,
        enable_grpc=False,
        enable_latency_logging=False,
        access_log_format=None,
    )
    server.start([Pictures("srm"), Tensors("srm_tensor")])
