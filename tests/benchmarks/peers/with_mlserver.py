"""MLServer around ONNX Runtime: one model for each kind of request, over one session.

At 28 px on 2 CPUs, 8 connections: 147 images/s with batches of up to 16 and a delay of 1 ms, 135 without batches, 128
with two parallel workers and without batches.
"""

import asyncio
import os
from functools import cache

import numpy as np
from mlserver import MLModel, MLServer, ModelSettings, Settings
from mlserver.codecs import NumpyCodec
from mlserver.codecs.base64 import Base64Codec
from mlserver.settings import ModelParameters
from mlserver.types import InferenceRequest, InferenceResponse
from network import CPUS, GATES, PORT, PROBABILITIES, Network

WORKERS = int(os.environ.get("PEER_WORKERS", "0"))
BATCH, DELAY = int(os.environ.get("PEER_BATCH", "16")), float(os.environ.get("PEER_DELAY", "0.001"))


@cache
def shared_network() -> Network:
    """One session for the three models of a process."""
    return Network(threads=max(1, CPUS // max(1, WORKERS)))


class Classifier(MLModel):
    async def load(self) -> bool:
        shared_network()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        contents = Base64Codec.decode_input(payload.inputs[0])
        return await asyncio.to_thread(self.answer, contents) if not WORKERS else self.answer(contents)

    def answer(self, contents: list[bytes]) -> InferenceResponse:
        images = np.stack([shared_network().image(content, self.name) for content in contents])
        probabilities, gates = shared_network().run(images)
        outputs = [NumpyCodec.encode_output(PROBABILITIES, probabilities)]
        if self.name != "probabilities":
            outputs.append(NumpyCodec.encode_output(GATES, gates))
        return InferenceResponse(model_name=self.name, outputs=outputs)


async def main() -> None:
    settings = Settings(
        host="127.0.0.1",
        http_port=PORT,
        grpc_port=PORT + 1,
        metrics_endpoint=None,
        parallel_workers=WORKERS,
        debug=False,
    )
    models = [
        ModelSettings(
            name=name,
            implementation=Classifier,
            max_batch_size=BATCH,
            max_batch_time=DELAY,
            parameters=ModelParameters(version="1"),
        )
        for name in ("gates", "probabilities", "tensor")
    ]
    await MLServer(settings).start(models)


if __name__ == "__main__":
    asyncio.run(main())
