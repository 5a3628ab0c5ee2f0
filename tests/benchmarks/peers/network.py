"""What every peer does alike: decode the picture and run the ONNX file. It runs in the peers' own environments.

The figures in the files beside it, by which settings were chosen, come from one run of about a second each on 2 CPUs.
"""

import io
import os

import numpy as np
import onnxruntime
import orjson
from PIL import Image

PROBABILITIES, GATES = "probabilities", "recalibration_weights"
PORT = int(os.environ.get("PEER_PORT", "8000"))
WORKERS = int(os.environ.get("PEER_WORKERS", "1"))
CPUS = len(os.sched_getaffinity(0))


class Network:
    """One session of the ONNX file that ``PEER_MODEL`` names."""

    def __init__(self, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(
            os.environ["PEER_MODEL"], options, providers=["CPUExecutionProvider"]
        )
        image = self.session.get_inputs()[0]
        self.input, self.shape = image.name, tuple(image.shape[1:])

    def decode(self, content: bytes) -> np.ndarray:
        """A picture file as an array of the model's size."""
        picture = Image.open(io.BytesIO(content)).convert("RGB")
        height, width, _ = self.shape
        if picture.size != (width, height):
            picture = picture.resize((width, height), Image.Resampling.BICUBIC)
        return np.asarray(picture)

    def array(self, content: bytes) -> np.ndarray:
        """Raw bytes of a tensor as an array of the model's size."""
        return np.frombuffer(content, np.uint8).reshape(self.shape)

    def image(self, content: bytes, kind: str) -> np.ndarray:
        """The array of a picture file, or of a tensor's bytes."""
        return self.array(content) if kind == "tensor" else self.decode(content)

    def run(self, images: np.ndarray) -> list[np.ndarray]:
        """Probabilities and gates of (N, H, W, C) images."""
        return self.session.run([PROBABILITIES, GATES], {self.input: images})


def encoded(probabilities: np.ndarray, gates: np.ndarray, kind: str) -> bytes:
    """The answer for one image: JSON for a picture, raw float32 values for a tensor."""
    if kind == "tensor":
        return probabilities.tobytes() + gates.tobytes()
    found = {PROBABILITIES: probabilities} | ({GATES: gates} if kind == "gates" else {})
    return orjson.dumps(found, option=orjson.OPT_SERIALIZE_NUMPY)


def media_type(kind: str) -> str:
    return "application/octet-stream" if kind == "tensor" else "application/json"
