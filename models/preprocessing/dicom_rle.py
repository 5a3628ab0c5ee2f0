"""Run-length encoding of DICOM (PS3.5 annex G), unpacked by Pillow, which never writes more than the picture holds.

The decoder of pydicom expands any input, up to 64 times. The decoder of pylibjpeg fails with an error that is not an
``Exception``.
"""

import struct

import numpy as np
from numpy.typing import NDArray
from PIL import Image

HEADER_BYTES = 64


def decode_rle(frame: bytes, pixels: int, samples: int, sample_bytes: int) -> NDArray[np.uint8]:
    """Return the samples of a frame as bytes (samples, pixels, sample_bytes), little-endian.

    Raises:
        ValueError: if the number of segments does not fit the picture, or if they hold too few bytes.
    """
    count, *offsets = struct.unpack("<16I", frame[:HEADER_BYTES])
    if count != samples * sample_bytes:
        raise ValueError("segments")
    ends = [*offsets[1:count], len(frame)]
    planes = [unpack(frame[start:end], pixels) for start, end in zip(offsets[:count], ends, strict=True)]
    # One segment for each byte of a sample, the most significant first.
    return np.ascontiguousarray(np.stack(planes).reshape(samples, sample_bytes, pixels)[:, ::-1].swapaxes(1, 2))


def unpack(segment: bytes, length: int) -> NDArray[np.uint8]:
    """Undo PackBits. The segment is read as one row, since some writers continue a run into the next row."""
    plane: NDArray[np.uint8] = np.asarray(Image.frombytes("L", (length, 1), segment, "packbits", "L"))[0]
    return plane
