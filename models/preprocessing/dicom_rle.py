"""DICOM's run-length encoding (PS3.5 annex G), unpacked by Pillow, which writes no more than the picture holds.

pydicom's own decoder expands whatever it is given, up to 64 times; pylibjpeg's fails with what is no Exception.
"""

import struct

import numpy as np
from numpy.typing import NDArray
from PIL import Image

HEADER_BYTES = 64


def decode_rle(frame: bytes, pixels: int, samples: int, sample_bytes: int) -> NDArray[np.uint8]:
    """Return a frame's samples as bytes (samples, pixels, sample_bytes), little-endian.

    Raises:
        ValueError: if the segments are not those of such a picture, or hold too little.
    """
    count, *offsets = struct.unpack("<16I", frame[:HEADER_BYTES])
    if count != samples * sample_bytes:
        raise ValueError("segments")
    ends = [*offsets[1:count], len(frame)]
    planes = [unpack(frame[start:end], pixels) for start, end in zip(offsets[:count], ends, strict=True)]
    # One segment a byte, a sample's most significant first.
    return np.ascontiguousarray(np.stack(planes).reshape(samples, sample_bytes, pixels)[:, ::-1].swapaxes(1, 2))


def unpack(segment: bytes, length: int) -> NDArray[np.uint8]:
    """Undo PackBits; as a picture of one row, since some writers let a run go on in the next one."""
    plane: NDArray[np.uint8] = np.asarray(Image.frombytes("L", (length, 1), segment, "packbits", "L"))[0]
    return plane
