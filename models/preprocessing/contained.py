"""Decoders that hostile bytes can stall or crash, run in a separate process with limits on time and memory.

CharLS (JPEG-LS) and libjpeg (JPEG of more than 8 bits) can spend minutes on two thousand bytes. A thread could not be
stopped. Such files are rare, so 0.2 s to start a process for each file is acceptable.

This file is also the program of that process: it reads a codestream and writes its pixels. At its top it imports only
the standard library.
"""

import os
import subprocess
import sys
from typing import Literal

Codec = Literal["jpeg-ls", "libjpeg"]
START_LIMIT_S, MEGAPIXEL_LIMIT_S = 5.0, 1.0
"""Time limits: for the start of the process, and for each million pixels. They are ten times what was measured."""
MEMORY_LIMIT = 4 << 30
"""Limit on the address space, in bytes."""


def decode_apart(codestream: bytes, codec: Codec, pixels: int) -> tuple[bytes, bool]:
    """Return the pixels of a codestream (1 or 2 bytes per component, little-endian), and whether they are in planes.

    ``pixels`` is the expected number of pixels. The time limit follows from it.

    Raises:
        ValueError: if the decoder refused the codestream, crashed or took too long.
    """
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}  # numpy would reserve address space for each thread
    limit = START_LIMIT_S + MEGAPIXEL_LIMIT_S * pixels / 1e6
    command = [sys.executable, "-I", __file__, codec]
    try:
        done = subprocess.run(
            command, input=codestream, capture_output=True, timeout=limit, env=environment, check=False
        )
    except subprocess.TimeoutExpired:
        raise ValueError("the decoder took too long") from None
    if done.returncode or not done.stdout:
        raise ValueError("the decoder failed")
    return done.stdout[1:], done.stdout[:1] == b"1"


def main() -> None:
    """Decode standard input to standard output. The first byte is ``1`` if the colours are in planes, else ``0``."""
    try:
        import resource
    except ImportError:  # Windows
        pass
    else:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    codestream, in_planes = sys.stdin.buffer.read(), False
    if sys.argv[1] == "jpeg-ls":
        from jpeg_ls import decode_pixel_data

        pixels, properties = decode_pixel_data(codestream)
        in_planes = properties["components"] > 1 and properties["interleave_mode"] == 0
    else:
        from libjpeg.utils import decode_pixel_data

        pixels = decode_pixel_data(codestream, version=2)
    sys.stdout.buffer.write(b"1" if in_planes else b"0")
    sys.stdout.buffer.write(pixels)


if __name__ == "__main__":
    main()
