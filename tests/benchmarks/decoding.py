"""JPEG decoding: Pillow, which the project uses, against other libraries around libjpeg-turbo.

    pip install simplejpeg imagecodecs
    python -m tests.benchmarks.decoding

Only the libraries that are installed are measured. A picture must be Pillow's in the end, as it is cropped and resized
there, so the time of that conversion counts. Median of rounds in turn; the share of values that differ from Pillow's.
"""

import importlib
import io
import statistics
import time
from collections.abc import Callable

import numpy as np
from PIL import Image

from tests.benchmarks._bodies import PHOTOGRAPH

ROUNDS = 30
SIZES = ((224, 224), (1024, 1024), (2500, 2000), (4000, 3000))
CHROMA = {"4:2:0": 2, "4:4:4": 0}
DECODERS = {"simplejpeg": "decode_jpeg", "imagecodecs": "jpeg8_decode"}
Decoder = Callable[[bytes], Image.Image]


def with_pillow(content: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(content))
    image.load()
    return image


def decoders() -> dict[str, Decoder]:
    """The decoders that can be imported, by name."""
    found: dict[str, Decoder] = {"pillow": with_pillow}
    for module, name in DECODERS.items():
        try:
            decode = getattr(importlib.import_module(module), name)
        except ImportError:
            print(f"{module} is not installed")
        else:
            found[module] = lambda content, decode=decode: Image.fromarray(decode(content))  # type: ignore[misc]
    return found


def main() -> None:
    found = decoders()
    with Image.open(PHOTOGRAPH) as image:
        photograph = image.convert("RGB")
    for size in SIZES:
        for chroma, subsampling in CHROMA.items():
            stream = io.BytesIO()
            photograph.resize(size).save(stream, "JPEG", quality=90, subsampling=subsampling)
            content = stream.getvalue()
            times: dict[str, list[float]] = {name: [] for name in found}
            for _ in range(ROUNDS):
                for name, decode in found.items():
                    start = time.perf_counter()
                    decode(content)
                    times[name].append(time.perf_counter() - start)
            expected = np.asarray(with_pillow(content))
            for name, decode in found.items():
                median = 1000 * statistics.median(times[name])
                different = float((np.asarray(decode(content)) != expected).mean())
                print(f"{size[0]}x{size[1]} {chroma} {name:<12}{median:>8.2f} ms, different values: {different:.4f}")


if __name__ == "__main__":
    main()
