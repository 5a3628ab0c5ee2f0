"""From a file or an array to the network's uint8 input, on every CPU that this process may use."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.card import InputSpec
from models.cpu import usable_cpus
from models.preprocessing import ImageError, fit, preprocess

Picture = Path | NDArray[np.uint8]
"""A file, or pixels (H, W, 1 or 3)."""
AHEAD = 4
"""Images for each CPU that are decoded before they are asked for."""


class Fault(NamedTuple):
    """Why an image can't be read."""

    reason: str
    of_content: bool
    """Whether the content of the file is at fault. A file that can't be opened now may be there the next time."""


def network_input(image: Picture, spec: InputSpec) -> NDArray[np.uint8]:
    """A file or an array as the uint8 input of the network (H, W, C), as the service makes it.

    Raises:
        ImageError: if the file is not an image that can be read.
        OSError: if it can't be opened.
    """
    if isinstance(image, Path):
        return preprocess(image.read_bytes(), spec).pixels
    return fit(Image.fromarray(image[..., 0] if image.shape[2] == 1 else image), spec)


def decode_all(images: Sequence[Picture], spec: InputSpec) -> Iterator[NDArray[np.uint8] | Fault]:
    """The input (C, H, W) of each image, in order, or why it can't be read. Few are in memory at a time."""

    def decode(image: Picture) -> NDArray[np.uint8] | Fault:
        try:
            return network_input(image, spec).transpose(2, 0, 1)
        except ImageError as error:
            return Fault(str(error), of_content=True)
        except OSError as error:
            return Fault(str(error), of_content=False)

    cpus = usable_cpus()
    with ThreadPoolExecutor(cpus) as pool:
        waiting: deque[Future[NDArray[np.uint8] | Fault]] = deque()
        for image in images:
            waiting.append(pool.submit(decode, image))
            if len(waiting) > AHEAD * cpus:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def is_input(image: Picture, spec: InputSpec) -> bool:
    """Whether an array is the network's input as it is, so that :func:`models.preprocessing.fit` changes nothing."""
    if isinstance(image, Path) or spec.content != "all":
        return False
    whole = spec.crop == "none" or spec.height == spec.width
    return whole and image.shape == (spec.height, spec.width, spec.channels)
