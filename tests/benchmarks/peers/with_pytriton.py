"""Triton Inference Server, by PyTriton, around ONNX Runtime.

At 28 px on 2 CPUs: one instance 91 images/s at 1 connection and 129 at 8, two instances 55 and 128; one without
batches 85 and 51. A delay of 1 ms with two instances: 60 and 105.
"""

import os

import numpy as np
from network import CPUS, GATES, PORT, PROBABILITIES, WORKERS, Network
from pytriton.decorators import batch
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

BATCH, DELAY = int(os.environ.get("PEER_BATCH", "16")), int(os.environ.get("PEER_DELAY", "0"))
network = Network(threads=max(1, CPUS // WORKERS))


@batch
def pictures(picture: np.ndarray) -> dict:
    return tensors(np.stack([network.decode(bytes(each)) for each in picture[:, 0]]))


def tensors(image: np.ndarray) -> dict:
    probabilities, gates = network.run(image)
    return {PROBABILITIES: probabilities, GATES: gates}


def main() -> None:
    port = {"http_port": PORT, "grpc_port": PORT + 1, "metrics_port": PORT + 2}
    with Triton(config=TritonConfig(http_address="127.0.0.1", allow_metrics=False, allow_grpc=False, **port)) as triton:
        config = ModelConfig(max_batch_size=BATCH, batcher=DynamicBatcher(max_queue_delay_microseconds=DELAY))
        sizes = network.run(np.zeros((1, *network.shape), np.uint8))
        names = zip((PROBABILITIES, GATES), sizes, strict=True)
        outputs = [Tensor(name=name, dtype=np.float32, shape=(found.shape[1],)) for name, found in names]
        for name, function, image in (
            ("srm", pictures, Tensor(name="picture", dtype=np.bytes_, shape=(1,))),
            ("srm_tensor", batch(tensors), Tensor(name="image", dtype=np.uint8, shape=network.shape)),
        ):
            triton.bind(name, [function] * WORKERS, inputs=[image], outputs=outputs, config=config)
        triton.serve()


if __name__ == "__main__":
    main()
